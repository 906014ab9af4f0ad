//! A message's frames are put together.

use bytes::Bytes;
use haremq_protocol::content::decode_content_header;
use haremq_protocol::frame::{Frame, FrameKind};
use haremq_protocol::properties::Properties;
use haremq_protocol::publish::{Publish, split_publish};
use haremq_protocol::refusal;
use haremq_protocol::reply::{ProtocolError, ReplyCode};

use super::Flow;
use super::channel::{Channel, Waiting};
use crate::event::ConnectionSlot;
use crate::limits::{
    BODY_COPY_BYTES_MAX, HALF_RECEIVED_BYTES_MAX, MESSAGE_BYTES_MAX, UNFINISHED_FAIR_BYTES,
    UNFINISHED_OVER_LIMIT_BYTES_MAX,
};
use crate::shard::Shard;

/// A publish whose content has not all come. Its buffers are kept for the channel's next one.
#[derive(Debug, Default)]
pub(crate) struct Partial {
    pub(crate) progress: Progress,
    pub(crate) exchange: Vec<u8>,
    pub(crate) routing_key: Vec<u8>,
    pub(crate) mandatory: bool,
    pub(crate) properties: Vec<u8>,
    pub(crate) body: Vec<u8>,
}

/// What a channel expects next.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Progress {
    /// A method.
    #[default]
    Method,
    /// The content header of a publish.
    Header,
    /// This many octets of body, of this many in all.
    Body { missing: u64, size: u64 },
}

/// Buffers above this are not kept for the next message.
const KEPT_BUFFER_BYTES_MAX: usize = 4 << 10;

/// A whole message as it was published.
#[derive(Clone, Copy)]
pub(crate) struct Message<'a> {
    pub(crate) publish: &'a Publish<'a>,
    pub(crate) properties: &'a Properties<'a>,
    pub(crate) body: &'a [u8],
    pub(crate) owned_body: Option<&'a Bytes>,
}

/// What became of the head of the input.
pub(crate) enum InPlace {
    /// It was a whole message, of so many octets, that was published or refused.
    Used(usize),
    /// It was a whole message that must wait; nothing was used.
    Pause,
    /// It is anything else, or not all there: take it frame by frame.
    FrameByFrame,
}

impl Channel {
    fn progress(&self) -> Progress {
        self.partial.as_ref().map_or(Progress::Method, |partial| partial.progress)
    }

    /// Whether a content frame is expected.
    pub(crate) fn is_in_content(&self) -> bool {
        self.progress() != Progress::Method
    }
}

impl Shard {
    /// Publishes straight from the receive buffer when method, header and at most one body frame
    /// are all there, on a channel that may publish now: the common case, in which nothing is
    /// copied before the queue's home. The connection must be running.
    pub(crate) fn publish_in_place(
        &mut self,
        slot: ConnectionSlot,
        input: &[u8],
        frame_max: u32,
    ) -> InPlace {
        let Some(whole) = split_publish(input, frame_max) else {
            return InPlace::FrameByFrame;
        };
        let Some(channel) = self.channel_at_publish(slot, whole.channel) else {
            return InPlace::FrameByFrame;
        };
        let message = Message {
            publish: &whole.publish,
            properties: &whole.properties,
            body: whole.body,
            owned_body: None,
        };
        let published = self.publish(slot, channel, &message);
        match self.conclude(channel, published) {
            Flow::Continue => InPlace::Used(whole.consumed),
            Flow::Pause => InPlace::Pause,
        }
    }

    /// The channel of this number, if nothing but the message itself can keep it from publishing.
    fn channel_at_publish(&mut self, slot: ConnectionSlot, number: u16) -> Option<u32> {
        let channel = self.connection_mut(slot).channel(number)?;
        let entry = &self.front.channels[channel as usize];
        let is_ready =
            entry.is_open() && !entry.is_in_content() && entry.waiting == Waiting::Nothing;
        (is_ready && !self.is_over_limit).then_some(channel)
    }

    /// A publish whose content comes later.
    pub(crate) fn begin_content(&mut self, channel: u32, publish: &Publish<'_>) {
        let channel = &mut self.front.channels[channel as usize];
        let partial = channel.partial.get_or_insert_default();
        assert_eq!(partial.progress, Progress::Method, "the caller has looked");
        partial.progress = Progress::Header;
        partial.exchange.clear();
        partial.exchange.extend_from_slice(publish.exchange);
        partial.routing_key.clear();
        partial.routing_key.extend_from_slice(publish.routing_key);
        partial.mandatory = publish.mandatory;
        // What is kept is the buffer, not what the last message held.
        partial.body.clear();
    }

    /// A frame on a channel that is in the middle of a content, or a content frame elsewhere.
    pub(crate) fn handle_content_frame(
        &mut self,
        slot: ConnectionSlot,
        channel: u32,
        frame: &Frame<'_>,
    ) -> Result<Flow, ProtocolError> {
        let progress = self.front.channels[channel as usize].progress();
        match (progress, frame.kind) {
            (Progress::Method, _) => Err(refusal::expected_method()),
            (Progress::Header, FrameKind::Header) => {
                self.handle_content_header(slot, channel, frame.payload)
            }
            (Progress::Header, _) => Err(refusal::expected_content_header()),
            (Progress::Body { missing, size }, FrameKind::Body) => {
                self.handle_body(slot, channel, frame.payload, missing, size)
            }
            (Progress::Body { .. }, _) => Err(refusal::expected_content_body()),
        }
    }

    fn handle_content_header(
        &mut self,
        slot: ConnectionSlot,
        channel: u32,
        payload: &[u8],
    ) -> Result<Flow, ProtocolError> {
        let head = decode_content_header(payload)?;
        let partial = self.partial(channel);
        partial.properties.clear();
        partial.properties.extend_from_slice(head.properties.raw());
        partial.body.clear();
        let size = head.body_size;
        if size > 0 {
            partial.progress = Progress::Body { missing: size, size };
            return Ok(Flow::Continue);
        }
        self.finish_content(slot, channel)
    }

    fn handle_body(
        &mut self,
        slot: ConnectionSlot,
        channel: u32,
        payload: &[u8],
        missing: u64,
        size: u64,
    ) -> Result<Flow, ProtocolError> {
        let length = payload.len() as u64;
        if length > missing {
            return Err(refusal::body_exceeds_announced());
        }
        // A body beyond the limit is not kept: its publish fails when it is complete (ERR-34).
        if size <= MESSAGE_BYTES_MAX {
            self.hold(slot, payload.len())?;
            let partial = self.partial(channel);
            // Exactly as large as announced, but never ahead of what has really come by more
            // than as much again.
            let room = partial.body.len().max(payload.len()).min(missing as usize);
            if partial.body.capacity() - partial.body.len() < payload.len() {
                partial.body.reserve_exact(room.max(payload.len()));
            }
            partial.body.extend_from_slice(payload);
        }
        let left = missing - length;
        self.partial(channel).progress = Progress::Body { missing: left, size };
        if left > 0 {
            return Ok(Flow::Continue);
        }
        let flow = self.finish_content(slot, channel);
        if matches!(flow, Ok(Flow::Pause)) {
            // The frame is looked at again: take its octets back.
            let partial = self.partial(channel);
            let before = partial.body.len().saturating_sub(payload.len());
            partial.body.truncate(before);
            partial.progress = Progress::Body { missing, size };
            self.release_held(slot, payload.len());
        }
        flow
    }

    /// All of a content is there: publish it.
    fn finish_content(
        &mut self,
        slot: ConnectionSlot,
        channel: u32,
    ) -> Result<Flow, ProtocolError> {
        let entry = &mut self.front.channels[channel as usize];
        let mut partial = entry.partial.take().expect("a content is being put together");
        let size = match partial.progress {
            Progress::Body { size, .. } => size,
            _ => 0,
        };
        if size > MESSAGE_BYTES_MAX {
            partial.progress = Progress::Method;
            return Err(super::publish::too_large(size));
        }
        let held = partial.body.len();
        let owned = take_large_body(&mut partial.body);
        let flow = self.publish_partial(slot, channel, &partial, owned.as_ref());
        if matches!(flow, Ok(Flow::Pause)) {
            if let Some(body) = owned {
                partial.body = body.into();
            }
        } else {
            partial.progress = Progress::Method;
            self.release_held(slot, held);
            shrink(&mut partial);
        }
        if let Some(entry) = self.front.channels.get_mut(channel as usize) {
            entry.partial = Some(partial);
        }
        flow
    }

    fn publish_partial(
        &mut self,
        slot: ConnectionSlot,
        channel: u32,
        partial: &Partial,
        owned_body: Option<&Bytes>,
    ) -> Result<Flow, ProtocolError> {
        let properties =
            Properties::parse(&partial.properties).expect("it was parsed when the header came");
        let publish = Publish {
            exchange: &partial.exchange,
            routing_key: &partial.routing_key,
            mandatory: partial.mandatory,
            immediate: false,
        };
        let body = owned_body.map_or(&partial.body[..], |body| &body[..]);
        let message = Message { publish: &publish, properties: &properties, body, owned_body };
        self.publish(slot, channel, &message)
    }

    /// Forgets a half-received message, as its channel ends.
    pub(crate) fn drop_content(&mut self, slot: ConnectionSlot, channel: u32) {
        let Some(partial) = self.front.channels[channel as usize].partial.take() else {
            return;
        };
        if partial.progress != Progress::Method {
            self.release_held(slot, partial.body.len());
        }
    }

    fn partial(&mut self, channel: u32) -> &mut Partial {
        let entry = &mut self.front.channels[channel as usize];
        entry.partial.as_mut().expect("a content is being put together")
    }

    /// Counts what a half-received message holds.
    fn hold(&mut self, slot: ConnectionSlot, bytes: usize) -> Result<(), ProtocolError> {
        let held = self.connection_mut(slot).half_received_bytes + bytes;
        if held > HALF_RECEIVED_BYTES_MAX {
            let text =
                format!("half-received messages hold more than {HALF_RECEIVED_BYTES_MAX} bytes");
            return Err(ProtocolError::new(ReplyCode::ResourceError, text));
        }
        if self.is_out_of_memory_for(held, bytes) {
            let text = format!("half-received messages hold {held} bytes, and memory is used up");
            return Err(ProtocolError::new(ReplyCode::ResourceError, text));
        }
        self.connection_mut(slot).half_received_bytes = held;
        self.front.buffered_bytes += bytes;
        self.front.unfinished_bytes += bytes;
        Ok(())
    }

    /// Whether what a connection has not finished may not grow by `bytes` to `held`.
    pub(crate) fn is_out_of_memory_for(&self, held: usize, bytes: usize) -> bool {
        self.is_over_limit
            && held > UNFINISHED_FAIR_BYTES
            && self.front.unfinished_bytes + bytes > UNFINISHED_OVER_LIMIT_BYTES_MAX
    }

    fn release_held(&mut self, slot: ConnectionSlot, bytes: usize) {
        let connection = self.connection_mut(slot);
        connection.half_received_bytes -= bytes;
        self.front.buffered_bytes -= bytes;
        self.front.unfinished_bytes -= bytes;
    }
}

/// A body that is too large to be copied moves on as a buffer of its own.
fn take_large_body(body: &mut Vec<u8>) -> Option<Bytes> {
    (body.len() > BODY_COPY_BYTES_MAX).then(|| Bytes::from(std::mem::take(body)))
}

fn shrink(partial: &mut Partial) {
    if partial.body.capacity() > KEPT_BUFFER_BYTES_MAX {
        partial.body = Vec::new();
    }
    if partial.properties.capacity() > KEPT_BUFFER_BYTES_MAX {
        partial.properties = Vec::new();
    }
}
