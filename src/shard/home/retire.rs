//! How queues come to this home and leave it.

use haremq_broker::catalog::{Delta, QueueRecord};
use haremq_broker::ids::{ChannelAddress, QueueId};
use haremq_broker::queue::{Command, Effect, Queue, Settings};

use super::requests::saturate;
use super::{Deferred, HomeQueue};
use crate::mesh::Answer;
use crate::shard::Shard;
use crate::writer::{RetireOutcome, ToWriter};

impl Shard {
    /// The next change of the catalog.
    pub(crate) fn handle_delta(&mut self, index: u64, delta: &Delta) {
        assert_eq!(index, self.catalog.index() + 1, "deltas come in order");
        self.catalog.apply(delta);
        match delta {
            Delta::QueueDeclared(record) if record.slot.shard(self.shards) == self.id => {
                self.open_queue(record);
            }
            Delta::QueueDeleted { id } => {
                let is_here = self.home.queues.contains_key(id);
                assert!(!is_here, "the home retires a queue before the catalog forgets it");
            }
            _ => {}
        }
        // The last one says it all.
        if let Some(ToWriter::Applied { index: before }) = self.to_writer.back_mut() {
            *before = index;
        } else {
            self.to_writer.push_back(ToWriter::Applied { index });
        }
    }

    fn open_queue(&mut self, record: &QueueRecord) {
        let queue = Queue::new(Settings {
            id: record.id,
            durable: record.durable,
            exclusive: record.exclusive_owner.is_some(),
            auto_delete: record.auto_delete,
            message_ttl_ms: record.settings.message_ttl_ms,
            expires_ms: record.settings.expires_ms,
        });
        let before = self.home.queues.insert(record.id, Box::new(HomeQueue::new(queue)));
        assert!(before.is_none(), "ids are never used twice");
        self.apply_and_carry_out(record.id, Command::Touch);
    }

    /// The writer wants a queue retired.
    pub(crate) fn handle_retire(&mut self, queue: QueueId, if_unused: bool, if_empty: bool) {
        let outcome = self.retire(queue, if_unused, if_empty);
        self.to_writer.push_back(ToWriter::RetireAnswered { queue, outcome });
    }

    /// A queue goes by its own rules: its last consumer left, or its lease ran out.
    pub(crate) fn retire_by_itself(&mut self, queue: QueueId) {
        if self.home.queues.contains_key(&queue) {
            // First: what waits at the queue is answered when it goes, and waits for this.
            self.home.retirements_begun += 1;
            self.home.retired.push_back((queue, false));
            self.retire(queue, false, false);
            self.to_writer.push_back(ToWriter::Retired { queue });
        }
    }

    fn retire(&mut self, queue: QueueId, if_unused: bool, if_empty: bool) -> RetireOutcome {
        if !self.apply(queue, Command::Retire { if_unused, if_empty }) {
            return RetireOutcome::Gone;
        }
        let mut outcome = RetireOutcome::Gone;
        let mut effects = std::mem::take(&mut self.home.effects);
        for effect in effects.drain(..) {
            match effect {
                Effect::Retired { count } => outcome = RetireOutcome::Retired(saturate(count)),
                Effect::InUse => outcome = RetireOutcome::InUse,
                Effect::NotEmpty => outcome = RetireOutcome::NotEmpty,
                effect => self.carry_out(queue, effect),
            }
        }
        self.home.effects = effects;
        assert_ne!(outcome, RetireOutcome::Gone, "a retirement has an outcome");
        if let RetireOutcome::Retired(_) = outcome {
            self.home.queues.remove(&queue);
            self.home.has_trash = true;
        }
        outcome
    }

    /// Every shard has forgotten a queue that this home retired by itself.
    pub(crate) fn handle_deleted(&mut self, queue: QueueId) {
        let retired = &mut self.home.retired;
        let place = retired.iter_mut().find(|(id, _)| *id == queue);
        place.expect("it was retired here").1 = true;
        while retired.front().is_some_and(|(_, is_forgotten)| *is_forgotten) {
            retired.pop_front();
            self.home.retirements_done += 1;
        }
        let done = self.home.retirements_done;
        while self.home.deferred.front().is_some_and(|deferred| deferred.retirements <= done) {
            let deferred = self.home.deferred.pop_front().expect("just seen");
            self.answer(deferred.channel.shard, deferred.answer);
        }
    }

    /// Answers when the queues that went by themselves until now are unknown to all shards, so
    /// that `cancel-ok` and `close-ok` mean it (QUE-61).
    pub(crate) fn answer_after_retirements(&mut self, channel: ChannelAddress, answer: Answer) {
        let retirements = self.home.retirements_begun;
        if retirements == self.home.retirements_done {
            return self.answer(channel.shard, answer);
        }
        self.home.deferred.push_back(Deferred { retirements, channel, answer });
    }
}
