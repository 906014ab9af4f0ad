//! Signals: the first SIGTERM or SIGINT stops the broker in order, the second at once.

use std::io;
use std::process;
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// An orderly end takes far less; whoever stops us (systemd, Kubernetes) kills later than this.
const SHUTDOWN_MAX: Duration = Duration::from_secs(10);
/// Ended by a signal: 128 and its number, as shells have it.
const SIGNAL_EXIT_BASE: i32 = 128;
/// The orderly end took too long.
const CUT_SHORT_EXIT: i32 = 1;

/// The signals of this process from its making on: those that come before anybody waits for them
/// are kept, so that none during the start is lost.
pub(crate) struct SignalQueue(Signals);

impl SignalQueue {
    /// Takes SIGTERM, SIGINT and SIGHUP over from the kernel's defaults.
    ///
    /// # Errors
    /// What `sigaction` or the pipe's making says.
    pub(crate) fn open() -> io::Result<SignalQueue> {
        Signals::new([SIGTERM, SIGINT, SIGHUP]).map(SignalQueue)
    }

    /// Calls `stop` at the first signal that asks for an end, and ends the process at the second
    /// one, or if the end takes too long. Never returns: on a thread of its own.
    pub(crate) fn watch(mut self, stop: impl Fn()) {
        let mut is_stopping = false;
        for signal in self.0.forever() {
            match signal {
                SIGHUP => tracing::warn!(
                    "SIGHUP is ignored: this version has nothing to reload; restart instead"
                ),
                _ if is_stopping => {
                    tracing::warn!("{} again: ending at once", name(signal));
                    process::exit(SIGNAL_EXIT_BASE + signal);
                }
                _ => {
                    is_stopping = true;
                    tracing::info!("{}: shutting down; send it again to end at once", name(signal));
                    cut_short_later();
                    stop();
                }
            }
        }
    }
}

fn name(signal: i32) -> &'static str {
    match signal {
        SIGTERM => "SIGTERM",
        SIGINT => "SIGINT",
        _ => "signal",
    }
}

/// The thread ends with the process, mostly long before its time.
fn cut_short_later() {
    thread::spawn(|| {
        thread::sleep(SHUTDOWN_MAX);
        tracing::error!(
            "shutting down took more than {} s and was cut short",
            SHUTDOWN_MAX.as_secs()
        );
        process::exit(CUT_SHORT_EXIT);
    });
}
