//! Time to live of messages and queues; the tx methods.

use std::time::{Duration, Instant};

use amqprs::channel::QueueDeclareArguments;
use amqprs::{BasicProperties, FieldValue};
use haremq_clients::{Outcome, unique, until};

use crate::kit::{Seen, on_channel, open, table};

pub(crate) async fn messages_expire_on_time() -> Outcome {
    let (connection, mut watched) = on_channel().await?;
    let ttl = table(&[("x-message-ttl", FieldValue::I(200))])?;
    let by_queue = watched.exclusive_queue_with(ttl).await?;
    let by_message = watched.exclusive_queue().await?;
    watched.confirms().await?;
    let start = Instant::now();
    watched.send(&by_queue, &["x"]).await?;
    let brief = BasicProperties::default().with_expiration("200").finish();
    watched.publish("", &by_message, b"x", brief).await?;
    watched.confirmed(1, 2).await?;
    for queue in [&by_queue, &by_message] {
        until(async || Ok(watched.look(queue).await?.0 == 0)).await?;
    }
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(200) && took < Duration::from_secs(2), "{took:?}");
    Ok(connection.close().await?)
}

pub(crate) async fn unused_queue_expires() -> Outcome {
    let (connection, mut watched) = on_channel().await?;
    watched.confirms().await?;
    let name = unique("expires");
    let start = Instant::now();
    let expires = table(&[("x-expires", FieldValue::I(400))])?;
    let declare = QueueDeclareArguments::new(&name).arguments(expires).finish();
    watched.channel.queue_declare(declare).await?;
    // Publishing is no use in the sense of x-expires, so it may watch.
    loop {
        watched.send(&name, &[""]).await?;
        if matches!(watched.next().await?, Seen::Returned { .. }) {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "did not expire");
    }
    assert!(start.elapsed() >= Duration::from_millis(400));
    Ok(connection.close().await?)
}

pub(crate) async fn transaction_publishes_at_commit() -> Outcome {
    let (connection, watched) = on_channel().await?;
    let reader = open(&connection).await?;
    let queue = watched.exclusive_queue().await?;
    watched.channel.tx_select().await?;
    watched.send(&queue, &["1", "2"]).await?;
    assert_eq!(watched.take(&queue).await?, None);
    watched.channel.tx_commit().await?;
    assert_eq!(reader.take_all(&queue).await?, ["1", "2"]);
    watched.send(&queue, &["3"]).await?;
    watched.channel.tx_rollback().await?;
    watched.channel.tx_commit().await?;
    assert_eq!(reader.take(&queue).await?, None);
    Ok(connection.close().await?)
}

pub(crate) async fn transaction_settles_at_commit() -> Outcome {
    let (connection, watched) = on_channel().await?;
    let reader = open(&connection).await?;
    let queue = watched.exclusive_queue().await?;
    watched.send(&queue, &["1", "2"]).await?;
    for _ in 0..2 {
        watched.get(&queue).await?;
    }
    watched.channel.tx_select().await?;
    watched.ack(1, false).await?;
    watched.channel.tx_rollback().await?;
    watched.ack(1, false).await?;
    watched.channel.tx_commit().await?;
    watched.ack(2, false).await?;
    // As a rollback: the second comes back.
    watched.channel.close().await?;
    assert_eq!(reader.take(&queue).await?, Some(("2".into(), true)));
    assert_eq!(reader.take(&queue).await?, None);
    Ok(connection.close().await?)
}
