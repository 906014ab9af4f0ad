//! Queues: declare, exclusive, auto-delete, delete, purge (SEMANTICS.md 6).

mod support;

use haremq_protocol::client::ClientConfig;
use haremq_protocol::method::{AMQPClass, basic, exchange, queue};
use haremq_protocol::types::AMQPValue;

use support::{Client, Event, arguments, long, on_each_core, text};

fn named(queue: &str) -> queue::Declare {
    queue::Declare { queue: queue.into(), ..Default::default() }
}

#[track_caller]
fn declare_ok(client: &mut Client, declare: queue::Declare) -> (String, u32, u32) {
    match client.call(1, declare) {
        AMQPClass::Queue(queue::AMQPMethod::DeclareOk(ok)) => {
            (ok.queue.to_string(), ok.message_count, ok.consumer_count)
        }
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn delete(client: &mut Client, queue: &str) -> u32 {
    match client.call(1, queue::Delete { queue: queue.into(), ..Default::default() }) {
        AMQPClass::Queue(queue::AMQPMethod::DeleteOk(ok)) => ok.message_count,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn purge(client: &mut Client, queue: &str) -> u32 {
    match client.call(1, queue::Purge { queue: queue.into(), nowait: false }) {
        AMQPClass::Queue(queue::AMQPMethod::PurgeOk(ok)) => ok.message_count,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn assert_missing(client: &mut Client, queue: &str) {
    client.open(99);
    client.send(99, queue::Declare { passive: true, ..named(queue) });
    client.refusal(99).assert(404, &format!("NOT_FOUND - no queue '{queue}' in vhost '/'"));
}

#[test]
fn declare_ok_counts_what_is_ready_and_who_consumes() {
    on_each_core("queues-counts", |client, name| {
        assert_eq!(declare_ok(client, named(name)), (name.into(), 0, 0));
        for body in ["1", "2", "3"] {
            client.post(1, name, body);
        }
        assert_eq!(declare_ok(client, named(name)), (name.into(), 3, 0));
        client.get(1, name).expect("it has three");
        assert_eq!(declare_ok(client, named(name)), (name.into(), 2, 0));
        client.qos(1, 1, false);
        client.consume(1, name, "a");
        client.consume(1, name, "b");
        client.delivery(1);
        client.delivery(1);
        let passive = queue::Declare { passive: true, durable: true, ..named(name) };
        assert_eq!(declare_ok(client, passive), (name.into(), 0, 2));
    });
}

#[test]
fn the_server_makes_up_names() {
    let mut client = Client::connect();
    let names: Vec<String> = (0..4)
        .map(|_| client.declare_as(1, queue::Declare { exclusive: true, ..named("") }))
        .collect();
    for name in &names {
        let random = name.strip_prefix("amq.gen-").expect("it has the prefix");
        assert_eq!(random.len(), 22);
        assert!(random.bytes().all(|it| it.is_ascii_alphanumeric() || b"-_".contains(&it)));
        client.post(1, name, name);
        assert_eq!(client.drain(1, name), [name.as_str()]);
        assert_eq!(client.count(1, name), (0, 0));
    }
    assert_eq!(names.iter().collect::<std::collections::BTreeSet<_>>().len(), 4);
    client.send(1, queue::Declare { exclusive: true, ..named(&names[0]) });
    assert_eq!(client.refusal(1).code, 403);
}

#[test]
fn equivalent_redeclares_are_fine() {
    on_each_core("queues-equivalent", |client, name| {
        let with = |value: AMQPValue| queue::Declare {
            arguments: arguments([("x-message-ttl", value), ("x-foo", long(1))]),
            ..named(name)
        };
        client.declare_as(1, with(long(60_000)));
        // Other widths, another unknown argument, the default type by name.
        client.declare_as(1, with(AMQPValue::LongLongInt(60_000)));
        client.declare_as(1, with(AMQPValue::ShortUInt(60_000)));
        let arguments = arguments([
            ("x-message-ttl", AMQPValue::LongUInt(60_000)),
            ("x-foo", text("other")),
            ("x-queue-type", text("classic")),
        ]);
        client.declare_as(1, queue::Declare { arguments, ..named(name) });
    });
}

#[test]
fn an_exclusive_queue_is_its_connections_alone_but_takes_publishes_of_all() {
    on_each_core("queues-exclusive", |client, name| {
        client.declare_as(1, queue::Declare { exclusive: true, durable: true, ..named(name) });
        client.declare_as(1, queue::Declare { exclusive: true, ..named(name) });
        client.open(2);
        assert_eq!(client.count(2, name), (0, 0));
        let mut other = Client::connect();
        other.select_confirms(1);
        other.post(1, name, "from another");
        other.await_acks(1, 1);
        other.send(1, queue::Declare { exclusive: true, ..named(name) });
        assert_eq!(other.refusal(1).code, 405);
        other.open(1);
        assert_eq!(client.drain(2, name), ["from another"]);
        let mut third = Client::connect();
        third.declare(1, &format!("{name}-shared"));
        drop(other);
        client.send(2, queue::Declare { exclusive: true, ..named(&format!("{name}-shared")) });
        assert_eq!(client.refusal(2).code, 405);
    });
}

#[test]
fn exclusive_queues_are_gone_before_close_ok() {
    on_each_core("queues-gone", |client, name| {
        for round in 0..3 {
            let mut owner = Client::connect();
            owner.declare_as(1, queue::Declare { exclusive: true, ..named(name) });
            owner.post(1, name, "dropped");
            owner.close();
            if round == 1 {
                assert_missing(client, name);
            } else {
                client.declare(1, name);
                assert_eq!(delete(client, name), 0);
            }
        }
    });
}

#[test]
fn an_auto_delete_queue_goes_with_its_last_consumer_before_the_answer() {
    on_each_core("queues-auto", |client, name| {
        let auto = || queue::Declare { auto_delete: true, ..named(name) };
        client.declare_as(1, auto());
        client.post(1, name, "dropped");
        client.get(1, name).expect("no consumer, no end");
        client.consume(1, name, "a");
        client.consume(1, name, "b");
        client.call(1, basic::Cancel { consumer_tag: "a".into(), nowait: false });
        assert_eq!(client.count(1, name), (0, 1));
        client.call(1, basic::Cancel { consumer_tag: "b".into(), nowait: false });
        assert_missing(client, name);
        // What was taken from it is settled silently.
        client.ack(1, 1);
        client.open(2);
        client.declare_as(2, auto());
        client.consume(2, name, "c");
        client.close_channel(2);
        assert_missing(client, name);
    });
}

#[test]
fn delete_counts_and_checks_empty_before_unused() {
    on_each_core("queues-delete", |client, name| {
        assert_eq!(delete(client, name), 0);
        client.declare(1, name);
        for body in ["1", "2", "3"] {
            client.post(1, name, body);
        }
        client.get(1, name).expect("it has three");
        let mut other = Client::connect();
        other.qos(1, 1, false);
        other.consume(1, name, "t");
        other.delivery(1);
        client.open(2);
        client.send(
            2,
            queue::Delete {
                queue: name.into(),
                if_unused: true,
                if_empty: true,
                ..Default::default()
            },
        );
        let text = format!("PRECONDITION_FAILED - queue '{name}' in vhost '/' not empty");
        client.refusal(2).assert(406, &text);
        assert_eq!(delete(client, name), 1);
        assert_missing(client, name);
        // Tags of a queue that is gone are good for an ack (ACK-5).
        client.ack(1, 1);
        other.method(1);
        other.ack(1, 1);
        assert_eq!(client.declare(1, name), name);
        assert_eq!(client.count(1, name), (0, 0));
        other.settle_down(1, name);
    });
}

#[test]
fn a_delete_sees_what_its_channel_published_and_gave_back_before() {
    on_each_core("queues-before", |client, name| {
        client.declare(1, name);
        let delete =
            queue::Delete { queue: name.into(), if_empty: true, if_unused: false, nowait: false };
        let text = format!("PRECONDITION_FAILED - queue '{name}' in vhost '/' not empty");
        for round in 0..20 {
            client.open(2);
            client.post(2, name, "x");
            client.send(2, delete.clone());
            client.refusal(2).assert(406, &text);
            client.open(2);
            let get = basic::Get { queue: name.into(), no_ack: false };
            let got = client.get_as(2, get).expect("it was not deleted");
            if round % 2 == 0 {
                client.reject(2, got.tag, true);
                client.send(2, delete.clone());
                client.refusal(2).assert(406, &text);
            } else {
                client.close_channel(2);
            }
            assert_eq!(client.drain(1, name), ["x"]);
        }
    });
}

#[test]
fn deletes_in_a_row_are_answered_in_order() {
    on_each_core("queues-row", |client, name| {
        let names: Vec<String> = (0..20).map(|at| format!("{name}-{at}")).collect();
        for (at, queue) in names.iter().enumerate() {
            client.declare(1, queue);
            for _ in 0..at {
                client.post(1, queue, "x");
            }
        }
        for queue in &names {
            client.send(1, queue::Delete { queue: queue.as_str().into(), ..Default::default() });
            client.send(1, named(queue));
        }
        for at in 0..20 {
            let deleted = queue::AMQPMethod::DeleteOk(queue::DeleteOk { message_count: at });
            assert_eq!(client.method(1), AMQPClass::Queue(deleted));
            assert!(matches!(
                client.method(1),
                AMQPClass::Queue(queue::AMQPMethod::DeclareOk(queue::DeclareOk {
                    message_count: 0,
                    ..
                }))
            ));
        }
    });
}

#[test]
fn unacknowledged_messages_do_not_keep_a_queue_from_being_empty() {
    on_each_core("queues-empty", |client, name| {
        client.declare(1, name);
        client.post(1, name, "x");
        client.get(1, name).expect("it has one");
        let delete =
            queue::Delete { queue: name.into(), if_empty: true, if_unused: true, nowait: false };
        assert!(matches!(client.call(1, delete), AMQPClass::Queue(queue::AMQPMethod::DeleteOk(_))));
    });
}

#[test]
fn purge_takes_what_is_ready_and_counts_it() {
    on_each_core("queues-purge", |client, name| {
        client.declare(1, name);
        for body in ["1", "2", "3", "4"] {
            client.post(1, name, body);
        }
        client.get(1, name).expect("it has four");
        assert_eq!(purge(client, name), 3);
        assert_eq!(purge(client, name), 0);
        client.reject(1, 1, true);
        assert_eq!(client.drain(1, name), ["1"]);
    });
}

#[test]
fn a_large_purge_and_a_large_delete_do_not_hold_the_queue_up() {
    on_each_core("queues-large", |client, name| {
        client.declare(1, name);
        for _ in 0..6000 {
            client.post(1, name, "x");
        }
        assert_eq!(purge(client, name), 6000);
        for _ in 0..6000 {
            client.post(1, name, "y");
        }
        assert_eq!(delete(client, name), 6000);
        client.declare(1, name);
        client.post(1, name, "z");
        assert_eq!(client.drain(1, name), ["z"]);
    });
}

#[test]
fn messages_do_not_outlive_their_queue_and_its_bindings_neither() {
    on_each_core("queues-again", |client, name| {
        client.call(
            1,
            exchange::Declare {
                exchange: name.into(),
                kind: "fanout".into(),
                ..Default::default()
            },
        );
        client.declare(1, name);
        client.call(
            1,
            queue::Bind { queue: name.into(), exchange: name.into(), ..Default::default() },
        );
        client.post(1, name, "old");
        assert_eq!(delete(client, name), 1);
        client.declare(1, name);
        let exchange = name;
        client.publish(1, &support::Post { exchange, body: b"unbound", ..Default::default() });
        client.post(1, name, "new");
        assert_eq!(client.drain(1, name), ["new"]);
    });
}

#[test]
fn deleting_a_queue_cancels_its_consumers_where_they_understand_it() {
    on_each_core("queues-cancel", |client, name| {
        client.declare(1, name);
        let mut told = Client::connect();
        told.consume(1, name, "told");
        let properties = arguments([]);
        let mut untold = Client::with(ClientConfig { properties, ..ClientConfig::default() });
        untold.open(1);
        untold.consume(1, name, "untold");
        client.consume(1, name, "own");
        assert_eq!(client.count(1, name), (0, 3));
        client.send(1, queue::Delete { queue: name.into(), ..Default::default() });
        let cancel = |tag: &str| Event::Method {
            channel: 1,
            method: AMQPClass::Basic(basic::AMQPMethod::Cancel(basic::Cancel {
                consumer_tag: tag.into(),
                nowait: true,
            })),
        };
        told.await_event(|event| *event == cancel("told"));
        client.await_event(|event| *event == cancel("own"));
        client.await_event(|event| {
            matches!(event, Event::Method { method: AMQPClass::Queue(_), .. })
        });
        // The answer of a client that is polite is ignored (CON-8).
        told.send(1, basic::CancelOk { consumer_tag: "told".into() });
        client.declare(1, name);
        for other in [&mut told, &mut untold] {
            other.settle_down(1, name);
            other.assert_quiet(1);
            // Its tags are free.
            other.consume(1, name, "told");
            other.consume(1, name, "untold");
        }
    });
}

#[test]
fn nowait_declares_bind_and_consume_in_one_go() {
    on_each_core("queues-nowait", |client, name| {
        client.send(1, queue::Declare { nowait: true, ..named(name) });
        client.send(
            1,
            queue::Bind {
                exchange: "amq.direct".into(),
                routing_key: name.into(),
                nowait: true,
                ..Default::default()
            },
        );
        client.send(
            1,
            basic::Consume { consumer_tag: "t".into(), nowait: true, ..Default::default() },
        );
        let post =
            support::Post { exchange: "amq.direct", key: name, body: b"x", ..Default::default() };
        client.publish(1, &post);
        assert_eq!(client.delivery(1).body(), "x");
        client.assert_quiet(1);
        client.send(1, queue::Delete { queue: name.into(), nowait: true, ..Default::default() });
        client.send(1, queue::Declare { passive: true, ..named(name) });
        client.refusal(1).assert(404, &format!("NOT_FOUND - no queue '{name}' in vhost '/'"));
    });
}

#[test]
fn the_same_declare_by_many_connections_makes_one_queue() {
    let mut clients: Vec<Client> = (0..8).map(|_| Client::connect()).collect();
    for round in 0..10 {
        let name = format!("queues-race-{round}");
        for client in &mut clients {
            client.send(1, named(&name));
        }
        for client in &mut clients {
            assert!(matches!(client.method(1), AMQPClass::Queue(queue::AMQPMethod::DeclareOk(_))));
            client.post(1, &name, "x");
            client.count(1, &name);
        }
        assert_eq!(delete(&mut clients[0], &name), 8);
    }
}
