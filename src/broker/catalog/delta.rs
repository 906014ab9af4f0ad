//! What changes in the catalog, as plain data. The writer and every replica apply the same deltas
//! in the same order and so hold the same catalog.

use std::sync::Arc;

use haremq_protocol::types::FieldTable;

use crate::exchange::ExchangeKind;
use crate::ids::{ConnectionAddress, ExchangeId, QueueId, SlotId, VhostId};

/// One change. What follows from it (a deleted queue takes its bindings along, and these their
/// auto-delete exchanges) is part of applying it and not written down. Records never change, so
/// the writer and all replicas share those of queues and bindings; only deltas count who does.
#[derive(Clone, Debug, PartialEq)]
pub enum Delta {
    /// An exchange came to be; its id is this delta's index.
    ExchangeDeclared(Arc<ExchangeRecord>),
    /// An exchange went, with all bindings from and to it.
    ExchangeDeleted {
        /// The exchange.
        id: ExchangeId,
    },
    /// The `count` newest bindings from (first) and to an exchange or queue went that is about to
    /// go itself: many would hold up a shard if they went at once.
    BindingsDropped {
        /// The exchange or queue.
        end: BindingDestination,
        /// How many.
        count: u32,
    },
    /// A queue came to be; its id is this delta's index.
    QueueDeclared(Arc<QueueRecord>),
    /// A queue went, with all its bindings.
    QueueDeleted {
        /// The queue.
        id: QueueId,
    },
    /// A binding came to be.
    Bound(Arc<BindingRecord>),
    /// A binding went.
    Unbound(Arc<BindingRecord>),
}

/// What an exchange was declared as.
#[derive(Clone, Debug, PartialEq)]
pub struct ExchangeRecord {
    /// Catalog index of its declaration.
    pub id: ExchangeId,
    /// Namespace.
    pub vhost: VhostId,
    /// Name; empty for the default exchange.
    pub name: Box<str>,
    /// Type.
    pub kind: ExchangeKind,
    /// Survives a restart.
    pub durable: bool,
    /// Deleted with the last binding in which it is the source (EXC-15).
    pub auto_delete: bool,
    /// Closed to clients' publishes (EXC-14).
    pub internal: bool,
    /// As declared.
    pub arguments: FieldTable,
}

/// What a queue was declared as.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueRecord {
    /// Catalog index of its declaration.
    pub id: QueueId,
    /// Namespace.
    pub vhost: VhostId,
    /// Name.
    pub name: Box<str>,
    /// Decides its home shard.
    pub slot: SlotId,
    /// Survives a restart; never true of an exclusive queue (QUE-7).
    pub durable: bool,
    /// The connection that an exclusive queue belongs to.
    pub exclusive_owner: Option<ConnectionAddress>,
    /// Deleted with its last consumer (QUE-60).
    pub auto_delete: bool,
    /// As declared.
    pub arguments: FieldTable,
    /// What the arguments mean.
    pub settings: QueueSettings,
}

/// The arguments of a queue that have a meaning, parsed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueSettings {
    /// `x-message-ttl` in milliseconds (TTL-10).
    pub message_ttl_ms: Option<u64>,
    /// `x-expires` in milliseconds, above 0 (EXP-1).
    pub expires_ms: Option<u64>,
    /// `x-consumer-timeout` in milliseconds (ACK-41).
    pub consumer_timeout_ms: Option<u64>,
}

/// Where a binding leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BindingDestination {
    /// To a queue.
    Queue(QueueId),
    /// To an exchange, which routes on by itself.
    Exchange(ExchangeId),
}

/// A binding. All four fields together are its identity (BND-1).
#[derive(Clone, Debug, PartialEq)]
pub struct BindingRecord {
    /// The exchange that routes.
    pub source: ExchangeId,
    /// Who receives.
    pub destination: BindingDestination,
    /// Binding key; a direct exchange shares it.
    pub routing_key: Arc<str>,
    /// Arguments, as a set.
    pub arguments: FieldTable,
}
