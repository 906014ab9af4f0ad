//! One connection of a relay.

use std::collections::VecDeque;

use haremq_protocol::ack::write_ack;
use haremq_protocol::frame::{
    FRAME_END, FRAME_HEAD_BYTES, FRAME_OVERHEAD, Frame, FrameKind, PROTOCOL_HEADER,
};
use haremq_protocol::method::{
    AMQPClass, ClientMethod, basic, confirm, connection, decode_client_method, write_method,
};
use haremq_protocol::publish::Publish;
use haremq_reactor::SocketId;

use crate::options::{Fault, RelayMode};
use crate::relay::answer::{answer, write_refusal, write_start};
use crate::relay::fault::Faults;
use crate::relay::queue::OneQueue;
use crate::walker::{Part, Walker};

const FRAME_MAX: u32 = 131_072;
const PUBLISH_IDS: [u8; 4] = [0, 60, 0, 40];

/// What a connection turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Nothing,
    /// It consumes from now on.
    Consumer,
    /// It takes its leave, and consumes no more.
    ConsumerLeft,
    /// It publishes for the first time, and needs a target.
    Publisher,
    /// It is over.
    End,
}

/// What all connections of a relay have in common.
#[derive(Debug)]
pub(crate) struct Commons {
    pub(crate) faults: Faults,
    pub(crate) queue: OneQueue,
}

impl Commons {
    pub(crate) fn new(fault: Option<Fault>) -> Commons {
        Commons { faults: Faults::new(fault), queue: OneQueue::default() }
    }
}

/// What goes to a connection. Taken out of it while a publisher writes into it.
#[derive(Debug, Default)]
pub(crate) struct Outlet {
    pub(crate) out: Vec<u8>,
    pub(crate) sent: usize,
    consumer: Option<Consumer>,
}

#[derive(Debug, Default)]
struct Consumer {
    channel: u16,
    tag: Vec<u8>,
    no_ack: bool,
    next_tag: u64,
    /// R2: deliveries from `first_unacked` on, and whether each is acknowledged.
    first_unacked: u64,
    is_acked: VecDeque<bool>,
}

impl Consumer {
    fn settle(&mut self, tag: u64, multiple: bool) {
        let Some(offset) = tag.checked_sub(self.first_unacked) else { return };
        let end = self.is_acked.len().min(offset as usize + 1);
        if multiple {
            self.is_acked.drain(..end);
            self.first_unacked += end as u64;
        } else if let Some(is_acked) = self.is_acked.get_mut(offset as usize) {
            *is_acked = true;
        }
        while self.is_acked.front() == Some(&true) {
            self.is_acked.pop_front();
            self.first_unacked += 1;
        }
    }
}

/// A message on its way from a publisher: its body goes on as it comes, in frames of our own.
#[derive(Debug, Default)]
struct Passage {
    body_left: usize,
    frame_left: usize,
}

/// R2: publishes of a channel in confirm mode.
#[derive(Clone, Copy, Debug)]
struct Confirms {
    channel: u16,
    published: u64,
    confirmed: u64,
}

/// One connection of a relay.
pub(crate) struct RelayLink {
    pub(crate) socket: SocketId,
    pub(crate) outlet: Outlet,
    /// Slot of the consuming connection that gets what this one publishes.
    pub(crate) target: Option<usize>,
    pub(crate) is_readable: bool,
    pub(crate) is_blocked: bool,
    pub(crate) is_dirty: bool,
    /// Received, but not handled before there is a target.
    pub(crate) kept: Vec<u8>,
    mode: RelayMode,
    walker: Walker,
    /// Octets of the protocol header that are still missing.
    header_left: usize,
    is_publisher: bool,
    passage: Passage,
    /// With faults: the message as far as it has come.
    whole: Vec<u8>,
    confirms: Vec<Confirms>,
}

impl RelayLink {
    pub(crate) fn new(socket: SocketId, mode: RelayMode) -> RelayLink {
        RelayLink {
            socket,
            outlet: Outlet::default(),
            target: None,
            is_readable: false,
            is_blocked: false,
            is_dirty: false,
            kept: Vec::new(),
            mode,
            walker: Walker::new(FRAME_MAX),
            header_left: PROTOCOL_HEADER.len(),
            is_publisher: false,
            passage: Passage::default(),
            whole: Vec::new(),
            confirms: Vec::new(),
        }
    }

    /// It consumes, and counts as a consumer of the queue.
    pub(crate) fn has_consumer(&self) -> bool {
        self.outlet.consumer.is_some()
    }

    /// Handles what the connection sent; `target` is where its publishes go.
    pub(crate) fn handle_received(
        &mut self,
        mut bytes: &[u8],
        target: Option<&mut Outlet>,
        commons: &mut Commons,
    ) -> Heard {
        if self.header_left > 0 {
            let taken = self.header_left.min(bytes.len());
            bytes = &bytes[taken..];
            self.header_left -= taken;
            if self.header_left > 0 {
                return Heard::Nothing;
            }
            write_start(&mut self.outlet.out);
        }
        // A client waits for the answers before it publishes, so the first publish begins a read.
        let is_publish = bytes.get(FRAME_HEAD_BYTES..FRAME_HEAD_BYTES + 4) == Some(&PUBLISH_IDS);
        if !self.is_publisher && is_publish && bytes[0] == FrameKind::Method.octet() {
            self.is_publisher = true;
            self.kept = bytes.to_vec();
            return Heard::Publisher;
        }
        if self.is_publisher && self.mode == RelayMode::Bytes {
            if let Some(target) = target {
                target.out.extend_from_slice(bytes);
            }
            return Heard::Nothing;
        }
        self.walk(bytes, target, commons)
    }

    fn walk(&mut self, bytes: &[u8], target: Option<&mut Outlet>, commons: &mut Commons) -> Heard {
        let mut nowhere = Outlet::default();
        let target = target.unwrap_or(&mut nowhere);
        let mut heard = Heard::Nothing;
        let mut walker = std::mem::replace(&mut self.walker, Walker::new(0));
        let walked = walker.handle_received(bytes, |part| match part {
            Part::Piece(_, piece) => self.pass_piece(piece, target, &mut commons.faults),
            Part::Whole(frame) => {
                let is_news = self.handle_frame(frame, target, commons);
                if is_news != Heard::Nothing {
                    heard = is_news;
                }
            }
        });
        self.walker = walker;
        self.write_confirms();
        if let Err(error) = walked {
            write_method(&mut self.outlet.out, 0, &error.connection_close());
        }
        heard
    }

    #[inline]
    fn handle_frame(
        &mut self,
        frame: Frame<'_>,
        target: &mut Outlet,
        commons: &mut Commons,
    ) -> Heard {
        match frame.kind {
            FrameKind::Header => self.pass_header(frame, target, &mut commons.faults),
            FrameKind::Method => return self.handle_method(frame, target, commons),
            FrameKind::Heartbeat | FrameKind::Body => {}
        }
        Heard::Nothing
    }

    fn handle_method(
        &mut self,
        frame: Frame<'_>,
        target: &mut Outlet,
        commons: &mut Commons,
    ) -> Heard {
        match decode_client_method(frame.payload) {
            Ok(ClientMethod::Publish(publish)) => {
                self.pass_publish(frame.channel, &publish, target, &commons.faults);
                Heard::Nothing
            }
            Ok(ClientMethod::Ack { delivery_tag, multiple })
            | Ok(ClientMethod::Nack { delivery_tag, multiple, .. }) => {
                self.settle(delivery_tag, multiple);
                Heard::Nothing
            }
            Ok(ClientMethod::Reject { delivery_tag, .. }) => {
                self.settle(delivery_tag, false);
                Heard::Nothing
            }
            Ok(ClientMethod::Cold(method)) => {
                self.handle_cold(frame.channel, &method, &mut commons.queue)
            }
            Err(error) => {
                write_method(&mut self.outlet.out, 0, &error.connection_close());
                Heard::Nothing
            }
        }
    }

    fn settle(&mut self, tag: u64, multiple: bool) {
        if self.mode == RelayMode::Confirms
            && let Some(consumer) = &mut self.outlet.consumer
        {
            consumer.settle(tag, multiple);
        }
    }

    #[cold]
    fn handle_cold(&mut self, channel: u16, method: &AMQPClass, queue: &mut OneQueue) -> Heard {
        let has_confirms = self.mode == RelayMode::Confirms;
        let answered = match method {
            AMQPClass::Confirm(_) if !has_confirms => {
                Err("only a relay of --mode confirms confirms".to_owned())
            }
            AMQPClass::Basic(basic::AMQPMethod::Consume(_)) if self.outlet.consumer.is_some() => {
                Err("a relay has one consumer per connection".to_owned())
            }
            AMQPClass::Basic(basic::AMQPMethod::Consume(consume)) => {
                queue.begin(consume.queue.as_str()).and_then(|()| answer(method, queue))
            }
            method => answer(method, queue),
        };
        match answered {
            Ok(Some(answer)) => write_method(&mut self.outlet.out, channel, &answer),
            Ok(None) => {}
            Err(text) => {
                write_refusal(&mut self.outlet.out, &text);
                return Heard::Nothing;
            }
        }
        match method {
            AMQPClass::Basic(basic::AMQPMethod::Consume(consume)) => {
                self.outlet.consumer.get_or_insert_with(|| Consumer {
                    channel,
                    tag: consume.consumer_tag.as_str().as_bytes().to_vec(),
                    no_ack: consume.no_ack,
                    next_tag: 1,
                    first_unacked: 1,
                    is_acked: VecDeque::new(),
                });
                return Heard::Consumer;
            }
            AMQPClass::Confirm(confirm::AMQPMethod::Select(_)) if has_confirms => {
                self.confirms.push(Confirms { channel, published: 0, confirmed: 0 });
            }
            AMQPClass::Connection(connection::AMQPMethod::CloseOk(_)) => return Heard::End,
            AMQPClass::Connection(connection::AMQPMethod::Close(_))
                if self.outlet.consumer.take().is_some() =>
            {
                queue.end();
                return Heard::ConsumerLeft;
            }
            _ => {}
        }
        Heard::Nothing
    }

    // Passing on.

    #[inline]
    fn pass_publish(
        &mut self,
        channel: u16,
        publish: &Publish<'_>,
        target: &mut Outlet,
        faults: &Faults,
    ) {
        let has_confirms = self.mode == RelayMode::Confirms;
        if has_confirms
            && let Some(confirms) = self.confirms.iter_mut().find(|open| open.channel == channel)
        {
            confirms.published += 1;
        }
        let Some(consumer) = &mut target.consumer else { return };
        if has_confirms && !consumer.no_ack {
            consumer.is_acked.push_back(false);
        }
        let out = if faults.is_active() { &mut self.whole } else { &mut target.out };
        let payload_bytes =
            4 + 3 + 9 + consumer.tag.len() + publish.exchange.len() + publish.routing_key.len();
        write_head(out, FrameKind::Method, consumer.channel, payload_bytes);
        out.extend_from_slice(&[0, 60, 0, 60]);
        write_short(out, &consumer.tag);
        out.extend_from_slice(&consumer.next_tag.to_be_bytes());
        out.push(0);
        write_short(out, publish.exchange);
        write_short(out, publish.routing_key);
        out.push(FRAME_END);
        if !faults.is_active() {
            consumer.next_tag += 1;
        }
    }

    #[inline]
    fn pass_header(&mut self, frame: Frame<'_>, target: &mut Outlet, faults: &mut Faults) {
        let Some(consumer) = &target.consumer else { return };
        let size = frame.payload[4..12].try_into().expect("a header frame has its fixed part");
        let size = u64::from_be_bytes(size);
        self.passage = Passage { body_left: size as usize, frame_left: 0 };
        let out = if faults.is_active() { &mut self.whole } else { &mut target.out };
        write_head(out, FrameKind::Header, consumer.channel, frame.payload.len());
        out.extend_from_slice(frame.payload);
        out.push(FRAME_END);
        if size == 0 {
            self.finish(target, faults);
        }
    }

    #[inline]
    fn pass_piece(&mut self, mut piece: &[u8], target: &mut Outlet, faults: &mut Faults) {
        let Some(consumer) = &target.consumer else { return };
        let Passage { body_left, frame_left } = &mut self.passage;
        let out = if faults.is_active() { &mut self.whole } else { &mut target.out };
        piece = &piece[..piece.len().min(*body_left)];
        while !piece.is_empty() {
            if *frame_left == 0 {
                *frame_left = (*body_left).min(FRAME_MAX as usize - FRAME_OVERHEAD);
                write_head(out, FrameKind::Body, consumer.channel, *frame_left);
            }
            let (taken, rest) = piece.split_at(piece.len().min(*frame_left));
            out.extend_from_slice(taken);
            *frame_left -= taken.len();
            *body_left -= taken.len();
            if *frame_left == 0 {
                out.push(FRAME_END);
            }
            piece = rest;
        }
        if *body_left == 0 {
            self.finish(target, faults);
        }
    }

    #[inline]
    fn finish(&mut self, target: &mut Outlet, faults: &mut Faults) {
        if !faults.is_active() {
            return;
        }
        let Outlet { out, consumer: Some(consumer), .. } = target else { return };
        faults.append(&mut self.whole, out, &mut consumer.next_tag);
        self.whole.clear();
    }

    /// One `multiple` per channel for all that one read brought.
    fn write_confirms(&mut self) {
        for open in &mut self.confirms {
            // A message whose body is still coming does not count yet.
            let complete = open.published - u64::from(self.passage.body_left > 0);
            if complete > open.confirmed {
                open.confirmed = complete;
                write_ack(&mut self.outlet.out, open.channel, complete, true);
            }
        }
    }
}

fn write_head(out: &mut Vec<u8>, kind: FrameKind, channel: u16, payload_bytes: usize) {
    let [c0, c1] = channel.to_be_bytes();
    let [s0, s1, s2, s3] = (payload_bytes as u32).to_be_bytes();
    out.extend_from_slice(&[kind.octet(), c0, c1, s0, s1, s2, s3]);
}

fn write_short(out: &mut Vec<u8>, octets: &[u8]) {
    out.push(octets.len() as u8);
    out.extend_from_slice(octets);
}
