//! A queue at its home, without a shard around it.

use std::collections::BTreeSet;
use std::hint::black_box;

use haremq_broker::ids::{ChannelAddress, QueueId, ShardId, Time};
use haremq_broker::queue::{
    Command, Consume, ConsumerIndex, Context, Effect, Outcome, Queue, Settings, WindowId, Windows,
    delivery_bytes,
};
use haremq_broker::store::{Content, MessageStore};
use haremq_shard::limits::BULK_PER_TICK;

/// Messages per round, as in a busy tick.
pub(crate) const BATCH: u32 = 256;

pub(crate) const CHANNEL: ChannelAddress =
    ChannelAddress { shard: ShardId(0), slot: 1, generation: 1 };

const CONTENT: Content<'static> = Content {
    exchange: b"",
    routing_key: b"task-queue",
    properties: &[0x10, 0, 2],
    body: b"sixteen bytes ..",
};

/// A queue with one consumer, and what stands around it.
pub(crate) struct Home {
    queue: Queue,
    pub(crate) store: MessageStore,
    windows: Windows,
    window: WindowId,
    effects: Vec<Effect>,
    leaving: BTreeSet<ChannelAddress>,
    next_ordinal: u64,
}

impl Home {
    pub(crate) fn new(message_ttl_ms: Option<u64>, consumes: bool, no_ack: bool) -> Home {
        let settings = Settings {
            id: QueueId(1),
            durable: false,
            exclusive: false,
            auto_delete: false,
            message_ttl_ms,
            expires_ms: None,
        };
        let mut windows = Windows::default();
        let window = windows.open();
        let mut home = Home {
            queue: Queue::new(settings),
            store: MessageStore::new(),
            windows,
            window,
            effects: Vec::new(),
            leaving: BTreeSet::new(),
            next_ordinal: 0,
        };
        if consumes {
            home.apply(Command::Consume(Consume {
                channel: CHANNEL,
                front_consumer: 0,
                no_ack,
                exclusive: false,
                prefetch: 0,
                global: false,
                window,
            }));
        }
        home
    }

    /// Applies a command to its end.
    pub(crate) fn apply(&mut self, command: Command) {
        self.apply_for_a_tick(command);
        while self.queue.is_unfinished() {
            self.apply_for_a_tick(Command::Continue);
        }
    }

    fn apply_for_a_tick(&mut self, command: Command) {
        let (store, windows, effects) = (&mut self.store, &mut self.windows, &mut self.effects);
        let mut bulk_left = BULK_PER_TICK;
        let leaving = &self.leaving;
        let mut context = Context { store, windows, bulk_left: &mut bulk_left, effects, leaving };
        self.queue.apply(Time(0), command, &mut context);
    }

    pub(crate) fn publish_batch(&mut self) {
        for _ in 0..BATCH {
            let message = self.store.insert(&CONTENT, 1);
            self.apply(Command::Enqueue { message, expiration_ms: None });
        }
    }

    /// Does what the effects ask for, as far as the home is concerned.
    pub(crate) fn deliver_batch(&mut self) {
        self.apply(Command::Dispatch { budget: BATCH });
        let mut bytes = 0;
        for effect in self.effects.drain(..) {
            match effect {
                Effect::Deliver(delivery) => {
                    let content = black_box(self.store.content(delivery.message));
                    bytes += delivery_bytes(&content);
                }
                Effect::Release { message } => self.store.release(message),
                _ => {}
            }
        }
        self.windows.give_back(self.window, bytes, &mut Vec::new());
    }

    pub(crate) fn settle_batch(&mut self) {
        let first = self.next_ordinal;
        self.next_ordinal += u64::from(BATCH);
        let (channel, consumer) = (CHANNEL, ConsumerIndex(0));
        let (last, outcome) = (self.next_ordinal - 1, Outcome::Acked);
        self.apply(Command::Settle { channel, consumer, first, last, outcome });
    }
}
