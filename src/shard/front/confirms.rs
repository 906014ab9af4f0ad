//! Publisher confirms: what homes have accepted becomes acks, once per tick (SEMANTICS.md 8).

use haremq_broker::channel::Confirm;
use haremq_broker::ids::ChannelAddress;
use haremq_protocol::ack::{write_ack, write_nack};

use crate::shard::Shard;

impl Shard {
    /// Takes a publish into account that `homes` owe an answer for. Returns its number, or 0 if
    /// the channel wants no confirms.
    pub(crate) fn open_confirm(&mut self, channel: u32, homes: u16) -> u64 {
        let Some(unconfirmed) = &mut self.front.channels[channel as usize].unconfirmed else {
            return 0;
        };
        let sequence = unconfirmed.open(homes);
        if homes == 0 {
            self.front.mark_confirming(channel);
        }
        sequence
    }

    /// A home has taken responsibility for `first..=last`.
    pub(crate) fn handle_accepted_publishes(
        &mut self,
        address: ChannelAddress,
        first: u64,
        last: u64,
    ) {
        let Some(channel) = self.front.channel_at(address) else {
            return;
        };
        if !channel.is_open() {
            return;
        }
        if channel.transaction.is_some() {
            return self.handle_commit_accepted(address.slot, last - first + 1);
        }
        let unconfirmed = channel.unconfirmed.as_mut().expect("a number is given in confirm mode");
        unconfirmed.accept(first, last);
        self.front.mark_confirming(address.slot);
    }

    /// Sends what is confirmed, after everything else of the tick: a `basic.return` goes before
    /// its ack (CNF-7, PUB-22).
    pub(crate) fn send_confirms(&mut self) {
        let mut confirming = std::mem::take(&mut self.front.confirming);
        for slot in confirming.drain(..) {
            let Some(channel) = self.front.channels.get_mut(slot as usize) else {
                continue;
            };
            channel.is_confirming = false;
            if channel.is_open() {
                self.send_confirms_of(slot);
            }
        }
        self.front.confirming = confirming;
    }

    fn send_confirms_of(&mut self, slot: u32) {
        let channel = &mut self.front.channels[slot as usize];
        let (number, connection) = (channel.number, channel.connection);
        let Some(mut unconfirmed) = channel.unconfirmed.take() else {
            return;
        };
        let output = self.front.output(connection);
        unconfirmed.poll_confirms(|confirm| match confirm {
            Confirm::Ack { tag, multiple } => write_ack(output, number, tag, multiple),
            Confirm::Nack { tag, multiple } => write_nack(output, number, tag, multiple, true),
        });
        self.front.channels[slot as usize].unconfirmed = Some(unconfirmed);
        self.front.mark_dirty(connection);
    }
}
