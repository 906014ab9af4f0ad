//! What a client session announces about itself.

use crate::{
    frame::FRAME_MAX_INITIAL,
    sasl::{Credentials, write_amqplain, write_plain},
    types::{AMQPValue, FieldTable, ShortString},
};

/// SASL mechanisms that the session speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// CONN-20
    Plain,
    /// CONN-21
    Amqplain,
}

impl Mechanism {
    /// The name in `connection.start` and `start-ok`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Amqplain => "AMQPLAIN",
        }
    }

    pub(super) fn response(self, credentials: &Credentials<'_>) -> Vec<u8> {
        let mut response = Vec::new();
        match self {
            Self::Plain => write_plain(&mut response, credentials),
            Self::Amqplain => write_amqplain(&mut response, credentials),
        }
        response
    }
}

/// Settings of a session, fixed when it starts.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientConfig {
    /// User name.
    pub user: Vec<u8>,
    /// Password.
    pub password: Vec<u8>,
    /// How both are sent.
    pub mechanism: Mechanism,
    /// Virtual host to open.
    pub virtual_host: ShortString,
    /// Channels wanted; 0 takes the server's limit. The lower of the two counts.
    pub channel_max: u16,
    /// Octets of a frame wanted; 0 takes the server's limit. The lower of the two counts.
    pub frame_max: u32,
    /// Heartbeat timeout in seconds, sent as it is; 0 is off.
    pub heartbeat_s: u16,
    /// `client-properties`
    pub properties: FieldTable,
    /// Octets of all unfinished messages together that the server may make the session hold.
    pub message_bytes_max: usize,
}

impl Default for ClientConfig {
    /// `guest` at `/`, no heartbeats, with the capabilities of a present client.
    fn default() -> Self {
        Self {
            user: b"guest".to_vec(),
            password: b"guest".to_vec(),
            mechanism: Mechanism::Plain,
            virtual_host: ShortString::from("/"),
            channel_max: 0,
            frame_max: 131_072,
            heartbeat_s: 0,
            properties: default_properties(),
            message_bytes_max: 256 << 20,
        }
    }
}

impl ClientConfig {
    pub(super) fn credentials(&self) -> Credentials<'_> {
        Credentials { user: &self.user, password: &self.password }
    }

    /// The limit for received frames if `frame_max` is negotiated, or wanted before `tune`:
    /// without a limit what bounds messages bounds frames too.
    pub(super) fn frame_max_bounded(&self, frame_max: u32) -> u32 {
        let bound = u32::try_from(self.message_bytes_max).unwrap_or(u32::MAX);
        let limit = if frame_max == 0 { bound } else { frame_max };
        limit.max(FRAME_MAX_INITIAL)
    }
}

fn default_properties() -> FieldTable {
    let mut capabilities = FieldTable::default();
    for name in [
        "authentication_failure_close",
        "basic.nack",
        "connection.blocked",
        "consumer_cancel_notify",
        "publisher_confirms",
    ] {
        capabilities.insert(ShortString::from(name), AMQPValue::Boolean(true));
    }
    let product = AMQPValue::LongString("HareMQ client".into());
    let mut properties = FieldTable::default();
    properties.insert(ShortString::from("product"), product);
    properties.insert(ShortString::from("capabilities"), AMQPValue::FieldTable(capabilities));
    properties
}
