//! What `/proc` says about the machine and about the broker's process.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The kernel's tick, in which it tells CPU times to programs; the same on all of Linux.
const TICK_US: u64 = 10_000;

/// CPU time and memory of a process at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProcessSample {
    pub(crate) user_us: u64,
    pub(crate) system_us: u64,
    pub(crate) rss_bytes: u64,
}

impl ProcessSample {
    /// `None` if the process is gone.
    pub(crate) fn of(pid: u32) -> Option<ProcessSample> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, in parentheses, may contain anything.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |index: usize| fields.get(index)?.parse::<u64>().ok();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        Some(ProcessSample {
            user_us: ticks(11)? * TICK_US,
            system_us: ticks(12)? * TICK_US,
            rss_bytes: kib_of(&status, "VmRSS:").unwrap_or(0) * 1024,
        })
    }

    /// User and system together.
    pub(crate) fn cpu_us(&self) -> u64 {
        self.user_us + self.system_us
    }
}

fn kib_of(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// CPU times of the threads of a process, in µs, by thread.
pub(crate) fn thread_times_us(pid: u32) -> BTreeMap<u32, u64> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return BTreeMap::new() };
    let threads = tasks.flatten().filter_map(|task| {
        let thread = task.file_name().to_str()?.parse().ok()?;
        let times = fs::read_to_string(task.path().join("schedstat")).ok()?;
        let run_ns: u64 = times.split_whitespace().next()?.parse().ok()?;
        Some((thread, run_ns / 1000))
    });
    threads.collect()
}

/// The process that listens on this port of this machine; `None` if the host is another one, or
/// the process is not ours to see.
pub(crate) fn find_listener(host: IpAddr, port: u16) -> Option<u32> {
    if !host.is_loopback() {
        return None;
    }
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .flat_map(|path| listening_inodes(&fs::read_to_string(path).unwrap_or_default(), port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.into_iter().find(|pid| holds_socket(*pid, &inodes))
}

fn listening_inodes(table: &str, port: u16) -> Vec<String> {
    let wanted = format!(":{port:04X}");
    let rows = table.lines().skip(1).map(|row| row.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row.len() > 9 && row[1].ends_with(&wanted) && row[3] == "0A")
        .map(|row| row[9].to_owned())
        .collect()
}

fn holds_socket(pid: u32, inodes: &[String]) -> bool {
    let Ok(entries) = fs::read_dir(PathBuf::from(format!("/proc/{pid}/fd"))) else { return false };
    entries.flatten().any(|entry| {
        let target = fs::read_link(entry.path()).unwrap_or_default();
        inodes.iter().any(|inode| target.as_os_str() == inode.as_str())
    })
}

/// CPUs that a process may run on, in the kernel's form.
pub(crate) fn allowed_cpus(pid: u32) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    Some(line.trim().to_owned())
}

/// CPU times of the whole machine, in µs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MachineTimes {
    pub(crate) user: u64,
    pub(crate) system: u64,
    pub(crate) softirq: u64,
    pub(crate) idle: u64,
    pub(crate) steal: u64,
}

impl MachineTimes {
    /// Now, since boot.
    pub(crate) fn now() -> MachineTimes {
        MachineTimes::parse(&fs::read_to_string("/proc/stat").unwrap_or_default())
    }

    fn parse(stat: &str) -> MachineTimes {
        let line = stat.lines().next().unwrap_or_default();
        let ticks: Vec<u64> =
            line.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
        let us = |index: usize| ticks.get(index).copied().unwrap_or(0) * TICK_US;
        MachineTimes {
            user: us(0) + us(1),
            system: us(2) + us(5),
            softirq: us(6),
            idle: us(3) + us(4),
            steal: us(7),
        }
    }

    /// What has passed since `before`.
    pub(crate) fn since(&self, before: &MachineTimes) -> MachineTimes {
        MachineTimes {
            user: self.user.saturating_sub(before.user),
            system: self.system.saturating_sub(before.system),
            softirq: self.softirq.saturating_sub(before.softirq),
            idle: self.idle.saturating_sub(before.idle),
            steal: self.steal.saturating_sub(before.steal),
        }
    }

    /// All of it.
    pub(crate) fn total(&self) -> u64 {
        self.user + self.system + self.softirq + self.idle + self.steal
    }

    /// Work, ours and that of others.
    pub(crate) fn work(&self) -> u64 {
        self.user + self.system + self.softirq
    }
}

/// The machine, as a reader of the figures has to know it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MachineFacts {
    pub(crate) kernel: String,
    pub(crate) cpu_model: String,
    pub(crate) cpus: usize,
    pub(crate) memory_bytes: u64,
}

impl MachineFacts {
    pub(crate) fn collect() -> MachineFacts {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let cpuinfo = read("/proc/cpuinfo");
        let model = cpuinfo.lines().find(|line| line.starts_with("model name"));
        let model = model.and_then(|line| line.split_once(':')).map_or("", |(_, model)| model);
        MachineFacts {
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            cpu_model: model.trim().to_owned(),
            cpus: cpuinfo.lines().filter(|line| line.starts_with("processor")).count(),
            memory_bytes: kib_of(&read("/proc/meminfo"), "MemTotal:").unwrap_or(0) * 1024,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    #[test]
    fn a_listening_process_is_found() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        assert_eq!(find_listener(Ipv4Addr::LOCALHOST.into(), port), Some(std::process::id()));
        assert_eq!(find_listener(Ipv4Addr::new(192, 0, 2, 1).into(), port), None);
    }

    #[test]
    fn a_process_has_times_and_memory() {
        let sample = ProcessSample::of(std::process::id()).expect("we are here");
        assert!(sample.rss_bytes > 100_000);
        assert_eq!(ProcessSample::of(u32::MAX), None);
    }

    #[test]
    fn the_machines_times_are_read_in_order() {
        let times = MachineTimes::parse("cpu  1 2 3 4 5 6 7 8 0 0\ncpu0 9");
        let expected = MachineTimes {
            user: 30_000,
            system: 90_000,
            softirq: 70_000,
            idle: 90_000,
            steal: 80_000,
        };
        assert_eq!(times, expected);
    }
}
