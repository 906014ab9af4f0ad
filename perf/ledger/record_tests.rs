//! Files that are whole, torn or damaged.

use super::*;
use crate::ledger::file::{write_entry, write_frame};

fn header() -> Header {
    Header { start_unix_ns: 7, queues: vec!["q".to_owned()], reach: vec![vec![vec![0]]] }
}

fn confirmed(first: u64, last: u64) -> Entry {
    Entry::Run { fate: Fate::Confirmed, publisher: 0, queue: 0, first, last }
}

/// A file with a frame per entry, and where each frame ends.
fn file(entries: &[Entry]) -> (Vec<u8>, Vec<usize>) {
    let mut bytes = MAGIC.to_vec();
    write_frame(&mut bytes, |out| serde_json::to_writer(out, &header()).expect("it is sound"));
    let mut ends = vec![bytes.len()];
    for entry in entries {
        write_frame(&mut bytes, |out| write_entry(out, entry));
        ends.push(bytes.len());
    }
    (bytes, ends)
}

const ENTRIES: [Entry; 3] = [
    Entry::Reserved { publisher: 0, below: 100 },
    Entry::Run { fate: Fate::Confirmed, publisher: 0, queue: 0, first: 0, last: 9 },
    Entry::Run { fate: Fate::Consumed, publisher: 0, queue: 0, first: 0, last: 4 },
];

#[test]
fn any_cut_leaves_the_frames_before_it() {
    let (bytes, ends) = file(&ENTRIES);
    for cut in 0..=bytes.len() {
        let whole = ends.iter().filter(|end| **end <= cut).count();
        let read = Record::read(&bytes[..cut]);
        let Some(entries) = whole.checked_sub(1) else {
            assert!(read.is_err(), "{cut}");
            continue;
        };
        let mut expected = Record::new(header());
        ENTRIES[..entries].iter().for_each(|entry| assert!(expected.add(*entry).is_some()));
        expected.torn_bytes = cut - ends[entries];
        assert_eq!(read, Ok(expected), "{cut}");
    }
}

#[test]
fn a_last_frame_that_is_half_written_is_left_out() {
    let (mut bytes, ends) = file(&ENTRIES);
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let record = Record::read(&bytes).expect("all before it is sound");
    assert_eq!(record.torn_bytes, bytes.len() - ends[2]);
    // The file had grown, but its octets had not come.
    let (mut bytes, _) = file(&ENTRIES);
    bytes.extend([0; 4096]);
    assert_eq!(Record::read(&bytes).map(|record| record.torn_bytes), Ok(4096));
}

#[test]
fn damage_in_the_middle_is_no_ledger() {
    let (bytes, ends) = file(&ENTRIES);
    for at in ends[0] + 4..ends[2] {
        let is_length = ends.iter().any(|end| (*end..end + 4).contains(&at));
        if is_length {
            continue;
        }
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x40;
        let text = Record::read(&damaged).expect_err("it is damaged");
        assert!(text.contains("damaged at octet"), "{text}");
    }
}

#[test]
fn other_files_are_refused() {
    assert!(Record::read(b"{}").expect_err("JSON").contains("no ledger"));
    let (mut bytes, _) = file(&[]);
    write_frame(&mut bytes, |out| {
        write_entry(out, &Entry::Reserved { publisher: 1, below: 1 });
    });
    assert!(Record::read(&bytes).is_err(), "there is one producer");
}

#[test]
fn the_end_takes_back_what_was_reserved_and_not_used() {
    let mut record = Record::new(header());
    assert!(record.add(Entry::Reserved { publisher: 0, below: 100 }).is_some());
    assert!(!record.has_ended() && record.publishers[0].sent == 100);
    assert!(record.add(Entry::Ended { publisher: 0, below: 42 }).is_some());
    assert!(record.has_ended() && record.publishers[0].sent == 42);
    assert!(record.add(confirmed(0, 1)).is_some());
}
