//! Sets of numbers that are mostly long runs.

use std::collections::BTreeMap;

/// A set of numbers, kept as runs that neither overlap nor touch: first number to last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RunSet {
    runs: BTreeMap<u64, u64>,
}

impl RunSet {
    /// Puts one number in; false if it was there.
    pub(crate) fn insert(&mut self, number: u64) -> bool {
        let is_new = !self.contains(number);
        if is_new {
            self.insert_run(number, number);
        }
        is_new
    }

    /// Puts all from `first` to `last` in.
    pub(crate) fn insert_run(&mut self, first: u64, last: u64) {
        assert!(first <= last);
        let (mut start, mut end) = (first, last);
        // Runs that begin no later than right behind the new one, the last of them first.
        while let Some((&other, &other_end)) = self.runs.range(..=end.saturating_add(1)).next_back()
            && other_end.saturating_add(1) >= start
        {
            self.runs.remove(&other);
            start = start.min(other);
            end = end.max(other_end);
        }
        self.runs.insert(start, end);
    }

    /// Whether `number` is in.
    pub(crate) fn contains(&self, number: u64) -> bool {
        let at_or_before = self.runs.range(..=number).next_back();
        at_or_before.is_some_and(|(_, last)| number <= *last)
    }

    /// How many are in.
    pub(crate) fn count(&self) -> u64 {
        self.runs().map(|(first, last)| last - first + 1).sum()
    }

    /// First and last number of each run, rising.
    pub(crate) fn runs(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.runs.iter().map(|(first, last)| (*first, *last))
    }

    /// Puts all of `other` in.
    pub(crate) fn add(&mut self, other: &RunSet) {
        other.runs().for_each(|(first, last)| self.insert_run(first, last));
    }

    /// What is in this one and not in `other`.
    pub(crate) fn without(&self, other: &RunSet) -> RunSet {
        let mut rest = RunSet::default();
        for (mut first, last) in self.runs() {
            let before = other.runs.range(..first).next_back();
            let cuts = before.into_iter().chain(other.runs.range(first..=last));
            let mut is_used_up = false;
            for (&cut_first, &cut_last) in cuts {
                if cut_last < first {
                    continue;
                }
                if cut_first > first {
                    rest.runs.insert(first, cut_first - 1);
                }
                is_used_up = cut_last >= last;
                first = cut_last.saturating_add(1);
            }
            if !is_used_up {
                rest.runs.insert(first, last);
            }
        }
        rest
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::schedule::Random;

    fn numbers(set: &RunSet) -> Vec<u64> {
        set.runs().flat_map(|(first, last)| first..=last).collect()
    }

    #[test]
    fn it_agrees_with_a_plain_set() {
        let mut random = Random::new(3);
        for _ in 0..200 {
            let (mut sets, mut models) =
                ([RunSet::default(), RunSet::default()], [BTreeSet::new(), BTreeSet::new()]);
            for (set, model) in sets.iter_mut().zip(&mut models) {
                for _ in 0..random.below(12) {
                    let first = random.below(60) as u64;
                    let last = first + random.below(8) as u64;
                    set.insert_run(first, last);
                    model.extend(first..=last);
                    let single = random.below(70) as u64;
                    assert_eq!(set.insert(single), model.insert(single));
                }
                assert!(numbers(set).iter().eq(model.iter()));
                assert_eq!(set.count(), model.len() as u64);
                assert!((0..80).all(|number| set.contains(number) == model.contains(&number)));
                let runs: Vec<_> = set.runs().collect();
                assert!(runs.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0), "{runs:?}");
            }
            let ([a, b], [of_a, of_b]) = (&sets, &models);
            assert!(numbers(&a.without(b)).iter().eq(of_a.difference(of_b)));
            let mut both = a.clone();
            both.add(b);
            assert!(numbers(&both).iter().eq(of_a.union(of_b)));
        }
    }

    #[test]
    fn the_last_number_is_one_as_any_other() {
        let mut set = RunSet::default();
        assert!(set.insert(u64::MAX) && !set.insert(u64::MAX));
        assert_eq!(set.without(&set), RunSet::default());
    }
}
