//! The codec on the hot path: our borrowing decoder and straight encoder against amq-protocol.

use std::hint::black_box;

use amq_protocol::{
    frame::{AMQPContentHeader, AMQPFrame, WriteContext, gen_frame, parse_frame},
    protocol::{AMQPClass, BasicProperties, basic},
    types::{AMQPValue, FieldTable, ShortString},
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use haremq_protocol::{
    ack::write_ack,
    content::decode_content_header,
    deliver::{Deliver, write_deliver},
    frame::{FrameKind, Split, split_frame},
    method::{ClientMethod, decode_client_method},
    properties::encode_properties,
    publish::write_publish,
};

const FRAME_MAX: u32 = 131_072;

fn small_properties() -> BasicProperties {
    BasicProperties::default().with_delivery_mode(2)
}

fn large_properties() -> BasicProperties {
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

fn publish(exchange: &str, properties: &BasicProperties, body_len: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let properties = encode_properties(properties);
    let body = vec![b'b'; body_len];
    let exchange = exchange.as_bytes();
    write_publish(&mut out, 1, FRAME_MAX, exchange, b"key", false, &properties, &body);
    out
}

/// Method, header and body as a broker takes them; answers with what it would route by.
fn parse_publish(mut input: &[u8]) -> usize {
    let mut seen = 0;
    while !input.is_empty() {
        let Ok(Split::Complete { frame, consumed }) = split_frame(input, FRAME_MAX) else {
            panic!("the input is whole");
        };
        seen += match frame.kind {
            FrameKind::Method => match decode_client_method(frame.payload) {
                Ok(ClientMethod::Publish(publish)) => publish.routing_key.len(),
                other => panic!("a publish: {other:?}"),
            },
            FrameKind::Header => {
                let header = decode_content_header(frame.payload).expect("a sound header");
                usize::from(header.properties.is_persistent())
            }
            FrameKind::Body => frame.payload.len(),
            FrameKind::Heartbeat => 0,
        };
        input = &input[consumed..];
    }
    seen
}

fn oracle_parse(mut input: &[u8]) -> usize {
    let mut seen = 0;
    while !input.is_empty() {
        let (rest, frame) = parse_frame(input).expect("the input is whole");
        seen += usize::from(matches!(black_box(frame), AMQPFrame::Body(..)));
        input = rest;
    }
    seen
}

fn bench_publish(c: &mut Criterion) {
    let cases = [
        ("publish parse, 16 B, default exchange", publish("", &small_properties(), 16)),
        ("publish parse, 16 B", publish("exchange", &small_properties(), 16)),
        ("publish parse, 1 KiB, 4 headers", publish("exchange", &large_properties(), 1_024)),
    ];
    for (name, input) in cases {
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Elements(1));
        group.bench_function("haremq", |b| b.iter(|| parse_publish(black_box(&input))));
        group.bench_function("amq-protocol", |b| b.iter(|| oracle_parse(black_box(&input))));
        group.finish();
    }
}

fn bench_deliver(c: &mut Criterion) {
    for (name, properties, body_len) in [
        ("deliver encode, 16 B", small_properties(), 16),
        ("deliver encode, 1 KiB, 4 headers", large_properties(), 1_024),
    ] {
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Elements(1));
        let body = vec![b'b'; body_len];
        let list = encode_properties(&properties);
        let deliver = Deliver {
            consumer_tag: b"ctag1.0",
            delivery_tag: 77,
            redelivered: false,
            exchange: b"exchange",
            routing_key: b"key",
        };
        let mut out = Vec::with_capacity(4_096);
        group.bench_function("haremq", |b| {
            b.iter(|| {
                out.clear();
                write_deliver(&mut out, 1, FRAME_MAX, black_box(&deliver), &list, &body);
                black_box(out.len())
            });
        });
        let frames = oracle_deliver(properties, body);
        group.bench_function("amq-protocol", |b| {
            b.iter(|| {
                let mut context = WriteContext::from(Vec::with_capacity(4_096));
                for frame in black_box(&frames) {
                    context = gen_frame(frame)(context).expect("a buffer takes it");
                }
                black_box(context.into_inner())
            });
        });
        group.finish();
    }
}

fn oracle_deliver(properties: BasicProperties, body: Vec<u8>) -> [AMQPFrame; 3] {
    let deliver = basic::Deliver {
        consumer_tag: ShortString::from("ctag1.0"),
        delivery_tag: 77,
        redelivered: false,
        exchange: ShortString::from("exchange"),
        routing_key: ShortString::from("key"),
    };
    let header = AMQPContentHeader { class_id: 60, body_size: body.len() as u64, properties };
    [
        AMQPFrame::Method(1, AMQPClass::Basic(basic::AMQPMethod::Deliver(deliver))),
        AMQPFrame::Header(1, header),
        AMQPFrame::Body(1, body),
    ]
}

fn bench_ack(c: &mut Criterion) {
    let mut input = Vec::new();
    write_ack(&mut input, 1, 77, false);
    let mut group = c.benchmark_group("ack parse");
    group.throughput(Throughput::Elements(1));
    group.bench_function("haremq", |b| {
        b.iter(|| match split_frame(black_box(&input), FRAME_MAX) {
            Ok(Split::Complete { frame, .. }) => decode_client_method(frame.payload).is_ok(),
            _ => false,
        });
    });
    group.bench_function("amq-protocol", |b| b.iter(|| oracle_parse(black_box(&input))));
    group.finish();
}

criterion_group!(codec, bench_publish, bench_deliver, bench_ack);
criterion_main!(codec);
