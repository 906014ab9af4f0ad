//! A broker that is stopped and continued at random under load goes on at once, and loses nothing.

mod load_support;

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use load_support::{BEARABLE_PER_SECOND, Consumed, Load, Rates, TwoCores, expect_all, seconds};

/// How long deliveries may rest beyond the stops.
const GAP_MAX: Duration = Duration::from_millis(500);
const STOP_MS: (u64, u64) = (5, 150);
const RUN_MS: (u64, u64) = (20, 200);

/// From before the stop was asked for until after the broker went on.
type Stop = (Instant, Instant);

/// Numbers that look random, from a seed.
struct Prng(u64);

impl Prng {
    fn between(&mut self, (low, high): (u64, u64)) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        Duration::from_millis(low + self.0 % (high - low + 1))
    }
}

fn stop_and_continue(cores: &TwoCores, until: Instant, prng: &mut Prng) -> Vec<Stop> {
    let mut stops = Vec::new();
    while Instant::now() < until {
        thread::park_timeout(prng.between(RUN_MS));
        let from = Instant::now();
        cores.broker.signal("STOP");
        thread::park_timeout(prng.between(STOP_MS));
        cores.broker.signal("CONT");
        stops.push((from, Instant::now()));
    }
    stops
}

/// The part of a gap in which the broker ran.
fn running(gap: (Instant, Instant), stops: &[Stop]) -> Duration {
    let overlap = |stop: &Stop| stop.1.min(gap.1).saturating_duration_since(stop.0.max(gap.0));
    (gap.1 - gap.0).saturating_sub(stops.iter().map(overlap).sum())
}

fn longest_gap(consumed: &[Consumed], until: Instant, stops: &[Stop]) -> Duration {
    let gaps = consumed.iter().flat_map(|consumer| &consumer.gaps);
    let under_load = gaps.filter(|gap| gap.1 <= until);
    under_load.map(|gap| running(*gap, stops)).max().unwrap_or_default()
}

#[test]
fn a_broker_that_is_stopped_at_random_goes_on_and_loses_nothing() {
    let duration = seconds("HAREMQ_STOP_SECONDS", 60);
    let half = 0.5 * BEARABLE_PER_SECOND;
    let rates = Rates { first_per_second: half, first_for: duration, then_per_second: half };
    let mut cores = TwoCores::start("64MiB");
    let load = Load::start(&mut cores, 0, 1, rates, duration);
    let (progress, until) = (load.progress.clone(), load.until);
    let seed = u64::from(std::process::id());
    let stops = stop_and_continue(&cores, until, &mut Prng(seed));

    // A hang is a failure, and not for the test to hang in.
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(load.join()));
    let consumed = receiver.recv_timeout(load_support::DEADLINE).expect("all arrives in time");

    let longest = longest_gap(&consumed, until, &stops);
    println!("{} stops, seed {seed}; longest rest beside them {longest:.0?}", stops.len());
    assert!(!stops.is_empty());
    assert!(longest <= GAP_MAX, "deliveries rested for {longest:?}, seed {seed}");
    expect_all(&progress, &consumed);
}
