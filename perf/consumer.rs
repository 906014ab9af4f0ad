//! One consumer: how it settles what it gets, and how fast.

use std::collections::VecDeque;

use haremq_protocol::ack::{write_ack, write_nack};

use crate::ledger::Origin;
use crate::verify::OrderCheck;

/// How all consumers of a run behave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConsumerRules {
    pub(crate) no_ack: bool,
    /// One settlement for so many messages.
    pub(crate) settle_every: u32,
    pub(crate) nack: bool,
    pub(crate) requeue: bool,
    /// Put back what comes for the first time.
    pub(crate) requeue_once: bool,
    /// Messages in all; `u64::MAX` is unlimited.
    pub(crate) limit: u64,
    /// Time that a message takes, in ns.
    pub(crate) service_ns: u64,
}

impl ConsumerRules {
    /// Of a consumer of replies: it has nothing to lose.
    pub(crate) fn of_replies() -> ConsumerRules {
        ConsumerRules {
            no_ack: true,
            settle_every: 1,
            nack: false,
            requeue: false,
            requeue_once: false,
            limit: u64::MAX,
            service_ns: 0,
        }
    }
}

/// A delivery that is not settled yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Delivery {
    pub(crate) tag: u64,
    pub(crate) redelivered: bool,
    /// Of a message of this run, once its body is read.
    pub(crate) origin: Option<Origin>,
}

impl Delivery {
    /// Of a message whose body is still to come.
    pub(crate) fn new(tag: u64, redelivered: bool) -> Delivery {
        Delivery { tag, redelivered, origin: None }
    }
}

/// One consumer on its channel.
#[derive(Debug)]
pub(crate) struct Consumer {
    pub(crate) channel: u16,
    /// Index of its queue in the plan.
    pub(crate) queue: usize,
    pub(crate) order: OrderCheck,
    pub(crate) received: u64,
    /// An encoded `basic.get`; empty if it does not poll.
    pub(crate) get_frame: Vec<u8>,
    /// It answers requests instead of timing messages.
    pub(crate) is_server: bool,
    /// What it settles for good is asked for with [`Consumer::drain_settled`].
    pub(crate) is_recorded: bool,
    rules: ConsumerRules,
    unsettled: u32,
    last_tag: u64,
    /// If it is recorded: those that wait for their group, and then those that are settled.
    grouped: Vec<Origin>,
    settled: Vec<Origin>,
    /// Being worked on, in order, and when each is done.
    working: VecDeque<(Delivery, u64)>,
    free_at_ns: u64,
}

impl Consumer {
    pub(crate) fn new(channel: u16, queue: usize, rules: ConsumerRules) -> Consumer {
        Consumer {
            channel,
            queue,
            order: OrderCheck::default(),
            received: 0,
            get_frame: Vec::new(),
            is_server: false,
            is_recorded: false,
            rules,
            unsettled: 0,
            last_tag: 0,
            grouped: Vec::new(),
            settled: Vec::new(),
            working: VecDeque::new(),
            free_at_ns: 0,
        }
    }

    /// It has had all that it was to get.
    pub(crate) fn is_done(&self) -> bool {
        self.received >= self.rules.limit
    }

    /// It consumes without acknowledgements.
    pub(crate) fn is_no_ack(&self) -> bool {
        self.rules.no_ack
    }

    /// It takes its time with each message.
    pub(crate) fn is_slow(&self) -> bool {
        self.rules.service_ns > 0
    }

    /// Takes a delivery; appends to `out` what settles it, if that is now.
    #[inline]
    pub(crate) fn handle_delivery(&mut self, delivery: Delivery, now_ns: u64, out: &mut Vec<u8>) {
        self.received += 1;
        if self.rules.service_ns > 0 {
            self.free_at_ns = self.free_at_ns.max(now_ns) + self.rules.service_ns;
            if !self.rules.no_ack {
                self.working.push_back((delivery, self.free_at_ns));
            }
        } else if !self.rules.no_ack {
            self.settle(delivery, out);
        }
        if self.is_done() {
            self.settle_rest(out);
        }
    }

    /// Settles what is done by now; tells when the next one is.
    pub(crate) fn poll_due(&mut self, now_ns: u64, out: &mut Vec<u8>) -> Option<u64> {
        while let Some((delivery, done_ns)) = self.working.front().copied() {
            if done_ns > now_ns {
                return Some(done_ns);
            }
            self.working.pop_front();
            self.settle(delivery, out);
        }
        None
    }

    /// Until when it takes nothing more off its connection: only without acknowledgements, else
    /// the prefetch count holds the broker back.
    pub(crate) fn paused_until_ns(&self) -> u64 {
        if self.rules.no_ack { self.free_at_ns } else { 0 }
    }

    /// The messages that the broker may forget now, or is about to be told so.
    pub(crate) fn drain_settled(&mut self) -> impl Iterator<Item = Origin> + '_ {
        self.settled.drain(..)
    }

    fn settle(&mut self, delivery: Delivery, out: &mut Vec<u8>) {
        let Delivery { tag, redelivered, origin } = delivery;
        if self.rules.requeue_once && !redelivered {
            return write_nack(out, self.channel, tag, false, true);
        }
        let is_for_good = !(self.rules.nack && self.rules.requeue);
        let recorded = origin.filter(|_| self.is_recorded && is_for_good);
        if self.rules.requeue_once || self.rules.settle_every == 1 {
            self.settled.extend(recorded);
            return self.write_settlement(tag, false, out);
        }
        self.grouped.extend(recorded);
        self.unsettled += 1;
        self.last_tag = tag;
        if self.unsettled >= self.rules.settle_every {
            self.settle_rest(out);
        }
    }

    /// Settles what waits for its group to be full.
    pub(crate) fn settle_rest(&mut self, out: &mut Vec<u8>) {
        if self.unsettled > 0 {
            self.unsettled = 0;
            self.settled.append(&mut self.grouped);
            self.write_settlement(self.last_tag, true, out);
        }
    }

    /// Settles all that it has received, whether the work on it is done or not: what is left over
    /// when its connection closes would go to another consumer and look doubled.
    pub(crate) fn settle_all(&mut self, out: &mut Vec<u8>) {
        while let Some((delivery, _)) = self.working.pop_front() {
            self.settle(delivery, out);
        }
        self.settle_rest(out);
    }

    fn write_settlement(&self, tag: u64, multiple: bool, out: &mut Vec<u8>) {
        if self.rules.nack {
            write_nack(out, self.channel, tag, multiple, self.rules.requeue);
        } else {
            write_ack(out, self.channel, tag, multiple);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: ConsumerRules = ConsumerRules {
        no_ack: false,
        settle_every: 1,
        nack: false,
        requeue: true,
        requeue_once: false,
        limit: u64::MAX,
        service_ns: 0,
    };

    const FRAME_BYTES: usize = 21;

    fn settlements(rules: ConsumerRules, count: u64, redelivered: bool) -> Vec<(u8, u64, u8)> {
        let mut consumer = Consumer::new(1, 0, rules);
        let mut out = Vec::new();
        for tag in 1..=count {
            consumer.handle_delivery(Delivery::new(tag, redelivered), 0, &mut out);
        }
        let frames = out.chunks(FRAME_BYTES);
        frames.map(|frame| (frame[10], u64::from(frame[18]), frame[19])).collect()
    }

    #[test]
    fn acks_come_one_by_one_or_in_groups() {
        assert_eq!(settlements(RULES, 2, false), [(80, 1, 0), (80, 2, 0)]);
        let groups = ConsumerRules { settle_every: 3, ..RULES };
        assert_eq!(settlements(groups, 7, false), [(80, 3, 1), (80, 6, 1)]);
    }

    #[test]
    fn slow_consumer_leaves_nothing_unsettled_when_it_ends() {
        let rules = ConsumerRules { settle_every: 3, service_ns: 1_000, ..RULES };
        let mut consumer = Consumer::new(1, 0, rules);
        let mut out = Vec::new();
        (1..=5).for_each(|tag| consumer.handle_delivery(Delivery::new(tag, false), 0, &mut out));
        assert_eq!(out.len(), 0);
        consumer.settle_all(&mut out);
        assert_eq!(out.len(), 2 * FRAME_BYTES);
        assert_eq!(consumer.poll_due(u64::MAX, &mut out), None);
    }

    #[test]
    fn the_last_message_settles_an_unfinished_group() {
        let rules = ConsumerRules { settle_every: 3, limit: 4, ..RULES };
        assert_eq!(settlements(rules, 4, false), [(80, 3, 1), (80, 4, 1)]);
    }

    #[test]
    fn a_message_is_put_back_only_once() {
        let rules = ConsumerRules { requeue_once: true, ..RULES };
        assert_eq!(settlements(rules, 1, false), [(120, 1, 2)]);
        assert_eq!(settlements(rules, 1, true), [(80, 1, 0)]);
    }

    /// What is recorded as settled after each of `count` deliveries.
    fn recorded(rules: ConsumerRules, count: u64, redelivered: bool) -> Vec<Vec<u64>> {
        let mut consumer = Consumer::new(1, 0, rules);
        consumer.is_recorded = true;
        let settled = (1..=count).map(|tag| {
            let origin = Some(Origin { publisher: 0, seq: tag });
            let delivery = Delivery { origin, ..Delivery::new(tag, redelivered) };
            consumer.handle_delivery(delivery, 0, &mut Vec::new());
            consumer.drain_settled().map(|origin| origin.seq).collect()
        });
        settled.collect()
    }

    #[test]
    fn only_what_is_settled_for_good_is_recorded() {
        const NOTHING: Vec<u64> = Vec::new();
        let groups = ConsumerRules { settle_every: 2, ..RULES };
        assert_eq!(recorded(RULES, 2, false), [[1], [2]]);
        assert_eq!(recorded(groups, 3, false), [NOTHING, vec![1, 2], NOTHING]);
        let once = ConsumerRules { requeue_once: true, ..RULES };
        assert_eq!(recorded(once, 1, false), [NOTHING]);
        assert_eq!(recorded(once, 1, true), [[1]]);
        let put_back = ConsumerRules { nack: true, ..RULES };
        assert_eq!(recorded(put_back, 1, false), [NOTHING]);
        assert_eq!(recorded(ConsumerRules { requeue: false, ..put_back }, 1, false), [[1]]);
    }

    #[test]
    fn a_slow_consumer_settles_when_it_is_done() {
        let mut consumer = Consumer::new(1, 0, ConsumerRules { service_ns: 100, ..RULES });
        let mut out = Vec::new();
        for tag in 1..=2 {
            consumer.handle_delivery(Delivery::new(tag, false), 50, &mut out);
        }
        assert_eq!(consumer.poll_due(149, &mut out), Some(150));
        assert!(out.is_empty());
        assert_eq!(consumer.poll_due(150, &mut out), Some(250));
        assert_eq!(out.len(), FRAME_BYTES);
    }
}
