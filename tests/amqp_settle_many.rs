//! Settlements of more messages than one tick goes through: nobody sees half of them (SEMANTICS.md
//! 11), and nothing that follows on the channel overtakes them.

mod support;

use haremq_protocol::method::{basic, tx};

use support::{Client, on_each_core};

/// More than twice what a shard settles in one tick.
const MANY: usize = 40_000;

fn body(at: usize) -> String {
    format!("{at}")
}

/// A queue of which channel 2 holds `MANY` messages, half of them with either of two consumers,
/// with one more behind them. Returns the tags in order.
fn hold_many(client: &mut Client, queue: &str) -> Vec<u64> {
    client.declare(1, queue);
    client.open(2);
    for consumer in ["a", "b"] {
        client.consume(2, queue, consumer);
    }
    let mut tags = Vec::new();
    for first in (0..MANY).step_by(1_000) {
        let some = first..first + 1_000;
        some.clone().for_each(|at| client.post(1, queue, &body(at)));
        for at in some {
            let delivery = client.delivery(2);
            assert_eq!(delivery.body(), body(at));
            tags.push(delivery.tag);
        }
    }
    for consumer in ["a", "b"] {
        client.send(2, basic::Cancel { consumer_tag: consumer.into(), nowait: true });
    }
    assert_eq!(client.count(2, queue), (0, 0));
    client.post(1, queue, "newer");
    tags
}

/// The next consumer gets what came back in the order in which it once came, and then the newer.
#[track_caller]
fn assert_comes_back(client: &mut Client, queue: &str, from: usize) {
    client.consume(1, queue, "next");
    for at in from..MANY {
        let delivery = client.delivery(1);
        assert_eq!((delivery.body(), delivery.redelivered), (body(at), true));
    }
    let newer = client.delivery(1);
    assert_eq!((newer.body().as_str(), newer.redelivered), ("newer", false));
}

#[test]
fn a_closed_channel_gives_back_many_in_order_and_before_anything_newer() {
    on_each_core("many-close", |client, queue| {
        let tags = hold_many(client, queue);
        client.ack_all(2, tags[9], true);
        client.close_channel(2);
        let (messages, _) = client.count(1, queue);
        assert_eq!(messages as usize, MANY - 10 + 1);
        assert_comes_back(client, queue, 10);
    });
}

#[test]
fn nack_of_many_is_done_when_the_next_request_is_answered() {
    on_each_core("many-nack", |client, queue| {
        let tags = hold_many(client, queue);
        client.nack(2, tags[MANY - 1], true, true);
        assert_eq!(client.count(2, queue).0 as usize, MANY + 1);
        assert_comes_back(client, queue, 0);
    });
}

#[test]
fn recover_of_many_is_answered_when_all_are_back() {
    on_each_core("many-recover", |client, queue| {
        let tags = hold_many(client, queue);
        for tag in &tags[..100] {
            client.ack(2, *tag);
        }
        client.call(2, basic::Recover { requeue: true });
        assert_eq!(client.count(1, queue).0 as usize, MANY - 100 + 1);
        assert_comes_back(client, queue, 100);
    });
}

#[test]
fn many_acks_count_although_their_channel_closes_at_once() {
    on_each_core("many-ack", |client, queue| {
        let tags = hold_many(client, queue);
        client.ack_all(2, tags[MANY - 5], true);
        client.close_channel(2);
        assert_comes_back(client, queue, MANY - 4);
    });
}

#[test]
fn many_acks_count_although_their_connection_ends_at_once() {
    on_each_core("many-end", |client, queue| {
        let mut other = Client::connect();
        let tags = hold_many(&mut other, queue);
        other.ack_all(2, tags[MANY - 5], true);
        other.close();
        assert_comes_back(client, queue, MANY - 4);
    });
}

#[test]
fn purge_takes_what_many_nacks_before_it_brought_back() {
    on_each_core("many-purge", |client, queue| {
        let tags = hold_many(client, queue);
        client.nack(2, tags[MANY - 1], true, true);
        let purge = haremq_protocol::method::queue::Purge { queue: queue.into(), nowait: true };
        client.send(2, purge);
        assert_eq!(client.count(2, queue), (0, 0));
    });
}

#[test]
fn many_acks_of_a_transaction_are_undone_and_done_as_one() {
    on_each_core("many-tx", |client, queue| {
        let tags = hold_many(client, queue);
        client.call(2, tx::Select {});
        client.ack_all(2, tags[MANY - 1], true);
        client.call(2, tx::Rollback {});
        client.ack_all(2, tags[MANY - 2], true);
        client.call(2, tx::Commit {});
        client.close_channel(2);
        assert_comes_back(client, queue, MANY - 1);
    });
}
