//! What this machine offers and forbids, asked before anything depends on it.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use crate::cgroup::CgroupLimits;
use crate::ring::Uring;
use crate::rlimit::{self, Limit};

pub use crate::ring::RingSupport;

/// The oldest kernel whose rings do what the reactor needs.
const KERNEL_MIN: KernelVersion = KernelVersion { major: 5, minor: 15 };
/// The first kernel with deferred completions.
const KERNEL_RECOMMENDED: KernelVersion = KernelVersion { major: 6, minor: 1 };
/// What an executor refuses to start below.
const LOCKED_MEMORY_BYTES_MIN: u64 = 512 * 1024;
/// Below this a broker with ordinary numbers of connections runs out of descriptors; RabbitMQ asks
/// for as many.
pub const OPEN_FILES_RECOMMENDED: u64 = 65_536;
/// Below this the executors of a few cores do not get theirs, and say so by a panic or not at all.
const OPEN_FILES_MIN: u64 = 256;

/// A kernel's release, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KernelVersion {
    /// 6 in 6.1.55.
    pub major: u32,
    /// 1 in 6.1.55.
    pub minor: u32,
}

impl KernelVersion {
    /// From the text of `uname -r`, such as `6.1.0-18-amd64`.
    fn parse(release: &str) -> Option<KernelVersion> {
        let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
        let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
            return None;
        };
        Some(KernelVersion { major, minor })
    }
}

impl fmt::Display for KernelVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}

/// Something about the machine that stops or slows the broker, with its remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MachineProblem {
    /// The system call does not exist.
    #[error(
        "io_uring is missing (ENOSYS): run Linux 5.15 or newer with CONFIG_IO_URING, outside of \
         gVisor and the like"
    )]
    RingMissing,
    /// The system call is forbidden.
    #[error(
        "io_uring is forbidden (EPERM): set sysctl kernel.io_uring_disabled=0, and allow \
         io_uring_setup, io_uring_enter and io_uring_register in the container's seccomp profile"
    )]
    RingForbidden,
    /// The kernel has no memory for the ring that this user may lock.
    #[error("io_uring gets no memory (ENOMEM): raise the memlock limit (LimitMEMLOCK=infinity)")]
    RingMemory,
    /// The process or the system has no file descriptor left.
    #[error(
        "no file descriptor is left (EMFILE): raise nofile (LimitNOFILE=1048576, or ulimit -n)"
    )]
    NoDescriptor,
    /// Rings exist, but without timeouts or without a promise to keep completions.
    #[error("io_uring of this kernel is too old: run Linux 5.15 or newer")]
    RingTooOld,
    /// The ring was refused for another reason.
    #[error("io_uring_setup failed with errno {errno}: test this machine with `haremq doctor`")]
    RingRefused {
        /// What the kernel says.
        errno: i32,
    },
    /// The kernel is older than what the broker is made for.
    #[error("kernel {kernel} is too old: run Linux {KERNEL_MIN} or newer")]
    KernelTooOld {
        /// The running one.
        kernel: KernelVersion,
    },
    /// The kernel works, but a newer one costs less CPU.
    #[error("kernel {kernel} works but costs more CPU: Linux {KERNEL_RECOMMENDED} is better")]
    KernelSlow {
        /// The running one.
        kernel: KernelVersion,
    },
    /// An executor cannot pin its memory.
    #[error(
        "only {bytes} bytes may be locked, {LOCKED_MEMORY_BYTES_MIN} are needed: raise memlock \
         (LimitMEMLOCK=infinity, or ulimit -l unlimited)"
    )]
    LockedMemory {
        /// The soft limit.
        bytes: u64,
    },
    /// Few connections are possible.
    #[error(
        "only {count} files may be open, one per connection: raise nofile (LimitNOFILE=1048576, \
         or ulimit -n)"
    )]
    OpenFiles {
        /// The hard limit.
        count: u64,
    },
}

impl MachineProblem {
    /// The broker cannot run at all; otherwise it runs, with less.
    pub fn is_fatal(&self) -> bool {
        match self {
            MachineProblem::KernelSlow { .. } => false,
            MachineProblem::OpenFiles { count } => *count < OPEN_FILES_MIN,
            _ => true,
        }
    }

    pub(crate) fn from_ring_error(error: io::Error) -> MachineProblem {
        match error.raw_os_error() {
            Some(libc::ENOSYS) => MachineProblem::RingMissing,
            Some(libc::EPERM | libc::EACCES) => MachineProblem::RingForbidden,
            Some(libc::ENOMEM) => MachineProblem::RingMemory,
            Some(libc::EMFILE | libc::ENFILE) => MachineProblem::NoDescriptor,
            Some(errno) => MachineProblem::RingRefused { errno },
            None => MachineProblem::RingTooOld,
        }
    }
}

/// What the machine offers, with the limits of this process and its control groups applied.
#[derive(Clone, Debug, PartialEq)]
pub struct MachineReport {
    /// Whether rings can be made, tried by making one.
    pub io_uring: Result<RingSupport, MachineProblem>,
    /// `None` if the release has an unknown form.
    pub kernel: Option<KernelVersion>,
    /// `RLIMIT_MEMLOCK`, in bytes.
    pub locked_memory_bytes: Limit,
    /// `RLIMIT_NOFILE`.
    pub open_files: Limit,
    /// CPUs that the scheduler allows to this process, rising.
    pub allowed_cpus: Vec<usize>,
    /// Of those, the first of each physical core, rising.
    pub physical_cpus: Vec<usize>,
    /// CPU time per time that the control groups allow, in CPUs; `None` is no limit.
    pub cpu_quota: Option<f64>,
    /// Memory limit of the control groups, in bytes; `None` is no limit.
    pub cgroup_memory_bytes: Option<u64>,
    /// Memory of the host, in bytes; `None` if `/proc` does not tell.
    pub host_memory_bytes: Option<u64>,
}

impl MachineReport {
    /// Memory that this process may use, in bytes: the tighter of control group and host.
    pub fn memory_bytes(&self) -> Option<u64> {
        self.cgroup_memory_bytes.into_iter().chain(self.host_memory_bytes).min()
    }

    /// So many busy cores would be stopped by the control group's quota part of the time.
    pub fn is_throttled(&self, core_count: usize) -> bool {
        self.cpu_quota.is_some_and(|quota| core_count as f64 > quota)
    }

    /// All that is wrong, fatal things first.
    pub fn problems(&self) -> Vec<MachineProblem> {
        let kernel = self.kernel.and_then(kernel_problem);
        let found = [
            self.io_uring.as_ref().err().cloned(),
            locked_memory_problem(self.locked_memory_bytes),
            kernel,
            open_files_problem(self.open_files),
        ];
        let mut problems: Vec<_> = found.into_iter().flatten().collect();
        problems.sort_by_key(|problem| !problem.is_fatal());
        problems
    }
}

/// Looks at the machine. Makes a small ring and drops it; changes nothing.
pub fn probe() -> MachineReport {
    let membership = read("/proc/self/cgroup");
    let cgroup = CgroupLimits::read(Path::new("/sys/fs/cgroup"), &membership);
    let allowed_cpus = allowed_cpus();
    MachineReport {
        io_uring: probe_ring(),
        kernel: KernelVersion::parse(&read("/proc/sys/kernel/osrelease")),
        locked_memory_bytes: locked_memory_limit(),
        open_files: rlimit::open_files().expect("every process may read its limits"),
        physical_cpus: first_of_each_core(&allowed_cpus, siblings),
        allowed_cpus,
        cpu_quota: cgroup.cpus,
        cgroup_memory_bytes: cgroup.memory_bytes,
        host_memory_bytes: total_memory_bytes(&read("/proc/meminfo")),
    }
}

/// What glommio would otherwise answer with a panic or an obscure text.
pub(crate) fn check_executor_needs() -> Result<(), MachineProblem> {
    probe_ring()?;
    locked_memory_problem(locked_memory_limit()).map_or(Ok(()), Err)
}

/// CPUs that the scheduler allows to the calling thread, rising.
pub(crate) fn allowed_cpus() -> Vec<usize> {
    let ids = core_affinity::get_core_ids().unwrap_or_default();
    ids.into_iter().map(|core| core.id).collect()
}

fn probe_ring() -> Result<RingSupport, MachineProblem> {
    match Uring::new(2, 4) {
        Ok(ring) => Ok(ring.support()),
        Err(error) => Err(MachineProblem::from_ring_error(error)),
    }
}

fn locked_memory_limit() -> Limit {
    rlimit::locked_memory().expect("every process may read its limits")
}

fn locked_memory_problem(limit: Limit) -> Option<MachineProblem> {
    let bytes = limit.soft.filter(|&bytes| bytes < LOCKED_MEMORY_BYTES_MIN)?;
    Some(MachineProblem::LockedMemory { bytes })
}

fn open_files_problem(limit: Limit) -> Option<MachineProblem> {
    let count = limit.hard.filter(|&count| count < OPEN_FILES_RECOMMENDED)?;
    Some(MachineProblem::OpenFiles { count })
}

fn kernel_problem(kernel: KernelVersion) -> Option<MachineProblem> {
    if kernel < KERNEL_MIN {
        Some(MachineProblem::KernelTooOld { kernel })
    } else if kernel < KERNEL_RECOMMENDED {
        Some(MachineProblem::KernelSlow { kernel })
    } else {
        None
    }
}

/// Keeps each CPU that is the lowest allowed one among its siblings. A CPU whose siblings are
/// unknown counts as a core of its own.
fn first_of_each_core(allowed: &[usize], siblings: impl Fn(usize) -> Vec<usize>) -> Vec<usize> {
    let is_first = |&cpu: &usize| {
        !siblings(cpu).iter().any(|sibling| *sibling < cpu && allowed.contains(sibling))
    };
    allowed.iter().copied().filter(is_first).collect()
}

fn siblings(cpu: usize) -> Vec<usize> {
    let list = read(&format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"));
    parse_cpu_list(list.trim()).unwrap_or_default()
}

/// The kernel's form: `0-3,8`.
fn parse_cpu_list(text: &str) -> Option<Vec<usize>> {
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        cpus.extend(first.parse::<usize>().ok()?..=last.parse::<usize>().ok()?);
    }
    Some(cpus)
}

fn total_memory_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Empty if it cannot be read: what is unknown limits nothing.
fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod machine_tests;
