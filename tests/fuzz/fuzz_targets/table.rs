//! Field table content.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| haremq_protocol::fuzz::table(bytes));
