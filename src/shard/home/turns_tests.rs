//! What a tick's budget does not suffice for goes on by turns.

use haremq_broker::ids::{ChannelAddress, QueueId};
use haremq_broker::queue::{ConsumerIndex, Outcome};

use super::test_kit::{channel, consume, fill, home, tick};
use crate::mesh::Request;
use crate::shard::Shard;

const BUDGET: u32 = 64;
/// Many ticks' budgets.
const MANY: usize = 20 * BUDGET as usize;

/// A consumer of the channel gets so many messages of the queue.
fn hold(shard: &mut Shard, channel: ChannelAddress, queue: QueueId, messages: usize) {
    consume(shard, channel, &[queue]);
    fill(shard, queue, messages);
    while shard.has_work() {
        tick(shard);
    }
    assert_eq!(unacked(shard, queue), messages as u64);
}

fn settle(shard: &mut Shard, channel: ChannelAddress, queue: QueueId, outcome: Outcome) {
    let (consumer, first, last) = (ConsumerIndex(0), 0, u64::MAX);
    shard.handle_request(&Request::Settle { channel, queue, consumer, first, last, outcome });
}

fn unacked(shard: &Shard, queue: QueueId) -> u64 {
    shard.home.queues[&queue].queue.unacked_count()
}

#[test]
fn an_ack_waits_for_no_more_than_a_tick_however_many_huge_requeues_are_under_way() {
    let (mut shard, queues) = home(BUDGET, 4);
    let (small, huge) = queues.split_last().expect("there are some");
    for (slot, queue) in (0..).zip(huge) {
        hold(&mut shard, channel(slot), *queue, MANY);
    }
    hold(&mut shard, channel(3), *small, 5);
    for (slot, queue) in (0..).zip(huge) {
        settle(&mut shard, channel(slot), *queue, Outcome::Requeued);
    }
    settle(&mut shard, channel(3), *small, Outcome::Acked);
    assert_eq!(unacked(&shard, *small), 5, "the first requeue has used up the budget");
    tick(&mut shard);
    assert_eq!(unacked(&shard, *small), 0);
    tick(&mut shard);
    let left: Vec<u64> = huge.iter().map(|queue| unacked(&shard, *queue)).collect();
    let shares = left.iter().skip(1).map(|left| MANY as u64 - left);
    assert!(shares.clone().all(|share| share >= u64::from(BUDGET) / 3), "{left:?}");
    assert!(shares.sum::<u64>() <= 2 * u64::from(BUDGET), "{left:?}");
}

#[test]
fn who_is_alone_has_the_whole_budget() {
    let (mut shard, queues) = home(BUDGET, 1);
    hold(&mut shard, channel(0), queues[0], MANY);
    settle(&mut shard, channel(0), queues[0], Outcome::Acked);
    let ticks = std::iter::repeat_with(|| tick(&mut shard)).take(MANY / BUDGET as usize - 1);
    assert_eq!(ticks.count() + 1, MANY / BUDGET as usize);
    assert_eq!(unacked(&shard, queues[0]), 0);
}

#[test]
fn channels_that_leave_take_turns_with_the_others() {
    let (mut shard, queues) = home(BUDGET, MANY as u64);
    consume(&mut shard, channel(0), &queues);
    consume(&mut shard, channel(1), &queues[..1]);
    shard.handle_request(&Request::CloseChannel { channel: channel(0) });
    shard.handle_request(&Request::CloseChannel { channel: channel(1) });
    assert_eq!(shard.home.queues[&queues[0]].queue.consumer_count(), 1);
    tick(&mut shard);
    assert_eq!(shard.home.queues[&queues[0]].queue.consumer_count(), 0);
    assert!(shard.has_work(), "the other channel has queues left");
}
