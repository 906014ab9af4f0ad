//! What one message costs in the queue machine, the store under it, and the timing wheel.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

use haremq_broker::ids::{ChannelAddress, QueueId, ShardId, Time};
use haremq_broker::queue::{
    Command, Consume, ConsumerIndex, Context, Effect, Outcome, Queue, Settings, WindowId, Windows,
    delivery_bytes,
};
use haremq_broker::store::{Content, MessageStore};
use haremq_shard::wheel::Wheel;

/// Messages per round, as in a busy tick.
const BATCH: u32 = 256;

const CHANNEL: ChannelAddress = ChannelAddress { shard: ShardId(0), slot: 1, generation: 1 };

const CONTENT: Content<'static> = Content {
    exchange: b"",
    routing_key: b"task-queue",
    properties: &[0x10, 0, 2],
    body: b"sixteen bytes ..",
};

/// A queue with one consumer, and what stands around it.
struct Home {
    queue: Queue,
    store: MessageStore,
    windows: Windows,
    window: WindowId,
    effects: Vec<Effect>,
    next_ordinal: u64,
}

impl Home {
    fn new(message_ttl_ms: Option<u64>, consumes: bool, no_ack: bool) -> Home {
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

    fn apply(&mut self, command: Command) {
        let (store, windows) = (&mut self.store, &mut self.windows);
        let mut context = Context { store, windows, effects: &mut self.effects };
        self.queue.apply(Time(0), command, &mut context);
    }

    fn publish_batch(&mut self) {
        for _ in 0..BATCH {
            let message = self.store.insert(&CONTENT, 1);
            self.apply(Command::Enqueue { message, expiration_ms: None });
        }
    }

    /// Does what the effects ask for, as far as the home is concerned.
    fn deliver_batch(&mut self) {
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

    fn settle_batch(&mut self) {
        let first = self.next_ordinal;
        self.next_ordinal += u64::from(BATCH);
        let (channel, consumer) = (CHANNEL, ConsumerIndex(0));
        let (last, outcome) = (self.next_ordinal - 1, Outcome::Acked);
        self.apply(Command::Settle { channel, consumer, first, last, outcome });
    }
}

fn queue(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("queue");
    group.throughput(Throughput::Elements(u64::from(BATCH)));
    for (name, ttl) in [("settle", None), ("settle_with_ttl", Some(60_000))] {
        let mut home = Home::new(ttl, true, false);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                home.publish_batch();
                home.deliver_batch();
                home.settle_batch();
            });
        });
    }
    let mut home = Home::new(None, true, true);
    group.bench_function("no_ack", |bencher| {
        bencher.iter(|| {
            home.publish_batch();
            home.deliver_batch();
        });
    });
    let mut home = Home::new(None, true, true);
    (0..4_000).for_each(|_| home.publish_batch());
    group.bench_function("no_ack_behind_a_million", |bencher| {
        bencher.iter(|| {
            home.publish_batch();
            home.deliver_batch();
        });
    });
    group.finish();
}

fn purge(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("purge");
    let mut home = Home::new(None, false, false);
    group.sample_size(10);
    group.bench_function("a_million", |bencher| {
        bencher.iter_custom(|rounds| {
            let mut spent = std::time::Duration::ZERO;
            for _ in 0..rounds {
                (0..4_000).for_each(|_| home.publish_batch());
                let start = std::time::Instant::now();
                home.apply(Command::Purge);
                spent += start.elapsed();
                while home.store.empty_trash(4_096) {}
            }
            spent
        });
    });
    group.finish();
}

fn wheel(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("wheel");
    group.throughput(Throughput::Elements(u64::from(BATCH)));
    let mut wheel = Wheel::new(Time(0));
    let mut now = 0;
    group.bench_function("arm_and_fire", |bencher| {
        bencher.iter(|| {
            for key in 0..u64::from(BATCH) {
                wheel.arm(Time(now + 1 + key * 37 % 5_000), QueueId(key));
            }
            now += 5;
            while let Some(key) = wheel.poll_expired(Time(now)) {
                black_box(key);
            }
        });
    });
    let mut wheel = Wheel::new(Time(0));
    for key in 0..1_000_000 {
        wheel.arm(Time(1_000_000 + key * 13), QueueId(key));
    }
    group.bench_function("next_deadline_of_a_million", |bencher| {
        bencher.iter(|| black_box(wheel.next_deadline()));
    });
    group.finish();
}

criterion_group!(benches, queue, purge, wheel);
criterion_main!(benches);
