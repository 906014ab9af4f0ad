//! A stream of frames, and what a broker and a client decode from it.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| haremq_protocol::fuzz::frame(bytes));
