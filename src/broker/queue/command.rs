//! What a queue can be told.

use crate::ids::{ChannelAddress, QueueId};
use crate::store::MessageId;

use super::window::WindowId;

/// A consumer, or a channel's `basic.get`s, as its queue numbers them. Valid from `Consuming` or
/// `Got` until it is cancelled and all it holds is settled; then the number may be used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ConsumerIndex(pub u32);

/// What a queue is, fixed when it is declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The queue's id; it goes with a consumer that waits for its byte window.
    pub id: QueueId,
    /// Survives a restart.
    pub durable: bool,
    /// Belongs to one connection (QUE-50).
    pub exclusive: bool,
    /// Goes with its last consumer (QUE-60).
    pub auto_delete: bool,
    /// Upper limit of every message's time to live, milliseconds (TTL-10).
    pub message_ttl_ms: Option<u64>,
    /// The queue goes when it was unused for this long, milliseconds; not 0 (EXP-1).
    pub expires_ms: Option<u64>,
}

/// What a consumer asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Consume {
    /// The channel that consumes.
    pub channel: ChannelAddress,
    /// The channel's own number of the consumer; comes back in each delivery.
    pub front_consumer: u32,
    /// Delivered is settled (CON-4).
    pub no_ack: bool,
    /// No other consumer beside it (CON-5).
    pub exclusive: bool,
    /// Unsettled deliveries it may hold; 0 is no limit. Has no meaning with `no_ack` (QOS-5).
    pub prefetch: u16,
    /// The channel has a global limit: deliveries need grants from it.
    pub global: bool,
    /// The byte window of its connection at this shard.
    pub window: WindowId,
}

/// What becomes of settled messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Done with.
    Acked,
    /// Not wanted and not to be delivered again: dropped (ACK-11).
    Rejected,
    /// Back to its original position (ACK-12).
    Requeued,
}

/// All that can be asked of a queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command {
    /// A message at the end. The queue owns one reference of it from here on.
    Enqueue {
        /// The message.
        message: MessageId,
        /// The message's own time to live; the smaller of it and the queue's counts (TTL-11).
        expiration_ms: Option<u64>,
    },
    /// A message that is in no store yet. Answered by `Passed` if it goes to a consumer with no-ack
    /// at once, so that nobody need hold it; otherwise nothing is done, and `Enqueue` is to follow.
    Offer {
        /// What the delivery takes from its window ([`super::delivery_bytes`]).
        bytes: u64,
    },
    /// A new consumer. Answered by `Consuming` or `ConsumeRefused`.
    Consume(Consume),
    /// No more deliveries to this consumer; what it holds stays with it until settled (CON-7).
    /// Ignored when the channel has no such consumer.
    Cancel {
        /// The channel that consumes.
        channel: ChannelAddress,
        /// The consumer.
        consumer: ConsumerIndex,
    },
    /// Settles the deliveries `first..=last`. Ordinals already settled and addresses that no longer
    /// match are passed over. In order (see [`Command::Continue`]).
    Settle {
        /// The channel that holds the deliveries.
        channel: ChannelAddress,
        /// The consumer or getter.
        consumer: ConsumerIndex,
        /// First ordinal.
        first: u64,
        /// Last ordinal, inclusive.
        last: u64,
        /// What becomes of them.
        outcome: Outcome,
    },
    /// One message for `basic.get`. Answered by `Got` or `Empty`. Renews the lease (EXP-5). In
    /// order.
    Get {
        /// The channel that asks.
        channel: ChannelAddress,
        /// Got is settled.
        no_ack: bool,
    },
    /// Drops all ready messages. Answered by `Purged` (QUE-80). In order.
    Purge {
        /// The channel that asks.
        channel: ChannelAddress,
    },
    /// How many messages and consumers there are. Answered by `Counted`. Renews the lease (EXP-3).
    /// In order.
    Count {
        /// The channel that asks.
        channel: ChannelAddress,
        /// Tells its requests apart; comes back in the answer.
        request: u32,
    },
    /// The channel is about to be closed: its consumers go, what it holds stays until then.
    StopChannel {
        /// The channel.
        channel: ChannelAddress,
    },
    /// The channel is gone: its consumers go at once, all it holds is requeued (ACK-30). Answered
    /// by `ChannelClosed`. In order.
    CloseChannel {
        /// The channel.
        channel: ChannelAddress,
    },
    /// The channel lets a consumer have `count` more deliveries under its global limit.
    Grant {
        /// The channel that grants.
        channel: ChannelAddress,
        /// The consumer.
        consumer: ConsumerIndex,
        /// Further deliveries; not 0.
        count: u32,
        /// What is not used stays with the consumer, as no other of its channel could use it.
        keep: bool,
    },
    /// The channel wants back what the consumer was granted and has not used. Answered by
    /// `GrantsReturned` if there is any.
    Recall {
        /// The channel that granted.
        channel: ChannelAddress,
        /// The consumer.
        consumer: ConsumerIndex,
    },
    /// The channel got or lost its global limit.
    SetGlobal {
        /// The channel.
        channel: ChannelAddress,
        /// The consumer.
        consumer: ConsumerIndex,
        /// Whether deliveries need grants from now on.
        on: bool,
    },
    /// The consumer's byte window has room again.
    WindowOpened {
        /// The consumer, as `Windows::give_back` named it.
        consumer: ConsumerIndex,
    },
    /// A timer that `ArmTimer` asked for has fired.
    TimerFired,
    /// The queue was declared (anew): its lease starts (EXP-2, EXP-3). To be applied to a new queue
    /// once, so that its lease runs from creation.
    Touch,
    /// Goes on with what the budget of an earlier tick did not suffice for. To be applied once in
    /// a tick while [`super::Queue::is_unfinished`].
    ///
    /// What goes through many messages is done in slices. The commands that are carried out *in
    /// order* wait meanwhile, each for those before it, and nothing is delivered while messages
    /// come back, so that nobody sees half of it.
    Continue,
    /// The end of the queue: all messages are dropped, all consumers cancelled. Answered by
    /// `Retired`, or by `InUse` or `NotEmpty` (QUE-70, QUE-71). A retired queue takes no command.
    Retire {
        /// Only without consumers.
        if_unused: bool,
        /// Only without ready messages; tested first.
        if_empty: bool,
    },
    /// Delivers up to `budget` messages.
    Dispatch {
        /// Largest number of deliveries.
        budget: u32,
    },
}
