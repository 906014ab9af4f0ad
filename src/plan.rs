//! What the server will use, resolved from flags and machine, before anything starts.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::PathBuf;

use haremq_reactor::{CoreSelectionError, MachineProblem, MachineReport};

use crate::data_dir::{DataDir, DataDirError};
use crate::memory::{Bytes, MemoryError, MemoryLimit};
use crate::options::ServerOptions;

/// The port that AMQP has with the number authority, and at RabbitMQ.
pub(crate) const PORT_DEFAULT: u16 = 5672;

/// What the server will use.
#[derive(Clone, Debug)]
pub(crate) struct ServerPlan {
    /// As asked for: ports may still be 0.
    pub(crate) listeners: Vec<SocketAddr>,
    /// One shard each; at least one.
    pub(crate) cpus: Vec<usize>,
    /// Whether the shards' threads stay on their CPUs.
    pub(crate) is_pinned: bool,
    /// For messages and buffers.
    pub(crate) memory: MemoryLimit,
    /// Absolute, so that messages tell where it is; not necessarily existing.
    pub(crate) data_dir: PathBuf,
    /// Microseconds.
    pub(crate) spin_us: u32,
    /// What will work less well than it could, each with its remedy.
    pub(crate) warnings: Vec<String>,
}

/// Why the server cannot start as configured; exit code 78.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlanError {
    #[error(transparent)]
    Machine(#[from] MachineProblem),
    #[error(transparent)]
    Cores(#[from] CoreSelectionError),
    #[error(transparent)]
    Memory(#[from] MemoryError),
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error(
        "cannot listen on {address}: {source}; stop what uses it, or choose another address with \
         --listen"
    )]
    Listen { address: SocketAddr, source: std::io::Error },
}

impl ServerPlan {
    /// Resolves the options on this machine. Starts and changes nothing.
    ///
    /// # Errors
    /// [`PlanError`] if the machine is unfit, or does not have what is asked for.
    pub(crate) fn resolve(
        options: &ServerOptions,
        machine: &MachineReport,
    ) -> Result<ServerPlan, PlanError> {
        if let Some(problem) = machine.problems().into_iter().find(MachineProblem::is_fatal) {
            return Err(problem.into());
        }
        let cpus = options.machine.cores.resolve(machine)?;
        let is_throttled = machine.is_throttled(cpus.len());
        let mut plan = ServerPlan {
            listeners: listeners_or_default(&options.machine.listen),
            // Where the quota is below the cores, pinned threads would be stopped, not moved.
            is_pinned: options.pin().unwrap_or(!is_throttled),
            cpus,
            memory: options.memory.resolve(machine)?,
            data_dir: absolute(options.machine.data_dir()),
            spin_us: options.spin_us,
            warnings: Vec::new(),
        };
        plan.warnings = warnings(&plan, machine);
        Ok(plan)
    }

    /// Whether a start would find its data folder and its ports, tried without keeping them.
    ///
    /// # Errors
    /// What the start would say.
    pub(crate) fn check(&self) -> Result<(), PlanError> {
        DataDir::check(&self.data_dir)?;
        // All are held until the end, so that one that is named twice is found.
        let mut held = Vec::with_capacity(self.listeners.len());
        for &address in &self.listeners {
            let listen = |source| PlanError::Listen { address, source };
            held.push(TcpListener::bind(address).map_err(listen)?);
        }
        Ok(())
    }
}

/// What was asked for, else all interfaces, as RabbitMQ does.
pub(crate) fn listeners_or_default(asked: &[SocketAddr]) -> Vec<SocketAddr> {
    if !asked.is_empty() {
        return asked.to_vec();
    }
    let over_ipv4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT_DEFAULT));
    let over_ipv6 = SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT_DEFAULT));
    if TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).is_err() {
        return vec![over_ipv4];
    }
    // Mostly one IPv6 socket takes IPv4 as well; this setting parts them.
    let parts = fs::read_to_string("/proc/sys/net/ipv6/bindv6only").unwrap_or_default();
    if parts.trim() == "1" { vec![over_ipv6, over_ipv4] } else { vec![over_ipv6] }
}

/// As it is if the working folder is gone; opening it then tells.
fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

fn warnings(plan: &ServerPlan, machine: &MachineReport) -> Vec<String> {
    let mut warnings: Vec<String> = machine.problems().iter().map(ToString::to_string).collect();
    let cores = plan.cpus.len();
    if let Some(quota) = machine.cpu_quota.filter(|_| machine.is_throttled(cores)) {
        warnings.push(format!(
            "{cores} cores share a CPU quota of {quota:.1} and will be stopped part of the time: \
             raise cpu.max, or use --cores {}",
            (quota as usize).max(1)
        ));
    }
    if !plan.is_pinned {
        warnings.push(
            "the shards' threads are not pinned, which costs latency: use --pin where the CPUs \
             are ours alone"
                .to_owned(),
        );
    }
    if plan.memory.exceeds_machine() {
        let (limit, whole) = (plan.memory.bytes, plan.memory.machine_bytes.unwrap_or(0));
        warnings.push(format!(
            "the memory limit of {} is above the {} there are: the kernel would kill the broker \
             first; use --memory 60%",
            Bytes(limit),
            Bytes(whole)
        ));
    }
    warnings
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod plan_tests;
