//! XML: text, attributes, and each way to be wrong.

use proptest::prelude::*;

use crate::body::{BodyError, Bounds, xml};

fn check(input: &[u8], text: &str, attributes: &[&str]) {
    let (parsed, error) = xml(input, &Bounds::default());
    assert_eq!(error, None, "{}", String::from_utf8_lossy(input));
    let mut expect = vec![(b"/*".to_vec(), text.as_bytes().to_vec())];
    expect.extend(attributes.iter().map(|value| (b"//@*".to_vec(), value.as_bytes().to_vec())));
    let told = parsed.pairs.iter().filter(|(name, _)| *name != b"//text()");
    let pairs: Vec<_> = told.map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
    assert_eq!(pairs, expect, "{}", String::from_utf8_lossy(input));
}

#[test]
fn each_text_between_two_tags_is_told() {
    let of = |input: &str, most: usize| {
        let (parsed, error) = xml(input.as_bytes(), &Bounds { pairs_max: most, ..Bounds::default() });
        let texts = parsed.pairs.iter().filter(|(name, _)| *name == b"//text()");
        let texts: Vec<_> = texts.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect();
        (texts, error.is_some())
    };
    let texts = |input: &str| of(input, 9);
    let told =
        |list: &[&str], wrong: bool| (list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>(), wrong);
    assert_eq!(texts("<a>x<b>y</b> z <c/>\n</a>"), told(&["x", "y", " z "], false));
    assert_eq!(texts("<a>x<!-- -->y<![CDATA[<]]>&lt;</a>"), told(&["xy<<"], false));
    assert_eq!(texts("<a>x<b>left"), told(&["x", "left"], true));
    assert_eq!(of("<a>x<b>y</b>z</a>", 2), told(&["x", "y"], true));
}

#[test]
fn text_and_attributes_are_told() {
    check(b"<?xml version=\"1.0\"?><a b='1' c=\"2\"><d>x</d> y<e f=''/></a>", "x y", &["1", "2", ""]);
    check(b"\xef\xbb\xbf<a>&lt;script&gt;&#65;&#x42;&amp;</a>", "<script>AB&", &[]);
    check(b"<a><![CDATA[<b>&amp;]]><!-- no --><?p no?></a>", "<b>&amp;", &[]);
    check(b"<a b='x&#10;y\nz'/>\n<!-- end -->\n", "", &["x\ny z"]);
    check(b"<s:a xmlns:s='urn:x' xmlns='urn:y' s:b='z'/>", "", &["z"]);
    check(b"<?xml version='1.0' encoding='ISO-8859-1'?><a>x</a>", "x", &[]);
}

#[test]
fn utf_16_is_read() {
    let text = "<a b='é'>x</a>";
    let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    check(&little, "x", &["é"]);
    check(&[b"\xfe\xff".as_slice(), &big].concat(), "x", &["é"]);
}

#[test]
fn what_is_wrong_ends_the_reading() {
    for wrong in [
        "",
        "x",
        "<a>",
        "<a></b>",
        "<a/><b/>",
        "<a/>x",
        "<a b></a>",
        "<a b=1/>",
        "<a b='1' b='2'/>",
        "<a b='<'/>",
        "<a>&nbsp;</a>",
        "<a>&#xd800;</a>",
        "<a>&#;</a>",
        "<a>&lt</a>",
        "<a><!-- -- --></a>",
        "<a><!-- </a>",
        "<a><![CDATA[</a>",
        "<1/>",
        "<a 'b'/>",
        "<a b='1'c='2'/>",
        "</a>",
        "<a",
        "<a b='1",
        "<?xml version='1.0' encoding='UTF-7'?><a/>",
        "<a><!ELEMENT b></a>",
        "<a/><!DOCTYPE a>",
    ] {
        let (_, error) = xml(wrong.as_bytes(), &Bounds::default());
        assert!(matches!(error, Some(BodyError::Malformed { format: "XML", .. })), "{wrong:?}: {error:?}");
    }
    assert!(xml(b"<a>\xff</a>", &Bounds::default()).1.is_some());
    assert!(xml(b"<\0a", &Bounds::default()).1.is_some());
}

#[test]
fn declared_entities_are_never_resolved() {
    let bomb = b"<!DOCTYPE a [<!ENTITY b \"x>\"><!ENTITY c SYSTEM 'file:///etc/passwd'>]><a>y&c;&b;</a>";
    let (parsed, error) = xml(bomb, &Bounds::default());
    assert!(error.is_some());
    assert_eq!(parsed.pairs.get(0), Some((b"/*".as_slice(), b"y".as_slice())));
    // A document type alone is told, and the text is still looked at.
    let (parsed, error) = xml(b"<!DOCTYPE a SYSTEM \"http://e/x.dtd\"><a>text</a>", &Bounds::default());
    assert!(error.unwrap().to_string().contains("document type"));
    assert_eq!(parsed.pairs.get(0), Some((b"/*".as_slice(), b"text".as_slice())));
}

#[test]
fn bounds_hold() {
    let bounds = Bounds { pairs_max: 2, depth_max: 2, bytes_max: 100 };
    assert_eq!(xml(b"<a><b/></a>", &bounds).1, None);
    assert_eq!(xml(b"<a><b><c/></b></a>", &bounds).1, Some(BodyError::TooDeep { max: 2 }));
    assert_eq!(xml(b"<a b='' c=''/>", &bounds).1, None);
    assert_eq!(xml(b"<a b='' c='' d=''/>", &bounds).1, Some(BodyError::TooMany { max: 2 }));
}

proptest! {
    #[test]
    fn hostile_bytes_end_in_an_answer(input in "[<>&;a=\"'/ !\\-\\[\\]?#x1DOCTYPE]{0,60}") {
        let (parsed, _) = xml(input.as_bytes(), &Bounds { pairs_max: 3, depth_max: 3, bytes_max: 100 });
        prop_assert!(parsed.pairs.len() <= 4 && parsed.pairs.bytes() <= 200);
    }
}
