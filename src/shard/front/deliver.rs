//! Messages go out to clients.

use haremq_broker::ids::{ChannelAddress, ShardId};
use haremq_broker::queue::delivery_bytes;
use haremq_broker::store::Content;
use haremq_protocol::deliver::{Deliver, GetOk, write_deliver, write_get_ok};

use super::channel::{Channel, ConsumerKind, Waiting};
use super::connection::delivered_bytes;
use super::{Front, find_channel};
use crate::mesh::{Departure, Got, Request};
use crate::shard::Shard;

/// A consumer that is being delivered to.
pub(crate) struct Recipient<'a> {
    channel: &'a mut Channel,
    front_consumer: u32,
    output: &'a mut Vec<u8>,
    frame_max: u32,
    /// What its connection will give back to the home's window.
    window_bytes: &'a mut u32,
    is_gone: bool,
}

impl Front {
    /// The consumer that a home delivers to.
    #[inline]
    pub(crate) fn recipient(
        &mut self,
        home: ShardId,
        address: ChannelAddress,
        front_consumer: u32,
    ) -> Recipient<'_> {
        assert_eq!(address.shard, self.shard, "a delivery came to another shard");
        let channel = find_channel(&mut self.channels, address);
        let channel = channel.expect("a home lets go of a channel last");
        let slot = channel.connection;
        let connection = self.connections[slot.index()].as_deref_mut();
        let connection = connection.expect("it outlives its channels");
        connection.mark_dirty(slot, &mut self.dirty);
        let is_gone = !channel.is_open() || connection.is_socket_gone;
        if !is_gone {
            self.spares.equip(&mut connection.output);
        }
        Recipient {
            channel,
            front_consumer,
            output: &mut connection.output,
            frame_max: connection.frame_max,
            window_bytes: delivered_bytes(&mut connection.delivered_bytes, home),
            is_gone,
        }
    }

    /// Writes a delivery to its connection's output.
    pub(crate) fn deliver(&mut self, home: ShardId, departure: &Departure, content: &Content<'_>) {
        let mut recipient = self.recipient(home, departure.channel, departure.front_consumer);
        recipient.deliver(departure, content);
    }

    /// Writes the answer to a basic.get.
    pub(crate) fn handle_got(&mut self, home: ShardId, got: Got, content: &Content<'_>) {
        let Got { channel: address, queue, holder, redelivered, remaining } = got;
        let channel = self.channel_at(address).expect("a home lets go of a channel last");
        let (number, slot) = (channel.number, channel.connection);
        if !channel.is_open() {
            return;
        }
        assert_eq!(channel.waiting, Waiting::Get);
        let delivery_tag = match holder {
            None => channel.tags.push_no_ack(),
            Some((index, ordinal)) => {
                let getter = channel.getter(queue, home, index);
                channel.consumers[getter as usize].unsettled += 1;
                channel.tags.push(getter, ordinal)
            }
        };
        let get_ok = GetOk {
            delivery_tag,
            redelivered,
            exchange: content.exchange,
            routing_key: content.routing_key,
            message_count: remaining,
        };
        let frame_max = self.connection(slot).expect("it outlives its channels").frame_max;
        let output = self.output(slot);
        write_get_ok(output, number, frame_max, &get_ok, content.properties, content.body);
        self.mark_dirty(slot);
        self.stop_waiting(address.slot);
    }
}

impl Recipient<'_> {
    /// Writes a delivery to its connection's output. A channel that is on its way out gets none,
    /// but its connection's window is given back all the same.
    #[inline]
    pub(crate) fn deliver(&mut self, departure: &Departure, content: &Content<'_>) {
        let bytes = u32::try_from(delivery_bytes(content)).expect("bounded by message size");
        *self.window_bytes += bytes;
        if self.is_gone {
            return;
        }
        let channel = &mut *self.channel;
        let consumer = &mut channel.consumers[self.front_consumer as usize];
        let delivery_tag = match departure.ordinal {
            None => channel.tags.push_no_ack(),
            Some(ordinal) => {
                consumer.unsettled += 1;
                channel.tags.push(self.front_consumer, ordinal)
            }
        };
        let deliver = Deliver {
            consumer_tag: consumer.tag.as_bytes(),
            delivery_tag,
            redelivered: departure.redelivered,
            exchange: content.exchange,
            routing_key: content.routing_key,
        };
        let (properties, body) = (content.properties, content.body);
        write_deliver(self.output, channel.number, self.frame_max, &deliver, properties, body);
        channel.global.handle_delivered(departure.ordinal.is_none());
    }
}

impl Shard {
    /// A delivery may have made room in its channel's global window (no-ack ones do).
    pub(crate) fn grant_after_delivery(&mut self, address: ChannelAddress) {
        let is_global = self.front.channel_at(address).is_some_and(|c| c.global.is_on());
        if is_global {
            self.send_grants(address.slot);
        }
    }

    /// Passes on what a channel's global limit allows now.
    pub(crate) fn send_grants(&mut self, slot: u32) {
        loop {
            let channel = &mut self.front.channels[slot as usize];
            if !channel.is_open() {
                return;
            }
            let address = channel.address(self.id, slot);
            let consumers = u32::try_from(channel.consumer_tags.len()).unwrap_or(u32::MAX);
            let Some((consumer, count)) = channel.global.poll_grant(consumers) else {
                return;
            };
            let keep = consumers == 1;
            let active = channel
                .consumers
                .get(consumer as usize)
                .filter(|entry| entry.kind == ConsumerKind::Active && entry.index.is_some());
            let Some(entry) = active else {
                channel.global.handle_returned(count);
                continue;
            };
            let (home, queue) = (entry.home, entry.queue);
            let consumer = entry.index.expect("just seen");
            self.request(home, Request::Grant { queue, consumer, channel: address, count, keep });
        }
    }
}
