//! Input rests and goes on, output goes out.

use haremq_broker::ids::ShardId;

use super::Front;
use super::channel::Waiting;
use super::connection::{Connection, Pause, State};
use crate::event::{ConnectionSlot, Effect, Peer};
use crate::limits::{HANDSHAKE_TIMEOUT_MS, IDLE_BUFFER_BYTES_MAX, OUTPUT_LOW_BYTES};
use crate::mesh::Request;
use crate::shard::Shard;
use crate::timers::Timer;

impl Front {
    /// Lets a paused connection's input go on in this tick.
    pub(crate) fn resume(&mut self, slot: ConnectionSlot) {
        let Some(connection) = self.connection(slot) else {
            return;
        };
        if connection.pause.take().is_some() && !connection.is_resumable {
            connection.is_resumable = true;
            self.resumable.push_back(slot);
        }
    }

    /// A channel's request was answered: what came after it may be looked at.
    pub(crate) fn stop_waiting(&mut self, channel: u32) {
        let entry = &mut self.channels[channel as usize];
        entry.waiting = Waiting::Nothing;
        let slot = entry.connection;
        let is_paused = self
            .connection(slot)
            .is_some_and(|connection| connection.pause == Some(Pause::Channel(channel)));
        if is_paused {
            self.resume(slot);
        }
    }
}

impl Shard {
    pub(crate) fn handle_accepted(&mut self, slot: ConnectionSlot, peer: Peer) {
        let generation = self.front.next_generation();
        self.counters.connections_opened += 1;
        self.front.insert(slot, Connection::new(generation, peer, self.now));
        if self.is_stopping {
            return self.drop_connection(slot);
        }
        let deadline = self.now.after_ms(HANDSHAKE_TIMEOUT_MS);
        self.wheel.arm(deadline, Timer::Handshake(slot, generation));
    }

    /// The next frame cannot be used yet: it and all that follows rests.
    pub(crate) fn pause(&mut self, slot: ConnectionSlot, reason: Pause) {
        let connection = self.connection_mut(slot);
        assert!(connection.pause.is_none(), "a paused connection's input is not looked at");
        connection.pause = Some(reason);
        match reason {
            Pause::Credit(peer) => self.front.credit_waiters[peer.index()].push(slot),
            Pause::Memory => self.front.memory_waiters.push(slot),
            Pause::Channel(_) | Pause::Output => {}
        }
        self.stop_reading(slot);
    }

    pub(crate) fn stop_reading(&mut self, slot: ConnectionSlot) {
        let connection = self.connection_mut(slot);
        if !connection.is_reading_stopped && !connection.is_socket_gone {
            connection.is_reading_stopped = true;
            self.effects.push_back(Effect::StopReading(slot));
        }
    }

    pub(crate) fn start_reading(&mut self, slot: ConnectionSlot) {
        let connection = self.connection_mut(slot);
        if connection.is_reading_stopped && !connection.is_socket_gone {
            connection.is_reading_stopped = false;
            self.effects.push_back(Effect::StartReading(slot));
        }
    }

    /// Looks again at the input of connections whose reason to pause is gone.
    pub(crate) fn resume_connections(&mut self) {
        for _ in 0..self.front.resumable.len() {
            let slot = self.front.resumable.pop_front().expect("counted");
            let Some(connection) = self.front.connection(slot) else {
                continue;
            };
            if !std::mem::take(&mut connection.is_resumable) {
                continue; // The slot has passed on to another connection.
            }
            self.parse_kept_input(slot);
            let goes_on =
                self.front.connection(slot).is_some_and(|connection| connection.pause.is_none());
            if goes_on {
                self.start_reading(slot);
            }
        }
    }

    /// A peer has taken publishes: those who wait for its credit try again.
    pub(crate) fn resume_credit_waiters(&mut self, peer: ShardId) {
        for slot in std::mem::take(&mut self.front.credit_waiters[peer.index()]) {
            let is_waiting = self
                .front
                .connection(slot)
                .is_some_and(|connection| connection.pause == Some(Pause::Credit(peer)));
            if is_waiting {
                self.front.resume(slot);
            }
        }
        for channel in std::mem::take(&mut self.front.commit_waiters) {
            if self.front.channels.contains(channel as usize) {
                self.continue_commit(channel);
            }
        }
    }

    /// Memory in use has crossed a mark.
    pub(crate) fn handle_memory(&mut self, is_over_limit: bool) {
        self.is_over_limit = is_over_limit;
        if is_over_limit {
            return;
        }
        for slot in std::mem::take(&mut self.front.memory_waiters) {
            let is_waiting = self
                .front
                .connection(slot)
                .is_some_and(|connection| connection.pause == Some(Pause::Memory));
            if is_waiting {
                self.front.resume(slot);
            }
        }
    }

    /// Names the connections that have output: one send each.
    pub(crate) fn list_sends(&mut self) {
        let mut dirty = std::mem::take(&mut self.front.dirty);
        for slot in dirty.drain(..) {
            let Some(connection) = self.front.connection(slot) else {
                continue;
            };
            connection.is_dirty = false;
            let is_ended = connection.state == State::Flushing && connection.unsent().is_empty();
            let is_sending = !connection.unsent().is_empty() && !connection.is_socket_gone;
            if is_ended {
                self.forget_connection(slot);
                continue;
            }
            if is_sending {
                self.effects.push_back(Effect::Send(slot));
            } else {
                self.give_back_windows(slot);
            }
            self.account_buffers(slot);
        }
        self.front.dirty = dirty;
    }

    /// The kernel has taken output.
    pub(crate) fn handle_sent(&mut self, slot: ConnectionSlot, bytes: usize) {
        let now = self.now;
        let Some(connection) = self.front.connection(slot) else {
            return;
        };
        connection.sent += bytes;
        assert!(connection.sent <= connection.output.len(), "more was sent than there was");
        connection.sent_at = now;
        if connection.unsent().is_empty() {
            let buffer = std::mem::take(&mut connection.output);
            connection.sent = 0;
            self.front.recycle(buffer);
        } else if connection.sent > connection.output.len() / 2 {
            let sent = std::mem::take(&mut connection.sent);
            connection.output.drain(..sent);
        }
        self.account_buffers(slot);
        let connection = self.connection_mut(slot);
        if connection.unsent().len() > OUTPUT_LOW_BYTES {
            return;
        }
        let is_ended = connection.state == State::Flushing && connection.unsent().is_empty();
        let is_waiting = connection.pause == Some(Pause::Output);
        if is_ended {
            return self.forget_connection(slot);
        }
        if is_waiting {
            self.front.resume(slot);
        }
        self.give_back_windows(slot);
    }

    /// Tells the homes that their deliveries have left for the socket.
    fn give_back_windows(&mut self, slot: ConnectionSlot) {
        let own = self.id;
        let connection = self.connection_mut(slot);
        if connection.delivered_bytes.is_empty() {
            return;
        }
        let address = connection.address(own, slot.0);
        let mut delivered = std::mem::take(&mut connection.delivered_bytes);
        for (home, bytes) in delivered.drain(..) {
            self.request(home, Request::GiveBack { connection: address, bytes });
        }
        if let Some(connection) = self.front.connection(slot) {
            connection.delivered_bytes = delivered;
        }
    }

    /// Keeps the sum of what connections' buffers hold true.
    pub(crate) fn account_buffers(&mut self, slot: ConnectionSlot) {
        let connection = self.connection_mut(slot);
        let held = connection.unsent().len() + connection.input.len();
        let before = std::mem::replace(&mut connection.accounted_bytes, held);
        self.front.buffered_bytes = self.front.buffered_bytes + held - before;
    }

    /// Keeps what was read and not used.
    pub(crate) fn keep_input(&mut self, slot: ConnectionSlot, rest: &[u8]) {
        if rest.is_empty() || self.front.connection(slot).is_none() {
            return;
        }
        let mut buffer = std::mem::take(&mut self.connection_mut(slot).input);
        let needed = buffer.len() + rest.len();
        if buffer.capacity() < needed {
            let mut larger = self.front.input_buffer(needed.max(2 * buffer.len()));
            larger.extend_from_slice(&buffer);
            self.front.recycle(std::mem::replace(&mut buffer, larger));
        }
        buffer.extend_from_slice(rest);
        self.connection_mut(slot).input = buffer;
        self.account_buffers(slot);
    }

    /// Parses what was kept.
    pub(crate) fn parse_kept_input(&mut self, slot: ConnectionSlot) {
        let connection = self.connection_mut(slot);
        let buffer = std::mem::take(&mut connection.input);
        let start = std::mem::take(&mut connection.parsed);
        let used = start + self.parse(slot, &buffer[start..]);
        let Some(connection) = self.front.connection(slot) else {
            return;
        };
        assert!(connection.input.is_empty(), "only the parser's caller keeps input");
        connection.input = buffer;
        connection.parsed = used;
        self.drop_parsed(slot);
        self.account_buffers(slot);
    }

    /// Forgets input that is parsed. What is left of a frame moves to a small buffer if it can, and
    /// the large one serves others.
    fn drop_parsed(&mut self, slot: ConnectionSlot) {
        let connection = self.connection_mut(slot);
        let parsed = connection.parsed;
        let left = connection.input.len() - parsed;
        let is_small = left <= IDLE_BUFFER_BYTES_MAX;
        if left == 0 || (is_small && connection.input.capacity() > IDLE_BUFFER_BYTES_MAX) {
            let buffer = std::mem::take(&mut connection.input);
            connection.parsed = 0;
            self.keep_input(slot, &buffer[parsed..]);
            self.front.recycle(buffer);
        } else if parsed > left {
            connection.input.drain(..parsed);
            connection.parsed = 0;
        }
    }
}
