use std::{path::Path, time::Instant};

use model::Limits;
use proptest::prelude::*;

use super::*;

fn guest(name: &str) -> Bytes {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guests/built").join(name);
    Bytes::from(std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

fn manifest(outbound: &[&str]) -> Manifest {
    let mut text = "name = \"f\"\ncomponent = \"f.wasm\"\n".to_owned();
    for url in outbound {
        text.push_str(&format!("[[capabilities.http]]\nurl = \"{url}\"\n"));
    }
    Manifest::parse(&text, &Limits::CEILING).unwrap()
}

/// Admits bytes and compares the world, or the refusal's code and a part of its message.
fn check(bytes: impl Into<Bytes>, expect: Result<World, (&str, &str)>) {
    match (admit(bytes.into(), None, &manifest(&[])), expect) {
        (Ok(admitted), Ok(world)) => assert_eq!(admitted.world(), world),
        (Err(refusal), Err((code, part))) => {
            assert_eq!(refusal.code(), code, "{refusal}");
            assert!(refusal.to_string().contains(part), "`{refusal}` does not say `{part}`");
        }
        (got, expect) => panic!("wanted {expect:?}, got {:?}", got.map(|admitted| admitted.world)),
    }
}

#[test]
fn what_is_admitted() {
    for name in ["hello.wasm", "echo.wasm", "counter.wasm", "outbound.wasm", "loop.wasm"] {
        check(guest(name), Ok(World::P2));
    }
    for name in ["hello-p3.wasm", "echo-p3.wasm", "counter-p3.wasm", "outbound-p3.wasm"] {
        check(guest(name), Ok(World::P3));
    }
}

#[test]
fn what_is_not() {
    check(Bytes::new(), Err(("component-not-wasm", "an empty file")));
    check(guest("core-module.wasm"), Err(("component-core-module", "wasm-tools component new")));
    check(guest("not-wasm.wasm"), Err(("component-not-wasm", "text")));
    check(&b"(component)"[..], Err(("component-not-wasm", "WebAssembly text")));
    check(&b"PK\x03\x04"[..], Err(("component-not-wasm", "an archive")));
    check(&b"\x1f\x8b\x08"[..], Err(("component-not-wasm", "an archive")));
    check(&b"\xff\xfe\x00\x01"[..], Err(("component-not-wasm", "other bytes")));
    check(&b"\x7fELF\x02\x01\x01\x00"[..], Err(("component-precompiled", "never taken")));
    check(&b"\0asm"[..], Err(("component-invalid", "unknown version")));
    check(&b"\0asm\x0e\x00\x01\x00"[..], Err(("component-invalid", "")));
    check(&b"\0asm\x0d\x00\x01\x00"[..], Err(("component-no-handler", "exports nothing")));
    check(guest("no-handler.wasm"), Err(("component-no-handler", "`run`")));
    check(guest("import-ungranted.wasm"), Err(("import-refused", "`acme:thing/do@1.0.0`")));
    check(guest("shared-memory.wasm"), Err(("component-invalid", "threads")));
    let hello = guest("hello.wasm");
    check(hello.slice(..hello.len() - 1), Err(("component-invalid", "at byte")));
    let mut longer = hello.to_vec();
    longer.push(0);
    check(longer, Err(("component-invalid", "at byte")));
}

#[test]
fn a_component_too_large_is_not_even_hashed() {
    let start = Instant::now();
    let bytes = vec![0_u8; usize::try_from(limits::COMPONENT_BYTES_MAX).unwrap() + 1];
    check(bytes, Err(("component-too-large", "strip")));
    assert!(start.elapsed().as_secs() < 120, "it hangs");
}

#[test]
fn the_digest_is_the_bytes_own() {
    let bytes = guest("hello.wasm");
    let digest = keyring::sha256(&bytes);
    let admitted = admit(bytes.clone(), Some(digest), &manifest(&[])).unwrap();
    assert_eq!((admitted.digest(), admitted.bytes()), (&digest, &bytes));
    let other = keyring::sha256(b"other");
    let refusal = admit(bytes, Some(other), &manifest(&[])).unwrap_err();
    assert_eq!(refusal, Refusal::DigestDiffers { claimed: other, found: digest });
    assert!(
        admit(Bytes::from_static(b"x"), Some(other), &manifest(&[]))
            .is_err_and(|refusal| matches!(refusal, Refusal::DigestDiffers { .. }),)
    );
}

#[test]
fn grants_are_imports_and_manifest() {
    let url = "https://example.com/api/...";
    let of = |name, outbound: &[&str]| admit(guest(name), None, &manifest(outbound)).unwrap();
    for (name, import) in
        [("outbound.wasm", "wasi:http/outgoing-handler@0.2"), ("outbound-p3.wasm", "wasi:http/client@0.3")]
    {
        let open = of(name, &[url]);
        assert_eq!(open.grants().outbound.len(), 1);
        assert_eq!(open.findings(), []);
        assert!(!open.grants().closed.iter().any(|c| c.starts_with(import)), "{name}");
        let shut = of(name, &[]);
        assert!(shut.grants().outbound.is_empty());
        assert!(shut.grants().closed.iter().any(|c| c.starts_with(import)), "{name}");
        assert!(matches!(shut.findings(), [Finding::OutboundClosed { .. }]));
    }
    let unused = of("hello.wasm", &[url]);
    assert!(unused.grants().outbound.is_empty(), "a grant that nothing imports is none");
    assert_eq!(unused.findings(), [Finding::UnusedGrant { url: url.into() }]);
}

#[test]
fn what_is_closed_is_named() {
    let grants = admit(guest("kitchen.wasm"), None, &manifest(&[])).unwrap().grants;
    assert!(grants.closed.iter().any(|name| name.starts_with("wasi:cli/environment@")), "{grants:?}");
    assert!(!grants.closed.iter().any(|name| name.starts_with("wasi:http/types@")), "{grants:?}");
    assert!(grants.closed.is_sorted());
}

/// A custom section around `bytes`, or another one by its number.
fn section(id: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![id];
    let mut length = bytes.len();
    while length >= 0x80 {
        out.push((length as u8 & 0x7f) | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(bytes);
    out
}

fn component(sections: &[u8]) -> Vec<u8> {
    [b"\0asm\x0d\x00\x01\x00".as_slice(), sections].concat()
}

#[test]
fn nesting_and_names_are_bounded() {
    let nested = |depth| (0..depth).fold(component(&[]), |inner, _| component(&section(4, &inner)));
    check(nested(20), Err(("component-no-handler", "")));
    check(nested(65), Err(("component-invalid", "nested")));
    check(nested(2_000), Err(("component-invalid", "nested")));
}

#[test]
fn a_nested_component_brings_no_handler_and_no_grant() {
    let outbound = guest("outbound.wasm");
    check(component(&section(4, &outbound)), Err(("component-no-handler", "exports nothing")));
}

fn bounded(bytes: Vec<u8>) {
    let start = Instant::now();
    let got = admit(Bytes::from(bytes), None, &manifest(&["https://example.com/"]));
    if let Err(refusal) = got {
        assert!(refusal.to_string().len() < 2_000);
    }
    assert!(start.elapsed().as_secs() < 120, "it hangs");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn random_bytes_are_refused(tail in proptest::collection::vec(any::<u8>(), 0..2_000), head in 0..4) {
        let head = match head {
            0 => &b""[..],
            1 => b"\0asm\x0d\x00\x01\x00",
            2 => b"\0asm\x01\x00\x00\x00",
            _ => b"\x7fELF",
        };
        bounded([head, &tail].concat());
    }

    #[test]
    fn flipped_bits_do_no_harm(
        flips in proptest::collection::vec((any::<proptest::sample::Index>(), 0_u8..8), 1..20),
        p3 in any::<bool>(),
        early in any::<bool>(),
    ) {
        let mut bytes = guest(if p3 { "hello-p3.wasm" } else { "loop.wasm" }).to_vec();
        let reach = if early { bytes.len().min(4_096) } else { bytes.len() };
        for (at, bit) in flips {
            bytes[at.index(reach)] ^= 1 << bit;
        }
        bounded(bytes);
    }

    #[test]
    fn cut_anywhere_is_refused(at in any::<proptest::sample::Index>()) {
        let bytes = guest("echo.wasm");
        let cut = bytes.slice(..at.index(bytes.len()));
        prop_assert!(admit(cut, None, &manifest(&[])).is_err());
    }
}
