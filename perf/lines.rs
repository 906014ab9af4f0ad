//! What is printed while a run goes on and at its end, in PerfTest's form and in ours.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};

use crate::options::LineFormat;
use crate::outcome::{IntervalOutcome, Outcome, Quantiles};

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const SPARK_WIDTH: usize = 24;
/// A header for each so many lines of the table.
const TABLE_LINES: usize = 20;

/// Prints intervals as they come.
pub(crate) struct LinePrinter {
    id: String,
    format: LineFormat,
    received: Vec<f64>,
}

impl LinePrinter {
    pub(crate) fn new(id: &str, format: LineFormat) -> LinePrinter {
        let format = match format {
            LineFormat::Auto if io::stdout().is_terminal() => LineFormat::Table,
            LineFormat::Auto => LineFormat::Perftest,
            chosen => chosen,
        };
        LinePrinter { id: id.to_owned(), format, received: Vec::new() }
    }

    /// Nothing is printed; something else goes to standard output.
    pub(crate) fn quiet() -> LinePrinter {
        LinePrinter { id: String::new(), format: LineFormat::Quiet, received: Vec::new() }
    }

    pub(crate) fn print(&mut self, interval: &IntervalOutcome) {
        let received = interval.rates.received;
        self.received.push(if received > 0.0 { received } else { interval.rates.sent });
        let line = match self.format {
            LineFormat::Quiet => return,
            LineFormat::Table => self.table_line(interval),
            LineFormat::Compact => compact_line(interval),
            LineFormat::Perftest | LineFormat::Auto => perftest_line(&self.id, interval),
        };
        // A closed pipe does not end the run.
        let _ = writeln!(io::stdout(), "{line}");
    }

    fn table_line(&self, interval: &IntervalOutcome) -> String {
        let mut line = String::new();
        if self.received.len() % TABLE_LINES == 1 {
            line.push_str(
                "    time      sent/s  received/s confirmed/s      p50      p99      max  broker   \
                 received\n",
            );
        }
        let latency = interval.consume.or(interval.confirm).unwrap_or_default();
        let cpu =
            interval.broker_cores.map_or("-".to_owned(), |cores| format!("{:.0}%", cores * 100.0));
        let _ = write!(
            line,
            "{:7.1}s {:>11} {:>11} {:>11} {:>8} {:>8} {:>8} {:>7}   {}",
            interval.end,
            count(interval.rates.sent),
            count(interval.rates.received),
            count(interval.rates.confirmed),
            duration(latency.p50),
            duration(latency.p99),
            duration(latency.max),
            cpu,
            sparkline(&self.received),
        );
        line
    }
}

/// The last values as bars, the highest one full.
pub(crate) fn sparkline(values: &[f64]) -> String {
    let shown = &values[values.len().saturating_sub(SPARK_WIDTH)..];
    let top = shown.iter().copied().fold(0.0, f64::max);
    let bar = |value: &f64| match top > 0.0 {
        true => BARS[((value / top * 8.0).ceil() as usize).clamp(1, 8) - 1],
        false => BARS[0],
    };
    shown.iter().map(bar).collect()
}

/// With thousands separated.
pub(crate) fn count(value: f64) -> String {
    let digits = format!("{:.0}", value.max(0.0));
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Microseconds in the unit that fits.
pub(crate) fn duration(us: f64) -> String {
    match us {
        ..1000.0 => format!("{us:.0}µs"),
        ..1_000_000.0 => format!("{:.2}ms", us / 1e3),
        _ => format!("{:.2}s", us / 1e6),
    }
}

fn perftest_line(id: &str, interval: &IntervalOutcome) -> String {
    let rates = &interval.rates;
    let mut line = format!("id: {id}, time {:.3} s", interval.end);
    let shown = [
        ("sent", rates.sent, true),
        ("returned", rates.returned, rates.returned > 0.0),
        ("confirmed", rates.confirmed, interval.confirm.is_some()),
        ("nacked", rates.nacked, interval.confirm.is_some()),
        ("received", rates.received, true),
    ];
    for (name, rate, _) in shown.iter().filter(|(_, _, is_shown)| *is_shown) {
        let _ = write!(line, ", {name}: {rate:.0} msg/s");
    }
    if let Some(consume) = &interval.consume {
        let _ =
            write!(line, ", min/median/75th/95th/99th/max consumer latency: {} µs", six(consume));
    }
    if let Some(confirm) = &interval.confirm {
        let _ = write!(line, ", confirm latency: {} µs", six(confirm));
    }
    line
}

fn compact_line(interval: &IntervalOutcome) -> String {
    let latency = interval.consume.or(interval.confirm).unwrap_or_default();
    format!(
        "{:.1} s: {} sent/s, {} received/s, p50 {}, p99 {}",
        interval.end,
        count(interval.rates.sent),
        count(interval.rates.received),
        duration(latency.p50),
        duration(latency.p99),
    )
}

fn six(latency: &Quantiles) -> String {
    let Quantiles { min, p50, p75, p95, p99, max, .. } = latency;
    format!("{min:.0}/{p50:.0}/{p75:.0}/{p95:.0}/{p99:.0}/{max:.0}")
}

/// The summary: PerfTest's lines first, then what it does not tell.
pub(crate) fn summary(outcome: &Outcome) -> String {
    let id = &outcome.id;
    let mut text = String::new();
    let rates = &outcome.rates;
    let _ = writeln!(text, "id: {id}, sending rate avg: {:.0} msg/s", rates.sent);
    let _ = writeln!(text, "id: {id}, receiving rate avg: {:.0} msg/s", rates.received);
    let latencies = [
        ("consumer latency", &outcome.latency.consume),
        ("confirm latency", &outcome.latency.confirm),
    ];
    for (name, latency) in latencies {
        if let Some(latency) = latency {
            let six = six(latency);
            let _ = writeln!(text, "id: {id}, {name} min/median/75th/95th/99th/max {six} µs");
        }
    }
    let all = [
        ("consumer, from intended sending", &outcome.latency.consume),
        ("consumer, from real sending", &outcome.latency.consume_raw),
        ("confirm, from intended sending", &outcome.latency.confirm),
        ("confirm, from real sending", &outcome.latency.confirm_raw),
        ("generator's own lag", &outcome.latency.lag),
    ];
    for (name, latency) in all {
        if let Some(latency) = latency {
            let _ = write!(text, "  {name}:");
            for (point, us) in latency.points() {
                let _ = write!(text, " {point} {}", duration(us));
            }
            text.push('\n');
        }
    }
    write_surroundings(&mut text, outcome);
    write_judgement(&mut text, outcome);
    text
}

fn write_surroundings(text: &mut String, outcome: &Outcome) {
    let broker = &outcome.broker;
    let _ = write!(text, "  broker: {} at {}", broker.name(), outcome.uri);
    if let Some(process) = &outcome.broker_process {
        let mib = |bytes: u64| bytes as f64 / 1_048_576.0;
        let _ = write!(
            text,
            "; CPU per message {:.3} µs user + {:.3} µs system, {:.2} CPUs in all; memory {:.1} \
             MiB before, {:.1} peak, {:.1} after",
            process.user_us_per_message,
            process.system_us_per_message,
            process.cores_used,
            mib(process.rss_before),
            mib(process.rss_peak),
            mib(process.rss_after),
        );
    }
    let busy: Vec<String> = outcome
        .generator
        .busy_shares
        .iter()
        .map(|share| format!("{:.0}%", share * 100.0))
        .collect();
    let _ = writeln!(
        text,
        "\n  generator: busy {}, {:.0} octets per read; machine: steal {:.1}%, others {:.1}%",
        busy.join(" "),
        outcome.generator.bytes_per_read,
        outcome.steal_share * 100.0,
        outcome.foreign_share * 100.0,
    );
    for note in &outcome.notes {
        let _ = writeln!(text, "  note: {note}");
    }
    for disturbance in &outcome.disturbed {
        let _ = writeln!(text, "  DISTURBED: {disturbance}");
    }
    for reason in &outcome.void {
        let _ = writeln!(text, "  VOID: {reason}");
    }
}

fn write_judgement(text: &mut String, outcome: &Outcome) {
    let judgement = &outcome.judgement;
    let _ = write!(
        text,
        "  verified: {} sent, {} received; lost {}, duplicated {} (redelivered {}), out of order \
         {}, corrupted {}",
        count(outcome.totals.sent as f64),
        count(outcome.totals.received as f64),
        judgement.lost,
        judgement.duplicated + judgement.duplicated_redelivered,
        judgement.duplicated_redelivered,
        judgement.reordered,
        judgement.corrupted,
    );
    if judgement.unconfirmed > 0 {
        let _ = write!(text, "; {} neither confirmed nor received", judgement.unconfirmed);
    }
    if judgement.stale > 0 {
        let _ = write!(text, "; {} left over from another run", judgement.stale);
    }
    if let Some(reason) = &judgement.loss_unknown {
        let _ = write!(text, "; losses not checked: {reason}");
    }
    let verdict = match (judgement.is_clean(), &outcome.failure) {
        (false, _) => "FAILED",
        (true, Some(_)) => "no fault until the run failed",
        (true, None) => "ok",
    };
    let _ = writeln!(text, " -> {verdict}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sparklines_show_the_last_values() {
        assert_eq!(sparkline(&[0.0, 1.0, 4.0, 8.0]), "▁▁▄█");
        assert_eq!(sparkline(&[]), "");
        assert_eq!(sparkline(&[5.0; 100]).chars().count(), SPARK_WIDTH);
    }

    #[test]
    fn numbers_are_easy_to_read() {
        assert_eq!(count(1_234_567.0), "1,234,567");
        assert_eq!(count(12.0), "12");
        assert_eq!(duration(999.0), "999µs");
        assert_eq!(duration(1500.0), "1.50ms");
    }

    #[test]
    fn a_line_reads_like_perftests() {
        let mut interval = IntervalOutcome { end: 1.0, ..IntervalOutcome::default() };
        interval.rates.sent = 10.0;
        assert_eq!(
            perftest_line("x", &interval),
            "id: x, time 1.000 s, sent: 10 msg/s, received: 0 msg/s"
        );
    }
}
