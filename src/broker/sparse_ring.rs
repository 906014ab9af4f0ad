//! Values by dense, ascending numbers, of which any may be taken out at any time.

use std::collections::VecDeque;

/// Values numbered 0, 1, 2 … as they come, in chunks; a chunk goes when its last value goes, so
/// that memory follows the number of values (within one chunk per run of them), not the distance
/// between the oldest and the newest. All operations on one value are O(1).
///
/// Chunks that go are kept for reuse, as many as hold [`SPARE_VALUES`], until `shrink`.
#[derive(Debug)]
pub struct SparseRing<T, const CHUNK: usize = 128> {
    /// Front and back are trimmed so that the front is live (or the chunk that is being filled).
    chunks: VecDeque<Option<Box<Chunk<T, CHUNK>>>>,
    /// Number of the front chunk.
    first_chunk: u64,
    /// The index that the next value gets.
    next: u64,
    len: usize,
    /// At most `SPARES`.
    spares: Vec<Box<Chunk<T, CHUNK>>>,
}

/// So many values, the deliveries of one tick, can come and go without an allocation.
const SPARE_VALUES: usize = 256;
/// Most chunks that are kept for that.
pub(crate) const SPARE_CHUNKS_MAX: usize = 8;

#[derive(Debug)]
struct Chunk<T, const CHUNK: usize> {
    /// Bit n: value n is in the ring. The others are leftovers.
    live: u128,
    values: [T; CHUNK],
}

/// Values in these chunks.
fn count<T, const CHUNK: usize>(chunks: &VecDeque<Option<Box<Chunk<T, CHUNK>>>>) -> usize {
    chunks.iter().flatten().map(|chunk| chunk.live.count_ones() as usize).sum()
}

impl<T: Copy, const CHUNK: usize> Default for SparseRing<T, CHUNK> {
    fn default() -> Self {
        Self::starting_at(0)
    }
}

impl<T: Copy, const CHUNK: usize> SparseRing<T, CHUNK> {
    const CHUNK_U64: u64 = {
        assert!(CHUNK.is_power_of_two() && CHUNK <= 128);
        CHUNK as u64
    };
    /// Beside the chunk that is being filled.
    const SPARES: usize = {
        let spares = SPARE_VALUES / CHUNK;
        if spares < SPARE_CHUNKS_MAX { spares } else { SPARE_CHUNKS_MAX }
    };

    /// An empty ring whose first value gets `index`. Holds no memory.
    pub fn starting_at(index: u64) -> Self {
        SparseRing {
            chunks: VecDeque::new(),
            first_chunk: 0,
            next: index,
            len: 0,
            spares: Vec::new(),
        }
    }

    /// Adds a value; returns its index.
    pub fn push_back(&mut self, value: T) -> u64 {
        let index = self.next;
        self.next += 1;
        self.put(index, value);
        index
    }

    /// Passes over one index; returns it.
    pub fn skip(&mut self) -> u64 {
        let index = self.next;
        self.next += 1;
        if self.next.is_multiple_of(Self::CHUNK_U64) {
            self.drop_if_empty(index / Self::CHUNK_U64);
        }
        index
    }

    /// Puts a value back that was taken out (or passed over).
    pub fn restore(&mut self, index: u64, value: T) {
        assert!(index < self.next);
        assert!(self.get(index).is_none());
        self.put(index, value);
    }

    fn put(&mut self, index: u64, value: T) {
        let number = index / Self::CHUNK_U64;
        if self.chunks.is_empty() {
            self.first_chunk = number;
        }
        while number < self.first_chunk {
            self.chunks.push_front(None);
            self.first_chunk -= 1;
        }
        let place = (number - self.first_chunk) as usize;
        while self.chunks.len() <= place {
            self.chunks.push_back(None);
        }
        let spares = &mut self.spares;
        let chunk = self.chunks[place].get_or_insert_with(|| {
            spares.pop().unwrap_or_else(|| Box::new(Chunk { live: 0, values: [value; CHUNK] }))
        });
        let at = (index % Self::CHUNK_U64) as usize;
        chunk.values[at] = value;
        chunk.live |= 1 << at;
        self.len += 1;
    }

    fn chunk(&self, index: u64) -> Option<&Chunk<T, CHUNK>> {
        let place = (index / Self::CHUNK_U64).checked_sub(self.first_chunk)?;
        self.chunks.get(usize::try_from(place).ok()?)?.as_deref()
    }

    fn chunk_mut(&mut self, index: u64) -> Option<&mut Chunk<T, CHUNK>> {
        let place = (index / Self::CHUNK_U64).checked_sub(self.first_chunk)?;
        self.chunks.get_mut(usize::try_from(place).ok()?)?.as_deref_mut()
    }

    /// The value at `index`.
    pub fn get(&self, index: u64) -> Option<&T> {
        let at = (index % Self::CHUNK_U64) as usize;
        let chunk = self.chunk(index)?;
        (chunk.live >> at & 1 == 1).then(|| &chunk.values[at])
    }

    /// The value at `index`.
    pub fn get_mut(&mut self, index: u64) -> Option<&mut T> {
        let at = (index % Self::CHUNK_U64) as usize;
        let chunk = self.chunk_mut(index)?;
        (chunk.live >> at & 1 == 1).then(|| &mut chunk.values[at])
    }

    /// Takes the value at `index` out.
    pub fn remove(&mut self, index: u64) -> Option<T> {
        let at = (index % Self::CHUNK_U64) as usize;
        let chunk = self.chunk_mut(index)?;
        if chunk.live >> at & 1 == 0 {
            return None;
        }
        chunk.live &= !(1 << at);
        let value = chunk.values[at];
        let is_empty = chunk.live == 0;
        self.len -= 1;
        if is_empty {
            self.drop_if_empty(index / Self::CHUNK_U64);
        }
        Some(value)
    }

    /// Drops chunk `number` if it is empty and no further value will go into it.
    fn drop_if_empty(&mut self, number: u64) {
        let Some(place) = number.checked_sub(self.first_chunk) else { return };
        let is_being_filled = number == self.next / Self::CHUNK_U64;
        let Some(chunk) = self.chunks.get_mut(place as usize) else { return };
        if !is_being_filled
            && let Some(empty) = chunk.take_if(|chunk| chunk.live == 0)
            && self.spares.len() < Self::SPARES
        {
            self.spares.push(empty);
        }
        self.trim();
    }

    fn trim(&mut self) {
        while let Some(None) = self.chunks.front() {
            self.chunks.pop_front();
            self.first_chunk += 1;
        }
    }

    /// Index of the first value.
    pub fn first_live(&self) -> Option<u64> {
        self.next_live(self.first_chunk * Self::CHUNK_U64)
    }

    /// Index of the first value that is not before `from`.
    pub fn next_live(&self, from: u64) -> Option<u64> {
        let from = from.max(self.first_chunk * Self::CHUNK_U64);
        let mut mask = u128::MAX << (from % Self::CHUNK_U64);
        let first = usize::try_from(from / Self::CHUNK_U64 - self.first_chunk).ok()?;
        for place in first..self.chunks.len() {
            let live = self.chunks[place].as_ref().map_or(0, |chunk| chunk.live) & mask;
            if live != 0 {
                let chunk_start = (self.first_chunk + place as u64) * Self::CHUNK_U64;
                return Some(chunk_start + u64::from(live.trailing_zeros()));
            }
            mask = u128::MAX;
        }
        None
    }

    /// The values from `first` to `last`, inclusive, in order.
    pub fn range(&self, first: u64, last: u64) -> impl Iterator<Item = (u64, &T)> {
        let mut from = Some(first);
        std::iter::from_fn(move || {
            let index = self.next_live(from?).filter(|index| *index <= last)?;
            from = index.checked_add(1);
            Some((index, self.get(index).expect("next_live names a value that is there")))
        })
    }

    /// The index that the next value will get.
    pub fn next_index(&self) -> u64 {
        self.next
    }

    /// Values in the ring.
    pub fn len(&self) -> usize {
        self.len
    }

    /// No value is in the ring.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Gives back what is kept for reuse.
    pub fn shrink(&mut self) {
        self.spares = Vec::new();
        if self.is_empty() {
            self.chunks = VecDeque::new();
        }
    }

    /// Takes out all values from `first` on, as a ring with the same indices. O(chunks).
    pub fn detach_from(&mut self, first: u64) -> Self {
        let mut detached = Self::starting_at(self.next);
        let first = first.max(self.first_chunk * Self::CHUNK_U64);
        let number = first / Self::CHUNK_U64;
        let place = usize::try_from(number - self.first_chunk).expect("an index of this ring");
        if place >= self.chunks.len() {
            return detached;
        }
        detached.first_chunk = number;
        detached.chunks = self.chunks.split_off(place);
        let kept = !(u128::MAX << (first % Self::CHUNK_U64));
        if let Some(Some(boundary)) = detached.chunks.front_mut()
            && boundary.live & kept != 0
        {
            let below = Chunk { live: boundary.live & kept, values: boundary.values };
            boundary.live &= !kept;
            self.chunks.push_back(Some(Box::new(below)));
        }
        // The shorter part is counted: a look at each chunk of a million values, cold ones, takes
        // long.
        let is_short = detached.chunks.len() < self.chunks.len();
        let counted = count(if is_short { &detached.chunks } else { &self.chunks });
        detached.len = if is_short { counted } else { self.len - counted };
        self.len -= detached.len;
        self.trim();
        detached
    }

    /// All values in order; chunks go as they are passed.
    pub fn into_values(self) -> impl Iterator<Item = T> {
        self.chunks.into_iter().flatten().flat_map(|chunk| {
            let mut live = chunk.live;
            std::iter::from_fn(move || {
                let at = live.trailing_zeros() as usize;
                live &= live.checked_sub(1)?;
                Some(chunk.values[at])
            })
        })
    }

    #[cfg(test)]
    pub(crate) fn chunk_count(&self) -> usize {
        self.chunks.iter().flatten().count() + self.spares.len()
    }
}

#[cfg(test)]
#[path = "sparse_ring_tests.rs"]
mod tests;
