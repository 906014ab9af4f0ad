//! The fixed refusals of framing and of content sequences (ERR-20 to ERR-33), with their exact
//! texts. The sequence ones are for the connection, which knows what frame it expects next.

use crate::{
    content::BODY_BYTES_MAX,
    frame::{FRAME_OVERHEAD, Frame},
    octets::{Numbers, Term},
    reply::{ProtocolError, ReplyCode},
};

const SNIPPET_BYTES_MAX: usize = 16;

const PUBLISH: (u16, u16) = (60, 40);

/// ERR-23, ERR-32: a frame that its channel or state does not allow.
#[must_use]
#[cold]
pub fn unexpected_frame(frame: &Frame<'_>) -> ProtocolError {
    let text = frame_snippet(frame.kind.octet(), frame.payload);
    ProtocolError::new(ReplyCode::UnexpectedFrame, text)
}

/// ERR-26, ERR-28c: a header or body frame where a method is expected.
#[must_use]
#[cold]
pub fn expected_method() -> ProtocolError {
    let text = "expected method frame, got non method frame instead";
    ProtocolError::new(ReplyCode::UnexpectedFrame, text)
}

/// ERR-27, ERR-28b: a publish is not followed by its content header.
#[must_use]
#[cold]
pub fn expected_content_header() -> ProtocolError {
    let text = "expected content header for class 60, got non content header frame instead";
    ProtocolError::new(ReplyCode::UnexpectedFrame, text).of(PUBLISH.0, PUBLISH.1)
}

/// ERR-28: a content header of another class.
#[must_use]
#[cold]
pub fn content_header_of_class(class_id: u16) -> ProtocolError {
    let text =
        format!("expected content header for class 60, got one for class {class_id} instead");
    ProtocolError::new(ReplyCode::UnexpectedFrame, text).of(PUBLISH.0, PUBLISH.1)
}

/// ERR-29: another frame while body octets are missing.
#[must_use]
#[cold]
pub fn expected_content_body() -> ProtocolError {
    let text = "expected content body, got non content body frame instead";
    ProtocolError::new(ReplyCode::UnexpectedFrame, text).of(PUBLISH.0, PUBLISH.1)
}

/// ERR-30: more body octets than the header announced.
#[must_use]
#[cold]
pub fn body_exceeds_announced() -> ProtocolError {
    let text = "content body frame exceeds remaining content size";
    ProtocolError::new(ReplyCode::FrameError, text).of(PUBLISH.0, PUBLISH.1)
}

/// ERR-31: a content header that announces more than any message may have.
#[must_use]
#[cold]
pub fn body_too_large(body_size: u64) -> ProtocolError {
    let text =
        format!("content body size {body_size} exceeds maximum allowed size {BODY_BYTES_MAX}");
    ProtocolError::new(ReplyCode::FrameError, text).of(PUBLISH.0, PUBLISH.1)
}

/// ERR-24, and a method that only the other side may send.
#[must_use]
#[cold]
pub fn unimplemented_method(class_id: u16, method_id: u16) -> ProtocolError {
    ProtocolError::new(ReplyCode::CommandInvalid, "unimplemented method").of(class_id, method_id)
}

/// ERR-20: a frame type that does not exist, or a payload too short or too long for its type.
#[cold]
pub(crate) fn unknown_frame(frame_type: u8, payload: &[u8]) -> ProtocolError {
    let text = format!("{}: unknown_frame", frame_snippet(frame_type, payload));
    ProtocolError::new(ReplyCode::FrameError, text)
}

/// ERR-21. The limit is printed as the largest payload a correct sender may use.
#[cold]
pub(crate) fn frame_too_large(frame_type: u8, payload_bytes: u32, frame_max: u32) -> ProtocolError {
    let limit = frame_max as usize - FRAME_OVERHEAD.min(frame_max as usize);
    let snippet = frame_snippet(frame_type, &[]);
    let text = format!("{snippet}: {{frame_too_large,{payload_bytes},{limit}}}");
    ProtocolError::new(ReplyCode::FrameError, text)
}

/// ERR-22
#[cold]
pub(crate) fn invalid_frame_end(frame_type: u8, payload: &[u8], end: u8) -> ProtocolError {
    let snippet = frame_snippet(frame_type, payload);
    let text = format!("{snippet}: {{invalid_frame_end_marker,{end}}}");
    ProtocolError::new(ReplyCode::FrameError, text)
}

/// ERR-25: `payload` is a whole method payload; the text prints the fields behind the ids.
#[cold]
pub(crate) fn cannot_decode(payload: &[u8]) -> ProtocolError {
    let fields = payload.get(4..).unwrap_or_default();
    let text = format!("cannot decode {}", Numbers(fields));
    method_error(payload, ReplyCode::FrameError, &text)
}

/// ERR-33
#[cold]
pub(crate) fn malformed_utf8(payload: &[u8], string: &[u8]) -> ProtocolError {
    let text = format!("Malformed UTF-8 in shortstr {}", Numbers(string));
    method_error(payload, ReplyCode::FrameError, &text)
}

fn method_error(payload: &[u8], code: ReplyCode, text: &str) -> ProtocolError {
    let (class_id, method_id) = crate::method::method_ids(payload).unwrap_or((0, 0));
    ProtocolError::new(code, text).of(class_id, method_id)
}

fn frame_snippet(frame_type: u8, payload: &[u8]) -> String {
    match payload.get(..SNIPPET_BYTES_MAX) {
        Some(first) if payload.len() > SNIPPET_BYTES_MAX => {
            format!("type {frame_type}, first {SNIPPET_BYTES_MAX} octets = {}", Term(first))
        }
        _ => format!("type {frame_type}, all octets = {}", Term(payload)),
    }
}
