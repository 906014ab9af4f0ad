//! One tick's parcels for one peer.

use bytes::Bytes;
use haremq_broker::ids::QueueId;
use haremq_broker::store::Content;

use super::parcel::{Lengths, Parcel};

/// One tick's parcels for one peer, and the bytes they name, in the same order. It is made by
/// the sending shard, moved over the ring, read by the receiving shard and returned empty.
#[derive(Debug, Default)]
pub struct Batch {
    /// The parcels in the order in which they were sent.
    pub parcels: Vec<Parcel>,
    /// The byte area.
    pub bytes: Vec<u8>,
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
    pub fn clear(&mut self) {
        self.parcels.clear();
        self.bytes.clear();
        self.catalog_index = 0;
        self.credit_bytes = 0;
    }

    /// Copies a content to the byte area; a large body is left out.
    pub(crate) fn write_content(&mut self, content: &Content<'_>, has_large_body: bool) -> Lengths {
        let body: &[u8] = if has_large_body { &[] } else { content.body };
        let lengths = Lengths {
            exchange: octet_length(content.exchange),
            routing_key: octet_length(content.routing_key),
            properties: u32::try_from(content.properties.len()).expect("bounded by frame-max"),
            body: u32::try_from(body.len()).expect("bounded by the copy limit"),
        };
        let parts = [content.exchange, content.routing_key, content.properties, body];
        self.bytes.reserve(parts.iter().map(|part| part.len()).sum());
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        lengths
    }

    /// Appends a queue id to the byte area.
    pub(crate) fn write_queue(&mut self, queue: QueueId) {
        self.bytes.extend_from_slice(&queue.0.to_le_bytes());
    }
}

fn octet_length(name: &[u8]) -> u8 {
    u8::try_from(name.len()).expect("short strings have at most 255 octets")
}

/// Walks the byte area of a batch alongside its parcels.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reader {
    /// Next parcel.
    pub(crate) parcel: usize,
    /// Next octet.
    byte: usize,
}

impl Reader {
    /// The next `length` octets.
    fn take<'a>(&mut self, bytes: &'a [u8], length: usize) -> &'a [u8] {
        let taken = &bytes[self.byte..self.byte + length];
        self.byte += length;
        taken
    }

    /// The next queue id.
    pub(crate) fn read_queue(&mut self, bytes: &[u8]) -> QueueId {
        let octets = self.take(bytes, 8).try_into().expect("eight octets were taken");
        QueueId(u64::from_le_bytes(octets))
    }

    /// The next content.
    pub(crate) fn read_content<'a>(
        &mut self,
        bytes: &'a [u8],
        lengths: Lengths,
        large_body: Option<&'a Bytes>,
    ) -> Content<'a> {
        let exchange = self.take(bytes, usize::from(lengths.exchange));
        let routing_key = self.take(bytes, usize::from(lengths.routing_key));
        let properties = self.take(bytes, lengths.properties as usize);
        let copied = self.take(bytes, lengths.body as usize);
        let body = large_body.map_or(copied, |body| &body[..]);
        Content { exchange, routing_key, properties, body }
    }
}
