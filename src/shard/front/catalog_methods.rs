//! Methods of the classes exchange and queue.

use haremq_broker::catalog::command::{
    DeclareExchange, DeclareQueue, DeleteExchange, DeleteQueue, ExchangeBinding, QueueBinding,
};
use haremq_broker::catalog::refusal::{
    self, MethodIds, QUEUE_BIND, QUEUE_DELETE, QUEUE_PURGE, QUEUE_UNBIND,
};
use haremq_broker::catalog::{Command, Plan, strip_line_ends};
use haremq_protocol::method::{AMQPClass, exchange, queue};
use haremq_protocol::reply::ProtocolError;

use super::channel::Waiting;
use super::commands::CommandKind;
use crate::event::ConnectionSlot;
use crate::mesh::Request;
use crate::shard::Shard;

impl Shard {
    pub(crate) fn handle_exchange_method(
        &mut self,
        slot: ConnectionSlot,
        channel: u32,
        method: exchange::AMQPMethod,
    ) -> Result<(), ProtocolError> {
        use exchange::AMQPMethod as Method;
        let origin = self.origin(slot);
        let (kind, nowait, command) = match method {
            Method::Declare(declare) if declare.passive => {
                return self.declare_exchange_passively(slot, channel, &declare);
            }
            Method::Declare(declare) => {
                let command = DeclareExchange {
                    origin,
                    exchange: declare.exchange.to_string(),
                    kind: declare.kind.to_string(),
                    durable: declare.durable,
                    auto_delete: declare.auto_delete,
                    internal: declare.internal,
                    arguments: declare.arguments,
                };
                let command = Command::DeclareExchange(command);
                (CommandKind::DeclareExchange, declare.nowait, command)
            }
            Method::Delete(delete) => {
                let exchange = delete.exchange.to_string();
                let command = DeleteExchange { origin, exchange, if_unused: delete.if_unused };
                (CommandKind::DeleteExchange, delete.nowait, Command::DeleteExchange(command))
            }
            Method::Bind(bind) => {
                let binding = ExchangeBinding {
                    origin,
                    destination: bind.destination.to_string(),
                    source: bind.source.to_string(),
                    routing_key: bind.routing_key.to_string(),
                    arguments: bind.arguments,
                };
                (CommandKind::BindExchange, bind.nowait, Command::BindExchange(binding))
            }
            Method::Unbind(unbind) => {
                let binding = ExchangeBinding {
                    origin,
                    destination: unbind.destination.to_string(),
                    source: unbind.source.to_string(),
                    routing_key: unbind.routing_key.to_string(),
                    arguments: unbind.arguments,
                };
                (CommandKind::UnbindExchange, unbind.nowait, Command::UnbindExchange(binding))
            }
            _ => return Err(super::channel_methods::unimplemented()),
        };
        self.submit(channel, kind, nowait, command)
    }

    pub(crate) fn handle_queue_method(
        &mut self,
        slot: ConnectionSlot,
        channel: u32,
        method: queue::AMQPMethod,
    ) -> Result<(), ProtocolError> {
        use queue::AMQPMethod as Method;
        match method {
            Method::Declare(declare) if declare.passive => {
                self.declare_queue_passively(slot, channel, &declare)
            }
            Method::Declare(declare) => self.declare_queue(slot, channel, declare),
            Method::Delete(delete) => {
                let queue = self.queue_name(channel, delete.queue.as_str(), QUEUE_DELETE)?;
                let command = Command::DeleteQueue(DeleteQueue {
                    origin: self.origin(slot),
                    queue,
                    if_unused: delete.if_unused,
                    if_empty: delete.if_empty,
                });
                self.delete_queue(channel, delete.nowait, command)
            }
            Method::Bind(bind) => {
                let binding = self.queue_binding(
                    slot,
                    channel,
                    QUEUE_BIND,
                    (bind.queue.as_str(), bind.exchange.as_str(), bind.routing_key.as_str()),
                    bind.arguments,
                )?;
                let command = Command::BindQueue(binding);
                self.submit(channel, CommandKind::BindQueue, bind.nowait, command)
            }
            Method::Unbind(unbind) => {
                let binding = self.queue_binding(
                    slot,
                    channel,
                    QUEUE_UNBIND,
                    (unbind.queue.as_str(), unbind.exchange.as_str(), unbind.routing_key.as_str()),
                    unbind.arguments,
                )?;
                let command = Command::UnbindQueue(binding);
                self.submit(channel, CommandKind::UnbindQueue, false, command)
            }
            Method::Purge(purge) => self.purge_queue(slot, channel, &purge),
            _ => Err(super::channel_methods::unimplemented()),
        }
    }

    /// Sends a command to the writer, except a redeclare of what exists, which the replica can
    /// answer while no other command of the channel is under way.
    fn submit(
        &mut self,
        channel: u32,
        kind: CommandKind,
        nowait: bool,
        command: Command,
    ) -> Result<(), ProtocolError> {
        let is_declare = matches!(command, Command::DeclareQueue(_) | Command::DeclareExchange(_));
        let is_alone = self.front.channels[channel as usize].commands.is_empty();
        if is_declare && is_alone {
            match self.catalog.plan(&command)? {
                Plan::Exists(queue) => {
                    self.send_count(channel, kind, nowait, command, queue);
                    return Ok(());
                }
                Plan::Nothing if !nowait => {
                    self.send_on_channel(channel, &kind.answer(0, 0));
                    return Ok(());
                }
                Plan::Nothing => return Ok(()),
                Plan::Change(_) | Plan::Retire { .. } => {}
            }
        }
        self.send_command(channel, kind, nowait, command);
        Ok(())
    }

    /// The writer's request comes to the queue's home another way than what this channel has
    /// published and settled before, so the home answers the channel first (PUB-41, ACK-4).
    fn delete_queue(
        &mut self,
        channel: u32,
        nowait: bool,
        command: Command,
    ) -> Result<(), ProtocolError> {
        let is_alone = self.front.channels[channel as usize].commands.is_empty();
        assert!(is_alone, "the delete of a queue overlaps with nothing");
        match self.catalog.plan(&command)? {
            Plan::Retire { queue, .. } => {
                self.send_count(channel, CommandKind::DeleteQueue, nowait, command, queue);
            }
            _ => self.send_command(channel, CommandKind::DeleteQueue, nowait, command),
        }
        Ok(())
    }

    fn declare_exchange_passively(
        &mut self,
        slot: ConnectionSlot,
        channel: u32,
        declare: &exchange::Declare,
    ) -> Result<(), ProtocolError> {
        let origin = self.origin(slot);
        self.catalog.check_passive_exchange(origin, declare.exchange.as_str())?;
        if !declare.nowait {
            let method = exchange::AMQPMethod::DeclareOk(exchange::DeclareOk {});
            self.send_on_channel(channel, &AMQPClass::Exchange(method));
        }
        Ok(())
    }

    fn declare_queue(
        &mut self,
        slot: ConnectionSlot,
        channel: u32,
        declare: queue::Declare,
    ) -> Result<(), ProtocolError> {
        let name = strip_line_ends(declare.queue.as_str()).into_owned();
        let server_named = name.is_empty();
        let name = if server_named { self.names.next("amq.gen-") } else { name };
        let command = Command::DeclareQueue(DeclareQueue {
            origin: self.origin(slot),
            queue: name.clone(),
            server_named,
            durable: declare.durable,
            exclusive: declare.exclusive,
            auto_delete: declare.auto_delete,
            arguments: declare.arguments,
            home_slot_hint: self.names.next_slot(self.shards),
        });
        let kind = CommandKind::DeclareQueue { name: name.into() };
        self.submit(channel, kind, declare.nowait, command)
    }

    /// QUE-6.
    fn declare_queue_passively(
        &mut self,
        slot: ConnectionSlot,
        channel: u32,
        declare: &queue::Declare,
    ) -> Result<(), ProtocolError> {
        let origin = self.origin(slot);
        let record = self.catalog.check_passive_queue(origin, declare.queue.as_str())?;
        let (queue, name) = (record.id, record.name.clone());
        let entry = &mut self.front.channels[channel as usize];
        entry.asked_queue.clear();
        entry.asked_queue.push_str(&name);
        self.send_passive_count(channel, name, declare.nowait, queue);
        Ok(())
    }

    /// QUE-80.
    fn purge_queue(
        &mut self,
        slot: ConnectionSlot,
        channel: u32,
        purge: &queue::Purge,
    ) -> Result<(), ProtocolError> {
        let record = self.readable_queue(slot, channel, purge.queue.as_str(), QUEUE_PURGE)?;
        let (queue, home) = (record.id, record.slot.shard(self.shards));
        let entry = &mut self.front.channels[channel as usize];
        entry.waiting = Waiting::Purge { nowait: purge.nowait };
        let address = entry.address(self.id, channel);
        self.request(home, Request::Purge { channel: address, queue });
        Ok(())
    }

    /// The queue that a method names, or the most recently declared one (CHN-8).
    fn queue_name(
        &self,
        channel: u32,
        name: &str,
        method: MethodIds,
    ) -> Result<String, ProtocolError> {
        if !name.is_empty() {
            return Ok(name.into());
        }
        let entry = &self.front.channels[channel as usize];
        // The answer to a declare under way may be what names it.
        let under_way = entry.commands.iter().rev().find_map(|pending| match &pending.kind {
            CommandKind::DeclareQueue { name } => Some(name),
            _ => None,
        });
        let last = under_way.or(entry.last_queue.as_ref());
        let last = last.ok_or_else(|| refusal::no_previously_declared_queue(method))?;
        Ok(last.to_string())
    }

    /// CHN-8: with both queue and key empty, the key is the queue's name too.
    fn queue_binding(
        &mut self,
        slot: ConnectionSlot,
        channel: u32,
        method: MethodIds,
        (name, exchange, key): (&str, &str, &str),
        arguments: haremq_protocol::types::FieldTable,
    ) -> Result<QueueBinding, ProtocolError> {
        let queue = self.queue_name(channel, name, method)?;
        let takes_name = name.is_empty() && key.is_empty();
        Ok(QueueBinding {
            origin: self.origin(slot),
            routing_key: if takes_name { queue.clone() } else { key.into() },
            queue,
            exchange: exchange.into(),
            arguments,
        })
    }
}
