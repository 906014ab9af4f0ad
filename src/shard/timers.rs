//! Everything that a shard does at a given time.

use haremq_broker::ids::QueueId;

use crate::event::ConnectionSlot;

/// What is due when an entry of the shard's wheel expires. Entries are never taken out: each is
/// checked against the present state when it expires.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Timer {
    /// A connection must have got to open-ok (CONN-3).
    Handshake(ConnectionSlot, u32),
    /// A connection's heartbeat: send one if idle, count silence (CONN-60).
    Heartbeat(ConnectionSlot, u32),
    /// A refused or closing connection's socket is dropped (CONN-26, CONN-91).
    Drop(ConnectionSlot, u32),
    /// How long a channel's deliveries have been out is looked at (ACK-40).
    Acks(u32, u32),
    /// A queue asked to be told now: a message or the queue itself may have expired.
    Queue(QueueId),
    /// Memory that queues keep for reuse is looked at.
    Sweep,
}
