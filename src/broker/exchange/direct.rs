//! The direct exchange: binding key equals routing key, octet by octet (RTE-5).

use std::collections::HashMap;

use ahash::RandomState;

use super::Found;
use super::targets::{Moved, Place, Target, Targets};

/// Bindings by their key. Lookups only, so the order of hashes is nowhere visible.
pub(crate) struct Direct {
    by_key: HashMap<Box<[u8]>, Targets, RandomState>,
}

impl Direct {
    pub(crate) fn new(hash: &RandomState) -> Direct {
        Direct { by_key: HashMap::with_hasher(hash.clone()) }
    }

    pub(crate) fn insert(&mut self, key: &[u8], target: Target) -> Place {
        if !self.by_key.contains_key(key) {
            self.by_key.insert(key.into(), Targets::default());
        }
        let targets = self.by_key.get_mut(key).expect("the key was just inserted");
        Place { list: 0, position: targets.insert(target) }
    }

    pub(crate) fn remove(&mut self, key: &[u8], place: Place) -> Option<Moved> {
        let targets = self.by_key.get_mut(key).expect("a binding's key is kept while it lives");
        let moved = targets.remove(place.position);
        if targets.is_empty() {
            self.by_key.remove(key);
        }
        moved
    }

    pub(crate) fn collect(&self, key: &[u8], found: &mut Found) {
        if let Some(targets) = self.by_key.get(key) {
            targets.collect(found);
        }
    }
}
