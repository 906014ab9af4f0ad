//! What one publish or delivery costs in the bookkeeping of its channel.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

use haremq_broker::channel::{DeliveryTags, Unconfirmed};

/// Publishes or deliveries per round, as in a busy tick.
const BATCH: u64 = 256;

fn unconfirmed(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("unconfirmed");
    group.throughput(Throughput::Elements(BATCH));
    let mut channel = Unconfirmed::new();
    group.bench_function("in_order", |bencher| {
        bencher.iter(|| {
            let first = channel.open(1);
            for _ in 1..BATCH {
                channel.open(1);
            }
            channel.accept(first, first + BATCH - 1);
            channel.poll_confirms(|confirm| {
                black_box(confirm);
            });
        });
    });
    let mut channel = Unconfirmed::new();
    channel.open(1);
    group.bench_function("behind_a_slow_queue", |bencher| {
        bencher.iter(|| {
            let first = channel.open(1);
            for _ in 1..BATCH {
                channel.open(1);
            }
            channel.accept(first, first + BATCH - 1);
            channel.poll_confirms(|confirm| {
                black_box(confirm);
            });
        });
    });
    group.finish();
}

fn delivery_tags(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("delivery_tags");
    group.throughput(Throughput::Elements(BATCH));
    let (mut tags, mut runs, mut ordinal) = (DeliveryTags::new(), Vec::new(), 0);
    group.bench_function("ack_multiple", |bencher| {
        bencher.iter(|| {
            let mut last = 0;
            for _ in 0..BATCH {
                last = tags.push(0, ordinal);
                ordinal += 1;
            }
            runs.clear();
            tags.settle(last, true, &mut u32::MAX.clone(), &mut runs)
                .expect("the tag is outstanding");
            black_box(&runs);
        });
    });
    group.bench_function("ack_singly", |bencher| {
        bencher.iter(|| {
            let mut last = 0;
            for _ in 0..BATCH {
                last = tags.push(0, ordinal);
                ordinal += 1;
            }
            for tag in last - BATCH + 1..=last {
                runs.clear();
                tags.settle(tag, false, &mut u32::MAX.clone(), &mut runs)
                    .expect("the tag is outstanding");
                black_box(&runs);
            }
        });
    });
    group.finish();
}

criterion_group!(benches, unconfirmed, delivery_tags);
criterion_main!(benches);
