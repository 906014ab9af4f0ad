//! A record of what was sent, confirmed and consumed, and the check of a broker against it, for
//! instance after a crash.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use haremq_protocol::client::OwnedClientEvent;
use haremq_protocol::method::{AMQPClass, basic};
use haremq_protocol::types::FieldTable;
use serde::{Deserialize, Serialize};

use crate::body::{Damage, Stamp, read_body};
use crate::options::CheckOptions;
use crate::run::Finished;
use crate::run_command::BROKEN_PROMISE;
use crate::seq_set::SeqSet;
use crate::session::{Session, SessionConfig, SessionError};
use crate::verify::expand;

/// Deliveries that may be unacknowledged while a queue is read.
const PREFETCH: u16 = 2000;

/// A run, as far as it must be remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ledger {
    /// Messages before this are of another run, in ns of the Unix epoch.
    start_unix_ns: u64,
    publishers: Vec<PublisherEntry>,
    queues: Vec<QueueEntry>,
}

/// What one producer sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct PublisherEntry {
    sent: u64,
    /// Runs of numbers, first and last; absent without confirms.
    confirmed: Option<Vec<(u64, u64)>>,
    nacked: Vec<(u64, u64)>,
    returned: Vec<(u64, u64)>,
    /// Keys in turns: the queues that each reaches.
    reach: Vec<Vec<usize>>,
}

/// What the consumers of one queue got.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct QueueEntry {
    name: String,
    /// By producer: runs of numbers.
    consumed: Vec<Vec<(u64, u64)>>,
}

/// Writes the ledger of a run and syncs it.
///
/// # Errors
/// What went wrong, for the user.
pub(crate) fn write(path: &Path, finished: &Finished) -> Result<(), String> {
    let ledger = Ledger::new(finished);
    let text = serde_json::to_string(&ledger).expect("a ledger has only texts and numbers");
    let written = File::create(path).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|error| format!("{}: {error}", path.display()))
}

impl Ledger {
    fn new(finished: &Finished) -> Ledger {
        let published = finished.ends.iter().flat_map(|end| &end.published);
        let mut publishers = vec![PublisherEntry::default(); finished.reach.len()];
        for one in published {
            publishers[one.number] = PublisherEntry {
                sent: one.sent,
                confirmed: one.confirmed.as_ref().map(|confirmed| confirmed.runs(one.sent)),
                nacked: one.nacked.runs(one.sent),
                returned: one.returned.runs(one.sent),
                reach: finished.reach[one.number].clone(),
            };
        }
        let queues = finished.queue_names.iter().enumerate().map(|(index, name)| {
            let mut seen: Vec<SeqSet> = vec![SeqSet::default(); publishers.len()];
            for check in finished.ends.iter().filter_map(|end| end.checks.get(index)) {
                seen.iter_mut().zip(&check.seen).for_each(|(all, one)| {
                    all.merge(one);
                });
            }
            let sent = publishers.iter().map(|publisher| publisher.sent);
            let consumed = seen.iter().zip(sent).map(|(seen, sent)| seen.runs(sent)).collect();
            QueueEntry { name: name.clone(), consumed }
        });
        let queues = queues.collect();
        Ledger { start_unix_ns: finished.start_unix_ns, publishers, queues }
    }
}

/// What a queue still held: by producer, what was there, and how often more than once.
#[derive(Debug, Default)]
struct Found {
    seen: BTreeMap<usize, SeqSet>,
    /// The last number that was not marked as redelivered.
    last: BTreeMap<usize, u64>,
    messages: u64,
    duplicated: u64,
    reordered: u64,
    corrupted: u64,
    stale: u64,
    /// Why the queue could not be read: mostly, because it is gone.
    refusal: Option<String>,
}

impl Found {
    fn add(&mut self, ledger: &Ledger, body: Result<Stamp, Damage>, redelivered: bool) {
        self.messages += 1;
        let stamp = match body {
            Ok(stamp) => stamp,
            Err(_) => return self.corrupted += 1,
        };
        if stamp.time < ledger.start_unix_ns {
            return self.stale += 1;
        }
        let publisher = usize::from(stamp.publisher);
        let seen = self.seen.entry(publisher).or_default();
        let seq = expand(stamp.seq, seen.end());
        if !seen.insert(seq) {
            return self.duplicated += 1;
        }
        let last = self.last.entry(publisher).or_insert(0);
        if seq + 1 < *last && !redelivered {
            self.reordered += 1;
        }
        *last = (*last).max(seq + 1);
    }
}

/// What the check says about one queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Balance {
    /// Confirmed, and neither consumed before nor there now.
    lost: u64,
    /// There although a consumer had it: not acknowledged in time, or a duplicate.
    again: u64,
    /// There although it was not confirmed: allowed.
    unconfirmed: u64,
}

fn balance(ledger: &Ledger, index: usize, found: &Found) -> Balance {
    let mut balance = Balance::default();
    for (number, publisher) in ledger.publishers.iter().enumerate() {
        let no_runs = Vec::new();
        let consumed = ledger.queues[index].consumed.get(number).unwrap_or(&no_runs);
        let seen = found.seen.get(&number);
        for seq in 0..publisher.sent {
            let reach = &publisher.reach[(seq % publisher.reach.len() as u64) as usize];
            let is_settled = holds(&publisher.nacked, seq) || holds(&publisher.returned, seq);
            if !reach.contains(&index) || is_settled {
                continue;
            }
            let is_there = seen.is_some_and(|seen| seen.contains(seq));
            let was_consumed = holds(consumed, seq);
            let is_confirmed = publisher.confirmed.as_ref().is_none_or(|runs| holds(runs, seq));
            balance.lost += u64::from(is_confirmed && !is_there && !was_consumed);
            balance.again += u64::from(is_there && was_consumed);
            balance.unconfirmed += u64::from(is_there && !is_confirmed);
        }
    }
    balance
}

fn holds(runs: &[(u64, u64)], seq: u64) -> bool {
    let after = runs.partition_point(|(first, _)| *first <= seq);
    after > 0 && seq <= runs[after - 1].1
}

/// `haremq-perf check`.
///
/// # Errors
/// What went wrong, for the user.
pub(crate) fn check(options: &CheckOptions) -> Result<ExitCode, String> {
    let shown = options.ledger.display();
    let text = fs::read_to_string(&options.ledger).map_err(|error| format!("{shown}: {error}"))?;
    let ledger: Ledger =
        serde_json::from_str(&text).map_err(|error| format!("{shown}: no ledger: {error}"))?;
    let mut is_clean = true;
    for (index, queue) in ledger.queues.iter().enumerate() {
        let found = read_queue(options, &ledger, &queue.name).map_err(|error| error.to_string())?;
        let balance = balance(&ledger, index, &found);
        if let Some(refusal) = &found.refusal {
            println!("queue {:?} cannot be read: {refusal}", queue.name);
        }
        println!(
            "queue {:?}: {} messages there; confirmed and lost {}, consumed before {}, unconfirmed \
             {}, duplicated {}, out of order {}, corrupted {}, of another run {}",
            queue.name,
            found.messages,
            balance.lost,
            balance.again,
            balance.unconfirmed,
            found.duplicated,
            found.reordered,
            found.corrupted,
            found.stale,
        );
        is_clean &= balance.lost + found.duplicated + found.reordered + found.corrupted == 0;
    }
    println!("{}", if is_clean { "ok" } else { "FAILED" });
    Ok(if is_clean { ExitCode::SUCCESS } else { ExitCode::from(BROKEN_PROMISE) })
}

/// Takes (or looks at) all that a queue holds.
fn read_queue(options: &CheckOptions, ledger: &Ledger, name: &str) -> Result<Found, SessionError> {
    let config = SessionConfig { frame_max: 131_072, heartbeat_s: 0 };
    let mut session = Session::open(&options.uri, config)?;
    session.open_channel(1)?;
    // To only look, everything stays unacknowledged and goes back when the connection closes.
    if !options.keep {
        session.limit_prefetch(1, PREFETCH, false)?;
    }
    let consume = basic::Consume {
        queue: name.into(),
        consumer_tag: "check".into(),
        no_local: false,
        no_ack: false,
        exclusive: false,
        nowait: true,
        arguments: FieldTable::default(),
    };
    let doing = format!("basic.consume of {name:?}");
    session.send(1, &AMQPClass::Basic(basic::AMQPMethod::Consume(consume)), &doing)?;
    let quiet = Duration::from_secs_f64(options.quiet);
    let (mut found, mut unacked) = (Found::default(), 0u16);
    while let Some(event) = session.poll_event(quiet)? {
        let (delivery_tag, redelivered, message) = match event {
            OwnedClientEvent::Deliver { delivery_tag, redelivered, message, .. } => {
                (delivery_tag, redelivered, message)
            }
            OwnedClientEvent::ChannelClosed { close: Some(close), .. } => {
                found.refusal = Some(close.reply_text.as_str().to_owned());
                break;
            }
            _ => continue,
        };
        found.add(ledger, read_body(&message.body), redelivered);
        unacked += 1;
        if !options.keep && unacked >= PREFETCH / 2 {
            session.acknowledge(1, delivery_tag)?;
            unacked = 0;
        }
    }
    if !options.keep && unacked > 0 {
        session.acknowledge(1, 0)?;
    }
    session.close()?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_confirmed_messages_can_be_lost() {
        let ledger = Ledger {
            start_unix_ns: 0,
            publishers: vec![PublisherEntry {
                sent: 5,
                confirmed: Some(vec![(0, 3)]),
                reach: vec![vec![0]],
                ..PublisherEntry::default()
            }],
            queues: vec![QueueEntry { name: "q".to_owned(), consumed: vec![vec![(0, 0)]] }],
        };
        let mut found = Found::default();
        for (seq, redelivered) in [(0, true), (1, true), (2, false), (4, false), (2, true)] {
            let stamp = Stamp { seq, time: 1, publisher: 0, lag: 0 };
            found.add(&ledger, Ok(stamp), redelivered);
        }
        assert_eq!((found.duplicated, found.reordered), (1, 0));
        let expected = Balance { lost: 1, again: 1, unconfirmed: 1 };
        assert_eq!(balance(&ledger, 0, &found), expected);
    }

    #[test]
    fn runs_hold_their_ends() {
        let runs = [(2, 4), (7, 7)];
        let held: Vec<u64> = (0..9).filter(|seq| holds(&runs, *seq)).collect();
        assert_eq!(held, [2, 3, 4, 7]);
    }
}
