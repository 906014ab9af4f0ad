//! What shards say to one another.

use bytes::Bytes;
use haremq_broker::ids::{ChannelAddress, ConnectionAddress, QueueId};
use haremq_broker::queue::{ConsumerIndex, Outcome};

/// One entry of a batch.
#[derive(Debug)]
pub enum Parcel {
    /// From a channel's shard to a queue's home.
    Request(Request),
    /// From a queue's home to a channel's shard.
    Answer(Answer),
}

/// Where a content's parts lie in the byte area: exchange, routing key, properties, body, one
/// after the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Lengths {
    /// Octets of the exchange name.
    pub exchange: u8,
    /// Octets of the routing key.
    pub routing_key: u8,
    /// Octets of the properties.
    pub properties: u32,
    /// Octets of the body; 0 in the byte area when the body travels as a buffer of its own.
    pub body: u32,
}

/// A message on its way to the queues of one home shard. The byte area holds the ids of
/// `more_queues`, 8 octets each, and then the content.
#[derive(Debug)]
pub struct Publish {
    /// The publishing channel.
    pub channel: ChannelAddress,
    /// Its number in that channel's confirms or transaction; 0 if no acceptance is wanted.
    pub sequence: u64,
    /// The first queue.
    pub queue: QueueId,
    /// How many other queues there are.
    pub more_queues: u32,
    /// The property `expiration`, in milliseconds.
    pub expiration_ms: Option<u64>,
    /// Whether delivery-mode is 2.
    pub is_persistent: bool,
    /// The content's parts.
    pub lengths: Lengths,
    /// A body above [`crate::limits::BODY_COPY_BYTES_MAX`].
    pub large_body: Option<Box<Bytes>>,
}

/// From a channel's shard to a queue's home.
#[derive(Debug)]
pub enum Request {
    /// Put a message into queues.
    Publish(Publish),
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

/// A message on its way to a consumer or to basic.get; the byte area holds the content.
#[derive(Debug)]
pub struct Delivery {
    /// The content's parts.
    pub lengths: Lengths,
    /// A body above [`crate::limits::BODY_COPY_BYTES_MAX`].
    pub large_body: Option<Box<Bytes>>,
    /// Delivered before and come back.
    pub redelivered: bool,
    /// The consumer's number for this delivery, by which it is settled.
    pub ordinal: u64,
}

/// From a queue's home to a channel's shard.
#[derive(Debug)]
pub enum Answer {
    /// A delivery for a consumer.
    Delivered {
        /// Its channel.
        channel: ChannelAddress,
        /// The consumer.
        front_consumer: u32,
        /// What.
        delivery: Delivery,
    },
    /// The message for a basic.get.
    Got {
        /// The asking channel.
        channel: ChannelAddress,
        /// The queue.
        queue: QueueId,
        /// By which name to settle it; none for no-ack.
        consumer: Option<ConsumerIndex>,
        /// Ready messages left.
        remaining: u32,
        /// What.
        delivery: Delivery,
    },
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
