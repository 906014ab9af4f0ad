//! What becomes of deliveries.

use crate::ids::{ChannelAddress, Time};

use super::backlog::take_one;
use super::command::{ConsumerIndex, Outcome};
use super::{Context, Queue};

impl Queue {
    /// Returns the first ordinal that is left when the tick's budget is used up.
    pub(super) fn settle(
        &mut self,
        now: Time,
        (channel, index): (ChannelAddress, ConsumerIndex),
        (first, last): (u64, u64),
        outcome: Outcome,
        context: &mut Context<'_>,
    ) -> Option<u64> {
        let mut from = first;
        let left = loop {
            let holder = self.consumers.of_channel(channel, index)?;
            let next = holder.outstanding.next_live(from);
            let Some(ordinal) = next.filter(|ordinal| *ordinal <= last) else { break None };
            if !take_one(context.bulk_left) {
                break Some(ordinal);
            }
            let sequence = holder.outstanding.remove(ordinal).expect("next_live names a value");
            self.settle_one(now, sequence, outcome, context);
            from = ordinal + 1;
        };
        self.consumers.unblock(index);
        self.consumers.remove_if_done(index);
        left
    }

    fn settle_one(
        &mut self,
        now: Time,
        sequence: u64,
        outcome: Outcome,
        context: &mut Context<'_>,
    ) {
        match outcome {
            Outcome::Acked | Outcome::Rejected => {
                let entry = self.take_entry(sequence);
                self.unacked -= 1;
                self.counters.settled += 1;
                context.store.release(entry.message());
            }
            Outcome::Requeued => self.requeue(now, sequence, context),
        }
    }

    /// Back to its position, unless its deadline has passed meanwhile (ACK-12, ACK-13).
    pub(super) fn requeue(&mut self, now: Time, sequence: u64, context: &mut Context<'_>) {
        let entry = self.entries.get_mut(sequence).expect("a held sequence has its entry");
        assert!(entry.is_unacked());
        self.unacked -= 1;
        if entry.is_expired(now) {
            self.counters.expired += 1;
            let entry = self.take_entry(sequence);
            context.store.release(entry.message());
            return;
        }
        entry.mark_requeued();
        self.counters.requeued += 1;
        self.ready += 1;
        self.returned.get_or_make().insert(sequence);
        self.watch_returned(now, sequence, context.effects);
    }
}
