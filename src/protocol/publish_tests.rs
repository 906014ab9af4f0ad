use proptest::{prelude::*, sample::Index};

use super::*;
use crate::{
    frame::{Split, split_frame, write_heartbeat},
    fuzz,
};

const FRAME_MAX: u32 = 4_096;

fn publish(properties: &[u8], body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write_publish(&mut out, 7, FRAME_MAX, b"x", b"key", true, properties, body);
    out
}

#[test]
fn a_publish_in_one_piece_is_recognised() {
    for properties in [&[0, 0][..], &[0x10, 0, 2], &[0x18, 0, 1, 9], b"\x80\0\x04text"] {
        for body in [&b""[..], b"b", &[0xCE; 4_088]] {
            let mut input = publish(properties, body);
            let consumed = input.len();
            write_heartbeat(&mut input);
            let whole = split_publish(&input, FRAME_MAX).expect("all is there");
            assert_eq!((whole.channel, whole.consumed, whole.body), (7, consumed, body));
            assert_eq!(whole.publish.exchange, b"x");
            assert_eq!(whole.publish.routing_key, b"key");
            assert!(whole.publish.mandatory && !whole.publish.immediate);
            assert_eq!(Ok(whole.properties), Properties::parse(properties));
            fuzz::publish(&input, FRAME_MAX);
            fuzz::publish(&input, 0);
        }
    }
}

#[test]
fn a_body_in_two_frames_is_left_to_the_splitter() {
    let input = publish(&[0, 0], &[1; 4_089]);
    assert_eq!(split_publish(&input, FRAME_MAX), None);
}

#[test]
fn a_piece_of_a_publish_is_no_publish() {
    let input = publish(&[0x10, 0, 2], b"body");
    for len in 0..input.len() {
        assert_eq!(split_publish(&input[..len], FRAME_MAX), None, "{len} octets");
    }
}

#[test]
fn any_other_octet_anywhere_is_judged_as_step_by_step() {
    let input = publish(&[0x10, 0, 2], b"body");
    for index in 0..input.len() {
        for octet in 0..=255 {
            let mut changed = input.clone();
            changed[index] = octet;
            fuzz::publish(&changed, FRAME_MAX);
            fuzz::publish(&changed, 20);
        }
    }
}

#[test]
fn a_frame_may_have_frame_max_octets_of_payload_and_not_one_more() {
    let input = publish(&[0, 0], &[1; 1_000]);
    assert!(split_publish(&input, 1_000).is_some());
    assert_eq!(split_publish(&input, 999), None);
}

/// Frames that make up a publish, or nearly so: each may be of another channel or another kind.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let name = || prop_oneof![Just(Vec::new()), ".{0,20}".prop_map(String::into_bytes), octets(20)];
    let list = prop_oneof![
        Just(vec![0, 0]),
        any::<u8>().prop_map(|mode| vec![0x10, 0, mode]),
        (any::<u8>(), octets(8)).prop_map(|(flags, values)| [&[flags, 0][..], &values].concat()),
        octets(12),
    ];
    let more = (prop::bool::weighted(0.1), octets(40));
    (name(), name(), any::<bool>(), list, octets(40), more).prop_map(
        |(exchange, key, mandatory, list, body, (has_more, more))| {
            let mut out = Vec::new();
            write_publish(&mut out, 1, FRAME_MAX, &exchange, &key, mandatory, &list, &body);
            if has_more {
                out.extend_from_slice(&more);
            }
            out
        },
    )
}

fn kind() -> impl Strategy<Value = FrameKind> {
    prop_oneof![Just(FrameKind::Method), Just(FrameKind::Header), Just(FrameKind::Body)]
}

fn octets(max: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..=max)
}

proptest! {
    #[test]
    fn what_is_recognised_is_what_is_found_step_by_step(
        input in frames(),
        frame_max in prop_oneof![Just(0), Just(FRAME_MAX), 0..64_u32],
        changes in prop::collection::vec((any::<Index>(), any::<u8>()), 0..3),
        cut in any::<Index>(),
    ) {
        fuzz::publish(&input, frame_max);
        fuzz::publish(&input[..cut.index(input.len())], frame_max);
        let mut changed = input;
        for (at, octet) in changes {
            let at = at.index(changed.len());
            changed[at] = octet;
            fuzz::publish(&changed, frame_max);
        }
    }

    #[test]
    fn frames_in_any_order_are_judged_as_step_by_step(
        pieces in prop::collection::vec((any::<Index>(), kind(), 0..2_u16), 1..5),
    ) {
        let input = publish(&[0x10, 0, 2], b"body");
        let mut payloads = Vec::new();
        let mut rest = &input[..];
        while let Ok(Split::Complete { frame, consumed }) = split_frame(rest, 0) {
            payloads.push(frame.payload);
            rest = &rest[consumed..];
        }
        let mut out = Vec::new();
        for (from, kind, channel) in pieces {
            let payload = from.get(&payloads);
            write_head(&mut out, kind, channel, payload.len());
            out.extend_from_slice(payload);
            out.push(FRAME_END);
        }
        fuzz::publish(&out, FRAME_MAX);
    }
}
