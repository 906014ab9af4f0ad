//! A channel as its connection's shard keeps it.

use std::collections::{BTreeMap, VecDeque};

use haremq_broker::channel::{DeliveryTags, GlobalPrefetch, Rest, Run, Unconfirmed};
use haremq_broker::ids::{ChannelAddress, ExchangeId, QueueId, ShardId};
use haremq_broker::octets::is_same;
use haremq_broker::queue::{ConsumerIndex, Outcome};
use haremq_broker::router::Destination;
use haremq_protocol::reply::ProtocolError;
use slab::Slab;

use super::ack_timeout::AckMarks;
use super::commands::PendingCommand;
use super::content::Partial;
use super::transactions::OpenTransaction;
use crate::event::ConnectionSlot;

/// Where a channel stands.
///
/// ```text
/// Open ─► Draining ─┬─(client's close, connection's end)─► (gone)
///                   └─(our close)─► CloseOk ─► (gone)
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum ChannelState {
    /// Methods are carried out.
    Open,
    /// Homes give up what the channel holds; frames are ignored.
    Draining {
        /// What is sent when all have answered.
        farewell: ChannelFarewell,
        /// Homes that have not answered.
        homes_left: u32,
    },
    /// `channel.close` was sent: frames are ignored until `close-ok` (ERR-5).
    CloseOk,
}

/// How a draining channel ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum ChannelFarewell {
    /// The client asked: `close-ok`.
    CloseOk,
    /// The client erred: `close` with this.
    Close(ProtocolError),
    /// The client erred, and asked before it was told: `close` with this, then `close-ok`.
    CloseThenCloseOk(ProtocolError),
    /// Its connection ends.
    Silence,
}

/// The request that a channel waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Waiting {
    /// None.
    Nothing,
    /// Catalog commands; further ones may overlap.
    Commands,
    /// `basic.get`.
    Get,
    /// `queue.purge`.
    Purge {
        /// No answer is wanted.
        nowait: bool,
    },
    /// `basic.consume`.
    Consume {
        /// No answer is wanted.
        nowait: bool,
        /// The consumer.
        front_consumer: u32,
    },
    /// `basic.cancel`.
    Cancel {
        /// No answer is wanted.
        nowait: bool,
    },
    /// `basic.qos` with global: homes that have not answered.
    Qos {
        /// How many.
        left: u32,
    },
    /// `tx.commit`.
    Commit,
    /// Its own settlement of many deliveries.
    Settlement,
}

/// A settlement of so many deliveries that it goes on in the next tick.
#[derive(Debug)]
pub(crate) enum Settling {
    /// `basic.ack` or `basic.nack` with multiple, `basic.recover`: the queues are told at the end,
    /// so that messages come back together.
    Tags {
        /// What is to be settled yet.
        rest: Rest,
        /// What is settled.
        runs: Vec<Run>,
        /// What becomes of them.
        outcome: Outcome,
        /// Whether `recover-ok` is to be sent.
        recovers: bool,
    },
    /// The same in a transaction: it is only noted.
    Notes {
        /// What is to be noted yet.
        rest: Rest,
        /// What is to become of them.
        outcome: Outcome,
    },
    /// `tx.commit`: the transaction has settlements left.
    Commit,
    /// `tx.rollback`: likewise.
    Rollback,
}

/// A consumer, or what holds a queue's `basic.get`s for the channel.
#[derive(Debug)]
pub(crate) struct Consumer {
    /// The consumer tag; empty for a getter.
    pub(crate) tag: Box<str>,
    pub(crate) kind: ConsumerKind,
    pub(crate) queue: QueueId,
    pub(crate) home: ShardId,
    /// How the home names it; known once it has answered.
    pub(crate) index: Option<ConsumerIndex>,
    /// Deliveries that are not settled.
    pub(crate) unsettled: u64,
}

/// What a [`Consumer`] is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ConsumerKind {
    /// Gets deliveries, or is about to.
    Active,
    /// Cancelled; kept until what it holds is settled.
    Cancelled,
    /// Holds what `basic.get` got.
    Getter,
}

/// Where the last message went: most channels publish again and again to one exchange, many to one
/// queue.
#[derive(Debug, Default)]
pub(crate) struct LastRoute {
    /// The catalog that the rest was learned from.
    epoch: u64,
    name: Vec<u8>,
    exchange: Option<ExchangeId>,
    routing_key: Vec<u8>,
    /// The one queue that gets what has this key, whatever else is in the message.
    destination: Option<Destination>,
}

impl LastRoute {
    /// The exchange of this name, if it is the last one.
    pub(crate) fn exchange(&self, name: &[u8], epoch: u64) -> Option<ExchangeId> {
        let is_last = self.epoch == epoch && is_same(&self.name, name);
        self.exchange.filter(|_| is_last)
    }

    /// The queue of a message that goes where the last one went, if that is known.
    pub(crate) fn destination(
        &self,
        name: &[u8],
        routing_key: &[u8],
        epoch: u64,
    ) -> Option<Destination> {
        let is_last = self.epoch == epoch
            && is_same(&self.routing_key, routing_key)
            && is_same(&self.name, name);
        self.destination.filter(|_| is_last)
    }

    /// A publish to another exchange, or with a newer catalog.
    pub(crate) fn set_exchange(&mut self, name: &[u8], exchange: ExchangeId, epoch: u64) {
        self.name.clear();
        self.name.extend_from_slice(name);
        self.exchange = Some(exchange);
        self.epoch = epoch;
        self.destination = None;
    }

    /// The only queue that this key leads to from the exchange.
    pub(crate) fn set_destination(&mut self, routing_key: &[u8], destination: Destination) {
        self.routing_key.clear();
        self.routing_key.extend_from_slice(routing_key);
        self.destination = Some(destination);
    }
}

/// A channel. Owned by its connection's shard; its slot is used again only when every home that
/// it touched has let go of it.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) number: u16,
    pub(crate) connection: ConnectionSlot,
    pub(crate) generation: u32,
    pub(crate) state: ChannelState,
    pub(crate) waiting: Waiting,
    /// What the last tick's budget did not suffice for.
    pub(crate) settling: Option<Settling>,
    /// Catalog commands under way, in order.
    pub(crate) commands: VecDeque<PendingCommand>,
    pub(crate) next_request: u32,
    /// Whether one of its catalog commands was refused by the writer.
    pub(crate) has_failed_command: bool,
    /// Why the channel fails once the commands before the refused one are answered.
    pub(crate) failure: Option<ProtocolError>,
    /// The most recently declared queue (CHN-8).
    pub(crate) last_queue: Option<Box<str>>,
    /// The queue of the request that is waited for.
    pub(crate) asked_queue: String,
    pub(crate) last_route: LastRoute,
    /// Per-consumer prefetch of consumers to come (QOS-2).
    pub(crate) prefetch: u16,
    pub(crate) global: GlobalPrefetch,
    pub(crate) tags: DeliveryTags,
    /// There is one if a queue of the channel has a timeout for acknowledgements.
    pub(crate) ack_marks: Option<Box<AckMarks>>,
    pub(crate) consumers: Slab<Consumer>,
    pub(crate) consumer_tags: BTreeMap<Box<str>, u32>,
    pub(crate) getters: BTreeMap<(QueueId, ConsumerIndex), u32>,
    pub(crate) unconfirmed: Option<Box<Unconfirmed>>,
    /// Whether it is in the tick's list of those with confirms to send.
    pub(crate) is_confirming: bool,
    pub(crate) transaction: Option<Box<OpenTransaction>>,
    /// A message whose frames have not all come.
    pub(crate) partial: Option<Box<Partial>>,
    /// The homes that know of this channel, one bit each.
    pub(crate) homes: u64,
}

impl Channel {
    pub(crate) fn new(number: u16, connection: ConnectionSlot, generation: u32) -> Channel {
        Channel {
            number,
            connection,
            generation,
            state: ChannelState::Open,
            waiting: Waiting::Nothing,
            settling: None,
            commands: VecDeque::new(),
            next_request: 0,
            has_failed_command: false,
            failure: None,
            last_queue: None,
            asked_queue: String::new(),
            last_route: LastRoute::default(),
            prefetch: 0,
            global: GlobalPrefetch::new(),
            tags: DeliveryTags::new(),
            ack_marks: None,
            consumers: Slab::new(),
            consumer_tags: BTreeMap::new(),
            getters: BTreeMap::new(),
            unconfirmed: None,
            is_confirming: false,
            transaction: None,
            partial: None,
            homes: 0,
        }
    }

    /// The channel's name for other shards.
    pub(crate) fn address(&self, shard: ShardId, slot: u32) -> ChannelAddress {
        ChannelAddress { shard, slot, generation: self.generation }
    }

    /// Whether methods are carried out.
    pub(crate) fn is_open(&self) -> bool {
        self.state == ChannelState::Open
    }

    /// Notes that a home knows of this channel.
    pub(crate) fn touch(&mut self, home: ShardId) {
        self.homes |= 1 << home.0;
    }

    /// Counts settled deliveries of a consumer and forgets it if it was kept only for them.
    pub(crate) fn count_settled(&mut self, consumer: u32, count: u64) {
        let key = consumer as usize;
        let entry = &mut self.consumers[key];
        assert!(entry.unsettled >= count, "a delivery is settled once");
        entry.unsettled -= count;
        if entry.unsettled > 0 || entry.kind == ConsumerKind::Active {
            return;
        }
        let entry = self.consumers.remove(key);
        if entry.kind == ConsumerKind::Getter {
            let index = entry.index.expect("a getter is made from the home's answer");
            self.getters.remove(&(entry.queue, index));
        }
    }

    /// The getter's number for a queue, made on first use.
    pub(crate) fn getter(&mut self, queue: QueueId, home: ShardId, index: ConsumerIndex) -> u32 {
        if let Some(&getter) = self.getters.get(&(queue, index)) {
            return getter;
        }
        let key = self.consumers.insert(Consumer {
            tag: "".into(),
            kind: ConsumerKind::Getter,
            queue,
            home,
            index: Some(index),
            unsettled: 0,
        });
        let getter = consumer_number(key);
        self.getters.insert((queue, index), getter);
        getter
    }
}

/// A slab key as the number that other shards see.
pub(crate) fn consumer_number(key: usize) -> u32 {
    u32::try_from(key).expect("fewer than 2^32 consumers fit in memory")
}
