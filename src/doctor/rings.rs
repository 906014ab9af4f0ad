//! What io_uring and its host need of the kernel.

use haremq_reactor::{MachineProblem, MachineReport, RingSupport};

use crate::doctor::finding::Finding;
use crate::doctor::read;
use crate::memory::Bytes;

/// Each core's executor refuses to start with less.
const LOCKED_BYTES_PER_CORE_MIN: u64 = 512 * 1024;
/// Each core's rings and their registered memory, with room to spare.
const LOCKED_BYTES_PER_CORE_GOOD: u64 = 4 << 20;

const MEMLOCK_REMEDY: &str = "raise memlock (LimitMEMLOCK=infinity, or ulimit -l unlimited)";

pub(crate) fn kernel(machine: &MachineReport) -> Finding {
    const CHECK: &str = "kernel";
    let Some(kernel) = machine.kernel else {
        return Finding::warn(CHECK, "unknown", "run Linux 5.15 or newer, better 6.1");
    };
    let is_about_kernel = |problem: &MachineProblem| {
        matches!(problem, MachineProblem::KernelTooOld { .. } | MachineProblem::KernelSlow { .. })
    };
    match machine.problems().into_iter().find(is_about_kernel) {
        None => Finding::fit(CHECK, kernel.to_string()),
        Some(MachineProblem::KernelTooOld { .. }) => Finding::unfit(
            CHECK,
            format!("{kernel} is too old"),
            "run Linux 5.15 or newer, better 6.1",
        ),
        Some(_) => Finding::warn(
            CHECK,
            format!("{kernel} costs more CPU than it needs to"),
            "run Linux 6.1 or newer",
        ),
    }
}

/// Makes a ring: settings alone do not tell whether a seccomp profile lets one be made.
pub(crate) fn io_uring(machine: &MachineReport) -> Finding {
    const CHECK: &str = "io_uring";
    match &machine.io_uring {
        Ok(RingSupport::Deferred) => Finding::fit(CHECK, "works, with deferred completions"),
        Ok(RingSupport::Plain) => {
            Finding::warn(CHECK, "works, but interrupts the cores", "run Linux 6.1 or newer")
        }
        // The problem's text has its remedy after the colon.
        Err(problem) => {
            let text = problem.to_string();
            let (found, remedy) =
                text.split_once(": ").unwrap_or((&text, "run Linux 6.1 or newer"));
            Finding::unfit(CHECK, found, remedy)
        }
    }
}

pub(crate) fn io_uring_disabled(machine: &MachineReport) -> Finding {
    const CHECK: &str = "io_uring_disabled";
    let setting = read("/proc/sys/kernel/io_uring_disabled");
    let remedy = "set sysctl kernel.io_uring_disabled=0";
    match setting.as_str() {
        "0" | "" => Finding::fit(CHECK, if setting.is_empty() { "no such setting" } else { "0" }),
        // This user may be privileged, and the broker's not.
        _ if machine.io_uring.is_ok() => {
            Finding::warn(CHECK, format!("{setting}, so only some users may use io_uring"), remedy)
        }
        _ => Finding::unfit(CHECK, format!("{setting} forbids io_uring"), remedy),
    }
}

pub(crate) fn locked_memory(machine: &MachineReport, shards: usize) -> Finding {
    const CHECK: &str = "memlock";
    let Some(bytes) = machine.locked_memory_bytes.soft else {
        return Finding::fit(CHECK, "unlimited");
    };
    let per_core = bytes / (shards as u64).max(1);
    let found = format!("{} for {shards} shards", Bytes(bytes));
    if per_core < LOCKED_BYTES_PER_CORE_MIN {
        Finding::unfit(CHECK, found, MEMLOCK_REMEDY)
    } else if per_core < LOCKED_BYTES_PER_CORE_GOOD {
        Finding::warn(CHECK, found, MEMLOCK_REMEDY)
    } else {
        Finding::fit(CHECK, found)
    }
}
