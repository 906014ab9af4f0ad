//! Which slot a content goes into.

/// Contents above this many bytes have an allocation of their own.
pub const SLOT_BYTES_MAX: usize = 16 * 1024;

/// Steps of a quarter to a third: what is lost to rounding stays small without many half-empty
/// slabs. Multiples of eight, ascending.
const SLOT_BYTES: [u16; CLASSES] = [
    32, 40, 48, 64, 80, 96, 128, 160, 192, 256, 320, 384, 512, 640, 768, 1024, 1280, 1536, 2048,
    2560, 3072, 4096, 5120, 6144, 8192, 10240, 12288, 16384,
];

/// Number of size classes.
pub(super) const CLASSES: usize = 28;

/// A content's length in units of eight bytes, rounded up → its class.
const CLASS_BY_UNITS: [u8; SLOT_BYTES_MAX / 8 + 1] = class_by_units();

const fn class_by_units() -> [u8; SLOT_BYTES_MAX / 8 + 1] {
    assert!(SLOT_BYTES[CLASSES - 1] as usize == SLOT_BYTES_MAX);
    let mut table = [0; SLOT_BYTES_MAX / 8 + 1];
    let mut class = 0;
    let mut units = 0;
    while units < table.len() {
        if units * 8 > SLOT_BYTES[class as usize] as usize {
            class += 1;
        }
        table[units] = class;
        units += 1;
    }
    table
}

/// The class of the smallest slots that hold `bytes`; at most `SLOT_BYTES_MAX`.
pub(super) fn class_of(bytes: usize) -> usize {
    usize::from(CLASS_BY_UNITS[bytes.div_ceil(8)])
}

/// Bytes of a slot.
pub(super) fn slot_bytes(class: usize) -> usize {
    usize::from(SLOT_BYTES[class])
}
