use data_encoding::BASE64;

use super::{spiffe::SpiffeId, *};
use crate::testing::certificates as made;

#[test]
fn every_cut_and_every_changed_byte_has_an_answer() {
    let der = BASE64.decode(made::SPIFFE.as_bytes()).unwrap();
    let names = Names::read(&der).unwrap();
    assert_eq!(names.uris, ["spiffe://prod.example/ns/default/sa/web"]);
    assert_eq!((names.dns, names.common), (vec!["web.example".to_owned()], vec!["web".to_owned()]));
    for end in 0..der.len() {
        assert_eq!(Names::read(&der[..end]), Err(Reason::CertificateMalformed), "cut at {end}");
    }
    let longer = [der.as_slice(), &[0]].concat();
    assert_eq!(Names::read(&longer), Err(Reason::CertificateMalformed));
    for at in 0..der.len() {
        let mut changed = der.clone();
        changed[at] ^= 0x80;
        let _ = Names::read(&changed);
    }
}

#[test]
fn lengths_have_one_form() {
    let read = |bytes: &[u8]| Der::new(bytes).any().map(|(_, value)| value.len());
    assert_eq!(read(&[4, 1, 9]), Some(1));
    assert_eq!(read(&[4, 0x81, 1, 9]), None);
    assert_eq!(read(&[4, 0x80, 9, 0, 0]), None);
    assert_eq!(read(&[4, 2, 9]), None);
    assert_eq!(read(&[0x1f, 0x84, 0x01, 0]), None);
    let long = [&[4, 0x81, 0x80][..], &[0; 0x80]].concat();
    assert_eq!(read(&long), Some(0x80));
    assert_eq!(read(&[4, 0x82, 0, 0x80]), None);
}

/// The examples of SPIFFE-ID §2, and what it forbids.
#[test]
fn spiffe_ids() {
    for good in [
        "spiffe://staging.example.com/payments/mysql",
        "spiffe://k8s-west.example.com/ns/staging/sa/default",
        "spiffe://example.com/9eebccd2-12bf-40a6-b262-65fe0487d453",
        "spiffe://1.2.3.4/service",
        "spiffe://example.org",
    ] {
        assert!(SpiffeId::parse(good).is_some(), "{good}");
    }
    for bad in [
        "",
        "spiffe://",
        "spiffe:///x",
        "SPIFFE://example.com/x",
        "spiffe://Example.com/x",
        "https://example.com/x",
        "spiffe://example.com/",
        "spiffe://example.com/a/",
        "spiffe://example.com//a",
        "spiffe://example.com/a/./b",
        "spiffe://example.com/a/../b",
        "spiffe://example.com/a%20b",
        "spiffe://example.com:8080/a",
        "spiffe://user@example.com/a",
        "spiffe://example.com/a?q",
        "spiffe://example.com/a#f",
        "spiffe://example.com/\u{e4}",
    ] {
        assert!(SpiffeId::parse(bad).is_none(), "{bad}");
    }
    assert!(SpiffeId::parse(&format!("spiffe://{}/x", "a".repeat(256))).is_none());
    assert!(SpiffeId::parse(&format!("spiffe://a/{}", "a".repeat(2048))).is_none());
}
