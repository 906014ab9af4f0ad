//! Exchanges, bindings and what they route.

use amqprs::channel::{
    ExchangeBindArguments, ExchangeDeclareArguments, ExchangeUnbindArguments, QueueUnbindArguments,
};
use amqprs::{BasicProperties, FieldTable, FieldValue};
use haremq_clients::{Outcome, topic_cases};

use crate::kit::{Seen, on_channel, open, table, text};

pub(crate) async fn topic_patterns_match_as_the_table_says() -> Outcome {
    let (connection, watched) = on_channel().await?;
    let topic = watched.exchange("topic").await?;
    let cases = topic_cases();
    let mut queues = Vec::new();
    for (pattern, keys) in &cases {
        let queue = watched.exclusive_queue().await?;
        watched.bind(&queue, &topic, pattern, FieldTable::new()).await?;
        queues.push((pattern, keys, queue));
    }
    let keys: std::collections::BTreeSet<_> = cases.values().flat_map(|keys| keys.keys()).collect();
    for key in keys {
        watched.publish(&topic, key, key.as_bytes(), BasicProperties::default()).await?;
    }
    for (pattern, keys, queue) in queues {
        let got = watched.take_all(&queue).await?;
        for (key, matches) in keys {
            let is_in = got.iter().any(|body| body == key);
            assert_eq!(is_in, *matches, "pattern '{pattern}', key '{key}'");
        }
    }
    watched.drop_exchange(&topic).await?;
    Ok(connection.close().await?)
}

pub(crate) async fn headers_match_as_bound() -> Outcome {
    let (connection, watched) = on_channel().await?;
    let exchange = watched.exchange("headers").await?;
    let one = || FieldValue::I(1);
    let mut queues = Vec::new();
    for (name, pattern) in [
        ("all", table(&[("x-match", text("all")), ("a", one()), ("b", text("two"))])?),
        ("any", table(&[("x-match", text("any")), ("a", one()), ("b", text("two"))])?),
        ("present", table(&[("x-match", text("all")), ("a", FieldValue::V)])?),
    ] {
        let queue = watched.exclusive_queue().await?;
        watched.bind(&queue, &exchange, "", pattern).await?;
        queues.push((name, queue));
    }
    for (sent, expected) in [
        (table(&[("a", one()), ("b", text("two"))])?, vec!["all", "any", "present"]),
        (table(&[("a", FieldValue::l(1))])?, vec!["any", "present"]),
        (table(&[("a", text("1"))])?, vec!["present"]),
        (table(&[("b", text("two"))])?, vec!["any"]),
        (table(&[])?, vec![]),
    ] {
        let properties = BasicProperties::default().with_headers(sent.clone()).finish();
        watched.publish(&exchange, "ignored", b"x", properties).await?;
        let mut got = Vec::new();
        for (name, queue) in &queues {
            if watched.take(queue).await?.is_some() {
                got.push(*name);
            }
        }
        assert_eq!(got, expected, "{sent:?}");
    }
    watched.drop_exchange(&exchange).await?;
    Ok(connection.close().await?)
}

pub(crate) async fn fanout_copies_to_every_queue_once() -> Outcome {
    let (connection, watched) = on_channel().await?;
    let fanout = watched.exchange("fanout").await?;
    let mut queues = Vec::new();
    for _ in 0..5 {
        let queue = watched.exclusive_queue().await?;
        watched.bind(&queue, &fanout, "one", FieldTable::new()).await?;
        watched.bind(&queue, &fanout, "two", FieldTable::new()).await?;
        queues.push(queue);
    }
    watched.publish(&fanout, "any", b"copy", BasicProperties::default()).await?;
    for queue in &queues {
        assert_eq!(watched.take_all(queue).await?, ["copy"]);
    }
    for key in ["one", "two", "never bound"] {
        let unbind = QueueUnbindArguments::new(&queues[0], &fanout, key);
        watched.channel.queue_unbind(unbind).await?;
    }
    watched.publish(&fanout, "any", b"copy", BasicProperties::default()).await?;
    assert_eq!(watched.take(&queues[0]).await?, None);
    watched.drop_exchange(&fanout).await?;
    Ok(connection.close().await?)
}

pub(crate) async fn exchanges_route_to_exchanges() -> Outcome {
    let (connection, mut watched) = on_channel().await?;
    let source = watched.exchange("direct").await?;
    let sink = watched.exchange("fanout").await?;
    let queue = watched.exclusive_queue().await?;
    let bind = ExchangeBindArguments::new(&sink, &source, "key");
    watched.channel.exchange_bind(bind).await?;
    watched.bind(&queue, &sink, "", FieldTable::new()).await?;
    watched.publish(&source, "key", b"through", BasicProperties::default()).await?;
    assert_eq!(watched.take_all(&queue).await?, ["through"]);
    let unbind = ExchangeUnbindArguments::new(&sink, &source, "key");
    watched.channel.exchange_unbind(unbind).await?;
    watched.publish(&source, "key", b"unbound", BasicProperties::default()).await?;
    assert!(matches!(watched.next().await?, Seen::Returned { code: 312, .. }));
    watched.drop_exchange(&source).await?;
    watched.drop_exchange(&sink).await?;
    Ok(connection.close().await?)
}

pub(crate) async fn exchange_errors_have_their_codes() -> Outcome {
    let (connection, setup) = on_channel().await?;
    let name = setup.exchange("direct").await?;
    for (exchange, code, part) in [
        (name.as_str(), 406, "inequivalent arg 'type'"),
        ("amq.mine", 403, "contains reserved prefix 'amq.*'"),
    ] {
        let mut watched = open(&connection).await?;
        let declare = ExchangeDeclareArguments::new(exchange, "fanout");
        assert!(watched.channel.exchange_declare(declare).await.is_err());
        watched.closed(code, part).await?;
    }
    setup.drop_exchange(&name).await?;
    Ok(connection.close().await?)
}
