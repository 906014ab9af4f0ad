//! Making and unmaking things: connections, channels, queues, bindings, consumers; and holding
//! many idle ones. No messages here, so it works on threads that wait for each answer.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use haremq_protocol::method::{AMQPClass, basic, queue};
use haremq_protocol::types::FieldTable;
use haremq_reactor::limit_open_files;
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::lines::{count, duration};
use crate::meter::{latencies, note};
use crate::options::{Churn, RunOptions};
use crate::outcome::{BrokerFacts, Quantiles};
use crate::process::{ProcessSample, find_listener};
use crate::session::{Session, SessionConfig, SessionError};

/// What a run lasts if --time does not say.
const SECONDS: f64 = 5.0;
/// How long idle things are held, at least, so that the broker settles.
const SETTLE: Duration = Duration::from_secs(2);
/// From one address to one port there are about 28,000 ports; on loopback there are more
/// addresses.
const CONNECTIONS_PER_ADDRESS: usize = 20_000;

/// What came of it.
#[derive(Clone, Debug, Default, Serialize)]
struct ChurnOutcome {
    schema: u32,
    churn: String,
    uri: String,
    broker: BrokerFacts,
    seconds: f64,
    /// Pairs of making and unmaking; or things made, if they are held.
    operations: u64,
    operations_per_second: f64,
    /// From the first request to the last answer of one operation (or batch of them), in µs.
    latency: Option<Quantiles>,
    broker_us_per_operation: Option<f64>,
    rss_before: Option<u64>,
    rss_after: Option<u64>,
    /// Of things that are held.
    rss_per_thing: Option<f64>,
}

/// Runs and prints.
///
/// # Errors
/// What went wrong, for the user.
pub(crate) fn execute(
    options: &RunOptions,
    churn: Churn,
    interrupted: &Arc<AtomicBool>,
) -> Result<ExitCode, String> {
    let _ = limit_open_files(1 << 20);
    let address = options.uri.resolve().map_err(|error| error.to_string())?;
    let pid = options.broker_pid.or_else(|| find_listener(address.ip(), address.port()));
    let facts = connect(options, 0).map_err(|error| error.to_string())?.facts().clone();
    let before = pid.and_then(ProcessSample::of);
    let began = Instant::now();
    let measured = match churn {
        Churn::IdleConnections | Churn::IdleChannels | Churn::IdleQueues => {
            hold(options, churn, pid, interrupted)
        }
        _ => repeat(options, churn, interrupted),
    };
    let (operations, histogram, held) = measured.map_err(|error| error.to_string())?;
    let seconds = held.map_or(began.elapsed(), |(made_in, _)| made_in).as_secs_f64();
    let after = held.map_or_else(|| pid.and_then(ProcessSample::of), |(_, sample)| sample);
    let used_us = before.zip(after).map(|(before, after)| after.cpu_us() - before.cpu_us());
    let grown = before
        .zip(after)
        .map(|(before, after)| after.rss_bytes.saturating_sub(before.rss_bytes) as f64);
    let per_operation = |whole: f64| whole / operations.max(1) as f64;
    let outcome = ChurnOutcome {
        schema: crate::outcome::SCHEMA,
        churn: format!("{churn:?}"),
        uri: options.uri.shown.clone(),
        broker: BrokerFacts {
            product: facts.product,
            version: facts.version,
            platform: facts.platform,
            own_version: facts.own_version,
            pid,
            cpus: None,
        },
        seconds,
        operations,
        operations_per_second: operations as f64 / seconds,
        latency: Quantiles::of(&histogram),
        broker_us_per_operation: used_us.map(|us| per_operation(us as f64)),
        rss_before: before.map(|before| before.rss_bytes),
        rss_after: after.map(|after| after.rss_bytes),
        rss_per_thing: grown.filter(|_| held.is_some()).map(per_operation),
    };
    print(options, &outcome);
    Ok(ExitCode::SUCCESS)
}

fn print(options: &RunOptions, outcome: &ChurnOutcome) {
    if options.output_file.as_deref() == Some("json") {
        let text = serde_json::to_string_pretty(outcome);
        println!("{}", text.expect("an outcome has only texts and numbers"));
        return;
    }
    let latency = outcome.latency.unwrap_or_default();
    println!(
        "id: {}, {}: {} in {:.1} s, {}/s, p50 {}, p99 {}, max {}",
        options.id,
        outcome.churn,
        count(outcome.operations as f64),
        outcome.seconds,
        count(outcome.operations_per_second),
        duration(latency.p50),
        duration(latency.p99),
        duration(latency.max),
    );
    if let Some(us) = outcome.broker_us_per_operation {
        println!("  broker: CPU {us:.1} us each");
    }
    if let Some(bytes) = outcome.rss_per_thing {
        println!("  broker: {} octets of memory each", count(bytes));
    }
}

fn connect(options: &RunOptions, number: usize) -> Result<Session, SessionError> {
    let config = SessionConfig { frame_max: options.framemax, heartbeat_s: options.heartbeat };
    let mut uri = options.uri.clone();
    let other = number / CONNECTIONS_PER_ADDRESS;
    if other > 0 && matches!(uri.host.as_str(), "localhost" | "127.0.0.1") {
        uri.host = format!("127.0.0.{}", other + 1);
    }
    Session::open(&uri, config)
}

/// Operations, their latencies; and for things that are held, in what time they were made and
/// what the broker's process looked like while they were there.
type Measured = (u64, Histogram<u64>, Option<(Duration, Option<ProcessSample>)>);

/// Makes and unmakes until the time is over, on a thread per producer.
fn repeat(
    options: &RunOptions,
    churn: Churn,
    interrupted: &Arc<AtomicBool>,
) -> Result<Measured, SessionError> {
    let seconds = if options.time > 0.0 { options.time } else { SECONDS };
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    let threads = (0..options.producers as usize).map(|number| {
        let (options, interrupted) = (options.clone(), Arc::clone(interrupted));
        thread::spawn(move || {
            let mut worker = Worker::new(&options, churn, number)?;
            let mut histogram = latencies();
            let mut operations = 0;
            while Instant::now() < end && !interrupted.load(Ordering::Relaxed) {
                let began = Instant::now();
                operations += worker.operate()?;
                note(&mut histogram, began.elapsed().as_nanos() as u64);
            }
            Ok((operations, histogram))
        })
    });
    let threads: Vec<_> = threads.collect();
    let (mut operations, mut histogram) = (0, latencies());
    for thread in threads {
        let ended = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let (more, latencies): (u64, Histogram<u64>) = ended?;
        operations += more;
        histogram.add(latencies).expect("all have the same bounds");
    }
    Ok((operations, histogram, None))
}

struct Worker<'a> {
    options: &'a RunOptions,
    churn: Churn,
    number: usize,
    made: usize,
    /// Stays open, except where connections are what is made.
    session: Option<Session>,
}

impl<'a> Worker<'a> {
    fn new(options: &'a RunOptions, churn: Churn, number: usize) -> Result<Self, SessionError> {
        let mut worker = Worker { options, churn, number, made: 0, session: None };
        if churn != Churn::Connection {
            let mut session = connect(options, 0)?;
            if churn != Churn::Channel {
                session.open_channel(1)?;
            }
            if matches!(churn, Churn::Binding | Churn::Consumer) {
                session.declare_queue(&queue_of(&worker.name()))?;
            }
            worker.session = Some(session);
        }
        Ok(worker)
    }

    fn name(&self) -> String {
        format!("perf-churn-{}-{}-{}", std::process::id(), self.number, self.made)
    }

    /// One making and unmaking (of bindings: a batch); returns how many.
    fn operate(&mut self) -> Result<u64, SessionError> {
        self.made += 1;
        let name = self.name();
        let Some(session) = &mut self.session else {
            connect(self.options, 0)?.close()?;
            return Ok(1);
        };
        match self.churn {
            Churn::Channel => {
                session.open_channel(1)?;
                session.close_channel(1)?;
                Ok(1)
            }
            Churn::Queue => {
                session.declare_queue(&queue_of(&name))?;
                let delete = queue::Delete {
                    queue: name.as_str().into(),
                    if_unused: false,
                    if_empty: false,
                    nowait: false,
                };
                let method = AMQPClass::Queue(queue::AMQPMethod::Delete(delete));
                session.call(1, &method, "queue.delete")?;
                Ok(1)
            }
            Churn::Consumer => {
                session.call(1, &consume(""), "basic.consume")?;
                session.call(1, &cancel(), "basic.cancel")?;
                Ok(1)
            }
            _ => {
                let count = self.options.churn_batch.max(1) as usize;
                let bound = (0..count).map(|number| bind(&format!("{name}.{number}")));
                session.call_all(1, &bound.collect::<Vec<_>>(), "queue.bind")?;
                let unbound = (0..count).map(|number| unbind(&format!("{name}.{number}")));
                session.call_all(1, &unbound.collect::<Vec<_>>(), "queue.unbind")?;
                Ok(count as u64)
            }
        }
    }
}

/// The queue is the one that was declared last on the channel.
fn bind(key: &str) -> AMQPClass {
    AMQPClass::Queue(queue::AMQPMethod::Bind(queue::Bind {
        queue: "".into(),
        exchange: "amq.direct".into(),
        routing_key: key.into(),
        nowait: false,
        arguments: FieldTable::default(),
    }))
}

fn unbind(key: &str) -> AMQPClass {
    AMQPClass::Queue(queue::AMQPMethod::Unbind(queue::Unbind {
        queue: "".into(),
        exchange: "amq.direct".into(),
        routing_key: key.into(),
        arguments: FieldTable::default(),
    }))
}

fn consume(queue: &str) -> AMQPClass {
    AMQPClass::Basic(basic::AMQPMethod::Consume(basic::Consume {
        queue: queue.into(),
        consumer_tag: "churn".into(),
        no_local: false,
        no_ack: true,
        exclusive: false,
        nowait: false,
        arguments: FieldTable::default(),
    }))
}

fn cancel() -> AMQPClass {
    let cancel = basic::Cancel { consumer_tag: "churn".into(), nowait: false };
    AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel))
}

fn queue_of(name: &str) -> queue::Declare {
    queue::Declare {
        queue: name.into(),
        passive: false,
        durable: false,
        exclusive: true,
        auto_delete: false,
        nowait: false,
        arguments: FieldTable::default(),
    }
}

/// Makes so many (the producers' count) and holds them.
fn hold(
    options: &RunOptions,
    churn: Churn,
    pid: Option<u32>,
    interrupted: &Arc<AtomicBool>,
) -> Result<Measured, SessionError> {
    let mut sessions = Vec::new();
    let mut histogram = latencies();
    let began = Instant::now();
    let wanted = options.producers as usize;
    let mut made = 0;
    while made < wanted && !interrupted.load(Ordering::Relaxed) {
        let one = Instant::now();
        match churn {
            Churn::IdleConnections => {
                let mut session = connect(options, made)?;
                session.open_channel(1)?;
                sessions.push(session);
            }
            Churn::IdleChannels => {
                let per_connection = 1000;
                if made % per_connection == 0 {
                    sessions.push(connect(options, 0)?);
                }
                let session = sessions.last_mut().expect("one was just made");
                session.open_channel((made % per_connection) as u16 + 1)?;
            }
            _ => {
                if sessions.is_empty() {
                    let mut session = connect(options, 0)?;
                    session.open_channel(1)?;
                    sessions.push(session);
                }
                let name = format!("perf-idle-{}-{made}", std::process::id());
                sessions[0].declare_queue(&queue_of(&name))?;
            }
        }
        note(&mut histogram, one.elapsed().as_nanos() as u64);
        made += 1;
    }
    let made_in = began.elapsed();
    let end = Instant::now() + SETTLE.max(Duration::from_secs_f64(options.time));
    while Instant::now() < end && !interrupted.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(50));
    }
    let held = pid.and_then(ProcessSample::of);
    Ok((made as u64, histogram, Some((made_in, held))))
}
