//! `haremq-experiments`: what the machine takes for the steps that a broker is made of. Prints one
//! JSON object with figures; the scripts beside this file ask for it and judge.

mod costs;
mod hop;
mod loopback;
mod samples;
mod stalls;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// Measures the machine below a broker.
#[derive(Debug, Parser)]
#[command(name = "haremq-experiments", version)]
struct Options {
    #[command(subcommand)]
    experiment: Experiment,
}

/// What to measure.
#[derive(Debug, Subcommand)]
enum Experiment {
    /// Calls of the kernel, wake-ups, copies, syncs.
    Costs(CostOptions),
    /// A TCP connection over loopback, by size.
    Loopback(PlaceOptions),
    /// Batches through the ring between two cores.
    Hop(PlaceOptions),
    /// How long CPUs stand still while nothing is asked of them.
    Stalls(PlaceOptions),
}

/// Where to write besides.
#[derive(Debug, Args)]
pub(crate) struct CostOptions {
    #[command(flatten)]
    place: PlaceOptions,
    /// Folder for a file that is synced, on the medium that is to be measured
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
}

/// Where to run, and for how long.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct PlaceOptions {
    /// CPU of the first thread
    #[arg(long, value_name = "CPU", default_value_t = 0)]
    cpu: usize,
    /// CPU of the second thread
    #[arg(long, value_name = "CPU", default_value_t = 1)]
    other_cpu: usize,
    /// Milliseconds per figure
    #[arg(long, value_name = "MS", default_value_t = 300)]
    time_ms: u64,
}

fn main() -> ExitCode {
    let measured = match Options::parse().experiment {
        Experiment::Costs(options) => costs::measure(&options),
        Experiment::Loopback(options) => loopback::measure(options),
        Experiment::Hop(options) => hop::measure(options),
        Experiment::Stalls(options) => stalls::measure(options),
    };
    match measured {
        Ok(figures) => {
            println!("{figures:#}");
            ExitCode::SUCCESS
        }
        Err(text) => {
            eprintln!("haremq-experiments: {text}");
            ExitCode::FAILURE
        }
    }
}
