//! Confirms, returns, bodies and properties.

use amqprs::channel::BasicGetArguments;
use amqprs::{BasicProperties, FieldTable, FieldValue};
use haremq_clients::{Outcome, bodies_of_all_sizes, soon, unique};

use crate::kit::{Seen, on_channel, table, text};

pub(crate) async fn every_publish_is_confirmed_once() -> Outcome {
    let (connection, mut watched) = on_channel().await?;
    watched.confirms().await?;
    let queue = watched.exclusive_queue().await?;
    let expected: Vec<_> = (0..2000).map(|number| number.to_string()).collect();
    let bodies: Vec<_> = expected.iter().map(String::as_str).collect();
    watched.send(&queue, &bodies).await?;
    watched.confirmed(1, 2000).await?;
    assert_eq!(watched.take_all(&queue).await?, expected);
    Ok(connection.close().await?)
}

pub(crate) async fn mandatory_message_is_returned_before_its_ack() -> Outcome {
    let (connection, mut watched) = on_channel().await?;
    watched.confirms().await?;
    let nowhere = unique("nowhere");
    watched.publish("amq.direct", &nowhere, b"back", BasicProperties::default()).await?;
    let returned =
        Seen::Returned { code: 312, text: "NO_ROUTE".into(), key: nowhere, body: b"back".to_vec() };
    assert_eq!(watched.next().await?, returned);
    assert_eq!(watched.next().await?, Seen::Acked { tag: 1, multiple: false });
    Ok(connection.close().await?)
}

pub(crate) async fn bodies_of_all_sizes_survive() -> Outcome {
    let (connection, watched) = on_channel().await?;
    let queue = watched.exclusive_queue().await?;
    let (_, mut got) = watched.consume(&queue).await?;
    for sent in bodies_of_all_sizes(connection.frame_max() as usize) {
        watched.publish("", &queue, &sent, BasicProperties::default()).await?;
        let message = soon(got.recv()).await?.ok_or("the consumer ended")?;
        let body = message.content.ok_or("a delivery without content")?;
        assert!(body == sent, "a body of {} bytes changed", sent.len());
    }
    Ok(connection.close().await?)
}

pub(crate) async fn properties_and_nested_headers_survive() -> Outcome {
    let headers = table(&[
        ("bool", FieldValue::t(true)),
        ("i8", FieldValue::b(-8)),
        ("u8", FieldValue::B(200)),
        ("i16", FieldValue::s(-1600)),
        ("u16", FieldValue::u(60000)),
        ("i32", FieldValue::I(-320_000)),
        ("u32", FieldValue::i(4_000_000_000)),
        ("i64", FieldValue::l(-(1 << 40))),
        ("float", FieldValue::f(0.5)),
        ("double", FieldValue::d(0.25)),
        ("text", text("straße")),
        ("time", FieldValue::T(1_700_000_000)),
        ("void", FieldValue::V),
        ("list", FieldValue::A(vec![FieldValue::I(1), text("two")].try_into()?)),
        ("table", FieldValue::F(table(&[("deep", text("er"))])?)),
    ])?;
    let sent = BasicProperties::default()
        .with_content_type("text/plain")
        .with_content_encoding("utf-8")
        .with_headers(headers)
        .with_delivery_mode(2)
        .with_priority(5)
        .with_correlation_id("correlation")
        .with_reply_to("reply")
        .with_expiration("60000")
        .with_message_id("message")
        .with_timestamp(1_700_000_000)
        .with_message_type("type")
        .with_user_id("guest")
        .with_app_id("app")
        .with_cluster_id("cluster")
        .finish();
    let (connection, watched) = on_channel().await?;
    let queue = watched.exclusive_queue().await?;
    watched.publish("", &queue, b"x", sent.clone()).await?;
    let got = watched.channel.basic_get(BasicGetArguments::new(&queue)).await?;
    let (_, got, _) = got.ok_or("the message is missing")?;
    assert_eq!(got.headers(), sent.headers());
    // Tables have no order in amqprs: without them, what is printed can be compared.
    let bare = |properties: &BasicProperties| {
        format!("{:?}", properties.clone().with_headers(FieldTable::new()).finish())
    };
    assert_eq!(bare(&got), bare(&sent));
    Ok(connection.close().await?)
}
