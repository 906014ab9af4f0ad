//! All bindings: found by identity, and in two chains each, so that those of a queue or exchange
//! are at hand without a search.

use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

use ahash::RandomState;
use hashbrown::HashTable;
use slab::Slab;

use super::delta::BindingRecord;
use super::identity::{hash_table, is_same_table};
use crate::exchange::{NONE, Place};

/// The two chains that a binding is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// With those that have the same source.
    Source = 0,
    /// With those that have the same destination.
    Destination = 1,
}

/// All bindings of a catalog.
pub(super) struct Bindings {
    slab: Slab<Binding>,
    /// By identity. Lookups only.
    by_identity: HashTable<u32>,
    hash: RandomState,
}

struct Binding {
    record: Arc<BindingRecord>,
    /// Where the source's type keeps it.
    place: Place,
    /// Hash of the identity.
    identity: u64,
    links: [Link; 2],
}

/// The neighbours in a chain.
#[derive(Clone, Copy)]
pub(super) struct Link {
    pub(super) previous: u32,
    pub(super) next: u32,
}

pub(super) const UNLINKED: Link = Link { previous: NONE, next: NONE };

impl Bindings {
    pub(super) fn new(hash: &RandomState) -> Bindings {
        Bindings { slab: Slab::new(), by_identity: HashTable::new(), hash: hash.clone() }
    }

    pub(super) fn len(&self) -> usize {
        self.slab.len()
    }

    /// The binding with this identity (BND-1).
    pub(super) fn find(&self, record: &BindingRecord) -> Option<u32> {
        let is_it = |slot: &u32| is_same(self.record(*slot), record);
        self.by_identity.find(self.identity(record), is_it).copied()
    }

    /// The slot that the next binding will have.
    pub(super) fn next_slot(&self) -> u32 {
        let slot = u32::try_from(self.slab.vacant_key()).expect("fewer than 2^32 bindings fit");
        assert!(slot != NONE);
        slot
    }

    /// Takes up a binding that is not there yet, in no chain so far.
    pub(super) fn insert(&mut self, record: Arc<BindingRecord>, place: Place) -> u32 {
        let (slot, identity) = (self.next_slot(), self.identity(&record));
        self.slab.insert(Binding { record, place, identity, links: [UNLINKED; 2] });
        let slab = &self.slab;
        let identity_of = |slot: &u32| slab[*slot as usize].identity;
        self.by_identity.insert_unique(identity, slot, identity_of);
        slot
    }

    /// Lets a binding go that is in no chain any more.
    pub(super) fn remove(&mut self, binding: u32) -> Arc<BindingRecord> {
        let Binding { record, identity, .. } = self.slab.remove(binding as usize);
        let known = self.by_identity.find_entry(identity, |slot| *slot == binding);
        known.expect("every binding is found by its identity").remove();
        record
    }

    pub(super) fn record(&self, binding: u32) -> &BindingRecord {
        &self.slab[binding as usize].record
    }

    pub(super) fn place(&self, binding: u32) -> Place {
        self.slab[binding as usize].place
    }

    /// Notes where in its list the source's type now keeps the binding.
    pub(super) fn note_position(&mut self, binding: u32, position: u32) {
        self.slab[binding as usize].place.position = position;
    }

    /// Puts a binding first in a chain.
    pub(super) fn link(&mut self, side: Side, head: &mut u32, binding: u32) {
        let next = *head;
        if next != NONE {
            self.link_mut(side, next).previous = binding;
        }
        *self.link_mut(side, binding) = Link { previous: NONE, next };
        *head = binding;
    }

    /// Takes a binding out of a chain.
    pub(super) fn unlink(&mut self, side: Side, head: &mut u32, binding: u32) {
        let Link { previous, next } = std::mem::replace(self.link_mut(side, binding), UNLINKED);
        if next != NONE {
            self.link_mut(side, next).previous = previous;
        }
        if previous != NONE {
            self.link_mut(side, previous).next = next;
        } else {
            assert!(*head == binding);
            *head = next;
        }
    }

    fn link_mut(&mut self, side: Side, binding: u32) -> &mut Link {
        &mut self.slab[binding as usize].links[side as usize]
    }

    /// The bindings of a chain.
    pub(super) fn iterate(&self, side: Side, first: u32) -> impl Iterator<Item = &BindingRecord> {
        let mut binding = first;
        std::iter::from_fn(move || {
            let here = self.slab.get(binding as usize)?;
            binding = here.links[side as usize].next;
            Some(&*here.record)
        })
    }

    fn identity(&self, record: &BindingRecord) -> u64 {
        let mut hasher = self.hash.build_hasher();
        record.source.hash(&mut hasher);
        record.destination.hash(&mut hasher);
        hasher.write(record.routing_key.as_bytes());
        hasher.write_u8(0xff);
        hash_table(&record.arguments, &mut hasher);
        hasher.finish()
    }
}

fn is_same(one: &BindingRecord, other: &BindingRecord) -> bool {
    one.source == other.source
        && one.destination == other.destination
        && one.routing_key == other.routing_key
        && is_same_table(&one.arguments, &other.arguments)
}
