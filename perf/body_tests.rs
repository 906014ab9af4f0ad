//! The body's format, its checks, and reading it in pieces.

use super::*;

const LENGTHS: [usize; 14] = [12, 13, 15, 16, 17, 19, 20, 21, 23, 24, 25, 64, 1000, 70_000];

fn sample(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 7 + index / 256) as u8).collect()
}

fn stamped(length: usize, stamp: &Stamp) -> Vec<u8> {
    let mut body = sample(length);
    let format = BodyFormat::new(&body);
    format.write(&mut body[..format.head_bytes()], stamp);
    body
}

const STAMP: Stamp = Stamp { seq: 0xFFFF_FFF0, time: 1 << 60 | 12345, publisher: 777, lag: 999 };

#[test]
fn each_length_tells_what_it_has_room_for() {
    for length in LENGTHS {
        let read = read_body(&stamped(length, &STAMP)).expect("nothing was altered");
        assert_eq!((read.seq, read.time), (STAMP.seq, STAMP.time));
        assert_eq!(read.publisher, if length >= 16 { 777 } else { 0 });
        assert_eq!(read.lag, if length >= 24 { 999 } else { 0 });
    }
}

#[test]
fn the_first_twelve_octets_are_those_of_perftest() {
    let body = stamped(24, &STAMP);
    assert_eq!(body[..4], STAMP.seq.to_be_bytes());
    assert_eq!(body[4..12], STAMP.time.to_be_bytes());
}

#[test]
fn pieces_read_like_the_whole() {
    for length in LENGTHS {
        let body = stamped(length, &STAMP);
        for piece_bytes in [1, 5, 16, 23, 24, 100, 65_536] {
            let mut reader = BodyReader::new();
            body.chunks(piece_bytes).for_each(|piece| reader.handle_piece(piece));
            assert_eq!(reader.end(), read_body(&body));
        }
    }
}

#[test]
fn any_flipped_bit_is_seen_from_twenty_octets_on() {
    for length in [20, 22, 24, 40] {
        let body = stamped(length, &STAMP);
        for bit in 0..length * 8 {
            let mut altered = body.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert!(read_body(&altered).is_err(), "bit {bit} of {length} octets");
        }
    }
}

#[test]
fn an_altered_filler_still_names_its_message() {
    let mut body = stamped(1000, &STAMP);
    body[999] ^= 1;
    assert_eq!(read_body(&body), Err(Damage::Content(STAMP)));
}

#[test]
fn an_altered_head_is_seen_from_sixteen_octets_on() {
    let body = stamped(16, &STAMP);
    for octet in 0..16 {
        let mut altered = body.clone();
        altered[octet] ^= 0x10;
        assert_eq!(read_body(&altered), Err(Damage::Head), "octet {octet}");
    }
    assert_eq!(read_body(&[0; 11]), Err(Damage::TooShort));
}
