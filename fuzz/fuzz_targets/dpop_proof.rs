//! Text that claims to be a proof of possession, and bytes that claim to be a certificate: both refused, or read
//! in one way. It never panics on a key that a proof brings.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data) {
        assert!(!identity::fuzzing::proof_holds(text), "nobody signed it for this address");
        identity::fuzzing::dictionary(text);
    }
    identity::fuzzing::certificate(data);
});
