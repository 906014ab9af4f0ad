//! The server's life: check, lock, start, say so, wait, end.

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::{BuildHasher, Hasher};
use std::process::ExitCode;
use std::thread;

use haremq_reactor::MachineReport;
use haremq_runtime::{Broker, Config, StartError};

use crate::banner::{self, Stage};
use crate::data_dir::DataDir;
use crate::exit;
use crate::logging;
use crate::options::{LogFormat, ServerOptions};
use crate::panics;
use crate::plan::{PlanError, ServerPlan};
use crate::signals::SignalQueue;

/// Runs the server to its end, or only checks whether it could.
pub(crate) fn run(options: &ServerOptions) -> ExitCode {
    logging::start(&options.log);
    panics::abort_on_panic();
    let format = options.log.format;
    let machine = haremq_reactor::probe();
    let outcome = match ServerPlan::resolve(options, &machine) {
        Ok(plan) if options.check_config => check(&plan, format),
        Ok(plan) => serve(&plan, &machine, format),
        Err(error) => Err(error.into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            logging::fatal(format, &error);
            ExitCode::from(error.exit_code())
        }
    }
}

/// Why the server ended, or did not begin.
#[derive(Debug, thiserror::Error)]
enum ServerError {
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("cannot take over signals: {0}")]
    Signals(std::io::Error),
    #[error("{0}")]
    Ended(String),
}

impl ServerError {
    fn exit_code(&self) -> u8 {
        match self {
            // A core that ends has a bug, and says where in the log.
            ServerError::Start(StartError::CoreEnded) => exit::FAILURE,
            ServerError::Plan(_) | ServerError::Start(_) => exit::CONFIG,
            ServerError::Signals(_) | ServerError::Ended(_) => exit::FAILURE,
        }
    }
}

fn check(plan: &ServerPlan, format: LogFormat) -> Result<(), ServerError> {
    plan.check()?;
    banner::print(plan, &plan.listeners, format, Stage::Checked);
    Ok(())
}

fn serve(plan: &ServerPlan, machine: &MachineReport, format: LogFormat) -> Result<(), ServerError> {
    let signals = SignalQueue::open().map_err(ServerError::Signals)?;
    let _data_dir = DataDir::open(&plan.data_dir).map_err(PlanError::from)?;
    raise_open_files(machine);
    let seed = random_seed();
    let (broker, writer) = haremq_runtime::start(config(plan, seed))?;
    let catalog = haremq_control::start_catalog(writer, seed);
    banner::print(plan, broker.addresses(), format, Stage::Started);
    watch_signals(signals, &broker);
    let ended = broker.join().map_err(|error| ServerError::Ended(error.to_string()));
    catalog.join();
    tracing::info!("stopped");
    ended
}

fn watch_signals(signals: SignalQueue, broker: &Broker) {
    let stopper = broker.stopper();
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || signals.watch(|| stopper.stop()))
        .expect("a process that has just started its cores can start one more thread");
}

fn config(plan: &ServerPlan, seed: u64) -> Config {
    let placement = |&cpu: &usize| plan.is_pinned.then_some(cpu);
    Config {
        listeners: plan.listeners.clone(),
        cpus: plan.cpus.iter().map(placement).collect(),
        memory_limit_bytes: plan.memory.bytes,
        spin_us: plan.spin_us,
        cluster_name: cluster_name(),
        seed,
    }
}

/// Each connection takes a descriptor, and the usual soft limit is 1,024.
fn raise_open_files(machine: &MachineReport) {
    let wanted = machine.open_files.hard.unwrap_or(u64::MAX);
    match haremq_reactor::limit_open_files(wanted) {
        Ok(count) => tracing::debug!(count, "raised the limit of open files"),
        Err(error) => tracing::warn!(
            "the limit of open files stays at {:?}: {error}; raise nofile (LimitNOFILE=1048576)",
            machine.open_files.soft
        ),
    }
}

/// What clients are told in `connection.start`; nothing else depends on it.
fn cluster_name() -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match host.trim() {
        "" => "haremq".to_owned(),
        host => format!("haremq@{host}"),
    }
}

/// Keys of hash tables and server-made names. The standard library draws the keys of its own hash
/// tables from the system, and the hash of nothing depends on them alone.
fn random_seed() -> u64 {
    RandomState::new().build_hasher().finish()
}
