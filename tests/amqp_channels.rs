//! Channels (SEMANTICS.md 4), and what is left of one that failed (ERR-5).

mod support;

use haremq_protocol::client::ClientConfig;
use haremq_protocol::method::{AMQPClass, basic, channel, exchange, queue, tx};

use support::{Client, Event, IntoMethod, Raw, bytes_of, content_header, frame, on_each_core};

fn passive(queue: &str) -> queue::Declare {
    queue::Declare { queue: queue.into(), passive: true, ..Default::default() }
}

#[test]
fn numbers_need_not_be_contiguous() {
    let mut client = Client::with(ClientConfig::default());
    for number in [7, 2047, 3, 65_535] {
        client.open(number);
    }
}

#[test]
fn the_limit_is_the_count_of_open_channels() {
    let mut raw = Raw::running_with(131_072, 2, 0);
    raw.open(1000);
    raw.open(2);
    raw.send_method(1000, channel::Close::default());
    assert!(matches!(raw.method(), (1000, AMQPClass::Channel(channel::AMQPMethod::CloseOk(_)))));
    raw.open(3);
    raw.send_method(4, channel::Open {});
    let refusal = raw.refusal().expect("it is told");
    refusal.assert(
        530,
        "NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2)",
    );
    assert_eq!(refusal.class_and_method, (20, 10));
}

#[test]
fn a_number_is_free_after_close_ok() {
    on_each_core("channels-reuse", |client, name| {
        client.declare(1, name);
        for _ in 0..50 {
            client.consume(1, name, "t");
            client.close_channel(1);
            client.open(1);
        }
        assert_eq!(client.count(1, name), (0, 0));
    });
}

#[test]
fn flow_is_answered_and_has_no_effect() {
    let mut client = Client::connect();
    let answer = client.call(1, channel::Flow { active: true });
    let expected = channel::AMQPMethod::FlowOk(channel::FlowOk { active: true });
    assert_eq!(answer, AMQPClass::Channel(expected));
}

#[test]
fn close_ok_on_an_unopened_channel_is_ignored() {
    let mut raw = Raw::running();
    raw.send_method(9, channel::CloseOk {});
    raw.open(9);
}

#[test]
fn frames_of_a_failed_channel_are_ignored_until_close_ok() {
    on_each_core("channels-failed", |client, name| {
        client.declare(1, name);
        let mut raw = Raw::running();
        let publish = || {
            let publish = basic::Publish { routing_key: name.into(), ..Default::default() };
            [bytes_of(1, publish), content_header(1, 4), frame(3, 1, b"late")].concat()
        };
        let declare = queue::Declare { queue: "channels-late".into(), ..Default::default() };
        let half_content = [publish(), bytes_of(1, basic::Publish::default())].concat();
        raw.send(
            &[
                bytes_of(1, passive("channels-none")),
                publish(),
                bytes_of(1, declare),
                bytes_of(1, basic::Get { queue: name.into(), no_ack: true }),
                half_content,
                content_header(1, 100),
            ]
            .concat(),
        );
        let refusal = raw.refusal().expect("it is told");
        assert!(!refusal.is_hard);
        assert_eq!(refusal.code, 404);
        raw.send(&frame(3, 1, b"the rest of the content that was cut"));
        raw.send_method(1, channel::CloseOk {});
        // The number is new, and nothing was left of what came before.
        raw.open(1);
        raw.arrive(1, name);
        raw.send_method(1, passive("channels-late"));
        assert_eq!(raw.refusal().expect("it is told").code, 404);
        assert_eq!(client.count(1, name), (0, 0));
    });
}

#[test]
fn a_close_that_crosses_ours_is_answered() {
    let mut raw = Raw::running();
    raw.send(
        &[bytes_of(1, passive("channels-none")), bytes_of(1, channel::Close::default())].concat(),
    );
    let mut methods = [raw.method().1, raw.method().1];
    methods.sort_by_key(|method| {
        matches!(method, AMQPClass::Channel(channel::AMQPMethod::CloseOk(_)))
    });
    assert!(matches!(&methods[0], AMQPClass::Channel(channel::AMQPMethod::Close(_))));
    assert!(matches!(&methods[1], AMQPClass::Channel(channel::AMQPMethod::CloseOk(_))));
    raw.send_method(1, channel::CloseOk {});
    raw.open(1);
}

#[test]
fn open_before_close_ok_is_a_second_open() {
    let mut raw = Raw::running();
    raw.send_method(1, passive("channels-none"));
    assert_eq!(raw.refusal().expect("it is told").code, 404);
    raw.send_method(1, channel::Open {});
    let refusal = raw.refusal().expect("it is told");
    refusal.assert(504, "CHANNEL_ERROR - second 'channel.open' seen");
    assert!(refusal.is_hard);
}

#[test]
fn a_failed_channel_gives_back_what_it_held() {
    on_each_core("channels-requeue", |client, name| {
        client.declare(1, name);
        for body in ["1", "2", "3"] {
            client.post(1, name, body);
        }
        client.open(2);
        client.consume(2, name, "t");
        assert_eq!(client.bodies(2, 3), ["1", "2", "3"]);
        client.ack(2, 2);
        client.send(2, passive("channels-none"));
        assert_eq!(client.refusal(2).code, 404);
        // The close comes after the requeue.
        assert_eq!(client.count(1, name), (2, 0));
        let got = client.get(1, name).expect("it is back");
        assert_eq!((got.body().as_str(), got.redelivered), ("1", true));
    });
}

#[test]
fn pipelined_methods_are_answered_in_order() {
    on_each_core("channels-pipeline", |client, name| {
        let (first, second) = (format!("{name}-a"), format!("{name}-b"));
        let declare = |queue: &str| {
            queue::Declare { queue: queue.into(), ..Default::default() }.into_method()
        };
        let bind = |queue: &str| {
            queue::Bind {
                queue: queue.into(),
                exchange: "amq.direct".into(),
                routing_key: name.into(),
                ..Default::default()
            }
            .into_method()
        };
        client.send_all(
            1,
            vec![
                declare(&first),
                declare(&second),
                bind(&first),
                bind(&second),
                passive(&first).into_method(),
                basic::Qos { prefetch_count: 5, global: false }.into_method(),
                basic::Consume { queue: second.as_str().into(), ..Default::default() }
                    .into_method(),
                queue::Delete { queue: first.as_str().into(), ..Default::default() }.into_method(),
                channel::Flow { active: true }.into_method(),
            ],
        );
        let mut ids = Vec::new();
        for _ in 0..9 {
            let payload = support::method_payload(client.method(1));
            ids.push((payload[1], payload[3]));
        }
        let expected = [
            (50, 11),
            (50, 11),
            (50, 21),
            (50, 21),
            (50, 11),
            (60, 11),
            (60, 21),
            (50, 41),
            (20, 21),
        ];
        assert_eq!(ids, expected);
    });
}

#[test]
fn an_empty_name_means_the_queue_declared_last_even_when_pipelined() {
    on_each_core("channels-last", |client, name| {
        let bind = |exchange: &str, routing_key: &str| queue::Bind {
            queue: "".into(),
            exchange: exchange.into(),
            routing_key: routing_key.into(),
            ..Default::default()
        };
        client.send_all(
            1,
            vec![
                queue::Declare { exclusive: true, ..Default::default() }.into_method(),
                // Both empty: the key is the queue's name too.
                bind("amq.direct", "").into_method(),
                bind("amq.topic", name).into_method(),
                basic::Consume { consumer_tag: "t".into(), ..Default::default() }.into_method(),
            ],
        );
        let AMQPClass::Queue(queue::AMQPMethod::DeclareOk(ok)) = client.method(1) else {
            panic!("declare-ok comes first");
        };
        let queue = ok.queue.to_string();
        for _ in 0..3 {
            client.method(1);
        }
        for (exchange, key) in [("amq.direct", queue.as_str()), ("amq.topic", name)] {
            let post = support::Post { exchange, key, body: key.as_bytes(), ..Default::default() };
            client.publish(1, &post);
            assert_eq!(client.delivery(1).body(), key);
        }
    });
}

#[test]
fn an_empty_key_stays_empty_when_the_queue_is_named() {
    let mut client = Client::connect();
    client.declare(1, "channels-named");
    let bind = queue::Bind {
        queue: "channels-named".into(),
        exchange: "amq.direct".into(),
        ..Default::default()
    };
    client.call(1, bind);
    for (key, body) in [("channels-named", "by name"), ("", "by nothing")] {
        let exchange = "amq.direct";
        client.publish(
            1,
            &support::Post { exchange, key, body: body.as_bytes(), ..Default::default() },
        );
    }
    assert_eq!(client.drain(1, "channels-named"), ["by nothing"]);
}

#[test]
fn a_passive_declare_counts_as_declared_last() {
    let mut client = Client::connect();
    client.declare(1, "channels-passive");
    client.declare(1, "channels-other");
    client.count(1, "channels-passive");
    client.post(1, "channels-passive", "here");
    assert_eq!(client.drain(1, ""), ["here"]);
    assert_eq!(client.drain(1, "channels-other"), [""; 0]);
}

#[test]
fn line_ends_are_removed_from_names() {
    let mut client = Client::connect();
    assert_eq!(client.declare(1, "channels-\r\nline\n"), "channels-line");
    assert_eq!(client.count(1, "channels-line"), (0, 0));
    client.call(
        1,
        exchange::Declare {
            exchange: "channels\n-x".into(),
            kind: "fanout".into(),
            ..Default::default()
        },
    );
    client.call(
        1,
        exchange::Declare { exchange: "channels-x".into(), passive: true, ..Default::default() },
    );
}

#[test]
fn names_of_255_octets_of_utf8_work() {
    let name = format!("{}x", "ü".repeat(127));
    let mut client = Client::connect();
    assert_eq!(client.declare(1, &name), name);
    client.post(1, &name, "found");
    assert_eq!(client.drain(1, &name), ["found"]);
}

#[test]
fn a_later_command_of_a_failed_channel_is_as_if_never_sent() {
    on_each_core("channels-skip", |client, name| {
        let declare = |queue: &str| {
            queue::Declare { queue: queue.into(), ..Default::default() }.into_method()
        };
        client.open(2);
        client.send_all(2, vec![declare(name), declare("amq.no"), declare("channels-skipped")]);
        let answer = client.method(2);
        assert!(matches!(answer, AMQPClass::Queue(queue::AMQPMethod::DeclareOk(_))));
        assert_eq!(client.refusal(2).code, 403);
        assert_eq!(client.count(1, name), (0, 0));
        client.send(1, passive("channels-skipped"));
        assert_eq!(client.refusal(1).code, 404);
    });
}

#[test]
fn only_close_is_legal_while_a_commit_is_pending() {
    let mut client = Client::connect();
    client.declare(1, "channels-commit");
    client.call(1, tx::Select {});
    client.post(1, "channels-commit", "x");
    client.send_all(1, vec![tx::Commit {}.into_method(), channel::Close::default().into_method()]);
    client.await_event(|event| matches!(event, Event::ChannelClosed { close: None, .. }));
    client.open(1);
    assert_eq!(client.drain(1, "channels-commit"), ["x"]);
}

#[test]
fn channels_of_one_connection_do_not_wait_for_each_other() {
    let mut client = Client::connect();
    client.declare(1, "channels-apart");
    for number in 2..=40 {
        client.open(number);
        client.consume(number, "channels-apart", "same tag");
    }
    for _ in 0..39 {
        client.post(1, "channels-apart", "x");
    }
    for number in 2..=40 {
        let delivery = client.delivery(number);
        assert_eq!(delivery.tag, 1);
        client.ack(number, 1);
    }
    for number in 2..=40 {
        client.close_channel(number);
    }
    assert_eq!(client.count(1, "channels-apart"), (0, 0));
}
