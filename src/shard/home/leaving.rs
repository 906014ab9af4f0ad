//! A home lets go of a channel: its consumers go, and what it holds comes back. A channel may have
//! something at very many queues, so they are told in slices.

use std::collections::BTreeSet;

use haremq_broker::ids::{ChannelAddress, QueueId};
use haremq_broker::queue::Command;

use super::Unfinished;
use crate::limits::BULK_PER_QUEUE;
use crate::mesh::Answer;
use crate::shard::Shard;

/// A channel that is on its way out, at a home: from its `StopChannel` or `CloseChannel` until
/// that is answered.
///
/// ```text
/// Stopping ── CloseChannel ──► Closing ── all queues have let go ──► (gone)
/// ```
#[derive(Debug)]
pub(crate) struct Leaving {
    stage: Stage,
    /// Queues that were told to let go, and have not.
    holding: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// Consumers are to get no more. Queues are told in the order of their ids, from this one on.
    Stopping(QueueId),
    /// Queues are to let go, and are forgotten one by one as they are told.
    Closing,
}

impl Leaving {
    fn begin(stage: Stage) -> Leaving {
        Leaving { stage, holding: 0 }
    }

    /// The next queue that is to be told, of those at which the channel has something.
    fn poll_queue(&mut self, queues: &mut BTreeSet<QueueId>) -> Option<QueueId> {
        match &mut self.stage {
            Stage::Stopping(from) => {
                let queue = *queues.range(*from..).next()?;
                *from = QueueId(queue.0 + 1);
                Some(queue)
            }
            Stage::Closing => {
                let queue = queues.pop_first()?;
                self.holding += 1;
                Some(queue)
            }
        }
    }

    fn command(&self, channel: ChannelAddress) -> Command {
        match self.stage {
            Stage::Stopping(_) => Command::StopChannel { channel },
            Stage::Closing => Command::CloseChannel { channel },
        }
    }
}

impl Shard {
    /// A channel is about to be closed.
    pub(crate) fn handle_stop_channel(&mut self, channel: ChannelAddress) {
        let leaving = Leaving::begin(Stage::Stopping(QueueId(0)));
        let before = self.home.leaving.insert(channel, leaving);
        assert!(before.is_none(), "a channel is stopped once, and before it is closed");
        self.home.telling.insert(channel);
        self.tell_queues_or_wait(channel);
    }

    /// A channel is to be let go of, at all queues at which it has something.
    pub(crate) fn handle_close_channel(&mut self, channel: ChannelAddress) {
        self.home.leaving.insert(channel, Leaving::begin(Stage::Closing));
        // Those of its consumers that were not stopped yet are so when their queues let go, or when
        // they would get something.
        let had_turn = !self.home.telling.insert(channel);
        if !had_turn {
            self.tell_queues_or_wait(channel);
        }
    }

    fn tell_queues_or_wait(&mut self, channel: ChannelAddress) {
        if !self.tell_queues(channel) {
            self.home.unfinished.push_back(Unfinished::Channel(channel));
        }
    }

    /// Tells queues as far as the tick's budget goes. Returns whether all were told.
    pub(crate) fn tell_queues(&mut self, channel: ChannelAddress) -> bool {
        let mut none = BTreeSet::new();
        loop {
            let leaving = self.home.leaving.get_mut(&channel).expect("not all were told");
            let queues = self.home.channels.get_mut(&channel).unwrap_or(&mut none);
            if self.home.bulk_left == 0 && !queues.is_empty() {
                return false;
            }
            let Some(queue) = leaving.poll_queue(queues) else {
                self.home.telling.remove(&channel);
                self.end_leaving_if_done(channel);
                return true;
            };
            let command = leaving.command(channel);
            if !self.apply_and_carry_out(queue, command) {
                self.answer_for_gone(queue, command);
            }
            self.home.bulk_left = self.home.bulk_left.saturating_sub(BULK_PER_QUEUE);
        }
    }

    /// One queue less holds something of a channel that is to be let go of.
    pub(crate) fn handle_closed_at_queue(&mut self, channel: ChannelAddress) {
        let leaving = self.home.leaving.get_mut(&channel).expect("each queue lets go once");
        leaving.holding -= 1;
        self.end_leaving_if_done(channel);
    }

    fn end_leaving_if_done(&mut self, channel: ChannelAddress) {
        let leaving = &self.home.leaving[&channel];
        if leaving.holding > 0 || self.home.telling.contains(&channel) {
            return;
        }
        let stage = leaving.stage;
        self.home.leaving.remove(&channel);
        if stage == Stage::Closing {
            self.home.channels.remove(&channel);
            self.answer_after_retirements(channel, Answer::ChannelClosed { channel });
        }
    }
}

#[cfg(test)]
#[path = "leaving_tests.rs"]
mod tests;
