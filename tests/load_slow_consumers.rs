//! Consumers that ack slowly, on another core than their queue: what they can bear leaves memory
//! level; twice as much is held back at the publisher, while everything goes on.

mod load_support;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use load_support::{
    BEARABLE_PER_SECOND, Load, Progress, Rates, TwoCores, alone, expect_all, resident_bytes,
    seconds,
};

const MEMORY: &str = "64MiB";
const MEMORY_BYTES: u64 = 64 << 20;
/// Beyond the messages: buffers, code, and what the allocator keeps.
const BESIDE_BYTES_MAX: u64 = 64 << 20;
/// How far memory may move under a load that can be borne.
const LEVEL_BYTES_MAX: u64 = 8 << 20;
/// The first share of the time is for the load that can be borne.
const BEARABLE_SHARE: f64 = 0.3;

/// One look at the broker.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Duration,
    resident: u64,
    received: u64,
}

fn sample_until(until: Instant, from: Instant, pid: u32, progress: &Progress) -> Vec<Sample> {
    let mut samples = Vec::new();
    while Instant::now() < until {
        let received = progress.received.load(Ordering::Relaxed);
        samples.push(Sample { at: from.elapsed(), resident: resident_bytes(pid), received });
        std::thread::park_timeout(Duration::from_millis(100));
    }
    samples
}

/// Mean memory in a part of the time.
fn mean_resident(samples: &[Sample], from: Duration, to: Duration) -> u64 {
    let chosen = samples.iter().filter(|sample| (from..to).contains(&sample.at));
    let residents: Vec<u64> = chosen.map(|sample| sample.resident).collect();
    assert!(!residents.is_empty(), "no sample between {from:?} and {to:?}");
    residents.iter().sum::<u64>() / residents.len() as u64
}

fn check(queue_core: usize, client_core: usize) {
    let _turn = alone();
    let duration = seconds("HAREMQ_LOAD_SECONDS", 12);
    let bearable_for = duration.mul_f64(BEARABLE_SHARE);
    let rates = Rates {
        first_per_second: 0.75 * BEARABLE_PER_SECOND,
        first_for: bearable_for,
        then_per_second: 2.0 * BEARABLE_PER_SECOND,
    };
    let mut cores = TwoCores::start(MEMORY);
    let pid = cores.broker.pid();
    let load = Load::start(&mut cores, queue_core, client_core, rates, duration);
    let progress = load.progress.clone();
    let from = Instant::now();
    let samples = sample_until(load.until, from, pid, &progress);
    let offered = progress.offered.load(Ordering::Relaxed);
    let confirmed = progress.confirmed.load(Ordering::Relaxed);
    let consumed = load.join();

    let third = mean_resident(&samples, bearable_for.mul_f64(0.5), bearable_for.mul_f64(0.75));
    let fourth = mean_resident(&samples, bearable_for.mul_f64(0.75), bearable_for);
    let peak = samples.iter().map(|sample| sample.resident).max().expect("there are samples");
    let late = samples.iter().find(|sample| sample.at >= duration.mul_f64(0.8));
    let (late, last) = (late.expect("it took long"), samples.last().expect("likewise"));
    let served = (last.received - late.received) as f64 / (last.at - late.at).as_secs_f64();
    println!(
        "queue on core {queue_core}, clients on {client_core}: resident KiB {} and {} under a \
         bearable load, {} at most; {confirmed} of {offered} taken; {served:.0} served a second",
        third >> 10,
        fourth >> 10,
        peak >> 10
    );
    assert!(fourth <= third + LEVEL_BYTES_MAX, "memory is level under a bearable load");
    assert!(peak <= fourth + MEMORY_BYTES + BESIDE_BYTES_MAX, "memory stays within its limit");
    assert!(confirmed < offered - offered / 10, "the publisher is held back");
    assert!(served >= 0.5 * BEARABLE_PER_SECOND, "consumers are served while publishers wait");
    expect_all(&progress, &consumed);
}

#[test]
fn slow_consumers_of_a_queue_on_the_first_core_hold_back_its_publisher() {
    check(0, 1);
}

#[test]
fn slow_consumers_of_a_queue_on_the_second_core_hold_back_its_publisher() {
    check(1, 0);
}
