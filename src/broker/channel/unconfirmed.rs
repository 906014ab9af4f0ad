//! Which publishes of a channel in confirm mode are still to be answered.

/// An answer to publishes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Confirm {
    /// `basic.ack`.
    Ack {
        /// The publish's number.
        tag: u64,
        /// All up to it.
        multiple: bool,
    },
    /// `basic.nack`.
    Nack {
        /// The publish's number.
        tag: u64,
        /// All up to it.
        multiple: bool,
    },
}

/// The publishes of one channel that home shards still owe an answer for.
#[derive(Debug, Default)]
pub struct Unconfirmed {}

impl Unconfirmed {
    /// Confirm mode begins; the first publish is 1 (CNF-1).
    pub fn new() -> Unconfirmed {
        Unconfirmed::default()
    }

    /// The next publish, for which `homes` shards owe an answer (0: it is acked at the next poll).
    /// Returns its number.
    pub fn open(&mut self, homes: u16) -> u64 {
        let _ = homes;
        unimplemented!()
    }

    /// One home answers for `first..=last`, each of which it owes.
    pub fn accept(&mut self, first: u64, last: u64) {
        let _ = (first, last);
        unimplemented!()
    }

    /// One home refuses the publish; it will be nacked when the others have answered (CNF-5).
    pub fn refuse(&mut self, tag: u64) {
        let _ = tag;
        unimplemented!()
    }

    /// Hands out what is to be sent for all that was answered since the last poll (CNF-7). Once
    /// per tick.
    pub fn poll_confirms(&mut self, send: impl FnMut(Confirm)) {
        let _ = send;
        unimplemented!()
    }

    /// Publishes that are not answered.
    pub fn len(&self) -> usize {
        unimplemented!()
    }

    /// All publishes are answered.
    pub fn is_empty(&self) -> bool {
        unimplemented!()
    }

    /// `poll_confirms` has something to send.
    pub fn has_confirms(&self) -> bool {
        unimplemented!()
    }
}
