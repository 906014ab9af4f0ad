//! One core's loop: wait once, take in what has come, let the shard decide, send what it has.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use haremq_broker::ids::{ShardId, Time};
use haremq_reactor::{ListenerId, Reactor, ReactorEvent, Received, Sent, SocketId, Wait};
use haremq_shard::{ConnectionSlot, Effect, Event, Peer, Report, ReportKind, Shard};

use crate::links::{CoreLinks, Dealt};
use crate::report_log::ReportLog;
use crate::shared::Shared;
use crate::sockets::Sockets;

/// What one connection may read in one round, in bytes.
const READ_BYTES_PER_ROUND: usize = 64 << 10;
/// Letters of the catalog writer taken in one round.
const LETTERS_PER_ROUND: usize = 1024;
/// Batches that one peer may have read in one round.
const BATCHES_PER_ROUND: usize = 8;
/// How long a core sleeps at most while a full ring holds back its parcels.
const FULL_RING_SLEEP: Duration = Duration::from_millis(1);
/// How long a closed socket is read on, so that the peer gets what was sent last.
const LINGER: Duration = Duration::from_secs(1);
/// Reads in a row that are thrown away for a socket that was closed.
const DISCARDED_READS_MAX: usize = 4;
/// A warning that would repeat itself comes once in this time.
const WARNING_PERIOD: Duration = Duration::from_secs(10);
/// How long stopping may take before the rest is cut off.
const STOP_PATIENCE: Duration = Duration::from_secs(8);
/// Publishers resume when memory has fallen to this share of the limit, in percent.
const RESUME_PERCENT: u64 = 90;

/// A core with all that it owns. Lives on its thread from start to end of the process.
pub(crate) struct CoreLoop {
    pub(crate) shard: Shard,
    pub(crate) reactor: Reactor,
    pub(crate) links: CoreLinks,
    pub(crate) shared: Arc<Shared>,
    pub(crate) listeners: Vec<ListenerId>,
    /// The time at which the process's clock started.
    pub(crate) epoch: Instant,
    pub(crate) spin: Duration,
    sockets: Sockets,
    lingering: VecDeque<(SocketId, Instant)>,
    next_core: usize,
    busy_until: Option<Instant>,
    is_over_limit: bool,
    has_held_batches: bool,
    has_held_letters: bool,
    stopping_since: Option<Instant>,
    accept_warned_at: Option<Instant>,
    /// By kind of report.
    report_logs: [ReportLog; ReportKind::ALL.len()],
    has_drained: bool,
}

impl CoreLoop {
    pub(crate) fn new(
        shard: Shard,
        reactor: Reactor,
        links: CoreLinks,
        shared: Arc<Shared>,
        epoch: Instant,
        spin: Duration,
    ) -> CoreLoop {
        CoreLoop {
            shard,
            reactor,
            links,
            shared,
            listeners: Vec::new(),
            epoch,
            spin,
            sockets: Sockets::default(),
            lingering: VecDeque::new(),
            next_core: 0,
            busy_until: None,
            is_over_limit: false,
            has_held_batches: false,
            has_held_letters: false,
            stopping_since: None,
            accept_warned_at: None,
            report_logs: Default::default(),
            has_drained: false,
        }
    }

    /// Runs until the broker stops. Returns how many connections were cut off.
    pub(crate) fn run(mut self) -> u64 {
        loop {
            let wait = self.wait_for();
            self.samples().is_busy.store(false, Ordering::Relaxed);
            let (links, shared) = (&self.links, &self.shared);
            let is_stop_new = self.stopping_since.is_none();
            self.reactor
                .wait(wait, || links.has_inbound() || (is_stop_new && shared.is_stopping()));
            self.samples().is_busy.store(true, Ordering::Relaxed);
            self.round();
            if self.is_finished() {
                self.end_reports();
                return self.sockets.len() as u64;
            }
        }
    }

    fn round(&mut self) {
        let now = self.now();
        let mut has_work = false;
        while let Some(event) = self.reactor.poll_event() {
            has_work = true;
            self.handle_event(event, now);
        }
        has_work |= self.take_letters(now);
        has_work |= self.take_dealt(now);
        has_work |= self.read_sockets(now);
        has_work |= self.exchange_batches(now);
        self.check_stop(now);
        self.shard.handle(Event::TickEnded, now);
        has_work |= self.carry_out_effects(now);
        self.log_reports();
        self.send_letters();
        self.send_batches();
        self.end_lingering();
        self.end_forsaken(now);
        self.sample();
        self.check_memory(now);
        if has_work && !self.spin.is_zero() {
            self.busy_until = Some(Instant::now() + self.spin);
        }
    }

    /// How long the next wait may be.
    fn wait_for(&self) -> Wait {
        if self.shard.has_work() || self.sockets.readable_count() > 0 {
            return Wait::Now;
        }
        if self.busy_until.is_some_and(|until| Instant::now() < until) {
            return Wait::Now;
        }
        let deadline = self.shard.next_deadline().map(|at| {
            let at = self.epoch + Duration::from_millis(at.0);
            at.saturating_duration_since(Instant::now())
        });
        let is_held = self.has_held_batches || self.has_held_letters;
        let held = is_held.then_some(FULL_RING_SLEEP);
        let lingering = self
            .lingering
            .front()
            .map(|(_, until)| until.saturating_duration_since(Instant::now()));
        let look = self.sockets.next_look().map(|at| at.saturating_duration_since(Instant::now()));
        let stopping = self.stopping_since.map(|_| Duration::from_millis(10));
        let reports = self
            .report_logs
            .iter()
            .filter_map(|log| Some(log.deadline()?.saturating_duration_since(Instant::now())));
        let sleeps = deadline.into_iter().chain(held).chain(lingering).chain(look).chain(stopping);
        let sleeps = sleeps.chain(reports);
        match sleeps.min() {
            Some(Duration::ZERO) => Wait::Now,
            Some(sleep) => Wait::Until(sleep),
            None => Wait::Forever,
        }
    }

    /// Milliseconds since the start, rounded down: nothing expires early.
    fn now(&self) -> Time {
        Time(u64::try_from(self.epoch.elapsed().as_millis()).expect("fits for ages"))
    }

    fn handle_event(&mut self, event: ReactorEvent, now: Time) {
        match event {
            ReactorEvent::Accepted(fd, peer, _) => self.deal((fd, peer), now),
            ReactorEvent::AcceptFailed(error) => self.warn_of_accept(&error),
            ReactorEvent::Readable(socket) => match self.sockets.connection(socket) {
                Some(slot) => self.sockets.list(slot),
                None => self.discard_input(socket),
            },
            ReactorEvent::Writable(socket) => {
                if let Some(slot) = self.sockets.connection(socket) {
                    self.sockets.entry(slot).awaits_writable = false;
                    self.send(slot, socket, now);
                }
            }
            ReactorEvent::HungUp(socket) => {
                // A socket that is read finds out by itself, after what came before.
                if let Some(slot) = self.sockets.connection(socket)
                    && self.sockets.entry(slot).is_stopped
                {
                    self.disconnect(slot, now);
                }
            }
            ReactorEvent::Synced(_, _, result) => {
                // Whether it is on the medium is unknown after an error: nothing may be
                // confirmed any more.
                result.expect("the log could not be synced");
            }
            ReactorEvent::Woken => {}
        }
    }

    fn log_reports(&mut self) {
        while let Some(report) = self.shard.poll_report() {
            if self.report_logs[report.kind() as usize].admit(Instant::now()) {
                log_report(&report);
            }
        }
        for kind in ReportKind::ALL {
            let log = &mut self.report_logs[kind as usize];
            log.suppress(self.shard.take_suppressed_reports(kind), Instant::now());
            if log.deadline().is_some()
                && let Some(count) = log.poll_suppressed(Instant::now())
            {
                log_suppressed(kind, count);
            }
        }
    }

    /// The loop ends: what was left out of the log is told of now.
    fn end_reports(&mut self) {
        for kind in ReportKind::ALL {
            if let Some(count) = self.report_logs[kind as usize].take_suppressed() {
                log_suppressed(kind, count);
            }
        }
    }

    /// Accepting is tried again many times a second; once is said.
    fn warn_of_accept(&mut self, error: &std::io::Error) {
        let now = Instant::now();
        if self.accept_warned_at.is_none_or(|at| now - at >= WARNING_PERIOD) {
            self.accept_warned_at = Some(now);
            tracing::warn!(%error, "connections cannot be accepted; is the limit of open files (ulimit -n) reached?");
        }
    }

    /// Gives a new connection to the next core in turn.
    fn deal(&mut self, (fd, peer): Dealt, now: Time) {
        let core = self.next_core;
        self.next_core = (core + 1) % self.shared.cores.len();
        let shard = ShardId(u16::try_from(core).expect("made for a u16 of shards"));
        if shard == self.links.shard {
            return self.adopt(fd, peer, now);
        }
        match self.links.dealing[core].push((fd, peer)) {
            Ok(()) => self.links.wake(shard),
            Err(rtrb::PushError::Full((fd, peer))) => self.adopt(fd, peer, now),
        }
    }

    fn take_dealt(&mut self, now: Time) -> bool {
        let mut has_some = false;
        while let Some((fd, peer)) = self.links.dealt.as_mut().and_then(|dealt| dealt.pop().ok()) {
            has_some = true;
            self.adopt(fd, peer, now);
        }
        has_some
    }

    fn adopt(&mut self, fd: OwnedFd, peer: SocketAddr, now: Time) {
        let Ok(socket) = self.reactor.adopt(fd) else {
            return; // It ended before it began.
        };
        let local = self.reactor.local(socket).expect("just adopted");
        let (peer, local) = (plain(peer), plain(local));
        let connection = self.sockets.insert(socket);
        let peer =
            Peer { name: format!("{peer} -> {local}"), is_loopback: peer.ip().is_loopback() };
        tracing::debug!(connection = peer.name, "accepted");
        self.shard.handle(Event::Accepted { connection, peer }, now);
        self.carry_out_effects(now);
    }

    /// Reads each socket that has something, up to its budget.
    fn read_sockets(&mut self, now: Time) -> bool {
        let count = self.sockets.readable_count();
        for _ in 0..count {
            if let Some((slot, socket)) = self.sockets.next_readable() {
                self.read_socket(slot, socket, now);
            }
        }
        count > 0
    }

    fn read_socket(&mut self, slot: ConnectionSlot, socket: SocketId, now: Time) {
        let mut budget = READ_BYTES_PER_ROUND;
        while budget > 0 && self.reactor.is_readable(socket) {
            match self.reactor.receive(socket, budget) {
                Received::Bytes(bytes) => {
                    budget -= bytes.len();
                    let event = Event::Received { connection: slot, bytes };
                    self.shard.handle(event, now);
                    self.carry_out_effects(now);
                    // It may have been stopped or closed by what it sent.
                    if self.sockets.connection(socket) != Some(slot)
                        || self.sockets.entry(slot).is_stopped
                    {
                        return;
                    }
                }
                Received::WouldBlock => return,
                Received::Closed | Received::Failed(_) => return self.disconnect(slot, now),
            }
        }
        if self.reactor.is_readable(socket) {
            self.sockets.list(slot);
        }
    }

    fn disconnect(&mut self, slot: ConnectionSlot, now: Time) {
        self.shard.handle(Event::Disconnected { connection: slot }, now);
        self.carry_out_effects(now);
    }

    /// Does what the shard asks for. Returns whether there was anything.
    fn carry_out_effects(&mut self, now: Time) -> bool {
        let mut has_some = false;
        while let Some(effect) = self.shard.poll_effect() {
            has_some = true;
            match effect {
                Effect::Send(slot) => {
                    let entry = self.sockets.entry(slot);
                    if let (Some(socket), false) = (entry.socket, entry.awaits_writable) {
                        self.send(slot, socket, now);
                    }
                }
                Effect::StopReading(slot) => self.sockets.stop(slot, Instant::now()),
                Effect::StartReading(slot) => self.start_reading(slot),
                Effect::CloseSocket(slot) => self.close_socket(slot),
                Effect::Forget(slot) => self.sockets.remove(slot),
                // Nothing is written yet: there is nothing that a sync would have to wait for.
                Effect::Sync(lsn) => self.shard.handle(Event::LogSynced(lsn), now),
            }
        }
        has_some
    }

    fn start_reading(&mut self, slot: ConnectionSlot) {
        let entry = self.sockets.entry(slot);
        entry.is_stopped = false;
        if entry.socket.is_some_and(|socket| self.reactor.is_readable(socket)) {
            self.sockets.list(slot);
        }
    }

    fn send(&mut self, slot: ConnectionSlot, socket: SocketId, now: Time) {
        let output = self.shard.output(slot);
        if output.is_empty() {
            return;
        }
        let bytes = match self.reactor.send(socket, output) {
            Sent::All => output.len(),
            Sent::Partial(bytes) => {
                self.sockets.entry(slot).awaits_writable = true;
                bytes
            }
            Sent::Failed(_) => return self.disconnect(slot, now),
        };
        self.shard.handle(Event::Sent { connection: slot, bytes }, now);
    }

    /// Ends our direction, and the socket as soon as the peer has ended its own: closing at once
    /// could take back what was sent last.
    fn close_socket(&mut self, slot: ConnectionSlot) {
        let Some(socket) = self.sockets.detach(slot) else {
            return;
        };
        self.reactor.shutdown(socket);
        self.lingering.push_back((socket, Instant::now() + LINGER));
        self.discard_input(socket);
    }

    /// Who goes on sending after all has been said is cut off.
    fn discard_input(&mut self, socket: SocketId) {
        for _ in 0..DISCARDED_READS_MAX {
            if !self.reactor.is_readable(socket) {
                return;
            }
            match self.reactor.receive(socket, READ_BYTES_PER_ROUND) {
                Received::Bytes(_) => {}
                Received::WouldBlock => return,
                Received::Closed | Received::Failed(_) => return self.reactor.close(socket),
            }
        }
        self.reactor.close(socket);
    }

    fn end_lingering(&mut self) {
        let Some((_, first)) = self.lingering.front() else {
            return;
        };
        let now = Instant::now();
        if *first > now {
            return;
        }
        while self.lingering.front().is_some_and(|(_, until)| *until <= now) {
            let (socket, _) = self.lingering.pop_front().expect("just seen");
            self.reactor.close(socket);
        }
    }

    /// Connections that rest for long, and whose peers are gone: what they hold may be just what
    /// they wait for.
    fn end_forsaken(&mut self, now: Time) {
        if self.sockets.next_look().is_none() {
            return;
        }
        let instant = Instant::now();
        while let Some((slot, socket)) = self.sockets.next_stopped(instant) {
            if self.reactor.has_peer_ended(socket) {
                self.disconnect(slot, now);
            }
        }
    }

    fn take_letters(&mut self, now: Time) -> bool {
        let mut has_some = false;
        for _ in 0..LETTERS_PER_ROUND {
            let Ok(letter) = self.links.from_writer.pop() else {
                break;
            };
            has_some = true;
            self.shard.handle(Event::CatalogReceived(letter), now);
        }
        has_some
    }

    fn send_letters(&mut self) {
        let mut has_some = false;
        self.has_held_letters = self.links.to_writer.is_full();
        while !self.links.to_writer.is_full() {
            let Some(letter) = self.shard.poll_letter() else {
                self.has_held_letters = false;
                break;
            };
            let pushed = self.links.to_writer.push(letter);
            assert!(pushed.is_ok(), "there was room");
            has_some = true;
        }
        if has_some {
            self.links.writer.ring();
        }
    }

    /// Takes in what peers have sent, and their batches of ours that were read.
    fn exchange_batches(&mut self, now: Time) -> bool {
        let mut has_some = false;
        for core in 0..self.links.peers.len() {
            let peer = ShardId(u16::try_from(core).expect("made for a u16 of shards"));
            has_some |= self.exchange_batches_with(peer, now);
        }
        has_some
    }

    fn exchange_batches_with(&mut self, peer: ShardId, now: Time) -> bool {
        let Some(link) = &mut self.links.peers[peer.index()] else {
            return false;
        };
        let mut has_some = false;
        while let Ok(batch) = link.returned.pop() {
            self.shard.handle(Event::BatchReturned { peer, batch }, now);
        }
        let mut was_full = false;
        for _ in 0..BATCHES_PER_ROUND {
            if let Some(batch) = self.shard.poll_read_batch(peer) {
                let pushed = link.returning.push(batch);
                assert!(pushed.is_ok(), "there is room for all batches under way");
            }
            if !self.shard.has_room_for_batch(peer) {
                break;
            }
            was_full |= link.incoming.slots() == link.incoming.buffer().capacity();
            let Ok(batch) = link.incoming.pop() else {
                break;
            };
            has_some = true;
            self.shard.handle(Event::BatchReceived { from: peer, batch }, now);
        }
        if was_full {
            self.links.wake(peer);
        }
        has_some
    }

    fn send_batches(&mut self) {
        self.has_held_batches = false;
        for core in 0..self.links.peers.len() {
            let peer = ShardId(u16::try_from(core).expect("made for a u16 of shards"));
            let Some(link) = &mut self.links.peers[core] else {
                continue;
            };
            if link.outgoing.is_full() {
                self.has_held_batches = true;
                continue;
            }
            if let Some(batch) = self.shard.poll_batch(peer) {
                let pushed = link.outgoing.push(batch);
                assert!(pushed.is_ok(), "there was room");
                self.links.wake(peer);
            }
        }
    }

    /// Tells the shard when memory over all cores crosses the limit, or is back below it.
    fn check_memory(&mut self, now: Time) {
        let used = self.shared.memory_bytes();
        let limit = self.shared.memory_limit_bytes;
        let mark = if self.is_over_limit { limit / 100 * RESUME_PERCENT } else { limit };
        let is_over_limit = used > mark;
        if is_over_limit == self.is_over_limit {
            return;
        }
        self.is_over_limit = is_over_limit;
        // One core speaks for all, who see it within the same moment.
        match is_over_limit {
            _ if self.links.shard != ShardId(0) => {}
            true => tracing::warn!(used, limit, "memory limit reached: publishers pause"),
            false => {
                tracing::info!(used, limit, "memory is back below the limit: publishers go on");
            }
        }
        self.shard.handle(Event::MemoryChanged { is_over_limit }, now);
        // Those who sleep see it too.
        self.links.wake_others();
    }

    fn check_stop(&mut self, now: Time) {
        if self.stopping_since.is_none() && self.shared.is_stopping() {
            self.stopping_since = Some(Instant::now());
            for listener in std::mem::take(&mut self.listeners) {
                self.reactor.close_listener(listener);
            }
            self.shard.handle(Event::ShutdownRequested, now);
        }
    }

    /// Whether every core has said farewell to its clients, or it has taken too long. A core
    /// without connections stays: it is home of queues that others close.
    fn is_finished(&mut self) -> bool {
        let Some(since) = self.stopping_since else {
            return false;
        };
        if !self.has_drained && self.shard.is_drained() && self.lingering.is_empty() {
            self.has_drained = true;
            if self.shared.count_drained() {
                self.links.wake_others();
            }
        }
        self.shared.is_everyone_drained() || since.elapsed() > STOP_PATIENCE
    }

    fn samples(&self) -> &crate::shared::CoreSamples {
        &self.shared.cores[self.links.shard.index()]
    }

    fn sample(&self) {
        let samples = self.samples();
        samples.ticks.store(self.shard.counters().ticks, Ordering::Relaxed);
        samples.memory_bytes.store(self.shard.memory_bytes(), Ordering::Relaxed);
    }
}

/// Clients choose parts of the text: as a field it is quoted, so that no part may look like another
/// field.
fn log_report(report: &Report) {
    let Report { connection, text: reason, channel } = report;
    let Some(channel) = channel else {
        return tracing::warn!(connection, reason, "connection ended");
    };
    let (number, vhost, user) = (channel.number, &*channel.vhost, &*channel.user);
    let code = channel.code;
    tracing::error!(connection, channel = number, vhost, user, code, reason, "channel closed");
}

fn log_suppressed(kind: ReportKind, count: u64) {
    match kind {
        ReportKind::Connection => {
            tracing::warn!("{count} more lines suppressed: connections were refused or closed");
        }
        ReportKind::Channel => {
            tracing::error!("{count} more lines suppressed: channels were closed")
        }
    }
}

/// An IPv4 address that came through an IPv6 listener, as IPv4: loopback is loopback either way.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
