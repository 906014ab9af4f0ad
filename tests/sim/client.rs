//! A client: a session of the protocol over one socket at a time, and its channels.

use std::collections::BTreeMap;

use haremq_protocol::client::{ClientConfig, ClientSession};
use haremq_protocol::method::AMQPClass;

use crate::channel::{Channel, Expected};
use crate::world::{SocketId, World};

/// Where a client stands.
///
/// ```text
/// Idle ──connect──► Opening ──open-ok──► Open ──close──► Closing ──close-ok──► Idle
///   ▲                  └──────────reset────┴────────────────┘
///   └──────────────────────────────────────────────────────┘
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    Idle,
    Opening,
    Open,
    Closing,
}

/// One client; it lives for the whole run and connects again and again.
pub(crate) struct Client {
    pub(crate) state: State,
    pub(crate) session: ClientSession,
    pub(crate) socket: SocketId,
    pub(crate) channels: BTreeMap<u16, Channel>,
    /// It has broken the protocol: the broker must close the connection.
    pub(crate) must_break: bool,
    /// The broker stops: it may close the connection.
    pub(crate) may_break: bool,
}

/// Frames small enough that bodies take several.
const FRAME_BYTES_MAX: u32 = 4096;

impl Client {
    pub(crate) fn new() -> Client {
        Client {
            state: State::Idle,
            session: session(),
            socket: SocketId(usize::MAX),
            channels: BTreeMap::new(),
            must_break: false,
            may_break: false,
        }
    }

    /// Opens a connection.
    pub(crate) fn connect(&mut self, world: &mut World) {
        assert_eq!(self.state, State::Idle);
        self.session = session();
        self.socket = world.connect();
        self.state = State::Opening;
        self.must_break = false;
        self.flush(world);
    }

    /// Hands to the socket what the session has to say.
    pub(crate) fn flush(&mut self, world: &mut World) {
        let mut out = Vec::new();
        self.session.poll_output(&mut out);
        world.write(self.socket, &out);
    }

    /// Sends a method and notes which answer it has.
    pub(crate) fn send(&mut self, number: u16, method: &AMQPClass, expected: Option<Expected>) {
        self.session.send(number, method).expect("the connection is open");
        let channel = self.channels.get_mut(&number).expect("the caller has chosen it");
        channel.expected.extend(expected);
    }

    pub(crate) fn channel(&mut self, number: u16) -> &mut Channel {
        self.channels.get_mut(&number).expect("the caller has chosen it")
    }
}

fn session() -> ClientSession {
    ClientSession::new(ClientConfig { frame_max: FRAME_BYTES_MAX, ..ClientConfig::default() })
}
