//! Which message goes to whom.

use crate::ids::{ChannelAddress, Time};
use crate::store::MessageId;

use super::command::ConsumerIndex;
use super::effect::{Delivery, Effect};
use super::entry::Entry;
use super::sequence_set::SequenceSet;
use super::window::{DELIVERY_OVERHEAD_BYTES, Waiting};
use super::{Context, Queue};

/// A message with time to live 0 is given up when more than this many deliveries would have to go
/// before it.
const IMMEDIATE_DISPATCH_MAX: u32 = 4_096;

impl Queue {
    /// Delivers until the budget is used up, nothing is ready, or nobody can take more.
    pub(super) fn dispatch(&mut self, now: Time, budget: u32, context: &mut Context<'_>) {
        for _ in 0..budget {
            if !self.is_runnable() {
                return;
            }
            let Some(sequence) = self.next_ready() else { return };
            if self.is_expired(now, sequence) {
                self.expire(sequence, context.store);
                continue;
            }
            let message = self.entry(sequence).message();
            let Some(consumer) = self.poll_consumer(now, message, context) else { return };
            self.deliver(sequence, consumer, context.effects);
        }
    }

    /// Nothing waits, and whoever is next takes the message without holding it.
    pub(super) fn offer(&mut self, bytes: u64, context: &mut Context<'_>) {
        if !self.may_pass() {
            return;
        }
        let Some(consumer) = self.consumers.next_turn() else { return };
        if !consumer.no_ack || consumer.global || !context.windows.charge(consumer.window, bytes) {
            return;
        }
        let (channel, front_consumer) = (consumer.channel, consumer.front_consumer);
        self.consumers.pass_turn();
        self.counters.enqueued += 1;
        self.counters.delivered += 1;
        self.counters.settled += 1;
        context.effects.push(Effect::Passed { channel, front_consumer });
    }

    /// A message that nobody can take at once expires at once (TTL-23).
    pub(super) fn enqueue_immediate(
        &mut self,
        now: Time,
        message: MessageId,
        context: &mut Context<'_>,
    ) {
        let mut entry = Entry::new(message, Some(now));
        entry.mark_immediate(true);
        let sequence = self.entries.push_back(entry);
        self.ready += 1;
        self.dispatch(now, IMMEDIATE_DISPATCH_MAX, context);
        if self.entries.get(sequence).is_some_and(|entry| !entry.is_unacked()) {
            self.expire(sequence, context.store);
        }
    }

    /// The first message that waits.
    pub(super) fn next_ready(&mut self) -> Option<u64> {
        if let Some(sequence) = self.returned.get().and_then(SequenceSet::first) {
            return Some(sequence);
        }
        let next = self.entries.next_live(self.head);
        self.head = next.unwrap_or(self.entries.next_index());
        next
    }

    /// A message that came back is no longer among those that wait.
    pub(super) fn take_returned(&mut self, sequence: u64) {
        let was_returned = self.returned.get_mut().is_some_and(|it| it.remove(sequence));
        assert!(was_returned);
    }

    pub(super) fn entry(&self, sequence: u64) -> &Entry {
        self.entries.get(sequence).expect("a sequence that is held or ready has its entry")
    }

    fn is_expired(&self, now: Time, sequence: u64) -> bool {
        self.entry(sequence).is_expired(now)
    }

    /// The consumer at the head of the round that can take the message; it is charged for it, and
    /// those before it leave the round (DLV-4).
    fn poll_consumer(
        &mut self,
        now: Time,
        message: MessageId,
        context: &mut Context<'_>,
    ) -> Option<ConsumerIndex> {
        let bytes = context.store.content_bytes(message) as u64 + DELIVERY_OVERHEAD_BYTES;
        while let Some(index) = self.consumers.poll_turn() {
            if !context.leaving.is_empty() && self.stop_if_leaving(now, index, context) {
                continue;
            }
            let consumer = self.consumers.get_mut(index).expect("turns are of consumers");
            assert!(!consumer.is_prefetch_full());
            if consumer.global && consumer.grants == 0 {
                consumer.has_asked = true;
                let (channel, front_consumer) = (consumer.channel, consumer.front_consumer);
                context.effects.push(Effect::Wants { channel, front_consumer, consumer: index });
                continue;
            }
            if context.windows.charge(consumer.window, bytes) {
                return Some(index);
            }
            consumer.waits_for_window = true;
            let waiting = Waiting { queue: self.settings.id, consumer: index };
            context.windows.wait(consumer.window, waiting);
            // The channel may have other consumers that can use them.
            self.return_grants(index, context.effects);
        }
        None
    }

    /// If a consumer's channel is on its way out, and the queue has not been told, the consumer gets
    /// nothing more.
    #[cold]
    fn stop_if_leaving(
        &mut self,
        now: Time,
        index: ConsumerIndex,
        context: &mut Context<'_>,
    ) -> bool {
        let consumer = self.consumers.get(index).expect("turns are of consumers");
        let is_leaving = context.leaving.contains(&consumer.channel);
        if is_leaving {
            self.stop_leaving(now, index, context);
        }
        is_leaving
    }

    fn stop_leaving(&mut self, now: Time, index: ConsumerIndex, context: &mut Context<'_>) {
        self.stop_consumer(index, context.windows);
        self.consumers.remove_if_done(index);
        self.handle_consumer_gone(now, context.effects);
    }

    fn deliver(&mut self, sequence: u64, index: ConsumerIndex, effects: &mut Vec<Effect>) {
        let consumer = self.consumers.get_mut(index).expect("turns are of consumers");
        if consumer.global {
            consumer.grants -= 1;
        }
        let (channel, front_consumer) = (consumer.channel, consumer.front_consumer);
        let no_ack = consumer.no_ack;
        let (entry, ordinal) = self.hand_out(sequence, (!no_ack).then_some(index));
        let (message, redelivered) = (entry.message(), entry.is_redelivered());
        effects.push(Effect::Deliver(Delivery {
            channel,
            front_consumer,
            consumer: index,
            ordinal,
            message,
            redelivered,
            no_ack,
        }));
        if no_ack {
            effects.push(Effect::Release { message });
        }
        self.consumers.unblock(index);
        if self.consumers.get(index).is_some_and(|consumer| consumer.is_prefetch_full()) {
            self.return_grants(index, effects);
        }
    }

    /// Takes the first ready message, to be held by `holder` or by nobody.
    fn hand_out(&mut self, sequence: u64, holder: Option<ConsumerIndex>) -> (Entry, u64) {
        if sequence < self.head {
            self.take_returned(sequence);
        } else {
            self.head = sequence + 1;
        }
        self.ready -= 1;
        self.counters.delivered += 1;
        let Some(index) = holder else {
            self.counters.settled += 1;
            return (self.take_entry(sequence), 0);
        };
        self.unacked += 1;
        let holder = self.consumers.get_mut(index).expect("holders are consumers or getters");
        let ordinal = holder.outstanding.push_back(sequence);
        let entry = self.entries.get_mut(sequence).expect("a ready sequence has its entry");
        entry.mark_unacked();
        (*entry, ordinal)
    }

    pub(super) fn serve_get(
        &mut self,
        now: Time,
        channel: ChannelAddress,
        no_ack: bool,
        context: &mut Context<'_>,
    ) {
        self.renew_lease(now, context.effects);
        while let Some(sequence) = self.next_ready() {
            if self.is_expired(now, sequence) {
                self.expire(sequence, context.store);
                continue;
            }
            let consumer = (!no_ack).then(|| self.consumers.getter(channel));
            let (entry, ordinal) = self.hand_out(sequence, consumer);
            let (message, redelivered) = (entry.message(), entry.is_redelivered());
            let remaining = self.ready;
            let got = Effect::Got { channel, consumer, ordinal, message, redelivered, remaining };
            context.effects.push(got);
            if no_ack {
                context.effects.push(Effect::Release { message });
            }
            return;
        }
        context.effects.push(Effect::Empty { channel });
    }

    pub(super) fn grant(
        &mut self,
        (channel, index): (ChannelAddress, ConsumerIndex),
        count: u32,
        keep: bool,
        effects: &mut Vec<Effect>,
    ) {
        assert!(count > 0);
        let Some(consumer) = self.consumers.of_channel(channel, index) else { return };
        if !consumer.global {
            return;
        }
        consumer.has_asked = false;
        consumer.grants += count;
        consumer.keeps_grants = keep;
        if !keep && !std::mem::replace(&mut consumer.is_granted, true) {
            self.granted.push(index);
        }
        self.consumers.unblock(index);
        if !self.consumers.has_turn(index) {
            self.return_grants(index, effects);
        }
    }

    pub(super) fn recall(
        &mut self,
        channel: ChannelAddress,
        index: ConsumerIndex,
        effects: &mut Vec<Effect>,
    ) {
        if let Some(consumer) = self.consumers.of_channel(channel, index) {
            consumer.keeps_grants = false;
            self.return_grants(index, effects);
        }
    }

    pub(super) fn set_global(&mut self, channel: ChannelAddress, index: ConsumerIndex, on: bool) {
        let Some(consumer) = self.consumers.of_channel(channel, index) else { return };
        if consumer.global == on {
            return;
        }
        consumer.global = on;
        consumer.grants = 0;
        consumer.has_asked = false;
        self.consumers.unblock(index);
    }

    pub(super) fn window_opened(&mut self, index: ConsumerIndex) {
        let Some(consumer) = self.consumers.get_mut(index) else { return };
        consumer.waits_for_window = false;
        self.consumers.unblock(index);
    }

    /// Grants go back when nothing is there to be delivered, or their consumer cannot take it.
    pub(super) fn return_unused_grants(&mut self, effects: &mut Vec<Effect>) {
        if self.ready > 0 || self.granted.is_empty() || self.is_unfinished() {
            return;
        }
        while let Some(index) = self.granted.pop() {
            let Some(consumer) = self.consumers.get_mut(index) else { continue };
            consumer.is_granted = false;
            if !consumer.keeps_grants {
                self.return_grants(index, effects);
            }
        }
    }

    pub(super) fn return_grants(&mut self, index: ConsumerIndex, effects: &mut Vec<Effect>) {
        let Some(consumer) = self.consumers.get_mut(index) else { return };
        let count = std::mem::take(&mut consumer.grants);
        if count == 0 {
            return;
        }
        let (channel, front_consumer) = (consumer.channel, consumer.front_consumer);
        effects.push(Effect::GrantsReturned { channel, front_consumer, consumer: index, count });
    }
}
