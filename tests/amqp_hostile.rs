//! What no client should send (HOSTILE.md 3, H01 to H12 and H21): the process lives, only the
//! offender is closed, with the right code, and no memory stays.

mod support;

use std::time::Duration;

use haremq_protocol::frame::PROTOCOL_HEADER;
use haremq_protocol::method::{
    AMQPClass, basic, channel, confirm, connection, exchange, queue, tx,
};

use support::{
    Broker, Client, DEADLINE, IntoMethod, Post, Raw, assert_memory_stays, bytes_of, content_header,
    frame, method_payload, on_each_core, start_ok,
};

/// Methods that a client may send, as they are without any field filled in.
fn client_methods() -> Vec<AMQPClass> {
    vec![
        connection::StartOk::default().into_method(),
        connection::TuneOk::default().into_method(),
        connection::Open::default().into_method(),
        connection::Close::default().into_method(),
        connection::CloseOk {}.into_method(),
        connection::UpdateSecret::default().into_method(),
        channel::Open {}.into_method(),
        channel::Flow::default().into_method(),
        channel::FlowOk::default().into_method(),
        channel::Close::default().into_method(),
        channel::CloseOk {}.into_method(),
        exchange::Declare::default().into_method(),
        exchange::Delete::default().into_method(),
        exchange::Bind::default().into_method(),
        exchange::Unbind::default().into_method(),
        queue::Declare::default().into_method(),
        queue::Bind::default().into_method(),
        queue::Purge::default().into_method(),
        queue::Delete::default().into_method(),
        queue::Unbind::default().into_method(),
        basic::Qos::default().into_method(),
        basic::Consume::default().into_method(),
        basic::Cancel::default().into_method(),
        basic::CancelOk::default().into_method(),
        basic::Publish::default().into_method(),
        basic::Get::default().into_method(),
        basic::RecoverAsync::default().into_method(),
        basic::Recover::default().into_method(),
        confirm::Select::default().into_method(),
        tx::Select {}.into_method(),
        tx::Commit {}.into_method(),
        tx::Rollback {}.into_method(),
    ]
}

/// Ids of methods that only servers send.
const SERVER_METHODS: [(u8, u8); 23] = [
    (20, 11),
    (30, 11),
    (40, 11),
    (40, 21),
    (40, 31),
    (40, 51),
    (50, 11),
    (50, 21),
    (50, 31),
    (50, 41),
    (50, 51),
    (60, 11),
    (60, 21),
    (60, 50),
    (60, 60),
    (60, 71),
    (60, 72),
    (60, 111),
    (85, 11),
    (90, 11),
    (90, 21),
    (90, 31),
    (10, 41),
];

/// A table nested so deep, its length in front.
fn nested_table(depth: usize) -> Vec<u8> {
    let mut table = Vec::new();
    for _ in 0..depth {
        let mut outer = b"\x01aF".to_vec();
        outer.extend(u32::try_from(table.len()).expect("it fits a frame").to_be_bytes());
        outer.append(&mut table);
        table = outer;
    }
    let mut whole = u32::try_from(table.len()).expect("it fits a frame").to_be_bytes().to_vec();
    whole.append(&mut table);
    whole
}

/// An array in an array, so deep, as the only field of a table, its length in front.
fn nested_arrays(depth: usize) -> Vec<u8> {
    let mut array = Vec::new();
    for _ in 1..depth {
        let mut outer = b"A".to_vec();
        outer.extend(u32::try_from(array.len()).expect("it fits a frame").to_be_bytes());
        outer.append(&mut array);
        array = outer;
    }
    let mut table = b"\x01aA".to_vec();
    table.extend(u32::try_from(array.len()).expect("it fits a frame").to_be_bytes());
    table.append(&mut array);
    let mut whole = u32::try_from(table.len()).expect("it fits a frame").to_be_bytes().to_vec();
    whole.append(&mut table);
    whole
}

/// `queue.declare` with these octets as its table.
fn declare_with_table(table: &[u8]) -> Vec<u8> {
    let mut payload =
        method_payload(queue::Declare { queue: "hostile".into(), ..Default::default() });
    payload.truncate(payload.len() - 4);
    payload.extend(table);
    frame(1, 1, &payload)
}

/// A publish whose headers are these octets.
fn publish_with_headers(table: &[u8]) -> Vec<u8> {
    let mut header = vec![0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    header.extend(0x2000_u16.to_be_bytes());
    header.extend(table);
    [bytes_of(1, basic::Publish::default()), frame(2, 1, &header)].concat()
}

/// Sends the octets on a connection with channel 1 open; it is closed with this code.
#[track_caller]
fn check_code(bytes: &[u8], code: u16) {
    let mut raw = Raw::running();
    raw.send(bytes);
    let refusal = raw.refusal().expect("it is told");
    assert_eq!(refusal.code, code, "{refusal:?}");
}

#[test]
fn h04_no_frame_type_is_ignored() {
    for kind in (0..=255).filter(|kind| ![1, 2, 3, 8].contains(kind)) {
        check_code(&frame(kind, 1, b"x"), 501);
    }
    let mut with_payload = frame(8, 0, b"x");
    let mut raw = Raw::running();
    raw.send(&with_payload);
    assert_eq!(raw.refusal().expect("it is told").code, 501);
    with_payload[2] = 3;
    check_code(&frame(8, 3, b""), 505);
    for end in [0, 1, 0xCD, 0xCF, 0xFF] {
        let mut wrong = bytes_of(1, channel::Flow { active: true });
        *wrong.last_mut().expect("it has octets") = end;
        check_code(&wrong, 501);
    }
}

#[test]
fn h05_an_announced_body_reserves_nothing() {
    assert_memory_stays(|| {
        for size in [u64::MAX, 1 << 63, (512 << 20) + 1] {
            let bytes = [bytes_of(1, basic::Publish::default()), content_header(1, size)].concat();
            check_code(&bytes, 501);
        }
        let waiting: Vec<Raw> = (0..20)
            .map(|_| {
                let mut raw = Raw::running();
                for number in 2..=20 {
                    raw.open(number);
                    let publish = bytes_of(number, basic::Publish::default());
                    raw.send(&[publish, content_header(number, 512 << 20)].concat());
                }
                raw.open(21);
                raw
            })
            .collect();
        Client::connect().declare(1, "hostile-meanwhile");
        drop(waiting);
    });
}

#[test]
fn h06_empty_body_frames_are_cheap_and_do_not_end_a_content() {
    let mut raw = Raw::running();
    raw.send(&[bytes_of(1, basic::Publish::default()), content_header(1, 1)].concat());
    let empty = frame(3, 1, b"").repeat(10_000);
    for _ in 0..10 {
        raw.send(&empty);
    }
    raw.send(&frame(3, 1, b"x"));
    raw.open(2);
}

#[test]
fn h06_half_messages_are_bounded_per_connection() {
    assert_memory_stays(|| {
        let mut raw = Raw::running();
        let piece = frame(3, 1, &vec![0; 131_064]);
        for number in 1..=3_u16 {
            if number > 1 {
                raw.open(number);
            }
            let publish = bytes_of(number, basic::Publish::default());
            raw.send(&[publish, content_header(number, 128 << 20)].concat());
            let mut piece = piece.clone();
            piece[1..3].copy_from_slice(&number.to_be_bytes());
            for _ in 0..800 {
                raw.send(&piece);
            }
        }
        let refusal = raw.refusal().expect("it is told");
        assert_eq!(refusal.code, 506, "{refusal:?}");
    });
}

#[test]
fn h06_two_thousand_half_messages_go_with_their_connection() {
    assert_memory_stays(|| {
        let mut raw = Raw::running_with(131_072, 2047, 0);
        let mut bytes = Vec::new();
        for number in 1..=2047 {
            bytes.extend(bytes_of(number, channel::Open {}));
            bytes.extend(bytes_of(number, basic::Publish::default()));
            bytes.extend(content_header(number, 128 << 20));
            bytes.extend(frame(3, number, &[0; 8192]));
        }
        raw.send(&bytes);
        for _ in 1..=2047 {
            raw.method();
        }
    });
}

#[test]
fn h07_tables_and_arrays_may_be_nested_32_deep_and_no_deeper() {
    for build in [nested_table, nested_arrays] {
        let mut raw = Raw::running();
        raw.send(&declare_with_table(&build(31)));
        raw.method();
        for depth in [40, 100, 1000, 10_000] {
            check_code(&declare_with_table(&build(depth)), 502);
            check_code(&publish_with_headers(&build(depth)), 502);
        }
    }
}

#[test]
fn h07_a_deep_table_before_login_is_refused_in_silence() {
    let peers: Vec<Raw> = [33, 100, 1100]
        .into_iter()
        .map(|depth| {
            let mut payload = vec![0, 10, 0, 11];
            payload.extend(nested_table(depth));
            let plain = method_payload(start_ok("PLAIN", b"\0guest\0guest"));
            let table_bytes = u32::from_be_bytes([plain[4], plain[5], plain[6], plain[7]]) as usize;
            payload.extend(&plain[8 + table_bytes..]);
            let (mut raw, _) = Raw::started();
            raw.send(&frame(1, 0, &payload));
            raw
        })
        .collect();
    for mut peer in peers {
        assert_eq!(peer.rest(), b"");
    }
}

#[test]
fn h08_lengths_that_lie_are_refused() {
    let tables: [&[u8]; 8] = [
        // Beyond the frame, negative as an i32, all ones.
        &[0, 0, 1, 0, 1, b'a', b't', 1],
        &[0x80, 0, 0, 0, 1, b'a', b't', 1],
        &[0xff, 0xff, 0xff, 0xff],
        // Inner longer than outer.
        &[0, 0, 0, 8, 1, b'a', b'S', 0, 0, 0, 9, b'x'],
        &[0, 0, 0, 7, 1, b'a', b'F', 0xff, 0xff, 0xff, 0xff],
        // A key that is cut, a value that is missing, an unknown tag.
        &[0, 0, 0, 3, 9, b'a', b't'],
        &[0, 0, 0, 2, 1, b'a'],
        &[0, 0, 0, 4, 1, b'a', b'?', 1],
    ];
    for table in tables {
        for bytes in [declare_with_table(table), publish_with_headers(table)] {
            let mut raw = Raw::running();
            raw.send(&bytes);
            let refusal = raw.refusal().expect("it is told");
            assert!(refusal.code == 502 || refusal.code == 501, "{table:?}: {refusal:?}");
        }
    }
}

#[test]
fn h08b_odd_keys_in_headers_pass_unharmed() {
    let long_key = [&[255][..], &[b'k'; 255], b"t\x01"].concat();
    let tables: [&[u8]; 3] = [b"\x01at\x01\x01at\x00", &long_key, b"\x02\xff\xfet\x01\x00V"];
    on_each_core("hostile-keys", |client, name| {
        client.declare(1, name);
        for table in tables {
            let mut properties = 0x2000_u16.to_be_bytes().to_vec();
            properties.extend(u32::try_from(table.len()).expect("it is short").to_be_bytes());
            properties.extend(table);
            let mut header = vec![0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            header.extend(&properties);
            let publish = basic::Publish { routing_key: name.into(), ..Default::default() };
            client.send_raw(&[bytes_of(1, publish), frame(2, 1, &header)].concat());
            let got = client.get(1, name).expect("it was published");
            assert_eq!(got.message.properties, properties);
        }
    });
}

#[test]
fn h09_large_flat_tables_are_taken_up_to_a_bound() {
    let voids = |count: u32| {
        let mut table = (count + 7).to_be_bytes().to_vec();
        table.extend(b"\x01aA");
        table.extend(count.to_be_bytes());
        table.extend(b"V".repeat(count as usize));
        table
    };
    // Headers are only looked at; arguments are decoded, so fewer are taken.
    let fields = |count: u32| {
        let content = b"\x01aV".repeat(count as usize);
        [&(count * 3).to_be_bytes()[..], &content].concat()
    };
    assert_memory_stays(|| {
        for table in [voids(60_000), fields(40_000)] {
            let mut raw = Raw::running();
            raw.send(&publish_with_headers(&table));
            raw.open(2);
            check_code(&declare_with_table(&table), 502);
        }
        for table in [voids(4000), fields(4000)] {
            let mut raw = Raw::running();
            raw.send(&declare_with_table(&table));
            let answer = raw.method().1;
            assert!(
                matches!(answer, AMQPClass::Queue(queue::AMQPMethod::DeclareOk(_))),
                "{answer:?}"
            );
        }
        check_code(&publish_with_headers(&voids(120_000)), 502);
    });
}

#[test]
fn h10_odd_names_work_or_are_refused() {
    let names = ["a\0b", "\x1b[31mred", "\u{202e}abc", "'\"<script>", " ", "%s%n", "../../etc"];
    on_each_core("hostile-names", |client, name| {
        for odd in names {
            let queue = format!("{name}{odd}");
            assert_eq!(client.declare(1, &queue), queue);
            client.post(1, &queue, odd);
            let tag = client.consume(1, &queue, &queue);
            let delivery = client.delivery(1);
            assert_eq!((delivery.body().as_str(), &delivery.consumer), (odd, &tag));
        }
    });
    for at in [7, 8] {
        let mut payload =
            method_payload(queue::Declare { queue: "ab".into(), ..Default::default() });
        payload[at] = 0xff;
        check_code(&frame(1, 1, &payload), 501);
    }
}

#[test]
fn h11_frames_on_unknown_channels_end_the_connection_and_cost_nothing() {
    assert_memory_stays(|| {
        for number in [2, 3, 1000, 2048, 65_535] {
            check_code(&bytes_of(number, basic::Qos::default()), 504);
            check_code(&content_header(number, 5), 505);
            check_code(&frame(3, number, b"x"), 505);
        }
        let mut raw = Raw::running();
        let all: Vec<u8> =
            (2..=65_535).flat_map(|number| bytes_of(number, channel::CloseOk {})).collect();
        raw.send(&all);
        raw.open(2);
    });
}

#[test]
fn h12_methods_of_servers_are_unimplemented_in_any_state_of_a_channel() {
    let expected = "COMMAND_INVALID - unimplemented method";
    for (class, method) in SERVER_METHODS {
        let bytes = frame(1, 1, &[&[0, class, 0, method][..], &[0; 64]].concat());
        let mut raw = Raw::running();
        raw.send(&bytes);
        let refusal = raw.refusal().expect("it is told");
        refusal.assert(503, expected);
        assert_eq!(refusal.class_and_method, (u16::from(class), u16::from(method)));
    }
}

#[test]
fn h12_every_method_in_every_state_leaves_the_process_alive() {
    let begin: [fn() -> Raw; 10] = [
        || {
            let mut raw = Raw::connect();
            raw.send(&PROTOCOL_HEADER);
            raw
        },
        || Raw::started().0,
        || Raw::tuned().0,
        || Raw::opening(131_072, 2047, 0),
        Raw::running,
        // A content's header, or the rest of its body, is awaited.
        || {
            let mut raw = Raw::running();
            raw.send_method(1, basic::Publish::default());
            raw
        },
        || {
            let mut raw = Raw::running();
            raw.send(&[bytes_of(1, basic::Publish::default()), content_header(1, 9)].concat());
            raw
        },
        // The channel waits for an answer; for a commit; or has failed.
        || {
            let mut raw = Raw::running();
            raw.send_method(1, queue::Declare { exclusive: true, ..Default::default() });
            raw
        },
        || {
            let mut raw = Raw::running();
            raw.send(&[bytes_of(1, tx::Select {}), bytes_of(1, tx::Commit {})].concat());
            raw
        },
        || {
            let mut raw = Raw::running();
            raw.send_method(1, basic::Get { queue: "hostile-none".into(), no_ack: true });
            raw
        },
    ];
    let servers = SERVER_METHODS.map(|(class, method)| vec![0, class, 0, method]);
    let payloads: Vec<Vec<u8>> =
        client_methods().into_iter().map(method_payload).chain(servers).collect();
    for (state, begin) in begin.into_iter().enumerate() {
        let mut peers = Vec::new();
        for payload in &payloads {
            for number in [0, 1, 7] {
                let mut raw = begin();
                raw.send(&frame(1, number, payload));
                raw.shut_down_writing();
                peers.push(raw);
            }
        }
        for mut peer in peers {
            let rest = peer.rest();
            assert!(!contains(&rest, b"INTERNAL_ERROR"), "state {state}");
        }
        Client::connect().declare(1, "hostile-alive");
    }
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

#[test]
fn mutilated_sessions_leave_the_process_alive() {
    let session = [
        bytes_of(2, channel::Open {}),
        bytes_of(2, queue::Declare { queue: "hostile-mutilated".into(), ..Default::default() }),
        bytes_of(2, confirm::Select::default()),
        bytes_of(2, basic::Qos { prefetch_count: 3, global: true }),
        bytes_of(
            2,
            basic::Publish { routing_key: "hostile-mutilated".into(), ..Default::default() },
        ),
        content_header(2, 5),
        frame(3, 2, b"hello"),
        bytes_of(2, basic::Consume { consumer_tag: "t".into(), ..Default::default() }),
        bytes_of(2, basic::Get { no_ack: false, ..Default::default() }),
        bytes_of(2, basic::Recover { requeue: true }),
        bytes_of(2, basic::Cancel { consumer_tag: "t".into(), nowait: false }),
        bytes_of(2, channel::Close::default()),
    ]
    .concat();
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    assert_memory_stays(|| {
        for _ in 0..8 {
            let mut peers = Vec::new();
            for _ in 0..64 {
                let mut bytes = session.clone();
                for _ in 0..=random.below(4) {
                    mutilate(&mut bytes, &mut random);
                }
                let mut raw = Raw::running();
                raw.send(&bytes);
                raw.shut_down_writing();
                peers.push(raw);
            }
            for mut peer in peers {
                peer.rest();
            }
            let mut client = Client::connect();
            client.declare(1, "hostile-mutilated");
            client.drain(1, "hostile-mutilated");
        }
    });
}

/// Numbers that look random and are the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

fn mutilate(bytes: &mut Vec<u8>, random: &mut Random) {
    let at = random.below(bytes.len());
    match random.below(5) {
        0 => bytes[at] = random.below(256) as u8,
        1 => bytes[at] ^= 1 << random.below(8),
        2 => drop(bytes.remove(at)),
        3 => bytes.insert(at, random.below(256) as u8),
        _ => bytes.truncate(at.max(1)),
    }
}

#[test]
fn a_hundred_thousand_tiny_frames_are_digested() {
    let mut raw = Raw::running();
    let heartbeats = frame(8, 0, b"").repeat(10_000);
    for _ in 0..10 {
        raw.send(&heartbeats);
    }
    raw.open(2);
    on_each_core("hostile-tiny", |client, name| {
        client.declare(1, name);
        let publish = basic::Publish { routing_key: name.into(), ..Default::default() };
        let message = [bytes_of(1, publish), content_header(1, 0)].concat();
        client.send_raw(&message.repeat(8000));
        assert_eq!(client.count(1, name), (8000, 0));
        client.call(1, queue::Delete { queue: name.into(), ..Default::default() });
    });
}

#[test]
fn h21_a_storm_of_acks_on_a_failed_channel_is_ignored() {
    on_each_core("hostile-storm", |client, name| {
        client.declare(1, name);
        client.post(1, name, "x");
        client.settle_down(1, name);
        let mut raw = Raw::running();
        let mut ack = bytes_of(1, basic::Get { queue: name.into(), no_ack: false });
        // basic.ack 1, over and over: the first is good, the second ends the channel.
        let one = frame(1, 1, &[0, 60, 0, 80, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
        ack.extend(one.repeat(20_000));
        raw.send(&ack);
        let refusal = raw.refusal().expect("it is told");
        refusal.assert(406, "PRECONDITION_FAILED - unknown delivery tag 1");
        assert!(!refusal.is_hard);
        raw.send_method(1, channel::CloseOk {});
        raw.open(1);
        assert_eq!(client.count(1, name), (0, 0));
    });
}

#[test]
fn thousands_of_short_connections_leave_nothing() {
    assert_memory_stays(|| {
        for _ in 0..20 {
            let peers: Vec<Raw> = (0..50)
                .map(|_| {
                    let mut raw = Raw::running();
                    let declare = queue::Declare { exclusive: true, ..Default::default() };
                    raw.send_method(1, declare);
                    raw
                })
                .collect();
            drop(peers);
        }
        Client::connect().declare(1, "hostile-after");
    });
}

#[test]
fn f05_a_publisher_that_vanishes_while_it_waits_lets_go_of_the_memory() {
    let broker = Broker::start_on("2", &["--memory", "16MiB"]);
    let address = broker.addresses()[0];
    // No heartbeats: nothing is sent that would find the peer gone.
    let mut vanishing = Client::connect_to(address);
    let held = queue::Declare { queue: "held".into(), exclusive: true, ..Default::default() };
    vanishing.declare_as(1, held);
    let body = vec![0; 32 << 10];
    let passive = || queue::Declare { queue: "held".into(), passive: true, ..Default::default() };
    // Each is answered until the memory is full: then the next publish waits, and all behind it.
    loop {
        vanishing.publish(1, &Post { key: "held", body: &body, ..Post::default() });
        vanishing.send(1, passive());
        if !vanishing.hears_within(1, Duration::from_secs(1)) {
            break;
        }
    }
    broker.await_log("publishers pause");
    drop(vanishing);
    let mut other = Client::connect_to(address);
    other.post(1, "nowhere", "waits for memory");
    other.send(1, passive_of_amq_direct());
    assert!(other.hears_within(1, DEADLINE), "what is gone holds the memory");
}

fn passive_of_amq_direct() -> exchange::Declare {
    exchange::Declare { exchange: "amq.direct".into(), passive: true, ..Default::default() }
}

#[test]
fn h06_uncommitted_publishes_are_bounded_per_connection() {
    assert_memory_stays(|| {
        let mut client = Client::connect();
        client.open(2);
        let body = vec![0; 100 << 20];
        let post = Post { key: "nowhere", body: &body, ..Post::default() };
        for (channel, count) in [(1, 2), (2, 1)] {
            client.call(channel, tx::Select {});
            for _ in 0..count {
                client.publish(channel, &post);
            }
        }
        let refusal = client.refusal(2);
        assert_eq!(refusal.code, 406, "{refusal:?}");
    });
}
