//! The settlements of an open transaction.

use std::collections::VecDeque;

use crate::queue::Outcome;

use super::delivery_tags::{DeliveryTags, Held, Rest, Run, UnknownDeliveryTag};

#[derive(Clone, Copy, Debug)]
struct Settlement {
    tag: u64,
    held: Held,
    outcome: Outcome,
}

/// The log of what a transactional channel has settled since its last commit or rollback. Lives
/// with its channel.
#[derive(Debug, Default)]
pub struct Transaction {
    settlements: VecDeque<Settlement>,
}

impl Transaction {
    /// Nothing settled.
    pub fn new() -> Transaction {
        Transaction::default()
    }

    /// Takes the tags out of `tags` for the purpose of further acks and notes them (TXN-3). What
    /// `left` does not suffice for is returned, and is to be noted by `settle_rest`.
    ///
    /// # Errors
    /// Nothing is noted when the tag is not outstanding.
    pub fn settle(
        &mut self,
        tags: &mut DeliveryTags,
        tag: u64,
        multiple: bool,
        outcome: Outcome,
        left: &mut u32,
    ) -> Result<Option<Rest>, UnknownDeliveryTag> {
        tags.take(tag, multiple, left, |tag, held| self.note(tag, held, outcome))
    }

    /// Goes on with `settle`.
    pub fn settle_rest(
        &mut self,
        tags: &mut DeliveryTags,
        rest: Rest,
        outcome: Outcome,
        left: &mut u32,
    ) -> Option<Rest> {
        tags.take_rest(rest, left, |tag, held| self.note(tag, held, outcome))
    }

    fn note(&mut self, tag: u64, held: Held, outcome: Outcome) {
        self.settlements.push_back(Settlement { tag, held, outcome });
    }

    /// Commit: the settlements in their order, neighbours joined, as far as `left` suffices; none
    /// is left when it is done (TXN-4).
    pub fn commit(&mut self, left: &mut u32, mut settle: impl FnMut(Run, Outcome)) {
        let mut open: Option<(Run, Outcome)> = None;
        let count = self.settlements.len().min(*left as usize);
        *left -= count as u32;
        for Settlement { held, outcome, .. } in self.settlements.drain(..count) {
            let Held { consumer, ordinal } = held;
            if let Some((run, open_outcome)) = &mut open
                && *open_outcome == outcome
                && run.consumer == consumer
                && run.last.checked_add(1) == Some(ordinal)
            {
                run.last = ordinal;
                run.count += 1;
                continue;
            }
            if let Some((run, outcome)) = open.take() {
                settle(run, outcome);
            }
            open = Some((Run { consumer, first: ordinal, last: ordinal, count: 1 }, outcome));
        }
        if let Some((run, outcome)) = open {
            settle(run, outcome);
        }
    }

    /// Rollback: the tags are outstanding again, as far as `left` suffices; no settlement is left
    /// when it is done (TXN-5).
    pub fn rollback(&mut self, tags: &mut DeliveryTags, left: &mut u32) {
        let count = self.settlements.len().min(*left as usize);
        *left -= count as u32;
        for settlement in self.settlements.drain(..count) {
            tags.restore(settlement.tag, settlement.held);
        }
    }

    /// Tags settled in this transaction.
    pub fn len(&self) -> usize {
        self.settlements.len()
    }

    /// Nothing is settled in this transaction.
    pub fn is_empty(&self) -> bool {
        self.settlements.is_empty()
    }
}
