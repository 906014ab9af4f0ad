//! Which publishes of a channel in confirm mode are still to be answered.

use std::collections::VecDeque;

/// An answer to publishes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Confirm {
    /// `basic.ack`.
    Ack {
        /// The publish's number.
        tag: u64,
        /// All up to it.
        multiple: bool,
    },
    /// `basic.nack`.
    Nack {
        /// The publish's number.
        tag: u64,
        /// All up to it.
        multiple: bool,
    },
}

/// Set in a publish's slot when a home has refused it.
const REFUSED: u16 = 1 << 15;

/// Keep room for this many publishes when nothing is unconfirmed.
const SLOTS_KEPT: usize = 4_096;

/// The publishes of one channel that home shards still owe an answer for. Lives with its channel,
/// on the shard that holds the connection.
///
/// ```text
/// open(homes) ── each home accepts or refuses ──► owed 0 ── poll ──► acked, or nacked if any refused
/// ```
#[derive(Debug)]
pub struct Unconfirmed {
    /// From `first` on: how many homes owe an answer, and `REFUSED`. The front owes (after a poll).
    slots: VecDeque<u16>,
    /// Number of the front slot.
    first: u64,
    /// Slots that owe.
    open: usize,
    /// What was answered since the last poll.
    acked: Ranges,
    nacked: Ranges,
}

impl Default for Unconfirmed {
    fn default() -> Unconfirmed {
        Unconfirmed::new()
    }
}

impl Unconfirmed {
    /// Confirm mode begins; the first publish is 1 (CNF-1).
    pub fn new() -> Unconfirmed {
        Unconfirmed {
            slots: VecDeque::new(),
            first: 1,
            open: 0,
            acked: Ranges::default(),
            nacked: Ranges::default(),
        }
    }

    /// The next publish, for which `homes` shards owe an answer (0: it is acked at the next poll).
    /// Returns its number.
    pub fn open(&mut self, homes: u16) -> u64 {
        assert!(homes < REFUSED);
        let tag = self.first + self.slots.len() as u64;
        self.slots.push_back(homes);
        if homes == 0 {
            self.acked.push(tag);
        } else {
            self.open += 1;
        }
        tag
    }

    /// One home answers for `first..=last`, each of which it owes.
    pub fn accept(&mut self, first: u64, last: u64) {
        assert!(first <= last);
        for tag in first..=last {
            self.settle_one(tag, 0);
        }
    }

    /// One home refuses the publish; it will be nacked when the others have answered (CNF-5).
    pub fn refuse(&mut self, tag: u64) {
        self.settle_one(tag, REFUSED);
    }

    fn settle_one(&mut self, tag: u64, refused: u16) {
        let place = tag.checked_sub(self.first).expect("homes answer once for what they owe");
        let slot = self.slots.get_mut(place as usize).expect("homes answer for what was published");
        assert!(*slot & !REFUSED > 0);
        *slot = (*slot - 1) | refused;
        if *slot & !REFUSED > 0 {
            return;
        }
        self.open -= 1;
        if *slot == 0 {
            self.acked.push(tag);
        } else {
            self.nacked.push(tag);
        }
    }

    /// Hands out what is to be sent for all that was answered since the last poll (CNF-7). Once
    /// per tick.
    pub fn poll_confirms(&mut self, mut send: impl FnMut(Confirm)) {
        if !self.has_confirms() {
            return;
        }
        self.drop_answered();
        self.acked.sort();
        self.nacked.sort();
        let oldest_open = if self.open > 0 { self.first } else { u64::MAX };
        let (first_acked, first_nacked) = (self.acked.first(), self.nacked.first());
        if self.acked.is_single() {
            let tag = first_acked.expect("a single number is there");
            send(Confirm::Ack { tag, multiple: false });
        } else {
            let cut = oldest_open.min(first_nacked.unwrap_or(u64::MAX));
            self.acked.hand_out(cut, |tag, multiple| send(Confirm::Ack { tag, multiple }));
        }
        let cut = oldest_open.min(first_acked.unwrap_or(u64::MAX));
        self.nacked.hand_out(cut, |tag, multiple| send(Confirm::Nack { tag, multiple }));
        self.acked.clear();
        self.nacked.clear();
    }

    /// Moves `first` to the oldest publish that is not answered.
    fn drop_answered(&mut self) {
        while self.slots.front().is_some_and(|slot| slot & !REFUSED == 0) {
            self.slots.pop_front();
            self.first += 1;
        }
        if self.slots.is_empty() && self.slots.capacity() > SLOTS_KEPT {
            self.slots = VecDeque::new();
        }
    }

    /// Publishes that are not answered.
    pub fn len(&self) -> usize {
        self.open
    }

    /// All publishes are answered; some may still have to be polled.
    pub fn is_empty(&self) -> bool {
        self.open == 0
    }

    /// `poll_confirms` has something to send.
    pub fn has_confirms(&self) -> bool {
        !self.acked.ranges.is_empty() || !self.nacked.ranges.is_empty()
    }
}

/// Numbers, as ranges in the order in which they came.
#[derive(Debug, Default)]
struct Ranges {
    /// First and last, inclusive.
    ranges: Vec<(u64, u64)>,
}

impl Ranges {
    fn push(&mut self, tag: u64) {
        match self.ranges.last_mut() {
            Some((_, last)) if *last + 1 == tag => *last = tag,
            _ => self.ranges.push((tag, tag)),
        }
    }

    fn sort(&mut self) {
        if !self.ranges.is_sorted() {
            self.ranges.sort_unstable();
        }
    }

    /// The smallest number, when sorted.
    fn first(&self) -> Option<u64> {
        self.ranges.first().map(|(first, _)| *first)
    }

    fn is_single(&self) -> bool {
        matches!(self.ranges[..], [(first, last)] if first == last)
    }

    /// The largest number below `cut` stands for all of them; the others singly.
    fn hand_out(&self, cut: u64, mut send: impl FnMut(u64, bool)) {
        let below = self.ranges.iter().take_while(|(first, _)| *first < cut);
        if let Some((_, last)) = below.last() {
            send((*last).min(cut - 1), true);
        }
        for (first, last) in &self.ranges {
            for tag in (*first).max(cut)..=*last {
                send(tag, false);
            }
        }
    }

    fn clear(&mut self) {
        self.ranges.clear();
        if self.ranges.capacity() > SLOTS_KEPT {
            self.ranges = Vec::new();
        }
    }
}

#[cfg(test)]
#[path = "unconfirmed_tests.rs"]
mod tests;
