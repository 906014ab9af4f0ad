//! Load at a given rate: one publisher, and consumers that ack only so fast.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use haremq_protocol::client::ClientEvent;

use super::client::{LoadClient, Publisher, index_of};
use super::{DEADLINE, TwoCores};

const BODY_BYTES: usize = 8 << 10;
/// What all consumers together can bear, in messages a second.
pub(crate) const BEARABLE_PER_SECOND: f64 = 2000.0;
const CONSUMERS: usize = 2;
const PREFETCH: u16 = 100;
/// How long a client waits for the other side before it looks at the clock again.
const STEP: Duration = Duration::from_millis(4);
/// Publishes between two looks at the clock.
const BURST: u64 = 64;
/// Until the publisher knows how many messages there are.
const UNKNOWN: u64 = u64::MAX;

/// What is seen from outside while the load goes on.
#[derive(Debug)]
pub(crate) struct Progress {
    pub(crate) offered: AtomicU64,
    /// What the broker has taken responsibility for.
    pub(crate) confirmed: AtomicU64,
    pub(crate) received: AtomicU64,
    /// Messages in all, once the publisher has ended.
    total: AtomicU64,
}

/// What one consumer got.
#[derive(Debug, Default)]
pub(crate) struct Consumed {
    pub(crate) indices: Vec<u64>,
    /// From one read with deliveries to the next, where that took long.
    pub(crate) gaps: Vec<(Instant, Instant)>,
}

/// Gaps shorter than this are not noted.
const NOTED_GAP: Duration = Duration::from_millis(100);

/// A publisher and its consumers, each on a thread.
pub(crate) struct Load {
    pub(crate) progress: Arc<Progress>,
    pub(crate) until: Instant,
    publisher: JoinHandle<()>,
    consumers: Vec<JoinHandle<Consumed>>,
}

/// The offered rate: so many a second until a moment, then the second rate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rates {
    pub(crate) first_per_second: f64,
    pub(crate) first_for: Duration,
    pub(crate) then_per_second: f64,
}

impl Rates {
    /// Messages that are due after so long.
    fn due(&self, elapsed: Duration) -> u64 {
        let first = elapsed.min(self.first_for).as_secs_f64() * self.first_per_second;
        let then = elapsed.saturating_sub(self.first_for).as_secs_f64() * self.then_per_second;
        (first + then) as u64
    }
}

impl Load {
    /// A queue on one core, its clients on another.
    pub(crate) fn start(
        cores: &mut TwoCores,
        queue_core: usize,
        client_core: usize,
        rates: Rates,
        duration: Duration,
    ) -> Load {
        let queue = cores.queue_on(queue_core);
        let (from, until) = (Instant::now(), Instant::now() + duration);
        let progress = Arc::new(Progress {
            offered: AtomicU64::new(0),
            confirmed: AtomicU64::new(0),
            received: AtomicU64::new(0),
            total: AtomicU64::new(UNKNOWN),
        });
        let consumers = (0..CONSUMERS).map(|_| {
            let mut client = cores.connect_on(client_core);
            client.consume(&queue, PREFETCH);
            let progress = Arc::clone(&progress);
            let per_second = BEARABLE_PER_SECOND / CONSUMERS as f64;
            let pace = Pace { per_second, until, at: from, allowed: 0.0 };
            let consumer = Consumer { client, pace, progress };
            thread::spawn(move || consumer.run())
        });
        let consumers = consumers.collect();
        let publisher = Publisher::new(cores.connect_on(client_core), &queue, BODY_BYTES);
        let publishing = Arc::clone(&progress);
        let publisher = thread::spawn(move || publish(publisher, from, until, rates, &publishing));
        Load { progress, until, publisher, consumers }
    }

    /// Waits until all has been confirmed and received.
    pub(crate) fn join(self) -> Vec<Consumed> {
        self.publisher.join().expect("the publisher ends well");
        let consumers = self.consumers.into_iter();
        consumers.map(|consumer| consumer.join().expect("the consumers end well")).collect()
    }
}

fn publish(
    mut publisher: Publisher,
    from: Instant,
    until: Instant,
    rates: Rates,
    progress: &Progress,
) {
    while Instant::now() < until {
        let due = rates.due(from.elapsed());
        progress.offered.store(due, Ordering::Relaxed);
        for _ in 0..due.saturating_sub(publisher.published).min(BURST) {
            publisher.publish();
        }
        publisher.client.flush();
        if publisher.published >= due || publisher.published - publisher.confirmed > 4 * BURST {
            publisher.take_confirms(STEP);
        }
        progress.confirmed.store(publisher.confirmed, Ordering::Relaxed);
    }
    publisher.await_confirms();
    progress.total.store(publisher.published, Ordering::Release);
}

/// A given rate, until the end of the load; then as fast as it goes.
struct Pace {
    per_second: f64,
    until: Instant,
    at: Instant,
    /// How far it may have got.
    allowed: f64,
}

/// What was not used within this time is not made up for, in seconds.
const MADE_UP_S: f64 = 0.25;

impl Pace {
    /// How far one may go who is at `done`.
    fn poll(&mut self, done: u64) -> u64 {
        let now = Instant::now();
        if now >= self.until {
            return u64::MAX;
        }
        self.allowed += (now - self.at).as_secs_f64() * self.per_second;
        self.allowed = self.allowed.min(done as f64 + MADE_UP_S * self.per_second);
        self.at = now;
        self.allowed as u64
    }
}

/// Acks at its pace.
struct Consumer {
    client: LoadClient,
    pace: Pace,
    progress: Arc<Progress>,
}

impl Consumer {
    fn run(mut self) -> Consumed {
        let mut consumed = Consumed::default();
        let (mut tag, mut acked) = (0, 0);
        let mut last_at = Instant::now();
        while self.progress.received.load(Ordering::Relaxed)
            < self.progress.total.load(Ordering::Acquire)
        {
            assert!(self.pace.until.elapsed() < DEADLINE, "some of the messages have not come");
            let before = consumed.indices.len();
            self.client.receive(STEP, |event| {
                let ClientEvent::Deliver { deliver, body, .. } = event else { panic!("{event:?}") };
                assert_eq!(deliver.delivery_tag, tag + 1);
                assert!(!deliver.redelivered);
                tag = deliver.delivery_tag;
                consumed.indices.push(index_of(body));
            });
            let count = consumed.indices.len() - before;
            if count > 0 {
                self.progress.received.fetch_add(count as u64, Ordering::Relaxed);
                let now = Instant::now();
                if now - last_at >= NOTED_GAP {
                    consumed.gaps.push((last_at, now));
                }
                last_at = now;
            }
            let allowed = self.pace.poll(acked).min(tag);
            if allowed > acked {
                self.client.ack_to(allowed);
                acked = allowed;
            }
        }
        consumed
    }
}

/// Every message came, once, and to each consumer in order.
pub(crate) fn expect_all(progress: &Progress, consumed: &[Consumed]) {
    let total = progress.total.load(Ordering::Acquire);
    let mut has_come = vec![false; usize::try_from(total).expect("they were all received")];
    for consumer in consumed {
        assert!(consumer.indices.is_sorted(), "order is kept");
        for &index in &consumer.indices {
            assert!(!std::mem::replace(&mut has_come[index as usize], true), "{index} came twice");
        }
    }
    let missing = has_come.iter().filter(|has_come| !**has_come).count();
    assert_eq!(missing, 0, "confirmed messages are lost");
}
