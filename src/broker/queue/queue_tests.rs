//! What the queue promises, one by one.

use super::*;
use crate::ids::{QueueId, ShardId};
use crate::store::Content;

const CLASSIC: Settings = Settings {
    id: QueueId(1),
    durable: false,
    exclusive: false,
    auto_delete: false,
    message_ttl_ms: None,
    expires_ms: None,
};

fn channel(slot: u32) -> ChannelAddress {
    ChannelAddress { shard: ShardId(0), slot, generation: 1 }
}

const PURGE: Command =
    Command::Purge { channel: ChannelAddress { shard: ShardId(0), slot: 2, generation: 1 } };

fn closed(slot: u32) -> Effect {
    Effect::ChannelClosed { channel: channel(slot) }
}

fn refused(slot: u32) -> Effect {
    Effect::ConsumeRefused { channel: channel(slot), front_consumer: slot }
}

/// A queue with a store and one window.
struct Bench {
    queue: Queue,
    store: MessageStore,
    windows: Windows,
    window: WindowId,
    now: Time,
    /// What a command may settle, requeue or purge.
    bulk: u32,
}

impl Bench {
    fn new(settings: Settings) -> Bench {
        let mut windows = Windows::new(1_000_000);
        let window = windows.open();
        let (queue, store) = (Queue::new(settings), MessageStore::new());
        let mut bench = Bench { queue, store, windows, window, now: Time(0), bulk: u32::MAX };
        bench.apply(Command::Touch);
        bench
    }

    fn apply(&mut self, command: Command) -> Vec<Effect> {
        let mut effects = Vec::new();
        let (store, windows) = (&mut self.store, &mut self.windows);
        let bulk_left = &mut self.bulk.clone();
        let leaving = &BTreeSet::new();
        let mut context = Context { store, windows, bulk_left, effects: &mut effects, leaving };
        self.queue.apply(self.now, command, &mut context);
        self.queue.check_invariants();
        effects
    }

    fn publish(&mut self, body: u8, expiration_ms: Option<u64>) -> Vec<Effect> {
        let body = [body];
        let content = Content { exchange: b"", routing_key: b"", properties: &[0, 0], body: &body };
        let message = self.store.insert(&content, 1);
        self.apply(Command::Enqueue { message, expiration_ms })
    }

    fn publish_all(&mut self, bodies: impl IntoIterator<Item = u8>) {
        bodies.into_iter().for_each(|body| drop(self.publish(body, None)));
    }

    fn try_consume(&mut self, slot: u32, prefetch: u16, exclusive: bool) -> Effect {
        let consume = Consume {
            channel: channel(slot),
            front_consumer: slot,
            no_ack: false,
            exclusive,
            prefetch,
            global: false,
            window: self.window,
        };
        self.apply(Command::Consume(consume))[0]
    }

    fn consume(&mut self, slot: u32, prefetch: u16) -> ConsumerIndex {
        match self.try_consume(slot, prefetch, false) {
            Effect::Consuming { consumer, .. } => consumer,
            other => panic!("{other:?}"),
        }
    }

    /// (front consumer, body, redelivered) of all that can be delivered.
    fn dispatch(&mut self) -> Vec<(u32, u8, bool)> {
        let effects = self.apply(Command::Dispatch { budget: 1_000 });
        self.deliveries(&effects)
    }

    fn deliveries(&self, effects: &[Effect]) -> Vec<(u32, u8, bool)> {
        let deliveries = effects.iter().filter_map(|effect| match effect {
            Effect::Deliver(delivery) => Some(delivery),
            _ => None,
        });
        deliveries.map(|d| (d.front_consumer, self.body(d.message), d.redelivered)).collect()
    }

    fn body(&self, message: MessageId) -> u8 {
        self.store.content(message).body[0]
    }

    fn settle(&mut self, slot: u32, consumer: ConsumerIndex, ordinal: u64, outcome: Outcome) {
        let (channel, first, last) = (channel(slot), ordinal, ordinal);
        self.apply(Command::Settle { channel, consumer, first, last, outcome });
    }

    fn at(&mut self, ms: u64) -> Vec<Effect> {
        self.now = Time(ms);
        self.apply(Command::TimerFired)
    }
}

#[test]
fn consumers_take_turns() {
    let mut bench = Bench::new(CLASSIC);
    bench.consume(1, 0);
    bench.consume(2, 0);
    bench.publish_all(0..4);
    let fronts: Vec<u32> = bench.dispatch().iter().map(|delivery| delivery.0).collect();
    assert_eq!(fronts, [1, 2, 1, 2]);
}

#[test]
fn message_passes_through_only_if_nothing_waits_and_nobody_need_hold_it() {
    let offer = Command::Offer { bytes: 100 };
    let mut bench = Bench::new(CLASSIC);
    assert_eq!(bench.apply(offer), []);
    let automatic = |bench: &Bench, slot| {
        let window = bench.window;
        let (channel, front_consumer) = (channel(slot), slot);
        let (no_ack, exclusive, prefetch, global) = (true, false, 0, false);
        Command::Consume(Consume {
            channel,
            front_consumer,
            no_ack,
            exclusive,
            prefetch,
            global,
            window,
        })
    };
    for slot in [1, 2] {
        bench.apply(automatic(&bench, slot));
    }
    for slot in [1, 2, 1] {
        let passed = Effect::Passed { channel: channel(slot), front_consumer: slot };
        assert_eq!(bench.apply(offer), [passed]);
    }
    bench.publish_all(0..1);
    assert_eq!(bench.apply(offer), []);
    assert_eq!(bench.dispatch(), [(2, 0, false)]);
    let holder = bench.consume(3, 0);
    bench.apply(offer);
    bench.apply(offer);
    assert_eq!(bench.apply(offer), [], "it is the turn of one that acks");
    assert_eq!(bench.queue.counters().settled, bench.queue.counters().enqueued);
    bench.apply(Command::Cancel { channel: channel(3), consumer: holder });
    assert_eq!(bench.apply(offer).len(), 1);
}

#[test]
fn full_consumer_leaves_the_round_and_re_enters_at_its_tail() {
    let mut bench = Bench::new(CLASSIC);
    let first = bench.consume(1, 1);
    let second = bench.consume(2, 1);
    bench.publish_all(0..2);
    assert_eq!(bench.dispatch(), [(1, 0, false), (2, 1, false)]);
    bench.settle(2, second, 0, Outcome::Acked);
    bench.settle(1, first, 0, Outcome::Acked);
    bench.publish_all(2..4);
    assert_eq!(bench.dispatch(), [(2, 2, false), (1, 3, false)]);
    assert!(!bench.queue.is_runnable());
}

#[test]
fn requeue_keeps_position() {
    let mut bench = Bench::new(CLASSIC);
    let consumer = bench.consume(1, 3);
    bench.publish_all(0..5);
    bench.dispatch();
    for ordinal in [2, 0, 1] {
        bench.settle(1, consumer, ordinal, Outcome::Requeued);
    }
    assert_eq!(bench.dispatch(), [(1, 0, true), (1, 1, true), (1, 2, true)]);
}

#[test]
fn closed_channel_gives_back_all_that_it_holds() {
    let mut bench = Bench::new(CLASSIC);
    bench.publish_all(0..4);
    bench.apply(Command::Get { channel: channel(1), no_ack: false });
    bench.consume(1, 1);
    bench.consume(1, 1);
    assert_eq!(bench.dispatch(), [(1, 1, false), (1, 2, false)]);
    bench.apply(Command::CloseChannel { channel: channel(1) });
    assert_eq!((bench.queue.consumer_count(), bench.queue.unacked_count()), (0, 0));
    bench.consume(2, 0);
    let expected = [(2, 0, true), (2, 1, true), (2, 2, true), (2, 3, false)];
    assert_eq!(bench.dispatch(), expected);
}

/// A queue of which a consumer on channel 1 holds 0..6, with 6..8 behind them; no command may go
/// through more than two.
fn bench_with_small_slices() -> (Bench, ConsumerIndex) {
    let mut bench = Bench::new(CLASSIC);
    let consumer = bench.consume(1, 0);
    bench.publish_all(0..6);
    bench.dispatch();
    bench.consume(2, 0);
    bench.bulk = 2;
    (bench, consumer)
}

#[test]
fn nothing_newer_is_delivered_while_messages_come_back() {
    let (mut bench, _) = bench_with_small_slices();
    assert_eq!(bench.apply(Command::CloseChannel { channel: channel(1) }), []);
    bench.publish_all(6..8);
    for ready in [2 + 2, 4 + 2] {
        assert_eq!((bench.queue.ready_count(), bench.dispatch()), (ready, vec![]));
        assert!(bench.queue.is_unfinished() && !bench.queue.is_runnable());
        let is_last = ready == 4 + 2;
        let effects = bench.apply(Command::Continue);
        assert_eq!(effects, if is_last { vec![closed(1)] } else { vec![] });
    }
    let bodies: Vec<(u8, bool)> = bench.dispatch().iter().map(|d| (d.1, d.2)).collect();
    let back = (0..6).map(|body| (body, true));
    assert_eq!(bodies, back.chain([(6, false), (7, false)]).collect::<Vec<_>>());
}

#[test]
fn what_is_asked_meanwhile_is_answered_in_order_when_messages_are_back() {
    let (mut bench, consumer) = bench_with_small_slices();
    let (first, last, outcome) = (0, 4, Outcome::Requeued);
    let (one, three) = (channel(1), channel(3));
    bench.apply(Command::Settle { channel: one, consumer, first, last, outcome });
    assert_eq!(bench.apply(Command::Get { channel: three, no_ack: true }), []);
    assert_eq!(bench.apply(Command::Count { channel: three, request: 7 }), []);
    assert_eq!(bench.apply(Command::Continue), []);
    let effects = bench.apply(Command::Continue);
    let [Effect::Got { channel, message, remaining: 4, .. }, _, counted] = effects[..] else {
        panic!("{effects:?}");
    };
    assert_eq!((channel, bench.body(message)), (three, 0));
    let (messages, consumers) = (4, 2);
    assert_eq!(counted, Effect::Counted { channel: three, request: 7, messages, consumers });
    assert!(!bench.queue.is_unfinished());
}

#[test]
fn what_was_acked_before_its_channel_closed_does_not_come_back() {
    let (mut bench, consumer) = bench_with_small_slices();
    let (channel, first, last, outcome) = (channel(1), 0, 4, Outcome::Acked);
    bench.apply(Command::Settle { channel, consumer, first, last, outcome });
    bench.apply(Command::CloseChannel { channel });
    while bench.queue.is_unfinished() {
        bench.apply(Command::Continue);
    }
    assert_eq!(bench.dispatch(), [(2, 5, true)]);
}

#[test]
fn nothing_newer_is_delivered_while_acks_go_before_what_comes_back() {
    let (mut bench, consumer) = bench_with_small_slices();
    let (channel, first, last, outcome) = (channel(1), 0, 3, Outcome::Acked);
    bench.apply(Command::Settle { channel, consumer, first, last, outcome });
    bench.apply(Command::CloseChannel { channel });
    bench.publish_all(6..7);
    while bench.queue.is_unfinished() {
        assert_eq!(bench.dispatch(), []);
        bench.apply(Command::Continue);
    }
    assert_eq!(bench.dispatch(), [(2, 4, true), (2, 5, true), (2, 6, false)]);
}

#[test]
fn stopped_channel_gets_nothing_and_keeps_what_it_holds() {
    let (mut bench, consumer) = bench_with_small_slices();
    bench.apply(Command::StopChannel { channel: channel(1) });
    bench.publish_all(6..8);
    assert_eq!(bench.dispatch(), [(2, 6, false), (2, 7, false)]);
    bench.settle(1, consumer, 0, Outcome::Acked);
    assert_eq!((bench.queue.unacked_count(), bench.queue.consumer_count()), (5 + 2, 1));
}

#[test]
fn acks_in_slices_do_not_hold_up_deliveries() {
    let (mut bench, consumer) = bench_with_small_slices();
    let (channel, first, last, outcome) = (channel(1), 0, 4, Outcome::Acked);
    bench.apply(Command::Settle { channel, consumer, first, last, outcome });
    bench.publish_all(6..8);
    assert!(bench.queue.is_unfinished());
    assert_eq!(bench.dispatch().len(), 2);
}

#[test]
fn purge_in_slices_counts_what_all_of_them_dropped() {
    let (mut bench, _) = bench_with_small_slices();
    bench.apply(Command::CloseChannel { channel: channel(1) });
    bench.publish_all(6..9);
    assert_eq!(bench.apply(PURGE), []);
    let mut effects = Vec::new();
    while bench.queue.is_unfinished() {
        assert_eq!(bench.dispatch(), []);
        effects.append(&mut bench.apply(Command::Continue));
    }
    assert_eq!(effects, [closed(1), Effect::Purged { channel: channel(2), count: 9 }]);
    assert_eq!(bench.queue.ready_count(), 0);
}

#[test]
fn queue_that_goes_says_which_commands_it_leaves_unanswered() {
    let (mut bench, _) = bench_with_small_slices();
    let close = Command::CloseChannel { channel: channel(1) };
    let get = Command::Get { channel: channel(3), no_ack: true };
    bench.apply(close);
    bench.apply(get);
    let refused = bench.apply(Command::Retire { if_unused: false, if_empty: true });
    assert_eq!(refused, [Effect::NotEmpty]);
    let effects = bench.apply(Command::Retire { if_unused: false, if_empty: false });
    let expected =
        [Effect::Unanswered(close), Effect::Unanswered(get), Effect::Retired { count: 2 }];
    assert_eq!(effects[1..], expected);
}

#[test]
fn cancelled_consumer_can_still_settle_what_it_holds() {
    let mut bench = Bench::new(CLASSIC);
    let consumer = bench.consume(1, 0);
    bench.publish_all(0..2);
    bench.dispatch();
    bench.apply(Command::Cancel { channel: channel(1), consumer });
    bench.publish_all(2..3);
    assert_eq!(bench.dispatch(), []);
    assert_eq!(bench.queue.unacked_count(), 2);
    bench.settle(1, consumer, 0, Outcome::Acked);
    bench.settle(1, consumer, 1, Outcome::Requeued);
    assert_eq!((bench.queue.ready_count(), bench.queue.unacked_count()), (2, 0));
}

#[test]
fn settlement_of_another_channel_or_generation_is_passed_over() {
    let mut bench = Bench::new(CLASSIC);
    let consumer = bench.consume(1, 0);
    bench.publish_all(0..1);
    bench.dispatch();
    bench.settle(2, consumer, 0, Outcome::Acked);
    bench.settle(1, ConsumerIndex(9), 0, Outcome::Acked);
    let later = ChannelAddress { generation: 2, ..channel(1) };
    bench.apply(Command::Settle {
        channel: later,
        consumer,
        first: 0,
        last: u64::MAX,
        outcome: Outcome::Acked,
    });
    assert_eq!(bench.queue.unacked_count(), 1);
    for _ in 0..2 {
        bench.settle(1, consumer, 0, Outcome::Acked);
        assert_eq!(bench.queue.counters().settled, 1);
    }
}

#[test]
fn exclusive_consumer_is_alone() {
    let mut bench = Bench::new(CLASSIC);
    let consumer = bench.consume(1, 0);
    assert_eq!(bench.try_consume(2, 0, true), refused(2));
    bench.apply(Command::Cancel { channel: channel(1), consumer });
    assert!(matches!(bench.try_consume(2, 0, true), Effect::Consuming { .. }));
    assert_eq!(bench.try_consume(3, 0, false), refused(3));
    bench.apply(Command::CloseChannel { channel: channel(2) });
    bench.consume(3, 0);
}

#[test]
fn message_with_no_time_to_live_expires_unless_it_is_taken_at_once() {
    let mut bench = Bench::new(CLASSIC);
    bench.publish(0, Some(0));
    assert_eq!((bench.queue.ready_count(), bench.queue.counters().expired), (0, 1));
    bench.publish(1, None);
    bench.consume(1, 2);
    let effects = bench.publish(2, Some(0));
    assert_eq!(bench.deliveries(&effects), [(1, 1, false), (1, 2, false)]);
    bench.publish(3, Some(0));
    assert_eq!(bench.queue.counters().expired, 2);
}

#[test]
fn short_lived_message_expires_on_time_behind_long_lived_ones() {
    let mut bench = Bench::new(CLASSIC);
    assert_eq!(bench.publish(0, Some(1_000)), [Effect::ArmTimer { at: Time(1_001) }]);
    bench.publish(1, None);
    assert_eq!(bench.publish(2, Some(10)), [Effect::ArmTimer { at: Time(11) }]);
    bench.at(10);
    assert_eq!(bench.queue.ready_count(), 3);
    bench.at(11);
    assert_eq!(bench.queue.ready_count(), 2);
    bench.at(1_001);
    assert_eq!(bench.queue.ready_count(), 1);
    assert_eq!(bench.store.message_count(), 1);
}

#[test]
fn queue_with_one_time_to_live_has_one_timer() {
    let mut bench = Bench::new(Settings { message_ttl_ms: Some(100), ..CLASSIC });
    let mut armed = 0;
    for ms in 0..90 {
        bench.now = Time(ms);
        armed += bench.publish(0, None).len();
    }
    assert_eq!(armed, 1);
    assert_eq!(bench.at(101), [Effect::ArmTimer { at: Time(102) }]);
    assert_eq!(bench.queue.ready_count(), 89);
}

#[test]
fn message_that_is_out_expires_when_it_comes_back() {
    let mut bench = Bench::new(CLASSIC);
    let consumer = bench.consume(1, 0);
    bench.publish(0, Some(10));
    bench.dispatch();
    bench.at(11);
    assert_eq!(bench.queue.unacked_count(), 1);
    bench.settle(1, consumer, 0, Outcome::Requeued);
    assert_eq!((bench.queue.ready_count(), bench.queue.counters().expired), (0, 1));
}

#[test]
fn requeued_message_keeps_its_deadline() {
    let mut bench = Bench::new(CLASSIC);
    let consumer = bench.consume(1, 1);
    bench.publish(0, Some(10));
    bench.dispatch();
    bench.now = Time(5);
    bench.settle(1, consumer, 0, Outcome::Requeued);
    bench.apply(Command::Cancel { channel: channel(1), consumer });
    bench.at(11);
    assert_eq!((bench.queue.ready_count(), bench.queue.counters().expired), (0, 1));
}

#[test]
fn expiry_of_many_goes_in_slices() {
    let mut bench = Bench::new(Settings { message_ttl_ms: Some(10), ..CLASSIC });
    for _ in 0..10_000 {
        let content = Content { exchange: b"", routing_key: b"", properties: &[0, 0], body: b"x" };
        let message = bench.store.insert(&content, 1);
        let effects = &mut Vec::new();
        let (store, windows) = (&mut bench.store, &mut bench.windows);
        let bulk_left = &mut u32::MAX.clone();
        let leaving = &BTreeSet::new();
        let mut context = Context { store, windows, bulk_left, effects, leaving };
        bench.queue.apply(Time(0), Command::Enqueue { message, expiration_ms: None }, &mut context);
    }
    assert_eq!(bench.at(11), [Effect::ArmTimer { at: Time(12) }]);
    assert_eq!(bench.queue.ready_count(), 10_000 - 4_096);
    assert_eq!(bench.at(12), [Effect::ArmTimer { at: Time(13) }]);
    assert_eq!(bench.at(13), []);
    assert_eq!(bench.queue.ready_count(), 0);
}

#[test]
fn timers_of_messages_long_gone_do_not_pile_up() {
    let mut bench = Bench::new(CLASSIC);
    bench.publish(0, Some(u64::MAX));
    let mut armed = 0;
    for ms in 0..20_000u64 {
        let content = Content { exchange: b"", routing_key: b"", properties: &[0, 0], body: b"x" };
        let message = bench.store.insert(&content, 1);
        let effects = &mut Vec::new();
        let (store, windows) = (&mut bench.store, &mut bench.windows);
        let bulk_left = &mut u32::MAX.clone();
        let leaving = &BTreeSet::new();
        let mut context = Context { store, windows, bulk_left, effects, leaving };
        let command = Command::Enqueue { message, expiration_ms: Some(1 << 40) };
        bench.queue.apply(Time(ms), command, &mut context);
        let get = Command::Get { channel: channel(1), no_ack: true };
        bench.queue.apply(Time(ms), get, &mut context);
        armed += effects.iter().filter(|e| matches!(e, Effect::ArmTimer { .. })).count();
    }
    assert_eq!(armed, 0);
    bench.queue.check_invariants();
}

#[test]
fn get_tells_what_is_left_and_who_holds_the_message() {
    let mut bench = Bench::new(CLASSIC);
    bench.publish_all(0..2);
    let got = bench.apply(Command::Get { channel: channel(1), no_ack: false });
    let [Effect::Got { consumer: Some(holder), ordinal: 0, remaining: 1, .. }] = got[..] else {
        panic!("{got:?}");
    };
    let got = bench.apply(Command::Get { channel: channel(1), no_ack: true });
    assert!(matches!(
        got[..],
        [Effect::Got { consumer: None, remaining: 0, .. }, Effect::Release { .. }]
    ));
    let empty = Effect::Empty { channel: channel(1) };
    assert_eq!(bench.apply(Command::Get { channel: channel(1), no_ack: true }), [empty]);
    bench.settle(1, holder, 0, Outcome::Rejected);
    assert_eq!(bench.queue.counters().settled, 2);
    assert_eq!(bench.queue.consumer_count(), 0);
}

#[test]
fn purge_leaves_what_is_out() {
    let mut bench = Bench::new(CLASSIC);
    let consumer = bench.consume(1, 2);
    bench.publish_all(0..10);
    bench.dispatch();
    bench.settle(1, consumer, 0, Outcome::Requeued);
    let purged = Effect::Purged { channel: channel(2), count: 9 };
    assert_eq!(bench.apply(PURGE), [purged]);
    assert_eq!((bench.queue.ready_count(), bench.queue.unacked_count()), (0, 1));
    while bench.store.empty_trash(4) {}
    assert_eq!(bench.store.message_count(), 1);
    bench.publish_all(10..11);
    assert_eq!(bench.dispatch(), [(1, 10, false)]);
}

#[test]
fn auto_delete_queue_is_unused_when_its_last_consumer_goes() {
    let mut bench = Bench::new(Settings { auto_delete: true, ..CLASSIC });
    bench.apply(Command::Get { channel: channel(3), no_ack: true });
    assert_eq!(bench.apply(Command::CloseChannel { channel: channel(3) }), [closed(3)]);
    let consumer = bench.consume(1, 0);
    bench.consume(2, 0);
    assert_eq!(bench.apply(Command::Cancel { channel: channel(1), consumer }), []);
    let effects = bench.apply(Command::CloseChannel { channel: channel(2) });
    assert_eq!(effects, [Effect::Unused, closed(2)]);
}

#[test]
fn retire_tests_emptiness_before_use() {
    let mut bench = Bench::new(CLASSIC);
    bench.consume(1, 1);
    bench.publish_all(0..2);
    let both = Command::Retire { if_unused: true, if_empty: true };
    assert_eq!(bench.apply(both), [Effect::NotEmpty]);
    bench.dispatch();
    bench.apply(PURGE);
    assert_eq!(bench.apply(both), [Effect::InUse]);
    bench.publish_all(2..5);
    let cancelled = Effect::ConsumerCancelled { channel: channel(1), front_consumer: 1 };
    let retired = bench.apply(Command::Retire { if_unused: false, if_empty: false });
    assert_eq!(retired, [cancelled, Effect::Retired { count: 3 }]);
    assert_eq!(bench.queue.counters().dropped, 5);
}

#[test]
fn unused_queue_expires_but_not_while_it_has_a_consumer() {
    let mut bench = Bench::new(Settings { expires_ms: Some(100), ..CLASSIC });
    bench.now = Time(50);
    bench.apply(Command::Get { channel: channel(1), no_ack: true });
    bench.publish(0, None);
    assert_eq!(bench.at(101), [Effect::ArmTimer { at: Time(151) }]);
    let consumer = bench.consume(1, 0);
    assert_eq!(bench.at(151), []);
    bench.now = Time(200);
    let effects = bench.apply(Command::Cancel { channel: channel(1), consumer });
    assert_eq!(effects, [Effect::ArmTimer { at: Time(301) }]);
    assert_eq!(bench.at(301), [Effect::Expired]);
}

#[test]
fn slow_connection_blocks_only_its_own_consumers() {
    let mut bench = Bench::new(CLASSIC);
    bench.windows = Windows::new(200);
    bench.window = bench.windows.open();
    let slow = bench.consume(1, 0);
    bench.window = bench.windows.open();
    bench.publish_all(0..3);
    // Two deliveries of 67 bytes fit.
    assert_eq!(bench.dispatch(), [(1, 0, false), (1, 1, false)]);
    bench.consume(2, 0);
    assert_eq!(bench.dispatch(), [(2, 2, false)]);
    let mut woken = Vec::new();
    bench.windows.give_back(WindowId(0), 134, &mut woken);
    assert_eq!(woken, [Waiting { queue: QueueId(1), consumer: slow }]);
    bench.apply(Command::WindowOpened { consumer: slow });
    bench.publish_all(3..4);
    assert_eq!(bench.dispatch(), [(2, 3, false)]);
    bench.publish_all(4..5);
    assert_eq!(bench.dispatch(), [(1, 4, false)]);
}

#[test]
fn globally_limited_consumer_asks_once_and_returns_what_it_does_not_use() {
    let mut bench = Bench::new(CLASSIC);
    let consumer = bench.consume(1, 0);
    let (channel, front_consumer) = (channel(1), 1);
    bench.apply(Command::SetGlobal { channel, consumer, on: true });
    bench.publish_all(0..2);
    let wants = Effect::Wants { channel, front_consumer, consumer };
    assert_eq!(bench.apply(Command::Dispatch { budget: 10 }), [wants]);
    assert_eq!(bench.apply(Command::Dispatch { budget: 10 }), []);
    bench.apply(Command::Grant { channel, consumer, count: 5, keep: false });
    let effects = bench.apply(Command::Dispatch { budget: 10 });
    assert_eq!(bench.deliveries(&effects), [(1, 0, false), (1, 1, false)]);
    let returned = Effect::GrantsReturned { channel, front_consumer, consumer, count: 3 };
    assert_eq!(effects.last(), Some(&returned));
    bench.publish_all(2..3);
    assert_eq!(bench.apply(Command::Dispatch { budget: 10 }), [wants]);
}

/// One chunk of places per 128 messages may be made anew, and one of ordinals per 32; nothing per
/// message.
#[test]
fn steady_flow_allocates_nothing_per_message() {
    let mut bench = Bench::new(Settings { message_ttl_ms: Some(1_000), ..CLASSIC });
    let consumer = bench.consume(1, 0);
    let mut effects = Vec::with_capacity(1_000);
    let mut ordinal = 0;
    let mut flow = |rounds: u64| {
        let (store, windows) = (&mut bench.store, &mut bench.windows);
        for _ in 0..rounds {
            for _ in 0..100 {
                let content =
                    Content { exchange: b"", routing_key: b"", properties: &[0, 0], body: b"x" };
                let message = store.insert(&content, 1);
                let command = Command::Enqueue { message, expiration_ms: None };
                let bulk_left = &mut u32::MAX.clone();
                let leaving = &BTreeSet::new();
                let mut context =
                    Context { store, windows, bulk_left, effects: &mut effects, leaving };
                bench.queue.apply(Time(0), command, &mut context);
            }
            let settle = Command::Settle {
                channel: channel(1),
                consumer,
                first: ordinal,
                last: ordinal + 99,
                outcome: Outcome::Acked,
            };
            ordinal += 100;
            for command in [Command::Dispatch { budget: 100 }, settle] {
                let bulk_left = &mut u32::MAX.clone();
                let leaving = &BTreeSet::new();
                let mut context =
                    Context { store, windows, bulk_left, effects: &mut effects, leaving };
                bench.queue.apply(Time(0), command, &mut context);
            }
            let deliveries = effects.iter().filter(|e| matches!(e, Effect::Deliver(_))).count();
            assert_eq!(deliveries, 100);
            effects.clear();
            windows.give_back(bench.window, 100 * 67, &mut Vec::new());
        }
    };
    flow(10);
    let counted = allocation_counter::measure(|| flow(100));
    assert!(counted.count_total <= 10_000 / 32 + 10_000 / 128 + 2, "{}", counted.count_total);
}

#[test]
fn idle_queue_is_small() {
    println!("{} bytes per idle queue", size_of::<Queue>());
    assert!(size_of::<Queue>() <= 400);
}
