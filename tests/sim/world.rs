//! Shards, writer, clock, mesh and sockets: all that acts on what the machines decide, and
//! nothing that knows what a client wants.

mod links;
mod sockets;
mod steps;

use std::collections::VecDeque;

use haremq_broker::catalog::Catalog;
use haremq_broker::ids::{ShardId, Time};
use haremq_shard::writer::{CatalogWriter, FromWriter, ToWriter};
use haremq_shard::{Effect, Event, Settings, Shard};
use haremq_storage::Lsn;

use crate::corruption::Corruption;
use crate::parameters::Parameters;
use crate::prng::Prng;
use crate::trace;

use links::Link;
use sockets::Socket;
pub(crate) use sockets::SocketId;
pub(crate) use steps::Step;

/// A ring with delays.
type Ring<T> = VecDeque<(Time, T)>;

/// The world around the clients. One per run.
pub(crate) struct World {
    pub(crate) parameters: Parameters,
    pub(crate) now: Time,
    shards: Vec<Shard>,
    writer: CatalogWriter,
    /// From each shard to each other.
    links: Vec<Vec<Link>>,
    to_writer: Vec<Ring<ToWriter>>,
    from_writer: Vec<Ring<FromWriter>>,
    syncs: Vec<Option<(Time, Lsn)>>,
    sockets: Vec<Socket>,
    /// Per shard: whose each connection slot is.
    slots: Vec<Vec<Option<SocketId>>>,
    /// Shards that were told something since their last tick.
    is_dirty: Vec<bool>,
    /// What each shard was told of the memory alarm, and what is true.
    told_over_limit: Vec<bool>,
    is_over_limit: bool,
    corruption: Corruption,
    scheduling: Prng,
    checks: u64,
}

/// With fewer octets at once, large bodies would take too many steps to drain.
const RESTING_CHUNK_BYTES: usize = 8 << 10;
const CATALOG_SEED: u64 = 0xca7a;

impl World {
    /// A broker without connections.
    pub(crate) fn new(seed: u64, parameters: Parameters, corruption: Corruption) -> World {
        let count = parameters.shards;
        let settings = |shard| Settings {
            id: ShardId(shard),
            shards: count,
            catalog: Catalog::new(CATALOG_SEED),
            name_seed: seed,
            cluster_name: "sim".into(),
            bulk_per_tick: parameters.bulk_per_tick,
            parcels_per_tick: parameters.parcels_per_tick,
        };
        let mut scheduling = Prng::new(seed, 0x5c4e);
        let links = (0..count).map(|_| {
            (0..count).map(|_| Link::new(scheduling.between(0, parameters.delay_ms_max))).collect()
        });
        World {
            links: links.collect(),
            now: Time(0),
            shards: (0..count).map(|shard| Shard::new(settings(shard))).collect(),
            writer: CatalogWriter::new(
                Catalog::new(CATALOG_SEED),
                count,
                parameters.bindings_per_delta,
            ),
            to_writer: (0..count).map(|_| Ring::new()).collect(),
            from_writer: (0..count).map(|_| Ring::new()).collect(),
            syncs: (0..count).map(|_| None).collect(),
            sockets: Vec::new(),
            slots: (0..count).map(|_| Vec::new()).collect(),
            is_dirty: vec![false; usize::from(count)],
            told_over_limit: vec![false; usize::from(count)],
            is_over_limit: false,
            corruption,
            scheduling,
            checks: 0,
            parameters,
        }
    }

    /// Tells a shard something, and does what it asks for.
    fn tell(&mut self, shard: usize, event: Event<'_>) {
        self.is_dirty[shard] = !matches!(event, Event::TickEnded);
        self.shards[shard].handle(event, self.now);
        while let Some(effect) = self.shards[shard].poll_effect() {
            trace::note(format!("      {shard}: {effect:?}"));
            self.carry_out(shard, effect);
        }
        self.return_read_batches(shard);
        self.post_letters(shard);
        self.checks += 1;
        if self.checks.is_multiple_of(16) {
            self.shards[shard].check_invariants();
        }
    }

    fn carry_out(&mut self, shard: usize, effect: Effect) {
        match effect {
            Effect::Send(slot) => self.socket_at(shard, slot).wants_send = true,
            Effect::StopReading(slot) => self.socket_at(shard, slot).is_read = false,
            Effect::StartReading(slot) => self.socket_at(shard, slot).is_read = true,
            Effect::CloseSocket(slot) => self.socket_at(shard, slot).handle_closed(),
            Effect::Forget(slot) => {
                let owner = self.slots[shard][slot.0 as usize].take();
                let socket = owner.expect("only a slot in use is forgotten");
                assert!(self.sockets[socket.0].is_closed, "the socket is closed before");
                self.sockets[socket.0].is_forgotten = true;
            }
            Effect::Sync(lsn) => {
                assert!(self.syncs[shard].is_none(), "one sync is in flight per log");
                let due = self.draw_due();
                self.syncs[shard] = Some((due, lsn));
            }
        }
    }

    /// When something that is sent off now arrives.
    fn draw_due(&mut self) -> Time {
        let delay_ms = self.scheduling.between(0, self.parameters.delay_ms_max);
        self.now.after_ms(delay_ms)
    }

    /// The truth about the memory alarm changes; shards are told one after the other.
    pub(crate) fn set_over_limit(&mut self, is_over_limit: bool) {
        self.is_over_limit = is_over_limit;
    }

    /// Memory suffices from now on, and sockets are no slower than they have to be.
    pub(crate) fn end_faults(&mut self) {
        self.is_over_limit = false;
        let parameters = &mut self.parameters;
        parameters.chunk_bytes_max = parameters.chunk_bytes_max.max(RESTING_CHUNK_BYTES);
        parameters.socket_bytes = parameters.socket_bytes.max(RESTING_CHUNK_BYTES);
    }

    /// Time passes.
    pub(crate) fn advance(&mut self, to: Time) {
        assert!(to >= self.now);
        self.now = to;
        trace::note(format!("time {}", self.now.0));
    }

    /// When something that is on its way arrives, if nothing is ready before.
    pub(crate) fn next_arrival(&self) -> Option<Time> {
        let letters = self.to_writer.iter().filter_map(|ring| ring.front().map(|it| it.0));
        let replies = self.from_writer.iter().filter_map(|ring| ring.front().map(|it| it.0));
        let batches = self.links.iter().flatten().filter_map(Link::next_arrival);
        let syncs = self.syncs.iter().flatten().map(|sync| sync.0);
        let all = letters.chain(replies).chain(batches).chain(syncs);
        all.filter(|due| *due > self.now).min()
    }

    /// When a shard's next timer is due.
    pub(crate) fn next_timer(&self) -> Option<Time> {
        self.shards.iter().filter_map(Shard::next_deadline).min()
    }

    /// Tells all shards that the broker stops.
    pub(crate) fn stop(&mut self) {
        for shard in 0..self.shards.len() {
            self.tell(shard, Event::ShutdownRequested);
        }
    }

    /// Checks that no connection is left.
    pub(crate) fn check_drained(&self) -> Result<(), String> {
        for (number, shard) in self.shards.iter().enumerate() {
            shard.check_invariants();
            if !shard.is_drained() {
                return Err(format!("shard {number} still has connections"));
            }
        }
        Ok(())
    }

    /// Checks what must hold when nobody is connected and nothing is under way.
    pub(crate) fn check_empty(&mut self) -> Result<(), String> {
        let index = self.writer.catalog().index();
        self.check_drained()?;
        for (number, shard) in self.shards.iter().enumerate() {
            if shard.catalog().index() != index {
                return Err(format!("the catalog of shard {number} is not the writer's"));
            }
            let theirs = names(self.writer.catalog());
            if names(shard.catalog()) != theirs {
                return Err(format!(
                    "the names on shard {number} are not the writer's: {theirs:?}"
                ));
            }
            if shard.memory_bytes() > 0 {
                let bytes = shard.memory_bytes();
                return Err(format!("shard {number} holds {bytes} bytes for nothing"));
            }
        }
        if self.links.iter().flatten().any(|link| !link.is_empty()) {
            return Err("a batch is left in the mesh".into());
        }
        Ok(())
    }
}

/// Everything in a catalog that has a name.
fn names(catalog: &Catalog) -> Vec<String> {
    let queues = catalog.queues().map(|queue| format!("queue {} {:?}", queue.name, queue.id));
    let exchanges = catalog.exchanges().map(|exchange| format!("exchange {}", exchange.id().0));
    let mut names: Vec<String> = queues.chain(exchanges).collect();
    names.sort();
    names
}
