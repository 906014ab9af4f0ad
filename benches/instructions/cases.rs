//! What is counted.

use std::hint::black_box;

use haremq_broker::catalog::Catalog;
use haremq_broker::router::Router;
use haremq_protocol::deliver::write_deliver;
use haremq_protocol::properties::encode_properties;

use super::codec::{self, DELIVER, FRAME_MAX};
use super::flow::Flow;
use super::queue::{self, Home};
use super::routing::{self, HEADERS_OF_ONE, SEED, SHARDS};

/// Messages in a round, as in a busy tick.
const BATCH: u32 = 256;
/// Messages of 1 KiB that one read brings.
const BATCH_OF_1_KIB: u32 = 60;
/// More than a router remembers and more than are routed, so that no key comes twice.
const BINDINGS: usize = 10_000;

const _: () = assert!(BATCH == queue::BATCH);

/// What one round does.
type Round = Box<dyn FnMut()>;

pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// In a round.
    pub(crate) messages: u32,
    start: fn() -> Round,
}

impl Case {
    /// Makes all that a round needs.
    pub(crate) fn start(&self) -> Round {
        (self.start)()
    }
}

const fn case(name: &'static str, start: fn() -> Round) -> Case {
    Case { name, messages: BATCH, start }
}

const fn case_of_1_kib(name: &'static str, start: fn() -> Round) -> Case {
    Case { name, messages: BATCH_OF_1_KIB, start }
}

pub(crate) const CASES: [Case; 20] = [
    case("codec: parse a publish of 16 B", || parse_publishes(&publish_of_16_b())),
    case("codec: parse a publish of 1 KiB", || parse_publishes(&publish_of_1_kib())),
    case("codec: parse an ack", parse_acks),
    case("codec: write a deliver of 16 B", write_deliveries),
    case("route: default exchange", route_default),
    case("route: direct, remembered key", || route_direct(|_| 40)),
    case("route: direct, other key", || route_direct(|n| n)),
    case("route: topic, remembered key", || route_topic(|_| 40)),
    case("route: topic, other key", || route_topic(|n| n)),
    case("route: headers", route_headers),
    case("queue: in, out and settled", || queue_rounds(false)),
    case("queue: in and out without ack", || queue_rounds(true)),
    case("local path, auto-ack, 16 B", || path(1, false, BATCH, 16)),
    case("local path, acks and confirms, 16 B", || path(1, true, BATCH, 16)),
    case_of_1_kib("local path, auto-ack, 1 KiB", || path(1, false, BATCH_OF_1_KIB, 1_024)),
    case("mesh path, auto-ack, 16 B", || path(2, false, BATCH, 16)),
    case("mesh path, acks and confirms, 16 B", || path(2, true, BATCH, 16)),
    case_of_1_kib("mesh path, auto-ack, 1 KiB", || path(2, false, BATCH_OF_1_KIB, 1_024)),
    case("local path, two queues by turns, 16 B", || path_by_turns(1)),
    case("mesh path, two queues by turns, 16 B", || path_by_turns(2)),
];

/// A round that does the same for each of its messages.
fn for_each_message(mut one: impl FnMut() + 'static) -> Round {
    Box::new(move || (0..BATCH).for_each(|_| one()))
}

fn publish_of_16_b() -> Vec<u8> {
    codec::publish("", &codec::small_properties(), 16)
}

fn publish_of_1_kib() -> Vec<u8> {
    codec::publish("exchange", &codec::large_properties(), 1_024)
}

fn parse_publishes(publish: &[u8]) -> Round {
    let publish = publish.to_owned();
    for_each_message(move || {
        black_box(codec::parse_publish(black_box(&publish)));
    })
}

fn parse_acks() -> Round {
    let ack = codec::ack();
    for_each_message(move || {
        black_box(codec::parse_ack(black_box(&ack)));
    })
}

fn write_deliveries() -> Round {
    let properties = encode_properties(&codec::small_properties());
    let body = [b'b'; 16];
    let mut out = Vec::with_capacity(4_096);
    for_each_message(move || {
        out.clear();
        write_deliver(&mut out, 1, FRAME_MAX, black_box(&DELIVER), &properties, &body);
        black_box(out.len());
    })
}

/// Routes by keys in turn, or by headers if there are some.
fn route(catalog: Catalog, exchange: &'static str, keys: Vec<String>, headers: &[u8]) -> Round {
    let mut router = Router::new(SEED, SHARDS);
    let headers = headers.to_owned();
    // A channel remembers what its last publish named.
    let exchange = routing::exchange(&catalog, exchange).id();
    let mut turn = 0;
    for_each_message(move || {
        let key = black_box(keys[turn].as_bytes());
        turn = if turn + 1 == keys.len() { 0 } else { turn + 1 };
        let headers = (!headers.is_empty()).then_some(&headers[..]);
        let exchange = catalog.exchange_by_id(exchange).expect("it was just there");
        black_box(router.route(&catalog, exchange, key, headers).queues.len());
    })
}

fn route_default() -> Round {
    route(routing::catalog_with_queues(), "", vec!["queue.40".to_owned()], &[])
}

fn route_direct(number: fn(usize) -> usize) -> Round {
    let catalog = routing::catalog_with(BINDINGS, "amq.direct", |n| format!("key.{n}"));
    let keys = (0..BINDINGS).map(|n| format!("key.{}", number(n))).collect();
    route(catalog, "amq.direct", keys, &[])
}

fn route_topic(number: fn(usize) -> usize) -> Round {
    let catalog = routing::catalog_with(BINDINGS, "amq.topic", routing::topic_pattern);
    let keys = (0..BINDINGS).map(|n| routing::topic_key(number(n), BINDINGS)).collect();
    route(catalog, "amq.topic", keys, &[])
}

fn route_headers() -> Round {
    let catalog = routing::catalog_with_headers(BINDINGS);
    route(catalog, "amq.headers", vec![String::new()], HEADERS_OF_ONE)
}

fn queue_rounds(no_ack: bool) -> Round {
    let mut home = Home::new(None, true, no_ack);
    Box::new(move || {
        home.publish_batch();
        home.deliver_batch();
        if !no_ack {
            home.settle_batch();
        }
    })
}

/// One shard, or two with the queue on one and its clients on the other.
fn path(shards: u16, acks: bool, messages: u32, body_bytes: usize) -> Round {
    rounds_of(Flow::new(shards, acks, u64::from(messages), body_bytes))
}

/// The same where no message goes the same way as the one before it.
fn path_by_turns(shards: u16) -> Round {
    rounds_of(Flow::by_turns(shards, false, u64::from(BATCH), 16, 2))
}

fn rounds_of(mut flow: Flow) -> Round {
    Box::new(move || {
        flow.round();
        flow.check();
    })
}
