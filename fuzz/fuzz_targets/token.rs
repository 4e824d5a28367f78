//! A token's text: each value has exactly one. It never looks one up.
#![no_main]

use identity::TokenSecret;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(secret) = TokenSecret::parse(text) {
        assert_eq!(secret.reveal().as_str(), text);
    }
});
