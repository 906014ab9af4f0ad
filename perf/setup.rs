//! Setting a run up: topology, then one connection after the other, dealt to the cores.

use std::os::fd::OwnedFd;

use haremq_protocol::method::{AMQPClass, queue};
use haremq_protocol::properties::encode_properties;
use haremq_protocol::types::ShortString;

use crate::confirm_window::ConfirmWindow;
use crate::consumer::{Consumer, ConsumerRules};
use crate::options::{RpcMode, RunOptions};
use crate::plan::{Plan, QueuePlan};
use crate::publisher::{Publisher, Requests, SizeSteps, Template, TemplateParts};
use crate::schedule::{Random, Schedule, Step};
use crate::seq_set::SeqSet;
use crate::session::{ServerFacts, Session, SessionConfig, SessionError};
use crate::uri::BrokerUri;
use crate::verify::OrderCheck;

/// Stands for the channel's own replies, without a queue.
const DIRECT_REPLY_TO: &str = "amq.rabbitmq.reply-to";

/// A connection that is ready for a core.
pub(crate) struct LinkSetup {
    pub(crate) socket: OwnedFd,
    pub(crate) frame_max: u32,
    pub(crate) publishers: Vec<Publisher>,
    /// With the queue's name.
    pub(crate) consumers: Vec<(Consumer, String)>,
}

/// Everything that is ready.
pub(crate) struct Ready {
    /// By core.
    pub(crate) links: Vec<Vec<LinkSetup>>,
    pub(crate) facts: ServerFacts,
    pub(crate) consumer_count: u64,
    /// Names of the queues, as in the plan.
    pub(crate) queue_names: Vec<String>,
}

/// Makes what a plan says.
pub(crate) struct Setup<'a> {
    options: &'a RunOptions,
    plan: &'a Plan,
    bodies: Vec<Vec<u8>>,
    uris: Vec<BrokerUri>,
    /// Connections made so far.
    connections: usize,
}

impl<'a> Setup<'a> {
    /// Bodies are read here, so that a missing file is told before anything else.
    ///
    /// # Errors
    /// What cannot be read or used, for the user.
    pub(crate) fn new(options: &'a RunOptions, plan: &'a Plan) -> Result<Setup<'a>, String> {
        let uris = match options.uris.is_empty() {
            true => vec![options.uri.clone()],
            false => options.uris.clone(),
        };
        Ok(Setup { options, plan, bodies: bodies(options)?, uris, connections: 0 })
    }

    /// Declares, connects, and deals the connections to so many cores.
    ///
    /// # Errors
    /// [`SessionError`], with the broker's words.
    pub(crate) fn make(mut self, cores: usize) -> Result<Ready, SessionError> {
        let mut control = self.connect()?;
        control.open_channel(1)?;
        self.declare(&mut control)?;
        let mut names: Vec<String> = Vec::new();
        for queue in &self.plan.queues {
            names.push(queue.name.clone().unwrap_or_default());
        }
        let mut links: Vec<Vec<LinkSetup>> = (0..cores).map(|_| Vec::new()).collect();
        for number in 0..self.options.consumers as usize {
            let link = self.consumer_link(number, &mut names)?;
            let core = self.core_of_consumers(number, cores);
            links[core].push(link);
        }
        for number in 0..self.options.producers as usize {
            let link = self.producer_link(number, &mut names)?;
            links[number % cores].push(link);
        }
        let facts = control.facts().clone();
        control.close()?;
        let replies = if self.options.rpc.is_some() { self.plan.publishers.len() } else { 0 };
        let consumer_count = (self.plan.consumers.len() + replies) as u64;
        Ok(Ready { links, facts, consumer_count, queue_names: names })
    }

    /// What is put back must be seen again by the core that saw it first, to tell the two apart:
    /// then all consumers of a queue are on one core.
    fn core_of_consumers(&self, number: usize, cores: usize) -> usize {
        let options = self.options;
        let puts_back = options.requeue_once || (options.nack && options.requeue);
        match (puts_back, options.consumer_channel_count) {
            (false, _) => (number + options.producers as usize) % cores,
            (true, 1) => self.plan.consumers[number] % cores,
            (true, _) => 0,
        }
    }

    fn connect(&mut self) -> Result<Session, SessionError> {
        let uri = &self.uris[self.connections % self.uris.len()];
        self.connections += 1;
        let RunOptions { framemax, heartbeat, .. } = *self.options;
        Session::open(uri, SessionConfig { frame_max: framemax, heartbeat_s: heartbeat })
    }

    fn declare(&self, control: &mut Session) -> Result<(), SessionError> {
        let plan = self.plan;
        if plan.declares_exchange {
            // Transient, as PerfTest's: both can then use the same one.
            control.declare_exchange(&plan.exchange, &plan.exchange_type)?;
        }
        for queue in plan.queues.iter() {
            let Some(name) = &queue.name else { continue };
            if plan.declares_queues {
                self.declare_queue(control, name, queue)?;
            }
            if self.options.purge {
                let purge = queue::Purge { queue: name.as_str().into(), nowait: false };
                let method = AMQPClass::Queue(queue::AMQPMethod::Purge(purge));
                control.call(1, &method, &format!("queue.purge of {name:?}"))?;
            }
        }
        Ok(())
    }

    fn declare_queue(
        &self,
        session: &mut Session,
        name: &str,
        queue: &QueuePlan,
    ) -> Result<String, SessionError> {
        let is_exclusive = name.is_empty();
        let name = session.declare_queue(&queue::Declare {
            queue: ShortString::from(name),
            passive: false,
            durable: self.plan.durable,
            exclusive: is_exclusive,
            auto_delete: self.options.auto_delete && !self.options.quorum_queue,
            nowait: false,
            arguments: self.plan.queue_arguments.clone(),
        })?;
        if !self.plan.exchange.is_empty() {
            let arguments = &self.plan.bind_arguments;
            session.bind_queue(&name, &self.plan.exchange, &queue.bindings, arguments)?;
        }
        Ok(name)
    }

    fn consumer_link(
        &mut self,
        number: usize,
        names: &mut [String],
    ) -> Result<LinkSetup, SessionError> {
        let mut session = self.connect()?;
        let rules = consumer_rules(self.options);
        let per_link = usize::from(self.options.consumer_channel_count);
        let mut consumers = Vec::new();
        for channel in 1..=per_link {
            let queue = self.plan.consumers[number * per_link + channel - 1];
            let channel = channel as u16;
            session.open_channel(channel)?;
            for (count, global) in [(self.options.qos, false), (self.options.global_qos, true)] {
                if count > 0 {
                    session.limit_prefetch(channel, count, global)?;
                }
            }
            if names[queue].is_empty() {
                names[queue] = self.declare_queue(&mut session, "", &self.plan.queues[queue])?;
            }
            let mut consumer = Consumer::new(channel, queue, rules);
            consumer.is_server = self.options.rpc.is_some();
            consumers.push((consumer, names[queue].clone()));
        }
        let frame_max = session.frame_max();
        Ok(LinkSetup {
            socket: session.into_socket(),
            frame_max,
            publishers: Vec::new(),
            consumers,
        })
    }

    fn producer_link(
        &mut self,
        number: usize,
        names: &mut [String],
    ) -> Result<LinkSetup, SessionError> {
        let mut session = self.connect()?;
        let per_link = usize::from(self.options.producer_channel_count);
        let (mut publishers, mut consumers) = (Vec::new(), Vec::new());
        for channel in 1..=per_link {
            session.open_channel(channel as u16)?;
            if self.options.confirm > 0 {
                session.select_confirms(channel as u16)?;
            }
            let number = number * per_link + channel - 1;
            let mut properties = self.plan.properties.clone();
            if let Some(mode) = self.options.rpc {
                // The queue of requests is the first of the plan.
                let queue = number + 1;
                names[queue] = match mode {
                    RpcMode::Direct => DIRECT_REPLY_TO.to_owned(),
                    RpcMode::Private => {
                        self.declare_queue(&mut session, "", &self.plan.queues[queue])?
                    }
                };
                properties = properties.with_reply_to(names[queue].as_str().into());
                let rules = ConsumerRules::of_replies();
                let mut consumer = Consumer::new(channel as u16, queue, rules);
                // Several servers work at once: who is done first replies first.
                if self.plan.consumers.len() > 1 {
                    consumer.order = OrderCheck::off();
                }
                consumers.push((consumer, names[queue].clone()));
            }
            let properties = encode_properties(&properties);
            let frame_max = session.frame_max();
            publishers.push(self.publisher(number, channel as u16, frame_max, &properties));
        }
        let frame_max = session.frame_max();
        Ok(LinkSetup { socket: session.into_socket(), frame_max, publishers, consumers })
    }

    fn publisher(
        &self,
        number: usize,
        channel: u16,
        frame_max: u32,
        properties: &[u8],
    ) -> Publisher {
        let planned = &self.plan.publishers[number];
        let parts = TemplateParts {
            channel,
            frame_max,
            exchange: self.plan.exchange.as_bytes(),
            mandatory: self.plan.mandatory,
            properties,
        };
        let templates = self
            .bodies
            .iter()
            .map(|body| planned.keys.iter().map(|key| Template::new(&parts, key, body)).collect());
        let consumed = |reach: &Vec<usize>| {
            reach.iter().filter(|queue| self.plan.queues[**queue].is_consumed).count() as u64
        };
        let options = self.options;
        let mut publisher = Publisher::new(number as u16);
        publisher.templates = templates.collect();
        publisher.deliveries = planned.reach.iter().map(consumed).collect();
        publisher.schedule = schedule(options, number, self.plan.publishers.len());
        publisher.sizes = (!options.variable_size.is_empty()).then(|| SizeSteps {
            durations_ns: options
                .variable_size
                .iter()
                .map(|step| step.duration_ns as u64)
                .collect(),
        });
        publisher.limit = limit(options.pmessages);
        if options.confirm > 0 {
            publisher.window = Some(ConfirmWindow::new(options.confirm as u32));
            publisher.confirmed = Some(SeqSet::default());
        }
        if options.rpc.is_some() && publisher.schedule.is_none() {
            publisher.requests = Some(Requests { open: 0, open_max: options.rpc_window.max(1) });
        }
        if options.rate == 0.0 {
            publisher.limit = 0;
        }
        publisher
    }
}

fn limit(count: u64) -> u64 {
    if count == 0 { u64::MAX } else { count }
}

fn consumer_rules(options: &RunOptions) -> ConsumerRules {
    let by_rate = if options.consumer_rate > 0.0 { 1e9 / options.consumer_rate } else { 0.0 };
    ConsumerRules {
        no_ack: options.autoack,
        settle_every: options.multi_ack_every,
        nack: options.nack,
        requeue: options.requeue,
        requeue_once: options.requeue_once,
        limit: limit(options.cmessages),
        service_ns: (by_rate as u64).max(options.consumer_latency * 1000),
    }
}

/// The schedule of one of `count` producers; `None` is as fast as possible.
fn schedule(options: &RunOptions, number: usize, count: usize) -> Option<Schedule> {
    let seed = 0xA5_5EED ^ (number as u64) << 20;
    let phase = (number as f64 / count as f64).fract();
    let arrivals = options.arrivals;
    if !options.variable_rate.is_empty() {
        let steps: Vec<Step> = options.variable_rate.iter().map(|step| (*step).into()).collect();
        return Some(Schedule::new(steps, arrivals, phase, seed));
    }
    let rate = match (options.publishing_interval, options.total_rate) {
        (Some(interval), _) => 1.0 / interval,
        (None, Some(total)) => total / count as f64,
        (None, None) => options.rate,
    };
    if rate <= 0.0 {
        return None;
    }
    match options.producer_random_start_delay {
        Some(spread) if spread > 0.0 => {
            let pause_ns = Random::new(seed).unit() * spread * 1e9;
            let steady = Step { rate, duration_ns: f64::INFINITY };
            let pause = Step { rate: 0.0, duration_ns: pause_ns };
            Some(Schedule::new(vec![pause, steady], arrivals, phase, seed))
        }
        _ => Some(Schedule::steady(rate, arrivals, phase, seed)),
    }
}

/// Bodies to be sent in turns (or over time), filled so that no two octets' positions look alike.
fn bodies(options: &RunOptions) -> Result<Vec<Vec<u8>>, String> {
    if !options.body.is_empty() {
        let read = |path: &std::path::PathBuf| {
            let body =
                std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
            match body.len() {
                0..crate::body::BODY_BYTES_MIN => {
                    Err(format!("{} has less than 12 octets", path.display()))
                }
                _ => Ok(body),
            }
        };
        return options.body.iter().map(read).collect();
    }
    let sizes: Vec<usize> = match options.variable_size.as_slice() {
        [] => vec![options.size.max(crate::body::BODY_BYTES_MIN)],
        steps => steps.iter().map(|step| step.value as usize).collect(),
    };
    if sizes.iter().any(|size| *size < crate::body::BODY_BYTES_MIN) {
        return Err("--variable-size is at least 12 octets".to_owned());
    }
    let mut random = Random::new(0xB0D1);
    let mut filled = |size: usize| -> Vec<u8> {
        (0..size.div_ceil(8)).flat_map(|_| random.bits().to_le_bytes()).take(size).collect()
    };
    Ok(sizes.into_iter().map(&mut filled).collect())
}
