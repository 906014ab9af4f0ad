use std::collections::BTreeMap;

use haremq_broker::ids::Time;
use proptest::prelude::*;

use super::Wheel;

proptest! {
    #[test]
    fn timers_fire_when_due_and_not_before(
        start in prop_oneof![Just(0u64), 0..u64::MAX >> 20],
        steps in proptest::collection::vec((any::<bool>(), 0..44u32, any::<u64>()), 1..200),
    ) {
        let mut wheel = Wheel::new(Time(start));
        let mut model: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        let mut now = start;
        for (key, (arm, bits, random)) in steps.into_iter().enumerate() {
            let ahead = random & ((1 << bits) - 1);
            if arm {
                wheel.arm(Time(now + ahead), key);
                model.entry(now + ahead).or_default().push(key);
            } else {
                now += ahead;
                let mut fired = Vec::new();
                while let Some(key) = wheel.poll_expired(Time(now)) {
                    fired.push(key);
                }
                let later = model.split_off(&(now + 1));
                let mut expected: Vec<usize> = model.into_values().flatten().collect();
                model = later;
                fired.sort_unstable();
                expected.sort_unstable();
                prop_assert_eq!(fired, expected);
            }
            prop_assert_eq!(wheel.len(), model.values().map(Vec::len).sum::<usize>());
            let earliest = model.first_key_value().map(|(at, _)| *at);
            let deadline = wheel.next_deadline();
            prop_assert_eq!(deadline.is_some(), earliest.is_some());
            if let (Some(deadline), Some(earliest)) = (deadline, earliest) {
                prop_assert!(deadline.0 <= earliest.max(now));
                prop_assert!(deadline.0 > now || earliest <= now);
            }
        }
    }
}

#[test]
fn following_the_deadlines_reaches_every_timer_on_time() {
    let mut wheel = Wheel::new(Time(77));
    let ats = [78, 300, 332, 65_900, 70_000, 1 << 20, 1 << 26, 1 << 33, (1 << 40) + 5];
    for at in ats {
        wheel.arm(Time(at), at);
    }
    let (mut fired, mut polls) = (Vec::new(), 0);
    while let Some(deadline) = wheel.next_deadline() {
        polls += 1;
        while let Some(at) = wheel.poll_expired(deadline) {
            assert_eq!(deadline, Time(at));
            fired.push(at);
        }
    }
    assert_eq!(fired, ats);
    assert!(polls <= 5 * ats.len());
}

#[test]
fn passed_timers_fire_at_once_and_in_order() {
    let mut wheel = Wheel::new(Time(1_000));
    for key in 0..10 {
        wheel.arm(Time(key), key);
    }
    assert_eq!(wheel.next_deadline(), Some(Time(1_000)));
    for key in 0..10 {
        assert_eq!(wheel.poll_expired(Time(1_000)), Some(key));
    }
    assert_eq!(wheel.poll_expired(Time(1_000)), None);
}

#[test]
fn memory_goes_back_after_a_burst() {
    let mut wheel = Wheel::new(Time(0));
    for key in 0..1_000_000u64 {
        wheel.arm(Time(1 + key % 100_000), key);
    }
    while wheel.poll_expired(Time(100_001)).is_some() {}
    assert!(wheel.is_empty());
    assert!(wheel.entries_reserved() < 20_000, "{}", wheel.entries_reserved());
}

#[test]
fn queue_timer_takes_16_bytes() {
    assert_eq!(size_of::<super::Entry<haremq_broker::ids::QueueId>>(), 16);
}
