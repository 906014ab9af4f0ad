//! Putting a message together: from one slice without a copy, or over several frames.

use super::event::ClientEvent;
use crate::{
    content::{ContentHeader, decode_content_header},
    deliver::{Deliver, GetOk, Return},
    frame::{Frame, FrameKind, Split, split_frame},
    method::{ServerMethod, decode_server_method},
    properties::Properties,
};

/// A method that carries content.
#[derive(Clone, Copy, Debug)]
pub(super) enum Carrier<'a> {
    Deliver(Deliver<'a>),
    Return(Return<'a>),
    GetOk(GetOk<'a>),
}

impl<'a> Carrier<'a> {
    pub(super) fn event(
        self,
        channel: u16,
        properties: Properties<'a>,
        body: &'a [u8],
    ) -> ClientEvent<'a> {
        match self {
            Self::Deliver(deliver) => ClientEvent::Deliver { channel, deliver, properties, body },
            Self::Return(returned) => ClientEvent::Return { channel, returned, properties, body },
            Self::GetOk(get_ok) => ClientEvent::GetOk { channel, get_ok, properties, body },
        }
    }
}

/// Content that follows its method in one slice.
pub(super) struct Whole<'a> {
    pub(super) header: ContentHeader<'a>,
    pub(super) body: &'a [u8],
    pub(super) consumed: usize,
}

/// The content at the head of `input` if it is complete, has at most one body frame of at most
/// `room` octets and nothing is wrong with it. Everything else is for [`Assembly`], which also
/// finds the errors.
#[inline]
pub(super) fn whole_content(
    input: &[u8],
    channel: u16,
    frame_max: u32,
    room: usize,
) -> Option<Whole<'_>> {
    let (frame, header_bytes) = next_frame(input, FrameKind::Header, channel, frame_max)?;
    let header = decode_content_header(frame.payload).ok()?;
    if header.body_size == 0 {
        return Some(Whole { header, body: &[], consumed: header_bytes });
    }
    let rest = &input[header_bytes..];
    let (frame, body_bytes) = next_frame(rest, FrameKind::Body, channel, frame_max)?;
    let is_whole = frame.payload.len() as u64 == header.body_size && frame.payload.len() <= room;
    is_whole.then_some(Whole { header, body: frame.payload, consumed: header_bytes + body_bytes })
}

#[inline]
fn next_frame(
    input: &[u8],
    kind: FrameKind,
    channel: u16,
    frame_max: u32,
) -> Option<(Frame<'_>, usize)> {
    match split_frame(input, frame_max) {
        Ok(Split::Complete { frame, consumed })
            if frame.kind == kind && frame.channel == channel =>
        {
            Some((frame, consumed))
        }
        _ => None,
    }
}

/// What a channel expects next.
///
/// ```text
/// Idle ──method──► Header ──header──► Body ──last octet──► Idle
///                     └──header of an empty body──► Idle
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Idle,
    Header,
    Body { size: usize },
}

/// The unfinished message of a channel. Its buffers are reused from message to message.
#[derive(Debug)]
pub(super) struct Assembly {
    pub(super) stage: Stage,
    method: Vec<u8>,
    header: Vec<u8>,
    pub(super) body: Vec<u8>,
}

/// Capacity that an idle channel keeps for the next body.
const KEPT_BYTES_MAX: usize = 256 << 10;

/// Capacity reserved on the announcement alone.
const RESERVED_BYTES_MAX: usize = 64 << 10;

impl Assembly {
    pub(super) fn new() -> Self {
        Self { stage: Stage::Idle, method: Vec::new(), header: Vec::new(), body: Vec::new() }
    }

    pub(super) fn begin(&mut self, method: &[u8]) {
        assert!(self.stage == Stage::Idle);
        self.method.clear();
        self.method.extend_from_slice(method);
        self.stage = Stage::Header;
    }

    /// Keeps a checked header.
    pub(super) fn set_header(&mut self, payload: &[u8], size: usize) {
        assert!(self.stage == Stage::Header);
        self.header.clear();
        self.header.extend_from_slice(payload);
        self.body.clear();
        self.body.reserve(size.min(RESERVED_BYTES_MAX));
        self.stage = Stage::Body { size };
    }

    pub(super) fn is_complete(&self) -> bool {
        matches!(self.stage, Stage::Body { size } if size == self.body.len())
    }

    /// The complete message, as an event.
    pub(super) fn event(&self, channel: u16) -> ClientEvent<'_> {
        assert!(self.is_complete());
        let header = decode_content_header(&self.header).expect("the header was checked");
        let carrier = match decode_server_method(&self.method).expect("the method was checked") {
            ServerMethod::Deliver(deliver) => Carrier::Deliver(deliver),
            ServerMethod::Return(returned) => Carrier::Return(returned),
            ServerMethod::GetOk(get_ok) => Carrier::GetOk(get_ok),
            _ => unreachable!("only methods with content are kept"),
        };
        carrier.event(channel, header.properties, &self.body)
    }

    pub(super) fn end(&mut self) {
        self.stage = Stage::Idle;
        self.body.clear();
        self.body.shrink_to(KEPT_BYTES_MAX);
    }
}
