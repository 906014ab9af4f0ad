//! What the checks are written with.

use std::sync::atomic::{AtomicU16, Ordering};

use amqprs::callbacks::{ChannelCallback, ConnectionCallback};
use amqprs::channel::{
    BasicAckArguments, BasicCancelArguments, BasicConsumeArguments, BasicGetArguments,
    BasicPublishArguments, Channel, ConfirmSelectArguments, ConsumerMessage,
    ExchangeDeclareArguments, ExchangeDeleteArguments, QueueBindArguments, QueueDeclareArguments,
};
use amqprs::connection::{Connection, OpenConnectionArguments};
use amqprs::{
    Ack, BasicProperties, Cancel, Close, CloseChannel, FieldTable, FieldValue, Nack, Return,
};
use async_trait::async_trait;
use haremq_clients::{Outcome, soon, unique, uri};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// What the broker does by itself, in the order in which amqprs tells it.
#[derive(Debug, PartialEq)]
pub(crate) enum Seen {
    Closed { code: u16, text: String },
    Cancelled { tag: String },
    Acked { tag: u64, multiple: bool },
    Nacked { tag: u64 },
    Returned { code: u16, text: String, key: String, body: Vec<u8> },
}

pub(crate) struct Watch(pub(crate) UnboundedSender<Seen>);

impl Watch {
    fn tell(&self, seen: Seen) {
        // A check that has ended no longer listens.
        let _ = self.0.send(seen);
    }
}

#[async_trait]
impl ChannelCallback for Watch {
    async fn close(
        &mut self,
        _: &Channel,
        close: CloseChannel,
    ) -> Result<(), amqprs::error::Error> {
        self.tell(Seen::Closed { code: close.reply_code(), text: close.reply_text().clone() });
        Ok(())
    }

    async fn cancel(&mut self, _: &Channel, cancel: Cancel) -> Result<(), amqprs::error::Error> {
        self.tell(Seen::Cancelled { tag: cancel.consumer_tag().clone() });
        Ok(())
    }

    async fn flow(&mut self, _: &Channel, active: bool) -> Result<bool, amqprs::error::Error> {
        Ok(active)
    }

    async fn publish_ack(&mut self, _: &Channel, ack: Ack) {
        self.tell(Seen::Acked { tag: ack.delivery_tag(), multiple: ack.mutiple() });
    }

    async fn publish_nack(&mut self, _: &Channel, nack: Nack) {
        self.tell(Seen::Nacked { tag: nack.delivery_tag() });
    }

    async fn publish_return(
        &mut self,
        _: &Channel,
        returned: Return,
        _: BasicProperties,
        body: Vec<u8>,
    ) {
        self.tell(Seen::Returned {
            code: returned.reply_code(),
            text: returned.reply_text().clone(),
            key: returned.routing_key().clone(),
            body,
        });
    }
}

#[async_trait]
impl ConnectionCallback for Watch {
    async fn close(&mut self, _: &Connection, close: Close) -> Result<(), amqprs::error::Error> {
        self.tell(Seen::Closed { code: close.reply_code(), text: close.reply_text().clone() });
        Ok(())
    }

    async fn blocked(&mut self, _: &Connection, _: String) {}

    async fn unblocked(&mut self, _: &Connection) {}

    async fn secret_updated(&mut self, _: &Connection) {}
}

/// What the broker proposes and amqprs takes.
pub(crate) const CHANNEL_MAX: u16 = 2047;

/// A channel and what is seen on it.
pub(crate) struct Watched {
    pub(crate) channel: Channel,
    pub(crate) seen: UnboundedReceiver<Seen>,
}

pub(crate) fn arguments() -> Outcome<OpenConnectionArguments> {
    let uri = uri();
    let rest = uri.strip_prefix("amqp://").ok_or("the address is no amqp:// one")?;
    let (user, rest) = rest.split_once('@').unwrap_or(("guest:guest", rest));
    let (name, password) = user.split_once(':').ok_or("the address has no password")?;
    let host = rest.split('/').next().expect("a split has at least one part");
    let (host, port) = host.split_once(':').unwrap_or((host, "5672"));
    Ok(OpenConnectionArguments::new(host, port.parse()?, name, password))
}

pub(crate) async fn connect() -> Outcome<Connection> {
    Ok(Connection::open(&arguments()?).await?)
}

/// Opens a channel. Its number is new to the connection, for amqprs tells of a close before it
/// answers it; and it is to be kept, for a dropped one closes while the connection may.
pub(crate) async fn open(connection: &Connection) -> Outcome<Watched> {
    static COUNT: AtomicU16 = AtomicU16::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed) % CHANNEL_MAX + 1;
    let channel = connection.open_channel(Some(number)).await?;
    let (sender, seen) = unbounded_channel();
    channel.register_callback(Watch(sender)).await?;
    Ok(Watched { channel, seen })
}

pub(crate) async fn on_channel() -> Outcome<(Connection, Watched)> {
    let connection = connect().await?;
    let watched = open(&connection).await?;
    Ok((connection, watched))
}

pub(crate) fn table(pairs: &[(&str, FieldValue)]) -> Outcome<FieldTable> {
    let mut table = FieldTable::new();
    for (key, value) in pairs {
        table.insert((*key).try_into()?, value.clone());
    }
    Ok(table)
}

pub(crate) fn text(value: &str) -> FieldValue {
    value.into()
}

impl Watched {
    pub(crate) async fn exclusive_queue(&self) -> Outcome<String> {
        self.exclusive_queue_with(FieldTable::new()).await
    }

    pub(crate) async fn exclusive_queue_with(&self, arguments: FieldTable) -> Outcome<String> {
        let mut declare = QueueDeclareArguments::new("");
        let declare = declare.exclusive(true).arguments(arguments).finish();
        let (name, _, _) = self.channel.queue_declare(declare).await?.ok_or("no declare-ok")?;
        Ok(name)
    }

    /// The counts of ready messages and of consumers.
    pub(crate) async fn look(&self, queue: &str) -> Result<(u32, u32), amqprs::error::Error> {
        let passive = QueueDeclareArguments::new(queue).passive(true).finish();
        let reply = self.channel.queue_declare(passive).await?;
        let (_, messages, consumers) = reply.expect("a declare that waits has an answer");
        Ok((messages, consumers))
    }

    pub(crate) async fn confirms(&self) -> Outcome {
        Ok(self.channel.confirm_select(ConfirmSelectArguments::new(false)).await?)
    }

    pub(crate) async fn publish(
        &self,
        exchange: &str,
        key: &str,
        body: &[u8],
        properties: BasicProperties,
    ) -> Outcome {
        let mut to = BasicPublishArguments::new(exchange, key);
        let to = to.mandatory(true).finish();
        Ok(self.channel.basic_publish(properties, body.to_vec(), to).await?)
    }

    pub(crate) async fn send(&self, queue: &str, bodies: &[&str]) -> Outcome {
        for body in bodies {
            self.publish("", queue, body.as_bytes(), BasicProperties::default()).await?;
        }
        Ok(())
    }

    /// Waits until all publishes up to this number are confirmed, each once.
    pub(crate) async fn confirmed(&mut self, from: u64, to: u64) -> Outcome {
        let mut open: std::collections::BTreeSet<_> = (from..=to).collect();
        while !open.is_empty() {
            match self.next().await? {
                Seen::Acked { tag, multiple: true } => open = open.split_off(&(tag + 1)),
                Seen::Acked { tag, .. } => assert!(open.remove(&tag), "{tag} was acked twice"),
                Seen::Returned { .. } => {}
                other => return Err(format!("{other:?}").into()),
            }
        }
        Ok(())
    }

    pub(crate) async fn next(&mut self) -> Outcome<Seen> {
        Ok(soon(self.seen.recv()).await?.ok_or("the channel ended in silence")?)
    }

    /// The broker must close with this code and text.
    pub(crate) async fn closed(&mut self, code: u16, part: &str) -> Outcome {
        closed(&mut self.seen, code, part).await
    }

    pub(crate) async fn get(&self, queue: &str) -> Outcome<Option<(u64, u32)>> {
        let got = soon(self.channel.basic_get(BasicGetArguments::new(queue))).await??;
        Ok(got.map(|(ok, _, _)| (ok.delivery_tag(), ok.message_count())))
    }

    pub(crate) async fn take(&self, queue: &str) -> Outcome<Option<(String, bool)>> {
        let get = BasicGetArguments::new(queue).no_ack(true).finish();
        let got = soon(self.channel.basic_get(get)).await??;
        Ok(got.map(|(ok, _, body)| (String::from_utf8_lossy(&body).into(), ok.redelivered())))
    }

    pub(crate) async fn take_all(&self, queue: &str) -> Outcome<Vec<String>> {
        let mut bodies = Vec::new();
        while let Some((body, _)) = self.take(queue).await? {
            bodies.push(body);
        }
        Ok(bodies)
    }

    pub(crate) async fn consume(
        &self,
        queue: &str,
    ) -> Result<(String, UnboundedReceiver<ConsumerMessage>), amqprs::error::Error> {
        self.channel.basic_consume_rx(BasicConsumeArguments::new(queue, "")).await
    }

    pub(crate) async fn cancel(&self, tag: &str) -> Outcome {
        self.channel.basic_cancel(BasicCancelArguments::new(tag)).await?;
        Ok(())
    }

    pub(crate) async fn ack(&self, tag: u64, multiple: bool) -> Outcome {
        Ok(self.channel.basic_ack(BasicAckArguments::new(tag, multiple)).await?)
    }

    pub(crate) async fn bind(
        &self,
        queue: &str,
        exchange: &str,
        key: &str,
        arguments: FieldTable,
    ) -> Outcome {
        let mut bind = QueueBindArguments::new(queue, exchange, key);
        Ok(self.channel.queue_bind(bind.arguments(arguments).finish()).await?)
    }

    pub(crate) async fn exchange(&self, kind: &str) -> Outcome<String> {
        let name = unique("exchange");
        self.channel.exchange_declare(ExchangeDeclareArguments::new(&name, kind)).await?;
        Ok(name)
    }

    pub(crate) async fn drop_exchange(&self, name: &str) -> Outcome {
        Ok(self.channel.exchange_delete(ExchangeDeleteArguments::new(name)).await?)
    }
}

pub(crate) async fn closed(seen: &mut UnboundedReceiver<Seen>, code: u16, part: &str) -> Outcome {
    loop {
        match soon(seen.recv()).await?.ok_or("there was no close")? {
            Seen::Closed { code: got, text } => {
                assert_eq!(got, code, "{text}");
                assert!(text.contains(part), "{text}");
                return Ok(());
            }
            Seen::Acked { .. } => {}
            other => return Err(format!("{other:?}").into()),
        }
    }
}

pub(crate) async fn next_bodies(
    got: &mut UnboundedReceiver<ConsumerMessage>,
    count: usize,
) -> Outcome<Vec<String>> {
    let mut bodies = Vec::new();
    for _ in 0..count {
        let message = soon(got.recv()).await?.ok_or("the consumer ended")?;
        let body = message.content.ok_or("a delivery without content")?;
        bodies.push(String::from_utf8(body)?);
    }
    Ok(bodies)
}
