//! The broker that the tests of one file share.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::DEADLINE;
use super::process::Broker;

/// What a case may leave in memory: HOSTILE.md 3.
const GROWTH_BYTES_MAX: u64 = 16 << 20;

struct Shared {
    address: SocketAddr,
    pid: u32,
    /// Never asked again, only kept.
    _broker: Mutex<Broker>,
    /// Kept, so that its stdin ends with this process.
    _watch: Child,
}

fn shared() -> &'static Shared {
    static SHARED: OnceLock<Shared> = OnceLock::new();
    SHARED.get_or_init(|| {
        let broker = Broker::start_on("2", &[]);
        let (address, pid, watch) = (broker.addresses()[0], broker.pid(), watch(&broker));
        Shared { address, pid, _broker: Mutex::new(broker), _watch: watch }
    })
}

/// A value that is shared by tests is never dropped, so a shell ends the broker when this
/// process, and with it the other end of the shell's stdin, is gone.
fn watch(broker: &Broker) -> Child {
    let (pid, folder) = (broker.pid(), broker.data_dir().display());
    let script = format!("read -r _; kill -KILL {pid}; rm -rf '{folder}'");
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    shell.spawn().expect("there is a shell")
}

/// Where the file's broker listens; the first call starts it.
pub(crate) fn address() -> SocketAddr {
    shared().address
}

/// Its process.
pub(crate) fn pid() -> u32 {
    shared().pid
}

/// Memory of the broker's process that is resident.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid()))
        .expect("the broker's process lives");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("the kernel tells");
    let kibibytes = line.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok());
    kibibytes.expect("it is a number") << 10
}

/// Runs a case, and requires that the broker gives back what it took for it.
pub(crate) fn assert_memory_stays(case: impl FnOnce()) {
    /// One such case at a time: another's memory would count as this one's.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    address();
    let before = resident_bytes();
    case();
    let until = Instant::now() + DEADLINE;
    loop {
        let growth = resident_bytes().saturating_sub(before);
        if growth <= GROWTH_BYTES_MAX {
            return;
        }
        assert!(Instant::now() < until, "{growth} bytes more than before");
        std::thread::park_timeout(Duration::from_millis(50));
    }
}
