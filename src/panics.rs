//! A bug of ours ends the process, in every build: a core that has lost an invariant must not go
//! on, and a process that has lost a core must not look alive.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, PanicHookInfo};

/// From now on a panic of any thread writes one log line and aborts.
pub(crate) fn abort_on_panic() {
    panic::set_hook(Box::new(|panicked| {
        report(panicked);
        std::process::abort();
    }));
}

fn report(panicked: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let place = panicked.location().map_or_else(|| "unknown place".to_owned(), ToString::to_string);
    let text = text(panicked.payload());
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        tracing::error!(thread, place, "bug: {text}; the broker ends\n{backtrace}");
    } else {
        tracing::error!(
            thread,
            place,
            "bug: {text}; the broker ends. Please report this line, with RUST_BACKTRACE=1 set if \
             it can be made to happen again"
        );
    }
}

/// What `panic!` was given, mostly.
fn text(payload: &(dyn Any + Send)) -> &str {
    let literal = payload.downcast_ref::<&str>().copied();
    literal.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no text)")
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    use signal_hook::consts::SIGABRT;

    use super::*;
    use crate::logging;
    use crate::options::{LogFormat, LogOptions};

    /// Set in the process that is to end.
    const VICTIM: &str = "HAREMQ_TEST_PANICS";

    #[test]
    fn a_panic_of_any_thread_ends_the_process_with_one_line() {
        if std::env::var_os(VICTIM).is_some() {
            panic_on_a_thread();
        }
        let name = "panics::tests::a_panic_of_any_thread_ends_the_process_with_one_line";
        let this = std::env::current_exe().expect("this program has a path");
        let output = Command::new(this)
            .args(["--exact", name, "--nocapture"])
            .env(VICTIM, "1")
            .env_remove("RUST_BACKTRACE")
            .env_remove("RUST_LIB_BACKTRACE")
            .output()
            .expect("this program can be started again");
        assert_eq!(output.status.signal(), Some(SIGABRT), "{output:?}");
        let logs = String::from_utf8_lossy(&output.stderr);
        assert_eq!(logs.lines().count(), 1, "{logs}");
        for expected in ["no such luck", "thread=\"core-7\"", "src/panics.rs", "RUST_BACKTRACE=1"] {
            assert!(logs.contains(expected), "{expected} is missing in {logs}");
        }
    }

    fn panic_on_a_thread() {
        logging::start(&LogOptions { level: "info".to_owned(), format: LogFormat::Text });
        abort_on_panic();
        let doomed = std::thread::Builder::new().name("core-7".to_owned());
        let doomed = doomed.spawn(|| panic!("no such luck")).expect("a thread can be started");
        let _ = doomed.join();
    }
}
