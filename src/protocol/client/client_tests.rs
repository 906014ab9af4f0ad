use proptest::prelude::*;

use super::*;
use crate::{
    ack::{write_ack, write_nack},
    content::write_content,
    deliver::{Deliver, GetOk, Return, write_deliver, write_get_ok, write_return},
    frame::{FRAME_END, PROTOCOL_HEADER, Split, split_frame, write_heartbeat},
    method::{
        AMQPClass, ClientMethod, basic, channel, connection, decode_client_method, write_method,
    },
    reply::{ProtocolError, ReplyCode},
    sasl::{Credentials, parse_amqplain, parse_plain},
    types::{FieldTable, LongString, ShortString},
};

fn conn(out: &mut Vec<u8>, method: connection::AMQPMethod) {
    write_method(out, 0, &AMQPClass::Connection(method));
}

fn chan(out: &mut Vec<u8>, number: u16, method: channel::AMQPMethod) {
    write_method(out, number, &AMQPClass::Channel(method));
}

fn start() -> connection::AMQPMethod {
    connection::AMQPMethod::Start(connection::Start {
        version_major: 0,
        version_minor: 9,
        server_properties: FieldTable::default(),
        mechanisms: LongString::from("AMQPLAIN PLAIN"),
        locales: LongString::from("en_US"),
    })
}

fn tune(frame_max: u32) -> connection::AMQPMethod {
    connection::AMQPMethod::Tune(connection::Tune { channel_max: 2_047, frame_max, heartbeat: 60 })
}

fn open_ok() -> connection::AMQPMethod {
    connection::AMQPMethod::OpenOk(connection::OpenOk {})
}

fn close_text(text: &str) -> connection::Close {
    connection::Close {
        reply_code: 320,
        reply_text: ShortString::from(text),
        class_id: 0,
        method_id: 0,
    }
}

fn handshake(frame_max: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    conn(&mut bytes, start());
    conn(&mut bytes, tune(frame_max));
    conn(&mut bytes, open_ok());
    bytes
}

fn receive(session: &mut ClientSession, bytes: &[u8]) -> Vec<OwnedClientEvent> {
    let mut events = Vec::new();
    session.handle_received_owned(bytes, &mut events).expect("the server behaves");
    events
}

/// A running session with channel 1 open and nothing left to send.
fn running() -> ClientSession {
    let mut session = ClientSession::new(ClientConfig::default());
    let events = receive(&mut session, &handshake(131_072));
    let opened =
        OwnedClientEvent::Opened { channel_max: 2_047, frame_max: 131_072, heartbeat_s: 0 };
    assert_eq!(events, [opened]);
    session.open_channel(1).expect("the session is open");
    let mut out = Vec::new();
    session.poll_output(&mut out);
    session
}

/// What a session sends, as a broker reads it. A content header or body shows as `None`.
fn sent(session: &mut ClientSession) -> Vec<(u16, Option<AMQPClass>)> {
    let mut out = Vec::new();
    session.poll_output(&mut out);
    assert_eq!(session.output_bytes(), 0);
    let mut rest = out.strip_prefix(&PROTOCOL_HEADER).unwrap_or(&out);
    let mut methods = Vec::new();
    while let Split::Complete { frame, consumed } = split_frame(rest, 0).expect("sound frames") {
        let method = match decode_client_method(frame.payload) {
            Ok(ClientMethod::Cold(method)) => Some(method),
            _ => None,
        };
        methods.push((frame.channel, method));
        rest = &rest[consumed..];
    }
    assert!(rest.is_empty());
    methods
}

fn deliver(delivery_tag: u64) -> Deliver<'static> {
    Deliver {
        consumer_tag: b"ctag",
        delivery_tag,
        redelivered: false,
        exchange: b"x",
        routing_key: b"rk",
    }
}

fn protocol_error(result: Result<(), ClientError>) -> ProtocolError {
    match result {
        Err(ClientError::Protocol(error)) => error,
        other => panic!("a protocol error: {other:?}"),
    }
}

fn refused(bytes: &[u8]) -> ProtocolError {
    let mut session = running();
    let error = protocol_error(session.handle_received(bytes, |_| ()));
    assert!(session.is_closed());
    assert_eq!(sent(&mut session), [(0, Some(error.connection_close()))]);
    error
}

#[test]
fn handshake_authenticates_tunes_and_opens() {
    for mechanism in [Mechanism::Plain, Mechanism::Amqplain] {
        let config = ClientConfig {
            user: b"alice".to_vec(),
            password: b"secret".to_vec(),
            mechanism,
            virtual_host: ShortString::from("v"),
            channel_max: 100,
            frame_max: 8_192,
            heartbeat_s: 7,
            ..ClientConfig::default()
        };
        let mut session = ClientSession::new(config);
        let events = receive(&mut session, &handshake(131_072));
        let opened =
            OwnedClientEvent::Opened { channel_max: 100, frame_max: 8_192, heartbeat_s: 7 };
        assert_eq!(events, [opened]);
        let methods: Vec<_> =
            sent(&mut session).into_iter().flat_map(|(_, method)| method).collect();
        let [
            AMQPClass::Connection(connection::AMQPMethod::StartOk(start_ok)),
            AMQPClass::Connection(connection::AMQPMethod::TuneOk(tune_ok)),
            AMQPClass::Connection(connection::AMQPMethod::Open(open)),
        ] = &methods[..]
        else {
            panic!("start-ok, tune-ok, open: {methods:?}");
        };
        let response = start_ok.response.as_bytes();
        let credentials = match mechanism {
            Mechanism::Plain => parse_plain(response),
            Mechanism::Amqplain => parse_amqplain(response),
        };
        assert_eq!(credentials, Ok(Credentials { user: b"alice", password: b"secret" }));
        assert_eq!(start_ok.mechanism.as_str(), mechanism.name());
        assert_eq!((tune_ok.channel_max, tune_ok.frame_max, tune_ok.heartbeat), (100, 8_192, 7));
        assert_eq!(open.virtual_host.as_str(), "v");
    }
}

#[test]
fn first_output_is_the_protocol_header() {
    let mut out = Vec::new();
    ClientSession::new(ClientConfig::default()).poll_output(&mut out);
    assert_eq!(out, PROTOCOL_HEADER);
}

#[test]
fn calls_before_open_are_refused() {
    let mut session = ClientSession::new(ClientConfig::default());
    assert_eq!(session.open_channel(1), Err(ClientError::NotOpened));
    assert_eq!(session.publish(1, b"", b"q", false, &[0, 0], b"x"), Err(ClientError::NotOpened));
    assert_eq!(session.ack(1, 1, false), Err(ClientError::NotOpened));
    assert_eq!(session.close(), Err(ClientError::NotOpened));
}

#[test]
fn another_protocol_header_is_a_refused_version() {
    for cut in 1..8 {
        let mut session = ClientSession::new(ClientConfig::default());
        let (head, rest) = PROTOCOL_HEADER.split_at(cut);
        let first = session.handle_received(head, |_| ());
        let result = first.and_then(|()| session.handle_received(rest, |_| ()));
        assert!(session.is_closed() || result.is_err());
        if cut < 7 {
            assert_eq!(result, Err(ClientError::VersionRefused));
        }
    }
}

#[test]
fn handshake_failures_are_told_apart() {
    let mut bytes = Vec::new();
    conn(
        &mut bytes,
        connection::AMQPMethod::Start(connection::Start {
            mechanisms: LongString::from("EXTERNAL"),
            ..connection::Start::default()
        }),
    );
    let mut session = ClientSession::new(ClientConfig::default());
    assert_eq!(session.handle_received(&bytes, |_| ()), Err(ClientError::MechanismNotOffered));

    bytes.clear();
    conn(&mut bytes, start());
    let secure = connection::Secure { challenge: LongString::from("?") };
    conn(&mut bytes, connection::AMQPMethod::Secure(secure));
    let mut session = ClientSession::new(ClientConfig::default());
    assert_eq!(session.handle_received(&bytes, |_| ()), Err(ClientError::ChallengeUnsupported));

    bytes.clear();
    conn(&mut bytes, start());
    conn(&mut bytes, tune(8));
    let mut session = ClientSession::new(ClientConfig::default());
    let error = protocol_error(session.handle_received(&bytes, |_| ()));
    assert_eq!(error.code, ReplyCode::NotAllowed);
}

#[test]
fn refused_login_is_a_closed_connection() {
    let mut bytes = Vec::new();
    conn(&mut bytes, start());
    conn(&mut bytes, connection::AMQPMethod::Close(close_text("no")));
    let mut session = ClientSession::new(ClientConfig::default());
    let closed = OwnedClientEvent::ConnectionClosed { close: Some(close_text("no")) };
    assert_eq!(receive(&mut session, &bytes), [closed]);
    assert!(session.is_closed());
    let close_ok = connection::AMQPMethod::CloseOk(connection::CloseOk {});
    assert_eq!(sent(&mut session).last(), Some(&(0, Some(AMQPClass::Connection(close_ok)))));
}

#[test]
fn closes_by_the_server_are_answered() {
    let mut session = running();
    let close = channel::Close {
        reply_code: 404,
        reply_text: ShortString::from("NOT_FOUND - no queue"),
        class_id: 50,
        method_id: 10,
    };
    let mut bytes = Vec::new();
    chan(&mut bytes, 1, channel::AMQPMethod::Close(close.clone()));
    write_heartbeat(&mut bytes);
    conn(&mut bytes, connection::AMQPMethod::Close(close_text("bye")));
    write_heartbeat(&mut bytes);
    let events = receive(&mut session, &bytes);
    assert_eq!(
        events,
        [
            OwnedClientEvent::ChannelClosed { channel: 1, close: Some(close) },
            OwnedClientEvent::Heartbeat,
            OwnedClientEvent::ConnectionClosed { close: Some(close_text("bye")) },
        ]
    );
    let channel_close_ok = channel::AMQPMethod::CloseOk(channel::CloseOk {});
    let close_ok = connection::AMQPMethod::CloseOk(connection::CloseOk {});
    assert_eq!(
        sent(&mut session),
        [
            (1, Some(AMQPClass::Channel(channel_close_ok))),
            (0, Some(AMQPClass::Connection(close_ok))),
        ]
    );
    assert_eq!(receive(&mut session, b"anything"), []);
}

#[test]
fn our_own_closes_are_told_when_answered() {
    let mut session = running();
    session.close_channel(1).expect("open");
    let mut bytes = Vec::new();
    write_deliver(&mut bytes, 1, 4_096, &deliver(1), &[0, 0], b"late");
    chan(&mut bytes, 1, channel::AMQPMethod::CloseOk(channel::CloseOk {}));
    let closed = OwnedClientEvent::ChannelClosed { channel: 1, close: None };
    assert_eq!(receive(&mut session, &bytes), [closed]);
    session.close().expect("open");
    assert_eq!(session.close(), Err(ClientError::NotOpened));
    bytes.clear();
    write_deliver(&mut bytes, 2, 4_096, &deliver(1), &[0, 0], b"late");
    conn(&mut bytes, connection::AMQPMethod::CloseOk(connection::CloseOk {}));
    let closed = OwnedClientEvent::ConnectionClosed { close: None };
    assert_eq!(receive(&mut session, &bytes), [closed]);
    assert!(session.is_closed());
}

#[test]
fn whole_deliveries_borrow_from_the_input() {
    let mut session = running();
    let mut bytes = Vec::new();
    for tag in 1..=3 {
        write_deliver(&mut bytes, 1, 131_072, &deliver(tag), &[0, 0], b"body");
    }
    let range = bytes.as_ptr_range();
    let mut seen = 0;
    let received = session.handle_received(&bytes, |event| match event {
        ClientEvent::Deliver { body, .. } => {
            assert!(range.contains(&body.as_ptr()));
            seen += 1;
        }
        other => panic!("a delivery: {other:?}"),
    });
    assert_eq!((received, seen), (Ok(()), 3));
}

#[test]
fn names_that_do_not_fit_are_refused() {
    let mut session = running();
    let long = [b'k'; 256];
    let result = session.publish(1, b"", &long, false, &[0, 0], b"");
    assert_eq!(result, Err(ClientError::NameTooLong));
    assert_eq!(session.publish(1, &long[1..], &long[1..], true, &[0, 0], b""), Ok(()));
}

#[test]
fn a_server_out_of_sequence_is_refused() {
    let mut carrier = Vec::new();
    write_deliver(&mut carrier, 1, 4_096, &deliver(1), &[0, 0], b"body");
    let method_len = carrier.len() - (8 + 14) - (8 + 4);
    let method = &carrier[..method_len];
    let mut header_and_body = Vec::new();
    write_content(&mut header_and_body, 1, 4_096, &[0, 0], b"body");
    let (header, body) = header_and_body.split_at(8 + 14);
    let long_body = [3, 0, 1, 0, 0, 0, 5, 1, 2, 3, 4, 5, FRAME_END];
    let mut other_channel = Vec::new();
    write_ack(&mut other_channel, 2, 1, false);
    let cases = [
        (header.to_vec(), ReplyCode::UnexpectedFrame),
        (body.to_vec(), ReplyCode::UnexpectedFrame),
        ([method, method].concat(), ReplyCode::UnexpectedFrame),
        ([method, body].concat(), ReplyCode::UnexpectedFrame),
        ([method, header, header].concat(), ReplyCode::UnexpectedFrame),
        ([method, header, method].concat(), ReplyCode::UnexpectedFrame),
        ([method, header, &long_body[..]].concat(), ReplyCode::FrameError),
        (other_channel, ReplyCode::ChannelError),
        (vec![3, 0, 0, 0, 0, 0, 0, FRAME_END], ReplyCode::UnexpectedFrame),
        (vec![9, 0, 0, 0, 0, 0, 0, FRAME_END], ReplyCode::FrameError),
        (handshake(131_072), ReplyCode::CommandInvalid),
    ];
    for (bytes, code) in cases {
        assert_eq!(refused(&bytes).code, code, "{bytes:?}");
    }
}

#[test]
fn finished_messages_give_their_room_back() {
    let config = ClientConfig { message_bytes_max: 10_000, ..ClientConfig::default() };
    let mut session = ClientSession::new(config);
    receive(&mut session, &handshake(131_072));
    session.open_channel(1).expect("open");
    for tag in 1..=5 {
        let mut bytes = Vec::new();
        write_deliver(&mut bytes, 1, 4_096, &deliver(tag), &[0, 0], &[7; 8_000]);
        assert_eq!(receive(&mut session, &bytes).len(), 1);
    }
}

#[test]
fn a_message_beyond_the_bound_ends_the_session() {
    for frame_max in [4_096, 131_072] {
        let config = ClientConfig { message_bytes_max: 10_000, ..ClientConfig::default() };
        let mut session = ClientSession::new(config);
        receive(&mut session, &handshake(131_072));
        session.open_channel(1).expect("open");
        let mut bytes = Vec::new();
        write_deliver(&mut bytes, 1, frame_max, &deliver(1), &[0, 0], &[7; 10_001]);
        let result = session.handle_received(&bytes, |_| ());
        assert_eq!(result, Err(ClientError::MessageTooLarge));
    }
}

#[test]
fn half_messages_on_many_channels_hit_the_bound() {
    let config = ClientConfig { message_bytes_max: 10_000, ..ClientConfig::default() };
    let mut session = ClientSession::new(config);
    receive(&mut session, &handshake(131_072));
    let mut result = Ok(());
    for number in 1..=3 {
        session.open_channel(number).expect("open");
        let mut bytes = Vec::new();
        write_deliver(&mut bytes, number, 4_096, &deliver(1), &[0, 0], &[7; 8_000]);
        // Everything but the second body frame.
        let second = 8 + (8_000 - 4_088);
        result = session.handle_received(&bytes[..bytes.len() - second], |_| ());
        assert_eq!(result.is_ok(), number < 3);
    }
    assert_eq!(result, Err(ClientError::MessageTooLarge));
}

/// Everything that a server may send on a running connection with channels 1 and 2.
fn server_stream(bodies: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in 1..=2 {
        chan(&mut bytes, number, channel::AMQPMethod::OpenOk(channel::OpenOk {}));
    }
    let consume_ok = basic::ConsumeOk { consumer_tag: ShortString::from("ctag") };
    write_method(&mut bytes, 2, &AMQPClass::Basic(basic::AMQPMethod::ConsumeOk(consume_ok)));
    for (index, body) in bodies.iter().enumerate() {
        let tag = index as u64 + 1;
        write_deliver(&mut bytes, 1, 64, &deliver(tag), &[0x10, 0, 2], body);
        write_heartbeat(&mut bytes);
        let returned =
            Return { reply_code: 312, reply_text: b"NO_ROUTE", exchange: b"x", routing_key: b"rk" };
        write_return(&mut bytes, 2, 4_096, &returned, &[0, 0], body);
        write_ack(&mut bytes, 2, tag, true);
        let get_ok = GetOk {
            delivery_tag: tag,
            redelivered: true,
            exchange: b"",
            routing_key: b"q",
            message_count: 9,
        };
        write_get_ok(&mut bytes, 1, 4_096, &get_ok, &[0, 0], body);
        write_nack(&mut bytes, 2, tag, false, true);
    }
    conn(&mut bytes, connection::AMQPMethod::Close(close_text("done")));
    bytes
}

proptest! {
    #[test]
    fn every_split_gives_the_same_events(
        bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..5),
        cuts in prop::collection::vec(1_usize..90, 1..50),
    ) {
        let mut stream = handshake(4_096);
        let opening = stream.len();
        stream.extend_from_slice(&server_stream(&bodies));
        let mut expected = Vec::new();
        let mut events = Vec::new();
        for (pieces, events) in [(&[usize::MAX][..], &mut expected), (&cuts[..], &mut events)] {
            let mut session = ClientSession::new(ClientConfig::default());
            session.handle_received_owned(&stream[..opening], events).expect("sound");
            session.open_channel(1).expect("open");
            session.open_channel(2).expect("open");
            let mut rest = &stream[opening..];
            for len in pieces.iter().cycle() {
                let (piece, after) = rest.split_at((*len).min(rest.len()));
                session.handle_received_owned(piece, events).expect("sound");
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert!(session.is_closed());
        }
        prop_assert_eq!(expected.len(), 1 + 3 + bodies.len() * 6 + 1);
        prop_assert_eq!(events, expected);
    }

    #[test]
    fn a_hostile_server_never_panics_a_session(
        bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..3),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut stream = server_stream(&bodies);
        for (at, octet) in damage {
            let index = at.index(stream.len());
            stream[index] = octet;
        }
        crate::fuzz::client(&stream);
    }
}

#[test]
fn a_publish_follows_the_negotiated_frame_max() {
    let mut session = ClientSession::new(ClientConfig::default());
    receive(&mut session, &handshake(4_096));
    session.open_channel(1).expect("open");
    sent(&mut session);
    session.publish(1, b"", b"q", false, &[0, 0], &[7; 10_000]).expect("open");
    let mut out = Vec::new();
    session.poll_output(&mut out);
    let mut rest = &out[..];
    let mut body_bytes = 0;
    while let Split::Complete { frame, consumed } = split_frame(rest, 4_088).expect("sound") {
        body_bytes += if frame.kind.octet() == 3 { frame.payload.len() } else { 0 };
        rest = &rest[consumed..];
    }
    assert_eq!(body_bytes, 10_000);
}
