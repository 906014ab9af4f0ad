//! What the start says: where it listens, and what it uses.

use std::io::{self, Write};
use std::net::SocketAddr;

use serde_json::json;

use crate::memory::Bytes;
use crate::options::LogFormat;
use crate::plan::ServerPlan;

/// The banner fits on any terminal: so many lines at most.
const LINES_MAX: usize = 20;
/// Of them for listeners; more are counted in a last line.
const LISTENERS_MAX: usize = 5;
/// Of them for warnings; more are counted in a last line.
const WARNINGS_MAX: usize = 6;
/// Lines that are neither listeners nor warnings.
const FIXED_LINES: usize = 7;

/// Each of the two lists may have its line for what is left out.
const REST_LINES: usize = 2;

const _: () = assert!(FIXED_LINES + LISTENERS_MAX + WARNINGS_MAX + REST_LINES <= LINES_MAX);

/// Whether something runs, or would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// `--check-config`: nothing was started.
    Checked,
    /// It listens.
    Started,
}

/// Prints what `plan` uses, with the addresses that are really bound. That nobody reads stdout
/// (any more) is no reason to fail.
pub(crate) fn print(plan: &ServerPlan, addresses: &[SocketAddr], format: LogFormat, stage: Stage) {
    let text = match format {
        LogFormat::Text => lines(plan, addresses, stage).join("\n"),
        LogFormat::Json => event(plan, addresses, stage).to_string(),
    };
    let mut stdout = io::stdout().lock();
    let _ = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
}

/// Clients take this form; a wildcard address means each of the machine's own.
fn url(address: &SocketAddr) -> String {
    format!("amqp://{address}")
}

fn lines(plan: &ServerPlan, addresses: &[SocketAddr], stage: Stage) -> Vec<String> {
    let mut lines = vec![format!("HareMQ {}", env!("CARGO_PKG_VERSION"))];
    let urls = addresses.iter().map(|address| {
        let note = if address.ip().is_unspecified() { " (all interfaces)" } else { "" };
        format!("  listening    {}{note}", url(address))
    });
    push_bounded(&mut lines, urls.collect(), LISTENERS_MAX, "listeners");
    lines.push("  login        guest, password guest, over localhost only".into());
    lines.push(format!("  cores        {}", cores(plan)));
    lines.push(format!("  data         {}", plan.data_dir.display()));
    lines.push(format!("  memory       {} ({})", Bytes(plan.memory.bytes), plan.memory.origin()));
    lines.push("  durability   none yet: messages are in memory, and end with the broker".into());
    let warnings = plan.warnings.iter().map(|warning| format!("  warning      {warning}"));
    push_bounded(&mut lines, warnings.collect(), WARNINGS_MAX, "warnings");
    lines.push(match stage {
        Stage::Checked => "Checked: nothing was started.".to_owned(),
        Stage::Started => "Ready.".to_owned(),
    });
    lines
}

fn push_bounded(lines: &mut Vec<String>, mut added: Vec<String>, max: usize, what: &str) {
    let surplus = added.len().saturating_sub(max);
    added.truncate(max);
    lines.append(&mut added);
    if surplus > 0 {
        lines.push(format!(
            "  ...          and {surplus} more {what} (--log-format json shows all)"
        ));
    }
}

/// Shards are numbered in the order of the list: shard 0 is on its first CPU.
fn cores(plan: &ServerPlan) -> String {
    let count = plan.cpus.len();
    let shards = if count == 1 { "shard 0".to_owned() } else { format!("shards 0-{}", count - 1) };
    if plan.is_pinned {
        let noun = if count == 1 { "CPU" } else { "CPUs" };
        format!("{count}: {shards} pinned to {noun} {}", cpu_list(&plan.cpus))
    } else {
        format!("{count}: {shards}, not pinned")
    }
}

/// Neighbours as ranges, in the given order: 0-3,8.
fn cpu_list(cpus: &[usize]) -> String {
    let runs = cpus.chunk_by(|left, right| *right == left + 1);
    let texts = runs.map(|run| match run {
        [only] => only.to_string(),
        [first, .., last] => format!("{first}-{last}"),
        [] => unreachable!("chunk_by yields no empty run"),
    });
    texts.collect::<Vec<_>>().join(",")
}

fn event(plan: &ServerPlan, addresses: &[SocketAddr], stage: Stage) -> serde_json::Value {
    json!({
        "event": match stage { Stage::Checked => "checked", Stage::Started => "started" },
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "listeners": addresses.iter().map(url).collect::<Vec<_>>(),
        "cpus": plan.cpus,
        "shards": plan.cpus.len(),
        "pinned": plan.is_pinned,
        "data_dir": plan.data_dir.to_string_lossy(),
        "memory_limit_bytes": plan.memory.bytes,
        "memory_limit_origin": plan.memory.origin(),
        "spin_us": plan.spin_us,
        "durability": "none",
        "warnings": plan.warnings,
    })
}

#[cfg(test)]
#[path = "banner_tests.rs"]
mod banner_tests;
