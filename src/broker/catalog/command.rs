//! What clients wish of the catalog, and what planning makes of a wish.

use haremq_protocol::types::FieldTable;

use super::delta::Delta;
use super::user::UserId;
use crate::ids::{ConnectionAddress, QueueId, SlotId, VhostId};

/// Who asks: decides permissions, exclusive access and the namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The namespace that the connection opened.
    pub vhost: VhostId,
    /// The user that it authenticated as.
    pub user: UserId,
    /// The connection, which owns the exclusive queues that it declares.
    pub connection: ConnectionAddress,
}

/// A client's wish, as plain data that can travel to the catalog's writer. Names are as received:
/// planning strips CR and LF (CHN-9). Passive declares are no commands, see `Catalog::check_*`.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// `exchange.declare`, active.
    DeclareExchange(DeclareExchange),
    /// `exchange.delete`.
    DeleteExchange(DeleteExchange),
    /// `queue.declare`, active.
    DeclareQueue(DeclareQueue),
    /// `queue.delete`.
    DeleteQueue(DeleteQueue),
    /// `queue.bind`.
    BindQueue(QueueBinding),
    /// `queue.unbind`.
    UnbindQueue(QueueBinding),
    /// `exchange.bind`.
    BindExchange(ExchangeBinding),
    /// `exchange.unbind`.
    UnbindExchange(ExchangeBinding),
}

impl Command {
    /// Who asks, and the names, as received, of the queue and the exchanges that it is about.
    pub fn ends(&self) -> (Origin, Option<&str>, [Option<&str>; 2]) {
        match self {
            Command::DeclareExchange(wish) => (wish.origin, None, [Some(&wish.exchange), None]),
            Command::DeleteExchange(wish) => (wish.origin, None, [Some(&wish.exchange), None]),
            Command::DeclareQueue(wish) => (wish.origin, Some(&wish.queue), [None; 2]),
            Command::DeleteQueue(wish) => (wish.origin, Some(&wish.queue), [None; 2]),
            Command::BindQueue(wish) | Command::UnbindQueue(wish) => {
                (wish.origin, Some(&wish.queue), [Some(&wish.exchange), None])
            }
            Command::BindExchange(wish) | Command::UnbindExchange(wish) => {
                (wish.origin, None, [Some(&wish.source), Some(&wish.destination)])
            }
        }
    }
}

/// The fields of `exchange.declare`.
#[derive(Clone, Debug, PartialEq)]
pub struct DeclareExchange {
    /// Who asks.
    pub origin: Origin,
    /// Name.
    pub exchange: String,
    /// Type, as the client writes it.
    pub kind: String,
    /// Survives a restart.
    pub durable: bool,
    /// Deleted with the last binding in which it is the source (EXC-15).
    pub auto_delete: bool,
    /// Closed to clients' publishes (EXC-14).
    pub internal: bool,
    /// Arguments.
    pub arguments: FieldTable,
}

/// The fields of `exchange.delete`.
#[derive(Clone, Debug, PartialEq)]
pub struct DeleteExchange {
    /// Who asks.
    pub origin: Origin,
    /// Name.
    pub exchange: String,
    /// Refuse if it is the source of a binding.
    pub if_unused: bool,
}

/// The fields of `queue.declare`.
#[derive(Clone, Debug, PartialEq)]
pub struct DeclareQueue {
    /// Who asks.
    pub origin: Origin,
    /// Name: for a server-named queue the one that the caller generated (QUE-3).
    pub queue: String,
    /// The client left the name empty: the reserved prefix is in order, the home slot is the hint.
    pub server_named: bool,
    /// Survives a restart; without effect on an exclusive queue (QUE-7).
    pub durable: bool,
    /// Belongs to the declaring connection (QUE-50).
    pub exclusive: bool,
    /// Deleted with its last consumer (QUE-60).
    pub auto_delete: bool,
    /// Arguments.
    pub arguments: FieldTable,
    /// A slot of the connection's shard, the home of exclusive and server-named queues.
    pub home_slot_hint: SlotId,
}

/// The fields of `queue.delete`.
#[derive(Clone, Debug, PartialEq)]
pub struct DeleteQueue {
    /// Who asks.
    pub origin: Origin,
    /// Name, with the empty name already replaced (CHN-8).
    pub queue: String,
    /// Refuse if it has consumers; its home decides.
    pub if_unused: bool,
    /// Refuse if it holds ready messages; its home decides, before `if_unused` (QUE-70).
    pub if_empty: bool,
}

/// The fields of `queue.bind` and `queue.unbind`.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueBinding {
    /// Who asks.
    pub origin: Origin,
    /// Destination, with the empty name already replaced (CHN-8).
    pub queue: String,
    /// Source.
    pub exchange: String,
    /// Binding key.
    pub routing_key: String,
    /// Arguments: part of the binding's identity (BND-1).
    pub arguments: FieldTable,
}

/// The fields of `exchange.bind` and `exchange.unbind`.
#[derive(Clone, Debug, PartialEq)]
pub struct ExchangeBinding {
    /// Who asks.
    pub origin: Origin,
    /// The exchange that receives.
    pub destination: String,
    /// The exchange that routes.
    pub source: String,
    /// Binding key.
    pub routing_key: String,
    /// Arguments: part of the binding's identity (BND-1).
    pub arguments: FieldTable,
}

/// What a permitted command comes to.
#[derive(Clone, Debug, PartialEq)]
pub enum Plan {
    /// The catalog has to change: the writer applies this delta and hands it to every replica.
    Change(Delta),
    /// The queue exists as it was asked for; only its counts are missing in the answer.
    Exists(QueueId),
    /// All is already as wished: the answer is ok (for `queue.delete`: with the count 0).
    Nothing,
    /// The queue's home must give its consent and its count; `Delta::QueueDeleted` follows then.
    Retire {
        /// The queue.
        queue: QueueId,
        /// Tells its home.
        slot: SlotId,
        /// To be asked of the home.
        if_unused: bool,
        /// To be asked of the home, first.
        if_empty: bool,
    },
}
