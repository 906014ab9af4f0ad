//! The settlements of an open transaction.

use crate::queue::Outcome;

use super::delivery_tags::{DeliveryTags, Held, Run, UnknownDeliveryTag};

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
    settlements: Vec<Settlement>,
}

impl Transaction {
    /// Nothing settled.
    pub fn new() -> Transaction {
        Transaction::default()
    }

    /// Takes the tags out of `tags` for the purpose of further acks and notes them (TXN-3).
    ///
    /// # Errors
    /// Nothing is noted when the tag is not outstanding.
    pub fn settle(
        &mut self,
        tags: &mut DeliveryTags,
        tag: u64,
        multiple: bool,
        outcome: Outcome,
    ) -> Result<(), UnknownDeliveryTag> {
        let settlements = &mut self.settlements;
        tags.take(tag, multiple, |tag, held| settlements.push(Settlement { tag, held, outcome }))
    }

    /// Commit: the settlements in their order, neighbours joined; the log is empty after (TXN-4).
    pub fn commit(&mut self, mut settle: impl FnMut(Run, Outcome)) {
        let mut open: Option<(Run, Outcome)> = None;
        for Settlement { held, outcome, .. } in std::mem::take(&mut self.settlements) {
            let Held { consumer, ordinal } = held;
            if let Some((run, open_outcome)) = &mut open
                && *open_outcome == outcome
                && run.consumer == consumer
                && run.last.checked_add(1) == Some(ordinal)
            {
                run.last = ordinal;
                continue;
            }
            if let Some((run, outcome)) = open.take() {
                settle(run, outcome);
            }
            open = Some((Run { consumer, first: ordinal, last: ordinal }, outcome));
        }
        if let Some((run, outcome)) = open {
            settle(run, outcome);
        }
    }

    /// Rollback: the tags are outstanding again (TXN-5).
    pub fn rollback(&mut self, tags: &mut DeliveryTags) {
        for settlement in std::mem::take(&mut self.settlements) {
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
