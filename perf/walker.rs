//! Walking the frames that a server sends, without putting bodies together.

use haremq_protocol::frame::{
    FRAME_END, FRAME_HEAD_BYTES, FRAME_OVERHEAD, Frame, FrameKind, Split, split_frame,
};
use haremq_protocol::reply::{ProtocolError, ReplyCode};

/// What the stream consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part<'a> {
    /// A whole method, content header or heartbeat frame.
    Whole(Frame<'a>),
    /// Some octets of a body, at least one, of a channel.
    Piece(u16, &'a [u8]),
}

/// Cuts a byte stream into [`Part`]s. Bodies pass through as they arrive; only a method or header
/// frame that is cut is kept until the rest is there.
#[derive(Debug)]
pub(crate) struct Walker {
    frame_max: u32,
    carry: Vec<u8>,
    /// Channel of the body frame that is open, and how much is missing, its end octet included.
    open: Option<(u16, usize)>,
}

impl Walker {
    pub(crate) fn new(frame_max: u32) -> Walker {
        Walker { frame_max, carry: Vec::new(), open: None }
    }

    /// Tells the parts of `bytes` in turn.
    ///
    /// # Errors
    /// The server's frames are broken; the stream is then over.
    #[inline]
    pub(crate) fn handle_received(
        &mut self,
        mut bytes: &[u8],
        mut emit: impl FnMut(Part<'_>),
    ) -> Result<(), ProtocolError> {
        while !self.carry.is_empty() && !bytes.is_empty() {
            bytes = self.handle_carried(bytes, &mut emit)?;
        }
        while !bytes.is_empty() {
            if let Some((channel, missing)) = self.open {
                bytes = self.handle_piece(channel, missing, bytes, &mut emit)?;
            } else if let Some(rest) = self.open_body(bytes)? {
                bytes = rest;
            } else {
                match split_frame(bytes, self.frame_max)? {
                    Split::Complete { frame, consumed } => {
                        emit(Part::Whole(frame));
                        bytes = &bytes[consumed..];
                    }
                    Split::Incomplete { .. } => {
                        self.carry.extend_from_slice(bytes);
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// Opens the body frame at the head of `bytes`, if there is one, and tells what follows.
    #[inline]
    fn open_body<'a>(&mut self, bytes: &'a [u8]) -> Result<Option<&'a [u8]>, ProtocolError> {
        let Some((&[kind, c0, c1, s0, s1, s2, s3], rest)) =
            bytes.split_first_chunk::<FRAME_HEAD_BYTES>()
        else {
            return Ok(None);
        };
        if kind != FrameKind::Body.octet() {
            return Ok(None);
        }
        let length = u32::from_be_bytes([s0, s1, s2, s3]);
        if length > self.frame_max && self.frame_max != 0 {
            let text = format!("a body frame has {length} octets, {} are allowed", self.frame_max);
            return Err(ProtocolError::new(ReplyCode::FrameError, text));
        }
        self.open = Some((u16::from_be_bytes([c0, c1]), length as usize + 1));
        Ok(Some(rest))
    }

    #[inline]
    fn handle_piece<'a>(
        &mut self,
        channel: u16,
        missing: usize,
        bytes: &'a [u8],
        emit: &mut impl FnMut(Part<'_>),
    ) -> Result<&'a [u8], ProtocolError> {
        if bytes.len() < missing {
            self.open = Some((channel, missing - bytes.len()));
            emit(Part::Piece(channel, bytes));
            return Ok(&[]);
        }
        let (last, rest) = bytes.split_at(missing);
        let (end, piece) = last.split_last().expect("the end octet is missing");
        if *end != FRAME_END {
            return Err(ProtocolError::new(ReplyCode::FrameError, "a body frame has no end octet"));
        }
        self.open = None;
        if !piece.is_empty() {
            emit(Part::Piece(channel, piece));
        }
        Ok(rest)
    }

    #[cold]
    fn handle_carried<'a>(
        &mut self,
        bytes: &'a [u8],
        emit: &mut impl FnMut(Part<'_>),
    ) -> Result<&'a [u8], ProtocolError> {
        let mut carry = std::mem::take(&mut self.carry);
        let needed = match carry.first_chunk::<FRAME_HEAD_BYTES>() {
            None => FRAME_HEAD_BYTES,
            Some(&[kind, _, _, s0, s1, s2, s3]) if kind != FrameKind::Body.octet() => {
                u32::from_be_bytes([s0, s1, s2, s3]) as usize + FRAME_OVERHEAD
            }
            Some(_) => FRAME_HEAD_BYTES,
        };
        let taken = needed.saturating_sub(carry.len()).min(bytes.len());
        carry.extend_from_slice(&bytes[..taken]);
        let is_done = self.open_body(&carry)?.is_some() || self.tell_whole(&carry, emit)?;
        if is_done {
            carry.clear();
        }
        self.carry = carry;
        Ok(&bytes[taken..])
    }

    /// Tells the frame that is carried, if it is whole.
    fn tell_whole(
        &self,
        carry: &[u8],
        emit: &mut impl FnMut(Part<'_>),
    ) -> Result<bool, ProtocolError> {
        match split_frame(carry, self.frame_max)? {
            Split::Complete { frame, .. } => {
                emit(Part::Whole(frame));
                Ok(true)
            }
            Split::Incomplete { .. } => Ok(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use haremq_protocol::ack::write_ack;
    use haremq_protocol::deliver::{Deliver, write_deliver};
    use haremq_protocol::frame::write_heartbeat;

    use super::*;

    fn stream() -> Vec<u8> {
        let mut bytes = Vec::new();
        for (length, tag) in [(0, 1), (1, 2), (5000, 3), (12, 4)] {
            let body: Vec<u8> = (0..length).map(|index| index as u8).collect();
            let deliver = Deliver {
                consumer_tag: b"tag",
                delivery_tag: tag,
                redelivered: false,
                exchange: b"",
                routing_key: b"key",
            };
            write_deliver(&mut bytes, 7, 4096, &deliver, &[0, 0], &body);
            write_ack(&mut bytes, 1, tag, false);
            write_heartbeat(&mut bytes);
        }
        bytes
    }

    /// Frames as text, with the pieces of a body joined.
    fn told(bytes: &[u8], cut: usize) -> Vec<String> {
        let mut walker = Walker::new(4096);
        let mut told: Vec<String> = Vec::new();
        let mut body: Vec<u8> = Vec::new();
        for bytes in bytes.chunks(cut) {
            let parts = |part: Part<'_>| match part {
                Part::Whole(frame) => {
                    told.push(format!("{:?}", std::mem::take(&mut body)));
                    told.push(format!("{frame:?}"));
                }
                Part::Piece(channel, piece) => {
                    assert_eq!(channel, 7);
                    assert!(!piece.is_empty());
                    body.extend_from_slice(piece);
                }
            };
            walker.handle_received(bytes, parts).expect("the stream is sound");
        }
        told
    }

    #[test]
    fn every_cut_tells_the_same() {
        let bytes = stream();
        let whole = told(&bytes, bytes.len());
        for cut in 1..100 {
            assert_eq!(told(&bytes, cut), whole, "cut at every {cut}");
        }
    }

    #[test]
    fn broken_frames_are_refused() {
        let mut bytes = Vec::new();
        write_ack(&mut bytes, 1, 1, false);
        *bytes.last_mut().expect("there is one") = 0;
        assert!(Walker::new(4096).handle_received(&bytes, |_| ()).is_err());
        let body = [3, 0, 1, 0, 0, 0, 1, 42, 0];
        assert!(Walker::new(4096).handle_received(&body, |_| ()).is_err());
        let large = [3, 0, 1, 0, 1, 0, 0];
        assert!(Walker::new(4096).handle_received(&large, |_| ()).is_err());
    }
}
