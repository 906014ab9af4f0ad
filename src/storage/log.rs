//! Group commit without a timer: one sync is in flight, what is appended meanwhile is the next.

/// Position of a record in one core's log. The first record has position 1; 0 means "nothing".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Lsn(pub u64);

/// One core's log. It lives as long as its shard, which owns it.
///
/// Invariant: `synced <= syncing <= appended`.
///
/// ```text
/// append ─► appended ──poll_sync──► syncing ──handle_synced──► synced
/// ```
#[derive(Debug, Default)]
pub struct Log {
    appended: Lsn,
    syncing: Lsn,
    synced: Lsn,
}

impl Log {
    /// An empty log.
    pub fn new() -> Log {
        Log::default()
    }

    /// Takes the next record and returns its position; it is durable once [`Log::synced`] has
    /// reached that position.
    pub fn append(&mut self) -> Lsn {
        self.appended.0 += 1;
        self.appended
    }

    /// The position up to which a sync is to be started now, if one is due. While it is in
    /// flight no other is started: what gathers meanwhile is the next batch.
    pub fn poll_sync(&mut self) -> Option<Lsn> {
        let is_in_flight = self.syncing > self.synced;
        if is_in_flight || self.appended == self.synced {
            return None;
        }
        self.syncing = self.appended;
        Some(self.syncing)
    }

    /// The sync that was started for `lsn` has returned without error.
    pub fn handle_synced(&mut self, lsn: Lsn) {
        assert!(lsn == self.syncing, "a sync returned that was not started");
        assert!(lsn > self.synced, "a sync returned twice");
        self.synced = lsn;
    }

    /// Everything up to here survives a power cut.
    pub fn synced(&self) -> Lsn {
        self.synced
    }
}

#[cfg(test)]
mod tests {
    use super::{Log, Lsn};

    #[test]
    fn appends_during_a_sync_are_the_next_batch() {
        let mut log = Log::new();
        assert_eq!(log.poll_sync(), None);
        log.append();
        log.append();
        assert_eq!(log.poll_sync(), Some(Lsn(2)));
        assert_eq!(log.append(), Lsn(3));
        assert_eq!(log.poll_sync(), None, "one sync at a time");
        log.handle_synced(Lsn(2));
        assert_eq!(log.synced(), Lsn(2));
        assert_eq!(log.poll_sync(), Some(Lsn(3)));
    }

    #[test]
    #[should_panic(expected = "not started")]
    fn a_sync_that_was_never_started_is_a_bug() {
        let mut log = Log::new();
        log.append();
        log.handle_synced(Lsn(1));
    }
}
