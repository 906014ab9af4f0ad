//! The check that runs over every table before anything reads it.
//!
//! It keeps a fixed stack of levels instead of recursing, so a hostile nesting costs nothing, and
//! it is bounded by the octets and by a number of entries.

use crate::{
    octets::Numbers,
    reply::{ProtocolError, ReplyCode},
};

/// Levels of tables and arrays, the outermost table included.
pub const TABLE_DEPTH_MAX: usize = 32;

/// Entries of a message's header table and of all that is nested in it.
pub const TABLE_ENTRIES_MAX: usize = 65_536;

/// The same for a table that becomes an owned value: there an entry of one octet costs 32.
pub const ARGUMENT_ENTRIES_MAX: usize = 4_096;

/// Checks table content: lengths that fit, known tags, depth and number of entries.
/// Keys and strings are opaque.
///
/// # Errors
/// 502; an unknown tag is named (ERR-25b).
pub fn scan_table(content: &[u8]) -> Result<(), ProtocolError> {
    scan(content, TABLE_ENTRIES_MAX, Keys::Opaque)
}

/// As [`scan_table`], for a table that `amq-protocol` will own: keys must be UTF-8, and there are
/// at most [`ARGUMENT_ENTRIES_MAX`] entries.
pub(crate) fn scan_arguments(content: &[u8]) -> Result<(), ProtocolError> {
    scan(content, ARGUMENT_ENTRIES_MAX, Keys::Utf8)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Keys {
    Opaque,
    Utf8,
}

#[derive(Clone, Copy)]
struct Level {
    end: usize,
    is_array: bool,
}

fn scan(content: &[u8], entries_max: usize, keys: Keys) -> Result<(), ProtocolError> {
    let outermost = Level { end: content.len(), is_array: false };
    let mut levels = [outermost; TABLE_DEPTH_MAX];
    let mut depth = 1;
    let mut at = 0;
    let mut entries = 0;
    while depth > 0 {
        let level = levels[depth - 1];
        if at == level.end {
            depth -= 1;
            continue;
        }
        entries += 1;
        if entries > entries_max {
            return Err(refuse(format!("table has more than {entries_max} entries")));
        }
        if !level.is_array {
            at = scan_key(content, at, level.end, keys)?;
        }
        match scan_value(content, at, level.end)? {
            Scanned::Flat { next } => at = next,
            Scanned::Nested { start, inner } => {
                if depth == TABLE_DEPTH_MAX {
                    let text = format!("table nested deeper than {TABLE_DEPTH_MAX} levels");
                    return Err(refuse(text));
                }
                levels[depth] = inner;
                depth += 1;
                at = start;
            }
        }
    }
    assert!(at == content.len());
    Ok(())
}

enum Scanned {
    Flat { next: usize },
    Nested { start: usize, inner: Level },
}

fn scan_key(content: &[u8], at: usize, end: usize, keys: Keys) -> Result<usize, ProtocolError> {
    let start = at + 1;
    let next = start + usize::from(content[at]);
    if next > end {
        return Err(overrun());
    }
    let key = &content[start..next];
    if keys == Keys::Utf8 && std::str::from_utf8(key).is_err() {
        return Err(refuse(format!("Malformed UTF-8 in table key {}", Numbers(key))));
    }
    Ok(next)
}

fn scan_value(content: &[u8], at: usize, end: usize) -> Result<Scanned, ProtocolError> {
    if at >= end {
        return Err(overrun());
    }
    let tag = content[at];
    let start = at + 1;
    if let Some(width) = fixed_width(tag) {
        return bounded(start, width, end).map(|next| Scanned::Flat { next });
    }
    if !matches!(tag, b'S' | b'x' | b'A' | b'F') {
        return Err(unknown_tag(tag));
    }
    let body = bounded(start, 4, end)?;
    let prefix = content[start..body].first_chunk().expect("four octets were just checked");
    let next = bounded(body, u32::from_be_bytes(*prefix) as usize, end)?;
    Ok(match tag {
        b'A' | b'F' => {
            Scanned::Nested { start: body, inner: Level { end: next, is_array: tag == b'A' } }
        }
        _ => Scanned::Flat { next },
    })
}

/// Octets of a value without a length of its own (WIRE-10).
pub(super) const fn fixed_width(tag: u8) -> Option<usize> {
    match tag {
        b'V' => Some(0),
        b't' | b'b' | b'B' => Some(1),
        b's' | b'u' => Some(2),
        b'I' | b'i' | b'f' => Some(4),
        b'D' => Some(5),
        b'l' | b'L' | b'd' | b'T' => Some(8),
        _ => None,
    }
}

fn bounded(start: usize, len: usize, end: usize) -> Result<usize, ProtocolError> {
    assert!(start <= end);
    if len <= end - start { Ok(start + len) } else { Err(overrun()) }
}

#[cold]
fn overrun() -> ProtocolError {
    refuse("table entry is longer than its table")
}

#[cold]
fn unknown_tag(tag: u8) -> ProtocolError {
    match tag {
        b' '..=b'~' => refuse(format!("unknown field tag '{}' ({tag})", char::from(tag))),
        _ => refuse(format!("unknown field tag {tag}")),
    }
}

#[cold]
fn refuse(explanation: impl AsRef<str>) -> ProtocolError {
    ProtocolError::new(ReplyCode::SyntaxError, explanation)
}
