//! What homes answer.

use haremq_broker::catalog::refusal::{self, BASIC_CONSUME, BASIC_GET, QUEUE_PURGE};
use haremq_broker::ids::{ChannelAddress, ShardId};
use haremq_protocol::method::{AMQPClass, basic, queue};

use super::channel::{ConsumerKind, Waiting};
use crate::mesh::{Answer, Departure, Got, Messages, Numbered, Series};
use crate::shard::Shard;

impl Shard {
    /// Deliveries that came over the mesh.
    pub(crate) fn read_deliveries(
        &mut self,
        from: ShardId,
        deliveries: &Series<Departure>,
        mut messages: Messages<'_>,
    ) {
        self.counters.delivered += messages.count() as u64;
        let mut departure = deliveries.first.later(messages.place);
        let Departure { channel, front_consumer, .. } = departure;
        let mut recipient = self.front.recipient(from, channel, front_consumer);
        while let Some(content) = messages.next(deliveries.large_body.as_deref()) {
            recipient.deliver(&departure, &content);
            departure = departure.later(1);
        }
        self.grant_after_delivery(channel);
    }

    /// The message for a basic.get, which came over the mesh.
    pub(crate) fn read_got(
        &mut self,
        from: ShardId,
        got: &Series<Got>,
        mut messages: Messages<'_>,
    ) {
        let content = messages.next(got.large_body.as_deref()).expect("it carries one");
        self.front.handle_got(from, got.first, &content);
        self.counters.delivered += 1;
    }

    /// An answer without content.
    pub(crate) fn handle_answer(&mut self, _from: ShardId, answer: &Answer) {
        match *answer {
            Answer::Delivered(_) | Answer::Got(_) => {
                unreachable!("what has content is read with it")
            }
            Answer::GotNothing { channel } => self.handle_got_nothing(channel),
            Answer::Consuming { channel, front_consumer, consumer } => {
                self.handle_consuming(channel, front_consumer, consumer);
            }
            Answer::ConsumeRefused { channel, front_consumer } => {
                self.handle_consume_refused(channel, front_consumer);
            }
            Answer::Cancelled { channel, front_consumer } => {
                self.handle_cancelled(channel, front_consumer);
            }
            Answer::Purged { channel, count } => self.handle_purged(channel, count),
            Answer::Counted { channel, request, messages, consumers } => {
                self.handle_counted(channel, request, messages, consumers);
            }
            Answer::Gone { channel } => self.handle_gone(channel),
            Answer::CountGone { channel, request, queue } => {
                self.declare_again(channel, request, queue);
            }
            Answer::ChannelClosed { channel } => self.handle_channel_closed(channel),
            Answer::Accepted { channel, first, last } => {
                self.handle_accepted_publishes(channel, first, last);
            }
            Answer::ConsumerCancelled { channel, front_consumer } => {
                self.handle_consumer_cancelled(channel, front_consumer);
            }
            Answer::Wants { channel, front_consumer } => {
                self.handle_wants(channel, front_consumer);
            }
            Answer::GrantsReturned { channel, count } => {
                self.handle_grants_returned(channel, count);
            }
            Answer::GlobalSet { channel } => self.handle_global_set(channel),
        }
    }

    fn handle_got_nothing(&mut self, address: ChannelAddress) {
        let channel = self.front.channel_at(address).expect("a home lets go of a channel last");
        if !channel.is_open() {
            return;
        }
        assert_eq!(channel.waiting, Waiting::Get);
        let method = basic::AMQPMethod::GetEmpty(basic::GetEmpty {});
        self.send_on_channel(address.slot, &AMQPClass::Basic(method));
        self.front.stop_waiting(address.slot);
    }

    fn handle_purged(&mut self, address: ChannelAddress, message_count: u32) {
        let Some(channel) = self.front.channel_at(address) else {
            return;
        };
        let Waiting::Purge { nowait } = channel.waiting else {
            return;
        };
        if !nowait {
            let method = queue::AMQPMethod::PurgeOk(queue::PurgeOk { message_count });
            self.send_on_channel(address.slot, &AMQPClass::Queue(method));
        }
        self.front.stop_waiting(address.slot);
    }

    /// The queue of a get, purge or consume went before the request came: it is missing.
    fn handle_gone(&mut self, address: ChannelAddress) {
        let Some(channel) = self.front.channel_at(address) else {
            return;
        };
        if !channel.is_open() {
            return;
        }
        let method = match channel.waiting {
            Waiting::Get => BASIC_GET,
            Waiting::Purge { .. } => QUEUE_PURGE,
            Waiting::Consume { front_consumer, .. } => {
                let consumer = channel.consumers.remove(front_consumer as usize);
                channel.consumer_tags.remove(&consumer.tag);
                BASIC_CONSUME
            }
            _ => panic!("only these requests are answered so"),
        };
        let name = channel.asked_queue.clone();
        let vhost = self.front.vhost_of(address.slot);
        let error = refusal::no_queue(&name, self.catalog.vhost_name(vhost), method);
        self.fail_channel(address.slot, error);
    }

    /// A consumer under the global limit could have a message.
    fn handle_wants(&mut self, address: ChannelAddress, front_consumer: u32) {
        let Some(channel) = self.front.channel_at(address) else {
            return;
        };
        let consumer = channel.consumers.get(front_consumer as usize);
        let is_active = consumer.is_some_and(|it| {
            it.kind == ConsumerKind::Active && channel.consumer_tags.contains_key(&it.tag)
        });
        if is_active && channel.global.is_on() {
            channel.global.handle_wants(front_consumer);
            self.send_grants(address.slot);
        }
    }

    fn handle_grants_returned(&mut self, address: ChannelAddress, count: u32) {
        let Some(channel) = self.front.channel_at(address) else {
            return;
        };
        if channel.global.is_on() {
            channel.global.handle_returned(count);
            self.send_grants(address.slot);
        }
    }
}
