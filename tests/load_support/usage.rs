//! What a process takes, as the kernel tells it.

use std::fs;
use std::time::{Duration, Instant};

/// Memory of a process that is resident.
pub(crate) fn resident_bytes(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process lives");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("the kernel tells");
    let kibibytes = line.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok());
    kibibytes.expect("it is a number") << 10
}

/// Polls until no more than `bytes` are resident, or the time is over; returns what is.
pub(crate) fn await_resident_below(pid: u32, bytes: u64, limit: Duration) -> u64 {
    let until = Instant::now() + limit;
    loop {
        let resident = resident_bytes(pid);
        if resident <= bytes || Instant::now() >= until {
            return resident;
        }
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

/// CPU time of a process since some moment.
pub(crate) struct Usage {
    pid: u32,
    cpu: Duration,
    at: Instant,
}

impl Usage {
    pub(crate) fn from_now(pid: u32) -> Usage {
        Usage { pid, cpu: cpu_time(pid), at: Instant::now() }
    }

    /// CPU time as a share of one core, in percent.
    pub(crate) fn percent_of_core(&self) -> f64 {
        let cpu = cpu_time(self.pid) - self.cpu;
        100.0 * cpu.as_secs_f64() / self.at.elapsed().as_secs_f64()
    }
}

/// utime and stime of `/proc/PID/stat`, in ticks of 10 ms on every Linux that we know.
fn cpu_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process lives");
    let fields = stat.rsplit(')').next().expect("the name ends with a parenthesis");
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.map(|field| field.parse::<u64>().expect("a count of ticks")).sum();
    Duration::from_millis(10 * ticks)
}
