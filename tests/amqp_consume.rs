//! Consuming: tags, order, rounds, cancel, prefetch, get (SEMANTICS.md 10).

mod support;

use haremq_protocol::method::{AMQPClass, basic, queue};

use support::{Client, Event, Post, arguments, on_each_core, text};

fn consume(queue: &str, tag: &str) -> basic::Consume {
    basic::Consume { queue: queue.into(), consumer_tag: tag.into(), ..Default::default() }
}

/// Returns when the cancel is in effect.
#[track_caller]
fn cancel(client: &mut Client, channel: u16, tag: &str) {
    client.send(channel, basic::Cancel { consumer_tag: tag.into(), nowait: false });
    let event = client.await_event(|event| {
        matches!(
            event,
            Event::Method { method: AMQPClass::Basic(basic::AMQPMethod::CancelOk(_)), .. }
        )
    });
    let Event::Method { method: AMQPClass::Basic(basic::AMQPMethod::CancelOk(ok)), .. } = event
    else {
        unreachable!("just awaited");
    };
    assert_eq!(ok.consumer_tag.as_str(), tag);
}

#[test]
fn two_equal_consumers_take_turns() {
    on_each_core("consume-turns", |client, name| {
        client.declare(1, name);
        client.consume(1, name, "a");
        client.consume(1, name, "b");
        for at in 0..40 {
            client.post(1, name, &format!("{at}"));
        }
        let turns: Vec<_> = (0..40).map(|_| client.delivery(1).consumer).collect();
        assert!(turns.chunks(2).all(|pair| pair == ["a", "b"]), "{turns:?}");
    });
}

#[test]
fn consumers_on_several_connections_share_evenly() {
    on_each_core("consume-share", |client, name| {
        client.declare(1, name);
        let mut readers: Vec<Client> = (0..3).map(|_| Client::connect()).collect();
        for reader in &mut readers {
            reader.consume(1, name, "same tag");
        }
        for at in 0..30 {
            client.post(1, name, &format!("{at}"));
        }
        for (place, reader) in readers.iter_mut().enumerate() {
            let expected: Vec<_> = (0..10).map(|at| format!("{}", at * 3 + place)).collect();
            assert_eq!(reader.bodies(1, 10), expected);
            reader.settle_down(1, name);
            reader.assert_quiet(1);
        }
    });
}

#[test]
fn delivery_tags_count_per_channel_over_all_its_consumers_and_gets() {
    on_each_core("consume-tags", |client, name| {
        let other = format!("{name}-other");
        client.declare(1, name);
        client.declare(1, &other);
        client.post(1, name, "got");
        assert_eq!(client.get(1, name).expect("it has one").tag, 1);
        client.consume_as(1, basic::Consume { no_ack: true, ..consume(name, "a") });
        client.consume(1, &other, "b");
        for (expected, queue) in [(2, name), (3, &*other), (4, name), (5, &*other)] {
            client.post(1, queue, "x");
            let delivery = client.delivery(1);
            assert_eq!(delivery.tag, expected);
            assert_eq!(delivery.consumer, if queue == name { "a" } else { "b" });
        }
    });
}

#[test]
fn the_server_makes_up_tags() {
    let mut client = Client::connect();
    client.declare(1, "consume-generated");
    let tags: Vec<_> = (0..3).map(|_| client.consume(1, "consume-generated", "")).collect();
    for tag in &tags {
        let random = tag.strip_prefix("amq.ctag-").expect("it has the prefix");
        assert_eq!(random.len(), 22, "{tag}");
    }
    assert!(tags[0] != tags[1] && tags[1] != tags[2]);
    cancel(&mut client, 1, &tags[0]);
}

#[test]
fn a_tag_used_twice_on_a_channel_closes_the_connection() {
    let mut client = Client::connect();
    client.declare(1, "consume-twice");
    client.open(2);
    client.consume(1, "consume-twice", "t");
    client.consume(2, "consume-twice", "t");
    // The tag is looked at before the queue (CON-1).
    client.send(1, consume("consume-no-queue", "t"));
    let refusal = client.refusal(1);
    refusal.assert(530, "NOT_ALLOWED - attempt to reuse consumer tag 't'");
    assert!(refusal.is_hard);
    assert_eq!(refusal.class_and_method, (60, 20));
}

#[test]
fn a_cancelled_tag_is_free_and_what_was_sent_can_be_settled() {
    on_each_core("consume-cancel", |client, name| {
        client.declare(1, name);
        client.consume(1, name, "t");
        client.post(1, name, "1");
        client.post(1, name, "2");
        let (first, second) = (client.delivery(1), client.delivery(1));
        cancel(client, 1, "t");
        cancel(client, 1, "consume-unknown-tag");
        client.post(1, name, "3");
        client.settle_down(1, name);
        client.assert_quiet(1);
        client.ack(1, first.tag);
        client.reject(1, second.tag, true);
        assert_eq!(client.count(1, name), (2, 0));
        client.consume(1, name, "t");
        assert_eq!(client.bodies(1, 2), ["2", "3"]);
    });
}

#[test]
fn nothing_follows_cancel_ok() {
    on_each_core("consume-cut", |client, name| {
        client.declare(1, name);
        let mut publisher = Client::connect();
        for round in 0..10 {
            let tag = format!("{round}");
            client.consume_as(1, basic::Consume { no_ack: true, ..consume(name, &tag) });
            for _ in 0..50 {
                publisher.post(1, name, "x");
            }
            client.send(1, basic::Cancel { consumer_tag: tag.as_str().into(), nowait: false });
            while matches!(client.event(1), Event::Deliver { .. }) {}
            publisher.settle_down(1, name);
            client.settle_down(1, name);
            client.assert_quiet(1);
        }
    });
}

#[test]
fn an_exclusive_consumer_is_alone_but_for_gets() {
    on_each_core("consume-exclusive", |client, name| {
        client.declare(1, name);
        client.consume_as(1, basic::Consume { exclusive: true, ..consume(name, "only") });
        let mut other = Client::connect();
        let text = format!("ACCESS_REFUSED - queue '{name}' in vhost '/' in exclusive use");
        for exclusive in [false, true] {
            other.send(1, basic::Consume { exclusive, ..consume(name, "no") });
            other.refusal(1).assert(403, &text);
            other.open(1);
        }
        assert!(other.get(1, name).is_none());
        cancel(client, 1, "only");
        other.consume(1, name, "now");
        client.open(2);
        client.send(2, basic::Consume { exclusive: true, ..consume(name, "late") });
        client.refusal(2).assert(403, &text);
    });
}

#[test]
fn an_auto_ack_consumer_owes_nothing() {
    on_each_core("consume-auto", |client, name| {
        client.declare(1, name);
        client.qos(1, 1, false);
        client.open(2);
        client.consume_as(2, basic::Consume { no_ack: true, ..consume(name, "t") });
        for at in 0..10 {
            client.post(1, name, &format!("{at}"));
        }
        assert_eq!(client.bodies(2, 10).len(), 10);
        client.close_channel(2);
        assert_eq!(client.count(1, name), (0, 0));
    });
}

#[test]
fn a_prefetch_limit_holds_for_each_consumer_made_after_it() {
    on_each_core("consume-prefetch", |client, name| {
        client.declare(1, name);
        client.qos(1, 1, false);
        client.consume(1, name, "a");
        client.qos(1, 5, false);
        client.consume(1, name, "b");
        for _ in 0..20 {
            client.post(1, name, "x");
        }
        client.settle_down(1, name);
        let deliveries: Vec<_> = (0..6).map(|_| client.delivery(1)).collect();
        let of_a: Vec<_> = deliveries.iter().filter(|it| it.consumer == "a").collect();
        assert_eq!(of_a.len(), 1);
        client.assert_quiet(1);
        assert_eq!(client.count(1, name), (14, 2));
        client.ack(1, of_a[0].tag);
        assert_eq!(client.delivery(1).consumer, "a");
        client.settle_down(1, name);
        client.assert_quiet(1);
    });
}

#[test]
fn a_global_limit_is_shared_and_in_force_at_once() {
    on_each_core("consume-global", |client, name| {
        let other = format!("{name}-other");
        client.declare(1, name);
        client.declare(1, &other);
        client.consume(1, name, "a");
        client.consume(1, &other, "b");
        client.qos(1, 3, true);
        let mut publisher = Client::connect();
        for _ in 0..10 {
            publisher.post(1, name, "x");
            publisher.post(1, &other, "x");
        }
        publisher.settle_down(1, name);
        publisher.settle_down(1, &other);
        let deliveries: Vec<_> = (0..3).map(|_| client.delivery(1)).collect();
        for queue in [name, &other] {
            client.settle_down(1, queue);
        }
        client.assert_quiet(1);
        client.ack_all(1, deliveries[1].tag, true);
        client.delivery(1);
        client.delivery(1);
        for queue in [name, &other] {
            client.settle_down(1, queue);
        }
        client.assert_quiet(1);
        // Off again: all that is left comes.
        client.send(1, basic::Qos { prefetch_count: 0, global: true });
        let mut left = 15;
        while left > 0 {
            match client.event(1) {
                Event::Deliver { .. } => left -= 1,
                Event::Method { method: AMQPClass::Basic(basic::AMQPMethod::QosOk(_)), .. } => {}
                other => panic!("{other:?}"),
            }
        }
    });
}

#[test]
fn both_limits_hold_together() {
    on_each_core("consume-both", |client, name| {
        client.declare(1, name);
        client.qos(1, 2, false);
        client.qos(1, 3, true);
        client.consume(1, name, "a");
        client.consume(1, name, "b");
        for _ in 0..10 {
            client.post(1, name, "x");
        }
        let deliveries: Vec<_> = (0..3).map(|_| client.delivery(1)).collect();
        client.settle_down(1, name);
        client.settle_down(1, name);
        client.assert_quiet(1);
        for tag in ["a", "b"] {
            let count = deliveries.iter().filter(|it| it.consumer == tag).count();
            assert!(count == 1 || count == 2, "{tag} has {count}");
        }
    });
}

#[test]
fn a_lower_limit_waits_for_enough_acks() {
    on_each_core("consume-lower", |client, name| {
        client.declare(1, name);
        client.consume(1, name, "t");
        for _ in 0..5 {
            client.post(1, name, "x");
        }
        for _ in 0..5 {
            client.delivery(1);
        }
        client.qos(1, 2, true);
        client.post(1, name, "x");
        client.ack_all(1, 3, true);
        client.settle_down(1, name);
        client.settle_down(1, name);
        client.assert_quiet(1);
        client.ack(1, 4);
        assert_eq!(client.delivery(1).tag, 6);
    });
}

#[test]
fn gets_ignore_prefetch_and_compete_with_consumers() {
    on_each_core("consume-get", |client, name| {
        client.declare(1, name);
        client.qos(1, 1, false);
        client.consume(1, name, "t");
        for at in 0..4 {
            client.post(1, name, &format!("{at}"));
        }
        assert_eq!(client.delivery(1).body(), "0");
        for left in (0..3).rev() {
            let got = client.get(1, name).expect("there are more");
            assert_eq!((got.body(), got.left), (format!("{}", 3 - left), left));
        }
        assert!(client.get(1, name).is_none());
    });
}

#[test]
fn consume_ok_comes_before_the_first_delivery() {
    on_each_core("consume-first", |client, name| {
        client.declare(1, name);
        for _ in 0..100 {
            client.post(1, name, "x");
        }
        client.settle_down(1, name);
        for round in 0..10 {
            let tag = format!("{round}");
            client.send(1, consume(name, &tag));
            let first = client.event(1);
            assert!(
                matches!(
                    first,
                    Event::Method { method: AMQPClass::Basic(basic::AMQPMethod::ConsumeOk(_)), .. }
                ),
                "{first:?}"
            );
            client.send(1, basic::Cancel { consumer_tag: tag.as_str().into(), nowait: false });
            while matches!(client.event(1), Event::Deliver { .. }) {}
            client.call(1, basic::Recover { requeue: true });
        }
    });
}

#[test]
fn a_backlog_larger_than_the_window_comes_whole_and_in_order() {
    on_each_core("consume-backlog", |client, name| {
        client.declare(1, name);
        let body = |at: usize| format!("{at:06}{}", "x".repeat(994));
        for at in 0..2000 {
            client.post(1, name, &body(at));
        }
        let mut reader = Client::connect();
        reader.consume_as(1, basic::Consume { no_ack: true, ..consume(name, "t") });
        for at in 0..2000 {
            assert!(reader.delivery(1).body() == body(at), "{at}");
        }
    });
}

#[test]
fn a_reader_that_does_not_read_holds_up_nobody_else() {
    on_each_core("consume-slow", |client, name| {
        client.declare(1, name);
        let mut slow = Client::connect();
        slow.consume_as(1, basic::Consume { no_ack: true, ..consume(name, "slow") });
        let mut quick = Client::connect();
        quick.consume_as(1, basic::Consume { no_ack: true, ..consume(name, "quick") });
        // Far more than sockets hold: the last ones find only one consumer that takes them.
        let body = vec![0; 64 << 10];
        std::thread::scope(|scope| {
            scope.spawn(|| while quick.delivery(1).body() != "last" {});
            for _ in 0..600 {
                client.publish(1, &Post { key: name, body: &body, ..Default::default() });
            }
            client.post(1, name, "last");
        });
        drop(slow);
    });
}

#[test]
fn unknown_arguments_and_no_local_are_accepted() {
    let mut client = Client::connect();
    client.declare(1, "consume-arguments");
    let arguments = arguments([("x-foo", text("bar"))]);
    client.consume_as(
        1,
        basic::Consume { no_local: true, arguments, ..consume("consume-arguments", "t") },
    );
    client.post(1, "consume-arguments", "own");
    assert_eq!(client.delivery(1).body(), "own");
}

#[test]
fn a_queue_that_ends_under_its_consumers_leaves_the_channel_whole() {
    on_each_core("consume-end", |client, name| {
        client.declare(1, name);
        client.consume(1, name, "t");
        client.post(1, name, "x");
        let delivery = client.delivery(1);
        let mut other = Client::connect();
        other.call(1, queue::Delete { queue: name.into(), ..Default::default() });
        assert!(matches!(client.method(1), AMQPClass::Basic(basic::AMQPMethod::Cancel(_))));
        client.ack(1, delivery.tag);
        client.declare(1, name);
        client.consume(1, name, "t");
        client.post(1, name, "y");
        assert_eq!(client.delivery(1).body(), "y");
    });
}
