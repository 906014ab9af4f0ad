//! A channel with very many queues leaves in slices.

use haremq_broker::ids::ChannelAddress;

use crate::home::test_kit::{FRONT, channel, consume, consume_no_ack, fill, home, tick};
use crate::limits::{BULK_PER_QUEUE, BULK_PER_TICK};
use crate::mesh::{Answer, Parcel, Request};
use crate::shard::Shard;

const QUEUES: u64 = 3_000;
const SLICE: u64 = (BULK_PER_TICK / BULK_PER_QUEUE) as u64;

fn consumers(shard: &Shard) -> u64 {
    shard.home.queues.values().map(|entry| u64::from(entry.queue.consumer_count())).sum()
}

/// The channels that the home has let go of since it was last asked.
fn closed(shard: &mut Shard) -> Vec<ChannelAddress> {
    let batch = shard.poll_batch(FRONT);
    let parcels = batch.iter().flat_map(|batch| &batch.parcels);
    let closed = parcels.filter_map(|parcel| match parcel {
        Parcel::Answer(Answer::ChannelClosed { channel }) => Some(*channel),
        _ => None,
    });
    closed.collect()
}

#[test]
fn a_channel_leaves_no_more_queues_in_a_tick_than_its_budget_is_for() {
    let (mut shard, queues) = home(BULK_PER_TICK, QUEUES);
    consume(&mut shard, channel(0), &queues);
    assert!(closed(&mut shard).is_empty());
    shard.handle_request(&Request::CloseChannel { channel: channel(0) });
    let mut left = QUEUES - SLICE;
    assert_eq!(consumers(&shard), left);
    while left > 0 {
        assert!(closed(&mut shard).is_empty(), "some queues have not let go");
        assert!(shard.has_work());
        tick(&mut shard);
        left = left.saturating_sub(SLICE);
        assert_eq!(consumers(&shard), left);
    }
    assert_eq!(closed(&mut shard), [channel(0)]);
    assert!(shard.home.channels.is_empty() && shard.home.leaving.is_empty());
}

#[test]
fn a_channel_may_be_closed_while_it_is_being_stopped() {
    let (mut shard, queues) = home(BULK_PER_TICK, QUEUES);
    consume(&mut shard, channel(0), &queues);
    shard.handle_request(&Request::StopChannel { channel: channel(0) });
    assert_eq!(consumers(&shard), QUEUES - SLICE);
    shard.check_invariants();
    shard.handle_request(&Request::CloseChannel { channel: channel(0) });
    shard.check_invariants();
    while shard.has_work() {
        assert!(closed(&mut shard).is_empty(), "some queues have not let go");
        tick(&mut shard);
    }
    assert_eq!(consumers(&shard), 0);
    assert_eq!(closed(&mut shard), [channel(0)]);
}

#[test]
fn a_stopped_channel_is_answered_only_when_it_is_closed() {
    let (mut shard, queues) = home(BULK_PER_TICK, QUEUES);
    consume(&mut shard, channel(0), &queues);
    shard.handle_request(&Request::StopChannel { channel: channel(0) });
    while shard.has_work() {
        tick(&mut shard);
    }
    assert_eq!(consumers(&shard), 0);
    assert!(closed(&mut shard).is_empty());
    shard.handle_request(&Request::CloseChannel { channel: channel(0) });
    while shard.has_work() {
        tick(&mut shard);
    }
    assert_eq!(closed(&mut shard), [channel(0)]);
}

#[test]
fn queues_that_go_meanwhile_are_not_waited_for() {
    let (mut shard, queues) = home(BULK_PER_TICK, QUEUES);
    consume(&mut shard, channel(0), &queues);
    shard.handle_request(&Request::CloseChannel { channel: channel(0) });
    for queue in &queues {
        shard.handle_retire(*queue, false, false);
    }
    while shard.has_work() {
        tick(&mut shard);
    }
    assert_eq!(closed(&mut shard), [channel(0)]);
}

#[test]
fn a_channel_without_queues_is_let_go_of_at_once() {
    let (mut shard, _) = home(BULK_PER_TICK, QUEUES);
    shard.handle_request(&Request::CloseChannel { channel: channel(7) });
    assert_eq!(closed(&mut shard), [channel(7)]);
    assert!(!shard.has_work());
}

/// How many deliveries the channels with these two addresses got since it was last asked.
fn delivered(shard: &mut Shard, to: [ChannelAddress; 2]) -> [usize; 2] {
    let batch = shard.poll_batch(FRONT).expect("something was answered");
    let series = batch.parcels.iter().filter_map(|parcel| match parcel {
        Parcel::Answer(Answer::Delivered(series)) => Some(series),
        _ => None,
    });
    let mut counts = [0; 2];
    for series in series {
        let place = to.iter().position(|to| *to == series.first.channel);
        counts[place.expect("nobody else consumes")] += series.count as usize;
    }
    counts
}

#[test]
fn no_message_is_lost_in_a_channel_that_its_queue_does_not_know_to_be_leaving() {
    let closes = [
        Request::CloseChannel { channel: channel(0) },
        Request::StopChannel { channel: channel(0) },
    ];
    for close in closes {
        let (mut shard, queues) = home(BULK_PER_TICK, QUEUES);
        consume_no_ack(&mut shard, channel(0), &queues);
        let last = *queues.last().expect("there are some");
        consume_no_ack(&mut shard, channel(1), &[last]);
        assert_eq!(delivered(&mut shard, [channel(0), channel(1)]), [0, 0]);
        shard.handle_request(&close);
        fill(&mut shard, last, 10);
        tick(&mut shard);
        fill(&mut shard, last, 10);
        assert!(!shard.home.leaving.is_empty(), "some queues know nothing yet");
        tick(&mut shard);
        assert_eq!(delivered(&mut shard, [channel(0), channel(1)]), [0, 20]);
    }
}

#[test]
fn a_queue_whose_only_consumer_is_leaving_keeps_its_messages() {
    let (mut shard, queues) = home(BULK_PER_TICK, QUEUES);
    consume_no_ack(&mut shard, channel(0), &queues);
    let last = *queues.last().expect("there are some");
    shard.handle_request(&Request::CloseChannel { channel: channel(0) });
    fill(&mut shard, last, 10);
    tick(&mut shard);
    assert_eq!(delivered(&mut shard, [channel(0), channel(1)]), [0, 0]);
    assert_eq!(shard.home.queues[&last].queue.ready_count(), 10);
    while shard.has_work() {
        tick(&mut shard);
    }
    assert_eq!(closed(&mut shard), [channel(0)]);
    assert_eq!(shard.home.queues[&last].queue.ready_count(), 10);
}
