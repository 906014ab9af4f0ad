//! The queue against a naive model of it: every effect, every count, at every millisecond.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;

use super::*;
use crate::ids::{QueueId, ShardId};
use crate::store::Content;

const WINDOW_LIMIT: u64 = 700;

fn channel(number: u8) -> ChannelAddress {
    ChannelAddress { shard: ShardId(0), slot: u32::from(number), generation: 1 }
}

#[derive(Clone, Copy, Debug)]
struct ModelMessage {
    id: MessageId,
    bytes: u64,
    deadline: Option<Time>,
    redelivered: bool,
    is_out: bool,
}

#[derive(Clone, Debug)]
struct ModelConsumer {
    consume: Consume,
    is_getter: bool,
    is_cancelled: bool,
    grants: u32,
    keeps_grants: bool,
    has_asked: bool,
    waits: bool,
    held: BTreeMap<u64, u64>,
    next_ordinal: u64,
}

impl ModelConsumer {
    fn is_full(&self) -> bool {
        let prefetch = usize::from(self.consume.prefetch);
        !self.consume.no_ack && prefetch > 0 && self.held.len() >= prefetch
    }

    fn is_blocked(&self) -> bool {
        let lacks_grant = self.consume.global && self.grants == 0 && self.has_asked;
        self.is_getter || self.is_cancelled || self.is_full() || self.waits || lacks_grant
    }
}

/// A queue as a sorted list.
#[derive(Debug, Default)]
struct Model {
    messages: BTreeMap<u64, ModelMessage>,
    next_sequence: u64,
    consumers: BTreeMap<ConsumerIndex, ModelConsumer>,
    round: VecDeque<ConsumerIndex>,
    used: BTreeMap<WindowId, u64>,
    ttl_ms: Option<u64>,
    auto_delete: bool,
    expires_ms: Option<u64>,
    lease_from: Time,
    counters: Counters,
    effects: Vec<Effect>,
}

impl Model {
    fn ready(&self) -> u64 {
        self.messages.values().filter(|message| !message.is_out).count() as u64
    }

    fn consuming(&self) -> usize {
        let is_consuming = |c: &&ModelConsumer| !c.is_getter && !c.is_cancelled;
        self.consumers.values().filter(is_consuming).count()
    }

    fn lease_end(&self) -> Option<Time> {
        let expires_ms = self.expires_ms?;
        (self.consuming() == 0).then(|| self.lease_from.deadline(expires_ms))
    }

    fn expire(&mut self, now: Time) {
        let before = self.messages.len();
        self.messages.retain(|_, m| m.is_out || m.deadline.is_none_or(|at| at > now));
        self.counters.expired += (before - self.messages.len()) as u64;
    }

    fn unblock(&mut self, index: ConsumerIndex) {
        if !self.consumers[&index].is_blocked() && !self.round.contains(&index) {
            self.round.push_back(index);
        }
    }

    fn return_grants(&mut self, index: ConsumerIndex) {
        let consumer = self.consumers.get_mut(&index).expect("known");
        let count = std::mem::take(&mut consumer.grants);
        if count > 0 {
            let Consume { channel, front_consumer, .. } = consumer.consume;
            let returned =
                Effect::GrantsReturned { channel, front_consumer, consumer: index, count };
            self.effects.push(returned);
        }
    }

    fn poll_consumer(&mut self, bytes: u64) -> Option<ConsumerIndex> {
        while let Some(index) = self.round.pop_front() {
            let consumer = self.consumers.get_mut(&index).expect("known");
            let Consume { channel, front_consumer, window, .. } = consumer.consume;
            if consumer.consume.global && consumer.grants == 0 {
                consumer.has_asked = true;
                let wants = Effect::Wants { channel, front_consumer, consumer: index };
                self.effects.push(wants);
                continue;
            }
            let used = self.used.entry(window).or_default();
            if *used == 0 || *used + bytes <= WINDOW_LIMIT {
                *used += bytes;
                return Some(index);
            }
            consumer.waits = true;
            self.return_grants(index);
        }
        None
    }

    fn first_ready(&self) -> Option<u64> {
        self.messages.iter().find(|(_, message)| !message.is_out).map(|(sequence, _)| *sequence)
    }

    fn hand_out(&mut self, sequence: u64, holder: Option<ConsumerIndex>) -> (ModelMessage, u64) {
        self.counters.delivered += 1;
        let Some(index) = holder else {
            self.counters.settled += 1;
            return (self.messages.remove(&sequence).expect("known"), 0);
        };
        let message = self.messages.get_mut(&sequence).expect("known");
        message.is_out = true;
        let holder = self.consumers.get_mut(&index).expect("known");
        let ordinal = holder.next_ordinal;
        holder.next_ordinal += 1;
        holder.held.insert(ordinal, sequence);
        (*message, ordinal)
    }

    fn dispatch(&mut self, budget: u32) {
        for _ in 0..budget {
            let Some(sequence) = self.first_ready() else { return };
            let bytes = self.messages[&sequence].bytes;
            let Some(index) = self.poll_consumer(bytes) else { return };
            let consumer = self.consumers.get_mut(&index).expect("known");
            let Consume { channel, front_consumer, no_ack, global, .. } = consumer.consume;
            consumer.grants -= u32::from(global);
            let (message, ordinal) = self.hand_out(sequence, (!no_ack).then_some(index));
            self.effects.push(Effect::Deliver(Delivery {
                channel,
                front_consumer,
                consumer: index,
                ordinal,
                message: message.id,
                redelivered: message.redelivered,
                no_ack,
            }));
            if no_ack {
                self.effects.push(Effect::Release { message: message.id });
            }
            self.unblock(index);
            if self.consumers[&index].is_full() {
                self.return_grants(index);
            }
        }
    }

    fn requeue(&mut self, now: Time, sequence: u64) {
        let message = self.messages.get_mut(&sequence).expect("known");
        if message.deadline.is_some_and(|at| at <= now) {
            self.messages.remove(&sequence);
            self.counters.expired += 1;
            return;
        }
        message.is_out = false;
        message.redelivered = true;
        self.counters.requeued += 1;
    }

    fn consumer_gone(&mut self, now: Time) {
        if self.consuming() == 0 {
            self.lease_from = now;
            if self.auto_delete {
                self.effects.push(Effect::Unused);
            }
        }
    }

    fn enqueue(&mut self, now: Time, id: MessageId, bytes: u64, expiration_ms: Option<u64>) {
        self.counters.enqueued += 1;
        let ttl = [self.ttl_ms, expiration_ms].into_iter().flatten().min();
        let deadline = ttl.map(|ms| if ms == 0 { now } else { now.deadline(ms) });
        let message = ModelMessage { id, bytes, deadline, redelivered: false, is_out: false };
        self.messages.insert(self.next_sequence, message);
        self.next_sequence += 1;
        if ttl == Some(0) {
            self.dispatch(u32::MAX);
            self.expire(now);
        }
    }

    fn offer(&mut self, bytes: u64) {
        let Some(index) = self.round.front().copied().filter(|_| self.ready() == 0) else { return };
        let Consume { channel, front_consumer, no_ack, global, window, .. } =
            self.consumers[&index].consume;
        let used = self.used.entry(window).or_default();
        if no_ack && !global && (*used == 0 || *used + bytes <= WINDOW_LIMIT) {
            *used += bytes;
            self.round.rotate_left(1);
            self.counters.enqueued += 1;
            self.counters.delivered += 1;
            self.counters.settled += 1;
            self.effects.push(Effect::Passed { channel, front_consumer });
        }
    }

    /// `answered` is the index that the queue chose, where it chooses one.
    fn apply(&mut self, now: Time, command: Command, bytes: u64, answered: Option<ConsumerIndex>) {
        match command {
            Command::Enqueue { message, expiration_ms } => {
                self.enqueue(now, message, bytes, expiration_ms);
            }
            Command::Offer { bytes } => self.offer(bytes),
            Command::Consume(consume) => {
                let Consume { channel, front_consumer, .. } = consume;
                let mut consumers = self.consumers.values();
                let is_exclusive =
                    consumers.any(|c| c.consume.exclusive && !c.is_cancelled && !c.is_getter);
                if is_exclusive || (consume.exclusive && self.consuming() > 0) {
                    self.effects.push(Effect::ConsumeRefused { channel, front_consumer });
                    return;
                }
                let index = answered.expect("the queue answers");
                self.add(index, consume, false);
                self.round.push_back(index);
                let consumer = index;
                self.effects.push(Effect::Consuming { channel, front_consumer, consumer });
            }
            Command::Cancel { channel, consumer } => {
                let known = self.consumers.get_mut(&consumer);
                let known = known.filter(|c| c.consume.channel == channel);
                if known.is_some_and(|c| !c.is_cancelled && !c.is_getter) {
                    self.return_grants(consumer);
                    self.consumers.get_mut(&consumer).expect("known").is_cancelled = true;
                    self.round.retain(|index| *index != consumer);
                    self.remove_if_done(consumer);
                    self.consumer_gone(now);
                }
            }
            Command::Settle { channel, consumer, first, last, outcome } => {
                let known = self.consumers.get_mut(&consumer);
                let Some(holder) = known.filter(|c| c.consume.channel == channel) else { return };
                let mut settled = holder.held.split_off(&first);
                let mut later = settled.split_off(&(last + 1));
                holder.held.append(&mut later);
                for sequence in settled.into_values() {
                    if outcome == Outcome::Requeued {
                        self.requeue(now, sequence);
                    } else {
                        self.messages.remove(&sequence);
                        self.counters.settled += 1;
                    }
                }
                self.unblock(consumer);
                self.remove_if_done(consumer);
            }
            Command::Get { channel, no_ack } => {
                self.lease_from = now;
                let Some(sequence) = self.first_ready() else {
                    self.effects.push(Effect::Empty { channel });
                    return;
                };
                if let Some(index) = answered {
                    let consume = consume(channel, 0, no_ack);
                    self.consumers.entry(index).or_insert_with(|| new_consumer(consume, true));
                    assert!(self.consumers[&index].is_getter);
                    assert_eq!(self.consumers[&index].consume.channel, channel);
                }
                assert_ne!(answered.is_some(), no_ack);
                let (message, ordinal) = self.hand_out(sequence, answered);
                let (redelivered, message) = (message.redelivered, message.id);
                let remaining = self.ready();
                self.effects.push(Effect::Got {
                    channel,
                    consumer: answered,
                    ordinal,
                    message,
                    redelivered,
                    remaining,
                });
                if no_ack {
                    self.effects.push(Effect::Release { message });
                }
            }
            Command::Count { channel, request } => {
                self.lease_from = now;
                let (messages, consumers) = (self.ready(), self.consuming() as u32);
                let counted = Effect::Counted { channel, request, messages, consumers };
                self.effects.push(counted);
            }
            Command::Purge { channel } => {
                let count = self.ready();
                self.messages.retain(|_, message| message.is_out);
                self.counters.dropped += count;
                self.effects.push(Effect::Purged { channel, count });
            }
            Command::CloseChannel { channel } => {
                let consuming = self.consuming();
                let is_its = |c: &ModelConsumer| c.consume.channel == channel;
                let (gone, left) = std::mem::take(&mut self.consumers)
                    .into_iter()
                    .partition(|(_, c): &(ConsumerIndex, ModelConsumer)| is_its(c));
                self.consumers = left;
                let gone: BTreeMap<ConsumerIndex, ModelConsumer> = gone;
                self.round.retain(|index| !gone.contains_key(index));
                let held = gone.into_values().flat_map(|c| c.held.into_values());
                held.for_each(|sequence| self.requeue(now, sequence));
                if self.consuming() < consuming {
                    self.consumer_gone(now);
                }
                self.effects.push(Effect::ChannelClosed { channel });
            }
            Command::Grant { channel, consumer, count, keep } => {
                let Some(known) = self.consumers.get_mut(&consumer) else { return };
                if known.consume.channel != channel || !known.consume.global {
                    return;
                }
                known.has_asked = false;
                known.grants += count;
                known.keeps_grants = keep;
                self.unblock(consumer);
                if !self.round.contains(&consumer) {
                    self.return_grants(consumer);
                }
            }
            Command::Recall { channel, consumer } => {
                let Some(known) = self.consumers.get_mut(&consumer) else { return };
                if known.consume.channel == channel {
                    known.keeps_grants = false;
                    self.return_grants(consumer);
                }
            }
            Command::SetGlobal { channel, consumer, on } => {
                let Some(known) = self.consumers.get_mut(&consumer) else { return };
                if known.consume.channel != channel || known.consume.global == on {
                    return;
                }
                known.consume.global = on;
                (known.grants, known.has_asked) = (0, false);
                self.unblock(consumer);
            }
            Command::WindowOpened { consumer } => {
                let Some(known) = self.consumers.get_mut(&consumer) else { return };
                known.waits = false;
                self.unblock(consumer);
            }
            Command::Touch => self.lease_from = now,
            Command::Dispatch { budget } => self.dispatch(budget),
            Command::StopChannel { .. } => unreachable!("a close does it, too"),
            Command::TimerFired | Command::Continue | Command::Retire { .. } => {
                unreachable!("done by the world")
            }
        }
    }

    fn add(&mut self, index: ConsumerIndex, consume: Consume, is_getter: bool) {
        let replaced = self.consumers.insert(index, new_consumer(consume, is_getter));
        assert!(replaced.is_none());
    }

    fn remove_if_done(&mut self, index: ConsumerIndex) {
        let consumer = &self.consumers[&index];
        if consumer.is_cancelled && consumer.held.is_empty() {
            self.consumers.remove(&index);
        }
    }
}

fn new_consumer(consume: Consume, is_getter: bool) -> ModelConsumer {
    ModelConsumer {
        consume,
        is_getter,
        is_cancelled: false,
        grants: 0,
        keeps_grants: false,
        has_asked: false,
        waits: false,
        held: BTreeMap::new(),
        next_ordinal: 0,
    }
}

fn consume(channel: ChannelAddress, prefetch: u16, no_ack: bool) -> Consume {
    Consume {
        channel,
        front_consumer: 7 + channel.slot,
        no_ack,
        exclusive: false,
        prefetch,
        global: false,
        window: WindowId(channel.slot / 2),
    }
}

/// The queue, its model, and a clock whose timers fire at their millisecond.
struct World {
    queue: Queue,
    model: Model,
    store: MessageStore,
    windows: Windows,
    timers: BTreeSet<Time>,
    now: Time,
    /// Deliveries that have not left for the socket.
    on_the_way: Vec<(WindowId, u64)>,
    /// Grants that were not used or returned, by front consumer.
    next_body: u32,
    /// What each tick may settle, requeue and purge; and what is left of it.
    bulk_per_tick: u32,
    bulk_left: u32,
}

impl World {
    fn new(settings: Settings, bulk_per_tick: u32) -> World {
        let mut windows = Windows::new(WINDOW_LIMIT);
        assert_eq!([windows.open(), windows.open()], [WindowId(0), WindowId(1)]);
        let model = Model {
            ttl_ms: settings.message_ttl_ms,
            auto_delete: settings.auto_delete,
            expires_ms: settings.expires_ms,
            ..Model::default()
        };
        let mut world = World {
            queue: Queue::new(settings),
            model,
            store: MessageStore::new(),
            windows,
            timers: BTreeSet::new(),
            now: Time(1_000),
            on_the_way: Vec::new(),
            next_body: 0,
            bulk_per_tick,
            bulk_left: bulk_per_tick,
        };
        world.apply(Command::Touch, 0);
        world
    }

    /// Applies the command to the queue alone; timers are kept, the other effects returned.
    fn apply_to_queue(&mut self, command: Command) -> Vec<Effect> {
        let mut effects = Vec::new();
        let (store, windows) = (&mut self.store, &mut self.windows);
        let bulk_left = &mut self.bulk_left;
        let leaving = &BTreeSet::new();
        let mut context = Context { store, windows, bulk_left, effects: &mut effects, leaving };
        self.queue.apply(self.now, command, &mut context);
        effects.retain(|effect| match *effect {
            Effect::ArmTimer { at } => {
                self.timers.insert(at);
                false
            }
            _ => true,
        });
        for effect in &effects {
            if let Effect::Deliver(delivery) = effect {
                let window = self.model.consumers[&delivery.consumer].consume.window;
                let bytes = delivery_bytes(&self.store.content(delivery.message));
                self.on_the_way.push((window, bytes));
            }
            if let (Effect::Passed { channel, .. }, Command::Offer { bytes }) = (effect, command) {
                self.on_the_way.push((WindowId(channel.slot / 2), bytes));
            }
            if let Effect::Release { message } = effect {
                self.store.release(*message);
            }
        }
        effects
    }

    fn apply(&mut self, command: Command, bytes: u64) -> Vec<Effect> {
        let mut effects = self.apply_to_queue(command);
        while self.queue.is_unfinished() {
            self.bulk_left = self.bulk_per_tick;
            effects.append(&mut self.apply_to_queue(Command::Continue));
        }
        let answered = effects.iter().find_map(|effect| match effect {
            Effect::Consuming { consumer, .. } => Some(*consumer),
            Effect::Got { consumer, .. } => *consumer,
            _ => None,
        });
        self.model.apply(self.now, command, bytes, answered);
        let mut expected = std::mem::take(&mut self.model.effects);
        self.take_returned_grants(&mut expected);
        // Grants go back in no promised order.
        let key = |effect: &Effect| match effect {
            Effect::GrantsReturned { consumer, .. } => consumer.0,
            _ => 0,
        };
        let tail = |effects: &[Effect]| {
            let is_return = |e: &&Effect| matches!(e, Effect::GrantsReturned { .. });
            effects.len() - effects.iter().rev().take_while(is_return).count()
        };
        let from = tail(&effects);
        effects[from..].sort_by_key(key);
        let from = tail(&expected);
        expected[from..].sort_by_key(key);
        assert_eq!(effects, expected, "{command:?}");
        self.check();
        effects
    }

    /// What the model does at the end of each command.
    fn take_returned_grants(&mut self, effects: &mut Vec<Effect>) {
        if self.model.ready() == 0 {
            let consumers = self.model.consumers.iter();
            let all: Vec<ConsumerIndex> =
                consumers.filter(|(_, c)| !c.keeps_grants).map(|(index, _)| *index).collect();
            all.into_iter().for_each(|index| self.model.return_grants(index));
            effects.append(&mut self.model.effects);
        }
    }

    fn check(&mut self) {
        self.queue.check_invariants();
        assert_eq!(self.queue.counters(), self.model.counters);
        assert_eq!(self.queue.ready_count(), self.model.ready());
        let unacked = self.model.messages.len() as u64 - self.model.ready();
        assert_eq!(self.queue.unacked_count(), unacked);
        assert_eq!(self.queue.consumer_count() as usize, self.model.consuming());
        let is_runnable = self.model.ready() > 0 && !self.model.round.is_empty();
        assert_eq!(self.queue.is_runnable(), is_runnable);
        while self.store.empty_trash(1) {}
        assert_eq!(self.store.message_count(), self.model.messages.len() as u64);
    }

    /// Timers fire at their time, and everything expires at its own.
    fn advance(&mut self, ms: u64) {
        let until = self.now.after_ms(ms);
        while let Some(at) = self.timers.first().copied().filter(|at| *at <= until) {
            self.timers.remove(&at);
            self.now = self.now.max(at);
            let mut effects = self.apply_to_queue(Command::TimerFired);
            self.model.expire(self.now);
            let has_expired = effects.contains(&Effect::Expired);
            assert_eq!(has_expired, self.model.lease_end().is_some_and(|end| end <= self.now));
            effects.retain(|effect| *effect != Effect::Expired);
            let mut expected = Vec::new();
            self.take_returned_grants(&mut expected);
            effects.sort_by_key(|effect| format!("{effect:?}"));
            expected.sort_by_key(|effect| format!("{effect:?}"));
            assert_eq!(effects, expected);
            self.check();
            if has_expired {
                self.apply(Command::Touch, 0);
            }
        }
        self.now = until;
        // Nothing was due that no timer had fired for.
        self.model.expire(self.now);
        assert!(self.model.lease_end().is_none_or(|end| end > self.now));
        self.check();
    }

    fn give_back(&mut self, place: usize) {
        if self.on_the_way.is_empty() {
            return;
        }
        let (window, bytes) = self.on_the_way.swap_remove(place % self.on_the_way.len());
        let mut woken = Vec::new();
        self.windows.give_back(window, bytes, &mut woken);
        let used = self.model.used.get_mut(&window).expect("charged before");
        *used -= bytes;
        assert_eq!(self.windows.used(window), *used);
        let is_open = *used <= WINDOW_LIMIT / 2;
        for (index, consumer) in &self.model.consumers {
            let waits = consumer.waits && !consumer.is_cancelled;
            if is_open && waits && consumer.consume.window == window {
                assert!(woken.iter().any(|waiting| waiting.consumer == *index));
            }
        }
        for waiting in woken {
            self.apply(Command::WindowOpened { consumer: waiting.consumer }, 0);
        }
    }

    fn enqueue(&mut self, expiration_ms: Option<u64>, body_len: usize) {
        let mut body = vec![0; body_len.max(4)];
        body[..4].copy_from_slice(&self.next_body.to_be_bytes());
        self.next_body += 1;
        let content =
            Content { exchange: b"", routing_key: b"q", properties: &[0, 0], body: &body };
        let message = self.store.insert(&content, 1);
        self.apply(Command::Enqueue { message, expiration_ms }, delivery_bytes(&content));
    }

    fn nth_consumer(&self, place: usize) -> Option<(ConsumerIndex, ModelConsumer)> {
        let count = self.model.consumers.len().max(1);
        let (index, consumer) = self.model.consumers.iter().nth(place % count)?;
        Some((*index, consumer.clone()))
    }

    fn step(&mut self, step: &Step) {
        let Step { kind, place, number, flag } = *step;
        match kind {
            0..=11 => {
                let expiration_ms = match number % 8 {
                    0..=3 => None,
                    4..=6 => Some(number % 400),
                    _ => Some(number % 3 * 200_000),
                };
                self.enqueue(expiration_ms, place * 3);
            }
            12..=16 => drop(self.apply(Command::Dispatch { budget: number as u32 % 8 }, 0)),
            17..=18 => {
                let mut consume = consume(channel(place as u8 % 4), number as u16 % 4, flag);
                consume.exclusive = number % 17 == 0;
                consume.global = number % 5 == 0;
                self.apply(Command::Consume(consume), 0);
            }
            19..=25 => {
                let Some((consumer, known)) = self.nth_consumer(place) else { return };
                let held = known.held.keys().nth(number as usize % known.held.len().max(1));
                let first = held.copied().unwrap_or(0);
                let last = first + number % 3;
                let outcome =
                    [Outcome::Acked, Outcome::Requeued, Outcome::Rejected][number as usize / 3 % 3];
                let channel = known.consume.channel;
                self.apply(Command::Settle { channel, consumer, first, last, outcome }, 0);
            }
            26..=27 => {
                self.apply(Command::Get { channel: channel(place as u8 % 4), no_ack: flag }, 0);
            }
            28 => {
                let Some((consumer, known)) = self.nth_consumer(place) else { return };
                self.apply(Command::Cancel { channel: known.consume.channel, consumer }, 0);
            }
            29 => {
                self.apply(Command::CloseChannel { channel: channel(place as u8 % 4) }, 0);
            }
            30..=31 => {
                let Some((consumer, known)) = self.nth_consumer(place) else { return };
                let (channel, count) = (known.consume.channel, number as u32 % 3 + 1);
                self.apply(Command::Grant { channel, consumer, count, keep: flag }, 0);
            }
            32 => {
                let Some((consumer, known)) = self.nth_consumer(place) else { return };
                if !known.is_getter {
                    let channel = known.consume.channel;
                    self.apply(Command::SetGlobal { channel, consumer, on: flag }, 0);
                }
            }
            33..=36 => self.give_back(place),
            37 => drop(self.apply(Command::Touch, 0)),
            38 if number % 4 == 0 => {
                self.apply(Command::Purge { channel: channel(place as u8 % 4) }, 0);
            }
            38 => {
                let (channel, request) = (channel(place as u8 % 4), number as u32);
                self.apply(Command::Count { channel, request }, 0);
            }
            39..=41 => self.advance(number % 200),
            42 if flag => self.advance(number * 100),
            45..=47 => drop(self.apply(Command::Offer { bytes: number % 300 }, 0)),
            43 => {
                let Some((consumer, known)) = self.nth_consumer(place) else { return };
                self.apply(Command::Recall { channel: known.consume.channel, consumer }, 0);
            }
            _ => self.queue.shrink(),
        }
    }

    fn retire(&mut self) {
        let ready = self.model.ready();
        let cancelled = self.model.consuming();
        let effects = self
            .apply_to_queue(Command::Retire { if_unused: cancelled == 0, if_empty: ready == 0 });
        let is_cancel = |effect: &&Effect| matches!(effect, Effect::ConsumerCancelled { .. });
        assert_eq!(effects.iter().filter(is_cancel).count(), cancelled);
        assert_eq!(effects.last(), Some(&Effect::Retired { count: ready }));
        self.queue.check_invariants();
        while self.store.empty_trash(4096) {}
        assert_eq!((self.store.message_count(), self.store.bytes_used()), (0, 0));
    }
}

#[derive(Clone, Copy, Debug)]
struct Step {
    kind: u8,
    place: usize,
    number: u64,
    flag: bool,
}

fn step() -> impl Strategy<Value = Step> {
    (0..48u8, 0..64usize, 0..4_000u64, any::<bool>()).prop_map(|(kind, place, number, flag)| Step {
        kind,
        place,
        number,
        flag,
    })
}

fn settings() -> impl Strategy<Value = Settings> {
    let ttl = prop_oneof![4 => Just(None), 1 => Just(Some(0)), 3 => (1..300u64).prop_map(Some)];
    let expires = prop_oneof![Just(None), (1..500u64).prop_map(Some)];
    (ttl, expires, any::<bool>()).prop_map(|(message_ttl_ms, expires_ms, auto_delete)| Settings {
        id: QueueId(1),
        durable: false,
        exclusive: false,
        auto_delete,
        message_ttl_ms,
        expires_ms,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]
    #[test]
    fn queue_behaves_as_its_model(
        settings in settings(),
        bulk_per_tick in prop_oneof![1..4u32, Just(u32::MAX)],
        steps in proptest::collection::vec(step(), 1..300),
    ) {
        let mut world = World::new(settings, bulk_per_tick);
        for step in &steps {
            world.step(step);
        }
        world.retire();
    }
}
