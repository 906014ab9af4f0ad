//! Watches that every core with work makes progress.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::shared::Shared;

/// How often it looks.
const PERIOD: Duration = Duration::from_millis(100);
/// A core that is busy and makes no round for so long has stalled.
const STALL: Duration = Duration::from_millis(500);

/// What was last seen of a core.
#[derive(Clone, Copy)]
struct Seen {
    ticks: u64,
    since: Instant,
    is_reported: bool,
}

/// Looks until the broker stops. A core that sleeps is no stall, nor is a watchdog that was not
/// let run itself.
pub(crate) fn watch(shared: &Arc<Shared>, is_over: impl Fn(Duration) -> bool) {
    let start = Instant::now();
    let mut seen = vec![Seen { ticks: 0, since: start, is_reported: false }; shared.cores.len()];
    let mut last = start;
    while !is_over(PERIOD) {
        let now = Instant::now();
        let has_overslept = now.duration_since(last) > 2 * PERIOD;
        last = now;
        for (core, seen) in seen.iter_mut().enumerate() {
            look(shared, core, seen, now, has_overslept);
        }
    }
}

fn look(shared: &Shared, core: usize, seen: &mut Seen, now: Instant, has_overslept: bool) {
    let samples = &shared.cores[core];
    let ticks = samples.ticks.load(Ordering::Relaxed);
    let is_busy = samples.is_busy.load(Ordering::Relaxed);
    if ticks != seen.ticks || !is_busy || has_overslept {
        *seen = Seen { ticks, since: now, is_reported: false };
        return;
    }
    let stalled = now.duration_since(seen.since);
    if stalled >= STALL && !seen.is_reported {
        seen.is_reported = true;
        let stalls = shared.stalls.fetch_add(1, Ordering::Relaxed) + 1;
        let stalled_ms = stalled.as_millis();
        tracing::error!(core, stalled_ms, stalls, "a core has work and makes no progress");
    }
}
