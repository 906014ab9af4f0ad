//! The queue as a machine: commands in, effects out.

mod command;
mod effect;
mod window;

pub use command::{Command, Consume, ConsumerIndex, Outcome, Settings};
pub use effect::{Delivery, Effect};
pub use window::{
    DELIVERY_OVERHEAD_BYTES, WINDOW_BYTES, Waiting, WindowId, Windows, delivery_bytes,
};

use crate::ids::Time;
use crate::store::MessageStore;

/// What a command may touch beside its queue.
#[derive(Debug)]
pub struct Context<'a> {
    /// The shard's messages.
    pub store: &'a mut MessageStore,
    /// The shard's byte windows.
    pub windows: &'a mut Windows,
    /// Where effects are appended.
    pub effects: &'a mut Vec<Effect>,
}

/// What has become of all messages that ever entered a queue.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Counters {
    /// Entered.
    pub enqueued: u64,
    /// Given to a consumer or getter; a redelivery counts again.
    pub delivered: u64,
    /// Acked, rejected, or delivered with no-ack.
    pub settled: u64,
    /// Left by their deadline.
    pub expired: u64,
    /// Purged, or in the queue when it was retired.
    pub dropped: u64,
    /// Came back; may count a message several times.
    pub requeued: u64,
}

/// One queue.
#[derive(Debug)]
pub struct Queue {
    settings: Settings,
}

impl Queue {
    /// An empty queue. The next command is to be `Touch`.
    pub fn new(settings: Settings) -> Queue {
        Queue { settings }
    }

    /// Carries out one command; what it asks for is appended to `context.effects`.
    pub fn apply(&mut self, now: Time, command: Command, context: &mut Context<'_>) {
        let _ = (now, command, context);
        unimplemented!()
    }

    /// A `Dispatch` would deliver something.
    pub fn is_runnable(&self) -> bool {
        unimplemented!()
    }

    /// What the queue was declared as.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Messages that wait.
    pub fn ready_count(&self) -> u64 {
        unimplemented!()
    }

    /// Messages delivered and not settled.
    pub fn unacked_count(&self) -> u64 {
        unimplemented!()
    }

    /// Consumers; `basic.get` makes none.
    pub fn consumer_count(&self) -> u32 {
        unimplemented!()
    }

    /// What has become of all messages.
    pub fn counters(&self) -> Counters {
        unimplemented!()
    }

    /// Gives back memory that is kept for reuse.
    pub fn shrink(&mut self) {}

    /// Panics if the machine contradicts itself. O(n).
    pub fn check_invariants(&self) {}
}
