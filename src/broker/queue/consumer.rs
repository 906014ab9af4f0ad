//! Those that take messages from a queue, and whose turn it is.

use std::collections::{BTreeSet, VecDeque};

use slab::Slab;

use crate::ids::ChannelAddress;
use crate::sparse_ring::SparseRing;

use super::command::{Consume, ConsumerIndex};
use super::window::WindowId;

/// What a holder of messages is.
///
/// ```text
/// Consuming ── cancel ──► Cancelled ── all settled ──► gone
/// Getting ── channel closes ──► gone
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Gets deliveries.
    Consuming,
    /// Gets no more; still holds some.
    Cancelled,
    /// A channel's `basic.get`s.
    Getting,
}

/// A consumer or getter at its queue.
#[derive(Debug)]
pub(super) struct Consumer {
    pub(super) kind: Kind,
    pub(super) channel: ChannelAddress,
    pub(super) front_consumer: u32,
    pub(super) no_ack: bool,
    pub(super) exclusive: bool,
    /// 0 is no limit.
    pub(super) prefetch: u16,
    pub(super) window: WindowId,
    /// Deliveries need grants.
    pub(super) global: bool,
    /// Grants left.
    pub(super) grants: u32,
    /// Grants that are not used stay, as no other consumer of the channel could use them.
    pub(super) keeps_grants: bool,
    /// The queue's list of those that may have grants names it.
    pub(super) is_granted: bool,
    /// `Wants` was sent and not answered.
    pub(super) has_asked: bool,
    /// Its window will say when it has room.
    pub(super) waits_for_window: bool,
    /// It has a place in the round.
    is_in_round: bool,
    /// Tells it from others that had the same index.
    generation: u32,
    /// Ordinal → sequence of what it holds.
    pub(super) outstanding: SparseRing<u64, 32>,
}

impl Consumer {
    pub(super) fn is_prefetch_full(&self) -> bool {
        !self.no_ack && self.prefetch > 0 && self.outstanding.len() >= usize::from(self.prefetch)
    }

    /// It cannot take its turn before something happens.
    fn is_blocked(&self) -> bool {
        self.kind != Kind::Consuming
            || self.is_prefetch_full()
            || self.waits_for_window
            || (self.global && self.grants == 0 && self.has_asked)
    }
}

#[derive(Clone, Copy, Debug)]
struct Turn {
    consumer: ConsumerIndex,
    generation: u32,
}

/// All consumers and getters of a queue.
#[derive(Debug, Default)]
pub(super) struct Consumers {
    slots: Slab<Consumer>,
    by_channel: BTreeSet<(ChannelAddress, ConsumerIndex)>,
    /// Whose turn it is, front first. Those that left the round are passed over when their turn
    /// comes (DLV-4).
    round: VecDeque<Turn>,
    in_round: usize,
    consuming: u32,
    /// Those of them that consume with no-ack.
    automatic: u32,
    has_exclusive: bool,
    next_generation: u32,
}

impl Consumers {
    /// Consumers that get deliveries.
    pub(super) fn consuming(&self) -> u32 {
        self.consuming
    }

    /// Someone consumes with no-ack.
    pub(super) fn have_automatic(&self) -> bool {
        self.automatic > 0
    }

    pub(super) fn has_exclusive(&self) -> bool {
        self.has_exclusive
    }

    /// Someone may be able to take a message.
    pub(super) fn has_turns(&self) -> bool {
        self.in_round > 0
    }

    /// The consumer is in the round.
    pub(super) fn has_turn(&self, index: ConsumerIndex) -> bool {
        self.get(index).is_some_and(|consumer| consumer.is_in_round)
    }

    pub(super) fn get(&self, index: ConsumerIndex) -> Option<&Consumer> {
        self.slots.get(index.0 as usize)
    }

    pub(super) fn get_mut(&mut self, index: ConsumerIndex) -> Option<&mut Consumer> {
        self.slots.get_mut(index.0 as usize)
    }

    /// The consumer, if it is the channel's.
    pub(super) fn of_channel(
        &mut self,
        channel: ChannelAddress,
        index: ConsumerIndex,
    ) -> Option<&mut Consumer> {
        self.get_mut(index).filter(|consumer| consumer.channel == channel)
    }

    /// Joins the round at the tail (DLV-6).
    pub(super) fn add(&mut self, consume: &Consume) -> ConsumerIndex {
        self.consuming += 1;
        self.automatic += u32::from(consume.no_ack);
        self.has_exclusive |= consume.exclusive;
        let index = self.insert(consume, Kind::Consuming);
        self.unblock(index);
        index
    }

    /// The channel's getter; made at its first `basic.get`.
    pub(super) fn getter(&mut self, channel: ChannelAddress) -> ConsumerIndex {
        let known = self
            .indices_of(channel)
            .find(|index| self.get(*index).is_some_and(|consumer| consumer.kind == Kind::Getting));
        known.unwrap_or_else(|| {
            let consume = Consume {
                channel,
                front_consumer: 0,
                no_ack: false,
                exclusive: false,
                prefetch: 0,
                global: false,
                window: WindowId(u32::MAX),
            };
            self.insert(&consume, Kind::Getting)
        })
    }

    fn insert(&mut self, consume: &Consume, kind: Kind) -> ConsumerIndex {
        self.next_generation = self.next_generation.wrapping_add(1);
        let slot = self.slots.insert(Consumer {
            kind,
            channel: consume.channel,
            front_consumer: consume.front_consumer,
            no_ack: consume.no_ack,
            exclusive: consume.exclusive,
            prefetch: consume.prefetch,
            window: consume.window,
            global: consume.global,
            grants: 0,
            keeps_grants: false,
            is_granted: false,
            has_asked: false,
            waits_for_window: false,
            is_in_round: false,
            generation: self.next_generation,
            outstanding: SparseRing::default(),
        });
        let index = ConsumerIndex(u32::try_from(slot).expect("consumers are fewer than 2^32"));
        self.by_channel.insert((consume.channel, index));
        index
    }

    /// All that the channel has here, by index.
    pub(super) fn indices_of(
        &self,
        channel: ChannelAddress,
    ) -> impl Iterator<Item = ConsumerIndex> + '_ {
        let all = (channel, ConsumerIndex(0))..=(channel, ConsumerIndex(u32::MAX));
        self.by_channel.range(all).map(|(_, index)| *index)
    }

    /// All consumers and getters, by index.
    pub(super) fn iter(&self) -> impl Iterator<Item = (ConsumerIndex, &Consumer)> {
        self.slots.iter().map(|(slot, consumer)| (ConsumerIndex(slot as u32), consumer))
    }

    /// The consumer gets no more deliveries.
    pub(super) fn cancel(&mut self, index: ConsumerIndex) {
        self.block(index);
        let consumer = &mut self.slots[index.0 as usize];
        assert!(consumer.kind == Kind::Consuming);
        consumer.kind = Kind::Cancelled;
        self.consuming -= 1;
        self.automatic -= u32::from(consumer.no_ack);
        // An exclusive consumer is alone.
        self.has_exclusive &= !consumer.exclusive;
    }

    /// A cancelled consumer that holds nothing goes.
    pub(super) fn remove_if_done(&mut self, index: ConsumerIndex) {
        let consumer = &self.slots[index.0 as usize];
        if consumer.kind == Kind::Cancelled && consumer.outstanding.is_empty() {
            self.remove(index);
        }
    }

    /// Takes a consumer or getter out, with what it holds.
    pub(super) fn remove(&mut self, index: ConsumerIndex) -> Consumer {
        let consumer = self.slots.remove(index.0 as usize);
        assert!(!consumer.is_in_round);
        let was_known = self.by_channel.remove(&(consumer.channel, index));
        assert!(was_known);
        consumer
    }

    /// Takes the next turn. Its consumer is out of the round until `take_turn_again` or `unblock`.
    pub(super) fn poll_turn(&mut self) -> Option<ConsumerIndex> {
        while let Some(turn) = self.round.pop_front() {
            if self.is_valid(turn) {
                self.slots[turn.consumer.0 as usize].is_in_round = false;
                self.in_round -= 1;
                return Some(turn.consumer);
            }
        }
        None
    }

    /// Whose turn it is.
    pub(super) fn next_turn(&mut self) -> Option<&Consumer> {
        while let Some(turn) = self.round.front() {
            if self.is_valid(*turn) {
                return self.slots.get(turn.consumer.0 as usize);
            }
            self.round.pop_front();
        }
        None
    }

    /// Whose turn it was goes to the tail.
    pub(super) fn pass_turn(&mut self) {
        if self.round.len() == 1 {
            return;
        }
        let turn = self.round.pop_front().expect("it was someone's turn");
        self.round.push_back(turn);
    }

    fn is_valid(&self, turn: Turn) -> bool {
        let consumer = self.slots.get(turn.consumer.0 as usize);
        consumer
            .is_some_and(|consumer| consumer.generation == turn.generation && consumer.is_in_round)
    }

    /// Re-enters the round at its tail if it has no place in it and nothing is in the way.
    pub(super) fn unblock(&mut self, index: ConsumerIndex) {
        let consumer = &mut self.slots[index.0 as usize];
        if consumer.is_in_round || consumer.is_blocked() {
            return;
        }
        consumer.is_in_round = true;
        self.in_round += 1;
        let turn = Turn { consumer: index, generation: consumer.generation };
        self.round.push_back(turn);
    }

    /// Leaves the round.
    fn block(&mut self, index: ConsumerIndex) {
        let consumer = &mut self.slots[index.0 as usize];
        if !consumer.is_in_round {
            return;
        }
        consumer.is_in_round = false;
        // A new generation, so that its old turn does not come up when it re-enters.
        self.next_generation = self.next_generation.wrapping_add(1);
        consumer.generation = self.next_generation;
        self.in_round -= 1;
        if self.round.len() > 2 * self.in_round + 16 {
            self.sweep_round();
        }
    }

    fn sweep_round(&mut self) {
        let mut round = std::mem::take(&mut self.round);
        round.retain(|turn| self.is_valid(*turn));
        self.round = round;
    }

    pub(super) fn shrink(&mut self) {
        self.sweep_round();
        self.round.shrink_to_fit();
        self.slots.shrink_to_fit();
        for (_, consumer) in &mut self.slots {
            consumer.outstanding.shrink();
        }
    }

    pub(super) fn check_invariants(&self) {
        let kind_count = |kind| self.iter().filter(|(_, consumer)| consumer.kind == kind).count();
        assert_eq!(self.consuming as usize, kind_count(Kind::Consuming));
        let is_automatic =
            |consumer: &Consumer| consumer.kind == Kind::Consuming && consumer.no_ack;
        let automatic = self.iter().filter(|(_, consumer)| is_automatic(consumer)).count();
        assert_eq!(self.automatic as usize, automatic);
        assert_eq!(self.by_channel.len(), self.slots.len());
        let turns = self.round.iter().filter(|turn| self.is_valid(**turn)).count();
        assert_eq!(turns, self.in_round);
        for (index, consumer) in self.iter() {
            assert!(self.by_channel.contains(&(consumer.channel, index)));
            assert!(!(consumer.is_in_round && consumer.is_blocked()));
            assert!(consumer.is_in_round || consumer.is_blocked());
            assert!(consumer.kind != Kind::Cancelled || !consumer.outstanding.is_empty());
            if consumer.kind == Kind::Consuming && consumer.prefetch > 0 {
                assert!(consumer.outstanding.len() <= usize::from(consumer.prefetch));
            }
            assert!(!consumer.no_ack || consumer.outstanding.is_empty());
        }
    }
}
