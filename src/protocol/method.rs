//! Methods: what a broker receives, what a client receives, and writing of the cold ones.

pub use amq_protocol::protocol::{
    AMQPClass, access, basic, channel, confirm, connection, exchange, queue, tx,
};
use amq_protocol::{
    frame::WriteContext,
    protocol::{gen_class, parse_class},
};

use crate::{
    ack,
    deliver::{Deliver, GetOk, Return},
    frame::{FRAME_END, FrameKind, write_head},
    layout::{Layout, Sender},
    publish::Publish,
    refusal,
    reply::{ProtocolError, ReplyCode},
};

const BASIC: u16 = 60;
const BASIC_QOS: u16 = 10;

/// A method that a client sent. The hot ones borrow from the frame.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientMethod<'a> {
    /// `basic.publish`; a content header follows.
    Publish(Publish<'a>),
    /// `basic.ack`
    Ack {
        /// Delivery tag of the channel; 0 with `multiple` means all.
        delivery_tag: u64,
        /// All unsettled deliveries up to the tag.
        multiple: bool,
    },
    /// `basic.nack`
    Nack {
        /// Delivery tag of the channel; 0 with `multiple` means all.
        delivery_tag: u64,
        /// All unsettled deliveries up to the tag.
        multiple: bool,
        /// Back to the queue rather than dropped or dead lettered.
        requeue: bool,
    },
    /// `basic.reject`
    Reject {
        /// Delivery tag of the channel.
        delivery_tag: u64,
        /// Back to the queue rather than dropped or dead lettered.
        requeue: bool,
    },
    /// Any other method that a client may send.
    Cold(AMQPClass),
}

/// A method that a server sent. The hot ones borrow from the frame.
#[derive(Clone, Debug, PartialEq)]
pub enum ServerMethod<'a> {
    /// `basic.deliver`; content follows.
    Deliver(Deliver<'a>),
    /// `basic.return`; content follows.
    Return(Return<'a>),
    /// `basic.get-ok`; content follows.
    GetOk(GetOk<'a>),
    /// `basic.ack`: a publisher confirm.
    Ack {
        /// Sequence number of the publish on its channel, from 1.
        delivery_tag: u64,
        /// All unconfirmed publishes up to the tag.
        multiple: bool,
    },
    /// `basic.nack`: a publisher confirm of a refused message.
    Nack {
        /// Sequence number of the publish on its channel, from 1.
        delivery_tag: u64,
        /// All unconfirmed publishes up to the tag.
        multiple: bool,
        /// Meaningless in this direction.
        requeue: bool,
    },
    /// Any other method that a server may send.
    Cold(AMQPClass),
}

/// Class and method id of a method payload, without decoding it.
#[must_use]
#[inline]
pub fn method_ids(payload: &[u8]) -> Option<(u16, u16)> {
    let [c0, c1, m0, m1] = *payload.first_chunk()?;
    Some((u16::from_be_bytes([c0, c1]), u16::from_be_bytes([m0, m1])))
}

/// Decodes the payload of a method frame that a client sent.
///
/// # Errors
/// 503 for unknown and server-only methods (ERR-24), 501 for malformed fields (ERR-25, ERR-33),
/// 502 for malformed tables (ERR-25b), 540 for a prefetch size, which no part of the broker
/// supports and which the decoded `basic.qos` does not show. All name the method.
#[inline]
pub fn decode_client_method(payload: &[u8]) -> Result<ClientMethod<'_>, ProtocolError> {
    let ids = method_ids(payload).ok_or_else(|| refusal::cannot_decode(payload))?;
    match ids {
        (BASIC, Publish::METHOD_ID) => Publish::decode(payload).map(ClientMethod::Publish),
        (BASIC, ack::ACK_METHOD_ID) => {
            let (delivery_tag, bits) = ack::decode(payload)?;
            Ok(ClientMethod::Ack { delivery_tag, multiple: bits & 1 != 0 })
        }
        (BASIC, ack::NACK_METHOD_ID) => {
            let (delivery_tag, bits) = ack::decode(payload)?;
            let (multiple, requeue) = (bits & 1 != 0, bits & 2 != 0);
            Ok(ClientMethod::Nack { delivery_tag, multiple, requeue })
        }
        (BASIC, ack::REJECT_METHOD_ID) => {
            let (delivery_tag, bits) = ack::decode(payload)?;
            Ok(ClientMethod::Reject { delivery_tag, requeue: bits & 1 != 0 })
        }
        _ => decode_cold(payload, ids, Sender::Client).map(ClientMethod::Cold),
    }
}

/// Decodes the payload of a method frame that a server sent.
///
/// # Errors
/// As [`decode_client_method`], with the roles exchanged.
#[inline]
pub fn decode_server_method(payload: &[u8]) -> Result<ServerMethod<'_>, ProtocolError> {
    let ids = method_ids(payload).ok_or_else(|| refusal::cannot_decode(payload))?;
    match ids {
        (BASIC, Deliver::METHOD_ID) => Deliver::decode(payload).map(ServerMethod::Deliver),
        (BASIC, Return::METHOD_ID) => Return::decode(payload).map(ServerMethod::Return),
        (BASIC, GetOk::METHOD_ID) => GetOk::decode(payload).map(ServerMethod::GetOk),
        (BASIC, ack::ACK_METHOD_ID) => {
            let (delivery_tag, bits) = ack::decode(payload)?;
            Ok(ServerMethod::Ack { delivery_tag, multiple: bits & 1 != 0 })
        }
        (BASIC, ack::NACK_METHOD_ID) => {
            let (delivery_tag, bits) = ack::decode(payload)?;
            let (multiple, requeue) = (bits & 1 != 0, bits & 2 != 0);
            Ok(ServerMethod::Nack { delivery_tag, multiple, requeue })
        }
        _ => decode_cold(payload, ids, Sender::Server).map(ServerMethod::Cold),
    }
}

#[inline(never)]
fn decode_cold(
    payload: &[u8],
    (class_id, method_id): (u16, u16),
    sender: Sender,
) -> Result<AMQPClass, ProtocolError> {
    let layout = Layout::of(class_id, method_id)
        .filter(|layout| layout.sender == sender || layout.sender == Sender::Both)
        .ok_or_else(|| refusal::unimplemented_method(class_id, method_id))?;
    layout.check(payload)?;
    if (class_id, method_id) == (BASIC, BASIC_QOS) {
        refuse_prefetch_size(payload)?;
    }
    match parse_class(payload) {
        Ok(([], class)) => Ok(class),
        _ => Err(refusal::cannot_decode(payload)),
    }
}

/// The decoded `basic.qos` lacks the prefetch size, so it is looked at here (QOS, section 3.3).
fn refuse_prefetch_size(payload: &[u8]) -> Result<(), ProtocolError> {
    let size = payload[4..].first_chunk().expect("the layout was checked");
    match u32::from_be_bytes(*size) {
        0 => Ok(()),
        bytes => {
            let text = format!("prefetch_size!=0 ({bytes})");
            Err(ProtocolError::new(ReplyCode::NotImplemented, text).of(BASIC, BASIC_QOS))
        }
    }
}

/// Appends a method frame. Meant for the cold methods; the hot ones have writers of their own.
///
/// A method frame cannot be split: the caller keeps its tables below the negotiated `frame_max`.
pub fn write_method(out: &mut Vec<u8>, channel: u16, method: &AMQPClass) {
    let context = WriteContext::from(Vec::with_capacity(64));
    let (payload, _) =
        gen_class(method)(context).expect("writing to a growing buffer does not fail").into_inner();
    out.reserve(payload.len() + crate::frame::FRAME_OVERHEAD);
    write_head(out, FrameKind::Method, channel, payload.len());
    out.extend_from_slice(&payload);
    out.push(FRAME_END);
}

#[cfg(test)]
#[path = "method_tests.rs"]
mod tests;
