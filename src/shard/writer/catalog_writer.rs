//! The writer's machine.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use haremq_broker::catalog::{
    BindingDestination, Catalog, Command, Delta, Plan, refusal, strip_line_ends,
};
use haremq_broker::ids::{ChannelAddress, ConnectionAddress, QueueId, ShardId};
use haremq_protocol::reply::ProtocolError;

use super::letters::{Done, FromWriter, RetireOutcome, ToWriter};
use super::unbinding::Unbinding;

/// The one authority over the catalog. Owned by one thread of the control plane; shards hold
/// replicas. Session machine: [`CatalogWriter::handle`] in, [`CatalogWriter::poll_outbox`] out.
pub struct CatalogWriter {
    pub(super) catalog: Catalog,
    /// Per shard: the last delta that it has applied.
    applied: Vec<u64>,
    /// Per shard: what is to be sent.
    outboxes: Vec<VecDeque<FromWriter>>,
    /// Answers in the order of the indices that every shard must have applied first.
    answers: VecDeque<PendingAnswer>,
    /// Queues whose home was asked to retire them, and what waits for the outcome.
    retiring: BTreeMap<QueueId, Retiring>,
    /// Queues that a client knows to be gone before the writer does, and what waits for it.
    awaiting_news: BTreeMap<QueueId, Vec<Wish>>,
    /// Channels with a wish that waits, and their later wishes in order.
    held: BTreeMap<ChannelAddress, VecDeque<Wish>>,
    /// Channels one of whose commands failed: later ones are as if never sent.
    failed: BTreeSet<ChannelAddress>,
    /// Queues and exchanges that go when most of their bindings have gone, one after the other.
    pub(super) unbinding: VecDeque<Unbinding>,
    /// As many bindings go at once.
    pub(super) bindings_per_delta: u32,
}

/// A client's command with the address of its answer.
#[derive(Debug)]
pub(super) struct Wish {
    channel: ChannelAddress,
    request: u32,
    pub(super) command: Arc<Command>,
    known_gone: Option<QueueId>,
}

#[derive(Debug)]
struct Retiring {
    asker: Asker,
    /// Wishes that concern the queue, in order of arrival.
    waiting: Vec<Wish>,
    /// Owners that end while a client's deletion is under way.
    owners: Vec<ConnectionAddress>,
}

#[derive(Clone, Copy, Debug)]
enum Asker {
    Channel { channel: ChannelAddress, request: u32 },
    Owner(ConnectionAddress),
}

#[derive(Debug)]
struct PendingAnswer {
    index: u64,
    shard: ShardId,
    answer: FromWriter,
}

impl CatalogWriter {
    /// A writer of `catalog` for this many shards, which hold replicas equal to it. Not more than
    /// `bindings_per_delta` bindings go at once ([`crate::limits::BINDINGS_PER_DELTA`] but in
    /// tests).
    pub fn new(catalog: Catalog, shards: u16, bindings_per_delta: u32) -> CatalogWriter {
        assert!(bindings_per_delta > 0);
        let index = catalog.index();
        CatalogWriter {
            catalog,
            applied: vec![index; usize::from(shards)],
            outboxes: (0..shards).map(|_| VecDeque::new()).collect(),
            answers: VecDeque::new(),
            retiring: BTreeMap::new(),
            awaiting_news: BTreeMap::new(),
            held: BTreeMap::new(),
            failed: BTreeSet::new(),
            unbinding: VecDeque::new(),
            bindings_per_delta,
        }
    }

    /// The authoritative catalog.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Whether there is a letter for any shard.
    pub fn has_letters(&self) -> bool {
        self.outboxes.iter().any(|outbox| !outbox.is_empty())
    }

    /// Takes in what a shard says.
    pub fn handle(&mut self, from: ShardId, letter: ToWriter) {
        if let Some(letter) = self.hold_for_unbinding(from, letter) {
            self.consider_letter(from, letter);
        }
    }

    /// Does what a letter asks for.
    pub(super) fn consider_letter(&mut self, from: ShardId, letter: ToWriter) {
        match letter {
            ToWriter::Command { channel, request, command, known_gone } => {
                self.handle_wish(Wish { channel, request, command, known_gone });
            }
            ToWriter::DeleteExclusive { connection, queue } => {
                self.handle_delete_exclusive(connection, queue);
            }
            ToWriter::Retired { queue } => self.handle_retired(from, queue),
            ToWriter::RetireAnswered { queue, outcome } => {
                self.handle_retire_answered(queue, outcome);
            }
            ToWriter::Applied { index } => self.handle_applied(from, index),
            ToWriter::ChannelEnded { channel } => {
                self.failed.remove(&channel);
            }
        }
    }

    /// The next letter to a shard.
    pub fn poll_outbox(&mut self, shard: ShardId) -> Option<FromWriter> {
        self.outboxes[shard.index()].pop_front()
    }

    fn handle_wish(&mut self, wish: Wish) {
        if self.failed.contains(&wish.channel) {
            return;
        }
        if let Some(held) = self.held.get_mut(&wish.channel) {
            return held.push_back(wish);
        }
        self.consider(wish);
    }

    /// Decides a wish whose channel has none waiting before it.
    fn consider(&mut self, wish: Wish) {
        if let Some(gone) = wish.known_gone
            && self.catalog.queue_by_id(gone).is_some()
        {
            self.held.entry(wish.channel).or_default();
            return self.awaiting_news.entry(gone).or_default().push(wish);
        }
        if let Some(queue) = self.retiring_queue_of(&wish.command) {
            self.held.entry(wish.channel).or_default();
            let retiring = self.retiring.get_mut(&queue).expect("it was just found");
            return retiring.waiting.push(wish);
        }
        let channel = wish.channel;
        let Some(wish) = self.hold_wish_for_unbinding(wish) else {
            self.held.entry(channel).or_default();
            return;
        };
        match self.catalog.plan(&wish.command) {
            Ok(Plan::Change(Delta::ExchangeDeleted { id }))
                if self.has_many_bindings(BindingDestination::Exchange(id)) =>
            {
                self.held.entry(wish.channel).or_default();
                self.unbind_first(id, wish);
            }
            Ok(plan) => self.carry_out(wish, plan),
            Err(error) => self.fail(&wish, error),
        }
    }

    /// The queue that a command concerns, if it is being retired.
    fn retiring_queue_of(&self, command: &Command) -> Option<QueueId> {
        let (origin, name, _) = command.ends();
        let name = strip_line_ends(name?);
        let queue = self.catalog.queue(origin.vhost, name.as_bytes())?.id;
        self.retiring.contains_key(&queue).then_some(queue)
    }

    fn carry_out(&mut self, wish: Wish, plan: Plan) {
        match plan {
            Plan::Change(delta) => {
                let done = match &delta {
                    Delta::QueueDeclared(record) => Done::Created(record.id),
                    _ => Done::Ok,
                };
                self.publish_delta(delta);
                self.answer(&wish, Ok(done));
            }
            Plan::Exists(queue) => self.answer(&wish, Ok(Done::Exists(queue))),
            Plan::Nothing => {
                let is_delete = matches!(*wish.command, Command::DeleteQueue(_));
                self.answer(&wish, Ok(if is_delete { Done::Deleted(0) } else { Done::Ok }));
            }
            Plan::Retire { queue, slot, if_unused, if_empty } => {
                self.held.entry(wish.channel).or_default();
                let asker = Asker::Channel { channel: wish.channel, request: wish.request };
                self.ask_to_retire(asker, queue, slot.shard(self.shards()), if_unused, if_empty);
            }
        }
    }

    fn ask_to_retire(
        &mut self,
        asker: Asker,
        queue: QueueId,
        home: ShardId,
        if_unused: bool,
        if_empty: bool,
    ) {
        let retiring = Retiring { asker, waiting: Vec::new(), owners: Vec::new() };
        let before = self.retiring.insert(queue, retiring);
        assert!(before.is_none(), "a queue is retired once at a time");
        let letter = FromWriter::Retire { queue, if_unused, if_empty };
        self.outboxes[home.index()].push_back(letter);
    }

    fn handle_delete_exclusive(&mut self, connection: ConnectionAddress, queue: QueueId) {
        if let Some(retiring) = self.retiring.get_mut(&queue) {
            return retiring.owners.push(connection);
        }
        match self.catalog.queue_by_id(queue) {
            Some(record) => {
                let home = record.slot.shard(self.shards());
                self.ask_to_retire(Asker::Owner(connection), queue, home, false, false);
            }
            None => self.answer_owner(connection),
        }
    }

    /// A home has retired a queue by itself.
    fn handle_retired(&mut self, home: ShardId, queue: QueueId) {
        if self.catalog.queue_by_id(queue).is_some() {
            self.publish_delta(Delta::QueueDeleted { id: queue });
        }
        let index = self.catalog.index();
        let answer = FromWriter::Deleted { queue };
        self.answers.push_back(PendingAnswer { index, shard: home, answer });
        self.poll_answers();
        for wish in self.awaiting_news.remove(&queue).unwrap_or_default() {
            self.release(wish);
        }
    }

    fn handle_retire_answered(&mut self, queue: QueueId, outcome: RetireOutcome) {
        let retiring = self.retiring.remove(&queue).expect("the home answers what it was asked");
        if let RetireOutcome::Retired(_) = outcome {
            self.publish_delta(Delta::QueueDeleted { id: queue });
        }
        match retiring.asker {
            Asker::Channel { channel, request } => {
                self.answer_deletion(channel, request, queue, outcome);
            }
            Asker::Owner(connection) => self.answer_owner(connection),
        }
        for connection in retiring.owners {
            self.handle_delete_exclusive(connection, queue);
        }
        if let Asker::Channel { channel, .. } = retiring.asker {
            self.release_channel(channel);
        }
        for wish in retiring.waiting {
            self.release(wish);
        }
        for wish in self.awaiting_news.remove(&queue).unwrap_or_default() {
            self.release(wish);
        }
    }

    fn answer_deletion(
        &mut self,
        channel: ChannelAddress,
        request: u32,
        queue: QueueId,
        outcome: RetireOutcome,
    ) {
        let result = match outcome {
            RetireOutcome::Retired(count) => Ok(Done::Deleted(count)),
            RetireOutcome::Gone => Ok(Done::Deleted(0)),
            RetireOutcome::InUse => Err(self.refuse_deletion(queue, refusal::queue_in_use)),
            RetireOutcome::NotEmpty => Err(self.refuse_deletion(queue, refusal::queue_not_empty)),
        };
        if result.is_err() {
            self.mark_failed(channel);
        }
        self.push_answer(channel, request, result);
    }

    fn refuse_deletion(
        &self,
        queue: QueueId,
        refusal: fn(&str, &str) -> ProtocolError,
    ) -> ProtocolError {
        let record = self.catalog.queue_by_id(queue).expect("a refused queue still exists");
        refusal(&record.name, self.catalog.vhost_name(record.vhost))
    }

    /// A waiting wish can be decided now, and then those held behind it.
    pub(super) fn release(&mut self, wish: Wish) {
        let channel = wish.channel;
        let held = self.held.remove(&channel).unwrap_or_default();
        self.handle_wish(wish);
        self.resume(channel, held);
    }

    fn release_channel(&mut self, channel: ChannelAddress) {
        let held = self.held.remove(&channel).unwrap_or_default();
        self.resume(channel, held);
    }

    fn resume(&mut self, channel: ChannelAddress, mut held: VecDeque<Wish>) {
        while let Some(wish) = held.pop_front() {
            if let Some(later) = self.held.get_mut(&channel) {
                later.push_back(wish);
                later.append(&mut held);
                return;
            }
            self.handle_wish(wish);
        }
    }

    pub(super) fn publish_delta(&mut self, delta: Delta) {
        self.catalog.apply(&delta);
        let index = self.catalog.index();
        for outbox in &mut self.outboxes {
            outbox.push_back(FromWriter::Delta { index, delta: delta.clone() });
        }
    }

    fn answer(&mut self, wish: &Wish, result: Result<Done, ProtocolError>) {
        self.push_answer(wish.channel, wish.request, result);
    }

    fn fail(&mut self, wish: &Wish, error: ProtocolError) {
        self.mark_failed(wish.channel);
        self.answer(wish, Err(error));
    }

    fn mark_failed(&mut self, channel: ChannelAddress) {
        self.failed.insert(channel);
        if let Some(held) = self.held.get_mut(&channel) {
            held.clear();
        }
    }

    fn push_answer(
        &mut self,
        channel: ChannelAddress,
        request: u32,
        result: Result<Done, ProtocolError>,
    ) {
        let answer = FromWriter::Answered { channel, request, result };
        let index = self.catalog.index();
        self.answers.push_back(PendingAnswer { index, shard: channel.shard, answer });
        self.poll_answers();
    }

    fn answer_owner(&mut self, connection: ConnectionAddress) {
        let answer = FromWriter::ExclusiveDeleted { connection };
        let index = self.catalog.index();
        self.answers.push_back(PendingAnswer { index, shard: connection.shard, answer });
        self.poll_answers();
    }

    fn handle_applied(&mut self, from: ShardId, index: u64) {
        let applied = &mut self.applied[from.index()];
        assert!(*applied <= index, "a shard's replica does not go back");
        *applied = index;
        self.poll_answers();
        self.continue_unbinding();
    }

    /// Sends the answers whose changes every shard has applied.
    fn poll_answers(&mut self) {
        let everywhere = self.applied_everywhere();
        while self.answers.front().is_some_and(|answer| answer.index <= everywhere) {
            let pending = self.answers.pop_front().expect("it was just looked at");
            self.outboxes[pending.shard.index()].push_back(pending.answer);
        }
    }

    pub(super) fn applied_everywhere(&self) -> u64 {
        self.applied.iter().copied().min().expect("there is at least one shard")
    }

    fn shards(&self) -> u16 {
        u16::try_from(self.applied.len()).expect("made from a u16")
    }
}
