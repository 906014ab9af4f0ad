//! Messages that go the same way, one after the other: the way is told once.

use bytes::Bytes;
use haremq_broker::ids::ChannelAddress;
use haremq_broker::store::Content;

use super::contents::{Contents, Section};
use crate::limits::BODY_COPY_BYTES_MAX;

/// Messages that go the same way: those behind the first differ from it in their properties and
/// bodies, and in a number that grows by one.
#[derive(Debug)]
pub struct Series<T> {
    /// The first one.
    pub first: T,
    /// How many there are.
    pub count: u32,
    /// Their contents in the batch.
    pub(super) section: Section,
    /// A body above [`crate::limits::BODY_COPY_BYTES_MAX`]; its message is alone.
    pub large_body: Option<Box<Bytes>>,
}

impl<T> Series<T> {
    /// Where their contents lie, and how many there are.
    pub(super) fn section(&self) -> (Section, u32) {
        (self.section, self.count)
    }
}

/// What a message of a series carries beside its content.
pub trait Numbered: Copy + PartialEq {
    /// What the one so many places behind it carries.
    fn later(self, places: u32) -> Self;
}

impl<T: Numbered> Series<T> {
    /// Whether a message is the next of the series, which lies in these contents.
    #[inline]
    pub(super) fn is_next(&self, message: &T, content: &Content<'_>, contents: &Contents) -> bool {
        self.large_body.is_none()
            && content.body.len() <= BODY_COPY_BYTES_MAX
            && self.first.later(self.count) == *message
            && contents.are_of(self.section, content)
    }
}

/// What a home must know of a publish beside its queues and its content.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arrival {
    /// The publishing channel.
    pub channel: ChannelAddress,
    /// Its number in that channel's confirms or transaction; 0 if no acceptance is wanted.
    pub sequence: u64,
    /// The property `expiration`, in milliseconds.
    pub expiration_ms: Option<u64>,
    /// Whether delivery-mode is 2.
    pub is_persistent: bool,
}

impl Numbered for Arrival {
    #[inline]
    fn later(self, places: u32) -> Arrival {
        let is_numbered = self.sequence != 0;
        let sequence = if is_numbered { self.sequence + u64::from(places) } else { 0 };
        Arrival { sequence, ..self }
    }
}

/// What a channel's shard must know of a delivery beside its content.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Departure {
    /// The consuming channel.
    pub channel: ChannelAddress,
    /// Its consumer.
    pub front_consumer: u32,
    /// The consumer's number for the delivery, by which it is settled; none with no-ack.
    pub ordinal: Option<u64>,
    /// Delivered before and come back.
    pub redelivered: bool,
}

impl Numbered for Departure {
    #[inline]
    fn later(self, places: u32) -> Departure {
        let ordinal = self.ordinal.map(|ordinal| ordinal + u64::from(places));
        Departure { ordinal, ..self }
    }
}
