//! Bytes that claim to be a component: refused, or admitted with nothing granted that the manifest does not
//! name. It never compiles them.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use model::{Limits, Manifest};

const MANIFEST: &str = "name = \"hello\"\ncomponent = \"hello.wasm\"\n\
    [[capabilities.http]]\nurl = \"https://api.example/v1/...\"\n";

fuzz_target!(|data: &[u8]| {
    let manifest = Manifest::parse(MANIFEST, &Limits::CEILING).expect("a manifest");
    if let Ok(admitted) = admission::admit(Bytes::copy_from_slice(data), None, &manifest) {
        assert_eq!(admitted.bytes(), data);
        assert_eq!(*admitted.digest(), keyring::sha256(data));
        assert!(admitted.grants().outbound.iter().all(|grant| manifest.capabilities.http.contains(grant)));
    }
});
