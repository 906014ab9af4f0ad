//! Numbers that could be mixed up, each as a type of its own.

use std::fmt;

/// One core's shard. Shards are numbered from 0 to the number of cores less one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ShardId(pub u16);

impl ShardId {
    /// The shard's place in per-shard arrays.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// A fixed share of all queues; it is bound to a shard at start, so that the number of cores may
/// change between starts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SlotId(pub u16);

/// Number of slots. A power of two, so that every usual number of cores gets an equal share.
pub const SLOTS: u16 = 64;

impl SlotId {
    /// The shard that serves this slot when there are `shards` of them.
    pub fn shard(self, shards: u16) -> ShardId {
        assert!(shards > 0);
        ShardId(self.0 % shards)
    }
}

macro_rules! catalog_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name(pub u64);
    };
}

catalog_id!(
    /// A virtual host: catalog index of its creation, never reused.
    VhostId
);
catalog_id!(
    /// An exchange: catalog index of its declaration, never reused.
    ExchangeId
);
catalog_id!(
    /// A queue: catalog index of its declaration, never reused. A publish that was routed to a
    /// queue since deleted and declared anew is thus recognised.
    QueueId
);

/// A connection as other shards name it. The generation tells it from earlier and later
/// connections that had or will have the same slot.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ConnectionAddress {
    /// The shard that holds the socket.
    pub shard: ShardId,
    /// Index into that shard's connections.
    pub slot: u32,
    /// Counts the uses of the slot.
    pub generation: u32,
}

/// A channel as other shards name it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ChannelAddress {
    /// The shard that holds the connection.
    pub shard: ShardId,
    /// Index into that shard's channels (not the number the client chose).
    pub slot: u32,
    /// Counts the uses of the slot.
    pub generation: u32,
}

/// Milliseconds since the process started, by a clock that never runs backwards.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Time(pub u64);

impl Time {
    /// The time `ms` milliseconds later.
    pub fn after_ms(self, ms: u64) -> Time {
        Time(self.0.saturating_add(ms))
    }

    /// The first time at which `ms` milliseconds have surely passed since a moment that reads as
    /// this time: the clock counts whole milliseconds, and nothing expires early.
    pub fn deadline(self, ms: u64) -> Time {
        self.after_ms(ms).after_ms(1)
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
