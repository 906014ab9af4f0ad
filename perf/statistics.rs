//! Medians, and how far they can be trusted.

use crate::schedule::Random;

/// Resamples of a bootstrap; more change only the third digit of the bounds.
const RESAMPLES: usize = 10_000;
/// Of the resampled medians inside the interval.
const CONFIDENCE: f64 = 0.95;

/// A median with the bounds that a bootstrap gives it.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub(crate) struct Estimate {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// What two estimates say about each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// The intervals part, the first is lower.
    Lower,
    /// The intervals part, the first is higher.
    Higher,
    /// They overlap, or there are too few values to tell.
    NoDifferenceShown,
}

/// The median; of an even count, the mean of the two in the middle.
pub(crate) fn median(values: &[f64]) -> f64 {
    assert!(!values.is_empty(), "a median needs a value");
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() % 2 {
        1 => sorted[middle],
        _ => (sorted[middle - 1] + sorted[middle]) / 2.0,
    }
}

/// The median with a percentile bootstrap of 95 %. The same values give the same bounds.
pub(crate) fn estimate(values: &[f64]) -> Estimate {
    let mut random = Random::new(values.len() as u64);
    let mut resample = vec![0.0; values.len()];
    let mut medians: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            resample.iter_mut().for_each(|slot| *slot = values[random.below(values.len())]);
            median(&resample)
        })
        .collect();
    medians.sort_by(f64::total_cmp);
    let tail = (1.0 - CONFIDENCE) / 2.0;
    let at = |share: f64| medians[((medians.len() - 1) as f64 * share).round() as usize];
    Estimate { median: median(values), low: at(tail), high: at(1.0 - tail) }
}

/// Judges the first against the second. With fewer than four values of each, intervals of a
/// bootstrap are too narrow to be believed.
pub(crate) fn verdict(a: &[f64], b: &[f64]) -> Verdict {
    if a.len() < 4 || b.len() < 4 {
        return Verdict::NoDifferenceShown;
    }
    let (a, b) = (estimate(a), estimate(b));
    if a.high < b.low {
        Verdict::Lower
    } else if b.high < a.low {
        Verdict::Higher
    } else {
        Verdict::NoDifferenceShown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn equal_values_have_no_spread() {
        assert_eq!(estimate(&[7.0; 5]), Estimate { median: 7.0, low: 7.0, high: 7.0 });
    }

    #[test]
    fn bounds_lie_around_the_median_and_repeat() {
        let values = [10.0, 12.0, 11.0, 13.0, 9.0, 10.5];
        let first = estimate(&values);
        assert!(first.low <= first.median && first.median <= first.high);
        assert!(first.low >= 9.0 && first.high <= 13.0);
        assert_eq!(first, estimate(&values));
    }

    #[test]
    fn a_verdict_needs_intervals_that_part() {
        let low = [10.0, 10.1, 10.2, 9.9, 10.0];
        let high = [11.0, 11.2, 11.1, 10.9, 11.3];
        let wide = [9.0, 12.0, 10.0, 11.5, 8.0];
        assert_eq!(verdict(&low, &high), Verdict::Lower);
        assert_eq!(verdict(&high, &low), Verdict::Higher);
        assert_eq!(verdict(&low, &wide), Verdict::NoDifferenceShown);
        assert_eq!(verdict(&low[..3], &high[..3]), Verdict::NoDifferenceShown);
    }
}
