//! Intervals as comma-separated values.

use std::fmt::Write as _;

use crate::outcome::{Outcome, Quantiles};

const HEADER: &str = "id,time_s,sent_per_s,returned_per_s,confirmed_per_s,nacked_per_s,\
    received_per_s,sent_octets_per_s,received_octets_per_s,\
    consume_min_us,consume_p50_us,consume_p75_us,consume_p95_us,consume_p99_us,consume_max_us,\
    confirm_min_us,confirm_p50_us,confirm_p75_us,confirm_p95_us,confirm_p99_us,confirm_max_us,\
    broker_cpus,broker_rss_octets,steal_share,is_measured\n";

/// One line per interval, after a line of names.
pub(crate) fn intervals(outcome: &Outcome) -> String {
    let mut text = HEADER.to_owned();
    let id = outcome.id.replace([',', '"', '\n'], "_");
    for interval in &outcome.intervals {
        let rates = &interval.rates;
        let _ = write!(
            text,
            "{id},{:.3},{:.1},{:.1},{:.1},{:.1},{:.1},{:.0},{:.0}",
            interval.end,
            rates.sent,
            rates.returned,
            rates.confirmed,
            rates.nacked,
            rates.received,
            rates.sent_bytes,
            rates.received_bytes,
        );
        write_quantiles(&mut text, interval.consume.as_ref());
        write_quantiles(&mut text, interval.confirm.as_ref());
        let cpus = interval.broker_cores.map_or(String::new(), |cores| format!("{cores:.3}"));
        let rss = interval.broker_rss.map_or(String::new(), |bytes| bytes.to_string());
        let _ = writeln!(
            text,
            ",{cpus},{rss},{:.4},{}",
            interval.steal_share,
            u8::from(interval.is_measured)
        );
    }
    text
}

fn write_quantiles(text: &mut String, quantiles: Option<&Quantiles>) {
    match quantiles {
        Some(Quantiles { min, p50, p75, p95, p99, max, .. }) => {
            let _ = write!(text, ",{min:.1},{p50:.1},{p75:.1},{p95:.1},{p99:.1},{max:.1}");
        }
        None => text.push_str(",,,,,,"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::IntervalOutcome;

    #[test]
    fn every_line_has_every_column() {
        let measured = IntervalOutcome {
            consume: Some(Quantiles::default()),
            broker_cores: Some(0.5),
            ..IntervalOutcome::default()
        };
        let intervals_of = vec![IntervalOutcome::default(), measured];
        let outcome = Outcome { intervals: intervals_of, ..Outcome::default() };
        let text = intervals(&outcome);
        let columns: Vec<usize> = text.lines().map(|line| line.split(',').count()).collect();
        assert_eq!(columns, [25, 25, 25]);
    }
}
