//! Limits and settings of the host that slow a broker down, or stop it.

use std::net::{SocketAddr, TcpListener};

use haremq_reactor::{CoreSelectionError, MachineProblem, MachineReport, OPEN_FILES_RECOMMENDED};

use crate::doctor::finding::Finding;
use crate::doctor::read;
use crate::memory::Bytes;

/// Read in user space, in tens of nanoseconds; others take a system call or a slow device.
const FAST_CLOCK_SOURCES: [&str; 5] =
    ["tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter", "riscv_clocksource"];
/// Less leaves a small backlog no room.
const MEMORY_BYTES_GOOD: u64 = 256 << 20;

pub(crate) fn open_files(machine: &MachineReport) -> Finding {
    const CHECK: &str = "nofile";
    let is_about_files =
        |problem: &MachineProblem| matches!(problem, MachineProblem::OpenFiles { .. });
    let found = match machine.open_files.hard {
        Some(count) => format!("up to {count} connections and files"),
        None => "unlimited".to_owned(),
    };
    let remedy = "raise nofile (LimitNOFILE=1048576, or ulimit -Hn)";
    match machine.problems().into_iter().find(is_about_files) {
        Some(problem) if problem.is_fatal() => Finding::unfit(CHECK, found, remedy),
        Some(_) => {
            let why = format!("{found}, fewer than {OPEN_FILES_RECOMMENDED}");
            Finding::warn(CHECK, why, remedy)
        }
        None => Finding::fit(CHECK, found),
    }
}

pub(crate) fn cores(cpus: Result<Vec<usize>, CoreSelectionError>) -> Finding {
    const CHECK: &str = "cores";
    match cpus {
        Ok(cpus) => Finding::fit(CHECK, format!("{} shards, on CPUs {cpus:?}", cpus.len())),
        Err(error) => Finding::unfit(CHECK, error.to_string(), "choose other --cores"),
    }
}

pub(crate) fn cpu_quota(machine: &MachineReport, shards: usize) -> Finding {
    const CHECK: &str = "cpu.max";
    match machine.cpu_quota {
        None => Finding::fit(CHECK, "no quota"),
        Some(quota) if machine.is_throttled(shards) => Finding::warn(
            CHECK,
            format!("{quota:.1} CPUs for {shards} shards, which will be stopped part of the time"),
            format!("raise the quota, or use --cores {}", (quota as usize).max(1)),
        ),
        Some(quota) => Finding::fit(CHECK, format!("{quota:.1} CPUs for {shards} shards")),
    }
}

pub(crate) fn memory(machine: &MachineReport) -> Finding {
    const CHECK: &str = "memory";
    match machine.memory_bytes() {
        None => Finding::warn(CHECK, "unknown", "give --memory as a size, such as 2GiB"),
        Some(bytes) if bytes < MEMORY_BYTES_GOOD => Finding::warn(
            CHECK,
            format!("{}, so publishers will often wait", Bytes(bytes)),
            "give the machine or the control group 256 MiB or more",
        ),
        Some(bytes) => Finding::fit(CHECK, Bytes(bytes).to_string()),
    }
}

pub(crate) fn huge_pages() -> Finding {
    const CHECK: &str = "huge pages";
    let setting = read("/sys/kernel/mm/transparent_hugepage/enabled");
    // The chosen one is in brackets: always [madvise] never
    match setting.split_once('[').and_then(|(_, rest)| rest.split_once(']')) {
        Some(("always", _)) => Finding::warn(
            CHECK,
            "always, which costs memory and stalls",
            "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled",
        ),
        Some((chosen, _)) => Finding::fit(CHECK, chosen),
        None => Finding::fit(CHECK, "no such setting"),
    }
}

pub(crate) fn swap() -> Finding {
    const CHECK: &str = "swap";
    // One line per area, below a head.
    let areas = read("/proc/swaps").lines().skip(1).count();
    if areas == 0 {
        Finding::fit(CHECK, "off")
    } else {
        Finding::warn(
            CHECK,
            "on, so a core may wait for the disk at any time",
            "swapoff -a, or sysctl vm.swappiness=1",
        )
    }
}

pub(crate) fn clock_source() -> Finding {
    const CHECK: &str = "clock source";
    let source = read("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    if FAST_CLOCK_SOURCES.contains(&source.as_str()) {
        Finding::fit(CHECK, source)
    } else if source.is_empty() {
        Finding::fit(CHECK, "not told")
    } else {
        Finding::warn(
            CHECK,
            format!("{source} takes a system call per reading"),
            "boot with clocksource=tsc where the hardware allows it",
        )
    }
}

pub(crate) fn port(address: SocketAddr) -> Finding {
    const CHECK: &str = "port";
    match TcpListener::bind(address) {
        Ok(_) => Finding::fit(CHECK, format!("{address} is free")),
        Err(error) => Finding::warn(
            CHECK,
            format!("{address} cannot be bound ({error})"),
            "stop what uses it, or choose another with --listen",
        ),
    }
}
