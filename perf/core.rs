//! One core of the generator: its loop over sockets, schedules and deadlines.

mod publishing;
mod receiving;
mod recording;
mod sending;
mod telling;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::time::Duration;

use haremq_protocol::method::{AMQPClass, basic, write_method};
use haremq_protocol::types::FieldTable;
use haremq_reactor::{Reactor, ReactorConfig, ReactorEvent, SocketId, Wait, Waker};

use crate::ledger::Recorder;
use crate::meter::{Counts, Meter};
use crate::roles::{Channel, Reply, Role, Roles, consumer_tag};
use crate::setup::LinkSetup;
use crate::shared::{Clock, Shared};
use crate::verify::{Published, QueueCheck, Rules, Tally};
use crate::walker::Walker;

/// Most that is encoded for one connection before it is handed to the kernel.
const OUT_BYTES_MAX: usize = 64 * 1024;
/// A sleep ends this much before it is due: waking takes a while. The rest is spent looking.
const WAKE_AHEAD_NS: u64 = 60_000;
/// The signals of the main thread are looked at no later than this.
const SLEEP_MAX_NS: u64 = 5_000_000;

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
    pub(crate) recorder: Option<Recorder>,
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
    held: Held,
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

/// Settlements that wait until the ledger has what they settle.
#[derive(Debug, Default)]
struct Held {
    /// What they settle is still being gathered.
    gathering: Vec<u8>,
    /// It is under way to the file.
    under_way: Vec<u8>,
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
    waker: Waker,
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
            recorder: setup.recorder,
            has_lag: setup.has_lag,
            blocked: 0,
            failure: None,
        };
        let mut core = Core {
            waker: reactor.waker(),
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
        for mut publisher in setup.publishers {
            if self.roles.recorder.is_some() {
                publisher.begin_reserving();
            }
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
            consumer.is_recorded = self.roles.recorder.is_some();
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
            held: Held::default(),
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
            let recorder = self.roles.recorder.as_ref();
            self.reactor.wait(wait, || recorder.is_some_and(Recorder::has_answer));
            let began_ns = self.roles.clock.now_ns();
            let events = self.handle_events();
            self.record();
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
}
