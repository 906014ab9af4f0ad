//! What the cores and the main thread know of each other while a run goes on.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Time in nanoseconds, the same on all cores.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    base: Instant,
    base_unix_ns: u64,
}

impl Clock {
    pub(crate) fn new() -> Clock {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock { base: Instant::now(), base_unix_ns: unix.as_nanos() as u64 }
    }

    /// Nanoseconds since the clock was made.
    #[inline]
    pub(crate) fn now_ns(&self) -> u64 {
        self.base.elapsed().as_nanos() as u64
    }

    /// A moment of this clock, in nanoseconds of the Unix epoch: comparable between processes.
    #[inline]
    pub(crate) fn unix_ns(&self, at_ns: u64) -> u64 {
        self.base_unix_ns + at_ns
    }
}

/// Signals between the main thread and the cores. Cores look at them once per round.
#[derive(Debug)]
pub(crate) struct Shared {
    /// When publishing begins, by the clock; 0 while it has not been said.
    start_ns: AtomicU64,
    publishing_ends: AtomicBool,
    ends: AtomicBool,
    /// Consumers that the broker has accepted.
    consumers_ready: AtomicU64,
    pub(crate) cores: Vec<CoreCounters>,
}

/// Running totals of one core, written by it once per round.
#[derive(Debug, Default)]
pub(crate) struct CoreCounters {
    /// Deliveries that its publishes should cause.
    pub(crate) expected: AtomicU64,
    /// Deliveries of messages not seen before.
    pub(crate) first_deliveries: AtomicU64,
    /// Publishes that wait for a confirm.
    pub(crate) unconfirmed: AtomicU64,
    /// Anything that moves while there is progress.
    pub(crate) progress: AtomicU64,
    /// All its publishers have sent what they were to send.
    pub(crate) publishers_done: AtomicBool,
    /// All its consumers have had what they were to get.
    pub(crate) consumers_done: AtomicBool,
    /// It has given up because of a failure.
    pub(crate) has_failed: AtomicBool,
}

impl Shared {
    pub(crate) fn new(cores: usize) -> Shared {
        Shared {
            start_ns: AtomicU64::new(0),
            publishing_ends: AtomicBool::new(false),
            ends: AtomicBool::new(false),
            consumers_ready: AtomicU64::new(0),
            cores: (0..cores).map(|_| CoreCounters::default()).collect(),
        }
    }

    /// Publishing begins at `start_ns`, by the clock.
    pub(crate) fn begin(&self, start_ns: u64) {
        self.start_ns.store(start_ns.max(1), Ordering::Release);
    }

    pub(crate) fn start_ns(&self) -> Option<u64> {
        Some(self.start_ns.load(Ordering::Acquire)).filter(|start_ns| *start_ns > 0)
    }

    pub(crate) fn end_publishing(&self) {
        self.publishing_ends.store(true, Ordering::Release);
    }

    pub(crate) fn publishing_ends(&self) -> bool {
        self.publishing_ends.load(Ordering::Relaxed)
    }

    pub(crate) fn end(&self) {
        self.ends.store(true, Ordering::Release);
    }

    pub(crate) fn ends(&self) -> bool {
        self.ends.load(Ordering::Relaxed)
    }

    pub(crate) fn count_consumer(&self) {
        self.consumers_ready.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn consumers_ready(&self) -> u64 {
        self.consumers_ready.load(Ordering::Acquire)
    }

    /// The sum of one counter over all cores.
    pub(crate) fn sum(&self, counter: impl Fn(&CoreCounters) -> &AtomicU64) -> u64 {
        self.cores.iter().map(|core| counter(core).load(Ordering::Relaxed)).sum()
    }

    /// Whether a flag is set on all cores.
    pub(crate) fn all(&self, flag: impl Fn(&CoreCounters) -> &AtomicBool) -> bool {
        self.cores.iter().all(|core| flag(core).load(Ordering::Acquire))
    }

    /// Whether a flag is set on any core.
    pub(crate) fn any(&self, flag: impl Fn(&CoreCounters) -> &AtomicBool) -> bool {
        self.cores.iter().any(|core| flag(core).load(Ordering::Acquire))
    }
}
