//! The settlements of an open transaction.

use crate::queue::Outcome;

use super::delivery_tags::{DeliveryTags, Run, UnknownDeliveryTag};

/// The log of what a transactional channel has settled since its last commit or rollback.
#[derive(Debug, Default)]
pub struct Transaction {}

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
        let _ = (tags, tag, multiple, outcome);
        unimplemented!()
    }

    /// Commit: the settlements in their order; the log is empty after (TXN-4).
    pub fn commit(&mut self, settle: impl FnMut(Run, Outcome)) {
        let _ = settle;
        unimplemented!()
    }

    /// Rollback: the tags are outstanding again (TXN-5).
    pub fn rollback(&mut self, tags: &mut DeliveryTags) {
        let _ = tags;
        unimplemented!()
    }

    /// Tags settled in this transaction.
    pub fn len(&self) -> usize {
        unimplemented!()
    }

    /// Nothing is settled in this transaction.
    pub fn is_empty(&self) -> bool {
        unimplemented!()
    }
}
