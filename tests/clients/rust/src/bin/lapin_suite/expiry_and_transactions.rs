//! Time to live of messages and queues; the tx methods.

use std::time::{Duration, Instant};

use haremq_clients::{Outcome, unique, until};
use lapin::BasicProperties;
use lapin::options::{BasicAckOptions, BasicGetOptions};
use lapin::types::AMQPValue;

use crate::kit::{
    PLAIN, close, exclusive_queue, exclusive_queue_with, on_channel, on_confirm_channel, publish,
    ready, send, short, table, take, take_all,
};

pub(crate) async fn messages_expire_on_time() -> Outcome {
    let (connection, channel) = on_confirm_channel().await?;
    let ttl = table(&[("x-message-ttl", AMQPValue::LongInt(200))]);
    let by_queue = exclusive_queue_with(&channel, ttl).await?;
    let by_message = exclusive_queue(&channel).await?;
    let start = Instant::now();
    send(&channel, &by_queue, &["x"]).await?;
    let brief = BasicProperties::default().with_expiration(short("200"));
    publish(&channel, "", &by_message, b"x", brief).await?;
    for queue in [&by_queue, &by_message] {
        until(async || Ok(ready(&channel, queue).await? == 0)).await?;
    }
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(200) && took < Duration::from_secs(2), "{took:?}");
    close(connection).await
}

pub(crate) async fn unused_queue_expires() -> Outcome {
    let (connection, channel) = on_confirm_channel().await?;
    let name = unique("expires");
    let start = Instant::now();
    let expires = table(&[("x-expires", AMQPValue::LongInt(400))]);
    channel.queue_declare(short(&name), PLAIN, expires).await?;
    // Publishing is no use in the sense of x-expires, so it may watch.
    until(async || {
        let confirmation = publish(&channel, "", &name, b"", BasicProperties::default()).await?;
        Ok(confirmation.take_message().is_some())
    })
    .await?;
    assert!(start.elapsed() >= Duration::from_millis(400));
    close(connection).await
}

pub(crate) async fn transaction_publishes_at_commit() -> Outcome {
    let (connection, channel) = on_channel().await?;
    let reader = connection.create_channel().await?;
    let queue = exclusive_queue(&channel).await?;
    channel.tx_select().await?;
    send(&channel, &queue, &["1", "2"]).await?;
    assert_eq!(take(&channel, &queue).await?, None);
    channel.tx_commit().await?;
    assert_eq!(take_all(&reader, &queue).await?, ["1", "2"]);
    send(&channel, &queue, &["3"]).await?;
    channel.tx_rollback().await?;
    channel.tx_commit().await?;
    assert_eq!(take(&reader, &queue).await?, None);
    close(connection).await
}

pub(crate) async fn transaction_settles_at_commit() -> Outcome {
    let (connection, channel) = on_channel().await?;
    let reader = connection.create_channel().await?;
    let queue = exclusive_queue(&channel).await?;
    send(&channel, &queue, &["1", "2"]).await?;
    channel.tx_select().await?;
    for _ in 0..2 {
        channel.basic_get(short(&queue), BasicGetOptions::default()).await?;
    }
    channel.basic_ack(1, BasicAckOptions::default()).await?;
    channel.tx_rollback().await?;
    channel.basic_ack(1, BasicAckOptions::default()).await?;
    channel.tx_commit().await?;
    channel.basic_ack(2, BasicAckOptions::default()).await?;
    // As a rollback: the second comes back.
    channel.close(200, short("done")).await?;
    assert_eq!(take(&reader, &queue).await?, Some(("2".into(), true)));
    assert_eq!(take(&reader, &queue).await?, None);
    close(connection).await
}
