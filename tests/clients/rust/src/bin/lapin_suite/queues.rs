//! Connections, and declaring, purging and deleting queues.

use haremq_clients::{Outcome, unique, uri};
use lapin::options::{
    BasicCancelOptions, BasicConsumeOptions, BasicGetOptions, BasicPublishOptions,
    ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
    QueueDeleteOptions, QueuePurgeOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ExchangeKind,
};

use crate::kit::{
    EXCLUSIVE, PLAIN, close, connect, consume, exclusive_queue, look, next_bodies, on_channel,
    on_confirm_channel, publish, refused, send, short, table, take,
};

pub(crate) async fn connection_closes_and_reopens() -> Outcome {
    for _ in 0..20 {
        let (connection, channel) = on_channel().await?;
        let queue = exclusive_queue(&channel).await?;
        send(&channel, &queue, &["x"]).await?;
        assert_eq!(take(&channel, &queue).await?, Some(("x".into(), false)));
        close(connection).await?;
    }
    Ok(())
}

pub(crate) async fn wrong_password_is_403() -> Outcome {
    let uri = uri();
    let host = uri.rsplit('@').next().expect("a split has at least one part");
    let host = host.trim_start_matches("amqp://");
    let wrong = format!("amqp://guest:wrong@{host}");
    refused(
        Connection::connect(&wrong, ConnectionProperties::default()).await,
        403,
        "Login was refused using authentication mechanism PLAIN",
    );
    Ok(())
}

pub(crate) async fn many_channels_work_side_by_side() -> Outcome {
    let connection = connect().await?;
    let mut channels = Vec::new();
    for number in 0..200 {
        let channel = connection.create_channel().await?;
        let queue = exclusive_queue(&channel).await?;
        send(&channel, &queue, &[&number.to_string()]).await?;
        channels.push((channel, queue));
    }
    for (number, (channel, queue)) in channels.iter().enumerate() {
        assert_eq!(take(channel, queue).await?, Some((number.to_string(), false)));
    }
    close(connection).await
}

pub(crate) async fn server_names_queues() -> Outcome {
    let (connection, channel) = on_channel().await?;
    let (one, two) = (exclusive_queue(&channel).await?, exclusive_queue(&channel).await?);
    assert!(one.starts_with("amq.gen-") && one.len() == 30, "{one}");
    assert_ne!(one, two);
    // The empty name stands for the queue that was declared last.
    send(&channel, &two, &["last"]).await?;
    assert_eq!(take(&channel, "").await?, Some(("last".into(), false)));
    close(connection).await
}

pub(crate) async fn exclusive_queue_is_locked_to_its_connection() -> Outcome {
    let (owner, own) = on_channel().await?;
    let other = connect().await?;
    let queue = exclusive_queue(&own).await?;
    let locked = "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue";
    refused(look(&other.create_channel().await?, &queue).await, 405, locked);
    refused(consume(&other.create_channel().await?, &queue).await, 405, locked);
    let stranger = other.create_channel().await?;
    let purged = stranger.queue_purge(short(&queue), QueuePurgeOptions::default()).await;
    refused(purged, 405, locked);
    let stranger = other.create_channel().await?;
    stranger.confirm_select(ConfirmSelectOptions::default()).await?;
    send(&stranger, &queue, &["hello"]).await?;
    assert_eq!(take(&own, &queue).await?, Some(("hello".into(), false)));
    close(owner).await?;
    close(other).await
}

pub(crate) async fn exclusive_queue_is_gone_after_close_ok() -> Outcome {
    let (owner, own) = on_channel().await?;
    let queue = exclusive_queue(&own).await?;
    close(owner).await?;
    let (other, channel) = on_channel().await?;
    refused(look(&channel, &queue).await, 404, &format!("no queue '{queue}' in vhost '/'"));
    close(other).await
}

pub(crate) async fn auto_delete_queue_goes_with_its_last_consumer() -> Outcome {
    let (connection, channel) = on_channel().await?;
    let name = unique("auto-delete");
    let options = QueueDeclareOptions { auto_delete: true, ..PLAIN };
    channel.queue_declare(short(&name), options, FieldTable::default()).await?;
    let consumers = [consume(&channel, &name).await?, consume(&channel, &name).await?];
    channel.basic_cancel(consumers[0].tag(), BasicCancelOptions::default()).await?;
    assert_eq!(look(&channel, &name).await?.consumer_count(), 1);
    channel.basic_cancel(consumers[1].tag(), BasicCancelOptions::default()).await?;
    refused(look(&channel, &name).await, 404, &name);
    close(connection).await
}

pub(crate) async fn redeclare_must_be_equivalent() -> Outcome {
    let (connection, setup) = on_channel().await?;
    let name = unique("equivalence");
    let declare = async |channel: &Channel, options, ttl: AMQPValue| {
        channel.queue_declare(short(&name), options, table(&[("x-message-ttl", ttl)])).await
    };
    declare(&setup, PLAIN, AMQPValue::LongInt(1000)).await?;
    // Integers compare by number, whatever their width on the wire.
    declare(&setup, PLAIN, AMQPValue::LongLongInt(1000)).await?;
    declare(&setup, PLAIN, AMQPValue::ShortInt(1000)).await?;
    let durable = QueueDeclareOptions { durable: true, ..PLAIN };
    for (options, ttl, code, part) in [
        (durable, 1000, 406, "inequivalent arg 'durable' for queue"),
        (PLAIN, 2000, 406, "received '2000' but current is '1000'"),
        (EXCLUSIVE, 1000, 405, "RESOURCE_LOCKED"),
    ] {
        let channel = connection.create_channel().await?;
        refused(declare(&channel, options, AMQPValue::LongInt(ttl)).await, code, part);
    }
    setup.queue_delete(short(&name), QueueDeleteOptions::default()).await?;
    close(connection).await
}

pub(crate) async fn what_is_missing_is_404() -> Outcome {
    let connection = connect().await?;
    let name = unique("missing");
    let no_queue = format!("NOT_FOUND - no queue '{name}' in vhost '/'");
    let no_exchange = format!("NOT_FOUND - no exchange '{name}' in vhost '/'");
    refused(look(&connection.create_channel().await?, &name).await, 404, &no_queue);
    refused(consume(&connection.create_channel().await?, &name).await, 404, &no_queue);
    let channel = connection.create_channel().await?;
    let got = channel.basic_get(short(&name), BasicGetOptions::default()).await;
    refused(got, 404, &no_queue);
    let channel = connection.create_channel().await?;
    let passive = ExchangeDeclareOptions { passive: true, ..Default::default() };
    let looked = channel
        .exchange_declare(short(&name), ExchangeKind::Direct, passive, FieldTable::default())
        .await;
    refused(looked, 404, &no_exchange);
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let confirm = channel
        .basic_publish(
            short(&name),
            short(""),
            BasicPublishOptions::default(),
            b"",
            BasicProperties::default(),
        )
        .await?;
    refused(confirm.await, 404, &no_exchange);
    close(connection).await
}

pub(crate) async fn purge_and_delete_count_what_they_drop() -> Outcome {
    let (connection, channel) = on_confirm_channel().await?;
    let name = unique("counts");
    channel.queue_declare(short(&name), PLAIN, FieldTable::default()).await?;
    send(&channel, &name, &["x"; 10]).await?;
    channel.basic_get(short(&name), BasicGetOptions::default()).await?;
    assert_eq!(channel.queue_purge(short(&name), QueuePurgeOptions::default()).await?, 9);
    send(&channel, &name, &["x"; 3]).await?;
    let other = connection.create_channel().await?;
    let if_empty = QueueDeleteOptions { if_empty: true, ..Default::default() };
    refused(other.queue_delete(short(&name), if_empty).await, 406, "not empty");
    assert_eq!(channel.queue_delete(short(&name), QueueDeleteOptions::default()).await?, 3);
    assert_eq!(channel.queue_delete(short(&name), QueueDeleteOptions::default()).await?, 0);
    close(connection).await
}

/// All but confirm.select and queue.purge, of which lapin awaits the answer that never comes.
pub(crate) async fn nowait_methods_take_effect() -> Outcome {
    let (connection, channel) = on_confirm_channel().await?;
    let (queue, exchange) = (unique("nowait"), unique("nowait"));
    let nowait = QueueDeclareOptions { nowait: true, ..EXCLUSIVE };
    channel.queue_declare(short(&queue), nowait, FieldTable::default()).await?;
    let options = ExchangeDeclareOptions { nowait: true, auto_delete: true, ..Default::default() };
    channel
        .exchange_declare(short(&exchange), ExchangeKind::Fanout, options, FieldTable::default())
        .await?;
    let options = QueueBindOptions { nowait: true };
    channel
        .queue_bind(short(&queue), short(&exchange), short(""), options, FieldTable::default())
        .await?;
    let options = BasicConsumeOptions { nowait: true, ..Default::default() };
    let mut consumer =
        channel.basic_consume(short(&queue), short("tag"), options, FieldTable::default()).await?;
    let confirmation = publish(&channel, &exchange, "", b"x", BasicProperties::default()).await?;
    assert_eq!(confirmation, Confirmation::Ack(None));
    assert_eq!(next_bodies(&mut consumer, 1).await?, ["x"]);
    channel.basic_cancel(short("tag"), BasicCancelOptions { nowait: true }).await?;
    let options = QueueDeleteOptions { nowait: true, ..Default::default() };
    channel.queue_delete(short(&queue), options).await?;
    refused(look(&channel, &queue).await, 404, "no queue");
    close(connection).await
}
