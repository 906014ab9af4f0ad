//! Confirms, returns, bodies and properties.

use futures_util::StreamExt;
use haremq_clients::{Outcome, bodies_of_all_sizes, soon, unique};
use lapin::options::{BasicAckOptions, BasicGetOptions, BasicNackOptions, BasicPublishOptions};
use lapin::types::{AMQPValue, DecimalValue};
use lapin::{BasicProperties, Confirmation};

use crate::kit::{
    body, close, consume, exclusive_queue, on_confirm_channel, publish, short, table, take_all,
    text,
};

pub(crate) async fn pipelined_publishes_are_all_confirmed() -> Outcome {
    let (connection, channel) = on_confirm_channel().await?;
    let queue = exclusive_queue(&channel).await?;
    let mut confirms = Vec::new();
    let expected: Vec<_> = (0..2000).map(|number| number.to_string()).collect();
    for (body, delivery_mode) in expected.iter().zip([1, 2].into_iter().cycle()) {
        let options = BasicPublishOptions::default();
        let properties = BasicProperties::default().with_delivery_mode(delivery_mode);
        confirms.push(
            channel
                .basic_publish(short(""), short(&queue), options, body.as_bytes(), properties)
                .await?,
        );
    }
    for confirm in confirms {
        assert_eq!(confirm.await?, Confirmation::Ack(None));
    }
    assert_eq!(take_all(&channel, &queue).await?, expected);
    close(connection).await
}

pub(crate) async fn mandatory_message_is_returned_before_its_ack() -> Outcome {
    let (connection, channel) = on_confirm_channel().await?;
    let nowhere = unique("nowhere");
    let properties = BasicProperties::default().with_message_id(short("m"));
    // The return is part of the confirmation only if it arrives before the ack.
    let confirmation = publish(&channel, "amq.direct", &nowhere, b"back", properties).await?;
    let Confirmation::Ack(Some(returned)) = confirmation else { panic!("{confirmation:?}") };
    assert_eq!((returned.reply_code, returned.reply_text.as_str()), (312, "NO_ROUTE"));
    assert_eq!(returned.exchange.as_str(), "amq.direct");
    assert_eq!(returned.routing_key.as_str(), nowhere);
    assert_eq!(returned.properties.message_id(), &Some(short("m")));
    assert_eq!(body(&returned.data), "back");
    close(connection).await
}

pub(crate) async fn bodies_of_all_sizes_survive() -> Outcome {
    let (connection, channel) = on_confirm_channel().await?;
    let queue = exclusive_queue(&channel).await?;
    let mut consumer = consume(&channel, &queue).await?;
    let frame_max = connection.configuration().frame_max() as usize;
    for sent in bodies_of_all_sizes(frame_max) {
        publish(&channel, "", &queue, &sent, BasicProperties::default()).await?;
        let delivery = soon(consumer.next()).await?.ok_or("cancelled")??;
        assert!(delivery.data == sent, "a body of {} bytes changed", sent.len());
        delivery.nack(BasicNackOptions { requeue: true, multiple: false }).await?;
        let delivery = soon(consumer.next()).await?.ok_or("cancelled")??;
        assert!(delivery.redelivered && delivery.data == sent);
        delivery.ack(BasicAckOptions::default()).await?;
    }
    close(connection).await
}

pub(crate) async fn properties_and_nested_headers_survive() -> Outcome {
    let headers = table(&[
        ("bool", AMQPValue::Boolean(true)),
        ("i8", AMQPValue::ShortShortInt(-8)),
        ("u8", AMQPValue::ShortShortUInt(200)),
        ("i16", AMQPValue::ShortInt(-1600)),
        ("u16", AMQPValue::ShortUInt(60000)),
        ("i32", AMQPValue::LongInt(-320_000)),
        ("u32", AMQPValue::LongUInt(4_000_000_000)),
        ("i64", AMQPValue::LongLongInt(-(1 << 40))),
        ("float", AMQPValue::Float(0.5)),
        ("double", AMQPValue::Double(0.25)),
        ("decimal", AMQPValue::DecimalValue(DecimalValue { scale: 2, value: 314 })),
        ("text", text("straße")),
        ("bytes", AMQPValue::ByteArray(vec![0, 255, 206].into())),
        ("time", AMQPValue::Timestamp(1_700_000_000)),
        ("void", AMQPValue::Void),
        ("list", AMQPValue::FieldArray(vec![AMQPValue::LongInt(1), text("two")].into())),
        ("table", AMQPValue::FieldTable(table(&[("deep", text("er"))]))),
    ]);
    let sent = BasicProperties::default()
        .with_content_type(short("text/plain"))
        .with_content_encoding(short("utf-8"))
        .with_headers(headers)
        .with_delivery_mode(2)
        .with_priority(5)
        .with_correlation_id(short("correlation"))
        .with_reply_to(short("reply"))
        .with_expiration(short("60000"))
        .with_message_id(short("message"))
        .with_timestamp(1_700_000_000)
        .with_type(short("type"))
        .with_user_id(short("guest"))
        .with_app_id(short("app"))
        .with_cluster_id(short("cluster"));
    let (connection, channel) = on_confirm_channel().await?;
    let queue = exclusive_queue(&channel).await?;
    for properties in [sent, BasicProperties::default()] {
        publish(&channel, "", &queue, b"x", properties.clone()).await?;
        let got = channel.basic_get(short(&queue), BasicGetOptions { no_ack: true }).await?;
        assert_eq!(got.ok_or("the message is missing")?.properties, properties);
    }
    close(connection).await
}
