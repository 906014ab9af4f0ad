//! Room that was made once and is then filled from front to back.

use crate::frame::{FRAME_END, FRAME_OVERHEAD, FrameKind};

/// Octets that an output is lengthened by at a time: as the compiler knows the number, this costs
/// less than to lengthen it once by what is needed.
const STEP_BYTES: usize = 128;

/// Octets that are still to be written, of room that was made for them. Lives while one message is
/// written: an append for each field would look at the output's capacity each time.
#[derive(Debug)]
pub struct Blank<'a> {
    rest: &'a mut [u8],
}

/// Room that a blank of so many octets needs while it is made.
#[inline]
pub(crate) fn room_for(len: usize) -> usize {
    len.next_multiple_of(STEP_BYTES)
}

impl<'a> Blank<'a> {
    /// All of these octets are to be written.
    #[inline]
    pub fn new(rest: &'a mut [u8]) -> Self {
        Self { rest }
    }

    /// Lengthens the output by so many octets.
    #[inline]
    pub(crate) fn append(out: &'a mut Vec<u8>, len: usize) -> Self {
        let start = out.len();
        while out.len() - start < len {
            out.extend_from_slice(&[0; STEP_BYTES]);
        }
        out.truncate(start + len);
        Self::new(&mut out[start..])
    }

    /// Writes octets whose number the compiler knows.
    #[inline]
    pub(crate) fn put<const N: usize>(&mut self, octets: [u8; N]) {
        let rest = std::mem::take(&mut self.rest);
        let (place, rest) = rest.split_first_chunk_mut().expect("the blank is long enough");
        *place = octets;
        self.rest = rest;
    }

    /// Writes octets.
    ///
    /// # Panics
    /// If there is no room for them.
    #[inline]
    pub fn put_octets(&mut self, octets: &[u8]) {
        let rest = std::mem::take(&mut self.rest);
        let (place, rest) = rest.split_at_mut(octets.len());
        copy(octets, place);
        self.rest = rest;
    }

    /// Nothing more is to be written.
    ///
    /// # Panics
    /// If there is room left: it would show what was there before.
    #[inline]
    pub fn finish(self) {
        assert!(self.rest.is_empty(), "all of a blank is written");
    }

    /// Writes a short string: a length octet and at most 255 octets.
    #[inline]
    pub(crate) fn put_short_string(&mut self, string: &[u8]) {
        self.put([short_string_len(string)]);
        self.put_octets(string);
    }

    /// Writes the 7 octets before a payload.
    #[inline]
    pub(crate) fn put_head(&mut self, kind: FrameKind, channel: u16, payload_len: usize) {
        let [_, head @ ..] = end_and_head(kind, channel, payload_len);
        self.put(head);
    }

    /// Writes the end of a frame and the head of the next.
    #[inline]
    pub(crate) fn put_end_and_head(&mut self, kind: FrameKind, channel: u16, payload_len: usize) {
        self.put(end_and_head(kind, channel, payload_len));
    }

    /// Writes the end of the last frame.
    ///
    /// # Panics
    /// If octets are still to be written behind it.
    #[inline]
    pub(crate) fn put_last_end(&mut self) {
        self.put([FRAME_END]);
        assert!(self.rest.is_empty(), "what is to be written was counted right");
    }
}

/// The octets between two payloads.
#[inline]
fn end_and_head(kind: FrameKind, channel: u16, payload_len: usize) -> [u8; FRAME_OVERHEAD] {
    let size = u32::try_from(payload_len).expect("a payload's size fits its field");
    let [c0, c1] = channel.to_be_bytes();
    let [s0, s1, s2, s3] = size.to_be_bytes();
    [FRAME_END, kind.octet(), c0, c1, s0, s1, s2, s3]
}

/// The length octet of a short string.
#[inline]
pub(crate) fn short_string_len(string: &[u8]) -> u8 {
    u8::try_from(string.len()).expect("a short string has at most 255 octets")
}

/// Copies octets to a place of their number. Names and properties are mostly so short that a call
/// costs more than what it does, of memcpy as of this: two steps that may overlap copy them.
#[inline(always)]
fn copy(octets: &[u8], place: &mut [u8]) {
    match octets.len() {
        0 => (),
        1..4 => copy_up_to_3(octets, place),
        4..8 => copy_ends::<4>(octets, place),
        8..16 => copy_ends::<8>(octets, place),
        16..=32 => copy_ends::<16>(octets, place),
        _ => place.copy_from_slice(octets),
    }
}

#[inline]
fn copy_up_to_3(octets: &[u8], place: &mut [u8]) {
    let (middle, last) = (octets.len() / 2, octets.len() - 1);
    (place[0], place[middle], place[last]) = (octets[0], octets[middle], octets[last]);
}

/// Copies N to 2 N octets.
#[inline]
fn copy_ends<const N: usize>(octets: &[u8], place: &mut [u8]) {
    let first = *octets.first_chunk::<N>().expect("not fewer than N");
    let last = *octets.last_chunk::<N>().expect("not fewer than N");
    *place.first_chunk_mut().expect("not fewer than N") = first;
    *place.last_chunk_mut().expect("not fewer than N") = last;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_of_any_number_are_copied_whole() {
        let octets: Vec<u8> = (1..=255).collect();
        for len in 0..=octets.len() {
            let mut out = vec![0];
            let mut blank = Blank::append(&mut out, len + 1);
            blank.put_octets(&octets[..len]);
            blank.put_last_end();
            assert_eq!(out, [&[0], &octets[..len], &[FRAME_END]].concat());
        }
    }

    #[test]
    #[should_panic(expected = "counted right")]
    fn a_blank_that_is_too_long_is_found() {
        Blank::append(&mut Vec::new(), 2).put_last_end();
    }
}
