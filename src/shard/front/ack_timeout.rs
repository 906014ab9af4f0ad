//! Deliveries that are not acknowledged in time (ACK-40, ACK-41).
//!
//! As no queue has a timeout unless it was declared with one, those of queues without one are passed
//! over; at RabbitMQ the oldest delivery of the channel counts, whose queue always has one.

use std::collections::VecDeque;

use haremq_broker::ids::{ChannelAddress, QueueId, Time};
use haremq_protocol::reply::{ProtocolError, ReplyCode};

use super::channel::{Channel, ChannelFarewell, ConsumerKind};
use super::connection::Pause;
use crate::limits::{ACK_CHECK_MS, ACK_CHECK_SOON_MS, ACK_CHECKED_MAX, ACK_MARKS_MAX};
use crate::shard::Shard;
use crate::timers::Timer;

/// Which delivery tags a channel had given out by which times, so that deliveries need not carry
/// theirs. Lives with its channel, from the first time that it asks for messages of a queue with a
/// timeout.
#[derive(Debug, Default)]
pub(crate) struct AckMarks {
    /// At the time, the tag was the next to be given out. Both rise.
    marks: VecDeque<(Time, u64)>,
    /// Tags below that are out are of queues that have no timeout, or are gone.
    passed: u64,
}

/// Where a look at a channel's deliveries has come to.
#[derive(Clone, Copy, Debug)]
enum Oldest {
    /// Nothing is out that could be overdue.
    None,
    /// Those before this tag cannot be overdue; they are many, and the rest was not looked at.
    Beyond(u64),
    /// The oldest delivery of a queue with a timeout.
    Found { tag: u64, consumer: u32, timeout_ms: u64 },
}

impl Oldest {
    /// The tag before which nothing can be overdue.
    fn tag(self) -> Option<u64> {
        match self {
            Oldest::None => None,
            Oldest::Beyond(tag) | Oldest::Found { tag, .. } => Some(tag),
        }
    }
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

    /// Old tags are out again, as of a rollback: all are to be looked at.
    pub(crate) fn restart(&mut self) {
        self.passed = 0;
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

    /// Closes the channel if its oldest delivery of a queue with a timeout has been out for longer
    /// than that queue allows.
    pub(crate) fn handle_ack_timer(&mut self, channel: u32, generation: u32) {
        let address = ChannelAddress { shard: self.id, slot: channel, generation };
        let now = self.now;
        if !self.front.channel_at(address).is_some_and(|entry| entry.is_open()) {
            return;
        }
        let oldest = self.oldest_with_timeout(channel);
        let entry = &mut self.front.channels[channel as usize];
        let next = entry.tags.next_tag();
        let marks = entry.ack_marks.as_mut().expect("the timer is armed with it");
        marks.mark(now, oldest.tag(), next);
        marks.passed = oldest.tag().unwrap_or(next);
        let given_by = marks.given_by();
        let is_known = !matches!(oldest, Oldest::Beyond(_)) && !self.may_have_acked(channel);
        let look_ms = if is_known { ACK_CHECK_MS } else { ACK_CHECK_SOON_MS };
        self.wheel.arm(now.after_ms(look_ms), Timer::Acks(channel, generation));
        if let (Oldest::Found { tag, consumer, timeout_ms }, Some(given_by), true) =
            (oldest, given_by, is_known)
            && given_by.after_ms(timeout_ms) <= now
        {
            self.time_out(channel, tag, consumer, timeout_ms);
        }
    }

    /// The oldest delivery of the channel that may become overdue. Those of queues without a timeout,
    /// or that are gone, are passed over once and for all.
    fn oldest_with_timeout(&self, channel: u32) -> Oldest {
        let entry = &self.front.channels[channel as usize];
        let passed = entry.ack_marks.as_ref().map_or(0, |marks| marks.passed);
        for (count, (tag, held)) in entry.tags.iter_from(passed).enumerate() {
            if count == ACK_CHECKED_MAX {
                return Oldest::Beyond(tag);
            }
            let consumer = held.consumer;
            let queue = entry.consumers[consumer as usize].queue;
            if let Some(timeout_ms) = self.consumer_timeout_ms(queue) {
                return Oldest::Found { tag, consumer, timeout_ms };
            }
        }
        Oldest::None
    }

    /// Whether an acknowledgement may be in what was read and could not be done yet, through no
    /// fault of the client's. Of one that reads nothing, or publishes while memory is short, what
    /// it has sent is not waited for.
    fn may_have_acked(&self, channel: u32) -> bool {
        let entry = &self.front.channels[channel as usize];
        let is_busy = entry.settling.is_some() || !entry.commands.is_empty();
        let connection = self.front.connection_ref(entry.connection).expect("it has channels");
        let is_excused = matches!(connection.pause, Some(Pause::Channel(_) | Pause::Credit(_)));
        is_busy || is_excused || connection.is_resumable
    }

    /// The client is told as RabbitMQ does; the log, which delivery it was.
    fn time_out(&mut self, channel: u32, tag: u64, consumer: u32, timeout_ms: u64) {
        let entry = &self.front.channels[channel as usize];
        let error = timed_out(entry.number, timeout_ms);
        let told = format!("{} ({})", error.text, self.name_delivery(entry, tag, consumer));
        self.report_channel(channel, &told, error.code);
        self.drain_reported_channel(channel, ChannelFarewell::Close(error));
    }

    fn name_delivery(&self, entry: &Channel, tag: u64, consumer: u32) -> String {
        let consumer = &entry.consumers[consumer as usize];
        let queue = self.catalog.queue_by_id(consumer.queue).expect("its timeout was looked up");
        let by = match consumer.kind {
            ConsumerKind::Getter => "got by basic.get".to_owned(),
            _ => format!("of consumer '{}'", consumer.tag),
        };
        format!("delivery tag {tag} from queue '{}', {by}", queue.name)
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
