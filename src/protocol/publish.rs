//! `basic.publish`.

use crate::{
    content::{self, write_content},
    cursor::{Cursor, is_text},
    frame::{FRAME_END, FRAME_OVERHEAD, FrameKind, write_head},
    refusal,
    reply::ProtocolError,
};

const MANDATORY: u8 = 1;
const IMMEDIATE: u8 = 2;

/// Ids, ticket, two lengths and bits.
const FIXED_BYTES: usize = 4 + 2 + 1 + 1 + 1;

/// The fields of a `basic.publish`. Both names are UTF-8 (WIRE-13) and at most 255 octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    /// Exchange; empty is the default exchange.
    pub exchange: &'a [u8],
    /// Routing key.
    pub routing_key: &'a [u8],
    /// Return the message if no queue gets it.
    pub mandatory: bool,
    /// Not supported by any broker of this family: the caller refuses it with 540.
    pub immediate: bool,
}

impl<'a> Publish<'a> {
    pub(crate) const METHOD_ID: u16 = 40;

    #[inline]
    pub(crate) fn decode(payload: &'a [u8]) -> Result<Self, ProtocolError> {
        let Some(publish) = Self::read(Cursor::new(&payload[4..])) else {
            return Err(refusal::cannot_decode(payload));
        };
        for name in [publish.exchange, publish.routing_key] {
            if !is_text(name) {
                return Err(refusal::malformed_utf8(payload, name));
            }
        }
        Ok(publish)
    }

    #[inline]
    fn read(mut cursor: Cursor<'a>) -> Option<Self> {
        let _ticket = cursor.short()?;
        let exchange = cursor.short_string()?;
        let routing_key = cursor.short_string()?;
        let bits = cursor.octet()?;
        let (mandatory, immediate) = (bits & MANDATORY != 0, bits & IMMEDIATE != 0);
        cursor.is_empty().then_some(Self { exchange, routing_key, mandatory, immediate })
    }
}

/// Appends a `basic.publish` and its content, as a client does.
///
/// `properties` is a property list as on the wire ([`crate::properties::Properties::raw`]);
/// `frame_max` 0 means no limit.
#[expect(clippy::too_many_arguments, reason = "the fields of one message, without a detour")]
pub fn write_publish(
    out: &mut Vec<u8>,
    channel: u16,
    frame_max: u32,
    exchange: &[u8],
    routing_key: &[u8],
    mandatory: bool,
    properties: &[u8],
    body: &[u8],
) {
    let payload_len = FIXED_BYTES + exchange.len() + routing_key.len();
    let content_len = content::content_bytes(frame_max, properties.len(), body.len());
    out.reserve(payload_len + FRAME_OVERHEAD + content_len);
    write_head(out, FrameKind::Method, channel, payload_len);
    out.extend_from_slice(&[0, 60, 0, 40, 0, 0]);
    content::write_short_string(out, exchange);
    content::write_short_string(out, routing_key);
    out.extend_from_slice(&[u8::from(mandatory) * MANDATORY, FRAME_END]);
    write_content(out, channel, frame_max, properties, body);
}
