//! Counts and latencies of one core over one interval, or of a run.

use hdrhistogram::Histogram;

/// Latencies are kept from 1 µs to 60 s, with three digits.
const LATENCY_MIN_NS: u64 = 1_000;
const LATENCY_MAX_NS: u64 = 60_000_000_000;
const DIGITS: u8 = 3;

/// An empty histogram of latencies in nanoseconds.
pub(crate) fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(LATENCY_MIN_NS, LATENCY_MAX_NS, DIGITS)
        .expect("the bounds are sound")
}

/// What happened in an interval.
#[derive(Clone, Debug)]
pub(crate) struct Meter {
    pub(crate) counts: Counts,
    /// From the intended sending to the consumer.
    pub(crate) consume: Histogram<u64>,
    /// From the real sending to the consumer; empty if bodies have no room for it.
    pub(crate) consume_raw: Histogram<u64>,
    /// From the intended sending to the confirm.
    pub(crate) confirm: Histogram<u64>,
    /// From the real sending to the confirm.
    pub(crate) confirm_raw: Histogram<u64>,
    /// How late the generator itself was: not counting what it waited for the broker.
    pub(crate) lag: Histogram<u64>,
}

/// Plain totals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) sent: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) confirmed: u64,
    pub(crate) nacked: u64,
    pub(crate) returned: u64,
    pub(crate) received: u64,
    pub(crate) received_bytes: u64,
    /// Marked as redelivered.
    pub(crate) redelivered: u64,
    /// `recv` calls, and what they brought in all.
    pub(crate) reads: u64,
    pub(crate) read_bytes: u64,
    /// Time in which the core had something to do, in ns.
    pub(crate) busy_ns: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, other: &Counts) {
        self.sent += other.sent;
        self.sent_bytes += other.sent_bytes;
        self.confirmed += other.confirmed;
        self.nacked += other.nacked;
        self.returned += other.returned;
        self.received += other.received;
        self.received_bytes += other.received_bytes;
        self.redelivered += other.redelivered;
        self.reads += other.reads;
        self.read_bytes += other.read_bytes;
        self.busy_ns += other.busy_ns;
    }
}

impl Meter {
    pub(crate) fn new() -> Meter {
        Meter {
            counts: Counts::default(),
            consume: latencies(),
            consume_raw: latencies(),
            confirm: latencies(),
            confirm_raw: latencies(),
            lag: latencies(),
        }
    }

    pub(crate) fn add(&mut self, other: &Meter) {
        self.counts.add(&other.counts);
        let pairs = [
            (&mut self.consume, &other.consume),
            (&mut self.consume_raw, &other.consume_raw),
            (&mut self.confirm, &other.confirm),
            (&mut self.confirm_raw, &other.confirm_raw),
            (&mut self.lag, &other.lag),
        ];
        for (total, part) in pairs {
            total.add(part).expect("all have the same bounds");
        }
    }
}

/// Notes a latency; what is above the range counts as its end.
#[inline]
pub(crate) fn note(histogram: &mut Histogram<u64>, latency_ns: u64) {
    histogram.saturating_record(latency_ns.max(1));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_have_three_digits() {
        let mut histogram = latencies();
        for latency_ns in [12_345, 1_234_567, 50_000_000_000] {
            note(&mut histogram, latency_ns);
            let shown = histogram.max() as f64 / latency_ns as f64;
            assert!((0.999..1.05).contains(&shown), "{latency_ns}: {shown}");
        }
        note(&mut histogram, u64::MAX);
        assert!(histogram.max() >= LATENCY_MAX_NS);
    }

    #[test]
    fn adding_keeps_every_count() {
        let (mut total, mut part) = (Meter::new(), Meter::new());
        part.counts.sent = 3;
        note(&mut part.lag, 5_000);
        total.add(&part);
        total.add(&part);
        assert_eq!((total.counts.sent, total.lag.len()), (6, 2));
    }
}
