//! Shards stepped in one thread, with clients whose bytes are handed over by hand: what the
//! runtime does, without sockets, rings and time.

use std::collections::VecDeque;

use haremq_protocol::client::{ClientConfig, ClientEvent, ClientSession};
use haremq_protocol::method::{AMQPClass, basic, confirm, queue};
use haremq_protocol::types::{FieldTable, ShortString};
use haremq_shard::limits::{BINDINGS_PER_DELTA, BULK_PER_TICK, PARCELS_PER_RING_AND_TICK};
use haremq_shard::mesh::Batch;
use haremq_shard::writer::{Catalog, CatalogWriter};
use haremq_shard::{ConnectionSlot, Effect, Event, Peer, Settings, Shard, ShardId, Time};

/// What a socket is read for in one tick, in bytes.
const READ_BYTES: usize = 64 << 10;
/// Decides where queues live; the same in each run.
const SEED: u64 = 7;
/// The one channel that each client uses.
pub(crate) const CHANNEL: u16 = 1;

/// A client, on the shard that holds its socket.
pub(crate) struct Client {
    shard: usize,
    slot: ConnectionSlot,
    pub(crate) session: ClientSession,
    /// Bytes on their way to the shard, the first `sent` of which are there.
    sending: Vec<u8>,
    sent: usize,
    is_stopped: bool,
}

/// All shards of a broker and the catalog's writer.
pub(crate) struct World {
    pub(crate) shards: Vec<Shard>,
    writer: CatalogWriter,
    /// Batches under way, by sender and receiver.
    rings: Vec<Vec<VecDeque<Batch>>>,
    now: Time,
    pub(crate) clients: Vec<Client>,
}

fn shard_id(index: usize) -> ShardId {
    ShardId(u16::try_from(index).expect("made for a u16 of shards"))
}

fn stop_reading(clients: &mut [Client], shard: usize, slot: ConnectionSlot, is_stopped: bool) {
    let is_meant = |client: &&mut Client| (client.shard, client.slot) == (shard, slot);
    clients.iter_mut().find(is_meant).expect("a client of ours").is_stopped = is_stopped;
}

impl World {
    pub(crate) fn new(shards: u16) -> World {
        let shard = |id| {
            Shard::new(Settings {
                id: ShardId(id),
                shards,
                catalog: Catalog::new(SEED),
                name_seed: SEED,
                cluster_name: "stepped".to_owned(),
                bulk_per_tick: BULK_PER_TICK,
                parcels_per_tick: PARCELS_PER_RING_AND_TICK,
            })
        };
        let row = || (0..shards).map(|_| VecDeque::new()).collect();
        World {
            shards: (0..shards).map(shard).collect(),
            writer: CatalogWriter::new(Catalog::new(SEED), shards, BINDINGS_PER_DELTA),
            rings: (0..shards).map(|_| row()).collect(),
            now: Time(1),
            clients: Vec::new(),
        }
    }

    /// A client on a shard, with its channel open.
    pub(crate) fn connect(&mut self, shard: usize) -> usize {
        let on_shard = self.clients.iter().filter(|client| client.shard == shard).count();
        let slot = ConnectionSlot(u32::try_from(on_shard).expect("few clients"));
        let peer = Peer { name: "stepped".to_owned(), is_loopback: true };
        self.shards[shard].handle(Event::Accepted { connection: slot, peer }, self.now);
        let session = ClientSession::new(ClientConfig::default());
        self.clients.push(Client {
            shard,
            slot,
            session,
            sending: Vec::new(),
            sent: 0,
            is_stopped: false,
        });
        let client = self.clients.len() - 1;
        self.settle(|_, _| ());
        assert!(self.clients[client].session.is_open());
        self.clients[client].session.open_channel(CHANNEL).expect("it is open");
        self.settle(|_, _| ());
        client
    }

    /// Sends a method and awaits all that follows.
    pub(crate) fn call(&mut self, client: usize, method: &AMQPClass) {
        self.clients[client].session.send(CHANNEL, method).expect("it is open");
        let mut answers = 0;
        self.settle(|_, event| {
            assert!(!matches!(event, ClientEvent::ChannelClosed { .. }), "{event:?}");
            answers += 1;
        });
        assert!(answers > 0, "{method:?} was not answered");
    }

    pub(crate) fn declare_queue(&mut self, client: usize, name: &str) {
        let declare = queue::Declare {
            queue: name.into(),
            passive: false,
            durable: false,
            exclusive: false,
            auto_delete: false,
            nowait: false,
            arguments: FieldTable::default(),
        };
        self.call(client, &AMQPClass::Queue(queue::AMQPMethod::Declare(declare)));
    }

    pub(crate) fn select_confirms(&mut self, client: usize) {
        let select = confirm::AMQPMethod::Select(confirm::Select { nowait: false });
        self.call(client, &AMQPClass::Confirm(select));
    }

    pub(crate) fn consume(&mut self, client: usize, queue: &str, no_ack: bool) {
        self.consume_as(client, queue, "c", no_ack);
    }

    /// The same by a tag that the channel does not have yet.
    pub(crate) fn consume_as(&mut self, client: usize, queue: &str, tag: &str, no_ack: bool) {
        let consume = basic::Consume {
            queue: queue.into(),
            consumer_tag: ShortString::from(tag),
            no_local: false,
            no_ack,
            exclusive: false,
            nowait: false,
            arguments: FieldTable::default(),
        };
        self.call(client, &AMQPClass::Basic(basic::AMQPMethod::Consume(consume)));
    }

    /// A name whose queue lives on this shard. `client` declares queues to find it.
    pub(crate) fn queue_on(&mut self, client: usize, shard: usize) -> String {
        self.queues_on(client, shard, 1).remove(0)
    }

    /// Declares queues until so many live on a shard; returns their names.
    pub(crate) fn queues_on(&mut self, client: usize, shard: usize, count: usize) -> Vec<String> {
        let mut names = Vec::new();
        for number in 0..1000 {
            if names.len() == count {
                break;
            }
            let name = format!("queue-{number}");
            self.declare_queue(client, &name);
            let record = self.writer.catalog().queues().find(|queue| *queue.name == *name);
            let slot = record.expect("it was just declared").slot;
            if slot.shard(shard_id(self.shards.len()).0).index() == shard {
                names.push(name);
            }
        }
        assert_eq!(names.len(), count, "queues live on shard {shard}");
        names
    }

    /// Hands bytes to a client's shard, in one read.
    pub(crate) fn receive(&mut self, client: usize, bytes: &[u8]) {
        let Client { shard, slot, .. } = self.clients[client];
        self.shards[shard].handle(Event::Received { connection: slot, bytes }, self.now);
    }

    /// More memory is used than may be.
    pub(crate) fn exceed_memory(&mut self) {
        for shard in &mut self.shards {
            shard.handle(Event::MemoryChanged { is_over_limit: true }, self.now);
        }
    }

    /// Takes what a shard has for a client; tells its octets.
    pub(crate) fn send(&mut self, client: usize) -> usize {
        let Client { shard, slot, .. } = self.clients[client];
        let bytes = self.shards[shard].output(slot).len();
        if bytes > 0 {
            self.shards[shard].handle(Event::Sent { connection: slot, bytes }, self.now);
        }
        bytes
    }

    /// One tick of one shard.
    pub(crate) fn tick(&mut self, index: usize) {
        let now = self.now;
        let shard = &mut self.shards[index];
        while let Some(letter) = self.writer.poll_outbox(shard_id(index)) {
            shard.handle(Event::CatalogReceived(letter), now);
        }
        self.take_batches(index);
        let shard = &mut self.shards[index];
        shard.handle(Event::TickEnded, now);
        while let Some(effect) = shard.poll_effect() {
            match effect {
                Effect::Sync(lsn) => shard.handle(Event::LogSynced(lsn), now),
                Effect::StopReading(slot) => stop_reading(&mut self.clients, index, slot, true),
                Effect::StartReading(slot) => stop_reading(&mut self.clients, index, slot, false),
                _ => {}
            }
        }
        while let Some(letter) = shard.poll_letter() {
            self.writer.handle(shard_id(index), letter);
        }
        for peer in (0..self.shards.len()).filter(|&peer| peer != index) {
            if let Some(batch) = self.shards[index].poll_batch(shard_id(peer)) {
                self.rings[index][peer].push_back(batch);
            }
        }
    }

    fn take_batches(&mut self, index: usize) {
        let (own, now) = (shard_id(index), self.now);
        for peer in (0..self.shards.len()).filter(|&peer| peer != index) {
            let from = shard_id(peer);
            while self.shards[index].has_room_for_batch(from)
                && let Some(batch) = self.rings[peer][index].pop_front()
            {
                self.shards[index].handle(Event::BatchReceived { from, batch }, now);
                self.return_batch(peer, own);
            }
            self.return_batch(peer, own);
        }
    }

    /// A batch of `sender` that was read goes back to it.
    fn return_batch(&mut self, sender: usize, reader: ShardId) {
        if let Some(batch) = self.shards[reader.index()].poll_read_batch(shard_id(sender)) {
            let event = Event::BatchReturned { peer: reader, batch };
            self.shards[sender].handle(event, self.now);
        }
    }

    /// Whether something is under way between shards, or left over for a tick.
    pub(crate) fn has_work(&self) -> bool {
        self.shards.iter().any(Shard::has_work)
            || self.rings.iter().flatten().any(|r| !r.is_empty())
    }

    /// Ticks, and carries bytes to and from all clients, until nothing more happens.
    pub(crate) fn settle(&mut self, mut emit: impl FnMut(usize, ClientEvent<'_>)) {
        let mut is_quiet = false;
        while !is_quiet {
            is_quiet = true;
            for client in 0..self.clients.len() {
                is_quiet &= !self.carry_to_shard(client);
            }
            for index in 0..self.shards.len() {
                is_quiet &= !self.shards[index].has_work();
                self.tick(index);
            }
            for client in 0..self.clients.len() {
                is_quiet &= !self.carry_to_client(client, &mut emit);
            }
            is_quiet &= !self.has_work() && !self.writer.has_letters();
        }
    }

    fn carry_to_shard(&mut self, client: usize) -> bool {
        let Client { shard, slot, ref mut session, ref mut sending, ref mut sent, is_stopped } =
            self.clients[client];
        if is_stopped {
            return false;
        }
        if *sent == sending.len() {
            sending.clear();
            *sent = 0;
            session.poll_output(sending);
        }
        let bytes = &sending[*sent..sending.len().min(*sent + READ_BYTES)];
        *sent += bytes.len();
        let has_some = !bytes.is_empty();
        if has_some {
            self.shards[shard].handle(Event::Received { connection: slot, bytes }, self.now);
        }
        has_some
    }

    fn carry_to_client(
        &mut self,
        client: usize,
        emit: &mut impl FnMut(usize, ClientEvent<'_>),
    ) -> bool {
        let Client { shard, slot, ref mut session, .. } = self.clients[client];
        let bytes = self.shards[shard].output(slot);
        session.handle_received(bytes, |event| emit(client, event)).expect("it keeps to AMQP");
        self.send(client) > 0
    }
}
