//! The fanout exchange: all bindings, whatever the key (RTE-6).

use super::Found;
use super::targets::{Moved, Place, Target, Targets};

/// All bindings in one list.
#[derive(Default)]
pub(crate) struct Fanout {
    targets: Targets,
}

impl Fanout {
    pub(crate) fn insert(&mut self, target: Target) -> Place {
        Place { list: 0, position: self.targets.insert(target) }
    }

    pub(crate) fn remove(&mut self, place: Place) -> Option<Moved> {
        self.targets.remove(place.position)
    }

    pub(crate) fn collect(&self, found: &mut Found) {
        self.targets.collect(found);
    }
}
