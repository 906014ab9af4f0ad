//! A home alone, as its tests need it. Its channels are another shard's, so that what it answers can be
//! read in its batches.

use haremq_broker::catalog::{Catalog, Delta, QueueRecord};
use haremq_broker::ids::{
    ChannelAddress, ConnectionAddress, QueueId, ShardId, SlotId, Time, VhostId,
};
use haremq_broker::store::Content;
use haremq_protocol::types::FieldTable;

use crate::event::Event;
use crate::limits::PARCELS_PER_RING_AND_TICK;
use crate::mesh::Arrival;
use crate::mesh::Request;
use crate::shard::{Settings, Shard};

/// Where the channels are.
pub(crate) const FRONT: ShardId = ShardId(1);

pub(crate) fn channel(slot: u32) -> ChannelAddress {
    ChannelAddress { shard: FRONT, slot, generation: 1 }
}

/// A home with so many queues, and their ids.
pub(crate) fn home(bulk_per_tick: u32, queues: u64) -> (Shard, Vec<QueueId>) {
    let catalog = Catalog::new(1);
    let first = catalog.index() + 1;
    let vhost = catalog.vhost("/").expect("there is one from the start");
    let mut shard = Shard::new(Settings {
        id: ShardId(0),
        shards: 2,
        catalog,
        name_seed: 1,
        cluster_name: "test".into(),
        bulk_per_tick,
        parcels_per_tick: PARCELS_PER_RING_AND_TICK,
    });
    for index in first..first + queues {
        shard.handle_delta(index, &Delta::QueueDeclared(queue(index, vhost).into()));
    }
    (shard, (first..first + queues).map(QueueId).collect())
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

/// A consumer of the channel at each of the queues.
pub(crate) fn consume(shard: &mut Shard, channel: ChannelAddress, queues: &[QueueId]) {
    consume_as(shard, channel, queues, false);
}

/// Likewise, without acknowledgements.
pub(crate) fn consume_no_ack(shard: &mut Shard, channel: ChannelAddress, queues: &[QueueId]) {
    consume_as(shard, channel, queues, true);
}

fn consume_as(shard: &mut Shard, channel: ChannelAddress, queues: &[QueueId], no_ack: bool) {
    let connection = ConnectionAddress { shard: FRONT, slot: 0, generation: 1 };
    for (front_consumer, queue) in queues.iter().enumerate() {
        shard.handle_request(&Request::Consume {
            channel,
            connection,
            front_consumer: front_consumer as u32,
            queue: *queue,
            no_ack,
            exclusive: false,
            prefetch: 0,
            global: false,
        });
    }
}

/// Puts so many empty messages into a queue.
pub(crate) fn fill(shard: &mut Shard, queue: QueueId, messages: usize) {
    let (sequence, expiration_ms, is_persistent) = (0, None, false);
    let arrival = Arrival { channel: channel(9), sequence, expiration_ms, is_persistent };
    let content = Content { exchange: b"", routing_key: b"", properties: b"\0\0", body: b"" };
    for _ in 0..messages {
        shard.enqueue(&arrival, std::iter::once(queue), &content, None);
    }
}

pub(crate) fn tick(shard: &mut Shard) {
    shard.handle(Event::TickEnded, Time(0));
    shard.check_invariants();
}
