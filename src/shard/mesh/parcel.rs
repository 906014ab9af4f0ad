//! What shards say to one another.

use std::ops::Range;

use haremq_broker::ids::{ChannelAddress, ConnectionAddress, QueueId};
use haremq_broker::queue::{ConsumerIndex, Outcome};

use super::contents::Section;
use super::series::{Arrival, Departure, Series};

/// One entry of a batch.
#[derive(Debug)]
pub enum Parcel {
    /// From a channel's shard to a queue's home.
    Request(Request),
    /// From a queue's home to a channel's shard.
    Answer(Answer),
}

impl Parcel {
    /// Where its messages' contents lie, and how many there are.
    pub(super) fn section(&self) -> (Section, u32) {
        match self {
            Parcel::Request(Request::Publish { publishes, .. }) => publishes.section(),
            Parcel::Answer(Answer::Delivered(deliveries)) => deliveries.section(),
            Parcel::Answer(Answer::Got(got)) => got.section(),
            _ => (Section::default(), 0),
        }
    }

    /// Which of the batch's queues it names.
    pub(super) fn queues(&self) -> Range<u32> {
        match self {
            Parcel::Request(Request::Publish { queues, .. }) => queues.clone(),
            _ => 0..0,
        }
    }
}

/// From a channel's shard to a queue's home.
#[derive(Debug)]
pub enum Request {
    /// Put messages into queues.
    Publish {
        /// What and from whom.
        publishes: Series<Arrival>,
        /// To which of the batch's queues each of them goes.
        queues: Range<u32>,
    },
    /// Settle the deliveries `first..=last` that a consumer got.
    Settle {
        /// Whose deliveries.
        channel: ChannelAddress,
        /// Of which queue.
        queue: QueueId,
        /// To which of its consumers.
        consumer: ConsumerIndex,
        /// First ordinal.
        first: u64,
        /// Last ordinal.
        last: u64,
        /// What becomes of them.
        outcome: Outcome,
    },
    /// Register a consumer.
    Consume {
        /// Its channel.
        channel: ChannelAddress,
        /// The connection, for the byte window.
        connection: ConnectionAddress,
        /// How the channel's shard names it.
        front_consumer: u32,
        /// From which queue.
        queue: QueueId,
        /// Deliveries are settled when sent.
        no_ack: bool,
        /// The only consumer.
        exclusive: bool,
        /// Most unsettled deliveries; 0 is unlimited.
        prefetch: u16,
        /// Deliveries also need grants of the channel (global prefetch).
        global: bool,
    },
    /// Remove a consumer.
    Cancel {
        /// Its channel.
        channel: ChannelAddress,
        /// How the channel's shard names it.
        front_consumer: u32,
        /// The queue.
        queue: QueueId,
        /// How the home names it.
        consumer: ConsumerIndex,
    },
    /// basic.get.
    Get {
        /// The asking channel.
        channel: ChannelAddress,
        /// The queue.
        queue: QueueId,
        /// Settled when sent.
        no_ack: bool,
    },
    /// Drop all ready messages.
    Purge {
        /// The asking channel.
        channel: ChannelAddress,
        /// The queue.
        queue: QueueId,
    },
    /// The counts for declare-ok; renews the lease of the queue (EXP-3).
    Count {
        /// The asking channel.
        channel: ChannelAddress,
        /// The queue.
        queue: QueueId,
        /// Tells apart the commands of one channel that are under way.
        request: u32,
    },
    /// A channel is about to be closed: its consumers get no more.
    StopChannel {
        /// The channel.
        channel: ChannelAddress,
    },
    /// Remove a channel's consumers and requeue what it holds.
    CloseChannel {
        /// The channel.
        channel: ChannelAddress,
    },
    /// The connection's socket has taken this many octets of deliveries.
    GiveBack {
        /// The connection.
        connection: ConnectionAddress,
        /// Octets.
        bytes: u32,
    },
    /// The connection is gone and gives nothing back any more.
    ForgetConnection {
        /// The connection.
        connection: ConnectionAddress,
    },
    /// Deliveries that the channel's global limit allows a consumer.
    Grant {
        /// The queue.
        queue: QueueId,
        /// The consumer.
        consumer: ConsumerIndex,
        /// Its channel.
        channel: ChannelAddress,
        /// How many more.
        count: u32,
        /// What is not used stays with the consumer, the channel's only one.
        keep: bool,
    },
    /// A second consumer shares the channel's global limit: grants that are not used come back.
    Recall {
        /// The queue.
        queue: QueueId,
        /// The consumer.
        consumer: ConsumerIndex,
        /// Its channel.
        channel: ChannelAddress,
    },
    /// A consumer starts or ceases to need grants.
    SetGlobal {
        /// The asking channel.
        channel: ChannelAddress,
        /// The queue.
        queue: QueueId,
        /// The consumer.
        consumer: ConsumerIndex,
        /// Whether it needs grants from now on.
        on: bool,
    },
}

/// What a channel's shard must know of the message for a basic.get beside its content.
#[derive(Clone, Copy, Debug)]
pub struct Got {
    /// The asking channel.
    pub channel: ChannelAddress,
    /// The queue.
    pub queue: QueueId,
    /// By which name and number to settle it; none for no-ack.
    pub holder: Option<(ConsumerIndex, u64)>,
    /// Delivered before and come back.
    pub redelivered: bool,
    /// Ready messages left.
    pub remaining: u32,
}

/// From a queue's home to a channel's shard.
#[derive(Debug)]
pub enum Answer {
    /// Deliveries for a consumer.
    Delivered(Series<Departure>),
    /// The message for a basic.get.
    Got(Series<Got>),
    /// basic.get found no message.
    GotNothing {
        /// The asking channel.
        channel: ChannelAddress,
    },
    /// The consumer is registered.
    Consuming {
        /// Its channel.
        channel: ChannelAddress,
        /// The consumer.
        front_consumer: u32,
        /// How the home names it.
        consumer: ConsumerIndex,
    },
    /// The queue is in exclusive use, or has consumers (CON-5).
    ConsumeRefused {
        /// The asking channel.
        channel: ChannelAddress,
        /// The consumer that was not registered.
        front_consumer: u32,
    },
    /// The consumer is gone; no delivery follows.
    Cancelled {
        /// Its channel.
        channel: ChannelAddress,
        /// The consumer.
        front_consumer: u32,
    },
    /// Ready messages were dropped.
    Purged {
        /// The asking channel.
        channel: ChannelAddress,
        /// How many.
        count: u32,
    },
    /// The counts for declare-ok.
    Counted {
        /// The asking channel.
        channel: ChannelAddress,
        /// The request it answers.
        request: u32,
        /// Ready messages.
        messages: u32,
        /// Consumers.
        consumers: u32,
    },
    /// The queue of a get, purge or consume is no more.
    Gone {
        /// The asking channel.
        channel: ChannelAddress,
    },
    /// The queue of a count is no more.
    CountGone {
        /// The asking channel.
        channel: ChannelAddress,
        /// The request it answers.
        request: u32,
        /// The queue.
        queue: QueueId,
    },
    /// The channel holds nothing at this home any more.
    ChannelClosed {
        /// The channel.
        channel: ChannelAddress,
    },
    /// The home has taken responsibility for the publishes `first..=last`, as far as it owed
    /// an answer for them.
    Accepted {
        /// The publishing channel.
        channel: ChannelAddress,
        /// First number.
        first: u64,
        /// Last number.
        last: u64,
    },
    /// The queue of a consumer was deleted.
    ConsumerCancelled {
        /// Its channel.
        channel: ChannelAddress,
        /// The consumer.
        front_consumer: u32,
    },
    /// A consumer under a global limit could be given messages.
    Wants {
        /// Its channel.
        channel: ChannelAddress,
        /// The consumer.
        front_consumer: u32,
    },
    /// Grants that the consumer had no use for.
    GrantsReturned {
        /// Its channel.
        channel: ChannelAddress,
        /// How many.
        count: u32,
    },
    /// SetGlobal has taken effect.
    GlobalSet {
        /// The asking channel.
        channel: ChannelAddress,
    },
}
