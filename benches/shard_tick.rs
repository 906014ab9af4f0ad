//! What a message costs in a shard: a tick that takes in one read with 256 publishes of 16 bytes,
//! routes them, queues them, delivers and confirms them. Encoding and parsing of clients are not
//! counted.

#[path = "../tests/load_support/stepped.rs"]
#[allow(dead_code, reason = "the tests read what clients get")]
mod stepped;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use haremq_protocol::ack::write_ack;
use haremq_protocol::publish::write_publish;

use stepped::{CHANNEL, World};

/// Messages in one read.
const WINDOW: u64 = 256;
const BODY: &[u8] = b"sixteen bytes ..";
const FRAME_BYTES_MAX: u32 = 131_072;

/// A publisher and a consumer with all they will send, encoded beforehand.
struct Flow {
    world: World,
    publisher: usize,
    consumer: usize,
    publishes: Vec<u8>,
    /// One ack for all that was delivered so far; none if the consumer needs none.
    acks: bool,
    ack: Vec<u8>,
    delivered: u64,
}

impl Flow {
    /// The queue lives on shard 0, its clients on the last one.
    fn new(shards: u16, acks: bool) -> Flow {
        let mut world = World::new(shards);
        let away = usize::from(shards) - 1;
        let (publisher, consumer) = (world.connect(away), world.connect(away));
        let queue = world.queue_on(publisher, 0);
        if acks {
            world.select_confirms(publisher);
        }
        world.consume(consumer, &queue, !acks);
        let mut publishes = Vec::new();
        for _ in 0..WINDOW {
            let key = queue.as_bytes();
            let frame_max = FRAME_BYTES_MAX;
            write_publish(&mut publishes, CHANNEL, frame_max, b"", key, false, &[0, 0], BODY);
        }
        Flow { world, publisher, consumer, publishes, acks, ack: Vec::new(), delivered: 0 }
    }

    /// Everything that one read sets off, until all shards are quiet.
    fn round(&mut self) {
        let world = &mut self.world;
        world.receive(self.publisher, &self.publishes);
        loop {
            (0..world.shards.len()).for_each(|shard| world.tick(shard));
            let sent = world.send(self.publisher) + world.send(self.consumer);
            if sent == 0 && !world.has_work() {
                break;
            }
        }
        self.delivered += WINDOW;
        if self.acks {
            self.ack.clear();
            write_ack(&mut self.ack, CHANNEL, self.delivered, true);
            world.receive(self.consumer, &self.ack);
        }
    }

    fn check(&self) {
        let delivered: u64 = self.world.shards.iter().map(|it| it.counters().delivered).sum();
        assert_eq!(delivered, self.delivered, "every message was delivered");
    }
}

fn bench_ticks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("shard tick of 256");
    group.throughput(Throughput::Elements(WINDOW));
    for (name, shards, acks) in [
        ("auto-ack", 1, false),
        ("acks and confirms", 1, true),
        ("auto-ack, across two shards", 2, false),
        ("acks and confirms, across two shards", 2, true),
    ] {
        let mut flow = Flow::new(shards, acks);
        group.bench_function(name, |bencher| bencher.iter(|| flow.round()));
        flow.check();
    }
    group.finish();
}

criterion_group!(benches, bench_ticks);
criterion_main!(benches);
