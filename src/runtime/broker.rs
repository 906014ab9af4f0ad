//! Starting and stopping all cores.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use haremq_broker::catalog::Catalog;
use haremq_broker::ids::ShardId;
use haremq_reactor::{
    CoreHandle, CorePlacement, ListenerId, Reactor, ReactorConfig, Waker, spawn_core,
};
use haremq_shard::limits::{BULK_PER_TICK, PARCELS_PER_RING_AND_TICK};
use haremq_shard::{Settings, Shard};

use crate::config::{Config, RunError, StartError};
use crate::core_loop::CoreLoop;
use crate::links::{CoreLinks, WriterLink, links};
use crate::shared::Shared;
use crate::watchdog;

/// A running broker.
pub struct Broker {
    cores: Vec<CoreHandle<u64>>,
    addresses: Vec<SocketAddr>,
    stopper: Stopper,
    watchdog: JoinHandle<()>,
    watchdog_end: mpsc::Sender<()>,
}

/// Stops the broker from any thread.
#[derive(Clone)]
pub struct Stopper {
    shared: Arc<Shared>,
    wakers: Arc<OnceLock<Vec<Waker>>>,
}

impl Stopper {
    /// Closes all connections with 320 and ends the cores. Returns at once.
    pub fn stop(&self) {
        self.shared.stop();
        for waker in self.wakers.get().into_iter().flatten() {
            waker.wake();
        }
    }
}

/// What a core says when it has tried to start.
type Started = Result<(ShardId, Waker, Vec<SocketAddr>), StartError>;

/// Starts one core per entry of `config.cpus`. The caller is to drive the catalog writer on the
/// returned link.
///
/// # Errors
/// [`StartError`], with what to do about it; nothing runs then.
pub fn start(config: Config) -> Result<(Broker, WriterLink), StartError> {
    haremq_reactor::map_large_blocks();
    let shards = u16::try_from(config.cpus.len()).expect("at most as many cores as slots");
    let shared = Arc::new(Shared::new(config.cpus.len(), config.memory_limit_bytes));
    let (core_links, writer_link) = links(shards);
    let wakers = Arc::clone(&core_links[0].wakers);
    let stopper = Stopper { shared: Arc::clone(&shared), wakers: Arc::clone(&wakers) };
    let (says, heard) = mpsc::channel();
    let epoch = Instant::now();
    let mut cores = Vec::new();
    for (links, cpu) in core_links.into_iter().zip(&config.cpus) {
        let placement = CorePlacement { cpu: *cpu, name: format!("core-{}", links.shard) };
        let (config, shared, says) = (config.clone(), Arc::clone(&shared), says.clone());
        let body = move || run_core(&config, links, shared, epoch, says);
        match spawn_core(placement, body) {
            Ok(core) => cores.push(core),
            Err(error) => return Err(give_up(cores, &stopper, error.into())),
        }
    }
    drop(says);
    let addresses = match await_cores(&heard, &mut cores, &wakers) {
        Ok(addresses) => addresses,
        Err(error) => return Err(give_up(cores, &stopper, error)),
    };
    let (watchdog_end, end) = mpsc::channel::<()>();
    let is_over = move |period| end.recv_timeout(period) != Err(mpsc::RecvTimeoutError::Timeout);
    let watchdog = std::thread::Builder::new()
        .name("watchdog".into())
        .spawn(move || watchdog::watch(&shared, is_over))
        .expect("a thread more can be started");
    Ok((Broker { cores, addresses, stopper, watchdog, watchdog_end }, writer_link))
}

/// Waits until every core runs, and makes their wakers known.
fn await_cores(
    heard: &mpsc::Receiver<Started>,
    cores: &mut Vec<CoreHandle<u64>>,
    wakers: &OnceLock<Vec<Waker>>,
) -> Result<Vec<SocketAddr>, StartError> {
    let mut started: Vec<(ShardId, Waker, Vec<SocketAddr>)> = Vec::new();
    while started.len() < cores.len() {
        match heard.recv() {
            Ok(said) => started.push(said?),
            // All have spoken or ended, and too few have spoken.
            Err(mpsc::RecvError) => {
                let is_silent =
                    |core: &usize| started.iter().all(|(shard, ..)| shard.index() != *core);
                let silent = (0..cores.len()).find(is_silent).expect("one has not spoken");
                return Err(end_of(cores.swap_remove(silent)));
            }
        }
    }
    started.sort_by_key(|(shard, _, _)| *shard);
    let addresses = std::mem::take(&mut started[0].2);
    let all = started.into_iter().map(|(_, waker, _)| waker).collect();
    assert!(wakers.set(all).is_ok(), "the cores start once");
    Ok(addresses)
}

/// Why a core ended before it ran its loop: its host knows.
fn end_of(core: CoreHandle<u64>) -> StartError {
    core.join().map_or_else(StartError::from, |_| StartError::CoreEnded)
}

/// Some cores run and one does not: ends those that do.
fn give_up(cores: Vec<CoreHandle<u64>>, stopper: &Stopper, error: StartError) -> StartError {
    stopper.stop();
    // Cores whose wakers are unknown look at the flag before they first sleep.
    drop(cores);
    error
}

fn run_core(
    config: &Config,
    links: CoreLinks,
    shared: Arc<Shared>,
    epoch: Instant,
    says: mpsc::Sender<Started>,
) -> u64 {
    let (reactor, listeners) = match open(config, &links) {
        Ok((reactor, listeners, addresses)) => {
            // Whoever started us may have given up meanwhile; then the flag is set.
            let _ = says.send(Ok((links.shard, reactor.waker(), addresses)));
            (reactor, listeners)
        }
        Err(error) => {
            let _ = says.send(Err(error));
            return 0;
        }
    };
    // Held on, it would keep whoever listens waiting for a core that has ended without a word.
    drop(says);
    let shard = Shard::new(Settings {
        id: links.shard,
        shards: u16::try_from(config.cpus.len()).expect("checked at start"),
        catalog: Catalog::new(config.seed),
        name_seed: config.seed,
        cluster_name: config.cluster_name.clone(),
        bulk_per_tick: BULK_PER_TICK,
        parcels_per_tick: PARCELS_PER_RING_AND_TICK,
    });
    let spin = Duration::from_micros(u64::from(config.spin_us));
    let writer = links.writer.clone();
    let mut core = CoreLoop::new(shard, reactor, links, shared, epoch, spin);
    core.listeners = listeners;
    let cut_off = core.run();
    // The rings are gone now: the writer looks whether it was the last core.
    writer.ring();
    cut_off
}

type Opened = (Reactor, Vec<ListenerId>, Vec<SocketAddr>);

/// The core's reactor; the first core also listens.
fn open(config: &Config, links: &CoreLinks) -> Result<Opened, StartError> {
    let mut reactor = Reactor::new(ReactorConfig::default())?;
    let (mut listeners, mut addresses) = (Vec::new(), Vec::new());
    if links.shard == ShardId(0) {
        for &address in &config.listeners {
            let (listener, bound) =
                reactor.listen(address).map_err(|source| StartError::Listen { address, source })?;
            listeners.push(listener);
            addresses.push(bound);
        }
    }
    Ok((reactor, listeners, addresses))
}

impl Broker {
    /// The addresses that clients can connect to, in the order of the configuration.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// A handle to stop the broker with.
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Waits until the broker has stopped.
    ///
    /// # Errors
    /// [`RunError`], if a core panicked or connections had to be cut off.
    pub fn join(self) -> Result<(), RunError> {
        let mut connections = 0;
        for core in self.cores {
            connections += core.join()?;
        }
        drop(self.watchdog_end);
        self.watchdog.join().expect("the watchdog does not panic");
        if connections > 0 {
            return Err(RunError::CutShort { connections });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_that_ends_in_silence_ends_the_start() {
        let (says, heard) = mpsc::channel();
        let placement = || CorePlacement { cpu: None, name: "core-test".into() };
        let speaks = says.clone();
        let speaking = move || {
            let reactor = Reactor::new(ReactorConfig::default()).expect("there is io_uring");
            speaks.send(Ok((ShardId(0), reactor.waker(), Vec::new()))).expect("it is heard");
            0
        };
        let silent = move || {
            drop(says);
            0
        };
        let speaking = spawn_core(placement(), speaking).expect("it can be hosted");
        let silent = spawn_core(placement(), silent).expect("it can be hosted");
        let outcome = await_cores(&heard, &mut vec![speaking, silent], &OnceLock::new());
        assert!(matches!(outcome, Err(StartError::CoreEnded)), "{outcome:?}");
    }
}
