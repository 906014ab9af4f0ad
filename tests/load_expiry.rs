//! How late messages expire, as a client sees it.

mod load_support;

use std::time::{Duration, Instant};

use load_support::{Publisher, TwoCores};

const MESSAGES: usize = 200;
const TTL: Duration = Duration::from_millis(50);
const APART: Duration = Duration::from_millis(5);
/// The broker's clock counts these, so an age may be off by one.
const MILLISECOND: Duration = Duration::from_millis(1);
const LATENESS_MAX: Duration = Duration::from_millis(100);
const QUEUE: &str = "expiring";

/// Publishes a message each few milliseconds and looks all the time how many have gone. Tells
/// when each was sent and when it was seen to be gone; the real lateness is the smaller one.
fn watch() -> Vec<(Instant, Instant)> {
    let mut cores = TwoCores::start("64MiB");
    let mut watcher = cores.connect_on(0);
    watcher.declare_with_ttl(QUEUE, TTL);
    let mut publisher = Publisher::new(cores.connect_on(1), QUEUE, 16);
    let (start, mut sent, mut seen) = (Instant::now(), Vec::new(), Vec::new());
    while seen.len() < MESSAGES {
        assert!(start.elapsed() < load_support::DEADLINE, "{} have gone", seen.len());
        if sent.len() < MESSAGES && start.elapsed() >= APART * sent.len() as u32 {
            sent.push(Instant::now());
            publisher.publish();
            publisher.client.flush();
            publisher.await_confirms();
        }
        let gone = sent.len() - watcher.count(QUEUE) as usize;
        seen.resize(gone, Instant::now());
    }
    sent.into_iter().zip(seen).collect()
}

#[test]
fn messages_expire_on_time() {
    let lateness = |(sent, seen): (Instant, Instant)| {
        let age = seen - sent;
        assert!(age + MILLISECOND >= TTL, "a message expired early, after {age:?}");
        age.saturating_sub(TTL)
    };
    let mut late: Vec<Duration> = watch().into_iter().map(lateness).collect();
    late.sort();
    let (p50, p99) = (late[MESSAGES / 2], late[MESSAGES * 99 / 100]);
    println!("messages expire late by {p50:.1?} (p50) and {p99:.1?} (p99)");
    assert!(p99 <= LATENESS_MAX, "p99 {p99:?}");
}
