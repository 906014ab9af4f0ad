//! The session: handshake, channels, events in the order of the bytes.

use std::mem;

use super::{
    assembly::{Assembly, Carrier, Stage, whole_content},
    config::ClientConfig,
    event::{ClientError, ClientEvent, OwnedClientEvent},
};
use crate::{
    ack::{write_ack, write_nack, write_reject},
    content::decode_content_header,
    frame::{
        FRAME_MAX_INITIAL, FRAME_MAX_LOWEST, Frame, FrameKind, PROTOCOL_HEADER, Split, split_frame,
        write_heartbeat,
    },
    method::{
        AMQPClass, ServerMethod, channel, connection, decode_server_method, method_ids,
        write_method,
    },
    publish::write_publish,
    refusal,
    reply::{ProtocolError, ReplyCode},
    types::{LongString, ShortString},
};

/// Where the connection is.
///
/// ```text
/// Starting ──start──► Tuning ──tune──► Opening ──open-ok──► Running ──our close──► Closing
///     └──────────────────┴────────────────┴────────────────────┴──close, error──► Closed ◄┘
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Starting,
    Tuning,
    Opening,
    Running,
    Closing,
    Closed,
}

/// An AMQP 0-9-1 connection as its client sees it.
///
/// Feed it with [`ClientSession::handle_received`] and send what [`ClientSession::poll_output`]
/// yields, also right after [`ClientSession::new`]. It has no clock: its owner sends heartbeats
/// with [`ClientSession::send_heartbeat`] and gives up on a silent server.
#[derive(Debug)]
pub struct ClientSession {
    config: ClientConfig,
    state: State,
    channel_max: u16,
    /// Limit of the frames that we send.
    frame_max: u32,
    /// Limit of the frames that we take; never "no limit".
    received_frame_max: u32,
    channels: Vec<Option<Box<Channel>>>,
    /// Octets of all unfinished bodies.
    unfinished_bytes: usize,
    /// Head of a frame whose rest has not arrived.
    carry: Vec<u8>,
    output: Vec<u8>,
}

#[derive(Debug)]
struct Channel {
    /// We sent `channel.close`: what still arrives is dropped.
    is_closing: bool,
    assembly: Assembly,
}

impl ClientSession {
    /// A session that is about to send the protocol header.
    #[must_use]
    pub fn new(config: ClientConfig) -> Self {
        Self {
            state: State::Starting,
            channel_max: config.channel_max,
            frame_max: FRAME_MAX_INITIAL,
            received_frame_max: config.frame_max_bounded(config.frame_max),
            channels: Vec::new(),
            unfinished_bytes: 0,
            carry: Vec::new(),
            output: PROTOCOL_HEADER.to_vec(),
            config,
        }
    }

    /// Takes what came from the server, cut anywhere, and tells each event in turn.
    ///
    /// # Errors
    /// The session is over: nothing more is read, but [`ClientSession::poll_output`] may have a
    /// `connection.close` that tells the server why. Once over, further bytes are ignored.
    pub fn handle_received(
        &mut self,
        bytes: &[u8],
        mut emit: impl FnMut(ClientEvent<'_>),
    ) -> Result<(), ClientError> {
        if self.state == State::Closed {
            return Ok(());
        }
        let mut carry = mem::take(&mut self.carry);
        let result = self.handle_bytes(&mut carry, bytes, &mut emit);
        self.carry = carry;
        result.inspect_err(|error| self.fail(error))
    }

    /// As [`ClientSession::handle_received`], with events that own what they tell.
    ///
    /// # Errors
    /// The same.
    pub fn handle_received_owned(
        &mut self,
        bytes: &[u8],
        events: &mut Vec<OwnedClientEvent>,
    ) -> Result<(), ClientError> {
        self.handle_received(bytes, |event| events.push(event.into()))
    }

    /// Moves what is to be sent to the end of `out`.
    pub fn poll_output(&mut self, out: &mut Vec<u8>) {
        if out.is_empty() {
            mem::swap(out, &mut self.output);
        } else {
            out.append(&mut self.output);
        }
    }

    /// Octets that wait for [`ClientSession::poll_output`].
    #[must_use]
    pub fn output_bytes(&self) -> usize {
        self.output.len()
    }

    /// The virtual host is open and nobody has closed the connection.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state == State::Running
    }

    /// Nothing more comes or goes.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Highest channel number that both sides allow, once open; 0 means no limit.
    #[must_use]
    pub fn channel_max(&self) -> u16 {
        self.channel_max
    }

    /// Octets of a frame that both sides allow, once open; 0 means no limit.
    #[must_use]
    pub fn frame_max(&self) -> u32 {
        self.frame_max
    }

    /// Sends any method. The session follows `channel.open`, `channel.close` and
    /// `connection.close`; whether the server likes the rest is for the server to say.
    ///
    /// # Errors
    /// [`ClientError::NotOpened`].
    pub fn send(&mut self, channel: u16, method: &AMQPClass) -> Result<(), ClientError> {
        self.require_open()?;
        match method {
            AMQPClass::Channel(channel::AMQPMethod::Open(_)) if channel != 0 => {
                self.add_channel(channel);
            }
            AMQPClass::Channel(channel::AMQPMethod::Close(_)) => {
                if let Some(open) = self.channel_mut(channel) {
                    open.is_closing = true;
                }
            }
            AMQPClass::Connection(connection::AMQPMethod::Close(_)) => {
                self.state = State::Closing;
            }
            _ => (),
        }
        write_method(&mut self.output, channel, method);
        Ok(())
    }

    /// Sends `channel.open`.
    ///
    /// # Errors
    /// [`ClientError::NotOpened`].
    pub fn open_channel(&mut self, channel: u16) -> Result<(), ClientError> {
        let open = channel::AMQPMethod::Open(channel::Open {});
        self.send(channel, &AMQPClass::Channel(open))
    }

    /// Sends a regular `channel.close`; [`ClientEvent::ChannelClosed`] follows.
    ///
    /// # Errors
    /// [`ClientError::NotOpened`].
    pub fn close_channel(&mut self, channel: u16) -> Result<(), ClientError> {
        let close = channel::AMQPMethod::Close(channel::Close {
            reply_code: ReplyCode::ReplySuccess.code(),
            reply_text: ShortString::from("Goodbye"),
            class_id: 0,
            method_id: 0,
        });
        self.send(channel, &AMQPClass::Channel(close))
    }

    /// Sends a regular `connection.close`; [`ClientEvent::ConnectionClosed`] follows.
    ///
    /// # Errors
    /// [`ClientError::NotOpened`].
    pub fn close(&mut self) -> Result<(), ClientError> {
        let close = connection::AMQPMethod::Close(connection::Close {
            reply_code: ReplyCode::ReplySuccess.code(),
            reply_text: ShortString::from("Goodbye"),
            class_id: 0,
            method_id: 0,
        });
        self.send(0, &AMQPClass::Connection(close))
    }

    /// Publishes a message. `properties` is a property list as on the wire, from
    /// [`crate::properties::encode_properties`] or [`crate::properties::Properties::raw`].
    ///
    /// # Errors
    /// [`ClientError::NotOpened`], [`ClientError::NameTooLong`].
    pub fn publish(
        &mut self,
        channel: u16,
        exchange: &[u8],
        routing_key: &[u8],
        mandatory: bool,
        properties: &[u8],
        body: &[u8],
    ) -> Result<(), ClientError> {
        self.require_open()?;
        if exchange.len() > 255 || routing_key.len() > 255 {
            return Err(ClientError::NameTooLong);
        }
        write_publish(
            &mut self.output,
            channel,
            self.frame_max,
            exchange,
            routing_key,
            mandatory,
            properties,
            body,
        );
        Ok(())
    }

    /// Sends `basic.ack`.
    ///
    /// # Errors
    /// [`ClientError::NotOpened`].
    pub fn ack(
        &mut self,
        channel: u16,
        delivery_tag: u64,
        multiple: bool,
    ) -> Result<(), ClientError> {
        self.require_open()?;
        write_ack(&mut self.output, channel, delivery_tag, multiple);
        Ok(())
    }

    /// Sends `basic.nack`.
    ///
    /// # Errors
    /// [`ClientError::NotOpened`].
    pub fn nack(
        &mut self,
        channel: u16,
        delivery_tag: u64,
        multiple: bool,
        requeue: bool,
    ) -> Result<(), ClientError> {
        self.require_open()?;
        write_nack(&mut self.output, channel, delivery_tag, multiple, requeue);
        Ok(())
    }

    /// Sends `basic.reject`.
    ///
    /// # Errors
    /// [`ClientError::NotOpened`].
    pub fn reject(
        &mut self,
        channel: u16,
        delivery_tag: u64,
        requeue: bool,
    ) -> Result<(), ClientError> {
        self.require_open()?;
        write_reject(&mut self.output, channel, delivery_tag, requeue);
        Ok(())
    }

    /// Sends a heartbeat.
    pub fn send_heartbeat(&mut self) {
        write_heartbeat(&mut self.output);
    }

    /// Sends octets as they are: for tests that break the protocol.
    pub fn send_raw(&mut self, bytes: &[u8]) {
        self.output.extend_from_slice(bytes);
    }

    fn require_open(&self) -> Result<(), ClientError> {
        if self.is_open() { Ok(()) } else { Err(ClientError::NotOpened) }
    }

    fn channel_mut(&mut self, number: u16) -> Option<&mut Channel> {
        self.channels.get_mut(usize::from(number))?.as_deref_mut()
    }

    /// A channel that is open already stays as it is: the server will object to the second open.
    fn add_channel(&mut self, number: u16) {
        let index = usize::from(number);
        if self.channels.len() <= index {
            self.channels.resize_with(index + 1, || None);
        }
        self.channels[index].get_or_insert_with(|| {
            Box::new(Channel { is_closing: false, assembly: Assembly::new() })
        });
    }

    fn remove_channel(&mut self, number: u16) {
        if let Some(removed) = self.channels[usize::from(number)].take() {
            self.unfinished_bytes -= removed.assembly.body.len();
        }
    }

    /// Frames that are whole in `bytes` are handled in place; only a frame that is cut goes
    /// through `carry`, and only it.
    fn handle_bytes(
        &mut self,
        carry: &mut Vec<u8>,
        mut bytes: &[u8],
        emit: &mut impl FnMut(ClientEvent<'_>),
    ) -> Result<(), ClientError> {
        while !carry.is_empty() {
            match self.split(carry)? {
                Split::Incomplete { needed } => {
                    let missing = (needed - carry.len()).min(bytes.len());
                    if missing == 0 {
                        return Ok(());
                    }
                    carry.extend_from_slice(&bytes[..missing]);
                    bytes = &bytes[missing..];
                }
                Split::Complete { frame, consumed } => {
                    assert!(consumed == carry.len());
                    let followed = self.handle_frame(frame, bytes, emit)?;
                    bytes = &bytes[followed..];
                    carry.clear();
                }
            }
        }
        while self.state != State::Closed {
            match self.split(bytes)? {
                Split::Incomplete { .. } => {
                    carry.extend_from_slice(bytes);
                    return Ok(());
                }
                Split::Complete { frame, consumed } => {
                    let rest = &bytes[consumed..];
                    let followed = self.handle_frame(frame, rest, emit)?;
                    bytes = &rest[followed..];
                }
            }
        }
        Ok(())
    }

    #[inline]
    fn split<'a>(&self, bytes: &'a [u8]) -> Result<Split<'a>, ClientError> {
        match split_frame(bytes, self.received_frame_max) {
            Ok(split) => Ok(split),
            Err(_) if self.state == State::Starting && bytes.starts_with(b"AMQP") => {
                Err(ClientError::VersionRefused)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Handles a frame, and with a method also its content if that is whole in `rest`.
    /// Answers with the octets of `rest` that it has used.
    #[inline]
    fn handle_frame(
        &mut self,
        frame: Frame<'_>,
        rest: &[u8],
        emit: &mut impl FnMut(ClientEvent<'_>),
    ) -> Result<usize, ClientError> {
        match (frame.kind, frame.channel) {
            (FrameKind::Heartbeat, _) => emit(ClientEvent::Heartbeat),
            (FrameKind::Method, 0) => self.handle_connection_method(frame, emit)?,
            _ if self.state == State::Closing || self.state == State::Closed => (),
            (_, 0) => return Err(refusal::unexpected_frame(&frame).into()),
            _ if self.state != State::Running => {
                return Err(refusal::unexpected_frame(&frame).into());
            }
            (FrameKind::Method, _) => return self.handle_channel_method(frame, rest, emit),
            (FrameKind::Header, _) => self.handle_header(frame, emit)?,
            (FrameKind::Body, _) => self.handle_body(frame, emit)?,
        }
        Ok(0)
    }

    fn handle_connection_method(
        &mut self,
        frame: Frame<'_>,
        emit: &mut impl FnMut(ClientEvent<'_>),
    ) -> Result<(), ClientError> {
        let ServerMethod::Cold(method) = decode_server_method(frame.payload)? else {
            return Err(refusal::unexpected_frame(&frame).into());
        };
        let AMQPClass::Connection(method) = method else {
            return Err(refusal::unexpected_frame(&frame).into());
        };
        match (self.state, method) {
            (_, connection::AMQPMethod::Close(close)) => {
                self.answer_close();
                emit(ClientEvent::ConnectionClosed { close: Some(close) });
            }
            (State::Closing, connection::AMQPMethod::CloseOk(_)) => {
                self.state = State::Closed;
                emit(ClientEvent::ConnectionClosed { close: None });
            }
            (State::Closing, _) => (),
            (State::Starting, connection::AMQPMethod::Start(start)) => self.handle_start(&start)?,
            (State::Tuning, connection::AMQPMethod::Secure(_)) => {
                return Err(ClientError::ChallengeUnsupported);
            }
            (State::Tuning, connection::AMQPMethod::Tune(tune)) => self.handle_tune(&tune)?,
            (State::Opening, connection::AMQPMethod::OpenOk(_)) => {
                self.state = State::Running;
                emit(ClientEvent::Opened {
                    channel_max: self.channel_max,
                    frame_max: self.frame_max,
                    heartbeat_s: self.config.heartbeat_s,
                });
            }
            (
                State::Running,
                method @ (connection::AMQPMethod::Blocked(_)
                | connection::AMQPMethod::Unblocked(_)
                | connection::AMQPMethod::UpdateSecretOk(_)),
            ) => emit(ClientEvent::Method { channel: 0, method: AMQPClass::Connection(method) }),
            _ => return Err(unexpected_method(frame.payload).into()),
        }
        Ok(())
    }

    fn answer_close(&mut self) {
        self.send_connection(connection::AMQPMethod::CloseOk(connection::CloseOk {}));
        self.state = State::Closed;
    }

    fn handle_start(&mut self, start: &connection::Start) -> Result<(), ClientError> {
        let mechanism = self.config.mechanism;
        let mut offered = start.mechanisms.as_bytes().split(|octet| *octet == b' ');
        if !offered.any(|name| name == mechanism.name().as_bytes()) {
            return Err(ClientError::MechanismNotOffered);
        }
        self.send_connection(connection::AMQPMethod::StartOk(connection::StartOk {
            client_properties: self.config.properties.clone(),
            mechanism: ShortString::from(mechanism.name()),
            response: LongString::from(mechanism.response(&self.config.credentials())),
            locale: ShortString::from("en_US"),
        }));
        self.state = State::Tuning;
        Ok(())
    }

    fn handle_tune(&mut self, tune: &connection::Tune) -> Result<(), ClientError> {
        if tune.frame_max != 0 && tune.frame_max < FRAME_MAX_LOWEST {
            let text = format!("frame_max {} is below {FRAME_MAX_LOWEST}", tune.frame_max);
            return Err(ProtocolError::new(ReplyCode::NotAllowed, text).of(10, 30).into());
        }
        self.channel_max = match (self.config.channel_max, tune.channel_max) {
            (0, limit) | (limit, 0) => limit,
            (ours, theirs) => ours.min(theirs),
        };
        let frame_max = match (self.config.frame_max, tune.frame_max) {
            (0, limit) | (limit, 0) => limit,
            (ours, theirs) => ours.min(theirs),
        };
        self.received_frame_max = self.config.frame_max_bounded(frame_max);
        // A test may announce less than is allowed; that is for the server to refuse.
        self.frame_max = if frame_max == 0 { 0 } else { frame_max.max(FRAME_MAX_LOWEST) };
        self.send_connection(connection::AMQPMethod::TuneOk(connection::TuneOk {
            channel_max: self.channel_max,
            frame_max,
            heartbeat: self.config.heartbeat_s,
        }));
        self.send_connection(connection::AMQPMethod::Open(connection::Open {
            virtual_host: self.config.virtual_host.clone(),
        }));
        self.state = State::Opening;
        Ok(())
    }

    fn send_connection(&mut self, method: connection::AMQPMethod) {
        write_method(&mut self.output, 0, &AMQPClass::Connection(method));
    }

    #[inline]
    fn handle_channel_method(
        &mut self,
        frame: Frame<'_>,
        rest: &[u8],
        emit: &mut impl FnMut(ClientEvent<'_>),
    ) -> Result<usize, ClientError> {
        let frame_max = self.received_frame_max;
        let room = self.config.message_bytes_max - self.unfinished_bytes;
        let number = frame.channel;
        let Some(channel) = self.channel_mut(number) else {
            return Err(unknown_channel(number).into());
        };
        if channel.assembly.stage != Stage::Idle {
            return Err(content_expected(channel.assembly.stage).into());
        }
        let is_closing = channel.is_closing;
        let carrier = match decode_server_method(frame.payload)? {
            ServerMethod::Deliver(deliver) => Carrier::Deliver(deliver),
            ServerMethod::Return(returned) => Carrier::Return(returned),
            ServerMethod::GetOk(get_ok) => Carrier::GetOk(get_ok),
            ServerMethod::Cold(method) => {
                return self.handle_cold(number, method, emit).map(|()| 0);
            }
            _ if is_closing => return Ok(0),
            ServerMethod::Ack { delivery_tag, multiple } => {
                emit(ClientEvent::Ack { channel: number, delivery_tag, multiple });
                return Ok(0);
            }
            ServerMethod::Nack { delivery_tag, multiple, requeue } => {
                emit(ClientEvent::Nack { channel: number, delivery_tag, multiple, requeue });
                return Ok(0);
            }
        };
        let Some(whole) = whole_content(rest, number, frame_max, room) else {
            channel.assembly.begin(frame.payload);
            return Ok(0);
        };
        if !is_closing {
            emit(carrier.event(number, whole.header.properties, whole.body));
        }
        Ok(whole.consumed)
    }

    #[inline(never)]
    fn handle_cold(
        &mut self,
        number: u16,
        method: AMQPClass,
        emit: &mut impl FnMut(ClientEvent<'_>),
    ) -> Result<(), ClientError> {
        let is_closing = self.channel_mut(number).is_some_and(|channel| channel.is_closing);
        match method {
            AMQPClass::Connection(_) => {
                let (class_id, method_id) =
                    (method.get_amqp_class_id(), method.get_amqp_method_id());
                Err(refusal::unimplemented_method(class_id, method_id).into())
            }
            AMQPClass::Channel(channel::AMQPMethod::Close(close)) => {
                let answer = channel::AMQPMethod::CloseOk(channel::CloseOk {});
                write_method(&mut self.output, number, &AMQPClass::Channel(answer));
                // Both closed at once: the number is free when our own close is answered.
                if !is_closing {
                    self.remove_channel(number);
                    emit(ClientEvent::ChannelClosed { channel: number, close: Some(close) });
                }
                Ok(())
            }
            AMQPClass::Channel(channel::AMQPMethod::CloseOk(_)) => {
                if !is_closing {
                    return Err(refusal::unimplemented_method(20, 41).into());
                }
                self.remove_channel(number);
                emit(ClientEvent::ChannelClosed { channel: number, close: None });
                Ok(())
            }
            _ if is_closing => Ok(()),
            method => {
                emit(ClientEvent::Method { channel: number, method });
                Ok(())
            }
        }
    }

    fn handle_header(
        &mut self,
        frame: Frame<'_>,
        emit: &mut impl FnMut(ClientEvent<'_>),
    ) -> Result<(), ClientError> {
        let limit = self.config.message_bytes_max;
        let Some(channel) = self.channel_mut(frame.channel) else {
            return Err(unknown_channel(frame.channel).into());
        };
        if channel.assembly.stage != Stage::Header {
            return Err(content_expected(channel.assembly.stage).into());
        }
        let header = decode_content_header(frame.payload)?;
        let size = usize::try_from(header.body_size).unwrap_or(usize::MAX);
        if size > limit {
            return Err(ClientError::MessageTooLarge);
        }
        channel.assembly.set_header(frame.payload, size);
        self.finish(frame.channel, emit);
        Ok(())
    }

    fn handle_body(
        &mut self,
        frame: Frame<'_>,
        emit: &mut impl FnMut(ClientEvent<'_>),
    ) -> Result<(), ClientError> {
        let unfinished = self.unfinished_bytes + frame.payload.len();
        let limit = self.config.message_bytes_max;
        let Some(channel) = self.channel_mut(frame.channel) else {
            return Err(unknown_channel(frame.channel).into());
        };
        let assembly = &mut channel.assembly;
        let Stage::Body { size } = assembly.stage else {
            return Err(content_expected(assembly.stage).into());
        };
        if frame.payload.len() > size - assembly.body.len() {
            return Err(refusal::body_exceeds_announced().into());
        }
        if unfinished > limit {
            return Err(ClientError::MessageTooLarge);
        }
        assembly.body.extend_from_slice(frame.payload);
        self.unfinished_bytes = unfinished;
        self.finish(frame.channel, emit);
        Ok(())
    }

    /// Tells the message of a channel if it is complete.
    fn finish(&mut self, number: u16, emit: &mut impl FnMut(ClientEvent<'_>)) {
        let channel = self.channel_mut(number).expect("the caller has found the channel");
        if !channel.assembly.is_complete() {
            return;
        }
        if !channel.is_closing {
            emit(channel.assembly.event(number));
        }
        let finished = channel.assembly.body.len();
        channel.assembly.end();
        self.unfinished_bytes -= finished;
    }

    /// Tells the server what it did wrong, if there is a connection to close, and ends.
    fn fail(&mut self, error: &ClientError) {
        if let (State::Running, ClientError::Protocol(error)) = (self.state, error) {
            write_method(&mut self.output, 0, &error.connection_close());
        }
        self.state = State::Closed;
        self.channels.clear();
        self.carry = Vec::new();
    }
}

#[cold]
fn unexpected_method(payload: &[u8]) -> ProtocolError {
    let (class_id, method_id) = method_ids(payload).unwrap_or((0, 0));
    ProtocolError::new(ReplyCode::CommandInvalid, "unexpected method in this connection state")
        .of(class_id, method_id)
}

#[cold]
fn unknown_channel(number: u16) -> ProtocolError {
    ProtocolError::new(ReplyCode::ChannelError, format!("channel {number} is not open"))
}

#[cold]
fn content_expected(stage: Stage) -> ProtocolError {
    match stage {
        Stage::Idle => refusal::expected_method(),
        Stage::Header => refusal::expected_content_header(),
        Stage::Body { .. } => refusal::expected_content_body(),
    }
}
