//! `basic.publish`, alone and with its content.

use crate::{
    content::{self, BODY_BYTES_MAX, write_content},
    cursor::{Cursor, is_text},
    frame::{FRAME_END, FRAME_OVERHEAD, FrameKind, take_frame, write_head},
    properties::Properties,
    refusal,
    reply::ProtocolError,
};

const MANDATORY: u8 = 1;
const IMMEDIATE: u8 = 2;

/// Class and method id.
const PUBLISH_IDS: [u8; 4] = [0, 60, 0, 40];
/// Class id and weight of its content header.
const HEADER_START: [u8; 4] = [0, 60, 0, 0];

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

    /// Always inlined: as a call it would pass the fields through memory, in pieces that the
    /// processor cannot forward from one to the other.
    #[inline(always)]
    fn read(mut cursor: Cursor<'a>) -> Option<Self> {
        let _ticket = cursor.short()?;
        let exchange = cursor.short_string()?;
        let routing_key = cursor.short_string()?;
        let bits = cursor.octet()?;
        let (mandatory, immediate) = (bits & MANDATORY != 0, bits & IMMEDIATE != 0);
        cursor.is_empty().then_some(Self { exchange, routing_key, mandatory, immediate })
    }
}

/// A publish with all of its content, borrowed from the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WholePublish<'a> {
    /// Channel number of its frames.
    pub channel: u16,
    /// Fields of its method.
    pub publish: Publish<'a>,
    /// Checked property list.
    pub properties: Properties<'a>,
    /// Body, at most [`BODY_BYTES_MAX`] octets.
    pub body: &'a [u8],
    /// Octets of the input that its frames take.
    pub consumed: usize,
}

/// Splits a publish with its content off the head of `input`, if all of it is there and the body
/// came in one frame, or is empty and came in none.
///
/// `None` says nothing about what else is there, or what is wrong with it: then
/// [`crate::frame::split_frame`] and the decoders of the payloads tell, which would also find the
/// very same here, in more steps. `frame_max` is as there.
#[inline]
#[must_use]
pub fn split_publish(input: &[u8], frame_max: u32) -> Option<WholePublish<'_>> {
    let [_, c0, c1, ..] = *input else { return None };
    let channel = u16::from_be_bytes([c0, c1]);
    let mut rest = input;
    let method = take_frame(&mut rest, FrameKind::Method, channel, frame_max)?;
    let fields = method.strip_prefix(&PUBLISH_IDS)?;
    let header = take_frame(&mut rest, FrameKind::Header, channel, frame_max)?;
    let (size, list) = header.strip_prefix(&HEADER_START)?.split_first_chunk()?;
    let body_size = u64::from_be_bytes(*size);
    let body = match body_size {
        0 => &[][..],
        _ => take_frame(&mut rest, FrameKind::Body, channel, frame_max)?,
    };
    if body.len() as u64 != body_size || body_size > BODY_BYTES_MAX {
        return None;
    }
    // What takes longer comes last: what is not all there is looked at again.
    let publish = Publish::read(Cursor::new(fields))?;
    // One look at all fields suffices nearly always.
    let is_text = fields.is_ascii() || (is_text(publish.exchange) && is_text(publish.routing_key));
    if !is_text {
        return None;
    }
    // Apart, so that only what is rare is handed over in memory.
    let properties = match Properties::parse_short(list) {
        Some(properties) => properties,
        None => Properties::parse(list).ok()?,
    };
    let consumed = input.len() - rest.len();
    Some(WholePublish { channel, publish, properties, body, consumed })
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
    out.extend_from_slice(&PUBLISH_IDS);
    out.extend_from_slice(&[0, 0]);
    content::write_short_string(out, exchange);
    content::write_short_string(out, routing_key);
    out.extend_from_slice(&[u8::from(mandatory) * MANDATORY, FRAME_END]);
    write_content(out, channel, frame_max, properties, body);
}

#[cfg(test)]
#[path = "publish_tests.rs"]
mod tests;
