//! What a client session tells.

use std::{error, fmt};

use crate::{
    deliver::{Deliver, GetOk, Return},
    method::{AMQPClass, channel, connection},
    properties::Properties,
    reply::ProtocolError,
};

/// Something that the server said. Content borrows from the received bytes where it can.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientEvent<'a> {
    /// The virtual host is open; these limits hold. 0 means no limit or off.
    Opened {
        /// Highest channel number.
        channel_max: u16,
        /// Octets of a frame.
        frame_max: u32,
        /// Heartbeat timeout in seconds.
        heartbeat_s: u16,
    },
    /// A method without content that has no event of its own.
    Method {
        /// Its channel.
        channel: u16,
        /// The method.
        method: AMQPClass,
    },
    /// A message for a consumer.
    Deliver {
        /// Its channel.
        channel: u16,
        /// The method.
        deliver: Deliver<'a>,
        /// Property list.
        properties: Properties<'a>,
        /// Body.
        body: &'a [u8],
    },
    /// A message that could not be routed.
    Return {
        /// Its channel.
        channel: u16,
        /// The method.
        returned: Return<'a>,
        /// Property list.
        properties: Properties<'a>,
        /// Body.
        body: &'a [u8],
    },
    /// The answer to a `basic.get`.
    GetOk {
        /// Its channel.
        channel: u16,
        /// The method.
        get_ok: GetOk<'a>,
        /// Property list.
        properties: Properties<'a>,
        /// Body.
        body: &'a [u8],
    },
    /// A publisher confirm.
    Ack {
        /// Its channel.
        channel: u16,
        /// Sequence number of the publish on its channel, from 1.
        delivery_tag: u64,
        /// All unconfirmed publishes up to the tag.
        multiple: bool,
    },
    /// A publisher confirm of a refused message.
    Nack {
        /// Its channel.
        channel: u16,
        /// Sequence number of the publish on its channel, from 1.
        delivery_tag: u64,
        /// All unconfirmed publishes up to the tag.
        multiple: bool,
        /// As sent; it means nothing in this direction.
        requeue: bool,
    },
    /// A channel is closed and its number free; the session has answered already.
    ChannelClosed {
        /// Its number.
        channel: u16,
        /// What the server said; `None` if it only answered our own close.
        close: Option<channel::Close>,
    },
    /// The connection is closed; the session has answered already. Nothing follows.
    ConnectionClosed {
        /// What the server said; `None` if it only answered our own close.
        close: Option<connection::Close>,
    },
    /// A heartbeat.
    Heartbeat,
}

/// A message of an [`OwnedClientEvent`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Exchange of the publish.
    pub exchange: Vec<u8>,
    /// Routing key of the publish.
    pub routing_key: Vec<u8>,
    /// Property list as on the wire, for [`Properties::parse`].
    pub properties: Vec<u8>,
    /// Body.
    pub body: Vec<u8>,
}

/// A [`ClientEvent`] that outlives the received bytes; one allocation per part, so for tests.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the fields are those of ClientEvent")]
pub enum OwnedClientEvent {
    /// See [`ClientEvent::Opened`].
    Opened { channel_max: u16, frame_max: u32, heartbeat_s: u16 },
    /// See [`ClientEvent::Method`].
    Method { channel: u16, method: AMQPClass },
    /// See [`ClientEvent::Deliver`].
    Deliver {
        channel: u16,
        consumer_tag: Vec<u8>,
        delivery_tag: u64,
        redelivered: bool,
        message: Message,
    },
    /// See [`ClientEvent::Return`].
    Return { channel: u16, reply_code: u16, reply_text: Vec<u8>, message: Message },
    /// See [`ClientEvent::GetOk`].
    GetOk {
        channel: u16,
        delivery_tag: u64,
        redelivered: bool,
        message_count: u32,
        message: Message,
    },
    /// See [`ClientEvent::Ack`].
    Ack { channel: u16, delivery_tag: u64, multiple: bool },
    /// See [`ClientEvent::Nack`].
    Nack { channel: u16, delivery_tag: u64, multiple: bool, requeue: bool },
    /// See [`ClientEvent::ChannelClosed`].
    ChannelClosed { channel: u16, close: Option<channel::Close> },
    /// See [`ClientEvent::ConnectionClosed`].
    ConnectionClosed { close: Option<connection::Close> },
    /// See [`ClientEvent::Heartbeat`].
    Heartbeat,
}

impl From<ClientEvent<'_>> for OwnedClientEvent {
    fn from(event: ClientEvent<'_>) -> Self {
        match event {
            ClientEvent::Opened { channel_max, frame_max, heartbeat_s } => {
                Self::Opened { channel_max, frame_max, heartbeat_s }
            }
            ClientEvent::Method { channel, method } => Self::Method { channel, method },
            ClientEvent::Deliver { channel, deliver, properties, body } => Self::Deliver {
                channel,
                consumer_tag: deliver.consumer_tag.to_vec(),
                delivery_tag: deliver.delivery_tag,
                redelivered: deliver.redelivered,
                message: Message::new(deliver.exchange, deliver.routing_key, properties, body),
            },
            ClientEvent::Return { channel, returned, properties, body } => Self::Return {
                channel,
                reply_code: returned.reply_code,
                reply_text: returned.reply_text.to_vec(),
                message: Message::new(returned.exchange, returned.routing_key, properties, body),
            },
            ClientEvent::GetOk { channel, get_ok, properties, body } => Self::GetOk {
                channel,
                delivery_tag: get_ok.delivery_tag,
                redelivered: get_ok.redelivered,
                message_count: get_ok.message_count,
                message: Message::new(get_ok.exchange, get_ok.routing_key, properties, body),
            },
            ClientEvent::Ack { channel, delivery_tag, multiple } => {
                Self::Ack { channel, delivery_tag, multiple }
            }
            ClientEvent::Nack { channel, delivery_tag, multiple, requeue } => {
                Self::Nack { channel, delivery_tag, multiple, requeue }
            }
            ClientEvent::ChannelClosed { channel, close } => Self::ChannelClosed { channel, close },
            ClientEvent::ConnectionClosed { close } => Self::ConnectionClosed { close },
            ClientEvent::Heartbeat => Self::Heartbeat,
        }
    }
}

impl Message {
    fn new(exchange: &[u8], routing_key: &[u8], properties: Properties<'_>, body: &[u8]) -> Self {
        Self {
            exchange: exchange.to_vec(),
            routing_key: routing_key.to_vec(),
            properties: properties.raw().to_vec(),
            body: body.to_vec(),
        }
    }
}

/// Why a session ended, or why it refused a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientError {
    /// The server broke the protocol; the session has said so with `connection.close`.
    Protocol(ProtocolError),
    /// The server answered with a protocol header: it does not speak 0-9-1.
    VersionRefused,
    /// The server does not offer the configured mechanism.
    MechanismNotOffered,
    /// The server asked for another round of authentication.
    ChallengeUnsupported,
    /// The server sends more of unfinished messages than the session may hold.
    MessageTooLarge,
    /// The session is not open yet, or not any more.
    NotOpened,
    /// A name has more than 255 octets.
    NameTooLong,
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protocol(error) => write!(f, "the server broke the protocol: {error}"),
            Self::VersionRefused => f.write_str("the server does not speak AMQP 0-9-1"),
            Self::MechanismNotOffered => f.write_str("the server does not offer the mechanism"),
            Self::ChallengeUnsupported => f.write_str("the server sent a SASL challenge"),
            Self::MessageTooLarge => f.write_str("unfinished messages exceed message_bytes_max"),
            Self::NotOpened => f.write_str("the session is not open"),
            Self::NameTooLong => f.write_str("a name has more than 255 octets"),
        }
    }
}

impl error::Error for ClientError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Protocol(error) => Some(error),
            _ => None,
        }
    }
}

impl From<ProtocolError> for ClientError {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error)
    }
}
