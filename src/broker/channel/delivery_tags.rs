//! From a channel's delivery tags to what the queues call the deliveries.

use crate::sparse_ring::SparseRing;

/// What a delivery tag stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Held {
    /// The channel's own number of the consumer (or of a queue's getter). Small and dense: memory
    /// is kept for the largest one seen.
    pub consumer: u32,
    /// The delivery's number at the queue.
    pub ordinal: u64,
}

/// Deliveries `first..=last` of one consumer, without those of them that were settled before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    /// The channel's own number of the consumer.
    pub consumer: u32,
    /// First ordinal.
    pub first: u64,
    /// Last ordinal, inclusive.
    pub last: u64,
    /// How many deliveries they are.
    pub count: u64,
}

/// The tags up to one of them, as far as they are not settled yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rest {
    last: u64,
}

/// The tag is not outstanding; the channel is to be closed with 406 (ACK-1, ACK-2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnknownDeliveryTag(pub u64);

/// The outstanding delivery tags of one channel: 1, 2, 3 … (DLV-1). Lives with its channel, on the
/// shard that holds the connection.
#[derive(Debug)]
pub struct DeliveryTags {
    held: SparseRing<Held, 64>,
    coalescer: Coalescer,
}

impl Default for DeliveryTags {
    fn default() -> DeliveryTags {
        DeliveryTags::new()
    }
}

impl DeliveryTags {
    /// No delivery yet.
    pub fn new() -> DeliveryTags {
        DeliveryTags { held: SparseRing::starting_at(1), coalescer: Coalescer::default() }
    }

    /// The next tag, to be settled later.
    pub fn push(&mut self, consumer: u32, ordinal: u64) -> u64 {
        self.held.push_back(Held { consumer, ordinal })
    }

    /// The next tag, for a delivery with no-ack.
    pub fn push_no_ack(&mut self) -> u64 {
        self.held.skip()
    }

    /// The channel is transactional: its queues do not know of all that `take` has taken out, so
    /// that no run may reach over it.
    pub fn set_transactional(&mut self) {
        self.coalescer.is_transactional = true;
    }

    /// Settles the tag, or with `multiple` all up to it (tag 0: all). Adds what is settled to
    /// `runs`: one for each consumer (with transactions, for its contiguous ordinals), in the order
    /// of their first tags. With `multiple`, each costs one of `left`; what that does not suffice
    /// for is returned, and is to be settled by `settle_rest` with the same runs.
    ///
    /// # Errors
    /// Nothing is settled when the tag is not outstanding.
    pub fn settle(
        &mut self,
        tag: u64,
        multiple: bool,
        left: &mut u32,
        runs: &mut Vec<Run>,
    ) -> Result<Option<Rest>, UnknownDeliveryTag> {
        self.coalescer.begin();
        let mut coalescer = std::mem::take(&mut self.coalescer);
        let result = self.take(tag, multiple, left, |_, held| coalescer.add(held, runs));
        self.coalescer = coalescer;
        result
    }

    /// Settles all that is outstanding when it is done, as `settle` does (`basic.recover`): what
    /// the client was sent before `recover-ok` comes back.
    pub fn recover(&mut self, left: &mut u32, runs: &mut Vec<Run>) -> Option<Rest> {
        self.coalescer.begin();
        self.settle_rest(Rest { last: u64::MAX }, left, runs)
    }

    /// Goes on with `settle` or `recover`; no other may have begun meanwhile.
    pub fn settle_rest(&mut self, rest: Rest, left: &mut u32, runs: &mut Vec<Run>) -> Option<Rest> {
        let mut coalescer = std::mem::take(&mut self.coalescer);
        let rest = self.take_rest(rest, left, |_, held| coalescer.add(held, runs));
        self.coalescer = coalescer;
        rest
    }

    /// Takes the tag out, or with `multiple` all up to it (tag 0: all), in order, as far as `left`
    /// suffices.
    pub(super) fn take(
        &mut self,
        tag: u64,
        multiple: bool,
        left: &mut u32,
        mut taken: impl FnMut(u64, Held),
    ) -> Result<Option<Rest>, UnknownDeliveryTag> {
        let is_all = tag == 0 && multiple;
        if !is_all && self.held.get(tag).is_none() {
            return Err(UnknownDeliveryTag(tag));
        }
        if !multiple {
            taken(tag, self.held.remove(tag).expect("the tag is outstanding"));
            return Ok(None);
        }
        let last = if is_all { self.held.next_index() - 1 } else { tag };
        Ok(self.take_rest(Rest { last }, left, taken))
    }

    pub(super) fn take_rest(
        &mut self,
        rest: Rest,
        left: &mut u32,
        mut taken: impl FnMut(u64, Held),
    ) -> Option<Rest> {
        while let Some(first) = self.held.first_live().filter(|first| *first <= rest.last) {
            if *left == 0 {
                return Some(rest);
            }
            *left -= 1;
            taken(first, self.held.remove(first).expect("the first live tag is outstanding"));
        }
        None
    }

    /// Makes a tag outstanding again.
    pub(super) fn restore(&mut self, tag: u64, held: Held) {
        self.held.restore(tag, held);
    }

    /// Outstanding tags.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Nothing is outstanding.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// The oldest outstanding tag.
    pub fn oldest(&self) -> Option<u64> {
        self.held.first_live()
    }

    /// The outstanding tags from this one on and what they stand for, in order.
    pub fn iter_from(&self, first: u64) -> impl Iterator<Item = (u64, Held)> {
        self.held.range(first, u64::MAX).map(|(tag, held)| (tag, *held))
    }

    /// The tag that the next delivery will get.
    pub fn next_tag(&self) -> u64 {
        self.held.next_index()
    }

    /// The outstanding tags and what they stand for, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, Held)> {
        self.iter_from(0)
    }

    /// Gives back memory that is kept for reuse.
    pub fn shrink(&mut self) {
        self.held.shrink();
        self.coalescer.open = Vec::new();
    }
}

/// Joins deliveries into runs, however the consumers are interleaved.
#[derive(Debug, Default)]
struct Coalescer {
    /// By consumer: which pass it was seen in last, and its open run's place in `runs`.
    open: Vec<(u64, usize)>,
    pass: u64,
    is_transactional: bool,
}

impl Coalescer {
    /// Closes all runs.
    fn begin(&mut self) {
        self.pass += 1;
    }

    fn add(&mut self, held: Held, runs: &mut Vec<Run>) {
        let consumer = held.consumer as usize;
        if self.open.len() <= consumer {
            self.open.resize(consumer + 1, (0, 0));
        }
        let (pass, place) = self.open[consumer];
        if pass == self.pass {
            let run = &mut runs[place];
            // Those in between were settled before: the home passes over them.
            if !self.is_transactional || run.last.checked_add(1) == Some(held.ordinal) {
                run.last = held.ordinal;
                run.count += 1;
                return;
            }
        }
        self.open[consumer] = (self.pass, runs.len());
        let Held { consumer, ordinal } = held;
        runs.push(Run { consumer, first: ordinal, last: ordinal, count: 1 });
    }
}

#[cfg(test)]
#[path = "delivery_tags_tests.rs"]
mod tests;
