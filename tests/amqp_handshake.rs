//! From the first octet to an open connection, and its end (SEMANTICS.md 2).

mod support;

use std::time::{Duration, Instant};

use haremq_protocol::client::{ClientConfig, Mechanism};
use haremq_protocol::frame::PROTOCOL_HEADER;
use haremq_protocol::method::{AMQPClass, channel, connection, queue};
use haremq_protocol::sasl::{Credentials, write_amqplain};
use haremq_protocol::types::{AMQPValue, FieldTable};

use support::{Client, Event, Raw, arguments, bytes_of, frame, modest_start_ok, start_ok, text};

const LOGIN_REFUSED: &str = "ACCESS_REFUSED - Login was refused using authentication mechanism \
                             PLAIN. For details see the broker logfile.";
/// CONN-26, with room for a busy machine.
const REFUSAL_DELAY: std::ops::Range<Duration> =
    Duration::from_millis(2_900)..Duration::from_secs(9);

/// Each peer was refused at this time: nothing is said to it, and its socket is dropped after the
/// delay.
#[track_caller]
fn assert_dropped_silently(peers: Vec<Raw>, since: Instant) {
    for (place, mut peer) in peers.into_iter().enumerate() {
        assert_eq!(peer.rest(), b"", "peer {place}");
        let after = since.elapsed();
        assert!(REFUSAL_DELAY.contains(&after), "peer {place}: {after:?}");
    }
}

#[test]
fn a_header_of_another_protocol_is_answered_with_ours_and_the_end() {
    let headers: [&[u8]; 7] = [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"AMQP\x00\x01\x00\x00",
        b"AMQP\x03\x01\x00\x00",
        b"AMQP\x00\x00\x09\x02",
        b"AMQP\x01\x01\x08\x00",
        b"\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8",
    ];
    for header in headers {
        let mut raw = Raw::connect();
        raw.send(header);
        assert_eq!(raw.rest(), PROTOCOL_HEADER, "{header:?}");
    }
}

#[test]
fn the_handshake_may_come_octet_by_octet() {
    let mut raw = Raw::connect();
    let send_slowly = |raw: &mut Raw, bytes: &[u8]| {
        for octet in bytes {
            raw.send(&[*octet]);
        }
    };
    send_slowly(&mut raw, &PROTOCOL_HEADER);
    assert!(matches!(raw.method(), (0, AMQPClass::Connection(_))));
    send_slowly(&mut raw, &bytes_of(0, start_ok("PLAIN", b"\0guest\0guest")));
    assert!(matches!(raw.method(), (0, AMQPClass::Connection(_))));
    let tune_ok = connection::TuneOk { channel_max: 10, frame_max: 4096, heartbeat: 0 };
    send_slowly(&mut raw, &bytes_of(0, tune_ok));
    send_slowly(&mut raw, &bytes_of(0, connection::Open { virtual_host: "/".into() }));
    let open_ok = raw.method();
    assert!(
        matches!(open_ok, (0, AMQPClass::Connection(connection::AMQPMethod::OpenOk(_)))),
        "{open_ok:?}"
    );
}

#[test]
fn the_header_of_0_9_is_accepted() {
    let mut raw = Raw::connect();
    raw.send(b"AMQP\x01\x01\x00\x09");
    let start = raw.method();
    assert!(matches!(start, (0, AMQPClass::Connection(connection::AMQPMethod::Start(_)))));
}

#[test]
fn the_start_tells_what_clients_look_at() {
    let (_, start) = Raw::started();
    assert_eq!((start.version_major, start.version_minor), (0, 9));
    assert_eq!(start.locales.as_bytes(), b"en_US");
    let mechanisms = start.mechanisms.to_string();
    assert_eq!(mechanisms.split(' ').collect::<Vec<_>>(), ["PLAIN", "AMQPLAIN"]);
    let properties = start.server_properties.inner();
    for (key, expected) in [("product", "RabbitMQ"), ("version", "3.13.7")] {
        assert_eq!(properties.get(key), Some(&text(expected)), "{key}");
    }
    for key in ["cluster_name", "copyright", "information", "platform", "haremq_version"] {
        assert!(matches!(properties.get(key), Some(AMQPValue::LongString(_))), "{key}");
    }
}

#[test]
fn a_capability_is_told_once_it_is_built() {
    let (_, start) = Raw::started();
    let Some(AMQPValue::FieldTable(told)) = start.server_properties.inner().get("capabilities")
    else {
        panic!("no capabilities");
    };
    let built = [
        "publisher_confirms",
        "exchange_exchange_bindings",
        "basic.nack",
        "consumer_cancel_notify",
        "authentication_failure_close",
        "per_consumer_qos",
    ];
    for name in built {
        assert_eq!(told.inner().get(name), Some(&AMQPValue::Boolean(true)), "{name}");
    }
    for name in ["connection.blocked", "consumer_priorities", "direct_reply_to"] {
        assert_eq!(told.inner().get(name), None, "{name} is not built");
    }
}

#[test]
fn limits_are_proposed_as_rabbitmq_proposes_them() {
    let (_, tune) = Raw::tuned();
    assert_eq!((tune.channel_max, tune.frame_max, tune.heartbeat), (2047, 131_072, 60));
}

#[test]
fn both_mechanisms_log_in() {
    for mechanism in [Mechanism::Plain, Mechanism::Amqplain] {
        Client::with(ClientConfig { mechanism, ..ClientConfig::default() }).close();
    }
}

#[test]
fn a_failed_login_is_told_only_to_clients_that_can_hear_it() {
    let mut amqplain = Vec::new();
    write_amqplain(&mut amqplain, &Credentials { user: b"guest", password: b"wrong" });
    let password_of_other_type = b"\x05LOGINS\0\0\0\x05guest\x08PASSWORDI\0\0\0\x01";
    let responses: [(&str, &[u8]); 5] = [
        ("PLAIN", b"\0guest\0wrong"),
        ("PLAIN", b"\0nobody\0guest"),
        ("PLAIN", b"\0guest\0"),
        ("AMQPLAIN", &amqplain),
        ("AMQPLAIN", password_of_other_type),
    ];
    let since = Instant::now();
    let mut silent = Vec::new();
    for (mechanism, response) in responses {
        let (mut raw, _) = Raw::started();
        raw.send_method(0, start_ok(mechanism, response));
        let refusal = raw.refusal().expect("it is told");
        refusal.assert(403, &LOGIN_REFUSED.replace("PLAIN", mechanism));
        assert_eq!(refusal.class_and_method, (0, 0));
        assert_eq!(raw.rest(), b"");
        let (mut raw, _) = Raw::started();
        raw.send_method(0, modest_start_ok(mechanism, response));
        silent.push(raw);
    }
    assert_dropped_silently(silent, since);
}

#[test]
fn errors_before_open_end_in_silence_and_late() {
    let tune_ok = |channel_max: u16, frame_max: u32| {
        let (mut raw, _) = Raw::tuned();
        raw.send_method(0, connection::TuneOk { channel_max, frame_max, heartbeat: 0 });
        raw
    };
    let response = |mechanism: &str, response: &[u8]| {
        let (mut raw, _) = Raw::started();
        raw.send_method(0, start_ok(mechanism, response));
        raw
    };
    let first = |bytes: &[u8]| {
        let (mut raw, _) = Raw::started();
        raw.send(bytes);
        raw
    };
    let since = Instant::now();
    let too_large = [&[1, 0, 0][..], &8_193_u32.to_be_bytes()].concat();
    let endless = [&[1, 0, 0][..], &u32::MAX.to_be_bytes()].concat();
    let peers = vec![
        // CONN-42: 0 is no "use yours".
        tune_ok(0, 131_072),
        tune_ok(2047, 0),
        tune_ok(2048, 131_072),
        tune_ok(2047, 131_073),
        tune_ok(2047, 4095),
        tune_ok(2047, 1),
        response("EXTERNAL", b""),
        response("SCRAM", b""),
        response("PLAIN", b"guest"),
        response("PLAIN", b"\0guest"),
        response("PLAIN", b"\0guest\0guest\0guest"),
        response("PLAIN", b"admin\0guest\0guest"),
        response("AMQPLAIN", b"\x05LOGINS\0\0\0\x05guest"),
        response("AMQPLAIN", b"\x05LOGIN"),
        first(&too_large),
        first(&endless),
        first(&bytes_of(0, connection::Open { virtual_host: "/".into() })),
        first(&bytes_of(1, channel::Open {})),
        first(&frame(9, 0, b"")),
        first(&frame(3, 0, b"body")),
    ];
    assert_dropped_silently(peers, since);
}

#[test]
fn tune_ok_is_taken_as_the_client_sent_it() {
    for (frame_max, channel_max) in [(4096, 1), (131_072, 2047), (5000, 3)] {
        let mut raw = Raw::running_with(frame_max, channel_max, 0);
        raw.open(1);
    }
}

#[test]
fn a_vhost_that_is_not_there_is_refused() {
    for vhost in ["nowhere", "", "//"] {
        let config = ClientConfig { virtual_host: vhost.into(), ..ClientConfig::default() };
        let mut client = Client::begin(config);
        let refusal = client.refusal(0);
        refusal.assert(530, &format!("NOT_ALLOWED - vhost {vhost} not found"));
        assert_eq!(refusal.class_and_method, (10, 40));
        client.await_end();
    }
}

#[test]
fn whoever_does_not_finish_the_handshake_is_dropped() {
    let since = Instant::now();
    let silent = Raw::connect();
    let mut half = Raw::connect();
    half.send(b"AMQP");
    let (started, _) = Raw::started();
    let (tuned, _) = Raw::tuned();
    let opening = Raw::opening(131_072, 2047, 0);
    for mut peer in [silent, half, started, tuned, opening] {
        assert_eq!(peer.rest(), b"");
        let after = since.elapsed();
        assert!(after >= Duration::from_millis(9_900), "{after:?}");
        assert!(after < Duration::from_secs(20), "{after:?}");
    }
}

#[test]
fn heartbeats_come_to_an_idle_client_and_keep_it() {
    let mut client = Client::with(ClientConfig { heartbeat_s: 1, ..ClientConfig::default() });
    let since = Instant::now();
    // The fourth comes after two seconds; then a client without heartbeats would soon be dead.
    for _ in 0..8 {
        client.await_event(|event| *event == Event::Heartbeat);
        client.beat();
    }
    assert!(since.elapsed() >= Duration::from_millis(3_500), "{:?}", since.elapsed());
    client.open(1);
}

#[test]
fn a_client_that_falls_silent_is_dropped_without_a_word() {
    let since = Instant::now();
    let mut raw = Raw::running_with(131_072, 2047, 1);
    let heartbeat = frame(8, 0, b"");
    let rest = raw.rest();
    let after = since.elapsed();
    assert!(rest.chunks(heartbeat.len()).all(|chunk| chunk == heartbeat), "{rest:?}");
    assert!(after >= Duration::from_millis(1_900) && after < Duration::from_secs(7), "{after:?}");
}

#[test]
fn any_octet_is_a_sign_of_life() {
    let mut raw = Raw::running_with(131_072, 2047, 1);
    let method = bytes_of(1, channel::Open {});
    let since = Instant::now();
    // One octet now and then, never a heartbeat.
    for octet in &method {
        raw.send(&[*octet]);
        let until = Instant::now() + Duration::from_millis(350);
        while Instant::now() < until {
            raw.hears_within(until.saturating_duration_since(Instant::now()));
            raw.skip_heartbeats();
        }
    }
    assert!(since.elapsed() > Duration::from_millis(3_500));
    loop {
        let frame = raw.frame().expect("the connection lives");
        if frame.kind == 1 {
            assert_eq!(frame.payload[..4], [0, 20, 0, 11]);
            break;
        }
    }
}

#[test]
fn no_heartbeat_comes_when_it_is_off() {
    let mut raw = Raw::running_with(131_072, 2047, 0);
    assert!(!raw.hears_within(Duration::from_secs(2)));
}

#[test]
fn methods_that_do_not_fit_the_state_are_refused() {
    let tune_ok = connection::TuneOk { channel_max: 1, frame_max: 4096, heartbeat: 0 };
    let cases: [AMQPClass; 3] = [
        AMQPClass::Connection(connection::AMQPMethod::TuneOk(tune_ok)),
        AMQPClass::Connection(connection::AMQPMethod::StartOk(start_ok("PLAIN", b""))),
        AMQPClass::Connection(connection::AMQPMethod::Open(connection::Open::default())),
    ];
    for method in cases {
        let mut raw = Raw::running();
        raw.send_method(0, method.clone());
        let refusal = raw.refusal().expect("it is told");
        let text = "CHANNEL_ERROR - unexpected method in connection state running";
        refusal.assert(504, text);
    }
}

#[test]
fn channels_before_open_are_unexpected_frames() {
    let mut raw = Raw::opening(131_072, 2047, 0);
    raw.send_method(1, channel::Open {});
    let refusal = raw.refusal().expect("it is told");
    let text = "UNEXPECTED_FRAME - type 1, all octets = <<0,20,0,10,0>>";
    refusal.assert(505, text);
}

#[test]
fn a_new_secret_is_accepted_and_changes_nothing() {
    let mut client = Client::connect();
    let secret = connection::UpdateSecret { new_secret: "any".into(), reason: "test".into() };
    let answer = client.call(0, secret);
    let expected = connection::AMQPMethod::UpdateSecretOk(connection::UpdateSecretOk {});
    assert_eq!(answer, AMQPClass::Connection(expected));
    client.declare(1, "handshake-secret");
}

#[test]
fn nothing_of_a_connection_is_left_after_close_ok() {
    support::on_each_core("handshake-close", |client, name| {
        let (exclusive, auto_delete) = (format!("{name}-exclusive"), format!("{name}-auto"));
        client.declare_as(
            1,
            queue::Declare {
                queue: exclusive.as_str().into(),
                exclusive: true,
                ..Default::default()
            },
        );
        let mut second = Client::connect();
        second.declare_as(
            1,
            queue::Declare {
                queue: auto_delete.as_str().into(),
                auto_delete: true,
                ..Default::default()
            },
        );
        second.declare(1, name);
        second.post(1, name, "unsettled");
        second.consume(1, &auto_delete, "a");
        second.consume(1, name, "b");
        second.delivery(1);
        second.close();
        assert_eq!(client.count(1, name), (1, 0));
        client.send(
            1,
            queue::Declare {
                queue: auto_delete.as_str().into(),
                passive: true,
                ..Default::default()
            },
        );
        client
            .refusal(1)
            .assert(404, &format!("NOT_FOUND - no queue '{auto_delete}' in vhost '/'"));
    });
}

#[test]
fn a_lost_socket_is_cleaned_up_like_a_close() {
    support::on_each_core("handshake-lost", |client, name| {
        client.declare(1, name);
        client.post(1, name, "unsettled");
        let mut second = Client::connect();
        second.consume(1, name, "tag");
        second.delivery(1);
        drop(second);
        client.consume(1, name, "heir");
        let delivery = client.delivery(1);
        assert_eq!((delivery.body().as_str(), delivery.redelivered), ("unsettled", true));
    });
}

#[test]
fn after_a_connection_error_only_the_closing_counts() {
    let mut raw = Raw::running();
    raw.send(&[frame(3, 0, b"x"), bytes_of(1, queue::Declare::default())].concat());
    let refusal = raw.refusal().expect("it is told");
    assert!(refusal.is_hard);
    raw.send(&bytes_of(
        1,
        queue::Declare { queue: "handshake-never".into(), ..Default::default() },
    ));
    raw.send_method(0, connection::Close::default());
    let answer = raw.method();
    let close_ok = connection::AMQPMethod::CloseOk(connection::CloseOk {});
    assert_eq!(answer, (0, AMQPClass::Connection(close_ok)));
    raw.send_method(0, connection::CloseOk {});
    assert_eq!(raw.rest(), b"");
    let mut client = Client::connect();
    client.send(
        1,
        queue::Declare { queue: "handshake-never".into(), passive: true, ..Default::default() },
    );
    assert_eq!(client.refusal(1).code, 404);
}

#[test]
fn client_properties_may_be_anything() {
    let odd = arguments([
        ("capabilities", text("no table")),
        ("connection_name", AMQPValue::Boolean(true)),
        ("product", AMQPValue::FieldTable(FieldTable::default())),
        ("nothing", AMQPValue::Void),
    ]);
    Client::with(ClientConfig { properties: odd, ..ClientConfig::default() }).close();
}
