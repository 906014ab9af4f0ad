//! Holding what arrives against what was sent: every message, not a sample.

use serde::{Deserialize, Serialize};

use crate::body::{Damage, Stamp};
use crate::ledger::Origin;
use crate::seq_set::SeqSet;

/// Faults that are seen at once, as counts of messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Came again without being marked as redelivered.
    pub(crate) duplicated: u64,
    /// Came again, marked.
    pub(crate) duplicated_redelivered: u64,
    /// Came to a consumer after a later one of the same publisher.
    pub(crate) reordered: u64,
    /// Failed a check, or is no body of ours.
    pub(crate) corrupted: u64,
    /// Was sent before this run.
    pub(crate) stale: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Tally) {
        self.duplicated += other.duplicated;
        self.duplicated_redelivered += other.duplicated_redelivered;
        self.reordered += other.reordered;
        self.corrupted += other.corrupted;
        self.stale += other.stale;
    }
}

/// What a run can check at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    /// Messages intended before this are of another run, in ns of the Unix epoch.
    pub(crate) start_unix_ns: u64,
    /// Bodies name their publisher, or there is only one.
    pub(crate) knows_publishers: bool,
    /// The run puts messages back, so redelivered ones may come again.
    pub(crate) expects_redelivery: bool,
}

/// What the consumers of one queue on one core have seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct QueueCheck {
    /// By publisher.
    pub(crate) seen: Vec<SeqSet>,
}

/// How far one consumer has come, by publisher: one more than the last number.
#[derive(Clone, Debug, Default)]
pub(crate) struct OrderCheck {
    ends: Vec<u64>,
    is_off: bool,
}

/// What a delivery turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Expected, and for the first time; with its number, which does not wrap.
    First(Stamp, u64),
    /// Seen before; with its number.
    Again(Stamp, u64),
    /// Of another run, or unreadable.
    Other,
}

impl Verdict {
    /// Who sent it and as which, if it is of this run.
    pub(crate) fn origin(&self) -> Option<Origin> {
        match *self {
            Verdict::First(stamp, seq) | Verdict::Again(stamp, seq) => {
                Some(Origin { publisher: stamp.publisher, seq })
            }
            Verdict::Other => None,
        }
    }
}

impl QueueCheck {
    /// Judges one delivery to a consumer of this queue.
    #[inline]
    pub(crate) fn judge(
        &mut self,
        order: &mut OrderCheck,
        body: Result<Stamp, Damage>,
        redelivered: bool,
        rules: &Rules,
        tally: &mut Tally,
    ) -> Verdict {
        let stamp = match body {
            Ok(stamp) => stamp,
            Err(Damage::Content(stamp)) => {
                tally.corrupted += 1;
                stamp
            }
            Err(Damage::Head | Damage::TooShort) => {
                tally.corrupted += 1;
                return Verdict::Other;
            }
        };
        if stamp.time < rules.start_unix_ns {
            tally.stale += 1;
            return Verdict::Other;
        }
        if !rules.knows_publishers {
            return Verdict::First(stamp, u64::from(stamp.seq));
        }
        let index = usize::from(stamp.publisher);
        if index >= self.seen.len() {
            self.seen.resize_with(index + 1, SeqSet::default);
        }
        let seen = &mut self.seen[index];
        let seq = expand(stamp.seq, seen.end());
        if !seen.insert(seq) {
            match (redelivered, rules.expects_redelivery) {
                (true, true) => {}
                (true, false) => tally.duplicated_redelivered += 1,
                (false, _) => tally.duplicated += 1,
            }
            return Verdict::Again(stamp, seq);
        }
        if !redelivered && !order.is_in_order(index, seq) {
            tally.reordered += 1;
        }
        Verdict::First(stamp, seq)
    }
}

impl OrderCheck {
    /// For a consumer whose messages take ways that may overtake each other.
    pub(crate) fn off() -> OrderCheck {
        OrderCheck { is_off: true, ..OrderCheck::default() }
    }

    #[inline]
    fn is_in_order(&mut self, publisher: usize, seq: u64) -> bool {
        if self.is_off {
            return true;
        }
        if publisher >= self.ends.len() {
            self.ends.resize(publisher + 1, 0);
        }
        let end = &mut self.ends[publisher];
        let is_later = seq >= *end;
        *end = (*end).max(seq + 1);
        is_later
    }
}

/// The number that `seq` stands for, nearest to `expected`.
#[inline]
pub(crate) fn expand(seq: u32, expected: u64) -> u64 {
    let ahead = seq.wrapping_sub(expected as u32) as i32;
    expected.checked_add_signed(i64::from(ahead)).unwrap_or_else(|| u64::from(seq))
}

/// What a publisher has to say at the end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Published {
    /// Its number in the run.
    pub(crate) number: usize,
    /// Messages sent; their numbers are below this.
    pub(crate) sent: u64,
    /// Numbers that the broker confirmed; `None` without confirms.
    pub(crate) confirmed: Option<SeqSet>,
    /// Numbers that the broker refused.
    pub(crate) nacked: SeqSet,
    /// Numbers that came back as unroutable.
    pub(crate) returned: SeqSet,
}

/// The judgement on a whole run, as counts of messages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Judgement {
    /// Should have arrived at a queue's consumers and did not. With confirms: confirmed ones.
    pub(crate) lost: u64,
    /// Neither arrived nor confirmed.
    pub(crate) unconfirmed: u64,
    /// Came again without being marked as redelivered.
    pub(crate) duplicated: u64,
    /// Came again, marked.
    pub(crate) duplicated_redelivered: u64,
    /// Came after a later one of the same publisher.
    pub(crate) reordered: u64,
    /// Failed a check.
    pub(crate) corrupted: u64,
    /// Were left over from another run.
    pub(crate) stale: u64,
    /// Why losses could not be told, if so.
    pub(crate) loss_unknown: Option<String>,
}

impl Judgement {
    /// The broker has kept every promise that could be checked.
    pub(crate) fn is_clean(&self) -> bool {
        self.lost + self.duplicated + self.duplicated_redelivered + self.reordered + self.corrupted
            == 0
    }
}

/// Counts what did not arrive at one queue: (lost, unconfirmed). `expects` tells whether the queue
/// should get the message with a number.
pub(crate) fn missing(
    published: &Published,
    seen: Option<&SeqSet>,
    expects: impl Fn(u64) -> bool,
) -> (u64, u64) {
    let from = seen.map_or(0, SeqSet::complete_to);
    let mut counts = (0, 0);
    for seq in from..published.sent {
        let is_settled = published.nacked.contains(seq) || published.returned.contains(seq);
        if is_settled || !expects(seq) || seen.is_some_and(|seen| seen.contains(seq)) {
            continue;
        }
        match &published.confirmed {
            Some(confirmed) if !confirmed.contains(seq) => counts.1 += 1,
            _ => counts.0 += 1,
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules =
        Rules { start_unix_ns: 10, knows_publishers: true, expects_redelivery: false };

    fn judge_all(seqs: &[(u32, bool)], rules: &Rules) -> (Tally, QueueCheck) {
        let (mut queue, mut order, mut tally) =
            (QueueCheck::default(), OrderCheck::default(), Tally::default());
        for (seq, redelivered) in seqs {
            let stamp = Stamp { seq: *seq, time: 10, publisher: 3, lag: 0 };
            queue.judge(&mut order, Ok(stamp), *redelivered, rules, &mut tally);
        }
        (tally, queue)
    }

    #[test]
    fn a_stream_in_order_is_clean() {
        let (tally, queue) = judge_all(&[(0, false), (1, false), (2, false)], &RULES);
        assert_eq!(tally, Tally::default());
        let published = Published { sent: 3, ..Published::default() };
        assert_eq!(missing(&published, queue.seen.get(3), |_| true), (0, 0));
    }

    #[test]
    fn each_fault_is_counted_as_itself() {
        let seqs = [(0, false), (2, false), (1, false), (2, false), (0, true)];
        let (tally, queue) = judge_all(&seqs, &RULES);
        let expected =
            Tally { duplicated: 1, duplicated_redelivered: 1, reordered: 1, ..Tally::default() };
        assert_eq!(tally, expected);
        let published = Published { sent: 5, ..Published::default() };
        assert_eq!(missing(&published, queue.seen.get(3), |_| true), (2, 0));
    }

    #[test]
    fn a_requeue_is_no_fault_where_it_is_asked_for() {
        let rules = Rules { expects_redelivery: true, ..RULES };
        let (tally, _) = judge_all(&[(0, false), (1, false), (0, true), (1, true)], &rules);
        assert_eq!(tally, Tally::default());
    }

    #[test]
    fn refused_returned_and_unconfirmed_messages_are_not_lost() {
        let mut published =
            Published { sent: 4, confirmed: Some(SeqSet::default()), ..Published::default() };
        published.nacked.insert(0);
        published.returned.insert(1);
        if let Some(confirmed) = &mut published.confirmed {
            confirmed.insert(2);
        }
        assert_eq!(missing(&published, None, |_| true), (1, 1));
        assert_eq!(missing(&published, None, |seq| seq != 2), (0, 1));
    }

    #[test]
    fn numbers_go_on_after_they_wrap() {
        assert_eq!(expand(5, (1 << 32) - 2), (1 << 32) + 5);
        assert_eq!(expand(u32::MAX, (1 << 32) + 3), (1 << 32) - 1);
        assert_eq!(expand(7, 0), 7);
    }
}
