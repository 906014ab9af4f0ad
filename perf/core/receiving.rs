//! What arrives, and the consumers that take their time.

use std::cmp::Reverse;

use haremq_reactor::Received;

use super::{Core, Link};
use crate::roles::Ends;

/// Read from one connection per round.
const READ_BYTES_MAX: usize = 128 * 1024;
/// Read at once by a consumer that takes its time, so that it cannot run ahead of it.
const SLOW_READ_BYTES: usize = 4 * 1024;

impl Core<'_> {
    pub(super) fn receive(&mut self) -> bool {
        let mut readable = std::mem::take(&mut self.readable);
        let mut has_received = false;
        readable.retain(|index| {
            let now_ns = self.roles.clock.now_ns();
            if self.paused_until_ns(*index) > now_ns {
                return true;
            }
            has_received = true;
            self.receive_one(*index);
            let link = &mut self.links[*index];
            link.is_readable = !link.is_closed && self.reactor.is_readable(link.socket);
            link.is_readable
        });
        readable.append(&mut self.readable);
        self.readable = readable;
        has_received
    }

    pub(super) fn receive_one(&mut self, index: usize) {
        let limit = if self.has_slow_consumers { SLOW_READ_BYTES } else { READ_BYTES_MAX };
        let link = &mut self.links[index];
        let roles = &mut self.roles;
        match self.reactor.receive(link.socket, limit) {
            Received::Bytes(bytes) => {
                let now_ns = roles.clock.now_ns();
                roles.meter.counts.reads += 1;
                roles.meter.counts.read_bytes += bytes.len() as u64;
                let Link { channels, out, held, is_closed, .. } = link;
                let held = &mut held.gathering;
                let mut ends = Ends { channels, out, held, is_closed, now_ns };
                let walked = link.walker.handle_received(bytes, |part| {
                    roles.handle_part(&mut ends, part);
                });
                if let Err(error) = walked {
                    roles.fail(format!("the broker broke the protocol: {error}"));
                }
            }
            Received::WouldBlock => return,
            Received::Closed => {
                link.is_closed = true;
                if !roles.shared.ends() {
                    roles.fail("the broker hung up");
                }
            }
            Received::Failed(error) => {
                link.is_closed = true;
                if !roles.shared.ends() {
                    roles.fail(format!("a connection broke: {error}"));
                }
            }
        }
        if !self.links[index].out.is_empty() {
            self.mark_dirty(index);
        }
    }

    /// Settles what slow consumers are done with, and asks again where a queue was empty.
    pub(super) fn settle_due(&mut self, now_ns: u64) {
        while let Some(index) = self.roles.empty_gets.pop() {
            let again_ns = now_ns + self.polling_ns.unwrap_or(0);
            self.polls.push(Reverse((again_ns, index)));
        }
        while let Some(Reverse((poll_ns, index))) = self.polls.peek().copied() {
            if poll_ns > now_ns {
                break;
            }
            self.polls.pop();
            let link = self.link_of_consumer[index];
            self.links[link].out.extend_from_slice(&self.roles.consumers[index].get_frame);
            self.mark_dirty(link);
        }
        if self.has_slow_consumers {
            for index in 0..self.roles.consumers.len() {
                self.settle(index, |consumer, out| {
                    consumer.poll_due(now_ns, out);
                });
            }
        }
    }
}
