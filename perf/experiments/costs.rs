//! The constants of the model: calls of the kernel, wake-ups, copies and syncs.

use std::fs::{self, File};
use std::hint::black_box;
use std::io::Write as _;
use std::os::unix::process::parent_id;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use haremq_reactor::{CoreHandle, CorePlacement, Reactor, ReactorConfig, Wait, Waker, spawn_core};
use serde_json::{Map, Value, json};

use crate::CostOptions;
use crate::samples::{ns_per_call, quantiles};

const COPY_BYTES: [usize; 6] = [64, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 1 << 20];
/// What a commit writes at once.
const SYNC_BYTES: [usize; 3] = [4 << 10, 64 << 10, 1 << 20];
/// Stands for the end where times are told.
const END: u64 = u64::MAX;
/// So that one late wake-up does not make the figure.
const WAKES_MIN: usize = 20;
/// Until a core that was woken sleeps again.
const ASLEEP: Duration = Duration::from_micros(200);

/// # Errors
/// What the machine refuses, for the user.
pub(crate) fn measure(options: &CostOptions) -> Result<Value, String> {
    let time = Duration::from_millis(options.place.time_ms);
    let placement = |cpu| CorePlacement { cpu: Some(cpu), name: "costs".to_owned() };
    let dir = options.dir.clone();
    // First: a core's thread may start others on its own CPU only.
    let sleeper = Sleeper::start(placement(options.place.other_cpu))?;
    let core = spawn_core(placement(options.place.cpu), move || -> Result<Value, String> {
        let mut reactor = reactor()?;
        let awake = reactor.waker();
        Ok(json!({
            "clock_ns": ns_per_call(time, || _ = black_box(Instant::now())),
            "syscall_ns": ns_per_call(time, || _ = black_box(parent_id())),
            "rounds": rounds(&mut reactor, time),
            "wake_of_awake_core_ns": ns_per_call(time, || awake.wake()),
            "wake_of_sleeping_core": sleeper.wakes(time)?,
            "memcpy_ns": copies(time),
            "fdatasync": syncs(&dir, time).map_err(|error| format!("{}: {error}", dir.display()))?,
        }))
    });
    core.and_then(|core| core.join()).map_err(|error| error.to_string())?
}

/// Rounds of the reactor: one that only looks for events, one with an event (the
/// core rings its own bell before it would sleep), one that sleeps as shortly as can be.
fn rounds(reactor: &mut Reactor, time: Duration) -> Value {
    let bell = reactor.waker();
    let mut measure = |wait: Wait, has_event: bool| {
        let (before, mut count) = (reactor.counters().enters, 0u64);
        let ns = ns_per_call(time, || {
            count += 1;
            reactor.wait(wait, || {
                if has_event {
                    bell.wake();
                }
                false
            });
            while reactor.poll_event().is_some() {}
        });
        let enters = (reactor.counters().enters - before) as f64 / count as f64;
        json!({ "ns": ns, "enters": enters })
    };
    json!({
        "without_event": measure(Wait::Now, false),
        "woken_by_eventfd": measure(Wait::Forever, true),
        "shortest_sleep": measure(Wait::Until(Duration::from_nanos(1)), false),
    })
}

fn reactor() -> Result<Reactor, String> {
    Reactor::new(ReactorConfig::default()).map_err(|error| error.to_string())
}

/// A core that sleeps in its ring until it is woken.
struct Sleeper {
    epoch: Instant,
    waker: Waker,
    /// When it woke, in ns after the epoch; 0 asks it to wake, END to stop.
    woken_at: Arc<AtomicU64>,
    core: CoreHandle<()>,
}

impl Sleeper {
    fn start(placement: CorePlacement) -> Result<Sleeper, String> {
        let (epoch, woken_at) = (Instant::now(), Arc::new(AtomicU64::new(0)));
        let (sender, receiver) = mpsc::channel();
        let told = Arc::clone(&woken_at);
        let core = spawn_core(placement, move || sleep_on(epoch, &told, &sender));
        let core = core.map_err(|error| error.to_string())?;
        let waker = receiver.recv().map_err(|_| "the other core did not start".to_owned())??;
        Ok(Sleeper { epoch, waker, woken_at, core })
    }

    /// What it costs to wake it, and how long until it runs.
    fn wakes(self, time: Duration) -> Result<Value, String> {
        let Sleeper { epoch, waker, woken_at, core } = self;
        let (began, mut calls, mut latencies) = (Instant::now(), Vec::new(), Vec::new());
        while began.elapsed() < time || calls.len() < WAKES_MIN {
            spin(ASLEEP);
            woken_at.store(0, Ordering::Release);
            let called = epoch.elapsed().as_nanos() as u64;
            waker.wake();
            calls.push(epoch.elapsed().as_nanos() as u64 - called);
            let woken = loop {
                match woken_at.load(Ordering::Acquire) {
                    0 => std::hint::spin_loop(),
                    woken => break woken,
                }
            };
            latencies.push(woken.saturating_sub(called));
        }
        woken_at.store(END, Ordering::Release);
        waker.wake();
        core.join().map_err(|error| error.to_string())?;
        Ok(json!({ "call_ns": quantiles(calls), "until_it_runs_ns": quantiles(latencies) }))
    }
}

fn sleep_on(epoch: Instant, told: &AtomicU64, sender: &mpsc::Sender<Result<Waker, String>>) {
    let made = reactor();
    let waker = made.as_ref().map(Reactor::waker).map_err(Clone::clone);
    sender.send(waker).expect("the other core waits for it");
    let Ok(mut reactor) = made else { return };
    while told.load(Ordering::Acquire) != END {
        reactor.wait(Wait::Forever, || matches!(told.load(Ordering::Acquire), 0 | END));
        while reactor.poll_event().is_some() {}
        let now = epoch.elapsed().as_nanos() as u64;
        // Not over the end that it may say by now.
        let _ = told.compare_exchange(0, now, Ordering::AcqRel, Ordering::Acquire);
    }
}

fn spin(time: Duration) {
    let began = Instant::now();
    while began.elapsed() < time {
        std::hint::spin_loop();
    }
}

fn copies(time: Duration) -> Value {
    let mut figures = Map::new();
    for bytes in COPY_BYTES {
        let (from, mut to) = (vec![1u8; bytes], vec![0u8; bytes]);
        let figure = ns_per_call(time / 4, || {
            to.copy_from_slice(black_box(&from));
            black_box(&mut to);
        });
        figures.insert(bytes.to_string(), figure);
    }
    Value::Object(figures)
}

/// Appends to a file that has its blocks already, as a log does, and syncs.
fn syncs(dir: &std::path::Path, time: Duration) -> std::io::Result<Value> {
    let path = dir.join(format!("haremq-experiments-{}", std::process::id()));
    let mut figures = Map::new();
    for bytes in SYNC_BYTES {
        let measured = sync_one(&path, bytes, time);
        fs::remove_file(&path)?;
        figures.insert(bytes.to_string(), quantiles(measured?));
    }
    Ok(Value::Object(figures))
}

fn sync_one(path: &std::path::Path, bytes: usize, time: Duration) -> std::io::Result<Vec<u64>> {
    const FILE_BYTES: usize = 32 << 20;
    let mut file = File::create(path)?;
    file.write_all(&vec![0; FILE_BYTES])?;
    file.sync_all()?;
    let mut file = File::options().write(true).open(path)?;
    let group = vec![1; bytes];
    let mut times = Vec::new();
    let began = Instant::now();
    while began.elapsed() < time && (times.len() + 1) * bytes <= FILE_BYTES {
        let one = Instant::now();
        file.write_all(&group)?;
        file.sync_data()?;
        times.push(one.elapsed().as_nanos() as u64);
    }
    Ok(times)
}
