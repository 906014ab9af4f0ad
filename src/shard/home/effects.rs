//! What queues ask for is carried out.

use haremq_broker::ids::QueueId;
use haremq_broker::queue::{Command, Context, Delivery, Effect};

use super::Unfinished;
use super::requests::saturate;
use crate::limits::{
    DELIVERIES_PER_QUEUE_AND_TICK_MIN, DELIVERIES_PER_TICK, SWEEP_MS, SWEPT_PER_TICK,
};
use crate::mesh::{Answer, Departure, Got};
use crate::shard::Shard;
use crate::timers::Timer;
use crate::turns::share;

impl Shard {
    /// Applies a command; its effects are to be carried out before the next. Returns false if
    /// there is no such queue.
    pub(crate) fn apply(&mut self, id: QueueId, command: Command) -> bool {
        let home = &mut self.home;
        let Some(entry) = home.queues.get_mut(&id) else {
            return false;
        };
        let mut context = Context {
            store: &mut home.store,
            windows: &mut home.windows,
            bulk_left: &mut home.bulk_left,
            leaving: &home.telling,
            effects: &mut home.effects,
        };
        entry.queue.apply(self.now, command, &mut context);
        if !entry.is_listed && entry.queue.is_runnable() {
            entry.is_listed = true;
            home.runnable.push_back(id);
        }
        if !entry.is_unfinished && entry.queue.is_unfinished() {
            entry.is_unfinished = true;
            home.unfinished.push_back(Unfinished::Queue(id));
        }
        if !entry.is_touched {
            entry.is_touched = true;
            home.touched.push_back(id);
            if home.touched.len() == 1 {
                self.wheel.arm(self.now.after_ms(SWEEP_MS), Timer::Sweep);
            }
        }
        true
    }

    /// Applies a command and does what the queue asks for.
    pub(crate) fn apply_and_carry_out(&mut self, id: QueueId, command: Command) -> bool {
        let exists = self.apply(id, command);
        if exists {
            self.carry_out_effects(id);
        }
        exists
    }

    /// Does what the queue has asked for, in order.
    pub(crate) fn carry_out_effects(&mut self, id: QueueId) {
        if self.home.effects.is_empty() {
            return;
        }
        let mut effects = std::mem::take(&mut self.home.effects);
        for effect in effects.drain(..) {
            self.carry_out(id, effect);
        }
        self.home.effects = effects;
    }

    pub(crate) fn carry_out(&mut self, id: QueueId, effect: Effect) {
        match effect {
            Effect::Deliver(delivery) => self.deliver(&delivery),
            Effect::Release { message } => self.home.store.release(message),
            Effect::ArmTimer { at } => self.wheel.arm(at, Timer::Queue(id)),
            Effect::Unused | Effect::Expired => self.retire_by_itself(id),
            Effect::Wants { channel, front_consumer, .. } => {
                self.answer(channel.shard, Answer::Wants { channel, front_consumer });
            }
            Effect::GrantsReturned { channel, count, .. } => {
                self.answer(channel.shard, Answer::GrantsReturned { channel, count });
            }
            Effect::ConsumerCancelled { channel, front_consumer } => {
                let answer = Answer::ConsumerCancelled { channel, front_consumer };
                self.answer(channel.shard, answer);
            }
            Effect::Retired { .. } | Effect::InUse | Effect::NotEmpty => {
                unreachable!("the outcome of a retirement is looked at where it is asked for")
            }
            Effect::ChannelClosed { channel } => self.handle_closed_at_queue(channel),
            Effect::Unanswered(command) => self.answer_for_gone(id, command),
            Effect::Got { .. } => self.answer_get(id, effect),
            _ => self.answer_request(effect),
        }
    }

    /// The effects that answer a request without content.
    fn answer_request(&mut self, effect: Effect) {
        let (channel, answer) = match effect {
            Effect::Consuming { channel, front_consumer, consumer } => {
                (channel, Answer::Consuming { channel, front_consumer, consumer })
            }
            Effect::ConsumeRefused { channel, front_consumer } => {
                (channel, Answer::ConsumeRefused { channel, front_consumer })
            }
            Effect::Empty { channel } => (channel, Answer::GotNothing { channel }),
            Effect::Purged { channel, count } => {
                self.home.has_trash = true;
                (channel, Answer::Purged { channel, count: saturate(count) })
            }
            Effect::Counted { channel, request, messages, consumers } => {
                let messages = saturate(messages);
                (channel, Answer::Counted { channel, request, messages, consumers })
            }
            _ => unreachable!("the other effects answer nobody"),
        };
        self.answer(channel.shard, answer);
    }

    fn deliver(&mut self, delivery: &Delivery) {
        let Delivery { channel, front_consumer, ordinal, message, redelivered, no_ack, .. } =
            *delivery;
        let ordinal = (!no_ack).then_some(ordinal);
        let departure = Departure { channel, front_consumer, ordinal, redelivered };
        if channel.shard == self.id {
            let content = self.home.store.content(message);
            self.front.deliver(self.id, &departure, &content);
            self.counters.delivered += 1;
            return self.grant_after_delivery(channel);
        }
        let body = self.home.store.body_owned(message);
        let content = self.home.store.content(message);
        let outbox = &mut self.outboxes[channel.shard.index()];
        outbox.deliver(&departure, &content, body.as_ref());
    }

    fn answer_get(&mut self, queue: QueueId, effect: Effect) {
        let Effect::Got { channel, consumer, ordinal, message, redelivered, remaining } = effect
        else {
            unreachable!("the caller has looked")
        };
        let holder = consumer.map(|index| (index, ordinal));
        let remaining = saturate(remaining);
        let got = Got { channel, queue, holder, redelivered, remaining };
        if channel.shard == self.id {
            let content = self.home.store.content(message);
            self.front.handle_got(self.id, got, &content);
            self.counters.delivered += 1;
            return;
        }
        let body = self.home.store.body_owned(message);
        let content = self.home.store.content(message);
        self.outboxes[channel.shard.index()].got(got, &content, body.as_ref());
    }

    /// Lets every listed queue deliver its share of a tick.
    pub(crate) fn dispatch_queues(&mut self) {
        let queues = self.home.runnable.len();
        let share = DELIVERIES_PER_TICK / queues.max(1);
        let budget = u32::try_from(share.max(DELIVERIES_PER_QUEUE_AND_TICK_MIN)).expect("small");
        for _ in 0..queues {
            let id = self.home.runnable.pop_front().expect("counted");
            let Some(entry) = self.home.queues.get_mut(&id) else {
                continue;
            };
            entry.is_listed = false;
            self.apply_and_carry_out(id, Command::Dispatch { budget });
        }
    }

    /// Lets all go on with what the last tick's budget did not suffice for, by turns and with equal
    /// shares: who needs little does not wait for those who need much.
    pub(crate) fn continue_queues(&mut self) {
        let mut left = self.home.bulk_per_tick;
        while left > 0 && !self.home.unfinished.is_empty() {
            let turns = self.home.unfinished.len();
            let share = share(left, turns);
            for _ in 0..turns {
                let given = share.min(left);
                if given == 0 {
                    break;
                }
                self.home.bulk_left = given;
                self.take_turn();
                left -= given - self.home.bulk_left;
            }
        }
        self.home.bulk_left = left;
    }

    /// Whoever is first goes on, as far as what is left of the budget suffices.
    fn take_turn(&mut self) {
        match self.home.unfinished.pop_front().expect("counted") {
            Unfinished::Queue(id) => {
                if let Some(entry) = self.home.queues.get_mut(&id) {
                    entry.is_unfinished = false;
                    self.apply_and_carry_out(id, Command::Continue);
                }
            }
            turn @ Unfinished::Channel(channel) => {
                if !self.tell_queues(channel) {
                    self.home.unfinished.push_back(turn);
                }
            }
        }
    }

    /// Gives back what queues keep for reuse and have not needed: those that are empty now. A
    /// queue that is used again needs its memory again, so this is done once in a while only.
    pub(crate) fn sweep_queues(&mut self) {
        for _ in 0..self.home.touched.len().min(SWEPT_PER_TICK) {
            let id = self.home.touched.pop_front().expect("counted");
            let Some(entry) = self.home.queues.get_mut(&id) else {
                continue;
            };
            entry.is_touched = false;
            if entry.queue.ready_count() + entry.queue.unacked_count() == 0 {
                entry.queue.shrink();
            }
        }
        if self.home.touched.is_empty() {
            self.home.store.shrink();
        } else {
            self.wheel.arm(self.now.after_ms(SWEEP_MS), Timer::Sweep);
        }
    }

    /// A queue wanted to be told now.
    pub(crate) fn handle_queue_timer(&mut self, id: QueueId) {
        self.apply_and_carry_out(id, Command::TimerFired);
    }
}
