//! What callgrind runs for the instruction counts: so many rounds of a case. See `main.rs`.

mod cases;

#[path = "../set_up/codec.rs"]
#[allow(dead_code, reason = "one set-up serves several benches")]
mod codec;
#[path = "../set_up/flow.rs"]
mod flow;
#[path = "../set_up/queue.rs"]
#[allow(dead_code, reason = "one set-up serves several benches")]
mod queue;
#[path = "../set_up/routing.rs"]
#[allow(dead_code, reason = "one set-up serves several benches")]
mod routing;

use std::process::ExitCode;

use cases::CASES;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["--list"] => {
            CASES.iter().for_each(|case| println!("{} {}", case.messages, case.name));
            Some(())
        }
        [case, rounds] => run(case, rounds),
        _ => None,
    };
    if done.is_none() {
        eprintln!("usage: --list, or a case of the list and a number of rounds");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn run(case: &str, rounds: &str) -> Option<()> {
    let case = CASES.iter().find(|it| it.name == case)?;
    let rounds: u32 = rounds.parse().ok()?;
    let mut round = case.start();
    (0..rounds).for_each(|_| round());
    Some(())
}
