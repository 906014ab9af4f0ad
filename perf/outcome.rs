//! The outcome of a run, as it is written and read as JSON.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::meter::{Counts, Meter};
use crate::process::{MachineFacts, MachineTimes};
use crate::verify::Judgement;

/// Raised when a field changes its meaning or goes.
pub(crate) const SCHEMA: u32 = 1;

/// Everything that is worth keeping of a run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) schema: u32,
    pub(crate) id: String,
    pub(crate) command: Vec<String>,
    pub(crate) started_unix_ms: u64,
    pub(crate) uri: String,
    pub(crate) broker: BrokerFacts,
    pub(crate) machine: MachineFacts,
    pub(crate) generator: GeneratorOutcome,
    /// What the figures are about: seconds of publishing without the warm-up.
    pub(crate) seconds: f64,
    pub(crate) rates: Rates,
    pub(crate) totals: Totals,
    pub(crate) latency: Latencies,
    pub(crate) judgement: Judgement,
    pub(crate) broker_process: Option<BrokerOutcome>,
    /// Of the whole machine, in µs, while it was measured.
    pub(crate) machine_times: MachineTimes,
    /// Shares of the machine's time.
    pub(crate) steal_share: f64,
    pub(crate) foreign_share: f64,
    /// Why the run ended early, if it did.
    #[serde(default)]
    pub(crate) failure: Option<String>,
    /// Why the figures do not say what they seem to say.
    pub(crate) void: Vec<String>,
    /// What else was going on.
    pub(crate) disturbed: Vec<String>,
    pub(crate) notes: Vec<String>,
    pub(crate) intervals: Vec<IntervalOutcome>,
}

/// What the broker says of itself, and where it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BrokerFacts {
    pub(crate) product: String,
    pub(crate) version: String,
    pub(crate) platform: String,
    /// Its own name and version, where it gives itself out as another one: of a server property
    /// that ends in `_version`.
    #[serde(default)]
    pub(crate) own_version: Option<String>,
    pub(crate) pid: Option<u32>,
    /// CPUs that it may use.
    pub(crate) cpus: Option<String>,
}

impl BrokerFacts {
    /// Name and version.
    pub(crate) fn name(&self) -> String {
        match &self.own_version {
            Some(own) => format!("{own} (as {} {})", self.product, self.version),
            None => format!("{} {}", self.product, self.version),
        }
    }
}

/// How the generator fared.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct GeneratorOutcome {
    /// By core: pinned to.
    pub(crate) cpus: Vec<Option<usize>>,
    /// By core: share of the time with something to do.
    pub(crate) busy_shares: Vec<f64>,
    pub(crate) cpu_us: u64,
    pub(crate) bytes_per_read: f64,
}

/// Per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rates {
    pub(crate) sent: f64,
    pub(crate) sent_bytes: f64,
    pub(crate) confirmed: f64,
    pub(crate) nacked: f64,
    pub(crate) returned: f64,
    pub(crate) received: f64,
    pub(crate) received_bytes: f64,
    pub(crate) redelivered: f64,
}

impl Rates {
    pub(crate) fn new(counts: &Counts, seconds: f64) -> Rates {
        let per_second = |count: u64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        Rates {
            sent: per_second(counts.sent),
            sent_bytes: per_second(counts.sent_bytes),
            confirmed: per_second(counts.confirmed),
            nacked: per_second(counts.nacked),
            returned: per_second(counts.returned),
            received: per_second(counts.received),
            received_bytes: per_second(counts.received_bytes),
            redelivered: per_second(counts.redelivered),
        }
    }
}

/// Of the whole run, warm-up and the rest after publishing included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Totals {
    pub(crate) sent: u64,
    pub(crate) confirmed: u64,
    pub(crate) nacked: u64,
    pub(crate) returned: u64,
    pub(crate) received: u64,
}

impl Totals {
    pub(crate) fn new(counts: &Counts) -> Totals {
        Totals {
            sent: counts.sent,
            confirmed: counts.confirmed,
            nacked: counts.nacked,
            returned: counts.returned,
            received: counts.received,
        }
    }
}

/// Latencies, `None` where nothing was timed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Latencies {
    /// Intended sending to consumer.
    pub(crate) consume: Option<Quantiles>,
    /// Real sending to consumer.
    pub(crate) consume_raw: Option<Quantiles>,
    /// Intended sending to confirm.
    pub(crate) confirm: Option<Quantiles>,
    /// Real sending to confirm.
    pub(crate) confirm_raw: Option<Quantiles>,
    /// Intended to real sending, where only the generator was in the way.
    pub(crate) lag: Option<Quantiles>,
}

impl Latencies {
    pub(crate) fn new(meter: &Meter) -> Latencies {
        Latencies {
            consume: Quantiles::of(&meter.consume),
            consume_raw: Quantiles::of(&meter.consume_raw),
            confirm: Quantiles::of(&meter.confirm),
            confirm_raw: Quantiles::of(&meter.confirm_raw),
            lag: Quantiles::of(&meter.lag),
        }
    }
}

/// A distribution, in µs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Quantiles {
    pub(crate) count: u64,
    pub(crate) min: f64,
    pub(crate) mean: f64,
    pub(crate) p50: f64,
    pub(crate) p75: f64,
    pub(crate) p90: f64,
    pub(crate) p95: f64,
    pub(crate) p99: f64,
    pub(crate) p99_9: f64,
    pub(crate) p99_99: f64,
    pub(crate) p99_999: f64,
    pub(crate) max: f64,
}

impl Quantiles {
    /// `None` of an empty histogram.
    pub(crate) fn of(histogram: &Histogram<u64>) -> Option<Quantiles> {
        if histogram.is_empty() {
            return None;
        }
        let us = |ns: u64| ns as f64 / 1000.0;
        let at = |quantile: f64| us(histogram.value_at_quantile(quantile));
        Some(Quantiles {
            count: histogram.len(),
            min: us(histogram.min()),
            mean: histogram.mean() / 1000.0,
            p50: at(0.5),
            p75: at(0.75),
            p90: at(0.9),
            p95: at(0.95),
            p99: at(0.99),
            p99_9: at(0.999),
            p99_99: at(0.9999),
            p99_999: at(0.99999),
            max: us(histogram.max()),
        })
    }

    /// Names and values, rising.
    pub(crate) fn points(&self) -> [(&'static str, f64); 9] {
        [
            ("p50", self.p50),
            ("p75", self.p75),
            ("p90", self.p90),
            ("p95", self.p95),
            ("p99", self.p99),
            ("p99.9", self.p99_9),
            ("p99.99", self.p99_99),
            ("p99.999", self.p99_999),
            ("max", self.max),
        ]
    }
}

/// What the broker's process used while it was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct BrokerOutcome {
    /// CPU time in CPUs.
    pub(crate) cores_used: f64,
    /// Share of a CPU that its busiest thread used.
    pub(crate) busiest_thread: f64,
    /// Per delivered message (per published one if nothing was consumed).
    pub(crate) user_us_per_message: f64,
    pub(crate) system_us_per_message: f64,
    pub(crate) rss_before: u64,
    pub(crate) rss_peak: u64,
    pub(crate) rss_after: u64,
}

/// One interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct IntervalOutcome {
    /// Its end, in seconds after the start.
    pub(crate) end: f64,
    pub(crate) seconds: f64,
    pub(crate) rates: Rates,
    pub(crate) consume: Option<Quantiles>,
    pub(crate) confirm: Option<Quantiles>,
    pub(crate) broker_cores: Option<f64>,
    pub(crate) broker_rss: Option<u64>,
    pub(crate) steal_share: f64,
    /// Part of the summary.
    pub(crate) is_measured: bool,
}
