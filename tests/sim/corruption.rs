//! Bugs planted between the shards, to show that the simulation finds what it is there to find.

use haremq_broker::queue::Outcome;
use haremq_shard::mesh::{Answer, Batch, Parcel, Request};

/// A planted bug.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Corruption {
    /// None.
    #[default]
    None,
    /// An ack settles the next delivery too.
    AckCountedTwice,
    /// What was to be requeued is dropped.
    RequeueLost,
    /// A home's answer to a channel's close goes before its last deliveries.
    CloseOvertakes,
}

impl Corruption {
    /// Spoils a batch on its way.
    pub(crate) fn spoil(self, batch: &mut Batch) {
        match self {
            Corruption::None => {}
            Corruption::AckCountedTwice => {
                batch.parcels.iter_mut().for_each(settle_neighbour);
            }
            Corruption::RequeueLost => batch.parcels.iter_mut().for_each(lose_requeue),
            Corruption::CloseOvertakes => let_closes_overtake(batch),
        }
    }
}

fn settle_neighbour(parcel: &mut Parcel) {
    if let Parcel::Request(Request::Settle { last, outcome: Outcome::Acked, .. }) = parcel {
        *last += 1;
    }
}

fn lose_requeue(parcel: &mut Parcel) {
    if let Parcel::Request(Request::Settle { outcome, .. }) = parcel
        && *outcome == Outcome::Requeued
    {
        *outcome = Outcome::Rejected;
    }
}

/// Parcels say where their contents lie, so their order is all that changes.
fn let_closes_overtake(batch: &mut Batch) {
    let is_close = |parcel: &Parcel| matches!(parcel, Parcel::Answer(Answer::ChannelClosed { .. }));
    batch.parcels.sort_by_key(|parcel| !is_close(parcel));
}
