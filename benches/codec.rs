//! The codec on the hot path: our borrowing decoder and straight encoder against amq-protocol.

#[path = "set_up/codec.rs"]
mod set_up;

use std::hint::black_box;

use amq_protocol::{
    frame::{AMQPContentHeader, AMQPFrame, WriteContext, gen_frame, parse_frame},
    protocol::{AMQPClass, BasicProperties, basic},
    types::ShortString,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use haremq_protocol::{deliver::write_deliver, properties::encode_properties};

use set_up::{
    DELIVER, FRAME_MAX, ack, large_properties, parse_ack, parse_publish, publish, small_properties,
};

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
        let mut out = Vec::with_capacity(4_096);
        group.bench_function("haremq", |b| {
            b.iter(|| {
                out.clear();
                write_deliver(&mut out, 1, FRAME_MAX, black_box(&DELIVER), &list, &body);
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
    let input = ack();
    let mut group = c.benchmark_group("ack parse");
    group.throughput(Throughput::Elements(1));
    group.bench_function("haremq", |b| b.iter(|| parse_ack(black_box(&input))));
    group.bench_function("amq-protocol", |b| b.iter(|| oracle_parse(black_box(&input))));
    group.finish();
}

criterion_group!(codec, bench_publish, bench_deliver, bench_ack);
criterion_main!(codec);
