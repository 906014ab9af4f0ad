//! A run from its options to its outcome.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use haremq_reactor::{
    CoreHandle, CorePlacement, CoreSelection, limit_open_files, probe, spawn_core,
};

use crate::body::{CHECKED_BYTES, HEAD_BYTES};
use crate::core::{CoreEnd, CoreReport, CoreSetup, run_core};
use crate::judge::{JudgeFacts, judge};
use crate::ledger::{Header, LedgerWriter};
use crate::lines::LinePrinter;
use crate::meter::Meter;
use crate::options::{MessageFlag, RunOptions};
use crate::outcome::Outcome;
use crate::plan::{Plan, smallest_body};
use crate::process::ProcessSample;
use crate::setup::{LinkSetup, Setup};
use crate::shared::{Clock, Shared};
use crate::summary::{Surroundings, outcome};
use crate::verify::Rules;

/// How long consumers may take to be accepted by the broker.
const CONSUMERS_TIMEOUT_NS: u64 = 60_000_000_000;
/// After the last publish, a broker that delivers and confirms nothing for so long has lost what
/// is missing: the short time if it is seen to do nothing else either.
const STANDSTILL_NS: u64 = 20_000_000_000;
const IDLE_STANDSTILL_NS: u64 = 3_000_000_000;
/// From here on a pause is worth a look at what the broker does.
const PAUSE_NS: u64 = 100_000_000;
/// Share of one CPU below which a broker counts as idle.
const IDLE_SHARE_MAX: f64 = 0.1;
/// From the word to the first publish, so that all cores have heard it.
const START_AHEAD_NS: u64 = 20_000_000;
/// How often the main thread looks at what the cores do.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A run that has ended, with what its outcome is made of.
pub(crate) struct Finished {
    pub(crate) outcome: Outcome,
    /// Per interval, for `.hlog`.
    pub(crate) meters: Vec<Meter>,
}

/// Runs to the end and prints a line per interval.
///
/// # Errors
/// Why the run could not begin, for the user.
pub(crate) fn run(
    options: &RunOptions,
    command: &[String],
    printer: &mut LinePrinter,
    interrupted: &Arc<AtomicBool>,
) -> Result<Finished, String> {
    let plan = Plan::new(options)?;
    let setup = Setup::new(options, &plan)?;
    // More descriptors than the hard limit allows are refused when they are needed.
    let _ = limit_open_files(1 << 20);
    let cpus = cpus(options)?;
    let ready = setup.make(cpus.len()).map_err(|error| error.to_string())?;
    let surroundings = Surroundings::new(options, &ready.facts);
    let clock = Clock::new();
    let shared = Arc::new(Shared::new(cpus.len()));
    let mut ledger = ledger(options, &plan, &ready.queue_names, clock, cpus.len())?;
    let (reports, inbox) = channel();
    let mut cores = Vec::new();
    for (index, links) in ready.links.into_iter().enumerate() {
        let mut setup = core_setup(options, &plan, index, links, clock, &shared, &reports);
        setup.recorder = ledger.as_mut().map(LedgerWriter::next_recorder);
        let placement = CorePlacement { cpu: cpus[index], name: format!("perf {index}") };
        let core = spawn_core(placement, move || run_core(setup));
        cores.push(core.map_err(|error| error.to_string())?);
    }
    drop(reports);
    let mut conductor = Conductor {
        options,
        clock,
        shared,
        inbox,
        surroundings,
        intervals: BTreeMap::new(),
        printer,
        interrupted,
        start_ns: 0,
        publishing_end_ns: 0,
        end_ns: 0,
        has_standstill: false,
        failure: None,
    };
    conductor.conduct(ready.consumer_count);
    let (ends, failure) = join(cores);
    if let Some(ledger) = ledger {
        ledger.join();
    }
    let failure = conductor.failure.take().or(failure);
    conductor.take_reports();
    let judgement = judge(&plan, &ends, &conductor.judge_facts(&plan, failure.is_some()));
    let meters = conductor.meters();
    let mut outcome = outcome(&conductor, &plan, &cpus, command, judgement, &ends);
    outcome.failure = failure;
    Ok(Finished { outcome, meters })
}

fn ledger(
    options: &RunOptions,
    plan: &Plan,
    queue_names: &[String],
    clock: Clock,
    cores: usize,
) -> Result<Option<LedgerWriter>, String> {
    let Some(path) = &options.ledger else { return Ok(None) };
    let header = Header {
        start_unix_ns: clock.unix_ns(clock.now_ns()),
        queues: queue_names.to_vec(),
        reach: plan.publishers.iter().map(|publisher| publisher.reach.clone()).collect(),
    };
    LedgerWriter::create(path, &header, cores).map(Some)
}

/// The CPU of each core, where it is pinned.
///
/// # Errors
/// What the machine does not have, for the user.
pub(crate) fn cpus(options: &RunOptions) -> Result<Vec<Option<usize>>, String> {
    let machine = probe();
    let selected = match &options.cores {
        CoreSelection::Auto => return Ok(vec![None]),
        selection => selection.resolve(&machine).map_err(|error| error.to_string())?,
    };
    let is_pinned = options.pin || matches!(options.cores, CoreSelection::Cpus(_));
    Ok(selected.into_iter().map(|cpu| is_pinned.then_some(cpu)).collect())
}

fn core_setup(
    options: &RunOptions,
    plan: &Plan,
    index: usize,
    links: Vec<LinkSetup>,
    clock: Clock,
    shared: &Arc<Shared>,
    reports: &Sender<CoreReport>,
) -> CoreSetup {
    let has_publishers = !plan.publishers.is_empty() && options.rate != 0.0;
    CoreSetup {
        index,
        links,
        queue_count: plan.queues.len(),
        clock,
        shared: Arc::clone(shared),
        reports: reports.clone(),
        interval_ns: interval_ns(options),
        rules: Rules {
            start_unix_ns: if has_publishers { u64::MAX } else { 0 },
            knows_publishers: knows_publishers(options, plan),
            expects_redelivery: (options.nack && options.requeue) || options.requeue_once,
        },
        consumer_arguments: plan.consumer_arguments.clone(),
        polling_ns: options.polling.then_some(options.polling_interval * 1_000_000),
        heartbeat_ns: u64::from(options.heartbeat) * 1_000_000_000,
        consumer_start_delay_ns: (options.consumer_start_delay * 1e9) as u64,
        has_lag: options.body.is_empty() && smallest_body(options) >= HEAD_BYTES,
        is_raw: options.raw,
        recorder: None,
    }
}

/// Bodies name their publishers, or there can be only one.
fn knows_publishers(options: &RunOptions, plan: &Plan) -> bool {
    plan.publishers.len() == 1 || smallest_body(options) >= CHECKED_BYTES
}

/// Intervals are no longer than the run.
fn interval_ns(options: &RunOptions) -> u64 {
    let seconds = match options.time > 0.0 {
        true => options.interval.min(options.time),
        false => options.interval,
    };
    (seconds * 1e9) as u64
}

fn join(cores: Vec<CoreHandle<CoreEnd>>) -> (Vec<CoreEnd>, Option<String>) {
    let mut ends = Vec::new();
    let mut failure = None;
    for core in cores {
        match core.join() {
            Ok(end) => {
                failure = failure.or(end.failure.clone());
                ends.push(end);
            }
            Err(error) => failure = failure.or(Some(error.to_string())),
        }
    }
    (ends, failure)
}

/// One interval of all cores.
pub(crate) struct IntervalSum {
    pub(crate) meter: Meter,
    pub(crate) cores: usize,
    pub(crate) cpu_ns: u64,
    /// By core.
    pub(crate) busy_ns: Vec<u64>,
}

/// The main thread's part of a run.
pub(crate) struct Conductor<'a> {
    pub(crate) options: &'a RunOptions,
    clock: Clock,
    shared: Arc<Shared>,
    inbox: Receiver<CoreReport>,
    pub(crate) surroundings: Surroundings,
    pub(crate) intervals: BTreeMap<u64, IntervalSum>,
    printer: &'a mut LinePrinter,
    interrupted: &'a Arc<AtomicBool>,
    pub(crate) start_ns: u64,
    pub(crate) publishing_end_ns: u64,
    pub(crate) end_ns: u64,
    /// Deliveries or confirms were still missing when nothing moved any more.
    pub(crate) has_standstill: bool,
    failure: Option<String>,
}

impl Conductor<'_> {
    fn conduct(&mut self, consumers: u64) {
        self.surroundings.begin();
        if self.options.consumer_start_delay == 0.0 {
            self.wait_for_consumers(consumers);
        }
        self.start_ns = self.clock.now_ns() + START_AHEAD_NS;
        self.shared.begin(self.start_ns);
        self.wait_for_publishing();
        self.publishing_end_ns = self.clock.now_ns();
        self.shared.end_publishing();
        self.wait_for_rest();
        self.end_ns = self.clock.now_ns();
        self.surroundings.end();
        self.shared.end();
    }

    fn has_failed(&self) -> bool {
        self.failure.is_some() || self.shared.any(|core| &core.has_failed)
    }

    /// An interruption ends the publishing; what is under way is still taken and checked.
    fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    fn wait_for_consumers(&mut self, count: u64) {
        let end_ns = self.clock.now_ns() + CONSUMERS_TIMEOUT_NS;
        while self.shared.consumers_ready() < count
            && !self.has_failed()
            && !self.is_interrupted()
            && self.clock.now_ns() < end_ns
        {
            self.take_report();
        }
    }

    fn wait_for_publishing(&mut self) {
        let limit_ns = match self.options.time > 0.0 {
            true => self.start_ns + (self.options.time * 1e9) as u64,
            false => u64::MAX,
        };
        let only_consumes = self.options.producers == 0 || self.options.rate == 0.0;
        let has_consumers = self.options.consumers > 0;
        let mut watch = AnswerWatch { progress: 0, since_ns: self.clock.now_ns() };
        while self.clock.now_ns() < limit_ns && !self.has_failed() && !self.is_interrupted() {
            let consumed = self.shared.all(|core| &core.consumers_done);
            if has_consumers && self.options.cmessages > 0 && consumed {
                return;
            }
            if !only_consumes && self.shared.all(|core| &core.publishers_done) {
                return;
            }
            if only_consumes && !has_consumers {
                return;
            }
            if watch.is_stuck(self) {
                // A reply that does not come is judged with all else that did not.
                if self.options.confirm > 0 {
                    let seconds = self.options.confirm_timeout;
                    self.failure = Some(format!("no confirm came for {seconds} s"));
                }
                return;
            }
            self.take_report();
        }
    }

    /// Lets consumers take and the broker confirm what was published, as long as that goes on.
    fn wait_for_rest(&mut self) {
        if self.options.producers == 0 || self.options.rate == 0.0 {
            return;
        }
        let give_up_ns = self.clock.now_ns() + (self.options.shutdown_timeout * 1e9) as u64;
        let mut pause = Pause { progress: u64::MAX, since_ns: 0, broker: None };
        // Cores need a round to hear that publishing is over, and to tell what they published.
        let settle_ns = self.clock.now_ns() + START_AHEAD_NS;
        while !self.has_failed() {
            let now_ns = self.clock.now_ns();
            if now_ns >= settle_ns && self.is_at_rest() {
                return;
            }
            if pause.is_for_ever(self, now_ns) {
                self.has_standstill = true;
                return;
            }
            if now_ns > give_up_ns {
                return;
            }
            self.take_report();
        }
    }

    fn is_at_rest(&self) -> bool {
        let expected = self.shared.sum(|core| &core.expected);
        let delivered = self.shared.sum(|core| &core.first_deliveries);
        let unconfirmed = self.shared.sum(|core| &core.unconfirmed);
        delivered >= expected && unconfirmed == 0
    }

    fn take_report(&mut self) {
        match self.inbox.recv_timeout(LOOK_EVERY) {
            Ok(report) => self.add_report(report),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(LOOK_EVERY),
        }
    }

    /// What is left after the cores have ended.
    fn take_reports(&mut self) {
        while let Ok(report) = self.inbox.try_recv() {
            self.add_report(report);
        }
    }

    fn add_report(&mut self, report: CoreReport) {
        let core_count = self.shared.cores.len();
        let sum = self.intervals.entry(report.interval).or_insert_with(|| IntervalSum {
            meter: Meter::new(),
            cores: 0,
            cpu_ns: 0,
            busy_ns: vec![0; core_count],
        });
        sum.meter.add(&report.meter);
        sum.cores += 1;
        sum.cpu_ns += report.cpu_ns;
        sum.busy_ns[report.core] = report.meter.counts.busy_ns;
        if sum.cores == core_count && self.end_ns == 0 {
            self.surroundings.sample(report.interval);
            let interval = self.interval(report.interval);
            if report.interval * self.interval_ns() < self.limit_ns() {
                self.printer.print(&interval);
            }
        }
    }

    pub(crate) fn interval_ns(&self) -> u64 {
        interval_ns(self.options)
    }

    /// End of publishing after the start, if it was set.
    fn limit_ns(&self) -> u64 {
        if self.options.time > 0.0 { (self.options.time * 1e9) as u64 } else { u64::MAX }
    }

    /// What counts: from the warm-up to the end of publishing, or, if it is counts that end the
    /// run, to its end. In ns after the start.
    pub(crate) fn measured(&self) -> std::ops::Range<u64> {
        let warmup_ns = (self.options.warmup * 1e9) as u64;
        let ran_ns = self.end_ns.saturating_sub(self.start_ns);
        let published_ns = self.publishing_end_ns.saturating_sub(self.start_ns);
        let whole = self.interval_ns();
        let end_ns = match self.options.time > 0.0 && ran_ns >= self.limit_ns() {
            true => self.limit_ns() / whole * whole,
            false if self.is_interrupted() && published_ns >= whole => published_ns / whole * whole,
            false => ran_ns,
        };
        let start_ns = warmup_ns.div_ceil(whole) * whole;
        if start_ns < end_ns { start_ns..end_ns } else { 0..end_ns }
    }

    /// Whether an interval is part of the summary.
    pub(crate) fn is_measured(&self, interval: u64) -> bool {
        self.measured().contains(&(interval * self.interval_ns()))
    }

    /// The histograms of the whole intervals, for `.hlog`.
    fn meters(&self) -> Vec<Meter> {
        self.intervals.values().map(|sum| sum.meter.clone()).collect()
    }

    fn judge_facts(&self, plan: &Plan, has_failed: bool) -> JudgeFacts {
        JudgeFacts {
            knows_publishers: knows_publishers(self.options, plan),
            was_cut_short: has_failed,
            is_at_rest: self.is_at_rest(),
            has_standstill: self.has_standstill,
            consumers_limited: self.options.cmessages > 0,
        }
    }
}

/// Tells a broker that has nothing more to deliver from one that is slow.
struct Pause {
    progress: u64,
    since_ns: u64,
    /// At about that time, and when exactly.
    broker: Option<(ProcessSample, u64)>,
}

impl Pause {
    fn is_for_ever(&mut self, conductor: &Conductor<'_>, now_ns: u64) -> bool {
        let progress = conductor.shared.sum(|core| &core.progress);
        if progress != self.progress {
            *self = Pause { progress, since_ns: now_ns, broker: None };
        }
        let paused_ns = now_ns - self.since_ns;
        let pid = conductor.surroundings.broker.pid;
        if paused_ns > PAUSE_NS && self.broker.is_none() {
            self.broker = pid.and_then(ProcessSample::of).map(|sample| (sample, now_ns));
        }
        if paused_ns <= IDLE_STANDSTILL_NS {
            return false;
        }
        paused_ns > STANDSTILL_NS || self.is_idle(conductor, pid, now_ns)
    }

    /// Waiting for a medium looks idle, too, so this is not asked where messages are persistent.
    fn is_idle(&self, conductor: &Conductor<'_>, pid: Option<u32>, now_ns: u64) -> bool {
        let is_persistent = conductor.options.flag.contains(&MessageFlag::Persistent);
        let Some((before, at_ns)) = self.broker.filter(|_| !is_persistent) else { return false };
        let Some(now) = pid.and_then(ProcessSample::of) else { return false };
        let used_ns = now.cpu_us().saturating_sub(before.cpu_us()) * 1000;
        (used_ns as f64) < (now_ns - at_ns) as f64 * IDLE_SHARE_MAX
    }
}

/// Watches that confirms and replies keep coming, where producers wait for them.
struct AnswerWatch {
    progress: u64,
    since_ns: u64,
}

impl AnswerWatch {
    fn is_stuck(&mut self, conductor: &Conductor<'_>) -> bool {
        let now_ns = conductor.clock.now_ns();
        let progress = conductor.shared.sum(|core| &core.progress);
        let shared = &conductor.shared;
        let has_requests = conductor.options.rpc.is_some()
            && shared.sum(|core| &core.expected) > shared.sum(|core| &core.first_deliveries);
        let is_waiting = shared.sum(|core| &core.unconfirmed) > 0 || has_requests;
        if progress != self.progress || !is_waiting {
            (self.progress, self.since_ns) = (progress, now_ns);
        }
        now_ns - self.since_ns > (conductor.options.confirm_timeout * 1e9) as u64
    }
}
