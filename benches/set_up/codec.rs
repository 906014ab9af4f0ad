//! What clients send and what they are sent, on the hot path, and how a broker reads it.

use amq_protocol::protocol::BasicProperties;
use amq_protocol::types::{AMQPValue, FieldTable, ShortString};
use haremq_protocol::ack::write_ack;
use haremq_protocol::deliver::Deliver;
use haremq_protocol::frame::{Split, split_frame};
use haremq_protocol::method::decode_client_method;
use haremq_protocol::properties::encode_properties;
use haremq_protocol::publish::{split_publish, write_publish};

pub(crate) const FRAME_MAX: u32 = 131_072;

pub(crate) fn small_properties() -> BasicProperties {
    BasicProperties::default().with_delivery_mode(2)
}

pub(crate) fn large_properties() -> BasicProperties {
    let mut headers = FieldTable::default();
    for key in ["x-first", "x-second", "x-third", "x-fourth"] {
        let value = AMQPValue::LongString("a value of some length".into());
        headers.insert(ShortString::from(key), value);
    }
    small_properties()
        .with_headers(headers)
        .with_content_type(ShortString::from("application/json"))
        .with_message_id(ShortString::from("8f14e45f-ceea-467f-9575-7d2fc1bb3a52"))
}

pub(crate) fn publish(exchange: &str, properties: &BasicProperties, body_len: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let properties = encode_properties(properties);
    let body = vec![b'b'; body_len];
    let exchange = exchange.as_bytes();
    write_publish(&mut out, 1, FRAME_MAX, exchange, b"key", false, &properties, &body);
    out
}

/// Method, header and body as a broker takes them; answers with what it would route by.
pub(crate) fn parse_publish(input: &[u8]) -> usize {
    let whole = split_publish(input, FRAME_MAX).expect("the input is whole");
    assert_eq!(whole.consumed, input.len());
    let is_persistent = whole.properties.is_persistent();
    whole.publish.routing_key.len() + usize::from(is_persistent) + whole.body.len()
}

pub(crate) fn ack() -> Vec<u8> {
    let mut out = Vec::new();
    write_ack(&mut out, 1, 77, false);
    out
}

pub(crate) fn parse_ack(input: &[u8]) -> bool {
    match split_frame(input, FRAME_MAX) {
        Ok(Split::Complete { frame, .. }) => decode_client_method(frame.payload).is_ok(),
        _ => false,
    }
}

pub(crate) const DELIVER: Deliver<'static> = Deliver {
    consumer_tag: b"ctag1.0",
    delivery_tag: 77,
    redelivered: false,
    exchange: b"exchange",
    routing_key: b"key",
};
