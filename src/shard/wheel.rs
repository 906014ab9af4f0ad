//! The shard's timers: a hierarchical wheel of milliseconds.

use std::collections::VecDeque;

use haremq_broker::ids::Time;

/// Levels of 256 slots; a slot of level n spans 256^n milliseconds.
const LEVELS: usize = 4;
const SLOTS: usize = 256;
const SLOT_BITS: u32 = 8;

/// Room for this many entries is kept where there were more.
const ENTRIES_KEPT: usize = 16;

/// Timers that each fire once with a key. Nothing is cancelled: who armed one checks at firing
/// whether it still means anything. One per shard.
///
/// Invariants: all timers at or before `now` are in `due`. One in a slot of level n agrees with
/// `now` in all bits above that level's, and its slot comes after the one that `now` is in.
#[derive(Debug)]
pub struct Wheel<K> {
    now: u64,
    /// To be handed out, in order.
    due: VecDeque<K>,
    levels: [Level<K>; LEVELS],
    /// Beyond the last level.
    far: Vec<Entry<K>>,
    /// The earliest of `far`, if there is one.
    far_first: u64,
    len: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry<K> {
    at: u64,
    key: K,
}

#[derive(Debug)]
struct Level<K> {
    /// Made when the level is first used.
    slots: Vec<Vec<Entry<K>>>,
    /// Bit n: slot n has entries.
    used: [u64; SLOTS / 64],
}

impl<K> Default for Level<K> {
    fn default() -> Level<K> {
        Level { slots: Vec::new(), used: [0; SLOTS / 64] }
    }
}

impl<K: Copy> Level<K> {
    fn push(&mut self, slot: usize, entry: Entry<K>) {
        if self.slots.is_empty() {
            self.slots.resize_with(SLOTS, Vec::new);
        }
        self.slots[slot].push(entry);
        self.used[slot / 64] |= 1 << (slot % 64);
    }

    fn take(&mut self, slot: usize) -> Vec<Entry<K>> {
        self.used[slot / 64] &= !(1 << (slot % 64));
        std::mem::take(&mut self.slots[slot])
    }

    /// Gives the slot's emptied memory back to it, if it is little.
    fn reuse(&mut self, slot: usize, mut entries: Vec<Entry<K>>) {
        if entries.capacity() <= ENTRIES_KEPT && self.slots[slot].is_empty() {
            entries.clear();
            self.slots[slot] = entries;
        }
    }

    /// The first slot in use after `slot`.
    fn next_used(&self, slot: usize) -> Option<usize> {
        let from = slot + 1;
        let mut mask = u64::MAX.checked_shl((from % 64) as u32).expect("less than 64");
        for word in from / 64..self.used.len() {
            let bits = self.used[word] & mask;
            if bits != 0 {
                return Some(word * 64 + bits.trailing_zeros() as usize);
            }
            mask = u64::MAX;
        }
        None
    }
}

/// What is to be done next, and when.
enum Next {
    Slot { level: usize, slot: usize },
    Far,
}

impl<K: Copy> Wheel<K> {
    /// No timers; time starts at `now`.
    pub fn new(now: Time) -> Wheel<K> {
        Wheel {
            now: now.0,
            due: VecDeque::new(),
            levels: std::array::from_fn(|_| Level::default()),
            far: Vec::new(),
            far_first: u64::MAX,
            len: 0,
        }
    }

    /// Fires `key` at `at`, or at the next poll if that has passed.
    pub fn arm(&mut self, at: Time, key: K) {
        self.len += 1;
        self.place(Entry { at: at.0, key });
    }

    fn place(&mut self, entry: Entry<K>) {
        if entry.at <= self.now {
            self.due.push_back(entry.key);
            return;
        }
        let highest_bit = (entry.at ^ self.now).ilog2();
        let level = (highest_bit / SLOT_BITS) as usize;
        if level >= LEVELS {
            self.far_first = self.far_first.min(entry.at);
            self.far.push(entry);
            return;
        }
        self.levels[level].push(slot_of(entry.at, level), entry);
    }

    /// When to poll next: not later than the earliest timer. It may be earlier by a part of the
    /// time that is left until then; the poll then hands out nothing.
    pub fn next_deadline(&self) -> Option<Time> {
        if !self.due.is_empty() {
            return Some(Time(self.now));
        }
        self.next().map(|(at, _)| Time(at))
    }

    fn next(&self) -> Option<(u64, Next)> {
        for (level, slots) in self.levels.iter().enumerate() {
            if let Some(slot) = slots.next_used(slot_of(self.now, level)) {
                let shift = SLOT_BITS * level as u32;
                let above = self.now >> (shift + SLOT_BITS) << (shift + SLOT_BITS);
                return Some((above | (slot as u64) << shift, Next::Slot { level, slot }));
            }
        }
        let shift = SLOT_BITS * LEVELS as u32;
        (!self.far.is_empty()).then_some((self.far_first >> shift << shift, Next::Far))
    }

    /// The next timer that is due at `now`. To be repeated until none is left.
    pub fn poll_expired(&mut self, now: Time) -> Option<K> {
        loop {
            if let Some(key) = self.due.pop_front() {
                self.len -= 1;
                return Some(key);
            }
            self.due.shrink_to(SLOTS);
            match self.next() {
                Some((at, next)) if at <= now.0 => self.advance(at, next),
                _ => {
                    self.now = self.now.max(now.0);
                    return None;
                }
            }
        }
    }

    /// Goes on to `at` and places anew what begins there.
    fn advance(&mut self, at: u64, next: Next) {
        assert!(at > self.now);
        self.now = at;
        match next {
            Next::Slot { level, slot } => {
                let entries = self.levels[level].take(slot);
                entries.iter().for_each(|entry| self.place(*entry));
                self.levels[level].reuse(slot, entries);
            }
            Next::Far => {
                self.far_first = u64::MAX;
                let entries = std::mem::take(&mut self.far);
                entries.iter().for_each(|entry| self.place(*entry));
            }
        }
    }

    /// Armed timers.
    pub fn len(&self) -> usize {
        self.len
    }

    /// No timer is armed.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[cfg(test)]
    fn entries_reserved(&self) -> usize {
        let slots = self.levels.iter().flat_map(|level| &level.slots);
        slots.map(Vec::capacity).sum::<usize>() + self.due.capacity() + self.far.capacity()
    }
}

fn slot_of(at: u64, level: usize) -> usize {
    (at >> (SLOT_BITS * level as u32)) as usize % SLOTS
}

#[cfg(test)]
#[path = "wheel_tests.rs"]
mod tests;
