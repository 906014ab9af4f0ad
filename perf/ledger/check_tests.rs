//! What is a fault, and what is allowed.

use super::*;
use crate::ledger::{Entry, Fate, Header};

/// One producer and one queue.
fn record(entries: &[Entry]) -> Record {
    let header =
        Header { start_unix_ns: 10, queues: vec!["q".to_owned()], reach: vec![vec![vec![0]]] };
    let mut record = Record::new(header);
    for entry in entries {
        record.add(*entry).expect("the producer and the queue are there");
    }
    record
}

fn run(fate: Fate, first: u64, last: u64) -> Entry {
    Entry::Run { fate, publisher: 0, queue: 0, first, last }
}

fn found(record: &Record, seqs: &[(u32, bool)]) -> Found {
    let mut found = Found::default();
    for (seq, redelivered) in seqs {
        let stamp = Stamp { seq: *seq, time: 10, publisher: 0, lag: 0 };
        found.add(record, 0, Ok(stamp), *redelivered);
    }
    found
}

#[test]
fn only_what_is_confirmed_on_record_can_be_lost() {
    let record = record(&[
        Entry::Reserved { publisher: 0, below: 10 },
        run(Fate::Confirmed, 0, 3),
        run(Fate::Returned, 5, 5),
        run(Fate::Refused, 6, 6),
        run(Fate::Consumed, 0, 0),
    ]);
    let found = found(&record, &[(0, true), (1, true), (2, false), (4, false)]);
    assert_eq!(found.faults(), 0);
    // 3 is lost; 7, 8 and 9 were perhaps sent; 4 is there, and 0 again.
    let expected = Balance { lost: 1, open: 3, unconfirmed: 1, again: 1 };
    assert_eq!(balance(&record, 0, &found), expected);
}

#[test]
fn nothing_is_open_where_a_run_ended_and_all_was_confirmed() {
    let record = record(&[
        Entry::Reserved { publisher: 0, below: 1000 },
        run(Fate::Confirmed, 0, 4),
        Entry::Ended { publisher: 0, below: 5 },
    ]);
    let balance = balance(&record, 0, &Found::default());
    assert_eq!(balance, Balance { lost: 5, ..Balance::default() });
}

#[test]
fn each_fault_is_counted_as_itself() {
    let record = record(&[Entry::Reserved { publisher: 0, below: 5 }]);
    let mut found = found(&record, &[(0, false), (2, false), (2, true), (1, false), (5, false)]);
    found.add(&record, 0, Err(Damage::Head), false);
    let stamp = Stamp { seq: 1, time: 10, publisher: 1, lag: 0 };
    found.add(&record, 0, Ok(stamp), false);
    found.add(&record, 0, Ok(Stamp { time: 9, ..stamp }), false);
    assert_eq!((found.duplicated, found.reordered, found.corrupted), (1, 1, 1));
    assert_eq!((found.never_sent, found.stale, found.messages), (2, 1, 8));
}

#[test]
fn a_message_in_the_wrong_queue_is_a_fault() {
    let header = Header {
        start_unix_ns: 0,
        queues: vec!["a".to_owned(), "b".to_owned()],
        reach: vec![vec![vec![0], vec![1]]],
    };
    let mut record = Record::new(header);
    record.add(Entry::Ended { publisher: 0, below: 4 }).expect("it is there");
    record.add(run(Fate::Confirmed, 0, 3)).expect("it is there");
    let found = found(&record, &[(0, false), (1, false)]);
    assert_eq!((found.misrouted, found.faults()), (1, 1));
    assert_eq!(balance(&record, 0, &found).lost, 1);
    assert_eq!(balance(&record, 1, &Found::default()).lost, 2);
}

#[test]
fn numbers_that_have_wrapped_are_told_from_how_far_they_had_come() {
    let record = record(&[Entry::Reserved { publisher: 0, below: (1 << 32) + 10 }]);
    let found = found(&record, &[(u32::MAX, false), (3, false)]);
    let runs: Vec<_> = found.seen[&0].runs().collect();
    let (before, after) = ((1 << 32) - 1, (1 << 32) + 3);
    assert_eq!(runs, [(before, before), (after, after)]);
}

#[test]
fn what_the_ledger_cannot_tell_is_said() {
    assert_eq!(verdict(false, 0), "ok");
    assert!(verdict(false, 7).contains("up to 7 numbers"));
    assert_eq!(verdict(true, 7), "FAILED");
}
