//! A connection that waits for each answer: for setting a run up, before it matters how fast.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::time::Duration;

use haremq_protocol::client::{ClientConfig, ClientError, ClientSession, OwnedClientEvent};
use haremq_protocol::frame::{Split, split_frame};
use haremq_protocol::method::{
    AMQPClass, ServerMethod, basic, channel, confirm, connection, decode_server_method, exchange,
    queue,
};
use haremq_protocol::types::{AMQPValue, FieldTable};

use crate::uri::BrokerUri;

/// How long an answer may take. Declaring a queue on a loaded machine can take seconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
const READ_BYTES: usize = 16 * 1024;
/// More would fill the socket's buffers in both directions.
const CALLS_IN_FLIGHT_MAX: usize = 256;

/// Why a broker cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    /// No connection.
    #[error("cannot connect to {uri}: {source}")]
    Connect {
        /// As shown.
        uri: String,
        /// What the system says.
        source: io::Error,
    },
    /// The connection broke.
    #[error("{uri}: {doing}: {source}")]
    Broken {
        /// As shown.
        uri: String,
        /// What was being done.
        doing: String,
        /// What the system says.
        source: io::Error,
    },
    /// The broker closed the connection or the channel.
    #[error("{uri} refused {doing}: {text}")]
    Refused {
        /// As shown.
        uri: String,
        /// What was being done.
        doing: String,
        /// Code and text of the broker.
        text: String,
    },
    /// The broker does not speak as it should.
    #[error("{uri}: {doing}: {source}")]
    Client {
        /// As shown.
        uri: String,
        /// What was being done.
        doing: String,
        /// What is wrong.
        source: ClientError,
    },
}

/// What a broker says it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServerFacts {
    pub(crate) product: String,
    pub(crate) version: String,
    pub(crate) platform: String,
    /// Its own name and version, where it gives itself out as another one.
    pub(crate) own_version: Option<String>,
}

/// One connection, used from one thread, one request after the other.
pub(crate) struct Session {
    uri: String,
    stream: TcpStream,
    session: ClientSession,
    events: Vec<OwnedClientEvent>,
    facts: ServerFacts,
}

/// Wishes for a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SessionConfig {
    pub(crate) frame_max: u32,
    pub(crate) heartbeat_s: u16,
}

impl Session {
    /// Connects and opens the virtual host.
    ///
    /// # Errors
    /// [`SessionError`], with the broker's words.
    pub(crate) fn open(uri: &BrokerUri, config: SessionConfig) -> Result<Session, SessionError> {
        let connected = uri.resolve().and_then(TcpStream::connect);
        let stream = connected.and_then(|stream| {
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
            Ok(stream)
        });
        let stream =
            stream.map_err(|source| SessionError::Connect { uri: uri.shown.clone(), source })?;
        let session = ClientSession::new(ClientConfig {
            user: uri.user.clone().into_bytes(),
            password: uri.password.clone().into_bytes(),
            virtual_host: uri.virtual_host.as_str().into(),
            frame_max: config.frame_max,
            heartbeat_s: config.heartbeat_s,
            ..ClientConfig::default()
        });
        let mut opened = Session {
            uri: uri.shown.clone(),
            stream,
            session,
            events: Vec::new(),
            facts: ServerFacts::default(),
        };
        let doing = format!("login of {} at {:?}", uri.user, uri.virtual_host);
        opened.wait(&doing, |event| matches!(event, OwnedClientEvent::Opened { .. }))?;
        Ok(opened)
    }

    /// What the broker said about itself.
    pub(crate) fn facts(&self) -> &ServerFacts {
        &self.facts
    }

    /// Octets of a frame that both sides allow; 0 is no limit.
    pub(crate) fn frame_max(&self) -> u32 {
        self.session.frame_max()
    }

    /// Opens a channel.
    ///
    /// # Errors
    /// [`SessionError`].
    pub(crate) fn open_channel(&mut self, number: u16) -> Result<(), SessionError> {
        let open = AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {}));
        self.call(number, &open, &format!("channel {number}")).map(|_| ())
    }

    /// Puts a channel into confirm mode.
    ///
    /// # Errors
    /// [`SessionError`].
    pub(crate) fn select_confirms(&mut self, number: u16) -> Result<(), SessionError> {
        let select = confirm::AMQPMethod::Select(confirm::Select { nowait: false });
        self.call(number, &AMQPClass::Confirm(select), "confirm.select").map(|_| ())
    }

    /// Sets a prefetch count.
    ///
    /// # Errors
    /// [`SessionError`].
    pub(crate) fn limit_prefetch(
        &mut self,
        number: u16,
        prefetch_count: u16,
        global: bool,
    ) -> Result<(), SessionError> {
        let qos = basic::AMQPMethod::Qos(basic::Qos { prefetch_count, global });
        self.call(number, &AMQPClass::Basic(qos), "basic.qos").map(|_| ())
    }

    /// Declares a transient exchange.
    ///
    /// # Errors
    /// [`SessionError`].
    pub(crate) fn declare_exchange(&mut self, name: &str, kind: &str) -> Result<(), SessionError> {
        let declare = exchange::AMQPMethod::Declare(exchange::Declare {
            exchange: name.into(),
            kind: kind.into(),
            passive: false,
            durable: false,
            auto_delete: false,
            internal: false,
            nowait: false,
            arguments: FieldTable::default(),
        });
        let doing = format!("exchange.declare of {name:?} ({kind})");
        self.call(1, &AMQPClass::Exchange(declare), &doing).map(|_| ())
    }

    /// Declares a queue; an empty name lets the broker choose. Returns its name.
    ///
    /// # Errors
    /// [`SessionError`].
    pub(crate) fn declare_queue(
        &mut self,
        declare: &queue::Declare,
    ) -> Result<String, SessionError> {
        let doing = format!("queue.declare of {:?}", declare.queue.as_str());
        let method = AMQPClass::Queue(queue::AMQPMethod::Declare(declare.clone()));
        match self.call(1, &method, &doing)? {
            AMQPClass::Queue(queue::AMQPMethod::DeclareOk(ok)) => Ok(ok.queue.as_str().to_owned()),
            _ => Ok(declare.queue.as_str().to_owned()),
        }
    }

    /// Binds a queue, with all keys under way at once.
    ///
    /// # Errors
    /// [`SessionError`].
    pub(crate) fn bind_queue(
        &mut self,
        queue: &str,
        exchange: &str,
        routing_keys: &[String],
        arguments: &FieldTable,
    ) -> Result<(), SessionError> {
        let bind = |routing_key: &String| {
            AMQPClass::Queue(queue::AMQPMethod::Bind(queue::Bind {
                queue: queue.into(),
                exchange: exchange.into(),
                routing_key: routing_key.as_str().into(),
                nowait: false,
                arguments: arguments.clone(),
            }))
        };
        let methods: Vec<AMQPClass> = routing_keys.iter().map(bind).collect();
        self.call_all(1, &methods, &format!("queue.bind of {queue:?} to {exchange:?}"))
    }

    /// Sends a method and waits for the next method on its channel.
    ///
    /// # Errors
    /// [`SessionError`].
    pub(crate) fn call(
        &mut self,
        number: u16,
        method: &AMQPClass,
        doing: &str,
    ) -> Result<AMQPClass, SessionError> {
        self.session.send(number, method).map_err(|source| self.client_error(doing, source))?;
        let event = self.wait(
            doing,
            |event| matches!(event, OwnedClientEvent::Method { channel, .. } if *channel == number),
        )?;
        match event {
            OwnedClientEvent::Method { method, .. } => Ok(method),
            _ => unreachable!("only a method was waited for"),
        }
    }

    /// Sends what is pending and waits for an event; others are dropped, a close is an error.
    ///
    /// # Errors
    /// [`SessionError`].
    pub(crate) fn wait(
        &mut self,
        doing: &str,
        wanted: impl Fn(&OwnedClientEvent) -> bool,
    ) -> Result<OwnedClientEvent, SessionError> {
        loop {
            while !self.events.is_empty() {
                let event = self.events.remove(0);
                if let Some(text) = close_text(&event) {
                    let (uri, doing) = (self.uri.clone(), doing.to_owned());
                    return Err(SessionError::Refused { uri, doing, text });
                }
                if wanted(&event) {
                    return Ok(event);
                }
            }
            self.exchange_bytes(doing)?;
        }
    }

    /// Sends many methods and waits for as many answers.
    ///
    /// # Errors
    /// [`SessionError`].
    pub(crate) fn call_all(
        &mut self,
        number: u16,
        methods: &[AMQPClass],
        doing: &str,
    ) -> Result<(), SessionError> {
        for batch in methods.chunks(CALLS_IN_FLIGHT_MAX) {
            for method in batch {
                let sent = self.session.send(number, method);
                sent.map_err(|source| self.client_error(doing, source))?;
            }
            for _ in batch {
                self.wait(doing, |event| {
                    matches!(event, OwnedClientEvent::Method { channel, .. } if *channel == number)
                })?;
            }
        }
        Ok(())
    }

    /// Closes a channel and waits until its number is free.
    ///
    /// # Errors
    /// [`SessionError`].
    pub(crate) fn close_channel(&mut self, number: u16) -> Result<(), SessionError> {
        let doing = "channel.close";
        let sent = self.session.close_channel(number);
        sent.map_err(|source| self.client_error(doing, source))?;
        self.wait(doing, |event| matches!(event, OwnedClientEvent::ChannelClosed { .. }))
            .map(|_| ())
    }

    /// Sends a method that has no answer, or whose answer is of no interest yet.
    ///
    /// # Errors
    /// [`SessionError`].
    pub(crate) fn send(
        &mut self,
        number: u16,
        method: &AMQPClass,
        doing: &str,
    ) -> Result<(), SessionError> {
        self.session.send(number, method).map_err(|source| self.client_error(doing, source))?;
        self.flush(doing)
    }

    /// Acknowledges all deliveries up to a tag; 0 is all.
    ///
    /// # Errors
    /// [`SessionError`].
    pub(crate) fn acknowledge(&mut self, number: u16, tag: u64) -> Result<(), SessionError> {
        let doing = "basic.ack";
        let acked = self.session.ack(number, tag, true);
        acked.map_err(|source| self.client_error(doing, source))?;
        self.flush(doing)
    }

    /// The next event within `timeout`; `None` if none comes.
    ///
    /// # Errors
    /// [`SessionError`].
    pub(crate) fn poll_event(
        &mut self,
        timeout: Duration,
    ) -> Result<Option<OwnedClientEvent>, SessionError> {
        if self.events.is_empty() {
            let set = self.stream.set_read_timeout(Some(timeout));
            let received = set.map_err(|source| self.broken("waiting", source)).and_then(|()| {
                match self.exchange_bytes("waiting") {
                    Err(SessionError::Broken { source, .. }) if is_timeout(&source) => Ok(()),
                    other => other,
                }
            });
            let _ = self.stream.set_read_timeout(Some(ANSWER_TIMEOUT));
            received?;
        }
        if self.events.is_empty() { Ok(None) } else { Ok(Some(self.events.remove(0))) }
    }

    /// Closes the connection in order.
    ///
    /// # Errors
    /// [`SessionError`].
    pub(crate) fn close(mut self) -> Result<(), SessionError> {
        let doing = "closing";
        self.session.close().map_err(|source| self.client_error(doing, source))?;
        while !self.session.is_closed() {
            self.exchange_bytes(doing)?;
        }
        Ok(())
    }

    /// The socket, when nothing is pending in either direction.
    pub(crate) fn into_socket(self) -> OwnedFd {
        assert!(self.session.is_open() && self.session.output_bytes() == 0);
        self.stream.into()
    }

    fn flush(&mut self, doing: &str) -> Result<(), SessionError> {
        let mut output = Vec::new();
        self.session.poll_output(&mut output);
        self.stream.write_all(&output).map_err(|source| self.broken(doing, source))
    }

    fn exchange_bytes(&mut self, doing: &str) -> Result<(), SessionError> {
        self.flush(doing)?;
        let mut bytes = [0; READ_BYTES];
        // A read with a timeout is not taken up again by the system after a signal.
        let count = match self.read(&mut bytes) {
            Ok(0) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the broker hung up")),
            other => other,
        };
        let count = count.map_err(|source| self.broken(doing, source))?;
        if self.facts == ServerFacts::default() {
            self.facts = server_facts(&bytes[..count]).unwrap_or_default();
        }
        let handled = self.session.handle_received_owned(&bytes[..count], &mut self.events);
        let flushed = self.flush(doing);
        handled.map_err(|source| self.client_error(doing, source)).and(flushed)
    }

    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.stream.read(bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    fn broken(&self, doing: &str, source: io::Error) -> SessionError {
        SessionError::Broken { uri: self.uri.clone(), doing: doing.to_owned(), source }
    }

    fn client_error(&self, doing: &str, source: ClientError) -> SessionError {
        SessionError::Client { uri: self.uri.clone(), doing: doing.to_owned(), source }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// Code and text of a close, if the event is one that the broker began.
fn close_text(event: &OwnedClientEvent) -> Option<String> {
    match event {
        OwnedClientEvent::ChannelClosed { close: Some(close), .. } => {
            Some(format!("{} {}", close.reply_code, close.reply_text.as_str()))
        }
        OwnedClientEvent::ConnectionClosed { close: Some(close) } => {
            Some(format!("{} {}", close.reply_code, close.reply_text.as_str()))
        }
        _ => None,
    }
}

/// Reads the server properties, if `bytes` begin with a whole `connection.start`.
fn server_facts(bytes: &[u8]) -> Option<ServerFacts> {
    let Ok(Split::Complete { frame, .. }) = split_frame(bytes, 0) else { return None };
    let Ok(ServerMethod::Cold(AMQPClass::Connection(connection::AMQPMethod::Start(start)))) =
        decode_server_method(frame.payload)
    else {
        return None;
    };
    let text = |name: &str| match start.server_properties.inner().get(name) {
        Some(AMQPValue::LongString(text)) => String::from_utf8_lossy(text.as_bytes()).into_owned(),
        _ => String::new(),
    };
    let names = start.server_properties.inner().keys();
    let own =
        names.filter_map(|name| Some((name.as_str(), name.as_str().strip_suffix("_version")?)));
    let own = own.map(|(name, broker)| format!("{broker} {}", text(name))).next();
    Some(ServerFacts {
        product: text("product"),
        version: text("version"),
        platform: text("platform"),
        own_version: own,
    })
}
