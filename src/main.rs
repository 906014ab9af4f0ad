//! The binary: reads what it is told, starts the broker, and waits for its end.

mod banner;
mod data_dir;
mod doctor;
mod exit;
mod logging;
mod memory;
mod options;
mod panics;
mod plan;
mod server;
mod signals;

use std::process::ExitCode;

use clap::Parser;

use crate::options::{Command, Options};

fn main() -> ExitCode {
    let options = Options::parse();
    match options.command {
        Some(Command::Doctor(options)) => doctor::run(&options),
        Some(Command::Server(options)) => server::run(&options),
        None => server::run(&options.server),
    }
}
