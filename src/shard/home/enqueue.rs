//! Publishes arrive at the queues' home.

use bytes::Bytes;
use haremq_broker::ids::{QueueId, ShardId};
use haremq_broker::queue::{Command, delivery_bytes};
use haremq_broker::store::{Content, MessageId};

use super::pass::hand_over;
use crate::mesh::{Arrival, Messages, Numbered, Series, publish_cost};
use crate::shard::Shard;

impl Shard {
    /// Publishes that came over the mesh.
    pub(crate) fn read_publishes(
        &mut self,
        from: ShardId,
        publishes: &mut Series<Arrival>,
        queues: &[QueueId],
        mut messages: Messages<'_>,
    ) {
        let large_body = publishes.large_body.take();
        let large_body = large_body.as_deref();
        let mut cost = 0;
        if let &[queue] = queues {
            cost += self.pass_all(queue, &publishes.first, &mut messages, large_body);
        }
        let mut arrival = publishes.first.later(messages.place);
        while let Some(content) = messages.next(large_body) {
            cost += publish_cost(&content, queues.len());
            self.enqueue(&arrival, queues.iter().copied(), &content, large_body);
            self.handle_local_answers();
            arrival = arrival.later(1);
        }
        self.outboxes[from.index()].return_credit(cost);
    }

    /// Puts a message into those of the queues that still exist. A queue that is gone counts as
    /// having accepted it (CNF-6). It is stored when the first queue has to keep it.
    pub(crate) fn enqueue(
        &mut self,
        arrival: &Arrival,
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
            let Some(mut passage) = self.home.passage(queue) else {
                self.release_stored(stored);
                continue;
            };
            if let Some(consumer) = passage.offer(self.now, bytes) {
                let is_here =
                    hand_over(&mut self.front, &mut self.outboxes, consumer, content, owned_body);
                self.counters.delivered += u64::from(is_here);
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

    pub(super) fn is_durable(&self, queue: QueueId) -> bool {
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
