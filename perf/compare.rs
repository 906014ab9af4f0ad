//! Two sets of runs held against each other: `compare`, and the end of `ab`.

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;

use crate::lines::{count, duration};
use crate::outcome::Outcome;
use crate::statistics::{Estimate, Verdict, estimate, verdict};

/// A figure of an outcome, `None` where it was not measured.
struct Figure {
    name: &'static str,
    of: fn(&Outcome) -> Option<f64>,
    show: fn(f64) -> String,
    is_better_high: bool,
}

const FIGURES: [Figure; 9] = [
    Figure {
        name: "sent/s",
        of: |outcome| Some(outcome.rates.sent).filter(|rate| *rate > 0.0),
        show: count,
        is_better_high: true,
    },
    Figure {
        name: "received/s",
        of: |outcome| Some(outcome.rates.received).filter(|rate| *rate > 0.0),
        show: count,
        is_better_high: true,
    },
    Figure {
        name: "confirmed/s",
        of: |outcome| Some(outcome.rates.confirmed).filter(|rate| *rate > 0.0),
        show: count,
        is_better_high: true,
    },
    Figure {
        name: "consumer p50",
        of: |outcome| Some(outcome.latency.consume?.p50),
        show: duration,
        is_better_high: false,
    },
    Figure {
        name: "consumer p99",
        of: |outcome| Some(outcome.latency.consume?.p99),
        show: duration,
        is_better_high: false,
    },
    Figure {
        name: "confirm p50",
        of: |outcome| Some(outcome.latency.confirm?.p50),
        show: duration,
        is_better_high: false,
    },
    Figure {
        name: "confirm p99",
        of: |outcome| Some(outcome.latency.confirm?.p99),
        show: duration,
        is_better_high: false,
    },
    Figure {
        name: "broker CPU us/message",
        of: |outcome| {
            let process = outcome.broker_process?;
            Some(process.user_us_per_message + process.system_us_per_message)
        },
        show: |us| format!("{us:.3}"),
        is_better_high: false,
    },
    Figure {
        name: "broker peak MiB",
        of: |outcome| Some(outcome.broker_process?.rss_peak as f64 / 1_048_576.0),
        show: |mib| format!("{mib:.1}"),
        is_better_high: false,
    },
];

/// One figure of both sets.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Comparison {
    pub(crate) figure: &'static str,
    pub(crate) a: Estimate,
    pub(crate) b: Estimate,
    /// Median of B by median of A.
    pub(crate) ratio: f64,
    /// A against B.
    pub(crate) verdict: Verdict,
    is_better_high: bool,
}

/// Every figure that both sets have.
pub(crate) fn comparisons(a: &[Outcome], b: &[Outcome]) -> Vec<Comparison> {
    let compared = FIGURES.iter().filter_map(|figure| {
        let (a, b) = (values(figure, a), values(figure, b));
        if a.is_empty() || b.is_empty() {
            return None;
        }
        let verdict = verdict(&a, &b);
        let (a, b) = (estimate(&a), estimate(&b));
        Some(Comparison {
            figure: figure.name,
            a,
            b,
            ratio: b.median / a.median,
            verdict,
            is_better_high: figure.is_better_high,
        })
    });
    compared.collect()
}

fn values(figure: &Figure, outcomes: &[Outcome]) -> Vec<f64> {
    outcomes.iter().filter_map(figure.of).filter(|value| value.is_finite()).collect()
}

/// A table of the comparisons, and what may be said.
pub(crate) fn table(a: &[Outcome], b: &[Outcome]) -> String {
    let mut text = String::new();
    for (name, outcomes) in [("A", a), ("B", b)] {
        let Some(first) = outcomes.first() else { continue };
        let _ = writeln!(
            text,
            "{name}: {} at {}, {} runs{}",
            first.broker.name(),
            first.uri,
            outcomes.len(),
            warnings(outcomes)
        );
    }
    let _ = writeln!(
        text,
        "{:<22} {:>34} {:>34} {:>7}  verdict",
        "figure", "A median [95% interval]", "B median [95% interval]", "B/A"
    );
    for comparison in comparisons(a, b) {
        let show = FIGURES.iter().find(|figure| figure.name == comparison.figure);
        let show = show.map_or(count as fn(f64) -> String, |figure| figure.show);
        let shown = |estimate: &Estimate| {
            format!("{} [{}, {}]", show(estimate.median), show(estimate.low), show(estimate.high))
        };
        let _ = writeln!(
            text,
            "{:<22} {:>34} {:>34} {:>7.3}  {}",
            comparison.figure,
            shown(&comparison.a),
            shown(&comparison.b),
            comparison.ratio,
            words(&comparison)
        );
    }
    if a.len() < 4 || b.len() < 4 {
        text.push_str("Fewer than four runs of each: no verdicts.\n");
    }
    text
}

fn words(comparison: &Comparison) -> &'static str {
    match (comparison.verdict, comparison.is_better_high) {
        (Verdict::NoDifferenceShown, _) => "no difference shown",
        (Verdict::Higher, true) | (Verdict::Lower, false) => "A is better",
        (Verdict::Higher, false) | (Verdict::Lower, true) => "B is better",
    }
}

/// Runs that should not count.
fn warnings(outcomes: &[Outcome]) -> String {
    let void = outcomes.iter().filter(|outcome| !outcome.void.is_empty()).count();
    let disturbed = outcomes.iter().filter(|outcome| !outcome.disturbed.is_empty()).count();
    let broken = outcomes.iter().filter(|outcome| !outcome.judgement.is_clean()).count();
    let mut text = String::new();
    for (number, what) in [(void, "VOID"), (disturbed, "DISTURBED"), (broken, "FAILED THE CHECK")] {
        if number > 0 {
            let _ = write!(text, "; {number} {what}");
        }
    }
    text
}

/// `haremq-perf compare`.
///
/// # Errors
/// What is wrong with the files, for the user.
pub(crate) fn execute(a: &Path, b: &Path) -> Result<(), String> {
    let (a, b) = (crate::summary::read_outcomes(a)?, crate::summary::read_outcomes(b)?);
    print!("{}", table(&a, &b));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Rates;

    fn runs(rates: &[f64]) -> Vec<Outcome> {
        let outcome = |sent: &f64| Outcome {
            rates: Rates { sent: *sent, ..Rates::default() },
            ..Outcome::default()
        };
        rates.iter().map(outcome).collect()
    }

    #[test]
    fn the_faster_broker_is_better() {
        let (a, b) = (runs(&[10.0, 11.0, 10.5, 10.2]), runs(&[20.0, 21.0, 20.5, 20.2]));
        let compared = comparisons(&a, &b);
        assert_eq!(compared.len(), 1);
        assert_eq!(words(&compared[0]), "B is better");
        assert!(table(&a, &b).contains("sent/s"));
    }

    #[test]
    fn few_runs_get_no_verdict() {
        assert!(table(&runs(&[1.0]), &runs(&[9.0])).contains("no verdicts"));
    }
}
