//! What goes through many messages is done in slices, in the order in which it was asked for.

use std::collections::VecDeque;

use crate::ids::{ChannelAddress, Time};

use super::command::{Command, ConsumerIndex, Outcome};
use super::consumer::Kind;
use super::effect::Effect;
use super::sequence_set::SequenceSet;
use super::{Context, Queue};

/// Commands that are not finished: the first is under way, the others wait for it.
///
/// Bounded by who asks: a channel has one request under way and settles each delivery once.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    commands: VecDeque<Command>,
    /// How many of them bring messages back.
    bringing_back: usize,
    /// Messages that the purge under way has dropped.
    purged: u64,
}

impl Backlog {
    pub(super) fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// Messages before the head come or go, or are about to: who takes one now would take one too
    /// new.
    pub(super) fn is_reordering(&self) -> bool {
        self.bringing_back > 0 || matches!(self.commands.front(), Some(Command::Purge { .. }))
    }

    /// Messages may come back.
    pub(super) fn brings_back(&self) -> bool {
        self.bringing_back > 0
    }

    fn push_back(&mut self, command: Command) {
        self.bringing_back += usize::from(brings_back(&command));
        self.commands.push_back(command);
    }

    fn push_front(&mut self, command: Command) {
        self.bringing_back += usize::from(brings_back(&command));
        self.commands.push_front(command);
    }

    fn pop_front(&mut self) -> Option<Command> {
        let command = self.commands.pop_front()?;
        self.bringing_back -= usize::from(brings_back(&command));
        Some(command)
    }

    pub(super) fn take_all(&mut self) -> impl Iterator<Item = Command> + use<> {
        self.bringing_back = 0;
        std::mem::take(&mut self.commands).into_iter()
    }
}

fn brings_back(command: &Command) -> bool {
    let is_requeue = matches!(command, Command::Settle { outcome: Outcome::Requeued, .. });
    is_requeue || matches!(command, Command::CloseChannel { .. })
}

impl Queue {
    /// Carries a command out when its turn comes: now, if nothing is unfinished.
    pub(super) fn apply_in_order(
        &mut self,
        now: Time,
        command: Command,
        context: &mut Context<'_>,
    ) {
        if self.is_unfinished() {
            self.backlog.get_or_make().push_back(command);
        } else if let Some(rest) = self.carry_out(now, command, context) {
            self.backlog.get_or_make().push_back(rest);
        }
    }

    /// As far as the budget goes.
    pub(super) fn carry_on(&mut self, now: Time, context: &mut Context<'_>) {
        while let Some(command) = self.backlog.get_mut().and_then(Backlog::pop_front) {
            if let Some(rest) = self.carry_out(now, command, context) {
                self.backlog.get_or_make().push_front(rest);
                return;
            }
        }
    }

    /// Returns what is left to do of the command.
    fn carry_out(
        &mut self,
        now: Time,
        command: Command,
        context: &mut Context<'_>,
    ) -> Option<Command> {
        match command {
            Command::Settle { channel, consumer, first, last, outcome } => {
                let left = self.settle(now, (channel, consumer), (first, last), outcome, context);
                left.map(|first| Command::Settle { channel, consumer, first, last, outcome })
            }
            Command::Get { channel, no_ack } => {
                self.serve_get(now, channel, no_ack, context);
                None
            }
            Command::Count { channel, request } => {
                self.renew_lease(now, context.effects);
                let (messages, consumers) = (self.ready, self.consumers.consuming());
                let counted = Effect::Counted { channel, request, messages, consumers };
                context.effects.push(counted);
                None
            }
            Command::Purge { channel } => {
                let is_done = self.purge(channel, context);
                (!is_done).then_some(command)
            }
            Command::CloseChannel { channel } => {
                let is_done = self.close_channel(now, channel, context);
                (!is_done).then_some(command)
            }
            _ => unreachable!("the other commands have no turn"),
        }
    }

    /// No more deliveries to the channel; what it holds stays until `close_channel`.
    pub(super) fn stop_channel(
        &mut self,
        now: Time,
        channel: ChannelAddress,
        context: &mut Context<'_>,
    ) {
        let indices: Vec<ConsumerIndex> = self.consumers.indices_of(channel).collect();
        let consuming_before = self.consumers.consuming();
        for index in indices {
            let consumer = self.consumers.get(index).expect("its channel names it");
            if consumer.kind == Kind::Consuming {
                self.stop_consumer(index, context.windows);
                self.consumers.remove_if_done(index);
            }
        }
        if self.consumers.consuming() < consuming_before {
            self.handle_consumer_gone(now, context.effects);
        }
    }

    /// Returns whether all that the stopped channel held is back.
    fn close_channel(
        &mut self,
        now: Time,
        channel: ChannelAddress,
        context: &mut Context<'_>,
    ) -> bool {
        loop {
            let next = self.consumers.indices_of(channel).next();
            let Some(index) = next else { break };
            let (holder, all) = ((channel, index), (0, u64::MAX));
            if self.settle(now, holder, all, Outcome::Requeued, context).is_some() {
                return false;
            }
            // With its last message a consumer went; a getter waits for more.
            if self.consumers.get(index).is_some() {
                self.consumers.remove(index);
            }
        }
        context.effects.push(Effect::ChannelClosed { channel });
        true
    }

    /// What was returned is taken out one by one, the rest is detached whole. Returns whether
    /// nothing is left.
    fn purge(&mut self, channel: ChannelAddress, context: &mut Context<'_>) -> bool {
        while let Some(sequence) = self.returned.get().and_then(SequenceSet::first) {
            if !take_one(context.bulk_left) {
                return false;
            }
            self.take_returned(sequence);
            let entry = self.take_entry(sequence);
            self.ready -= 1;
            self.counters.dropped += 1;
            self.backlog.get_or_make().purged += 1;
            context.store.release(entry.message());
        }
        let waiting = self.entries.detach_from(self.head);
        let count = waiting.len() as u64;
        assert!(count == self.ready);
        let messages = waiting.into_values().map(|entry| entry.message());
        context.store.discard(messages);
        self.head = self.entries.next_index();
        self.ready = 0;
        self.counters.dropped += count;
        if let Some(deadlines) = self.deadlines.get_mut() {
            deadlines.sweep(&self.entries);
        }
        let earlier = self.backlog.get_mut().map(|backlog| std::mem::take(&mut backlog.purged));
        let count = count + earlier.unwrap_or(0);
        context.effects.push(Effect::Purged { channel, count });
        true
    }
}

/// One message less in this tick; false if no more may be gone through.
pub(super) fn take_one(left: &mut u32) -> bool {
    let is_left = *left > 0;
    *left -= u32::from(is_left);
    is_left
}
