//! What a message costs in a shard: a tick that takes in one read with 256 publishes of 16 bytes,
//! routes them, queues them, delivers and confirms them. Encoding and parsing of clients are not
//! counted.

#[path = "set_up/flow.rs"]
mod set_up;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

use set_up::Flow;

/// Messages in one read.
const WINDOW: u64 = 256;
const BODY_BYTES: usize = 16;

fn bench_ticks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("shard tick of 256");
    group.throughput(Throughput::Elements(WINDOW));
    for (name, shards, acks) in [
        ("auto-ack", 1, false),
        ("acks and confirms", 1, true),
        ("auto-ack, across two shards", 2, false),
        ("acks and confirms, across two shards", 2, true),
    ] {
        let mut flow = Flow::new(shards, acks, WINDOW, BODY_BYTES);
        group.bench_function(name, |bencher| bencher.iter(|| flow.round()));
        flow.check();
    }
    group.finish();
}

criterion_group!(benches, bench_ticks);
criterion_main!(benches);
