//! A blocking client. Each wait has a deadline.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use haremq_protocol::client::{ClientConfig, ClientSession, Message, OwnedClientEvent};
use haremq_protocol::method::{AMQPClass, basic, channel, confirm, connection, queue};
use haremq_protocol::properties::{BasicProperties, Properties, encode_properties};

use super::{DEADLINE, IntoMethod, address, shown};

pub(crate) type Event = OwnedClientEvent;

/// Why a channel or a connection was closed, and by which method's fault.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: u16,
    pub(crate) text: String,
    pub(crate) class_and_method: (u16, u16),
    /// The connection's end, not only the channel's.
    pub(crate) is_hard: bool,
}

impl Refusal {
    pub(crate) fn of_channel(close: &channel::Close) -> Refusal {
        Refusal {
            code: close.reply_code,
            text: close.reply_text.to_string(),
            class_and_method: (close.class_id, close.method_id),
            is_hard: false,
        }
    }

    pub(crate) fn of_connection(close: &connection::Close) -> Refusal {
        Refusal {
            code: close.reply_code,
            text: close.reply_text.to_string(),
            class_and_method: (close.class_id, close.method_id),
            is_hard: true,
        }
    }

    /// Requires exactly this code and text.
    #[track_caller]
    pub(crate) fn assert(&self, code: u16, text: &str) {
        assert_eq!((self.code, self.text.as_str()), (code, text));
    }
}

/// A message to be published.
#[derive(Clone, Debug, Default)]
pub(crate) struct Post<'a> {
    pub(crate) exchange: &'a str,
    pub(crate) key: &'a str,
    pub(crate) mandatory: bool,
    pub(crate) properties: BasicProperties,
    pub(crate) body: &'a [u8],
}

/// A message that came to a consumer.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) consumer: String,
    pub(crate) tag: u64,
    pub(crate) redelivered: bool,
    pub(crate) message: Message,
}

impl Delivery {
    pub(crate) fn body(&self) -> String {
        String::from_utf8_lossy(&self.message.body).into_owned()
    }
}

/// A message that was fetched.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) tag: u64,
    pub(crate) redelivered: bool,
    pub(crate) left: u32,
    pub(crate) message: Message,
}

impl Got {
    pub(crate) fn body(&self) -> String {
        String::from_utf8_lossy(&self.message.body).into_owned()
    }
}

/// A connection to the file's broker.
pub(crate) struct Client {
    socket: TcpStream,
    session: ClientSession,
    events: VecDeque<Event>,
    has_ended: bool,
}

impl Client {
    /// As `guest` at `/`, with channel 1 open.
    pub(crate) fn connect() -> Client {
        let mut client = Client::with(ClientConfig::default());
        client.open(1);
        client
    }

    /// At another broker than the file's, with channel 1 open.
    pub(crate) fn connect_to(address: std::net::SocketAddr) -> Client {
        let mut client = Client::begin_at(address, ClientConfig::default());
        client.await_event(|event| matches!(event, Event::Opened { .. }));
        client.open(1);
        client
    }

    /// No channel is open yet.
    pub(crate) fn with(config: ClientConfig) -> Client {
        let mut client = Client::begin(config);
        let event = client.await_event(|event| matches!(event, Event::Opened { .. }));
        assert!(matches!(event, Event::Opened { .. }));
        client
    }

    /// The handshake is only begun.
    pub(crate) fn begin(config: ClientConfig) -> Client {
        Client::begin_at(address(), config)
    }

    /// At another broker than the file's.
    pub(crate) fn begin_at(address: std::net::SocketAddr, config: ClientConfig) -> Client {
        let socket = TcpStream::connect(address).expect("the broker listens");
        socket.set_nodelay(true).expect("it is a socket");
        let session = ClientSession::new(config);
        let mut client = Client { socket, session, events: VecDeque::new(), has_ended: false };
        client.flush();
        client
    }

    /// Opens a channel.
    pub(crate) fn open(&mut self, channel: u16) {
        let answer = self.call(channel, channel::Open {});
        assert!(matches!(answer, AMQPClass::Channel(channel::AMQPMethod::OpenOk(_))));
    }

    /// Sends a method.
    pub(crate) fn send(&mut self, channel: u16, method: impl IntoMethod) {
        self.session.send(channel, &method.into_method()).expect("the connection is open");
        self.flush();
    }

    /// Sends a method and awaits the next method of its channel.
    #[track_caller]
    pub(crate) fn call(&mut self, channel: u16, method: impl IntoMethod) -> AMQPClass {
        self.send(channel, method);
        self.method(channel)
    }

    /// Sends several methods in one segment.
    pub(crate) fn send_all(&mut self, channel: u16, methods: Vec<AMQPClass>) {
        for method in methods {
            self.session.send(channel, &method).expect("the connection is open");
        }
        self.flush();
    }

    /// Sends octets as they are.
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) {
        self.session.send_raw(bytes);
        self.flush();
    }

    /// Publishes a message.
    pub(crate) fn publish(&mut self, channel: u16, post: &Post<'_>) {
        let properties = encode_properties(&post.properties);
        let (exchange, key) = (post.exchange.as_bytes(), post.key.as_bytes());
        let published =
            self.session.publish(channel, exchange, key, post.mandatory, &properties, post.body);
        published.expect("the connection is open");
        self.flush();
    }

    /// Publishes a text to a queue through the default exchange.
    pub(crate) fn post(&mut self, channel: u16, queue: &str, body: &str) {
        self.publish(channel, &Post { key: queue, body: body.as_bytes(), ..Post::default() });
    }

    /// As [`Client::post`]; returns whether the connection is still open.
    pub(crate) fn try_post(&mut self, channel: u16, queue: &str, body: &str) -> bool {
        let (key, body) = (queue.as_bytes(), body.as_bytes());
        let properties = Properties::EMPTY.raw();
        let result = self.session.publish(channel, b"", key, false, properties, body);
        self.flush();
        result.is_ok()
    }

    /// Takes in and forgets what has come; returns whether the connection is over.
    pub(crate) fn has_been_refused(&mut self) -> bool {
        self.find_event(|_| false, Duration::from_millis(1));
        self.events.clear();
        self.has_ended || self.session.is_closed()
    }

    /// Acks one delivery.
    pub(crate) fn ack(&mut self, channel: u16, tag: u64) {
        self.ack_all(channel, tag, false);
    }

    pub(crate) fn ack_all(&mut self, channel: u16, tag: u64, multiple: bool) {
        self.session.ack(channel, tag, multiple).expect("the connection is open");
        self.flush();
    }

    pub(crate) fn nack(&mut self, channel: u16, tag: u64, multiple: bool, requeue: bool) {
        self.session.nack(channel, tag, multiple, requeue).expect("the connection is open");
        self.flush();
    }

    pub(crate) fn reject(&mut self, channel: u16, tag: u64, requeue: bool) {
        self.session.reject(channel, tag, requeue).expect("the connection is open");
        self.flush();
    }

    /// Sends a heartbeat.
    pub(crate) fn beat(&mut self) {
        self.session.send_heartbeat();
        self.flush();
    }

    /// Declares a transient queue without arguments.
    #[track_caller]
    pub(crate) fn declare(&mut self, channel: u16, queue: &str) -> String {
        self.declare_as(channel, queue::Declare { queue: queue.into(), ..Default::default() })
    }

    /// Declares a queue; returns its name.
    #[track_caller]
    pub(crate) fn declare_as(&mut self, channel: u16, declare: queue::Declare) -> String {
        match self.call(channel, declare) {
            AMQPClass::Queue(queue::AMQPMethod::DeclareOk(ok)) => ok.queue.to_string(),
            other => panic!("{}", shown(&other)),
        }
    }

    /// Ready messages and consumers, by a passive declare.
    #[track_caller]
    pub(crate) fn count(&mut self, channel: u16, queue: &str) -> (u32, u32) {
        let passive = queue::Declare { queue: queue.into(), passive: true, ..Default::default() };
        match self.call(channel, passive) {
            AMQPClass::Queue(queue::AMQPMethod::DeclareOk(ok)) => {
                (ok.message_count, ok.consumer_count)
            }
            other => panic!("{}", shown(&other)),
        }
    }

    /// Consumes with settlement, under a tag; returns when that is in effect.
    #[track_caller]
    pub(crate) fn consume(&mut self, channel: u16, queue: &str, tag: &str) -> String {
        let (queue, consumer_tag) = (queue.into(), tag.into());
        self.consume_as(channel, basic::Consume { queue, consumer_tag, ..Default::default() })
    }

    /// Deliveries to earlier consumers may come before the answer.
    #[track_caller]
    pub(crate) fn consume_as(&mut self, channel: u16, consume: basic::Consume) -> String {
        self.send(channel, consume);
        let event = self.await_event(|event| {
            channel_of(event) == Some(channel) && !matches!(event, Event::Deliver { .. })
        });
        match event {
            Event::Method {
                method: AMQPClass::Basic(basic::AMQPMethod::ConsumeOk(ok)), ..
            } => ok.consumer_tag.to_string(),
            other => panic!("{other:?}"),
        }
    }

    /// Turns confirms on.
    pub(crate) fn select_confirms(&mut self, channel: u16) {
        let answer = self.call(channel, confirm::Select { nowait: false });
        assert!(matches!(answer, AMQPClass::Confirm(confirm::AMQPMethod::SelectOk(_))));
    }

    /// Sets a prefetch limit.
    pub(crate) fn qos(&mut self, channel: u16, prefetch_count: u16, global: bool) {
        let answer = self.call(channel, basic::Qos { prefetch_count, global });
        assert!(matches!(answer, AMQPClass::Basic(basic::AMQPMethod::QosOk(_))));
    }

    /// Fetches a message, to be settled.
    #[track_caller]
    pub(crate) fn get(&mut self, channel: u16, queue: &str) -> Option<Got> {
        self.get_as(channel, basic::Get { queue: queue.into(), no_ack: false })
    }

    #[track_caller]
    pub(crate) fn get_as(&mut self, channel: u16, get: basic::Get) -> Option<Got> {
        self.send(channel, get);
        match self.event(channel) {
            Event::GetOk {
                delivery_tag: tag, redelivered, message_count: left, message, ..
            } => Some(Got { tag, redelivered, left, message }),
            Event::Method { method: AMQPClass::Basic(basic::AMQPMethod::GetEmpty(_)), .. } => None,
            other => panic!("{other:?}"),
        }
    }

    /// Fetches all ready messages for good; returns their bodies.
    #[track_caller]
    pub(crate) fn drain(&mut self, channel: u16, queue: &str) -> Vec<String> {
        let take = || basic::Get { queue: queue.into(), no_ack: true };
        std::iter::from_fn(|| self.get_as(channel, take())).map(|got| got.body()).collect()
    }

    /// The next event of the channel must be a delivery.
    #[track_caller]
    pub(crate) fn delivery(&mut self, channel: u16) -> Delivery {
        match self.event(channel) {
            Event::Deliver { consumer_tag, delivery_tag: tag, redelivered, message, .. } => {
                let consumer = String::from_utf8(consumer_tag).expect("tags are UTF-8");
                Delivery { consumer, tag, redelivered, message }
            }
            other => panic!("{other:?}"),
        }
    }

    /// The bodies of the channel's next deliveries.
    #[track_caller]
    pub(crate) fn bodies(&mut self, channel: u16, count: usize) -> Vec<String> {
        (0..count).map(|_| self.delivery(channel).body()).collect()
    }

    /// Awaits confirms until this many publishes are acked, whatever they are coalesced to.
    #[track_caller]
    pub(crate) fn await_acks(&mut self, channel: u16, last: u64) {
        let mut missing: std::collections::BTreeSet<u64> = (1..=last).collect();
        while !missing.is_empty() {
            match self.event(channel) {
                Event::Ack { delivery_tag: tag, multiple: false, .. } => {
                    assert!(missing.remove(&tag), "{tag} is confirmed twice");
                }
                Event::Ack { delivery_tag: tag, .. } => {
                    assert!(missing.contains(&tag), "{tag} is confirmed twice");
                    missing.retain(|&number| number > tag);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// The next event of the channel must be a method without content.
    #[track_caller]
    pub(crate) fn method(&mut self, channel: u16) -> AMQPClass {
        match self.event(channel) {
            Event::Method { method, .. } => method,
            other => panic!("{other:?}"),
        }
    }

    /// The next event of the channel, or the end of the connection.
    #[track_caller]
    pub(crate) fn event(&mut self, channel: u16) -> Event {
        self.await_event(|event| match channel_of(event) {
            Some(number) => number == channel,
            None => matches!(event, Event::ConnectionClosed { .. }),
        })
    }

    /// Skips to the end of the channel, or of the connection, and tells why it came.
    #[track_caller]
    pub(crate) fn refusal(&mut self, channel: u16) -> Refusal {
        let event = self.await_event(|event| match event {
            Event::ChannelClosed { channel: number, .. } => *number == channel,
            Event::ConnectionClosed { .. } => true,
            _ => false,
        });
        match event {
            Event::ChannelClosed { close: Some(close), .. } => Refusal::of_channel(&close),
            Event::ConnectionClosed { close: Some(close) } => Refusal::of_connection(&close),
            other => panic!("{other:?}"),
        }
    }

    /// Closes the channel; returns when that is done.
    #[track_caller]
    pub(crate) fn close_channel(&mut self, channel: u16) {
        self.session.close_channel(channel).expect("the connection is open");
        self.flush();
        let closed = Event::ChannelClosed { channel, close: None };
        self.await_event(|event| *event == closed);
    }

    /// Closes the connection; returns when that is done.
    #[track_caller]
    pub(crate) fn close(mut self) {
        self.session.close().expect("the connection is open");
        self.flush();
        let event = self.await_event(|event| matches!(event, Event::ConnectionClosed { .. }));
        assert_eq!(event, Event::ConnectionClosed { close: None });
    }

    /// All that the queue's home had for this connection has arrived: two counts follow it on
    /// the same way, the second asked for after the first was answered.
    #[track_caller]
    pub(crate) fn settle_down(&mut self, channel: u16, queue: &str) {
        for _ in 0..2 {
            let passive =
                queue::Declare { queue: queue.into(), passive: true, ..Default::default() };
            self.send(channel, passive);
            let is_answer = |event: &Event| {
                matches!(event, Event::Method { channel: number, method: AMQPClass::Queue(_) }
                    if *number == channel)
            };
            self.await_event(is_answer);
        }
    }

    /// No event of the channel has arrived that was not asked for.
    #[track_caller]
    pub(crate) fn assert_quiet(&mut self, channel: u16) {
        let unasked: Vec<_> =
            self.events.iter().filter(|event| channel_of(event) == Some(channel)).collect();
        assert!(unasked.is_empty(), "{unasked:?}");
    }

    /// Waits so long; returns whether an event of the channel came.
    pub(crate) fn hears_within(&mut self, channel: u16, limit: Duration) -> bool {
        self.find_event(|event| channel_of(event) == Some(channel), limit).is_some()
    }

    /// Waits until the broker drops the socket.
    pub(crate) fn await_end(&mut self) {
        while !self.has_ended {
            assert!(self.receive(DEADLINE), "the socket stays open");
        }
    }

    /// Awaits an event; others stay for later.
    #[track_caller]
    pub(crate) fn await_event(&mut self, is_awaited: impl Fn(&Event) -> bool) -> Event {
        match self.find_event(is_awaited, DEADLINE) {
            Some(event) => event,
            None => panic!("not in time; there is {:?}", self.events),
        }
    }

    /// Awaits an event for so long; others stay for later.
    pub(crate) fn find_event(
        &mut self,
        is_awaited: impl Fn(&Event) -> bool,
        limit: Duration,
    ) -> Option<Event> {
        let until = Instant::now() + limit;
        let mut at = 0;
        loop {
            while let Some(event) = self.events.get(at) {
                if is_awaited(event) {
                    return self.events.remove(at);
                }
                at += 1;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || self.has_ended || !self.receive(left) {
                return None;
            }
        }
    }

    /// Reads once; returns whether it was in time.
    fn receive(&mut self, limit: Duration) -> bool {
        let mut bytes = vec![0; 64 << 10];
        self.socket.set_read_timeout(Some(limit)).expect("the limit is not zero");
        let count = match self.socket.read(&mut bytes) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => 0,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return false;
            }
            Err(error) => panic!("{error}"),
        };
        self.has_ended = count == 0;
        let mut events = Vec::new();
        let handled = self.session.handle_received_owned(&bytes[..count], &mut events);
        handled.expect("the broker keeps to the protocol");
        self.events.extend(events);
        self.flush();
        true
    }

    /// A broker that has closed the connection need not take the rest.
    fn flush(&mut self) {
        let mut output = Vec::new();
        self.session.poll_output(&mut output);
        let _ = self.socket.write_all(&output);
    }
}

fn channel_of(event: &Event) -> Option<u16> {
    match event {
        Event::Method { channel, .. }
        | Event::Deliver { channel, .. }
        | Event::Return { channel, .. }
        | Event::GetOk { channel, .. }
        | Event::Ack { channel, .. }
        | Event::Nack { channel, .. }
        | Event::ChannelClosed { channel, .. } => Some(*channel),
        Event::Opened { .. } | Event::ConnectionClosed { .. } | Event::Heartbeat => None,
    }
}
