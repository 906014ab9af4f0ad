//! One wish at a time: what is answered, in which order things are refused, and the exact texts.

use haremq_protocol::reply::{ProtocolError, ReplyCode};
use haremq_protocol::types::{AMQPValue, FieldTable};

use super::command::{
    DeclareExchange, DeclareQueue, DeleteExchange, DeleteQueue, ExchangeBinding, QueueBinding,
};
use super::delta::QueueSettings;
use super::refusal::{self, BASIC_CONSUME, BASIC_GET, MethodIds};
use super::*;
use crate::ids::ShardId;

const OWNER: u32 = 1;
const STRANGER: u32 = 2;

fn origin(connection: u32) -> Origin {
    let connection = ConnectionAddress { shard: ShardId(0), slot: connection, generation: 0 };
    Origin { vhost: DEFAULT_VHOST, user: UserId(0), connection }
}

fn string(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

fn table(entries: &[(&str, AMQPValue)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (key, value) in entries {
        table.insert((*key).into(), value.clone());
    }
    table
}

fn exchange(name: &str, kind: &str) -> DeclareExchange {
    DeclareExchange {
        origin: origin(OWNER),
        exchange: name.into(),
        kind: kind.into(),
        durable: false,
        auto_delete: false,
        internal: false,
        arguments: FieldTable::default(),
    }
}

fn queue(name: &str) -> DeclareQueue {
    DeclareQueue {
        origin: origin(OWNER),
        queue: name.into(),
        server_named: false,
        durable: false,
        exclusive: false,
        auto_delete: false,
        arguments: FieldTable::default(),
        home_slot_hint: SlotId(9),
    }
}

fn queue_with(entries: &[(&str, AMQPValue)]) -> DeclareQueue {
    DeclareQueue { arguments: table(entries), ..queue("q") }
}

fn exclusive(name: &str) -> DeclareQueue {
    DeclareQueue { exclusive: true, ..queue(name) }
}

fn binding(queue: &str, exchange: &str, key: &str) -> QueueBinding {
    QueueBinding {
        origin: origin(OWNER),
        queue: queue.into(),
        exchange: exchange.into(),
        routing_key: key.into(),
        arguments: FieldTable::default(),
    }
}

fn e2e(destination: &str, source: &str, key: &str) -> ExchangeBinding {
    ExchangeBinding {
        origin: origin(OWNER),
        destination: destination.into(),
        source: source.into(),
        routing_key: key.into(),
        arguments: FieldTable::default(),
    }
}

fn delete_queue(name: &str) -> Command {
    Command::DeleteQueue(DeleteQueue {
        origin: origin(OWNER),
        queue: name.into(),
        if_unused: false,
        if_empty: true,
    })
}

fn delete_exchange(name: &str, if_unused: bool) -> Command {
    Command::DeleteExchange(DeleteExchange {
        origin: origin(OWNER),
        exchange: name.into(),
        if_unused,
    })
}

impl From<DeclareExchange> for Command {
    fn from(wish: DeclareExchange) -> Command {
        Command::DeclareExchange(wish)
    }
}

impl From<DeclareQueue> for Command {
    fn from(wish: DeclareQueue) -> Command {
        Command::DeclareQueue(wish)
    }
}

/// Plans and applies; a queue's home always consents.
fn run(catalog: &mut Catalog, command: impl Into<Command>) -> Plan {
    let plan = catalog.plan(&command.into()).expect("the command is in order");
    match &plan {
        Plan::Change(delta) => catalog.apply(delta),
        Plan::Retire { queue, .. } => catalog.apply(&Delta::QueueDeleted { id: *queue }),
        Plan::Exists(_) | Plan::Nothing => {}
    }
    catalog.check_invariants();
    plan
}

fn catalog_with(commands: impl IntoIterator<Item = Command>) -> Catalog {
    let mut catalog = Catalog::new(1);
    for command in commands {
        let plan = run(&mut catalog, command);
        assert!(matches!(plan, Plan::Change(_)));
    }
    catalog
}

/// The command is refused like this, and nothing else.
fn check_refused(
    catalog: &Catalog,
    command: impl Into<Command>,
    code: ReplyCode,
    explanation: &str,
    ids: MethodIds,
) {
    let refused = catalog.plan(&command.into()).expect_err(explanation);
    assert_eq!(refused, ProtocolError::new(code, explanation).of(ids.0, ids.1));
}

const DECLARE_X: MethodIds = MethodIds(40, 10);
const DECLARE_Q: MethodIds = MethodIds(50, 10);

#[test]
fn a_new_catalog_has_the_predeclared_exchanges() {
    let catalog = Catalog::new(1);
    catalog.check_invariants();
    let vhost = catalog.vhost("/").expect("the default vhost is there");
    let names = ["", "amq.direct", "amq.fanout", "amq.topic", "amq.headers", "amq.match"];
    for name in names {
        let exchange = catalog.exchange(vhost, name.as_bytes()).expect(name);
        assert!(exchange.record().durable && !exchange.record().internal);
    }
    let trace = catalog.exchange(vhost, b"amq.rabbitmq.trace").expect("EXC-1");
    assert!(trace.record().internal);
    assert_eq!(catalog.exchanges().count(), names.len() + 1);
    assert_eq!(catalog.vhost(""), None);
}

#[test]
fn exchange_declare_refuses_in_order() {
    let catalog = catalog_with([exchange("x", "direct").into()]);
    let check = |wish: DeclareExchange, code, explanation: &str| {
        check_refused(&catalog, wish, code, explanation, DECLARE_X);
    };
    let precondition = ReplyCode::PreconditionFailed;
    check(exchange("", "foo"), precondition, "unknown exchange type 'foo'");
    let text = "operation not permitted on the default exchange";
    check(exchange("", "direct"), ReplyCode::AccessRefused, text);
    check(exchange("\r\n", "direct"), ReplyCode::AccessRefused, text);
    let text = "exchange name 'amq.x' contains reserved prefix 'amq.*'";
    check(exchange("amq.x", "direct"), ReplyCode::AccessRefused, text);

    let with_alternate = |value| DeclareExchange {
        arguments: table(&[("alternate-exchange", value)]),
        ..exchange("y", "direct")
    };
    check(
        with_alternate(AMQPValue::LongInt(1)),
        precondition,
        "invalid type 'signedint' for arg 'alternate-exchange' in exchange 'y' in vhost '/'",
    );
    check(
        with_alternate(string("ae")),
        precondition,
        "invalid arg 'alternate-exchange' for exchange 'y' in vhost '/': not supported yet",
    );
}

#[test]
fn exchange_redeclare_names_the_first_difference() {
    let mut catalog = catalog_with([exchange("x", "direct").into()]);
    let check = |wish: DeclareExchange, difference: &str| {
        let text = format!("inequivalent arg {difference}");
        check_refused(&catalog, wish, ReplyCode::PreconditionFailed, &text, DECLARE_X);
    };
    let all_different = || DeclareExchange {
        durable: true,
        auto_delete: true,
        internal: true,
        arguments: table(&[("alternate-exchange", string("ae"))]),
        ..exchange("x", "fanout")
    };
    let x = "for exchange 'x' in vhost '/': received";
    check(all_different(), &format!("'type' {x} 'fanout' but current is 'direct'"));
    let wish = DeclareExchange { kind: "direct".into(), ..all_different() };
    check(wish.clone(), &format!("'durable' {x} 'true' but current is 'false'"));
    let wish = DeclareExchange { durable: false, ..wish };
    check(wish.clone(), &format!("'auto_delete' {x} 'true' but current is 'false'"));
    let wish = DeclareExchange { auto_delete: false, ..wish };
    check(wish.clone(), &format!("'internal' {x} 'true' but current is 'false'"));
    let wish = DeclareExchange { internal: false, ..wish };
    let difference = "the value 'ae' of type 'longstr' but current is none";
    check(wish, &format!("'alternate-exchange' {x} {difference}"));

    let other_arguments = table(&[("anything", string("else"))]);
    let same = DeclareExchange { arguments: other_arguments, ..exchange("x", "direct") };
    assert_eq!(run(&mut catalog, same), Plan::Nothing);
    let system = DeclareExchange { durable: true, ..exchange("amq.topic", "topic") };
    assert_eq!(run(&mut catalog, system), Plan::Nothing);
}

#[test]
fn exchange_delete_refuses_what_must_stay() {
    let mut catalog = catalog_with([
        exchange("x", "direct").into(),
        queue("q").into(),
        Command::BindQueue(binding("q", "x", "k")),
    ]);
    let ids = MethodIds(40, 20);
    let refused = ReplyCode::AccessRefused;
    let text = "operation not permitted on the default exchange";
    check_refused(&catalog, delete_exchange("", false), refused, text, ids);
    let text = "deletion of system exchange 'amq.direct' in vhost '/' not allowed";
    check_refused(&catalog, delete_exchange("amq.direct", false), refused, text, ids);
    let text = "exchange 'x' in vhost '/' in use";
    let precondition = ReplyCode::PreconditionFailed;
    check_refused(&catalog, delete_exchange("x", true), precondition, text, ids);
    assert_eq!(run(&mut catalog, delete_exchange("missing", true)), Plan::Nothing);
    run(&mut catalog, delete_exchange("x\n", false));
    assert!(catalog.exchange(DEFAULT_VHOST, b"x").is_none());
    assert!(catalog.queue(DEFAULT_VHOST, b"q").is_some());
}

#[test]
fn queue_declare_fills_the_record() {
    let mut catalog = Catalog::new(1);
    let arguments = [
        ("x-message-ttl", AMQPValue::ShortInt(0)),
        ("x-expires", AMQPValue::LongLongInt(315_360_000_000)),
        ("x-queue-type", string("classic")),
        ("x-consumer-timeout", AMQPValue::LongInt(60_000)),
        ("x-queue-leader-locator", string("balanced")),
        ("x-unknown", AMQPValue::Void),
    ];
    let wish = DeclareQueue { durable: true, queue: "q\r\n1".into(), ..queue_with(&arguments) };
    run(&mut catalog, wish.clone());
    let record = catalog.queue(DEFAULT_VHOST, b"q1").expect("declared").clone();
    let ten_years = 315_360_000_000;
    let settings = QueueSettings {
        message_ttl_ms: Some(0),
        expires_ms: Some(ten_years),
        consumer_timeout_ms: Some(60_000),
    };
    assert_eq!(record.settings, settings);
    assert_eq!(record.id, QueueId(catalog.index()));
    assert_eq!(record.arguments, wish.arguments);
    assert!(record.durable && record.exclusive_owner.is_none());
    assert_eq!(record.slot, catalog.slot_of(DEFAULT_VHOST, "q1"));
    assert_eq!(run(&mut catalog, wish), Plan::Exists(record.id));
    assert_eq!(catalog.queue_by_id(record.id), Some(&record));
}

#[test]
fn queues_of_a_connection_live_near_it() {
    let mut catalog = Catalog::new(1);
    run(&mut catalog, DeclareQueue { durable: true, ..exclusive("e") });
    let generated = DeclareQueue { server_named: true, ..queue("amq.gen-0123456789012345678901") };
    run(&mut catalog, generated.clone());
    let of = |name: &str| catalog.queue(DEFAULT_VHOST, name.as_bytes()).expect("declared");
    assert_eq!(of("e").slot, SlotId(9));
    assert_eq!(of("e").exclusive_owner, Some(origin(OWNER).connection));
    assert!(!of("e").durable);
    assert_eq!(of(&generated.queue).slot, SlotId(9));
    let owned: Vec<QueueId> = catalog.exclusive_queues_of(origin(OWNER).connection).collect();
    assert_eq!(owned, [of("e").id]);
    assert_eq!(catalog.exclusive_queues_of(origin(STRANGER).connection).count(), 0);
}

#[test]
fn queue_names_of_ours_are_refused_whether_they_exist_or_not() {
    let generated = "amq.gen-0123456789012345678901";
    let mut catalog = Catalog::new(1);
    run(&mut catalog, DeclareQueue { server_named: true, ..queue(generated) });
    for name in [generated, "amq.", "amq.q"] {
        let text = format!("queue name '{name}' contains reserved prefix 'amq.*'");
        check_refused(&catalog, queue(name), ReplyCode::AccessRefused, &text, DECLARE_Q);
    }
    let text = "no queue '' in vhost '/'";
    check_refused(&catalog, queue("\n"), ReplyCode::NotFound, text, DECLARE_Q);
    let quorum = DeclareQueue {
        server_named: true,
        arguments: table(&[("x-queue-type", string("quorum"))]),
        ..queue("amq.gen-x")
    };
    let text = "Cannot declare a server-named queue for type rabbit_quorum_queue";
    check_refused(&catalog, quorum, ReplyCode::PreconditionFailed, text, DECLARE_Q);
}

#[test]
fn queue_arguments_are_refused_with_their_name() {
    let catalog = Catalog::new(1);
    let check = |key: &str, value: AMQPValue, reason: &str| {
        let text = format!("invalid arg '{key}' for queue 'q' in vhost '/'{reason}");
        let wish = queue_with(&[(key, value)]);
        check_refused(&catalog, wish, ReplyCode::PreconditionFailed, &text, DECLARE_Q);
    };
    let long = AMQPValue::LongLongInt;
    check("x-message-ttl", string("1000"), ": \"expected integer, got longstr\"");
    check("x-message-ttl", AMQPValue::Double(1.0), ": \"expected integer, got double\"");
    check("x-message-ttl", AMQPValue::Timestamp(1), ": \"expected integer, got timestamp\"");
    check("x-message-ttl", long(-1), ": {value_negative,-1}");
    check("x-message-ttl", long(315_360_000_001), ": {value_too_large,315360000001}");
    check("x-expires", long(0), ": {value_zero,0}");
    check("x-expires", long(-1), ": {value_negative,-1}");
    check("x-expires", long(i64::MAX), ": {value_too_large,9223372036854775807}");
    check("x-expires", AMQPValue::Void, ": \"expected integer, got void\"");
    check("x-consumer-timeout", string("1"), ": \"expected integer, got longstr\"");
    check("x-consumer-timeout", long(-1), ": {value_negative,-1}");
    check("x-queue-leader-locator", string("here"), ": invalid_queue_locator_arg");
    check("x-queue-leader-locator", AMQPValue::LongInt(1), ": {unacceptable_type,signedint}");
    check("x-queue-type", string("foo"), ": \"unsupported queue type 'foo'\"");
    check("x-queue-type", AMQPValue::LongInt(1), ": {unacceptable_type,signedint}");
    check("x-queue-type", string("quorum"), ": queue type 'quorum' is not supported yet");
    check("x-queue-type", string("stream"), ": queue type 'stream' is not supported yet");
    check("x-delivery-limit", long(5), " of queue type rabbit_classic_queue");
    check("x-max-age", string("1D"), " of queue type rabbit_classic_queue");
    for key in ["x-max-length", "x-max-length-bytes", "x-overflow", "x-max-priority"] {
        check(key, long(1), ": not supported yet");
    }
    for key in ["x-dead-letter-exchange", "x-dead-letter-routing-key", "x-queue-mode"] {
        check(key, string("s"), ": not supported yet");
    }
    for key in ["x-single-active-consumer", "x-queue-version"] {
        check(key, AMQPValue::Boolean(true), ": not supported yet");
    }
    check("x-queue-master-locator", long(1), ": not supported yet");
}

#[test]
fn of_several_wrong_arguments_expiry_is_named_first() {
    let catalog = Catalog::new(1);
    let wish = queue_with(&[
        ("x-message-ttl", string("a")),
        ("x-expires", string("b")),
        ("x-max-length", string("c")),
    ]);
    let refused = catalog.plan(&wish.into()).expect_err("all three are wrong");
    assert!(refused.text.contains("'x-expires'"));
}

#[test]
fn all_integer_types_are_integers() {
    for (value, number) in [
        (AMQPValue::ShortShortInt(3), 3),
        (AMQPValue::ShortShortUInt(200), 200),
        (AMQPValue::ShortInt(300), 300),
        (AMQPValue::ShortUInt(60_000), 60_000),
        (AMQPValue::LongInt(70_000), 70_000),
        (AMQPValue::LongUInt(3_000_000_000), 3_000_000_000),
        (AMQPValue::LongLongInt(5_000_000_000), 5_000_000_000),
    ] {
        let catalog = catalog_with([queue_with(&[("x-message-ttl", value)]).into()]);
        let record = catalog.queue(DEFAULT_VHOST, b"q").expect("declared");
        assert_eq!(record.settings.message_ttl_ms, Some(number));
    }
}

#[test]
fn queue_redeclare_names_the_first_difference() {
    let check = |first: DeclareQueue, second: DeclareQueue, difference: &str| {
        let catalog = catalog_with([first.into()]);
        let text = format!("inequivalent arg {difference}");
        check_refused(&catalog, second, ReplyCode::PreconditionFailed, &text, DECLARE_Q);
    };
    let q = "for queue 'q' in vhost '/': received";
    let ttl = |value| queue_with(&[("x-message-ttl", value)]);
    let both = DeclareQueue { durable: true, auto_delete: true, ..ttl(AMQPValue::LongInt(5)) };
    check(queue("q"), both.clone(), &format!("'durable' {q} 'true' but current is 'false'"));
    let auto_delete = DeclareQueue { durable: false, ..both };
    check(auto_delete, queue("q"), &format!("'auto_delete' {q} 'false' but current is 'true'"));
    check(
        ttl(AMQPValue::LongInt(60_000)),
        queue("q"),
        &format!("'x-message-ttl' {q} none but current is the value '60000' of type 'signedint'"),
    );
    check(
        queue("q"),
        ttl(AMQPValue::LongLongInt(1)),
        &format!("'x-message-ttl' {q} the value '1' of type 'long' but current is none"),
    );
    check(
        ttl(AMQPValue::LongInt(1)),
        ttl(AMQPValue::LongInt(2)),
        &format!("'x-message-ttl' {q} '2' but current is '1'"),
    );
    check(
        ttl(AMQPValue::LongInt(1_000)),
        ttl(string("1000")),
        &format!("'x-message-ttl' {q} '1000' but current is '1000'"),
    );
    check(
        queue("q"),
        queue_with(&[("x-max-length", AMQPValue::LongInt(1)), ("x-expires", string("z"))]),
        &format!("'x-expires' {q} the value 'z' of type 'longstr' but current is none"),
    );
    check(
        queue("q"),
        queue_with(&[("x-max-length", AMQPValue::LongInt(1))]),
        &format!("'x-max-length' {q} the value '1' of type 'signedint' but current is none"),
    );
    check(
        queue("q"),
        queue_with(&[("x-queue-type", string("quorum"))]),
        &format!("'x-queue-type' {q} 'quorum' but current is 'classic'"),
    );
}

#[test]
fn equivalent_queues_exist_already() {
    let check = |first: DeclareQueue, second: DeclareQueue| {
        let mut catalog = catalog_with([first.into()]);
        assert!(matches!(run(&mut catalog, second), Plan::Exists(_)));
    };
    let ttl = |value| queue_with(&[("x-message-ttl", value)]);
    check(ttl(AMQPValue::LongInt(7)), ttl(AMQPValue::ShortShortUInt(7)));
    check(queue("q"), queue_with(&[("x-queue-type", string("classic"))]));
    check(queue_with(&[("x-queue-type", string("classic"))]), queue("q"));
    check(queue("q"), queue_with(&[("x-unknown", string("v"))]));
    check(queue("q"), queue_with(&[("x-delivery-limit", AMQPValue::LongInt(1))]));
    check(exclusive("q"), DeclareQueue { durable: true, ..exclusive("q") });
}

#[test]
fn another_exclusive_value_is_a_lock_before_it_is_a_difference() {
    let text = "cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could be \
                originally declared on another connection or the exclusive property value does \
                not match that of the original declaration.";
    let check = |first: DeclareQueue, second: DeclareQueue| {
        let catalog = catalog_with([first.into()]);
        check_refused(&catalog, second, ReplyCode::ResourceLocked, text, DECLARE_Q);
    };
    let stranger = |wish: DeclareQueue| DeclareQueue { origin: origin(STRANGER), ..wish };
    check(exclusive("q"), stranger(exclusive("q")));
    check(exclusive("q"), stranger(queue("q")));
    check(exclusive("q"), DeclareQueue { auto_delete: true, ..queue("q") });
    check(queue("q"), exclusive("q"));
}

#[test]
fn exclusive_queues_are_locked_for_strangers() {
    let mut catalog =
        catalog_with([exclusive("q").into(), Command::BindQueue(binding("q", "amq.topic", "k"))]);
    let locked = |method: MethodIds| refusal::exclusive_lock("q", "/", method);
    let stranger = origin(STRANGER);
    let of_stranger =
        |key: &str| QueueBinding { origin: stranger, ..binding("q", "amq.topic", key) };
    let check = |command: Command, method| {
        assert_eq!(catalog.plan(&command), Err(locked(method)));
    };
    check(Command::BindQueue(of_stranger("k")), MethodIds(50, 20));
    check(Command::UnbindQueue(of_stranger("k")), MethodIds(50, 50));
    let delete =
        DeleteQueue { origin: stranger, queue: "q".into(), if_unused: true, if_empty: true };
    check(Command::DeleteQueue(delete), MethodIds(50, 40));
    assert_eq!(catalog.check_passive_queue(stranger, "q"), Err(locked(DECLARE_Q)));
    assert_eq!(catalog.check_queue_read(stranger, "q", BASIC_GET), Err(locked(BASIC_GET)));
    // What was never bound is unbound already, for everybody (QUE-50).
    assert_eq!(run(&mut catalog, Command::UnbindQueue(of_stranger("other"))), Plan::Nothing);
    assert!(catalog.check_queue_read(origin(OWNER), "q", BASIC_GET).is_ok());
    assert!(catalog.check_passive_queue(origin(OWNER), "q\n").is_ok());
}

#[test]
fn queue_delete_asks_the_home_first() {
    let mut catalog = catalog_with([queue("q").into()]);
    let record = catalog.queue(DEFAULT_VHOST, b"q").expect("declared").clone();
    let retire =
        Plan::Retire { queue: record.id, slot: record.slot, if_unused: false, if_empty: true };
    assert_eq!(run(&mut catalog, delete_queue("q")), retire);
    assert_eq!(run(&mut catalog, delete_queue("q")), Plan::Nothing);
    assert_eq!(catalog.queue_by_id(record.id), None);
    run(&mut catalog, queue("q"));
    let again = catalog.queue(DEFAULT_VHOST, b"q").expect("declared anew");
    assert!(again.id > record.id);
}

#[test]
fn bind_refuses_in_order() {
    let catalog = catalog_with([queue("q").into(), exchange("x", "headers").into()]);
    let check = |command: Command, code, text: &str, ids| {
        check_refused(&catalog, command, code, text, ids);
    };
    let (bind_q, bind_x) = (MethodIds(50, 20), MethodIds(40, 30));
    let refused = ReplyCode::AccessRefused;
    let default = "operation not permitted on the default exchange";
    check(Command::BindQueue(binding("q", "", "k")), refused, default, bind_q);
    check(Command::UnbindQueue(binding("q", "", "k")), refused, default, MethodIds(50, 50));
    check(Command::BindExchange(e2e("", "x", "k")), refused, default, bind_x);
    check(Command::BindExchange(e2e("x", "", "k")), refused, default, bind_x);
    check(Command::UnbindExchange(e2e("", "", "k")), refused, default, MethodIds(40, 40));
    let missing = ReplyCode::NotFound;
    let (no_q, no_y) = ("no queue 'p' in vhost '/'", "no exchange 'y' in vhost '/'");
    check(Command::BindQueue(binding("p", "x", "k")), missing, no_q, bind_q);
    check(Command::BindQueue(binding("p", "y", "k")), missing, no_y, bind_q);
    check(Command::BindQueue(binding("q", "y", "k")), missing, no_y, bind_q);
    check(Command::BindExchange(e2e("z", "y", "k")), missing, no_y, bind_x);
    check(Command::BindExchange(e2e("y", "x", "k")), missing, no_y, bind_x);
}

#[test]
fn headers_bindings_need_a_known_mode() {
    let catalog = catalog_with([queue("q").into(), exchange("y", "headers").into()]);
    let check = |value: AMQPValue, text: &str| {
        let arguments = table(&[("x-match", value)]);
        let to_queue = QueueBinding { arguments: arguments.clone(), ..binding("q", "y", "") };
        let to_exchange = ExchangeBinding { arguments, ..e2e("y", "amq.match", "") };
        let precondition = ReplyCode::PreconditionFailed;
        let ids = MethodIds(50, 20);
        check_refused(&catalog, Command::BindQueue(to_queue), precondition, text, ids);
        let ids = MethodIds(40, 30);
        check_refused(&catalog, Command::BindExchange(to_exchange), precondition, text, ids);
    };
    check(
        string("foo"),
        "Invalid x-match field value <<\"foo\">>; expected all, any, all-with-x, or any-with-x",
    );
    check(
        AMQPValue::LongInt(5),
        "Invalid x-match field type signedint (value 5); expected longstr",
    );
}

#[test]
fn identity_of_a_binding_is_all_of_it() {
    let mut catalog = catalog_with([queue("q").into(), queue("p").into()]);
    let with = |key: &str, entries: &[(&str, AMQPValue)]| QueueBinding {
        arguments: table(entries),
        ..binding("q", "amq.direct", key)
    };
    let nan = || AMQPValue::Double(f64::NAN);
    let different = [
        with("k", &[]),
        with("K", &[]),
        with("", &[]),
        with("k", &[("a", AMQPValue::LongInt(1))]),
        with("k", &[("a", AMQPValue::LongLongInt(1))]),
        with("k", &[("a", AMQPValue::LongInt(1)), ("b", AMQPValue::Void)]),
        with("k", &[("a", nan())]),
        QueueBinding { exchange: "amq.fanout".into(), ..with("k", &[]) },
        QueueBinding { queue: "p".into(), ..with("k", &[]) },
    ];
    for wish in &different {
        let plan = run(&mut catalog, Command::BindQueue(wish.clone()));
        assert!(matches!(plan, Plan::Change(_)), "{wish:?}");
    }
    let index = catalog.index();
    for wish in &different {
        assert_eq!(run(&mut catalog, Command::BindQueue(wish.clone())), Plan::Nothing);
    }
    let swapped = with("k", &[("b", AMQPValue::Void), ("a", AMQPValue::LongInt(1))]);
    assert_eq!(run(&mut catalog, Command::BindQueue(swapped)), Plan::Nothing);
    assert_eq!(catalog.index(), index);
    for wish in &different {
        let plan = run(&mut catalog, Command::UnbindQueue(wish.clone()));
        assert!(matches!(plan, Plan::Change(_)), "{wish:?}");
        assert_eq!(run(&mut catalog, Command::UnbindQueue(wish.clone())), Plan::Nothing);
    }
}

#[test]
fn unbind_of_what_is_not_there_is_done_already() {
    let mut catalog = catalog_with([queue("q").into()]);
    for wish in [binding("q", "nowhere", "k"), binding("none", "amq.topic", "k")] {
        assert_eq!(run(&mut catalog, Command::UnbindQueue(wish)), Plan::Nothing);
    }
    let wish = e2e("a", "b", "k");
    assert_eq!(run(&mut catalog, Command::UnbindExchange(wish)), Plan::Nothing);
}

fn auto_delete(name: &str) -> Command {
    DeclareExchange { auto_delete: true, ..exchange(name, "fanout") }.into()
}

#[test]
fn auto_delete_cascades_through_sources() {
    let mut catalog = catalog_with([
        auto_delete("a"),
        auto_delete("b"),
        auto_delete("c"),
        auto_delete("unused"),
        exchange("kept", "fanout").into(),
        queue("q").into(),
        Command::BindExchange(e2e("b", "a", "")),
        Command::BindExchange(e2e("c", "b", "")),
        Command::BindExchange(e2e("c", "kept", "")),
        Command::BindExchange(e2e("a", "c", "")),
        Command::BindQueue(binding("q", "c", "")),
    ]);
    let exists = |catalog: &Catalog, name: &str| {
        catalog.exchange_id(DEFAULT_VHOST, name.as_bytes()).is_some()
    };
    run(&mut catalog, delete_queue("q"));
    assert!(exists(&catalog, "c"), "c still leads to a");
    run(&mut catalog, Command::UnbindExchange(e2e("a", "c", "")));
    for (name, is_there) in [("a", false), ("b", false), ("c", false), ("kept", true)] {
        assert_eq!(exists(&catalog, name), is_there, "{name}");
    }
    assert!(exists(&catalog, "unused"), "it never had a binding");
    assert_eq!(catalog.exchanges().count(), 7 + 2);
}

#[test]
fn a_circle_of_auto_delete_exchanges_can_be_deleted() {
    let mut catalog = catalog_with([
        auto_delete("a"),
        auto_delete("b"),
        Command::BindExchange(e2e("a", "a", "")),
        Command::BindExchange(e2e("b", "a", "")),
        Command::BindExchange(e2e("a", "b", "")),
    ]);
    run(&mut catalog, delete_exchange("a", false));
    assert_eq!(catalog.exchanges().count(), 7);
}

#[test]
fn publish_is_checked_for_existence_and_internal_exchanges() {
    let catalog = Catalog::new(1);
    let check = |name: &str, code, text: &str| {
        let refused = catalog.check_publish(DEFAULT_VHOST, UserId(0), name).err();
        assert_eq!(refused, Some(ProtocolError::new(code, text).of(60, 40)));
    };
    check("x", ReplyCode::NotFound, "no exchange 'x' in vhost '/'");
    check(
        "amq.rabbitmq.trace",
        ReplyCode::AccessRefused,
        "cannot publish to internal exchange 'amq.rabbitmq.trace' in vhost '/'",
    );
    assert!(catalog.check_publish(DEFAULT_VHOST, UserId(0), "").is_ok());
}

#[test]
fn passive_declares_only_look() {
    let catalog = catalog_with([queue("q").into()]);
    let owner = origin(OWNER);
    let text_of = |refused: Option<ProtocolError>| refused.map(|refused| refused.text);
    let check = |refused: Option<ProtocolError>, text: &str| {
        assert_eq!(text_of(refused).as_deref(), Some(text));
    };
    check(
        catalog.check_passive_exchange(owner, "x").err(),
        "NOT_FOUND - no exchange 'x' in vhost '/'",
    );
    check(
        catalog.check_passive_exchange(owner, "").err(),
        "ACCESS_REFUSED - operation not permitted on the default exchange",
    );
    check(catalog.check_passive_queue(owner, "").err(), "NOT_FOUND - no queue '' in vhost '/'");
    check(catalog.check_passive_queue(owner, "p").err(), "NOT_FOUND - no queue 'p' in vhost '/'");
    assert!(catalog.check_passive_exchange(owner, "amq.topic").is_ok());
    assert!(catalog.check_passive_queue(owner, "q").is_ok());
}

#[test]
fn unknown_users_are_refused_before_existence_is_told() {
    let catalog = Catalog::new(1);
    let nobody = Origin { user: UserId(7), ..origin(OWNER) };
    let text_of = |refused: Option<ProtocolError>| refused.expect("refused").text;
    let text = "ACCESS_REFUSED - configure access to exchange 'x' in vhost '/' refused for user ''";
    assert_eq!(text_of(catalog.check_passive_exchange(nobody, "x").err()), text);
    let declare = DeclareExchange { origin: nobody, ..exchange("x", "direct") };
    assert_eq!(text_of(catalog.plan(&declare.into()).err()), text);
    let text = "ACCESS_REFUSED - write access to exchange 'amq.default' in vhost '/' refused for \
                user ''";
    assert_eq!(text_of(catalog.check_publish(DEFAULT_VHOST, nobody.user, "").err()), text);
    let text = "ACCESS_REFUSED - read access to queue 'q' in vhost '/' refused for user ''";
    assert_eq!(text_of(catalog.check_queue_read(nobody, "q", BASIC_CONSUME).err()), text);
    let bind = QueueBinding { origin: nobody, ..binding("q", "x", "") };
    let text = "ACCESS_REFUSED - write access to queue 'q' in vhost '/' refused for user ''";
    assert_eq!(text_of(catalog.plan(&Command::BindQueue(bind)).err()), text);
}

#[test]
fn guest_logs_in_from_here_only() {
    let catalog = Catalog::new(1);
    let login = |name: &str, password: &str, is_loopback| {
        let user = catalog.authenticate(name.as_bytes(), password.as_bytes(), is_loopback);
        user.map(|user| user.id)
    };
    assert_eq!(login("guest", "guest", true), Ok(UserId(0)));
    assert_eq!(login("guest", "guest", false), Err(LoginRefusal::NotFromLoopback));
    assert_eq!(login("Guest", "guest", true), Err(LoginRefusal::UnknownUser));
    for password in ["", "guess", "gues", "guestt"] {
        assert_eq!(login("guest", password, true), Err(LoginRefusal::WrongPassword));
    }
    assert_eq!(catalog.check_open(UserId(0), "/"), Ok(DEFAULT_VHOST));
    let refused = catalog.check_open(UserId(0), "v").expect_err("no such vhost");
    assert_eq!(refused, ProtocolError::new(ReplyCode::NotAllowed, "vhost v not found").of(10, 40));
}

#[test]
fn line_ends_are_no_part_of_names() {
    assert_eq!(strip_line_ends("a\r\nb\n"), "ab");
    assert_eq!(strip_line_ends("ab"), "ab");
    let wish = binding("q\n", "\ramq.direct", "k\n");
    let catalog = catalog_with([queue("q").into(), Command::BindQueue(wish)]);
    let id = catalog.exchange_id(DEFAULT_VHOST, b"amq.direct").expect("EXC-1");
    let keys: Vec<&str> = catalog.routes_of(id).map(|record| &*record.routing_key).collect();
    assert_eq!(keys, ["k\n"], "keys keep them");
}

#[test]
fn slots_are_spread_and_depend_on_the_seed() {
    let (catalog, other) = (Catalog::new(1), Catalog::new(2));
    let slots = |catalog: &Catalog| -> Vec<SlotId> {
        (0..1_000).map(|n| catalog.slot_of(DEFAULT_VHOST, &format!("q{n}"))).collect()
    };
    assert_ne!(slots(&catalog), slots(&other));
    assert_eq!(slots(&catalog), slots(&Catalog::new(1)));
    for slot in 0..SLOTS {
        assert!(slots(&catalog).contains(&SlotId(slot)));
    }
}

/// PERF: a queue's deletion costs its own bindings, whatever else is bound.
#[test]
fn a_queue_with_100_000_bindings_goes_at_once() {
    let mut catalog = catalog_with([queue("q").into(), queue("other").into()]);
    for exchange in ["amq.direct", "amq.topic", "amq.fanout"] {
        for n in 0..33_334 {
            let key = format!("a.{n}.*");
            for queue in ["q", "other"] {
                let wish = Command::BindQueue(binding(queue, exchange, &key));
                let plan = catalog.plan(&wish).expect("the command is in order");
                let Plan::Change(delta) = plan else { panic!("all keys differ") };
                catalog.apply(&delta);
            }
        }
    }
    let id = catalog.queue(DEFAULT_VHOST, b"q").expect("declared").id;
    catalog.apply(&Delta::QueueDeleted { id });
    catalog.check_invariants();
    let other = catalog.queue(DEFAULT_VHOST, b"other").expect("declared").id;
    assert_eq!(catalog.bindings_to(BindingDestination::Queue(other)).count(), 100_002);
}

#[test]
fn bindings_that_go_first_take_their_auto_delete_exchanges_along_but_not_the_one_that_goes_itself()
{
    let auto_delete = |name| DeclareExchange { auto_delete: true, ..exchange(name, "fanout") };
    let mut catalog = catalog_with([
        queue("q").into(),
        auto_delete("source").into(),
        auto_delete("doomed").into(),
        Command::BindQueue(binding("q", "doomed", "")),
        Command::BindExchange(e2e("doomed", "source", "")),
        Command::BindQueue(binding("q", "source", "")),
    ]);
    let id = |catalog: &Catalog, name: &[u8]| catalog.exchange_id(DEFAULT_VHOST, name);
    let source = id(&catalog, b"source").expect("declared");
    let end = BindingDestination::Exchange(source);
    assert_eq!(catalog.binding_count(end), 2);
    catalog.apply(&Delta::BindingsDropped { end, count: 2 });
    catalog.check_invariants();
    assert_eq!((catalog.binding_count(end), id(&catalog, b"source")), (0, Some(source)));
    let end = BindingDestination::Queue(catalog.queue(DEFAULT_VHOST, b"q").expect("declared").id);
    catalog.apply(&Delta::BindingsDropped { end, count: 1 });
    catalog.check_invariants();
    assert_eq!((catalog.binding_count(end), id(&catalog, b"doomed")), (0, None));
}
