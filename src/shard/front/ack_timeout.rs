//! Deliveries that are not acknowledged in time (ACK-40, ACK-41).

use std::collections::VecDeque;

use haremq_broker::ids::{ChannelAddress, QueueId, Time};
use haremq_protocol::reply::{ProtocolError, ReplyCode};

use crate::limits::{ACK_CHECK_MS, ACK_MARKS_MAX};
use crate::shard::Shard;
use crate::timers::Timer;

/// Which delivery tags a channel had given out by which times, so that deliveries need not carry
/// theirs. Lives with its channel, from the first time that it asks for messages of a queue with a
/// timeout.
#[derive(Debug, Default)]
pub(crate) struct AckMarks {
    /// At the time, the tag was the next to be given out. Both rise.
    marks: VecDeque<(Time, u64)>,
}

impl AckMarks {
    /// Takes note of the next tag, and forgets what says nothing of the oldest one that is out.
    fn mark(&mut self, now: Time, oldest: Option<u64>, next: u64) {
        let oldest = oldest.unwrap_or(next);
        while self.marks.front().is_some_and(|(_, next)| *next <= oldest) {
            self.marks.pop_front();
        }
        if self.marks.back().map_or(oldest, |(_, last)| *last) == next {
            return;
        }
        if self.marks.len() == ACK_MARKS_MAX {
            // Every other one will do: it is known less exactly how old the newer ones are.
            let mut is_kept = false;
            self.marks.retain(|_| {
                is_kept = !is_kept;
                is_kept
            });
        }
        self.marks.push_back((now, next));
    }

    /// By when the oldest tag that is out was given out: never too early.
    fn given_by(&self) -> Option<Time> {
        self.marks.front().map(|(time, _)| *time)
    }
}

impl Shard {
    /// The channel wants messages of a queue. If that has a timeout, the channel's deliveries are
    /// looked at from now on.
    pub(crate) fn watch_acks(&mut self, channel: u32, queue: QueueId) {
        if self.consumer_timeout_ms(queue).is_none() {
            return;
        }
        let entry = &mut self.front.channels[channel as usize];
        if entry.ack_marks.is_none() {
            entry.ack_marks = Some(Box::default());
            let generation = entry.generation;
            self.wheel.arm(self.now.after_ms(ACK_CHECK_MS), Timer::Acks(channel, generation));
        }
    }

    fn consumer_timeout_ms(&self, queue: QueueId) -> Option<u64> {
        self.catalog.queue_by_id(queue)?.settings.consumer_timeout_ms
    }

    /// Closes the channel if its oldest delivery has been out for longer than its queue allows.
    pub(crate) fn handle_ack_timer(&mut self, channel: u32, generation: u32) {
        let address = ChannelAddress { shard: self.id, slot: channel, generation };
        let now = self.now;
        let Some(entry) = self.front.channel_at(address).filter(|entry| entry.is_open()) else {
            return;
        };
        self.wheel.arm(now.after_ms(ACK_CHECK_MS), Timer::Acks(channel, generation));
        let oldest = entry.tags.oldest_held();
        let next = entry.tags.next_tag();
        let (number, connection) = (entry.number, entry.connection);
        let is_settling = entry.settling.is_some();
        let marks = entry.ack_marks.as_mut().expect("the timer is armed with it");
        marks.mark(now, oldest.map(|(tag, _)| tag), next);
        let given_by = marks.given_by();
        let queue = oldest.map(|(_, held)| entry.consumers[held.consumer as usize].queue);
        // An acknowledgement may be in what was not read or not done yet.
        if is_settling || self.connection_mut(connection).pause.is_some() {
            return;
        }
        let timeout_ms = queue.and_then(|queue| self.consumer_timeout_ms(queue));
        let (Some(given_by), Some(timeout_ms)) = (given_by, timeout_ms) else {
            return;
        };
        if given_by.after_ms(timeout_ms) <= now {
            self.fail_channel(channel, timed_out(number, timeout_ms));
        }
    }
}

fn timed_out(number: u16, timeout_ms: u64) -> ProtocolError {
    let text = format!(
        "delivery acknowledgement on channel {number} timed out. Timeout value used: {timeout_ms} \
         ms. This timeout value can be configured, see consumers doc guide to learn more"
    );
    ProtocolError::new(ReplyCode::PreconditionFailed, text)
}

#[cfg(test)]
#[path = "ack_timeout_tests.rs"]
mod tests;
