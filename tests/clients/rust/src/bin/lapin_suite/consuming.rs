//! Getting, consuming, prefetch and settling.

use futures_util::StreamExt;
use haremq_clients::{Outcome, soon, unique, until};
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicGetOptions, BasicNackOptions,
    BasicQosOptions, BasicRecoverOptions, BasicRejectOptions, QueueDeleteOptions,
};
use lapin::types::FieldTable;

use crate::kit::{
    PLAIN, body, close, consume, exclusive_queue, next_bodies, on_channel, on_confirm_channel,
    ready, refused, send, short, take, take_all,
};

pub(crate) async fn consumer_gets_all_in_order() -> Outcome {
    let (connection, channel) = on_channel().await?;
    let queue = exclusive_queue(&channel).await?;
    let mut consumer = consume(&channel, &queue).await?;
    let expected: Vec<_> = (0..5000).map(|number| number.to_string()).collect();
    let bodies: Vec<_> = expected.iter().map(String::as_str).collect();
    send(&channel, &queue, &bodies).await?;
    assert_eq!(next_bodies(&mut consumer, 5000).await?, expected);
    channel.basic_ack(5000, BasicAckOptions { multiple: true }).await?;
    channel.close(200, short("done")).await?;
    assert_eq!(ready(&connection.create_channel().await?, &queue).await?, 0);
    close(connection).await
}

pub(crate) async fn get_says_how_many_remain() -> Outcome {
    let (connection, channel) = on_channel().await?;
    let queue = exclusive_queue(&channel).await?;
    send(&channel, &queue, &["1", "2", "3"]).await?;
    for remain in [2, 1, 0] {
        let got = channel.basic_get(short(&queue), BasicGetOptions::default()).await?;
        assert_eq!(got.ok_or("the queue is empty")?.message_count, remain);
    }
    assert!(channel.basic_get(short(&queue), BasicGetOptions::default()).await?.is_none());
    close(connection).await
}

pub(crate) async fn prefetch_limits_what_is_unacked() -> Outcome {
    let (connection, channel) = on_confirm_channel().await?;
    let queue = exclusive_queue(&channel).await?;
    send(&channel, &queue, &["x"; 20]).await?;
    channel.basic_qos(5, BasicQosOptions::default()).await?;
    let mut consumer = consume(&channel, &queue).await?;
    next_bodies(&mut consumer, 5).await?;
    assert_eq!(ready(&channel, &queue).await?, 15);
    channel.basic_ack(1, BasicAckOptions::default()).await?;
    next_bodies(&mut consumer, 1).await?;
    channel.basic_ack(6, BasicAckOptions { multiple: true }).await?;
    next_bodies(&mut consumer, 5).await?;
    assert_eq!(ready(&channel, &queue).await?, 9);
    close(connection).await
}

pub(crate) async fn global_prefetch_is_shared() -> Outcome {
    let (connection, channel) = on_confirm_channel().await?;
    let queue = exclusive_queue(&channel).await?;
    channel.basic_qos(3, BasicQosOptions { global: true }).await?;
    let mut consumers = [consume(&channel, &queue).await?, consume(&channel, &queue).await?];
    send(&channel, &queue, &["x"; 10]).await?;
    // In turn: two to the first, one to the second, and no more.
    next_bodies(&mut consumers[0], 2).await?;
    next_bodies(&mut consumers[1], 1).await?;
    assert_eq!(ready(&channel, &queue).await?, 7);
    close(connection).await
}

pub(crate) async fn consumers_take_turns() -> Outcome {
    let (connection, channel) = on_channel().await?;
    let queue = exclusive_queue(&channel).await?;
    let mut consumers = [consume(&channel, &queue).await?, consume(&channel, &queue).await?];
    send(&channel, &queue, &["0", "1", "2", "3", "4", "5"]).await?;
    assert_eq!(next_bodies(&mut consumers[0], 3).await?, ["0", "2", "4"]);
    assert_eq!(next_bodies(&mut consumers[1], 3).await?, ["1", "3", "5"]);
    close(connection).await
}

pub(crate) async fn double_ack_is_406() -> Outcome {
    let (connection, channel) = on_channel().await?;
    let queue = exclusive_queue(&channel).await?;
    let mut consumer = consume(&channel, &queue).await?;
    send(&channel, &queue, &["x"]).await?;
    next_bodies(&mut consumer, 1).await?;
    channel.basic_ack(1, BasicAckOptions::default()).await?;
    channel.basic_ack(1, BasicAckOptions::default()).await?;
    // The consumer is told why its channel was closed.
    let ended = soon(consumer.next()).await?.ok_or("the consumer ended without a reason")?;
    refused(ended, 406, "PRECONDITION_FAILED - unknown delivery tag 1");
    assert_eq!(ready(&connection.create_channel().await?, &queue).await?, 0);
    close(connection).await
}

pub(crate) async fn duplicate_consumer_tag_closes_the_connection() -> Outcome {
    let (connection, channel) = on_channel().await?;
    let queue = exclusive_queue(&channel).await?;
    let consume_again = async || {
        let options = BasicConsumeOptions::default();
        channel.basic_consume(short(&queue), short("twice"), options, FieldTable::default()).await
    };
    let _first = consume_again().await?;
    refused(consume_again().await, 530, "attempt to reuse consumer tag 'twice'");
    until(async || Ok(!connection.status().connected())).await
}

pub(crate) async fn exclusive_consumer_shuts_others_out() -> Outcome {
    let (connection, channel) = on_channel().await?;
    let queue = exclusive_queue(&channel).await?;
    let options = BasicConsumeOptions { exclusive: true, ..Default::default() };
    let first =
        channel.basic_consume(short(&queue), short(""), options, FieldTable::default()).await?;
    let second = consume(&connection.create_channel().await?, &queue).await;
    refused(second, 403, &format!("queue '{queue}' in vhost '/' in exclusive use"));
    channel.basic_cancel(first.tag(), BasicCancelOptions::default()).await?;
    consume(&connection.create_channel().await?, &queue).await?;
    close(connection).await
}

pub(crate) async fn requeued_messages_return_to_their_place() -> Outcome {
    let (connection, channel) = on_confirm_channel().await?;
    let queue = exclusive_queue(&channel).await?;
    for way in ["nack", "reject", "recover", "close"] {
        send(&channel, &queue, &["1", "2", "3", "4"]).await?;
        let own = connection.create_channel().await?;
        for _ in 0..3 {
            own.basic_get(short(&queue), BasicGetOptions::default()).await?;
        }
        match way {
            "nack" => own.basic_nack(3, BasicNackOptions { multiple: true, requeue: true }).await?,
            "reject" => {
                for tag in [3, 1, 2] {
                    own.basic_reject(tag, BasicRejectOptions { requeue: true }).await?;
                }
            }
            "recover" => own.basic_recover(BasicRecoverOptions { requeue: true }).await?,
            _ => {}
        }
        own.close(200, short("done")).await?;
        for expected in [("1", true), ("2", true), ("3", true), ("4", false)] {
            let got = take(&channel, &queue).await?.ok_or("the queue is empty")?;
            assert_eq!((got.0.as_str(), got.1), expected, "after {way}");
        }
    }
    close(connection).await
}

pub(crate) async fn rejected_messages_are_dropped() -> Outcome {
    let (connection, channel) = on_channel().await?;
    let queue = exclusive_queue(&channel).await?;
    send(&channel, &queue, &["1", "2", "3"]).await?;
    for _ in 0..2 {
        channel.basic_get(short(&queue), BasicGetOptions::default()).await?;
    }
    channel.basic_reject(1, BasicRejectOptions { requeue: false }).await?;
    channel.basic_nack(2, BasicNackOptions { multiple: false, requeue: false }).await?;
    assert_eq!(take_all(&channel, &queue).await?, ["3"]);
    close(connection).await
}

pub(crate) async fn recover_redelivers_to_the_consumer() -> Outcome {
    let (connection, channel) = on_channel().await?;
    let queue = exclusive_queue(&channel).await?;
    let mut consumer = consume(&channel, &queue).await?;
    send(&channel, &queue, &["1", "2"]).await?;
    next_bodies(&mut consumer, 2).await?;
    channel.basic_recover(BasicRecoverOptions { requeue: true }).await?;
    for expected in ["1", "2"] {
        let delivery = soon(consumer.next()).await?.ok_or("cancelled")??;
        assert_eq!((body(&delivery.data).as_str(), delivery.redelivered), (expected, true));
    }
    close(connection).await
}

pub(crate) async fn cancel_stops_deliveries_and_keeps_unacked() -> Outcome {
    let (connection, channel) = on_confirm_channel().await?;
    let queue = exclusive_queue(&channel).await?;
    let mut consumer = consume(&channel, &queue).await?;
    send(&channel, &queue, &["1"]).await?;
    next_bodies(&mut consumer, 1).await?;
    channel.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await?;
    send(&channel, &queue, &["2"]).await?;
    assert_eq!(ready(&channel, &queue).await?, 1);
    channel.basic_ack(1, BasicAckOptions::default()).await?;
    assert_eq!(take_all(&channel, &queue).await?, ["2"]);
    close(connection).await
}

pub(crate) async fn deleting_the_queue_cancels_its_consumers() -> Outcome {
    let (connection, channel) = on_channel().await?;
    let name = unique("cancel");
    channel.queue_declare(short(&name), PLAIN, FieldTable::default()).await?;
    let mut consumer = consume(&channel, &name).await?;
    let other = connection.create_channel().await?;
    other.queue_delete(short(&name), QueueDeleteOptions::default()).await?;
    assert!(soon(consumer.next()).await?.is_none(), "the consumer goes on");
    exclusive_queue(&channel).await?;
    close(connection).await
}
