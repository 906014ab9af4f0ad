//! consume, cancel and qos (SEMANTICS.md 10).

use haremq_broker::catalog::QueueRecord;
use haremq_broker::catalog::refusal::{self, BASIC_CONSUME, MethodIds};
use haremq_broker::ids::{ChannelAddress, QueueId};
use haremq_broker::queue::ConsumerIndex;
use haremq_protocol::method::{AMQPClass, basic};
use haremq_protocol::reply::{ProtocolError, ReplyCode};
use haremq_protocol::types::{AMQPValue, FieldTable, ShortString};

use super::channel::{Consumer, ConsumerKind, Waiting, consumer_number};
use crate::event::ConnectionSlot;
use crate::mesh::Request;
use crate::shard::Shard;

/// The reserved name of direct reply-to, which is not built yet.
const REPLY_TO: &str = "amq.rabbitmq.reply-to";

impl Shard {
    /// CON-1 gives the order of the checks.
    pub(crate) fn handle_basic_consume(
        &mut self,
        slot: ConnectionSlot,
        channel: u32,
        consume: &basic::Consume,
    ) -> Result<(), ProtocolError> {
        let entry = &self.front.channels[channel as usize];
        let tag = consume.consumer_tag.as_str();
        if !tag.is_empty() && entry.consumer_tags.contains_key(tag) {
            let text = format!("attempt to reuse consumer tag '{tag}'");
            return Err(consume_error(ReplyCode::NotAllowed, text));
        }
        if consume.queue.as_str() == REPLY_TO {
            let text = "direct reply-to is not supported yet";
            return Err(consume_error(ReplyCode::NotImplemented, text));
        }
        let record = self.readable_queue(slot, channel, consume.queue.as_str(), BASIC_CONSUME)?;
        let (queue, home) = (record.id, record.slot.shard(self.shards));
        self.check_consumer_arguments(queue, &consume.arguments)?;
        let tag: Box<str> =
            if tag.is_empty() { self.names.next("amq.ctag-").into() } else { tag.into() };
        self.recall_grants(channel);
        if !consume.no_ack {
            self.watch_acks(channel, queue);
        }
        let connection = self.origin(slot).connection;
        let entry = &mut self.front.channels[channel as usize];
        let front_consumer = consumer_number(entry.consumers.insert(Consumer {
            tag: tag.clone(),
            kind: ConsumerKind::Active,
            queue,
            home,
            index: None,
            unsettled: 0,
        }));
        entry.consumer_tags.insert(tag, front_consumer);
        entry.touch(home);
        entry.waiting = Waiting::Consume { nowait: consume.nowait, front_consumer };
        let request = Request::Consume {
            channel: entry.address(self.id, channel),
            connection,
            front_consumer,
            queue,
            no_ack: consume.no_ack,
            exclusive: consume.exclusive,
            prefetch: entry.prefetch,
            global: entry.global.is_on(),
        };
        self.connection_mut(slot).homes |= 1 << home.0;
        self.request(home, request);
        Ok(())
    }

    /// A channel gets a second consumer: the first one's unused grants are for both now.
    fn recall_grants(&mut self, channel: u32) {
        let entry = &self.front.channels[channel as usize];
        if !entry.global.is_on() || entry.consumer_tags.len() != 1 {
            return;
        }
        let address = entry.address(self.id, channel);
        let first = *entry.consumer_tags.values().next().expect("there is one");
        let consumer = &entry.consumers[first as usize];
        if let Some(index) = consumer.index {
            let (home, queue) = (consumer.home, consumer.queue);
            self.request(home, Request::Recall { queue, consumer: index, channel: address });
        }
    }

    /// A queue that the channel's user may read, by name or as the most recently declared one.
    /// The name is noted, in case the queue's home says that it is gone.
    pub(crate) fn readable_queue(
        &mut self,
        slot: ConnectionSlot,
        channel: u32,
        name: &str,
        method: MethodIds,
    ) -> Result<&QueueRecord, ProtocolError> {
        let origin = self.origin(slot);
        let entry = &mut self.front.channels[channel as usize];
        let name = match (name, &entry.last_queue) {
            ("", Some(last)) => &**last,
            ("", None) => return Err(refusal::no_previously_declared_queue(method)),
            _ => name,
        };
        entry.asked_queue.clear();
        entry.asked_queue.push_str(name);
        self.catalog.check_queue_read(origin, name, method)
    }

    /// CON-6: consumer priorities are not built yet; what belongs to no queue type is accepted.
    fn check_consumer_arguments(
        &self,
        queue: QueueId,
        arguments: &FieldTable,
    ) -> Result<(), ProtocolError> {
        const KNOWN: [&str; 4] =
            ["x-priority", "x-stream-offset", "x-stream-filter", "x-consumer-timeout"];
        for name in KNOWN {
            let Some(value) = arguments.inner().get(name) else {
                continue;
            };
            let record = self.catalog.queue_by_id(queue).expect("it was just looked up");
            let vhost = self.catalog.vhost_name(record.vhost);
            let kind = haremq_protocol::table::value_type_name(value);
            let is_number = is_integer(value);
            let reason = if name == "x-priority" && !is_number {
                format!("\"expected integer, got {kind}\"")
            } else {
                "not supported yet".into()
            };
            let text = format!(
                "invalid arg '{name}' for queue '{}' in vhost '{vhost}': {reason}",
                record.name
            );
            return Err(consume_error(ReplyCode::PreconditionFailed, text));
        }
        Ok(())
    }

    /// The home has registered the consumer.
    pub(crate) fn handle_consuming(
        &mut self,
        address: ChannelAddress,
        front_consumer: u32,
        index: ConsumerIndex,
    ) {
        let channel = self.front.channel_at(address).expect("a home lets go of a channel last");
        if !channel.is_open() {
            return;
        }
        let Waiting::Consume { nowait, .. } = channel.waiting else {
            panic!("a consumer was registered that was not asked for");
        };
        let consumer = &mut channel.consumers[front_consumer as usize];
        consumer.index = Some(index);
        let consumer_tag = short_string(&consumer.tag);
        if !nowait {
            let method = basic::AMQPMethod::ConsumeOk(basic::ConsumeOk { consumer_tag });
            self.send_on_channel(address.slot, &AMQPClass::Basic(method));
        }
        self.stop_waiting(address.slot);
    }

    /// CON-5: exclusive use.
    pub(crate) fn handle_consume_refused(&mut self, address: ChannelAddress, front_consumer: u32) {
        let channel = self.front.channel_at(address).expect("a home lets go of a channel last");
        if !channel.is_open() {
            return;
        }
        let consumer = channel.consumers.remove(front_consumer as usize);
        channel.consumer_tags.remove(&consumer.tag);
        let refused = {
            let channel = &self.front.channels[address.slot as usize];
            let vhost = self.front.connection_ref(channel.connection).expect("open").vhost;
            refusal::exclusive_use(&channel.asked_queue, self.catalog.vhost_name(vhost))
        };
        self.fail_channel(address.slot, refused);
    }

    /// CON-7. An unknown tag is fine.
    pub(crate) fn handle_basic_cancel(&mut self, channel: u32, cancel: &basic::Cancel) {
        let entry = &mut self.front.channels[channel as usize];
        let tag = cancel.consumer_tag.as_str();
        let Some(front_consumer) = entry.consumer_tags.remove(tag) else {
            if !cancel.nowait {
                self.send_cancel_ok(channel, tag);
            }
            return;
        };
        entry.waiting = Waiting::Cancel { nowait: cancel.nowait };
        entry.global.handle_cancelled(front_consumer);
        let consumer = &entry.consumers[front_consumer as usize];
        let (home, queue) = (consumer.home, consumer.queue);
        let index = consumer.index.expect("consume was answered before");
        let request = Request::Cancel {
            channel: entry.address(self.id, channel),
            front_consumer,
            queue,
            consumer: index,
        };
        self.request(home, request);
    }

    /// The home sends this consumer nothing more.
    pub(crate) fn handle_cancelled(&mut self, address: ChannelAddress, front_consumer: u32) {
        let channel = self.front.channel_at(address).expect("a home lets go of a channel last");
        if !channel.is_open() {
            return;
        }
        let Waiting::Cancel { nowait } = channel.waiting else {
            panic!("a consumer was cancelled that was not asked for");
        };
        let tag = channel.consumers[front_consumer as usize].tag.clone();
        channel.consumers[front_consumer as usize].kind = ConsumerKind::Cancelled;
        channel.count_settled(front_consumer, 0);
        if !nowait {
            self.send_cancel_ok(address.slot, &tag);
        }
        self.stop_waiting(address.slot);
    }

    /// CON-8, CON-9: the queue of a consumer is gone.
    pub(crate) fn handle_consumer_cancelled(
        &mut self,
        address: ChannelAddress,
        front_consumer: u32,
    ) {
        let Some(channel) = self.front.channel_at(address) else {
            return;
        };
        if !channel.is_open() {
            return;
        }
        let connection = channel.connection;
        let tag = channel.consumers[front_consumer as usize].tag.clone();
        // A cancel of the client's own may be on its way: then that answers.
        if channel.consumer_tags.remove(&tag).is_none() {
            return;
        }
        channel.consumers[front_consumer as usize].kind = ConsumerKind::Cancelled;
        channel.global.handle_cancelled(front_consumer);
        channel.count_settled(front_consumer, 0);
        if self.connection_mut(connection).identity.wants_cancel_notify {
            let cancel = basic::Cancel { consumer_tag: short_string(&tag), nowait: true };
            let method = basic::AMQPMethod::Cancel(cancel);
            self.send_on_channel(address.slot, &AMQPClass::Basic(method));
        }
        self.send_grants(address.slot);
    }

    fn send_cancel_ok(&mut self, channel: u32, tag: &str) {
        let cancel_ok = basic::CancelOk { consumer_tag: short_string(tag) };
        let method = basic::AMQPMethod::CancelOk(cancel_ok);
        self.send_on_channel(channel, &AMQPClass::Basic(method));
    }

    /// QOS-2, QOS-3. A prefetch size was refused when the method was decoded (QOS-1).
    pub(crate) fn handle_basic_qos(&mut self, channel: u32, qos: &basic::Qos) {
        if qos.global {
            return self.set_global_prefetch(channel, qos.prefetch_count);
        }
        self.front.channels[channel as usize].prefetch = qos.prefetch_count;
        self.send_qos_ok(channel);
    }

    /// One limit for all consumers of the channel, present ones included: `qos-ok` says that
    /// every home obeys it.
    fn set_global_prefetch(&mut self, channel: u32, limit: u16) {
        let entry = &mut self.front.channels[channel as usize];
        let was_on = entry.global.is_on();
        let held = |kind: fn(ConsumerKind) -> bool| {
            let held = entry.consumers.iter().filter(|(_, consumer)| kind(consumer.kind));
            let held: u64 = held.map(|(_, consumer)| consumer.unsettled).sum();
            u32::try_from(held).unwrap_or(u32::MAX)
        };
        let deliveries = held(|kind| kind != ConsumerKind::Getter);
        let gets = held(|kind| kind == ConsumerKind::Getter);
        entry.global.handle_limit(u32::from(limit), deliveries, gets);
        let is_on = entry.global.is_on();
        let address = entry.address(self.id, channel);
        if was_on == is_on {
            self.send_qos_ok(channel);
            return self.send_grants(channel);
        }
        let consumers: Vec<_> = entry
            .consumers
            .iter()
            .filter(|(_, consumer)| consumer.kind == ConsumerKind::Active)
            .filter_map(|(_, consumer)| Some((consumer.home, consumer.queue, consumer.index?)))
            .collect();
        let left = u32::try_from(consumers.len()).expect("consumers are counted in u32");
        if left == 0 {
            return self.send_qos_ok(channel);
        }
        entry.waiting = Waiting::Qos { left };
        for (home, queue, consumer) in consumers {
            let request = Request::SetGlobal { channel: address, queue, consumer, on: is_on };
            self.request(home, request);
        }
    }

    /// One more home obeys the new limit.
    pub(crate) fn handle_global_set(&mut self, address: ChannelAddress) {
        let channel = self.front.channel_at(address).expect("a home lets go of a channel last");
        if !channel.is_open() {
            return;
        }
        let Waiting::Qos { left } = &mut channel.waiting else {
            panic!("a limit took effect that was not set");
        };
        *left -= 1;
        if *left == 0 {
            self.send_qos_ok(address.slot);
            self.stop_waiting(address.slot);
            self.send_grants(address.slot);
        }
    }

    fn send_qos_ok(&mut self, channel: u32) {
        let method = basic::AMQPMethod::QosOk(basic::QosOk {});
        self.send_on_channel(channel, &AMQPClass::Basic(method));
    }
}

/// QUE-33.
fn is_integer(value: &AMQPValue) -> bool {
    use AMQPValue as Value;
    matches!(
        value,
        Value::ShortShortInt(_)
            | Value::ShortShortUInt(_)
            | Value::ShortInt(_)
            | Value::ShortUInt(_)
            | Value::LongInt(_)
            | Value::LongUInt(_)
            | Value::LongLongInt(_)
    )
}

/// A name that came as a short string, or was made by us to fit into one.
pub(crate) fn short_string(name: &str) -> ShortString {
    ShortString::try_new(name).expect("names have at most 255 octets")
}

fn consume_error(code: ReplyCode, text: impl AsRef<str>) -> ProtocolError {
    ProtocolError::new(code, text).of(BASIC_CONSUME.0, BASIC_CONSUME.1)
}
