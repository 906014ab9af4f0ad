//! `haremq-perf`: puts load on AMQP 0-9-1 brokers, measures them, and checks every message.

mod ab;
mod arguments;
mod body;
mod churn;
mod compare;
mod confirm_window;
mod consumer;
mod core;
mod csv;
mod flag_names;
mod hlog;
mod html;
mod judge;
mod ledger;
mod lines;
mod meter;
mod options;
mod outcome;
mod plan;
mod process;
mod publisher;
mod relay;
mod roles;
mod routing;
mod run;
mod run_command;
mod run_set;
mod scenario;
mod schedule;
mod seq_set;
mod session;
mod setup;
mod shared;
mod statistics;
mod summary;
mod sweep;
mod uri;
mod verify;
mod walker;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::{CommandFactory, Parser};

use crate::flag_names::rewrite;
use crate::options::{Options, RunCommand, Subcommands};

/// Wrong usage.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(text) => {
            eprintln!("haremq-perf: {text}");
            return ExitCode::from(USAGE);
        }
    };
    match execute(Options::parse_from(arguments)) {
        Ok(code) => code,
        Err(Refusal::Usage(text)) => {
            eprintln!("haremq-perf: {text}");
            ExitCode::from(USAGE)
        }
        Err(Refusal::Failure(text)) => {
            eprintln!("haremq-perf: {text}");
            ExitCode::from(run_command::FAILURE)
        }
    }
}

/// Why nothing came of it, for the user.
enum Refusal {
    /// The options cannot be meant.
    Usage(String),
    /// It was tried.
    Failure(String),
}

impl From<String> for Refusal {
    fn from(text: String) -> Refusal {
        Refusal::Failure(text)
    }
}

/// The command line, with PerfTest's flags and the scenario's put into our form.
fn arguments() -> Result<Vec<String>, String> {
    let mut arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).is_some_and(|command| command == "run") {
        let flags = arguments.split_off(2);
        let flags = rewrite(&RunCommand::command(), flags).map_err(|error| error.to_string())?;
        arguments.extend(scenario::expand(flags)?);
    }
    Ok(arguments)
}

fn execute(options: Options) -> Result<ExitCode, Refusal> {
    let interrupted = || {
        let interrupted = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            // The second one ends the program at once.
            let at_once = signal_hook::flag::register_conditional_shutdown(
                signal,
                i32::from(run_command::FAILURE),
                Arc::clone(&interrupted),
            );
            at_once.map_err(|error| format!("signals cannot be caught: {error}"))?;
            let registered = signal_hook::flag::register(signal, Arc::clone(&interrupted));
            registered.map_err(|error| format!("signals cannot be caught: {error}"))?;
        }
        Ok::<_, String>(interrupted)
    };
    match options.command {
        Subcommands::Run(options) => {
            run_command::check(&options).map_err(Refusal::Usage)?;
            Ok(run_command::execute(&options, &interrupted()?)?)
        }
        Subcommands::Relay(options) => {
            relay::execute(&options)?;
            Ok(ExitCode::SUCCESS)
        }
        Subcommands::Ab(options) => {
            let load = ab::Load::parse(&options).map_err(Refusal::Usage)?;
            let outcomes = ab::execute(&options, &load, &interrupted()?)?;
            let is_clean = outcomes.iter().all(|outcome| outcome.judgement.is_clean());
            let code = if is_clean { 0 } else { run_command::BROKEN_PROMISE };
            Ok(ExitCode::from(code))
        }
        Subcommands::Compare(options) => {
            compare::execute(&options.a, &options.b)?;
            Ok(ExitCode::SUCCESS)
        }
        Subcommands::Check(options) => Ok(ledger::check(&options)?),
        Subcommands::Scenarios => {
            print!("{}", scenario::list());
            Ok(ExitCode::SUCCESS)
        }
    }
}
