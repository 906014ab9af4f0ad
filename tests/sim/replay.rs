//! Runs seeds: `haremq-sim SEED` replays one step by step, `haremq-sim --seeds A..B` runs a range.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use haremq_sim::{Corruption, Options, Scenario, dump_trace, run};

const USAGE: &str = "usage: haremq-sim [--crossfire] (SEED | --seeds FIRST..END)";

fn main() -> ExitCode {
    // Where a panic ends the process, this is the last chance to tell how it came about.
    let default_hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        dump_trace().iter().for_each(|event| println!("  {event}"));
        default_hook(panic);
    }));
    let mut options = Options::default();
    let mut seeds = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--crossfire" => options.scenario = Scenario::Crossfire,
            "--seeds" => seeds = arguments.next().and_then(|range| parse_range(&range)),
            seed => {
                seeds = seed.parse().ok().map(|seed: u64| seed..seed + 1);
                options.is_verbose = true;
            }
        }
    }
    match seeds {
        Some(seeds) => run_all(seeds, options),
        None => {
            eprintln!("{USAGE}");
            ExitCode::FAILURE
        }
    }
}

fn parse_range(range: &str) -> Option<std::ops::Range<u64>> {
    let (first, end) = range.split_once("..")?;
    Some(first.parse().ok()?..end.parse().ok()?)
}

fn run_all(seeds: std::ops::Range<u64>, options: Options) -> ExitCode {
    assert_eq!(options.corruption, Corruption::None);
    for seed in seeds.clone() {
        match run(seed, options) {
            Ok(summary) if options.is_verbose => println!("seed {seed}: {summary:?}"),
            Ok(_) => {}
            Err(failure) => {
                println!("{failure}");
                return ExitCode::FAILURE;
            }
        }
    }
    println!("seeds {seeds:?} pass");
    ExitCode::SUCCESS
}
