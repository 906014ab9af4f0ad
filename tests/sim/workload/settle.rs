//! `basic.ack`, `nack`, `reject` and `recover`.

use haremq_protocol::method::{AMQPClass, basic};

use crate::channel::{Expected, Held, Mode, Pending};
use crate::model::Place;
use crate::simulation::Simulation;

/// A tag that no delivery has.
const UNKNOWN_TAG: u64 = 1 << 40;

impl Simulation {
    /// Settles one delivery, or all up to one.
    pub(super) fn settle(&mut self, client: usize, number: u16) {
        let channel = self.clients[client].channel(number);
        if channel.is_recovering {
            return;
        }
        let tags: Vec<u64> = channel.unacked.keys().copied().collect();
        if self.workload.chance(5) {
            return self.settle_unknown(client, number);
        }
        if tags.is_empty() {
            return;
        }
        let tag = self.workload.pick(&tags);
        let multiple = self.workload.chance(300);
        let is_requeued = self.workload.chance(350);
        match (is_requeued, multiple, self.workload.below(3)) {
            (false, _, 0 | 1) => self.clients[client].session.ack(number, tag, multiple),
            (_, false, 0) => self.clients[client].session.reject(number, tag, is_requeued),
            _ => self.clients[client].session.nack(number, tag, multiple, is_requeued),
        }
        .expect("the connection is open");
        self.note_settled(client, number, tag, multiple, is_requeued);
    }

    fn settle_unknown(&mut self, client: usize, number: u16) {
        self.clients[client].session.ack(number, UNKNOWN_TAG, false).expect("it is open");
        let channel = self.clients[client].channel(number);
        channel.may_fail.insert(406);
        channel.must_fail = true;
    }

    /// Settles everything that the channel holds.
    pub(crate) fn ack_all(&mut self, client: usize, number: u16) {
        let last = self.clients[client].channel(number).unacked.keys().next_back().copied();
        if let Some(tag) = last {
            self.clients[client].session.ack(number, tag, true).expect("the connection is open");
            self.note_settled(client, number, tag, true, false);
        }
    }

    /// What was settled may come again from now on, or never.
    fn note_settled(
        &mut self,
        client: usize,
        number: u16,
        tag: u64,
        multiple: bool,
        is_requeued: bool,
    ) {
        let channel = self.clients[client].channel(number);
        let from = if multiple { 0 } else { tag };
        let settled: Vec<(u64, Held)> =
            channel.unacked.range(from..=tag).map(|(tag, held)| (*tag, held.clone())).collect();
        for (tag, held) in settled {
            channel.unacked.remove(&tag);
            channel.free(&held);
            let key = (held.message, held.queue);
            let place = if channel.mode == Mode::Transaction {
                channel.pending.push(Pending { tag, held, is_requeued });
                Place::InTransaction
            } else {
                settled_place(is_requeued)
            };
            self.model.put(key, channel.uid, place);
        }
    }

    /// Everything that the channel has not settled goes back.
    pub(super) fn recover(&mut self, client: usize, number: u16) {
        let channel = self.clients[client].channel(number);
        if channel.mode == Mode::Transaction || channel.is_recovering {
            return;
        }
        channel.is_recovering = true;
        for held in std::mem::take(&mut channel.unacked).into_values() {
            channel.free(&held);
            self.model.put((held.message, held.queue), channel.uid, Place::Queue);
        }
        let method = basic::AMQPMethod::Recover(basic::Recover { requeue: true });
        let expected = Some(Expected::RecoverOk);
        self.clients[client].send(number, &AMQPClass::Basic(method), expected);
    }
}

/// Where a copy is once its settlement has taken effect.
pub(super) fn settled_place(is_requeued: bool) -> Place {
    if is_requeued { Place::Queue } else { Place::Settled }
}
