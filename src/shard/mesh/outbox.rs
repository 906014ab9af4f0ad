//! What a shard has for one peer, and the credit between the two.

use bytes::Bytes;
use haremq_broker::ids::{ChannelAddress, QueueId};
use haremq_broker::store::Content;

use super::batch::Batch;
use super::parcel::{Answer, Got, Parcel, Request};
use super::series::{Arrival, Departure};
use crate::limits::{PARCEL_COST_BYTES, PUBLISH_CREDIT_BYTES};

/// What this shard has for one peer, gathered during a tick, and the publish credit that the
/// peer grants. Owned by the sending shard; one per peer.
#[derive(Debug)]
pub(crate) struct Outbox {
    batch: Batch,
    spare: Vec<Batch>,
    credit_bytes: i64,
}

/// Empty batches kept for reuse, per peer.
const SPARE_BATCHES_MAX: usize = 8;

/// Larger ones go back to the allocator.
const SPARE_BATCH_BYTES_MAX: usize = 2 << 20;

impl Outbox {
    pub(crate) fn new() -> Outbox {
        Outbox { batch: Batch::default(), spare: Vec::new(), credit_bytes: PUBLISH_CREDIT_BYTES }
    }

    /// Whether another publish may be sent. One may overdraw, so that a body larger than all
    /// the credit is sent too.
    pub(crate) fn has_credit(&self) -> bool {
        self.credit_bytes > 0
    }

    /// The peer has consumed publishes of this cost.
    pub(crate) fn add_credit(&mut self, bytes: u32) {
        self.credit_bytes += i64::from(bytes);
        assert!(self.credit_bytes <= PUBLISH_CREDIT_BYTES, "credit was given back twice");
    }

    /// Gives credit back to the peer for a publish that it had sent.
    pub(crate) fn return_credit(&mut self, bytes: u32) {
        self.batch.credit_bytes += bytes;
    }

    pub(crate) fn request(&mut self, request: Request) {
        self.batch.parcels.push(Parcel::Request(request));
    }

    pub(crate) fn answer(&mut self, answer: Answer) {
        self.batch.parcels.push(Parcel::Answer(answer));
    }

    /// Sends a publish to the peer's queues.
    pub(crate) fn publish(
        &mut self,
        arrival: &Arrival,
        queues: impl Iterator<Item = QueueId> + Clone,
        content: &Content<'_>,
        owned_body: Option<&Bytes>,
    ) {
        self.credit_bytes -= i64::from(publish_cost(content, queues.clone().count()));
        self.batch.push_publish(arrival, queues, content, owned_body);
    }

    /// Sends a delivery to the peer's channel.
    pub(crate) fn deliver(
        &mut self,
        departure: &Departure,
        content: &Content<'_>,
        owned_body: Option<&Bytes>,
    ) {
        self.batch.push_delivery(departure, content, owned_body);
    }

    /// Sends the message for a basic.get.
    pub(crate) fn got(&mut self, got: Got, content: &Content<'_>, owned_body: Option<&Bytes>) {
        let got = self.batch.begin_series(got, content, owned_body);
        self.answer(Answer::Got(got));
    }

    /// Says that a publish was accepted; joins the range sent just before where it can.
    pub(crate) fn accept(&mut self, channel: ChannelAddress, sequence: u64) {
        if let Some(Parcel::Answer(Answer::Accepted { channel: before, last, .. })) =
            self.batch.parcels.last_mut()
            && *before == channel
            && *last + 1 == sequence
        {
            *last = sequence;
            return;
        }
        self.answer(Answer::Accepted { channel, first: sequence, last: sequence });
    }

    /// The gathered batch, if there is anything in it.
    pub(crate) fn poll_batch(&mut self, catalog_index: u64) -> Option<Batch> {
        if self.batch.is_empty() {
            return None;
        }
        let next = self.spare.pop().unwrap_or_default();
        let mut batch = std::mem::replace(&mut self.batch, next);
        batch.catalog_index = catalog_index;
        Some(batch)
    }

    /// Takes a batch back that the peer has read.
    pub(crate) fn recycle(&mut self, mut batch: Batch) {
        batch.clear();
        let is_small = batch.bytes_reserved() <= SPARE_BATCH_BYTES_MAX;
        if is_small && self.spare.len() < SPARE_BATCHES_MAX {
            self.spare.push(batch);
        }
    }

    /// Bytes held for the peer.
    pub(crate) fn bytes_used(&self) -> usize {
        self.batch.bytes_used()
    }
}

/// What a publish to so many queues costs in credit; both ends compute it from the same.
pub(crate) fn publish_cost(content: &Content<'_>, queues: usize) -> u32 {
    let way = content.exchange.len() + content.routing_key.len() + queues * size_of::<QueueId>();
    let bytes = PARCEL_COST_BYTES + way + content.properties.len() + content.body.len();
    u32::try_from(bytes).expect("bounded by the largest message")
}
