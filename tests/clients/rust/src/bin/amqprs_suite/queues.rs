//! Connections, and declaring, purging and deleting queues.

use amqprs::channel::{
    ExchangeDeclareArguments, QueueDeclareArguments, QueueDeleteArguments, QueuePurgeArguments,
};
use amqprs::connection::{Connection, OpenConnectionArguments};
use amqprs::{BasicProperties, FieldValue};
use haremq_clients::{Outcome, soon, unique};

use crate::kit::{arguments, connect, on_channel, open, table};

pub(crate) async fn server_introduces_itself_as_rabbitmq() -> Outcome {
    let connection = connect().await?;
    let server = connection.server_properties();
    assert_eq!(server.product(), "RabbitMQ");
    assert!(server.capabilities().publisher_confirms() && server.capabilities().basic_nack());
    assert!(server.capabilities().exchange_exchange_bindings());
    Ok(connection.close().await?)
}

pub(crate) async fn connection_closes_and_reopens() -> Outcome {
    for _ in 0..20 {
        let (connection, watched) = on_channel().await?;
        let queue = watched.exclusive_queue().await?;
        watched.send(&queue, &["x"]).await?;
        assert_eq!(watched.take(&queue).await?, Some(("x".into(), false)));
        watched.channel.close().await?;
        connection.close().await?;
    }
    Ok(())
}

/// amqprs does not say that it understands a close for failed authentication.
pub(crate) async fn wrong_password_drops_a_client_without_the_capability() -> Outcome {
    let right = arguments()?;
    let wrong = OpenConnectionArguments::new(right.get_host(), right.get_port(), "guest", "no");
    assert!(soon(Connection::open(&wrong)).await?.is_err(), "let in with a wrong password");
    Ok(())
}

pub(crate) async fn many_channels_work_side_by_side() -> Outcome {
    let connection = connect().await?;
    let mut opened = Vec::new();
    for number in 0..200 {
        let watched = open(&connection).await?;
        let queue = watched.exclusive_queue().await?;
        watched.send(&queue, &[&number.to_string()]).await?;
        opened.push((watched, queue));
    }
    for (number, (watched, queue)) in opened.iter().enumerate() {
        assert_eq!(watched.take(queue).await?, Some((number.to_string(), false)));
    }
    Ok(connection.close().await?)
}

pub(crate) async fn server_names_queues() -> Outcome {
    let (connection, watched) = on_channel().await?;
    let (one, two) = (watched.exclusive_queue().await?, watched.exclusive_queue().await?);
    assert!(one.starts_with("amq.gen-") && one.len() == 30, "{one}");
    assert_ne!(one, two);
    Ok(connection.close().await?)
}

pub(crate) async fn exclusive_queue_is_locked_to_its_connection() -> Outcome {
    let (owner, own) = on_channel().await?;
    let other = connect().await?;
    let queue = own.exclusive_queue().await?;
    let locked = "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue";
    let mut stranger = open(&other).await?;
    assert!(stranger.look(&queue).await.is_err());
    stranger.closed(405, locked).await?;
    let mut stranger = open(&other).await?;
    assert!(stranger.consume(&queue).await.is_err());
    stranger.closed(405, locked).await?;
    let mut stranger = open(&other).await?;
    stranger.confirms().await?;
    stranger.send(&queue, &["hello"]).await?;
    stranger.confirmed(1, 1).await?;
    assert_eq!(own.take(&queue).await?, Some(("hello".into(), false)));
    owner.close().await?;
    Ok(other.close().await?)
}

pub(crate) async fn exclusive_queue_is_gone_after_close_ok() -> Outcome {
    let (owner, own) = on_channel().await?;
    let queue = own.exclusive_queue().await?;
    owner.close().await?;
    let (other, mut watched) = on_channel().await?;
    assert!(watched.look(&queue).await.is_err());
    watched.closed(404, &format!("no queue '{queue}' in vhost '/'")).await?;
    Ok(other.close().await?)
}

pub(crate) async fn auto_delete_queue_goes_with_its_last_consumer() -> Outcome {
    let (connection, mut watched) = on_channel().await?;
    let name = unique("auto-delete");
    watched.channel.queue_declare(QueueDeclareArguments::transient_autodelete(&name)).await?;
    let (first, _one) = watched.consume(&name).await?;
    let (second, _two) = watched.consume(&name).await?;
    watched.cancel(&first).await?;
    assert_eq!(watched.look(&name).await?, (0, 1));
    watched.cancel(&second).await?;
    assert!(watched.look(&name).await.is_err());
    watched.closed(404, &name).await?;
    Ok(connection.close().await?)
}

pub(crate) async fn redeclare_must_be_equivalent() -> Outcome {
    let (connection, setup) = on_channel().await?;
    let name = unique("equivalence");
    let declare = |durable, ttl: FieldValue| -> Outcome<QueueDeclareArguments> {
        let mut declare = QueueDeclareArguments::new(&name);
        Ok(declare.durable(durable).arguments(table(&[("x-message-ttl", ttl)])?).finish())
    };
    setup.channel.queue_declare(declare(true, FieldValue::I(1000))?).await?;
    setup.channel.queue_declare(declare(true, FieldValue::l(1000))?).await?;
    for (durable, ttl, part) in [
        (false, 1000, "inequivalent arg 'durable' for queue"),
        (true, 2000, "received '2000' but current is '1000'"),
    ] {
        let mut watched = open(&connection).await?;
        let declared = watched.channel.queue_declare(declare(durable, FieldValue::I(ttl))?).await;
        assert!(declared.is_err());
        watched.closed(406, part).await?;
    }
    setup.channel.queue_delete(QueueDeleteArguments::new(&name)).await?;
    Ok(connection.close().await?)
}

pub(crate) async fn what_is_missing_is_404() -> Outcome {
    let connection = connect().await?;
    let name = unique("missing");
    let no_queue = format!("NOT_FOUND - no queue '{name}' in vhost '/'");
    let no_exchange = format!("NOT_FOUND - no exchange '{name}' in vhost '/'");
    let mut watched = open(&connection).await?;
    assert!(watched.look(&name).await.is_err());
    watched.closed(404, &no_queue).await?;
    let mut watched = open(&connection).await?;
    assert!(watched.consume(&name).await.is_err());
    watched.closed(404, &no_queue).await?;
    let mut watched = open(&connection).await?;
    let passive = ExchangeDeclareArguments::new(&name, "direct").passive(true).finish();
    assert!(watched.channel.exchange_declare(passive).await.is_err());
    watched.closed(404, &no_exchange).await?;
    let mut watched = open(&connection).await?;
    watched.publish(&name, "", b"x", BasicProperties::default()).await?;
    watched.closed(404, &no_exchange).await?;
    Ok(connection.close().await?)
}

pub(crate) async fn purge_and_delete_count_what_they_drop() -> Outcome {
    let (connection, watched) = on_channel().await?;
    let name = unique("counts");
    watched.channel.queue_declare(QueueDeclareArguments::new(&name)).await?;
    watched.send(&name, &["x"; 10]).await?;
    watched.get(&name).await?;
    let purged = watched.channel.queue_purge(QueuePurgeArguments::new(&name)).await?;
    assert_eq!(purged, Some(9));
    watched.send(&name, &["x"; 3]).await?;
    for count in [3, 0] {
        let deleted = watched.channel.queue_delete(QueueDeleteArguments::new(&name)).await?;
        assert_eq!(deleted, Some(count));
    }
    Ok(connection.close().await?)
}
