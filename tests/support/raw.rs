//! A client that sends what a test wants and looks at each frame itself.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use haremq_protocol::frame::{FRAME_END, PROTOCOL_HEADER, Split, split_frame};
use haremq_protocol::method::{
    AMQPClass, ServerMethod, channel, connection, decode_server_method, queue, write_method,
};
use haremq_protocol::types::{AMQPValue, FieldTable};

use super::{DEADLINE, IntoMethod, Refusal, address, arguments};

/// Limit of received frames: what the broker proposes.
const FRAME_MAX: u32 = 131_072;

/// A frame that was received.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RawFrame {
    pub(crate) kind: u8,
    pub(crate) channel: u16,
    pub(crate) payload: Vec<u8>,
}

/// A socket to the file's broker.
pub(crate) struct Raw {
    socket: TcpStream,
    received: Vec<u8>,
    has_ended: bool,
}

impl Raw {
    /// Nothing is sent yet.
    pub(crate) fn connect() -> Raw {
        Raw::connect_to(address())
    }

    /// At another broker than the file's.
    pub(crate) fn connect_to(address: std::net::SocketAddr) -> Raw {
        let socket = TcpStream::connect(address).expect("the broker listens");
        socket.set_nodelay(true).expect("it is a socket");
        Raw { socket, received: Vec::new(), has_ended: false }
    }

    /// Up to `connection.start`.
    pub(crate) fn started() -> (Raw, connection::Start) {
        let mut raw = Raw::connect();
        raw.send(&PROTOCOL_HEADER);
        match raw.method() {
            (0, AMQPClass::Connection(connection::AMQPMethod::Start(start))) => (raw, start),
            other => panic!("{other:?}"),
        }
    }

    /// Up to `connection.tune`.
    pub(crate) fn tuned() -> (Raw, connection::Tune) {
        let (mut raw, _) = Raw::started();
        raw.send_method(0, start_ok("PLAIN", b"\0guest\0guest"));
        match raw.method() {
            (0, AMQPClass::Connection(connection::AMQPMethod::Tune(tune))) => (raw, tune),
            other => panic!("{other:?}"),
        }
    }

    /// Up to where `connection.open` is awaited, with these limits.
    pub(crate) fn opening(frame_max: u32, channel_max: u16, heartbeat: u16) -> Raw {
        let (mut raw, _) = Raw::tuned();
        raw.send_method(0, connection::TuneOk { channel_max, frame_max, heartbeat });
        raw
    }

    /// A connection in use, without channels.
    pub(crate) fn running_with(frame_max: u32, channel_max: u16, heartbeat: u16) -> Raw {
        let mut raw = Raw::opening(frame_max, channel_max, heartbeat);
        raw.send_method(0, connection::Open { virtual_host: "/".into() });
        match raw.method() {
            (0, AMQPClass::Connection(connection::AMQPMethod::OpenOk(_))) => raw,
            other => panic!("{other:?}"),
        }
    }

    /// A connection in use with channel 1 open.
    pub(crate) fn running() -> Raw {
        let mut raw = Raw::running_with(FRAME_MAX, 2047, 0);
        raw.open(1);
        raw
    }

    /// Opens a channel.
    pub(crate) fn open(&mut self, number: u16) {
        self.send_method(number, channel::Open {});
        match self.method() {
            (at, AMQPClass::Channel(channel::AMQPMethod::OpenOk(_))) if at == number => {}
            other => panic!("{other:?}"),
        }
    }

    /// What this connection has published to the queue is there: only its own requests are sure to
    /// come after that (PUB-41, PUB-42).
    #[track_caller]
    pub(crate) fn arrive(&mut self, channel: u16, queue: &str) {
        let passive = queue::Declare { queue: queue.into(), passive: true, ..Default::default() };
        self.send_method(channel, passive);
        match self.method() {
            (at, AMQPClass::Queue(queue::AMQPMethod::DeclareOk(_))) if at == channel => {}
            other => panic!("{other:?}"),
        }
    }

    /// A broker that has closed the connection need not take the rest.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let _ = self.socket.write_all(bytes);
    }

    pub(crate) fn send_method(&mut self, channel: u16, method: impl IntoMethod) {
        self.send(&bytes_of(channel, method));
    }

    /// Sends nothing more, but goes on listening.
    pub(crate) fn shut_down_writing(&mut self) {
        let _ = self.socket.shutdown(std::net::Shutdown::Write);
    }

    /// The next frame; `None` if the socket is closed.
    #[track_caller]
    pub(crate) fn frame(&mut self) -> Option<RawFrame> {
        let until = Instant::now() + DEADLINE;
        loop {
            if let Split::Complete { frame, consumed } =
                split_frame(&self.received, FRAME_MAX).expect("the broker keeps to the protocol")
            {
                let (kind, channel) = (frame.kind.octet(), frame.channel);
                let payload = frame.payload.to_vec();
                self.received.drain(..consumed);
                return Some(RawFrame { kind, channel, payload });
            }
            if self.has_ended {
                assert_eq!(self.received, b"", "the last frame is cut");
                return None;
            }
            assert!(self.receive(until), "no frame in time");
        }
    }

    /// The next method.
    #[track_caller]
    pub(crate) fn method(&mut self) -> (u16, AMQPClass) {
        let frame = self.frame().expect("the socket is open");
        match decode_server_method(&frame.payload) {
            Ok(ServerMethod::Cold(method)) if frame.kind == 1 => (frame.channel, method),
            other => panic!("{frame:?}: {other:?}"),
        }
    }

    /// Skips to a close; `None` if the socket is closed without one.
    #[track_caller]
    pub(crate) fn refusal(&mut self) -> Option<Refusal> {
        while let Some(frame) = self.frame() {
            if frame.kind != 1 {
                continue;
            }
            match decode_server_method(&frame.payload) {
                Ok(ServerMethod::Cold(AMQPClass::Connection(connection::AMQPMethod::Close(
                    close,
                )))) => return Some(Refusal::of_connection(&close)),
                Ok(ServerMethod::Cold(AMQPClass::Channel(channel::AMQPMethod::Close(close)))) => {
                    return Some(Refusal::of_channel(&close));
                }
                _ => {}
            }
        }
        None
    }

    /// All octets up to the end of the stream, which comes in time.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let until = Instant::now() + DEADLINE;
        while !self.has_ended {
            assert!(self.receive(until), "the socket stays open");
        }
        std::mem::take(&mut self.received)
    }

    /// Forgets whole heartbeats at the head of what was received.
    pub(crate) fn skip_heartbeats(&mut self) {
        let heartbeat = frame(8, 0, b"");
        while self.received.starts_with(&heartbeat) {
            self.received.drain(..heartbeat.len());
        }
    }

    /// Waits so long; returns whether anything came, the end included.
    pub(crate) fn hears_within(&mut self, limit: Duration) -> bool {
        !self.received.is_empty() || self.receive(Instant::now() + limit)
    }

    /// Reads once; returns whether it was in time.
    fn receive(&mut self, until: Instant) -> bool {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        let mut bytes = vec![0; 64 << 10];
        self.socket.set_read_timeout(Some(left)).expect("the limit is not zero");
        match self.socket.read(&mut bytes) {
            Ok(count) => {
                self.has_ended = count == 0;
                self.received.extend_from_slice(&bytes[..count]);
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return false;
            }
            // Also a reset is an end: octets that the broker did not read cause it.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => self.has_ended = true,
            Err(error) => panic!("{error}"),
        }
        true
    }
}

/// `start-ok` of a client that wants to be told why it is refused.
pub(crate) fn start_ok(mechanism: &str, response: &[u8]) -> connection::StartOk {
    let capabilities = arguments([("authentication_failure_close", AMQPValue::Boolean(true))]);
    let client_properties = arguments([("capabilities", AMQPValue::FieldTable(capabilities))]);
    connection::StartOk {
        client_properties,
        mechanism: mechanism.into(),
        response: response.to_vec().into(),
        locale: "en_US".into(),
    }
}

/// The same of a client that is silent about what it can do.
pub(crate) fn modest_start_ok(mechanism: &str, response: &[u8]) -> connection::StartOk {
    let client_properties = FieldTable::default();
    connection::StartOk { client_properties, ..start_ok(mechanism, response) }
}

/// A frame with any type, length and content.
pub(crate) fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let size = u32::try_from(payload.len()).expect("tests send small frames");
    let mut bytes = vec![kind];
    bytes.extend(channel.to_be_bytes());
    bytes.extend(size.to_be_bytes());
    bytes.extend(payload);
    bytes.push(FRAME_END);
    bytes
}

/// A method as a frame.
pub(crate) fn bytes_of(channel: u16, method: impl IntoMethod) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_method(&mut bytes, channel, &method.into_method());
    bytes
}

/// The payload of a method's frame.
pub(crate) fn method_payload(method: impl IntoMethod) -> Vec<u8> {
    let bytes = bytes_of(1, method);
    bytes[7..bytes.len() - 1].to_vec()
}

/// A content header's frame without properties.
pub(crate) fn content_header(channel: u16, body_size: u64) -> Vec<u8> {
    let mut payload = vec![0, 60, 0, 0];
    payload.extend(body_size.to_be_bytes());
    payload.extend([0, 0]);
    frame(2, channel, &payload)
}
