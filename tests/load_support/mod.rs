//! What the tests under load share: blocking clients that keep up with the broker, where they and
//! their queues live, and what the broker's process takes.

#![allow(dead_code, unused_imports, reason = "each file of tests uses its part of this")]

mod client;
mod paced;
#[path = "../support/process.rs"]
mod process;
mod usage;

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub(crate) use client::{LoadClient, Publisher, index_of};
pub(crate) use paced::{BEARABLE_PER_SECOND, Consumed, Load, Progress, Rates, expect_all};
pub(crate) use process::Broker;
pub(crate) use usage::{Usage, await_resident_below, resident_bytes};

/// Far more than anything awaited takes on a machine that is busy with other tests.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
/// Cores of each broker here.
const CORES: usize = 2;

/// The tests of one file share the machine's cores, so they run one after the other.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Seconds that a test goes on for: from the environment, for the long form.
pub(crate) fn seconds(name: &str, usual: u64) -> Duration {
    let asked = std::env::var(name).ok();
    let seconds = asked.map_or(usual, |text| text.parse().expect("a number of seconds"));
    Duration::from_secs(seconds)
}

/// A broker of two cores, and how many connections it has dealt out to them in turn.
pub(crate) struct TwoCores {
    pub(crate) broker: Broker,
    dealt: usize,
    /// Connections that only moved the turn on.
    idle: Vec<LoadClient>,
}

impl TwoCores {
    pub(crate) fn start(memory: &str) -> TwoCores {
        let broker = Broker::start_on("2", &["--memory", memory]);
        TwoCores { broker, dealt: 0, idle: Vec::new() }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.broker.addresses()[0]
    }

    /// A connection whose socket is on this core.
    pub(crate) fn connect_on(&mut self, core: usize) -> LoadClient {
        assert!(core < CORES);
        loop {
            let client = LoadClient::connect(self.address());
            let dealt_to = self.dealt % CORES;
            self.dealt += 1;
            if dealt_to == core {
                return client;
            }
            self.idle.push(client);
        }
    }

    /// A queue that lives on this core, as those do whose names the broker chooses.
    pub(crate) fn queue_on(&mut self, core: usize) -> String {
        let mut client = self.connect_on(core);
        let name = client.declare_server_named();
        self.idle.push(client);
        name
    }
}
