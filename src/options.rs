//! The command line: flags, their environment names, and the forms their values may have.

mod pin;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};
use haremq_reactor::{CoreSelection, CoreSelectionError};
use tracing_subscriber::EnvFilter;

use crate::memory::MemoryRequest;
use crate::options::pin::PinChoice;

/// Where the data goes if nothing else is said and no service manager gave a folder.
const DATA_DIR_DEFAULT: &str = "./haremq-data";
/// Longer spinning is a full core, at no gain: a tick is far shorter.
const SPIN_US_MAX: u32 = 10_000;

/// A RabbitMQ-compatible AMQP 0-9-1 broker: one shard per core, no locks on the data path.
#[derive(Debug, Parser)]
#[command(
    name = "haremq",
    version,
    args_conflicts_with_subcommands = true,
    after_help = "Each flag has an environment name; a flag wins over it. Without a command, the \
                  server starts.\nExit codes: 0 ended as asked, 1 failed while running, 2 wrong \
                  usage, 78 cannot start as configured."
)]
pub(crate) struct Options {
    /// What to do; the server if nothing is said.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// For the server without its word.
    #[command(flatten)]
    pub(crate) server: ServerOptions,
}

/// What the binary can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the broker (the default).
    Server(ServerOptions),
    /// Test whether this machine is fit; exit code 0 = fit, 1 = with warnings, 2 = unfit.
    Doctor(DoctorOptions),
}

/// What the broker uses of the machine.
#[derive(Clone, Debug, Args)]
pub(crate) struct MachineOptions {
    /// Address and port to listen on; repeatable, or separated by commas. Port 0 picks a free one
    /// and prints it [default: [::]:5672, or 0.0.0.0:5672 without IPv6]
    #[arg(
        long,
        env = "HAREMQ_LISTEN",
        value_name = "ADDR:PORT",
        value_delimiter = ',',
        value_parser = parse_listener
    )]
    pub(crate) listen: Vec<SocketAddr>,
    /// Folder of the broker's data, made if it does not exist [default: $STATE_DIRECTORY, or
    /// ./haremq-data]
    #[arg(long, env = "HAREMQ_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Cores to use, one shard each: auto, a count such as 4, or CPUs such as 0-3,8
    #[arg(
        long,
        env = "HAREMQ_CORES",
        value_name = "auto|N|LIST",
        default_value = "auto",
        allow_negative_numbers = true,
        value_parser = parse_cores
    )]
    pub(crate) cores: CoreSelection,
}

/// Everything that the server can be told.
#[derive(Clone, Debug, Args)]
pub(crate) struct ServerOptions {
    /// What it uses of the machine.
    #[command(flatten)]
    pub(crate) machine: MachineOptions,
    /// Memory for messages and buffers: 512MiB, 2GiB, or a share such as 60% of what the control
    /// group or the host has. Publishers wait above it
    #[arg(
        long,
        env = "HAREMQ_MEMORY",
        value_name = "SIZE|N%",
        default_value = "60%",
        allow_negative_numbers = true
    )]
    pub(crate) memory: MemoryRequest,
    #[command(flatten)]
    pin: PinChoice,
    /// Microseconds that an idle core looks for work before it sleeps: latency bought with CPU
    #[arg(
        long,
        env = "HAREMQ_SPIN_US",
        value_name = "US",
        default_value_t = 0,
        allow_negative_numbers = true,
        value_parser = parse_spin_us
    )]
    pub(crate) spin_us: u32,
    /// How it logs.
    #[command(flatten)]
    pub(crate) log: LogOptions,
    /// Check flags, machine, data folder and ports, print what would be used, start nothing
    #[arg(long, env = "HAREMQ_CHECK_CONFIG", value_name = "true|false")]
    pub(crate) check_config: bool,
}

/// How the broker logs, to stderr.
#[derive(Clone, Debug, Args)]
pub(crate) struct LogOptions {
    /// error, warn, info, debug or trace; also per part: info,haremq_runtime=debug
    #[arg(
        long = "log-level",
        env = "HAREMQ_LOG_LEVEL",
        value_name = "LEVEL",
        default_value = "info",
        value_parser = parse_log_level
    )]
    pub(crate) level: String,
    /// Lines for people, or one JSON object per event
    #[arg(long = "log-format", env = "HAREMQ_LOG_FORMAT", value_enum, default_value = "text")]
    pub(crate) format: LogFormat,
}

/// The form of logs and banner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object per event.
    Json,
}

/// What `haremq doctor` can be told.
#[derive(Debug, Args)]
pub(crate) struct DoctorOptions {
    /// As the server would get it.
    #[command(flatten)]
    pub(crate) machine: MachineOptions,
    /// Answer as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

impl MachineOptions {
    /// The data folder: flag or environment, else systemd's, else one in the working folder.
    pub(crate) fn data_dir(&self) -> PathBuf {
        let from_systemd = || std::env::var_os("STATE_DIRECTORY").and_then(first_state_directory);
        self.data_dir.clone().or_else(from_systemd).unwrap_or_else(|| DATA_DIR_DEFAULT.into())
    }
}

impl ServerOptions {
    /// Whether to pin; `None` if the user does not care. A flag wins over the environment.
    pub(crate) fn pin(&self) -> Option<bool> {
        self.pin.0
    }
}

/// systemd separates several folders by colons; the first is ours.
fn first_state_directory(value: std::ffi::OsString) -> Option<PathBuf> {
    let first = std::env::split_paths(&value).next()?;
    (!first.as_os_str().is_empty()).then_some(first)
}

fn parse_listener(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "write an IP address and a port, such as 127.0.0.1:5672, 0.0.0.0:5672 or [::]:5672"
            .to_owned()
    })
}

fn parse_spin_us(text: &str) -> Result<u32, String> {
    let spin_us = text.parse().ok().filter(|&spin_us| spin_us <= SPIN_US_MAX);
    spin_us.ok_or_else(|| format!("write microseconds, 0 to {SPIN_US_MAX}"))
}

fn parse_cores(text: &str) -> Result<CoreSelection, CoreSelectionError> {
    CoreSelection::from_str(text)
}

/// The filter itself cannot be cloned, so the checked text is kept.
fn parse_log_level(text: &str) -> Result<String, String> {
    let is_level = |word: &str| word.parse::<tracing::level_filters::LevelFilter>().is_ok();
    // A bare word that is no level would be taken for a target, and silence everything else.
    let is_known = text.split(',').all(|part| part.contains('=') || is_level(part.trim()));
    // The filter takes a word that is missing for `error`.
    let is_whole = !text.split([',', '=']).any(|word| word.trim().is_empty());
    match EnvFilter::try_new(text) {
        Ok(_) if is_known && is_whole => Ok(text.to_owned()),
        _ => Err("write error, warn, info, debug or trace, or parts as in \
                  info,haremq_runtime=debug"
            .to_owned()),
    }
}

#[cfg(test)]
#[path = "options_tests.rs"]
mod options_tests;
