//! Looking for the knee: the highest rate that a broker holds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::lines::{LinePrinter, count, duration};
use crate::options::{RunOptions, SweepRange};
use crate::outcome::Outcome;
use crate::run::run;

/// A rate is held if so much of it arrives.
const HELD_SHARE: f64 = 0.99;
/// Steps that narrow the knee down, once a rate was too high.
const HALVINGS: u32 = 4;
/// What a step lasts if --time does not say.
const STEP_SECONDS: f64 = 5.0;

/// The search, without the broker: doubles the rate until it is not held, then halves the gap.
#[derive(Clone, Debug)]
pub(crate) struct Search {
    held: Option<f64>,
    failed: Option<f64>,
    next: Option<f64>,
    to: f64,
    halvings: u32,
}

impl Search {
    pub(crate) fn new(range: SweepRange) -> Search {
        Search { held: None, failed: None, next: Some(range.from), to: range.to, halvings: 0 }
    }

    /// The next rate to try; `None` when the knee is found.
    pub(crate) fn next(&self) -> Option<f64> {
        self.next
    }

    /// Whether the rate tried last was held.
    pub(crate) fn apply(&mut self, is_held: bool) {
        let Some(rate) = self.next else { return };
        if is_held {
            self.held = Some(rate);
        } else {
            self.failed = Some(rate);
        }
        self.next = match (self.held, self.failed) {
            (None, _) => None,
            (Some(held), None) if held >= self.to => None,
            (Some(held), None) => Some((held * 2.0).min(self.to)),
            (Some(_), Some(_)) if self.halvings == HALVINGS => None,
            (Some(held), Some(failed)) => {
                self.halvings += 1;
                Some(((held + failed) / 2.0).round())
            }
        };
    }

    /// The highest rate that was held.
    pub(crate) fn knee(&self) -> Option<f64> {
        self.held
    }
}

/// Runs step after step and prints a line for each.
///
/// # Errors
/// Why a step failed, for the user.
pub(crate) fn execute(
    options: &RunOptions,
    range: SweepRange,
    command: &[String],
    interrupted: &Arc<AtomicBool>,
) -> Result<Vec<Outcome>, String> {
    let mut search = Search::new(range);
    let mut outcomes = Vec::new();
    let is_quiet = matches!(options.output_file.as_deref(), Some("json" | "csv"));
    while let Some(rate) = search.next() {
        let time = if options.time > 0.0 { options.time } else { STEP_SECONDS };
        let step = RunOptions { total_rate: Some(rate), time, ..options.clone() };
        let finished = run(&step, command, &mut LinePrinter::quiet(), interrupted)?;
        if let Some(failure) = finished.outcome.failure {
            return Err(failure);
        }
        if interrupted.load(Ordering::Relaxed) {
            break;
        }
        let outcome = finished.outcome;
        let is_held = is_held(&outcome, rate, options.knee_p99 * 1000.0);
        if !is_quiet {
            println!("{}", line(&outcome, rate, is_held));
        }
        search.apply(is_held);
        outcomes.push(outcome);
    }
    if !is_quiet {
        match search.knee() {
            Some(rate) => println!("knee: {} messages/s held", count(rate)),
            None => println!("knee: not even {} messages/s were held", count(range.from)),
        }
    }
    Ok(outcomes)
}

/// Everything went out and came in at that rate, soon enough.
fn is_held(outcome: &Outcome, rate: f64, p99_us_max: f64) -> bool {
    let latency = outcome.latency.consume.or(outcome.latency.confirm);
    let arrived = match outcome.latency.consume {
        Some(_) => outcome.rates.received >= outcome.rates.sent * HELD_SHARE,
        None => true,
    };
    outcome.rates.sent >= rate * HELD_SHARE
        && arrived
        && latency.is_some_and(|latency| latency.p99 <= p99_us_max)
}

fn line(outcome: &Outcome, rate: f64, is_held: bool) -> String {
    let latency = outcome.latency.consume.or(outcome.latency.confirm).unwrap_or_default();
    format!(
        "{:>12}/s: sent {:>12}/s, received {:>12}/s, p50 {:>8}, p99 {:>8}, p99.9 {:>8} {}{}",
        count(rate),
        count(outcome.rates.sent),
        count(outcome.rates.received),
        duration(latency.p50),
        duration(latency.p99),
        duration(latency.p99_9),
        if is_held { "held" } else { "not held" },
        if outcome.void.is_empty() { "" } else { " (VOID)" },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rates tried against a broker that holds up to `capacity`, and the knee.
    fn tried(from: f64, to: f64, capacity: f64) -> (Vec<f64>, Option<f64>) {
        let mut search = Search::new(SweepRange { from, to });
        let mut tried = Vec::new();
        while let Some(rate) = search.next() {
            tried.push(rate);
            search.apply(rate <= capacity);
        }
        (tried, search.knee())
    }

    #[test]
    fn the_knee_is_narrowed_down() {
        let (tried, knee) = tried(1000.0, 1e6, 5300.0);
        assert_eq!(tried, [1000.0, 2000.0, 4000.0, 8000.0, 6000.0, 5000.0, 5500.0, 5250.0]);
        assert_eq!(knee, Some(5250.0));
    }

    #[test]
    fn the_ends_of_the_range_end_the_search() {
        assert_eq!(tried(1000.0, 3000.0, 1e9), (vec![1000.0, 2000.0, 3000.0], Some(3000.0)));
        assert_eq!(tried(1000.0, 3000.0, 10.0), (vec![1000.0], None));
    }
}
