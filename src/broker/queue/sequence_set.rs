//! A sorted set of sequence numbers that are mostly near to each other.

use std::collections::VecDeque;

/// Sorted words of 128 numbers each. Numbers that come in order are added at an end; any other
/// order costs a move of the words behind.
#[derive(Debug, Default)]
pub(super) struct SequenceSet {
    words: VecDeque<Word>,
    len: usize,
}

#[derive(Clone, Copy, Debug)]
struct Word {
    number: u64,
    /// Never 0.
    bits: u128,
}

impl SequenceSet {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn insert(&mut self, sequence: u64) {
        let (number, bit) = (sequence / 128, 1u128 << (sequence % 128));
        let place = match self.find(number) {
            Ok(place) => place,
            Err(place) => {
                self.words.insert(place, Word { number, bits: 0 });
                place
            }
        };
        let word = &mut self.words[place];
        assert!(word.bits & bit == 0);
        word.bits |= bit;
        self.len += 1;
    }

    /// Whether it was there.
    pub(super) fn remove(&mut self, sequence: u64) -> bool {
        let (number, bit) = (sequence / 128, 1u128 << (sequence % 128));
        let Ok(place) = self.find(number) else { return false };
        let word = &mut self.words[place];
        if word.bits & bit == 0 {
            return false;
        }
        word.bits &= !bit;
        if word.bits == 0 {
            self.words.remove(place);
        }
        self.len -= 1;
        true
    }

    pub(super) fn first(&self) -> Option<u64> {
        let word = self.words.front()?;
        Some(word.number * 128 + u64::from(word.bits.trailing_zeros()))
    }

    pub(super) fn contains(&self, sequence: u64) -> bool {
        let bit = 1u128 << (sequence % 128);
        self.find(sequence / 128).is_ok_and(|place| self.words[place].bits & bit != 0)
    }

    /// Gives back what is kept for reuse. Returns whether nothing is left.
    pub(super) fn shrink(&mut self) -> bool {
        self.words.shrink_to_fit();
        self.words.is_empty()
    }

    /// The usual places first: what comes back is older or newer than all the rest.
    fn find(&self, number: u64) -> Result<usize, usize> {
        let (Some(front), Some(back)) = (self.words.front(), self.words.back()) else {
            return Err(0);
        };
        if number <= front.number {
            return if number == front.number { Ok(0) } else { Err(0) };
        }
        if number >= back.number {
            let len = self.words.len();
            return if number == back.number { Ok(len - 1) } else { Err(len) };
        }
        self.words.binary_search_by_key(&number, |word| word.number)
    }
}
