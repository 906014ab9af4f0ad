//! The catalog: vhosts, users, exchanges, queues and bindings.
//!
//! A replicable machine. The writer holds the authoritative copy, plans commands on it and numbers
//! the deltas; every shard holds a replica that applies them. Nothing but [`Catalog::apply`]
//! changes it, and what `apply` does depends on the catalog and the delta alone.

mod apply;
mod bindings;
mod check;
pub mod command;
pub mod delta;
mod equivalence;
mod identity;
mod invariants;
mod name;
mod plan;
mod plan_binding;
mod queue_arguments;
pub mod refusal;
mod text;
pub mod user;

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;

use ahash::RandomState;
use hashbrown::HashTable;
use slab::Slab;

use crate::exchange::{Exchange, ExchangeKind, NONE};
use crate::ids::{ConnectionAddress, ExchangeId, QueueId, SLOTS, SlotId, VhostId};
use bindings::{Bindings, Link, Side};
pub use command::{Command, Origin, Plan};
pub use delta::{BindingDestination, BindingRecord, Delta, ExchangeRecord, QueueRecord};
pub(crate) use identity::integer_of;
pub use name::strip_line_ends;
pub use user::{LoginRefusal, Resource, User, UserId};

/// The vhost that a new catalog has.
pub const DEFAULT_VHOST: VhostId = VhostId(0);

/// Name and type of the exchanges that every vhost has from the start (EXC-1). The last one is
/// internal.
const PREDECLARED: [(&str, ExchangeKind); 7] = [
    ("", ExchangeKind::Direct),
    ("amq.direct", ExchangeKind::Direct),
    ("amq.fanout", ExchangeKind::Fanout),
    ("amq.topic", ExchangeKind::Topic),
    ("amq.headers", ExchangeKind::Headers),
    ("amq.match", ExchangeKind::Headers),
    (TRACE_EXCHANGE, ExchangeKind::Topic),
];
const TRACE_EXCHANGE: &str = "amq.rabbitmq.trace";

/// Everything that is known on every shard. Lives as long as its shard (or the writer).
pub struct Catalog {
    /// Number of the last applied delta.
    index: u64,
    /// Number of the last delta that changed a binding.
    topology_epoch: u64,
    /// Makes slots unforeseeable for clients that choose names.
    seed: u64,
    hash: RandomState,
    users: Vec<User>,
    /// In the order of their ids.
    vhosts: Vec<Vhost>,
    exchanges: Slab<Exchange>,
    exchange_slots: HashMap<ExchangeId, u32, RandomState>,
    queues: Slab<Queue>,
    /// By id.
    queue_slots: HashTable<u32>,
    /// The exclusive queues of each connection that has some.
    owned: HashMap<ConnectionAddress, Owned, RandomState>,
    bindings: Bindings,
}

/// A namespace. The tables serve lookups only.
struct Vhost {
    id: VhostId,
    name: Box<str>,
    /// Slots by name.
    exchanges: HashMap<Box<[u8]>, u32, RandomState>,
    /// By name.
    queues: HashTable<Arc<QueueRecord>>,
}

/// A queue and where its bindings begin.
struct Queue {
    /// The record's, at hand for tables and chains that go over many queues.
    id: QueueId,
    record: Arc<QueueRecord>,
    /// First of the bindings with this destination.
    first_received: u32,
    /// Their number.
    received: u32,
    /// Its place among the exclusive queues of its connection.
    owned: Link,
}

/// The ends of the chain of a connection's exclusive queues, which rise by age.
#[derive(Clone, Copy)]
struct Owned {
    oldest: u32,
    newest: u32,
}

impl Catalog {
    /// A catalog with the vhost `/`, its predeclared exchanges and the user `guest` (VH-1). The
    /// exchanges are its first deltas. `seed` decides the slots of queues that are yet to come:
    /// it is the same for the writer and all replicas.
    pub fn new(seed: u64) -> Catalog {
        let hash = RandomState::with_seeds(seed, 1, 2, 3);
        let mut catalog = Catalog {
            index: 0,
            topology_epoch: 0,
            seed,
            users: vec![User::guest()],
            vhosts: vec![Vhost::new(DEFAULT_VHOST, "/", &hash)],
            exchanges: Slab::new(),
            exchange_slots: HashMap::with_hasher(hash.clone()),
            queues: Slab::new(),
            queue_slots: HashTable::new(),
            owned: HashMap::with_hasher(hash.clone()),
            bindings: Bindings::new(&hash),
            hash,
        };
        for (name, kind) in PREDECLARED {
            let record = catalog.predeclared(name, kind);
            catalog.apply(&Delta::ExchangeDeclared(Arc::new(record)));
        }
        catalog
    }

    fn predeclared(&self, name: &str, kind: ExchangeKind) -> ExchangeRecord {
        ExchangeRecord {
            id: ExchangeId(self.next_index()),
            vhost: DEFAULT_VHOST,
            name: name.into(),
            kind,
            durable: true,
            auto_delete: false,
            internal: name == TRACE_EXCHANGE,
            arguments: Default::default(),
        }
    }

    /// Number of the last applied delta. Requests to other shards carry it.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Number of the delta that is to come.
    pub fn next_index(&self) -> u64 {
        self.index + 1
    }

    /// Changes whenever a binding does, and only then.
    pub fn topology_epoch(&self) -> u64 {
        self.topology_epoch
    }

    /// A vhost by name, verbatim (CONN-52).
    pub fn vhost(&self, name: &str) -> Option<VhostId> {
        self.vhosts.iter().find(|vhost| &*vhost.name == name).map(|vhost| vhost.id)
    }

    /// A vhost's name; empty if there is no such vhost.
    pub fn vhost_name(&self, id: VhostId) -> &str {
        self.namespace(id).map_or("", |vhost| &vhost.name)
    }

    /// An exchange by name, verbatim.
    pub fn exchange(&self, vhost: VhostId, name: &[u8]) -> Option<&Exchange> {
        let slot = *self.namespace(vhost)?.exchanges.get(name)?;
        Some(&self.exchanges[slot as usize])
    }

    /// The id of an exchange by name, for callers that keep it: `exchange_by_id` is faster.
    pub fn exchange_id(&self, vhost: VhostId, name: &[u8]) -> Option<ExchangeId> {
        self.exchange(vhost, name).map(Exchange::id)
    }

    /// An exchange by id.
    pub fn exchange_by_id(&self, id: ExchangeId) -> Option<&Exchange> {
        let slot = *self.exchange_slots.get(&id)?;
        Some(&self.exchanges[slot as usize])
    }

    pub(crate) fn exchange_in_slot(&self, slot: u32) -> &Exchange {
        &self.exchanges[slot as usize]
    }

    /// All exchanges, in an order that is the same on every replica.
    pub fn exchanges(&self) -> impl Iterator<Item = &Exchange> {
        self.exchanges.iter().map(|(_, exchange)| exchange)
    }

    /// A queue by name, verbatim.
    pub fn queue(&self, vhost: VhostId, name: &[u8]) -> Option<&QueueRecord> {
        let is_it = |record: &Arc<QueueRecord>| record.name.as_bytes() == name;
        self.namespace(vhost)?.queues.find(self.hash.hash_one(name), is_it).map(|record| &**record)
    }

    /// A queue by id.
    pub fn queue_by_id(&self, id: QueueId) -> Option<&QueueRecord> {
        self.queue_slot(id).map(|slot| &*self.queues[slot].record)
    }

    fn queue_slot(&self, id: QueueId) -> Option<usize> {
        let is_it = |slot: &u32| self.queues[*slot as usize].id == id;
        self.queue_slots.find(self.hash.hash_one(id), is_it).map(|slot| *slot as usize)
    }

    /// All queues, in an order that is the same on every replica.
    pub fn queues(&self) -> impl Iterator<Item = &QueueRecord> {
        self.queues.iter().map(|(_, queue)| &*queue.record)
    }

    /// The exclusive queues of a connection, oldest first: they go when it ends (QUE-51).
    pub fn exclusive_queues_of(
        &self,
        connection: ConnectionAddress,
    ) -> impl Iterator<Item = QueueId> {
        let mut slot = self.owned.get(&connection).map_or(NONE, |owned| owned.oldest);
        std::iter::from_fn(move || {
            let queue = self.queues.get(slot as usize)?;
            slot = queue.owned.next;
            Some(queue.id)
        })
    }

    /// The bindings with this exchange as their source.
    pub fn routes_of(&self, exchange: ExchangeId) -> impl Iterator<Item = &BindingRecord> {
        let first = self.exchange_by_id(exchange).map_or(NONE, |exchange| exchange.first_sourced);
        self.bindings.iterate(Side::Source, first)
    }

    /// The bindings with this destination.
    pub fn bindings_to(&self, end: BindingDestination) -> impl Iterator<Item = &BindingRecord> {
        self.bindings.iterate(Side::Destination, self.first_received(end))
    }

    /// Number of the bindings from and to an exchange or queue; 0 if it is not there.
    pub fn binding_count(&self, end: BindingDestination) -> u32 {
        match end {
            BindingDestination::Queue(id) => {
                self.queue_slot(id).map_or(0, |slot| self.queues[slot].received)
            }
            BindingDestination::Exchange(id) => {
                self.exchange_by_id(id).map_or(0, |exchange| exchange.sourced + exchange.received)
            }
        }
    }

    fn first_received(&self, end: BindingDestination) -> u32 {
        match end {
            BindingDestination::Exchange(id) => {
                self.exchange_by_id(id).map_or(NONE, |exchange| exchange.first_received)
            }
            BindingDestination::Queue(id) => {
                self.queue_slot(id).map_or(NONE, |slot| self.queues[slot].first_received)
            }
        }
    }

    /// The slot of a shared queue. A crafted set of names cannot aim at one slot without knowing
    /// the seed. Only the writer's answer counts: it is written into the delta.
    pub(crate) fn slot_of(&self, vhost: VhostId, name: &str) -> SlotId {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.seed);
        hasher.write(self.vhost_name(vhost).as_bytes());
        hasher.write_u8(0xff);
        hasher.write(name.as_bytes());
        let slot = hasher.finish() % u64::from(SLOTS);
        SlotId(u16::try_from(slot).expect("a remainder of SLOTS fits where SLOTS does"))
    }

    fn namespace(&self, id: VhostId) -> Option<&Vhost> {
        let position = self.vhosts.binary_search_by_key(&id, |vhost| vhost.id).ok()?;
        Some(&self.vhosts[position])
    }
}

fn namespace_mut(vhosts: &mut [Vhost], id: VhostId) -> &mut Vhost {
    let position = vhosts.binary_search_by_key(&id, |vhost| vhost.id);
    &mut vhosts[position.expect("a delta names a vhost that exists")]
}

impl Vhost {
    fn new(id: VhostId, name: &str, hash: &RandomState) -> Vhost {
        Vhost {
            id,
            name: name.into(),
            exchanges: HashMap::with_hasher(hash.clone()),
            queues: HashTable::new(),
        }
    }
}

#[cfg(test)]
mod catalog_tests;
#[cfg(test)]
mod replica_tests;
