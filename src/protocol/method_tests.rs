use amq_protocol::{
    frame::{AMQPContentHeader, AMQPFrame, parse_frame},
    protocol::BasicProperties,
    types::ShortString,
};
use proptest::prelude::*;

use super::*;
use crate::{
    ack::{write_ack, write_nack, write_reject},
    deliver::{write_deliver, write_get_ok, write_return},
    frame::{Frame, Split, split_frame},
    publish::write_publish,
    reply::ReplyCode,
};

/// The frames of the oracle.
fn oracle_frames(mut bytes: &[u8]) -> Vec<AMQPFrame> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let (rest, frame) = parse_frame(bytes).expect("the oracle reads what we write");
        frames.push(frame);
        bytes = rest;
    }
    frames
}

fn first_frame(bytes: &[u8]) -> Frame<'_> {
    match split_frame(bytes, 0) {
        Ok(Split::Complete { frame, .. }) => frame,
        other => panic!("a whole frame: {other:?}"),
    }
}

/// Checks a method with content against the oracle's reading of it.
fn check_content(bytes: &[u8], method: basic::AMQPMethod, body: &[u8], piece_max: usize) {
    let mut frames = oracle_frames(bytes).into_iter();
    assert_eq!(frames.next(), Some(AMQPFrame::Method(3, AMQPClass::Basic(method))));
    let properties = BasicProperties::default();
    let header = AMQPContentHeader { class_id: 60, body_size: body.len() as u64, properties };
    assert_eq!(frames.next(), Some(AMQPFrame::Header(3, header)));
    let pieces: Vec<_> = frames
        .map(|frame| match frame {
            AMQPFrame::Body(3, piece) => piece,
            other => panic!("a body frame: {other:?}"),
        })
        .collect();
    assert!(pieces.iter().all(|piece| !piece.is_empty() && piece.len() <= piece_max));
    assert_eq!(pieces.len(), body.len().div_ceil(piece_max));
    assert_eq!(pieces.concat(), body);
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), ".{0,20}", Just("k".repeat(255))]
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![Just(Vec::new()), prop::collection::vec(any::<u8>(), 1..300)]
}

fn short(text: &str) -> ShortString {
    ShortString::from(text)
}

proptest! {
    #[test]
    fn publish_is_written_and_read_as_by_the_oracle(
        exchange in name(),
        routing_key in name(),
        mandatory in any::<bool>(),
        body in body(),
        frame_max in 9_u32..200,
    ) {
        let mut out = Vec::new();
        let names = (exchange.as_bytes(), routing_key.as_bytes());
        write_publish(&mut out, 3, frame_max, names.0, names.1, mandatory, &[0, 0], &body);
        let method = basic::AMQPMethod::Publish(basic::Publish {
            exchange: short(&exchange),
            routing_key: short(&routing_key),
            mandatory,
            immediate: false,
        });
        check_content(&out, method, &body, frame_max as usize - 8);
        let publish =
            Publish { exchange: names.0, routing_key: names.1, mandatory, immediate: false };
        let payload = first_frame(&out).payload;
        prop_assert_eq!(decode_client_method(payload), Ok(ClientMethod::Publish(publish)));
        for len in 4..payload.len() {
            prop_assert!(decode_client_method(&payload[..len]).is_err());
        }
    }

    #[test]
    fn deliver_is_written_and_read_as_by_the_oracle(
        consumer_tag in name(),
        delivery_tag in any::<u64>(),
        redelivered in any::<bool>(),
        exchange in name(),
        routing_key in name(),
        body in body(),
        frame_max in 9_u32..200,
    ) {
        let deliver = Deliver {
            consumer_tag: consumer_tag.as_bytes(),
            delivery_tag,
            redelivered,
            exchange: exchange.as_bytes(),
            routing_key: routing_key.as_bytes(),
        };
        let mut out = Vec::new();
        write_deliver(&mut out, 3, frame_max, &deliver, &[0, 0], &body);
        let method = basic::AMQPMethod::Deliver(basic::Deliver {
            consumer_tag: short(&consumer_tag),
            delivery_tag,
            redelivered,
            exchange: short(&exchange),
            routing_key: short(&routing_key),
        });
        check_content(&out, method, &body, frame_max as usize - 8);
        let payload = first_frame(&out).payload;
        prop_assert_eq!(decode_server_method(payload), Ok(ServerMethod::Deliver(deliver)));
        for len in 4..payload.len() {
            prop_assert!(decode_server_method(&payload[..len]).is_err());
        }
    }

    #[test]
    fn return_is_written_and_read_as_by_the_oracle(
        reply_code in any::<u16>(),
        reply_text in name(),
        exchange in name(),
        routing_key in name(),
        body in body(),
        frame_max in 9_u32..200,
    ) {
        let returned = Return {
            reply_code,
            reply_text: reply_text.as_bytes(),
            exchange: exchange.as_bytes(),
            routing_key: routing_key.as_bytes(),
        };
        let mut out = Vec::new();
        write_return(&mut out, 3, frame_max, &returned, &[0, 0], &body);
        let method = basic::AMQPMethod::Return(basic::Return {
            reply_code,
            reply_text: short(&reply_text),
            exchange: short(&exchange),
            routing_key: short(&routing_key),
        });
        check_content(&out, method, &body, frame_max as usize - 8);
        let payload = first_frame(&out).payload;
        prop_assert_eq!(decode_server_method(payload), Ok(ServerMethod::Return(returned)));
        for len in 4..payload.len() {
            prop_assert!(decode_server_method(&payload[..len]).is_err());
        }
    }

    #[test]
    fn get_ok_is_written_and_read_as_by_the_oracle(
        delivery_tag in any::<u64>(),
        redelivered in any::<bool>(),
        exchange in name(),
        routing_key in name(),
        message_count in any::<u32>(),
        body in body(),
        frame_max in 9_u32..200,
    ) {
        let get_ok = GetOk {
            delivery_tag,
            redelivered,
            exchange: exchange.as_bytes(),
            routing_key: routing_key.as_bytes(),
            message_count,
        };
        let mut out = Vec::new();
        write_get_ok(&mut out, 3, frame_max, &get_ok, &[0, 0], &body);
        let method = basic::AMQPMethod::GetOk(basic::GetOk {
            delivery_tag,
            redelivered,
            exchange: short(&exchange),
            routing_key: short(&routing_key),
            message_count,
        });
        check_content(&out, method, &body, frame_max as usize - 8);
        let payload = first_frame(&out).payload;
        prop_assert_eq!(decode_server_method(payload), Ok(ServerMethod::GetOk(get_ok)));
        for len in 4..payload.len() {
            prop_assert!(decode_server_method(&payload[..len]).is_err());
        }
    }

    #[test]
    fn settles_are_written_and_read_as_by_the_oracle(
        delivery_tag in any::<u64>(),
        multiple in any::<bool>(),
        requeue in any::<bool>(),
    ) {
        let mut out = Vec::new();
        write_ack(&mut out, 3, delivery_tag, multiple);
        write_nack(&mut out, 3, delivery_tag, multiple, requeue);
        write_reject(&mut out, 3, delivery_tag, requeue);
        let method = |method| AMQPFrame::Method(3, AMQPClass::Basic(method));
        prop_assert_eq!(oracle_frames(&out), vec![
            method(basic::AMQPMethod::Ack(basic::Ack { delivery_tag, multiple })),
            method(basic::AMQPMethod::Nack(basic::Nack { delivery_tag, multiple, requeue })),
            method(basic::AMQPMethod::Reject(basic::Reject { delivery_tag, requeue })),
        ]);
        let (ack, nack, reject) = (&out[7..20], &out[28..41], &out[49..62]);
        prop_assert_eq!(
            decode_client_method(ack),
            Ok(ClientMethod::Ack { delivery_tag, multiple })
        );
        prop_assert_eq!(
            decode_client_method(nack),
            Ok(ClientMethod::Nack { delivery_tag, multiple, requeue })
        );
        prop_assert_eq!(
            decode_client_method(reject),
            Ok(ClientMethod::Reject { delivery_tag, requeue })
        );
        prop_assert_eq!(
            decode_server_method(nack),
            Ok(ServerMethod::Nack { delivery_tag, multiple, requeue })
        );
        for len in 4..ack.len() {
            prop_assert!(decode_client_method(&ack[..len]).is_err());
        }
    }
}

#[test]
fn server_only_hot_methods_are_unimplemented_and_so_is_publish_to_a_client() {
    for method_id in [50, 60, 71] {
        let error = decode_client_method(&[0, 60, 0, method_id, 0, 0, 0, 0]).expect_err("refused");
        assert_eq!(error, refusal::unimplemented_method(60, method_id.into()));
    }
    for method_id in [40, 90] {
        let error = decode_server_method(&[0, 60, 0, method_id, 0, 0, 0, 0]).expect_err("refused");
        assert_eq!(error, refusal::unimplemented_method(60, method_id.into()));
    }
}

#[test]
fn names_of_a_publish_must_be_text() {
    let payload = [0, 60, 0, 40, 0, 0, 0, 1, 0xFF, 0];
    let error = decode_client_method(&payload).expect_err("the routing key is no text");
    assert_eq!(error.text, "FRAME_ERROR - Malformed UTF-8 in shortstr <<255>>");
    assert_eq!((error.code, error.class_id, error.method_id), (ReplyCode::FrameError, 60, 40));
}

#[test]
fn unknown_bits_and_the_ticket_of_a_publish_are_ignored() {
    let publish = Publish { exchange: b"", routing_key: b"", mandatory: true, immediate: true };
    let payload = [0, 60, 0, 40, 9, 9, 0, 0, 0xFF];
    assert_eq!(decode_client_method(&payload), Ok(ClientMethod::Publish(publish)));
}

#[test]
fn surplus_octets_of_hot_methods_are_refused() {
    let ack = [0, 60, 0, 80, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0];
    let error = decode_client_method(&ack).expect_err("an octet too many");
    assert_eq!(error.text, "FRAME_ERROR - cannot decode <<0,0,0,0,0,0,0,1,0,0>>");
    assert_eq!((error.class_id, error.method_id), (60, 80));
}

#[test]
fn ids_need_four_octets() {
    assert_eq!(method_ids(&[0, 60, 0]), None);
    assert_eq!(method_ids(&[0, 60, 0, 40, 1]), Some((60, 40)));
    assert!(decode_client_method(&[0, 60, 0]).is_err());
    assert!(decode_server_method(&[]).is_err());
}
