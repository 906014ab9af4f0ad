//! haremq.
fn main() {}
