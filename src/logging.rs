//! Logs go to stderr: lines for people, or one JSON object per event.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use tracing_subscriber::EnvFilter;

use crate::options::{LogFormat, LogOptions};

/// Makes `tracing` write to stderr from now on. To be called once.
pub(crate) fn start(options: &LogOptions) {
    let filter = EnvFilter::try_new(filter(&options.level)).expect("it was checked when parsed");
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(is_coloured())
        // Otherwise a log that nobody reads any more ends the broker by a panic.
        .log_internal_errors(false);
    match options.format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
}

/// The executor's host warns in many lines of what is then told in one, with its remedy; who asks
/// for its words gets them.
fn filter(level: &str) -> String {
    if level.contains("glommio") { level.to_owned() } else { format!("{level},glommio=error") }
}

/// Says why the process ends: one line for people, or one event.
pub(crate) fn fatal(format: LogFormat, reason: &dyn Display) {
    match format {
        LogFormat::Text => {
            let _ = writeln!(io::stderr(), "haremq: {reason}");
        }
        LogFormat::Json => tracing::error!(target: "haremq", "{reason}"),
    }
}

/// See no-color.org.
fn is_coloured() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
