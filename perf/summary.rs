//! Putting the outcome of a run together: what was measured, and what was going on around it.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::body::CHECKED_BYTES;
use crate::core::CoreEnd;
use crate::meter::Meter;
use crate::options::RunOptions;
use crate::outcome::{
    BrokerFacts, BrokerOutcome, GeneratorOutcome, IntervalOutcome, Latencies, Outcome, Quantiles,
    Rates, SCHEMA, Totals,
};
use crate::plan::{Plan, smallest_body};
use crate::process::{
    MachineFacts, MachineTimes, ProcessSample, allowed_cpus, find_listener, thread_times_us,
};
use crate::run::Conductor;
use crate::session::ServerFacts;
use crate::verify::Judgement;

/// The generator must not be later than this share of what it measures.
const LAG_SHARE_MAX: f64 = 0.1;
/// From here on a core of the generator, or a thread of the broker, counts as used up.
const BUSY_SHARE_MAX: f64 = 0.9;
/// Shares of the machine's time from which a run counts as disturbed.
const STEAL_SHARE_MAX: f64 = 0.02;
const FOREIGN_SHARE_MAX: f64 = 0.1;

/// What the machine and the broker's process looked like at one moment.
#[derive(Clone, Debug, Default)]
struct Moment {
    machine: MachineTimes,
    broker: Option<ProcessSample>,
    /// CPU times of the broker's threads, in µs.
    threads: BTreeMap<u32, u64>,
    generator: Option<ProcessSample>,
}

/// Watches what is around a run.
#[derive(Debug)]
pub(crate) struct Surroundings {
    pub(crate) broker: BrokerFacts,
    machine: MachineFacts,
    started_unix_ms: u64,
    before: Moment,
    /// By interval, at its end.
    moments: BTreeMap<u64, Moment>,
    after: Moment,
}

impl Surroundings {
    pub(crate) fn new(options: &RunOptions, facts: &ServerFacts) -> Surroundings {
        let uri = options.uris.first().unwrap_or(&options.uri);
        let address = uri.resolve().ok();
        let host: Option<IpAddr> = address.map(|address| address.ip());
        let found = host.and_then(|host| find_listener(host, uri.port));
        let pid = options.broker_pid.or(found);
        let broker = BrokerFacts {
            product: facts.product.clone(),
            version: facts.version.clone(),
            platform: facts.platform.clone(),
            own_version: facts.own_version.clone(),
            pid,
            cpus: pid.and_then(allowed_cpus),
        };
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut surroundings = Surroundings {
            broker,
            machine: MachineFacts::collect(),
            started_unix_ms: unix.as_millis() as u64,
            before: Moment::default(),
            moments: BTreeMap::new(),
            after: Moment::default(),
        };
        surroundings.before = surroundings.now();
        surroundings
    }

    /// The run begins.
    pub(crate) fn begin(&mut self) {
        self.before = self.now();
    }

    /// An interval has ended.
    pub(crate) fn sample(&mut self, interval: u64) {
        let moment = self.now();
        self.moments.insert(interval, moment);
    }

    /// The run has ended.
    pub(crate) fn end(&mut self) {
        self.after = self.now();
    }

    fn now(&self) -> Moment {
        let pid = self.broker.pid;
        Moment {
            machine: MachineTimes::now(),
            broker: pid.and_then(ProcessSample::of),
            threads: pid.map(thread_times_us).unwrap_or_default(),
            generator: ProcessSample::of(std::process::id()),
        }
    }

    fn at_end_of(&self, interval: u64) -> Option<&Moment> {
        self.moments.get(&interval)
    }

    fn before_interval(&self, interval: u64) -> &Moment {
        let earlier = interval.checked_sub(1).and_then(|earlier| self.moments.get(&earlier));
        earlier.unwrap_or(&self.before)
    }

    /// The moments between which it was measured.
    fn measured(&self, conductor: &Conductor<'_>) -> (&Moment, &Moment) {
        let measured = |interval: &&u64| conductor.is_measured(**interval);
        let first = self.moments.keys().find(measured).copied();
        let before = first.map_or(&self.before, |first| self.before_interval(first));
        let last = self.moments.keys().rev().find(measured).copied();
        let is_whole = conductor.measured().end.is_multiple_of(conductor.interval_ns());
        let after = match last.and_then(|last| self.moments.get(&last)) {
            Some(after) if is_whole => after,
            _ => &self.after,
        };
        (before, after)
    }

    fn rss_peak(&self) -> u64 {
        let moments = self.moments.values().chain([&self.before, &self.after]);
        moments.filter_map(|moment| moment.broker).map(|broker| broker.rss_bytes).max().unwrap_or(0)
    }
}

impl Conductor<'_> {
    /// The outcome of one interval.
    pub(crate) fn interval(&self, interval: u64) -> IntervalOutcome {
        let length_ns = self.interval_ns();
        let sum = &self.intervals[&interval];
        let start_ns = interval * length_ns;
        let ran_ns = match self.end_ns {
            0 => u64::MAX,
            end_ns => end_ns.saturating_sub(self.start_ns).max(start_ns + 1),
        };
        let end_ns = (start_ns + length_ns).min(ran_ns);
        let seconds = (end_ns - start_ns) as f64 / 1e9;
        let before = self.surroundings.before_interval(interval);
        let after = self.surroundings.at_end_of(interval);
        let broker = after.and_then(|after| Some((before.broker?, after.broker?)));
        let times = after.map(|after| after.machine.since(&before.machine)).unwrap_or_default();
        IntervalOutcome {
            end: end_ns as f64 / 1e9,
            seconds,
            rates: Rates::new(&sum.meter.counts, seconds),
            consume: Quantiles::of(&sum.meter.consume),
            confirm: Quantiles::of(&sum.meter.confirm),
            broker_cores: broker.map(|(before, after)| {
                after.cpu_us().saturating_sub(before.cpu_us()) as f64 / 1e6 / seconds
            }),
            broker_rss: broker.map(|(_, after)| after.rss_bytes),
            steal_share: share(times.steal, times.total()),
            is_measured: self.is_measured(interval),
        }
    }
}

/// Puts the outcome of a run together.
pub(crate) fn outcome(
    conductor: &Conductor<'_>,
    plan: &Plan,
    cpus: &[Option<usize>],
    command: &[String],
    judgement: Judgement,
    ends: &[CoreEnd],
) -> Outcome {
    let surroundings = &conductor.surroundings;
    let measured = conductor.measured();
    let seconds = (measured.end - measured.start) as f64 / 1e9;
    let (mut total, mut all) = (Meter::new(), Meter::new());
    let mut busy_ns = vec![0; cpus.len()];
    for (interval, sum) in &conductor.intervals {
        all.add(&sum.meter);
        if conductor.is_measured(*interval) {
            total.add(&sum.meter);
            busy_ns.iter_mut().zip(&sum.busy_ns).for_each(|(all, one)| *all += one);
        }
    }
    let (before, after) = surroundings.measured(conductor);
    let times = after.machine.since(&before.machine);
    let mut outcome = Outcome {
        schema: SCHEMA,
        id: conductor.options.id.clone(),
        command: command.to_vec(),
        started_unix_ms: surroundings.started_unix_ms,
        uri: conductor.options.uri.shown.clone(),
        broker: surroundings.broker.clone(),
        machine: surroundings.machine.clone(),
        generator: GeneratorOutcome {
            cpus: cpus.to_vec(),
            busy_shares: busy_ns.iter().map(|ns| per_second(*ns as f64 / 1e9, seconds)).collect(),
            cpu_us: cpu_between(before.generator, after.generator),
            bytes_per_read: share(all.counts.read_bytes, all.counts.reads),
        },
        seconds,
        rates: Rates::new(&total.counts, seconds),
        totals: Totals::new(&all.counts),
        latency: Latencies::new(&total),
        judgement,
        broker_process: broker_outcome(surroundings, before, after, &total, seconds),
        machine_times: times,
        steal_share: share(times.steal, times.total()),
        foreign_share: foreign_share(before, after, &times),
        failure: None,
        void: Vec::new(),
        disturbed: Vec::new(),
        notes: notes(conductor, plan, ends),
        intervals: conductor.intervals.keys().map(|index| conductor.interval(*index)).collect(),
    };
    outcome.void = void_reasons(&outcome);
    outcome.disturbed = disturbances(&outcome);
    outcome
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Nothing was measured in no time.
fn per_second(amount: f64, seconds: f64) -> f64 {
    if seconds > 0.0 { amount / seconds } else { 0.0 }
}

fn cpu_between(before: Option<ProcessSample>, after: Option<ProcessSample>) -> u64 {
    match (before, after) {
        (Some(before), Some(after)) => after.cpu_us().saturating_sub(before.cpu_us()),
        _ => 0,
    }
}

/// Work of the machine that was neither the broker's nor ours.
fn foreign_share(before: &Moment, after: &Moment, times: &MachineTimes) -> f64 {
    let ours = cpu_between(before.generator, after.generator);
    let brokers = cpu_between(before.broker, after.broker);
    share(times.work().saturating_sub(ours + brokers), times.total())
}

fn broker_outcome(
    surroundings: &Surroundings,
    before: &Moment,
    after: &Moment,
    total: &Meter,
    seconds: f64,
) -> Option<BrokerOutcome> {
    let (first, last) = (before.broker?, after.broker?);
    let messages = match total.counts.received {
        0 => total.counts.sent,
        received => received,
    };
    let used = |(thread, us): (&u32, &u64)| {
        us.saturating_sub(before.threads.get(thread).copied().unwrap_or(0))
    };
    let busiest_us = after.threads.iter().map(used).max().unwrap_or(0);
    // The threads' times are exact, the process's are ticks of 10 ms: those only divide.
    let used_us: u64 = after.threads.iter().map(used).sum();
    let user_us = last.user_us.saturating_sub(first.user_us);
    let user_share = share(user_us, cpu_between(before.broker, after.broker));
    let us_per_message = share(used_us, messages);
    Some(BrokerOutcome {
        cores_used: per_second(used_us as f64 / 1e6, seconds),
        busiest_thread: per_second(busiest_us as f64 / 1e6, seconds),
        user_us_per_message: us_per_message * user_share,
        system_us_per_message: us_per_message * (1.0 - user_share),
        rss_before: surroundings.before.broker?.rss_bytes,
        rss_peak: surroundings.rss_peak(),
        rss_after: surroundings.after.broker?.rss_bytes,
    })
}

/// The two rules under which figures do not say what they seem to say.
fn void_reasons(outcome: &Outcome) -> Vec<String> {
    let mut reasons = Vec::new();
    let Latencies { consume, confirm, lag, .. } = &outcome.latency;
    if let (Some(lag), Some(measured)) = (lag, consume.or(*confirm))
        && lag.p99 > measured.p99 * LAG_SHARE_MAX
    {
        reasons.push(format!(
            "generator lag: its own p99 of {:.0} µs is more than 10% of the measured {:.0} µs; \
             give it a core of its own (--cores) or a lower rate",
            lag.p99, measured.p99
        ));
    }
    let busiest = outcome.generator.busy_shares.iter().copied().fold(0.0, f64::max);
    let is_used_up =
        outcome.broker_process.is_some_and(|broker| broker.busiest_thread >= BUSY_SHARE_MAX);
    if busiest > BUSY_SHARE_MAX && !is_used_up {
        let room = match &outcome.broker_process {
            Some(broker) => {
                format!("the broker's busiest thread used {:.0}%", broker.busiest_thread * 100.0)
            }
            None => "what the broker used is not known".to_owned(),
        };
        reasons.push(format!(
            "client-bound: a core of the generator was busy {:.0}% of the time, {room}; give it \
             more cores (--cores)",
            busiest * 100.0
        ));
    }
    reasons
}

fn disturbances(outcome: &Outcome) -> Vec<String> {
    let mut disturbances = Vec::new();
    if outcome.steal_share > STEAL_SHARE_MAX {
        let share = outcome.steal_share * 100.0;
        disturbances.push(format!("the host took {share:.1}% of the machine's time (steal)"));
    }
    if outcome.foreign_share > FOREIGN_SHARE_MAX {
        let share = outcome.foreign_share * 100.0;
        disturbances.push(format!("other programs took {share:.1}% of the machine's time"));
    }
    disturbances
}

fn notes(conductor: &Conductor<'_>, plan: &Plan, ends: &[CoreEnd]) -> Vec<String> {
    let mut notes = Vec::new();
    let blocked: u64 = ends.iter().map(|end| end.blocked).sum();
    if blocked > 0 {
        notes.push(format!("the broker blocked publishing connections {blocked} times"));
    }
    if conductor.has_standstill {
        notes.push("deliveries or confirms were missing when nothing moved any more".to_owned());
    }
    if smallest_body(conductor.options) < CHECKED_BYTES {
        notes.push("bodies below 16 octets have no check: corruption is not seen".to_owned());
    }
    if plan.publishers.iter().all(|publisher| publisher.reach.iter().all(Vec::is_empty))
        && !plan.publishers.is_empty()
    {
        notes.push("no queue of this run is bound to what is published".to_owned());
    }
    notes
}

/// Reads a file of the outcome's form: one outcome, or a list of them.
///
/// # Errors
/// What is wrong with the file, for the user.
pub(crate) fn read_outcomes(path: &std::path::Path) -> Result<Vec<Outcome>, String> {
    let shown = path.display();
    let text = fs::read_to_string(path).map_err(|error| format!("{shown}: {error}"))?;
    let values = serde_json::Deserializer::from_str(&text).into_iter::<serde_json::Value>();
    let mut outcomes = Vec::new();
    for value in values {
        let value = value.map_err(|error| format!("{shown}: {error}"))?;
        let list = match value {
            serde_json::Value::Array(list) => list,
            single => vec![single],
        };
        for value in list {
            let read = serde_json::from_value(value);
            outcomes.push(read.map_err(|error| format!("{shown}: no outcome of a run: {error}"))?);
        }
    }
    match outcomes.is_empty() {
        true => Err(format!("{shown} holds no outcome")),
        false => Ok(outcomes),
    }
}
