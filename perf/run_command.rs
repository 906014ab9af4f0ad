//! `haremq-perf run`: a run, and everything that is written of it.

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::lines::{LinePrinter, summary};
use crate::options::{RunOptions, SweepRange};
use crate::outcome::Outcome;
use crate::plan::Plan;
use crate::run::{Finished, cpus, run};
use crate::setup::Setup;
use crate::uri::hide_passwords;
use crate::{churn, csv, hlog, html, sweep};

/// Messages were lost, duplicated, reordered or corrupted.
pub(crate) const BROKEN_PROMISE: u8 = 4;
/// The run failed.
pub(crate) const FAILURE: u8 = 1;

/// Where and how an outcome is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json,
    Csv,
}

/// Runs, prints, writes the files that were asked for.
///
/// # Errors
/// What went wrong, for the user.
pub(crate) fn execute(
    options: &RunOptions,
    interrupted: &Arc<AtomicBool>,
) -> Result<ExitCode, String> {
    if let Some(churn) = options.churn {
        return churn::execute(options, churn, interrupted);
    }
    let to_stdout = match options.output_file.as_deref() {
        Some("json") => Some(Form::Json),
        Some("csv") => Some(Form::Csv),
        _ => None,
    };
    let mut printer = match to_stdout {
        Some(_) => LinePrinter::quiet(),
        None => LinePrinter::new(&options.id, options.format),
    };
    let command: Vec<String> = std::env::args().map(|argument| hide_passwords(&argument)).collect();
    if let Some(range) = options.sweep {
        return sweep_command(options, range, &command, interrupted);
    }
    let finished = run(options, &command, &mut printer, interrupted)?;
    match to_stdout {
        Some(form) => print!("{}", formed(&finished.outcome, form)),
        None => print!("{}", summary(&finished.outcome)),
    }
    write_files(options, &finished)?;
    if let Some(failure) = &finished.outcome.failure {
        eprintln!("haremq-perf: {failure}");
    }
    if !finished.outcome.judgement.is_clean() {
        return Ok(ExitCode::from(BROKEN_PROMISE));
    }
    Ok(match finished.outcome.failure {
        Some(_) => ExitCode::from(FAILURE),
        None => ExitCode::SUCCESS,
    })
}

/// What is wrong with the options, as far as that can be told without a broker.
///
/// # Errors
/// The same, for the user.
pub(crate) fn check(options: &RunOptions) -> Result<(), String> {
    refuse_what_would_be_ignored(options)?;
    if options.churn.is_none() {
        let plan = Plan::new(options)?;
        Setup::new(options, &plan)?;
        cpus(options)?;
    }
    Ok(())
}

/// Outputs that only a run with messages, and only a single one, can have.
fn refuse_what_would_be_ignored(options: &RunOptions) -> Result<(), String> {
    let kind = match (options.churn, options.sweep) {
        (Some(_), Some(_)) => return Err("--churn and --sweep exclude each other".to_owned()),
        (Some(_), None) => "--churn",
        (None, Some(_)) => "--sweep",
        (None, None) => return Ok(()),
    };
    let outputs = [
        ("--html", options.html.is_some()),
        ("--hlog", options.hlog.is_some()),
        ("--ledger", options.ledger.is_some()),
        (
            "--output-file other than json",
            options.churn.is_some()
                && options.output_file.as_deref().is_some_and(|to| to != "json"),
        ),
    ];
    match outputs.iter().find(|(_, is_asked)| *is_asked) {
        Some((output, _)) => Err(format!("{kind} cannot write {output}")),
        None => Ok(()),
    }
}

fn sweep_command(
    options: &RunOptions,
    range: SweepRange,
    command: &[String],
    interrupted: &Arc<AtomicBool>,
) -> Result<ExitCode, String> {
    let outcomes = sweep::execute(options, range, command, interrupted)?;
    match options.output_file.as_deref() {
        Some("json") => println!("{}", json_list(&outcomes)),
        Some("csv") => outcomes.iter().for_each(|outcome| print!("{}", csv::intervals(outcome))),
        Some(name) => write(Path::new(name), &json_list(&outcomes))?,
        None => {}
    }
    let is_clean = outcomes.iter().all(|outcome| outcome.judgement.is_clean());
    Ok(if is_clean { ExitCode::SUCCESS } else { ExitCode::from(BROKEN_PROMISE) })
}

fn json_list(outcomes: &[Outcome]) -> String {
    serde_json::to_string_pretty(outcomes).expect("an outcome has only texts and numbers")
}

fn formed(outcome: &Outcome, form: Form) -> String {
    match form {
        Form::Json => {
            let text = serde_json::to_string_pretty(outcome);
            text.expect("an outcome has only texts and numbers") + "\n"
        }
        Form::Csv => csv::intervals(outcome),
    }
}

fn write_files(options: &RunOptions, finished: &Finished) -> Result<(), String> {
    let outcome = &finished.outcome;
    if let Some(name) = options.output_file.as_deref()
        && name != "json"
        && name != "csv"
    {
        // PerfTest writes CSV whatever the name is.
        let form = if name.ends_with(".json") { Form::Json } else { Form::Csv };
        write(Path::new(name), &formed(outcome, form))?;
    }
    if let Some(path) = &options.html {
        write(path, &html::report(outcome))?;
    }
    if let Some(path) = &options.hlog {
        let seconds = outcome.intervals.first().map_or(options.interval, |first| first.seconds);
        let interval = Duration::from_secs_f64(seconds);
        hlog::write(path, &finished.meters, interval, outcome.started_unix_ms)?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}
