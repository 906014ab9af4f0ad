//! How often a CPU stands still for a thread that only looks at the clock: what the hypervisor,
//! interrupts and other programs take, in pieces that no program on it can avoid.

use std::fs;
use std::time::{Duration, Instant};

use haremq_reactor::{CorePlacement, spawn_core};
use serde_json::{Map, Value, json};

use crate::PlaceOptions;

/// From this on the clock stood still; two looks are some tens of nanoseconds apart.
const STALL_MIN: Duration = Duration::from_micros(5);
/// Waits that are told, in microseconds.
const WAITS_US: [u32; 9] = [25, 50, 100, 200, 400, 800, 1600, 3200, 6400];
/// No wait is looked for beyond it.
const LONGEST_US: u32 = 1_000_000;

/// What one CPU was seen to do.
struct Watched {
    lasted: Duration,
    stalls: Vec<Stall>,
}

struct Stall {
    lasted: Duration,
    /// Whether another thread of this system had the CPU; else the host or an interrupt had it.
    is_switch: bool,
}

/// Watches both CPUs at once.
///
/// # Errors
/// What the machine refuses, for the user.
pub(crate) fn measure(options: PlaceOptions) -> Result<Value, String> {
    let time = Duration::from_millis(options.time_ms);
    let watch = |cpu| {
        let placement = CorePlacement { cpu: Some(cpu), name: "stalls".to_owned() };
        spawn_core(placement, move || watched(time)).map_err(|error| error.to_string())
    };
    let (first, second) = (watch(options.cpu)?, watch(options.other_cpu)?);
    let (first, second) = (
        first.join().map_err(|error| error.to_string())?,
        second.join().map_err(|error| error.to_string())?,
    );
    let both = |us| 1.0 - (1.0 - first.share_of_waits(us)) * (1.0 - second.share_of_waits(us));
    Ok(json!({
        "cpu": first.told(),
        "other_cpu": second.told(),
        "share_of_arrivals_that_wait_longer_us": shares(both),
        "p99_us": wait_of_share(0.01, both),
    }))
}

/// Looks at the clock for this long.
fn watched(time: Duration) -> Watched {
    let (began, mut stalls) = (Instant::now(), Vec::with_capacity(1 << 16));
    let (mut last, mut switches) = (began, involuntary_switches());
    while last - began < time {
        let now = Instant::now();
        let lasted = now - last;
        last = now;
        if lasted >= STALL_MIN {
            let switched = involuntary_switches();
            stalls.push(Stall { lasted, is_switch: switched != switches });
            switches = switched;
            // The look at the counter is no stall.
            last = Instant::now();
        }
    }
    Watched { lasted: last - began, stalls }
}

/// How often this thread had to leave the CPU to another one; 0 where the kernel does not tell.
fn involuntary_switches() -> u64 {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("nonvoluntary_ctxt_switches:"));
    line.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

impl Watched {
    /// Of messages that come at random moments: the share that meets a stall and waits for more
    /// than this until its end.
    fn share_of_waits(&self, us: u32) -> f64 {
        let wait = Duration::from_micros(us.into());
        let later: Duration = self.stalls.iter().map(|s| s.lasted.saturating_sub(wait)).sum();
        later.as_secs_f64() / self.lasted.as_secs_f64()
    }

    fn told(&self) -> Value {
        let whole = self.lasted.as_secs_f64();
        let share = |is_switch: bool| {
            let stalls = self.stalls.iter().filter(|stall| stall.is_switch == is_switch);
            stalls.map(|stall| stall.lasted.as_secs_f64()).sum::<f64>() / whole
        };
        let longest = self.stalls.iter().map(|stall| stall.lasted).max().unwrap_or_default();
        json!({
            "stalls_per_second": self.stalls.len() as f64 / whole,
            "longest_us": longest.as_nanos() as f64 / 1e3,
            "share_taken_by_other_threads": share(true),
            "share_taken_by_host_and_interrupts": share(false),
            "share_of_arrivals_that_wait_longer_us": shares(|us| self.share_of_waits(us)),
        })
    }
}

/// The shares by microseconds of waiting.
fn shares(of_wait: impl Fn(u32) -> f64) -> Value {
    let shares = WAITS_US.map(|us| (us.to_string(), json!(of_wait(us))));
    Value::Object(shares.into_iter().collect::<Map<_, _>>())
}

/// The least wait, in microseconds, that at most this share of all messages exceeds.
fn wait_of_share(share: f64, of_wait: impl Fn(u32) -> f64) -> u32 {
    let (mut too_short, mut enough) = (0, LONGEST_US);
    while enough - too_short > 1 {
        let middle = too_short.midpoint(enough);
        let side = if of_wait(middle) > share { &mut too_short } else { &mut enough };
        *side = middle;
    }
    enough
}
