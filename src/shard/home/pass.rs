//! Messages that pass through a queue: from the publisher's octets straight into the consumer's.

use bytes::Bytes;
use haremq_broker::ids::{ChannelAddress, QueueId, Time};
use haremq_broker::queue::{Command, Context, Effect, Queue, delivery_bytes};
use haremq_broker::store::Content;

use super::Home;
use crate::front::Front;
use crate::mesh::{Arrival, Departure, Messages, Numbered, Outbox, publish_cost};
use crate::shard::Shard;

/// A queue, looked up once for all messages that may pass through it.
pub(super) struct Passage<'a> {
    queue: &'a mut Queue,
    context: Context<'a>,
}

impl Home {
    /// The way through a queue, if it is here.
    #[inline]
    pub(super) fn passage(&mut self, queue: QueueId) -> Option<Passage<'_>> {
        let entry = self.queues.get_mut(&queue)?;
        let context = Context {
            store: &mut self.store,
            windows: &mut self.windows,
            bulk_left: &mut self.bulk_left,
            leaving: &self.telling,
            effects: &mut self.effects,
        };
        Some(Passage { queue: &mut entry.queue, context })
    }
}

impl Passage<'_> {
    /// Lets a message pass if nothing waits and whoever is next consumes with no-ack: to which
    /// channel and consumer it goes. It is settled then; otherwise nothing has changed.
    #[inline]
    pub(super) fn offer(&mut self, now: Time, bytes: u64) -> Option<(ChannelAddress, u32)> {
        // Whoever is next may be of a channel that is leaving: a dispatch looks at that.
        if !self.queue.may_pass() || !self.context.leaving.is_empty() {
            return None;
        }
        self.queue.apply(now, Command::Offer { bytes }, &mut self.context);
        let effect = self.context.effects.pop()?;
        assert!(self.context.effects.is_empty(), "what an offer asks for is one thing");
        let Effect::Passed { channel, front_consumer } = effect else {
            unreachable!("it asks for nothing else")
        };
        Some((channel, front_consumer))
    }
}

impl Shard {
    /// Lets the next messages of a series pass, as long as their only queue lets them: what they
    /// cost in credit.
    pub(super) fn pass_all(
        &mut self,
        queue: QueueId,
        first: &Arrival,
        messages: &mut Messages<'_>,
        large_body: Option<&Bytes>,
    ) -> u32 {
        let begin = messages.place;
        let mut cost = 0;
        if let Some(mut passage) = self.home.passage(queue) {
            while let Some(content) = messages.peek(large_body)
                && let Some(consumer) = passage.offer(self.now, delivery_bytes(&content))
            {
                cost += publish_cost(&content, 1);
                let is_here =
                    hand_over(&mut self.front, &mut self.outboxes, consumer, &content, large_body);
                self.counters.delivered += u64::from(is_here);
                messages.skip();
            }
        }
        let is_logged = first.is_persistent && self.is_durable(queue);
        if is_logged || first.sequence != 0 {
            let passed = begin..messages.place;
            passed.for_each(|place| self.owe_acceptance(&first.later(place), is_logged));
        }
        cost
    }
}

/// Delivers a message that passes through; whether its consumer is of this shard.
#[inline]
pub(super) fn hand_over(
    front: &mut Front,
    outboxes: &mut [Outbox],
    (channel, front_consumer): (ChannelAddress, u32),
    content: &Content<'_>,
    owned_body: Option<&Bytes>,
) -> bool {
    let departure = Departure { channel, front_consumer, ordinal: None, redelivered: false };
    let is_here = channel.shard == front.shard;
    if is_here {
        front.deliver(channel.shard, &departure, content);
    } else {
        outboxes[channel.shard.index()].deliver(&departure, content, owned_body);
    }
    is_here
}
