//! The direct exchange: binding key equals routing key, octet by octet (RTE-5).

use std::sync::Arc;

use ahash::RandomState;
use hashbrown::HashTable;

use super::Found;
use super::targets::{Moved, Place, Target, Targets};

/// Bindings by their key. Lookups only, so the order of hashes is nowhere visible.
pub(crate) struct Direct {
    by_key: HashTable<Bound>,
    hash: RandomState,
}

/// All bindings with one key.
struct Bound {
    /// That of one of them, or of one that is gone.
    key: Arc<str>,
    targets: Targets,
}

impl Direct {
    pub(crate) fn new(hash: &RandomState) -> Direct {
        Direct { by_key: HashTable::new(), hash: hash.clone() }
    }

    pub(crate) fn insert(&mut self, key: &Arc<str>, target: Target) -> Place {
        let hash_of = |key: &str| self.hash.hash_one(key.as_bytes());
        let has_key = |bound: &Bound| bound.key == *key;
        let bound = self
            .by_key
            .entry(hash_of(key), has_key, |bound| hash_of(&bound.key))
            .or_insert_with(|| Bound { key: Arc::clone(key), targets: Targets::default() })
            .into_mut();
        Place { list: 0, position: bound.targets.insert(target) }
    }

    pub(crate) fn remove(&mut self, key: &[u8], place: Place) -> Option<Moved> {
        let has_key = |bound: &Bound| bound.key.as_bytes() == key;
        let bound = self.by_key.find_entry(self.hash.hash_one(key), has_key);
        let Ok(mut bound) = bound else { panic!("a binding's key is kept while it lives") };
        let moved = bound.get_mut().targets.remove(place.position);
        if bound.get().targets.is_empty() {
            bound.remove();
        }
        moved
    }

    pub(crate) fn collect(&self, key: &[u8], found: &mut Found) {
        let has_key = |bound: &Bound| bound.key.as_bytes() == key;
        if let Some(bound) = self.by_key.find(self.hash.hash_one(key), has_key) {
            bound.targets.collect(found);
        }
    }
}
