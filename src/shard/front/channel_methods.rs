//! The methods of an open channel.

use haremq_broker::catalog::refusal::BASIC_GET;
use haremq_broker::channel::Unconfirmed;
use haremq_broker::queue::Outcome;
use haremq_protocol::method::{
    AMQPClass, ClientMethod, access, basic, channel, confirm, decode_client_method, method_ids,
};
use haremq_protocol::reply::{ProtocolError, ReplyCode};

use super::channel::{Channel, ChannelFarewell, Waiting};
use super::connection::Farewell;
use super::frames::SECOND_OPEN;
use super::settle::{ACK, NACK, REJECT};
use crate::event::ConnectionSlot;
use crate::mesh::Request;
use crate::shard::Shard;

impl Shard {
    /// CHN-1: the limit is the number of open channels.
    pub(crate) fn open_channel(&mut self, slot: ConnectionSlot, number: u16) {
        let connection = self.connection_mut(slot);
        let (count, limit) = (connection.channels.len(), connection.channel_max);
        if count >= usize::from(limit) {
            let text = format!(
                "number of channels opened ({count}) has reached the negotiated channel_max \
                 ({limit})"
            );
            let error = ProtocolError::new(ReplyCode::NotAllowed, text).of(20, 10);
            return self.close_connection(slot, Farewell::Close(error));
        }
        let generation = self.front.next_generation();
        let channel = Box::new(Channel::new(number, slot, generation));
        let key = self.front.channels.insert(channel);
        let key = u32::try_from(key).expect("fewer than 2^32 channels fit in memory");
        self.connection_mut(slot).add_channel(number, key);
        let method = channel::AMQPMethod::OpenOk(channel::OpenOk {});
        self.send_on_channel(key, &AMQPClass::Channel(method));
    }

    /// One method; an error ends the channel or the connection, as its code says.
    pub(crate) fn handle_channel_method(
        &mut self,
        slot: ConnectionSlot,
        channel: u32,
        payload: &[u8],
    ) -> Result<(), ProtocolError> {
        match decode_client_method(payload)? {
            ClientMethod::Publish(_) => unreachable!("a publish is handled with its content"),
            ClientMethod::Ack { delivery_tag, multiple } => {
                self.settle(channel, delivery_tag, multiple, Outcome::Acked, ACK)
            }
            ClientMethod::Nack { delivery_tag, multiple, requeue } => {
                self.settle(channel, delivery_tag, multiple, outcome(requeue), NACK)
            }
            ClientMethod::Reject { delivery_tag, requeue } => {
                self.settle(channel, delivery_tag, false, outcome(requeue), REJECT)
            }
            ClientMethod::Cold(method) => self.handle_cold_method(slot, channel, method, payload),
        }
    }

    fn handle_cold_method(
        &mut self,
        slot: ConnectionSlot,
        channel: u32,
        method: AMQPClass,
        payload: &[u8],
    ) -> Result<(), ProtocolError> {
        let handled = match method {
            AMQPClass::Exchange(method) => self.handle_exchange_method(slot, channel, method),
            AMQPClass::Queue(method) => self.handle_queue_method(slot, channel, method),
            AMQPClass::Basic(method) => self.handle_basic_method(slot, channel, method),
            AMQPClass::Channel(method) => self.handle_own_method(channel, &method),
            AMQPClass::Confirm(confirm::AMQPMethod::Select(select)) => {
                self.select_confirms(channel, select.nowait)
            }
            AMQPClass::Tx(method) => self.handle_tx_method(channel, &method),
            // CHN-7.
            AMQPClass::Access(access::AMQPMethod::Request(_)) => {
                let method = access::AMQPMethod::RequestOk(access::RequestOk {});
                self.send_on_channel(channel, &AMQPClass::Access(method));
                Ok(())
            }
            _ => Err(unimplemented()),
        };
        handled.map_err(|error| with_ids(error, payload))
    }

    fn handle_own_method(
        &mut self,
        channel: u32,
        method: &channel::AMQPMethod,
    ) -> Result<(), ProtocolError> {
        match method {
            channel::AMQPMethod::Open(_) => {
                Err(ProtocolError::new(ReplyCode::ChannelError, SECOND_OPEN))
            }
            channel::AMQPMethod::Close(_) => {
                self.drain_channel(channel, ChannelFarewell::CloseOk);
                Ok(())
            }
            // CHN-4.
            channel::AMQPMethod::Flow(flow) if !flow.active => {
                Err(ProtocolError::new(ReplyCode::NotImplemented, "active=false"))
            }
            channel::AMQPMethod::Flow(_) => {
                let ok = channel::AMQPMethod::FlowOk(channel::FlowOk { active: true });
                self.send_on_channel(channel, &AMQPClass::Channel(ok));
                Ok(())
            }
            channel::AMQPMethod::FlowOk(_) | channel::AMQPMethod::CloseOk(_) => Ok(()),
            _ => Err(unimplemented()),
        }
    }

    fn handle_basic_method(
        &mut self,
        slot: ConnectionSlot,
        channel: u32,
        method: basic::AMQPMethod,
    ) -> Result<(), ProtocolError> {
        use basic::AMQPMethod as Method;
        match method {
            Method::Consume(consume) => self.handle_basic_consume(slot, channel, &consume),
            Method::Cancel(cancel) => {
                self.handle_basic_cancel(channel, &cancel);
                Ok(())
            }
            // CON-8: the answer to a cancel of ours.
            Method::CancelOk(_) => Ok(()),
            Method::Get(get) => self.handle_basic_get(slot, channel, &get),
            Method::Qos(qos) => {
                self.handle_basic_qos(channel, &qos);
                Ok(())
            }
            Method::Recover(basic::Recover { requeue })
            | Method::RecoverAsync(basic::RecoverAsync { requeue })
                if !requeue =>
            {
                Err(ProtocolError::new(ReplyCode::NotImplemented, "requeue=false"))
            }
            Method::Recover(_) => {
                self.recover(channel, true);
                Ok(())
            }
            Method::RecoverAsync(_) => {
                self.recover(channel, false);
                Ok(())
            }
            _ => Err(unimplemented()),
        }
    }

    fn handle_basic_get(
        &mut self,
        slot: ConnectionSlot,
        channel: u32,
        get: &basic::Get,
    ) -> Result<(), ProtocolError> {
        let record = self.readable_queue(slot, channel, get.queue.as_str(), BASIC_GET)?;
        let (queue, home) = (record.id, record.slot.shard(self.shards));
        if !get.no_ack {
            self.watch_acks(channel, queue);
        }
        let entry = &mut self.front.channels[channel as usize];
        entry.waiting = Waiting::Get;
        entry.touch(home);
        let address = entry.address(self.id, channel);
        self.request(home, Request::Get { channel: address, queue, no_ack: get.no_ack });
        Ok(())
    }

    /// CNF-1.
    fn select_confirms(&mut self, channel: u32, nowait: bool) -> Result<(), ProtocolError> {
        let entry = &mut self.front.channels[channel as usize];
        if entry.transaction.is_some() {
            let text = "cannot switch from tx to confirm mode";
            return Err(ProtocolError::new(ReplyCode::PreconditionFailed, text));
        }
        entry.unconfirmed.get_or_insert_with(|| Box::new(Unconfirmed::new()));
        if !nowait {
            let method = confirm::AMQPMethod::SelectOk(confirm::SelectOk {});
            self.send_on_channel(channel, &AMQPClass::Confirm(method));
        }
        Ok(())
    }
}

fn outcome(requeue: bool) -> Outcome {
    if requeue { Outcome::Requeued } else { Outcome::Rejected }
}

/// Section 3.3: a method that only servers send.
pub(crate) fn unimplemented() -> ProtocolError {
    ProtocolError::new(ReplyCode::CommandInvalid, "unimplemented method")
}

/// Names the method that failed, where the error does not yet.
fn with_ids(error: ProtocolError, payload: &[u8]) -> ProtocolError {
    match method_ids(payload) {
        Some((class, method)) if error.class_id == 0 => error.of(class, method),
        _ => error,
    }
}

/// Whether a method goes to the catalog's writer, so that several may be under way: every method
/// of exchange and queue but purge, the passive declares, and the delete of a queue, which goes to
/// its home first.
pub(crate) fn is_catalog_command(payload: &[u8]) -> bool {
    match decode_client_method(payload) {
        Ok(ClientMethod::Cold(AMQPClass::Exchange(method))) => !matches!(
            method,
            haremq_protocol::method::exchange::AMQPMethod::Declare(declare) if declare.passive
        ),
        Ok(ClientMethod::Cold(AMQPClass::Queue(method))) => match method {
            haremq_protocol::method::queue::AMQPMethod::Declare(declare) => !declare.passive,
            haremq_protocol::method::queue::AMQPMethod::Purge(_)
            | haremq_protocol::method::queue::AMQPMethod::Delete(_) => false,
            _ => true,
        },
        _ => false,
    }
}
