//! Reply codes and exact reply texts, as tables (SEMANTICS.md 3). Clients parse them.

mod support;

use haremq_protocol::method::{
    AMQPClass, access, basic, channel, confirm, connection, exchange, queue, tx,
};
use haremq_protocol::types::AMQPValue;

use support::{
    Client, IntoMethod, Raw, arguments, bytes_of, content_header, frame, long, method_payload, text,
};

/// Sends each row's method on a channel of its own and compares how that channel is closed; class
/// and method must be those of what was sent.
#[track_caller]
fn check_soft(rows: Vec<(AMQPClass, u16, &str)>) {
    let mut client = Client::connect();
    for (number, (method, code, text)) in (2..).zip(rows) {
        client.open(number);
        let payload = method_payload(method.clone());
        client.send(number, method.clone());
        let refusal = client.refusal(number);
        assert_eq!((refusal.code, refusal.text.as_str()), (code, text), "{method:?}");
        assert!(!refusal.is_hard, "{method:?}");
        let ids = (refusal.class_and_method.0 << 8) | refusal.class_and_method.1;
        let sent = (u16::from(payload[1]) << 8) | u16::from(payload[3]);
        assert_eq!(ids, sent, "{method:?}");
    }
    // The connection is as good as before.
    client.open(1000);
}

/// Octets, and the code, text, class and method that they end the connection with.
type HardRow<'a> = (Vec<u8>, u16, &'a str, (u16, u16));

/// Sends each row's octets on a new connection with channel 1 open, and compares how it is closed.
#[track_caller]
fn check_hard(rows: Vec<HardRow<'_>>) {
    let mut ending = Vec::new();
    for (bytes, code, text, ids) in rows {
        let mut raw = Raw::running();
        raw.send(&bytes);
        let refusal = raw.refusal().unwrap_or_else(|| panic!("nothing is told of {text}"));
        assert_eq!((refusal.code, refusal.text.as_str()), (code, text));
        assert_eq!(refusal.class_and_method, ids, "{text}");
        assert!(refusal.is_hard, "{text}");
        raw.send_method(0, connection::CloseOk {});
        ending.push((raw, text));
    }
    // After an error of framing nothing is read, so these end by time (ERR-21, ERR-22).
    for (mut raw, text) in ending {
        assert_eq!(raw.rest(), b"", "{text}");
    }
}

fn declare_exchange(exchange: &str, kind: &str) -> exchange::Declare {
    exchange::Declare { exchange: exchange.into(), kind: kind.into(), ..Default::default() }
}

fn declare_queue<const N: usize>(queue: &str, pairs: [(&str, AMQPValue); N]) -> queue::Declare {
    queue::Declare { queue: queue.into(), arguments: arguments(pairs), ..Default::default() }
}

fn publish_frame(exchange: &str) -> Vec<u8> {
    bytes_of(1, basic::Publish { exchange: exchange.into(), ..Default::default() })
}

#[test]
fn exchange_declare_is_refused_with_the_known_texts() {
    let mut client = Client::connect();
    client.call(1, declare_exchange("errors-x", "direct"));
    let durable = exchange::Declare { durable: true, ..declare_exchange("errors-x", "direct") };
    let auto_delete =
        exchange::Declare { auto_delete: true, ..declare_exchange("errors-x", "direct") };
    let internal = exchange::Declare { internal: true, ..declare_exchange("errors-x", "direct") };
    let passive = exchange::Declare { passive: true, ..declare_exchange("errors-no", "zzz") };
    let passive_default = exchange::Declare { passive: true, ..declare_exchange("", "direct") };
    let inequivalent = "PRECONDITION_FAILED - inequivalent arg ";
    let texts: Vec<String> = ["type", "durable", "auto_delete", "internal"]
        .into_iter()
        .zip([("fanout", "direct"), ("true", "false"), ("true", "false"), ("true", "false")])
        .map(|(argument, (received, current))| {
            format!(
                "{inequivalent}'{argument}' for exchange 'errors-x' in vhost '/': received \
                 '{received}' but current is '{current}'"
            )
        })
        .collect();
    let on_default = "ACCESS_REFUSED - operation not permitted on the default exchange";
    check_soft(vec![
        (
            declare_exchange("errors-new", "zzz").into_method(),
            406,
            "PRECONDITION_FAILED - unknown exchange type 'zzz'",
        ),
        (declare_exchange("", "direct").into_method(), 403, on_default),
        (passive_default.into_method(), 403, on_default),
        (
            declare_exchange("amq.new", "direct").into_method(),
            403,
            "ACCESS_REFUSED - exchange name 'amq.new' contains reserved prefix 'amq.*'",
        ),
        (passive.into_method(), 404, "NOT_FOUND - no exchange 'errors-no' in vhost '/'"),
        (declare_exchange("errors-x", "fanout").into_method(), 406, &texts[0]),
        (durable.into_method(), 406, &texts[1]),
        (auto_delete.into_method(), 406, &texts[2]),
        (internal.into_method(), 406, &texts[3]),
    ]);
}

#[test]
fn exchange_delete_and_bindings_are_refused_with_the_known_texts() {
    let mut client = Client::connect();
    client.declare(1, "errors-bound");
    client.call(1, declare_exchange("errors-used", "direct"));
    let bind = |queue: &str, exchange: &str| queue::Bind {
        queue: queue.into(),
        exchange: exchange.into(),
        ..Default::default()
    };
    client.call(1, bind("errors-bound", "errors-used"));
    let delete = |exchange: &str| exchange::Delete {
        exchange: exchange.into(),
        if_unused: true,
        ..Default::default()
    };
    let bind_exchange = |destination: &str, source: &str| exchange::Bind {
        destination: destination.into(),
        source: source.into(),
        ..Default::default()
    };
    let unbind = queue::Unbind { queue: "errors-bound".into(), ..Default::default() };
    let x_match = |value: AMQPValue| queue::Bind {
        arguments: arguments([("x-match", value)]),
        ..bind("errors-bound", "amq.headers")
    };
    let on_default = "ACCESS_REFUSED - operation not permitted on the default exchange";
    let no_exchange = "NOT_FOUND - no exchange 'errors-no' in vhost '/'";
    check_soft(vec![
        (delete("").into_method(), 403, on_default),
        (
            delete("amq.topic").into_method(),
            403,
            "ACCESS_REFUSED - deletion of system exchange 'amq.topic' in vhost '/' not allowed",
        ),
        (
            delete("errors-used").into_method(),
            406,
            "PRECONDITION_FAILED - exchange 'errors-used' in vhost '/' in use",
        ),
        (bind("errors-bound", "").into_method(), 403, on_default),
        (unbind.into_method(), 403, on_default),
        (bind_exchange("", "amq.direct").into_method(), 403, on_default),
        (bind_exchange("amq.direct", "").into_method(), 403, on_default),
        (bind("errors-bound", "errors-no").into_method(), 404, no_exchange),
        (bind("errors-none", "errors-no").into_method(), 404, no_exchange),
        (
            bind("errors-none", "amq.direct").into_method(),
            404,
            "NOT_FOUND - no queue 'errors-none' in vhost '/'",
        ),
        (bind_exchange("amq.direct", "errors-no").into_method(), 404, no_exchange),
        (bind_exchange("errors-no", "amq.direct").into_method(), 404, no_exchange),
        (
            x_match(text("foo")).into_method(),
            406,
            "PRECONDITION_FAILED - Invalid x-match field value <<\"foo\">>; expected all, any, \
             all-with-x, or any-with-x",
        ),
        (
            x_match(long(1)).into_method(),
            406,
            "PRECONDITION_FAILED - Invalid x-match field type signedint (value 1); expected \
             longstr",
        ),
    ]);
}

#[test]
fn queue_declare_is_refused_with_the_known_texts() {
    let mut client = Client::connect();
    client.declare(1, "errors-q");
    client.declare_as(1, declare_queue("errors-ttl", [("x-message-ttl", long(60_000))]));
    let durable = queue::Declare { durable: true, ..declare_queue("errors-q", []) };
    let auto_delete = queue::Declare { auto_delete: true, ..declare_queue("errors-q", []) };
    let exclusive = queue::Declare { exclusive: true, ..declare_queue("errors-q", []) };
    let passive = |name: &str| queue::Declare { passive: true, ..declare_queue(name, []) };
    check_soft(vec![
        (
            declare_queue("amq.q", []).into_method(),
            403,
            "ACCESS_REFUSED - queue name 'amq.q' contains reserved prefix 'amq.*'",
        ),
        (
            declare_queue("", [("x-queue-type", text("quorum"))]).into_method(),
            406,
            "PRECONDITION_FAILED - Cannot declare a server-named queue for type \
             rabbit_quorum_queue",
        ),
        (
            passive("errors-none").into_method(),
            404,
            "NOT_FOUND - no queue 'errors-none' in vhost '/'",
        ),
        (passive("").into_method(), 404, "NOT_FOUND - no queue '' in vhost '/'"),
        (
            durable.into_method(),
            406,
            "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'errors-q' in vhost '/': \
             received 'true' but current is 'false'",
        ),
        (
            auto_delete.into_method(),
            406,
            "PRECONDITION_FAILED - inequivalent arg 'auto_delete' for queue 'errors-q' in vhost \
             '/': received 'true' but current is 'false'",
        ),
        (
            exclusive.into_method(),
            405,
            "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'errors-q' in vhost \
             '/'. It could be originally declared on another connection or the exclusive property \
             value does not match that of the original declaration.",
        ),
        (
            declare_queue("errors-ttl", []).into_method(),
            406,
            "PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'errors-ttl' in \
             vhost '/': received none but current is the value '60000' of type 'signedint'",
        ),
        (
            declare_queue("errors-q", [("x-expires", long(5))]).into_method(),
            406,
            "PRECONDITION_FAILED - inequivalent arg 'x-expires' for queue 'errors-q' in vhost \
             '/': received the value '5' of type 'signedint' but current is none",
        ),
        (
            declare_queue("errors-ttl", [("x-message-ttl", long(1))]).into_method(),
            406,
            "PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'errors-ttl' in \
             vhost '/': received '1' but current is '60000'",
        ),
        (
            declare_queue("errors-ttl", [("x-message-ttl", text("60000"))]).into_method(),
            406,
            "PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'errors-ttl' in \
             vhost '/': received '60000' but current is '60000'",
        ),
    ]);
}

#[test]
fn queue_arguments_are_refused_with_the_known_texts() {
    let rows: Vec<(&str, AMQPValue, &str)> = vec![
        ("x-message-ttl", text("5"), "\"expected integer, got longstr\""),
        ("x-message-ttl", AMQPValue::Double(5.0), "\"expected integer, got double\""),
        ("x-message-ttl", long(-1), "{value_negative,-1}"),
        (
            "x-message-ttl",
            AMQPValue::LongLongInt(315_360_000_001),
            "{value_too_large,315360000001}",
        ),
        ("x-expires", long(0), "{value_zero,0}"),
        ("x-expires", long(-5), "{value_negative,-5}"),
        ("x-expires", AMQPValue::Boolean(true), "\"expected integer, got bool\""),
        ("x-expires", AMQPValue::LongLongInt(i64::MAX), "{value_too_large,9223372036854775807}"),
        ("x-queue-type", text("foo"), "\"unsupported queue type 'foo'\""),
        ("x-queue-type", long(1), "{unacceptable_type,signedint}"),
    ];
    let mut client = Client::connect();
    for (number, (key, value, reason)) in (2..).zip(rows) {
        client.open(number);
        client.send(number, declare_queue("errors-argument", [(key, value)]));
        client.refusal(number).assert(
            406,
            &format!(
                "PRECONDITION_FAILED - invalid arg '{key}' for queue 'errors-argument' in vhost \
                 '/': {reason}"
            ),
        );
    }
}

#[test]
fn what_is_not_built_is_refused_and_named() {
    let unsupported: Vec<(&str, AMQPValue)> = vec![
        ("x-max-length", long(5)),
        ("x-max-length-bytes", long(5)),
        ("x-overflow", text("drop-head")),
        ("x-dead-letter-exchange", text("amq.fanout")),
        ("x-dead-letter-routing-key", text("k")),
        ("x-max-priority", long(5)),
        ("x-single-active-consumer", AMQPValue::Boolean(true)),
        ("x-queue-mode", text("lazy")),
        ("x-queue-version", long(2)),
        ("x-queue-master-locator", text("client-local")),
        ("x-queue-type", text("quorum")),
        ("x-queue-type", text("stream")),
        // Of other queue types.
        ("x-delivery-limit", long(5)),
        ("x-dead-letter-strategy", text("at-most-once")),
        ("x-quorum-initial-group-size", long(3)),
        ("x-max-age", text("1D")),
        ("x-stream-max-segment-size-bytes", long(5)),
        ("x-stream-filter-size-bytes", long(16)),
        ("x-initial-cluster-size", long(3)),
    ];
    let mut client = Client::connect();
    for (number, (key, value)) in (2..).zip(unsupported) {
        client.open(number);
        let declare =
            queue::Declare { durable: true, ..declare_queue("errors-unbuilt", [(key, value)]) };
        client.send(number, declare);
        let refusal = client.refusal(number);
        assert_eq!(refusal.code, 406, "{refusal:?}");
        assert!(refusal.text.contains(&format!("invalid arg '{key}'")), "{refusal:?}");
    }
    let exchange = exchange::Declare {
        arguments: arguments([("alternate-exchange", text("amq.fanout"))]),
        ..declare_exchange("errors-alternate", "direct")
    };
    client.send(1, exchange);
    let refusal = client.refusal(1);
    assert_eq!(refusal.code, 406, "{refusal:?}");
    assert!(refusal.text.contains("alternate-exchange"), "{refusal:?}");
}

#[test]
fn an_argument_of_no_queue_type_is_accepted() {
    let mut client = Client::connect();
    client.declare_as(1, declare_queue("errors-foo", [("x-foo", text("bar"))]));
    client.declare_as(1, declare_queue("errors-foo", [("x-foo", long(1))]));
}

#[test]
fn basic_methods_are_refused_with_the_known_texts() {
    let mut owner = Client::connect();
    owner.declare_as(1, queue::Declare { exclusive: true, ..declare_queue("errors-locked", []) });
    owner.declare(1, "errors-exclusive");
    owner.consume_as(
        1,
        basic::Consume { queue: "errors-exclusive".into(), exclusive: true, ..Default::default() },
    );
    owner.declare(1, "errors-full");
    owner.post(1, "errors-full", "x");
    owner.declare(1, "errors-busy");
    owner.consume(1, "errors-busy", "busy");
    owner.settle_down(1, "errors-full");
    let consume = |queue: &str| basic::Consume { queue: queue.into(), ..Default::default() };
    let get = |queue: &str| basic::Get { queue: queue.into(), no_ack: false };
    let purge = |queue: &str| queue::Purge { queue: queue.into(), nowait: false };
    let delete = |queue: &str| queue::Delete { queue: queue.into(), ..Default::default() };
    let bind = |queue: &str| queue::Bind {
        queue: queue.into(),
        exchange: "amq.direct".into(),
        ..Default::default()
    };
    let passive = queue::Declare { passive: true, ..declare_queue("errors-locked", []) };
    let prioritized = |value: AMQPValue| basic::Consume {
        arguments: arguments([("x-priority", value)]),
        ..consume("errors-full")
    };
    let locked = "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue \
                  'errors-locked' in vhost '/'. It could be originally declared on another \
                  connection or the exclusive property value does not match that of the original \
                  declaration.";
    let missing = "NOT_FOUND - no queue 'errors-none' in vhost '/'";
    let unnamed = "NOT_FOUND - no previously declared queue";
    check_soft(vec![
        (consume("errors-none").into_method(), 404, missing),
        (get("errors-none").into_method(), 404, missing),
        (purge("errors-none").into_method(), 404, missing),
        (consume("errors-locked").into_method(), 405, locked),
        (get("errors-locked").into_method(), 405, locked),
        (purge("errors-locked").into_method(), 405, locked),
        (delete("errors-locked").into_method(), 405, locked),
        (bind("errors-locked").into_method(), 405, locked),
        (passive.into_method(), 405, locked),
        (declare_queue("errors-locked", []).into_method(), 405, locked),
        (consume("").into_method(), 404, unnamed),
        (get("").into_method(), 404, unnamed),
        (purge("").into_method(), 404, unnamed),
        (delete("").into_method(), 404, unnamed),
        (bind("").into_method(), 404, unnamed),
        (
            consume("errors-exclusive").into_method(),
            403,
            "ACCESS_REFUSED - queue 'errors-exclusive' in vhost '/' in exclusive use",
        ),
        (
            basic::Consume { exclusive: true, ..consume("errors-busy") }.into_method(),
            403,
            "ACCESS_REFUSED - queue 'errors-busy' in vhost '/' in exclusive use",
        ),
        (
            queue::Delete { if_empty: true, ..delete("errors-full") }.into_method(),
            406,
            "PRECONDITION_FAILED - queue 'errors-full' in vhost '/' not empty",
        ),
        (
            queue::Delete { if_unused: true, ..delete("errors-busy") }.into_method(),
            406,
            "PRECONDITION_FAILED - queue 'errors-busy' in vhost '/' in use",
        ),
        (
            prioritized(text("high")).into_method(),
            406,
            "PRECONDITION_FAILED - invalid arg 'x-priority' for queue 'errors-full' in vhost '/': \
             \"expected integer, got longstr\"",
        ),
        (
            prioritized(long(5)).into_method(),
            406,
            "PRECONDITION_FAILED - invalid arg 'x-priority' for queue 'errors-full' in vhost '/': \
             not supported yet",
        ),
    ]);
}

#[test]
fn modes_and_settlements_are_refused_with_the_known_texts() {
    let precondition = "PRECONDITION_FAILED - ";
    let cases: Vec<(Vec<AMQPClass>, String)> = vec![
        (vec![tx::Commit {}.into_method()], "channel is not transactional".into()),
        (vec![tx::Rollback {}.into_method()], "channel is not transactional".into()),
        (
            vec![confirm::Select::default().into_method(), tx::Select {}.into_method()],
            "cannot switch from confirm to tx mode".into(),
        ),
        (
            vec![tx::Select {}.into_method(), confirm::Select::default().into_method()],
            "cannot switch from tx to confirm mode".into(),
        ),
    ];
    let mut client = Client::connect();
    for (number, (methods, text)) in (2..).zip(cases) {
        client.open(number);
        let last = method_payload(methods.last().expect("there is one").clone());
        client.send_all(number, methods);
        let refusal = client.refusal(number);
        refusal.assert(406, &format!("{precondition}{text}"));
        let (class, method) = refusal.class_and_method;
        assert_eq!((class, method), (u16::from(last[1]), u16::from(last[3])));
    }
    for (number, method) in [(20, 80), (21, 120), (22, 90)] {
        client.open(number);
        match method {
            80 => client.ack(number, 7),
            120 => client.nack(number, 7, true, true),
            _ => client.reject(number, 7, false),
        }
        let refusal = client.refusal(number);
        refusal.assert(406, "PRECONDITION_FAILED - unknown delivery tag 7");
        assert_eq!(refusal.class_and_method, (60, method));
    }
}

#[test]
fn broken_frames_are_refused_with_the_known_texts() {
    let mut wrong_end = frame(1, 1, &[0, 20, 0, 10, 0]);
    *wrong_end.last_mut().expect("it has octets") = 0xCD;
    let too_large = [&[1, 0, 1][..], &131_073_u32.to_be_bytes()].concat();
    let long_unknown = frame(4, 1, &(0..17).collect::<Vec<u8>>());
    check_hard(vec![
        (
            frame(9, 1, b"\x01\x02"),
            501,
            "FRAME_ERROR - type 9, all octets = <<1,2>>: unknown_frame",
            (0, 0),
        ),
        (
            long_unknown,
            501,
            "FRAME_ERROR - type 4, first 16 octets = <<0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15>>: \
             unknown_frame",
            (0, 0),
        ),
        (
            frame(1, 1, b"\x00\x14\x00"),
            501,
            "FRAME_ERROR - type 1, all octets = <<0,20,0>>: unknown_frame",
            (0, 0),
        ),
        (
            too_large,
            501,
            "FRAME_ERROR - type 1, all octets = <<>>: {frame_too_large,131073,131064}",
            (0, 0),
        ),
        (
            wrong_end,
            501,
            "FRAME_ERROR - type 1, all octets = <<0,20,0,10,0>>: {invalid_frame_end_marker,205}",
            (0, 0),
        ),
        (frame(8, 3, b""), 505, "UNEXPECTED_FRAME - type 8, all octets = <<>>", (0, 0)),
        (frame(3, 0, b""), 505, "UNEXPECTED_FRAME - type 3, all octets = <<>>", (0, 0)),
    ]);
}

#[test]
fn undecodable_methods_are_refused_with_the_known_texts() {
    let mut not_utf8 = method_payload(queue::Declare { queue: "q".into(), ..Default::default() });
    not_utf8[7] = 0xff;
    let mut surplus = method_payload(channel::Flow { active: true });
    surplus.push(7);
    let mut raw = Raw::running();
    raw.send(&frame(1, 1, &not_utf8));
    let refusal = raw.refusal().expect("it is told");
    assert_eq!((refusal.code, refusal.class_and_method), (501, (50, 10)));
    assert!(refusal.text.contains("Malformed UTF-8 in shortstr"), "{refusal:?}");
    let unimplemented = "COMMAND_INVALID - unimplemented method";
    check_hard(vec![
        (frame(1, 1, &[0, 77, 0, 10]), 503, unimplemented, (77, 10)),
        (frame(1, 1, &[0, 50, 0, 99]), 503, unimplemented, (50, 99)),
        // Methods that only servers send: declare-ok, deliver, blocked.
        (frame(1, 1, &[0, 40, 0, 11]), 503, unimplemented, (40, 11)),
        (frame(1, 1, &[0, 60, 0, 60]), 503, unimplemented, (60, 60)),
        (frame(1, 1, &surplus), 501, "FRAME_ERROR - cannot decode <<1,7>>", (20, 20)),
        (frame(1, 1, &[0, 20, 0, 20]), 501, "FRAME_ERROR - cannot decode <<>>", (20, 20)),
    ]);
}

#[test]
fn an_unknown_field_tag_is_a_syntax_error() {
    let mut payload = method_payload(queue::Declare {
        queue: "errors-tag".into(),
        arguments: arguments([("x-a", AMQPValue::Boolean(true))]),
        ..Default::default()
    });
    let at = payload.len() - 2;
    assert_eq!(payload[at], b't');
    payload[at] = b'Z';
    let mut raw = Raw::running();
    raw.send(&frame(1, 1, &payload));
    let refusal = raw.refusal().expect("it is told");
    assert_eq!((refusal.code, refusal.class_and_method), (502, (50, 10)), "{refusal:?}");
    assert!(refusal.text.starts_with("SYNTAX_ERROR - "), "{refusal:?}");
}

#[test]
fn broken_content_is_refused_with_the_known_texts() {
    let method_expected = "UNEXPECTED_FRAME - expected method frame, got non method frame instead";
    let header_expected = "UNEXPECTED_FRAME - expected content header for class 60, got non \
                           content header frame instead";
    let body_expected =
        "UNEXPECTED_FRAME - expected content body, got non content body frame instead";
    let mut class_10 = content_header(1, 5);
    class_10[8] = 10;
    let mut weight = content_header(1, 5);
    weight[10] = 1;
    let publish = || publish_frame("");
    let flow = || bytes_of(1, channel::Flow { active: true });
    check_hard(vec![
        (content_header(1, 5), 505, method_expected, (0, 0)),
        (frame(3, 1, b"body"), 505, method_expected, (0, 0)),
        ([publish(), flow()].concat(), 505, header_expected, (60, 40)),
        ([publish(), frame(3, 1, b"body")].concat(), 505, header_expected, (60, 40)),
        (
            [publish(), class_10].concat(),
            505,
            "UNEXPECTED_FRAME - expected content header for class 60, got one for class 10 instead",
            (60, 40),
        ),
        ([publish(), weight].concat(), 505, header_expected, (60, 40)),
        (
            [publish(), content_header(1, 0), frame(3, 1, b"")].concat(),
            505,
            method_expected,
            (0, 0),
        ),
        (
            [publish(), content_header(1, 5), frame(3, 1, b"abc"), flow()].concat(),
            505,
            body_expected,
            (60, 40),
        ),
        (
            [publish(), content_header(1, 5), content_header(1, 5)].concat(),
            505,
            body_expected,
            (60, 40),
        ),
        (
            [publish(), content_header(1, 5), frame(3, 1, b"abcdef")].concat(),
            501,
            "FRAME_ERROR - content body frame exceeds remaining content size",
            (60, 40),
        ),
        (
            [publish(), content_header(1, 5), frame(3, 1, b"abc"), frame(3, 1, b"def")].concat(),
            501,
            "FRAME_ERROR - content body frame exceeds remaining content size",
            (60, 40),
        ),
        (
            [publish(), content_header(1, (512 << 20) + 1)].concat(),
            501,
            "FRAME_ERROR - content body size 536870913 exceeds maximum allowed size 536870912",
            (60, 40),
        ),
    ]);
}

#[test]
fn methods_that_end_the_connection_say_why() {
    let flow = bytes_of(1, channel::Flow { active: false });
    let mut qos = method_payload(basic::Qos { prefetch_count: 1, global: false });
    qos[7] = 9;
    let consume = || {
        bytes_of(
            1,
            basic::Consume {
                queue: "errors-tagged".into(),
                consumer_tag: "t".into(),
                nowait: true,
                ..Default::default()
            },
        )
    };
    let reply_to = basic::Consume {
        queue: "amq.rabbitmq.reply-to".into(),
        no_ack: true,
        ..Default::default()
    };
    let immediate = basic::Publish { immediate: true, ..Default::default() };
    Client::connect().declare(1, "errors-tagged");
    let expected_open = "CHANNEL_ERROR - expected 'channel.open'";
    check_hard(vec![
        (
            bytes_of(1, channel::Open {}),
            504,
            "CHANNEL_ERROR - second 'channel.open' seen",
            (20, 10),
        ),
        (bytes_of(7, channel::Flow { active: true }), 504, expected_open, (20, 20)),
        (bytes_of(7, basic::Publish::default()), 504, expected_open, (60, 40)),
        (
            content_header(7, 5),
            505,
            "UNEXPECTED_FRAME - expected method frame, got non method frame instead",
            (0, 0),
        ),
        (flow, 540, "NOT_IMPLEMENTED - active=false", (20, 20)),
        (frame(1, 1, &qos), 540, "NOT_IMPLEMENTED - prefetch_size!=0 (9)", (60, 10)),
        (
            [bytes_of(1, immediate), content_header(1, 0)].concat(),
            540,
            "NOT_IMPLEMENTED - immediate=true",
            (60, 40),
        ),
        (
            bytes_of(1, basic::Recover { requeue: false }),
            540,
            "NOT_IMPLEMENTED - requeue=false",
            (60, 110),
        ),
        (
            bytes_of(1, basic::RecoverAsync { requeue: false }),
            540,
            "NOT_IMPLEMENTED - requeue=false",
            (60, 100),
        ),
        (
            [consume(), consume()].concat(),
            530,
            "NOT_ALLOWED - attempt to reuse consumer tag 't'",
            (60, 20),
        ),
        (
            bytes_of(1, reply_to),
            540,
            "NOT_IMPLEMENTED - direct reply-to is not supported yet",
            (60, 20),
        ),
    ]);
}

#[test]
fn long_reply_texts_are_cut() {
    let name = "é".repeat(127);
    let mut client = Client::connect();
    client.send(1, basic::Get { queue: name.as_str().into(), no_ack: true });
    let refusal = client.refusal(1);
    assert_eq!(refusal.code, 404);
    assert!(refusal.text.len() <= 255 && refusal.text.ends_with("..."), "{refusal:?}");
    assert!(refusal.text.starts_with("NOT_FOUND - no queue 'éé"), "{refusal:?}");
}

#[test]
fn access_request_is_granted() {
    let mut client = Client::connect();
    let request = access::Request { realm: "/data".into(), ..Default::default() };
    let answer = client.call(1, request);
    assert!(matches!(answer, AMQPClass::Access(access::AMQPMethod::RequestOk(_))), "{answer:?}");
    client.call(1, declare_exchange("errors-after-access", "fanout"));
}
