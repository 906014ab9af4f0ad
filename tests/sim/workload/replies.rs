//! What the broker says is held against what was asked.

use haremq_protocol::client::{Message, OwnedClientEvent};
use haremq_protocol::method::{AMQPClass, basic, channel, confirm, exchange, queue, tx};

use super::publish::message_of;
use crate::channel::{Expected, Held, check_order};
use crate::client::State;
use crate::model::{Fate, Place, QueueKind};
use crate::simulation::Simulation;
use crate::trace;

type Checked = Result<(), String>;

impl Simulation {
    /// Something has come to a client.
    pub(crate) fn handle_event(&mut self, client: usize, event: OwnedClientEvent) -> Checked {
        trace::note(format!("client {client}: {}", describe(&event)));
        match event {
            OwnedClientEvent::Opened { .. } => {
                self.clients[client].state = State::Open;
                Ok(())
            }
            OwnedClientEvent::Method { channel, method } => {
                self.handle_method(client, channel, &method)
            }
            OwnedClientEvent::Deliver {
                channel,
                consumer_tag,
                delivery_tag,
                redelivered,
                message,
            } => {
                let tag = String::from_utf8(consumer_tag).map_err(|_| "a tag is not UTF-8")?;
                self.handle_delivery(client, channel, tag, delivery_tag, redelivered, &message)
            }
            OwnedClientEvent::GetOk { channel, delivery_tag, redelivered, message, .. } => {
                self.handle_get_ok(client, channel, delivery_tag, redelivered, &message)
            }
            OwnedClientEvent::Return { channel, reply_code, message, .. } => {
                self.handle_return(client, channel, reply_code, &message)
            }
            OwnedClientEvent::Ack { channel, delivery_tag, multiple } => {
                self.handle_confirm(client, channel, delivery_tag, multiple)
            }
            OwnedClientEvent::Nack { delivery_tag, .. } => {
                Err(format!("publish {delivery_tag} was refused"))
            }
            OwnedClientEvent::ChannelClosed { channel, close } => {
                self.handle_channel_closed(client, channel, close)
            }
            OwnedClientEvent::ConnectionClosed { close } => {
                self.handle_connection_closed(client, close)
            }
            OwnedClientEvent::Heartbeat => Err("a heartbeat nobody asked for".into()),
        }
    }

    fn handle_delivery(
        &mut self,
        client: usize,
        number: u16,
        tag: String,
        delivery_tag: u64,
        redelivered: bool,
        message: &Message,
    ) -> Checked {
        let message = message_of(&message.body)?;
        let channel = self.clients[client].channel(number);
        channel.count_delivery(delivery_tag)?;
        let Some(consumer) = channel.consumers.get_mut(&tag) else {
            return Err(format!("{tag} gets message {message} but is no consumer"));
        };
        if !consumer.is_confirmed {
            return Err(format!("{tag} gets message {message} before consume-ok"));
        }
        let (queue, uid, asked_at) = (consumer.queue, channel.uid, consumer.asked_at);
        let key = (message, queue);
        if let Some(sent) = self.model.messages.get(message)
            && !redelivered
        {
            check_order(&mut consumer.last, sent.publisher, sent.sequence)?;
        }
        if consumer.no_ack {
            return self.model.deliver(key, redelivered, uid, asked_at, Place::Taken);
        }
        // What comes before recover-ok has been requeued already.
        if channel.is_recovering {
            return self.model.deliver(key, redelivered, uid, asked_at, Place::Queue);
        }
        consumer.unacked += 1;
        if consumer.prefetch > 0 && consumer.unacked > consumer.prefetch {
            let (unacked, prefetch) = (consumer.unacked, consumer.prefetch);
            return Err(format!("{tag} holds {unacked} with a prefetch of {prefetch}"));
        }
        let held = Held { message, queue, consumer: Some(tag) };
        channel.unacked.insert(delivery_tag, held);
        let (limit, held) = (usize::from(channel.global_limit), channel.held_by_consumers());
        if limit > 0 && channel.global_changes == 0 && held > limit {
            return Err(format!("channel {} holds {held}, limit {limit}", channel.uid));
        }
        self.model.deliver(key, redelivered, uid, asked_at, Place::Held)
    }

    fn handle_get_ok(
        &mut self,
        client: usize,
        number: u16,
        delivery_tag: u64,
        redelivered: bool,
        message: &Message,
    ) -> Checked {
        let message = message_of(&message.body)?;
        let channel = self.clients[client].channel(number);
        channel.count_delivery(delivery_tag)?;
        let Some(Expected::Got { queue, no_ack, asked_at }) = channel.expected.pop_front() else {
            return Err(format!("channel {} got message {message} unasked", channel.uid));
        };
        let (key, uid) = ((message, queue), channel.uid);
        if let Some(sent) = self.model.messages.get(message)
            && !redelivered
        {
            let last = channel.getters.entry(queue).or_default();
            check_order(last, sent.publisher, sent.sequence)?;
        }
        if no_ack {
            return self.model.deliver(key, redelivered, uid, asked_at, Place::Taken);
        }
        if channel.is_recovering {
            return self.model.deliver(key, redelivered, uid, asked_at, Place::Queue);
        }
        channel.unacked.insert(delivery_tag, Held { message, queue, consumer: None });
        self.model.deliver(key, redelivered, uid, asked_at, Place::Held)
    }

    /// PUB-21: only what is mandatory comes back, and before its ack.
    fn handle_return(
        &mut self,
        client: usize,
        number: u16,
        reply_code: u16,
        message: &Message,
    ) -> Checked {
        let index = message_of(&message.body)?;
        let uid = self.clients[client].channel(number).uid;
        let sent = self.model.messages.get_mut(index).ok_or("a return of nothing")?;
        let is_expected = sent.publisher == uid
            && sent.is_mandatory
            && sent.targets.is_empty()
            && !sent.is_returned
            && reply_code == 312
            && !matches!(sent.fate, Fate::Never | Fate::Uncommitted | Fate::Certain);
        if !is_expected {
            return Err(format!("return {reply_code} of message {index}, {sent:?}"));
        }
        sent.is_returned = true;
        Ok(())
    }

    fn handle_confirm(&mut self, client: usize, number: u16, tag: u64, multiple: bool) -> Checked {
        let channel = self.clients[client].channel(number);
        if !channel.unconfirmed.contains_key(&tag) {
            return Err(format!("channel {}: publish {tag} is confirmed again", channel.uid));
        }
        let from = if multiple { 0 } else { tag };
        let confirmed: Vec<u64> = channel.unconfirmed.range(from..=tag).map(|it| *it.0).collect();
        for number in confirmed {
            let message = channel.unconfirmed.remove(&number).expect("just seen");
            self.model.messages[message].fate = Fate::Certain;
            self.model.messages[message].confirmed_at = Some(self.world.now);
            check_returned(&self.model.messages[message], message)?;
        }
        Ok(())
    }

    fn handle_method(&mut self, client: usize, number: u16, method: &AMQPClass) -> Checked {
        if let AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel)) = method {
            return self.handle_server_cancel(client, number, cancel.consumer_tag.as_str());
        }
        let channel = self.clients[client].channel(number);
        let Some(expected) = channel.expected.pop_front() else {
            return Err(format!("channel {}: {method:?} answers nothing", channel.uid));
        };
        let is_answered = self.handle_answer(client, number, &expected, method)?;
        if is_answered {
            return Ok(());
        }
        Err(format!("{method:?} came instead of {expected:?}"))
    }

    /// Returns whether the method is the answer that was expected.
    fn handle_answer(
        &mut self,
        client: usize,
        number: u16,
        expected: &Expected,
        method: &AMQPClass,
    ) -> Result<bool, String> {
        use AMQPClass as Class;
        let channel = self.clients[client].channel(number);
        Ok(match (expected, method) {
            (Expected::OpenOk, Class::Channel(channel::AMQPMethod::OpenOk(_)))
            | (Expected::ConfirmSelectOk, Class::Confirm(confirm::AMQPMethod::SelectOk(_)))
            | (Expected::TxSelectOk, Class::Tx(tx::AMQPMethod::SelectOk(_)))
            | (Expected::RollbackOk, Class::Tx(tx::AMQPMethod::RollbackOk(_)))
            | (Expected::Got { .. }, Class::Basic(basic::AMQPMethod::GetEmpty(_)))
            | (Expected::QueueBindOk, Class::Queue(queue::AMQPMethod::BindOk(_)))
            | (Expected::QueueUnbindOk, Class::Queue(queue::AMQPMethod::UnbindOk(_)))
            | (Expected::ExchangeDeclareOk, Class::Exchange(exchange::AMQPMethod::DeclareOk(_)))
            | (Expected::ExchangeDeleteOk, Class::Exchange(exchange::AMQPMethod::DeleteOk(_)))
            | (Expected::ExchangeBindOk, Class::Exchange(exchange::AMQPMethod::BindOk(_)))
            | (Expected::ExchangeUnbindOk, Class::Exchange(exchange::AMQPMethod::UnbindOk(_))) => {
                true
            }
            (Expected::CommitOk, Class::Tx(tx::AMQPMethod::CommitOk(_))) => {
                channel.is_committing = false;
                for message in std::mem::take(&mut channel.uncommitted) {
                    self.model.messages[message].fate = Fate::Certain;
                    self.model.messages[message].confirmed_at = Some(self.world.now);
                    check_returned(&self.model.messages[message], message)?;
                }
                true
            }
            (Expected::RecoverOk, Class::Basic(basic::AMQPMethod::RecoverOk(_))) => {
                channel.is_recovering = false;
                true
            }
            (
                Expected::QosOk { prefetch, is_global },
                Class::Basic(basic::AMQPMethod::QosOk(_)),
            ) => {
                if *is_global {
                    channel.global_changes -= 1;
                    // What is held already may be more; grants given before may still be used.
                    let before = channel.global_limit;
                    let held = channel.held_by_consumers() as u16;
                    channel.global_limit =
                        if *prefetch == 0 { 0 } else { (*prefetch).max(held).max(before) };
                }
                true
            }
            (Expected::ConsumeOk { tag }, Class::Basic(basic::AMQPMethod::ConsumeOk(ok))) => {
                let consumer = channel.consumers.get_mut(tag).ok_or("it was cancelled before")?;
                consumer.is_confirmed = true;
                ok.consumer_tag.as_str() == tag
            }
            (Expected::CancelOk { tag }, Class::Basic(basic::AMQPMethod::CancelOk(ok))) => {
                channel.consumers.remove(tag);
                ok.consumer_tag.as_str() == tag
            }
            (Expected::QueueDeclareOk { name }, Class::Queue(queue::AMQPMethod::DeclareOk(ok))) => {
                self.counted = u64::from(ok.message_count);
                self.handle_declare_ok(client, name.as_deref(), ok.queue.as_str())
            }
            (
                Expected::QueueDeleteOk { must_be_empty },
                Class::Queue(queue::AMQPMethod::DeleteOk(ok)),
            ) => {
                if *must_be_empty && ok.message_count > 0 {
                    return Err(format!("{} messages were left", ok.message_count));
                }
                true
            }
            (Expected::PurgeOk { queue }, Class::Queue(queue::AMQPMethod::PurgeOk(ok))) => {
                self.model.queues[*queue].purged += u64::from(ok.message_count);
                true
            }
            _ => false,
        })
    }

    fn handle_declare_ok(&mut self, client: usize, asked: Option<&str>, name: &str) -> bool {
        match asked {
            Some(asked) => asked == name,
            None => {
                // Renamed for the model only: the prefix tells whose it is.
                trace::note(format!("client {client} owns {name}"));
                self.model.add_queue(name.to_owned(), QueueKind::Exclusive);
                true
            }
        }
    }

    /// CON-8.
    fn handle_server_cancel(&mut self, client: usize, number: u16, tag: &str) -> Checked {
        let channel = self.clients[client].channel(number);
        let Some(consumer) = channel.consumers.get(tag) else {
            return Err(format!("{tag} is cancelled but is no consumer"));
        };
        if self.model.queues[consumer.queue].kind.is_permanent() {
            return Err(format!("{tag} is cancelled but its queue is there"));
        }
        if !consumer.is_confirmed {
            return Err(format!("{tag} is cancelled before consume-ok"));
        }
        channel.consumers.remove(tag);
        Ok(())
    }
}

/// PUB-22: an unroutable mandatory message comes back before it is confirmed.
fn check_returned(message: &crate::model::MessageModel, index: usize) -> Checked {
    if message.is_mandatory && message.is_unroutable && !message.is_returned {
        return Err(format!("message {index} was confirmed before it was returned"));
    }
    Ok(())
}

/// An event without its body.
fn describe(event: &OwnedClientEvent) -> String {
    match event {
        OwnedClientEvent::Deliver { channel, consumer_tag, delivery_tag, redelivered, message } => {
            let (tag, of) = (String::from_utf8_lossy(consumer_tag), message_of(&message.body));
            format!("channel {channel} {tag} gets {delivery_tag} {redelivered} {of:?}")
        }
        OwnedClientEvent::GetOk { channel, delivery_tag, redelivered, message, .. } => {
            let of = message_of(&message.body);
            format!("channel {channel} got {delivery_tag} {redelivered} {of:?}")
        }
        OwnedClientEvent::Return { channel, message, .. } => {
            format!("channel {channel}: returned {:?}", message_of(&message.body))
        }
        event => format!("{event:?}"),
    }
}
