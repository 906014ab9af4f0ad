//! The 64 bits that a ring request carries and its completion brings back.

/// Slots fit into 28 bits: the kind of the request takes the other four of the upper word.
pub(crate) const SLOT_MAX: u32 = (1 << 28) - 1;

/// What a completion is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// Multishot poll of a socket for data or hang-up.
    ReadPoll = 1,
    /// One-shot poll of a socket for room to send.
    WritePoll = 2,
    /// Multishot poll of a listener.
    ListenPoll = 3,
    /// A file sync; the slot is that of the sync, not of the file.
    Sync = 4,
    /// Multishot poll of the core's eventfd.
    WakePoll = 5,
    /// The answer to a cancellation, of no interest.
    Cancel = 6,
}

impl Kind {
    const ALL: [Kind; 6] = [
        Kind::ReadPoll,
        Kind::WritePoll,
        Kind::ListenPoll,
        Kind::Sync,
        Kind::WakePoll,
        Kind::Cancel,
    ];
}

/// Names one use of one slot. A slot that is used again has another generation, so whatever still
/// carries the old key finds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

/// A request's identity: kind, slot and generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) key: Key,
}

impl Token {
    pub(crate) fn new(kind: Kind, key: Key) -> Token {
        assert!(key.slot <= SLOT_MAX);
        Token { kind, key }
    }

    /// A request of which the core has only one.
    pub(crate) fn single(kind: Kind) -> Token {
        Token { kind, key: Key { slot: 0, generation: 0 } }
    }

    pub(crate) fn encode(self) -> u64 {
        (self.kind as u64) << 60 | u64::from(self.key.slot) << 32 | u64::from(self.key.generation)
    }

    /// # Panics
    /// On a word that `encode` never made: the kernel brings back what it was given.
    pub(crate) fn decode(word: u64) -> Token {
        let kind = Kind::ALL
            .into_iter()
            .find(|kind| *kind as u64 == word >> 60)
            .expect("completions carry the tokens that we submitted");
        let slot = (word >> 32) as u32 & SLOT_MAX;
        Token { kind, key: Key { slot, generation: word as u32 } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_the_round_trip() {
        for kind in Kind::ALL {
            for (slot, generation) in [(0, 0), (1, u32::MAX), (SLOT_MAX, 7)] {
                let token = Token::new(kind, Key { slot, generation });
                assert_eq!(Token::decode(token.encode()), token);
            }
        }
    }
}
