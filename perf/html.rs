//! One self-contained page about one run: no script, no file beside it, charts as inline SVG.

mod chart;

use std::fmt::Write as _;

use crate::html::chart::{Line, latency_chart, time_chart};
use crate::lines::{count, duration};
use crate::outcome::{IntervalOutcome, Outcome};

const STYLE: &str = include_str!("html/style.css");

/// The page.
pub(crate) fn report(outcome: &Outcome) -> String {
    let mut page = String::new();
    let broker = outcome.broker.own_version.as_ref().unwrap_or(&outcome.broker.product);
    let title = format!("{}: {}", escape(broker), escape(&outcome.id));
    let _ = write!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{title}</title><style>{STYLE}</style></head><body>\n<h1>{title}</h1>\n\
         <p class=\"lead\">{} at {}</p>\n",
        escape(&outcome.broker.name()),
        escape(&outcome.uri),
    );
    write_banners(&mut page, outcome);
    write_tiles(&mut page, outcome);
    write_charts(&mut page, outcome);
    write_latency_table(&mut page, outcome);
    write_facts(&mut page, outcome);
    page.push_str("</body></html>\n");
    page
}

/// Text that cannot be taken for markup.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            letter => escaped.push(letter),
        }
    }
    escaped
}

fn write_banners(page: &mut String, outcome: &Outcome) {
    let judgement = &outcome.judgement;
    let banner = match (judgement.is_clean(), &judgement.loss_unknown) {
        (false, _) => format!(
            "<p class=\"banner bad\">The broker broke its promises: lost {}, duplicated {}, out of \
             order {}, corrupted {}.</p>\n",
            judgement.lost,
            judgement.duplicated + judgement.duplicated_redelivered,
            judgement.reordered,
            judgement.corrupted
        ),
        (true, Some(reason)) => format!(
            "<p class=\"banner\">Every message that arrived was checked and sound. Losses were not \
             checked: {}.</p>\n",
            escape(reason)
        ),
        (true, None) => format!(
            "<p class=\"banner good\">All {} messages were checked: none lost, duplicated, out of \
             order or corrupted.</p>\n",
            count(outcome.totals.received as f64)
        ),
    };
    page.push_str(&banner);
    if let Some(failure) = &outcome.failure {
        let _ = writeln!(page, "<p class=\"banner bad\"><b>Failed.</b> {}</p>", escape(failure));
    }
    for reason in &outcome.void {
        let _ = writeln!(page, "<p class=\"banner bad\"><b>Void.</b> {}</p>", escape(reason));
    }
    for reason in &outcome.disturbed {
        let _ = writeln!(page, "<p class=\"banner warn\"><b>Disturbed:</b> {}</p>", escape(reason));
    }
    for note in &outcome.notes {
        let _ = writeln!(page, "<p class=\"banner\">{}</p>", escape(note));
    }
}

fn write_tiles(page: &mut String, outcome: &Outcome) {
    let latency = outcome.latency.consume.or(outcome.latency.confirm);
    let mut tiles = vec![
        ("sent", count(outcome.rates.sent), "messages/s"),
        ("received", count(outcome.rates.received), "messages/s"),
    ];
    if let Some(latency) = latency {
        tiles.push(("median latency", duration(latency.p50), ""));
        tiles.push(("p99 latency", duration(latency.p99), ""));
    }
    if let Some(process) = &outcome.broker_process {
        let us = process.user_us_per_message + process.system_us_per_message;
        tiles.push(("broker CPU", format!("{us:.2}"), "µs/message"));
        let mib = process.rss_peak as f64 / 1_048_576.0;
        tiles.push(("broker memory", format!("{mib:.0}"), "MiB at its peak"));
    }
    page.push_str("<div class=\"tiles\">");
    for (name, value, unit) in tiles {
        let _ = write!(page, "<div><span>{name}</span><b>{value}</b><span>{unit}</span></div>");
    }
    page.push_str("</div>\n");
}

fn points(outcome: &Outcome, of: impl Fn(&IntervalOutcome) -> Option<f64>) -> Vec<(f64, f64)> {
    // The rest after the last whole interval is too short for a rate.
    let longest = outcome.intervals.iter().map(|interval| interval.seconds).fold(0.0, f64::max);
    let intervals = outcome.intervals.iter().filter(|interval| interval.seconds > longest / 4.0);
    intervals.filter_map(|interval| Some((interval.end, of(interval)?))).collect()
}

fn write_charts(page: &mut String, outcome: &Outcome) {
    let rate = |of: fn(&IntervalOutcome) -> f64| points(outcome, |interval| Some(of(interval)));
    let mut lines = vec![
        Line::new("sent", "a", rate(|interval| interval.rates.sent)),
        Line::new("received", "b", rate(|interval| interval.rates.received)),
    ];
    if outcome.totals.confirmed > 0 {
        lines.push(Line::new("confirmed", "c", rate(|interval| interval.rates.confirmed)));
    }
    page.push_str(&time_chart("Messages per second", &lines, count));
    let latency = [
        Line::new("p50", "a", points(outcome, |interval| Some(best(interval)?.p50))),
        Line::new("p99", "b", points(outcome, |interval| Some(best(interval)?.p99))),
        Line::new("max", "c", points(outcome, |interval| Some(best(interval)?.max))),
    ];
    page.push_str(&time_chart("Latency over time", &latency, duration));
    let kinds = [
        ("consumer, from intended sending", "a", &outcome.latency.consume),
        ("consumer, from real sending", "b", &outcome.latency.consume_raw),
        ("confirm, from intended sending", "c", &outcome.latency.confirm),
        ("generator's own lag", "d", &outcome.latency.lag),
    ];
    page.push_str(&latency_chart("Latency by percentile", &kinds));
    let cpu = [Line::new("CPUs used", "a", points(outcome, |interval| interval.broker_cores))];
    page.push_str(&time_chart("Broker: CPU", &cpu, |cores| format!("{cores:.2}")));
    let memory = points(outcome, |interval| Some(interval.broker_rss? as f64 / 1_048_576.0));
    let memory = [Line::new("resident MiB", "b", memory)];
    page.push_str(&time_chart("Broker: memory", &memory, |mib| format!("{mib:.0} MiB")));
}

fn best(interval: &IntervalOutcome) -> Option<crate::outcome::Quantiles> {
    interval.consume.or(interval.confirm)
}

fn write_latency_table(page: &mut String, outcome: &Outcome) {
    let kinds = [
        ("consumer, from intended sending", &outcome.latency.consume),
        ("consumer, from real sending", &outcome.latency.consume_raw),
        ("confirm, from intended sending", &outcome.latency.confirm),
        ("confirm, from real sending", &outcome.latency.confirm_raw),
        ("generator's own lag", &outcome.latency.lag),
    ];
    let Some(first) = kinds.iter().find_map(|(_, quantiles)| quantiles.as_ref()) else { return };
    page.push_str(
        "<h2>Latencies</h2>\n<div class=\"scroll\"><table><tr><th></th><th>messages</th>",
    );
    for (name, _) in first.points() {
        let _ = write!(page, "<th>{name}</th>");
    }
    page.push_str("</tr>\n");
    for (name, quantiles) in kinds {
        let Some(quantiles) = quantiles else { continue };
        let _ = write!(page, "<tr><th>{name}</th><td>{}</td>", count(quantiles.count as f64));
        for (_, us) in quantiles.points() {
            let _ = write!(page, "<td>{}</td>", duration(us));
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</table></div>\n");
}

fn write_facts(page: &mut String, outcome: &Outcome) {
    let machine = &outcome.machine;
    let generator = &outcome.generator;
    let cpus = |cpus: &[Option<usize>]| {
        let shown = cpus.iter().map(|cpu| cpu.map_or("any".to_owned(), |cpu| cpu.to_string()));
        shown.collect::<Vec<_>>().join(", ")
    };
    let busy: Vec<String> =
        generator.busy_shares.iter().map(|share| format!("{:.0} %", share * 100.0)).collect();
    let facts = [
        ("Command", outcome.command.join(" ")),
        ("Measured", format!("{:.1} s", outcome.seconds)),
        (
            "Machine",
            format!("{}, {} CPUs, Linux {}", machine.cpu_model, machine.cpus, machine.kernel),
        ),
        ("Broker's CPUs", outcome.broker.cpus.clone().unwrap_or_else(|| "not known".to_owned())),
        ("Broker's platform", outcome.broker.platform.clone()),
        ("Generator's CPUs", cpus(&generator.cpus)),
        ("Generator busy", busy.join(", ")),
        ("Octets per read", format!("{:.0}", generator.bytes_per_read)),
        ("Steal", format!("{:.1} %", outcome.steal_share * 100.0)),
        ("Other programs", format!("{:.1} %", outcome.foreign_share * 100.0)),
    ];
    page.push_str("<h2>Circumstances</h2>\n<table class=\"facts\">\n");
    for (name, value) in facts {
        let _ = writeln!(page, "<tr><th>{name}</th><td>{}</td></tr>", escape(&value));
    }
    page.push_str("</table>\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Quantiles;

    #[test]
    fn the_page_stands_alone_and_its_tags_close() {
        let interval = IntervalOutcome {
            end: 1.0,
            seconds: 1.0,
            consume: Some(Quantiles { p50: 20.0, p99: 900.0, max: 1e5, ..Quantiles::default() }),
            broker_cores: Some(0.4),
            broker_rss: Some(1 << 24),
            ..IntervalOutcome::default()
        };
        let mut outcome = Outcome {
            id: "a <b> & \"c\"".to_owned(),
            intervals: vec![interval, IntervalOutcome { end: 2.0, ..interval }],
            ..Outcome::default()
        };
        outcome.latency.consume = interval.consume;
        let page = report(&outcome);
        assert!(page.contains("a &lt;b&gt; &amp; &quot;c&quot;"));
        for outside in ["http://", "https://", "<script", "src="] {
            assert!(!page.contains(outside), "{outside}");
        }
        for tag in ["svg", "table", "tr", "td", "th", "text", "div", "p", "g", "figure"] {
            let opened = page.matches(&format!("<{tag}>")).count()
                + page.matches(&format!("<{tag} ")).count();
            assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{tag}");
        }
    }
}
