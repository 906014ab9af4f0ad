//! A ledger that is read back.

use super::file::{FRAME_HEAD_BYTES, PAYLOAD_BYTES_MAX, read_entry};
use super::{Entry, Fate, Header, MAGIC};
use crate::run_set::RunSet;

/// What the file of a run says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) header: Header,
    /// As many as the header tells of.
    pub(super) publishers: Vec<PublisherRecord>,
    /// By queue, then by producer: what its consumers settled.
    pub(super) consumed: Vec<Vec<RunSet>>,
    /// Octets at the end that were not whole.
    pub(super) torn_bytes: usize,
}

/// What one producer did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PublisherRecord {
    /// Its numbers are below this; if it has not ended, it may have used less of them.
    pub(super) sent: u64,
    pub(super) has_ended: bool,
    pub(super) confirmed: RunSet,
    /// Refused or returned: nobody owes them.
    pub(super) settled: RunSet,
}

impl Record {
    /// Reads a whole file.
    ///
    /// # Errors
    /// Why it is no ledger to judge by, for the user.
    pub(super) fn read(bytes: &[u8]) -> Result<Record, String> {
        let frames = bytes.strip_prefix(&MAGIC).ok_or("this is no ledger of haremq-perf run")?;
        let mut rest = frames;
        let at = |rest: &[u8]| bytes.len() - rest.len();
        let header = next_payload(&mut rest).map_err(|()| damage(at(rest)))?;
        let header = header.ok_or("the ledger ends within its header: nothing was sent yet")?;
        let header = serde_json::from_slice(header)
            .map_err(|error| format!("the ledger's header is not understood: {error}"))?;
        let mut record = Record::new(header);
        loop {
            let frame_at = at(rest);
            let Some(mut payload) = next_payload(&mut rest).map_err(|()| damage(frame_at))? else {
                break;
            };
            while !payload.is_empty() {
                let entry = read_entry(&mut payload).ok_or_else(|| damage(frame_at))?;
                record.add(entry).ok_or_else(|| damage(frame_at))?;
            }
        }
        record.torn_bytes = rest.len();
        Ok(record)
    }

    /// Of a run that has not begun.
    pub(super) fn new(header: Header) -> Record {
        let publishers = vec![PublisherRecord::default(); header.reach.len()];
        let consumed = vec![vec![RunSet::default(); publishers.len()]; header.queues.len()];
        Record { header, publishers, consumed, torn_bytes: 0 }
    }

    /// `None` if there is no such producer or queue.
    pub(super) fn add(&mut self, entry: Entry) -> Option<()> {
        match entry {
            Entry::Reserved { publisher, below } => {
                let publisher = self.publishers.get_mut(usize::from(publisher))?;
                publisher.sent = publisher.sent.max(below);
            }
            Entry::Ended { publisher, below } => {
                let publisher = self.publishers.get_mut(usize::from(publisher))?;
                (publisher.sent, publisher.has_ended) = (below, true);
            }
            Entry::Run { fate, publisher, queue, first, last } => {
                let number = usize::from(publisher);
                let publisher = self.publishers.get_mut(number)?;
                let set = match fate {
                    Fate::Confirmed => &mut publisher.confirmed,
                    Fate::Refused | Fate::Returned => &mut publisher.settled,
                    Fate::Consumed => self.consumed.get_mut(queue as usize)?.get_mut(number)?,
                };
                set.insert_run(first, last);
            }
        }
        Some(())
    }

    /// All producers have ended by themselves.
    pub(super) fn has_ended(&self) -> bool {
        self.publishers.iter().all(|publisher| publisher.has_ended)
    }

    /// Whether a message should be in a queue.
    pub(super) fn reaches(&self, publisher: usize, seq: u64, queue: usize) -> bool {
        let keys = &self.header.reach[publisher];
        let key = (seq % keys.len().max(1) as u64) as usize;
        keys.get(key).is_some_and(|queues| queues.contains(&queue))
    }
}

/// Takes the next whole frame off; `None` at the end, or where it is torn.
///
/// # Errors
/// A frame that is not the last is damaged.
fn next_payload<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, ()> {
    let Some((head, after)) = rest.split_first_chunk::<FRAME_HEAD_BYTES>() else {
        return Ok(None);
    };
    let [l0, l1, l2, l3, c0, c1, c2, c3] = *head;
    let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    let crc = u32::from_le_bytes([c0, c1, c2, c3]);
    let Some((payload, after)) = after.split_at_checked(length) else {
        return if length > PAYLOAD_BYTES_MAX { Err(()) } else { Ok(None) };
    };
    if crc32fast::hash(payload) != crc || length == 0 {
        // A file may have grown before its octets came.
        let is_last = after.is_empty() || rest.iter().all(|octet| *octet == 0);
        return if is_last { Ok(None) } else { Err(()) };
    }
    *rest = after;
    Ok(Some(payload))
}

fn damage(at: usize) -> String {
    format!("the ledger is damaged at octet {at}: it cannot be judged by")
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
