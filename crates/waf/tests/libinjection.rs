//! What libinjection's C library answers to texts of CRS's tests and mutations of them, beside what ours does.
//! `bench/waf/libinjection.c` says how the answers were written down.
#![expect(clippy::unwrap_used, reason = "tests")]

use waf::injection::{Fingerprint, sqli, xss};

const ANSWERS: &str = include_str!("libinjection.txt");

/// `\xHH` as bytes.
fn unescaped(text: &str) -> Vec<u8> {
    let mut parts = text.split("\\x");
    let mut bytes = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at(2);
        bytes.push(u8::from_str_radix(digits, 16).unwrap());
        bytes.extend_from_slice(rest.as_bytes());
    }
    bytes
}

#[test]
fn injections_are_what_the_c_library_says_they_are() {
    let (mut differences, mut injections) = (Vec::new(), (0, 0));
    for line in ANSWERS.lines() {
        let mut fields = line.split('\t');
        let (text, print, script) =
            (fields.next().unwrap(), fields.next().unwrap().as_bytes(), fields.next().unwrap() == "x");
        let bytes = unescaped(text);
        let ours = sqli(&bytes);
        let ours = ours.as_ref().map_or(&b"-"[..], Fingerprint::as_bytes);
        injections.0 += usize::from(print != b"-");
        injections.1 += usize::from(script);
        if ours != print || xss(&bytes) != script {
            differences.push(format!("{line}: ours {} {}", ours.escape_ascii(), xss(&bytes)));
        }
    }
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
    assert!(injections.0 > 500 && injections.1 > 500, "{injections:?} injections were asked about");
}
