//! When producers may go on, and what they then send.

use std::cmp::Reverse;

use super::Core;
use crate::publisher::{Pause, Round};

impl Core<'_> {
    pub(super) fn publish(&mut self, now_ns: u64) -> bool {
        let Some(start_ns) = self.roles.shared.start_ns() else { return false };
        if !std::mem::replace(&mut self.has_rules, true) && self.roles.rules.start_unix_ns > 0 {
            self.roles.rules.start_unix_ns = self.roles.clock.unix_ns(start_ns);
        }
        let Some(now_ns) = now_ns.checked_sub(start_ns) else { return false };
        if !std::mem::replace(&mut self.is_publishing, true) {
            (0..self.seats.len()).for_each(|index| self.make_ready(index));
        }
        if self.has_consumers_waiting && now_ns >= self.consumer_start_delay_ns {
            self.has_consumers_waiting = false;
            (0..self.links.len()).for_each(|link| self.mark_dirty(link));
        }
        if self.roles.shared.publishing_ends() {
            self.ready.clear();
            self.due.clear();
            self.roles.woken.clear();
            return false;
        }
        while let Some(index) = self.roles.woken.pop() {
            self.make_ready(index);
        }
        while let Some(Reverse((due_ns, index))) = self.due.peek().copied() {
            if due_ns > now_ns {
                break;
            }
            self.due.pop();
            self.make_ready(index);
        }
        let mut ready = std::mem::take(&mut self.ready);
        let has_sent = !ready.is_empty();
        for index in ready.drain(..) {
            self.seats[index].is_ready = false;
            self.publish_one(index, now_ns);
        }
        // What has become ready meanwhile stays; the buffer is kept.
        if self.ready.is_empty() {
            self.ready = ready;
        }
        has_sent
    }

    pub(super) fn make_ready(&mut self, index: usize) {
        if !std::mem::replace(&mut self.seats[index].is_ready, true) {
            self.ready.push(index);
        }
    }

    pub(super) fn publish_one(&mut self, index: usize, now_ns: u64) {
        let seat = self.seats[index];
        let link = &mut self.links[seat.link];
        let publisher = &mut self.roles.publishers[index];
        // It is woken when its connection has sent all.
        if link.has_rest {
            return publisher.hold_back();
        }
        let start_ns = self.roles.shared.start_ns().unwrap_or(0);
        let mut round = Round {
            out_bytes_max: link.out.len() + link.share_bytes,
            out: &mut link.out,
            now_ns,
            start_unix_ns: self.roles.clock.unix_ns(start_ns),
            meter: &mut self.roles.meter,
        };
        let (pause, expected) = publisher.publish(&mut round);
        self.roles.expected += expected;
        if !link.out.is_empty() {
            self.mark_dirty(seat.link);
        }
        match pause {
            Pause::Full => self.make_ready(index),
            Pause::Until(due_ns) => self.due.push(Reverse((due_ns, index))),
            Pause::Done if !seat.is_done => {
                self.seats[index].is_done = true;
                self.done_publishers += 1;
            }
            Pause::Window | Pause::Done => {}
        }
    }
}
