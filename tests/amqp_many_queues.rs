//! A channel may have consumers and messages at more queues than are gone through in one tick, and a
//! connection may own more; who is told that it is closed finds it gone from all of them.

mod support;

use haremq_protocol::method::queue;

use support::Client;

/// Of each core's half, more than go in one tick.
const MANY: usize = 3_000;

fn name(test: &str, number: usize) -> String {
    format!("{test}-{number}")
}

/// Declares `MANY` queues on channel 1; channel 2 consumes from each, and holds one message of each.
fn hold_everywhere(client: &mut Client, test: &str, auto_delete: bool) {
    client.open(2);
    for number in 0..MANY {
        let queue = name(test, number);
        let declare =
            queue::Declare { queue: queue.as_str().into(), auto_delete, ..Default::default() };
        client.call(1, declare);
        client.consume(2, &queue, &queue);
        client.post(1, &queue, "held");
        client.delivery(2);
    }
}

#[test]
fn a_closed_channel_has_given_back_what_it_held_at_each_queue() {
    let mut client = Client::connect();
    hold_everywhere(&mut client, "many-given-back", false);
    client.close_channel(2);
    for number in 0..MANY {
        assert_eq!(client.count(1, &name("many-given-back", number)), (1, 0), "{number}");
    }
}

#[test]
fn a_closed_channel_takes_all_its_auto_delete_queues_along() {
    let mut client = Client::connect();
    hold_everywhere(&mut client, "many-auto-delete", true);
    client.close_channel(2);
    for number in (0..MANY).step_by(50) {
        client.open(3);
        let queue = name("many-auto-delete", number);
        let ask = queue::Declare { queue: queue.into(), passive: true, ..Default::default() };
        client.send(3, ask);
        assert_eq!(client.refusal(3).code, 404, "{number}");
    }
}

#[test]
fn a_connection_that_dies_gives_back_what_it_held_at_each_queue() {
    let mut dying = Client::connect();
    hold_everywhere(&mut dying, "many-dying", false);
    drop(dying);
    let mut client = Client::connect();
    for number in 0..MANY {
        let queue = name("many-dying", number);
        client.consume(1, &queue, &queue);
        let delivery = client.delivery(1);
        assert_eq!((delivery.consumer, delivery.redelivered), (queue, true));
    }
}

#[test]
fn a_closed_connection_has_taken_all_its_exclusive_queues_along() {
    let declare = |number| queue::Declare {
        queue: name("many-exclusive", number).into(),
        exclusive: true,
        ..Default::default()
    };
    let mut owner = Client::connect();
    for number in 0..MANY {
        owner.call(1, declare(number));
    }
    owner.close();
    let mut other = Client::connect();
    for number in 0..MANY {
        other.declare_as(1, declare(number));
    }
}
