//! A sealed value: what this key did not seal in this place does not open. It never shows a key.
#![no_main]

use std::sync::LazyLock;

use keyring::{Place, Purpose, RootKey, SystemEntropy, TenantKeys};
use libfuzzer_sys::fuzz_target;

static KEYS: LazyLock<TenantKeys> = LazyLock::new(|| {
    let root = RootKey::ephemeral(&SystemEntropy).expect("a root key");
    TenantKeys::create(&root, None, &SystemEntropy).expect("keys")
});

fuzz_target!(|data: &[u8]| {
    let (key, place) = (KEYS.purpose(Purpose::Data), Place { space: "fuzz", key: b"1" });
    // Bytes from without never open: that would be a forgery.
    assert!(key.open(place, data).is_err());
    let sealed = key.seal(place, data, &SystemEntropy).expect("sealed");
    assert_eq!(key.open(place, &sealed).as_deref(), Ok(data));
    // Nor does it with one bit turned, or in another place.
    let mut bent = sealed.clone();
    let at = data.first().map_or(0, |byte| usize::from(*byte) % bent.len());
    bent[at] ^= 1;
    assert!(key.open(place, &bent).is_err());
    assert!(key.open(Place { space: "fuzz", key: data }, &sealed).is_err() || data == b"1");
});
