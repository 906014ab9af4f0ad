//! What one core's producers and consumers make of the frames that arrive.

use haremq_protocol::content::decode_content_header;
use haremq_protocol::frame::{Frame, FrameKind};
use haremq_protocol::method::{
    AMQPClass, ServerMethod, basic, channel, connection, decode_server_method, method_ids,
};

use haremq_protocol::publish::write_publish;

use crate::body::{BodyReader, Damage, Stamp};
use crate::consumer::{Consumer, Delivery};
use crate::ledger::Recorder;
use crate::meter::{Meter, note};
use crate::publisher::Publisher;
use crate::shared::{Clock, Shared};
use crate::verify::{QueueCheck, Rules, Tally, Verdict};
use crate::walker::Part;

const BASIC_PUBLISH: (u16, u16) = (60, 40);
const BASIC_DELIVER: [u8; 4] = [0, 60, 0, 60];

/// Who a channel belongs to: an index into the producers or consumers of the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Publisher(usize),
    Consumer(usize),
    /// A producer and the consumer of its replies.
    Client(usize, usize),
}

impl Role {
    pub(crate) fn publisher(self) -> Option<usize> {
        match self {
            Role::Publisher(index) | Role::Client(index, _) => Some(index),
            Role::Consumer(_) => None,
        }
    }

    pub(crate) fn consumer(self) -> Option<usize> {
        match self {
            Role::Consumer(index) | Role::Client(_, index) => Some(index),
            Role::Publisher(_) => None,
        }
    }
}

/// Why content is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Carrier {
    Deliver(Delivery),
    GetOk(Delivery),
    Return,
}

/// A channel of a connection, and the content that is arriving on it.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) role: Role,
    carrier: Option<Carrier>,
    body_bytes: usize,
    reader: BodyReader,
    /// Of a server: the reply that is being made.
    reply: Option<Reply>,
}

/// The body of a request, to be sent back to where it says.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    frame_max: u32,
    reply_to: Vec<u8>,
    body: Vec<u8>,
}

impl Channel {
    pub(crate) fn new(role: Role, reply: Option<Reply>) -> Channel {
        Channel { role, carrier: None, body_bytes: 0, reader: BodyReader::new(), reply }
    }
}

/// The two fields of a `basic.deliver` that matter here; the names behind them are not looked at.
/// `None` if it is another method, or cut.
#[inline]
fn read_deliver(payload: &[u8]) -> Option<Delivery> {
    let (ids, rest) = payload.split_first_chunk::<4>()?;
    if *ids != BASIC_DELIVER {
        return None;
    }
    let (tag_bytes, rest) = rest.split_first()?;
    let (tag, rest) = rest.get(usize::from(*tag_bytes)..)?.split_first_chunk::<8>()?;
    let redelivered = *rest.first()? & 1 != 0;
    Some(Delivery::new(u64::from_be_bytes(*tag), redelivered))
}

impl Reply {
    /// For a server's channel of a connection with this limit of frames.
    pub(crate) fn new(frame_max: u32) -> Reply {
        Reply { frame_max, ..Reply::default() }
    }

    fn read_header(&mut self, payload: &[u8]) {
        self.reply_to.clear();
        if let Ok(header) = decode_content_header(payload) {
            self.reply_to.extend_from_slice(header.properties.reply_to().unwrap_or_default());
        }
    }
}

/// The state that all connections of a core share.
pub(crate) struct Roles<'a> {
    pub(crate) clock: Clock,
    pub(crate) shared: &'a Shared,
    pub(crate) publishers: Vec<Publisher>,
    pub(crate) consumers: Vec<Consumer>,
    /// By queue of the plan.
    pub(crate) checks: Vec<QueueCheck>,
    pub(crate) rules: Rules,
    pub(crate) tally: Tally,
    pub(crate) meter: Meter,
    pub(crate) expected: u64,
    pub(crate) first_deliveries: u64,
    /// Producers that may go on.
    pub(crate) woken: Vec<usize>,
    /// Consumers whose `basic.get` found nothing.
    pub(crate) empty_gets: Vec<usize>,
    /// Consumers that have had all that they were to get.
    pub(crate) done_consumers: usize,
    /// Deliveries are publishes, from a byte relay.
    pub(crate) is_raw: bool,
    /// Bodies tell when they were really sent.
    pub(crate) has_lag: bool,
    /// Of the ledger, if one is kept.
    pub(crate) recorder: Option<Recorder>,
    /// `connection.blocked` was told so often.
    pub(crate) blocked: u64,
    pub(crate) failure: Option<String>,
}

/// One connection, while its bytes are handled.
pub(crate) struct Ends<'a> {
    /// By number, from 1.
    pub(crate) channels: &'a mut [Channel],
    pub(crate) out: &'a mut Vec<u8>,
    /// With a ledger: settlements that wait until it has them.
    pub(crate) held: &'a mut Vec<u8>,
    pub(crate) is_closed: &'a mut bool,
    /// Now, on the clock.
    pub(crate) now_ns: u64,
}

impl Roles<'_> {
    /// Nanoseconds after the start; 0 before it.
    pub(crate) fn since_start(&self, now_ns: u64) -> u64 {
        self.shared.start_ns().map_or(0, |start_ns| now_ns.saturating_sub(start_ns))
    }

    pub(crate) fn fail(&mut self, text: impl Into<String>) {
        self.failure.get_or_insert_with(|| text.into());
    }

    /// Handles one part of what a connection received.
    #[inline]
    pub(crate) fn handle_part(&mut self, ends: &mut Ends<'_>, part: Part<'_>) {
        match part {
            Part::Piece(number, piece) => self.handle_piece(ends, number, piece),
            Part::Whole(frame) => match frame.kind {
                FrameKind::Method => self.handle_method(ends, frame),
                FrameKind::Header => self.handle_header(ends, frame),
                FrameKind::Heartbeat | FrameKind::Body => {}
            },
        }
    }

    fn channel<'b>(&mut self, ends: &'b mut Ends<'_>, number: u16) -> Option<&'b mut Channel> {
        let index = if self.is_raw { 0 } else { usize::from(number).wrapping_sub(1) };
        let channel = ends.channels.get_mut(index);
        if channel.is_none() {
            self.fail(format!("the broker uses channel {number}, which is not open"));
        }
        channel
    }

    #[inline]
    fn handle_method(&mut self, ends: &mut Ends<'_>, frame: Frame<'_>) {
        if self.is_raw && method_ids(frame.payload) == Some(BASIC_PUBLISH) {
            let delivery = Delivery::new(0, false);
            return self.expect_content(ends, frame.channel, Carrier::Deliver(delivery));
        }
        if let Some(delivery) = read_deliver(frame.payload) {
            return self.expect_content(ends, frame.channel, Carrier::Deliver(delivery));
        }
        let method = match decode_server_method(frame.payload) {
            Ok(method) => method,
            Err(error) => return self.fail(format!("the broker broke the protocol: {error}")),
        };
        match method {
            ServerMethod::Deliver(deliver) => {
                let delivery = Delivery::new(deliver.delivery_tag, deliver.redelivered);
                self.expect_content(ends, frame.channel, Carrier::Deliver(delivery));
            }
            ServerMethod::GetOk(get_ok) => {
                let delivery = Delivery::new(get_ok.delivery_tag, get_ok.redelivered);
                self.expect_content(ends, frame.channel, Carrier::GetOk(delivery));
            }
            ServerMethod::Return(_) => self.expect_content(ends, frame.channel, Carrier::Return),
            ServerMethod::Ack { delivery_tag, multiple } => {
                self.handle_confirm(ends, frame.channel, delivery_tag, multiple, true);
            }
            ServerMethod::Nack { delivery_tag, multiple, .. } => {
                self.handle_confirm(ends, frame.channel, delivery_tag, multiple, false);
            }
            ServerMethod::Cold(method) => self.handle_cold(ends, frame.channel, method),
        }
    }

    #[inline]
    fn expect_content(&mut self, ends: &mut Ends<'_>, number: u16, carrier: Carrier) {
        let Some(channel) = self.channel(ends, number) else { return };
        if channel.carrier.replace(carrier).is_some() {
            self.fail("the broker began a message within another");
        }
    }

    #[inline]
    fn handle_header(&mut self, ends: &mut Ends<'_>, frame: Frame<'_>) {
        let size = frame.payload[4..12].try_into().expect("a header frame has its fixed part");
        let size = u64::from_be_bytes(size);
        let Some(channel) = self.channel(ends, frame.channel) else { return };
        if channel.carrier.is_none() {
            return self.fail("the broker sent a content header without a method");
        }
        channel.body_bytes = usize::try_from(size).unwrap_or(usize::MAX);
        if let Some(reply) = &mut channel.reply {
            reply.read_header(frame.payload);
        }
        if size == 0 {
            self.finish_content(ends, frame.channel);
        }
    }

    #[inline]
    fn handle_piece(&mut self, ends: &mut Ends<'_>, number: u16, piece: &[u8]) {
        let Some(channel) = self.channel(ends, number) else { return };
        channel.reader.handle_piece(piece);
        if let Some(reply) = &mut channel.reply {
            reply.body.extend_from_slice(piece);
        }
        if channel.carrier.is_none() || channel.reader.length() > channel.body_bytes {
            return self.fail("the broker sent more of a body than it announced");
        }
        if channel.reader.length() == channel.body_bytes {
            self.finish_content(ends, number);
        }
    }

    fn finish_content(&mut self, ends: &mut Ends<'_>, number: u16) {
        let Some(channel) = self.channel(ends, number) else { return };
        let (body, bytes) = (channel.reader.end(), channel.body_bytes);
        let (publisher, consumer) = (channel.role.publisher(), channel.role.consumer());
        match (channel.carrier.take(), consumer, publisher) {
            (Some(Carrier::Deliver(delivery)), Some(index), client) => {
                let is_first = self.deliver(ends, index, delivery, body, bytes);
                self.write_reply(ends, number);
                if let (Some(client), true) = (client, is_first) {
                    self.publishers[client].handle_reply();
                    self.woken.push(client);
                }
            }
            (Some(Carrier::GetOk(delivery)), Some(index), _) => {
                self.deliver(ends, index, delivery, body, bytes);
                ends.out.extend_from_slice(&self.consumers[index].get_frame);
            }
            (Some(Carrier::Return), _, Some(index)) => {
                self.meter.counts.returned += 1;
                if let Ok(stamp) = body {
                    let unexpected =
                        self.publishers[index].handle_return(&stamp, self.recorder.as_mut());
                    self.expected = self.expected.saturating_sub(unexpected);
                }
            }
            _ => self.fail("the broker sent content to a channel that expects none"),
        }
    }

    #[inline]
    fn deliver(
        &mut self,
        ends: &mut Ends<'_>,
        index: usize,
        mut delivery: Delivery,
        body: Result<Stamp, Damage>,
        body_bytes: usize,
    ) -> bool {
        let consumer = &mut self.consumers[index];
        if !consumer.is_server {
            let counts = &mut self.meter.counts;
            counts.received += 1;
            counts.received_bytes += body_bytes as u64;
            counts.redelivered += u64::from(delivery.redelivered);
        }
        let check = &mut self.checks[consumer.queue];
        let order = &mut consumer.order;
        let verdict = check.judge(order, body, delivery.redelivered, &self.rules, &mut self.tally);
        if matches!(verdict, Verdict::First(..)) {
            self.first_deliveries += 1;
        }
        if let Verdict::First(stamp, _) = verdict
            && !consumer.is_server
        {
            let latency_ns = self.clock.unix_ns(ends.now_ns).saturating_sub(stamp.time);
            note(&mut self.meter.consume, latency_ns);
            if self.has_lag {
                let raw_ns = latency_ns.saturating_sub(u64::from(stamp.lag));
                note(&mut self.meter.consume_raw, raw_ns);
            }
        }
        let was_done = consumer.is_done();
        delivery.origin = verdict.origin();
        let settlements = if self.recorder.is_some() { &mut *ends.held } else { &mut *ends.out };
        consumer.handle_delivery(delivery, ends.now_ns, settlements);
        if let Some(recorder) = &mut self.recorder {
            let queue = consumer.queue;
            consumer.drain_settled().for_each(|origin| recorder.consume(queue, origin));
        }
        if consumer.is_done() && !was_done {
            self.done_consumers += 1;
            write_cancel(ends.out, consumer.channel);
        }
        matches!(verdict, Verdict::First(..))
    }

    /// Sends the body of a request back, if this is the channel of a server.
    fn write_reply(&mut self, ends: &mut Ends<'_>, number: u16) {
        let Some(channel) = ends.channels.get_mut(usize::from(number).wrapping_sub(1)) else {
            return;
        };
        let Some(Reply { frame_max, reply_to, body }) = &mut channel.reply else { return };
        if reply_to.is_empty() {
            self.fail("a request has no reply-to");
        } else {
            write_publish(ends.out, number, *frame_max, b"", reply_to, false, &[0, 0], body);
        }
        body.clear();
    }

    fn handle_confirm(
        &mut self,
        ends: &mut Ends<'_>,
        number: u16,
        tag: u64,
        multiple: bool,
        is_accepted: bool,
    ) {
        let now_ns = self.since_start(ends.now_ns);
        let Some(channel) = self.channel(ends, number) else { return };
        let Some(index) = channel.role.publisher() else {
            return self.fail("the broker confirmed on a consumer's channel");
        };
        let publisher = &mut self.publishers[index];
        let recorder = self.recorder.as_mut();
        match publisher.settle(tag, multiple, is_accepted, now_ns, &mut self.meter, recorder) {
            Some(unexpected) => {
                self.expected = self.expected.saturating_sub(unexpected);
                self.woken.push(index);
            }
            None => self.fail(format!("the broker confirmed {tag}, which is not open")),
        }
    }

    #[cold]
    fn handle_cold(&mut self, ends: &mut Ends<'_>, number: u16, method: AMQPClass) {
        match method {
            AMQPClass::Basic(basic::AMQPMethod::ConsumeOk(_)) => self.shared.count_consumer(),
            AMQPClass::Basic(basic::AMQPMethod::GetEmpty(_)) => {
                let channel = self.channel(ends, number);
                let consumer = channel.and_then(|channel| channel.role.consumer());
                self.empty_gets.extend(consumer);
            }
            AMQPClass::Basic(basic::AMQPMethod::Cancel(_)) => {
                self.fail("the broker cancelled a consumer (its queue is gone)");
            }
            AMQPClass::Basic(basic::AMQPMethod::CancelOk(_)) => {}
            AMQPClass::Channel(channel::AMQPMethod::Close(close)) => {
                let text = close.reply_text.as_str();
                self.fail(format!("the broker closed a channel: {} {text}", close.reply_code));
            }
            // A byte relay passes on how the publisher takes its leave.
            AMQPClass::Connection(connection::AMQPMethod::Close(_)) if self.is_raw => {}
            AMQPClass::Connection(connection::AMQPMethod::Close(close)) => {
                *ends.is_closed = true;
                let text = close.reply_text.as_str();
                self.fail(format!("the broker closed a connection: {} {text}", close.reply_code));
            }
            AMQPClass::Connection(connection::AMQPMethod::CloseOk(_)) => *ends.is_closed = true,
            AMQPClass::Connection(connection::AMQPMethod::Blocked(_)) => self.blocked += 1,
            AMQPClass::Connection(connection::AMQPMethod::Unblocked(_)) => {}
            other => self.fail(format!(
                "the broker sent method {}.{}, which was not asked for",
                other.get_amqp_class_id(),
                other.get_amqp_method_id()
            )),
        }
    }
}

fn write_cancel(out: &mut Vec<u8>, channel: u16) {
    let cancel =
        basic::Cancel { consumer_tag: consumer_tag(channel).as_str().into(), nowait: false };
    let method = AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel));
    haremq_protocol::method::write_method(out, channel, &method);
}

/// Tag of the one consumer of a channel.
pub(crate) fn consumer_tag(channel: u16) -> String {
    format!("perf-{channel}")
}

#[cfg(test)]
#[path = "roles_tests.rs"]
mod tests;
