//! Content: the header frame and the body frames behind a method that carries a message.

use crate::{
    blank::{Blank, room_for, short_string_len},
    cursor::Cursor,
    frame::{CONTENT_HEADER_BYTES_MIN, FRAME_END, FRAME_OVERHEAD, FrameKind, write_head},
    properties::Properties,
    refusal,
    reply::ProtocolError,
};

/// Largest body that any message may announce, 512 MiB (ERR-31).
pub const BODY_BYTES_MAX: u64 = 536_870_912;

const CLASS_BASIC: u16 = 60;

/// Messages up to this, without the overhead of the body's frame, are written in one go. To prepare
/// the room for a body before it is copied costs less than a step more only if the body is short.
const SMALL_MESSAGE_BYTES_MAX: usize = 256;

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
    header_len + body_frames_bytes(frame_max, body_len)
}

/// Octets of the frames of a body. Most bodies take one frame, and a division is dear.
#[inline]
fn body_frames_bytes(frame_max: u32, body_len: usize) -> usize {
    let whole = body_payload_max(frame_max);
    let frames =
        if body_len <= whole { usize::from(body_len > 0) } else { body_len.div_ceil(whole) };
    body_len + frames * FRAME_OVERHEAD
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
    let header_len = CONTENT_HEADER_BYTES_MIN + properties.len();
    let blank_len = header_len + FRAME_OVERHEAD;
    out.reserve(room_for(blank_len) + body_frames_bytes(frame_max, body.len()));
    let mut blank = Blank::append(out, blank_len);
    blank.put_head(FrameKind::Header, channel, header_len);
    put_header_payload(&mut blank, properties, body.len());
    blank.put_last_end();
    write_body(out, channel, frame_max, body);
}

/// Appends a method of so many octets, which `put_method` puts, and its content, as
/// [`write_content`] does.
#[inline]
pub(crate) fn write_method_and_content(
    out: &mut Vec<u8>,
    channel: u16,
    frame_max: u32,
    method_len: usize,
    put_method: impl FnOnce(&mut Blank<'_>),
    properties: &[u8],
    body: &[u8],
) {
    let header_len = CONTENT_HEADER_BYTES_MIN + properties.len();
    let heads_len = method_len + header_len + 2 * FRAME_OVERHEAD;
    let is_small = heads_len + body.len() <= SMALL_MESSAGE_BYTES_MAX
        && body.len() <= body_payload_max(frame_max);
    let blank_len = if !is_small {
        out.reserve(room_for(heads_len) + body_frames_bytes(frame_max, body.len()));
        heads_len
    } else if body.is_empty() {
        heads_len
    } else {
        heads_len + FRAME_OVERHEAD + body.len()
    };
    let mut blank = Blank::append(out, blank_len);
    blank.put_head(FrameKind::Method, channel, method_len);
    put_method(&mut blank);
    blank.put_end_and_head(FrameKind::Header, channel, header_len);
    put_header_payload(&mut blank, properties, body.len());
    if is_small && !body.is_empty() {
        blank.put_end_and_head(FrameKind::Body, channel, body.len());
        blank.put_octets(body);
    }
    blank.put_last_end();
    if !is_small {
        write_body(out, channel, frame_max, body);
    }
}

#[inline]
fn put_header_payload(blank: &mut Blank<'_>, properties: &[u8], body_len: usize) {
    blank.put([0, 60, 0, 0]);
    blank.put((body_len as u64).to_be_bytes());
    blank.put_octets(properties);
}

fn write_body(out: &mut Vec<u8>, channel: u16, frame_max: u32, body: &[u8]) {
    for piece in body.chunks(body_payload_max(frame_max)) {
        write_head(out, FrameKind::Body, channel, piece.len());
        out.extend_from_slice(piece);
        out.push(FRAME_END);
    }
}

/// Appends a short string: a length octet and at most 255 octets.
#[inline]
pub(crate) fn write_short_string(out: &mut Vec<u8>, string: &[u8]) {
    out.push(short_string_len(string));
    out.extend_from_slice(string);
}

#[cfg(test)]
#[path = "content_tests.rs"]
mod tests;
