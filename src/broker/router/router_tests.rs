use haremq_protocol::types::{AMQPValue, FieldTable};
use proptest::prelude::*;

use super::*;
use crate::catalog::command::{DeclareExchange, DeclareQueue, ExchangeBinding, QueueBinding};
use crate::catalog::{
    BindingDestination, BindingRecord, Command, DEFAULT_VHOST, Delta, Origin, Plan, UserId,
};
use crate::exchange::{headers_tests, topic_tests};
use crate::ids::{ConnectionAddress, ExchangeId, SlotId};

const SHARDS: u16 = 3;

fn origin() -> Origin {
    let connection = ConnectionAddress { shard: ShardId(0), slot: 0, generation: 0 };
    Origin { vhost: DEFAULT_VHOST, user: UserId(0), connection }
}

fn apply(catalog: &mut Catalog, command: Command) {
    match catalog.plan(&command).expect("the command is in order") {
        Plan::Change(delta) => catalog.apply(&delta),
        Plan::Retire { queue, .. } => catalog.apply(&Delta::QueueDeleted { id: queue }),
        Plan::Exists(_) | Plan::Nothing => {}
    }
}

fn declare_exchange(catalog: &mut Catalog, exchange: &str, kind: &str) {
    apply(
        catalog,
        Command::DeclareExchange(DeclareExchange {
            origin: origin(),
            exchange: exchange.into(),
            kind: kind.into(),
            durable: false,
            auto_delete: false,
            internal: false,
            arguments: FieldTable::default(),
        }),
    );
}

fn declare_queue(catalog: &mut Catalog, queue: &str) -> QueueId {
    apply(
        catalog,
        Command::DeclareQueue(DeclareQueue {
            origin: origin(),
            queue: queue.into(),
            server_named: false,
            durable: false,
            exclusive: false,
            auto_delete: false,
            arguments: FieldTable::default(),
            home_slot_hint: SlotId(0),
        }),
    );
    QueueId(catalog.index())
}

fn binding(queue: &str, exchange: &str, key: &str) -> QueueBinding {
    QueueBinding {
        origin: origin(),
        queue: queue.into(),
        exchange: exchange.into(),
        routing_key: key.into(),
        arguments: FieldTable::default(),
    }
}

fn bind(catalog: &mut Catalog, queue: &str, exchange: &str, key: &str) {
    apply(catalog, Command::BindQueue(binding(queue, exchange, key)));
}

fn bind_exchange(catalog: &mut Catalog, destination: &str, source: &str, key: &str) {
    let wish = ExchangeBinding {
        origin: origin(),
        destination: destination.into(),
        source: source.into(),
        routing_key: key.into(),
        arguments: FieldTable::default(),
    };
    apply(catalog, Command::BindExchange(wish));
}

/// Ids of the queues, in rising order.
fn route(router: &mut Router, catalog: &Catalog, exchange: &str, key: &str) -> Vec<QueueId> {
    let exchange = catalog.exchange(DEFAULT_VHOST, exchange.as_bytes()).expect("declared");
    let found = router.route(catalog, exchange, key.as_bytes(), None);
    let mut queues: Vec<QueueId> = found.queues.iter().map(|found| found.queue).collect();
    queues.sort_unstable();
    queues
}

/// What the rules say, at any cost.
fn route_naively(
    catalog: &Catalog,
    exchange: &Exchange,
    key: &str,
    headers: &headers_tests::Entries,
) -> Vec<Destination> {
    let mut seen = vec![exchange.id()];
    let mut found = Vec::new();
    let mut next = 0;
    while let Some(id) = seen.get(next).copied() {
        next += 1;
        for record in catalog.routes_of(id).filter(|b| is_match(catalog, id, b, key, headers)) {
            match record.destination {
                BindingDestination::Exchange(id) if !seen.contains(&id) => seen.push(id),
                BindingDestination::Exchange(_) => {}
                BindingDestination::Queue(id) => {
                    let queue = catalog.queue_by_id(id).expect("bindings end at what is there");
                    let shard = queue.slot.shard(SHARDS);
                    found.push(Destination { shard, queue: id });
                }
            }
        }
    }
    if exchange.is_default() {
        let queue = catalog.queues().find(|queue| &*queue.name == key);
        found.extend(
            queue.map(|queue| Destination { shard: queue.slot.shard(SHARDS), queue: queue.id }),
        );
    }
    found.sort_unstable();
    found.dedup();
    found
}

fn is_match(
    catalog: &Catalog,
    source: ExchangeId,
    record: &BindingRecord,
    key: &str,
    headers: &headers_tests::Entries,
) -> bool {
    match catalog.exchange_by_id(source).expect("the source is there").kind() {
        ExchangeKind::Direct => &*record.routing_key == key,
        ExchangeKind::Fanout => true,
        ExchangeKind::Topic => topic_tests::matches_naively(&record.routing_key, key),
        ExchangeKind::Headers => headers_tests::matches_naively(&record.arguments, headers),
    }
}

#[test]
fn default_exchange_finds_the_queue_by_name() {
    let mut catalog = Catalog::new(1);
    let mut router = Router::new(1, SHARDS);
    assert!(route(&mut router, &catalog, "", "q").is_empty());
    let q = declare_queue(&mut catalog, "q");
    assert_eq!(route(&mut router, &catalog, "", "q"), [q]);
    catalog.apply(&Delta::QueueDeleted { id: q });
    assert!(route(&mut router, &catalog, "", "q").is_empty());
    let q = declare_queue(&mut catalog, "q");
    assert_eq!(route(&mut router, &catalog, "", "q"), [q]);
}

#[test]
fn each_queue_gets_a_message_once() {
    let mut catalog = Catalog::new(1);
    let q = declare_queue(&mut catalog, "q");
    for exchange in ["a", "b"] {
        declare_exchange(&mut catalog, exchange, "topic");
        for key in ["#", "k", "*", "#.#"] {
            bind(&mut catalog, "q", exchange, key);
        }
    }
    bind_exchange(&mut catalog, "b", "a", "#");
    bind_exchange(&mut catalog, "a", "b", "#");
    bind_exchange(&mut catalog, "a", "a", "k");
    let mut router = Router::new(1, SHARDS);
    assert_eq!(route(&mut router, &catalog, "a", "k"), [q]);
    assert_eq!(route(&mut router, &catalog, "b", "k"), [q]);
}

#[test]
fn destinations_come_shard_by_shard() {
    let mut catalog = Catalog::new(1);
    for n in 0..50 {
        let name = format!("q{n}");
        declare_queue(&mut catalog, &name);
        bind(&mut catalog, &name, "amq.fanout", "");
    }
    let mut router = Router::new(1, SHARDS);
    let exchange = catalog.exchange(DEFAULT_VHOST, b"amq.fanout").expect("EXC-1");
    let found = router.route(&catalog, exchange, b"", None);
    assert!(found.queues.is_sorted());
    let shards: Vec<ShardId> = found.by_shard().map(|(shard, _)| shard).collect();
    assert_eq!(shards, [ShardId(0), ShardId(1), ShardId(2)]);
    let count: usize = found.by_shard().map(|(_, queues)| queues.len()).sum();
    assert_eq!(count, 50);
}

#[test]
fn remembered_routes_follow_the_bindings() {
    let mut catalog = Catalog::new(1);
    let mut router = Router::new(1, SHARDS);
    let q = declare_queue(&mut catalog, "q");
    let p = declare_queue(&mut catalog, "p");
    declare_exchange(&mut catalog, "x", "direct");
    declare_exchange(&mut catalog, "y", "fanout");
    let mut check = |catalog: &Catalog, expected: &[QueueId]| {
        for _ in 0..4 {
            assert_eq!(route(&mut router, catalog, "x", "k"), expected);
        }
    };
    check(&catalog, &[]);
    bind(&mut catalog, "q", "x", "k");
    check(&catalog, &[q]);
    bind_exchange(&mut catalog, "y", "x", "k");
    check(&catalog, &[q]);
    bind(&mut catalog, "p", "y", "");
    check(&catalog, &[q, p]);
    catalog.apply(&Delta::QueueDeleted { id: q });
    check(&catalog, &[p]);
    apply(&mut catalog, Command::UnbindQueue(binding("p", "y", "")));
    check(&catalog, &[]);
}

#[test]
fn bindings_elsewhere_leave_remembered_routes_alone() {
    let mut catalog = Catalog::new(1);
    let mut router = Router::new(1, SHARDS);
    declare_queue(&mut catalog, "q");
    bind(&mut catalog, "q", "amq.direct", "k");
    let is_remembered = |router: &mut Router, catalog: &Catalog| {
        let exchange = catalog.exchange(DEFAULT_VHOST, b"amq.direct").expect("EXC-1");
        let epoch = exchange.epoch(catalog.topology_epoch());
        matches!(router.cache.find(exchange.id(), b"k", epoch), Lookup::Hit(_))
    };
    for _ in 0..2 {
        route(&mut router, &catalog, "amq.direct", "k");
    }
    assert!(is_remembered(&mut router, &catalog));
    bind(&mut catalog, "q", "amq.topic", "k");
    assert!(is_remembered(&mut router, &catalog));
    bind(&mut catalog, "q", "amq.direct", "other");
    assert!(!is_remembered(&mut router, &catalog));
}

#[test]
fn a_fanout_is_remembered_whatever_the_keys() {
    let mut catalog = Catalog::new(1);
    for n in 0..10 {
        let name = format!("q{n}");
        declare_queue(&mut catalog, &name);
        bind(&mut catalog, &name, "amq.fanout", &name);
    }
    let mut router = Router::new(1, SHARDS);
    for key in ["a", "b"] {
        route(&mut router, &catalog, "amq.fanout", key);
    }
    let searches = router.generation;
    for key in ["c", "d", "e"] {
        assert_eq!(route(&mut router, &catalog, "amq.fanout", key).len(), 10);
    }
    assert_eq!(router.generation, searches);
}

#[test]
fn routes_over_headers_are_never_remembered() {
    let mut catalog = Catalog::new(1);
    let q = declare_queue(&mut catalog, "q");
    let mut arguments = FieldTable::default();
    arguments.insert("h".into(), AMQPValue::LongInt(1));
    let wish = QueueBinding { arguments, ..binding("q", "amq.headers", "") };
    apply(&mut catalog, Command::BindQueue(wish));
    bind_exchange(&mut catalog, "amq.headers", "amq.direct", "k");
    let mut router = Router::new(1, SHARDS);
    let exchange = catalog.exchange(DEFAULT_VHOST, b"amq.direct").expect("EXC-1");
    let content = headers_tests::encode(&vec![("h", AMQPValue::LongLongInt(1))]);
    for _ in 0..4 {
        assert!(router.route(&catalog, exchange, b"k", None).is_empty());
        let found = router.route(&catalog, exchange, b"k", Some(&content));
        assert_eq!(found.queues.iter().map(|found| found.queue).collect::<Vec<_>>(), [q]);
    }
}

/// Bytes that the router holds.
fn bytes_held(router: &Router) -> usize {
    let own = router.destinations.capacity() + router.found.queues.capacity();
    own + router.found.exchanges.capacity() + router.visited.capacity() + router.cache.bytes_held()
}

#[test]
fn keys_that_never_come_again_cost_no_memory() {
    let mut catalog = Catalog::new(1);
    declare_queue(&mut catalog, "q");
    bind(&mut catalog, "q", "amq.topic", "a.#");
    let mut router = Router::new(1, SHARDS);
    for _ in 0..3 {
        route(&mut router, &catalog, "amq.topic", "a.hot");
    }
    let before = bytes_held(&router);
    for n in 0..100_000 {
        route(&mut router, &catalog, "amq.topic", &format!("a.{n}"));
    }
    assert_eq!(bytes_held(&router), before);
    let exchange = catalog.exchange(DEFAULT_VHOST, b"amq.topic").expect("EXC-1");
    let epoch = exchange.epoch(catalog.topology_epoch());
    let hot = router.cache.find(exchange.id(), b"a.hot", epoch);
    assert!(matches!(hot, Lookup::Hit(_)), "nothing pushed the hot key out");
}

#[test]
fn keys_that_take_turns_are_all_remembered() {
    let mut catalog = Catalog::new(1);
    declare_queue(&mut catalog, "q");
    bind(&mut catalog, "q", "amq.topic", "#");
    let mut router = Router::new(1, SHARDS);
    let keys: Vec<String> = (0..1_000).map(|n| format!("key.{n}")).collect();
    for _ in 0..3 {
        for key in &keys {
            route(&mut router, &catalog, "amq.topic", key);
        }
    }
    let exchange = catalog.exchange(DEFAULT_VHOST, b"amq.topic").expect("EXC-1");
    let epoch = exchange.epoch(catalog.topology_epoch());
    let is_hit = |router: &mut Router, key: &str| {
        matches!(router.cache.find(exchange.id(), key.as_bytes(), epoch), Lookup::Hit(_))
    };
    let hits = keys.iter().filter(|key| is_hit(&mut router, key)).count();
    assert!(hits > 950, "{hits} of 1,000");
}

#[test]
fn long_lists_are_found_but_not_remembered() {
    let mut catalog = Catalog::new(1);
    let mut queues = Vec::new();
    for n in 0..1_000 {
        let name = format!("q{n}");
        queues.push(declare_queue(&mut catalog, &name));
        bind(&mut catalog, &name, "amq.fanout", "");
    }
    let mut router = Router::new(1, SHARDS);
    let empty = router.cache.bytes_held();
    for _ in 0..4 {
        assert_eq!(route(&mut router, &catalog, "amq.fanout", "k"), queues);
    }
    assert_eq!(router.cache.bytes_held(), empty);
}

/// H14
#[test]
fn deep_chains_and_circles_end() {
    let mut catalog = Catalog::new(1);
    let q = declare_queue(&mut catalog, "q");
    for n in 0..200 {
        declare_exchange(&mut catalog, &format!("x{n}"), "fanout");
    }
    for n in 0..200 {
        let (source, next) = (format!("x{n}"), format!("x{}", (n + 1) % 200));
        bind_exchange(&mut catalog, &next, &source, "");
    }
    bind(&mut catalog, "q", "x199", "");
    let mut router = Router::new(1, SHARDS);
    for _ in 0..3 {
        assert_eq!(route(&mut router, &catalog, "x0", ""), [q]);
    }
}

#[derive(Clone, Debug)]
struct Publish {
    exchange: usize,
    key: String,
    headers: headers_tests::Entries,
}

#[derive(Clone, Debug)]
enum Step {
    Bind(usize, usize, String, headers_tests::Entries),
    BindExchange(usize, usize, String, headers_tests::Entries),
    Unbind(usize),
    DeleteQueue(usize),
    Publish(Publish),
}

const KINDS: [&str; 8] =
    ["direct", "fanout", "topic", "topic", "headers", "direct", "topic", "fanout"];

fn step() -> impl Strategy<Value = Step> {
    let key = || {
        let word = prop::sample::select(vec!["a", "b", "*", "#"]);
        prop::collection::vec(word, 0..3).prop_map(|words| words.join("."))
    };
    let ends = || (0usize..KINDS.len(), 0usize..KINDS.len());
    let bind = (ends(), key(), headers_tests::pattern());
    let bind_exchange = (ends(), key(), headers_tests::pattern());
    let publish = (0..=KINDS.len(), key(), headers_tests::message());
    prop_oneof![
        4 => bind.prop_map(|((queue, x), key, pattern)| Step::Bind(queue, x, key, pattern)),
        2 => bind_exchange
            .prop_map(|((to, from), key, pattern)| Step::BindExchange(to, from, key, pattern)),
        1 => (0usize..64).prop_map(Step::Unbind),
        1 => (0usize..KINDS.len()).prop_map(Step::DeleteQueue),
        8 => publish
            .prop_map(|(exchange, key, headers)| Step::Publish(Publish { exchange, key, headers })),
    ]
}

fn table(entries: &headers_tests::Entries) -> FieldTable {
    let mut table = FieldTable::default();
    for (key, value) in entries {
        table.insert((*key).into(), value.clone());
    }
    table
}

/// Runs the steps with one router, so that its cache sees every change.
fn check(steps: &[Step]) -> Result<(), TestCaseError> {
    let mut catalog = Catalog::new(3);
    let mut router = Router::new(3, SHARDS);
    for (kind, n) in KINDS.iter().zip(0..) {
        declare_exchange(&mut catalog, &format!("x{n}"), kind);
    }
    for step in steps {
        match step {
            Step::Bind(queue, exchange, key, pattern) => {
                declare_queue(&mut catalog, &format!("q{queue}"));
                let (queue, exchange) = (format!("q{queue}"), format!("x{exchange}"));
                let arguments = table(pattern);
                let wish = QueueBinding { arguments, ..binding(&queue, &exchange, key) };
                apply(&mut catalog, Command::BindQueue(wish));
            }
            Step::BindExchange(destination, source, key, pattern) => {
                let wish = ExchangeBinding {
                    origin: origin(),
                    destination: format!("x{destination}"),
                    source: format!("x{source}"),
                    routing_key: key.clone(),
                    arguments: table(pattern),
                };
                apply(&mut catalog, Command::BindExchange(wish));
            }
            Step::Unbind(n) => {
                let record = nth_binding(&catalog, *n).cloned();
                if let Some(record) = record {
                    catalog.apply(&Delta::Unbound(record.into()));
                }
            }
            Step::DeleteQueue(n) => {
                let queue = catalog.queue(DEFAULT_VHOST, format!("q{n}").as_bytes());
                if let Some(id) = queue.map(|queue| queue.id) {
                    catalog.apply(&Delta::QueueDeleted { id });
                }
            }
            Step::Publish(publish) => check_publish(&catalog, &mut router, publish)?,
        }
    }
    Ok(())
}

fn nth_binding(catalog: &Catalog, n: usize) -> Option<&BindingRecord> {
    catalog.exchanges().flat_map(|exchange| catalog.routes_of(exchange.id())).nth(n)
}

fn check_publish(
    catalog: &Catalog,
    router: &mut Router,
    publish: &Publish,
) -> Result<(), TestCaseError> {
    let Publish { exchange, key, headers } = publish;
    let is_default = *exchange == KINDS.len();
    let name = if is_default { String::new() } else { format!("x{exchange}") };
    let exchange = catalog.exchange(DEFAULT_VHOST, name.as_bytes()).expect("declared");
    let expected = route_naively(catalog, exchange, key, headers);
    let content = headers_tests::encode(headers);
    for _ in 0..3 {
        let found = router.route(catalog, exchange, key.as_bytes(), Some(&content));
        prop_assert_eq!(found.queues, &expected[..], "{:?}", publish);
    }
    Ok(())
}

proptest! {
    #[test]
    fn router_finds_what_the_rules_say(steps in prop::collection::vec(step(), 1..100)) {
        check(&steps)?;
    }
}
