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
    /// Lines that were left out in periods that are over, and not told of.
    overdue: u64,
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
        if self.overdue > 0 {
            return self.since;
        }
        self.since.filter(|_| self.suppressed > 0).map(|since| since + PERIOD)
    }

    /// How many lines were left out in periods that are over, if any were.
    pub(crate) fn poll_suppressed(&mut self, now: Instant) -> Option<u64> {
        if self.since.is_some_and(|since| now >= since + PERIOD) {
            self.end_period();
        }
        some(std::mem::take(&mut self.overdue))
    }

    /// How many lines were left out until now, if any were.
    pub(crate) fn take_suppressed(&mut self) -> Option<u64> {
        self.end_period();
        some(std::mem::take(&mut self.overdue))
    }

    fn end_period(&mut self) {
        self.overdue += std::mem::take(&mut self.suppressed);
    }

    fn begin_period(&mut self, now: Instant) {
        if self.since.is_none_or(|since| now >= since + PERIOD) {
            self.end_period();
            self.since = Some(now);
            self.written = 0;
        }
    }
}

fn some(count: u64) -> Option<u64> {
    (count > 0).then_some(count)
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
    fn a_flood_that_goes_on_is_told_of_in_each_period() {
        let start = Instant::now();
        let mut log = ReportLog::default();
        let (mut written, mut told) = (0, Vec::new());
        // A line comes each 10 ms, before it is asked what is to be told.
        for step in 0..3 * 1_000 + 1 {
            let now = start + Duration::from_millis(10 * step);
            written += u64::from(log.admit(now));
            told.extend(log.poll_suppressed(now).map(|count| (step, count)));
        }
        let left_out = 1_000 - LINES_PER_PERIOD;
        assert_eq!(told, [1_000, 2_000, 3_000].map(|step| (step, left_out)));
        assert_eq!(written, 3 * LINES_PER_PERIOD + 1);
        assert_eq!((log.take_suppressed(), log.deadline()), (None, None));
    }

    #[test]
    fn lines_that_did_not_come_here_do_not_put_off_what_is_to_be_told() {
        let start = Instant::now();
        let mut log = ReportLog::default();
        log.suppress(3, start);
        let end = start + PERIOD;
        log.suppress(4, end);
        assert_eq!(log.deadline(), Some(end), "those of the period that is over");
        assert_eq!(log.poll_suppressed(end), Some(3));
        assert_eq!(log.deadline(), Some(end + PERIOD));
        assert_eq!(log.poll_suppressed(end + PERIOD), Some(4));
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
