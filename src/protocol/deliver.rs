//! `basic.deliver`, `basic.return` and `basic.get-ok`: the methods that carry content to a client.

use crate::{
    blank::{Blank, short_string_len},
    content::write_method_and_content,
    cursor::Cursor,
    refusal,
    reply::ProtocolError,
};

/// The fields of a `basic.deliver`. Strings are at most 255 octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deliver<'a> {
    /// Tag of the consumer on its channel.
    pub consumer_tag: &'a [u8],
    /// Tag of this delivery on its channel, from 1.
    pub delivery_tag: u64,
    /// Delivered before, to anybody.
    pub redelivered: bool,
    /// Exchange of the publish.
    pub exchange: &'a [u8],
    /// Routing key of the publish.
    pub routing_key: &'a [u8],
}

/// The fields of a `basic.return`. Strings are at most 255 octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Return<'a> {
    /// 312 for a message that no queue took.
    pub reply_code: u16,
    /// `NO_ROUTE` for 312.
    pub reply_text: &'a [u8],
    /// Exchange of the publish.
    pub exchange: &'a [u8],
    /// Routing key of the publish.
    pub routing_key: &'a [u8],
}

/// The fields of a `basic.get-ok`. Strings are at most 255 octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetOk<'a> {
    /// Tag of this delivery on its channel, from 1.
    pub delivery_tag: u64,
    /// Delivered before, to anybody.
    pub redelivered: bool,
    /// Exchange of the publish.
    pub exchange: &'a [u8],
    /// Routing key of the publish.
    pub routing_key: &'a [u8],
    /// Ready messages that the queue has left.
    pub message_count: u32,
}

impl<'a> Deliver<'a> {
    pub(crate) const METHOD_ID: u16 = 60;

    /// Ids, three lengths, tag and bits.
    const FIXED_BYTES: usize = 4 + 3 + 8 + 1;

    #[inline]
    pub(crate) fn decode(payload: &'a [u8]) -> Result<Self, ProtocolError> {
        Self::read(Cursor::new(&payload[4..])).ok_or_else(|| refusal::cannot_decode(payload))
    }

    #[inline]
    fn read(mut cursor: Cursor<'a>) -> Option<Self> {
        let deliver = Self {
            consumer_tag: cursor.short_string()?,
            delivery_tag: cursor.long_long()?,
            redelivered: cursor.octet()? & 1 != 0,
            exchange: cursor.short_string()?,
            routing_key: cursor.short_string()?,
        };
        cursor.is_empty().then_some(deliver)
    }
}

impl<'a> Return<'a> {
    pub(crate) const METHOD_ID: u16 = 50;

    /// Ids, code and three lengths.
    const FIXED_BYTES: usize = 4 + 2 + 3;

    #[inline]
    pub(crate) fn decode(payload: &'a [u8]) -> Result<Self, ProtocolError> {
        Self::read(Cursor::new(&payload[4..])).ok_or_else(|| refusal::cannot_decode(payload))
    }

    #[inline]
    fn read(mut cursor: Cursor<'a>) -> Option<Self> {
        let returned = Self {
            reply_code: cursor.short()?,
            reply_text: cursor.short_string()?,
            exchange: cursor.short_string()?,
            routing_key: cursor.short_string()?,
        };
        cursor.is_empty().then_some(returned)
    }
}

impl<'a> GetOk<'a> {
    pub(crate) const METHOD_ID: u16 = 71;

    /// Ids, tag, bits, two lengths and the count.
    const FIXED_BYTES: usize = 4 + 8 + 1 + 2 + 4;

    #[inline]
    pub(crate) fn decode(payload: &'a [u8]) -> Result<Self, ProtocolError> {
        Self::read(Cursor::new(&payload[4..])).ok_or_else(|| refusal::cannot_decode(payload))
    }

    #[inline]
    fn read(mut cursor: Cursor<'a>) -> Option<Self> {
        let get_ok = Self {
            delivery_tag: cursor.long_long()?,
            redelivered: cursor.octet()? & 1 != 0,
            exchange: cursor.short_string()?,
            routing_key: cursor.short_string()?,
            message_count: cursor.long()?,
        };
        cursor.is_empty().then_some(get_ok)
    }
}

/// Appends a `basic.deliver` and its content, reserving once.
///
/// `properties` is the property list of the publish, verbatim; `frame_max` 0 means no limit. The
/// body is split at `frame_max - 8` and has no frame if it is empty (WIRE-4).
#[inline]
pub fn write_deliver(
    out: &mut Vec<u8>,
    channel: u16,
    frame_max: u32,
    deliver: &Deliver<'_>,
    properties: &[u8],
    body: &[u8],
) {
    let payload_len = Deliver::FIXED_BYTES
        + deliver.consumer_tag.len()
        + deliver.exchange.len()
        + deliver.routing_key.len();
    let put = |blank: &mut Blank<'_>| {
        blank.put([0, 60, 0, 60, short_string_len(deliver.consumer_tag)]);
        blank.put_octets(deliver.consumer_tag);
        blank.put(deliver.delivery_tag.to_be_bytes());
        blank.put([u8::from(deliver.redelivered), short_string_len(deliver.exchange)]);
        blank.put_octets(deliver.exchange);
        blank.put_short_string(deliver.routing_key);
    };
    write_method_and_content(out, channel, frame_max, payload_len, put, properties, body);
}

/// Appends a `basic.return` and its content, as [`write_deliver`].
pub fn write_return(
    out: &mut Vec<u8>,
    channel: u16,
    frame_max: u32,
    returned: &Return<'_>,
    properties: &[u8],
    body: &[u8],
) {
    let payload_len = Return::FIXED_BYTES
        + returned.reply_text.len()
        + returned.exchange.len()
        + returned.routing_key.len();
    let put = |blank: &mut Blank<'_>| {
        blank.put([0, 60, 0, 50]);
        blank.put(returned.reply_code.to_be_bytes());
        blank.put_short_string(returned.reply_text);
        blank.put_short_string(returned.exchange);
        blank.put_short_string(returned.routing_key);
    };
    write_method_and_content(out, channel, frame_max, payload_len, put, properties, body);
}

/// Appends a `basic.get-ok` and its content, as [`write_deliver`].
pub fn write_get_ok(
    out: &mut Vec<u8>,
    channel: u16,
    frame_max: u32,
    get_ok: &GetOk<'_>,
    properties: &[u8],
    body: &[u8],
) {
    let payload_len = GetOk::FIXED_BYTES + get_ok.exchange.len() + get_ok.routing_key.len();
    let put = |blank: &mut Blank<'_>| {
        blank.put([0, 60, 0, 71]);
        blank.put(get_ok.delivery_tag.to_be_bytes());
        blank.put([u8::from(get_ok.redelivered)]);
        blank.put_short_string(get_ok.exchange);
        blank.put_short_string(get_ok.routing_key);
        blank.put(get_ok.message_count.to_be_bytes());
    };
    write_method_and_content(out, channel, frame_max, payload_len, put, properties, body);
}

#[cfg(test)]
#[path = "deliver_tests.rs"]
mod tests;
