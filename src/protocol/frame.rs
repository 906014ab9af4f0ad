//! Frames: splitting a byte stream into them, in place, and the protocol header before them.

use crate::{refusal, reply::ProtocolError};

/// Last octet of every frame.
pub const FRAME_END: u8 = 0xCE;

/// Octets of a frame that are not payload: type, channel, size and the end octet.
pub const FRAME_OVERHEAD: usize = 8;

/// Octets before the payload.
pub const FRAME_HEAD_BYTES: usize = 7;

/// Smallest `frame_max` that may be negotiated (CONN-41).
pub const FRAME_MAX_LOWEST: u32 = 4_096;

/// The limit before `tune-ok` (WIRE-3).
pub const FRAME_MAX_INITIAL: u32 = 8_192;

/// Octets that every content header has before its property list.
pub(crate) const CONTENT_HEADER_BYTES_MIN: usize = 12;

const METHOD_BYTES_MIN: usize = 4;

/// `AMQP` 0 0 9 1, what a client begins with and what a server answers to anything else.
pub const PROTOCOL_HEADER: [u8; 8] = *b"AMQP\x00\x00\x09\x01";

/// 0-9 in the older order of the octets; RabbitMQ treats it as 0-9-1 (CONN-1).
const PROTOCOL_HEADER_0_9: [u8; 8] = *b"AMQP\x01\x01\x00\x09";

/// Type of a frame (WIRE-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// 1
    Method,
    /// 2, a content header.
    Header,
    /// 3, a piece of a content body.
    Body,
    /// 8
    Heartbeat,
}

impl FrameKind {
    /// The type octet.
    #[must_use]
    pub const fn octet(self) -> u8 {
        match self {
            Self::Method => 1,
            Self::Header => 2,
            Self::Body => 3,
            Self::Heartbeat => 8,
        }
    }

    #[inline]
    const fn from_octet(octet: u8) -> Option<Self> {
        match octet {
            1 => Some(Self::Method),
            2 => Some(Self::Header),
            3 => Some(Self::Body),
            8 => Some(Self::Heartbeat),
            _ => None,
        }
    }

    /// A frame of this type may have this channel and this length of its payload.
    #[inline]
    const fn allows(self, channel: u16, payload_len: usize) -> bool {
        match self {
            Self::Method => payload_len >= METHOD_BYTES_MIN,
            Self::Header => payload_len >= CONTENT_HEADER_BYTES_MIN,
            Self::Body => true,
            Self::Heartbeat => payload_len == 0 && channel == 0,
        }
    }
}

/// One frame, borrowed from the receive buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Type.
    pub kind: FrameKind,
    /// Channel number; 0 is the connection itself.
    pub channel: u16,
    /// What is between head and end octet.
    pub payload: &'a [u8],
}

/// What is at the head of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split<'a> {
    /// A whole frame.
    Complete {
        /// The frame.
        frame: Frame<'a>,
        /// Octets of the input that it takes.
        consumed: usize,
    },
    /// Not yet a frame.
    Incomplete {
        /// Octets of the whole frame if its head is there, else of a head (7).
        needed: usize,
    },
}

/// Splits the frame at the head of `input` off.
///
/// A payload of up to `frame_max` octets is accepted, 8 more than a correct sender uses (WIRE-2);
/// `frame_max` 0 means no limit. A complete frame is well formed for its type: a method payload
/// has its ids, a content header its fixed part, a heartbeat no payload and channel 0.
///
/// # Errors
/// ERR-21 as soon as the 7 octet head is there; ERR-20, ERR-22 and ERR-32 with the whole frame.
#[inline]
pub fn split_frame(input: &[u8], frame_max: u32) -> Result<Split<'_>, ProtocolError> {
    let Some((head, rest)) = input.split_first_chunk::<FRAME_HEAD_BYTES>() else {
        return Ok(Split::Incomplete { needed: FRAME_HEAD_BYTES });
    };
    let [frame_type, c0, c1, s0, s1, s2, s3] = *head;
    let payload_bytes = u32::from_be_bytes([s0, s1, s2, s3]);
    if payload_bytes > frame_max && frame_max != 0 {
        return Err(refusal::frame_too_large(frame_type, payload_bytes, frame_max));
    }
    let payload_len = payload_bytes as usize;
    let Some((payload, [end, ..])) = rest.split_at_checked(payload_len) else {
        return Ok(Split::Incomplete { needed: payload_len + FRAME_OVERHEAD });
    };
    let channel = u16::from_be_bytes([c0, c1]);
    match FrameKind::from_octet(frame_type) {
        Some(kind) if *end == FRAME_END && kind.allows(channel, payload_len) => {
            let frame = Frame { kind, channel, payload };
            Ok(Split::Complete { frame, consumed: payload_len + FRAME_OVERHEAD })
        }
        _ => Err(refuse(frame_type, channel, payload, *end)),
    }
}

/// Takes the frame at the head of `input` if it is whole, well formed, and of this type and
/// channel; returns its payload. [`split_frame`] would find the same; it also says what else there
/// is. The caller looks at how long the payload of a method or a content header is.
#[inline]
pub(crate) fn take_frame<'a>(
    input: &mut &'a [u8],
    kind: FrameKind,
    channel: u16,
    frame_max: u32,
) -> Option<&'a [u8]> {
    // A frame has no fewer octets than this number, whose lowest one is behind the head.
    let head = u64::from_be_bytes(*input.first_chunk()?) >> 8;
    let kind_and_channel = u64::from(kind.octet()) << 16 | u64::from(channel);
    let payload_bytes = head & u64::from(u32::MAX);
    let is_too_large = payload_bytes > u64::from(frame_max) && frame_max != 0;
    if head >> 32 != kind_and_channel || is_too_large {
        return None;
    }
    let payload_len = usize::try_from(payload_bytes).ok()?;
    let (payload, rest) = input[FRAME_HEAD_BYTES..].split_at_checked(payload_len)?;
    let (&end, rest) = rest.split_first()?;
    *input = rest;
    (end == FRAME_END).then_some(payload)
}

/// Names what is wrong with a whole frame, in RabbitMQ's order of checks.
#[cold]
fn refuse(frame_type: u8, channel: u16, payload: &[u8], end: u8) -> ProtocolError {
    if end != FRAME_END {
        return refusal::invalid_frame_end(frame_type, payload, end);
    }
    match FrameKind::from_octet(frame_type) {
        Some(kind @ FrameKind::Heartbeat) if payload.is_empty() => {
            refusal::unexpected_frame(&Frame { kind, channel, payload })
        }
        _ => refusal::unknown_frame(frame_type, payload),
    }
}

/// Appends a heartbeat frame (WIRE-6).
pub fn write_heartbeat(out: &mut Vec<u8>) {
    out.extend_from_slice(&[FrameKind::Heartbeat.octet(), 0, 0, 0, 0, 0, 0, FRAME_END]);
}

/// Appends the 7 octets before a payload. The caller appends payload and [`FRAME_END`].
#[inline]
pub(crate) fn write_head(out: &mut Vec<u8>, kind: FrameKind, channel: u16, payload_len: usize) {
    let size = u32::try_from(payload_len).expect("a payload's size fits its field");
    let [c0, c1] = channel.to_be_bytes();
    let [s0, s1, s2, s3] = size.to_be_bytes();
    out.extend_from_slice(&[kind.octet(), c0, c1, s0, s1, s2, s3]);
}

/// What a client's first octets are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderCheck {
    /// The 8 octets of 0-9-1 (or 0-9) are there.
    Accepted,
    /// All octets so far are right.
    Incomplete,
    /// An octet is wrong: answer with [`PROTOCOL_HEADER`] and close (CONN-1, CONN-2).
    Mismatch,
}

/// Checks the protocol header at the head of `input`, and tells a mismatch at the first octet
/// that no accepted header has (CONN-1).
#[must_use]
pub fn check_protocol_header(input: &[u8]) -> HeaderCheck {
    let seen = &input[..input.len().min(PROTOCOL_HEADER.len())];
    let is_possible = PROTOCOL_HEADER.starts_with(seen) || PROTOCOL_HEADER_0_9.starts_with(seen);
    match (is_possible, seen.len() == PROTOCOL_HEADER.len()) {
        (true, true) => HeaderCheck::Accepted,
        (true, false) => HeaderCheck::Incomplete,
        (false, _) => HeaderCheck::Mismatch,
    }
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
