//! The header before a forwarded connection: what is taken has a source or speaks for itself, and no byte of it can be
//! left out. It never reads from a connection.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shield::proxy::{FIXED_BYTES, Proxied, parse, rest_bytes};

fuzz_target!(|data: &[u8]| {
    let Some((fixed, rest)) = data.split_first_chunk::<FIXED_BYTES>() else { return };
    let taken = parse(fixed, rest);
    let Ok(taken) = taken else { return };
    assert_eq!(rest_bytes(fixed), Ok(rest.len()));
    assert!(fixed.len() + rest.len() <= model::limits::PROXY_HEADER_BYTES_MAX);
    if let Proxied::Source(source) = taken {
        assert_eq!(source.ip(), source.ip().to_canonical());
    }
    if let Some((_, shorter)) = rest.split_last() {
        assert!(parse(fixed, shorter).is_err());
    }
});
