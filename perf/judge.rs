//! The judgement on a run: what all cores saw, against what all producers sent.

use crate::core::CoreEnd;
use crate::plan::{Plan, PublisherPlan};
use crate::seq_set::SeqSet;
use crate::verify::{Judgement, Published, Tally, missing};

/// What is known about the end of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JudgeFacts {
    /// Bodies tell who sent them.
    pub(crate) knows_publishers: bool,
    /// It ended before its time.
    pub(crate) was_cut_short: bool,
    /// Everything had arrived and was confirmed.
    pub(crate) is_at_rest: bool,
    /// Nothing moved any more.
    pub(crate) has_standstill: bool,
    /// Consumers were to take only so many.
    pub(crate) consumers_limited: bool,
}

/// Judges a run.
pub(crate) fn judge(plan: &Plan, ends: &[CoreEnd], facts: &JudgeFacts) -> Judgement {
    let mut tally = Tally::default();
    ends.iter().for_each(|end| tally.add(&end.tally));
    let mut judgement = Judgement {
        duplicated: tally.duplicated,
        duplicated_redelivered: tally.duplicated_redelivered,
        reordered: tally.reordered,
        corrupted: tally.corrupted,
        stale: tally.stale,
        loss_unknown: unknown_because(plan, facts).map(str::to_owned),
        ..Judgement::default()
    };
    let mut published: Vec<&Published> = ends.iter().flat_map(|end| &end.published).collect();
    published.sort_by_key(|published| published.number);
    for (index, queue) in plan.queues.iter().enumerate() {
        if !queue.is_consumed {
            continue;
        }
        let (seen, twice) = merged(ends, index);
        // On different cores nobody noticed; whether they were marked is not known any more.
        judgement.duplicated += twice;
        if judgement.loss_unknown.is_some() {
            continue;
        }
        for published in &published {
            let publisher = &plan.publishers[published.number];
            let (lost, unconfirmed) = missing(published, seen.get(published.number), |seq| {
                reaches(publisher, seq, index)
            });
            judgement.lost += lost;
            judgement.unconfirmed += unconfirmed;
        }
    }
    judgement
}

fn unknown_because(plan: &Plan, facts: &JudgeFacts) -> Option<&'static str> {
    let reasons = [
        (plan.publishers.is_empty(), "nothing was published here"),
        (!plan.queues.iter().any(|queue| queue.is_consumed), "nothing was consumed here"),
        (facts.was_cut_short, "the run was cut short"),
        (!facts.knows_publishers, "bodies below 16 octets do not name their producer"),
        (!plan.is_reach_known, "the bindings are not known"),
        (facts.consumers_limited, "consumers were to take only so many"),
        (
            !facts.is_at_rest && !facts.has_standstill,
            "messages were still coming when the time was over (--shutdown-timeout)",
        ),
    ];
    reasons.iter().find(|(holds, _)| *holds).map(|(_, reason)| *reason)
}

/// What all cores together saw of a queue, by producer, and how many were seen on two cores.
fn merged(ends: &[CoreEnd], queue: usize) -> (Vec<SeqSet>, u64) {
    let mut seen: Vec<SeqSet> = Vec::new();
    let mut twice = 0;
    for check in ends.iter().filter_map(|end| end.checks.get(queue)) {
        if seen.len() < check.seen.len() {
            seen.resize_with(check.seen.len(), SeqSet::default);
        }
        for (all, one) in seen.iter_mut().zip(&check.seen) {
            if all.count() == 0 {
                *all = one.clone();
            } else if one.count() > 0 {
                twice += all.merge(one);
            }
        }
    }
    (seen, twice)
}

fn reaches(publisher: &PublisherPlan, seq: u64, queue: usize) -> bool {
    publisher.reach[(seq % publisher.reach.len() as u64) as usize].contains(&queue)
}
