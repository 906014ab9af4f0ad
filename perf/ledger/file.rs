//! Entries and frames as octets.

use super::{Entry, Fate};

/// Length and CRC before a frame's payload.
pub(super) const FRAME_HEAD_BYTES: usize = 8;
/// No frame that is written comes near this; a longer one is damage.
pub(super) const PAYLOAD_BYTES_MAX: usize = 1 << 30;

const RESERVED: u8 = 1;
const ENDED: u8 = 2;
const CONFIRMED: u8 = 3;
const REFUSED: u8 = 4;
const RETURNED: u8 = 5;
const CONSUMED: u8 = 6;

/// Appends a frame with what `write` appends as its payload.
pub(super) fn write_frame(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; FRAME_HEAD_BYTES]);
    write(out);
    let payload = &out[start + FRAME_HEAD_BYTES..];
    assert!(payload.len() <= PAYLOAD_BYTES_MAX);
    let (length, crc) = (payload.len() as u32, crc32fast::hash(payload));
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    out[start + 4..start + FRAME_HEAD_BYTES].copy_from_slice(&crc.to_le_bytes());
}

/// Appends one entry.
pub(super) fn write_entry(out: &mut Vec<u8>, entry: &Entry) {
    match *entry {
        Entry::Reserved { publisher, below } => {
            write_parts(out, RESERVED, &[u64::from(publisher), below]);
        }
        Entry::Ended { publisher, below } => {
            write_parts(out, ENDED, &[u64::from(publisher), below]);
        }
        Entry::Run { fate, publisher, queue, first, last } => {
            let kind = match fate {
                Fate::Confirmed => CONFIRMED,
                Fate::Refused => REFUSED,
                Fate::Returned => RETURNED,
                Fate::Consumed => CONSUMED,
            };
            let parts = [u64::from(publisher), u64::from(queue), first, last - first];
            write_parts(out, kind, &parts);
        }
    }
}

fn write_parts(out: &mut Vec<u8>, kind: u8, parts: &[u64]) {
    out.push(kind);
    for part in parts {
        let mut rest = *part;
        while rest > 0x7F {
            out.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        out.push(rest as u8);
    }
}

/// Takes one entry off the front of `bytes`; `None` if that is none.
pub(super) fn read_entry(bytes: &mut &[u8]) -> Option<Entry> {
    let (kind, rest) = bytes.split_first()?;
    *bytes = rest;
    let publisher = u16::try_from(read_number(bytes)?).ok()?;
    let fate = match *kind {
        RESERVED => return Some(Entry::Reserved { publisher, below: read_number(bytes)? }),
        ENDED => return Some(Entry::Ended { publisher, below: read_number(bytes)? }),
        CONFIRMED => Fate::Confirmed,
        REFUSED => Fate::Refused,
        RETURNED => Fate::Returned,
        CONSUMED => Fate::Consumed,
        _ => return None,
    };
    let queue = u32::try_from(read_number(bytes)?).ok()?;
    let first = read_number(bytes)?;
    let last = first.checked_add(read_number(bytes)?)?;
    Some(Entry::Run { fate, publisher, queue, first, last })
}

fn read_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let (octet, rest) = bytes.split_first()?;
        *bytes = rest;
        let part = u64::from(octet & 0x7F);
        if part << shift >> shift != part {
            return None;
        }
        number |= part << shift;
        if octet & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_as_written() {
        let run = |fate, first, last| Entry::Run { fate, publisher: 65_535, queue: 9, first, last };
        let entries = [
            Entry::Reserved { publisher: 0, below: u64::MAX },
            Entry::Ended { publisher: 300, below: 0 },
            run(Fate::Confirmed, 0, 0),
            run(Fate::Refused, 127, 128),
            run(Fate::Returned, 1 << 40, u64::MAX),
            run(Fate::Consumed, u64::MAX, u64::MAX),
        ];
        let mut bytes = Vec::new();
        entries.iter().for_each(|entry| write_entry(&mut bytes, entry));
        for end in 0..bytes.len() {
            let mut cut = &bytes[..end];
            let read = std::iter::from_fn(|| read_entry(&mut cut)).count();
            assert!(read < entries.len(), "{end}");
        }
        let mut rest = &bytes[..];
        let read: Vec<Entry> = std::iter::from_fn(|| read_entry(&mut rest)).collect();
        assert_eq!(read, entries);
        assert!(rest.is_empty());
    }

    #[test]
    fn numbers_beyond_64_bits_are_refused() {
        let mut bytes = &[0xFF; 10][..];
        assert_eq!(read_number(&mut bytes), None);
        let mut bytes = &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x02][..];
        assert_eq!(read_number(&mut bytes), None);
    }
}
