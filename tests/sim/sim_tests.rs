//! Seeds that run with every change, and proof that the simulation would notice.

use crate::{Corruption, Options, Scenario, Summary, run};

/// Seeds that run with every change.
const WORLDS: u64 = 300;

fn check(seed: u64, options: Options) -> Summary {
    match run(seed, options) {
        Ok(summary) => summary,
        Err(failure) => panic!("{failure}"),
    }
}

#[test]
fn promises_hold_in_all_worlds() {
    let mut delivered = 0;
    for seed in 0..WORLDS {
        delivered += check(seed, Options::default()).delivered;
    }
    assert!(delivered > 1_000, "the worlds are not empty");
}

#[test]
fn everything_at_once_over_three_shards_neither_locks_nor_loses() {
    let options = Options { scenario: Scenario::Crossfire, ..Options::default() };
    for seed in 0..WORLDS / 10 {
        check(seed, options);
    }
}

#[test]
fn same_seed_takes_the_same_steps() {
    for seed in [3, 17, 40] {
        let first = check(seed, Options::default());
        assert_eq!(first, check(seed, Options::default()));
        assert_ne!(first.hash, check(seed + 1, Options::default()).hash);
    }
}

fn is_found(corruption: Corruption) -> bool {
    let options = Options { corruption, ..Options::default() };
    (0..200).any(|seed| match run(seed, options) {
        Ok(_) => false,
        Err(failure) => {
            println!("{corruption:?}, seed {seed}: {}", failure.reason);
            true
        }
    })
}

#[test]
fn ack_that_counts_twice_is_found() {
    assert!(is_found(Corruption::AckCountedTwice));
}

#[test]
fn lost_requeue_is_found() {
    assert!(is_found(Corruption::RequeueLost));
}

#[test]
fn close_that_overtakes_a_delivery_is_found() {
    assert!(is_found(Corruption::CloseOvertakes));
}
