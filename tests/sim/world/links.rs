//! What leads from shard to shard, and between shards and writer.

use std::collections::VecDeque;

use haremq_broker::ids::{ShardId, Time};
use haremq_shard::Event;
use haremq_shard::mesh::Batch;

use super::World;
use crate::trace;

/// The ring from one shard to another, and the one by which batches come back.
pub(super) struct Link {
    delay_ms: u64,
    under_way: VecDeque<(Time, Batch)>,
    returning: VecDeque<Batch>,
    /// The ring was full when the sender had something: it has to be asked again.
    was_full: bool,
}

impl Link {
    pub(super) fn new(delay_ms: u64) -> Link {
        Link { delay_ms, under_way: VecDeque::new(), returning: VecDeque::new(), was_full: false }
    }

    pub(super) fn next_arrival(&self) -> Option<Time> {
        self.under_way.front().map(|batch| batch.0)
    }

    pub(super) fn has_arrived(&self, now: Time) -> bool {
        self.next_arrival().is_some_and(|due| due <= now)
    }

    pub(super) fn is_returning(&self) -> bool {
        !self.returning.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.under_way.is_empty() && self.returning.is_empty()
    }
}

impl World {
    pub(super) fn peers(&self, shard: usize) -> impl Iterator<Item = usize> + use<> {
        (0..self.shards.len()).filter(move |peer| *peer != shard)
    }

    /// What a tick has gathered goes into the rings that have room.
    pub(super) fn send_batches(&mut self, from: usize) {
        for to in self.peers(from) {
            let link = &mut self.links[from][to];
            link.was_full = link.under_way.len() == self.parameters.ring_batches;
            if link.was_full {
                continue;
            }
            let Some(mut batch) = self.shards[from].poll_batch(shard_id(to)) else {
                continue;
            };
            assert!(!batch.is_empty(), "an empty batch is not sent");
            self.corruption.spoil(&mut batch);
            trace::note(format!("      batch {from}->{to}: {:?}", batch.parcels));
            let due = self.now.after_ms(link.delay_ms);
            link.under_way.push_back((due, batch));
        }
    }

    pub(super) fn deliver_batch(&mut self, from: usize, to: usize) {
        let link = &mut self.links[from][to];
        let (_, batch) = link.under_way.pop_front().expect("it has arrived");
        if std::mem::take(&mut link.was_full) {
            self.is_dirty[from] = true;
        }
        trace::note(format!("{to} receives a batch of {from}, {} parcels", batch.parcels.len()));
        self.tell(to, Event::BatchReceived { from: shard_id(from), batch });
    }

    /// Batches that this shard has read go back.
    pub(super) fn return_read_batches(&mut self, reader: usize) {
        for from in self.peers(reader) {
            if let Some(batch) = self.shards[reader].poll_read_batch(shard_id(from)) {
                self.links[from][reader].returning.push_back(batch);
            }
        }
    }

    pub(super) fn return_batch(&mut self, from: usize, to: usize) {
        let batch = self.links[from][to].returning.pop_front().expect("it has been read");
        trace::note(format!("{from} has a batch back from {to}"));
        // It changes nothing that a tick would have to look at.
        let was_dirty = self.is_dirty[from];
        self.tell(from, Event::BatchReturned { peer: shard_id(to), batch });
        self.is_dirty[from] = was_dirty;
    }

    /// Letters of a shard go into its ring to the writer as far as there is room.
    pub(super) fn post_letters(&mut self, shard: usize) {
        while self.to_writer[shard].len() < self.parameters.ring_letters {
            let Some(letter) = self.shards[shard].poll_letter() else {
                return;
            };
            let due = self.draw_due();
            let due = self.to_writer[shard].back().map_or(due, |last| last.0.max(due));
            self.to_writer[shard].push_back((due, letter));
        }
    }

    pub(super) fn deliver_to_writer(&mut self, shard: usize) {
        let (_, letter) = self.to_writer[shard].pop_front().expect("it has arrived");
        trace::note(format!("writer, from {shard}: {letter:?}"));
        self.writer.handle(shard_id(shard), letter);
        self.post_letters(shard);
        self.post_replies();
    }

    fn post_replies(&mut self) {
        for shard in 0..self.shards.len() {
            while self.from_writer[shard].len() < self.parameters.ring_letters {
                let Some(reply) = self.writer.poll_outbox(shard_id(shard)) else {
                    break;
                };
                let due = self.draw_due();
                let due = self.from_writer[shard].back().map_or(due, |last| last.0.max(due));
                self.from_writer[shard].push_back((due, reply));
            }
        }
    }

    pub(super) fn deliver_from_writer(&mut self, shard: usize) {
        let (_, reply) = self.from_writer[shard].pop_front().expect("it has arrived");
        trace::note(format!("{shard}, from the writer: {reply:?}"));
        self.tell(shard, Event::CatalogReceived(reply));
        self.post_replies();
    }
}

/// Shards are numbered in u16.
pub(super) fn shard_id(index: usize) -> ShardId {
    ShardId(u16::try_from(index).expect("made from a u16"))
}
