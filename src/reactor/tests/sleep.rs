//! Sleeping, waking, deadlines.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use haremq_reactor::{Reactor, ReactorEvent, Wait, Waker};
use support::{DEADLINE, connected_pair, localhost, reactor};

/// A counter that other threads raise, and that the core looks at.
#[derive(Default)]
struct Inbox(AtomicU64);

impl Inbox {
    fn count(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// Sleeps until the inbox holds `wanted`, and returns how often the core had to be woken for that.
/// A lost wake-up ends in a panic, not in a hang.
fn sleep_until(reactor: &mut Reactor, inbox: &Inbox, wanted: u64) -> usize {
    let mut woken = 0;
    let end = Instant::now() + DEADLINE;
    while inbox.count() < wanted {
        let left = end.saturating_duration_since(Instant::now());
        assert!(!left.is_zero(), "a wake-up was lost before {wanted}");
        reactor.wait(Wait::Until(left), || inbox.count() >= wanted);
        woken += std::iter::from_fn(|| reactor.poll_event()).count();
    }
    woken
}

fn send(inbox: &Inbox, count: u64, waker: &Waker) {
    inbox.0.store(count, Ordering::Release);
    waker.wake();
}

#[test]
fn no_wake_up_is_lost_between_two_cores_that_sleep() {
    const ROUNDS: u64 = 50_000;
    let (here, there) = (Arc::new(Inbox::default()), Arc::new(Inbox::default()));
    let mut reactor = reactor();
    let waker_here = reactor.waker();
    let (sender, receiver) = std::sync::mpsc::channel();
    let other = thread::spawn({
        let (here, there) = (Arc::clone(&here), Arc::clone(&there));
        move || {
            let mut reactor = support::reactor();
            sender.send(reactor.waker()).expect("the test waits for it");
            for round in 1..=ROUNDS {
                sleep_until(&mut reactor, &there, round);
                send(&here, round, &waker_here);
            }
        }
    });
    let waker_there = receiver.recv().expect("the other core starts");
    let mut woken = 0;
    for round in 1..=ROUNDS {
        send(&there, round, &waker_there);
        woken += sleep_until(&mut reactor, &here, round);
    }
    other.join().expect("no wake-up was lost");
    assert!(woken as u64 > ROUNDS / 100, "the core really slept, mostly");
}

#[test]
fn no_wake_up_is_lost_from_a_thread_that_does_not_sleep() {
    const ROUNDS: u64 = 50_000;
    let (inbox, done) = (Arc::new(Inbox::default()), Arc::new(Inbox::default()));
    let mut reactor = reactor();
    let waker = reactor.waker();
    let sender = thread::spawn({
        let (inbox, done) = (Arc::clone(&inbox), Arc::clone(&done));
        move || {
            for round in 1..=ROUNDS {
                // Shift the wake-up through the phases of falling asleep.
                (0..round % 257).for_each(|_| std::hint::spin_loop());
                send(&inbox, round, &waker);
                while done.count() < round {
                    thread::yield_now();
                }
            }
        }
    });
    for round in 1..=ROUNDS {
        sleep_until(&mut reactor, &inbox, round);
        done.0.store(round, Ordering::Release);
    }
    sender.join().expect("no wake-up was lost");
}

#[test]
fn a_core_that_is_awake_is_not_rung() {
    let mut reactor = reactor();
    reactor.wait(Wait::Now, || false);
    let waker = reactor.waker();
    thread::spawn(move || waker.wake()).join().expect("waking does not fail");
    reactor.wait(Wait::Now, || false);
    assert!(reactor.poll_event().is_none());
}

#[test]
fn a_sleeping_core_is_woken_and_told_so() {
    let mut reactor = reactor();
    let waker = reactor.waker();
    let start = Instant::now();
    // Woken between its announcement and its sleep: the latest moment that there is.
    reactor.wait(Wait::Until(DEADLINE), || {
        waker.wake();
        false
    });
    assert!(start.elapsed() < DEADLINE);
    assert!(matches!(reactor.poll_event(), Some(ReactorEvent::Woken)));
}

#[test]
fn work_that_is_found_at_the_last_moment_prevents_the_sleep() {
    let mut reactor = reactor();
    let start = Instant::now();
    reactor.wait(Wait::Until(DEADLINE), || true);
    assert!(start.elapsed() < DEADLINE);
}

#[test]
fn an_idle_reactor_sleeps_through() {
    let mut reactor = reactor();
    reactor.listen(localhost()).expect("a free port");
    let pairs: Vec<_> = (0..50).map(|_| connected_pair(&mut reactor)).collect();
    // Let everything settle that making the connections has caused.
    while !support::events_within(&mut reactor, Duration::from_millis(20)).is_empty() {}
    let (start, enters) = (Instant::now(), reactor.counters().enters);
    let timeout = Duration::from_millis(150);
    reactor.wait(Wait::Until(timeout), || false);
    assert!(start.elapsed() >= timeout, "nothing wakes an idle core");
    assert_eq!(reactor.counters().enters, enters + 1);
    drop(pairs);
}

#[test]
fn a_round_with_nothing_to_do_does_not_enter_the_kernel() {
    let mut reactor = reactor();
    let (_client, _id) = connected_pair(&mut reactor);
    (0..3).for_each(|_| reactor.wait(Wait::Now, || unreachable!("it does not sleep")));
    let enters = reactor.counters().enters;
    (0..100).for_each(|_| reactor.wait(Wait::Now, || unreachable!("it does not sleep")));
    assert_eq!(reactor.counters().enters, enters);
}

#[test]
fn a_deadline_is_kept_below_a_millisecond() {
    let mut reactor = reactor();
    reactor.wait(Wait::Now, || false);
    let timeout = Duration::from_micros(300);
    let start = Instant::now();
    (0..20).for_each(|_| reactor.wait(Wait::Until(timeout), || false));
    let elapsed = start.elapsed();
    assert!(elapsed >= 20 * timeout);
    assert!(elapsed < DEADLINE);
}
