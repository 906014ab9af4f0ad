//! Time to live of messages and of queues (SEMANTICS.md 12).

mod support;

use std::time::{Duration, Instant};

use haremq_protocol::method::{AMQPClass, basic, queue};
use haremq_protocol::properties::BasicProperties;

use support::{Client, Event, Post, arguments, at_once_on_each_core, long};

/// What a busy machine may add to a deadline.
const LATE_MAX: Duration = Duration::from_secs(4);
const POLL: Duration = Duration::from_millis(10);

fn declare_with(client: &mut Client, queue: &str, key: &str, ms: i32) {
    let arguments = arguments([(key, long(ms))]);
    client.declare_as(1, queue::Declare { queue: queue.into(), arguments, ..Default::default() });
}

fn post_for(client: &mut Client, queue: &str, body: &str, expiration: &str) {
    let properties = BasicProperties::default().with_expiration(expiration.into());
    client
        .publish(1, &Post { key: queue, properties, body: body.as_bytes(), ..Default::default() });
}

/// Lets time pass.
fn pass(client: &mut Client, ms: u64) {
    assert!(!client.hears_within(1, Duration::from_millis(ms)));
}

/// Waits until the queue has so many ready messages; returns when that was.
#[track_caller]
fn await_count(client: &mut Client, queue: &str, count: u32) -> Instant {
    let since = Instant::now();
    loop {
        let found = client.count(1, queue).0;
        if found == count {
            return Instant::now();
        }
        assert!(since.elapsed() < support::DEADLINE, "there are still {found}");
        client.hears_within(2, POLL);
    }
}

/// Waits until the queue is gone, in a way that does not renew its lease: a bind is no use.
#[track_caller]
fn await_gone(client: &mut Client, queue: &str) -> Instant {
    let mut watcher = Client::connect();
    let since = Instant::now();
    loop {
        let bind = queue::Bind {
            queue: queue.into(),
            exchange: "amq.fanout".into(),
            ..Default::default()
        };
        watcher.send(1, bind);
        match watcher.event(1) {
            Event::Method { method: AMQPClass::Queue(queue::AMQPMethod::BindOk(_)), .. } => {}
            Event::ChannelClosed { close: Some(close), .. } => {
                assert_eq!(close.reply_code, 404);
                return Instant::now();
            }
            other => panic!("{other:?}"),
        }
        assert!(since.elapsed() < support::DEADLINE, "it is still there");
        client.hears_within(2, POLL);
    }
}

#[track_caller]
fn assert_timely(since: Instant, until: Instant, ms: u64) {
    let (passed, expected) = (until - since, Duration::from_millis(ms));
    assert!(passed + Duration::from_millis(5) >= expected, "{passed:?} is early for {expected:?}");
    assert!(passed <= expected + LATE_MAX, "{passed:?} is late for {expected:?}");
}

#[test]
fn a_message_expires_on_time_without_consumers() {
    at_once_on_each_core("expiry-message", |client, name| {
        client.declare(1, name);
        let since = Instant::now();
        post_for(client, name, "x", "150");
        assert_eq!(client.count(1, name), (1, 0));
        assert_timely(since, await_count(client, name, 0), 150);
        assert!(client.get(1, name).is_none());
    });
}

#[test]
fn a_message_expires_on_time_behind_one_that_lives_longer() {
    at_once_on_each_core("expiry-middle", |client, name| {
        client.declare(1, name);
        let since = Instant::now();
        post_for(client, name, "1", "60000");
        post_for(client, name, "2", "300");
        client.post(1, name, "3");
        post_for(client, name, "4", "100");
        post_for(client, name, "5", "50000");
        assert_eq!(client.count(1, name), (5, 0));
        assert_timely(since, await_count(client, name, 4), 100);
        assert_timely(since, await_count(client, name, 3), 300);
        assert_eq!(client.drain(1, name), ["1", "3", "5"]);
    });
}

#[test]
fn the_shorter_of_both_times_counts() {
    at_once_on_each_core("expiry-minimum", |client, name| {
        declare_with(client, name, "x-message-ttl", 250);
        let since = Instant::now();
        client.post(1, name, "queue's");
        post_for(client, name, "queue's too", "60000");
        post_for(client, name, "own", "80");
        assert_timely(since, await_count(client, name, 2), 80);
        assert_timely(since, await_count(client, name, 0), 250);
    });
}

#[test]
fn the_expiration_stays_on_the_message() {
    at_once_on_each_core("expiry-kept", |client, name| {
        client.declare(1, name);
        post_for(client, name, "x", "60000");
        let got = client.get(1, name).expect("it is there");
        let properties = haremq_protocol::properties::Properties::parse(&got.message.properties);
        assert_eq!(properties.expect("as published").expiration(), Some(&b"60000"[..]));
    });
}

#[test]
fn time_to_live_zero_reaches_only_a_consumer_that_is_idle() {
    at_once_on_each_core("expiry-zero", |client, name| {
        let other = format!("{name}-queue");
        client.declare(1, name);
        declare_with(client, &other, "x-message-ttl", 0);
        client.select_confirms(1);
        post_for(client, name, "nobody", "0");
        client.post(1, &other, "nobody");
        client.await_acks(1, 2);
        assert_eq!((client.count(1, name), client.count(1, &other)), ((0, 0), (0, 0)));
        client.open(2);
        client.qos(2, 1, false);
        client.consume(2, name, "a");
        client.consume(2, &other, "b");
        let mut publisher = Client::connect();
        post_for(&mut publisher, name, "idle", "0");
        publisher.post(1, &other, "idle");
        let (first, second) = (client.delivery(2), client.delivery(2));
        assert_eq!((first.body(), second.body()), ("idle".into(), "idle".into()));
        // Both windows are full now.
        post_for(&mut publisher, name, "busy", "0");
        publisher.post(1, &other, "busy");
        publisher.settle_down(1, name);
        publisher.settle_down(1, &other);
        client.ack_all(2, second.tag, true);
        client.settle_down(2, name);
        client.settle_down(2, &other);
        client.assert_quiet(2);
    });
}

#[test]
fn an_unacknowledged_message_expires_when_it_comes_back_too_late() {
    at_once_on_each_core("expiry-requeue", |client, name| {
        client.declare(1, name);
        post_for(client, name, "late", "100");
        post_for(client, name, "in time", "60000");
        let late = client.get(1, name).expect("it has two");
        let in_time = client.get(1, name).expect("it has two");
        pass(client, 200);
        client.reject(1, late.tag, true);
        client.reject(1, in_time.tag, true);
        let got = client.get(1, name).expect("one is in time");
        assert_eq!((got.body().as_str(), got.left), ("in time", 0));
        // Held beyond its time, an ack is still good.
        post_for(client, name, "held", "50");
        let held = client.get(1, name).expect("it has one");
        pass(client, 100);
        client.ack(1, held.tag);
        client.ack(1, got.tag);
        assert_eq!(client.count(1, name), (0, 0));
    });
}

#[test]
fn a_requeued_message_keeps_its_deadline() {
    at_once_on_each_core("expiry-deadline", |client, name| {
        client.declare(1, name);
        let since = Instant::now();
        post_for(client, name, "x", "400");
        let got = client.get(1, name).expect("it is there");
        pass(client, 150);
        client.reject(1, got.tag, true);
        let until = await_count(client, name, 0);
        assert_timely(since, until, 400);
        assert!(until - since < Duration::from_millis(550) + LATE_MAX);
    });
}

#[test]
fn messages_expire_behind_a_consumer_whose_window_is_full() {
    at_once_on_each_core("expiry-blocked", |client, name| {
        client.declare(1, name);
        let mut reader = Client::connect();
        reader.qos(1, 1, false);
        reader.consume(1, name, "t");
        let since = Instant::now();
        post_for(client, name, "held", "60000");
        post_for(client, name, "expires", "150");
        reader.delivery(1);
        assert_timely(since, await_count(client, name, 0), 150);
        reader.ack(1, 1);
        reader.settle_down(1, name);
        reader.assert_quiet(1);
    });
}

#[test]
fn many_messages_expire_together() {
    at_once_on_each_core("expiry-many", |client, name| {
        client.declare(1, name);
        client.select_confirms(1);
        for at in 0..2000 {
            post_for(client, name, "x", if at % 2 == 0 { "300" } else { "60000" });
        }
        client.await_acks(1, 2000);
        await_count(client, name, 1000);
        assert_eq!(client.drain(1, name).len(), 1000);
    });
}

#[test]
fn an_unused_queue_expires() {
    at_once_on_each_core("expiry-unused", |client, name| {
        let since = Instant::now();
        declare_with(client, name, "x-expires", 250);
        // Publishing is no use.
        client.post(1, name, "x");
        assert_timely(since, await_gone(client, name), 250);
    });
}

#[test]
fn gets_and_declares_renew_the_lease() {
    at_once_on_each_core("expiry-lease", |client, name| {
        declare_with(client, name, "x-expires", 1200);
        let mut last = Instant::now();
        for round in 0..3 {
            pass(client, 500);
            last = Instant::now();
            match round {
                0 => assert!(client.get(1, name).is_none()),
                1 => declare_with(client, name, "x-expires", 1200),
                _ => assert_eq!(client.count(1, name), (0, 0)),
            }
        }
        assert_timely(last, await_gone(client, name), 1200);
    });
}

#[test]
fn a_consumer_keeps_its_queue_and_its_end_starts_the_lease() {
    at_once_on_each_core("expiry-consumer", |client, name| {
        declare_with(client, name, "x-expires", 150);
        client.consume(1, name, "t");
        pass(client, 400);
        let since = Instant::now();
        client.call(1, basic::Cancel { consumer_tag: "t".into(), nowait: false });
        assert_timely(since, await_gone(client, name), 150);
    });
}

#[test]
fn a_queue_declared_anew_after_expiry_is_empty() {
    at_once_on_each_core("expiry-anew", |client, name| {
        declare_with(client, name, "x-expires", 100);
        client.post(1, name, "old");
        await_gone(client, name);
        client.declare(1, name);
        assert_eq!(client.count(1, name), (0, 0));
    });
}
