//! The oldest delivery of a channel may be out for as long as its queue says.

use haremq_broker::catalog::{Catalog, Delta, QueueRecord};
use haremq_broker::ids::{ShardId, SlotId};
use haremq_broker::queue::{ConsumerIndex, Outcome};
use haremq_protocol::types::FieldTable;

use super::*;
use crate::event::{ConnectionSlot, Event, Peer};
use crate::front::channel::{Channel, Consumer, ConsumerKind};
use crate::front::connection::State;
use crate::front::settle::ACK;
use crate::limits::{BULK_PER_TICK, PARCELS_PER_RING_AND_TICK};
use crate::shard::Settings;

const CONNECTION: ConnectionSlot = ConnectionSlot(0);
const CHANNEL: u32 = 0;
const TIMEOUT_MS: u64 = 100_000;

/// A front with one channel that consumes from two queues of the other shard: its consumer 0 from
/// one with a timeout, 1 from one without.
fn front() -> Shard {
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
        parcels_per_tick: PARCELS_PER_RING_AND_TICK,
    });
    let peer = Peer { name: "peer".into(), is_loopback: true };
    shard.handle(Event::Accepted { connection: CONNECTION, peer }, Time(0));
    shard.connection_mut(CONNECTION).state = State::Running;
    let mut channel = Channel::new(1, CONNECTION, 1);
    for (index, consumer_timeout_ms) in (first..).zip([Some(TIMEOUT_MS), None]) {
        let mut record = QueueRecord {
            id: QueueId(index),
            vhost,
            name: format!("queue {index}").into(),
            slot: SlotId(1),
            durable: false,
            exclusive_owner: None,
            auto_delete: false,
            arguments: FieldTable::default(),
            settings: Default::default(),
        };
        record.settings.consumer_timeout_ms = consumer_timeout_ms;
        shard.handle_delta(index, &Delta::QueueDeclared(record.into()));
        channel.consumers.insert(Consumer {
            tag: "consumer".into(),
            kind: ConsumerKind::Active,
            queue: QueueId(index),
            home: ShardId(1),
            index: Some(ConsumerIndex(0)),
            unsettled: 1_000_000,
        });
    }
    assert_eq!(shard.front.channels.insert(Box::new(channel)), CHANNEL as usize);
    shard.watch_acks(CHANNEL, QueueId(first + 1));
    assert!(shard.front.channels[CHANNEL as usize].ack_marks.is_none());
    shard.watch_acks(CHANNEL, QueueId(first));
    shard
}

fn tags(shard: &mut Shard) -> &mut haremq_broker::channel::DeliveryTags {
    &mut shard.front.channels[CHANNEL as usize].tags
}

/// Lets time pass, with a tick whenever a timer is due. Returns when the channel was closed, if it
/// was.
fn wait(shard: &mut Shard, until: Time) -> Option<Time> {
    while shard.now < until {
        let next = shard.next_deadline().unwrap_or(until).min(until).max(shard.now);
        shard.handle(Event::TickEnded, next);
        if !shard.front.channels.get(CHANNEL as usize).is_some_and(|entry| entry.is_open()) {
            return Some(shard.now);
        }
        if next == until {
            break;
        }
    }
    None
}

/// A delivery is overdue from `timeout` on, and noticed two looks later.
fn assert_in_time(closed: Option<Time>, delivered: Time) {
    let earliest = delivered.after_ms(TIMEOUT_MS);
    let closed = closed.expect("the delivery is overdue");
    assert!(earliest <= closed && closed <= earliest.after_ms(2 * ACK_CHECK_MS), "{closed:?}");
}

#[test]
fn a_delivery_that_is_not_acknowledged_in_time_closes_its_channel() {
    let mut shard = front();
    assert_eq!(wait(&mut shard, Time(45_000)), None);
    tags(&mut shard).push(0, 0);
    let closed = wait(&mut shard, Time(1_000_000));
    assert_in_time(closed, Time(45_000));
    let report = shard.poll_report().expect("it is logged");
    assert_eq!(
        report.text,
        "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: \
         100000 ms. This timeout value can be configured, see consumers doc guide to learn more \
         (delivery tag 1 from queue 'queue 8', of consumer 'consumer')"
    );
}

#[test]
fn a_consumer_that_acknowledges_in_time_goes_on_however_much_it_gets() {
    let mut shard = front();
    for ordinal in 0..500 {
        let tag = tags(&mut shard).push(0, ordinal);
        let now = shard.now;
        assert_eq!(wait(&mut shard, now.after_ms(20_000)), None);
        // It always has the last two in hand.
        if tag > 2 {
            shard.settle(CHANNEL, tag - 2, false, Outcome::Acked, ACK).expect("it is out");
        }
    }
    let marks = &shard.front.channels[CHANNEL as usize].ack_marks;
    assert!(marks.as_ref().is_some_and(|marks| marks.marks.len() < 5));
}

#[test]
fn deliveries_of_queues_without_a_timeout_may_be_out_for_ever() {
    let mut shard = front();
    tags(&mut shard).push(1, 0);
    let day = Time(24 * 3_600_000);
    for ordinal in 1..1_000 {
        let now = shard.now;
        assert_eq!(wait(&mut shard, now.after_ms(day.0 / 1_000)), None);
        tags(&mut shard).push(1, ordinal);
    }
    let marks = &shard.front.channels[CHANNEL as usize].ack_marks;
    assert!(marks.as_ref().is_some_and(|marks| marks.marks.len() <= ACK_MARKS_MAX));
}

#[test]
fn the_oldest_delivery_of_a_queue_with_a_timeout_counts_whatever_is_out_before_it() {
    let mut shard = front();
    for ordinal in 0..3 * ACK_CHECKED_MAX as u64 {
        tags(&mut shard).push(1, ordinal);
    }
    assert_eq!(wait(&mut shard, Time(5 * TIMEOUT_MS)), None);
    tags(&mut shard).push(0, 0);
    let closed = wait(&mut shard, Time(10 * TIMEOUT_MS));
    assert_in_time(closed, Time(5 * TIMEOUT_MS));
}

#[test]
fn deliveries_of_a_queue_that_is_gone_are_passed_over() {
    let mut shard = front();
    tags(&mut shard).push(0, 0);
    let id = shard.front.channels[CHANNEL as usize].consumers[0].queue;
    assert_eq!(wait(&mut shard, Time(50_000)), None);
    let index = shard.catalog.index() + 1;
    shard.handle_delta(index, &Delta::QueueDeleted { id });
    assert_eq!(wait(&mut shard, Time(5 * TIMEOUT_MS)), None);
}

#[test]
fn a_client_that_reads_nothing_or_has_to_wait_for_memory_is_not_excused() {
    for pause in [Pause::Memory, Pause::Output] {
        let mut shard = front();
        tags(&mut shard).push(0, 0);
        shard.pause(CONNECTION, pause);
        let closed = wait(&mut shard, Time(1_000_000));
        assert_in_time(closed, Time(0));
    }
}

#[test]
fn what_the_broker_keeps_a_client_from_is_waited_for_and_not_for_long() {
    for pause in [Pause::Channel(CHANNEL + 1), Pause::Credit(ShardId(1))] {
        let mut shard = front();
        tags(&mut shard).push(0, 0);
        shard.pause(CONNECTION, pause);
        let overdue = Time(3 * TIMEOUT_MS);
        assert_eq!(wait(&mut shard, overdue), None);
        shard.connection_mut(CONNECTION).pause = None;
        let closed = wait(&mut shard, Time(1_000_000)).expect("it is overdue");
        assert!(closed <= overdue.after_ms(ACK_CHECK_SOON_MS), "{closed:?}");
    }
}

#[test]
fn an_acknowledgement_that_is_about_to_be_read_counts() {
    let mut shard = front();
    let connection = shard.connection_mut(CONNECTION);
    connection.frame_max = 131_072;
    connection.channel_max = 10;
    connection.add_channel(1, CHANNEL);
    let tag = tags(&mut shard).push(0, 0);
    assert_eq!(tag, 1);
    shard.pause(CONNECTION, Pause::Memory);
    let ack = [1, 0, 1, 0, 0, 0, 13, 0, 60, 0, 80, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0xce];
    shard.handle(Event::Received { connection: CONNECTION, bytes: &ack }, Time(10));
    let marked = Time(ACK_CHECK_MS);
    // In the tick of this look the delivery is overdue, and its connection goes on.
    let look = marked.after_ms(TIMEOUT_MS.next_multiple_of(ACK_CHECK_MS));
    assert_eq!(wait(&mut shard, Time(look.0 - 1)), None);
    shard.handle(Event::MemoryChanged { is_over_limit: false }, look);
    shard.handle(Event::TickEnded, look);
    assert!(tags(&mut shard).is_empty(), "the acknowledgement was read");
    assert_eq!(wait(&mut shard, Time(1_000_000)), None);
}

#[test]
fn a_delivery_whose_acknowledgement_is_rolled_back_is_looked_at_again() {
    let mut shard = front();
    shard.front.channels[CHANNEL as usize].transaction = Some(Box::default());
    let tag = tags(&mut shard).push(0, 0);
    shard.settle(CHANNEL, tag, false, Outcome::Acked, ACK).expect("it is out");
    tags(&mut shard).push(1, 0);
    assert_eq!(wait(&mut shard, Time(TIMEOUT_MS)), None);
    shard.restore_transaction(CHANNEL);
    assert_eq!(tags(&mut shard).oldest(), Some(tag));
    assert_in_time(wait(&mut shard, Time(5 * TIMEOUT_MS)), Time(TIMEOUT_MS));
}

#[test]
fn marks_say_never_too_early_and_thin_out_when_they_are_many() {
    let mut marks = AckMarks::default();
    for step in 1..1_000 {
        marks.mark(Time(step * 10), Some(1), step + 1);
        assert!(marks.marks.len() <= ACK_MARKS_MAX);
        assert_eq!(marks.given_by(), Some(Time(10)), "the oldest was given by the first mark");
    }
    for oldest in 2..1_000 {
        marks.mark(Time(10_000), Some(oldest), 1_000);
        // Tag n was given out between marks n - 1 and n.
        let given_by = marks.given_by().expect("tags are out");
        assert!(given_by.0 >= oldest * 10, "{oldest}: {given_by:?}");
    }
    marks.mark(Time(10_000), None, 1_000);
    assert_eq!(marks.given_by(), None);
}
