//! The last steps, for the report, and the hash of all of them.

use std::cell::RefCell;
use std::collections::VecDeque;

use crate::prng::mix;

/// Steps kept for the report.
const KEPT: usize = 200;
/// Longer descriptions are cut in the report; the hash has them whole.
const SHOWN_OCTETS: usize = 600;

#[derive(Default)]
struct Trace {
    last: VecDeque<String>,
    hash: u64,
    is_verbose: bool,
}

thread_local! {
    /// One simulation runs per thread at a time; a panic hook finds its steps here.
    static TRACE: RefCell<Trace> = RefCell::default();
}

/// A new run begins.
pub(crate) fn reset(is_verbose: bool) {
    TRACE.with(|trace| *trace.borrow_mut() = Trace { is_verbose, ..Trace::default() });
}

/// Something has happened.
pub(crate) fn note(mut text: String) {
    TRACE.with(|trace| {
        let trace = &mut *trace.borrow_mut();
        trace.hash = text.bytes().fold(trace.hash, |hash, octet| {
            (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3).rotate_left(5)
        });
        trace.hash = mix(trace.hash);
        if text.len() > SHOWN_OCTETS {
            let end = (0..=SHOWN_OCTETS).rev().find(|end| text.is_char_boundary(*end));
            text.truncate(end.unwrap_or(0));
            text.push_str(" ...");
        }
        if trace.is_verbose {
            println!("{text}");
        }
        if trace.last.len() == KEPT {
            trace.last.pop_front();
        }
        trace.last.push_back(text);
    });
}

/// Hash of all that was noted.
pub(crate) fn hash() -> u64 {
    TRACE.with(|trace| trace.borrow().hash)
}

/// The last steps of the present run, oldest first.
pub fn dump() -> Vec<String> {
    TRACE.with(|trace| trace.borrow().last.iter().cloned().collect())
}
