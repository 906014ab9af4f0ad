//! lapin: the Rust client that most applications use.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use haremq_clients::{Outcome, bodies_of_all_sizes, soon, suite, topic_cases, unique, until, uri};
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicGetOptions, BasicNackOptions,
    BasicPublishOptions, BasicQosOptions, BasicRecoverOptions, BasicRejectOptions,
    ConfirmSelectOptions, ExchangeBindOptions, ExchangeDeclareOptions, ExchangeDeleteOptions,
    ExchangeUnbindOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
    QueuePurgeOptions,
};
use lapin::types::{AMQPValue, DecimalValue, FieldTable, ShortString};
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer, ErrorKind,
    ExchangeKind, Queue,
};

suite!("lapin":
    connection_closes_and_reopens,
    wrong_password_is_403,
    many_channels_work_side_by_side,
    server_names_queues,
    exclusive_queue_is_locked_to_its_connection,
    exclusive_queue_is_gone_after_close_ok,
    auto_delete_queue_goes_with_its_last_consumer,
    redeclare_must_be_equivalent,
    what_is_missing_is_404,
    purge_and_delete_count_what_they_drop,
    nowait_methods_take_effect,
    pipelined_publishes_are_all_confirmed,
    mandatory_message_is_returned_before_its_ack,
    bodies_of_all_sizes_survive,
    properties_and_nested_headers_survive,
    topic_patterns_match_as_the_table_says,
    headers_match_as_bound,
    fanout_copies_to_every_queue_once,
    exchanges_route_to_exchanges,
    exchange_errors_have_their_codes,
    consumer_gets_all_in_order,
    get_says_how_many_remain,
    prefetch_limits_what_is_unacked,
    global_prefetch_is_shared,
    consumers_take_turns,
    double_ack_is_406,
    duplicate_consumer_tag_closes_the_connection,
    exclusive_consumer_shuts_others_out,
    requeued_messages_return_to_their_place,
    rejected_messages_are_dropped,
    recover_redelivers_to_the_consumer,
    cancel_stops_deliveries_and_keeps_unacked,
    deleting_the_queue_cancels_its_consumers,
    messages_expire_on_time,
    unused_queue_expires,
    transaction_publishes_at_commit,
    transaction_settles_at_commit,
);

// --- What the checks are written with -----------------------------------------------------------

async fn connect() -> Outcome<Connection> {
    Ok(Connection::connect(&uri(), ConnectionProperties::default()).await?)
}

/// Closes the connection; that a channel dropped before is only just closing is no error.
async fn close(connection: Connection) -> Outcome {
    match connection.close(200, "done".into()).await {
        Err(error) if matches!(error.kind(), ErrorKind::InvalidChannelState(..)) => Ok(()),
        closed => Ok(closed?),
    }
}

async fn on_channel() -> Outcome<(Connection, Channel)> {
    let connection = connect().await?;
    let channel = connection.create_channel().await?;
    Ok((connection, channel))
}

async fn on_confirm_channel() -> Outcome<(Connection, Channel)> {
    let (connection, channel) = on_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok((connection, channel))
}

fn table(pairs: &[(&str, AMQPValue)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (key, value) in pairs {
        table.insert((*key).into(), value.clone());
    }
    table
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

fn short(value: &str) -> ShortString {
    value.into()
}

const EXCLUSIVE: QueueDeclareOptions = QueueDeclareOptions {
    passive: false,
    durable: false,
    exclusive: true,
    auto_delete: false,
    nowait: false,
};
const PASSIVE: QueueDeclareOptions =
    QueueDeclareOptions { passive: true, exclusive: false, ..EXCLUSIVE };
const PLAIN: QueueDeclareOptions = QueueDeclareOptions { exclusive: false, ..EXCLUSIVE };

async fn exclusive_queue(channel: &Channel) -> Outcome<String> {
    exclusive_queue_with(channel, FieldTable::default()).await
}

async fn exclusive_queue_with(channel: &Channel, arguments: FieldTable) -> Outcome<String> {
    let queue = channel.queue_declare(short(""), EXCLUSIVE, arguments).await?;
    Ok(queue.name().to_string())
}

async fn look(channel: &Channel, queue: &str) -> lapin::Result<Queue> {
    channel.queue_declare(queue.into(), PASSIVE, FieldTable::default()).await
}

async fn ready(channel: &Channel, queue: &str) -> Outcome<u32> {
    Ok(look(channel, queue).await?.message_count())
}

/// Publishes and, on a confirm channel, waits for the confirm.
async fn send(channel: &Channel, queue: &str, bodies: &[&str]) -> Outcome {
    for body in bodies {
        publish(channel, "", queue, body.as_bytes(), BasicProperties::default()).await?;
    }
    Ok(())
}

async fn publish(
    channel: &Channel,
    exchange: &str,
    key: &str,
    body: &[u8],
    properties: BasicProperties,
) -> Outcome<Confirmation> {
    let options = BasicPublishOptions { mandatory: true, ..Default::default() };
    let confirm =
        channel.basic_publish(exchange.into(), key.into(), options, body, properties).await?;
    Ok(confirm.await?)
}

async fn take(channel: &Channel, queue: &str) -> Outcome<Option<(String, bool)>> {
    let got = channel.basic_get(queue.into(), BasicGetOptions { no_ack: true }).await?;
    Ok(got.map(|message| (body(&message.data), message.redelivered)))
}

async fn take_all(channel: &Channel, queue: &str) -> Outcome<Vec<String>> {
    let mut bodies = Vec::new();
    while let Some((body, _)) = take(channel, queue).await? {
        bodies.push(body);
    }
    Ok(bodies)
}

fn body(data: &[u8]) -> String {
    String::from_utf8_lossy(data).into_owned()
}

async fn consume(channel: &Channel, queue: &str) -> lapin::Result<Consumer> {
    let options = BasicConsumeOptions::default();
    channel.basic_consume(queue.into(), short(""), options, FieldTable::default()).await
}

async fn next_bodies(consumer: &mut Consumer, count: usize) -> Outcome<Vec<String>> {
    let mut bodies = Vec::new();
    for _ in 0..count {
        let delivery = soon(consumer.next()).await?.ok_or("the consumer was cancelled")??;
        bodies.push(body(&delivery.data));
    }
    Ok(bodies)
}

/// The result must be the broker's refusal with this code and text.
#[track_caller]
fn refused<T>(result: lapin::Result<T>, code: u16, part: &str) {
    let Err(error) = result else { panic!("the broker did not answer with {code}") };
    let ErrorKind::ProtocolError(error) = error.kind() else { panic!("{error}") };
    assert_eq!(error.get_id(), code, "{error}");
    assert!(error.get_message().as_str().contains(part), "{error}");
}

async fn bind(channel: &Channel, queue: &str, exchange: &str, key: &str) -> Outcome {
    bind_with(channel, queue, exchange, key, FieldTable::default()).await
}

async fn bind_with(
    channel: &Channel,
    queue: &str,
    exchange: &str,
    key: &str,
    arguments: FieldTable,
) -> Outcome {
    let options = QueueBindOptions::default();
    channel.queue_bind(queue.into(), exchange.into(), key.into(), options, arguments).await?;
    Ok(())
}

async fn exchange(channel: &Channel, kind: ExchangeKind) -> Outcome<String> {
    let name = unique("exchange");
    let options = ExchangeDeclareOptions::default();
    channel.exchange_declare(short(&name), kind, options, FieldTable::default()).await?;
    Ok(name)
}

async fn drop_exchange(channel: &Channel, name: &str) -> Outcome {
    Ok(channel.exchange_delete(name.into(), ExchangeDeleteOptions::default()).await?)
}

// --- Connections and queues ---------------------------------------------------------------------

async fn connection_closes_and_reopens() -> Outcome {
    for _ in 0..20 {
        let (connection, channel) = on_channel().await?;
        let queue = exclusive_queue(&channel).await?;
        send(&channel, &queue, &["x"]).await?;
        assert_eq!(take(&channel, &queue).await?, Some(("x".into(), false)));
        close(connection).await?;
    }
    Ok(())
}

async fn wrong_password_is_403() -> Outcome {
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

async fn many_channels_work_side_by_side() -> Outcome {
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

async fn server_names_queues() -> Outcome {
    let (connection, channel) = on_channel().await?;
    let (one, two) = (exclusive_queue(&channel).await?, exclusive_queue(&channel).await?);
    assert!(one.starts_with("amq.gen-") && one.len() == 30, "{one}");
    assert_ne!(one, two);
    // The empty name stands for the queue that was declared last.
    send(&channel, &two, &["last"]).await?;
    assert_eq!(take(&channel, "").await?, Some(("last".into(), false)));
    close(connection).await
}

async fn exclusive_queue_is_locked_to_its_connection() -> Outcome {
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

async fn exclusive_queue_is_gone_after_close_ok() -> Outcome {
    let (owner, own) = on_channel().await?;
    let queue = exclusive_queue(&own).await?;
    close(owner).await?;
    let (other, channel) = on_channel().await?;
    refused(look(&channel, &queue).await, 404, &format!("no queue '{queue}' in vhost '/'"));
    close(other).await
}

async fn auto_delete_queue_goes_with_its_last_consumer() -> Outcome {
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

async fn redeclare_must_be_equivalent() -> Outcome {
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

async fn what_is_missing_is_404() -> Outcome {
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

async fn purge_and_delete_count_what_they_drop() -> Outcome {
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
async fn nowait_methods_take_effect() -> Outcome {
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

// --- Publishing ---------------------------------------------------------------------------------

async fn pipelined_publishes_are_all_confirmed() -> Outcome {
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

async fn mandatory_message_is_returned_before_its_ack() -> Outcome {
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

async fn bodies_of_all_sizes_survive() -> Outcome {
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

async fn properties_and_nested_headers_survive() -> Outcome {
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

// --- Exchanges and routing ----------------------------------------------------------------------

async fn topic_patterns_match_as_the_table_says() -> Outcome {
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

async fn headers_match_as_bound() -> Outcome {
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

async fn fanout_copies_to_every_queue_once() -> Outcome {
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

async fn exchanges_route_to_exchanges() -> Outcome {
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

async fn exchange_errors_have_their_codes() -> Outcome {
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

// --- Consuming and settling ---------------------------------------------------------------------

async fn consumer_gets_all_in_order() -> Outcome {
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

async fn get_says_how_many_remain() -> Outcome {
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

async fn prefetch_limits_what_is_unacked() -> Outcome {
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

async fn global_prefetch_is_shared() -> Outcome {
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

async fn consumers_take_turns() -> Outcome {
    let (connection, channel) = on_channel().await?;
    let queue = exclusive_queue(&channel).await?;
    let mut consumers = [consume(&channel, &queue).await?, consume(&channel, &queue).await?];
    send(&channel, &queue, &["0", "1", "2", "3", "4", "5"]).await?;
    assert_eq!(next_bodies(&mut consumers[0], 3).await?, ["0", "2", "4"]);
    assert_eq!(next_bodies(&mut consumers[1], 3).await?, ["1", "3", "5"]);
    close(connection).await
}

async fn double_ack_is_406() -> Outcome {
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

async fn duplicate_consumer_tag_closes_the_connection() -> Outcome {
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

async fn exclusive_consumer_shuts_others_out() -> Outcome {
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

async fn requeued_messages_return_to_their_place() -> Outcome {
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

async fn rejected_messages_are_dropped() -> Outcome {
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

async fn recover_redelivers_to_the_consumer() -> Outcome {
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

async fn cancel_stops_deliveries_and_keeps_unacked() -> Outcome {
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

async fn deleting_the_queue_cancels_its_consumers() -> Outcome {
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

// --- Time to live, transactions -----------------------------------------------------------------

async fn messages_expire_on_time() -> Outcome {
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

async fn unused_queue_expires() -> Outcome {
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

async fn transaction_publishes_at_commit() -> Outcome {
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

async fn transaction_settles_at_commit() -> Outcome {
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
