//! Bodies: what they become, and what they must not.

mod json;
mod multipart;
mod xml;

use std::io::Write;

use proptest::prelude::*;

use super::{BodyError, Bounds, Parsed, decompress, urlencoded};

fn check(input: &str, expect: &[(&str, &str)]) -> Parsed {
    let parsed = urlencoded(input.as_bytes(), b'&', &Bounds::default());
    let pairs: Vec<_> = parsed.pairs.iter().collect();
    let expect: Vec<_> = expect.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    assert_eq!(pairs, expect, "{input}");
    parsed
}

#[test]
fn forms_keep_order_and_duplicates() {
    check("a=1&b=2&a=3", &[("a", "1"), ("b", "2"), ("a", "3")]);
    check("a&=x&&b==c", &[("a", ""), ("", "x"), ("b", "=c")]);
    check("a%3db=%41+%26&c", &[("a=b", "A &"), ("c", "")]);
    check("", &[]);
    assert!(!check("a=%41", &[("a", "A")]).invalid_encoding);
    assert!(check("a=%4", &[("a", "%4")]).invalid_encoding);
    assert!(check("%zz=1", &[("%zz", "1")]).invalid_encoding);
}

#[test]
fn forms_over_the_bound_are_told() {
    let bounds = Bounds { pairs_max: 2, ..Bounds::default() };
    assert!(!urlencoded(b"a&b", b'&', &bounds).truncated);
    let parsed = urlencoded(b"a&b&c", b'&', &bounds);
    assert!(parsed.truncated);
    assert_eq!(parsed.pairs.len(), 2);
}

fn gzip(input: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(input).unwrap();
    encoder.finish().unwrap()
}

fn zlib(input: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(input).unwrap();
    encoder.finish().unwrap()
}

fn zstd(input: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(input, ruzstd::encoding::CompressionLevel::Fastest)
}

/// `a=1&b=2 ` fifty times, as Node 20's `zlib.brotliCompressSync` packs it.
const BROTLI: &[u8] = &[
    27, 143, 1, 248, 29, 9, 118, 236, 136, 183, 142, 149, 185, 236, 9, 19, 171, 24, 153, 2, 49, 9, 222, 194,
    1, 66, 113, 1,
];

#[test]
fn packed_bodies_are_unpacked() {
    let bounds = Bounds::default();
    let body = b"a=1&b=2 ".repeat(50);
    assert_eq!(decompress(b"gzip", &gzip(&body), &bounds).unwrap(), body);
    assert_eq!(decompress(b" X-GZIP ", &gzip(&body), &bounds).unwrap(), body);
    assert_eq!(decompress(b"deflate", &zlib(&body), &bounds).unwrap(), body);
    assert_eq!(decompress(b"zstd", &zstd(&body), &bounds).unwrap(), body);
    assert_eq!(decompress(b"br", BROTLI, &bounds).unwrap(), body);
    assert_eq!(decompress(b"deflate, gzip", &gzip(&zlib(&body)), &bounds).unwrap(), body);
    assert_eq!(decompress(b"identity", &body, &bounds).unwrap(), body);
    assert_eq!(decompress(b"", &body, &bounds).unwrap(), body);
}

#[test]
fn bombs_and_broken_streams_are_refused() {
    let bounds = Bounds { bytes_max: 1000, ..Bounds::default() };
    let big = vec![0_u8; 1_000_000];
    for (name, packed) in [("gzip", gzip(&big)), ("deflate", zlib(&big)), ("zstd", zstd(&big))] {
        assert_eq!(
            decompress(name.as_bytes(), &packed, &bounds),
            Err(BodyError::TooLong { max: 1000 }),
            "{name}"
        );
        let small = match name {
            "gzip" => gzip(b"small"),
            "deflate" => zlib(b"small"),
            _ => zstd(b"small"),
        };
        let cut = small.get(..small.len() - 2).unwrap();
        let broken = decompress(name.as_bytes(), cut, &bounds);
        assert!(matches!(broken, Err(BodyError::Malformed { .. })), "{name} cut: {broken:?}");
        let longer = [small.as_slice(), b"a=attack"].concat();
        let broken = decompress(name.as_bytes(), &longer, &bounds);
        assert!(matches!(broken, Err(BodyError::Malformed { .. })), "{name} with more behind: {broken:?}");
    }
    assert!(decompress(b"br", b"no brotli at all", &bounds).is_err());
    assert!(decompress(b"br", BROTLI.get(..20).unwrap(), &bounds).is_err());
    assert_eq!(
        decompress(b"br", BROTLI, &Bounds { bytes_max: 100, ..bounds }),
        Err(BodyError::TooLong { max: 100 })
    );
    assert!(decompress(b"br", &[BROTLI, b"a=attack"].concat(), &bounds).is_err());
    assert_eq!(decompress(b"", &big, &bounds), Err(BodyError::TooLong { max: 1000 }));
    let Err(BodyError::UnknownEncoding { name }) = decompress(b"lzma", b"x", &bounds) else { panic!() };
    assert_eq!(name, "lzma");
    assert_eq!(decompress(b"gzip,gzip,gzip,gzip", b"", &bounds), Err(BodyError::TooDeep { max: 3 }));
}

proptest! {
    /// Hostile bytes end in an answer within the bound, in every encoding.
    #[test]
    fn nothing_is_over_the_bound(input in proptest::collection::vec(any::<u8>(), 0..200)) {
        let bounds = Bounds { bytes_max: 500, ..Bounds::default() };
        for name in ["gzip", "deflate", "br", "zstd"] {
            if let Ok(body) = decompress(name.as_bytes(), &input, &bounds) {
                prop_assert!(body.len() <= 500);
            }
        }
    }
}
