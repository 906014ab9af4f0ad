//! Instructions per message, counted by callgrind, beside the committed ones of `counts.json`.
//!
//! ```text
//! cargo run --example instructions              checks; `.ci/run` does it
//! cargo run --example instructions -- --record  commits to what is counted now
//! ```
//!
//! **Margin.** A count may differ by 3 % either way. One that is higher fails: the change costs
//! that much on every message. One that is lower fails too: were the old value left in place, the
//! next change could cost all that was won and nobody would see it. So whoever makes a message
//! cheaper, or dearer for a good reason, records and commits the counts with the change itself.
//! Besides, a queue whose clients sit on the other core may cost 1.5 times the local path (see `PAIRS`).
//!
//! **Counting.** Each case runs twice, with few rounds and with many. The difference, by the
//! messages between, is what one costs once all is warm; start, set-up and end cancel out. Seeds
//! are constants, so that the counts are the same run after run, and valgrind shows all processors
//! of the last ten years as one, so that libc takes the same `memcpy` everywhere.
//!
//! **Build.** What is counted is a program of its own, `rounds`: what the compiler inlines depends
//! on all that is in a program, and a new line here shall not change a count. It is an example and
//! no bench: cargo builds benches so that panics unwind, which costs instructions that what ships
//! does not have. An example gets the very profile of the broker.
//!
//! **Toolchain.** Another compiler makes other code of the same source. `counts.json` says what it
//! was recorded with; with another rustc only jumps of 15 % fail, with a warning that says so, and
//! on another architecture only the ratios are judged.
//!
//! **Why not gungraun.** It counts a single call with cold tables instead of the steady state, its
//! absolute limits bind on one side only, and it needs a second program of just its own version,
//! to be built on each fresh machine.

mod callgrind;
mod counts;
mod judge;
mod table;
mod toolchain;

use std::process::ExitCode;

use callgrind::Rounds;
use counts::Counts;
use judge::{Verdict, judge, margin};
use toolchain::Toolchain;

/// The path over the mesh, the local one beside which it is judged, and how many times that it may
/// cost. A body is copied three times on its way over the mesh and back, and once when its message
/// passes through locally: of 1 KiB, that alone is 0.15 times the local path.
const PAIRS: [(&str, &str, f64); 3] = [
    ("mesh path, auto-ack, 16 B", "local path, auto-ack, 16 B", 1.5),
    ("mesh path, acks and confirms, 16 B", "local path, acks and confirms, 16 B", 1.5),
    ("mesh path, auto-ack, 1 KiB", "local path, auto-ack, 1 KiB", 1.5),
];
const RECORD_COMMAND: &str = "cargo run --example instructions -- --record";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        [] => check(),
        ["--record"] => record(),
        _ => Err(format!("usage: nothing to check, or --record; not {arguments:?}")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("instructions: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn check() -> Result<(), String> {
    let committed = counts::read()?;
    let here = Toolchain::here()?;
    let margin = margin(&committed.toolchain, &here);
    say_how_it_is_judged(&committed.toolchain, &here, margin);
    let rounds = Rounds::build()?;
    let counted = count(&rounds, |case, now| {
        let before = committed.of(case);
        let change = before.map_or(String::new(), |before| told(change(before, now)));
        let before = before.map_or("-".to_owned(), |before| format!("{before:.1}"));
        println!("{case:<40} {before:>9} {now:>9.1} {change:>10}");
    })?;
    let mut failures = say_ratios(&counted);
    if let Some(margin) = margin {
        failures.extend(slips(&committed, &counted, margin));
    }
    if !table::is_fresh(&committed)? {
        failures.push("the table of perf/RESULTS.md is not that of counts.json".to_owned());
    }
    if failures.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{}\nwhere they go: callgrind_annotate {}/CASE.many.out\n\
         if all this is meant: {RECORD_COMMAND}",
        failures.join("\n"),
        rounds.folder().display()
    ))
}

fn record() -> Result<(), String> {
    let toolchain = Toolchain::here()?;
    let counted = count(&Rounds::build()?, |case, now| println!("{case:<40} {now:>9.1}"))?;
    let failures = say_ratios(&counted);
    let counts = Counts { toolchain, per_message: counted };
    counts::write(&counts)?;
    table::write(&counts)?;
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) }
}

/// Counts all cases, telling of each as soon as it is known.
fn count(rounds: &Rounds, mut tell: impl FnMut(&str, f64)) -> Result<Vec<(String, f64)>, String> {
    let mut counted = Vec::new();
    for case in rounds.cases()? {
        let per_message = rounds.instructions_per_message(&case)?;
        tell(&case.name, per_message);
        counted.push((case.name, per_message));
    }
    Ok(counted)
}

fn change(before: f64, now: f64) -> f64 {
    (now / before - 1.0) * 100.0
}

fn told(change: f64) -> String {
    if change.abs() < 0.05 { "same".to_owned() } else { format!("{change:+.1} %") }
}

fn say_how_it_is_judged(recorded: &Toolchain, here: &Toolchain, margin: Option<f64>) {
    match margin {
        Some(margin) => println!("instructions per message; {:.0} % are let pass", margin * 100.0),
        None => println!("instructions per message; WARNING: only the ratios are judged"),
    }
    if recorded != here {
        println!("WARNING: counts were recorded with {recorded}");
        println!("         and are compared with       {here}");
    }
    println!("{:<40} {:>9} {:>9}", "", "committed", "now");
}

/// Prints what the mesh costs beside the local path; answers with where that is too much.
fn say_ratios(counted: &[(String, f64)]) -> Vec<String> {
    let of = |name: &str| {
        let found = counted.iter().find(|(case, _)| case == name);
        found.unwrap_or_else(|| panic!("{name} is a case")).1
    };
    let mut failures = Vec::new();
    for (mesh, local, most) in PAIRS {
        let ratio = of(mesh) / of(local);
        println!("{mesh}: {ratio:.2} times the local path (at most {most})");
        if ratio > most {
            failures.push(format!("{mesh}: {ratio:.2} times the local path is too much"));
        }
    }
    failures
}

fn slips(committed: &Counts, counted: &[(String, f64)], margin: f64) -> Vec<String> {
    let mut slips = Vec::new();
    for (case, now) in counted {
        let before = committed.of(case);
        let change = before.map_or(0.0, |before| change(before, *now));
        match judge(before, *now, margin) {
            Verdict::Kept => {}
            Verdict::Dearer => slips.push(format!("{case}: {change:+.1} % instructions")),
            Verdict::Cheaper => slips.push(format!(
                "{case}: {change:+.1} % instructions; record it, so that it cannot be lost again"
            )),
            Verdict::New => slips.push(format!("{case}: no count is committed")),
        }
    }
    let is_case = |name: &String| counted.iter().any(|(case, _)| case == name);
    let gone = committed.per_message.iter().map(|(name, _)| name).filter(|name| !is_case(name));
    slips.extend(gone.map(|name| format!("{name}: committed, but no case any more")));
    slips
}
