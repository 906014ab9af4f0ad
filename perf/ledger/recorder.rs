//! A core's part of the ledger: it gathers what is to be recorded, one batch is under way to the
//! file at a time, and what may only happen afterwards waits for that.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender};

use haremq_reactor::Waker;

use super::Entry;

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The broker confirmed it.
    Confirmed,
    /// The broker refused it (`basic.nack` to its producer).
    Refused,
    /// It came back as unroutable.
    Returned,
    /// A consumer of the queue is about to acknowledge or reject it.
    Consumed,
}

/// Who sent a message, and as which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) publisher: u16,
    pub(crate) seq: u64,
}

/// Entries on their way to the file.
pub(super) struct Batch {
    pub(super) core: usize,
    pub(super) entries: Vec<Entry>,
    /// Of the core.
    pub(super) waker: Waker,
}

/// What a core hears from the file: its entries are on the medium, and here is the buffer; or why
/// they are not.
pub(super) type Answer = Result<Vec<Entry>, String>;

/// One core's end of the ledger.
pub(crate) struct Recorder {
    core: usize,
    /// Producers of the run; what others sent is none of its business.
    publishers: usize,
    entries: Vec<Entry>,
    /// Where the latest run is in `entries`, plus one, by producer: [`Fate`]s of a producer.
    settled: [Vec<u32>; 3],
    /// The same by queue and producer.
    consumed: Vec<Vec<u32>>,
    spare: Vec<Entry>,
    is_under_way: bool,
    has_failed: bool,
    to_writer: Sender<Batch>,
    from_writer: Receiver<Answer>,
    /// Answers given so far, and taken so far.
    given: Arc<AtomicU64>,
    taken: u64,
}

impl Recorder {
    pub(super) fn new(
        core: usize,
        publishers: usize,
        to_writer: Sender<Batch>,
        from_writer: Receiver<Answer>,
        given: Arc<AtomicU64>,
    ) -> Recorder {
        Recorder {
            core,
            publishers,
            entries: Vec::new(),
            settled: Default::default(),
            consumed: Vec::new(),
            spare: Vec::new(),
            is_under_way: false,
            has_failed: false,
            to_writer,
            from_writer,
            given,
            taken: 0,
        }
    }

    /// Numbers below this are about to be used.
    pub(crate) fn reserve(&mut self, publisher: u16, below: u64) {
        self.entries.push(Entry::Reserved { publisher, below });
    }

    /// A producer has ended.
    pub(crate) fn end(&mut self, publisher: u16, below: u64) {
        self.entries.push(Entry::Ended { publisher, below });
    }

    /// The broker has spoken on one publish.
    #[inline]
    pub(crate) fn settle(&mut self, fate: Fate, origin: Origin) {
        let latest = match fate {
            Fate::Confirmed => &mut self.settled[0],
            Fate::Refused => &mut self.settled[1],
            Fate::Returned => &mut self.settled[2],
            Fate::Consumed => unreachable!("that is the consumer's to say"),
        };
        extend(&mut self.entries, slot(latest, origin.publisher), fate, 0, origin);
    }

    /// A consumer is about to settle one delivery.
    #[inline]
    pub(crate) fn consume(&mut self, queue: usize, origin: Origin) {
        if usize::from(origin.publisher) >= self.publishers {
            return;
        }
        if queue >= self.consumed.len() {
            self.consumed.resize_with(queue + 1, Vec::new);
        }
        let latest = slot(&mut self.consumed[queue], origin.publisher);
        extend(&mut self.entries, latest, Fate::Consumed, queue as u32, origin);
    }

    /// A batch has not been answered yet.
    pub(crate) fn is_under_way(&self) -> bool {
        self.is_under_way
    }

    /// A batch did not get there, so nothing more does.
    pub(crate) fn has_failed(&self) -> bool {
        self.has_failed
    }

    /// An answer waits to be taken.
    pub(crate) fn has_answer(&self) -> bool {
        self.given.load(Ordering::Acquire) > self.taken
    }

    /// Sends what has gathered on its way; false if there is nothing.
    pub(crate) fn submit(&mut self, waker: &Waker) -> bool {
        assert!(!self.is_under_way, "one batch at a time");
        if self.entries.is_empty() {
            return false;
        }
        for entry in &self.entries {
            let Entry::Run { fate, publisher, queue, .. } = *entry else { continue };
            let latest = match fate {
                Fate::Confirmed => &mut self.settled[0],
                Fate::Refused => &mut self.settled[1],
                Fate::Returned => &mut self.settled[2],
                Fate::Consumed => &mut self.consumed[queue as usize],
            };
            latest[usize::from(publisher)] = 0;
        }
        let entries = std::mem::replace(&mut self.entries, std::mem::take(&mut self.spare));
        let batch = Batch { core: self.core, entries, waker: waker.clone() };
        // A writer that has ended has closed the way back, too, which is told there.
        let _ = self.to_writer.send(batch);
        self.is_under_way = true;
        true
    }

    /// Takes the answer to the batch that is under way, if it is there; `None` if not.
    ///
    /// # Errors
    /// Why the batch is not on the medium, for the user.
    pub(crate) fn poll_synced(&mut self) -> Option<Result<(), String>> {
        if !self.is_under_way || !self.has_answer() {
            return None;
        }
        Some(self.await_synced())
    }

    /// Waits for the answer to the batch that is under way.
    ///
    /// # Errors
    /// Why the batch is not on the medium, for the user.
    pub(crate) fn await_synced(&mut self) -> Result<(), String> {
        assert!(self.is_under_way);
        self.is_under_way = false;
        self.taken += 1;
        let answer = self.from_writer.recv().unwrap_or_else(|_| Err("no ledger".to_owned()));
        self.has_failed |= answer.is_err();
        self.spare = answer?;
        assert!(self.spare.is_empty());
        Ok(())
    }
}

fn slot(latest: &mut Vec<u32>, publisher: u16) -> &mut u32 {
    let index = usize::from(publisher);
    if index >= latest.len() {
        latest.resize(index + 1, 0);
    }
    &mut latest[index]
}

/// Puts a number into the latest run, or begins one.
#[inline]
fn extend(entries: &mut Vec<Entry>, latest: &mut u32, fate: Fate, queue: u32, origin: Origin) {
    let Origin { publisher, seq } = origin;
    if let Some(index) = latest.checked_sub(1)
        && let Entry::Run { last, .. } = &mut entries[index as usize]
        && *last + 1 == seq
    {
        *last = seq;
        return;
    }
    entries.push(Entry::Run { fate, publisher, queue, first: seq, last: seq });
    *latest = entries.len() as u32;
}

#[cfg(test)]
#[path = "recorder_tests.rs"]
mod tests;
