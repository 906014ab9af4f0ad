//! One content header payload.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| haremq_protocol::fuzz::content_header(bytes));
