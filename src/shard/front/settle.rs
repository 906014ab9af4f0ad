//! ack, nack, reject and recover (SEMANTICS.md 11).

use haremq_broker::channel::{Run, UnknownDeliveryTag};
use haremq_broker::queue::Outcome;
use haremq_protocol::reply::{ProtocolError, ReplyCode};

use super::channel::ConsumerKind;
use crate::mesh::Request;
use crate::shard::Shard;

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
        let channel = &mut *self.front.channels[slot as usize];
        if let Some(transaction) = &mut channel.transaction {
            let settled = transaction.settled.settle(&mut channel.tags, tag, multiple, outcome);
            return settled.map_err(|unknown| unknown_tag(unknown, method));
        }
        let mut runs = std::mem::take(&mut self.front.runs);
        let settled = channel.tags.settle(tag, multiple, &mut runs);
        for run in runs.drain(..) {
            self.send_settle(slot, run, outcome);
        }
        self.front.runs = runs;
        settled.map_err(|unknown| unknown_tag(unknown, method))?;
        if self.front.channels[slot as usize].global.is_on() {
            self.send_grants(slot);
        }
        Ok(())
    }

    /// ACK-20: everything unacknowledged goes back.
    pub(crate) fn recover(&mut self, slot: u32) {
        let mut runs = std::mem::take(&mut self.front.runs);
        self.front.channels[slot as usize].tags.take_all(&mut runs);
        for run in runs.drain(..) {
            self.send_settle(slot, run, Outcome::Requeued);
        }
        self.front.runs = runs;
        if self.front.channels[slot as usize].global.is_on() {
            self.send_grants(slot);
        }
    }

    /// Tells the home of a run of settled deliveries.
    pub(crate) fn send_settle(&mut self, slot: u32, run: Run, outcome: Outcome) {
        let channel = &mut self.front.channels[slot as usize];
        let address = channel.address(self.id, slot);
        let Run { consumer, first, last } = run;
        let entry = &channel.consumers[consumer as usize];
        let (home, queue, kind) = (entry.home, entry.queue, entry.kind);
        let index = entry.index.expect("a consumer with deliveries is known at its home");
        let count = last - first + 1;
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
