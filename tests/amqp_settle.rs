//! Settlement: ack, nack, reject, recover, and what comes back by itself (SEMANTICS.md 11).

mod support;

use haremq_protocol::method::{AMQPClass, basic};

use support::{Client, Event, on_each_core};

/// A queue with these messages.
fn fill(client: &mut Client, queue: &str, bodies: &[&str]) {
    client.declare(1, queue);
    for body in bodies {
        client.post(1, queue, body);
    }
}

/// Fetches one: body and whether it was out before.
#[track_caller]
fn got(client: &mut Client, queue: &str) -> (String, bool) {
    let got = client.get(1, queue).expect("there is one");
    (got.body(), got.redelivered)
}

#[track_caller]
fn assert_unknown(client: &mut Client, channel: u16, tag: u64) {
    let text = format!("PRECONDITION_FAILED - unknown delivery tag {tag}");
    client.refusal(channel).assert(406, &text);
}

#[test]
fn a_tag_is_good_once_and_on_its_channel_only() {
    on_each_core("settle-once", |client, name| {
        fill(client, name, &["1", "2", "3"]);
        client.get(1, name).expect("it has three");
        client.open(2);
        client.ack(2, 1);
        assert_unknown(client, 2, 1);
        client.ack(1, 1);
        client.ack(1, 1);
        assert_unknown(client, 1, 1);
        client.open(1);
        assert_eq!(client.count(1, name), (2, 0));
    });
}

#[test]
fn tags_that_are_not_outstanding_are_refused() {
    on_each_core("settle-unknown", |client, name| {
        fill(client, name, &["1", "2", "3"]);
        let attempts: [(u64, bool); 5] =
            [(0, false), (5, true), (4, false), (1 << 63, false), (u64::MAX, true)];
        for (tag, multiple) in attempts {
            client.open(2);
            for _ in 0..3 {
                assert!(
                    client.get_as(2, basic::Get { queue: name.into(), no_ack: false }).is_some()
                );
            }
            client.ack_all(2, tag, multiple);
            assert_unknown(client, 2, tag);
            // Nothing was settled (ACK-2).
            assert_eq!(client.count(1, name), (3, 0));
        }
    });
}

#[test]
fn an_auto_acked_tag_is_unknown() {
    let mut client = Client::connect();
    fill(&mut client, "settle-auto", &["x"]);
    client.get_as(1, basic::Get { queue: "settle-auto".into(), no_ack: true });
    client.ack(1, 1);
    assert_unknown(&mut client, 1, 1);
}

#[test]
fn multiple_settles_all_up_to_the_tag_and_zero_everything() {
    on_each_core("settle-multiple", |client, name| {
        fill(client, name, &["1", "2", "3", "4", "5"]);
        client.ack_all(1, 0, true);
        for _ in 0..5 {
            client.get(1, name).expect("it has five");
        }
        client.ack(1, 2);
        client.ack_all(1, 3, true);
        client.nack(1, 0, true, true);
        assert_eq!(client.count(1, name), (2, 0));
        assert_eq!(client.drain(1, name), ["4", "5"]);
        client.ack_all(1, 0, true);
        client.nack(1, 0, true, true);
        assert_eq!(client.count(1, name), (0, 0));
    });
}

#[test]
fn multiple_works_across_queues_consumers_and_gets() {
    on_each_core("settle-across", |client, name| {
        let names: Vec<String> = (0..4).map(|at| format!("{name}-{at}")).collect();
        for queue in &names {
            fill(client, queue, &["a", "b"]);
        }
        client.consume(1, &names[0], "first");
        client.delivery(1);
        client.delivery(1);
        client.get(1, &names[1]).expect("it has two");
        client.consume(1, &names[2], "third");
        client.delivery(1);
        client.delivery(1);
        client.get(1, &names[3]).expect("it has two");
        client.ack_all(1, 6, true);
        client.close_channel(1);
        client.open(1);
        let left: Vec<_> = names.iter().map(|queue| client.count(1, queue).0).collect();
        assert_eq!(left, [0, 1, 0, 1]);
    });
}

#[test]
fn requeue_keeps_position() {
    on_each_core("settle-position", |client, name| {
        fill(client, name, &["1", "2", "3", "4"]);
        for _ in 0..3 {
            client.get(1, name).expect("it has four");
        }
        client.post(1, name, "5");
        client.reject(1, 3, true);
        client.nack(1, 1, false, true);
        client.nack(1, 2, true, true);
        let expected = [("1", true), ("2", true), ("3", true), ("4", false), ("5", false)];
        for (body, redelivered) in expected {
            assert_eq!(got(client, name), (body.into(), redelivered));
        }
        assert!(client.get(1, name).is_none());
    });
}

#[test]
fn nack_of_two_gets_brings_both_back_in_order() {
    on_each_core("settle-nack", |client, name| {
        fill(client, name, &["1", "2", "3"]);
        client.get(1, name).expect("it has three");
        client.get(1, name).expect("it has three");
        client.nack(1, 2, true, true);
        assert_eq!(got(client, name), ("1".into(), true));
        assert_eq!(got(client, name), ("2".into(), true));
        assert_eq!(got(client, name), ("3".into(), false));
    });
}

#[test]
fn what_is_not_requeued_is_gone() {
    on_each_core("settle-drop", |client, name| {
        fill(client, name, &["1", "2", "3", "4"]);
        for _ in 0..3 {
            client.get(1, name).expect("it has four");
        }
        client.reject(1, 1, false);
        client.nack(1, 3, true, false);
        client.close_channel(1);
        client.open(1);
        assert_eq!(client.drain(1, name), ["4"]);
    });
}

#[test]
fn a_requeued_message_goes_to_whoever_is_next() {
    on_each_core("settle-next", |client, name| {
        client.declare(1, name);
        let mut other = Client::connect();
        client.qos(1, 1, false);
        client.consume(1, name, "t");
        client.post(1, name, "x");
        let first = client.delivery(1);
        assert!(!first.redelivered);
        client.reject(1, first.tag, true);
        let again = client.delivery(1);
        assert_eq!((again.body().as_str(), again.redelivered, again.tag), ("x", true, 2));
        other.consume(1, name, "t");
        client.close_channel(1);
        let moved = other.delivery(1);
        assert_eq!((moved.body().as_str(), moved.redelivered), ("x", true));
    });
}

#[test]
fn recover_brings_back_everything_unsettled() {
    on_each_core("settle-recover", |client, name| {
        fill(client, name, &["1", "2", "3"]);
        client.get(1, name).expect("it has three");
        client.get(1, name).expect("it has three");
        client.ack(1, 1);
        let answer = client.call(1, basic::Recover { requeue: true });
        assert!(matches!(answer, AMQPClass::Basic(basic::AMQPMethod::RecoverOk(_))));
        assert_eq!(got(client, name), ("2".into(), true));
        client.send(1, basic::RecoverAsync { requeue: true });
        assert_eq!(got(client, name), ("2".into(), true));
        // The tags of before are gone.
        client.ack(1, 2);
        assert_unknown(client, 1, 2);
    });
}

#[test]
fn recover_redelivers_to_the_consumer() {
    on_each_core("settle-redeliver", |client, name| {
        fill(client, name, &["1", "2"]);
        client.consume(1, name, "t");
        assert_eq!(client.bodies(1, 2), ["1", "2"]);
        client.send(1, basic::Recover { requeue: true });
        let mut again = Vec::new();
        let mut is_answered = false;
        while again.len() < 2 || !is_answered {
            match client.event(1) {
                Event::Deliver { message, redelivered: true, .. } => again.push(message.body),
                Event::Method {
                    method: AMQPClass::Basic(basic::AMQPMethod::RecoverOk(_)), ..
                } => {
                    is_answered = true;
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(again, [b"1", b"2"]);
    });
}

#[test]
fn a_closed_channel_gives_back_in_order_what_several_consumers_held() {
    on_each_core("settle-close", |client, name| {
        client.declare(1, name);
        client.open(2);
        for tag in ["a", "b", "c"] {
            client.consume(2, name, tag);
        }
        for at in 0..30 {
            client.post(1, name, &format!("{at}"));
        }
        for at in 0..30 {
            assert_eq!(client.delivery(2).body(), format!("{at}"));
        }
        for tag in [2, 5, 11, 30] {
            client.ack(2, tag);
        }
        client.post(1, name, "new");
        assert_eq!(client.delivery(2).body(), "new");
        client.close_channel(2);
        let mut expected: Vec<_> = (0..30).map(|at| format!("{at}")).collect();
        expected.push("new".into());
        for settled in ["1", "4", "10", "29"] {
            expected.retain(|body| body != settled);
        }
        assert_eq!(client.drain(1, name), expected);
    });
}

#[test]
fn deliveries_on_their_way_when_a_channel_closes_come_back() {
    on_each_core("settle-way", |client, name| {
        client.declare(1, name);
        for _ in 0..300 {
            client.post(1, name, "x");
        }
        for _ in 0..5 {
            let mut reader = Client::connect();
            reader.send(1, basic::Consume { queue: name.into(), ..Default::default() });
            reader.close_channel(1);
            assert_eq!(client.count(1, name), (300, 0));
        }
        let again = client.get(1, name).expect("it has all");
        assert!(again.left == 299);
    });
}

#[test]
fn a_hot_requeue_loop_does_not_stop_others() {
    on_each_core("settle-loop", |client, name| {
        client.declare(1, name);
        client.post(1, name, "hot");
        let mut other = Client::connect();
        other.consume(1, name, "t");
        for _ in 0..500 {
            let delivery = other.delivery(1);
            other.reject(1, delivery.tag, true);
        }
        let second = format!("{name}-second");
        fill(client, &second, &["cold"]);
        assert_eq!(client.drain(1, &second), ["cold"]);
    });
}

#[test]
fn acks_are_seen_by_what_follows_on_the_channel() {
    on_each_core("settle-seen", |client, name| {
        fill(client, name, &["1", "2"]);
        for round in 0..20 {
            let got = client.get(1, name).expect("it is back");
            assert_eq!(got.body(), "1", "round {round}");
            client.reject(1, got.tag, true);
        }
    });
}
