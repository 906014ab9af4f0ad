//! When messages and the queue itself expire.
//!
//! Messages expire on time wherever they are (TTL-28). Where each deadline is not before those of
//! the messages ahead, as under a queue's TTL, nothing is stored for it: a cursor follows the
//! order. The others, and those that came back, are in a heap. One timer serves both, and the
//! queue's lease.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::ids::Time;
use crate::sparse_ring::SparseRing;
use crate::store::MessageStore;

use super::alarm::Alarm;
use super::effect::Effect;
use super::entry::Entry;
use super::sequence_set::SequenceSet;
use super::{Context, Queue};

/// Entries looked at per firing; if more are due, the timer comes again at once.
const EXPIRY_SLICE: usize = 4_096;

/// What watches over the deadlines of a queue's messages.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    alarm: Alarm,
    /// (deadline, sequence). Those that left the queue otherwise are passed over when they come up.
    heap: BinaryHeap<Reverse<(Time, u64)>>,
    /// All before it are expired, delivered, without deadline or in the heap.
    cursor: u64,
    /// The latest deadline of those that the cursor will meet.
    highest: Time,
}

impl Deadlines {
    /// Whether the cursor will meet this new last message in time.
    fn follows_in_order(&mut self, sequence: u64, head: u64, at: Time) -> bool {
        self.cursor = self.cursor.max(head);
        if self.cursor >= sequence {
            self.highest = Time(0);
        }
        if at < self.highest {
            return false;
        }
        self.highest = at;
        true
    }

    fn push(&mut self, sequence: u64, at: Time, entries: &SparseRing<Entry>) {
        if self.heap.len() > 2 * entries.len() + 64 {
            self.sweep(entries);
        }
        self.heap.push(Reverse((at, sequence)));
    }

    /// Forgets what is no longer in the queue.
    pub(super) fn sweep(&mut self, entries: &SparseRing<Entry>) {
        self.heap.retain(|Reverse((_, sequence))| entries.get(*sequence).is_some());
    }

    /// The next message of the heap that is due.
    fn poll_heap(&mut self, now: Time) -> Option<u64> {
        let Reverse((at, sequence)) = *self.heap.peek()?;
        if at > now {
            return None;
        }
        self.heap.pop();
        Some(sequence)
    }

    /// Gives back what is kept for reuse, of an empty queue. Returns whether nothing is left that
    /// a new value would not know.
    pub(super) fn shrink(&mut self) -> bool {
        self.heap.shrink_to_fit();
        self.alarm.shrink() && self.heap.is_empty()
    }

    pub(super) fn check_invariants(&self, entries: &SparseRing<Entry>, head: u64) {
        let mut highest = Time(0);
        for (sequence, entry) in entries.range(0, u64::MAX) {
            let Some(at) = entry.deadline() else { continue };
            if entry.is_in_heap() {
                let copies = self.heap.iter().filter(|Reverse((_, held))| *held == sequence);
                assert_eq!(copies.count(), 1);
            } else if !entry.is_unacked() {
                assert!(sequence >= self.cursor.max(head));
                assert!(at >= highest);
                highest = at;
            }
            if !entry.is_unacked() {
                assert!(self.alarm.covers(at));
            }
        }
    }
}

impl Queue {
    /// A message with a deadline has been put at the end.
    pub(super) fn watch_new(
        &mut self,
        now: Time,
        sequence: u64,
        at: Time,
        effects: &mut Vec<Effect>,
    ) {
        let returned = self.returned.get().map_or(0, SequenceSet::len);
        let head = if self.ready == returned as u64 + 1 { sequence } else { self.head };
        if !self.deadlines.get_or_make().follows_in_order(sequence, head, at) {
            self.watch_by_heap(sequence, at);
        }
        self.deadlines.get_or_make().alarm.arm(now, at, effects);
    }

    /// A message has come back; the cursor may have passed it.
    pub(super) fn watch_returned(&mut self, now: Time, sequence: u64, effects: &mut Vec<Effect>) {
        let entry = *self.entry(sequence);
        let Some(at) = entry.deadline() else { return };
        if !entry.is_in_heap() {
            self.watch_by_heap(sequence, at);
        }
        self.deadlines.get_or_make().alarm.arm(now, at, effects);
    }

    fn watch_by_heap(&mut self, sequence: u64, at: Time) {
        self.deadlines.get_or_make().push(sequence, at, &self.entries);
        let entry = self.entries.get_mut(sequence).expect("a ready sequence has its entry");
        entry.mark_in_heap(true);
    }

    /// Takes a ready message out.
    pub(super) fn expire(&mut self, sequence: u64, store: &mut MessageStore) {
        if sequence < self.head {
            self.take_returned(sequence);
        }
        let entry = self.take_entry(sequence);
        self.ready -= 1;
        self.counters.expired += 1;
        store.release(entry.message());
    }

    pub(super) fn timer_fired(&mut self, now: Time, context: &mut Context<'_>) {
        self.deadlines.get_or_make().alarm.handle_fired(now);
        let left = self.expire_from_heap(now, EXPIRY_SLICE, context.store);
        let left = self.expire_in_order(now, left, context.store);
        if left == 0 {
            self.deadlines.get_or_make().alarm.arm(now, now.after_ms(1), context.effects);
        }
        let deadlines = self.deadlines.get_or_make();
        let in_heap = deadlines.heap.peek().map(|Reverse((at, _))| *at);
        let in_order = self.entries.get(deadlines.cursor).and_then(Entry::deadline);
        for at in [in_heap, in_order].into_iter().flatten() {
            self.deadlines.get_or_make().alarm.arm(now, at.max(now.after_ms(1)), context.effects);
        }
        self.check_lease(now, context.effects);
    }

    /// Returns what is left of the budget.
    fn expire_from_heap(&mut self, now: Time, budget: usize, store: &mut MessageStore) -> usize {
        for used in 0..budget {
            let next = self.deadlines.get_mut().and_then(|deadlines| deadlines.poll_heap(now));
            let Some(sequence) = next else { return budget - used };
            let Some(entry) = self.entries.get_mut(sequence) else { continue };
            entry.mark_in_heap(false);
            // One that is out expires when it comes back (TTL-24).
            if !entry.is_unacked() {
                self.expire(sequence, store);
            }
        }
        0
    }

    /// Returns what is left of the budget. The cursor stops at the first that is not due.
    fn expire_in_order(&mut self, now: Time, budget: usize, store: &mut MessageStore) -> usize {
        let deadlines = self.deadlines.get_or_make();
        let mut cursor = deadlines.cursor.max(self.head);
        let left = self.expire_from(&mut cursor, now, budget, store);
        self.deadlines.get_or_make().cursor = cursor;
        left
    }

    fn expire_from(
        &mut self,
        cursor: &mut u64,
        now: Time,
        budget: usize,
        store: &mut MessageStore,
    ) -> usize {
        for used in 0..budget {
            let Some(sequence) = self.entries.next_live(*cursor) else {
                *cursor = self.entries.next_index();
                return budget - used;
            };
            *cursor = sequence;
            let entry = self.entry(sequence);
            let is_ours = !entry.is_in_heap() && !entry.is_unacked();
            if is_ours && entry.is_expired(now) {
                self.expire(sequence, store);
            } else if is_ours && entry.deadline().is_some() {
                return budget - used;
            }
            *cursor = sequence + 1;
        }
        0
    }

    /// The queue was used; unless it has consumers, its lease runs from now (EXP-2).
    pub(super) fn renew_lease(&mut self, now: Time, effects: &mut Vec<Effect>) {
        self.lease_from = now;
        if let Some(at) = self.lease_end() {
            self.deadlines.get_or_make().alarm.arm(now, at, effects);
        }
    }

    fn lease_end(&self) -> Option<Time> {
        let expires_ms = self.settings.expires_ms?;
        (self.consumers.consuming() == 0).then(|| self.lease_from.deadline(expires_ms))
    }

    fn check_lease(&mut self, now: Time, effects: &mut Vec<Effect>) {
        let Some(end) = self.lease_end() else { return };
        if end <= now {
            effects.push(Effect::Expired);
        } else {
            self.deadlines.get_or_make().alarm.arm(now, end, effects);
        }
    }
}
