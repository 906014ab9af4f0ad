//! A slab whose keys go stale when their slot is used again.

use slab::Slab;

use crate::token::{Key, SLOT_MAX};

/// Owned by one core. A key names one value for as long as that value is here and nothing else
/// ever after: the slot's generation rises with each removal.
pub(crate) struct Slots<T> {
    entries: Slab<T>,
    /// By slot; outlives the entries.
    generations: Vec<u32>,
}

impl<T> Slots<T> {
    pub(crate) fn new() -> Slots<T> {
        Slots { entries: Slab::new(), generations: Vec::new() }
    }

    pub(crate) fn insert(&mut self, value: T) -> Key {
        let slot = self.entries.insert(value);
        assert!(slot <= SLOT_MAX as usize);
        if slot == self.generations.len() {
            self.generations.push(0);
        }
        Key { slot: slot as u32, generation: self.generations[slot] }
    }

    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        if self.is_current(key) { self.entries.get(key.slot as usize) } else { None }
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        if self.is_current(key) { self.entries.get_mut(key.slot as usize) } else { None }
    }

    /// Takes the value out and makes its key stale; `None` if it was stale already.
    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        if !self.is_current(key) {
            return None;
        }
        let value = self.entries.try_remove(key.slot as usize)?;
        let generation = &mut self.generations[key.slot as usize];
        *generation = generation.wrapping_add(1);
        Some(value)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.entries.iter().map(|(slot, value)| {
            (Key { slot: slot as u32, generation: self.generations[slot] }, value)
        })
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (Key, &mut T)> {
        let generations = &self.generations;
        self.entries
            .iter_mut()
            .map(|(slot, value)| (Key { slot: slot as u32, generation: generations[slot] }, value))
    }

    fn is_current(&self, key: Key) -> bool {
        self.generations.get(key.slot as usize) == Some(&key.generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_a_removed_value_finds_nothing_in_the_reused_slot() {
        let mut slots = Slots::new();
        let old = slots.insert("old");
        assert_eq!(slots.remove(old), Some("old"));
        assert_eq!(slots.remove(old), None);
        let new = slots.insert("new");
        assert_eq!(new.slot, old.slot);
        assert_eq!(slots.get(old), None);
        assert_eq!(slots.get_mut(old), None);
        assert_eq!(slots.remove(old), None);
        assert_eq!(slots.get(new), Some(&"new"));
        assert_eq!(slots.iter().count(), 1);
    }
}
