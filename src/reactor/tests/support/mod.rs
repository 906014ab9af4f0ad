//! What the tests of the reactor share: waiting for events with a deadline, and an echo server.

#![allow(dead_code, reason = "each test binary uses its own part of this")]

use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use haremq_reactor::{
    CoreHandle, CorePlacement, Counters, Reactor, ReactorConfig, ReactorEvent, Received, Sent,
    SocketId, Wait, Waker, spawn_core,
};

/// Far longer than anything takes: who gets here has lost an event.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) fn localhost() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

pub(crate) fn reactor() -> Reactor {
    Reactor::new(ReactorConfig::default()).expect("the machine has io_uring")
}

/// Runs rounds until `select` finds its event among those that come.
pub(crate) fn await_event<T>(
    reactor: &mut Reactor,
    mut select: impl FnMut(ReactorEvent) -> Option<T>,
) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        while let Some(event) = reactor.poll_event() {
            if let Some(selected) = select(event) {
                return selected;
            }
        }
        let left = end.saturating_duration_since(Instant::now());
        assert!(!left.is_zero(), "the event did not come");
        reactor.wait(Wait::Until(left), || false);
    }
}

pub(crate) fn await_readable(reactor: &mut Reactor, id: SocketId) {
    await_event(reactor, |event| {
        matches!(event, ReactorEvent::Readable(readable) if readable == id).then_some(())
    });
}

/// Runs rounds for so long and returns what happened.
pub(crate) fn events_within(reactor: &mut Reactor, time: Duration) -> Vec<ReactorEvent> {
    let end = Instant::now() + time;
    let mut events = Vec::new();
    while let Some(left) = end.checked_duration_since(Instant::now()).filter(|d| !d.is_zero()) {
        reactor.wait(Wait::Until(left), || false);
        events.extend(std::iter::from_fn(|| reactor.poll_event()));
    }
    events
}

/// A connection through the reactor's own listener: the client's end, and ours as it was accepted.
pub(crate) fn accepted_pair(reactor: &mut Reactor) -> (TcpStream, OwnedFd) {
    let (listener, address) = reactor.listen(localhost()).expect("a free port");
    let client = TcpStream::connect(address).expect("the backlog takes it");
    let fd = await_event(reactor, |event| match event {
        ReactorEvent::Accepted(fd, peer, from) => {
            assert_eq!((Some(peer), from), (client.local_addr().ok(), listener));
            Some(fd)
        }
        _ => None,
    });
    reactor.close_listener(listener);
    (client, fd)
}

/// The same, with our end adopted.
pub(crate) fn connected_pair(reactor: &mut Reactor) -> (TcpStream, SocketId) {
    let (client, fd) = accepted_pair(reactor);
    let id = reactor.adopt(fd).expect("the client is still there");
    (client, id)
}

/// How the echo server ended.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) counters: Counters,
    pub(crate) accepted: usize,
    /// Connections that ended in order.
    pub(crate) closed: usize,
    /// Connections that failed.
    pub(crate) failed: usize,
}

/// A core loop that sends back what it receives.
pub(crate) struct EchoServer {
    pub(crate) address: SocketAddr,
    waker: Waker,
    is_stopping: Arc<AtomicBool>,
    partial_sends: Arc<AtomicUsize>,
    core: CoreHandle<Outcome>,
}

impl EchoServer {
    pub(crate) fn start(config: ReactorConfig) -> EchoServer {
        let is_stopping = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&is_stopping);
        let partial_sends = Arc::new(AtomicUsize::new(0));
        let partial = Arc::clone(&partial_sends);
        let (sender, receiver) = mpsc::channel();
        let placement = CorePlacement { cpu: Some(0), name: "echo".to_owned() };
        let core = spawn_core(placement, move || {
            let mut reactor = Reactor::new(config).expect("the machine has io_uring");
            let (_, address) = reactor.listen(localhost()).expect("a free port");
            sender.send((address, reactor.waker())).expect("the test waits for the address");
            let (connections, outcome) = (Vec::new(), Outcome::default());
            EchoLoop { reactor, connections, outcome, partial_sends: partial }.run(&stop)
        });
        let core = core.expect("the machine is fit");
        let (address, waker) = receiver.recv_timeout(DEADLINE).expect("the core starts");
        EchoServer { address, waker, is_stopping, partial_sends, core }
    }

    /// How often the kernel did not take all that was to be sent.
    pub(crate) fn partial_sends(&self) -> usize {
        self.partial_sends.load(Ordering::Relaxed)
    }

    /// Ends the loop once all connections are gone.
    pub(crate) fn stop(self) -> Outcome {
        self.is_stopping.store(true, Ordering::Release);
        self.waker.wake();
        self.core.join().expect("the core loop ends in order")
    }
}

/// The most that one connection may receive per round: small, so that much is left for later.
const BUDGET_BYTES: usize = 4096;

struct Connection {
    id: SocketId,
    unsent: Vec<u8>,
    has_ended: bool,
}

struct EchoLoop {
    reactor: Reactor,
    connections: Vec<Option<Connection>>,
    outcome: Outcome,
    partial_sends: Arc<AtomicUsize>,
}

impl EchoLoop {
    fn run(mut self, is_stopping: &AtomicBool) -> Outcome {
        while !(is_stopping.load(Ordering::Acquire) && self.is_empty()) {
            let wait = if self.has_readable() { Wait::Now } else { Wait::Forever };
            self.reactor.wait(wait, || is_stopping.load(Ordering::SeqCst));
            while let Some(event) = self.reactor.poll_event() {
                self.handle_event(event);
            }
            for slot in 0..self.connections.len() {
                self.serve(slot);
            }
        }
        self.outcome.counters = self.reactor.counters();
        self.outcome
    }

    fn is_empty(&self) -> bool {
        self.connections.iter().all(Option::is_none)
    }

    fn has_readable(&self) -> bool {
        let mut reading = self.connections.iter().flatten().filter(|c| c.unsent.is_empty());
        reading.any(|connection| self.reactor.is_readable(connection.id))
    }

    fn handle_event(&mut self, event: ReactorEvent) {
        match event {
            ReactorEvent::Accepted(fd, ..) => {
                self.outcome.accepted += 1;
                match self.reactor.adopt(fd) {
                    Ok(id) => self.insert(id),
                    Err(_) => self.outcome.failed += 1,
                }
            }
            ReactorEvent::Writable(id) => self.flush(id.slot as usize),
            ReactorEvent::Readable(_) | ReactorEvent::HungUp(_) | ReactorEvent::Woken => {}
            unexpected => panic!("{unexpected:?}"),
        }
    }

    fn insert(&mut self, id: SocketId) {
        let slot = id.slot as usize;
        self.connections.resize_with(self.connections.len().max(slot + 1), || None);
        let connection = Connection { id, unsent: Vec::new(), has_ended: false };
        assert!(self.connections[slot].replace(connection).is_none());
    }

    /// Reads once, unless the client does not take what it has sent.
    fn serve(&mut self, slot: usize) {
        let Some(connection) = &mut self.connections[slot] else { return };
        if !connection.unsent.is_empty() || !self.reactor.is_readable(connection.id) {
            return;
        }
        match self.reactor.receive(connection.id, BUDGET_BYTES) {
            Received::Bytes(bytes) => connection.unsent.extend_from_slice(bytes),
            Received::WouldBlock => {}
            Received::Closed => connection.has_ended = true,
            Received::Failed(_) => return self.fail(slot),
        }
        self.flush(slot);
    }

    fn flush(&mut self, slot: usize) {
        let Some(connection) = &mut self.connections[slot] else { return };
        if !connection.unsent.is_empty() {
            match self.reactor.send(connection.id, &connection.unsent) {
                Sent::All => connection.unsent.clear(),
                Sent::Partial(count) => {
                    self.partial_sends.fetch_add(1, Ordering::Relaxed);
                    connection.unsent.drain(..count);
                }
                Sent::Failed(_) => return self.fail(slot),
            }
        }
        if connection.has_ended && connection.unsent.is_empty() {
            self.reactor.shutdown(connection.id);
            self.reactor.close(connection.id);
            self.connections[slot] = None;
            self.outcome.closed += 1;
        }
    }

    fn fail(&mut self, slot: usize) {
        let connection = self.connections[slot].take().expect("it was just used");
        self.reactor.close(connection.id);
        self.outcome.failed += 1;
    }
}
