//! Exchanges, bindings and what they route.

use haremq_clients::{Outcome, topic_cases};
use lapin::options::{ExchangeBindOptions, ExchangeDeclareOptions, ExchangeUnbindOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, ExchangeKind};

use crate::kit::{
    bind, bind_with, close, drop_exchange, exchange, exclusive_queue, on_channel,
    on_confirm_channel, publish, refused, short, table, take, take_all, text,
};

pub(crate) async fn topic_patterns_match_as_the_table_says() -> Outcome {
    let (connection, channel) = on_confirm_channel().await?;
    let topic = exchange(&channel, ExchangeKind::Topic).await?;
    let cases = topic_cases();
    let mut queues = Vec::new();
    for (pattern, keys) in &cases {
        let queue = exclusive_queue(&channel).await?;
        bind(&channel, &queue, &topic, pattern).await?;
        queues.push((pattern, keys, queue));
    }
    let keys: std::collections::BTreeSet<_> = cases.values().flat_map(|keys| keys.keys()).collect();
    for key in keys {
        publish(&channel, &topic, key, key.as_bytes(), BasicProperties::default()).await?;
    }
    for (pattern, keys, queue) in queues {
        let got = take_all(&channel, &queue).await?;
        for (key, matches) in keys {
            let is_in = got.iter().any(|body| body == key);
            assert_eq!(is_in, *matches, "pattern '{pattern}', key '{key}'");
        }
    }
    drop_exchange(&channel, &topic).await?;
    close(connection).await
}

pub(crate) async fn headers_match_as_bound() -> Outcome {
    let (connection, channel) = on_confirm_channel().await?;
    let headers = exchange(&channel, ExchangeKind::Headers).await?;
    let one = || AMQPValue::LongInt(1);
    let mut queues = Vec::new();
    for (name, pattern) in [
        ("all", table(&[("x-match", text("all")), ("a", one()), ("b", text("two"))])),
        ("any", table(&[("x-match", text("any")), ("a", one()), ("b", text("two"))])),
        ("present", table(&[("x-match", text("all")), ("a", AMQPValue::Void)])),
    ] {
        let queue = exclusive_queue(&channel).await?;
        bind_with(&channel, &queue, &headers, "", pattern).await?;
        queues.push((name, queue));
    }
    for (sent, expected) in [
        (table(&[("a", one()), ("b", text("two"))]), vec!["all", "any", "present"]),
        // Numbers compare by value, whatever their width on the wire.
        (table(&[("a", AMQPValue::LongLongInt(1))]), vec!["any", "present"]),
        (table(&[("a", text("1"))]), vec!["present"]),
        (table(&[("b", text("two"))]), vec!["any"]),
        (table(&[]), vec![]),
    ] {
        let properties = BasicProperties::default().with_headers(sent.clone());
        publish(&channel, &headers, "ignored", b"x", properties).await?;
        let mut got = Vec::new();
        for (name, queue) in &queues {
            if take(&channel, queue).await?.is_some() {
                got.push(*name);
            }
        }
        assert_eq!(got, expected, "{sent:?}");
    }
    drop_exchange(&channel, &headers).await?;
    close(connection).await
}

pub(crate) async fn fanout_copies_to_every_queue_once() -> Outcome {
    let (connection, channel) = on_confirm_channel().await?;
    let fanout = exchange(&channel, ExchangeKind::Fanout).await?;
    let mut queues = Vec::new();
    for _ in 0..5 {
        let queue = exclusive_queue(&channel).await?;
        bind(&channel, &queue, &fanout, "one").await?;
        bind(&channel, &queue, &fanout, "two").await?;
        queues.push(queue);
    }
    publish(&channel, &fanout, "any", b"copy", BasicProperties::default()).await?;
    for queue in &queues {
        assert_eq!(take_all(&channel, queue).await?, ["copy"]);
    }
    for key in ["one", "two", "never bound"] {
        let (queue, fanout) = (short(&queues[0]), short(&fanout));
        channel.queue_unbind(queue, fanout, short(key), FieldTable::default()).await?;
    }
    publish(&channel, &fanout, "any", b"copy", BasicProperties::default()).await?;
    assert_eq!(take(&channel, &queues[0]).await?, None);
    drop_exchange(&channel, &fanout).await?;
    close(connection).await
}

pub(crate) async fn exchanges_route_to_exchanges() -> Outcome {
    let (connection, channel) = on_confirm_channel().await?;
    let source = exchange(&channel, ExchangeKind::Direct).await?;
    let sink = exchange(&channel, ExchangeKind::Fanout).await?;
    let queue = exclusive_queue(&channel).await?;
    let none = FieldTable::default;
    let options = ExchangeBindOptions::default();
    channel.exchange_bind(short(&sink), short(&source), short("key"), options, none()).await?;
    bind(&channel, &queue, &sink, "").await?;
    publish(&channel, &source, "key", b"through", BasicProperties::default()).await?;
    assert_eq!(take_all(&channel, &queue).await?, ["through"]);
    let options = ExchangeUnbindOptions::default();
    channel.exchange_unbind(short(&sink), short(&source), short("key"), options, none()).await?;
    let unrouted = publish(&channel, &source, "key", b"", BasicProperties::default()).await?;
    assert!(unrouted.take_message().is_some());
    drop_exchange(&channel, &source).await?;
    drop_exchange(&channel, &sink).await?;
    close(connection).await
}

pub(crate) async fn exchange_errors_have_their_codes() -> Outcome {
    let (connection, setup) = on_channel().await?;
    let name = exchange(&setup, ExchangeKind::Direct).await?;
    for (exchange, code, part) in [
        (name.as_str(), 406, "inequivalent arg 'type'"),
        ("amq.mine", 403, "contains reserved prefix 'amq.*'"),
    ] {
        let channel = connection.create_channel().await?;
        let options = ExchangeDeclareOptions::default();
        let declared = channel
            .exchange_declare(short(exchange), ExchangeKind::Fanout, options, FieldTable::default())
            .await;
        refused(declared, code, part);
    }
    drop_exchange(&setup, &name).await?;
    close(connection).await
}
