//! Whoever makes many mistakes must not fill the log.

use std::time::{Duration, Instant};

/// How long a period is, from its first line on.
const PERIOD: Duration = Duration::from_secs(10);
/// Lines that are written one by one in a period.
const LINES_PER_PERIOD: u64 = 20;

/// How much of one kind of lines a core has written. What is beyond the limit of a period is
/// counted, and told of in one line when the period is over.
#[derive(Debug, Default)]
pub(crate) struct ReportLog {
    /// When the period began; none has before the first line.
    since: Option<Instant>,
    written: u64,
    suppressed: u64,
}

impl ReportLog {
    /// Whether a line may be written; if not, it is counted.
    pub(crate) fn admit(&mut self, now: Instant) -> bool {
        self.begin_period(now);
        let is_admitted = self.written < LINES_PER_PERIOD;
        self.written += u64::from(is_admitted);
        self.suppressed += u64::from(!is_admitted);
        is_admitted
    }

    /// Counts lines that did not even come here.
    pub(crate) fn suppress(&mut self, count: u64, now: Instant) {
        if count > 0 {
            self.begin_period(now);
            self.suppressed += count;
        }
    }

    /// When `poll_suppressed` has something to tell.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.since.filter(|_| self.suppressed > 0).map(|since| since + PERIOD)
    }

    /// How many lines were left out in a period that is over, if any were.
    pub(crate) fn poll_suppressed(&mut self, now: Instant) -> Option<u64> {
        let is_due = self.deadline().is_some_and(|at| at <= now);
        is_due.then(|| self.take_suppressed()).flatten()
    }

    /// How many lines were left out until now, if any were.
    pub(crate) fn take_suppressed(&mut self) -> Option<u64> {
        let count = std::mem::take(&mut self.suppressed);
        (count > 0).then_some(count)
    }

    fn begin_period(&mut self, now: Instant) {
        if self.since.is_none_or(|since| now >= since + PERIOD) {
            self.since = Some(now);
            self.written = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_beyond_the_limit_are_told_of_once_and_after_the_period() {
        let start = Instant::now();
        let mut log = ReportLog::default();
        assert_eq!(log.deadline(), None);
        let written = (0..LINES_PER_PERIOD + 5).filter(|_| log.admit(start)).count();
        assert_eq!(written as u64, LINES_PER_PERIOD);
        log.suppress(100, start);
        assert_eq!(log.poll_suppressed(start), None, "the period is not over");
        let end = start + PERIOD;
        assert_eq!(log.deadline(), Some(end));
        assert_eq!(log.poll_suppressed(end), Some(105));
        assert_eq!((log.poll_suppressed(end), log.deadline()), (None, None));
        assert!(log.admit(end), "another period has begun");
    }

    #[test]
    fn few_lines_are_all_written_and_nothing_is_told_of() {
        let start = Instant::now();
        let mut log = ReportLog::default();
        for second in 0..60 {
            let now = start + Duration::from_secs(second);
            assert!(log.admit(now));
            assert_eq!(log.poll_suppressed(now), None);
        }
        assert_eq!(log.take_suppressed(), None);
    }
}
