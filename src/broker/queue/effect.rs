//! What a queue asks for.

use crate::ids::{ChannelAddress, Time};
use crate::store::MessageId;

use super::command::{Command, ConsumerIndex};

/// A message on its way to a consumer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Delivery {
    /// The channel that consumes.
    pub channel: ChannelAddress,
    /// The channel's own number of the consumer.
    pub front_consumer: u32,
    /// The queue's number of the consumer.
    pub consumer: ConsumerIndex,
    /// Names the delivery when it is settled; dense per consumer, from 0. Has no meaning with
    /// `no_ack`.
    pub ordinal: u64,
    /// The message.
    pub message: MessageId,
    /// It was delivered before (DLV-3).
    pub redelivered: bool,
    /// Nothing is to be settled; a `Release` of the message follows.
    pub no_ack: bool,
}

/// All that a queue can ask for. To be carried out in order and before the next command, because
/// that one may release what a delivery names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Answer to `Consume`.
    Consuming {
        /// The channel that asked.
        channel: ChannelAddress,
        /// The channel's own number of the consumer.
        front_consumer: u32,
        /// The consumer's number.
        consumer: ConsumerIndex,
    },
    /// Answer to `Consume`: exclusive use (CON-5).
    ConsumeRefused {
        /// The channel that asked.
        channel: ChannelAddress,
        /// The channel's own number of the consumer.
        front_consumer: u32,
    },
    /// Send the message to the consumer.
    Deliver(Delivery),
    /// Answer to `Offer`: send the message to the consumer; it is settled.
    Passed {
        /// The channel that consumes.
        channel: ChannelAddress,
        /// The channel's own number of the consumer.
        front_consumer: u32,
    },
    /// Give up one reference of the message, after the delivery before has been encoded.
    Release {
        /// The message.
        message: MessageId,
    },
    /// Answer to `Get` (GET-1).
    Got {
        /// The channel that asked.
        channel: ChannelAddress,
        /// Who holds the message; none with no-ack, where a `Release` follows.
        consumer: Option<ConsumerIndex>,
        /// Names the delivery when it is settled.
        ordinal: u64,
        /// The message.
        message: MessageId,
        /// It was delivered before (DLV-3).
        redelivered: bool,
        /// Ready messages left after this one.
        remaining: u64,
    },
    /// Answer to `Get`: nothing is ready.
    Empty {
        /// The channel that asked.
        channel: ChannelAddress,
    },
    /// Answer to `Purge`.
    Purged {
        /// The channel that asked.
        channel: ChannelAddress,
        /// Messages dropped.
        count: u64,
    },
    /// Answer to `Count`.
    Counted {
        /// The channel that asked.
        channel: ChannelAddress,
        /// Its request.
        request: u32,
        /// Ready messages.
        messages: u64,
        /// Consumers.
        consumers: u32,
    },
    /// Answer to `CloseChannel`: the queue holds nothing of the channel any more.
    ChannelClosed {
        /// The channel.
        channel: ChannelAddress,
    },
    /// The consumer could have a message if its channel granted it. Sent once until answered by
    /// `Grant` or `SetGlobal`.
    Wants {
        /// The channel to ask.
        channel: ChannelAddress,
        /// The channel's own number of the consumer.
        front_consumer: u32,
        /// The consumer.
        consumer: ConsumerIndex,
    },
    /// Grants that the consumer does not use now.
    GrantsReturned {
        /// The channel that granted them.
        channel: ChannelAddress,
        /// The channel's own number of the consumer.
        front_consumer: u32,
        /// The consumer.
        consumer: ConsumerIndex,
        /// Number of unused grants; not 0.
        count: u32,
    },
    /// Apply `TimerFired` at this time. Comes again when an earlier time is needed; the queue
    /// knows what it has asked for, so nothing need be cancelled.
    ArmTimer {
        /// When.
        at: Time,
    },
    /// The last consumer of an auto-delete queue went: retire the queue (QUE-60).
    Unused,
    /// The queue was unused for too long: retire it (EXP-4).
    Expired,
    /// The queue goes; the client is to be told that this consumer went with it (QUE-72).
    ConsumerCancelled {
        /// The channel that consumed.
        channel: ChannelAddress,
        /// The channel's own number of the consumer.
        front_consumer: u32,
    },
    /// The queue goes before this command's turn came.
    Unanswered(Command),
    /// Answer to `Retire`; the last effect of the queue.
    Retired {
        /// Ready messages dropped.
        count: u64,
    },
    /// Answer to `Retire`: it has consumers.
    InUse,
    /// Answer to `Retire`: it has ready messages.
    NotEmpty,
}
