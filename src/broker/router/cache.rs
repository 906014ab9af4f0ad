//! What the router remembers: (exchange, routing key) to destinations.
//!
//! Four places per set. A key is remembered when it is missed for the second time, so keys that
//! never come again push nothing out and cost no memory. Buffers stay with their place.

use std::hash::{BuildHasher, Hash, Hasher};

use ahash::RandomState;

use super::Destination;
use crate::ids::ExchangeId;

/// Number of keys that are remembered.
const ENTRIES: usize = 4_096;
/// Places that a key can be in.
const WAYS: usize = 4;
const SETS: usize = ENTRIES / WAYS;
/// Longer lists are not remembered: to queue the message costs far more than to find the list,
/// and memory stays bounded.
const DESTINATIONS_MAX: usize = 64;
/// Longest routing key (a short string); bounds a place's key buffer.
const KEY_BYTES_MAX: usize = 255;

const _: () = assert!(SETS.is_power_of_two() && SETS * WAYS == ENTRIES);

/// A set-associative cache of routes.
pub(super) struct RouteCache {
    hash: RandomState,
    entries: Vec<Entry>,
    /// By set: the tag that was last missed, and the place that is to be given away next.
    sets: Vec<Set>,
}

#[derive(Default)]
struct Entry {
    /// Hash of exchange and key, for a first look; 0 in an empty place.
    tag: u64,
    exchange: Option<ExchangeId>,
    epoch: u64,
    key: Vec<u8>,
    destinations: Vec<Destination>,
}

#[derive(Clone, Copy, Default)]
struct Set {
    missed: u64,
    next_way: u8,
}

/// What a look into the cache finds.
pub(super) enum Lookup {
    /// The destinations are in this entry.
    Hit(usize),
    /// They have to be searched.
    Miss(Vacancy),
}

/// The place for a key that was missed, if it came for the second time.
#[derive(Clone, Copy)]
pub(super) struct Vacancy {
    tag: u64,
    entry: Option<usize>,
}

impl RouteCache {
    pub(super) fn new(hash: RandomState) -> RouteCache {
        let entries = std::iter::repeat_with(Entry::default).take(ENTRIES).collect();
        RouteCache { hash, entries, sets: vec![Set::default(); SETS] }
    }

    /// Looks for a key; what was remembered in another epoch is not found.
    pub(super) fn find(&mut self, exchange: ExchangeId, key: &[u8], epoch: u64) -> Lookup {
        let tag = self.tag(exchange, key);
        // The set is far below 2^32, and the tag's low bits are as good as any.
        let set = (tag as usize) % SETS;
        let mut stale = None;
        for index in set * WAYS..(set + 1) * WAYS {
            let entry = &self.entries[index];
            if entry.tag == tag && entry.exchange == Some(exchange) && entry.key == key {
                if entry.epoch == epoch {
                    return Lookup::Hit(index);
                }
                stale = Some(index);
            }
        }
        Lookup::Miss(Vacancy { tag, entry: stale.or_else(|| self.place_in(set, tag)) })
    }

    /// The destinations of a hit.
    pub(super) fn destinations(&self, entry: usize) -> &[Destination] {
        &self.entries[entry].destinations
    }

    /// Remembers what was found for a missed key, if it has earned a place.
    pub(super) fn remember(
        &mut self,
        vacancy: Vacancy,
        exchange: ExchangeId,
        key: &[u8],
        epoch: u64,
        destinations: &[Destination],
    ) {
        let Some(index) = vacancy.entry else { return };
        if destinations.len() > DESTINATIONS_MAX || key.len() > KEY_BYTES_MAX {
            return;
        }
        let entry = &mut self.entries[index];
        entry.tag = vacancy.tag;
        entry.exchange = Some(exchange);
        entry.epoch = epoch;
        entry.key.clear();
        entry.key.extend_from_slice(key);
        entry.destinations.clear();
        entry.destinations.extend_from_slice(destinations);
    }

    fn place_in(&mut self, set: usize, tag: u64) -> Option<usize> {
        let of_set = &mut self.sets[set];
        if of_set.missed != tag {
            of_set.missed = tag;
            return None;
        }
        let way = usize::from(of_set.next_way);
        of_set.next_way = (of_set.next_way + 1) % WAYS as u8;
        Some(set * WAYS + way)
    }

    fn tag(&self, exchange: ExchangeId, key: &[u8]) -> u64 {
        let mut hasher = self.hash.build_hasher();
        exchange.hash(&mut hasher);
        hasher.write(key);
        // 0 marks what was never used.
        hasher.finish().max(1)
    }
}
