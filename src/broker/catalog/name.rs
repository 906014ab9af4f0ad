//! Names of queues and exchanges.

use std::borrow::Cow;

/// Names of ours begin so (EXC-3, QUE-4).
pub(super) const RESERVED_PREFIX: &str = "amq.";

/// The name without CR and LF, as declare, delete, bind and unbind take it (CHN-9).
pub fn strip_line_ends(name: &str) -> Cow<'_, str> {
    if name.bytes().any(is_line_end) {
        Cow::Owned(name.chars().filter(|c| !matches!(c, '\r' | '\n')).collect())
    } else {
        Cow::Borrowed(name)
    }
}

fn is_line_end(octet: u8) -> bool {
    matches!(octet, b'\r' | b'\n')
}
