//! Handing to the kernel what has gathered, once per round and connection.

use haremq_protocol::frame::write_heartbeat;
use haremq_reactor::Sent;

use super::Core;

impl Core<'_> {
    /// Twice per timeout, on every connection: simpler than to look which ones were silent.
    pub(super) fn send_heartbeats(&mut self, now_ns: u64) {
        if self.heartbeat_ns == 0 || now_ns < self.next_heartbeat_ns {
            return;
        }
        self.next_heartbeat_ns = now_ns + self.heartbeat_ns / 2;
        for index in 0..self.links.len() {
            let link = &mut self.links[index];
            // The `basic.consume` of a consumer that is to start later would go along.
            let is_consumer = link.channels.iter().any(|channel| channel.role.consumer().is_some());
            if self.has_consumers_waiting && is_consumer {
                continue;
            }
            write_heartbeat(&mut link.out);
            self.mark_dirty(index);
        }
    }

    pub(super) fn flush(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for index in dirty.drain(..) {
            self.links[index].is_dirty = false;
            self.flush_one(index);
        }
        self.dirty = dirty;
    }

    pub(super) fn flush_one(&mut self, index: usize) {
        let link = &mut self.links[index];
        if link.is_blocked || link.sent == link.out.len() {
            return;
        }
        match self.reactor.send(link.socket, &link.out[link.sent..]) {
            Sent::All => {
                link.out.clear();
                link.sent = 0;
                if std::mem::take(&mut link.has_rest) {
                    self.wake_publishers(index);
                }
            }
            Sent::Partial(count) => {
                link.sent += count;
                (link.is_blocked, link.has_rest) = (true, true);
            }
            Sent::Failed(error) => {
                link.is_closed = true;
                if !self.roles.shared.ends() {
                    self.roles.fail(format!("a connection broke: {error}"));
                }
            }
        }
    }

    pub(super) fn wake_publishers(&mut self, index: usize) {
        for channel in &self.links[index].channels {
            self.roles.woken.extend(channel.role.publisher());
        }
    }
}
