//! A record of what was sent, confirmed and consumed, written while the run goes on, so that a
//! broker can be checked against it after the broker, the generator or the machine was killed.
//!
//! # What the file promises, whoever was killed and when
//!
//! | On record | When | So what is not on record |
//! |---|---|---|
//! | numbers reserved for sending | synced *before* a message with one of them is handed to the kernel | was never sent: a broker that holds it made it up |
//! | confirmed | synced after the confirm came | may have been confirmed: is counted as *open*, and told, neither as lost nor as fine |
//! | refused or returned | with or before the confirm of it | is counted as open, or the broker did not say so |
//! | consumed | synced *before* the acknowledgement (or the reject) leaves | is still the broker's to keep |
//!
//! So a message that the broker may have dropped because of us is always known as consumed: a
//! good one never counts as lost. A message that is owed is one confirmed on record; where only
//! the generator's death hides whether it was confirmed, the check says how many such numbers
//! there are: a loss is never passed over in silence. A run that ends by itself (also because
//! the broker was killed) writes all that it knows, so that nothing is open but what truly was
//! never confirmed.
//!
//! # The file
//!
//! [`MAGIC`], then *frames*, each written and synced (fdatasync) as a whole before the next one is
//! begun: length of the payload (u32), CRC32 of the payload (u32), payload; all integers of fixed
//! size are little-endian. The first payload is the [`Header`] as JSON. All others are entries
//! one after the other: a kind (one octet) and unsigned LEB128 numbers, see [`Entry`]. A frame
//! that is cut, or the last one with a wrong CRC, was being written when the machine stopped: the
//! file ends before it. A wrong CRC elsewhere is damage, and no file to judge by.

mod check;
mod file;
mod record;
mod recorder;
mod writer;

pub(crate) use check::check;
pub(crate) use recorder::{Fate, Origin, Recorder};
pub(crate) use writer::LedgerWriter;

use serde::{Deserialize, Serialize};

/// The first octets of the file; the last one is the version of the format.
const MAGIC: [u8; 8] = *b"HMQLEDG1";

/// What is known of a run before it begins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Header {
    /// Messages before this are of another run, in ns of the Unix epoch.
    pub(crate) start_unix_ns: u64,
    /// Names of the queues.
    pub(crate) queues: Vec<String>,
    /// By producer, for each of its keys (used in turns): the queues that a message reaches.
    pub(crate) reach: Vec<Vec<Vec<usize>>>,
}

/// One thing on record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// Kind 1: the numbers of a producer below this one may be in use from now on.
    Reserved { publisher: u16, below: u64 },
    /// Kind 2: a producer has ended, and has used the numbers below this one.
    Ended { publisher: u16, below: u64 },
    /// Kinds 3 to 6, the order of [`Fate`]: what became of a run of numbers. `queue` is 0 where it
    /// does not matter.
    Run { fate: Fate, publisher: u16, queue: u32, first: u64, last: u64 },
}
