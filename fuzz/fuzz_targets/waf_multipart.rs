//! `checks/waf_multipart.rs` on what the fuzzer makes.
#![no_main]

#[path = "../checks/waf_multipart.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|input: &[u8]| check::holds(input));
