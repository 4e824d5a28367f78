//! A manifest's text: refused, or within every bound. It never reads a file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::{Limits, Manifest, Timestamp};

fuzz_target!(|text: &str| {
    let Ok(manifest) = Manifest::parse(text, &Limits::CEILING) else { return };
    assert_eq!(manifest.limits.outside(&Limits::CEILING), None);
    assert!(!manifest.routes.is_empty());
    let _ = manifest.check_waiver(Timestamp::from_unix_ms(1_800_000_000_000));
});
