//! What the checks are written with.

use futures_util::StreamExt;
use haremq_clients::{Outcome, soon, unique, uri};
use lapin::options::{
    BasicConsumeOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions,
    ExchangeDeclareOptions, ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer, ErrorKind,
    ExchangeKind, Queue,
};

pub(crate) async fn connect() -> Outcome<Connection> {
    Ok(Connection::connect(&uri(), ConnectionProperties::default()).await?)
}

/// Closes the connection; that a channel dropped before is only just closing is no error.
pub(crate) async fn close(connection: Connection) -> Outcome {
    match connection.close(200, "done".into()).await {
        Err(error) if matches!(error.kind(), ErrorKind::InvalidChannelState(..)) => Ok(()),
        closed => Ok(closed?),
    }
}

pub(crate) async fn on_channel() -> Outcome<(Connection, Channel)> {
    let connection = connect().await?;
    let channel = connection.create_channel().await?;
    Ok((connection, channel))
}

pub(crate) async fn on_confirm_channel() -> Outcome<(Connection, Channel)> {
    let (connection, channel) = on_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok((connection, channel))
}

pub(crate) fn table(pairs: &[(&str, AMQPValue)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (key, value) in pairs {
        table.insert((*key).into(), value.clone());
    }
    table
}

pub(crate) fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

pub(crate) fn short(value: &str) -> ShortString {
    value.into()
}

pub(crate) const EXCLUSIVE: QueueDeclareOptions = QueueDeclareOptions {
    passive: false,
    durable: false,
    exclusive: true,
    auto_delete: false,
    nowait: false,
};
pub(crate) const PASSIVE: QueueDeclareOptions =
    QueueDeclareOptions { passive: true, exclusive: false, ..EXCLUSIVE };
pub(crate) const PLAIN: QueueDeclareOptions = QueueDeclareOptions { exclusive: false, ..EXCLUSIVE };

pub(crate) async fn exclusive_queue(channel: &Channel) -> Outcome<String> {
    exclusive_queue_with(channel, FieldTable::default()).await
}

pub(crate) async fn exclusive_queue_with(
    channel: &Channel,
    arguments: FieldTable,
) -> Outcome<String> {
    let queue = channel.queue_declare(short(""), EXCLUSIVE, arguments).await?;
    Ok(queue.name().to_string())
}

pub(crate) async fn look(channel: &Channel, queue: &str) -> lapin::Result<Queue> {
    channel.queue_declare(queue.into(), PASSIVE, FieldTable::default()).await
}

pub(crate) async fn ready(channel: &Channel, queue: &str) -> Outcome<u32> {
    Ok(look(channel, queue).await?.message_count())
}

/// Publishes and, on a confirm channel, waits for the confirm.
pub(crate) async fn send(channel: &Channel, queue: &str, bodies: &[&str]) -> Outcome {
    for body in bodies {
        publish(channel, "", queue, body.as_bytes(), BasicProperties::default()).await?;
    }
    Ok(())
}

pub(crate) async fn publish(
    channel: &Channel,
    exchange: &str,
    key: &str,
    body: &[u8],
    properties: BasicProperties,
) -> Outcome<Confirmation> {
    let options = BasicPublishOptions { mandatory: true, ..Default::default() };
    let confirm =
        channel.basic_publish(exchange.into(), key.into(), options, body, properties).await?;
    Ok(confirm.await?)
}

pub(crate) async fn take(channel: &Channel, queue: &str) -> Outcome<Option<(String, bool)>> {
    let got = channel.basic_get(queue.into(), BasicGetOptions { no_ack: true }).await?;
    Ok(got.map(|message| (body(&message.data), message.redelivered)))
}

pub(crate) async fn take_all(channel: &Channel, queue: &str) -> Outcome<Vec<String>> {
    let mut bodies = Vec::new();
    while let Some((body, _)) = take(channel, queue).await? {
        bodies.push(body);
    }
    Ok(bodies)
}

pub(crate) fn body(data: &[u8]) -> String {
    String::from_utf8_lossy(data).into_owned()
}

pub(crate) async fn consume(channel: &Channel, queue: &str) -> lapin::Result<Consumer> {
    let options = BasicConsumeOptions::default();
    channel.basic_consume(queue.into(), short(""), options, FieldTable::default()).await
}

pub(crate) async fn next_bodies(consumer: &mut Consumer, count: usize) -> Outcome<Vec<String>> {
    let mut bodies = Vec::new();
    for _ in 0..count {
        let delivery = soon(consumer.next()).await?.ok_or("the consumer was cancelled")??;
        bodies.push(body(&delivery.data));
    }
    Ok(bodies)
}

/// The result must be the broker's refusal with this code and text.
#[track_caller]
pub(crate) fn refused<T>(result: lapin::Result<T>, code: u16, part: &str) {
    let Err(error) = result else { panic!("the broker did not answer with {code}") };
    let ErrorKind::ProtocolError(error) = error.kind() else { panic!("{error}") };
    assert_eq!(error.get_id(), code, "{error}");
    assert!(error.get_message().as_str().contains(part), "{error}");
}

pub(crate) async fn bind(channel: &Channel, queue: &str, exchange: &str, key: &str) -> Outcome {
    bind_with(channel, queue, exchange, key, FieldTable::default()).await
}

pub(crate) async fn bind_with(
    channel: &Channel,
    queue: &str,
    exchange: &str,
    key: &str,
    arguments: FieldTable,
) -> Outcome {
    let options = QueueBindOptions::default();
    channel.queue_bind(queue.into(), exchange.into(), key.into(), options, arguments).await?;
    Ok(())
}

pub(crate) async fn exchange(channel: &Channel, kind: ExchangeKind) -> Outcome<String> {
    let name = unique("exchange");
    let options = ExchangeDeclareOptions::default();
    channel.exchange_declare(short(&name), kind, options, FieldTable::default()).await?;
    Ok(name)
}

pub(crate) async fn drop_exchange(channel: &Channel, name: &str) -> Outcome {
    Ok(channel.exchange_delete(name.into(), ExchangeDeleteOptions::default()).await?)
}
