//! Fails on purpose, behind a comparison as the codec has them: a fuzzer that does not find this
//! within a minute finds nothing.
#![no_main]

use haremq_protocol::frame::{HeaderCheck, check_protocol_header};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    assert_ne!(check_protocol_header(bytes), HeaderCheck::Accepted);
});
