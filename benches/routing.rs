//! What it costs to find the queues of a message: by exchange type, with few and many bindings,
//! with a key that is remembered and with keys that never come again.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use haremq_broker::catalog::command::{DeclareQueue, QueueBinding};
use haremq_broker::catalog::{Catalog, Command, DEFAULT_VHOST, Delta, Origin, Plan, UserId};
use haremq_broker::exchange::Exchange;
use haremq_broker::ids::{ConnectionAddress, ShardId, SlotId};
use haremq_broker::router::Router;
use haremq_protocol::types::{AMQPValue, FieldTable};

const SEED: u64 = 1;
const SHARDS: u16 = 2;
const QUEUES: usize = 1_000;
const SIZES: [usize; 2] = [1_000, 100_000];
/// Far more than a router remembers, so that in turn none is known.
const COLD_KEYS: usize = 65_536;

fn origin() -> Origin {
    let connection = ConnectionAddress { shard: ShardId(0), slot: 0, generation: 0 };
    Origin { vhost: DEFAULT_VHOST, user: UserId(0), connection }
}

fn apply(catalog: &mut Catalog, command: &Command) {
    match catalog.plan(command).expect("the command is in order") {
        Plan::Change(delta) => catalog.apply(&delta),
        other => panic!("nothing changes: {other:?}"),
    }
}

fn declare_queue(catalog: &mut Catalog, queue: String) {
    let wish = DeclareQueue {
        origin: origin(),
        queue,
        server_named: false,
        durable: true,
        exclusive: false,
        auto_delete: false,
        arguments: FieldTable::default(),
        home_slot_hint: SlotId(0),
    };
    apply(catalog, &Command::DeclareQueue(wish));
}

fn binding(n: usize, exchange: &str, routing_key: String, arguments: FieldTable) -> Command {
    Command::BindQueue(QueueBinding {
        origin: origin(),
        queue: format!("queue.{}", n % QUEUES),
        exchange: exchange.into(),
        routing_key,
        arguments,
    })
}

fn catalog_with_queues() -> Catalog {
    let mut catalog = Catalog::new(SEED);
    for n in 0..QUEUES {
        declare_queue(&mut catalog, format!("queue.{n}"));
    }
    catalog
}

/// A catalog with `count` bindings of one exchange.
fn catalog_with(count: usize, exchange: &str, key_of: impl Fn(usize) -> String) -> Catalog {
    let mut catalog = catalog_with_queues();
    for n in 0..count {
        apply(&mut catalog, &binding(n, exchange, key_of(n), FieldTable::default()));
    }
    catalog
}

fn exchange<'a>(catalog: &'a Catalog, name: &str) -> &'a Exchange {
    catalog.exchange(DEFAULT_VHOST, name.as_bytes()).expect("the exchange is predeclared")
}

/// Patterns as they are in use: most name all words, some have wildcards.
fn topic_pattern(n: usize) -> String {
    match n % 4 {
        0 => format!("eu.{}.orders.{n}", n % 50),
        1 => format!("eu.*.orders.{n}"),
        2 => format!("eu.#.{n}"),
        _ => format!("#.{}.{n}.*", n % 50),
    }
}

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
        let key_of = |n: usize| format!("eu.{}.orders.{}", n % 50, n % size);
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
        let mut catalog = catalog_with_queues();
        for n in 0..size {
            let mut arguments = FieldTable::default();
            let tenant = i32::try_from(n).expect("sizes are small");
            arguments.insert("tenant".into(), AMQPValue::LongInt(tenant));
            arguments.insert("kind".into(), AMQPValue::LongString("order".into()));
            let key = String::new();
            apply(&mut catalog, &binding(n, "amq.headers", key, arguments));
        }
        let content = b"\x06tenantI\0\0\0\x28\x04kindS\0\0\0\x05other\x05traceS\0\0\0\x04abcd";
        let all = b"\x06tenantI\0\0\0\x28\x04kindS\0\0\0\x05order";
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
        bench("none", content);
        bench("one", all);
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
