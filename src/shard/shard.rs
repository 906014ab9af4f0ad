//! The shard: its parts, and how a tick goes.

use std::collections::VecDeque;

use haremq_broker::catalog::Catalog;
use haremq_broker::ids::{SLOTS, ShardId, Time};
use haremq_broker::router::Router;
use haremq_storage::Lsn;

use crate::event::{ConnectionSlot, Effect, Event};
use crate::front::Front;
use crate::home::{Acceptance, Home};
use crate::limits::{DISCARDS_PER_TICK, QUEUE_ENTRY_BYTES};
use crate::mesh::{Answer, Batch, Outbox, Parcel, Reader, Reading, Request};
use crate::timers::Timer;
use crate::wheel::Wheel;
use crate::writer::{FromWriter, ToWriter};

/// What a shard is told once, at start.
pub struct Settings {
    /// Which one it is.
    pub id: ShardId,
    /// How many there are; at most [`haremq_broker::ids::SLOTS`].
    pub shards: u16,
    /// Its replica of the catalog, equal to the writer's.
    pub catalog: Catalog,
    /// Seed of names that must not be guessed (server-named queues, consumer tags).
    pub name_seed: u64,
    /// Reported to clients as `cluster_name`.
    pub cluster_name: String,
    /// Deliveries that are settled, and messages that come back or are purged, in one tick; not 0.
    /// [`crate::limits::BULK_PER_TICK`] but in tests.
    pub bulk_per_tick: u32,
    /// What is read of each ring in one tick; not 0. [`crate::limits::PARCELS_PER_RING_AND_TICK`]
    /// but in tests.
    pub parcels_per_tick: u32,
}

/// Counts since start, for metrics and the watchdog. Plain numbers: others see a sample.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Counters {
    /// Ticks ended.
    pub ticks: u64,
    /// Publishes received from clients.
    pub published: u64,
    /// Deliveries sent to clients, basic.get included.
    pub delivered: u64,
    /// Publishes that no queue was bound for.
    pub unroutable: u64,
    /// Connections accepted.
    pub connections_opened: u64,
    /// Connections forgotten.
    pub connections_closed: u64,
}

/// One core's whole state. Each core has exactly one, from start to end of the process; nothing
/// else touches it. Session machine: [`Shard::handle`] in, the `poll_*` functions out.
pub struct Shard {
    pub(crate) id: ShardId,
    pub(crate) shards: u16,
    pub(crate) now: Time,
    pub(crate) catalog: Catalog,
    pub(crate) router: Router,
    pub(crate) wheel: Wheel<Timer>,
    pub(crate) front: Front,
    pub(crate) home: Home,
    pub(crate) outboxes: Vec<Outbox>,
    inboxes: Vec<Inbox>,
    parcels_per_tick: u32,
    pub(crate) to_writer: VecDeque<ToWriter>,
    pub(crate) effects: VecDeque<Effect>,
    pub(crate) local_answers: VecDeque<Answer>,
    /// What this shard's home has accepted from this shard's channels.
    pub(crate) local_acceptances: VecDeque<Acceptance>,
    pub(crate) is_over_limit: bool,
    pub(crate) is_stopping: bool,
    pub(crate) names: crate::front::commands::NameSource,
    pub(crate) cluster_name: String,
    pub(crate) counters: Counters,
}

/// The batch of one peer that is being read, and batches that were read.
#[derive(Debug, Default)]
struct Inbox {
    current: Option<(Batch, Reader)>,
    read: Option<Batch>,
}

impl Shard {
    /// A shard with nothing in it.
    pub fn new(settings: Settings) -> Shard {
        let Settings { id, shards, catalog, name_seed, cluster_name, .. } = settings;
        let Settings { bulk_per_tick, parcels_per_tick, .. } = settings;
        assert!((1..=SLOTS).contains(&shards), "a home has at least one slot");
        assert!(id.0 < shards);
        Shard {
            id,
            shards,
            now: Time::default(),
            catalog,
            router: Router::new(name_seed, shards),
            wheel: Wheel::new(Time::default()),
            front: Front::new(id, shards, bulk_per_tick),
            home: Home::new(bulk_per_tick),
            outboxes: (0..shards).map(|_| Outbox::new()).collect(),
            inboxes: (0..shards).map(|_| Inbox::default()).collect(),
            parcels_per_tick,
            to_writer: VecDeque::new(),
            effects: VecDeque::new(),
            local_answers: VecDeque::new(),
            local_acceptances: VecDeque::new(),
            is_over_limit: false,
            is_stopping: false,
            names: crate::front::commands::NameSource::new(name_seed, id),
            cluster_name,
            counters: Counters::default(),
        }
    }

    /// Tells the shard what happened at `now`.
    pub fn handle(&mut self, event: Event<'_>, now: Time) {
        assert!(now >= self.now, "time does not run backwards");
        self.now = now;
        match event {
            Event::Accepted { connection, peer } => self.handle_accepted(connection, peer),
            Event::Received { connection, bytes } => self.handle_received(connection, bytes),
            Event::Sent { connection, bytes } => self.handle_sent(connection, bytes),
            Event::Disconnected { connection } => self.handle_disconnected(connection),
            Event::BatchReceived { from, batch } => self.handle_batch(from, batch),
            Event::BatchReturned { peer, batch } => self.outboxes[peer.index()].recycle(batch),
            Event::CatalogReceived(letter) => self.handle_letter(letter),
            Event::LogSynced(lsn) => self.handle_log_synced(lsn),
            Event::MemoryChanged { is_over_limit } => self.handle_memory(is_over_limit),
            Event::TickEnded => self.handle_tick_ended(),
            Event::ShutdownRequested => self.handle_shutdown(),
        }
        self.handle_local_answers();
    }

    /// The next thing to be done outside.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// The next letter to the catalog writer.
    pub fn poll_letter(&mut self) -> Option<ToWriter> {
        self.to_writer.pop_front()
    }

    /// The batch that this tick has for a peer. Not to be asked for while the ring to that peer
    /// is full: the batch goes on gathering.
    pub fn poll_batch(&mut self, peer: ShardId) -> Option<Batch> {
        assert_ne!(peer, self.id);
        let index = self.catalog.index();
        self.outboxes[peer.index()].poll_batch(index)
    }

    /// A batch of this peer that was read, to be returned to it.
    pub fn poll_read_batch(&mut self, peer: ShardId) -> Option<Batch> {
        self.inboxes[peer.index()].read.take()
    }

    /// Whether the next batch of this peer may be handed in.
    pub fn has_room_for_batch(&self, peer: ShardId) -> bool {
        let inbox = &self.inboxes[peer.index()];
        inbox.current.is_none() && inbox.read.is_none()
    }

    /// What is to be sent on a connection.
    pub fn output(&self, connection: ConnectionSlot) -> &[u8] {
        self.front.connection_ref(connection).map_or(&[], |connection| connection.unsent())
    }

    /// When the shard must be told of a tick at the latest, if nothing else happens.
    pub fn next_deadline(&self) -> Option<Time> {
        self.wheel.next_deadline()
    }

    /// Whether there is work left over for another tick at once.
    pub fn has_work(&self) -> bool {
        let is_reading = |inbox: &Inbox| {
            inbox.current.as_ref().is_some_and(|(batch, _)| self.is_ready_for(batch))
        };
        self.home.has_work()
            || !self.front.resumable.is_empty()
            || !self.front.settling.is_empty()
            || !self.front.remains.is_empty()
            || !self.front.dirty.is_empty()
            || !self.front.confirming.is_empty()
            || self.inboxes.iter().any(is_reading)
    }

    /// Memory that the shard's messages and buffers hold, in bytes.
    pub fn memory_bytes(&self) -> u64 {
        let outboxes: usize = self.outboxes.iter().map(Outbox::bytes_used).sum();
        let store = &self.home.store;
        let entries = store.message_count() * QUEUE_ENTRY_BYTES;
        store.bytes_used() + entries + (self.front.buffered_bytes + outboxes) as u64
    }

    /// Its replica of the catalog.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Whether every connection is gone.
    pub fn is_drained(&self) -> bool {
        self.counters.connections_opened == self.counters.connections_closed
    }

    /// Counts since start.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Panics if the shard contradicts itself. O(everything); for tests and simulation.
    pub fn check_invariants(&self) {
        self.home.check_invariants();
    }

    fn is_ready_for(&self, batch: &Batch) -> bool {
        batch.catalog_index <= self.catalog.index()
    }

    /// What is done once per tick: timers, deliveries, confirms, and the list of sends.
    fn handle_tick_ended(&mut self) {
        self.counters.ticks += 1;
        self.handle_timers();
        self.read_batches();
        self.continue_settlements();
        self.resume_connections();
        self.handle_local_answers();
        self.continue_queues();
        self.dispatch_queues();
        self.home.has_trash = self.home.store.empty_trash(DISCARDS_PER_TICK);
        self.front.remains.free_some();
        self.sync_log();
        self.handle_local_answers();
        self.send_confirms();
        self.list_sends();
    }

    fn handle_timers(&mut self) {
        while let Some(timer) = self.wheel.poll_expired(self.now) {
            match timer {
                Timer::Queue(queue) => self.handle_queue_timer(queue),
                Timer::Sweep => self.sweep_queues(),
                Timer::Acks(channel, generation) => self.handle_ack_timer(channel, generation),
                Timer::Handshake(slot, generation) => {
                    if self.is_current(slot, generation) {
                        self.handle_handshake_timeout(slot);
                    }
                }
                Timer::Heartbeat(slot, generation) => {
                    if self.is_current(slot, generation) {
                        self.handle_heartbeat(slot);
                    }
                }
                Timer::Drop(slot, generation) => {
                    if self.is_current(slot, generation) {
                        self.drop_connection(slot);
                    }
                }
            }
        }
    }

    fn is_current(&mut self, slot: ConnectionSlot, generation: u32) -> bool {
        self.front.connection(slot).is_some_and(|connection| connection.generation == generation)
    }

    fn handle_batch(&mut self, from: ShardId, batch: Batch) {
        assert!(self.has_room_for_batch(from), "one batch of a peer is read at a time");
        if batch.credit_bytes > 0 {
            self.outboxes[from.index()].add_credit(batch.credit_bytes);
            self.resume_credit_waiters(from);
        }
        self.inboxes[from.index()].current = Some((batch, Reader::default()));
        self.read_batch(from);
    }

    fn read_batches(&mut self) {
        for peer in 0..self.shards {
            self.read_batch(ShardId(peer));
        }
    }

    /// Carries out a bounded number of a batch's parcels, once the catalog is as new as the
    /// sender's was: otherwise a queue that this shard has not heard of would look deleted.
    fn read_batch(&mut self, from: ShardId) {
        let Some((mut batch, mut reader)) = self.inboxes[from.index()].current.take() else {
            return;
        };
        if self.is_ready_for(&batch) {
            let mut left = self.parcels_per_tick;
            while left > 0
                && let Some(reading) = batch.read_on(&mut reader, left)
            {
                left = left.saturating_sub(reading.weight());
                self.read_parcel(from, reading);
                self.handle_local_answers();
            }
        }
        let inbox = &mut self.inboxes[from.index()];
        if batch.is_read(&reader) {
            inbox.read = Some(batch);
        } else {
            inbox.current = Some((batch, reader));
        }
    }

    fn read_parcel(&mut self, from: ShardId, reading: Reading<'_>) {
        let Reading { parcel, messages, queues } = reading;
        match parcel {
            Parcel::Request(Request::Publish { publishes, .. }) => {
                self.read_publishes(from, publishes, queues, messages);
            }
            Parcel::Request(request) => self.handle_request(request),
            Parcel::Answer(Answer::Delivered(deliveries)) => {
                self.read_deliveries(from, deliveries, messages);
            }
            Parcel::Answer(Answer::Got(got)) => self.read_got(from, got, messages),
            Parcel::Answer(answer) => self.handle_answer(from, answer),
        }
    }

    /// Sends a request to a queue's home: by a call if that is this shard.
    pub(crate) fn request(&mut self, home: ShardId, request: Request) {
        if home == self.id {
            self.handle_request(&request);
        } else {
            self.outboxes[home.index()].request(request);
        }
    }

    /// Sends an answer without content to a channel's shard.
    pub(crate) fn answer(&mut self, shard: ShardId, answer: Answer) {
        if shard == self.id {
            self.local_answers.push_back(answer);
        } else {
            self.outboxes[shard.index()].answer(answer);
        }
    }

    /// Answers of this shard's home to this shard's channels.
    #[inline]
    pub(crate) fn handle_local_answers(&mut self) {
        if !self.local_answers.is_empty() || !self.local_acceptances.is_empty() {
            self.take_in_local_answers();
        }
    }

    fn take_in_local_answers(&mut self) {
        loop {
            if let Some(Acceptance { channel, first, last }) = self.local_acceptances.pop_front() {
                self.handle_accepted_publishes(channel, first, last);
            } else if let Some(answer) = self.local_answers.pop_front() {
                self.handle_answer(self.id, &answer);
            } else {
                return;
            }
        }
    }

    fn sync_log(&mut self) {
        if let Some(lsn) = self.home.log.poll_sync() {
            self.effects.push_back(Effect::Sync(lsn));
        }
    }

    fn handle_log_synced(&mut self, lsn: Lsn) {
        self.home.log.handle_synced(lsn);
        self.accept_synced();
    }

    fn handle_letter(&mut self, letter: FromWriter) {
        match letter {
            FromWriter::Delta { index, delta } => self.handle_delta(index, &delta),
            FromWriter::Answered { channel, request, result } => {
                self.handle_command_answered(channel, request, result);
            }
            FromWriter::ExclusiveDeleted { connection } => {
                self.handle_exclusive_deleted(connection);
            }
            FromWriter::Retire { queue, if_unused, if_empty } => {
                self.handle_retire(queue, if_unused, if_empty);
            }
            FromWriter::Deleted { queue } => self.handle_deleted(queue),
        }
    }
}
