//! `tx.commit` and `tx.rollback`.

use haremq_protocol::method::{AMQPClass, tx};

use super::settle::settled_place;
use crate::channel::{Expected, Mode};
use crate::model::{Fate, Place};
use crate::simulation::Simulation;

impl Simulation {
    /// Ends the channel's transaction one way or the other.
    pub(super) fn end_transaction(&mut self, client: usize, number: u16) {
        if self.clients[client].channel(number).mode != Mode::Transaction {
            return;
        }
        if self.workload.chance(700) {
            self.commit(client, number);
        } else {
            self.roll_back(client, number);
        }
    }

    /// Publishes may arrive from now on, and settlements take effect.
    pub(crate) fn commit(&mut self, client: usize, number: u16) {
        let channel = self.clients[client].channel(number);
        channel.is_committing = true;
        for message in &channel.uncommitted {
            self.model.messages[*message].fate = Fate::Sent;
        }
        for pending in std::mem::take(&mut channel.pending) {
            let key = (pending.held.message, pending.held.queue);
            self.model.put(key, channel.uid, settled_place(pending.is_requeued));
        }
        let method = AMQPClass::Tx(tx::AMQPMethod::Commit(tx::Commit {}));
        self.clients[client].send(number, &method, Some(Expected::CommitOk));
    }

    /// Publishes never arrive, and what was settled is held again.
    fn roll_back(&mut self, client: usize, number: u16) {
        let channel = self.clients[client].channel(number);
        for message in std::mem::take(&mut channel.uncommitted) {
            self.model.messages[message].fate = Fate::Never;
        }
        for pending in std::mem::take(&mut channel.pending) {
            let key = (pending.held.message, pending.held.queue);
            self.model.put(key, channel.uid, Place::Held);
            if let Some(tag) = &pending.held.consumer
                && let Some(consumer) = channel.consumers.get_mut(tag)
            {
                consumer.unacked += 1;
            }
            channel.unacked.insert(pending.tag, pending.held);
        }
        let method = AMQPClass::Tx(tx::AMQPMethod::Rollback(tx::Rollback {}));
        self.clients[client].send(number, &method, Some(Expected::RollbackOk));
    }
}
