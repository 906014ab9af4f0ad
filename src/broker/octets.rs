//! Comparing names.

/// Whether two names are the same. Two empty ones are not handed to the C library: on processors
/// with AVX-512 it loads under an empty mask from where an empty buffer dangles, which takes the
/// processor as long as a third of all that a publish takes.
pub fn is_same(a: &[u8], b: &[u8]) -> bool {
    (a.is_empty() && b.is_empty()) || a == b
}
