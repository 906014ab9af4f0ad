//! Exchanges, bindings and routing (SEMANTICS.md 5).

mod support;

use haremq_protocol::method::{AMQPClass, basic, exchange, queue};
use haremq_protocol::properties::BasicProperties;
use haremq_protocol::types::{AMQPValue, FieldTable};

use support::{Client, Event, IntoMethod, Post, arguments, long, on_each_core, text};

fn declare(exchange: &str, kind: &str) -> exchange::Declare {
    exchange::Declare { exchange: exchange.into(), kind: kind.into(), ..Default::default() }
}

fn bind(queue: &str, exchange: &str, key: &str, arguments: FieldTable) -> queue::Bind {
    queue::Bind {
        queue: queue.into(),
        exchange: exchange.into(),
        routing_key: key.into(),
        nowait: false,
        arguments,
    }
}

fn bind_exchange(destination: &str, source: &str, key: &str) -> exchange::Bind {
    exchange::Bind {
        destination: destination.into(),
        source: source.into(),
        routing_key: key.into(),
        ..Default::default()
    }
}

/// More bindings than go at once, with the keys `a.0` to `a.4999`.
fn bind_many(client: &mut Client, queue: &str, exchange: &str) {
    for at in 0..5_000 {
        let mut bind = bind(queue, exchange, &format!("a.{at}"), FieldTable::default());
        bind.nowait = true;
        client.send(1, bind);
    }
}

/// Publishes a text under a key.
fn publish(client: &mut Client, exchange: &str, key: &str, body: &str) {
    client.publish(1, &Post { exchange, key, body: body.as_bytes(), ..Default::default() });
}

/// Whether the exchange is there.
fn exists(client: &mut Client, exchange: &str) -> bool {
    client.open(99);
    let passive =
        exchange::Declare { exchange: exchange.into(), passive: true, ..Default::default() };
    client.send(99, passive);
    let event = client.event(99);
    let exists = match event {
        support::Event::Method { .. } => true,
        support::Event::ChannelClosed { close: Some(close), .. } => {
            assert_eq!(close.reply_code, 404);
            false
        }
        other => panic!("{other:?}"),
    };
    if exists {
        client.close_channel(99);
    }
    exists
}

#[test]
fn the_predeclared_exchanges_are_there() {
    let mut client = Client::connect();
    let predeclared = [
        ("amq.direct", "direct"),
        ("amq.fanout", "fanout"),
        ("amq.topic", "topic"),
        ("amq.headers", "headers"),
        ("amq.match", "headers"),
    ];
    for (name, kind) in predeclared {
        assert!(exists(&mut client, name), "{name}");
        let again = exchange::Declare { durable: true, ..declare(name, kind) };
        let answer = client.call(1, again);
        assert!(matches!(answer, AMQPClass::Exchange(exchange::AMQPMethod::DeclareOk(_))));
    }
    let trace = exchange::Declare {
        durable: true,
        internal: true,
        ..declare("amq.rabbitmq.trace", "topic")
    };
    client.call(1, trace);
}

#[test]
fn a_publish_to_an_internal_or_missing_exchange_closes_the_channel() {
    let mut client = Client::connect();
    client.call(1, exchange::Declare { internal: true, ..declare("exchanges-inside", "fanout") });
    for (number, exchange, code, text) in [
        (
            2,
            "exchanges-inside",
            403,
            "ACCESS_REFUSED - cannot publish to internal exchange 'exchanges-inside' in vhost '/'",
        ),
        (3, "exchanges-none", 404, "NOT_FOUND - no exchange 'exchanges-none' in vhost '/'"),
    ] {
        client.open(number);
        client.publish(number, &Post { exchange, ..Default::default() });
        let refusal = client.refusal(number);
        refusal.assert(code, text);
        assert_eq!(refusal.class_and_method, (60, 40));
    }
}

#[test]
fn an_internal_exchange_can_be_a_destination() {
    on_each_core("exchanges-inner", |client, name| {
        client.call(1, exchange::Declare { internal: true, ..declare(name, "fanout") });
        client.declare(1, name);
        client.call(1, bind(name, name, "", FieldTable::default()));
        client.call(1, bind_exchange(name, "amq.direct", name));
        publish(client, "amq.direct", name, "through");
        assert_eq!(client.drain(1, name), ["through"]);
    });
}

#[test]
fn the_default_exchange_reaches_each_queue_by_its_name() {
    on_each_core("exchanges-default", |client, name| {
        client.declare(1, name);
        client.post(1, name, "one");
        client.post(1, &name.to_uppercase(), "no such queue");
        assert_eq!(client.drain(1, name), ["one"]);
    });
}

#[test]
fn direct_compares_octets_and_fanout_nothing() {
    on_each_core("exchanges-direct", |client, name| {
        let other = format!("{name}-other");
        client.declare(1, name);
        client.declare(1, &other);
        client.call(1, declare(name, "direct"));
        client.call(1, declare(&other, "fanout"));
        client.call(1, bind(name, name, "Key", FieldTable::default()));
        client.call(1, bind(&other, name, "key", FieldTable::default()));
        client.call(1, bind(name, &other, "a", FieldTable::default()));
        client.call(1, bind(&other, &other, "b", FieldTable::default()));
        publish(client, name, "Key", "1");
        publish(client, name, "key", "2");
        publish(client, name, "keyy", "nowhere");
        publish(client, &other, "c", "3");
        assert_eq!(client.drain(1, name), ["1", "3"]);
        assert_eq!(client.drain(1, &other), ["2", "3"]);
    });
}

#[test]
fn topic_patterns_match_as_in_the_table() {
    // TOP-3.
    let table: [(&str, &[&str], &[&str]); 11] = [
        ("#", &["", "a", "a.b", "."], &[]),
        ("*", &["a", "abc"], &["", "a.b"]),
        ("", &[""], &["a", "."]),
        ("a.#", &["a", "a.b", "a.b.c", "a."], &["ab", ""]),
        ("#.a", &["a", "x.a", "x.y.a"], &["a.x"]),
        ("a.*", &["a.b", "a."], &["a", "a.b.c"]),
        ("*.*", &["a.b", "."], &["a", ""]),
        ("#.#", &["", "a", "a.b.c"], &[]),
        ("*.#", &["a", "a.b", "."], &[""]),
        ("a.#.b", &["a.b", "a.x.b", "a.x.y.b"], &["a", "a.x"]),
        ("..", &[".."], &[".", "a.b.c"]),
    ];
    let mut client = Client::connect();
    for (place, (pattern, matching, other)) in table.into_iter().enumerate() {
        let name = format!("exchanges-topic-{place}");
        client.declare(1, &name);
        client.call(1, declare(&name, "topic"));
        client.call(1, bind(&name, &name, pattern, FieldTable::default()));
        for key in matching.iter().chain(other) {
            publish(&mut client, &name, key, key);
        }
        assert_eq!(client.drain(1, &name), matching, "{pattern}");
    }
}

#[test]
fn headers_match_as_their_mode_says() {
    let x_match = |mode: &str| ("x-match", text(mode));
    let headers = |client: &mut Client, exchange: &str, headers: Option<FieldTable>, body: &str| {
        let mut properties = BasicProperties::default();
        if let Some(headers) = headers {
            properties = properties.with_headers(headers);
        }
        client.publish(
            1,
            &Post { exchange, properties, body: body.as_bytes(), ..Default::default() },
        );
    };
    let patterns: Vec<(FieldTable, &[&str])> = vec![
        (arguments([x_match("all"), ("a", long(1)), ("b", text("x"))]), &["both", "more"]),
        (arguments([("a", long(1)), ("b", text("x"))]), &["both", "more"]),
        (
            arguments([x_match("any"), ("a", long(1)), ("b", text("x"))]),
            &["both", "more", "a", "a as byte", "b"],
        ),
        (arguments([x_match("any")]), &[]),
        (
            arguments([x_match("all")]),
            &["both", "more", "a", "a as byte", "a as text", "b", "x-a", "none", "absent"],
        ),
        (arguments([("a", AMQPValue::Void)]), &["both", "more", "a", "a as byte", "a as text"]),
        // Keys with x- count only in the modes that say so.
        (
            arguments([x_match("all"), ("x-a", long(7)), ("a", long(1))]),
            &["both", "more", "a", "a as byte"],
        ),
        (arguments([x_match("all-with-x"), ("x-a", long(7))]), &["x-a"]),
        (
            arguments([x_match("any-with-x"), ("x-a", long(7)), ("b", text("x"))]),
            &["both", "more", "b", "x-a"],
        ),
    ];
    let mut client = Client::connect();
    for (place, (pattern, expected)) in patterns.into_iter().enumerate() {
        let name = format!("exchanges-headers-{place}");
        client.declare(1, &name);
        client.call(1, declare(&name, "headers"));
        client.call(1, bind(&name, &name, "ignored", pattern));
        let messages: Vec<(Option<FieldTable>, &str)> = vec![
            (Some(arguments([("a", long(1)), ("b", text("x"))])), "both"),
            (Some(arguments([("a", long(1)), ("b", text("x")), ("c", long(3))])), "more"),
            (Some(arguments([("a", long(1))])), "a"),
            (Some(arguments([("a", AMQPValue::ShortShortInt(1))])), "a as byte"),
            (Some(arguments([("a", text("1"))])), "a as text"),
            (Some(arguments([("b", text("x"))])), "b"),
            (Some(arguments([("x-a", long(7))])), "x-a"),
            (Some(FieldTable::default()), "none"),
            (None, "absent"),
        ];
        for (table, body) in messages {
            headers(&mut client, &name, table, body);
        }
        assert_eq!(client.drain(1, &name), expected, "pattern {place}");
    }
}

#[test]
fn a_message_reaches_a_queue_once_whatever_the_paths() {
    on_each_core("exchanges-once", |client, name| {
        let inner = format!("{name}-inner");
        client.declare(1, name);
        client.call(1, declare(name, "topic"));
        client.call(1, declare(&inner, "fanout"));
        client.call(1, bind(name, name, "a.*", FieldTable::default()));
        client.call(1, bind(name, name, "#", FieldTable::default()));
        client.call(1, bind(name, &inner, "", FieldTable::default()));
        client.call(1, bind_exchange(&inner, name, "a.#"));
        // A cycle, and an exchange that is bound to itself (BND-8).
        client.call(1, bind_exchange(name, &inner, ""));
        client.call(1, bind_exchange(name, name, "#"));
        publish(client, name, "a.b", "once");
        assert_eq!(client.drain(1, name), ["once"]);
    });
}

#[test]
fn a_binding_is_its_key_and_arguments_and_is_there_once() {
    on_each_core("exchanges-binding", |client, name| {
        let headers = || arguments([("x", long(1))]);
        client.declare(1, name);
        client.call(1, declare(name, "direct"));
        client.call(1, bind(name, name, "k", FieldTable::default()));
        client.call(1, bind(name, name, "k", FieldTable::default()));
        client.call(1, bind(name, name, "k", headers()));
        let unbind = |arguments: FieldTable| queue::Unbind {
            queue: name.into(),
            exchange: name.into(),
            routing_key: "k".into(),
            arguments,
        };
        client.call(1, unbind(FieldTable::default()));
        publish(client, name, "k", "by the other");
        client.call(1, unbind(arguments([("x", long(2))])));
        publish(client, name, "k", "still");
        client.call(1, unbind(headers()));
        publish(client, name, "k", "gone");
        assert_eq!(client.drain(1, name), ["by the other", "still"]);
    });
}

#[test]
fn what_is_not_there_is_unbound_and_deleted_with_ok() {
    let mut client = Client::connect();
    client.declare(1, "exchanges-idempotent");
    let unbind = |queue: &str, exchange: &str| queue::Unbind {
        queue: queue.into(),
        exchange: exchange.into(),
        ..Default::default()
    };
    let calls = [
        unbind("exchanges-idempotent", "amq.direct").into_method(),
        unbind("exchanges-nothing", "amq.direct").into_method(),
        unbind("exchanges-idempotent", "exchanges-nothing").into_method(),
        exchange::Unbind {
            destination: "exchanges-nothing".into(),
            source: "amq.direct".into(),
            ..Default::default()
        }
        .into_method(),
        exchange::Delete { exchange: "exchanges-nothing".into(), ..Default::default() }
            .into_method(),
        queue::Delete { queue: "exchanges-nothing".into(), ..Default::default() }.into_method(),
    ];
    for call in calls {
        let answer = support::method_payload(client.call(1, call.clone()));
        // unbind-ok of exchanges is 51 and not 41 (WIRE-31).
        let sent = support::method_payload(call);
        let expected = if (sent[1], sent[3]) == (40, 40) { 51 } else { sent[3] + 1 };
        assert_eq!((answer[1], answer[3]), (sent[1], expected));
    }
}

#[test]
fn an_auto_delete_exchange_goes_with_its_last_binding_as_source() {
    on_each_core("exchanges-auto", |client, name| {
        let (outer, kept) = (format!("{name}-outer"), format!("{name}-kept"));
        client.declare(1, name);
        for exchange in [name, outer.as_str(), kept.as_str()] {
            client.call(1, exchange::Declare { auto_delete: true, ..declare(exchange, "fanout") });
        }
        // The one that is only a destination stays, the two in a chain go together.
        client.call(1, bind_exchange(name, &outer, ""));
        client.call(1, bind(name, name, "", FieldTable::default()));
        assert!(exists(client, name) && exists(client, &outer));
        client.call(1, queue::Delete { queue: name.into(), ..Default::default() });
        assert!(!exists(client, name), "its last binding went with the queue");
        assert!(!exists(client, &outer), "its last binding went with its destination");
        assert!(exists(client, &kept), "it never had a binding");
    });
}

#[test]
fn deleting_an_exchange_removes_its_bindings_only() {
    on_each_core("exchanges-delete", |client, name| {
        client.declare(1, name);
        client.call(1, declare(name, "fanout"));
        client.call(1, bind(name, name, "", FieldTable::default()));
        publish(client, name, "", "before");
        client.call(1, exchange::Delete { exchange: name.into(), ..Default::default() });
        client.call(1, declare(name, "fanout"));
        publish(client, name, "", "unbound");
        assert_eq!(client.drain(1, name), ["before"]);
    });
}

#[test]
fn a_binding_is_seen_by_all_connections_after_bind_ok() {
    on_each_core("exchanges-seen", |client, name| {
        let mut others: Vec<Client> = (0..3).map(|_| Client::connect()).collect();
        client.declare(1, name);
        client.call(1, declare(name, "fanout"));
        client.call(1, bind(name, name, "", FieldTable::default()));
        for other in &mut others {
            other.select_confirms(1);
            publish(other, name, "", "seen");
            other.await_acks(1, 1);
        }
        assert_eq!(client.drain(1, name), ["seen"; 3]);
        client.call(
            1,
            queue::Unbind { queue: name.into(), exchange: name.into(), ..Default::default() },
        );
        for other in &mut others {
            publish(other, name, "", "unseen");
            other.close_channel(1);
        }
        assert_eq!(client.drain(1, name), [""; 0]);
    });
}

#[test]
fn nowait_suppresses_the_answer_and_not_the_error() {
    let mut client = Client::connect();
    client.send(1, exchange::Declare { nowait: true, ..declare("exchanges-nowait", "fanout") });
    client.send(
        1,
        exchange::Delete { exchange: "exchanges-other".into(), nowait: true, ..Default::default() },
    );
    let passive = exchange::Declare { passive: true, ..declare("exchanges-nowait", "fanout") };
    // The first answer of all is the one to this.
    client.call(1, passive);
    client.declare(1, "exchanges-nowait");
    client.send(1, exchange::Declare { nowait: true, ..declare("exchanges-nowait", "direct") });
    assert_eq!(client.refusal(1).code, 406);
}

#[test]
fn a_queue_or_exchange_with_many_bindings_is_gone_with_all_of_them() {
    on_each_core("exchanges-many", |client, name| {
        let make = |client: &mut Client| {
            client.call(1, declare(name, "topic"));
            client.declare(1, name);
            bind_many(client, name, name);
            publish(client, name, "a.4999", "x");
            assert_eq!(client.count(1, name), (1, 0));
        };
        make(client);
        client.call(1, queue::Delete { queue: name.into(), ..Default::default() });
        client.declare(1, name);
        publish(client, name, "a.4999", "x");
        assert_eq!(client.count(1, name), (0, 0));

        make(client);
        client.call(1, exchange::Delete { exchange: name.into(), ..Default::default() });
        assert!(!exists(client, name));
        client.call(1, declare(name, "topic"));
        publish(client, name, "a.4999", "x");
        assert_eq!(client.count(1, name), (1, 0));
    });
}

#[test]
fn what_names_an_exchange_that_is_losing_many_bindings_waits_until_it_is_gone() {
    on_each_core("exchanges-losing", |client, name| {
        client.call(1, declare(name, "topic"));
        client.declare(1, name);
        bind_many(client, name, name);
        client.count(1, name);
        client.open(2);
        client.send(1, exchange::Delete { exchange: name.into(), ..Default::default() });
        client.send(2, bind(name, name, "late", FieldTable::default()));
        assert!(matches!(client.method(1), AMQPClass::Exchange(exchange::AMQPMethod::DeleteOk(_))));
        let text = format!("NOT_FOUND - no exchange '{name}' in vhost '/'");
        client.refusal(2).assert(404, &text);
    });
}

#[test]
fn cancel_ok_means_that_its_auto_delete_queue_is_gone_with_many_bindings_as_with_few() {
    on_each_core("exchanges-cancel", |client, name| {
        client.call(1, declare(name, "topic"));
        let mut queues = Vec::new();
        for channel in [1, 2] {
            if channel == 2 {
                client.open(2);
            }
            // Those that the broker names live on the connection's own core.
            let auto_delete = queue::Declare { auto_delete: true, ..Default::default() };
            queues.push(client.declare_as(channel, auto_delete));
            client.consume(channel, &queues[usize::from(channel) - 1], "t");
        }
        bind_many(client, &queues[0], name);
        client.count(1, &queues[0]);
        for channel in [1, 2] {
            let cancel = basic::Cancel { consumer_tag: "t".into(), nowait: false };
            client.send(channel, cancel);
        }
        client.method(1);
        let post = Post { key: &queues[0], mandatory: true, body: b"x", ..Default::default() };
        client.publish(1, &post);
        assert!(matches!(client.event(1), Event::Return { .. }));
        client.method(2);
        client.publish(2, &Post { key: &queues[1], ..post });
        assert!(matches!(client.event(2), Event::Return { .. }));
    });
}
