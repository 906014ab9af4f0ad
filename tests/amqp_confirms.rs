//! Publisher confirms (SEMANTICS.md 8).

mod support;

use haremq_protocol::method::{AMQPClass, confirm, queue};
use haremq_protocol::properties::BasicProperties;

use support::{Client, Event, Post, on_each_core};

#[test]
fn each_publish_is_confirmed_once_whatever_becomes_of_it() {
    on_each_core("confirms-once", |client, name| {
        client.declare(1, name);
        client.select_confirms(1);
        for at in 0..500_u64 {
            // Queued, unroutable, and large in turn.
            let body = vec![0; if at % 50 == 0 { 20_000 } else { 3 }];
            let key = if at % 3 == 0 { "confirms-nowhere" } else { name };
            client.publish(1, &Post { key, body: &body, ..Default::default() });
        }
        client.await_acks(1, 500);
        client.settle_down(1, name);
        client.assert_quiet(1);
        assert_eq!(client.count(1, name), (333, 0));
    });
}

#[test]
fn a_return_comes_before_its_ack() {
    on_each_core("confirms-return", |client, name| {
        client.declare(1, name);
        client.select_confirms(1);
        for round in 1..=20 {
            client.publish(
                1,
                &Post {
                    key: "confirms-nowhere",
                    mandatory: true,
                    body: b"x",
                    ..Default::default()
                },
            );
            assert!(matches!(client.event(1), Event::Return { reply_code: 312, .. }));
            let ack = Event::Ack { channel: 1, delivery_tag: round, multiple: false };
            assert_eq!(client.event(1), ack);
        }
    });
}

#[test]
fn returns_in_a_batch_come_before_their_acks() {
    on_each_core("confirms-batch", |client, name| {
        client.declare(1, name);
        client.select_confirms(1);
        for at in 1..=200 {
            let key = if at % 2 == 0 { name } else { "confirms-nowhere" };
            client.publish(1, &Post { key, mandatory: true, body: b"x", ..Default::default() });
        }
        let (mut returned, mut confirmed) = (0, std::collections::BTreeSet::new());
        while confirmed.len() < 200 {
            match client.event(1) {
                Event::Return { .. } => returned += 1,
                Event::Ack { delivery_tag, multiple, .. } => {
                    let first = if multiple { 1 } else { delivery_tag };
                    let odd = (first..=delivery_tag)
                        .filter(|tag| !confirmed.contains(tag))
                        .filter(|tag| tag % 2 == 1)
                        .max()
                        .unwrap_or(0);
                    assert!(odd <= 2 * returned, "{odd} is confirmed after {returned} returns");
                    confirmed.extend(first..=delivery_tag);
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(returned, 100);
    });
}

#[test]
fn selecting_again_does_not_count_anew() {
    let mut client = Client::connect();
    client.declare(1, "confirms-again");
    client.post(1, "confirms-again", "before select: not counted");
    client.select_confirms(1);
    for tag in 1..=3 {
        client.post(1, "confirms-again", "x");
        assert_eq!(client.event(1), Event::Ack { channel: 1, delivery_tag: tag, multiple: false });
        client.select_confirms(1);
    }
    client.send(1, confirm::Select { nowait: true });
    client.post(1, "confirms-again", "x");
    assert_eq!(client.event(1), Event::Ack { channel: 1, delivery_tag: 4, multiple: false });
}

#[test]
fn channels_count_for_themselves() {
    let mut client = Client::connect();
    client.declare(1, "confirms-channels");
    for number in 2..=4 {
        client.open(number);
        client.select_confirms(number);
        client.post(number, "confirms-channels", "x");
    }
    client.post(1, "confirms-channels", "not confirmed");
    for number in 2..=4 {
        let ack = Event::Ack { channel: number, delivery_tag: 1, multiple: false };
        assert_eq!(client.event(number), ack);
    }
    client.settle_down(1, "confirms-channels");
    client.assert_quiet(1);
}

#[test]
fn a_message_to_queues_on_several_cores_is_confirmed_once() {
    on_each_core("confirms-several", |client, name| {
        for at in 0..6 {
            let queue = client.declare(1, &format!("{name}-{at}"));
            let bind = queue::Bind {
                queue: queue.as_str().into(),
                exchange: "amq.direct".into(),
                routing_key: name.into(),
                ..Default::default()
            };
            client.call(1, bind);
        }
        client.select_confirms(1);
        for _ in 0..100 {
            let post = Post { exchange: "amq.direct", key: name, body: b"x", ..Default::default() };
            client.publish(1, &post);
        }
        client.await_acks(1, 100);
        for at in 0..6 {
            assert_eq!(client.count(1, &format!("{name}-{at}")), (100, 0));
        }
        client.assert_quiet(1);
    });
}

#[test]
fn persistent_messages_in_durable_queues_are_confirmed() {
    on_each_core("confirms-durable", |client, name| {
        client.declare_as(
            1,
            queue::Declare { queue: name.into(), durable: true, ..Default::default() },
        );
        client.select_confirms(1);
        for _ in 0..50 {
            let properties = BasicProperties::default().with_delivery_mode(2);
            client.publish(1, &Post { key: name, properties, body: b"x", ..Default::default() });
        }
        client.await_acks(1, 50);
        assert_eq!(client.count(1, name), (50, 0));
    });
}

#[test]
fn publishes_to_a_queue_that_is_being_deleted_are_confirmed() {
    on_each_core("confirms-deleted", |client, name| {
        client.declare(1, name);
        client.select_confirms(1);
        let mut other = Client::connect();
        for _ in 0..100 {
            client.post(1, name, "x");
        }
        other.send(1, queue::Delete { queue: name.into(), ..Default::default() });
        for _ in 0..100 {
            client.post(1, name, "x");
        }
        client.await_acks(1, 200);
        assert!(matches!(other.method(1), AMQPClass::Queue(queue::AMQPMethod::DeleteOk(_))));
    });
}

#[test]
fn a_refused_publish_is_not_confirmed() {
    let mut client = Client::connect();
    client.select_confirms(1);
    client.publish(1, &Post { exchange: "confirms-none", body: b"x", ..Default::default() });
    let event = client.event(1);
    assert!(matches!(event, Event::ChannelClosed { close: Some(_), .. }), "{event:?}");
    client.open(1);
    client.declare(1, "confirms-none");
    client.settle_down(1, "confirms-none");
    client.assert_quiet(1);
}

#[test]
fn confirms_do_not_wait_for_consumers() {
    on_each_core("confirms-consumers", |client, name| {
        client.declare(1, name);
        let mut reader = Client::connect();
        reader.qos(1, 1, false);
        reader.consume(1, name, "slow");
        client.select_confirms(1);
        for _ in 0..50 {
            client.post(1, name, "x");
        }
        client.await_acks(1, 50);
        reader.delivery(1);
        assert_eq!(client.count(1, name), (49, 1));
    });
}
