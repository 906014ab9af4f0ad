//! Content: the header frame and the body frames behind a method that carries a message.

use crate::{
    cursor::Cursor,
    frame::{CONTENT_HEADER_BYTES_MIN, FRAME_END, FRAME_OVERHEAD, FrameKind, write_head},
    properties::Properties,
    refusal,
    reply::ProtocolError,
};

/// Largest body that any message may announce, 512 MiB (ERR-31).
pub const BODY_BYTES_MAX: u64 = 536_870_912;

const CLASS_BASIC: u16 = 60;

/// A content header. Its property list borrows from the frame and is kept verbatim (WIRE-12).
#[derive(Clone, Copy, Debug)]
pub struct ContentHeader<'a> {
    /// Octets of the body in all its frames, at most [`BODY_BYTES_MAX`].
    pub body_size: u64,
    /// The checked property list.
    pub properties: Properties<'a>,
}

/// Decodes the payload of a content header frame. Nothing is reserved for the announced body.
///
/// # Errors
/// 505 for another class or a weight (ERR-28, ERR-28b), 501 for a body size over 512 MiB
/// (ERR-31), 502 for a malformed property list (WIRE-20, ERR-25b). All name `basic.publish`.
#[inline]
pub fn decode_content_header(payload: &[u8]) -> Result<ContentHeader<'_>, ProtocolError> {
    let mut cursor = Cursor::new(payload);
    let fixed = (cursor.short(), cursor.short(), cursor.long_long());
    let (Some(class_id), Some(weight), Some(body_size)) = fixed else {
        return Err(refusal::unknown_frame(FrameKind::Header.octet(), payload));
    };
    if class_id != CLASS_BASIC {
        return Err(refusal::content_header_of_class(class_id));
    }
    if weight != 0 {
        return Err(refusal::expected_content_header());
    }
    if body_size > BODY_BYTES_MAX {
        return Err(refusal::body_too_large(body_size));
    }
    let properties = Properties::parse(cursor.rest)?;
    Ok(ContentHeader { body_size, properties })
}

/// Octets that [`write_content`] appends.
#[inline]
pub(crate) fn content_bytes(frame_max: u32, properties_len: usize, body_len: usize) -> usize {
    let header_len = FRAME_OVERHEAD + CONTENT_HEADER_BYTES_MIN + properties_len;
    header_len + body_len + body_len.div_ceil(body_payload_max(frame_max)) * FRAME_OVERHEAD
}

/// Octets of a body in one frame (WIRE-2).
#[inline]
fn body_payload_max(frame_max: u32) -> usize {
    let whole = if frame_max == 0 { u32::MAX } else { frame_max } as usize;
    assert!(whole > FRAME_OVERHEAD, "a frame has room for an octet");
    whole - FRAME_OVERHEAD
}

/// Appends a content header frame and the body frames, split at `frame_max - 8`; an empty body
/// has none (WIRE-4). `frame_max` 0 means no limit. The header cannot be split: `properties` has
/// come in through a frame, or is kept small by who made it.
pub fn write_content(
    out: &mut Vec<u8>,
    channel: u16,
    frame_max: u32,
    properties: &[u8],
    body: &[u8],
) {
    let payload_len = CONTENT_HEADER_BYTES_MIN + properties.len();
    write_head(out, FrameKind::Header, channel, payload_len);
    out.extend_from_slice(&[0, 60, 0, 0]);
    out.extend_from_slice(&(body.len() as u64).to_be_bytes());
    out.extend_from_slice(properties);
    out.push(FRAME_END);
    for piece in body.chunks(body_payload_max(frame_max)) {
        write_head(out, FrameKind::Body, channel, piece.len());
        out.extend_from_slice(piece);
        out.push(FRAME_END);
    }
}

/// Appends a short string: a length octet and at most 255 octets.
#[inline]
pub(crate) fn write_short_string(out: &mut Vec<u8>, string: &[u8]) {
    let len = u8::try_from(string.len()).expect("a short string has at most 255 octets");
    out.push(len);
    out.extend_from_slice(string);
}

#[cfg(test)]
#[path = "content_tests.rs"]
mod tests;
