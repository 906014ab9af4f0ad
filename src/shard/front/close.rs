//! Channels and connections end: homes let go first, then the farewell is sent (CONN-90, ERR-5).

use haremq_broker::ids::{ChannelAddress, ConnectionAddress, ShardId};
use haremq_protocol::method::{AMQPClass, channel, connection};
use haremq_protocol::reply::{ProtocolError, ReplyCode, Severity};

use super::channel::{ChannelFarewell, ChannelState, Waiting};
use super::connection::{Farewell, Pause, State};
use crate::event::{ConnectionSlot, Effect};
use crate::limits::{CLOSE_TIMEOUT_MS, EXCLUSIVE_PER_SLICE, SHUTDOWN_TIMEOUT_MS};
use crate::mesh::Request;
use crate::shard::Shard;
use crate::timers::Timer;
use crate::writer::ToWriter;

impl Shard {
    /// A channel's client has erred: the channel ends, or the whole connection.
    pub(crate) fn fail_channel(&mut self, channel: u32, error: ProtocolError) {
        let Some(entry) = self.front.channels.get(channel as usize) else {
            return;
        };
        if !entry.is_open() {
            return;
        }
        let slot = entry.connection;
        if error.code.severity() == Severity::Channel && !entry.commands.is_empty() {
            // Answers come in order: those to the commands before it go first.
            let entry = &mut self.front.channels[channel as usize];
            entry.failure.get_or_insert(error);
            return;
        }
        match error.code.severity() {
            Severity::Channel => self.drain_channel(channel, ChannelFarewell::Close(error)),
            Severity::Connection => self.close_connection(slot, Farewell::Close(error)),
        }
    }

    /// Every home that knows of the channel is to let go of it.
    pub(crate) fn drain_channel(&mut self, channel: u32, farewell: ChannelFarewell) {
        if let ChannelFarewell::Close(error) = &farewell {
            self.report_channel(channel, &error.text, error.code);
        }
        self.drain_reported_channel(channel, farewell);
    }

    /// Likewise, and the log was told why.
    pub(crate) fn drain_reported_channel(&mut self, channel: u32, farewell: ChannelFarewell) {
        let entry = &mut self.front.channels[channel as usize];
        assert!(entry.is_open(), "a channel ends once");
        let homes_left = entry.homes.count_ones();
        entry.state = ChannelState::Draining { farewell, homes_left };
        entry.waiting = Waiting::Nothing;
        let slot = entry.connection;
        self.drop_content(slot, channel);
        self.forget_publishes(channel);
        // What was acked is not to come back: its queues hear of that first.
        let entry = &self.front.channels[channel as usize];
        let address = entry.address(self.id, channel);
        if entry.settling.is_none() {
            self.let_go(channel);
        } else {
            self.ask_homes_of(channel, || Request::StopChannel { channel: address });
        }
        self.resume_if_paused_on(slot, channel);
        self.continue_draining(channel);
    }

    /// Every home that knows of the ending channel is told so.
    pub(crate) fn let_go(&mut self, channel: u32) {
        let address = self.front.channels[channel as usize].address(self.id, channel);
        self.ask_homes_of(channel, || Request::CloseChannel { channel: address });
    }

    fn ask_homes_of(&mut self, channel: u32, request: impl Fn() -> Request) {
        let homes = self.front.channels[channel as usize].homes;
        for home in (0..self.shards).filter(|home| homes & (1 << home) != 0) {
            self.request(ShardId(home), request());
        }
    }

    fn resume_if_paused_on(&mut self, slot: ConnectionSlot, channel: u32) {
        if self.connection_mut(slot).pause == Some(Pause::Channel(channel)) {
            self.front.resume(slot);
        }
    }

    /// A home has let go of a channel.
    pub(crate) fn handle_channel_closed(&mut self, address: ChannelAddress) {
        let channel = self.front.channel_at(address).expect("it waits for its homes");
        let ChannelState::Draining { homes_left, .. } = &mut channel.state else {
            panic!("a home let go of a channel that is not ending");
        };
        *homes_left -= 1;
        self.continue_draining(address.slot);
    }

    /// Ends a draining channel once nothing of it is under way.
    pub(crate) fn continue_draining(&mut self, channel: u32) {
        let entry = &mut self.front.channels[channel as usize];
        let ChannelState::Draining { farewell, homes_left: 0 } = &entry.state else {
            return;
        };
        if !entry.commands.is_empty() {
            return;
        }
        let farewell = farewell.clone();
        if std::mem::take(&mut entry.has_failed_command) {
            let address = entry.address(self.id, channel);
            self.to_writer.push_back(ToWriter::ChannelEnded { channel: address });
        }
        match farewell {
            ChannelFarewell::CloseOk => {
                self.send_channel_close_ok(channel);
                self.free_channel(channel);
            }
            ChannelFarewell::Close(error) => {
                self.send_on_channel(channel, &error.channel_close());
                self.front.channels[channel as usize].state = ChannelState::CloseOk;
            }
            ChannelFarewell::CloseThenCloseOk(error) => {
                self.send_on_channel(channel, &error.channel_close());
                self.send_channel_close_ok(channel);
                self.front.channels[channel as usize].state = ChannelState::CloseOk;
            }
            ChannelFarewell::Silence => self.free_channel(channel),
        }
    }

    pub(crate) fn send_channel_close_ok(&mut self, channel: u32) {
        let method = channel::AMQPMethod::CloseOk(channel::CloseOk {});
        self.send_on_channel(channel, &AMQPClass::Channel(method));
    }

    /// Nothing refers to the channel any more: its number and its slot may be used again.
    pub(crate) fn free_channel(&mut self, channel: u32) {
        let entry = self.front.channels.remove(channel as usize);
        let slot = entry.connection;
        let connection = self.connection_mut(slot);
        connection.remove_channel(entry.number, channel);
        let is_draining = connection.state == State::Draining;
        self.front.remains.add(entry);
        if is_draining {
            self.continue_draining_connection(slot);
        }
    }

    /// A connection ends: its channels first, then its exclusive queues, then the farewell.
    pub(crate) fn close_connection(&mut self, slot: ConnectionSlot, farewell: Farewell) {
        let connection = self.connection_mut(slot);
        if connection.state == State::Draining {
            if farewell == Farewell::Silence {
                connection.farewell = farewell;
            }
            return;
        }
        assert!(matches!(connection.state, State::Open | State::Running));
        connection.state = State::Draining;
        let told = match &farewell {
            Farewell::Close(error) if !self.is_stopping => Some(error.text.clone()),
            _ => None,
        };
        self.connection_mut(slot).farewell = farewell;
        if let Some(text) = told {
            self.report(slot, &format!("closed: {text}"));
        }
        let connection = self.connection_mut(slot);
        let channels: Vec<u32> = connection.channels.iter().map(|entry| entry.1).collect();
        // What is to come is not looked at, but frames are still told apart.
        self.front.resume(slot);
        for channel in channels {
            self.end_channel_silently(channel);
        }
        if self.front.connection(slot).is_some_and(|it| it.state == State::Draining) {
            self.continue_draining_connection(slot);
        }
    }

    fn end_channel_silently(&mut self, channel: u32) {
        let Some(entry) = self.front.channels.get_mut(channel as usize) else {
            return;
        };
        match &mut entry.state {
            ChannelState::Open => self.drain_channel(channel, ChannelFarewell::Silence),
            ChannelState::Draining { farewell, .. } => *farewell = ChannelFarewell::Silence,
            ChannelState::CloseOk => self.free_channel(channel),
        }
    }

    fn continue_draining_connection(&mut self, slot: ConnectionSlot) {
        let own = self.id;
        let connection = self.connection_mut(slot);
        if !connection.channels.is_empty() || connection.draining_queues > 0 {
            return;
        }
        let address = connection.address(own, slot.0);
        let queues = self.catalog.exclusive_queues_of(address).take(EXCLUSIVE_PER_SLICE);
        let before = self.to_writer.len();
        let letters = queues.map(|queue| ToWriter::DeleteExclusive { connection: address, queue });
        self.to_writer.extend(letters);
        let asked = self.to_writer.len() - before;
        if asked > 0 {
            self.connection_mut(slot).draining_queues = asked;
            return;
        }
        self.send_farewell(slot, address);
    }

    /// One of the connection's exclusive queues is gone, at every shard: after the last of a slice
    /// the catalog names those that are left.
    pub(crate) fn handle_exclusive_deleted(&mut self, address: ConnectionAddress) {
        let slot = ConnectionSlot(address.slot);
        let connection = self.connection_mut(slot);
        assert_eq!(connection.generation, address.generation, "it waits for its queues");
        connection.draining_queues -= 1;
        self.continue_draining_connection(slot);
    }

    /// Nothing of the connection is left at any home.
    fn send_farewell(&mut self, slot: ConnectionSlot, address: ConnectionAddress) {
        let connection = self.connection_mut(slot);
        connection.delivered_bytes = Vec::new();
        let homes = std::mem::take(&mut connection.homes);
        let farewell = connection.farewell.clone();
        for home in (0..self.shards).filter(|home| homes & (1 << home) != 0) {
            self.request(ShardId(home), Request::ForgetConnection { connection: address });
        }
        match farewell {
            Farewell::Silence => self.forget_connection(slot),
            Farewell::CloseOk => {
                self.send_close_ok(slot);
                self.flush_and_forget(slot);
            }
            Farewell::Close(error) => {
                self.send_close(slot, &error);
                self.await_close_ok(slot);
            }
        }
    }

    /// The connection goes when its last output is sent, or after a while.
    pub(crate) fn flush_and_forget(&mut self, slot: ConnectionSlot) {
        let connection = self.connection_mut(slot);
        connection.state = State::Flushing;
        let generation = connection.generation;
        let deadline = self.now.after_ms(CLOSE_TIMEOUT_MS);
        self.wheel.arm(deadline, Timer::Drop(slot, generation));
    }

    /// CONN-91.
    fn await_close_ok(&mut self, slot: ConnectionSlot) {
        let is_stopping = self.is_stopping;
        let connection = self.connection_mut(slot);
        connection.state = State::CloseOk;
        let generation = connection.generation;
        let heartbeat_ms = connection.heartbeat_ms;
        let mut patience_ms = CLOSE_TIMEOUT_MS;
        if heartbeat_ms > 0 {
            patience_ms = patience_ms.min(heartbeat_ms);
        }
        if is_stopping {
            patience_ms = patience_ms.min(SHUTDOWN_TIMEOUT_MS);
        }
        let deadline = self.now.after_ms(patience_ms);
        self.wheel.arm(deadline, Timer::Drop(slot, generation));
        self.start_reading(slot);
    }

    pub(crate) fn send_close(&mut self, slot: ConnectionSlot, error: &ProtocolError) {
        self.send(slot, 0, &error.connection_close());
    }

    pub(crate) fn send_close_ok(&mut self, slot: ConnectionSlot) {
        let method = connection::AMQPMethod::CloseOk(connection::CloseOk {});
        self.send(slot, 0, &AMQPClass::Connection(method));
    }

    /// The socket is gone.
    pub(crate) fn handle_disconnected(&mut self, slot: ConnectionSlot) {
        let Some(connection) = self.front.connection(slot) else {
            return;
        };
        if connection.is_socket_gone {
            return;
        }
        connection.is_socket_gone = true;
        let state = connection.state;
        self.effects.push_back(Effect::CloseSocket(slot));
        match state {
            State::Running | State::Draining => self.close_connection(slot, Farewell::Silence),
            _ => self.forget_connection(slot),
        }
    }

    /// We do not want the socket any more.
    pub(crate) fn drop_connection(&mut self, slot: ConnectionSlot) {
        self.handle_disconnected(slot);
    }

    /// The slot may be used again.
    pub(crate) fn forget_connection(&mut self, slot: ConnectionSlot) {
        let connection = self.front.remove(slot).expect("a connection is forgotten once");
        assert!(connection.channels.is_empty(), "channels end before their connection");
        assert_eq!(connection.half_received_bytes, 0, "half messages end with their channels");
        assert_eq!(connection.uncommitted_bytes, 0, "transactions end with their channels");
        self.front.buffered_bytes -= connection.accounted_bytes;
        if !connection.is_socket_gone {
            self.effects.push_back(Effect::CloseSocket(slot));
        }
        self.effects.push_back(Effect::Forget(slot));
        self.counters.connections_closed += 1;
    }

    /// CONN-93: the broker stops.
    pub(crate) fn handle_shutdown(&mut self) {
        self.is_stopping = true;
        let text = "broker forced connection closure with reason 'shutdown'";
        for slot in self.front.slots() {
            let connection = self.connection_mut(slot);
            let generation = connection.generation;
            match connection.state {
                State::Running => {
                    let error = ProtocolError::new(ReplyCode::ConnectionForced, text);
                    self.close_connection(slot, Farewell::Close(error));
                }
                State::Draining | State::CloseOk | State::Flushing => {}
                _ => self.drop_connection(slot),
            }
            let deadline = self.now.after_ms(SHUTDOWN_TIMEOUT_MS);
            self.wheel.arm(deadline, Timer::Drop(slot, generation));
        }
    }
}
