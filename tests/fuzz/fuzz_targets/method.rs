//! One method payload, decoded in both directions.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| haremq_protocol::fuzz::method(bytes));
