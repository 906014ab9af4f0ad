//! ack, nack, reject and recover (SEMANTICS.md 11).

use haremq_broker::channel::{Run, UnknownDeliveryTag};
use haremq_broker::queue::Outcome;
use haremq_protocol::method::{AMQPClass, basic};
use haremq_protocol::reply::{ProtocolError, ReplyCode};

use super::channel::{ChannelState, ConsumerKind, Settling, Waiting};
use crate::mesh::Request;
use crate::shard::Shard;
use crate::turns::share;

/// Class of basic, and the methods that settle.
const BASIC: u16 = 60;
pub(crate) const ACK: u16 = 80;
pub(crate) const REJECT: u16 = 90;
pub(crate) const NACK: u16 = 120;

impl Shard {
    /// Settles a tag, or all up to it; in a transaction only notes it (TXN-3).
    pub(crate) fn settle(
        &mut self,
        slot: u32,
        tag: u64,
        multiple: bool,
        outcome: Outcome,
        method: u16,
    ) -> Result<(), ProtocolError> {
        let left = &mut self.front.bulk_left;
        let channel = &mut *self.front.channels[slot as usize];
        if let Some(transaction) = &mut channel.transaction {
            let settlements = &mut transaction.settled;
            let noted = settlements.settle(&mut channel.tags, tag, multiple, outcome, left);
            if let Some(rest) = noted.map_err(|unknown| unknown_tag(unknown, method))? {
                self.settle_later(slot, Settling::Notes { rest, outcome });
            }
            return Ok(());
        }
        let mut runs = std::mem::take(&mut self.front.runs);
        let settled = channel.tags.settle(tag, multiple, left, &mut runs);
        if let Ok(Some(rest)) = settled {
            self.settle_later(slot, Settling::Tags { rest, runs, outcome, recovers: false });
            return Ok(());
        }
        self.send_runs(slot, &mut runs, outcome);
        self.front.runs = runs;
        settled.map_err(|unknown| unknown_tag(unknown, method))?;
        Ok(())
    }

    /// ACK-20: everything unacknowledged goes back. `answers`: `recover-ok` follows.
    pub(crate) fn recover(&mut self, slot: u32, answers: bool) {
        let left = &mut self.front.bulk_left;
        let mut runs = std::mem::take(&mut self.front.runs);
        let tags = &mut self.front.channels[slot as usize].tags;
        let outcome = Outcome::Requeued;
        if let Some(rest) = tags.recover(left, &mut runs) {
            let settling = Settling::Tags { rest, runs, outcome, recovers: answers };
            return self.settle_later(slot, settling);
        }
        self.send_runs(slot, &mut runs, outcome);
        self.front.runs = runs;
        if answers {
            self.send_recover_ok(slot);
        }
    }

    fn send_recover_ok(&mut self, slot: u32) {
        let ok = basic::AMQPMethod::RecoverOk(basic::RecoverOk {});
        self.send_on_channel(slot, &AMQPClass::Basic(ok));
    }

    /// The rest goes on in the next tick; what the client sends on this channel waits for it.
    pub(crate) fn settle_later(&mut self, slot: u32, settling: Settling) {
        let channel = &mut self.front.channels[slot as usize];
        if channel.waiting == Waiting::Nothing {
            channel.waiting = Waiting::Settlement;
        }
        channel.settling = Some(settling);
        self.front.settling.push_back(slot);
    }

    /// Goes on with what the last tick's budget did not suffice for, by turns and with equal shares:
    /// who needs little does not wait for those who need much.
    pub(crate) fn continue_settlements(&mut self) {
        let mut left = self.front.bulk_per_tick;
        while left > 0 && !self.front.settling.is_empty() {
            let turns = self.front.settling.len();
            let share = share(left, turns);
            for _ in 0..turns {
                let given = share.min(left);
                if given == 0 {
                    break;
                }
                self.front.bulk_left = given;
                self.take_settling_turn();
                left -= given - self.front.bulk_left;
            }
        }
        self.front.bulk_left = left;
    }

    fn take_settling_turn(&mut self) {
        let slot = self.front.settling.pop_front().expect("counted");
        let channel = self.front.channels.get_mut(slot as usize);
        let settling = channel.and_then(|channel| channel.settling.take());
        if let Some(settling) = settling {
            self.continue_settlement(slot, settling);
        }
    }

    fn continue_settlement(&mut self, slot: u32, settling: Settling) {
        let left = &mut self.front.bulk_left;
        let channel = &mut *self.front.channels[slot as usize];
        match settling {
            Settling::Tags { rest, mut runs, outcome, recovers } => {
                if let Some(rest) = channel.tags.settle_rest(rest, left, &mut runs) {
                    let settling = Settling::Tags { rest, runs, outcome, recovers };
                    return self.settle_later(slot, settling);
                }
                self.send_runs(slot, &mut runs, outcome);
                if recovers && self.front.channels[slot as usize].is_open() {
                    self.send_recover_ok(slot);
                }
            }
            Settling::Notes { rest, outcome } => {
                let transaction = channel.transaction.as_mut().expect("it is never left");
                let settlements = &mut transaction.settled;
                let rest = settlements.settle_rest(&mut channel.tags, rest, outcome, left);
                if let Some(rest) = rest {
                    return self.settle_later(slot, Settling::Notes { rest, outcome });
                }
            }
            Settling::Commit => return self.settle_transaction(slot),
            Settling::Rollback => return self.restore_transaction(slot),
        }
        self.end_settlement(slot);
    }

    /// A settlement that took several ticks is done.
    pub(crate) fn end_settlement(&mut self, slot: u32) {
        let channel = &self.front.channels[slot as usize];
        if matches!(channel.state, ChannelState::Draining { .. }) {
            self.let_go(slot);
        } else if channel.waiting == Waiting::Settlement {
            self.front.stop_waiting(slot);
        }
    }

    fn send_runs(&mut self, slot: u32, runs: &mut Vec<Run>, outcome: Outcome) {
        for run in runs.drain(..) {
            self.send_settle(slot, run, outcome);
        }
        if self.front.channels[slot as usize].global.is_on() {
            self.send_grants(slot);
        }
    }

    /// Tells the home of a run of settled deliveries.
    pub(crate) fn send_settle(&mut self, slot: u32, run: Run, outcome: Outcome) {
        let channel = &mut self.front.channels[slot as usize];
        let address = channel.address(self.id, slot);
        let Run { consumer, first, last, count } = run;
        let entry = &channel.consumers[consumer as usize];
        let (home, queue, kind) = (entry.home, entry.queue, entry.kind);
        let index = entry.index.expect("a consumer with deliveries is known at its home");
        channel.count_settled(consumer, count);
        if channel.global.is_on() {
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            let is_getter = kind == ConsumerKind::Getter;
            let (deliveries, gets) = if is_getter { (0, count) } else { (count, 0) };
            channel.global.handle_settled(deliveries, gets);
        }
        let request =
            Request::Settle { channel: address, queue, consumer: index, first, last, outcome };
        self.request(home, request);
    }
}

fn unknown_tag(unknown: UnknownDeliveryTag, method: u16) -> ProtocolError {
    let text = format!("unknown delivery tag {}", unknown.0);
    ProtocolError::new(ReplyCode::PreconditionFailed, text).of(BASIC, method)
}
