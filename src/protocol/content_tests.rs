use amq_protocol::{
    protocol::{BasicProperties, basic::parse_properties},
    types::{AMQPValue, FieldTable, ShortString},
};
use proptest::prelude::*;

use super::*;
use crate::{
    properties::{Expiration, encode_properties},
    reply::ReplyCode,
    table::TableReader,
};

fn header(class_id: u16, weight: u16, body_size: u64, properties: &[u8]) -> Vec<u8> {
    let mut payload = class_id.to_be_bytes().to_vec();
    payload.extend_from_slice(&weight.to_be_bytes());
    payload.extend_from_slice(&body_size.to_be_bytes());
    payload.extend_from_slice(properties);
    payload
}

fn refusal_of(payload: &[u8]) -> (ReplyCode, String) {
    let error = decode_content_header(payload).expect_err("the header is refused");
    assert_eq!((error.class_id, error.method_id), (60, 40));
    (error.code, error.text)
}

#[test]
fn refusals_have_the_exact_texts() {
    use ReplyCode::{FrameError, SyntaxError, UnexpectedFrame};
    let cases: [(Vec<u8>, ReplyCode, &str); 10] = [
        (
            header(10, 0, 0, &[0, 0]),
            UnexpectedFrame,
            "UNEXPECTED_FRAME - expected content header for class 60, got one for class 10 instead",
        ),
        (
            header(60, 1, 0, &[0, 0]),
            UnexpectedFrame,
            "UNEXPECTED_FRAME - expected content header for class 60, got non content header \
             frame instead",
        ),
        (
            header(60, 0, 536_870_913, &[0, 0]),
            FrameError,
            "FRAME_ERROR - content body size 536870913 exceeds maximum allowed size 536870912",
        ),
        (
            header(60, 0, u64::MAX, &[0, 0]),
            FrameError,
            "FRAME_ERROR - content body size 18446744073709551615 exceeds maximum allowed size \
             536870912",
        ),
        (header(60, 0, 0, &[0]), SyntaxError, "SYNTAX_ERROR - content has no property flags"),
        (
            header(60, 0, 0, &[0, 1, 0, 0]),
            SyntaxError,
            "SYNTAX_ERROR - unknown property flags 0x0001",
        ),
        (header(60, 0, 0, &[0, 2]), SyntaxError, "SYNTAX_ERROR - unknown property flags 0x0002"),
        (
            header(60, 0, 0, &[0x80, 0, 2, b'a']),
            SyntaxError,
            "SYNTAX_ERROR - properties are longer than their frame",
        ),
        (
            header(60, 0, 0, &[0x10, 0, 2, 0]),
            SyntaxError,
            "SYNTAX_ERROR - surplus octets behind the properties",
        ),
        (
            header(60, 0, 0, &[0x20, 0, 0, 0, 0, 3, 1, b'k', b'Z']),
            SyntaxError,
            "SYNTAX_ERROR - unknown field tag 'Z' (90)",
        ),
    ];
    for (payload, code, text) in cases {
        assert_eq!(refusal_of(&payload), (code, text.to_owned()));
    }
}

#[test]
fn sequence_refusals_have_the_exact_texts() {
    use crate::{frame::Frame, refusal::*};
    let frame = Frame { kind: FrameKind::Body, channel: 0, payload: b"hello" };
    let cases = [
        (unexpected_frame(&frame), 505, "type 3, all octets = <<\"hello\">>"),
        (expected_method(), 505, "expected method frame, got non method frame instead"),
        (
            expected_content_header(),
            505,
            "expected content header for class 60, got non content header frame instead",
        ),
        (expected_content_body(), 505, "expected content body, got non content body frame instead"),
        (body_exceeds_announced(), 501, "content body frame exceeds remaining content size"),
    ];
    for (error, code, text) in cases {
        assert_eq!(error.code.code(), code);
        assert_eq!(error.text, format!("{} - {text}", error.code.name()));
    }
}

#[test]
fn a_body_of_the_largest_size_is_announced_without_a_reservation() {
    let payload = header(60, 0, BODY_BYTES_MAX, &[0, 0]);
    let header = decode_content_header(&payload).expect("just within the limit");
    assert_eq!(header.body_size, BODY_BYTES_MAX);
    assert_eq!(header.properties, Properties::EMPTY);
}

#[test]
fn opaque_strings_pass_unharmed() {
    // Correlation id and reply-to that are no text, a header key neither, and a key twice.
    let table = [&[2, 0xC3, 0x28, b'V'][..], &[1, b'k', b'L', 0, 0, 0, 0, 0, 0, 0, 1]].concat();
    let table = [&table[..], &table[..]].concat();
    let mut list = vec![0x26, 0];
    list.extend_from_slice(&(table.len() as u32).to_be_bytes());
    list.extend_from_slice(&table);
    list.extend_from_slice(&[2, 0xFF, 0xFE, 1, 0x80]);
    let properties = Properties::parse(&list).expect("opaque octets are fine");
    assert_eq!(properties.raw(), list);
    assert_eq!(properties.headers(), Some(&table[..]));
    assert_eq!(properties.correlation_id(), Some(&[0xFF, 0xFE][..]));
    assert_eq!(properties.reply_to(), Some(&[0x80][..]));
    assert_eq!(TableReader::new(&table).count(), 4);
}

#[test]
fn only_delivery_mode_2_is_persistent() {
    assert!(!Properties::EMPTY.is_persistent());
    assert_eq!(Properties::EMPTY.delivery_mode(), None);
    for mode in 0..=255 {
        let list = [0x10, 0, mode];
        let properties = Properties::parse(&list).expect("any mode is fine");
        assert_eq!(properties.is_persistent(), mode == 2);
        assert_eq!(properties.delivery_mode(), Some(mode));
    }
}

#[test]
fn headers_of_40k_fields_pass_and_cost_nothing() {
    let table = [1, b'k', b'V'].repeat(40_000);
    let mut list = vec![0x20, 0];
    list.extend_from_slice(&(table.len() as u32).to_be_bytes());
    list.extend_from_slice(&table);
    assert_eq!(Properties::parse(&list).expect("within the bound").raw(), list);
}

#[test]
fn a_rewrite_changes_headers_and_expiration_only() {
    let before = BasicProperties::default()
        .with_content_type(ShortString::from("text/plain"))
        .with_delivery_mode(2)
        .with_expiration(ShortString::from("1000"))
        .with_cluster_id(ShortString::from("c"));
    let list = encode_properties(&before);
    let properties = Properties::parse(&list).expect("the oracle's list is sound");
    let mut out = Vec::new();
    properties.write_changed(&mut out, Some(b"\x01kV"), Expiration::Removed);
    let mut headers = FieldTable::default();
    headers.insert(ShortString::from("k"), AMQPValue::Void);
    let after = BasicProperties::default()
        .with_content_type(ShortString::from("text/plain"))
        .with_headers(headers)
        .with_delivery_mode(2)
        .with_cluster_id(ShortString::from("c"));
    assert_eq!(out, encode_properties(&after));
}

fn owned_properties() -> impl Strategy<Value = BasicProperties> {
    let string = || prop::option::of(".{0,12}".prop_map(ShortString::from));
    let strings = [string(), string(), string(), string(), string()];
    let more = [string(), string(), string(), string(), string()];
    let headers = prop::option::of(prop::collection::btree_map(
        ".{0,9}".prop_map(ShortString::from),
        any::<i64>().prop_map(AMQPValue::LongLongInt),
        0..5,
    ));
    let numbers = (any::<Option<u8>>(), any::<Option<u8>>(), any::<Option<u64>>());
    (strings, more, headers, numbers).prop_map(|(strings, more, headers, numbers)| {
        type Set = fn(BasicProperties, ShortString) -> BasicProperties;
        let setters: [Set; 10] = [
            BasicProperties::with_content_type,
            BasicProperties::with_content_encoding,
            BasicProperties::with_correlation_id,
            BasicProperties::with_reply_to,
            BasicProperties::with_expiration,
            BasicProperties::with_message_id,
            BasicProperties::with_type,
            BasicProperties::with_user_id,
            BasicProperties::with_app_id,
            BasicProperties::with_cluster_id,
        ];
        let mut properties = BasicProperties::default();
        for (set, string) in setters.into_iter().zip(strings.into_iter().chain(more)) {
            properties = match string {
                Some(string) => set(properties, string),
                None => properties,
            };
        }
        if let Some(headers) = headers {
            properties = properties.with_headers(FieldTable::from(headers));
        }
        if let Some(mode) = numbers.0 {
            properties = properties.with_delivery_mode(mode);
        }
        if let Some(priority) = numbers.1 {
            properties = properties.with_priority(priority);
        }
        match numbers.2 {
            Some(timestamp) => properties.with_timestamp(timestamp),
            None => properties,
        }
    })
}

fn octets(string: &Option<ShortString>) -> Option<&[u8]> {
    string.as_ref().map(|string| string.as_str().as_bytes())
}

proptest! {
    #[test]
    fn properties_are_read_as_by_the_oracle(owned in owned_properties()) {
        let list = encode_properties(&owned);
        prop_assert_eq!(parse_properties(&list[..]), Ok((&[][..], owned.clone())));
        let read = Properties::parse(&list).expect("the oracle's list is sound");
        prop_assert_eq!(read.raw(), &list[..]);
        prop_assert_eq!(read.content_type(), octets(owned.content_type()));
        prop_assert_eq!(read.content_encoding(), octets(owned.content_encoding()));
        prop_assert_eq!(read.headers().is_some(), owned.headers().is_some());
        prop_assert_eq!(read.delivery_mode(), *owned.delivery_mode());
        prop_assert_eq!(read.priority(), *owned.priority());
        prop_assert_eq!(read.correlation_id(), octets(owned.correlation_id()));
        prop_assert_eq!(read.reply_to(), octets(owned.reply_to()));
        prop_assert_eq!(read.expiration(), octets(owned.expiration()));
        prop_assert_eq!(read.message_id(), octets(owned.message_id()));
        prop_assert_eq!(read.timestamp(), *owned.timestamp());
        prop_assert_eq!(read.message_type(), octets(owned.kind()));
        prop_assert_eq!(read.user_id(), octets(owned.user_id()));
        prop_assert_eq!(read.app_id(), octets(owned.app_id()));
        prop_assert_eq!(read.cluster_id(), octets(owned.cluster_id()));
        crate::fuzz::content_header(&header(60, 0, 1, &list));
        for len in 0..list.len() {
            prop_assert!(Properties::parse(&list[..len]).is_err());
        }
    }

    #[test]
    fn damaged_content_headers_never_panic(
        owned in owned_properties(),
        at in any::<prop::sample::Index>(),
        octet in any::<u8>(),
    ) {
        let mut payload = header(60, 0, 1, &encode_properties(&owned));
        let index = at.index(payload.len());
        payload[index] = octet;
        crate::fuzz::content_header(&payload);
    }
}
