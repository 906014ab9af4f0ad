//! One tick's parcels for one peer.

use std::ops::Range;

use bytes::Bytes;
use haremq_broker::ids::QueueId;
use haremq_broker::store::Content;

use super::contents::{Contents, Messages};
use super::parcel::{Answer, Parcel, Request};
use super::series::{Arrival, Departure, Series};
use crate::limits::BODY_COPY_BYTES_MAX;

/// One tick's parcels for one peer, and what they name, in the same order. It is made by the
/// sending shard, moved over the ring, read by the receiving shard and returned empty.
#[derive(Debug, Default)]
pub struct Batch {
    /// The parcels in the order in which they were sent.
    pub parcels: Vec<Parcel>,
    /// The contents of the parcels' messages.
    contents: Contents,
    /// The queues that publishes go to.
    queues: Vec<QueueId>,
    /// Catalog index of the sender: a receiver that is behind waits until it has caught up.
    pub catalog_index: u64,
    /// Publish credit that the sender gives back to the receiver, in bytes.
    pub credit_bytes: u32,
}

impl Batch {
    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.parcels.is_empty() && self.credit_bytes == 0
    }

    /// Empties the batch and keeps its buffers.
    pub(crate) fn clear(&mut self) {
        self.parcels.clear();
        self.contents.clear();
        self.queues.clear();
        self.catalog_index = 0;
        self.credit_bytes = 0;
    }

    /// Appends a message for the home of these queues.
    pub(crate) fn push_publish(
        &mut self,
        arrival: &Arrival,
        queues: impl Iterator<Item = QueueId> + Clone,
        content: &Content<'_>,
        owned_body: Option<&Bytes>,
    ) {
        if let Some(Parcel::Request(Request::Publish { publishes, queues: before })) =
            self.parcels.last_mut()
            && publishes.is_next(arrival, content, &self.contents)
            && self.queues[places(before)].iter().copied().eq(queues.clone())
        {
            publishes.count += 1;
            return self.contents.push(content, false);
        }
        let begin = self.queues_end();
        self.queues.extend(queues);
        let queues = begin..self.queues_end();
        let publishes = self.begin_series(*arrival, content, owned_body);
        self.parcels.push(Parcel::Request(Request::Publish { publishes, queues }));
    }

    /// Appends a message for a consumer.
    pub(crate) fn push_delivery(
        &mut self,
        departure: &Departure,
        content: &Content<'_>,
        owned_body: Option<&Bytes>,
    ) {
        if let Some(Parcel::Answer(Answer::Delivered(deliveries))) = self.parcels.last_mut()
            && deliveries.is_next(departure, content, &self.contents)
        {
            deliveries.count += 1;
            return self.contents.push(content, false);
        }
        let deliveries = self.begin_series(*departure, content, owned_body);
        self.parcels.push(Parcel::Answer(Answer::Delivered(deliveries)));
    }

    /// A series of one message, whose parcel is pushed next.
    pub(crate) fn begin_series<T>(
        &mut self,
        first: T,
        content: &Content<'_>,
        owned_body: Option<&Bytes>,
    ) -> Series<T> {
        let is_large = content.body.len() > BODY_COPY_BYTES_MAX;
        let section = self.contents.begin(content);
        self.contents.push(content, is_large);
        let large_body = is_large.then(|| {
            let body = owned_body.cloned();
            Box::new(body.unwrap_or_else(|| Bytes::copy_from_slice(content.body)))
        });
        Series { first, count: 1, section, large_body }
    }

    /// Behind the last of the queues.
    fn queues_end(&self) -> u32 {
        u32::try_from(self.queues.len()).expect("publish credit bounds them")
    }

    /// Bytes that it holds for the peer.
    pub(crate) fn bytes_used(&self) -> usize {
        self.contents.bytes_used() + size_of_val(&self.parcels[..]) + size_of_val(&self.queues[..])
    }

    /// Bytes that its buffers keep.
    pub(crate) fn bytes_reserved(&self) -> usize {
        self.contents.bytes_reserved()
            + self.parcels.capacity() * size_of::<Parcel>()
            + self.queues.capacity() * size_of::<QueueId>()
    }
}

fn places(queues: &Range<u32>) -> Range<usize> {
    queues.start as usize..queues.end as usize
}

/// How far a batch has been read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reader {
    /// Next parcel.
    parcel: usize,
    /// How many of its messages have been read.
    done: u32,
    /// Where the next of them lies.
    octet: usize,
}

/// A parcel with all that it names.
pub(crate) struct Reading<'a> {
    pub(crate) parcel: &'a mut Parcel,
    /// Of its messages as many as may be read now; empty if it carries none.
    pub(crate) messages: Messages<'a>,
    /// The queues that it names.
    pub(crate) queues: &'a [QueueId],
}

impl Reading<'_> {
    /// What it counts for in a tick: a message at each of its queues.
    pub(crate) fn weight(&self) -> u32 {
        let weight = self.messages.count().max(1) * self.queues.len().max(1);
        u32::try_from(weight).unwrap_or(u32::MAX)
    }
}

impl Batch {
    /// The next parcel, with as many of its messages as make at most so many entries in queues, but
    /// one at least. It comes again with the others.
    pub(crate) fn read_on<'a>(
        &'a mut self,
        reader: &'a mut Reader,
        entries_max: u32,
    ) -> Option<Reading<'a>> {
        let parcel = self.parcels.get_mut(reader.parcel)?;
        let (section, count) = parcel.section();
        let queues = &self.queues[places(&parcel.queues())];
        let messages_max = (entries_max / (queues.len() as u32).max(1)).max(1);
        let places = reader.done..count.min(reader.done + messages_max);
        let is_last_time = places.end == count;
        reader.done = if is_last_time { 0 } else { places.end };
        reader.parcel += usize::from(is_last_time);
        let messages = self.contents.messages(section, places, &mut reader.octet);
        Some(Reading { parcel, messages, queues })
    }

    /// Whether nothing is left to be read.
    pub(crate) fn is_read(&self, reader: &Reader) -> bool {
        reader.parcel == self.parcels.len()
    }
}

#[cfg(test)]
mod tests {
    use haremq_broker::ids::{ChannelAddress, ShardId};

    use super::*;

    const CHANNEL: ChannelAddress = ChannelAddress { shard: ShardId(1), slot: 2, generation: 3 };
    const EMPTY: Content<'_> =
        Content { exchange: b"", routing_key: b"key", properties: b"", body: b"" };

    fn arrival(sequence: u64) -> Arrival {
        Arrival { channel: CHANNEL, sequence, expiration_ms: None, is_persistent: false }
    }

    fn publish(batch: &mut Batch, sequence: u64, queues: &[u64], content: &Content<'_>) {
        let queues = queues.iter().copied().map(QueueId);
        batch.push_publish(&arrival(sequence), queues, content, None);
    }

    fn deliver(batch: &mut Batch, ordinal: Option<u64>, content: &Content<'_>) {
        let departure =
            Departure { channel: CHANNEL, front_consumer: 4, ordinal, redelivered: false };
        batch.push_delivery(&departure, content, None);
    }

    /// Messages of each parcel.
    fn counts(batch: &Batch) -> Vec<u32> {
        batch.parcels.iter().map(|parcel| parcel.section().1).collect()
    }

    #[test]
    fn messages_that_go_the_same_way_are_one_parcel() {
        let mut batch = Batch::default();
        [7, 8, 9].iter().for_each(|sequence| publish(&mut batch, *sequence, &[1, 2], &EMPTY));
        [0, 0].iter().for_each(|sequence| publish(&mut batch, *sequence, &[1], &EMPTY));
        [Some(0), Some(1)].iter().for_each(|ordinal| deliver(&mut batch, *ordinal, &EMPTY));
        [None, None].iter().for_each(|ordinal| deliver(&mut batch, *ordinal, &EMPTY));
        assert_eq!(counts(&batch), [3, 2, 2, 2]);
    }

    #[test]
    fn whatever_differs_begins_another_parcel() {
        let large = [b'b'; BODY_COPY_BYTES_MAX + 1];
        let mut batch = Batch::default();
        publish(&mut batch, 1, &[1], &EMPTY);
        publish(&mut batch, 3, &[1], &EMPTY);
        publish(&mut batch, 4, &[2], &EMPTY);
        publish(&mut batch, 5, &[2, 3], &EMPTY);
        publish(&mut batch, 6, &[2, 3], &Content { routing_key: b"other", ..EMPTY });
        publish(&mut batch, 7, &[2, 3], &Content { body: &large, ..EMPTY });
        publish(&mut batch, 8, &[2, 3], &EMPTY);
        deliver(&mut batch, Some(0), &EMPTY);
        deliver(&mut batch, Some(2), &EMPTY);
        deliver(&mut batch, None, &EMPTY);
        assert_eq!(counts(&batch), [1; 10]);
    }

    #[test]
    fn a_batch_is_read_in_portions_as_it_was_written() {
        let bodies: [&[u8]; 4] = [b"one", b"two", b"three", b"four"];
        let mut batch = Batch::default();
        for body in &bodies[..3] {
            publish(&mut batch, 0, &[1, 2], &Content { body, ..EMPTY });
        }
        deliver(&mut batch, None, &Content { body: bodies[3], exchange: b"e", ..EMPTY });
        let mut reader = Reader::default();
        let (mut read, mut queues) = (Vec::new(), Vec::new());
        while let Some(mut reading) = batch.read_on(&mut reader, 4) {
            queues.push(reading.queues.to_vec());
            while let Some(content) = reading.messages.next(None) {
                read.push(content.body.to_vec());
            }
        }
        assert!(batch.is_read(&reader));
        assert_eq!(read, bodies);
        let both = vec![QueueId(1), QueueId(2)];
        assert_eq!(queues, [both.clone(), both, Vec::new()]);
    }
}
