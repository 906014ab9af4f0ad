//! What it costs to find the queues of a message: by exchange type, with few and many bindings,
//! with a key that is remembered and with keys that never come again.

#[path = "set_up/routing.rs"]
mod set_up;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use haremq_broker::catalog::{Catalog, Delta, Plan};
use haremq_broker::router::Router;
use haremq_protocol::types::FieldTable;

use set_up::{
    COLD_KEYS, HEADERS_OF_NONE, HEADERS_OF_ONE, QUEUES, SEED, SHARDS, binding, catalog_with,
    catalog_with_headers, catalog_with_queues, exchange, topic_key, topic_pattern,
};

const SIZES: [usize; 2] = [1_000, 100_000];

/// Routes the same key again and again, or each time another one.
fn bench_keys(
    criterion: &mut Criterion,
    group: &str,
    size: usize,
    catalog: &Catalog,
    name: &str,
    key_of: impl Fn(usize) -> String,
) {
    let mut group = criterion.benchmark_group(group);
    let exchange = exchange(catalog, name);
    let hot = key_of(40);
    let mut router = Router::new(SEED, SHARDS);
    group.bench_function(BenchmarkId::new("hit", size), |bencher| {
        bencher.iter(|| {
            black_box(router.route(catalog, exchange, black_box(hot.as_bytes()), None).queues.len())
        });
    });
    let keys: Vec<String> = (0..COLD_KEYS).map(key_of).collect();
    let mut router = Router::new(SEED, SHARDS);
    let mut turns = keys.iter().cycle();
    group.bench_function(BenchmarkId::new("miss", size), |bencher| {
        bencher.iter(|| {
            let key = turns.next().expect("a cycle never ends").as_bytes();
            black_box(router.route(catalog, exchange, black_box(key), None).queues.len())
        });
    });
    group.finish();
}

fn bench_default(criterion: &mut Criterion) {
    let catalog = catalog_with_queues();
    bench_keys(criterion, "default", 0, &catalog, "", |n| format!("queue.{}", n % QUEUES));
}

fn bench_direct(criterion: &mut Criterion) {
    for size in SIZES {
        let catalog = catalog_with(size, "amq.direct", |n| format!("key.{n}"));
        let key_of = |n: usize| format!("key.{}", n % size);
        bench_keys(criterion, "direct", size, &catalog, "amq.direct", key_of);
    }
}

fn bench_fanout(criterion: &mut Criterion) {
    for size in [10, QUEUES] {
        let catalog = catalog_with(size, "amq.fanout", |_| String::new());
        bench_keys(criterion, "fanout", size, &catalog, "amq.fanout", |n| format!("key.{n}"));
    }
}

fn bench_topic(criterion: &mut Criterion) {
    for size in SIZES {
        let catalog = catalog_with(size, "amq.topic", topic_pattern);
        let key_of = |n| topic_key(n, size);
        bench_keys(criterion, "topic", size, &catalog, "amq.topic", key_of);
    }
}

/// H13: keys and patterns that are made to cost much.
fn bench_hostile_topic(criterion: &mut Criterion) {
    let size = 100_000;
    let catalog = catalog_with(size, "amq.topic", |n| match n {
        0 => "#.#.#.#.a".into(),
        1 => "*.".repeat(127),
        n => format!("#.a.#.b.#.{n}"),
    });
    let key_of = |n: usize| format!("{}{n}", "a.b.".repeat(60));
    bench_keys(criterion, "hostile topic", size, &catalog, "amq.topic", key_of);
}

fn bench_headers(criterion: &mut Criterion) {
    for size in SIZES {
        let catalog = catalog_with_headers(size);
        let exchange = exchange(&catalog, "amq.headers");
        let mut router = Router::new(SEED, SHARDS);
        let mut group = criterion.benchmark_group("headers");
        let mut bench = |name: &str, content: &[u8]| {
            group.bench_function(BenchmarkId::new(name, size), |bencher| {
                bencher.iter(|| {
                    let headers = Some(black_box(content));
                    black_box(router.route(&catalog, exchange, b"", headers).queues.len())
                });
            });
        };
        bench("none", HEADERS_OF_NONE);
        bench("one", HEADERS_OF_ONE);
        group.finish();
    }
}

/// The writer's share of a bind: planning and applying, here together with the unbind.
fn bench_bind(criterion: &mut Criterion) {
    let mut catalog = catalog_with(100_000, "amq.topic", topic_pattern);
    let command = binding(7, "amq.topic", "a.new.*.pattern".into(), FieldTable::default());
    criterion.bench_function("bind and unbind", |bencher| {
        bencher.iter(|| {
            let Ok(Plan::Change(Delta::Bound(record))) = catalog.plan(&command) else {
                panic!("the binding is not there yet");
            };
            catalog.apply(&Delta::Bound(record.clone()));
            catalog.apply(&Delta::Unbound(record));
        });
    });
}

criterion_group!(
    benches,
    bench_default,
    bench_direct,
    bench_fanout,
    bench_topic,
    bench_hostile_topic,
    bench_headers,
    bench_bind
);
criterion_main!(benches);
