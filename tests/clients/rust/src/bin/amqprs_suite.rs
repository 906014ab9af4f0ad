//! amqprs: a Rust client with callbacks instead of results for what the broker does by itself.

use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use amqprs::callbacks::{ChannelCallback, ConnectionCallback};
use amqprs::channel::{
    BasicAckArguments, BasicCancelArguments, BasicConsumeArguments, BasicGetArguments,
    BasicNackArguments, BasicPublishArguments, BasicQosArguments, BasicRejectArguments, Channel,
    ConfirmSelectArguments, ConsumerMessage, ExchangeBindArguments, ExchangeDeclareArguments,
    ExchangeDeleteArguments, ExchangeUnbindArguments, QueueBindArguments, QueueDeclareArguments,
    QueueDeleteArguments, QueuePurgeArguments, QueueUnbindArguments,
};
use amqprs::connection::{Connection, OpenConnectionArguments};
use amqprs::{
    Ack, BasicProperties, Cancel, Close, CloseChannel, FieldTable, FieldValue, Nack, Return,
};
use async_trait::async_trait;
use haremq_clients::{Outcome, bodies_of_all_sizes, soon, suite, topic_cases, unique, until, uri};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

suite!("amqprs":
    server_introduces_itself_as_rabbitmq,
    connection_closes_and_reopens,
    wrong_password_drops_a_client_without_the_capability,
    many_channels_work_side_by_side,
    server_names_queues,
    exclusive_queue_is_locked_to_its_connection,
    exclusive_queue_is_gone_after_close_ok,
    auto_delete_queue_goes_with_its_last_consumer,
    redeclare_must_be_equivalent,
    what_is_missing_is_404,
    purge_and_delete_count_what_they_drop,
    every_publish_is_confirmed_once,
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
    consumers_take_turns,
    double_ack_is_406,
    duplicate_consumer_tag_closes_the_connection,
    exclusive_consumer_shuts_others_out,
    requeued_messages_return_to_their_place,
    rejected_messages_are_dropped,
    cancel_stops_deliveries_and_keeps_unacked,
    deleting_the_queue_cancels_its_consumers,
    messages_expire_on_time,
    unused_queue_expires,
    transaction_publishes_at_commit,
    transaction_settles_at_commit,
);

// --- What the checks are written with -----------------------------------------------------------

/// What the broker does by itself, in the order in which amqprs tells it.
#[derive(Debug, PartialEq)]
enum Seen {
    Closed { code: u16, text: String },
    Cancelled { tag: String },
    Acked { tag: u64, multiple: bool },
    Nacked { tag: u64 },
    Returned { code: u16, text: String, key: String, body: Vec<u8> },
}

struct Watch(UnboundedSender<Seen>);

impl Watch {
    fn tell(&self, seen: Seen) {
        // A check that has ended no longer listens.
        let _ = self.0.send(seen);
    }
}

#[async_trait]
impl ChannelCallback for Watch {
    async fn close(
        &mut self,
        _: &Channel,
        close: CloseChannel,
    ) -> Result<(), amqprs::error::Error> {
        self.tell(Seen::Closed { code: close.reply_code(), text: close.reply_text().clone() });
        Ok(())
    }

    async fn cancel(&mut self, _: &Channel, cancel: Cancel) -> Result<(), amqprs::error::Error> {
        self.tell(Seen::Cancelled { tag: cancel.consumer_tag().clone() });
        Ok(())
    }

    async fn flow(&mut self, _: &Channel, active: bool) -> Result<bool, amqprs::error::Error> {
        Ok(active)
    }

    async fn publish_ack(&mut self, _: &Channel, ack: Ack) {
        self.tell(Seen::Acked { tag: ack.delivery_tag(), multiple: ack.mutiple() });
    }

    async fn publish_nack(&mut self, _: &Channel, nack: Nack) {
        self.tell(Seen::Nacked { tag: nack.delivery_tag() });
    }

    async fn publish_return(
        &mut self,
        _: &Channel,
        returned: Return,
        _: BasicProperties,
        body: Vec<u8>,
    ) {
        self.tell(Seen::Returned {
            code: returned.reply_code(),
            text: returned.reply_text().clone(),
            key: returned.routing_key().clone(),
            body,
        });
    }
}

#[async_trait]
impl ConnectionCallback for Watch {
    async fn close(&mut self, _: &Connection, close: Close) -> Result<(), amqprs::error::Error> {
        self.tell(Seen::Closed { code: close.reply_code(), text: close.reply_text().clone() });
        Ok(())
    }

    async fn blocked(&mut self, _: &Connection, _: String) {}

    async fn unblocked(&mut self, _: &Connection) {}

    async fn secret_updated(&mut self, _: &Connection) {}
}

/// What the broker proposes and amqprs takes.
const CHANNEL_MAX: u16 = 2047;

/// A channel and what is seen on it.
struct Watched {
    channel: Channel,
    seen: UnboundedReceiver<Seen>,
}

fn arguments() -> Outcome<OpenConnectionArguments> {
    let uri = uri();
    let rest = uri.strip_prefix("amqp://").ok_or("the address is no amqp:// one")?;
    let (user, rest) = rest.split_once('@').unwrap_or(("guest:guest", rest));
    let (name, password) = user.split_once(':').ok_or("the address has no password")?;
    let host = rest.split('/').next().expect("a split has at least one part");
    let (host, port) = host.split_once(':').unwrap_or((host, "5672"));
    Ok(OpenConnectionArguments::new(host, port.parse()?, name, password))
}

async fn connect() -> Outcome<Connection> {
    Ok(Connection::open(&arguments()?).await?)
}

/// Opens a channel. Its number is new to the connection, for amqprs tells of a close before it
/// answers it; and it is to be kept, for a dropped one closes while the connection may.
async fn open(connection: &Connection) -> Outcome<Watched> {
    static COUNT: AtomicU16 = AtomicU16::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed) % CHANNEL_MAX + 1;
    let channel = connection.open_channel(Some(number)).await?;
    let (sender, seen) = unbounded_channel();
    channel.register_callback(Watch(sender)).await?;
    Ok(Watched { channel, seen })
}

async fn on_channel() -> Outcome<(Connection, Watched)> {
    let connection = connect().await?;
    let watched = open(&connection).await?;
    Ok((connection, watched))
}

fn table(pairs: &[(&str, FieldValue)]) -> Outcome<FieldTable> {
    let mut table = FieldTable::new();
    for (key, value) in pairs {
        table.insert((*key).try_into()?, value.clone());
    }
    Ok(table)
}

fn text(value: &str) -> FieldValue {
    value.into()
}

impl Watched {
    async fn exclusive_queue(&self) -> Outcome<String> {
        self.exclusive_queue_with(FieldTable::new()).await
    }

    async fn exclusive_queue_with(&self, arguments: FieldTable) -> Outcome<String> {
        let mut declare = QueueDeclareArguments::new("");
        let declare = declare.exclusive(true).arguments(arguments).finish();
        let (name, _, _) = self.channel.queue_declare(declare).await?.ok_or("no declare-ok")?;
        Ok(name)
    }

    /// The counts of ready messages and of consumers.
    async fn look(&self, queue: &str) -> Result<(u32, u32), amqprs::error::Error> {
        let passive = QueueDeclareArguments::new(queue).passive(true).finish();
        let reply = self.channel.queue_declare(passive).await?;
        let (_, messages, consumers) = reply.expect("a declare that waits has an answer");
        Ok((messages, consumers))
    }

    async fn confirms(&self) -> Outcome {
        Ok(self.channel.confirm_select(ConfirmSelectArguments::new(false)).await?)
    }

    async fn publish(
        &self,
        exchange: &str,
        key: &str,
        body: &[u8],
        properties: BasicProperties,
    ) -> Outcome {
        let mut to = BasicPublishArguments::new(exchange, key);
        let to = to.mandatory(true).finish();
        Ok(self.channel.basic_publish(properties, body.to_vec(), to).await?)
    }

    async fn send(&self, queue: &str, bodies: &[&str]) -> Outcome {
        for body in bodies {
            self.publish("", queue, body.as_bytes(), BasicProperties::default()).await?;
        }
        Ok(())
    }

    /// Waits until all publishes up to this number are confirmed, each once.
    async fn confirmed(&mut self, from: u64, to: u64) -> Outcome {
        let mut open: std::collections::BTreeSet<_> = (from..=to).collect();
        while !open.is_empty() {
            match self.next().await? {
                Seen::Acked { tag, multiple: true } => open = open.split_off(&(tag + 1)),
                Seen::Acked { tag, .. } => assert!(open.remove(&tag), "{tag} was acked twice"),
                Seen::Returned { .. } => {}
                other => return Err(format!("{other:?}").into()),
            }
        }
        Ok(())
    }

    async fn next(&mut self) -> Outcome<Seen> {
        Ok(soon(self.seen.recv()).await?.ok_or("the channel ended in silence")?)
    }

    /// The broker must close with this code and text.
    async fn closed(&mut self, code: u16, part: &str) -> Outcome {
        closed(&mut self.seen, code, part).await
    }

    async fn get(&self, queue: &str) -> Outcome<Option<(u64, u32)>> {
        let got = soon(self.channel.basic_get(BasicGetArguments::new(queue))).await??;
        Ok(got.map(|(ok, _, _)| (ok.delivery_tag(), ok.message_count())))
    }

    async fn take(&self, queue: &str) -> Outcome<Option<(String, bool)>> {
        let get = BasicGetArguments::new(queue).no_ack(true).finish();
        let got = soon(self.channel.basic_get(get)).await??;
        Ok(got.map(|(ok, _, body)| (String::from_utf8_lossy(&body).into(), ok.redelivered())))
    }

    async fn take_all(&self, queue: &str) -> Outcome<Vec<String>> {
        let mut bodies = Vec::new();
        while let Some((body, _)) = self.take(queue).await? {
            bodies.push(body);
        }
        Ok(bodies)
    }

    async fn consume(
        &self,
        queue: &str,
    ) -> Result<(String, UnboundedReceiver<ConsumerMessage>), amqprs::error::Error> {
        self.channel.basic_consume_rx(BasicConsumeArguments::new(queue, "")).await
    }

    async fn cancel(&self, tag: &str) -> Outcome {
        self.channel.basic_cancel(BasicCancelArguments::new(tag)).await?;
        Ok(())
    }

    async fn ack(&self, tag: u64, multiple: bool) -> Outcome {
        Ok(self.channel.basic_ack(BasicAckArguments::new(tag, multiple)).await?)
    }

    async fn bind(&self, queue: &str, exchange: &str, key: &str, arguments: FieldTable) -> Outcome {
        let mut bind = QueueBindArguments::new(queue, exchange, key);
        Ok(self.channel.queue_bind(bind.arguments(arguments).finish()).await?)
    }

    async fn exchange(&self, kind: &str) -> Outcome<String> {
        let name = unique("exchange");
        self.channel.exchange_declare(ExchangeDeclareArguments::new(&name, kind)).await?;
        Ok(name)
    }

    async fn drop_exchange(&self, name: &str) -> Outcome {
        Ok(self.channel.exchange_delete(ExchangeDeleteArguments::new(name)).await?)
    }
}

async fn closed(seen: &mut UnboundedReceiver<Seen>, code: u16, part: &str) -> Outcome {
    loop {
        match soon(seen.recv()).await?.ok_or("there was no close")? {
            Seen::Closed { code: got, text } => {
                assert_eq!(got, code, "{text}");
                assert!(text.contains(part), "{text}");
                return Ok(());
            }
            Seen::Acked { .. } => {}
            other => return Err(format!("{other:?}").into()),
        }
    }
}

async fn next_bodies(
    got: &mut UnboundedReceiver<ConsumerMessage>,
    count: usize,
) -> Outcome<Vec<String>> {
    let mut bodies = Vec::new();
    for _ in 0..count {
        let message = soon(got.recv()).await?.ok_or("the consumer ended")?;
        let body = message.content.ok_or("a delivery without content")?;
        bodies.push(String::from_utf8(body)?);
    }
    Ok(bodies)
}

// --- Connections and queues ---------------------------------------------------------------------

async fn server_introduces_itself_as_rabbitmq() -> Outcome {
    let connection = connect().await?;
    let server = connection.server_properties();
    assert_eq!(server.product(), "RabbitMQ");
    assert!(server.capabilities().publisher_confirms() && server.capabilities().basic_nack());
    assert!(server.capabilities().exchange_exchange_bindings());
    Ok(connection.close().await?)
}

async fn connection_closes_and_reopens() -> Outcome {
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
async fn wrong_password_drops_a_client_without_the_capability() -> Outcome {
    let right = arguments()?;
    let wrong = OpenConnectionArguments::new(right.get_host(), right.get_port(), "guest", "no");
    assert!(soon(Connection::open(&wrong)).await?.is_err(), "let in with a wrong password");
    Ok(())
}

async fn many_channels_work_side_by_side() -> Outcome {
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

async fn server_names_queues() -> Outcome {
    let (connection, watched) = on_channel().await?;
    let (one, two) = (watched.exclusive_queue().await?, watched.exclusive_queue().await?);
    assert!(one.starts_with("amq.gen-") && one.len() == 30, "{one}");
    assert_ne!(one, two);
    Ok(connection.close().await?)
}

async fn exclusive_queue_is_locked_to_its_connection() -> Outcome {
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

async fn exclusive_queue_is_gone_after_close_ok() -> Outcome {
    let (owner, own) = on_channel().await?;
    let queue = own.exclusive_queue().await?;
    owner.close().await?;
    let (other, mut watched) = on_channel().await?;
    assert!(watched.look(&queue).await.is_err());
    watched.closed(404, &format!("no queue '{queue}' in vhost '/'")).await?;
    Ok(other.close().await?)
}

async fn auto_delete_queue_goes_with_its_last_consumer() -> Outcome {
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

async fn redeclare_must_be_equivalent() -> Outcome {
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

async fn what_is_missing_is_404() -> Outcome {
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

async fn purge_and_delete_count_what_they_drop() -> Outcome {
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

// --- Publishing ---------------------------------------------------------------------------------

async fn every_publish_is_confirmed_once() -> Outcome {
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

async fn mandatory_message_is_returned_before_its_ack() -> Outcome {
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

async fn bodies_of_all_sizes_survive() -> Outcome {
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

async fn properties_and_nested_headers_survive() -> Outcome {
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

// --- Exchanges and routing ----------------------------------------------------------------------

async fn topic_patterns_match_as_the_table_says() -> Outcome {
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

async fn headers_match_as_bound() -> Outcome {
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

async fn fanout_copies_to_every_queue_once() -> Outcome {
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

async fn exchanges_route_to_exchanges() -> Outcome {
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

async fn exchange_errors_have_their_codes() -> Outcome {
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

// --- Consuming and settling ---------------------------------------------------------------------

async fn consumer_gets_all_in_order() -> Outcome {
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

async fn get_says_how_many_remain() -> Outcome {
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

async fn prefetch_limits_what_is_unacked() -> Outcome {
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

async fn consumers_take_turns() -> Outcome {
    let (connection, watched) = on_channel().await?;
    let queue = watched.exclusive_queue().await?;
    let (_, mut first) = watched.consume(&queue).await?;
    let (_, mut second) = watched.consume(&queue).await?;
    watched.send(&queue, &["0", "1", "2", "3", "4", "5"]).await?;
    assert_eq!(next_bodies(&mut first, 3).await?, ["0", "2", "4"]);
    assert_eq!(next_bodies(&mut second, 3).await?, ["1", "3", "5"]);
    Ok(connection.close().await?)
}

async fn double_ack_is_406() -> Outcome {
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

async fn duplicate_consumer_tag_closes_the_connection() -> Outcome {
    let (connection, watched) = on_channel().await?;
    let (sender, mut seen) = unbounded_channel();
    connection.register_callback(Watch(sender)).await?;
    let queue = watched.exclusive_queue().await?;
    let twice = || BasicConsumeArguments::new(&queue, "twice");
    let (_, _first) = watched.channel.basic_consume_rx(twice()).await?;
    assert!(soon(watched.channel.basic_consume_rx(twice())).await?.is_err());
    closed(&mut seen, 530, "NOT_ALLOWED - attempt to reuse consumer tag 'twice'").await
}

async fn exclusive_consumer_shuts_others_out() -> Outcome {
    let (connection, watched) = on_channel().await?;
    let queue = watched.exclusive_queue().await?;
    let exclusive = BasicConsumeArguments::new(&queue, "").exclusive(true).finish();
    let (_, _got) = watched.channel.basic_consume_rx(exclusive).await?;
    let mut second = open(&connection).await?;
    assert!(second.consume(&queue).await.is_err());
    second.closed(403, &format!("queue '{queue}' in vhost '/' in exclusive use")).await?;
    Ok(connection.close().await?)
}

async fn requeued_messages_return_to_their_place() -> Outcome {
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

async fn rejected_messages_are_dropped() -> Outcome {
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

async fn cancel_stops_deliveries_and_keeps_unacked() -> Outcome {
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

async fn deleting_the_queue_cancels_its_consumers() -> Outcome {
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

// --- Time to live, transactions -----------------------------------------------------------------

async fn messages_expire_on_time() -> Outcome {
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

async fn unused_queue_expires() -> Outcome {
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

async fn transaction_publishes_at_commit() -> Outcome {
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

async fn transaction_settles_at_commit() -> Outcome {
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
