//! `basic.ack`, `basic.nack` and `basic.reject`: a delivery tag and bits.

use crate::{
    cursor::Cursor,
    frame::{FRAME_END, FrameKind},
    refusal,
    reply::ProtocolError,
};

pub(crate) const ACK_METHOD_ID: u16 = 80;
pub(crate) const REJECT_METHOD_ID: u16 = 90;
pub(crate) const NACK_METHOD_ID: u16 = 120;

/// Ids, tag and bits.
const PAYLOAD_BYTES: u8 = 13;

/// Tag and bits of any of the three. The bits' order differs, so they stay an octet.
#[inline]
pub(crate) fn decode(payload: &[u8]) -> Result<(u64, u8), ProtocolError> {
    let mut cursor = Cursor::new(&payload[4..]);
    match (cursor.long_long(), cursor.octet(), cursor.is_empty()) {
        (Some(delivery_tag), Some(bits), true) => Ok((delivery_tag, bits)),
        _ => Err(refusal::cannot_decode(payload)),
    }
}

/// Appends a `basic.ack` frame.
#[inline]
pub fn write_ack(out: &mut Vec<u8>, channel: u16, delivery_tag: u64, multiple: bool) {
    write(out, channel, ACK_METHOD_ID, delivery_tag, u8::from(multiple));
}

/// Appends a `basic.nack` frame.
#[inline]
pub fn write_nack(
    out: &mut Vec<u8>,
    channel: u16,
    delivery_tag: u64,
    multiple: bool,
    requeue: bool,
) {
    let bits = u8::from(multiple) | (u8::from(requeue) << 1);
    write(out, channel, NACK_METHOD_ID, delivery_tag, bits);
}

/// Appends a `basic.reject` frame.
#[inline]
pub fn write_reject(out: &mut Vec<u8>, channel: u16, delivery_tag: u64, requeue: bool) {
    write(out, channel, REJECT_METHOD_ID, delivery_tag, u8::from(requeue));
}

fn write(out: &mut Vec<u8>, channel: u16, method_id: u16, delivery_tag: u64, bits: u8) {
    let mut frame = [0; PAYLOAD_BYTES as usize + crate::frame::FRAME_OVERHEAD];
    frame[0] = FrameKind::Method.octet();
    frame[1..3].copy_from_slice(&channel.to_be_bytes());
    frame[6] = PAYLOAD_BYTES;
    frame[8] = 60;
    frame[9..11].copy_from_slice(&method_id.to_be_bytes());
    frame[11..19].copy_from_slice(&delivery_tag.to_be_bytes());
    frame[19] = bits;
    frame[20] = FRAME_END;
    out.extend_from_slice(&frame);
}
