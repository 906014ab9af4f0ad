//! Settlements that take several ticks go on by turns.

use haremq_broker::catalog::Catalog;
use haremq_broker::ids::{QueueId, ShardId, Time};
use haremq_broker::queue::{ConsumerIndex, Outcome};

use super::channel::{Channel, Consumer, ConsumerKind, Waiting};
use super::settle::ACK;
use crate::event::{ConnectionSlot, Event, Peer};
use crate::limits::PARCELS_PER_RING_AND_TICK;
use crate::shard::{Settings, Shard};

const BUDGET: u32 = 64;
const CONNECTION: ConnectionSlot = ConnectionSlot(0);

fn front() -> Shard {
    let mut shard = Shard::new(Settings {
        id: ShardId(0),
        shards: 2,
        catalog: Catalog::new(1),
        name_seed: 1,
        cluster_name: "test".into(),
        bulk_per_tick: BUDGET,
        parcels_per_tick: PARCELS_PER_RING_AND_TICK,
    });
    let peer = Peer { name: "peer".into(), is_loopback: true };
    shard.handle(Event::Accepted { connection: CONNECTION, peer }, Time(0));
    shard
}

/// A channel whose one consumer, of a queue of the other shard, holds so many deliveries.
fn hold(shard: &mut Shard, number: u16, deliveries: u64) -> u32 {
    let mut channel = Channel::new(number, CONNECTION, u32::from(number));
    channel.consumers.insert(Consumer {
        tag: "consumer".into(),
        kind: ConsumerKind::Active,
        queue: QueueId(1),
        home: ShardId(1),
        index: Some(ConsumerIndex(0)),
        unsettled: deliveries,
    });
    for ordinal in 0..deliveries {
        channel.tags.push(0, ordinal);
    }
    shard.front.channels.insert(Box::new(channel)) as u32
}

fn ack_all(shard: &mut Shard, channel: u32) {
    shard.settle(channel, 0, true, Outcome::Acked, ACK).expect("tag 0 is all");
}

fn left(shard: &Shard, channel: u32) -> usize {
    shard.front.channels[channel as usize].tags.len()
}

#[test]
fn a_channel_waits_for_no_more_than_a_tick_however_many_settle_very_much() {
    let mut shard = front();
    let many = 20 * BUDGET as usize;
    let huge = [1, 2, 3].map(|number| hold(&mut shard, number, many as u64));
    let small = hold(&mut shard, 4, 5);
    huge.iter().for_each(|channel| ack_all(&mut shard, *channel));
    ack_all(&mut shard, small);
    assert_eq!(left(&shard, huge[0]), many - BUDGET as usize, "the first had the whole budget");
    assert_eq!(left(&shard, small), 5);
    shard.handle(Event::TickEnded, Time(0));
    assert_eq!(left(&shard, small), 0);
    assert_eq!(shard.front.channels[small as usize].waiting, Waiting::Nothing);
    let after = huge.map(|channel| left(&shard, channel));
    assert!(after[1] < many && after[2] < many, "{after:?}");
    let settled = 3 * many - after.iter().sum::<usize>();
    assert_eq!(settled + 5, 2 * BUDGET as usize, "two budgets are used up");
}
