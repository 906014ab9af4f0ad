//! When a home has taken responsibility for a publish: at once, or when the log is synced.

use haremq_broker::ids::ChannelAddress;

use super::{Acceptance, Unsynced};
use crate::mesh::Arrival;
use crate::shard::Shard;

impl Shard {
    /// The message is in its queues. A persistent one in a durable queue is accepted when the log
    /// has it, any other now (CNF-3).
    pub(crate) fn owe_acceptance(&mut self, arrival: &Arrival, is_logged: bool) {
        let Arrival { channel, sequence, .. } = *arrival;
        if is_logged {
            let lsn = self.home.log.append();
            if sequence != 0 {
                self.home.unsynced.push_back(Unsynced { lsn, channel, sequence });
            }
        } else if sequence != 0 {
            self.accept(channel, sequence);
        }
    }

    /// The log has grown: accept what waited for it.
    pub(crate) fn accept_synced(&mut self) {
        let synced = self.home.log.synced();
        while let Some(&Unsynced { lsn, channel, sequence }) = self.home.unsynced.front() {
            if lsn > synced {
                break;
            }
            self.home.unsynced.pop_front();
            self.accept(channel, sequence);
        }
    }

    fn accept(&mut self, channel: ChannelAddress, sequence: u64) {
        if channel.shard != self.id {
            return self.outboxes[channel.shard.index()].accept(channel, sequence);
        }
        if let Some(before) = self.local_acceptances.back_mut()
            && before.channel == channel
            && before.last + 1 == sequence
        {
            before.last = sequence;
            return;
        }
        let acceptance = Acceptance { channel, first: sequence, last: sequence };
        self.local_acceptances.push_back(acceptance);
    }
}
