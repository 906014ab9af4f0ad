//! From bytes to frames to whoever handles them.

use haremq_protocol::frame::{Frame, FrameKind, Split, split_frame};
use haremq_protocol::method::method_ids;
use haremq_protocol::method::{AMQPClass, ClientMethod, connection, decode_client_method};
use haremq_protocol::refusal;
use haremq_protocol::reply::{ProtocolError, ReplyCode};

use super::channel::{ChannelFarewell, ChannelState, Waiting};
use super::connection::{Farewell, Pause, State};
use super::content::InPlace;
use super::{Flow, channel_methods};
use crate::event::ConnectionSlot;
use crate::limits::{COMMANDS_PER_CHANNEL_MAX, OUTPUT_PAUSE_BYTES, REFUSAL_DELAY_MS};
use crate::shard::Shard;
use crate::timers::Timer;

const CHANNEL_OPEN: (u16, u16) = (20, 10);
const CHANNEL_CLOSE: (u16, u16) = (20, 40);
const CHANNEL_CLOSE_OK: (u16, u16) = (20, 41);
const BASIC_PUBLISH: (u16, u16) = (60, 40);

impl Shard {
    /// Bytes came from a client.
    pub(crate) fn handle_received(&mut self, slot: ConnectionSlot, bytes: &[u8]) {
        let now = self.now;
        let Some(connection) = self.front.connection(slot) else {
            return;
        };
        connection.received_at = now;
        let is_resting = connection.pause.is_some() || connection.is_resumable;
        if is_resting {
            return self.keep_input(slot, bytes);
        }
        if connection.input.is_empty() {
            let used = self.parse(slot, bytes);
            return self.keep_input(slot, &bytes[used..]);
        }
        self.keep_input(slot, bytes);
        self.parse_kept_input(slot);
    }

    /// Handles the frames at the head of `bytes`; returns how many octets were used. What is not
    /// used is an incomplete frame, or one that must wait.
    pub(crate) fn parse(&mut self, slot: ConnectionSlot, bytes: &[u8]) -> usize {
        let mut at = 0;
        loop {
            let Some(connection) = self.front.connection(slot) else {
                return bytes.len();
            };
            match connection.state {
                State::Header => {
                    let used = self.handle_protocol_header(slot, &bytes[at..]);
                    if used == 0 {
                        return at;
                    }
                    at += used;
                    continue;
                }
                State::Flushing | State::Refused => return bytes.len(),
                _ if connection.is_deaf => return bytes.len(),
                _ => {}
            }
            let (state, frame_max) = (connection.state, connection.frame_max);
            let has_room = connection.unsent().len() <= OUTPUT_PAUSE_BYTES;
            if state == State::Running && has_room {
                match self.publish_in_place(slot, &bytes[at..], frame_max) {
                    InPlace::Used(octets) => {
                        at += octets;
                        continue;
                    }
                    InPlace::Pause => return at,
                    InPlace::FrameByFrame => {}
                }
            }
            match split_frame(&bytes[at..], frame_max) {
                Ok(Split::Incomplete { .. }) => return at,
                // Not looked at, but the next frame must be found: it may be close-ok.
                Ok(Split::Complete { consumed, .. }) if state == State::Draining => at += consumed,
                Ok(Split::Complete { .. }) if !has_room => {
                    self.pause(slot, Pause::Output);
                    return at;
                }
                Ok(Split::Complete { frame, consumed }) => match self.handle_frame(slot, &frame) {
                    Flow::Continue => at += consumed,
                    Flow::Pause => return at,
                },
                Err(error) => {
                    self.fail_framing(slot, error);
                    return bytes.len();
                }
            }
        }
    }

    fn handle_frame(&mut self, slot: ConnectionSlot, frame: &Frame<'_>) -> Flow {
        let state = self.connection_mut(slot).state;
        match (state, frame.channel) {
            (State::CloseOk, _) => self.handle_frame_after_close(slot, frame),
            // The splitter has checked its form; that it came is all that counts (CONN-61).
            _ if frame.kind == FrameKind::Heartbeat => {}
            (_, 0) => return self.handle_connection_frame(slot, frame),
            (State::Running, _) => return self.handle_channel_frame(slot, frame),
            (State::Open, _) => {
                self.close_connection(slot, Farewell::Close(refusal::unexpected_frame(frame)));
            }
            _ => self.refuse_silently(slot, &refusal::unexpected_frame(frame).text),
        }
        Flow::Continue
    }

    /// CONN-91: only the end of the closing handshake counts.
    fn handle_frame_after_close(&mut self, slot: ConnectionSlot, frame: &Frame<'_>) {
        if frame.channel != 0 || frame.kind != FrameKind::Method {
            return;
        }
        match method_ids(frame.payload) {
            Some((10, 50)) => self.send_close_ok(slot),
            Some((10, 51)) => self.forget_connection(slot),
            _ => {}
        }
    }

    fn handle_connection_frame(&mut self, slot: ConnectionSlot, frame: &Frame<'_>) -> Flow {
        let is_running = self.connection_mut(slot).is_running();
        if frame.kind != FrameKind::Method {
            self.fail_connection(slot, refusal::unexpected_frame(frame));
            return Flow::Continue;
        }
        match decode_client_method(frame.payload) {
            Ok(ClientMethod::Cold(AMQPClass::Connection(method))) if is_running => {
                self.handle_connection_method(slot, method);
            }
            Ok(ClientMethod::Cold(AMQPClass::Connection(method))) => {
                return self.handle_handshake_method(slot, method);
            }
            Ok(_) => self.fail_unexpected_method(slot),
            Err(error) => self.fail_connection(slot, error),
        }
        Flow::Continue
    }

    fn handle_connection_method(&mut self, slot: ConnectionSlot, method: connection::AMQPMethod) {
        use connection::AMQPMethod as Method;
        match method {
            Method::Close(_) => self.close_connection(slot, Farewell::CloseOk),
            Method::CloseOk(_) => {}
            // CONN-82: with passwords any secret is accepted, and nothing changes.
            Method::UpdateSecret(_) => {
                let ok = Method::UpdateSecretOk(connection::UpdateSecretOk {});
                self.send(slot, 0, &AMQPClass::Connection(ok));
            }
            _ => self.fail_unexpected_method(slot),
        }
    }

    /// CONN-94; in the handshake CONN-26.
    fn fail_unexpected_method(&mut self, slot: ConnectionSlot) {
        let state = match self.connection_mut(slot).state {
            State::Running => "running",
            State::Open => "opening",
            State::TuneOk => "tuning",
            _ => "starting",
        };
        let text = format!("unexpected method in connection state {state}");
        self.fail_connection(slot, ProtocolError::new(ReplyCode::ChannelError, text));
    }

    /// A connection error; before `open` nothing is said (CONN-26), after `close` nothing more.
    pub(crate) fn fail_connection(&mut self, slot: ConnectionSlot, error: ProtocolError) {
        match self.connection_mut(slot).state {
            State::StartOk | State::TuneOk | State::Open => {
                self.refuse_silently(slot, &error.text);
            }
            State::Draining | State::CloseOk => {}
            _ => self.close_connection(slot, Farewell::Close(error)),
        }
    }

    /// ERR-20 to ERR-22: the stream makes no sense any more, so close-ok is not waited for long.
    fn fail_framing(&mut self, slot: ConnectionSlot, error: ProtocolError) {
        let connection = self.connection_mut(slot);
        connection.is_deaf = true;
        let generation = connection.generation;
        self.fail_connection(slot, error);
        let deadline = self.now.after_ms(REFUSAL_DELAY_MS);
        self.wheel.arm(deadline, Timer::Drop(slot, generation));
    }

    fn handle_channel_frame(&mut self, slot: ConnectionSlot, frame: &Frame<'_>) -> Flow {
        let Some(channel) = self.connection_mut(slot).channel(frame.channel) else {
            self.handle_frame_of_unknown_channel(slot, frame);
            return Flow::Continue;
        };
        let entry = &self.front.channels[channel as usize];
        match entry.state {
            ChannelState::Open => {}
            _ => {
                self.handle_frame_of_closing_channel(slot, channel, frame);
                return Flow::Continue;
            }
        }
        if entry.is_in_content() || frame.kind != FrameKind::Method {
            let handled = self.handle_content_frame(slot, channel, frame);
            return self.conclude(channel, handled);
        }
        if entry.waiting != Waiting::Nothing && !self.may_overlap(slot, channel, frame) {
            return self.pause_on_channel(slot, channel, frame);
        }
        if method_ids(frame.payload) == Some(BASIC_PUBLISH) {
            return self.handle_publish_frame(slot, channel, frame);
        }
        let handled = self.handle_channel_method(slot, channel, frame.payload);
        self.conclude(channel, handled.map(|()| Flow::Continue))
    }

    /// The channel waits, unless the answers that were here already have ended it, or its
    /// connection: then nobody would resume what is paused now.
    fn pause_on_channel(&mut self, slot: ConnectionSlot, channel: u32, frame: &Frame<'_>) -> Flow {
        if !self.front.connection(slot).is_some_and(|connection| connection.is_running()) {
            return Flow::Continue;
        }
        if !self.front.channels.get(channel as usize).is_some_and(|entry| entry.is_open()) {
            return self.handle_channel_frame(slot, frame);
        }
        self.pause(slot, Pause::Channel(channel));
        Flow::Pause
    }

    /// The method of a publish that could not be taken in place; its content comes later.
    fn handle_publish_frame(
        &mut self,
        slot: ConnectionSlot,
        channel: u32,
        frame: &Frame<'_>,
    ) -> Flow {
        // Here and not in the middle of a content: what has begun to come may hold memory itself.
        // Nor in the middle of a transaction, whose commit is behind this frame.
        if self.is_over_limit && !self.front.channels[channel as usize].has_uncommitted() {
            self.pause(slot, Pause::Memory);
            return Flow::Pause;
        }
        let begun = self.begin_publish(channel, frame.payload);
        self.conclude(channel, begun.map(|()| Flow::Continue))
    }

    fn begin_publish(&mut self, channel: u32, payload: &[u8]) -> Result<(), ProtocolError> {
        let ClientMethod::Publish(publish) = decode_client_method(payload)? else {
            unreachable!("the caller has looked at the ids")
        };
        if publish.immediate {
            return Err(super::publish::immediate_unsupported());
        }
        self.begin_content(channel, &publish);
        Ok(())
    }

    /// An error ends the channel or the connection; either way the frame was used.
    pub(crate) fn conclude(&mut self, channel: u32, handled: Result<Flow, ProtocolError>) -> Flow {
        match handled {
            Ok(flow) => flow,
            Err(error) => {
                self.fail_channel(channel, error);
                Flow::Continue
            }
        }
    }

    /// Whether a method may be handled although its channel waits. Answers that are here already
    /// are taken in first.
    fn may_overlap(&mut self, slot: ConnectionSlot, channel: u32, frame: &Frame<'_>) -> bool {
        self.handle_local_answers();
        let Some(entry) = self.front.channels.get(channel as usize) else {
            return false;
        };
        match entry.waiting {
            Waiting::Nothing => entry.is_open(),
            Waiting::Commands => {
                // Once one has failed, the writer looks at no later one.
                entry.failure.is_none()
                    && entry.commands.len() < COMMANDS_PER_CHANNEL_MAX
                    && entry.commands.front().is_none_or(|pending| pending.is_with_writer)
                    && channel_methods::is_catalog_command(frame.payload)
            }
            Waiting::Commit if method_ids(frame.payload) != Some(CHANNEL_CLOSE) => {
                let text = "unexpected command while processing 'tx.commit'";
                let (class, method) = method_ids(frame.payload).unwrap_or_default();
                let error = ProtocolError::new(ReplyCode::ChannelError, text);
                self.close_connection(slot, Farewell::Close(error.of(class, method)));
                false
            }
            _ => false,
        }
    }

    /// CHN-1, CHN-3.
    fn handle_frame_of_unknown_channel(&mut self, slot: ConnectionSlot, frame: &Frame<'_>) {
        if frame.kind == FrameKind::Method
            && let Err(error) = decode_client_method(frame.payload)
        {
            return self.fail_connection(slot, error);
        }
        let error = match (frame.kind, method_ids(frame.payload)) {
            (FrameKind::Method, Some(CHANNEL_OPEN)) => {
                return self.open_channel(slot, frame.channel);
            }
            (FrameKind::Method, Some(CHANNEL_CLOSE_OK)) => return,
            (FrameKind::Method, ids) => {
                let (class, method) = ids.unwrap_or_default();
                ProtocolError::new(ReplyCode::ChannelError, "expected 'channel.open'")
                    .of(class, method)
            }
            _ => refusal::expected_method(),
        };
        self.close_connection(slot, Farewell::Close(error));
    }

    /// ERR-5: frames of a channel on its way out are ignored, but for the end of the handshake.
    fn handle_frame_of_closing_channel(
        &mut self,
        slot: ConnectionSlot,
        channel: u32,
        frame: &Frame<'_>,
    ) {
        if frame.kind != FrameKind::Method {
            return;
        }
        let entry = &mut self.front.channels[channel as usize];
        match (&mut entry.state, method_ids(frame.payload)) {
            (ChannelState::CloseOk, Some(CHANNEL_CLOSE_OK)) => self.free_channel(channel),
            (ChannelState::CloseOk, Some(CHANNEL_CLOSE)) => self.send_channel_close_ok(channel),
            // The client may use the number again once it has close-ok: that goes last.
            (ChannelState::Draining { farewell, .. }, Some(CHANNEL_CLOSE)) => {
                if let ChannelFarewell::Close(error) = farewell {
                    *farewell = ChannelFarewell::CloseThenCloseOk(error.clone());
                }
            }
            (_, Some(CHANNEL_OPEN)) => {
                let error = ProtocolError::new(ReplyCode::ChannelError, SECOND_OPEN);
                let error = error.of(CHANNEL_OPEN.0, CHANNEL_OPEN.1);
                self.close_connection(slot, Farewell::Close(error));
            }
            _ => {}
        }
    }
}

/// ERR-5, section 3.3.
pub(crate) const SECOND_OPEN: &str = "second 'channel.open' seen";
