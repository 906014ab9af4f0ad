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

/// Deliveries `first..=last` of one consumer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    /// The channel's own number of the consumer.
    pub consumer: u32,
    /// First ordinal.
    pub first: u64,
    /// Last ordinal, inclusive.
    pub last: u64,
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

    /// Settles the tag, or with `multiple` all up to it (tag 0: all). Appends what is settled to
    /// `runs`: a consumer's contiguous ordinals in one run, runs in the order of their first tags.
    ///
    /// # Errors
    /// Nothing is settled when the tag is not outstanding.
    pub fn settle(
        &mut self,
        tag: u64,
        multiple: bool,
        runs: &mut Vec<Run>,
    ) -> Result<(), UnknownDeliveryTag> {
        self.coalescer.begin();
        let mut coalescer = std::mem::take(&mut self.coalescer);
        let result = self.take(tag, multiple, |_, held| coalescer.add(held, runs));
        self.coalescer = coalescer;
        result
    }

    /// Takes all outstanding deliveries out (`basic.recover`); appends them to `runs`.
    pub fn take_all(&mut self, runs: &mut Vec<Run>) {
        self.settle(0, true, runs).expect("tag 0 with multiple is always accepted");
    }

    /// Takes the tag out, or with `multiple` all up to it (tag 0: all), in order.
    pub(super) fn take(
        &mut self,
        tag: u64,
        multiple: bool,
        mut taken: impl FnMut(u64, Held),
    ) -> Result<(), UnknownDeliveryTag> {
        let is_all = tag == 0 && multiple;
        if !is_all && self.held.get(tag).is_none() {
            return Err(UnknownDeliveryTag(tag));
        }
        if !multiple {
            taken(tag, self.held.remove(tag).expect("the tag is outstanding"));
            return Ok(());
        }
        let last = if is_all { u64::MAX } else { tag };
        while let Some(first) = self.held.first_live().filter(|first| *first <= last) {
            taken(first, self.held.remove(first).expect("the first live tag is outstanding"));
        }
        Ok(())
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

    /// The outstanding tags and what they stand for, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, Held)> {
        self.held.range(0, u64::MAX).map(|(tag, held)| (tag, *held))
    }

    /// Gives back memory that is kept for reuse.
    pub fn shrink(&mut self) {
        self.held.shrink();
        self.coalescer = Coalescer::default();
    }
}

/// Joins deliveries into runs, however the consumers are interleaved.
#[derive(Debug, Default)]
struct Coalescer {
    /// By consumer: which pass it was seen in last, and its open run's place in `runs`.
    open: Vec<(u64, usize)>,
    pass: u64,
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
        if pass == self.pass && runs[place].last.checked_add(1) == Some(held.ordinal) {
            runs[place].last = held.ordinal;
            return;
        }
        self.open[consumer] = (self.pass, runs.len());
        runs.push(Run { consumer: held.consumer, first: held.ordinal, last: held.ordinal });
    }
}

#[cfg(test)]
#[path = "delivery_tags_tests.rs"]
mod tests;
