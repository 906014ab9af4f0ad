//! Getting, consuming, prefetch and settling.

use amqprs::channel::{
    BasicConsumeArguments, BasicNackArguments, BasicQosArguments, BasicRejectArguments,
    QueueDeclareArguments, QueueDeleteArguments,
};
use haremq_clients::{Outcome, soon, unique, until};
use tokio::sync::mpsc::unbounded_channel;

use crate::kit::{Seen, Watch, closed, next_bodies, on_channel, open};

pub(crate) async fn consumer_gets_all_in_order() -> Outcome {
    let (connection, watched) = on_channel().await?;
    let queue = watched.exclusive_queue().await?;
    let (_, mut got) = watched.consume(&queue).await?;
    let expected: Vec<_> = (0..5000).map(|number| number.to_string()).collect();
    let bodies: Vec<_> = expected.iter().map(String::as_str).collect();
    watched.send(&queue, &bodies).await?;
    assert_eq!(next_bodies(&mut got, 5000).await?, expected);
    watched.ack(5000, true).await?;
    watched.channel.close().await?;
    let other = open(&connection).await?;
    assert_eq!(other.look(&queue).await?, (0, 0));
    Ok(connection.close().await?)
}

pub(crate) async fn get_says_how_many_remain() -> Outcome {
    let (connection, watched) = on_channel().await?;
    let queue = watched.exclusive_queue().await?;
    assert_eq!(watched.get(&queue).await?, None);
    watched.send(&queue, &["1", "2", "3"]).await?;
    for expected in [(1, 2), (2, 1), (3, 0)] {
        assert_eq!(watched.get(&queue).await?, Some(expected));
    }
    assert_eq!(watched.get(&queue).await?, None);
    Ok(connection.close().await?)
}

pub(crate) async fn prefetch_limits_what_is_unacked() -> Outcome {
    let (connection, mut watched) = on_channel().await?;
    let queue = watched.exclusive_queue().await?;
    watched.confirms().await?;
    watched.send(&queue, &["x"; 20]).await?;
    watched.confirmed(1, 20).await?;
    watched.channel.basic_qos(BasicQosArguments::new(0, 5, false)).await?;
    let (_, mut got) = watched.consume(&queue).await?;
    next_bodies(&mut got, 5).await?;
    assert_eq!(watched.look(&queue).await?, (15, 1));
    watched.ack(1, false).await?;
    next_bodies(&mut got, 1).await?;
    watched.ack(6, true).await?;
    next_bodies(&mut got, 5).await?;
    assert_eq!(watched.look(&queue).await?, (9, 1));
    Ok(connection.close().await?)
}

pub(crate) async fn consumers_take_turns() -> Outcome {
    let (connection, watched) = on_channel().await?;
    let queue = watched.exclusive_queue().await?;
    let (_, mut first) = watched.consume(&queue).await?;
    let (_, mut second) = watched.consume(&queue).await?;
    watched.send(&queue, &["0", "1", "2", "3", "4", "5"]).await?;
    assert_eq!(next_bodies(&mut first, 3).await?, ["0", "2", "4"]);
    assert_eq!(next_bodies(&mut second, 3).await?, ["1", "3", "5"]);
    Ok(connection.close().await?)
}

pub(crate) async fn double_ack_is_406() -> Outcome {
    let (connection, mut watched) = on_channel().await?;
    let queue = watched.exclusive_queue().await?;
    watched.send(&queue, &["x"]).await?;
    watched.get(&queue).await?;
    watched.ack(1, false).await?;
    watched.ack(1, false).await?;
    watched.closed(406, "PRECONDITION_FAILED - unknown delivery tag 1").await?;
    let other = open(&connection).await?;
    assert_eq!(other.look(&queue).await?, (0, 0));
    Ok(connection.close().await?)
}

pub(crate) async fn duplicate_consumer_tag_closes_the_connection() -> Outcome {
    let (connection, watched) = on_channel().await?;
    let (sender, mut seen) = unbounded_channel();
    connection.register_callback(Watch(sender)).await?;
    let queue = watched.exclusive_queue().await?;
    let twice = || BasicConsumeArguments::new(&queue, "twice");
    let (_, _first) = watched.channel.basic_consume_rx(twice()).await?;
    assert!(soon(watched.channel.basic_consume_rx(twice())).await?.is_err());
    closed(&mut seen, 530, "NOT_ALLOWED - attempt to reuse consumer tag 'twice'").await
}

pub(crate) async fn exclusive_consumer_shuts_others_out() -> Outcome {
    let (connection, watched) = on_channel().await?;
    let queue = watched.exclusive_queue().await?;
    let exclusive = BasicConsumeArguments::new(&queue, "").exclusive(true).finish();
    let (_, _got) = watched.channel.basic_consume_rx(exclusive).await?;
    let mut second = open(&connection).await?;
    assert!(second.consume(&queue).await.is_err());
    second.closed(403, &format!("queue '{queue}' in vhost '/' in exclusive use")).await?;
    Ok(connection.close().await?)
}

pub(crate) async fn requeued_messages_return_to_their_place() -> Outcome {
    let (connection, watched) = on_channel().await?;
    let queue = watched.exclusive_queue().await?;
    for way in ["nack", "reject", "recover", "close"] {
        watched.send(&queue, &["1", "2", "3", "4"]).await?;
        until(async || Ok(watched.look(&queue).await?.0 == 4)).await?;
        let own = open(&connection).await?;
        for _ in 0..3 {
            own.get(&queue).await?;
        }
        match way {
            "nack" => own.channel.basic_nack(BasicNackArguments::new(3, true, true)).await?,
            "reject" => {
                for tag in [3, 1, 2] {
                    own.channel.basic_reject(BasicRejectArguments::new(tag, true)).await?;
                }
            }
            "recover" => own.channel.basic_recover(true).await?,
            _ => {}
        }
        own.channel.close().await?;
        for expected in [("1", true), ("2", true), ("3", true), ("4", false)] {
            let got = watched.take(&queue).await?.ok_or("the queue is empty")?;
            assert_eq!((got.0.as_str(), got.1), expected, "after {way}");
        }
    }
    Ok(connection.close().await?)
}

pub(crate) async fn rejected_messages_are_dropped() -> Outcome {
    let (connection, watched) = on_channel().await?;
    let queue = watched.exclusive_queue().await?;
    watched.send(&queue, &["1", "2", "3"]).await?;
    for _ in 0..2 {
        watched.get(&queue).await?;
    }
    watched.channel.basic_reject(BasicRejectArguments::new(1, false)).await?;
    watched.channel.basic_nack(BasicNackArguments::new(2, false, false)).await?;
    assert_eq!(watched.take_all(&queue).await?, ["3"]);
    Ok(connection.close().await?)
}

pub(crate) async fn cancel_stops_deliveries_and_keeps_unacked() -> Outcome {
    let (connection, watched) = on_channel().await?;
    let queue = watched.exclusive_queue().await?;
    let (tag, mut got) = watched.consume(&queue).await?;
    watched.send(&queue, &["1"]).await?;
    next_bodies(&mut got, 1).await?;
    watched.cancel(&tag).await?;
    watched.send(&queue, &["2"]).await?;
    watched.ack(1, false).await?;
    assert_eq!(watched.take_all(&queue).await?, ["2"]);
    Ok(connection.close().await?)
}

pub(crate) async fn deleting_the_queue_cancels_its_consumers() -> Outcome {
    let (connection, mut watched) = on_channel().await?;
    let name = unique("cancel");
    watched.channel.queue_declare(QueueDeclareArguments::new(&name)).await?;
    let (tag, _got) = watched.consume(&name).await?;
    let other = open(&connection).await?;
    other.channel.queue_delete(QueueDeleteArguments::new(&name)).await?;
    assert_eq!(watched.next().await?, Seen::Cancelled { tag });
    watched.exclusive_queue().await?;
    Ok(connection.close().await?)
}
