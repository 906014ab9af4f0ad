//! The shard's timers: a hierarchical wheel of milliseconds.

use haremq_broker::ids::Time;

/// Timers that each fire once with a key. Nothing is cancelled: who armed one checks at firing
/// whether it still means anything.
#[derive(Debug)]
pub struct Wheel<K> {
    now: Time,
    keys: Vec<K>,
}

impl<K: Copy> Wheel<K> {
    /// No timers; time starts at `now`.
    pub fn new(now: Time) -> Wheel<K> {
        Wheel { now, keys: Vec::new() }
    }

    /// Fires `key` at `at`, or at the next poll if that has passed.
    pub fn arm(&mut self, at: Time, key: K) {
        let _ = at;
        self.keys.push(key);
        unimplemented!()
    }

    /// When to poll next: not later than the earliest timer, and not sooner than progress can be
    /// made.
    pub fn next_deadline(&self) -> Option<Time> {
        let _ = self.now;
        unimplemented!()
    }

    /// The next timer that is due at `now`. To be repeated until none is left.
    pub fn poll_expired(&mut self, now: Time) -> Option<K> {
        let _ = now;
        unimplemented!()
    }

    /// Armed timers.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// No timer is armed.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}
