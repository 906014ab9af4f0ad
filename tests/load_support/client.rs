//! A blocking client that copies nothing it does not need. Each wait has a deadline.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use haremq_protocol::client::{ClientConfig, ClientEvent, ClientSession};
use haremq_protocol::method::{AMQPClass, basic, channel, confirm, queue};
use haremq_protocol::types::{AMQPValue, FieldTable};

use super::DEADLINE;

/// The one channel that each client uses.
const CHANNEL: u16 = 1;
const READ_BYTES: usize = 256 << 10;

pub(crate) struct LoadClient {
    stream: TcpStream,
    session: ClientSession,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
}

impl LoadClient {
    /// With its channel open.
    pub(crate) fn connect(address: SocketAddr) -> LoadClient {
        let stream = TcpStream::connect(address).expect("the broker listens");
        stream.set_nodelay(true).expect("it is a TCP socket");
        stream.set_write_timeout(Some(DEADLINE)).expect("it is not 0");
        let session = ClientSession::new(ClientConfig::default());
        let (incoming, outgoing) = (Vec::new(), Vec::new());
        let mut client = LoadClient { stream, session, incoming, outgoing };
        client.flush();
        client.await_event(|event| matches!(event, ClientEvent::Opened { .. }));
        client.call(&AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {})));
        client
    }

    /// Sends all that the session has.
    pub(crate) fn flush(&mut self) {
        self.session.poll_output(&mut self.outgoing);
        self.stream.write_all(&self.outgoing).expect("the broker takes it within the deadline");
        self.outgoing.clear();
    }

    /// Reads once, for as long as `limit`; tells whether anything came.
    pub(crate) fn receive(&mut self, limit: Duration, emit: impl FnMut(ClientEvent<'_>)) -> bool {
        self.stream.set_read_timeout(Some(limit.max(Duration::from_millis(1)))).expect("not 0");
        self.incoming.resize(READ_BYTES, 0);
        match self.stream.read(&mut self.incoming) {
            Ok(0) => panic!("the broker has closed the connection"),
            Ok(bytes) => {
                let told = self.session.handle_received(&self.incoming[..bytes], emit);
                told.expect("the broker keeps to the protocol");
                self.flush();
                true
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                false
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn await_event(&mut self, mut is_awaited: impl FnMut(&ClientEvent<'_>) -> bool) {
        let until = Instant::now() + DEADLINE;
        let mut has_come = false;
        while !has_come {
            assert!(Instant::now() < until, "what is awaited has not come");
            self.receive(DEADLINE, |event| has_come |= is_awaited(&event));
        }
    }

    /// Sends a method and returns its answer.
    pub(crate) fn call(&mut self, method: &AMQPClass) -> AMQPClass {
        self.session.send(CHANNEL, method).expect("the connection is open");
        self.flush();
        let mut answer = None;
        self.await_event(|event| match event {
            ClientEvent::Method { method, .. } => {
                answer = Some(method.clone());
                true
            }
            ClientEvent::ChannelClosed { .. } => panic!("{event:?}"),
            _ => false,
        });
        answer.expect("it was awaited")
    }

    fn declare_as(&mut self, declare: queue::Declare) -> queue::DeclareOk {
        match self.call(&AMQPClass::Queue(queue::AMQPMethod::Declare(declare))) {
            AMQPClass::Queue(queue::AMQPMethod::DeclareOk(ok)) => ok,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn declare_server_named(&mut self) -> String {
        self.declare_as(declaration("")).queue.to_string()
    }

    /// A queue whose messages live for so long.
    pub(crate) fn declare_with_ttl(&mut self, name: &str, ttl: Duration) {
        let mut declare = declaration(name);
        let ms = i32::try_from(ttl.as_millis()).expect("short");
        declare.arguments.insert("x-message-ttl".into(), AMQPValue::LongInt(ms));
        self.declare_as(declare);
    }

    /// Ready messages of a queue.
    pub(crate) fn count(&mut self, name: &str) -> u64 {
        let declare = queue::Declare { passive: true, ..declaration(name) };
        u64::from(self.declare_as(declare).message_count)
    }

    pub(crate) fn consume(&mut self, queue: &str, prefetch_count: u16) {
        let qos = basic::Qos { prefetch_count, global: false };
        self.call(&AMQPClass::Basic(basic::AMQPMethod::Qos(qos)));
        let consume = basic::Consume {
            queue: queue.into(),
            consumer_tag: "".into(),
            no_local: false,
            no_ack: false,
            exclusive: false,
            nowait: true,
            arguments: FieldTable::default(),
        };
        // No answer, which the first deliveries could come together with.
        let consume = AMQPClass::Basic(basic::AMQPMethod::Consume(consume));
        self.session.send(CHANNEL, &consume).expect("the connection is open");
        self.flush();
    }

    /// Acks everything up to the tag.
    pub(crate) fn ack_to(&mut self, delivery_tag: u64) {
        self.session.ack(CHANNEL, delivery_tag, true).expect("the connection is open");
        self.flush();
    }

    /// Takes this many messages, which are to begin with index `first` and to be in order.
    pub(crate) fn drain(&mut self, queue: &str, first: u64, count: u64) {
        self.consume(queue, 0);
        let (mut next, mut tag, mut acked) = (first, 0, 0);
        while next < first + count {
            let has_some = self.receive(DEADLINE, |event| {
                let ClientEvent::Deliver { deliver, body, .. } = event else { panic!("{event:?}") };
                assert_eq!(index_of(body), next, "in order, and none is lost");
                next += 1;
                tag = deliver.delivery_tag;
            });
            assert!(has_some, "only up to {next}");
            if tag - acked >= 1000 || next == first + count {
                self.ack_to(tag);
                acked = tag;
            }
        }
    }
}

fn declaration(name: &str) -> queue::Declare {
    queue::Declare {
        queue: name.into(),
        passive: false,
        durable: false,
        exclusive: false,
        auto_delete: false,
        nowait: false,
        arguments: FieldTable::default(),
    }
}

/// Bodies begin with their message's index.
pub(crate) fn index_of(body: &[u8]) -> u64 {
    u64::from_be_bytes(body[..8].try_into().expect("bodies have at least eight octets"))
}

/// Publishes numbered messages to one queue, with confirms.
pub(crate) struct Publisher {
    pub(crate) client: LoadClient,
    queue: String,
    body: Vec<u8>,
    pub(crate) published: u64,
    pub(crate) confirmed: u64,
}

impl Publisher {
    pub(crate) fn new(mut client: LoadClient, queue: &str, body_bytes: usize) -> Publisher {
        let select = confirm::AMQPMethod::Select(confirm::Select { nowait: false });
        client.call(&AMQPClass::Confirm(select));
        let body = vec![0; body_bytes];
        Publisher { client, queue: queue.to_owned(), body, published: 0, confirmed: 0 }
    }

    /// Leaves the message for the next `flush`.
    pub(crate) fn publish(&mut self) {
        self.body[..8].copy_from_slice(&self.published.to_be_bytes());
        let key = self.queue.as_bytes();
        let sent = self.client.session.publish(CHANNEL, b"", key, false, &[0, 0], &self.body);
        sent.expect("the connection is open");
        self.published += 1;
    }

    /// Takes in confirms that come within the limit; those of one queue come in order.
    pub(crate) fn take_confirms(&mut self, limit: Duration) {
        let confirmed = &mut self.confirmed;
        self.client.receive(limit, |event| match event {
            ClientEvent::Ack { delivery_tag, multiple, .. } => {
                assert!(delivery_tag > *confirmed, "each is confirmed once");
                assert!(multiple || delivery_tag == *confirmed + 1, "{event:?}");
                *confirmed = delivery_tag;
            }
            other => panic!("{other:?}"),
        });
    }

    pub(crate) fn await_confirms(&mut self) {
        let until = Instant::now() + DEADLINE;
        while self.confirmed < self.published {
            assert!(Instant::now() < until, "{} of {}", self.confirmed, self.published);
            self.take_confirms(DEADLINE);
        }
    }

    /// Publishes as fast as the broker takes it, and awaits all confirms.
    pub(crate) fn publish_all(&mut self, count: u64) {
        const WINDOW: u64 = 20_000;
        for _ in 0..count {
            self.publish();
            if self.published.is_multiple_of(500) {
                self.client.flush();
                while self.published - self.confirmed > WINDOW {
                    self.take_confirms(DEADLINE);
                }
            }
        }
        self.client.flush();
        self.await_confirms();
    }
}
