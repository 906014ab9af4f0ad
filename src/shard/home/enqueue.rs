//! Publishes arrive at the queues' home.

use bytes::Bytes;
use haremq_broker::ids::{ChannelAddress, QueueId, ShardId};
use haremq_broker::queue::Command;
use haremq_broker::store::Content;

use crate::mesh::{Publish, Reader, publish_cost};
use crate::shard::Shard;

/// What a home must know of a publish beside its content.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub(crate) channel: ChannelAddress,
    /// 0 if no acceptance is wanted.
    pub(crate) sequence: u64,
    pub(crate) expiration_ms: Option<u64>,
    pub(crate) is_persistent: bool,
}

impl Shard {
    /// A publish that came over the mesh.
    pub(crate) fn read_publish(
        &mut self,
        from: ShardId,
        publish: &mut Publish,
        bytes: &[u8],
        reader: &mut Reader,
    ) {
        let mut targets = std::mem::take(&mut self.home.targets);
        targets.extend((0..publish.queues).map(|_| reader.read_queue(bytes)));
        let large_body = publish.large_body.take();
        let content = reader.read_content(bytes, publish.lengths, large_body.as_ref());
        self.outboxes[from.index()].return_credit(publish_cost(&content));
        let arrival = Arrival {
            channel: publish.channel,
            sequence: publish.sequence,
            expiration_ms: publish.expiration_ms,
            is_persistent: publish.is_persistent,
        };
        self.enqueue(arrival, &targets, &content, large_body.as_ref());
        targets.clear();
        self.home.targets = targets;
    }

    /// Puts a message into those of the queues that still exist. A queue that is gone counts as
    /// having accepted it (CNF-6).
    pub(crate) fn enqueue(
        &mut self,
        arrival: Arrival,
        queues: &[QueueId],
        content: &Content<'_>,
        owned_body: Option<&Bytes>,
    ) {
        let references = u32::try_from(queues.len()).expect("queues are counted in u32");
        let message = self.store_message(content, owned_body, references);
        let command = Command::Enqueue { message, expiration_ms: arrival.expiration_ms };
        let mut is_logged = false;
        for &queue in queues {
            if !self.apply(queue, command) {
                self.home.store.release(message);
                continue;
            }
            is_logged |= arrival.is_persistent && self.is_durable(queue);
            self.carry_out_effects(queue);
        }
        self.owe_acceptance(arrival, is_logged);
    }

    fn is_durable(&self, queue: QueueId) -> bool {
        self.home.queues.get(&queue).is_some_and(|entry| entry.queue.settings().durable)
    }

    fn store_message(
        &mut self,
        content: &Content<'_>,
        owned_body: Option<&Bytes>,
        references: u32,
    ) -> haremq_broker::store::MessageId {
        let store = &mut self.home.store;
        match owned_body {
            Some(body) => store.insert_owned(
                content.exchange,
                content.routing_key,
                content.properties,
                body.clone(),
                references,
            ),
            None => store.insert(content, references),
        }
    }
}
