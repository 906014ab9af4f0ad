//! Entry points for arbitrary bytes. The fuzz targets call them, and the tests replay the
//! collected inputs through them. Each panics if something that must hold does not.

use crate::{
    client::{ClientConfig, ClientSession},
    content::decode_content_header,
    frame::{Frame, FrameKind, Split, split_frame},
    method::write_method,
    method::{
        AMQPClass, ClientMethod, ServerMethod, connection, decode_client_method,
        decode_server_method,
    },
    properties::{Expiration, Properties},
    publish::{WholePublish, split_publish},
    table::{ArrayReader, TABLE_ENTRIES_MAX, TableReader, Value, scan_table},
    types::LongString,
};

const FRAME_MAX: u32 = 4_096;

/// Splits a stream of frames, and lets both sides decode what is in it.
pub fn frame(mut bytes: &[u8]) {
    loop {
        publish(bytes, FRAME_MAX);
        match split_frame(bytes, FRAME_MAX) {
            Err(_) => return,
            Ok(Split::Incomplete { needed }) => {
                assert!(needed > bytes.len());
                return;
            }
            Ok(Split::Complete { frame, consumed }) => {
                assert!(consumed <= bytes.len());
                assert!(frame.payload.len() <= FRAME_MAX as usize);
                let cut = split_frame(&bytes[..consumed - 1], FRAME_MAX);
                assert!(matches!(cut, Ok(Split::Incomplete { .. })));
                method(frame.payload);
                bytes = &bytes[consumed..];
            }
        }
    }
}

/// What is recognised as a whole publish is what the splitter of frames and the decoders of
/// payloads find step by step, and nothing else is.
pub fn publish(bytes: &[u8], frame_max: u32) {
    assert_eq!(split_publish(bytes, frame_max), publish_step_by_step(bytes, frame_max));
}

fn publish_step_by_step(bytes: &[u8], frame_max: u32) -> Option<WholePublish<'_>> {
    let mut rest = bytes;
    let method = next_frame(&mut rest, frame_max)?;
    let channel = method.channel;
    let Ok(ClientMethod::Publish(publish)) = decode_client_method(method.payload) else {
        return None;
    };
    let mut next_payload = |kind| {
        let frame = next_frame(&mut rest, frame_max)?;
        ((frame.kind, frame.channel) == (kind, channel)).then_some(frame.payload)
    };
    let header = decode_content_header(next_payload(FrameKind::Header)?).ok()?;
    let body = match header.body_size {
        0 => &[],
        _ => next_payload(FrameKind::Body)?,
    };
    let is_whole = method.kind == FrameKind::Method && body.len() as u64 == header.body_size;
    let (properties, consumed) = (header.properties, bytes.len() - rest.len());
    is_whole.then_some(WholePublish { channel, publish, properties, body, consumed })
}

fn next_frame<'a>(rest: &mut &'a [u8], frame_max: u32) -> Option<Frame<'a>> {
    let Ok(Split::Complete { frame, consumed }) = split_frame(rest, frame_max) else {
        return None;
    };
    *rest = &rest[consumed..];
    Some(frame)
}

/// Decodes a method payload in both directions; a cold method survives being written again.
pub fn method(payload: &[u8]) {
    if let Ok(ClientMethod::Cold(method)) = decode_client_method(payload) {
        let again = rewritten(&method, |payload| match decode_client_method(payload) {
            Ok(ClientMethod::Cold(method)) => method,
            other => panic!("a method that was written is not read: {other:?}"),
        });
        assert_eq!(written(&again), written(&method));
    }
    if let Ok(ServerMethod::Cold(method)) = decode_server_method(payload) {
        let again = rewritten(&method, |payload| match decode_server_method(payload) {
            Ok(ServerMethod::Cold(method)) => method,
            other => panic!("a method that was written is not read: {other:?}"),
        });
        assert_eq!(written(&again), written(&method));
    }
}

fn written(method: &AMQPClass) -> Vec<u8> {
    let mut out = Vec::new();
    write_method(&mut out, 1, method);
    out
}

fn rewritten(method: &AMQPClass, decode: impl Fn(&[u8]) -> AMQPClass) -> AMQPClass {
    match split_frame(&written(method), 0) {
        Ok(Split::Complete { frame, .. }) => decode(frame.payload),
        other => panic!("a frame that was written is not read: {other:?}"),
    }
}

/// Scans table content; a table that passes is read to its last octet.
pub fn table(content: &[u8]) {
    if scan_table(content).is_ok() {
        assert!(octets_of_table(content) == content.len());
    }
}

/// Octets that the readers see, counted without recursion.
fn octets_of_table(content: &[u8]) -> usize {
    let mut octets = 0;
    let mut entries = 0;
    let mut pending = vec![Value::Table(content)];
    while let Some(nested) = pending.pop() {
        let (table, array) = match nested {
            Value::Table(content) => (content, &[][..]),
            Value::Array(content) => (&[][..], content),
            _ => continue,
        };
        for (key, value) in TableReader::new(table) {
            octets += 1 + key.len() + octets_of_value(value);
            entries += 1;
            pending.push(value);
        }
        for value in ArrayReader::new(array) {
            octets += octets_of_value(value);
            entries += 1;
            pending.push(value);
        }
        assert!(entries <= TABLE_ENTRIES_MAX);
    }
    octets
}

/// Tag, length and flat content of a value; what is nested is counted by its own entries.
fn octets_of_value(value: Value<'_>) -> usize {
    match value {
        Value::Void => 1,
        Value::Bool(_) | Value::I8(_) | Value::U8(_) => 2,
        Value::I16(_) | Value::U16(_) => 3,
        Value::I32(_) | Value::U32(_) | Value::Float(_) => 5,
        Value::Decimal { .. } => 6,
        Value::I64(_) | Value::Double(_) | Value::Timestamp(_) => 9,
        Value::LongString(octets) | Value::ByteArray(octets) => 5 + octets.len(),
        Value::Array(_) | Value::Table(_) => 5,
    }
}

/// Decodes a content header; its properties stay verbatim, also through a rewrite that changes
/// nothing.
pub fn content_header(payload: &[u8]) {
    let Ok(header) = decode_content_header(payload) else {
        return;
    };
    let properties = header.properties;
    assert!(payload.ends_with(properties.raw()));
    let strings = [
        properties.content_type(),
        properties.content_encoding(),
        properties.correlation_id(),
        properties.reply_to(),
        properties.expiration(),
        properties.message_id(),
        properties.message_type(),
        properties.user_id(),
        properties.app_id(),
        properties.cluster_id(),
    ];
    let strings_len: usize = strings.into_iter().flatten().map(|string| string.len() + 1).sum();
    let others_len = 2
        + properties.headers().map_or(0, |content| content.len() + 4)
        + properties.delivery_mode().map_or(0, |_| 1)
        + properties.priority().map_or(0, |_| 1)
        + properties.timestamp().map_or(0, |_| 8);
    assert!(strings_len + others_len == properties.raw().len());
    let mut same = Vec::new();
    properties.write_changed(&mut same, properties.headers(), Expiration::Kept);
    assert_eq!(same, properties.raw());
    let mut bare = Vec::new();
    properties.write_changed(&mut bare, None, Expiration::Removed);
    let bare = Properties::parse(&bare).expect("a rewritten list is sound");
    assert!(bare.headers().is_none());
    assert!(bare.expiration().is_none());
}

/// Feeds a client session from a hostile server, from the first octet on and when running.
pub fn client(bytes: &[u8]) {
    let config = ClientConfig { message_bytes_max: 1 << 16, ..ClientConfig::default() };
    compare_cuts(bytes, || ClientSession::new(config.clone()));
    compare_cuts(bytes, || {
        let mut session = ClientSession::new(config.clone());
        session.handle_received(&handshake(), |_| ()).expect("a sound handshake");
        session.open_channel(1).expect("the session is open");
        session.open_channel(2).expect("the session is open");
        session
    });
}

/// Whole and octet by octet, the events and the end are the same.
fn compare_cuts(bytes: &[u8], session: impl Fn() -> ClientSession) {
    let mut whole = session();
    let mut events = Vec::new();
    let result = whole.handle_received_owned(bytes, &mut events);
    let mut cut = session();
    let mut cut_events = Vec::new();
    let cut_result =
        bytes.iter().try_for_each(|octet| cut.handle_received_owned(&[*octet], &mut cut_events));
    assert_eq!(result, cut_result);
    // Floats that are no number differ from themselves, so the texts are compared.
    assert_eq!(format!("{events:?}"), format!("{cut_events:?}"));
}

fn handshake() -> Vec<u8> {
    let mechanisms = LongString::from("PLAIN");
    let methods = [
        connection::AMQPMethod::Start(connection::Start { mechanisms, ..Default::default() }),
        connection::AMQPMethod::Tune(connection::Tune {
            frame_max: FRAME_MAX,
            ..Default::default()
        }),
        connection::AMQPMethod::OpenOk(connection::OpenOk {}),
    ];
    let mut out = Vec::new();
    for method in methods {
        write_method(&mut out, 0, &AMQPClass::Connection(method));
    }
    out
}
