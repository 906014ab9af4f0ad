//! Which numbers of a sequence have been seen.

use std::collections::VecDeque;

const WORD_BITS: u64 = 64;

/// A set of numbers that come roughly in order: all below `base` are in it, a bitmap tells the
/// rest. So a stream without gaps takes no memory, however long it is.
#[derive(Clone, Debug, Default)]
pub(crate) struct SeqSet {
    /// A multiple of the word size.
    base: u64,
    words: VecDeque<u64>,
    /// Numbers in the set.
    count: u64,
    /// One more than the highest number in the set.
    end: u64,
}

impl SeqSet {
    /// Puts `seq` in; false if it was there.
    #[inline]
    pub(crate) fn insert(&mut self, seq: u64) -> bool {
        let Some(offset) = seq.checked_sub(self.base) else { return false };
        let (word, bit) = ((offset / WORD_BITS) as usize, 1 << (offset % WORD_BITS));
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        if self.words[word] & bit != 0 {
            return false;
        }
        self.words[word] |= bit;
        self.count += 1;
        self.end = self.end.max(seq + 1);
        while self.words.front() == Some(&u64::MAX) {
            self.words.pop_front();
            self.base += WORD_BITS;
        }
        true
    }

    /// Whether `seq` is in.
    pub(crate) fn contains(&self, seq: u64) -> bool {
        let Some(offset) = seq.checked_sub(self.base) else { return true };
        let word = self.words.get((offset / WORD_BITS) as usize);
        word.is_some_and(|word| word >> (offset % WORD_BITS) & 1 != 0)
    }

    /// How many are in.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// One more than the highest number that is in; 0 if none is.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Puts all of `other` in, and tells how many were there already.
    pub(crate) fn merge(&mut self, other: &SeqSet) -> u64 {
        let twice = (0..other.base).filter(|seq| !self.insert(*seq)).count();
        let ones = other.words.iter().enumerate().flat_map(|(index, word)| {
            let start = other.base + index as u64 * WORD_BITS;
            (0..WORD_BITS).filter(move |bit| word >> bit & 1 != 0).map(move |bit| start + bit)
        });
        let twice = twice + ones.filter(|seq| !self.insert(*seq)).count();
        twice as u64
    }

    /// The lowest number that every number below it is in.
    pub(crate) fn complete_to(&self) -> u64 {
        let tail = self.words.front().map_or(0, |word| u64::from(word.trailing_ones()));
        self.base + tail
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::schedule::Random;

    #[test]
    fn it_agrees_with_a_plain_set() {
        let mut random = Random::new(7);
        for spread in [1, 3, 100, 5000] {
            let (mut set, mut model) = (SeqSet::default(), BTreeSet::new());
            for step in 0..5000 {
                let seq = (step + random.below(spread)) as u64;
                assert_eq!(set.insert(seq), model.insert(seq));
            }
            assert_eq!(set.count(), model.len() as u64);
            assert!((0..12_000).all(|seq| set.contains(seq) == model.contains(&seq)));
            let first_missing = (0..).find(|seq| !model.contains(seq)).expect("it is finite");
            assert_eq!(set.complete_to(), first_missing);
        }
    }

    #[test]
    fn a_stream_without_gaps_takes_no_memory() {
        let mut set = SeqSet::default();
        assert!((0..1_000_000).all(|seq| set.insert(seq)));
        assert!(set.words.len() <= 1);
        assert!(!set.insert(0) && !set.insert(999_999));
    }

    #[test]
    fn merging_tells_what_both_had() {
        let (mut a, mut b) = (SeqSet::default(), SeqSet::default());
        (0..1000).for_each(|seq| assert!(a.insert(seq)));
        (900..2000).for_each(|seq| assert!(b.insert(seq)));
        assert_eq!(a.merge(&b), 100);
        assert_eq!((a.count(), a.complete_to(), a.end()), (2000, 2000, 2000));
    }
}
