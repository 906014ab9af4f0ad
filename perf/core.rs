//! One core of the generator: its loop over sockets, schedules and deadlines.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::time::Duration;

use haremq_protocol::frame::write_heartbeat;
use haremq_protocol::method::{AMQPClass, basic, connection, write_method};
use haremq_protocol::types::FieldTable;
use haremq_reactor::{Reactor, ReactorConfig, ReactorEvent, Received, Sent, SocketId, Wait};

use crate::meter::{Counts, Meter};
use crate::publisher::{Pause, Round};
use crate::roles::{Channel, Ends, Reply, Role, Roles, consumer_tag};
use crate::setup::LinkSetup;
use crate::shared::{Clock, Shared};
use crate::verify::{Published, QueueCheck, Rules, Tally};
use crate::walker::Walker;

/// Most that is encoded for one connection before it is handed to the kernel.
const OUT_BYTES_MAX: usize = 64 * 1024;
/// Read from one connection per round.
const READ_BYTES_MAX: usize = 128 * 1024;
/// Read at once by a consumer that takes its time, so that it cannot run ahead of it.
const SLOW_READ_BYTES: usize = 4 * 1024;
/// A sleep ends this much before it is due: waking takes a while. The rest is spent looking.
const WAKE_AHEAD_NS: u64 = 60_000;
/// The signals of the main thread are looked at no later than this.
const SLEEP_MAX_NS: u64 = 5_000_000;
/// For the last words of all connections.
const CLOSE_NS_MAX: u64 = 1_000_000_000;

/// What a core gets.
pub(crate) struct CoreSetup {
    pub(crate) index: usize,
    pub(crate) links: Vec<LinkSetup>,
    pub(crate) queue_count: usize,
    pub(crate) clock: Clock,
    pub(crate) shared: Arc<Shared>,
    pub(crate) reports: Sender<CoreReport>,
    pub(crate) interval_ns: u64,
    pub(crate) rules: Rules,
    pub(crate) consumer_arguments: FieldTable,
    pub(crate) polling_ns: Option<u64>,
    /// The timeout of heartbeats; 0 is off.
    pub(crate) heartbeat_ns: u64,
    pub(crate) consumer_start_delay_ns: u64,
    pub(crate) has_lag: bool,
    pub(crate) is_raw: bool,
}

/// One interval of one core.
pub(crate) struct CoreReport {
    pub(crate) core: usize,
    pub(crate) interval: u64,
    pub(crate) meter: Meter,
    /// CPU time of the core's thread since its start, in ns.
    pub(crate) cpu_ns: u64,
}

/// What a core knows at its end.
#[derive(Default)]
pub(crate) struct CoreEnd {
    pub(crate) published: Vec<Published>,
    /// By queue of the plan.
    pub(crate) checks: Vec<QueueCheck>,
    pub(crate) tally: Tally,
    pub(crate) blocked: u64,
    pub(crate) failure: Option<String>,
}

struct Link {
    socket: SocketId,
    walker: Walker,
    channels: Vec<Channel>,
    out: Vec<u8>,
    sent: usize,
    /// The kernel takes nothing more for now.
    is_blocked: bool,
    /// It did not take all of `out` at once: its producers wait until it has.
    has_rest: bool,
    is_closed: bool,
    is_dirty: bool,
    is_readable: bool,
    /// Octets that one of its producers may encode per round.
    share_bytes: usize,
}

/// A producer's place in the loop.
#[derive(Clone, Copy, Debug)]
struct Seat {
    link: usize,
    is_ready: bool,
    is_done: bool,
}

struct Core<'a> {
    reactor: Reactor,
    roles: Roles<'a>,
    links: Vec<Link>,
    /// By slot of the reactor.
    link_of_slot: Vec<usize>,
    readable: Vec<usize>,
    dirty: Vec<usize>,
    seats: Vec<Seat>,
    ready: Vec<usize>,
    due: BinaryHeap<Reverse<(u64, usize)>>,
    /// By consumer.
    link_of_consumer: Vec<usize>,
    /// Polling consumers and when they ask again, on the clock.
    polls: BinaryHeap<Reverse<(u64, usize)>>,
    has_slow_consumers: bool,
    has_consumers_waiting: bool,
    consumer_start_delay_ns: u64,
    heartbeat_ns: u64,
    /// When the next heartbeats are due, on the clock.
    next_heartbeat_ns: u64,
    has_rules: bool,
    is_publishing: bool,
    done_publishers: usize,
    has_confirms: bool,
    /// Counts of the intervals that have been reported.
    reported: Counts,
    interval: u64,
    interval_ns: u64,
    reports: Sender<CoreReport>,
    index: usize,
    polling_ns: Option<u64>,
}

/// Runs one core to the end of the run.
pub(crate) fn run_core(setup: CoreSetup) -> CoreEnd {
    let shared = Arc::clone(&setup.shared);
    let index = setup.index;
    let end = match Reactor::new(ReactorConfig::default()) {
        Ok(reactor) => Core::new(reactor, setup, &shared).run(),
        Err(error) => CoreEnd { failure: Some(error.to_string()), ..CoreEnd::default() },
    };
    if end.failure.is_some() {
        shared.cores[index].has_failed.store(true, Ordering::Release);
    }
    end
}

impl<'a> Core<'a> {
    fn new(reactor: Reactor, setup: CoreSetup, shared: &'a Shared) -> Core<'a> {
        let roles = Roles {
            clock: setup.clock,
            shared,
            publishers: Vec::new(),
            consumers: Vec::new(),
            checks: (0..setup.queue_count).map(|_| QueueCheck::default()).collect(),
            rules: setup.rules,
            tally: Tally::default(),
            meter: Meter::new(),
            expected: 0,
            first_deliveries: 0,
            woken: Vec::new(),
            empty_gets: Vec::new(),
            done_consumers: 0,
            is_raw: setup.is_raw,
            has_lag: setup.has_lag,
            blocked: 0,
            failure: None,
        };
        let mut core = Core {
            reactor,
            roles,
            links: Vec::new(),
            link_of_slot: Vec::new(),
            readable: Vec::new(),
            dirty: Vec::new(),
            seats: Vec::new(),
            ready: Vec::new(),
            due: BinaryHeap::new(),
            link_of_consumer: Vec::new(),
            polls: BinaryHeap::new(),
            has_slow_consumers: false,
            has_consumers_waiting: setup.consumer_start_delay_ns > 0,
            consumer_start_delay_ns: setup.consumer_start_delay_ns,
            heartbeat_ns: setup.heartbeat_ns,
            next_heartbeat_ns: 0,
            has_rules: false,
            is_publishing: false,
            done_publishers: 0,
            has_confirms: false,
            reported: Counts::default(),
            interval: 0,
            interval_ns: setup.interval_ns,
            reports: setup.reports,
            index: setup.index,
            polling_ns: setup.polling_ns,
        };
        for link in setup.links {
            core.add_link(link, &setup.consumer_arguments);
        }
        core
    }

    fn add_link(&mut self, setup: LinkSetup, arguments: &FieldTable) {
        let socket = match self.reactor.adopt(setup.socket) {
            Ok(socket) => socket,
            Err(error) => return self.roles.fail(format!("a connection ended early: {error}")),
        };
        let index = self.links.len();
        let mut channels = Vec::new();
        let mut out = Vec::new();
        let share_bytes = OUT_BYTES_MAX / setup.publishers.len().max(1);
        let first_publisher = self.roles.publishers.len();
        for publisher in setup.publishers {
            self.has_confirms |= publisher.window.is_some();
            channels.push(Role::Publisher(self.roles.publishers.len()));
            self.roles.publishers.push(publisher);
            self.seats.push(Seat { link: index, is_ready: false, is_done: false });
        }
        let has_publishers = !channels.is_empty();
        for (offset, (mut consumer, queue)) in setup.consumers.into_iter().enumerate() {
            let number = self.roles.consumers.len();
            // A connection with both has a producer and the consumer of its replies per channel.
            match has_publishers {
                true => channels[offset] = Role::Client(first_publisher + offset, number),
                false => channels.push(Role::Consumer(number)),
            }
            let no_ack = consumer.is_no_ack();
            if self.polling_ns.is_some() {
                write_get(&mut consumer.get_frame, consumer.channel, &queue, no_ack);
                self.polls.push(Reverse((0, number)));
                self.roles.shared.count_consumer();
            } else {
                write_consume(&mut out, consumer.channel, &queue, no_ack, arguments);
            }
            self.has_slow_consumers |= consumer.is_slow();
            self.roles.consumers.push(consumer);
            self.link_of_consumer.push(index);
        }
        let roles = &self.roles;
        let channels = channels.into_iter().map(|role| {
            let server = role.consumer().filter(|index| roles.consumers[*index].is_server);
            Channel::new(role, server.map(|_| Reply::new(setup.frame_max)))
        });
        let channels = channels.collect();
        let slot = socket.slot as usize;
        if self.link_of_slot.len() <= slot {
            self.link_of_slot.resize(slot + 1, usize::MAX);
        }
        self.link_of_slot[slot] = index;
        let is_dirty = !out.is_empty() && !self.has_consumers_waiting;
        if is_dirty {
            self.dirty.push(index);
        }
        self.links.push(Link {
            socket,
            walker: Walker::new(setup.frame_max),
            channels,
            out,
            sent: 0,
            is_blocked: false,
            has_rest: false,
            is_closed: false,
            is_dirty,
            is_readable: false,
            share_bytes,
        });
    }
}

fn write_consume(
    out: &mut Vec<u8>,
    channel: u16,
    queue: &str,
    no_ack: bool,
    arguments: &FieldTable,
) {
    let consume = basic::Consume {
        queue: queue.into(),
        consumer_tag: consumer_tag(channel).as_str().into(),
        no_local: false,
        no_ack,
        exclusive: false,
        nowait: false,
        arguments: arguments.clone(),
    };
    write_method(out, channel, &AMQPClass::Basic(basic::AMQPMethod::Consume(consume)));
}

fn write_get(out: &mut Vec<u8>, channel: u16, queue: &str, no_ack: bool) {
    let get = basic::Get { queue: queue.into(), no_ack };
    write_method(out, channel, &AMQPClass::Basic(basic::AMQPMethod::Get(get)));
}

impl Core<'_> {
    fn run(mut self) -> CoreEnd {
        self.loop_until_end();
        if self.roles.shared.start_ns().is_some() {
            let now_ns = self.roles.clock.now_ns();
            self.report(now_ns, true);
        }
        self.close();
        let roles = self.roles;
        CoreEnd {
            published: roles
                .publishers
                .into_iter()
                .map(|publisher| publisher.into_published())
                .collect(),
            checks: roles.checks,
            tally: roles.tally,
            blocked: roles.blocked,
            failure: roles.failure,
        }
    }

    fn loop_until_end(&mut self) {
        while !self.roles.shared.ends() && self.roles.failure.is_none() {
            let wait = self.wait_for();
            self.reactor.wait(wait, || false);
            let began_ns = self.roles.clock.now_ns();
            let events = self.handle_events();
            let sent = self.publish(began_ns);
            let received = self.receive();
            self.settle_due(began_ns);
            self.send_heartbeats(began_ns);
            self.flush();
            let now_ns = self.roles.clock.now_ns();
            if events || sent || received {
                self.roles.meter.counts.busy_ns += now_ns - began_ns;
            }
            self.tell_counters();
            self.report(now_ns, false);
        }
    }

    /// How long there is nothing to do.
    fn wait_for(&self) -> Wait {
        let now_ns = self.roles.clock.now_ns();
        let is_busy = !self.ready.is_empty()
            || !self.roles.woken.is_empty()
            || self.readable.iter().any(|link| self.paused_until_ns(*link) <= now_ns);
        if is_busy {
            return Wait::Now;
        }
        let start_ns = self.roles.shared.start_ns();
        let due = self.due.peek().map(|Reverse((due_ns, _))| start_ns.unwrap_or(0) + due_ns);
        let poll = self.polls.peek().map(|Reverse((poll_ns, _))| *poll_ns);
        let paused = self.readable.iter().map(|link| self.paused_until_ns(*link));
        let report = start_ns.map(|start_ns| start_ns + (self.interval + 1) * self.interval_ns);
        let slow = self.has_slow_consumers.then_some(now_ns + WAKE_AHEAD_NS + 20_000);
        let next = due.into_iter().chain(poll).chain(report).chain(slow).chain(paused).min();
        let next_ns = next.unwrap_or(u64::MAX).min(now_ns + SLEEP_MAX_NS + WAKE_AHEAD_NS);
        match next_ns.saturating_sub(now_ns).checked_sub(WAKE_AHEAD_NS) {
            None | Some(0) => Wait::Now,
            Some(sleep_ns) => Wait::Until(Duration::from_nanos(sleep_ns)),
        }
    }

    /// A consumer of this connection that takes its time lets it wait until then.
    fn paused_until_ns(&self, link: usize) -> u64 {
        if !self.has_slow_consumers {
            return 0;
        }
        let consumers =
            self.links[link].channels.iter().filter_map(|channel| channel.role.consumer());
        let consumers = consumers.map(|index| self.roles.consumers[index].paused_until_ns());
        consumers.max().unwrap_or(0)
    }

    fn handle_events(&mut self) -> bool {
        let mut is_any = false;
        while let Some(event) = self.reactor.poll_event() {
            is_any = true;
            match event {
                ReactorEvent::Readable(socket) => {
                    let index = self.link_of_slot[socket.slot as usize];
                    if !std::mem::replace(&mut self.links[index].is_readable, true) {
                        self.readable.push(index);
                    }
                }
                ReactorEvent::Writable(socket) => {
                    let index = self.link_of_slot[socket.slot as usize];
                    self.links[index].is_blocked = false;
                    self.mark_dirty(index);
                }
                _ => {}
            }
        }
        is_any
    }

    fn mark_dirty(&mut self, link: usize) {
        if !std::mem::replace(&mut self.links[link].is_dirty, true) {
            self.dirty.push(link);
        }
    }

    // Publishing.

    fn publish(&mut self, now_ns: u64) -> bool {
        let Some(start_ns) = self.roles.shared.start_ns() else { return false };
        if !std::mem::replace(&mut self.has_rules, true) && self.roles.rules.start_unix_ns > 0 {
            self.roles.rules.start_unix_ns = self.roles.clock.unix_ns(start_ns);
        }
        let Some(now_ns) = now_ns.checked_sub(start_ns) else { return false };
        if !std::mem::replace(&mut self.is_publishing, true) {
            (0..self.seats.len()).for_each(|index| self.make_ready(index));
        }
        if self.has_consumers_waiting && now_ns >= self.consumer_start_delay_ns {
            self.has_consumers_waiting = false;
            (0..self.links.len()).for_each(|link| self.mark_dirty(link));
        }
        if self.roles.shared.publishing_ends() {
            self.ready.clear();
            self.due.clear();
            self.roles.woken.clear();
            return false;
        }
        while let Some(index) = self.roles.woken.pop() {
            self.make_ready(index);
        }
        while let Some(Reverse((due_ns, index))) = self.due.peek().copied() {
            if due_ns > now_ns {
                break;
            }
            self.due.pop();
            self.make_ready(index);
        }
        let mut ready = std::mem::take(&mut self.ready);
        let has_sent = !ready.is_empty();
        for index in ready.drain(..) {
            self.seats[index].is_ready = false;
            self.publish_one(index, now_ns);
        }
        // What has become ready meanwhile stays; the buffer is kept.
        if self.ready.is_empty() {
            self.ready = ready;
        }
        has_sent
    }

    fn make_ready(&mut self, index: usize) {
        if !std::mem::replace(&mut self.seats[index].is_ready, true) {
            self.ready.push(index);
        }
    }

    fn publish_one(&mut self, index: usize, now_ns: u64) {
        let seat = self.seats[index];
        let link = &mut self.links[seat.link];
        let publisher = &mut self.roles.publishers[index];
        // It is woken when its connection has sent all.
        if link.has_rest {
            return publisher.hold_back();
        }
        let start_ns = self.roles.shared.start_ns().unwrap_or(0);
        let mut round = Round {
            out_bytes_max: link.out.len() + link.share_bytes,
            out: &mut link.out,
            now_ns,
            start_unix_ns: self.roles.clock.unix_ns(start_ns),
            meter: &mut self.roles.meter,
        };
        let (pause, expected) = publisher.publish(&mut round);
        self.roles.expected += expected;
        if !link.out.is_empty() {
            self.mark_dirty(seat.link);
        }
        match pause {
            Pause::Full => self.make_ready(index),
            Pause::Until(due_ns) => self.due.push(Reverse((due_ns, index))),
            Pause::Done if !seat.is_done => {
                self.seats[index].is_done = true;
                self.done_publishers += 1;
            }
            Pause::Window | Pause::Done => {}
        }
    }

    // Consuming.

    fn receive(&mut self) -> bool {
        let mut readable = std::mem::take(&mut self.readable);
        let mut has_received = false;
        readable.retain(|index| {
            let now_ns = self.roles.clock.now_ns();
            if self.paused_until_ns(*index) > now_ns {
                return true;
            }
            has_received = true;
            self.receive_one(*index);
            let link = &mut self.links[*index];
            link.is_readable = !link.is_closed && self.reactor.is_readable(link.socket);
            link.is_readable
        });
        readable.append(&mut self.readable);
        self.readable = readable;
        has_received
    }

    fn receive_one(&mut self, index: usize) {
        let limit = if self.has_slow_consumers { SLOW_READ_BYTES } else { READ_BYTES_MAX };
        let link = &mut self.links[index];
        let roles = &mut self.roles;
        match self.reactor.receive(link.socket, limit) {
            Received::Bytes(bytes) => {
                let now_ns = roles.clock.now_ns();
                roles.meter.counts.reads += 1;
                roles.meter.counts.read_bytes += bytes.len() as u64;
                let Link { channels, out, is_closed, .. } = link;
                let mut ends = Ends { channels, out, is_closed, now_ns };
                let walked = link.walker.handle_received(bytes, |part| {
                    roles.handle_part(&mut ends, part);
                });
                if let Err(error) = walked {
                    roles.fail(format!("the broker broke the protocol: {error}"));
                }
            }
            Received::WouldBlock => return,
            Received::Closed => {
                link.is_closed = true;
                if !roles.shared.ends() {
                    roles.fail("the broker hung up");
                }
            }
            Received::Failed(error) => {
                link.is_closed = true;
                if !roles.shared.ends() {
                    roles.fail(format!("a connection broke: {error}"));
                }
            }
        }
        if !self.links[index].out.is_empty() {
            self.mark_dirty(index);
        }
    }

    /// Settles what slow consumers are done with, and asks again where a queue was empty.
    fn settle_due(&mut self, now_ns: u64) {
        while let Some(index) = self.roles.empty_gets.pop() {
            let again_ns = now_ns + self.polling_ns.unwrap_or(0);
            self.polls.push(Reverse((again_ns, index)));
        }
        while let Some(Reverse((poll_ns, index))) = self.polls.peek().copied() {
            if poll_ns > now_ns {
                break;
            }
            self.polls.pop();
            let link = self.link_of_consumer[index];
            self.links[link].out.extend_from_slice(&self.roles.consumers[index].get_frame);
            self.mark_dirty(link);
        }
        if self.has_slow_consumers {
            for index in 0..self.roles.consumers.len() {
                let link = self.link_of_consumer[index];
                self.roles.consumers[index].poll_due(now_ns, &mut self.links[link].out);
                if !self.links[link].out.is_empty() {
                    self.mark_dirty(link);
                }
            }
        }
    }

    /// Twice per timeout, on every connection: simpler than to look which ones were silent.
    fn send_heartbeats(&mut self, now_ns: u64) {
        if self.heartbeat_ns == 0 || now_ns < self.next_heartbeat_ns {
            return;
        }
        self.next_heartbeat_ns = now_ns + self.heartbeat_ns / 2;
        for index in 0..self.links.len() {
            let link = &mut self.links[index];
            // The `basic.consume` of a consumer that is to start later would go along.
            let is_consumer = link.channels.iter().any(|channel| channel.role.consumer().is_some());
            if self.has_consumers_waiting && is_consumer {
                continue;
            }
            write_heartbeat(&mut link.out);
            self.mark_dirty(index);
        }
    }

    // Sending.

    fn flush(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for index in dirty.drain(..) {
            self.links[index].is_dirty = false;
            self.flush_one(index);
        }
        self.dirty = dirty;
    }

    fn flush_one(&mut self, index: usize) {
        let link = &mut self.links[index];
        if link.is_blocked || link.sent == link.out.len() {
            return;
        }
        match self.reactor.send(link.socket, &link.out[link.sent..]) {
            Sent::All => {
                link.out.clear();
                link.sent = 0;
                if std::mem::take(&mut link.has_rest) {
                    self.wake_publishers(index);
                }
            }
            Sent::Partial(count) => {
                link.sent += count;
                (link.is_blocked, link.has_rest) = (true, true);
            }
            Sent::Failed(error) => {
                link.is_closed = true;
                if !self.roles.shared.ends() {
                    self.roles.fail(format!("a connection broke: {error}"));
                }
            }
        }
    }

    fn wake_publishers(&mut self, index: usize) {
        for channel in &self.links[index].channels {
            self.roles.woken.extend(channel.role.publisher());
        }
    }

    // Telling.

    fn tell_counters(&self) {
        let roles = &self.roles;
        let counters = &roles.shared.cores[self.index];
        counters.expected.store(roles.expected, Ordering::Relaxed);
        counters.first_deliveries.store(roles.first_deliveries, Ordering::Relaxed);
        let (before, now) = (&self.reported, &roles.meter.counts);
        let settled = before.confirmed + now.confirmed + before.nacked + now.nacked;
        let moved = settled + before.received + now.received + before.returned + now.returned;
        counters.progress.store(moved, Ordering::Relaxed);
        if self.has_confirms {
            let unconfirmed = before.sent + now.sent - settled;
            counters.unconfirmed.store(unconfirmed, Ordering::Relaxed);
        }
        if self.done_publishers == roles.publishers.len() {
            counters.publishers_done.store(true, Ordering::Release);
        }
        if roles.done_consumers == roles.consumers.len() {
            counters.consumers_done.store(true, Ordering::Release);
        }
    }

    /// Sends the meter of an interval that is over, or of the last one.
    fn report(&mut self, now_ns: u64, is_last: bool) {
        let Some(start_ns) = self.roles.shared.start_ns() else { return };
        let elapsed_ns = now_ns.saturating_sub(start_ns);
        while elapsed_ns >= (self.interval + 1) * self.interval_ns || is_last {
            self.reported.add(&self.roles.meter.counts);
            let meter = std::mem::replace(&mut self.roles.meter, Meter::new());
            let report = CoreReport {
                core: self.index,
                interval: self.interval,
                meter,
                cpu_ns: thread_cpu_ns(),
            };
            // Nobody listens any more only if the main thread has ended.
            let _ = self.reports.send(report);
            self.interval += 1;
            if is_last {
                return;
            }
        }
    }

    // The end.

    fn close(&mut self) {
        for index in 0..self.links.len() {
            let link = &mut self.links[index];
            for channel in &link.channels {
                if let Some(consumer) = channel.role.consumer() {
                    self.roles.consumers[consumer].settle_rest(&mut link.out);
                }
            }
            let close = connection::Close {
                reply_code: 200,
                reply_text: "Goodbye".into(),
                class_id: 0,
                method_id: 0,
            };
            let method = AMQPClass::Connection(connection::AMQPMethod::Close(close));
            write_method(&mut link.out, 0, &method);
            self.mark_dirty(index);
        }
        let failure = self.roles.failure.take();
        let end_ns = self.roles.clock.now_ns() + CLOSE_NS_MAX;
        while self.links.iter().any(|link| !link.is_closed) && self.roles.clock.now_ns() < end_ns {
            self.flush();
            let wait =
                if self.readable.is_empty() { Duration::from_millis(1) } else { Duration::ZERO };
            self.reactor.wait(Wait::Until(wait), || false);
            self.handle_events();
            self.receive();
        }
        self.roles.failure = failure;
    }
}

/// CPU time of the calling thread, in ns.
fn thread_cpu_ns() -> u64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_whitespace().next().and_then(|run_ns| run_ns.parse().ok()).unwrap_or(0)
}
