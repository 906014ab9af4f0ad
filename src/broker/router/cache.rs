//! What the router remembers: (exchange, routing key) to destinations.
//!
//! Four places per set. A key is remembered when it is missed again soon after its first miss, so
//! keys that never come again push nothing out and cost no memory. Buffers stay with their place.

use std::hash::{BuildHasher, Hash, Hasher};

use ahash::RandomState;

use super::Destination;
use crate::ids::ExchangeId;
use crate::octets::is_same;

/// Number of keys that are remembered.
const ENTRIES: usize = 4_096;
/// Places that a key can be in.
const WAYS: usize = 4;
const SETS: usize = ENTRIES / WAYS;
/// Missed keys that a set knows again: more than its places, so that keys which take turns all
/// find one.
const MISSES: usize = 8;
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

/// What has been missed in a set, and what is to be overwritten next.
#[derive(Clone, Copy, Default)]
struct Set {
    missed: [u32; MISSES],
    next_miss: u8,
    next_way: u8,
}

impl Set {
    /// True if the key was missed before; notes it if not.
    fn knows(&mut self, tag: u64) -> bool {
        let mark = (tag >> 32) as u32;
        if let Some(missed) = self.missed.iter_mut().find(|missed| **missed == mark) {
            *missed = 0;
            return true;
        }
        self.missed[usize::from(self.next_miss)] = mark;
        self.next_miss = (self.next_miss + 1) % MISSES as u8;
        false
    }

    fn take_way(&mut self) -> usize {
        let way = self.next_way;
        self.next_way = (way + 1) % WAYS as u8;
        usize::from(way)
    }
}

/// What a look into the cache finds.
pub(super) enum Lookup {
    /// The destinations are in this entry.
    Hit(usize),
    /// They have to be searched for.
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
            if entry.tag == tag && entry.exchange == Some(exchange) && is_same(&entry.key, key) {
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

    /// Octets in the buffers of all places.
    #[cfg(test)]
    pub(super) fn bytes_held(&self) -> usize {
        let destination = size_of::<Destination>();
        let of = |entry: &Entry| entry.key.capacity() + entry.destinations.capacity() * destination;
        self.entries.iter().map(of).sum()
    }

    fn place_in(&mut self, set: usize, tag: u64) -> Option<usize> {
        let of_set = &mut self.sets[set];
        of_set.knows(tag).then(|| set * WAYS + of_set.take_way())
    }

    fn tag(&self, exchange: ExchangeId, key: &[u8]) -> u64 {
        let mut hasher = self.hash.build_hasher();
        exchange.hash(&mut hasher);
        hasher.write(key);
        // 0 marks what was never used.
        hasher.finish().max(1)
    }
}
