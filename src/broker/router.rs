//! From a publish to the queues that get it (RTE-1 to RTE-7).

mod cache;

use ahash::RandomState;

use crate::catalog::Catalog;
use crate::exchange::{Exchange, ExchangeKind, Found, Scratch};
use crate::ids::{QueueId, ShardId};
use cache::{Lookup, RouteCache};

/// A queue that a message goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Destination {
    /// Its home.
    pub shard: ShardId,
    /// The queue.
    pub queue: QueueId,
}

/// Where a message goes: each queue once, in the order of shards and then of ids. Empty if it is
/// unroutable (RTE-4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destinations<'a> {
    /// The queues.
    pub queues: &'a [Destination],
    /// A message with other headers may go elsewhere.
    pub depend_on_headers: bool,
}

/// Finds destinations, and remembers those of keys that come again. One per shard, as long as the
/// shard lives; its memory is bounded, whatever is published.
pub struct Router {
    shards: u16,
    cache: RouteCache,
    scratch: Scratch,
    found: Found,
    /// By exchange slot: the route that last came there.
    visited: Vec<u64>,
    /// Number of the route at hand.
    generation: u64,
    destinations: Vec<Destination>,
}

impl<'a> Destinations<'a> {
    /// True if no queue gets the message.
    pub fn is_empty(self) -> bool {
        self.queues.is_empty()
    }

    /// The destinations shard by shard.
    pub fn by_shard(self) -> impl Iterator<Item = (ShardId, &'a [Destination])> {
        self.queues.chunk_by(|a, b| a.shard == b.shard).map(|queues| (queues[0].shard, queues))
    }
}

impl Router {
    /// A router for a broker of `shards` shards (at least one). `seed` decides where keys are
    /// remembered, nothing else.
    pub fn new(seed: u64, shards: u16) -> Router {
        assert!(shards > 0);
        Router {
            shards,
            cache: RouteCache::new(RandomState::with_seeds(seed, 5, 6, 7)),
            scratch: Scratch::default(),
            found: Found::default(),
            visited: Vec::new(),
            generation: 0,
            destinations: Vec::new(),
        }
    }

    /// The queues that a message published to `exchange` goes to. `headers` is the content of its
    /// header table, checked by the scanner; `None` is an empty table (HDR-4).
    pub fn route(
        &mut self,
        catalog: &Catalog,
        exchange: &Exchange,
        routing_key: &[u8],
        headers: Option<&[u8]>,
    ) -> Destinations<'_> {
        if exchange.is_default() {
            return self.route_default(catalog, exchange, routing_key);
        }
        if exchange.kind() == ExchangeKind::Headers {
            self.search(catalog, exchange, routing_key, headers);
            return Destinations { queues: &self.destinations, depend_on_headers: true };
        }
        let key = if exchange.ignores_keys() { b"" } else { routing_key };
        let epoch = exchange.epoch(catalog.topology_epoch());
        let vacancy = match self.cache.find(exchange.id(), key, epoch) {
            Lookup::Hit(entry) => {
                let queues = self.cache.destinations(entry);
                return Destinations { queues, depend_on_headers: false };
            }
            Lookup::Miss(vacancy) => vacancy,
        };
        let depend_on_headers = self.search(catalog, exchange, routing_key, headers);
        if !depend_on_headers {
            self.cache.remember(vacancy, exchange.id(), key, epoch, &self.destinations);
        }
        Destinations { queues: &self.destinations, depend_on_headers }
    }

    /// The queue with this name (RTE-7): as cheap as a look into the cache.
    fn route_default(
        &mut self,
        catalog: &Catalog,
        exchange: &Exchange,
        routing_key: &[u8],
    ) -> Destinations<'_> {
        self.destinations.clear();
        if let Some(queue) = catalog.queue(exchange.vhost(), routing_key) {
            let shard = queue.slot.shard(self.shards);
            self.destinations.push(Destination { shard, queue: queue.id });
        }
        Destinations { queues: &self.destinations, depend_on_headers: false }
    }

    /// Follows the bindings, from exchange to exchange, each of these once (RTE-1). Tells whether
    /// a headers exchange was on the way. This is where alternate exchanges join the work list: an
    /// exchange that adds neither queue nor exchange adds its alternate (RTE-2).
    fn search(
        &mut self,
        catalog: &Catalog,
        exchange: &Exchange,
        routing_key: &[u8],
        headers: Option<&[u8]>,
    ) -> bool {
        self.generation += 1;
        self.found.queues.clear();
        self.found.exchanges.clear();
        self.found.exchanges.push(exchange.slot);
        let mut depends_on_headers = false;
        while let Some(slot) = self.found.exchanges.pop() {
            if !self.is_first_visit(slot) {
                continue;
            }
            let exchange = catalog.exchange_in_slot(slot);
            depends_on_headers |= exchange.kind() == ExchangeKind::Headers;
            exchange.routes.collect(routing_key, headers, &mut self.scratch, &mut self.found);
        }
        self.arrange();
        depends_on_headers
    }

    fn is_first_visit(&mut self, slot: u32) -> bool {
        let slot = slot as usize;
        if self.visited.len() <= slot {
            self.visited.resize(slot + 1, 0);
        }
        let is_first = self.visited[slot] != self.generation;
        self.visited[slot] = self.generation;
        is_first
    }

    /// Each queue once, by shard (BND-6).
    fn arrange(&mut self) {
        self.destinations.clear();
        let shards = self.shards;
        let found = self.found.queues.iter();
        self.destinations.extend(
            found.map(|(queue, slot)| Destination { shard: slot.shard(shards), queue: *queue }),
        );
        if self.destinations.len() > 1 {
            self.destinations.sort_unstable();
            self.destinations.dedup();
        }
    }
}

#[cfg(test)]
mod router_tests;
