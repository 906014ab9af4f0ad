//! All that can happen to a shard, and all that it can ask for.

use haremq_broker::ids::ShardId;
use haremq_storage::Lsn;

use crate::mesh::Batch;
use crate::writer::FromWriter;

/// A connection as its own runtime names it: a small index, chosen by the runtime and free
/// again after [`Effect::Forget`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ConnectionSlot(pub u32);

impl ConnectionSlot {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// The two ends of a socket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peer {
    /// `peer_ip:peer_port -> local_ip:local_port` (CONN-100).
    pub name: String,
    /// Whether the peer's address is a loopback address (CONN-33).
    pub is_loopback: bool,
}

/// What has happened. The caller passes the time with each event; it never runs backwards.
#[derive(Debug)]
pub enum Event<'a> {
    /// A socket was accepted; its slot is free.
    Accepted {
        /// The slot that names it from now on.
        connection: ConnectionSlot,
        /// Its ends.
        peer: Peer,
    },
    /// Bytes came from a socket.
    Received {
        /// The socket.
        connection: ConnectionSlot,
        /// In the order of the stream.
        bytes: &'a [u8],
    },
    /// The kernel has taken the first `bytes` octets of [`crate::Shard::output`].
    Sent {
        /// The socket.
        connection: ConnectionSlot,
        /// How many.
        bytes: usize,
    },
    /// The socket was closed or reset by the peer, or failed.
    Disconnected {
        /// The socket.
        connection: ConnectionSlot,
    },
    /// A batch came from a peer whose inbox is free ([`crate::Shard::has_room_for_batch`]).
    BatchReceived {
        /// The peer.
        from: ShardId,
        /// Its parcels.
        batch: Batch,
    },
    /// A batch that this shard sent to `peer` was read and comes back empty.
    BatchReturned {
        /// The peer.
        peer: ShardId,
        /// The buffers.
        batch: Batch,
    },
    /// The catalog writer has sent this.
    CatalogReceived(FromWriter),
    /// The log is synced up to here.
    LogSynced(Lsn),
    /// Memory in use, over all shards, has risen over the limit, or fallen below its resume mark.
    MemoryChanged {
        /// Whether publishing connections are to pause.
        is_over_limit: bool,
    },
    /// All events of this tick have been told: do what is done once per tick.
    TickEnded,
    /// The broker stops: close all connections with 320.
    ShutdownRequested,
}

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// There is output to send.
    Send(ConnectionSlot),
    /// Do not read this socket until `StartReading`.
    StopReading(ConnectionSlot),
    /// Read this socket again.
    StartReading(ConnectionSlot),
    /// Close the socket now.
    CloseSocket(ConnectionSlot),
    /// Nothing of the connection is left: its slot may be used again.
    Forget(ConnectionSlot),
    /// Sync the log up to here and answer with [`Event::LogSynced`].
    Sync(Lsn),
}
