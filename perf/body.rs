//! The body of a message: who sent it, as which, when, and whether it arrived as it was sent.
//!
//! ```text
//! octets  0..4   4..12   12..14      14..16   16..20   20..24   24..
//!         seq    time    publisher   check    crc32    lag      filler
//! ```
//! The first twelve octets are those of PerfTest. `time` is when the message was *intended* to be
//! sent, in nanoseconds of the Unix epoch; `lag` is how many nanoseconds later it really was.
//! `check` covers the 14 octets before it; `crc32` covers everything but itself. A part is there
//! if the body has room for the whole of it.

use crc32fast::Hasher;

/// Sequence number and time: less than this is no body of ours.
pub(crate) const BODY_BYTES_MIN: usize = 12;
/// From here on a body names its publisher and has the check.
pub(crate) const CHECKED_BYTES: usize = 16;
/// From here on it has the CRC32.
pub(crate) const CRC_BYTES: usize = 20;
/// From here on it tells when it was really sent.
pub(crate) const HEAD_BYTES: usize = 24;

/// What a body says about its message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Number of the message at its publisher, from 0; wraps.
    pub(crate) seq: u32,
    /// Intended time, in ns of the Unix epoch.
    pub(crate) time: u64,
    /// Number of the publisher in its run.
    pub(crate) publisher: u16,
    /// Nanoseconds from the intended to the real sending, at most 4.29 s.
    pub(crate) lag: u32,
}

/// What is wrong with a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Damage {
    /// It has less than 12 octets.
    TooShort,
    /// The check does not fit: what the body says of itself cannot be believed.
    Head,
    /// The CRC32 does not fit: it is the message that it says, but altered.
    Content(Stamp),
}

/// Writes the variable part of bodies of one length and filler.
#[derive(Clone, Debug)]
pub(crate) struct BodyFormat {
    length: usize,
    tail: Tail,
}

/// The CRC of the filler, and what its length does to the CRC of what goes before it. So a message
/// costs a CRC of 20 octets, whatever its length.
#[derive(Clone, Debug)]
struct Tail {
    crc: u32,
    shift: [[u32; 256]; 4],
}

impl Tail {
    fn new(filler: &[u8]) -> Tail {
        let nothing = Hasher::new_with_initial_len(0, filler.len() as u64);
        let shifted = |crc: u32| {
            let mut hasher = Hasher::new_with_initial(crc);
            hasher.combine(&nothing);
            hasher.finalize()
        };
        let mut shift = [[0; 256]; 4];
        for (index, table) in shift.iter_mut().enumerate() {
            for (octet, entry) in table.iter_mut().enumerate() {
                *entry = shifted((octet as u32) << (8 * index));
            }
        }
        Tail { crc: crc32fast::hash(filler), shift }
    }

    /// CRC32 of `head` and the filler after it.
    fn crc_after(&self, head: &[u8]) -> u32 {
        let octets = crc32fast::hash(head).to_le_bytes();
        let tables = octets.iter().zip(&self.shift);
        tables.fold(self.crc, |crc, (octet, table)| crc ^ table[usize::from(*octet)])
    }
}

impl BodyFormat {
    /// For bodies like `sample`, of which the first [`HEAD_BYTES`] are ours to write.
    pub(crate) fn new(sample: &[u8]) -> BodyFormat {
        assert!(sample.len() >= BODY_BYTES_MIN, "a body has room for sequence and time");
        let filler = sample.get(HEAD_BYTES..).unwrap_or_default();
        BodyFormat { length: sample.len(), tail: Tail::new(filler) }
    }

    /// Octets of `body` that [`BodyFormat::write`] sets.
    pub(crate) fn head_bytes(&self) -> usize {
        self.length.min(HEAD_BYTES)
    }

    /// Writes the head of a body, of which `head` holds the first [`BodyFormat::head_bytes`].
    #[inline]
    pub(crate) fn write(&self, head: &mut [u8], stamp: &Stamp) {
        assert!(head.len() == self.head_bytes());
        head[..4].copy_from_slice(&stamp.seq.to_be_bytes());
        head[4..12].copy_from_slice(&stamp.time.to_be_bytes());
        if head.len() < CHECKED_BYTES {
            return;
        }
        head[12..14].copy_from_slice(&stamp.publisher.to_be_bytes());
        head[14..16].copy_from_slice(&check(stamp).to_be_bytes());
        if head.len() < CRC_BYTES {
            return;
        }
        let mut covered = [0; CRC_BYTES];
        covered[..16].copy_from_slice(&head[..16]);
        let lag = stamp.lag.to_be_bytes();
        let lag = &lag[..head.len() - CRC_BYTES];
        head[CRC_BYTES..].copy_from_slice(lag);
        covered[16..16 + lag.len()].copy_from_slice(lag);
        let crc = self.tail.crc_after(&covered[..16 + lag.len()]);
        head[16..20].copy_from_slice(&crc.to_be_bytes());
    }
}

/// A multiplicative hash of what goes before the check.
#[inline]
fn check(stamp: &Stamp) -> u16 {
    let identity = u64::from(stamp.seq) << 16 | u64::from(stamp.publisher);
    let mixed = (identity ^ stamp.time.rotate_left(29)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    ((mixed ^ stamp.time.wrapping_mul(0xC2B2_AE3D_27D4_EB4F)) >> 48) as u16
}

/// Reads and checks a whole body.
///
/// # Errors
/// [`Damage`], as far as the body's length lets it be seen.
#[inline]
pub(crate) fn read_body(body: &[u8]) -> Result<Stamp, Damage> {
    let mut reader = BodyReader::new();
    reader.handle_piece(body);
    reader.end()
}

/// Reads and checks a body that comes in pieces.
#[derive(Clone, Debug)]
pub(crate) struct BodyReader {
    head: [u8; HEAD_BYTES],
    length: usize,
    hasher: Option<Hasher>,
}

impl BodyReader {
    pub(crate) fn new() -> BodyReader {
        BodyReader { head: [0; HEAD_BYTES], length: 0, hasher: None }
    }

    /// Octets seen so far.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// Takes the next octets of the body.
    #[inline]
    pub(crate) fn handle_piece(&mut self, piece: &[u8]) {
        let taken = piece.len().min(HEAD_BYTES - self.length.min(HEAD_BYTES));
        if taken > 0 {
            self.head[self.length..self.length + taken].copy_from_slice(&piece[..taken]);
        }
        self.length += piece.len();
        let filler = &piece[taken..];
        if !filler.is_empty() {
            let head = &self.head;
            let hasher = self.hasher.get_or_insert_with(|| {
                let mut hasher = Hasher::new();
                hasher.update(&head[..16]);
                hasher.update(&head[CRC_BYTES..]);
                hasher
            });
            hasher.update(filler);
        }
    }

    /// The body is complete; the reader is then ready for the next one.
    ///
    /// # Errors
    /// [`Damage`], as far as the body's length lets it be seen.
    #[inline]
    pub(crate) fn end(&mut self) -> Result<Stamp, Damage> {
        let (length, hasher) = (self.length, self.hasher.take());
        self.length = 0;
        if length < BODY_BYTES_MIN {
            return Err(Damage::TooShort);
        }
        let head = &self.head[..length.min(HEAD_BYTES)];
        let mut stamp =
            Stamp { seq: long(&head[..4]), time: long_long(&head[4..12]), ..Stamp::default() };
        if length < CHECKED_BYTES {
            return Ok(stamp);
        }
        stamp.publisher = u16::from_be_bytes([head[12], head[13]]);
        if check(&stamp) != u16::from_be_bytes([head[14], head[15]]) {
            return Err(Damage::Head);
        }
        if length < CRC_BYTES {
            return Ok(stamp);
        }
        if length >= HEAD_BYTES {
            stamp.lag = long(&head[20..24]);
        }
        let crc = match hasher {
            Some(hasher) => hasher.finalize(),
            None => {
                let mut covered = [0; CRC_BYTES];
                covered[..16].copy_from_slice(&head[..16]);
                let rest = &head[CRC_BYTES..];
                covered[16..16 + rest.len()].copy_from_slice(rest);
                crc32fast::hash(&covered[..16 + rest.len()])
            }
        };
        if crc == long(&head[16..20]) { Ok(stamp) } else { Err(Damage::Content(stamp)) }
    }
}

fn long(octets: &[u8]) -> u32 {
    u32::from_be_bytes(octets.try_into().expect("four octets"))
}

fn long_long(octets: &[u8]) -> u64 {
    u64::from_be_bytes(octets.try_into().expect("eight octets"))
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
