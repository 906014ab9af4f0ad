use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Confirm, Unconfirmed};
use Confirm::{Ack, Nack};

fn polled(unconfirmed: &mut Unconfirmed) -> Vec<Confirm> {
    let mut confirms = Vec::new();
    unconfirmed.poll_confirms(|confirm| confirms.push(confirm));
    assert!(!unconfirmed.has_confirms());
    confirms
}

fn with_publishes(count: u64) -> Unconfirmed {
    let mut unconfirmed = Unconfirmed::new();
    for tag in 1..=count {
        assert_eq!(unconfirmed.open(1), tag);
    }
    unconfirmed
}

#[test]
fn contiguous_publishes_are_acked_at_once() {
    let mut unconfirmed = with_publishes(5);
    unconfirmed.accept(1, 5);
    assert_eq!(polled(&mut unconfirmed), [Ack { tag: 5, multiple: true }]);
    assert!(unconfirmed.is_empty());
}

#[test]
fn lone_ack_is_not_multiple() {
    let mut unconfirmed = with_publishes(1);
    unconfirmed.accept(1, 1);
    assert_eq!(polled(&mut unconfirmed), [Ack { tag: 1, multiple: false }]);
}

#[test]
fn lone_nack_with_nothing_older_is_multiple() {
    let mut unconfirmed = with_publishes(3);
    unconfirmed.refuse(2);
    assert_eq!(polled(&mut unconfirmed), [Nack { tag: 2, multiple: false }]);
    unconfirmed.refuse(1);
    assert_eq!(polled(&mut unconfirmed), [Nack { tag: 1, multiple: true }]);
}

#[test]
fn slow_queue_does_not_hold_the_rest_back() {
    let mut unconfirmed = with_publishes(5);
    unconfirmed.accept(1, 2);
    unconfirmed.accept(4, 5);
    let expected = [
        Ack { tag: 2, multiple: true },
        Ack { tag: 4, multiple: false },
        Ack { tag: 5, multiple: false },
    ];
    assert_eq!(polled(&mut unconfirmed), expected);
    assert_eq!(unconfirmed.len(), 1);
    unconfirmed.accept(3, 3);
    assert_eq!(polled(&mut unconfirmed), [Ack { tag: 3, multiple: false }]);
}

#[test]
fn acks_go_before_nacks_and_cover_none_of_them() {
    let mut unconfirmed = with_publishes(4);
    unconfirmed.refuse(3);
    unconfirmed.accept(4, 4);
    unconfirmed.accept(1, 2);
    let expected = [
        Ack { tag: 2, multiple: true },
        Ack { tag: 4, multiple: false },
        Nack { tag: 3, multiple: false },
    ];
    assert_eq!(polled(&mut unconfirmed), expected);
}

#[test]
fn publish_is_answered_when_all_homes_have_answered() {
    let mut unconfirmed = Unconfirmed::new();
    unconfirmed.open(3);
    unconfirmed.refuse(1);
    unconfirmed.accept(1, 1);
    assert_eq!(polled(&mut unconfirmed), []);
    unconfirmed.accept(1, 1);
    assert_eq!(polled(&mut unconfirmed), [Nack { tag: 1, multiple: true }]);
}

#[test]
fn unroutable_publish_is_acked_at_the_next_poll() {
    let mut unconfirmed = Unconfirmed::new();
    unconfirmed.open(0);
    assert_eq!(polled(&mut unconfirmed), [Ack { tag: 1, multiple: false }]);
}

#[test]
#[should_panic]
fn second_answer_of_a_home_is_a_bug() {
    let mut unconfirmed = with_publishes(2);
    unconfirmed.accept(2, 2);
    unconfirmed.accept(2, 2);
}

/// What the client believes: every publish not yet answered.
fn settle(client: &mut BTreeMap<u64, (u16, bool)>, confirm: Confirm) {
    let (tag, multiple, refused) = match confirm {
        Ack { tag, multiple } => (tag, multiple, false),
        Nack { tag, multiple } => (tag, multiple, true),
    };
    assert!(client.contains_key(&tag));
    let first = if multiple { 0 } else { tag };
    let covered: Vec<u64> = client.range(first..=tag).map(|(tag, _)| *tag).collect();
    for tag in covered {
        assert_eq!(client.remove(&tag), Some((0, refused)), "covers only what was answered so");
    }
}

proptest! {
    #[test]
    fn every_publish_is_answered_once_and_truly(
        steps in proptest::collection::vec((0..10u8, 0..40usize, 0..8u64), 1..300),
    ) {
        let mut unconfirmed = Unconfirmed::new();
        let mut client: BTreeMap<u64, (u16, bool)> = BTreeMap::new();
        let mut next = 1;
        for (kind, place, count) in steps {
            let owing = |client: &BTreeMap<u64, (u16, bool)>| {
                let mut tags = client.iter().filter(|(_, state)| state.0 > 0);
                tags.nth(place).map(|(tag, _)| *tag)
            };
            match kind {
                0..=4 => {
                    prop_assert_eq!(unconfirmed.open(count as u16 % 3), next);
                    client.insert(next, (count as u16 % 3, false));
                    next += 1;
                }
                5..=7 => {
                    let Some(first) = owing(&client) else { continue };
                    let mut last = first;
                    while last < first + count && client.get(&(last + 1)).is_some_and(|s| s.0 > 0) {
                        last += 1;
                    }
                    unconfirmed.accept(first, last);
                    client.range_mut(first..=last).for_each(|(_, state)| state.0 -= 1);
                }
                8 => {
                    let Some(tag) = owing(&client) else { continue };
                    unconfirmed.refuse(tag);
                    client.entry(tag).and_modify(|state| *state = (state.0 - 1, true));
                }
                _ => {
                    unconfirmed.poll_confirms(|confirm| settle(&mut client, confirm));
                    prop_assert!(client.values().all(|state| state.0 > 0));
                }
            }
            prop_assert_eq!(
                unconfirmed.len(), client.values().filter(|state| state.0 > 0).count()
            );
        }
    }
}
