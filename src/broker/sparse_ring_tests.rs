use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{SPARE_CHUNKS_MAX, SparseRing};

#[derive(Clone, Debug)]
enum Step {
    Push(u16),
    Skip,
    Remove(u64),
    RemoveFront(u8),
    Restore(u64),
    Detach(u64),
    Shrink,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => any::<u16>().prop_map(Step::Push),
        2 => Just(Step::Skip),
        4 => (0..200u64).prop_map(Step::Remove),
        2 => any::<u8>().prop_map(Step::RemoveFront),
        1 => (0..200u64).prop_map(Step::Restore),
        1 => (0..200u64).prop_map(Step::Detach),
        1 => Just(Step::Shrink),
    ];
    proptest::collection::vec(step, 1..300)
}

fn check<const CHUNK: usize>(steps: &[Step]) {
    let mut ring = SparseRing::<u16, CHUNK>::starting_at(5);
    let mut model = BTreeMap::new();
    let mut next = 5;
    for step in steps {
        match *step {
            Step::Push(value) => {
                assert_eq!(ring.push_back(value), next);
                model.insert(next, value);
                next += 1;
            }
            Step::Skip => {
                assert_eq!(ring.skip(), next);
                next += 1;
            }
            Step::Remove(index) => assert_eq!(ring.remove(index), model.remove(&index)),
            Step::RemoveFront(count) => {
                for _ in 0..count {
                    let first = model.pop_first();
                    assert_eq!(ring.first_live(), first.map(|(index, _)| index));
                    if let Some((index, value)) = first {
                        assert_eq!(ring.remove(index), Some(value));
                    }
                }
            }
            Step::Restore(index) => {
                if index < next && !model.contains_key(&index) {
                    ring.restore(index, 7);
                    model.insert(index, 7);
                }
            }
            Step::Detach(index) => {
                let detached = ring.detach_from(index);
                let expected = model.split_off(&index);
                assert_eq!(detached.len(), expected.len());
                assert!(detached.into_values().eq(expected.into_values()));
            }
            Step::Shrink => ring.shrink(),
        }
        assert_eq!(ring.len(), model.len());
        assert_eq!(ring.next_index(), next);
        assert_eq!(ring.first_live(), model.first_key_value().map(|(index, _)| *index));
        assert!(ring.chunk_count() <= model.len() + 1 + SPARE_CHUNKS_MAX);
        if model.is_empty() {
            assert!(ring.chunk_count() <= 1 + SPARE_CHUNKS_MAX);
        }
    }
    for from in 0..next + 3 {
        let found = model.range(from..).next().map(|(index, _)| *index);
        assert_eq!(ring.next_live(from), found);
        assert_eq!(ring.get(from), model.get(&from));
        assert_eq!(ring.get_mut(from), model.get_mut(&from));
        assert!(ring.range(from, from + 70).eq_by_copy(model.range(from..=from + 70)));
    }
}

trait EqByCopy<'a>: Iterator<Item = (u64, &'a u16)> + Sized {
    fn eq_by_copy(self, other: impl Iterator<Item = (&'a u64, &'a u16)>) -> bool {
        self.eq(other.map(|(index, value)| (*index, value)))
    }
}

impl<'a, I: Iterator<Item = (u64, &'a u16)>> EqByCopy<'a> for I {}

proptest! {
    #[test]
    fn ring_behaves_as_an_ordered_map(steps in steps()) {
        check::<128>(&steps);
        check::<32>(&steps);
        check::<4>(&steps);
    }
}

#[test]
fn empty_ring_keeps_no_memory_after_shrink() {
    let mut ring = SparseRing::<u64>::default();
    for value in 0..1000 {
        ring.push_back(value);
    }
    for index in 0..1000 {
        ring.remove(index);
    }
    assert!(ring.chunk_count() <= 1 + SPARE_CHUNKS_MAX);
    ring.shrink();
    assert_eq!(ring.chunk_count(), 0);
    assert_eq!(ring.push_back(1), 1000);
}

#[test]
fn one_old_value_does_not_hold_the_later_chunks() {
    let mut ring = SparseRing::<u64>::default();
    ring.push_back(0);
    for value in 1..100_000 {
        let index = ring.push_back(value);
        ring.remove(index);
    }
    assert!(ring.chunk_count() <= 2 + SPARE_CHUNKS_MAX);
    assert_eq!(ring.first_live(), Some(0));
}

#[test]
fn passing_over_indices_holds_no_chunk() {
    let mut ring = SparseRing::<u64>::starting_at(1);
    for _ in 0..10_000 {
        ring.skip();
    }
    assert_eq!(ring.chunk_count(), 0);
    assert_eq!(ring.push_back(3), 10_001);
}
