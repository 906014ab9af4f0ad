//! Histograms per interval, in the form that the HdrHistogram tools read (`.hlog`).

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

use crate::meter::Meter;

/// Values are in ns; readers show them in ms.
const NS_PER_MS: f64 = 1e6;

/// A log's kind of latency: its tag, and where it is found.
type Kind = (&'static str, fn(&Meter) -> &Histogram<u64>);

const KINDS: [Kind; 4] = [
    ("consume", |meter| &meter.consume),
    ("consume-raw", |meter| &meter.consume_raw),
    ("confirm", |meter| &meter.confirm),
    ("confirm-raw", |meter| &meter.confirm_raw),
];

/// Writes the intervals of a run.
///
/// # Errors
/// What went wrong, for the user.
pub(crate) fn write(
    path: &Path,
    meters: &[Meter],
    interval: Duration,
    started_unix_ms: u64,
) -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let file = File::create(path).map_err(|error| failed(&error))?;
    let mut file = BufWriter::new(file);
    let mut serializer = V2DeflateSerializer::new();
    let start = UNIX_EPOCH + Duration::from_millis(started_unix_ms);
    let mut log = IntervalLogWriterBuilder::new()
        .add_comment("haremq-perf: latencies in ns")
        .with_start_time(start)
        .with_base_time(start)
        .with_max_value_divisor(NS_PER_MS)
        .begin_log_with(&mut file, &mut serializer)
        .map_err(|error| failed(&error))?;
    for (index, meter) in meters.iter().enumerate() {
        for (name, of) in KINDS {
            let histogram = of(meter);
            if histogram.is_empty() {
                continue;
            }
            let tag = Tag::new(name).expect("the names have no comma, space or line end");
            let offset = interval * index as u32;
            log.write_histogram(histogram, offset, interval, Some(tag))
                .map_err(|error| failed(&format!("{error:?}")))?;
        }
    }
    file.flush().map_err(|error| failed(&error))
}
