//! One limit for all consumers of a channel (QOS-2), kept on the channel.

use std::collections::VecDeque;

/// The channel's global limit and who waits for it. With limit 0 it is off.
///
/// The queues' homes say which consumers want deliveries; the channel grants what fits beside what
/// is outstanding or granted already. Lives with its channel.
#[derive(Debug, Default)]
pub struct GlobalPrefetch {
    limit: u32,
    /// Deliveries, and gets that were outstanding when the limit was set.
    outstanding: u32,
    /// The part of `outstanding` that gets are.
    gets: u32,
    granted: u32,
    /// Consumers that wait, in rotation.
    waiting: VecDeque<u32>,
}

impl GlobalPrefetch {
    /// Off.
    pub fn new() -> GlobalPrefetch {
        GlobalPrefetch::default()
    }

    /// Whether deliveries need grants.
    pub fn is_on(&self) -> bool {
        self.limit > 0
    }

    /// `basic.qos` with global: the limit (0: none), and what is outstanding on the channel at this
    /// moment: deliveries to consumers, and gets, which count only now (QOS-6).
    pub fn handle_limit(&mut self, limit: u32, deliveries: u32, gets: u32) {
        if limit == 0 {
            *self = GlobalPrefetch::new();
            return;
        }
        self.limit = limit;
        self.outstanding = deliveries.saturating_add(gets);
        self.gets = gets;
    }

    /// The consumer's queue has a message for it. Says nothing while the limit is off: the queue
    /// has been or will be told so.
    pub fn handle_wants(&mut self, consumer: u32) {
        if self.is_on() {
            self.waiting.push_back(consumer);
        }
    }

    /// A delivery to a consumer has come. Those that were on the way when the limit was set were
    /// not granted, but count as well.
    pub fn handle_delivered(&mut self, no_ack: bool) {
        if !self.is_on() {
            return;
        }
        self.granted = self.granted.saturating_sub(1);
        if !no_ack {
            self.outstanding += 1;
        }
    }

    /// The queue does not need `count` of its grants, or is gone with them.
    pub fn handle_returned(&mut self, count: u32) {
        self.granted = self.granted.saturating_sub(count);
    }

    /// So many deliveries to consumers, and gets, were settled.
    pub fn handle_settled(&mut self, deliveries: u32, gets: u32) {
        let gets = gets.min(self.gets);
        self.gets -= gets;
        self.outstanding = self.outstanding.saturating_sub(deliveries).saturating_sub(gets);
    }

    /// The consumer is gone; it waits no longer.
    pub fn handle_cancelled(&mut self, consumer: u32) {
        self.waiting.retain(|waiting| *waiting != consumer);
    }

    /// The next consumer to be granted something, and how much: its share of what is free among
    /// the channel's `consumers`, so that a lone one need not ask for each message and several get
    /// theirs in turn.
    pub fn poll_grant(&mut self, consumers: u32) -> Option<(u32, u32)> {
        let taken = self.outstanding.saturating_add(self.granted);
        let free = self.limit.saturating_sub(taken);
        if free == 0 {
            return None;
        }
        let waiting = u32::try_from(self.waiting.len()).unwrap_or(u32::MAX);
        let share = free / waiting.max(consumers).max(1);
        let consumer = self.waiting.pop_front()?;
        let count = share.max(1);
        self.granted += count;
        Some((consumer, count))
    }
}

#[cfg(test)]
mod tests {
    use super::GlobalPrefetch;

    #[test]
    fn no_more_is_granted_than_fits_beside_what_is_outstanding() {
        let mut prefetch = GlobalPrefetch::new();
        prefetch.handle_limit(10, 3, 1);
        prefetch.handle_wants(7);
        prefetch.handle_wants(8);
        assert_eq!(prefetch.poll_grant(1), Some((7, 3)));
        assert_eq!(prefetch.poll_grant(1), Some((8, 3)));
        prefetch.handle_wants(7);
        assert_eq!(prefetch.poll_grant(1), None);
        prefetch.handle_returned(2);
        assert_eq!(prefetch.poll_grant(1), Some((7, 2)));
    }

    #[test]
    fn no_ack_delivery_uses_its_grant_but_fills_nothing() {
        let mut prefetch = GlobalPrefetch::new();
        prefetch.handle_limit(1, 0, 0);
        for _ in 0..3 {
            prefetch.handle_wants(0);
            assert_eq!(prefetch.poll_grant(1), Some((0, 1)));
            prefetch.handle_delivered(true);
        }
        prefetch.handle_wants(0);
        assert_eq!(prefetch.poll_grant(1), Some((0, 1)));
        prefetch.handle_delivered(false);
        prefetch.handle_wants(0);
        assert_eq!(prefetch.poll_grant(1), None);
        prefetch.handle_settled(1, 0);
        assert_eq!(prefetch.poll_grant(1), Some((0, 1)));
    }

    #[test]
    fn later_gets_free_nothing() {
        let mut prefetch = GlobalPrefetch::new();
        prefetch.handle_limit(2, 1, 1);
        prefetch.handle_wants(0);
        prefetch.handle_settled(0, 1);
        assert_eq!(prefetch.poll_grant(1), Some((0, 1)));
        prefetch.handle_wants(0);
        prefetch.handle_settled(0, 1);
        assert_eq!(prefetch.poll_grant(1), None);
    }

    #[test]
    fn cancelled_consumer_waits_no_longer() {
        let mut prefetch = GlobalPrefetch::new();
        prefetch.handle_limit(5, 0, 0);
        prefetch.handle_wants(1);
        prefetch.handle_cancelled(1);
        assert_eq!(prefetch.poll_grant(1), None);
    }
}
