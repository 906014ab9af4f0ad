//! Catalog commands of a channel: several may be under way, their answers go out in order.

use std::sync::Arc;

use haremq_broker::catalog::Command;
use haremq_broker::catalog::refusal::{self, QUEUE_DECLARE};
use haremq_broker::ids::{ChannelAddress, QueueId, ShardId, SlotId};
use haremq_protocol::method::{AMQPClass, exchange, queue};
use haremq_protocol::reply::ProtocolError;

use super::channel::Waiting;
use super::consumers::short_string;
use crate::mesh::Request;
use crate::shard::Shard;
use crate::writer::{Done, ToWriter};

/// A catalog command under way.
#[derive(Debug)]
pub(crate) struct PendingCommand {
    pub(crate) request: u32,
    /// No answer is wanted.
    pub(crate) nowait: bool,
    /// What it answers.
    pub(crate) kind: CommandKind,
    /// Kept until the writer has decided it: it is sent again if the queue turns out to be gone.
    pub(crate) command: Option<Arc<Command>>,
    /// The answer, once it is known.
    pub(crate) answer: Option<AMQPClass>,
    /// Whether the writer has it, so that later commands may go after it. What the replica found
    /// is uncertain until the queue's home has counted.
    pub(crate) is_with_writer: bool,
}

/// Which answer a command has.
#[derive(Debug)]
pub(crate) enum CommandKind {
    DeclareExchange,
    DeleteExchange,
    BindExchange,
    UnbindExchange,
    DeclareQueue { name: Box<str> },
    DeleteQueue,
    BindQueue,
    UnbindQueue,
}

/// Makes names that cannot be guessed and never come twice (QUE-3, CON-2).
#[derive(Debug)]
pub(crate) struct NameSource {
    seed: u64,
    shard: ShardId,
    count: u64,
    next_slot: u16,
}

/// The alphabet of URL-safe base64.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

impl NameSource {
    pub(crate) fn new(seed: u64, shard: ShardId) -> NameSource {
        NameSource { seed, shard, count: 0, next_slot: 0 }
    }

    /// `prefix` and 22 characters: 128 bits.
    pub(crate) fn next(&mut self, prefix: &str) -> String {
        self.count += 1;
        let hash = |lane: u64| {
            let hasher = ahash::RandomState::with_seeds(self.seed, lane, !self.seed, 7);
            hasher.hash_one((self.shard.0, self.count))
        };
        let mut bits = (u128::from(hash(1)) << 64) | u128::from(hash(2));
        let mut name = String::with_capacity(prefix.len() + 22);
        name.push_str(prefix);
        for _ in 0..22 {
            name.push(char::from(ALPHABET[(bits & 63) as usize]));
            bits >>= 6;
        }
        name
    }

    /// The slots of this shard in turn: homes of queues that belong to a connection here.
    pub(crate) fn next_slot(&mut self, shards: u16) -> SlotId {
        let slots = haremq_broker::ids::SLOTS;
        let own = (slots - self.shard.0).div_ceil(shards);
        let slot = self.shard.0 + (self.next_slot % own) * shards;
        self.next_slot = self.next_slot.wrapping_add(1);
        SlotId(slot)
    }
}

impl Shard {
    /// Sends a command to the writer.
    pub(crate) fn send_command(
        &mut self,
        channel: u32,
        kind: CommandKind,
        nowait: bool,
        command: Command,
    ) {
        let command = Arc::new(command);
        let (request, address) =
            self.begin_command(channel, kind, nowait, Some(Arc::clone(&command)), true);
        let letter = ToWriter::Command { channel: address, request, command, known_gone: None };
        self.to_writer.push_back(letter);
    }

    /// Answers a redeclare of a queue that exists from its home's counts alone.
    pub(crate) fn send_count(
        &mut self,
        channel: u32,
        kind: CommandKind,
        nowait: bool,
        command: Command,
        queue: QueueId,
    ) {
        let (request, _) =
            self.begin_command(channel, kind, nowait, Some(Arc::new(command)), false);
        self.count(channel, request, queue);
    }

    /// Answers a passive declare: the same counts, but a queue that is gone is missing.
    pub(crate) fn send_passive_count(
        &mut self,
        channel: u32,
        name: Box<str>,
        nowait: bool,
        queue: QueueId,
    ) {
        let kind = CommandKind::DeclareQueue { name };
        let (request, _) = self.begin_command(channel, kind, nowait, None, false);
        self.count(channel, request, queue);
    }

    fn begin_command(
        &mut self,
        channel: u32,
        kind: CommandKind,
        nowait: bool,
        command: Option<Arc<Command>>,
        is_with_writer: bool,
    ) -> (u32, ChannelAddress) {
        let entry = &mut self.front.channels[channel as usize];
        let request = entry.next_request;
        entry.next_request = entry.next_request.wrapping_add(1);
        entry.waiting = Waiting::Commands;
        let answer = None;
        entry.commands.push_back(PendingCommand {
            request,
            nowait,
            kind,
            command,
            answer,
            is_with_writer,
        });
        (request, entry.address(self.id, channel))
    }

    /// Asks a queue's home for its counts.
    fn count(&mut self, channel: u32, request: u32, queue: QueueId) {
        let address = self.front.channels[channel as usize].address(self.id, channel);
        match self.catalog.queue_by_id(queue) {
            Some(record) => {
                let home = record.slot.shard(self.shards);
                self.request(home, Request::Count { channel: address, queue, request });
            }
            None => self.declare_again(address, request, queue),
        }
    }

    /// The queue that a declare found has gone meanwhile: the writer decides anew.
    pub(crate) fn declare_again(&mut self, address: ChannelAddress, request: u32, queue: QueueId) {
        if !self.front.channel_at(address).is_some_and(|channel| channel.is_open()) {
            return self.answer_command(address, request, 0, 0);
        }
        let Some(pending) = self.pending_command(address, request) else {
            return;
        };
        if pending.is_with_writer {
            // It existed when the writer decided; what came after that is another matter.
            return self.answer_command(address, request, 0, 0);
        }
        let Some(command) = pending.command.clone() else {
            return self.fail_passive_declare(address);
        };
        pending.is_with_writer = true;
        let letter =
            ToWriter::Command { channel: address, request, command, known_gone: Some(queue) };
        self.to_writer.push_back(letter);
    }

    fn fail_passive_declare(&mut self, address: ChannelAddress) {
        let channel = &mut self.front.channels[address.slot as usize];
        assert_eq!(channel.commands.len(), 1, "nothing overlaps with what the replica decided");
        channel.commands.clear();
        let name = channel.asked_queue.clone();
        let vhost = self.front.vhost_of(address.slot);
        let error = refusal::no_queue(&name, self.catalog.vhost_name(vhost), QUEUE_DECLARE);
        self.fail_channel(address.slot, error);
    }

    fn pending_command(
        &mut self,
        address: ChannelAddress,
        request: u32,
    ) -> Option<&mut PendingCommand> {
        let channel = self.front.channel_at(address)?;
        channel.commands.iter_mut().find(|pending| pending.request == request)
    }

    /// The writer has decided a command.
    pub(crate) fn handle_command_answered(
        &mut self,
        address: ChannelAddress,
        request: u32,
        result: Result<Done, ProtocolError>,
    ) {
        let channel =
            self.front.channel_at(address).expect("a channel waits for its commands to end");
        match result {
            Err(error) => {
                // The writer skips the later ones: none of them is answered.
                channel.has_failed_command = true;
                let place = channel.commands.iter().position(|it| it.request == request);
                channel.commands.truncate(place.unwrap_or(channel.commands.len()));
                self.handle_command_failed(address, error);
            }
            Ok(Done::Exists(queue)) if channel.is_open() => {
                self.count(address.slot, request, queue);
            }
            Ok(done) => {
                let messages = match done {
                    Done::Deleted(count) => count,
                    Done::Ok | Done::Created(_) | Done::Exists(_) => 0,
                };
                self.answer_command(address, request, messages, 0);
            }
        }
    }

    /// A queue's home has counted.
    pub(crate) fn handle_counted(
        &mut self,
        address: ChannelAddress,
        request: u32,
        messages: u32,
        consumers: u32,
    ) {
        match self.begin_delete(address, request) {
            Some(command) => {
                let letter =
                    ToWriter::Command { channel: address, request, command, known_gone: None };
                self.to_writer.push_back(letter);
            }
            None => self.answer_command(address, request, messages, consumers),
        }
    }

    /// The command, if the request is the delete of a queue whose home has now all that this
    /// channel sent before, so that the writer may decide.
    fn begin_delete(&mut self, address: ChannelAddress, request: u32) -> Option<Arc<Command>> {
        if !self.front.channel_at(address).is_some_and(|channel| channel.is_open()) {
            return None;
        }
        let pending = self.pending_command(address, request)?;
        let is_delete = matches!(pending.kind, CommandKind::DeleteQueue);
        if !is_delete || pending.is_with_writer {
            return None;
        }
        pending.is_with_writer = true;
        pending.command.clone()
    }

    fn answer_command(
        &mut self,
        address: ChannelAddress,
        request: u32,
        messages: u32,
        consumers: u32,
    ) {
        let Some(pending) = self.pending_command(address, request) else {
            return;
        };
        pending.command = None;
        pending.answer = Some(pending.kind.answer(messages, consumers));
        self.send_command_answers(address.slot);
    }

    /// Sends the answers at the head of the line.
    fn send_command_answers(&mut self, channel: u32) {
        loop {
            let entry = &mut self.front.channels[channel as usize];
            if entry.commands.front().is_none_or(|pending| pending.answer.is_none()) {
                break;
            }
            let pending = entry.commands.pop_front().expect("just seen");
            if let CommandKind::DeclareQueue { name } = pending.kind {
                entry.last_queue = Some(name);
            }
            let answer = pending.answer.expect("just seen");
            if entry.is_open() && !pending.nowait {
                self.send_on_channel(channel, &answer);
            }
        }
        self.end_commands(channel);
    }

    /// The last command under way has been answered, or one has failed.
    pub(crate) fn end_commands(&mut self, channel: u32) {
        let entry = &mut self.front.channels[channel as usize];
        if !entry.commands.is_empty() {
            return;
        }
        if let Some(error) = entry.failure.take()
            && entry.is_open()
        {
            return self.fail_channel(channel, error);
        }
        let entry = &self.front.channels[channel as usize];
        if entry.is_open() && entry.waiting == Waiting::Commands {
            self.stop_waiting(channel);
        } else {
            self.continue_draining(channel);
        }
    }

    /// A command was refused: the channel fails when the ones before it are answered.
    fn handle_command_failed(&mut self, address: ChannelAddress, error: ProtocolError) {
        // Answers come in order, but a declare before this one may still be counting.
        let channel = &mut self.front.channels[address.slot as usize];
        if channel.is_open() && !channel.commands.is_empty() {
            channel.failure = Some(error);
            return;
        }
        if channel.is_open() {
            return self.fail_channel(address.slot, error);
        }
        self.end_commands(address.slot);
    }
}

impl CommandKind {
    pub(crate) fn answer(&self, message_count: u32, consumer_count: u32) -> AMQPClass {
        let on_exchange = AMQPClass::Exchange;
        let on_queue = AMQPClass::Queue;
        match self {
            CommandKind::DeclareExchange => {
                on_exchange(exchange::AMQPMethod::DeclareOk(exchange::DeclareOk {}))
            }
            CommandKind::DeleteExchange => {
                on_exchange(exchange::AMQPMethod::DeleteOk(exchange::DeleteOk {}))
            }
            CommandKind::BindExchange => {
                on_exchange(exchange::AMQPMethod::BindOk(exchange::BindOk {}))
            }
            CommandKind::UnbindExchange => {
                on_exchange(exchange::AMQPMethod::UnbindOk(exchange::UnbindOk {}))
            }
            CommandKind::DeclareQueue { name } => {
                let queue = short_string(name);
                let declare_ok = queue::DeclareOk { queue, message_count, consumer_count };
                on_queue(queue::AMQPMethod::DeclareOk(declare_ok))
            }
            CommandKind::DeleteQueue => {
                on_queue(queue::AMQPMethod::DeleteOk(queue::DeleteOk { message_count }))
            }
            CommandKind::BindQueue => on_queue(queue::AMQPMethod::BindOk(queue::BindOk {})),
            CommandKind::UnbindQueue => on_queue(queue::AMQPMethod::UnbindOk(queue::UnbindOk {})),
        }
    }
}

#[cfg(test)]
mod tests {
    use haremq_broker::ids::ShardId;

    use super::NameSource;

    #[test]
    fn names_have_the_form_of_rabbitmq_and_never_repeat() {
        let mut names = NameSource::new(42, ShardId(1));
        let first = names.next("amq.gen-");
        assert_eq!(first.len(), "amq.gen-".len() + 22);
        assert_ne!(first, names.next("amq.gen-"));
        assert_ne!(first, NameSource::new(42, ShardId(0)).next("amq.gen-"));
    }

    #[test]
    fn slots_of_a_shard_lead_back_to_it() {
        for shards in 1..=64 {
            for shard in 0..shards {
                let mut names = NameSource::new(1, ShardId(shard));
                for _ in 0..70 {
                    assert_eq!(names.next_slot(shards).shard(shards), ShardId(shard));
                }
            }
        }
    }
}
