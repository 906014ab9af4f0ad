//! The hot path allocates nothing per message, in either direction and on either side.

use haremq_protocol::{
    ack::{write_ack, write_nack, write_reject},
    client::{ClientConfig, ClientEvent, ClientSession},
    content::decode_content_header,
    deliver::{Deliver, GetOk, Return, write_deliver, write_get_ok, write_return},
    frame::{FrameKind, Split, split_frame, write_heartbeat},
    method::{AMQPClass, connection, decode_client_method, write_method},
    properties::{BasicProperties, encode_properties},
    publish::write_publish,
    table::TableReader,
    types::{AMQPValue, FieldTable, LongString, ShortString},
};

const FRAME_MAX: u32 = 4_096;

fn allocations(run: impl FnOnce()) -> u64 {
    allocation_counter::measure(run).count_total
}

fn property_list() -> Vec<u8> {
    let mut headers = FieldTable::default();
    headers.insert(ShortString::from("k"), AMQPValue::LongString(LongString::from("value")));
    let properties = BasicProperties::default().with_headers(headers).with_delivery_mode(2);
    encode_properties(&properties)
}

fn deliver() -> Deliver<'static> {
    Deliver {
        consumer_tag: b"ctag",
        delivery_tag: 1,
        redelivered: false,
        exchange: b"x",
        routing_key: b"rk",
    }
}

#[test]
fn a_broker_decodes_without_allocating() {
    let list = property_list();
    let mut input = Vec::new();
    write_publish(&mut input, 1, FRAME_MAX, b"x", "rk \u{e9}".as_bytes(), true, &list, &[7; 9_000]);
    write_ack(&mut input, 1, 1, true);
    write_nack(&mut input, 1, 1, true, true);
    write_reject(&mut input, 1, 1, true);
    write_heartbeat(&mut input);
    let mut frames = 0;
    let count = allocations(|| {
        let mut rest = &input[..];
        while let Ok(Split::Complete { frame, consumed }) = split_frame(rest, FRAME_MAX) {
            match frame.kind {
                FrameKind::Method => assert!(decode_client_method(frame.payload).is_ok()),
                FrameKind::Header => {
                    let header = decode_content_header(frame.payload).expect("a sound header");
                    let headers = header.properties.headers().expect("there are headers");
                    assert!(TableReader::new(headers).find(b"k").is_some());
                    assert!(header.properties.user_id().is_none());
                }
                FrameKind::Body | FrameKind::Heartbeat => (),
            }
            rest = &rest[consumed..];
            frames += 1;
        }
    });
    assert_eq!((count, frames), (0, 9));
}

#[test]
fn a_broker_encodes_without_allocating() {
    let list = property_list();
    let body = [7; 9_000];
    let returned =
        Return { reply_code: 312, reply_text: b"NO_ROUTE", exchange: b"x", routing_key: b"rk" };
    let get_ok = GetOk {
        delivery_tag: 1,
        redelivered: false,
        exchange: b"x",
        routing_key: b"rk",
        message_count: 3,
    };
    let mut out = Vec::with_capacity(1 << 16);
    let count = allocations(|| {
        write_deliver(&mut out, 1, FRAME_MAX, &deliver(), &list, &body);
        write_return(&mut out, 1, FRAME_MAX, &returned, &list, &body);
        write_get_ok(&mut out, 1, FRAME_MAX, &get_ok, &list, &body);
        write_ack(&mut out, 1, 1, true);
        write_nack(&mut out, 1, 1, true, true);
    });
    assert_eq!(count, 0);
}

#[test]
fn one_reservation_is_enough_for_a_delivery() {
    let list = property_list();
    for body_len in [0, 1, 4_088, 4_089, 20_000] {
        let body = vec![7; body_len];
        let mut out = Vec::new();
        let count = allocations(|| {
            write_deliver(&mut out, 1, FRAME_MAX, &deliver(), &list, &body);
        });
        assert_eq!(count, 1, "a body of {body_len} octets");
    }
}

fn running() -> ClientSession {
    let mut bytes = Vec::new();
    let mechanisms = LongString::from("PLAIN");
    for method in [
        connection::AMQPMethod::Start(connection::Start { mechanisms, ..Default::default() }),
        connection::AMQPMethod::Tune(connection::Tune {
            frame_max: FRAME_MAX,
            ..Default::default()
        }),
        connection::AMQPMethod::OpenOk(connection::OpenOk {}),
    ] {
        write_method(&mut bytes, 0, &AMQPClass::Connection(method));
    }
    let mut session = ClientSession::new(ClientConfig::default());
    session.handle_received(&bytes, |_| ()).expect("a sound handshake");
    session.open_channel(1).expect("the session is open");
    session
}

#[test]
fn a_client_takes_deliveries_without_allocating() {
    let mut session = running();
    let list = property_list();
    let mut stream = Vec::new();
    for body_len in [0, 16, 1_024, 9_000] {
        write_deliver(&mut stream, 1, FRAME_MAX, &deliver(), &list, &vec![7; body_len]);
        write_ack(&mut stream, 1, 1, true);
    }
    let mut output = Vec::new();
    let mut round = |piece_len: usize| {
        let mut deliveries = 0;
        for piece in stream.chunks(piece_len) {
            let received = session.handle_received(piece, |event| {
                deliveries += u32::from(matches!(event, ClientEvent::Deliver { .. }));
            });
            received.expect("the server behaves");
        }
        for tag in 0..u64::from(deliveries) {
            session.ack(1, tag, false).expect("the session is open");
            session.publish(1, b"x", b"rk", false, &list, b"body").expect("the session is open");
        }
        output.clear();
        session.poll_output(&mut output);
        assert_eq!(deliveries, 4);
    };
    // The first rounds size the buffers that are reused.
    for piece_len in [1_000, usize::MAX, 1_000, usize::MAX] {
        round(piece_len);
    }
    assert_eq!(allocations(|| round(usize::MAX)), 0);
    assert_eq!(allocations(|| round(1_000)), 0);
}
