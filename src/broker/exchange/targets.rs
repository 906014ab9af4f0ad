//! Where bindings lead: lists of targets from which one can be taken without a search.

use super::{Found, NONE};
use crate::ids::{QueueId, SlotId};

/// The end of a binding, with all that routing needs to know of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Where to.
    pub(crate) end: End,
    /// The binding, by its slot in the catalog.
    pub(crate) binding: u32,
}

/// Where a target leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// To a queue.
    Queue(QueueId, SlotId),
    /// To the exchange in this slot of the catalog.
    Exchange(u32),
}

/// Where a type keeps a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Which list; each type numbers its own.
    pub(crate) list: u32,
    /// Position in it.
    pub(crate) position: u32,
}

/// A binding whose position has changed because another one has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moved {
    /// The binding, by its slot in the catalog.
    pub(crate) binding: u32,
    /// Its new position.
    pub(crate) position: u32,
}

/// Targets in no particular order: it never matters for delivery (BND-6). A single one, by far the
/// commonest case, has no memory of its own.
#[derive(Default)]
pub(crate) enum Targets {
    #[default]
    None,
    One(Target),
    Many(Vec<Target>),
}

impl Targets {
    /// Adds a target and tells its position.
    pub(crate) fn insert(&mut self, target: Target) -> u32 {
        let position = self.as_slice().len();
        match self {
            Targets::None => *self = Targets::One(target),
            Targets::One(first) => *self = Targets::Many(vec![*first, target]),
            Targets::Many(targets) => targets.push(target),
        }
        let position = u32::try_from(position).expect("fewer than 2^32 bindings fit in memory");
        assert!(position != NONE);
        position
    }

    /// Takes the target at `position` away; the last one moves there.
    pub(crate) fn remove(&mut self, position: u32) -> Option<Moved> {
        match self {
            Targets::Many(targets) => drop(targets.swap_remove(position as usize)),
            Targets::One(_) if position == 0 => *self = Targets::None,
            _ => unreachable!("a binding's position is kept up to date"),
        }
        let moved = self.as_slice().get(position as usize);
        let moved = moved.map(|target| Moved { binding: target.binding, position });
        if self.as_slice().is_empty() {
            *self = Targets::None;
        }
        moved
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }

    /// Adds all targets to what was found.
    pub(crate) fn collect(&self, found: &mut Found) {
        for target in self.as_slice() {
            target.collect(found);
        }
    }

    fn as_slice(&self) -> &[Target] {
        match self {
            Targets::None => &[],
            Targets::One(target) => std::slice::from_ref(target),
            Targets::Many(targets) => targets,
        }
    }
}

impl Target {
    /// Adds the target to what was found.
    pub(crate) fn collect(self, found: &mut Found) {
        match self.end {
            End::Queue(queue, slot) => found.queues.push((queue, slot)),
            End::Exchange(slot) => found.exchanges.push(slot),
        }
    }
}
