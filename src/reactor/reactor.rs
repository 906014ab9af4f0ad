//! The reactor: one core's sockets, listeners and files behind one ring.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::time::Duration;

use crate::listener::{LISTEN_EVENTS, Listener, ListenerId};
use crate::machine::MachineProblem;
use crate::ring::{Completion, RingSupport, Uring};
use crate::slots::Slots;
use crate::socket::{READ_EVENTS, ReadEnd, Received, Sent, Socket, SocketId, WRITE_EVENTS};
use crate::token::{Key, Kind, Token};
use crate::waker::Waker;

/// What a reactor is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReactorConfig {
    /// Size of the one buffer that all sockets of the core receive into; the most that one
    /// `receive` returns.
    pub receive_buffer_bytes: usize,
    /// Requests that fit into one submission. More of them cost an extra kernel entry.
    pub ring_entries: u32,
    /// Completions that fit into the ring unread; about the number of connections is right, at
    /// most 65,536. When more happens at once the kernel keeps the rest, only slower.
    pub completion_entries: u32,
    /// The CPU on which the kernel runs file syncs; `None` leaves them on the core's own, where
    /// they wait while it is busy.
    pub sync_cpu: Option<usize>,
    /// Use a [`RingSupport::Deferred`] ring where the kernel has it. Off only for comparison.
    pub deferred_completions: bool,
}

impl Default for ReactorConfig {
    fn default() -> ReactorConfig {
        ReactorConfig {
            receive_buffer_bytes: 128 * 1024,
            ring_entries: 1024,
            completion_entries: 16 * 1024,
            sync_cpu: None,
            deferred_completions: true,
        }
    }
}

/// Why there is no reactor.
#[derive(Debug, thiserror::Error)]
pub enum ReactorError {
    /// The kernel refuses a ring.
    #[error(transparent)]
    Ring(#[from] MachineProblem),
    /// The eventfd for wake-ups could not be made.
    #[error("no eventfd for wake-ups: {0}; raise the limit of open files (ulimit -n)")]
    Waker(#[source] io::Error),
    /// `sync_cpu` cannot be used.
    #[error("file syncs cannot run on CPU {cpu}: {source}; choose another CPU or none")]
    SyncCpu {
        /// The CPU that was asked for.
        cpu: usize,
        /// What the kernel says.
        source: io::Error,
    },
}

/// How long [`Reactor::wait`] may sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Not at all: only collect what has happened.
    Now,
    /// At most so long from now, in nanosecond resolution.
    Until(Duration),
    /// Until something happens.
    Forever,
}

/// Names one file of one reactor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileId(Key);

/// What has happened since the caller last looked.
#[derive(Debug)]
pub enum ReactorEvent {
    /// A connection was taken: its descriptor, the peer's address, and the listener that took it.
    /// Any reactor, also of another core, can adopt it.
    Accepted(OwnedFd, SocketAddr, ListenerId),
    /// Accepting failed (mostly: no descriptor is left). It is tried again after 10 ms, and until
    /// it works there is one such event per attempt.
    AcceptFailed(io::Error),
    /// There is something to receive: data, the end of the stream, or an error.
    Readable(SocketId),
    /// There is room again after a partial send.
    Writable(SocketId),
    /// Both directions have ended, for instance by a reset. What had arrived before may still be
    /// received. Comes once, after `Readable`, also to a caller that is not reading.
    HungUp(SocketId),
    /// The sync with this token has ended. After an error nobody knows what is on the medium.
    Synced(FileId, u64, io::Result<()>),
    /// A [`Waker`] found this core asleep.
    Woken,
}

/// Plain totals since the reactor was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// `recv` calls.
    pub receives: u64,
    /// Bytes received.
    pub received_bytes: u64,
    /// `send` calls.
    pub sends: u64,
    /// Bytes that the kernel took.
    pub sent_bytes: u64,
    /// `io_uring_enter` calls.
    pub enters: u64,
}

struct PendingSync {
    file: FileId,
    token: u64,
}

/// One core's contact with the kernel. Exists once per core, lives on the thread that made it, and
/// is used in rounds: [`wait`](Reactor::wait), [`poll_event`](Reactor::poll_event) until `None`,
/// then receive, send and sync.
///
/// **Reading.** `Readable` is told once and not again while data remains: it puts the socket into
/// the caller's hands. The caller keeps it in a set of readable sockets and calls
/// [`receive`](Reactor::receive), in this round or in later ones, until
/// [`is_readable`](Reactor::is_readable) is false: that is after `WouldBlock`, `Closed` or
/// `Failed`, and mostly already after a read that is shorter than asked for. A caller that pauses
/// a connection just does not call `receive`; the socket stays in its set. While the set holds
/// sockets that are not paused the caller waits with [`Wait::Now`].
///
/// **Writing.** After [`Sent::Partial`] the caller keeps the rest and sends it when `Writable`
/// comes.
pub struct Reactor {
    ring: Uring,
    waker: Waker,
    sockets: Slots<Socket>,
    listeners: Slots<Listener>,
    files: Slots<File>,
    syncs: Slots<PendingSync>,
    events: VecDeque<ReactorEvent>,
    /// Multishot requests that have ended and are to be submitted again.
    ended: Vec<Token>,
    /// Descriptors that unsubmitted requests may still name; closed after the next submission.
    closing: Vec<OwnedFd>,
    receive_buffer: Box<[u8]>,
    counters: Counters,
    /// The ring accepts requests only from the thread that made it.
    not_send: PhantomData<*const ()>,
}

impl Reactor {
    /// Makes the ring of the calling thread.
    ///
    /// # Errors
    /// [`ReactorError`], with what to do about it.
    pub fn new(config: ReactorConfig) -> Result<Reactor, ReactorError> {
        assert!(config.receive_buffer_bytes > 0);
        assert!(config.ring_entries > 0);
        assert!(config.completion_entries >= config.ring_entries);
        let ring = if config.deferred_completions { Uring::new } else { Uring::new_plain };
        let mut ring = ring(config.ring_entries, config.completion_entries)
            .map_err(MachineProblem::from_ring_error)?;
        if let Some(cpu) = config.sync_cpu {
            ring.place_workers(cpu).map_err(|source| ReactorError::SyncCpu { cpu, source })?;
        }
        let waker = Waker::new().map_err(ReactorError::Waker)?;
        ring.poll_multishot(waker.fd(), LISTEN_EVENTS, Token::single(Kind::WakePoll));
        Ok(Reactor {
            ring,
            waker,
            sockets: Slots::new(),
            listeners: Slots::new(),
            files: Slots::new(),
            syncs: Slots::new(),
            events: VecDeque::new(),
            ended: Vec::new(),
            closing: Vec::new(),
            receive_buffer: vec![0; config.receive_buffer_bytes].into_boxed_slice(),
            counters: Counters::default(),
            not_send: PhantomData,
        })
    }

    /// Ends this core's sleep from any thread.
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Which kind of ring the kernel gave.
    pub fn ring_support(&self) -> RingSupport {
        self.ring.support()
    }

    /// Totals since the start.
    pub fn counters(&self) -> Counters {
        Counters { enters: self.ring.enters(), ..self.counters }
    }

    // Listeners.

    /// Listens on `address` (port 0: any free one) and returns the address that was bound. `[::]`
    /// takes IPv4 connections as well, unless the system says otherwise (`bindv6only`).
    ///
    /// # Errors
    /// What `bind` and `listen` say; `AddrInUse` if anybody else listens there.
    pub fn listen(&mut self, address: SocketAddr) -> io::Result<(ListenerId, SocketAddr)> {
        let (listener, bound) = Listener::bind(address)?;
        let fd = listener.fd();
        let key = self.listeners.insert(listener);
        self.ring.poll_multishot(fd, LISTEN_EVENTS, Token::new(Kind::ListenPoll, key));
        Ok((ListenerId(key), bound))
    }

    /// Stops listening. The port is free after the next [`wait`](Reactor::wait); connections that
    /// were not yet accepted are reset. Does nothing if the id is stale.
    pub fn close_listener(&mut self, id: ListenerId) {
        if let Some(listener) = self.listeners.remove(id.0) {
            self.ring.cancel(Token::new(Kind::ListenPoll, id.0));
            self.closing.push(listener.into());
        }
    }

    // Sockets.

    /// Takes over a connected TCP socket, accepted here or elsewhere, or connected by the caller.
    /// `Readable` follows if data is there already.
    ///
    /// # Errors
    /// `NotConnected` and the like if the connection has ended meanwhile; `fd` is then closed.
    pub fn adopt(&mut self, fd: OwnedFd) -> io::Result<SocketId> {
        let socket = Socket::adopt(fd)?;
        let fd = socket.fd();
        let key = self.sockets.insert(socket);
        self.ring.poll_multishot(fd, READ_EVENTS, Token::new(Kind::ReadPoll, key));
        Ok(key.into())
    }

    /// The peer's address; `None` if the id is stale.
    pub fn peer(&self, id: SocketId) -> Option<SocketAddr> {
        self.sockets.get(id.key()).map(Socket::peer)
    }

    /// Our own address on this connection; `None` if the id is stale.
    pub fn local(&self, id: SocketId) -> Option<SocketAddr> {
        self.sockets.get(id.key()).map(Socket::local)
    }

    /// The socket may hold more to receive, and no event will say so: it is in the caller's hands.
    pub fn is_readable(&self, id: SocketId) -> bool {
        self.sockets.get(id.key()).is_some_and(Socket::is_readable)
    }

    /// The peer has sent all that it will send; some of it may not have been received yet. For
    /// callers that do not receive at present, and so do not come to the end.
    pub fn has_peer_ended(&self, id: SocketId) -> bool {
        self.sockets.get(id.key()).is_some_and(Socket::has_peer_ended)
    }

    /// Reads once, up to `limit` bytes and never more than the receive buffer, without waiting.
    pub fn receive(&mut self, id: SocketId, limit: usize) -> Received<'_> {
        assert!(limit > 0);
        let Some(socket) = self.sockets.get_mut(id.key()) else {
            return Received::Failed(ErrorKind::NotConnected.into());
        };
        let limit = limit.min(self.receive_buffer.len());
        self.counters.receives += 1;
        match socket.receive(&mut self.receive_buffer[..limit]) {
            ReadEnd::Bytes(count) => {
                self.counters.received_bytes += count as u64;
                Received::Bytes(&self.receive_buffer[..count])
            }
            ReadEnd::WouldBlock => Received::WouldBlock,
            ReadEnd::Closed => Received::Closed,
            ReadEnd::Failed(error) => Received::Failed(error),
        }
    }

    /// Hands bytes to the kernel, as many as it takes without waiting.
    pub fn send(&mut self, id: SocketId, bytes: &[u8]) -> Sent {
        let Some(socket) = self.sockets.get_mut(id.key()) else {
            return Sent::Failed(ErrorKind::NotConnected.into());
        };
        self.counters.sends += 1;
        let sent = socket.send(bytes);
        match sent {
            Sent::All => self.counters.sent_bytes += bytes.len() as u64,
            Sent::Partial(count) => {
                self.counters.sent_bytes += count as u64;
                if !socket.is_write_armed {
                    socket.is_write_armed = true;
                    let token = Token::new(Kind::WritePoll, id.key());
                    self.ring.poll_once(socket.fd(), WRITE_EVENTS, token);
                }
            }
            Sent::Failed(_) => {}
        }
        sent
    }

    /// Ends our direction: the peer sees the end of the stream after all that was sent. Receiving
    /// goes on. To close without losing what was sent last, shut down, receive until `Closed` (or
    /// a deadline), then close. Does nothing if the id is stale or the connection has ended.
    pub fn shutdown(&mut self, id: SocketId) {
        if let Some(socket) = self.sockets.get(id.key()) {
            // It can only fail because the connection has ended, which `receive` tells.
            let _ = socket.shutdown_write();
        }
    }

    /// Gives the socket up; the connection ends with the next [`wait`](Reactor::wait), by a reset
    /// if something was not received. The id is stale from now on: no event names it any more.
    /// Does nothing if it was stale before.
    pub fn close(&mut self, id: SocketId) {
        if let Some(socket) = self.sockets.remove(id.key()) {
            self.ring.cancel(Token::new(Kind::ReadPoll, id.key()));
            if socket.is_write_armed {
                self.ring.cancel(Token::new(Kind::WritePoll, id.key()));
            }
            self.closing.push(socket.into());
        }
    }

    // Files.

    /// Takes over a file that is open for writing.
    pub fn adopt_file(&mut self, file: File) -> FileId {
        FileId(self.files.insert(file))
    }

    /// The file itself, for what is rare: its length, preallocation, reading it again.
    ///
    /// # Panics
    /// If it was closed: who has an id owns the file.
    pub fn file(&self, id: FileId) -> &File {
        self.files.get(id.0).expect("the file has not been closed")
    }

    /// Writes all of `bytes` at `offset`, to the kernel's cache and not to the medium.
    ///
    /// # Errors
    /// What `pwrite` says, for instance that the disk is full; any part of `bytes` may then have
    /// been written.
    ///
    /// # Panics
    /// If the file was closed.
    pub fn write_at(&mut self, id: FileId, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file(id).write_all_at(bytes, offset)
    }

    /// Asks for everything written so far to be brought to the medium (`fdatasync`). The request
    /// leaves with the next [`wait`](Reactor::wait); `Synced` with `token` follows.
    ///
    /// # Panics
    /// If the file was closed.
    pub fn sync(&mut self, id: FileId, token: u64) {
        let fd = self.file(id).as_raw_fd();
        let key = self.syncs.insert(PendingSync { file: id, token });
        self.ring.sync_data(fd, Token::new(Kind::Sync, key));
    }

    /// Closes the file. A sync that is under way still ends and is told. Does nothing if it was
    /// closed before.
    pub fn close_file(&mut self, id: FileId) {
        if let Some(file) = self.files.remove(id.0) {
            self.closing.push(file.into());
        }
    }

    // The round.

    /// The one entry into the kernel of a round: submits what has gathered, sleeps until something
    /// happens or `wait` is over, and collects what has happened. May return earlier. Does not
    /// sleep while events have not been polled.
    ///
    /// `has_work` looks into the caller's inboxes. It is called once, after the core has announced
    /// its sleep and before it sleeps, and not at all if it is not to sleep: see [`Waker`].
    pub fn wait(&mut self, wait: Wait, has_work: impl FnOnce() -> bool) {
        match self.sleep_max(wait) {
            Some(Duration::ZERO) => self.ring.enter(),
            timeout => self.sleep(timeout, has_work),
        }
        if self.ring.is_submitted() {
            self.closing.clear();
        }
        self.collect();
        self.accept();
    }

    /// The next event; `None` when all have been told.
    pub fn poll_event(&mut self) -> Option<ReactorEvent> {
        loop {
            let event = self.events.pop_front()?;
            let id = match &event {
                ReactorEvent::Readable(id)
                | ReactorEvent::Writable(id)
                | ReactorEvent::HungUp(id) => id,
                _ => return Some(event),
            };
            // The caller may have closed the socket since the event was noted.
            if self.sockets.get(id.key()).is_some() {
                return Some(event);
            }
        }
    }

    /// `None` is for ever.
    fn sleep_max(&self, wait: Wait) -> Option<Duration> {
        let asked = match wait {
            Wait::Now => return Some(Duration::ZERO),
            _ if !self.events.is_empty() => return Some(Duration::ZERO),
            Wait::Until(timeout) => Some(timeout),
            Wait::Forever => None,
        };
        let accepting = self.listeners.iter().filter_map(|(_, listener)| listener.sleep_max());
        accepting.chain(asked).min()
    }

    fn sleep(&mut self, timeout: Option<Duration>, has_work: impl FnOnce() -> bool) {
        self.waker.announce_sleep();
        if has_work() {
            self.ring.enter();
        } else {
            self.ring.enter_and_sleep(timeout);
        }
        self.waker.retract_sleep();
    }

    fn collect(&mut self) {
        while let Some(completion) = self.ring.poll_completion() {
            self.handle_completion(completion);
        }
        while let Some(token) = self.ended.pop() {
            self.poll_again(token);
        }
    }

    fn handle_completion(&mut self, completion: Completion) {
        let Completion { token, result, has_more } = completion;
        match token.kind {
            Kind::ReadPoll => self.handle_read_poll(token.key, result),
            Kind::WritePoll => return self.handle_write_poll(token.key),
            Kind::ListenPoll => {
                if let Some(listener) = self.listeners.get_mut(token.key) {
                    listener.handle_poll_result();
                }
            }
            Kind::Sync => return self.handle_sync_end(token.key, result),
            Kind::WakePoll => self.events.push_back(ReactorEvent::Woken),
            Kind::Cancel => return,
        }
        if !has_more {
            self.ended.push(token);
        }
    }

    fn handle_read_poll(&mut self, key: Key, result: i32) {
        let Some(socket) = self.sockets.get_mut(key) else { return };
        let change = socket.handle_poll_result(result);
        if change.became_readable {
            self.events.push_back(ReactorEvent::Readable(key.into()));
        }
        if change.hung_up {
            self.events.push_back(ReactorEvent::HungUp(key.into()));
        }
    }

    /// Also an error of the poll means: send again, and see.
    fn handle_write_poll(&mut self, key: Key) {
        let Some(socket) = self.sockets.get_mut(key) else { return };
        socket.is_write_armed = false;
        self.events.push_back(ReactorEvent::Writable(key.into()));
    }

    fn handle_sync_end(&mut self, key: Key, result: i32) {
        let sync = self.syncs.remove(key).expect("a sync ends once");
        let result = match result {
            0.. => Ok(()),
            errno => Err(io::Error::from_raw_os_error(-errno)),
        };
        self.events.push_back(ReactorEvent::Synced(sync.file, sync.token, result));
    }

    /// A multishot poll ends when the kernel is short of room or memory, or is cancelled. Armed
    /// again, it reports at once what holds, so nothing that happened between is lost.
    fn poll_again(&mut self, token: Token) {
        let (fd, events) = match token.kind {
            Kind::ReadPoll => (self.sockets.get(token.key).map(Socket::fd), READ_EVENTS),
            Kind::ListenPoll => (self.listeners.get(token.key).map(Listener::fd), LISTEN_EVENTS),
            Kind::WakePoll => (Some(self.waker.fd()), LISTEN_EVENTS),
            Kind::WritePoll | Kind::Sync | Kind::Cancel => unreachable!("these have one shot"),
        };
        if let Some(fd) = fd {
            self.ring.poll_multishot(fd, events, token);
        }
    }

    fn accept(&mut self) {
        let Reactor { listeners, events, .. } = self;
        for (key, listener) in listeners.iter_mut() {
            listener.accept(|attempt| {
                events.push_back(match attempt {
                    Ok((fd, peer)) => ReactorEvent::Accepted(fd, peer, ListenerId(key)),
                    Err(error) => ReactorEvent::AcceptFailed(error),
                });
            });
        }
    }
}

impl Drop for Reactor {
    /// Polls hold their files: without this a port would stay taken, and peers connected, until
    /// the kernel has taken the ring apart in the background.
    fn drop(&mut self) {
        let sockets: Vec<_> = self.sockets.iter().map(|(key, _)| SocketId::from(key)).collect();
        let listeners: Vec<_> = self.listeners.iter().map(|(key, _)| ListenerId(key)).collect();
        listeners.into_iter().for_each(|id| self.close_listener(id));
        sockets.into_iter().for_each(|id| self.close(id));
        self.ring.enter();
    }
}
