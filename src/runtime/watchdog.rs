//! Watches that every core with work makes progress, and that memory which is free goes back.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::heap::Heap;
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
    let mut heap = Heap::default();
    while !is_over(PERIOD) {
        if heap.is_to_shrink(shared.memory_bytes()) {
            haremq_reactor::return_free_pages();
        }
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;
    use std::time::{Duration, Instant};

    use super::{STALL, Seen, look};
    use crate::shared::Shared;

    /// Stalls counted after a core has been looked at, `elapsed` after its last round.
    fn stalls(is_busy: bool, elapsed: Duration, has_overslept: bool) -> u64 {
        let shared = Shared::new(1, 0);
        shared.cores[0].is_busy.store(is_busy, Ordering::Relaxed);
        let since = Instant::now();
        let mut seen = Seen { ticks: 0, since, is_reported: false };
        look(&shared, 0, &mut seen, since + elapsed, has_overslept);
        look(&shared, 0, &mut seen, since + elapsed, has_overslept);
        shared.stalls.load(Ordering::Relaxed)
    }

    #[test]
    fn busy_core_without_a_round_is_reported_once() {
        assert_eq!(stalls(true, STALL, false), 1);
        assert_eq!(stalls(true, STALL - Duration::from_millis(1), false), 0);
    }

    #[test]
    fn sleeping_core_is_no_stall() {
        assert_eq!(stalls(false, 10 * STALL, false), 0);
    }

    #[test]
    fn watchdog_that_was_not_let_run_accuses_nobody() {
        assert_eq!(stalls(true, 10 * STALL, true), 0);
    }
}
