//! When memory that is free goes back to the system.

/// When the allocator is to give free memory back: once the memory in use has fallen and rests.
/// While it rises and falls, what is free is soon needed again.
#[derive(Debug, Default)]
pub(crate) struct Heap {
    /// The most that was in use since memory was last given back, in bytes.
    peak: u64,
    last: u64,
    /// For how many looks it has rested.
    rests: u32,
}

/// A fall that is worth it, in bytes.
const FALL_BYTES_MIN: u64 = 8 << 20;
/// A change that is none, in bytes.
const REST_BYTES_MAX: u64 = 1 << 20;
/// Looks after which the memory in use counts as resting.
const RESTS: u32 = 10;

impl Heap {
    /// To be asked once in a period, with the memory in use.
    pub(crate) fn is_to_shrink(&mut self, used: u64) -> bool {
        let is_resting = used.abs_diff(self.last) <= REST_BYTES_MAX;
        self.rests = if is_resting { self.rests + 1 } else { 0 };
        self.last = used;
        self.peak = self.peak.max(used);
        if self.rests < RESTS || self.peak - used < FALL_BYTES_MIN {
            return false;
        }
        self.peak = used;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{FALL_BYTES_MIN, Heap, RESTS};

    /// How often the heap shrinks while so much is in use at each look.
    fn shrinks(heap: &mut Heap, used: u64, looks: u32) -> u32 {
        (0..looks).map(|_| u32::from(heap.is_to_shrink(used))).sum()
    }

    #[test]
    fn memory_goes_back_once_after_it_has_fallen_and_rests() {
        let mut heap = Heap::default();
        assert_eq!(shrinks(&mut heap, 100 << 20, 3 * RESTS), 0);
        assert_eq!(shrinks(&mut heap, 10 << 20, RESTS), 0);
        assert_eq!(shrinks(&mut heap, 10 << 20, 3 * RESTS), 1);
    }

    #[test]
    fn memory_that_falls_little_or_never_rests_stays() {
        let mut heap = Heap::default();
        assert_eq!(shrinks(&mut heap, FALL_BYTES_MIN, 3 * RESTS), 0);
        assert_eq!(shrinks(&mut heap, 1, 3 * RESTS), 0);
        let mut heap = Heap::default();
        for round in 0..10 * u64::from(RESTS) {
            assert_eq!(shrinks(&mut heap, (round % 2) << 30, 1), 0);
        }
    }
}
