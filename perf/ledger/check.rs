//! `haremq-perf check`: what the queues hold, against what the ledger says.

use std::collections::BTreeMap;
use std::fs;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use haremq_protocol::client::OwnedClientEvent;
use haremq_protocol::method::{AMQPClass, basic, queue};
use haremq_protocol::types::FieldTable;

use super::record::Record;
use crate::body::{Damage, Stamp, read_body};
use crate::options::CheckOptions;
use crate::run_command::BROKEN_PROMISE;
use crate::run_set::RunSet;
use crate::session::{Session, SessionConfig, SessionError};
use crate::verify::expand;

/// Deliveries that may be unacknowledged while a queue is read.
const PREFETCH: u16 = 2000;
/// A broker needs a moment to notice that a killed generator is gone.
const OTHERS_GONE_MAX: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(10);
const CONFIG: SessionConfig = SessionConfig { frame_max: 131_072, heartbeat_s: 0 };

/// `haremq-perf check`.
///
/// # Errors
/// What went wrong, for the user.
pub(crate) fn check(options: &CheckOptions) -> Result<ExitCode, String> {
    let shown = options.ledger.display();
    let bytes = fs::read(&options.ledger).map_err(|error| format!("{shown}: {error}"))?;
    let record = Record::read(&bytes).map_err(|error| format!("{shown}: {error}"))?;
    print!("{}", summary(&record));
    let mut total = Balance::default();
    let mut has_faults = false;
    for (index, name) in record.header.queues.iter().enumerate() {
        let found = read_queue(options, &record, index)?;
        let balance = balance(&record, index, &found);
        if let Some(refusal) = &found.refusal {
            println!("queue {name:?} cannot be read: {refusal}");
        }
        print!("{}", queue_lines(name, &found, &balance));
        has_faults |= balance.lost + found.faults() > 0;
        total.open += if record.has_ended() { 0 } else { balance.open };
    }
    println!("{}", verdict(has_faults, total.open));
    Ok(if has_faults { ExitCode::from(BROKEN_PROMISE) } else { ExitCode::SUCCESS })
}

fn summary(record: &Record) -> String {
    let of_all = |count: fn(&RunSet) -> u64,
                  set: fn(&super::record::PublisherRecord) -> &RunSet| {
        record.publishers.iter().map(|publisher| count(set(publisher))).sum::<u64>()
    };
    let sent: u64 = record.publishers.iter().map(|publisher| publisher.sent).sum();
    let confirmed = of_all(RunSet::count, |publisher| &publisher.confirmed);
    let consumed: u64 = record.consumed.iter().flatten().map(RunSet::count).sum();
    let (at_most, end) = match record.has_ended() {
        true => ("", "the run ended by itself"),
        false => ("at most ", "the generator was killed"),
    };
    let mut text = format!(
        "ledger: {end}; {at_most}{sent} sent by {} producers, {confirmed} confirmed, {consumed} \
         consumed\n",
        record.publishers.len(),
    );
    if record.torn_bytes > 0 {
        text += &format!("ledger: its last {} octets were not whole\n", record.torn_bytes);
    }
    text
}

fn queue_lines(name: &str, found: &Found, balance: &Balance) -> String {
    format!(
        "queue {name:?}: {} messages there; confirmed and lost {}, duplicated {}, out of order {}, \
         corrupted {}, never sent {}, misrouted {}\n  allowed: open {} (neither confirmed on \
         record nor there), there without a confirm on record {}, there although consumed {}, of \
         another run {}\n",
        found.messages,
        balance.lost,
        found.duplicated,
        found.reordered,
        found.corrupted,
        found.never_sent,
        found.misrouted,
        balance.open,
        balance.unconfirmed,
        balance.again,
        found.stale,
    )
}

fn verdict(has_faults: bool, open: u64) -> String {
    match (has_faults, open) {
        (true, _) => "FAILED".to_owned(),
        (false, 0) => "ok".to_owned(),
        (false, open) => format!(
            "ok, but for what the ledger cannot tell: up to {open} numbers were perhaps sent, \
             perhaps confirmed, and are not there"
        ),
    }
}

/// What a queue still held.
#[derive(Debug, Default)]
struct Found {
    /// By producer.
    seen: BTreeMap<usize, RunSet>,
    /// By producer: one more than the highest number so far.
    ends: BTreeMap<usize, u64>,
    messages: u64,
    duplicated: u64,
    reordered: u64,
    corrupted: u64,
    /// Of this run, but nobody sent them.
    never_sent: u64,
    /// Of this run, but not for this queue.
    misrouted: u64,
    stale: u64,
    /// Why the queue could not be read: mostly, because it is gone.
    refusal: Option<String>,
}

impl Found {
    fn add(
        &mut self,
        record: &Record,
        queue: usize,
        body: Result<Stamp, Damage>,
        redelivered: bool,
    ) {
        self.messages += 1;
        let stamp = match body {
            Ok(stamp) => stamp,
            Err(_) => return self.corrupted += 1,
        };
        if stamp.time < record.header.start_unix_ns {
            return self.stale += 1;
        }
        let number = usize::from(stamp.publisher);
        let sent = record.publishers.get(number).map_or(0, |publisher| publisher.sent);
        // Numbers wrap at 32 bits; the ledger tells how far they had come.
        let seq = expand(stamp.seq, sent);
        if seq >= sent {
            return self.never_sent += 1;
        }
        if !record.reaches(number, seq, queue) {
            return self.misrouted += 1;
        }
        if !self.seen.entry(number).or_default().insert(seq) {
            return self.duplicated += 1;
        }
        let end = self.ends.entry(number).or_insert(0);
        if seq < *end && !redelivered {
            self.reordered += 1;
        }
        *end = (*end).max(seq + 1);
    }

    fn faults(&self) -> u64 {
        let Found { duplicated, reordered, corrupted, never_sent, misrouted, .. } = self;
        duplicated + reordered + corrupted + never_sent + misrouted
    }
}

/// What the check says about one queue, in messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Balance {
    /// Confirmed on record, and neither consumed nor there.
    lost: u64,
    /// Neither confirmed on record, nor refused, nor consumed, nor there.
    open: u64,
    /// There although not confirmed on record.
    unconfirmed: u64,
    /// There although a consumer was about to acknowledge it.
    again: u64,
}

fn balance(record: &Record, queue: usize, found: &Found) -> Balance {
    let mut balance = Balance::default();
    let nothing = RunSet::default();
    for (number, publisher) in record.publishers.iter().enumerate() {
        let seen = found.seen.get(&number).unwrap_or(&nothing);
        let consumed = &record.consumed[queue][number];
        let mut accounted = consumed.clone();
        accounted.add(seen);
        accounted.add(&publisher.settled);
        let missing = publisher.confirmed.without(&accounted);
        balance.lost += for_queue(record, number, queue, &missing);
        accounted.add(&publisher.confirmed);
        let mut all = RunSet::default();
        if let Some(last) = publisher.sent.checked_sub(1) {
            all.insert_run(0, last);
        }
        balance.open += for_queue(record, number, queue, &all.without(&accounted));
        balance.unconfirmed += seen.without(&publisher.confirmed).count();
        balance.again += seen.count() - seen.without(consumed).count();
    }
    balance
}

/// How many of these numbers a queue should get.
fn for_queue(record: &Record, publisher: usize, queue: usize, numbers: &RunSet) -> u64 {
    match record.header.reach[publisher].len() {
        // All have the same key.
        1 if record.reaches(publisher, 0, queue) => numbers.count(),
        1 => 0,
        _ => {
            let all = numbers.runs().flat_map(|(first, last)| first..=last);
            all.filter(|seq| record.reaches(publisher, *seq, queue)).count() as u64
        }
    }
}

/// Ready messages and consumers of a queue; or why the broker does not tell.
fn look(control: &mut Session, name: &str) -> Result<Result<(u32, u32), String>, SessionError> {
    let declare = queue::Declare {
        queue: name.into(),
        passive: true,
        durable: false,
        exclusive: false,
        auto_delete: false,
        nowait: false,
        arguments: FieldTable::default(),
    };
    let method = AMQPClass::Queue(queue::AMQPMethod::Declare(declare));
    match control.call(1, &method, &format!("queue.declare of {name:?}, passive")) {
        Ok(AMQPClass::Queue(queue::AMQPMethod::DeclareOk(ok))) => {
            Ok(Ok((ok.message_count, ok.consumer_count)))
        }
        Ok(_) => Ok(Err("an answer to another question came".to_owned())),
        Err(SessionError::Refused { text, .. }) => Ok(Err(text)),
        Err(error) => Err(error),
    }
}

/// Waits until nobody else consumes the queue: what others hold would count as lost.
fn await_alone(control: &mut Session, name: &str) -> Result<Result<(), String>, String> {
    let end = Instant::now() + OTHERS_GONE_MAX;
    loop {
        match look(control, name).map_err(|error| error.to_string())? {
            Ok((_, 0)) => return Ok(Ok(())),
            Ok((_, others)) if Instant::now() >= end => {
                return Err(format!(
                    "queue {name:?} has {others} consumers: end them first, what they hold \
                     would count as lost"
                ));
            }
            Ok(_) => thread::sleep(LOOK_EVERY),
            Err(refusal) => return Ok(Err(refusal)),
        }
    }
}

/// Takes (or looks at) all that a queue holds.
fn read_queue(options: &CheckOptions, record: &Record, queue: usize) -> Result<Found, String> {
    let name = &record.header.queues[queue];
    let told = |error: SessionError| error.to_string();
    let mut control = Session::open(&options.uri, CONFIG).map_err(told)?;
    control.open_channel(1).map_err(told)?;
    let mut found = Found::default();
    match await_alone(&mut control, name)? {
        Ok(()) => {
            drain(options, record, queue, &mut control, &mut found).map_err(told)?;
            control.close().map_err(told)?;
        }
        Err(refusal) => found.refusal = Some(refusal),
    }
    Ok(found)
}

fn drain(
    options: &CheckOptions,
    record: &Record,
    queue: usize,
    control: &mut Session,
    found: &mut Found,
) -> Result<(), SessionError> {
    let name = &record.header.queues[queue];
    let mut session = Session::open(&options.uri, CONFIG)?;
    session.open_channel(1)?;
    // To only look, everything stays unacknowledged and goes back when the connection closes.
    if !options.keep {
        session.limit_prefetch(1, PREFETCH, false)?;
    }
    let consume = basic::Consume {
        queue: name.as_str().into(),
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
    let mut unacked = 0u16;
    loop {
        let Some(event) = session.poll_event(quiet)? else {
            if !options.keep && unacked > 0 {
                session.acknowledge(1, 0)?;
                unacked = 0;
            }
            // A slow broker may be quiet for long: it says itself whether that was all.
            match look(control, name)? {
                Ok((1.., _)) => continue,
                _ => break,
            }
        };
        match event {
            OwnedClientEvent::Deliver { delivery_tag, redelivered, message, .. } => {
                found.add(record, queue, read_body(&message.body), redelivered);
                unacked = unacked.saturating_add(1);
                if !options.keep && unacked >= PREFETCH / 2 {
                    session.acknowledge(1, delivery_tag)?;
                    unacked = 0;
                }
            }
            OwnedClientEvent::ChannelClosed { close: Some(close), .. } => {
                found.refusal = Some(close.reply_text.as_str().to_owned());
                break;
            }
            _ => {}
        }
    }
    session.close()
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
