//! Listening sockets: taking every connection, and surviving a lack of descriptors.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use crate::token::Key;

/// Connections that the kernel completes before we take them; `net.core.somaxconn` bounds it.
const BACKLOG: libc::c_int = 4096;
/// Taken from one listener per tick, so that an accept storm leaves time for the connections.
const ACCEPTS_PER_TICK_MAX: usize = 64;
/// After a failed accept (mostly: out of descriptors) the next attempt waits so long.
const BACK_OFF: Duration = Duration::from_millis(10);

/// A peer from which nothing has come for so long, and to which nothing is under way, is asked by
/// the kernel whether it is there.
const KEEPALIVE_IDLE_S: libc::c_int = 60;
/// How long it is given to answer, and how often it is asked: one that is gone is noticed within
/// three minutes, as with the heartbeat that the broker proposes (CONN-60). While octets are under
/// way to it, Linux does not ask but sends them again, and gives up after about 15 minutes
/// (`net.ipv4.tcp_retries2`).
const KEEPALIVE_INTERVAL_S: libc::c_int = 15;
const KEEPALIVE_PROBES: libc::c_int = 8;

pub(crate) const LISTEN_EVENTS: u32 = libc::POLLIN as u32;

/// Names one listener of one reactor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListenerId(pub(crate) Key);

/// ```text
///            poll says so                accept fails
///  Waiting ───────────────► Acceptable ───────────────► BackingOff
///     ▲                       │    ▲                        │
///     └── nothing is left ────┘    └──── 10 ms are over ────┘
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Acceptable,
    BackingOff { until: Instant },
}

/// One listening socket, owned by one core.
pub(crate) struct Listener {
    socket: TcpListener,
    state: State,
}

/// One attempt to take a connection.
pub(crate) type Attempt = Result<(OwnedFd, SocketAddr), io::Error>;

impl Listener {
    /// Binds with `SO_REUSEADDR` (a restart need not wait for old connections to time out) and
    /// without `SO_REUSEPORT` (a second broker must not steal connections unnoticed).
    pub(crate) fn bind(address: SocketAddr) -> io::Result<(Listener, SocketAddr)> {
        let socket = TcpListener::bind(address)?;
        socket.set_nonblocking(true)?;
        // The standard library listens with a backlog of 128; listening again changes it.
        // SAFETY: the descriptor is open, and the call takes no pointer.
        if unsafe { libc::listen(socket.as_raw_fd(), BACKLOG) } != 0 {
            return Err(io::Error::last_os_error());
        }
        keep_alive(socket.as_raw_fd())?;
        let bound = socket.local_addr()?;
        Ok((Listener { socket, state: State::Waiting }, bound))
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// The poll reported something. A listener that backs off stays in that state: what it waits
    /// for is a descriptor, not another connection.
    pub(crate) fn handle_poll_result(&mut self) {
        if self.state == State::Waiting {
            self.state = State::Acceptable;
        }
    }

    /// How long the core may sleep because of this listener; `None` is for ever.
    pub(crate) fn sleep_max(&self) -> Option<Duration> {
        match self.state {
            State::Waiting => None,
            State::Acceptable => Some(Duration::ZERO),
            State::BackingOff { until } => Some(until.saturating_duration_since(Instant::now())),
        }
    }

    /// Takes what is there, up to the limit of a tick; each attempt that says something is told.
    pub(crate) fn accept(&mut self, mut tell: impl FnMut(Attempt)) {
        if let State::BackingOff { until } = self.state
            && Instant::now() >= until
        {
            self.state = State::Acceptable;
        }
        for _ in 0..ACCEPTS_PER_TICK_MAX {
            if self.state != State::Acceptable {
                return;
            }
            if let Some(attempt) = self.accept_one() {
                tell(attempt);
            }
        }
    }

    fn accept_one(&mut self) -> Option<Attempt> {
        match self.socket.accept() {
            Ok((stream, peer)) => Some(Ok((stream.into(), peer))),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.state = State::Waiting;
                None
            }
            // The peer gave up before we came: nobody is there to be told.
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => None,
            Err(error) => {
                self.state = State::BackingOff { until: Instant::now() + BACK_OFF };
                Some(Err(error))
            }
        }
    }
}

/// Accepted sockets inherit it, which saves them the calls. Not `TCP_USER_TIMEOUT`: it would also
/// end a connection whose peer is there, and only takes nothing for a while.
fn keep_alive(fd: RawFd) -> io::Result<()> {
    set_option(fd, libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1)?;
    set_option(fd, libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, KEEPALIVE_IDLE_S)?;
    set_option(fd, libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S)?;
    set_option(fd, libc::IPPROTO_TCP, libc::TCP_KEEPCNT, KEEPALIVE_PROBES)
}

fn set_option(
    fd: RawFd,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    let bytes = size_of_val(&value) as libc::socklen_t;
    // SAFETY: the descriptor is open, and the pointer is to a live integer of that many bytes.
    let result = unsafe { libc::setsockopt(fd, level, name, (&raw const value).cast(), bytes) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

impl From<Listener> for OwnedFd {
    fn from(listener: Listener) -> OwnedFd {
        listener.socket.into()
    }
}
