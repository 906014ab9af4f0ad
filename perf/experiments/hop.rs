//! The way from one core to the other: batches that move through a ring and come back empty, and
//! a bell for a core that sleeps. The same ring, bell and rounds as in the broker; the parcels are
//! plain words.

use std::sync::{Arc, Barrier, OnceLock};
use std::time::{Duration, Instant};

use haremq_reactor::{CorePlacement, Reactor, ReactorConfig, Wait, Waker, spawn_core};
use rtrb::{Consumer, Producer, RingBuffer};
use serde_json::{Map, Value, json};

use crate::PlaceOptions;
use crate::samples::{quantiles, thread_cpu_ns};

/// Batches under way from one core to the other, as in the broker.
const BATCHES: usize = 16;
const PARCELS: [usize; 4] = [1, 8, 32, 128];
/// What a small message adds to the byte area.
const BODY: [u8; 24] = *b"twenty-four bytes of it.";

/// What waits for the other core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Patience {
    /// Looks at the ring only: the hop itself.
    Ring,
    /// Rounds of the core loop that do not sleep, as while `--spin-us` lasts.
    Rounds,
    /// Sleeps in the ring of the kernel until the bell rings.
    Sleep,
}

/// 64 octets stand for a parcel.
#[derive(Debug, Default)]
struct Batch {
    parcels: Vec<[u64; 8]>,
    bytes: Vec<u8>,
    is_last: bool,
}

impl Batch {
    fn fill(&mut self, parcels: usize) {
        self.parcels.clear();
        self.bytes.clear();
        for number in 0..parcels as u64 {
            self.parcels.push([number; 8]);
            self.bytes.extend_from_slice(&BODY);
        }
    }

    fn sum(&self) -> u64 {
        let parcels = self.parcels.iter().map(|parcel| parcel[0] + parcel[7]);
        parcels.sum::<u64>() + self.bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>()
    }
}

struct End {
    outgoing: Producer<Batch>,
    incoming: Consumer<Batch>,
    reactor: Reactor,
    /// The other core's.
    bell: Waker,
    patience: Patience,
}

impl End {
    fn send(&mut self, batch: Batch) {
        assert!(self.outgoing.push(batch).is_ok(), "no more batches than fit are there");
        self.bell.wake();
    }

    fn receive(&mut self) -> Batch {
        loop {
            if let Ok(batch) = self.incoming.pop() {
                return batch;
            }
            let incoming = &self.incoming;
            match self.patience {
                Patience::Ring => std::hint::spin_loop(),
                Patience::Rounds => self.reactor.wait(Wait::Now, || false),
                Patience::Sleep => self.reactor.wait(Wait::Forever, || !incoming.is_empty()),
            }
            while self.reactor.poll_event().is_some() {}
        }
    }
}

/// # Errors
/// What the machine refuses, for the user.
pub(crate) fn measure(options: PlaceOptions) -> Result<Value, String> {
    let mut figures = Map::new();
    let ways = [("ring", Patience::Ring), ("rounds", Patience::Rounds), ("sleep", Patience::Sleep)];
    for (name, patience) in ways {
        let (mut there_and_back, mut streaming) = (Map::new(), Map::new());
        for parcels in PARCELS {
            let time = Duration::from_millis(options.time_ms);
            let began = move |end: &mut End| ping(end, parcels, time);
            let times = run(options, patience, began, |end| echo(end, |_| ()))?.0;
            there_and_back.insert(parcels.to_string(), quantiles(times));
            let began = move |end: &mut End| stream(end, parcels, time);
            let streamed = run(options, patience, began, |end| echo(end, read))?;
            streaming.insert(parcels.to_string(), streamed_figures(streamed, time));
        }
        let both = json!({ "there_and_back_ns": there_and_back, "streaming": streaming });
        figures.insert(name.to_owned(), both);
    }
    Ok(Value::Object(figures))
}

fn streamed_figures((sent, read): ((u64, u64), u64), time: Duration) -> Value {
    let (parcels, sender_ns) = sent;
    json!({
        "parcels_per_s": parcels as f64 / time.as_secs_f64(),
        "sender_cpu_ns_per_parcel": sender_ns as f64 / parcels as f64,
        "receiver_cpu_ns_per_parcel": read as f64 / parcels as f64,
    })
}

/// Runs the two ends on their cores; tells what they return.
fn run<A: Send + 'static, B: Send + 'static>(
    options: PlaceOptions,
    patience: Patience,
    first: impl FnOnce(&mut End) -> A + Send + 'static,
    second: impl FnOnce(&mut End) -> B + Send + 'static,
) -> Result<(A, B), String> {
    let (out_a, in_b) = RingBuffer::new(BATCHES);
    let (out_b, in_a) = RingBuffer::new(BATCHES);
    let meeting =
        Arc::new(Meeting { barrier: Barrier::new(2), wakers: [OnceLock::new(), OnceLock::new()] });
    let met = Arc::clone(&meeting);
    let a = spawn_core(place(options.cpu), move || {
        met.end(0, out_a, in_a, patience).map(|mut end| first(&mut end))
    });
    let b = spawn_core(place(options.other_cpu), move || {
        meeting.end(1, out_b, in_b, patience).map(|mut end| second(&mut end))
    });
    let a = a.and_then(|core| core.join()).map_err(|error| error.to_string())?;
    let b = b.and_then(|core| core.join()).map_err(|error| error.to_string())?;
    Ok((a?, b?))
}

fn place(cpu: usize) -> CorePlacement {
    CorePlacement { cpu: Some(cpu), name: "hop".to_owned() }
}

/// Where the two cores tell each other their bells.
struct Meeting {
    barrier: Barrier,
    wakers: [OnceLock<Waker>; 2],
}

impl Meeting {
    fn end(
        &self,
        number: usize,
        outgoing: Producer<Batch>,
        incoming: Consumer<Batch>,
        patience: Patience,
    ) -> Result<End, String> {
        let made = Reactor::new(ReactorConfig::default()).map_err(|error| error.to_string());
        if let Ok(reactor) = &made {
            let is_first = self.wakers[number].set(reactor.waker()).is_ok();
            assert!(is_first, "each end has its number");
        }
        self.barrier.wait();
        let bell = self.wakers[1 - number].get().ok_or("the other core has no ring")?.clone();
        Ok(End { outgoing, incoming, reactor: made?, bell, patience })
    }
}

/// Sends a batch and waits for it to come back; tells how long each took, in ns.
fn ping(end: &mut End, parcels: usize, time: Duration) -> Vec<u64> {
    let mut batch = Batch::default();
    batch.fill(parcels);
    let (began, mut times) = (Instant::now(), Vec::new());
    while began.elapsed() < time {
        let one = Instant::now();
        end.send(batch);
        batch = end.receive();
        times.push(one.elapsed().as_nanos() as u64);
    }
    end.send(Batch { is_last: true, ..batch });
    times
}

/// Fills and sends batches, as many as may be under way; tells how many parcels that were, and
/// in what CPU time.
fn stream(end: &mut End, parcels: usize, time: Duration) -> (u64, u64) {
    let mut spare: Vec<Batch> = (0..BATCHES).map(|_| Batch::default()).collect();
    let (began, cpu_ns, mut sent) = (Instant::now(), thread_cpu_ns(), 0);
    while began.elapsed() < time {
        let mut batch = spare.pop().unwrap_or_else(|| end.receive());
        batch.fill(parcels);
        end.send(batch);
        sent += parcels as u64;
    }
    let used_ns = thread_cpu_ns() - cpu_ns;
    // The last one needs room.
    let batch = spare.pop().unwrap_or_else(|| end.receive());
    end.send(Batch { is_last: true, ..batch });
    (sent, used_ns)
}

/// Sends all batches back until the last one came; tells its CPU time in ns.
fn echo(end: &mut End, mut look: impl FnMut(&Batch)) -> u64 {
    let cpu_ns = thread_cpu_ns();
    loop {
        let batch = end.receive();
        if batch.is_last {
            return thread_cpu_ns() - cpu_ns;
        }
        look(&batch);
        end.send(batch);
    }
}

fn read(batch: &Batch) {
    std::hint::black_box(batch.sum());
}
