//! What a server sends to a client session.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| haremq_protocol::fuzz::client(bytes));
