//! Publishing: checks, properties, bodies of all sizes, returns (SEMANTICS.md 7).

mod support;

use haremq_protocol::client::ClientConfig;
use haremq_protocol::method::{AMQPClass, basic, channel, queue};
use haremq_protocol::properties::{BasicProperties, Properties, encode_properties};
use haremq_protocol::types::{AMQPValue, FieldTable};

use support::{
    Client, Event, Post, Raw, arguments, bytes_of, content_header, frame, long, on_each_core, text,
};

/// The channel is closed for a message with these properties, with this text.
#[track_caller]
fn check_refused(properties: BasicProperties, text: &str) {
    let mut client = Client::connect();
    client.declare(1, "publish-refused");
    client
        .publish(1, &Post { key: "publish-refused", properties, body: b"x", ..Default::default() });
    let refusal = client.refusal(1);
    refusal.assert(406, &format!("PRECONDITION_FAILED - {text}"));
    assert_eq!(refusal.class_and_method, (60, 40));
    client.open(1);
    assert_eq!(client.count(1, "publish-refused"), (0, 0));
}

#[test]
fn a_wrong_expiration_closes_the_channel() {
    let rows = [
        ("-1", "{value_negative,-1}"),
        ("315360000001", "{value_too_large,315360000001}"),
        ("10s", "{leftover_string,\"s\"}"),
        ("1.5", "{leftover_string,\".5\"}"),
        ("", "no_integer"),
        ("abc", "no_integer"),
    ];
    for (expiration, reason) in rows {
        let properties = BasicProperties::default().with_expiration(expiration.into());
        check_refused(properties, &format!("invalid expiration '{expiration}': {reason}"));
    }
}

#[test]
fn only_the_own_user_id_passes() {
    let properties = BasicProperties::default().with_user_id("other".into());
    let text = "user_id property set to 'other' but authenticated user was 'guest'";
    check_refused(properties, text);
    let mut client = Client::connect();
    client.declare(1, "publish-user");
    let properties = BasicProperties::default().with_user_id("guest".into());
    client.publish(1, &Post { key: "publish-user", properties, body: b"x", ..Default::default() });
    assert_eq!(client.drain(1, "publish-user"), ["x"]);
}

#[test]
fn further_routing_keys_and_reply_consumers_are_refused() {
    for name in ["CC", "BCC"] {
        let list = AMQPValue::FieldArray(vec![text("q")].into());
        let with =
            |value: AMQPValue| BasicProperties::default().with_headers(arguments([(name, value)]));
        check_refused(
            with(list),
            &format!("invalid message: header '{name}' is not supported yet"),
        );
        let kind = format!("invalid message: {{unacceptable_type_in_header,\"{name}\",longstr}}");
        check_refused(with(text("q")), &kind);
    }
    let properties = BasicProperties::default().with_reply_to("amq.rabbitmq.reply-to".into());
    check_refused(properties, "fast reply consumer does not exist");
}

#[test]
fn properties_and_headers_come_back_to_the_octet() {
    let mut nested = FieldTable::default();
    nested.insert("deep".into(), AMQPValue::FieldArray(vec![long(1), AMQPValue::Void].into()));
    let headers = arguments([
        ("zeta", AMQPValue::Timestamp(1_700_000_000)),
        ("alpha", AMQPValue::Boolean(true)),
        ("double", AMQPValue::Double(0.5)),
        ("byte", AMQPValue::ShortShortInt(-7)),
        ("nested", AMQPValue::FieldTable(nested)),
        ("void", AMQPValue::Void),
        ("bytes", AMQPValue::ByteArray(vec![0, 255, 7].into())),
    ]);
    let properties = BasicProperties::default()
        .with_content_type("text/plain".into())
        .with_content_encoding("utf-8".into())
        .with_headers(headers)
        .with_delivery_mode(1)
        .with_priority(9)
        .with_correlation_id("c".into())
        .with_reply_to("r".into())
        .with_expiration("60000".into())
        .with_message_id("m".into())
        .with_timestamp(1)
        .with_type("t".into())
        .with_user_id("guest".into())
        .with_app_id("a".into())
        .with_cluster_id("k".into());
    let raw = encode_properties(&properties);
    on_each_core("publish-properties", |client, name| {
        client.declare(1, name);
        let properties = properties.clone();
        client.publish(1, &Post { key: name, properties, body: b"x", ..Default::default() });
        client.post(1, name, "without");
        assert_eq!(client.get(1, name).expect("it is there").message.properties, raw);
        let bare = client.get(1, name).expect("it is there").message;
        assert_eq!(bare.properties, Properties::EMPTY.raw());
        assert_eq!(
            (bare.exchange.as_slice(), bare.routing_key.as_slice()),
            (&b""[..], name.as_bytes())
        );
        client.reject(1, 1, true);
        client.consume(1, name, "t");
        assert_eq!(client.delivery(1).message.properties, raw);
    });
}

#[test]
fn bodies_of_all_sizes_come_back_whole() {
    // Around the ring's copy limit, the frame limit, and far beyond both.
    let sizes = [0, 1, 4088, 4089, 16_383, 16_384, 16_385, 131_064, 131_065, 1 << 20, 5 << 20];
    on_each_core("publish-sizes", |client, name| {
        client.declare(1, name);
        let config = ClientConfig { frame_max: 4096, ..ClientConfig::default() };
        let mut narrow = Client::with(config);
        narrow.open(1);
        for size in sizes {
            let body: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
            client.publish(1, &Post { key: name, body: &body, ..Default::default() });
            narrow.select_confirms(1);
            narrow.publish(1, &Post { key: name, body: &body, ..Default::default() });
            while !matches!(narrow.event(1), Event::Ack { .. }) {}
            for reader in [&mut *client, &mut narrow] {
                let get = basic::Get { queue: name.into(), no_ack: true };
                let got = reader.get_as(1, get).expect("both are there");
                assert!(got.message.body == body, "{size} octets are changed");
            }
        }
    });
}

#[test]
fn a_body_may_come_in_any_pieces() {
    on_each_core("publish-pieces", |client, name| {
        client.declare(1, name);
        let mut raw = Raw::running();
        let publish = basic::Publish { routing_key: name.into(), ..Default::default() };
        let mut bytes = [bytes_of(1, publish), content_header(1, 6)].concat();
        for piece in [&b""[..], b"a", b"bc", b"", b"def"] {
            bytes.extend(frame(3, 1, piece));
            // Another channel's frames may come in between.
            bytes.extend(bytes_of(2, channel::Open {}));
            bytes.extend(bytes_of(2, channel::Close::default()));
        }
        for octet in bytes {
            raw.send(&[octet]);
        }
        raw.send_method(1, channel::Flow { active: true });
        while !matches!(raw.method(), (1, _)) {}
        raw.arrive(1, name);
        assert_eq!(client.drain(1, name), ["abcdef"]);
    });
}

#[test]
fn bodies_go_out_in_frames_of_frame_max_and_empty_ones_in_none() {
    on_each_core("publish-frames", |client, name| {
        client.declare(1, name);
        let mut raw = Raw::running_with(4096, 1, 0);
        raw.open(1);
        // WIRE-4: what each body is cut into.
        let cases: [(usize, &[usize]); 5] = [
            (0, &[]),
            (1, &[1]),
            (4088, &[4088]),
            (4089, &[4088, 1]),
            (40_000, &[4088, 4088, 4088, 4088, 4088, 4088, 4088, 4088, 4088, 3208]),
        ];
        for (size, expected) in cases {
            client.publish(1, &Post { key: name, body: &vec![7; size], ..Default::default() });
            client.settle_down(1, name);
            raw.send_method(1, basic::Get { queue: name.into(), no_ack: true });
            let method = raw.frame().expect("get-ok");
            assert_eq!((method.kind, &method.payload[..4]), (1, &[0, 60, 0, 71][..]));
            let header = raw.frame().expect("its header");
            assert_eq!((header.kind, header.channel), (2, 1));
            let announced = header.payload[4..12].try_into().expect("eight octets");
            assert_eq!(u64::from_be_bytes(announced), size as u64);
            for &length in expected {
                let body = raw.frame().expect("a piece of its body");
                assert_eq!((body.kind, body.channel, body.payload.len()), (3, 1, length));
            }
            raw.send_method(1, channel::Flow { active: true });
            let next = raw.method();
            assert!(matches!(next, (1, AMQPClass::Channel(channel::AMQPMethod::FlowOk(_)))));
        }
    });
}

#[test]
fn contents_of_several_channels_may_interleave() {
    on_each_core("publish-interleaved", |client, name| {
        client.declare(1, name);
        let mut raw = Raw::running();
        raw.open(2);
        let publish = || basic::Publish { routing_key: name.into(), ..Default::default() };
        raw.send(
            &[
                bytes_of(1, publish()),
                bytes_of(2, publish()),
                content_header(2, 4),
                content_header(1, 2),
                frame(3, 2, b"se"),
                frame(3, 1, b"a1"),
                frame(3, 2, b"co"),
            ]
            .concat(),
        );
        for number in [1, 2] {
            raw.arrive(number, name);
        }
        assert_eq!(client.drain(1, name), ["a1", "seco"]);
    });
}

#[test]
fn a_half_message_is_forgotten_with_its_channel() {
    on_each_core("publish-half", |client, name| {
        client.declare(1, name);
        let publish = basic::Publish { routing_key: name.into(), ..Default::default() };
        let mut raw = Raw::running();
        raw.send(&[bytes_of(1, publish), content_header(1, 100), frame(3, 1, b"half")].concat());
        drop(raw);
        client.post(1, name, "whole");
        assert_eq!(client.drain(1, name), ["whole"]);
    });
}

#[test]
fn a_payload_of_all_of_frame_max_is_taken_and_no_more() {
    let mut client = Client::connect();
    client.declare(1, "publish-tolerance");
    for (extra, is_taken) in [(0, true), (1, false)] {
        let mut raw = Raw::running_with(4096, 1, 0);
        raw.open(1);
        let publish =
            basic::Publish { routing_key: "publish-tolerance".into(), ..Default::default() };
        let body = vec![b'x'; 4096 + extra];
        let head = [bytes_of(1, publish), content_header(1, body.len() as u64)].concat();
        raw.send(&[head, frame(3, 1, &body)].concat());
        if is_taken {
            raw.arrive(1, "publish-tolerance");
        } else {
            let refusal = raw.refusal().expect("it is told");
            refusal.assert(
                501,
                "FRAME_ERROR - type 3, all octets = <<>>: {frame_too_large,4097,4088}",
            );
        }
    }
    assert_eq!(client.count(1, "publish-tolerance"), (1, 0));
}

#[test]
fn a_message_over_the_limit_closes_its_channel_when_it_is_complete() {
    let size: u64 = 134_217_729;
    let mut raw = Raw::running();
    raw.open(2);
    raw.send(&[bytes_of(1, basic::Publish::default()), content_header(1, size)].concat());
    let piece = vec![0; 131_064];
    let piece_frame = frame(3, 1, &piece);
    let mut left = size;
    while left > 0 {
        let next = left.min(piece.len() as u64);
        if next == piece.len() as u64 {
            raw.send(&piece_frame);
        } else {
            raw.send(&frame(3, 1, &piece[..next as usize]));
        }
        left -= next;
    }
    let refusal = raw.refusal().expect("it is told");
    refusal.assert(
        406,
        "PRECONDITION_FAILED - message size 134217729 is larger than configured max size 134217728",
    );
    assert!(!refusal.is_hard);
    raw.open(3);
}

#[test]
fn an_unroutable_message_comes_back_only_if_it_was_to() {
    on_each_core("publish-return", |client, name| {
        let properties = BasicProperties::default().with_message_id("id".into());
        let post = Post { key: name, properties, body: b"back", ..Default::default() };
        client.publish(1, &post);
        client.publish(1, &Post { mandatory: true, ..post.clone() });
        client.publish(1, &Post { exchange: "amq.topic", mandatory: true, ..post.clone() });
        for exchange in ["", "amq.topic"] {
            let Event::Return { reply_code, reply_text, message, .. } = client.event(1) else {
                panic!("it is returned");
            };
            assert_eq!((reply_code, reply_text.as_slice()), (312, &b"NO_ROUTE"[..]));
            assert_eq!(message.exchange, exchange.as_bytes());
            assert_eq!(message.routing_key, name.as_bytes());
            assert_eq!(message.properties, encode_properties(&post.properties));
            assert_eq!(message.body, b"back");
        }
        client.declare(1, name);
        client.publish(1, &Post { mandatory: true, ..post });
        assert_eq!(client.drain(1, name), ["back"]);
        client.assert_quiet(1);
    });
}

#[test]
fn a_large_returned_body_is_split_at_frame_max() {
    let config = ClientConfig { frame_max: 4096, ..ClientConfig::default() };
    let mut client = Client::with(config);
    client.open(1);
    let body: Vec<u8> = (0..100_000_u32).map(|at| at as u8).collect();
    client.publish(
        1,
        &Post { key: "publish-nowhere", mandatory: true, body: &body, ..Default::default() },
    );
    let Event::Return { message, .. } = client.event(1) else { panic!("it is returned") };
    assert!(message.body == body);
}

#[test]
fn an_error_discards_the_publishes_behind_it() {
    on_each_core("publish-behind", |client, name| {
        client.declare(1, name);
        client.open(2);
        client.post(2, name, "before");
        client.publish(
            2,
            &Post { exchange: "publish-no-exchange", body: b"x", ..Default::default() },
        );
        client.post(2, name, "behind");
        client.post(2, name, "behind");
        assert_eq!(client.refusal(2).code, 404);
        assert_eq!(client.drain(1, name), ["before"]);
    });
}

#[test]
fn a_publish_is_seen_by_what_follows_on_its_channel() {
    on_each_core("publish-then", |client, name| {
        client.declare(1, name);
        for round in 0..20 {
            let body = format!("{round}");
            client.post(1, name, &body);
            assert_eq!(client.drain(1, name), [body]);
            client.post(1, name, "x");
            let purged = client.call(1, queue::Purge { queue: name.into(), nowait: false });
            let expected = queue::AMQPMethod::PurgeOk(queue::PurgeOk { message_count: 1 });
            assert_eq!(purged, AMQPClass::Queue(expected));
        }
        client.post(1, name, "x");
        let deleted = client.call(1, queue::Delete { queue: name.into(), ..Default::default() });
        let expected = queue::AMQPMethod::DeleteOk(queue::DeleteOk { message_count: 1 });
        assert_eq!(deleted, AMQPClass::Queue(expected));
    });
}

#[test]
fn messages_of_a_channel_keep_their_order() {
    on_each_core("publish-order", |client, name| {
        client.declare(1, name);
        let mut reader = Client::connect();
        reader.consume_as(
            1,
            basic::Consume { queue: name.into(), no_ack: true, ..Default::default() },
        );
        // Sizes on both sides of the limit up to which bodies are copied.
        let bodies: Vec<String> = (0..300)
            .map(|at| format!("{at}{}", "x".repeat(if at % 7 == 0 { 20_000 } else { 10 })))
            .collect();
        for body in &bodies {
            client.post(1, name, body);
        }
        assert!(reader.bodies(1, bodies.len()) == bodies);
    });
}

#[test]
fn each_queue_has_a_copy_of_its_own() {
    on_each_core("publish-copies", |client, name| {
        let names: Vec<String> = (0..5).map(|at| format!("{name}-{at}")).collect();
        for queue in &names {
            client.declare(1, queue);
            let bind = queue::Bind {
                queue: queue.as_str().into(),
                exchange: "amq.direct".into(),
                routing_key: name.into(),
                ..Default::default()
            };
            client.call(1, bind);
        }
        let post = Post { exchange: "amq.direct", key: name, body: b"copy", ..Default::default() };
        client.publish(1, &post);
        let got = client.get(1, &names[0]).expect("it has one");
        client.reject(1, got.tag, true);
        for (at, queue) in names.iter().enumerate() {
            let got = client.get(1, queue).expect("it has one");
            assert_eq!((got.body().as_str(), got.redelivered), ("copy", at == 0));
        }
    });
}
