use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use proptest::prelude::*;

use super::{DeliveryTags, Held, Run, UnknownDeliveryTag};
use crate::channel::Transaction;
use crate::queue::Outcome;

fn run(consumer: u32, ordinals: RangeInclusive<u64>, count: u64) -> Run {
    Run { consumer, first: *ordinals.start(), last: *ordinals.end(), count }
}

fn settled(tags: &mut DeliveryTags, tag: u64, multiple: bool) -> Vec<Run> {
    let mut runs = Vec::new();
    let rest = tags.settle(tag, multiple, &mut u32::MAX.clone(), &mut runs);
    assert_eq!(rest, Ok(None));
    runs
}

#[test]
fn interleaved_consumers_settle_in_one_run_each() {
    let mut tags = DeliveryTags::new();
    for ordinal in 0..3 {
        tags.push(0, ordinal);
        tags.push(1, 100 + ordinal);
    }
    let expected = [run(0, 0..=2, 3), run(1, 100..=102, 3)];
    assert_eq!(settled(&mut tags, 6, true), expected);
    assert!(tags.is_empty());
}

#[test]
fn nothing_is_settled_when_the_tag_is_unknown() {
    let mut tags = DeliveryTags::new();
    let first = tags.push(0, 0);
    let no_ack = tags.push_no_ack();
    let mut runs = Vec::new();
    for (tag, multiple) in [(no_ack, true), (no_ack, false), (0, false), (3, true)] {
        assert_eq!(tags.settle(tag, multiple, &mut 9, &mut runs), Err(UnknownDeliveryTag(tag)));
    }
    assert_eq!((runs.len(), tags.oldest()), (0, Some(first)));
}

#[test]
fn tag_0_with_multiple_settles_everything_and_is_never_an_error() {
    let mut tags = DeliveryTags::new();
    assert_eq!(settled(&mut tags, 0, true), []);
    tags.push(0, 0);
    tags.push(0, 1);
    assert_eq!(settled(&mut tags, 0, true), [run(0, 0..=1, 2)]);
}

#[test]
fn run_reaches_over_what_was_settled_before_but_not_in_transactions() {
    for is_transactional in [false, true] {
        let mut tags = DeliveryTags::new();
        if is_transactional {
            tags.set_transactional();
        }
        for ordinal in 0..3 {
            tags.push(0, ordinal);
        }
        assert_eq!(settled(&mut tags, 2, false), [run(0, 1..=1, 1)]);
        let one = vec![run(0, 0..=2, 2)];
        let two = vec![run(0, 0..=0, 1), run(0, 2..=2, 1)];
        assert_eq!(settled(&mut tags, 3, true), if is_transactional { two } else { one });
    }
}

#[test]
fn many_are_settled_in_slices_with_the_runs_that_one_would_have() {
    let mut tags = DeliveryTags::new();
    for ordinal in 0..5 {
        tags.push(0, ordinal);
        tags.push(1, ordinal);
    }
    let mut runs = Vec::new();
    let mut rest = tags.settle(7, true, &mut 3, &mut runs).expect("the tag is outstanding");
    let mut slices = 1;
    tags.push(0, 5);
    while let Some(left) = rest {
        rest = tags.settle_rest(left, &mut 3, &mut runs);
        slices += 1;
    }
    assert_eq!((slices, tags.oldest()), (3, Some(8)));
    assert_eq!(runs, [run(0, 0..=3, 4), run(1, 0..=2, 3)]);
}

#[test]
fn rolled_back_tags_are_outstanding_again() {
    let mut tags = DeliveryTags::new();
    let mut transaction = Transaction::new();
    for ordinal in 0..300 {
        tags.push(0, ordinal);
    }
    assert_eq!(transaction.settle(&mut tags, 200, true, Outcome::Acked, &mut 200), Ok(None));
    let again = transaction.settle(&mut tags, 7, false, Outcome::Acked, &mut 1);
    assert_eq!(again, Err(UnknownDeliveryTag(7)));
    assert_eq!((transaction.len(), tags.len()), (200, 100));
    transaction.rollback(&mut tags, &mut 150);
    assert_eq!((transaction.len(), tags.len()), (50, 250));
    transaction.rollback(&mut tags, &mut 150);
    assert_eq!((transaction.len(), tags.oldest()), (0, Some(1)));
    assert_eq!(settled(&mut tags, 300, true), [run(0, 0..=299, 300)]);
}

#[test]
fn commit_keeps_the_order_and_joins_the_neighbours_of_a_slice() {
    let mut tags = DeliveryTags::new();
    let mut transaction = Transaction::new();
    for ordinal in 0..6 {
        tags.push(0, ordinal);
    }
    for (tag, multiple, outcome) in
        [(4, false, Outcome::Rejected), (3, true, Outcome::Acked), (5, false, Outcome::Requeued)]
    {
        assert_eq!(transaction.settle(&mut tags, tag, multiple, outcome, &mut 9), Ok(None));
    }
    let mut committed = Vec::new();
    for left in [2, 9] {
        transaction.commit(&mut left.clone(), |run, outcome| {
            committed.push((run.first, run.last, outcome));
        });
    }
    let expected = [
        (3, 3, Outcome::Rejected),
        (0, 0, Outcome::Acked),
        (1, 2, Outcome::Acked),
        (4, 4, Outcome::Requeued),
    ];
    assert_eq!(committed, expected);
    assert_eq!((transaction.len(), tags.len()), (0, 1));
}

#[test]
fn recover_takes_in_what_was_sent_meanwhile_and_ack_of_everything_does_not() {
    for recovers in [false, true] {
        let mut tags = DeliveryTags::new();
        for ordinal in 0..3 {
            tags.push(0, ordinal);
        }
        let (left, mut runs) = (&mut 2, Vec::new());
        let rest = if recovers {
            tags.recover(left, &mut runs)
        } else {
            tags.settle(0, true, left, &mut runs).expect("it is always accepted")
        };
        tags.push(0, 3);
        tags.settle_rest(rest.expect("one is left"), &mut 9, &mut runs);
        assert_eq!(tags.len(), usize::from(!recovers));
    }
}

proptest! {
    #[test]
    fn tags_behave_as_an_ordered_map(
        steps in proptest::collection::vec((0..8u8, 0..4u32, 0..120u64), 1..300),
    ) {
        let mut tags = DeliveryTags::new();
        tags.set_transactional();
        let mut model: BTreeMap<u64, Held> = BTreeMap::new();
        let mut ordinals = [0u64; 4];
        let mut next = 1;
        for (kind, consumer, tag) in steps {
            match kind {
                0..=4 => {
                    let ordinal = ordinals[consumer as usize];
                    ordinals[consumer as usize] += 1;
                    prop_assert_eq!(tags.push(consumer, ordinal), next);
                    model.insert(next, Held { consumer, ordinal });
                    next += 1;
                }
                5 => {
                    prop_assert_eq!(tags.push_no_ack(), next);
                    next += 1;
                }
                _ => {
                    let multiple = kind == 7;
                    let mut runs = Vec::new();
                    let mut left = u32::MAX;
                    let result = tags.settle(tag, multiple, &mut left, &mut runs);
                    let is_known = model.contains_key(&tag) || (tag == 0 && multiple);
                    prop_assert_eq!(result.is_ok(), is_known);
                    let last = if tag == 0 { u64::MAX } else { tag };
                    let first = if multiple { 0 } else { last };
                    let mut expected: Vec<(u32, u64)> = Vec::new();
                    if is_known {
                        let covered: Vec<u64> =
                            model.range(first..=last).map(|(tag, _)| *tag).collect();
                        let held = covered.iter().filter_map(|tag| model.remove(tag));
                        expected.extend(held.map(|held| (held.consumer, held.ordinal)));
                    }
                    let mut settled: Vec<(u32, u64)> = runs
                        .iter()
                        .flat_map(|run| (run.first..=run.last).map(|o| (run.consumer, o)))
                        .collect();
                    expected.sort_unstable();
                    settled.sort_unstable();
                    prop_assert_eq!(settled, expected);
                }
            }
            prop_assert_eq!(tags.len(), model.len());
            prop_assert_eq!(tags.oldest(), model.first_key_value().map(|(tag, _)| *tag));
        }
    }
}
