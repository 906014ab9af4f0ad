//! `haremq-perf ab`: the same load on two brokers, in turns.

use std::ffi::OsString;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{CommandFactory, Parser};

use crate::compare::{comparisons, table};
use crate::flag_names::rewrite;
use crate::lines::{LinePrinter, count, duration};
use crate::options::{AbOptions, RunCommand, RunOptions};
use crate::outcome::Outcome;
use crate::run::run;
use crate::{run_command, scenario};

/// What both brokers get.
pub(crate) struct Load {
    flags: Vec<String>,
    run: RunOptions,
}

impl Load {
    /// Of the flags behind `--`.
    ///
    /// # Errors
    /// What is wrong with them, for the user.
    pub(crate) fn parse(options: &AbOptions) -> Result<Load, String> {
        let flags = rewrite(&RunCommand::command(), options.run.clone())
            .map_err(|error| error.to_string())?;
        let flags = scenario::expand(flags)?;
        let words = std::iter::once(OsString::from("run")).chain(flags.iter().map(OsString::from));
        let parsed = RunCommand::try_parse_from(words).map_err(|error| error.to_string())?;
        let run = parsed.options;
        if run.time == 0.0 && run.pmessages == 0 {
            return Err("the run has no end: give --time or --pmessages after --".to_owned());
        }
        refuse_what_would_be_ignored(&run)?;
        run_command::check(&run)?;
        Ok(Load { flags, run })
    }
}

/// Runs A B B A A B B A ..., prints a line per run and the comparison.
///
/// # Errors
/// Why a run could not begin or failed, for the user.
pub(crate) fn execute(
    options: &AbOptions,
    load: &Load,
    interrupted: &Arc<AtomicBool>,
) -> Result<Vec<Outcome>, String> {
    let Load { flags, run: shared } = load;
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for round in 0..options.rounds {
        let mut pair = [("A", &options.a, &mut a), ("B", &options.b, &mut b)];
        if round % 2 == 1 {
            pair.reverse();
        }
        for (name, uri, outcomes) in pair {
            let run_options = RunOptions { uri: uri.clone(), ..shared.clone() };
            let finished = run(&run_options, flags, &mut LinePrinter::quiet(), interrupted)?;
            if let Some(failure) = finished.outcome.failure {
                return Err(format!("round {} of {name}: {failure}", round + 1));
            }
            println!("round {} {name}: {}", round + 1, line(&finished.outcome));
            outcomes.push(finished.outcome);
            if interrupted.load(Ordering::Relaxed) {
                return Err("interrupted".to_owned());
            }
        }
    }
    print!("{}", table(&a, &b));
    if let Some(path) = &options.json {
        let text = serde_json::json!({ "a": &a, "b": &b, "comparisons": comparisons(&a, &b) });
        fs::write(path, format!("{text:#}\n"))
            .map_err(|error| format!("{}: {error}", path.display()))?;
    }
    a.append(&mut b);
    Ok(a)
}

/// Flags that make something else of a run, or files of a single one.
fn refuse_what_would_be_ignored(options: &RunOptions) -> Result<(), String> {
    let flags = [
        ("--sweep", options.sweep.is_some()),
        ("--churn", options.churn.is_some()),
        ("--html", options.html.is_some()),
        ("--hlog", options.hlog.is_some()),
        ("--ledger", options.ledger.is_some()),
        ("--output-file (ab has --json)", options.output_file.is_some()),
        ("--uris (ab has --a and --b)", !options.uris.is_empty()),
    ];
    match flags.iter().find(|(_, is_asked)| *is_asked) {
        Some((flag, _)) => Err(format!("ab does not take {flag} for its runs")),
        None => Ok(()),
    }
}

fn line(outcome: &Outcome) -> String {
    let latency = outcome.latency.consume.or(outcome.latency.confirm).unwrap_or_default();
    let mut text = format!(
        "{} sent/s, {} received/s, p50 {}, p99 {}",
        count(outcome.rates.sent),
        count(outcome.rates.received),
        duration(latency.p50),
        duration(latency.p99),
    );
    if let Some(process) = &outcome.broker_process {
        let us = process.user_us_per_message + process.system_us_per_message;
        text.push_str(&format!(", broker {us:.3} us/message"));
    }
    let marks = [
        (!outcome.void.is_empty(), " VOID"),
        (!outcome.disturbed.is_empty(), " DISTURBED"),
        (!outcome.judgement.is_clean(), " FAILED THE CHECK"),
    ];
    marks.iter().filter(|(is_set, _)| *is_set).for_each(|(_, mark)| text.push_str(mark));
    text
}
