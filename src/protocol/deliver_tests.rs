use amq_protocol::{
    frame::{AMQPContentHeader, AMQPFrame, WriteContext, gen_frame},
    protocol::{AMQPClass, BasicProperties, basic},
    types::ShortString,
};
use proptest::prelude::*;

use super::*;
use crate::properties::encode_properties;

const CHANNEL: u16 = 3;

/// What the output holds already.
const BEFORE: &[u8] = b"before";

/// A message with content as the oracle writes it, behind what the output holds.
fn oracle_octets(
    method: basic::AMQPMethod,
    properties: &BasicProperties,
    body: &[u8],
    frame_max: u32,
) -> Vec<u8> {
    let properties = properties.clone();
    let header = AMQPContentHeader { class_id: 60, body_size: body.len() as u64, properties };
    let piece_max = if frame_max == 0 { usize::MAX } else { frame_max as usize - 8 };
    let method = AMQPFrame::Method(CHANNEL, AMQPClass::Basic(method));
    let pieces = body.chunks(piece_max).map(|piece| AMQPFrame::Body(CHANNEL, piece.to_vec()));
    let mut octets = BEFORE.to_vec();
    for frame in [method, AMQPFrame::Header(CHANNEL, header)].into_iter().chain(pieces) {
        let context = WriteContext::from(Vec::new());
        let written = gen_frame(&frame)(context).expect("a growing buffer has room");
        octets.extend(written.into_inner().0);
    }
    octets
}

/// Names of all lengths that are copied in different ways.
fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]{0,40}", "[a-z]{255}"]
}

fn properties() -> impl Strategy<Value = BasicProperties> {
    (prop::option::of(name()), prop::option::of(any::<u8>())).prop_map(|(id, mode)| {
        let mut properties = BasicProperties::default();
        if let Some(id) = id {
            properties = properties.with_message_id(ShortString::from(id));
        }
        match mode {
            Some(mode) => properties.with_delivery_mode(mode),
            None => properties,
        }
    })
}

/// A limit of frames, and a body that ends in the middle of one or around its end.
fn frame_max_and_body() -> impl Strategy<Value = (u32, Vec<u8>)> {
    let frame_max = prop_oneof![Just(0_u32), 9..32_u32, 128..=144_u32, Just(4_096)];
    frame_max.prop_flat_map(|frame_max| {
        let whole = if frame_max == 0 { 200 } else { frame_max as usize - 8 };
        let around_an_end =
            (0..4_usize, 0..3_usize).prop_map(move |(n, at)| (n * whole + at).saturating_sub(1));
        let len = prop_oneof![0..200_usize, around_an_end];
        let body = len.prop_map(|len| (0..len).map(|at| at as u8).collect());
        (Just(frame_max), body)
    })
}

proptest! {
    #[test]
    fn octets_are_those_of_the_oracle(
        names in (name(), name(), name()),
        number in any::<u64>(),
        redelivered in any::<bool>(),
        properties in properties(),
        (frame_max, body) in frame_max_and_body(),
    ) {
        let list = encode_properties(&properties);
        let (tag, exchange, routing_key) = (&names.0, &names.1, &names.2);
        let (reply_code, message_count) = (number as u16, number as u32);

        let mut out = BEFORE.to_vec();
        let deliver = Deliver {
            consumer_tag: tag.as_bytes(),
            delivery_tag: number,
            redelivered,
            exchange: exchange.as_bytes(),
            routing_key: routing_key.as_bytes(),
        };
        write_deliver(&mut out, CHANNEL, frame_max, &deliver, &list, &body);
        let method = basic::AMQPMethod::Deliver(basic::Deliver {
            consumer_tag: ShortString::from(tag.as_str()),
            delivery_tag: number,
            redelivered,
            exchange: ShortString::from(exchange.as_str()),
            routing_key: ShortString::from(routing_key.as_str()),
        });
        prop_assert_eq!(out, oracle_octets(method, &properties, &body, frame_max));

        let mut out = BEFORE.to_vec();
        let returned = Return {
            reply_code,
            reply_text: tag.as_bytes(),
            exchange: exchange.as_bytes(),
            routing_key: routing_key.as_bytes(),
        };
        write_return(&mut out, CHANNEL, frame_max, &returned, &list, &body);
        let method = basic::AMQPMethod::Return(basic::Return {
            reply_code,
            reply_text: ShortString::from(tag.as_str()),
            exchange: ShortString::from(exchange.as_str()),
            routing_key: ShortString::from(routing_key.as_str()),
        });
        prop_assert_eq!(out, oracle_octets(method, &properties, &body, frame_max));

        let mut out = BEFORE.to_vec();
        let get_ok = GetOk {
            delivery_tag: number,
            redelivered,
            exchange: exchange.as_bytes(),
            routing_key: routing_key.as_bytes(),
            message_count,
        };
        write_get_ok(&mut out, CHANNEL, frame_max, &get_ok, &list, &body);
        let method = basic::AMQPMethod::GetOk(basic::GetOk {
            delivery_tag: number,
            redelivered,
            exchange: ShortString::from(exchange.as_str()),
            routing_key: ShortString::from(routing_key.as_str()),
            message_count,
        });
        prop_assert_eq!(out, oracle_octets(method, &properties, &body, frame_max));
    }
}
