//! Connected sockets: identity, state, and what reading and sending can answer.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use crate::token::Key;

/// What the multishot poll of a socket asks for; errors and hang-up come unasked. Urgent data is not
/// asked for: the kernel's wake-up for ordinary data names it too. A read stops short before it, so
/// who sends urgent data (AMQP never does) may see what follows it taken with the next data only.
pub(crate) const READ_EVENTS: u32 = (libc::POLLIN as u32) | (libc::POLLRDHUP as u32);
pub(crate) const WRITE_EVENTS: u32 = libc::POLLOUT as u32;
const DEAD_EVENTS: u32 = (libc::POLLHUP as u32) | (libc::POLLERR as u32);

/// Names one socket of one reactor. After [`crate::Reactor::close`] the id is stale for ever, also
/// when its slot is used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SocketId {
    /// Dense and reused: fit to index a table of the caller.
    pub slot: u32,
    /// Differs between two sockets that use the same slot.
    pub generation: u32,
}

impl SocketId {
    pub(crate) fn key(self) -> Key {
        Key { slot: self.slot, generation: self.generation }
    }
}

impl From<Key> for SocketId {
    fn from(key: Key) -> SocketId {
        SocketId { slot: key.slot, generation: key.generation }
    }
}

/// The answer to [`crate::Reactor::receive`].
#[derive(Debug)]
pub enum Received<'a> {
    /// At least one byte; valid until the reactor is used again.
    Bytes(&'a [u8]),
    /// Nothing is here; a `Readable` event will follow when something is.
    WouldBlock,
    /// The peer has sent all that it will send. It may still read.
    Closed,
    /// The connection is gone; `NotConnected` if the id is stale.
    Failed(io::Error),
}

/// The answer to [`crate::Reactor::send`].
#[derive(Debug)]
pub enum Sent {
    /// The kernel took everything.
    All,
    /// The kernel took so many bytes (perhaps 0); a `Writable` event will follow.
    Partial(usize),
    /// The connection is gone; `NotConnected` if the id is stale.
    Failed(io::Error),
}

/// One connected socket. Lives on one core from `adopt` to `close`.
pub(crate) struct Socket {
    stream: TcpStream,
    peer: SocketAddr,
    local: SocketAddr,
    /// The caller has been told `Readable` and has not yet emptied the socket.
    is_readable: bool,
    /// A poll for room to send is in the ring.
    pub(crate) is_write_armed: bool,
    has_hung_up: bool,
    has_peer_ended: bool,
    /// Something other than data was reported (end of stream, error). A read may then stop short
    /// of it, and no further event would tell.
    distrusts_short_reads: bool,
}

/// What a poll completion changed for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) became_readable: bool,
    pub(crate) hung_up: bool,
}

/// How a read ended, without the bytes.
pub(crate) enum ReadEnd {
    Bytes(usize),
    WouldBlock,
    Closed,
    Failed(io::Error),
}

impl Socket {
    pub(crate) fn adopt(fd: OwnedFd) -> io::Result<Socket> {
        let stream = TcpStream::from(fd);
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(Socket {
            peer: stream.peer_addr()?,
            local: stream.local_addr()?,
            stream,
            is_readable: false,
            is_write_armed: false,
            has_hung_up: false,
            has_peer_ended: false,
            distrusts_short_reads: false,
        })
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.stream.as_raw_fd()
    }

    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    pub(crate) fn local(&self) -> SocketAddr {
        self.local
    }

    pub(crate) fn is_readable(&self) -> bool {
        self.is_readable
    }

    pub(crate) fn has_peer_ended(&self) -> bool {
        self.has_peer_ended
    }

    pub(crate) fn shutdown_write(&self) -> io::Result<()> {
        self.stream.shutdown(std::net::Shutdown::Write)
    }

    /// Notes what the poll reported: an event mask, or a negative errno of the poll itself, after
    /// which only a read can tell the truth.
    pub(crate) fn handle_poll_result(&mut self, result: i32) -> Change {
        let mask = if result < 0 { libc::POLLIN as u32 } else { result as u32 };
        self.distrusts_short_reads |= mask != libc::POLLIN as u32;
        let is_dead = mask & DEAD_EVENTS != 0;
        let change =
            Change { became_readable: !self.is_readable, hung_up: is_dead && !self.has_hung_up };
        self.is_readable = true;
        self.has_hung_up |= is_dead;
        self.has_peer_ended |= is_dead || mask & libc::POLLRDHUP as u32 != 0;
        change
    }

    /// Reads once into `buffer`, and keeps track of whether the socket may hold more.
    pub(crate) fn receive(&mut self, buffer: &mut [u8]) -> ReadEnd {
        let end = read(&self.stream, buffer);
        self.is_readable = match end {
            ReadEnd::Bytes(count) => count == buffer.len() || self.distrusts_short_reads,
            _ => false,
        };
        end
    }

    pub(crate) fn send(&self, bytes: &[u8]) -> Sent {
        loop {
            match (&self.stream).write(bytes) {
                Ok(count) if count == bytes.len() => return Sent::All,
                Ok(count) => return Sent::Partial(count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Sent::Partial(0),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Sent::Failed(error),
            }
        }
    }
}

impl From<Socket> for OwnedFd {
    fn from(socket: Socket) -> OwnedFd {
        socket.stream.into()
    }
}

fn read(mut stream: &TcpStream, buffer: &mut [u8]) -> ReadEnd {
    loop {
        match stream.read(buffer) {
            Ok(0) => return ReadEnd::Closed,
            Ok(count) => return ReadEnd::Bytes(count),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return ReadEnd::WouldBlock,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return ReadEnd::Failed(error),
        }
    }
}
