//! What a broker is started with, and why it does not start.

use std::io;
use std::net::SocketAddr;

use haremq_reactor::{ExecutorError, ReactorError};

/// What a broker is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where clients connect; port 0 takes any free one.
    pub listeners: Vec<SocketAddr>,
    /// One shard each, on this CPU, or unpinned.
    pub cpus: Vec<Option<usize>>,
    /// Memory for messages and buffers, over all shards, in bytes. Above it publishers pause.
    pub memory_limit_bytes: u64,
    /// How long an idle core looks for work before it sleeps, in microseconds.
    pub spin_us: u32,
    /// Reported to clients.
    pub cluster_name: String,
    /// Decides the slots of queues and the names that the broker makes; random.
    pub seed: u64,
}

/// Why a broker does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A core's thread cannot be hosted.
    #[error(transparent)]
    Executor(#[from] ExecutorError),
    /// A core has no ring.
    #[error(transparent)]
    Reactor(#[from] ReactorError),
    /// A listener's address cannot be bound.
    #[error("cannot listen on {address}: {source}{}", listen_remedy(source))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the kernel says.
        source: io::Error,
    },
    /// A core ended before it said that it runs.
    #[error("a core ended while starting; see the log")]
    CoreEnded,
}

/// Why a broker did not end well.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A core's loop panicked.
    #[error(transparent)]
    Core(#[from] ExecutorError),
    /// Connections were still open when the time to stop had passed.
    #[error("stopping took too long: {connections} connections were cut off")]
    CutShort {
        /// How many.
        connections: u64,
    },
}

fn listen_remedy(error: &io::Error) -> &'static str {
    /// The process has as many descriptors as it may, which the standard library does not name.
    const EMFILE: i32 = 24;
    if error.raw_os_error() == Some(EMFILE) {
        return "; raise nofile (LimitNOFILE=1048576, or ulimit -n)";
    }
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "; another broker or program uses this port: stop it, or choose another with --listen"
        }
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024 need privileges: choose a higher one"
        }
        io::ErrorKind::AddrNotAvailable => "; this machine does not have that address",
        _ => "",
    }
}
