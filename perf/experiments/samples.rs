//! Taking times, and what is told of them.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Repeats of a figure; their spread is told with it.
const REPEATS: u32 = 5;
/// Calls between two looks at the clock.
const CALLS: u32 = 100;

/// Nanoseconds that one call of `step` takes, looked at in repeats that together last `time`.
pub(crate) fn ns_per_call(time: Duration, mut step: impl FnMut()) -> Value {
    let repeats = (0..REPEATS).map(|_| {
        let began = Instant::now();
        let mut calls = 0u64;
        while began.elapsed() < time / REPEATS {
            (0..CALLS).for_each(|_| step());
            calls += u64::from(CALLS);
        }
        began.elapsed().as_nanos() as f64 / calls as f64
    });
    let mut repeats: Vec<f64> = repeats.collect();
    repeats.sort_by(f64::total_cmp);
    let (middle, last) = (repeats.len() / 2, repeats.len() - 1);
    json!({ "median": repeats[middle], "min": repeats[0], "max": repeats[last] })
}

/// What is told of times in nanoseconds; null of none.
pub(crate) fn quantiles(mut times_ns: Vec<u64>) -> Value {
    if times_ns.is_empty() {
        return Value::Null;
    }
    times_ns.sort_unstable();
    let at = |share: f64| times_ns[((times_ns.len() - 1) as f64 * share) as usize];
    let count = times_ns.len();
    json!({ "count": count, "min": at(0.0), "p50": at(0.5), "p99": at(0.99), "max": at(1.0) })
}

/// CPU time of the calling thread in nanoseconds; 0 where the kernel does not tell.
pub(crate) fn thread_cpu_ns() -> u64 {
    let times = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    times.split_whitespace().next().and_then(|ns| ns.parse().ok()).unwrap_or(0)
}
