//! A channel with very many queues leaves in slices.

use haremq_broker::catalog::{Catalog, Delta, QueueRecord};
use haremq_broker::ids::{
    ChannelAddress, ConnectionAddress, QueueId, ShardId, SlotId, Time, VhostId,
};
use haremq_protocol::types::FieldTable;

use crate::event::Event;
use crate::limits::{BULK_PER_QUEUE, BULK_PER_TICK};
use crate::mesh::{Answer, Parcel, Request};
use crate::shard::{Settings, Shard};

const QUEUES: u64 = 3_000;
const SLICE: u64 = (BULK_PER_TICK / BULK_PER_QUEUE) as u64;
/// The channels are another shard's, so that what the home answers can be read in its batches.
const FRONT: ShardId = ShardId(1);

fn channel(slot: u32) -> ChannelAddress {
    ChannelAddress { shard: FRONT, slot, generation: 1 }
}

/// A home with `QUEUES` queues, and their ids.
fn home() -> (Shard, Vec<QueueId>) {
    let catalog = Catalog::new(1);
    let first = catalog.index() + 1;
    let vhost = catalog.vhost("/").expect("there is one from the start");
    let mut shard = Shard::new(Settings {
        id: ShardId(0),
        shards: 2,
        catalog,
        name_seed: 1,
        cluster_name: "test".into(),
        bulk_per_tick: BULK_PER_TICK,
    });
    for index in first..first + QUEUES {
        shard.handle_delta(index, &Delta::QueueDeclared(queue(index, vhost)));
    }
    (shard, (first..first + QUEUES).map(QueueId).collect())
}

fn queue(index: u64, vhost: VhostId) -> QueueRecord {
    QueueRecord {
        id: QueueId(index),
        vhost,
        name: format!("queue {index}").into(),
        slot: SlotId(0),
        durable: false,
        exclusive_owner: None,
        auto_delete: false,
        arguments: FieldTable::default(),
        settings: Default::default(),
    }
}

fn consume(shard: &mut Shard, channel: ChannelAddress, queues: &[QueueId]) {
    let connection = ConnectionAddress { shard: FRONT, slot: 0, generation: 1 };
    for (front_consumer, queue) in queues.iter().enumerate() {
        shard.handle_request(&Request::Consume {
            channel,
            connection,
            front_consumer: front_consumer as u32,
            queue: *queue,
            no_ack: false,
            exclusive: false,
            prefetch: 0,
            global: false,
        });
    }
}

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

fn tick(shard: &mut Shard) {
    shard.handle(Event::TickEnded, Time(0));
    shard.check_invariants();
}

#[test]
fn a_channel_leaves_no_more_queues_in_a_tick_than_its_budget_is_for() {
    let (mut shard, queues) = home();
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
    let (mut shard, queues) = home();
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
    let (mut shard, queues) = home();
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
    let (mut shard, queues) = home();
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
    let (mut shard, _) = home();
    shard.handle_request(&Request::CloseChannel { channel: channel(7) });
    assert_eq!(closed(&mut shard), [channel(7)]);
    assert!(!shard.has_work());
}
