//! The queue as a machine: commands in, effects out.
//!
//! A message's place is its *sequence*, dense and ascending. `head` is the first sequence that was
//! never delivered; what came back lies before it and is named by `returned`, which is served
//! first. What is out is held by a consumer (or a channel's getter) under an *ordinal*, dense per
//! holder, so that settling many deliveries names ranges.

mod alarm;
mod backlog;
mod command;
mod consumer;
mod dispatch;
mod effect;
mod entry;
mod expiry;
mod sequence_set;
mod settle;
mod window;

pub use command::{Command, Consume, ConsumerIndex, Outcome, Settings};
pub use effect::{Delivery, Effect};
pub use window::{
    DELIVERY_OVERHEAD_BYTES, WINDOW_BYTES, Waiting, WindowId, Windows, delivery_bytes,
};

use std::collections::BTreeSet;

use crate::ids::{ChannelAddress, Time};
use crate::rare::Rare;
use crate::sparse_ring::SparseRing;
use crate::store::{MessageId, MessageStore};

use backlog::Backlog;
use consumer::{Consumers, Kind};
use entry::Entry;
use expiry::Deadlines;
use sequence_set::SequenceSet;

/// What a command may touch beside its queue.
#[derive(Debug)]
pub struct Context<'a> {
    /// The shard's messages.
    pub store: &'a mut MessageStore,
    /// The shard's byte windows.
    pub windows: &'a mut Windows,
    /// Messages that may still be settled, requeued or purged in this tick; what is left over goes
    /// on with [`Command::Continue`].
    pub bulk_left: &'a mut u32,
    /// Channels that are on their way out, of which not all queues were told: none of their
    /// consumers gets anything more.
    pub leaving: &'a BTreeSet<ChannelAddress>,
    /// Where effects are appended.
    pub effects: &'a mut Vec<Effect>,
}

/// What has become of all messages that ever entered a queue.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Counters {
    /// Entered.
    pub enqueued: u64,
    /// Given to a consumer or getter; a redelivery counts again.
    pub delivered: u64,
    /// Acked, rejected, or delivered with no-ack.
    pub settled: u64,
    /// Left by their deadline.
    pub expired: u64,
    /// Purged, or in the queue when it was retired.
    pub dropped: u64,
    /// Came back; may count a message several times.
    pub requeued: u64,
}

/// One queue, owned by its home shard from declaration to retirement.
///
/// Invariants: enqueued = ready + unacked + settled + expired + dropped; every entry is either
/// ready or held by exactly one consumer or getter; all returned sequences lie before `head`; all
/// entries from `head` on are ready.
#[derive(Debug)]
pub struct Queue {
    settings: Settings,
    entries: SparseRing<Entry>,
    head: u64,
    returned: Rare<SequenceSet>,
    ready: u64,
    unacked: u64,
    consumers: Consumers,
    /// Consumers that may have grants.
    granted: Vec<ConsumerIndex>,
    deadlines: Rare<Deadlines>,
    /// From when the queue counts as unused (EXP-2).
    lease_from: Time,
    backlog: Rare<Backlog>,
    counters: Counters,
    is_retired: bool,
}

impl Queue {
    /// An empty queue. The next command is to be `Touch`.
    pub fn new(settings: Settings) -> Queue {
        assert!(settings.expires_ms != Some(0));
        Queue {
            settings,
            entries: SparseRing::default(),
            head: 0,
            returned: Rare::default(),
            ready: 0,
            unacked: 0,
            consumers: Consumers::default(),
            granted: Vec::new(),
            deadlines: Rare::default(),
            lease_from: Time::default(),
            backlog: Rare::default(),
            counters: Counters::default(),
            is_retired: false,
        }
    }

    /// Carries out one command; what it asks for is appended to `context.effects`.
    pub fn apply(&mut self, now: Time, command: Command, context: &mut Context<'_>) {
        assert!(!self.is_retired);
        match command {
            Command::Enqueue { message, expiration_ms } => {
                self.enqueue(now, message, expiration_ms, context);
            }
            Command::Offer { bytes } => self.offer(bytes, context),
            Command::Dispatch { budget } => self.dispatch(now, budget, context),
            Command::Settle { .. }
            | Command::Get { .. }
            | Command::Count { .. }
            | Command::Purge { .. } => self.apply_in_order(now, command, context),
            Command::StopChannel { channel } => self.stop_channel(now, channel, context),
            Command::CloseChannel { channel } => {
                self.stop_channel(now, channel, context);
                self.apply_in_order(now, command, context);
            }
            Command::Continue => self.carry_on(now, context),
            Command::Consume(consume) => self.consume(&consume, context),
            Command::Cancel { channel, consumer } => self.cancel(now, channel, consumer, context),
            Command::Grant { channel, consumer, count, keep } => {
                self.grant((channel, consumer), count, keep, context.effects);
            }
            Command::Recall { channel, consumer } => {
                self.recall(channel, consumer, context.effects);
            }
            Command::SetGlobal { channel, consumer, on } => self.set_global(channel, consumer, on),
            Command::WindowOpened { consumer } => self.window_opened(consumer),
            Command::TimerFired => self.timer_fired(now, context),
            Command::Touch => self.renew_lease(now, context.effects),
            Command::Retire { if_unused, if_empty } => self.retire(if_unused, if_empty, context),
        }
        self.return_unused_grants(context.effects);
    }

    /// A `Dispatch` may deliver something.
    pub fn is_runnable(&self) -> bool {
        let is_reordering = || self.backlog.get().is_some_and(Backlog::is_reordering);
        self.ready > 0 && self.consumers.has_turns() && !is_reordering()
    }

    /// An `Offer` may pass. It is not to be made while channels are leaving: whoever is next may be
    /// of one of them, which only a `Dispatch` looks at.
    pub fn may_pass(&self) -> bool {
        self.ready == 0 && self.consumers.have_automatic() && !self.is_unfinished()
    }

    /// A `Continue` is due in the next tick.
    pub fn is_unfinished(&self) -> bool {
        self.backlog.get().is_some_and(|backlog| !backlog.is_empty())
    }

    /// What the queue was declared as.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Messages that wait.
    pub fn ready_count(&self) -> u64 {
        self.ready
    }

    /// Messages delivered and not settled.
    pub fn unacked_count(&self) -> u64 {
        self.unacked
    }

    /// Consumers; `basic.get` makes none.
    pub fn consumer_count(&self) -> u32 {
        self.consumers.consuming()
    }

    /// What has become of all messages.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    fn enqueue(
        &mut self,
        now: Time,
        message: MessageId,
        expiration_ms: Option<u64>,
        context: &mut Context<'_>,
    ) {
        self.counters.enqueued += 1;
        let ttl = [self.settings.message_ttl_ms, expiration_ms].into_iter().flatten().min();
        if ttl == Some(0) {
            self.enqueue_immediate(now, message, context);
            return;
        }
        let deadline = ttl.map(|ms| now.deadline(ms));
        let sequence = self.entries.push_back(Entry::new(message, deadline));
        self.ready += 1;
        if let Some(at) = deadline {
            self.watch_new(now, sequence, at, context.effects);
        }
    }

    fn consume(&mut self, consume: &Consume, context: &mut Context<'_>) {
        let Consume { channel, front_consumer, .. } = *consume;
        let is_taken = self.consumers.has_exclusive();
        if is_taken || (consume.exclusive && self.consumers.consuming() > 0) {
            context.effects.push(Effect::ConsumeRefused { channel, front_consumer });
            return;
        }
        let consumer = self.consumers.add(consume);
        context.effects.push(Effect::Consuming { channel, front_consumer, consumer });
    }

    fn cancel(
        &mut self,
        now: Time,
        channel: ChannelAddress,
        index: ConsumerIndex,
        context: &mut Context<'_>,
    ) {
        let consumer = self.consumers.of_channel(channel, index);
        if consumer.is_none_or(|consumer| consumer.kind != Kind::Consuming) {
            return;
        }
        self.return_grants(index, context.effects);
        self.stop_consumer(index, context.windows);
        self.consumers.remove_if_done(index);
        self.handle_consumer_gone(now, context.effects);
    }

    fn stop_consumer(&mut self, index: ConsumerIndex, windows: &mut Windows) {
        self.stop_waiting(index, windows);
        self.consumers.cancel(index);
        let consumer = self.consumers.get_mut(index).expect("it was just cancelled");
        consumer.grants = 0;
        if std::mem::take(&mut consumer.is_granted) {
            self.granted.retain(|granted| *granted != index);
        }
    }

    /// The window need not name the consumer any more; another may get its index.
    fn stop_waiting(&self, index: ConsumerIndex, windows: &mut Windows) {
        let Some(consumer) = self.consumers.get(index) else { return };
        if consumer.waits_for_window {
            let waiting = Waiting { queue: self.settings.id, consumer: index };
            windows.stop_waiting(consumer.window, waiting);
        }
    }

    /// With the last consumer an auto-delete queue goes (QUE-60), and the lease of others begins.
    fn handle_consumer_gone(&mut self, now: Time, effects: &mut Vec<Effect>) {
        if self.consumers.consuming() > 0 {
            return;
        }
        if self.settings.auto_delete {
            effects.push(Effect::Unused);
        }
        self.renew_lease(now, effects);
    }

    fn retire(&mut self, if_unused: bool, if_empty: bool, context: &mut Context<'_>) {
        let brings_back = self.backlog.get().is_some_and(Backlog::brings_back);
        if if_empty && (self.ready > 0 || brings_back) {
            context.effects.push(Effect::NotEmpty);
            return;
        }
        if if_unused && self.consumers.consuming() > 0 {
            context.effects.push(Effect::InUse);
            return;
        }
        let holders: Vec<ConsumerIndex> = self.consumers.iter().map(|(index, _)| index).collect();
        for index in holders {
            self.return_grants(index, context.effects);
        }
        for (index, consumer) in self.consumers.iter() {
            if consumer.kind == Kind::Consuming {
                self.stop_waiting(index, context.windows);
                let (channel, front_consumer) = (consumer.channel, consumer.front_consumer);
                context.effects.push(Effect::ConsumerCancelled { channel, front_consumer });
            }
        }
        let unfinished = self.backlog.get_mut().into_iter().flat_map(Backlog::take_all);
        context.effects.extend(unfinished.map(Effect::Unanswered));
        context.effects.push(Effect::Retired { count: self.ready });
        let entries = std::mem::take(&mut self.entries);
        context.store.discard(entries.into_values().map(|entry| entry.message()));
        self.counters.dropped += self.ready + self.unacked;
        (self.ready, self.unacked) = (0, 0);
        self.returned = Rare::default();
        self.consumers = Consumers::default();
        self.is_retired = true;
    }

    fn take_entry(&mut self, sequence: u64) -> Entry {
        self.entries.remove(sequence).expect("a sequence that is held or ready has its entry")
    }

    /// Gives back memory that is kept for reuse.
    pub fn shrink(&mut self) {
        self.entries.shrink();
        self.returned.forget_if(|returned| returned.shrink());
        self.consumers.shrink();
        self.deadlines.forget_if(|deadlines| deadlines.shrink());
        self.backlog.forget_if(|backlog| backlog.is_empty());
        self.granted.shrink_to_fit();
    }

    /// Panics if the machine contradicts itself. O(n).
    pub fn check_invariants(&self) {
        let all = self.counters;
        let left = all.settled + all.expired + all.dropped;
        assert_eq!(all.enqueued, self.ready + self.unacked + left);
        if self.is_retired {
            return;
        }
        assert_eq!(self.entries.len() as u64, self.ready + self.unacked);
        self.consumers.check_invariants();
        let mut unacked = 0;
        for (index, holder) in self.consumers.iter() {
            for (_, sequence) in holder.outstanding.range(0, u64::MAX) {
                assert!(self.entries.get(*sequence).is_some_and(Entry::is_unacked));
                unacked += 1;
            }
            let is_listed = holder.keeps_grants || self.granted.contains(&index);
            assert!(holder.grants == 0 || is_listed);
        }
        assert_eq!(unacked, self.unacked);
        for (sequence, entry) in self.entries.range(0, u64::MAX) {
            let is_returned = self.returned.get().is_some_and(|it| it.contains(sequence));
            let is_ready = is_returned || sequence >= self.head;
            assert!(!(is_returned && sequence >= self.head));
            assert_ne!(is_ready, entry.is_unacked());
        }
        // Where there are none, no message may need one.
        let none = Deadlines::default();
        self.deadlines.get().unwrap_or(&none).check_invariants(&self.entries, self.head);
    }
}

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod queue_tests;
