//! From a channel's delivery tags to what the queues call the deliveries.

/// What a delivery tag stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Held {
    /// The channel's own number of the consumer (or of a queue's getter).
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

/// The outstanding delivery tags of one channel: 1, 2, 3 … (DLV-1).
#[derive(Debug, Default)]
pub struct DeliveryTags {}

impl DeliveryTags {
    /// No delivery yet.
    pub fn new() -> DeliveryTags {
        DeliveryTags::default()
    }

    /// The next tag, to be settled later.
    pub fn push(&mut self, consumer: u32, ordinal: u64) -> u64 {
        let _ = (consumer, ordinal);
        unimplemented!()
    }

    /// The next tag, for a delivery with no-ack.
    pub fn push_no_ack(&mut self) -> u64 {
        unimplemented!()
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
        let _ = (tag, multiple, runs);
        unimplemented!()
    }

    /// Takes all outstanding deliveries out (`basic.recover`); appends them to `runs`.
    pub fn take_all(&mut self, runs: &mut Vec<Run>) {
        let _ = runs;
        unimplemented!()
    }

    /// Outstanding tags.
    pub fn len(&self) -> usize {
        unimplemented!()
    }

    /// Nothing is outstanding.
    pub fn is_empty(&self) -> bool {
        unimplemented!()
    }

    /// The oldest outstanding tag.
    pub fn oldest(&self) -> Option<u64> {
        unimplemented!()
    }
}
