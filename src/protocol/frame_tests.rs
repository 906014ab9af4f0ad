use proptest::prelude::*;

use super::*;
use crate::reply::ReplyCode;

fn frame_bytes(frame_type: u8, channel: u16, payload: &[u8], end: u8) -> Vec<u8> {
    let mut bytes = vec![frame_type];
    bytes.extend_from_slice(&channel.to_be_bytes());
    bytes.extend_from_slice(&(payload.len() as u32).to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes.push(end);
    bytes
}

fn refusal_of(bytes: &[u8], frame_max: u32) -> (ReplyCode, String) {
    let error = split_frame(bytes, frame_max).expect_err("the frame is refused");
    assert_eq!((error.class_id, error.method_id), (0, 0));
    (error.code, error.text)
}

#[test]
fn refusals_have_the_exact_texts() {
    use ReplyCode::{FrameError, UnexpectedFrame};
    let cases: [(&[u8], ReplyCode, &str); 9] = [
        (
            &frame_bytes(4, 0, &[1, 2], 0xCE),
            FrameError,
            "FRAME_ERROR - type 4, all octets = <<1,2>>: unknown_frame",
        ),
        (
            &frame_bytes(9, 0, b"0123456789abcdefg", 0xCE),
            FrameError,
            "FRAME_ERROR - type 9, first 16 octets = <<\"0123456789abcdef\">>: unknown_frame",
        ),
        (
            &frame_bytes(1, 1, &[0, 60, 0], 0xCE),
            FrameError,
            "FRAME_ERROR - type 1, all octets = <<0,60,0>>: unknown_frame",
        ),
        (
            &frame_bytes(2, 1, &[0; 11], 0xCE),
            FrameError,
            "FRAME_ERROR - type 2, all octets = <<0,0,0,0,0,0,0,0,0,0,0>>: unknown_frame",
        ),
        (
            &frame_bytes(8, 0, &[7], 0xCE),
            FrameError,
            "FRAME_ERROR - type 8, all octets = <<7>>: unknown_frame",
        ),
        (
            &[1, 0, 0, 0, 0, 0x20, 1],
            FrameError,
            "FRAME_ERROR - type 1, all octets = <<>>: {frame_too_large,8193,8184}",
        ),
        (
            &[3, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF],
            FrameError,
            "FRAME_ERROR - type 3, all octets = <<>>: {frame_too_large,4294967295,8184}",
        ),
        (
            &frame_bytes(3, 1, &[200], 7),
            FrameError,
            "FRAME_ERROR - type 3, all octets = <<200>>: {invalid_frame_end_marker,7}",
        ),
        (
            &frame_bytes(8, 3, &[], 0xCE),
            UnexpectedFrame,
            "UNEXPECTED_FRAME - type 8, all octets = <<>>",
        ),
    ];
    for (bytes, code, text) in cases {
        assert_eq!(refusal_of(bytes, 8_192), (code, text.to_owned()));
    }
}

#[test]
fn payload_of_frame_max_is_accepted_and_one_more_is_not() {
    let accepted = frame_bytes(3, 1, &[0; 4_096], 0xCE);
    let split = split_frame(&accepted, 4_096).expect("within the tolerance");
    assert!(matches!(split, Split::Complete { consumed: 4_104, .. }));
    let refused = frame_bytes(3, 1, &[0; 4_097], 0xCE);
    let text = "FRAME_ERROR - type 3, all octets = <<>>: {frame_too_large,4097,4088}";
    assert_eq!(refusal_of(&refused[..7], 4_096).1, text);
    assert!(split_frame(&refused, 0).is_ok());
}

#[test]
fn incomplete_tells_how_much_is_needed() {
    let bytes = frame_bytes(3, 1, &[0; 100], 0xCE);
    for len in 0..bytes.len() {
        let needed = if len < 7 { 7 } else { 108 };
        assert_eq!(split_frame(&bytes[..len], 4_096), Ok(Split::Incomplete { needed }));
    }
}

#[test]
fn every_other_frame_type_is_refused() {
    for frame_type in (0..=255).filter(|octet| ![1, 2, 3, 8].contains(octet)) {
        assert!(split_frame(&frame_bytes(frame_type, 0, &[0; 20], 0xCE), 4_096).is_err());
    }
}

#[test]
fn heartbeat_is_read_as_written() {
    let mut out = Vec::new();
    write_heartbeat(&mut out);
    let frame = Frame { kind: FrameKind::Heartbeat, channel: 0, payload: &[] };
    assert_eq!(split_frame(&out, 4_096), Ok(Split::Complete { frame, consumed: 8 }));
}

#[test]
fn protocol_header_mismatch_shows_at_the_first_wrong_octet() {
    let cases: [(&[u8], usize); 7] = [
        (b"GET / HT", 1),
        (&[0x16, 3, 1, 0, 0xA5, 1, 0, 0], 1),
        (b"AMQP\x00\x01\x00\x00", 6),
        (b"AMQP\x03\x01\x00\x00", 5),
        (b"AMQP\x01\x01\x08\x00", 7),
        (b"AMQP\x00\x00\x09\x02", 8),
        (b"AMQQ", 4),
    ];
    for (bytes, wrong_at) in cases {
        for len in 0..wrong_at {
            assert_eq!(check_protocol_header(&bytes[..len]), HeaderCheck::Incomplete);
        }
        for len in wrong_at..=bytes.len() {
            assert_eq!(check_protocol_header(&bytes[..len]), HeaderCheck::Mismatch);
        }
    }
}

#[test]
fn both_headers_of_0_9_are_accepted() {
    for accepted in [PROTOCOL_HEADER, PROTOCOL_HEADER_0_9] {
        let mut bytes = accepted.to_vec();
        assert_eq!(check_protocol_header(&bytes[..7]), HeaderCheck::Incomplete);
        assert_eq!(check_protocol_header(&bytes), HeaderCheck::Accepted);
        bytes.extend_from_slice(b"more");
        assert_eq!(check_protocol_header(&bytes), HeaderCheck::Accepted);
    }
}

fn frames() -> impl Strategy<Value = Vec<(u8, u16, Vec<u8>)>> {
    let frame = (
        prop::sample::select(vec![1, 2, 3]),
        any::<u16>(),
        prop::collection::vec(any::<u8>(), 12..80),
    );
    prop::collection::vec(frame, 0..12)
}

proptest! {
    #[test]
    fn every_split_gives_the_same_frames(
        frames in frames(),
        cuts in prop::collection::vec(1_usize..40, 1..60),
    ) {
        let stream: Vec<u8> = frames
            .iter()
            .flat_map(|(kind, channel, payload)| frame_bytes(*kind, *channel, payload, 0xCE))
            .collect();
        let mut seen = Vec::new();
        let mut buffer = Vec::new();
        let mut rest = &stream[..];
        for len in cuts.iter().cycle() {
            let (piece, after) = rest.split_at((*len).min(rest.len()));
            buffer.extend_from_slice(piece);
            rest = after;
            while let Split::Complete { frame, consumed } =
                split_frame(&buffer, 4_096).expect("the frames are sound")
            {
                seen.push((frame.kind.octet(), frame.channel, frame.payload.to_vec()));
                buffer.drain(..consumed);
            }
            if rest.is_empty() {
                break;
            }
        }
        prop_assert!(buffer.is_empty());
        prop_assert_eq!(seen, frames);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        crate::fuzz::frame(&bytes);
    }
}
