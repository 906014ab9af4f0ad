//! Transactions (SEMANTICS.md 9).

mod support;

use haremq_protocol::method::{AMQPClass, basic, queue, tx};

use support::{Client, Event, Post, on_each_core};

/// Channel 2 in tx mode; the queue is declared.
fn begin(client: &mut Client, queue: &str) {
    client.declare(1, queue);
    client.open(2);
    let answer = client.call(2, tx::Select {});
    assert!(matches!(answer, AMQPClass::Tx(tx::AMQPMethod::SelectOk(_))));
}

#[track_caller]
fn commit(client: &mut Client) {
    let answer = client.call(2, tx::Commit {});
    assert!(matches!(answer, AMQPClass::Tx(tx::AMQPMethod::CommitOk(_))), "{answer:?}");
}

#[track_caller]
fn roll_back(client: &mut Client) {
    let answer = client.call(2, tx::Rollback {});
    assert!(matches!(answer, AMQPClass::Tx(tx::AMQPMethod::RollbackOk(_))), "{answer:?}");
}

#[test]
fn publishes_are_enqueued_at_commit_in_order_and_forgotten_at_rollback() {
    on_each_core("tx-publish", |client, name| {
        begin(client, name);
        client.post(2, name, "1");
        client.post(2, name, "2");
        client.settle_down(2, name);
        assert_eq!(client.count(1, name), (0, 0));
        commit(client);
        client.post(2, name, "forgotten");
        roll_back(client);
        client.post(2, name, "3");
        commit(client);
        commit(client);
        roll_back(client);
        assert_eq!(client.drain(1, name), ["1", "2", "3"]);
    });
}

#[test]
fn a_publish_is_routed_and_checked_when_it_is_made() {
    on_each_core("tx-route", |client, name| {
        begin(client, name);
        let post = Post { exchange: "amq.direct", key: name, body: b"early", ..Default::default() };
        client.publish(2, &post);
        let bind = queue::Bind {
            queue: name.into(),
            exchange: "amq.direct".into(),
            routing_key: name.into(),
            ..Default::default()
        };
        client.call(1, bind);
        client.publish(2, &Post { body: b"late", ..post });
        commit(client);
        assert_eq!(client.drain(1, name), ["late"]);
        client.post(2, name, "dropped with the channel");
        client.publish(2, &Post { exchange: "tx-no-exchange", ..Default::default() });
        assert_eq!(client.refusal(2).code, 404);
        assert_eq!(client.drain(1, name), [""; 0]);
    });
}

#[test]
fn returns_come_before_commit_ok() {
    on_each_core("tx-return", |client, name| {
        begin(client, name);
        for body in [&b"1"[..], b"2"] {
            client.publish(
                2,
                &Post { key: "tx-nowhere", mandatory: true, body, ..Default::default() },
            );
            client.post(2, name, "kept");
        }
        client.settle_down(2, name);
        client.assert_quiet(2);
        client.send(2, tx::Commit {});
        for expected in [b"1", b"2"] {
            match client.event(2) {
                Event::Return { message, reply_code: 312, .. } => {
                    assert_eq!(message.body, expected)
                }
                other => panic!("{other:?}"),
            }
        }
        let answer = client.method(2);
        assert!(matches!(answer, AMQPClass::Tx(tx::AMQPMethod::CommitOk(_))));
        assert_eq!(client.count(1, name), (2, 0));
    });
}

#[test]
fn acks_take_effect_at_commit_and_come_undone_at_rollback() {
    on_each_core("tx-ack", |client, name| {
        begin(client, name);
        for body in ["1", "2", "3"] {
            client.post(1, name, body);
        }
        client.settle_down(1, name);
        client.consume(2, name, "t");
        assert_eq!(client.bodies(2, 3), ["1", "2", "3"]);
        client.ack(2, 1);
        client.reject(2, 2, true);
        roll_back(client);
        client.settle_down(2, name);
        client.assert_quiet(2);
        // All three are unacknowledged again, and none was redelivered.
        client.ack(2, 1);
        client.nack(2, 3, true, true);
        client.settle_down(2, name);
        client.assert_quiet(2);
        commit(client);
        assert_eq!(client.bodies(2, 2), ["2", "3"]);
        client.close_channel(2);
        assert_eq!(client.drain(1, name), ["2", "3"]);
    });
}

#[test]
fn a_tag_settled_twice_in_a_transaction_is_unknown() {
    on_each_core("tx-twice", |client, name| {
        begin(client, name);
        client.post(1, name, "x");
        client.settle_down(1, name);
        client.get_as(2, basic::Get { queue: name.into(), no_ack: false }).expect("it has one");
        client.ack(2, 1);
        client.ack(2, 1);
        client.refusal(2).assert(406, "PRECONDITION_FAILED - unknown delivery tag 1");
        // The channel ended with an uncommitted ack: the message is back (TXN-6).
        let got = client.get(1, name).expect("it is back");
        assert!(got.redelivered);
    });
}

#[test]
fn a_channel_that_ends_rolls_back() {
    on_each_core("tx-end", |client, name| {
        begin(client, name);
        client.post(1, name, "old");
        client.settle_down(1, name);
        client.get_as(2, basic::Get { queue: name.into(), no_ack: false }).expect("it has one");
        client.ack(2, 1);
        client.post(2, name, "never");
        client.close_channel(2);
        let got = client.get(1, name).expect("its ack was not committed");
        assert_eq!((got.body().as_str(), got.redelivered, got.left), ("old", true, 0));
    });
}

#[test]
fn recover_leaves_out_what_is_acked_and_uncommitted() {
    on_each_core("tx-recover", |client, name| {
        begin(client, name);
        for body in ["1", "2"] {
            client.post(1, name, body);
        }
        client.settle_down(1, name);
        for _ in 0..2 {
            client.get_as(2, basic::Get { queue: name.into(), no_ack: false }).expect("it has two");
        }
        client.ack(2, 1);
        client.call(2, basic::Recover { requeue: true });
        assert_eq!(client.drain(1, name), ["2"]);
        commit(client);
        client.close_channel(2);
        assert_eq!(client.count(1, name), (0, 0));
    });
}

#[test]
fn acks_free_the_window_at_commit_and_not_before() {
    on_each_core("tx-window", |client, name| {
        begin(client, name);
        client.qos(2, 1, false);
        client.consume(2, name, "t");
        client.post(1, name, "1");
        client.post(1, name, "2");
        let first = client.delivery(2);
        client.ack(2, first.tag);
        client.settle_down(1, name);
        client.settle_down(2, name);
        client.assert_quiet(2);
        client.send(2, tx::Commit {});
        let mut events = [client.event(2), client.event(2)];
        events.sort_by_key(|event| matches!(event, Event::Deliver { .. }));
        assert!(matches!(&events[0], Event::Method { method: AMQPClass::Tx(_), .. }));
        assert!(matches!(&events[1], Event::Deliver { message, .. } if message.body == b"2"));
    });
}

#[test]
fn a_large_transaction_over_many_queues_is_committed_whole() {
    on_each_core("tx-large", |client, name| {
        begin(client, name);
        let names: Vec<String> = (0..4).map(|at| format!("{name}-{at}")).collect();
        for queue in &names {
            client.declare(1, queue);
        }
        for at in 0..400 {
            let body = "x".repeat(if at % 40 == 0 { 60_000 } else { 100 });
            client.post(2, &names[at % 4], &body);
        }
        commit(client);
        for queue in &names {
            assert_eq!(client.count(1, queue), (100, 0));
        }
        for at in 0..400 {
            client.post(2, &names[at % 4], "forgotten");
        }
        roll_back(client);
        for queue in &names {
            assert_eq!(client.count(1, queue), (100, 0));
        }
    });
}

#[test]
fn other_methods_are_not_part_of_the_transaction() {
    on_each_core("tx-other", |client, name| {
        begin(client, name);
        client.post(1, name, "x");
        client.settle_down(1, name);
        let purged = client.call(2, queue::Purge { queue: name.into(), nowait: false });
        let expected = queue::AMQPMethod::PurgeOk(queue::PurgeOk { message_count: 1 });
        assert_eq!(purged, AMQPClass::Queue(expected));
        roll_back(client);
        assert_eq!(client.count(1, name), (0, 0));
    });
}
