//! What one message costs in the queue machine, the store under it, and the timing wheel.

#[path = "set_up/queue.rs"]
mod set_up;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

use haremq_broker::ids::{QueueId, Time};
use haremq_broker::queue::Command;
use haremq_shard::wheel::Wheel;

use set_up::{BATCH, CHANNEL, Home};

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
                home.apply(Command::Purge { channel: CHANNEL });
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
