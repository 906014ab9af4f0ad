//! What cores and the watchdog see of one another: plain samples, never on the data path.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// One core's samples; written by that core only.
#[derive(Debug, Default)]
pub(crate) struct CoreSamples {
    /// Rounds of the core loop.
    pub(crate) ticks: AtomicU64,
    /// Whether the core is between two waits.
    pub(crate) is_busy: AtomicBool,
    /// Memory of its messages and buffers, in bytes.
    pub(crate) memory_bytes: AtomicU64,
}

/// Shared by all cores, the watchdog and whoever stops the broker.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) cores: Vec<CoreSamples>,
    pub(crate) memory_limit_bytes: u64,
    is_stopping: AtomicBool,
    /// Cores on which no connection is left, while stopping.
    drained: AtomicU32,
    /// Stalls that the watchdog has seen.
    pub(crate) stalls: AtomicU64,
}

impl Shared {
    pub(crate) fn new(cores: usize, memory_limit_bytes: u64) -> Shared {
        Shared {
            cores: (0..cores).map(|_| CoreSamples::default()).collect(),
            memory_limit_bytes,
            is_stopping: AtomicBool::new(false),
            drained: AtomicU32::new(0),
            stalls: AtomicU64::new(0),
        }
    }

    pub(crate) fn stop(&self) {
        self.is_stopping.store(true, Ordering::Release);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }

    /// A core has no connection left; returns whether it was the last one.
    pub(crate) fn count_drained(&self) -> bool {
        self.drained.fetch_add(1, Ordering::AcqRel) as usize + 1 == self.cores.len()
    }

    pub(crate) fn is_everyone_drained(&self) -> bool {
        self.drained.load(Ordering::Acquire) as usize == self.cores.len()
    }

    /// Memory over all cores, in bytes.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.cores.iter().map(|core| core.memory_bytes.load(Ordering::Relaxed)).sum()
    }
}
