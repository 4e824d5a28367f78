//! What every transformation keeps to, and the answers of ModSecurity that the public vectors do not ask for.

use std::borrow::Cow;

use proptest::prelude::*;

use super::{Transformation, Triggers};

fn check(name: &str, input: &[u8], expect: &[u8]) {
    let output = Transformation::parse(name).unwrap().apply(input);
    assert_eq!(
        output,
        expect,
        "{name} of {input:?}: {} not {}",
        output.escape_ascii(),
        expect.escape_ascii()
    );
}

#[test]
fn names_are_known_in_any_case() {
    assert_eq!(Transformation::all().count(), 35);
    for each in Transformation::all() {
        assert_eq!(Transformation::parse(&each.name().to_uppercase()), Some(each));
    }
    assert_eq!(Transformation::parse("normalizePath"), Some(Transformation::NormalisePath));
    assert_eq!(Transformation::parse("none"), None);
    assert_eq!(Transformation::parse("rot13"), None);
}

#[test]
fn broken_encodings_stand_as_they_are() {
    check("urlDecode", b"%4", b"%4");
    check("urlDecode", b"%zz%41", b"%zzA");
    check("urlDecodeUni", b"%u00", b"%u00");
    check("urlDecodeUni", b"%uff1cscript%uFF1E", b"<script>");
    check("htmlEntityDecode", b"&#;&#x;&;&unknown;&#", b"&#;&#x;&;&unknown;&#");
    check("htmlEntityDecode", b"&#60;&#x3Cb&ltx&lt;&LT&nbsp;&#99999999999999999999;", b"<\xcb&ltx<<\xa0\xff");
    check("jsDecode", br"\u003cb\x3e\74\777\q", b"<b><\x3f7q");
    check("escapeSeqDecode", br"\x3c\x3\777\z\", b"<x3\xffz\\");
    check("cssDecode", b"\\3c script\\", b"<script");
    check("cssDecode", b"\\ff1c x\\\nz", b"<xz");
    check("base64Decode", b"PHNjcmlwdD4=junk", b"<script>");
    check("base64Decode", b"PHNj!cmlw", b"<sc");
    check("base64DecodeExt", b"P.HNjc mlwdD4", b"<script>");
    check("sqlHexDecode", b"id=0x414243,0xZZ 0x4", b"id=ABC,0xZZ 0x4");
    check("utf8toUnicode", b"<\xef\xbc\x9c\xc0\xbc\xf5\x80", b"<%uff1c%u003c\xc0\xf5\x80");
    check("utf8toUnicode", b"a\0b\xe2\x82", b"ab\x82");
}

#[test]
fn paths_are_walked_as_modsecurity_walks_them() {
    for (input, expect) in [
        ("/foo/../bar", "/bar"),
        ("/../../etc/passwd", "/etc/passwd"),
        ("../../etc/passwd", "../../etc/passwd"),
        ("./a/./b/.", "a/b"),
        ("a//b///c", "a/b/c"),
        ("/a/b/..", "/a"),
        // As in ModSecurity: no slash was at the end, so none stays.
        ("/a/..", ""),
        ("a/../..", ".."),
    ] {
        check("normalisePath", input.as_bytes(), expect.as_bytes());
    }
    check("normalisePathWin", br"\a\..\windows\.\win.ini", b"/windows/win.ini");
}

proptest! {
    /// No trigger byte: the same bytes. Always: no more than the bound.
    #[test]
    fn triggers_and_bounds_hold(input in noisy()) {
        for each in Transformation::all() {
            let output = each.apply(&input);
            prop_assert!(output.len() <= each.bytes_max(input.len()), "{each:?} grew to {}", output.len());
            let quiet = match each.triggers() {
                Triggers::Always => continue,
                Triggers::Bytes(set) => !input.iter().any(|byte| set.contains(*byte)),
                Triggers::Ends(set) => {
                    !input.first().into_iter().chain(input.last()).any(|byte| set.contains(*byte))
                }
            };
            if quiet {
                prop_assert_eq!(&output, &input, "{:?}", each);
                prop_assert!(matches!(output, Cow::Borrowed(_)), "{:?} copied", each);
            }
        }
    }

    /// Without its trigger bytes a value never changes, also where random input would rarely be quiet.
    #[test]
    fn quiet_values_stay(input in noisy()) {
        for each in Transformation::all() {
            let Triggers::Bytes(set) = each.triggers() else { continue };
            let quiet: Vec<u8> = input.iter().copied().filter(|byte| !set.contains(*byte)).collect();
            prop_assert!(matches!(each.apply(&quiet), Cow::Borrowed(same) if same == quiet), "{:?}", each);
        }
    }

    /// What an encoder made, its decoder takes back.
    #[test]
    fn encoders_and_decoders_agree(input in noisy()) {
        for (encode, decode) in [
            (Transformation::Base64Encode, Transformation::Base64Decode),
            (Transformation::Base64Encode, Transformation::Base64DecodeExt),
            (Transformation::HexEncode, Transformation::HexDecode),
            (Transformation::UrlEncode, Transformation::UrlDecode),
            (Transformation::UrlEncode, Transformation::UrlDecodeUni),
        ] {
            let encoded = encode.apply(&input).into_owned();
            prop_assert_eq!(decode.apply(&encoded), input.as_slice());
        }
    }
}

/// Bytes of which many mean something to a decoder.
fn noisy() -> impl Strategy<Value = Vec<u8>> {
    let special = proptest::sample::select(b"%+\\&#;xXuU0123fF/*-<!>. \t\n\"'^,(\0\xa0\xc2\xe2\x82".to_vec());
    proptest::collection::vec(prop_oneof![special, any::<u8>()], 0..64)
}
