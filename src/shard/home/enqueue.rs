//! Publishes arrive at the queues' home.

use bytes::Bytes;
use haremq_broker::ids::{ChannelAddress, QueueId, ShardId};
use haremq_broker::queue::{Command, Effect, delivery_bytes};
use haremq_broker::store::{Content, MessageId};

use crate::mesh::{Answer, Publish, Reader, publish_cost};
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
        let mut more = std::mem::take(&mut self.home.targets);
        more.extend((0..publish.more_queues).map(|_| reader.read_queue(bytes)));
        let large_body = publish.large_body.take();
        let large_body = large_body.as_deref();
        let content = reader.read_content(bytes, publish.lengths, large_body);
        self.outboxes[from.index()].return_credit(publish_cost(&content));
        let arrival = Arrival {
            channel: publish.channel,
            sequence: publish.sequence,
            expiration_ms: publish.expiration_ms,
            is_persistent: publish.is_persistent,
        };
        if more.is_empty() {
            self.enqueue(arrival, std::iter::once(publish.queue), &content, large_body);
        } else {
            more.push(publish.queue);
            self.enqueue(arrival, more.iter().copied(), &content, large_body);
            more.clear();
        }
        self.home.targets = more;
    }

    /// Puts a message into those of the queues that still exist. A queue that is gone counts as
    /// having accepted it (CNF-6). It is stored when the first queue has to keep it.
    pub(crate) fn enqueue(
        &mut self,
        arrival: Arrival,
        queues: impl ExactSizeIterator<Item = QueueId>,
        content: &Content<'_>,
        owned_body: Option<&Bytes>,
    ) {
        let bytes = delivery_bytes(content);
        let mut stored = None;
        let mut is_logged = false;
        let count = queues.len();
        for (at, queue) in queues.enumerate() {
            is_logged |= arrival.is_persistent && self.is_durable(queue);
            let Some(entry) = self.home.queues.get(&queue) else {
                self.release_stored(stored);
                continue;
            };
            if entry.queue.may_pass() && self.pass_through(queue, bytes, content, owned_body) {
                self.release_stored(stored);
                continue;
            }
            let message = stored.unwrap_or_else(|| {
                let references = u32::try_from(count - at);
                let references = references.expect("queues are counted in u32");
                self.store_message(content, owned_body, references)
            });
            stored = Some(message);
            let expiration_ms = arrival.expiration_ms;
            self.apply_and_carry_out(queue, Command::Enqueue { message, expiration_ms });
        }
        self.owe_acceptance(arrival, is_logged);
    }

    /// A queue has no use for the message, if it is stored for the others.
    fn release_stored(&mut self, stored: Option<MessageId>) {
        if let Some(message) = stored {
            self.home.store.release(message);
        }
    }

    /// From the publisher's bytes straight into the consumer's, if the queue lets it pass.
    fn pass_through(
        &mut self,
        queue: QueueId,
        bytes: u64,
        content: &Content<'_>,
        owned_body: Option<&Bytes>,
    ) -> bool {
        self.apply(queue, Command::Offer { bytes });
        let Some(Effect::Passed { channel, front_consumer }) = self.home.effects.pop() else {
            return false;
        };
        assert!(self.home.effects.is_empty(), "a message that passes through is all that happens");
        if channel.shard == self.id {
            self.front.deliver(self.id, channel, front_consumer, 0, false, content);
            self.counters.delivered += 1;
            return true;
        }
        let outbox = &mut self.outboxes[channel.shard.index()];
        let delivery = outbox.write_delivery(content, owned_body, false, 0);
        outbox.answer(Answer::Delivered { channel, front_consumer, delivery });
        true
    }

    fn is_durable(&self, queue: QueueId) -> bool {
        self.home.queues.get(&queue).is_some_and(|entry| entry.queue.settings().durable)
    }

    fn store_message(
        &mut self,
        content: &Content<'_>,
        owned_body: Option<&Bytes>,
        references: u32,
    ) -> MessageId {
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
