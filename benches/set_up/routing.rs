//! Catalogs with many queues and bindings, and the keys that go with them.

use haremq_broker::catalog::command::{DeclareQueue, QueueBinding};
use haremq_broker::catalog::{Catalog, Command, DEFAULT_VHOST, Origin, Plan, UserId};
use haremq_broker::exchange::Exchange;
use haremq_broker::ids::{ConnectionAddress, ShardId, SlotId};
use haremq_protocol::types::{AMQPValue, FieldTable};

pub(crate) const SEED: u64 = 1;
pub(crate) const SHARDS: u16 = 2;
pub(crate) const QUEUES: usize = 1_000;
/// Far more than a router remembers, so that in turn none is known.
pub(crate) const COLD_KEYS: usize = 65_536;

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

pub(crate) fn binding(
    n: usize,
    exchange: &str,
    routing_key: String,
    arguments: FieldTable,
) -> Command {
    Command::BindQueue(QueueBinding {
        origin: origin(),
        queue: format!("queue.{}", n % QUEUES),
        exchange: exchange.into(),
        routing_key,
        arguments,
    })
}

pub(crate) fn catalog_with_queues() -> Catalog {
    let mut catalog = Catalog::new(SEED);
    for n in 0..QUEUES {
        declare_queue(&mut catalog, format!("queue.{n}"));
    }
    catalog
}

/// A catalog with `count` bindings of one exchange.
pub(crate) fn catalog_with(
    count: usize,
    exchange: &str,
    key_of: impl Fn(usize) -> String,
) -> Catalog {
    let mut catalog = catalog_with_queues();
    for n in 0..count {
        apply(&mut catalog, &binding(n, exchange, key_of(n), FieldTable::default()));
    }
    catalog
}

pub(crate) fn exchange<'a>(catalog: &'a Catalog, name: &str) -> &'a Exchange {
    catalog.exchange(DEFAULT_VHOST, name.as_bytes()).expect("the exchange is predeclared")
}

/// Patterns as they are in use: most name all words, some have wildcards.
pub(crate) fn topic_pattern(n: usize) -> String {
    match n % 4 {
        0 => format!("eu.{}.orders.{n}", n % 50),
        1 => format!("eu.*.orders.{n}"),
        2 => format!("eu.#.{n}"),
        _ => format!("#.{}.{n}.*", n % 50),
    }
}

/// Keys as publishers use them, of which most meet one of `size` patterns.
pub(crate) fn topic_key(n: usize, size: usize) -> String {
    format!("eu.{}.orders.{}", n % 50, n % size)
}

/// A message's headers as they are encoded, of the tenant 40 but of no kind that is bound.
pub(crate) const HEADERS_OF_NONE: &[u8] =
    b"\x06tenantI\0\0\0\x28\x04kindS\0\0\0\x05other\x05traceS\0\0\0\x04abcd";
/// Those that one binding asks for.
pub(crate) const HEADERS_OF_ONE: &[u8] = b"\x06tenantI\0\0\0\x28\x04kindS\0\0\0\x05order";

/// Bindings by headers, each by its own tenant.
pub(crate) fn catalog_with_headers(size: usize) -> Catalog {
    let mut catalog = catalog_with_queues();
    for n in 0..size {
        let mut arguments = FieldTable::default();
        let tenant = i32::try_from(n).expect("sizes are small");
        arguments.insert("tenant".into(), AMQPValue::LongInt(tenant));
        arguments.insert("kind".into(), AMQPValue::LongString("order".into()));
        apply(&mut catalog, &binding(n, "amq.headers", String::new(), arguments));
    }
    catalog
}
