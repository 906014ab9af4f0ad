//! `haremq doctor`: is this machine fit for the broker, and what would make it fitter?

mod disk;
mod finding;
mod host;
mod rings;

use std::io::{self, Write};
use std::process::ExitCode;

use haremq_reactor::MachineReport;
use serde_json::json;

use crate::doctor::finding::{Finding, Verdict};
use crate::options::{DoctorOptions, MachineOptions};
use crate::plan::listeners_or_default;

/// Examines the machine and prints one line per check, or one JSON object. The exit code is that
/// of the worst finding. Changes nothing, but for a file that it writes and removes again.
pub(crate) fn run(options: &DoctorOptions) -> ExitCode {
    let machine = haremq_reactor::probe();
    let findings = examine(&options.machine, &machine);
    let worst = worst(&findings);
    let text = if options.json {
        document(&findings, worst).to_string()
    } else {
        lines(&findings, worst).join("\n")
    };
    // Whoever stops reading still gets the exit code.
    let _ = writeln!(io::stdout(), "{text}");
    ExitCode::from(worst.exit_code())
}

fn examine(options: &MachineOptions, machine: &MachineReport) -> Vec<Finding> {
    let cpus = options.cores.resolve(machine);
    // Where the cores cannot be resolved, that is a finding; the others then assume one shard.
    let shards = cpus.as_ref().map_or(1, Vec::len);
    let data_dir = options.data_dir();
    let mut findings = vec![
        rings::kernel(machine),
        rings::io_uring(machine),
        rings::io_uring_disabled(machine),
        rings::locked_memory(machine, shards),
        host::open_files(machine),
        host::cores(cpus),
        host::cpu_quota(machine, shards),
        host::memory(machine),
        disk::file_system(&data_dir),
        disk::sync_latency(&data_dir),
        host::huge_pages(),
        host::swap(),
        host::clock_source(),
    ];
    findings.extend(listeners_or_default(&options.listen).into_iter().map(host::port));
    findings
}

fn worst(findings: &[Finding]) -> Verdict {
    findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Fit)
}

fn lines(findings: &[Finding], worst: Verdict) -> Vec<String> {
    let mut lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    lines.push(match worst {
        Verdict::Fit => "This machine is fit.".to_owned(),
        Verdict::Warn => {
            "This machine works, and would work better without the warnings.".to_owned()
        }
        Verdict::Unfit => "This machine is unfit: the broker would not start.".to_owned(),
    });
    lines
}

fn document(findings: &[Finding], worst: Verdict) -> serde_json::Value {
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "verdict": worst.word(),
        "findings": findings.iter().map(Finding::to_json).collect::<Vec<_>>(),
    })
}

/// Empty if it cannot be read: what the kernel does not tell is reported as unknown.
fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
#[path = "doctor/doctor_tests.rs"]
mod doctor_tests;
