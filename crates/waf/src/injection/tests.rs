//! What rules scripting out beforehand never differs from the whole look. The C library's answers stand in
//! `tests/libinjection.rs`.

use proptest::prelude::*;

use super::{XSS_BYTES, sqli, xss, xss::detect};

#[test]
fn injections_are_found_and_prose_is_not() {
    for (text, print) in [
        ("1' OR '1'='1", "s&sos"),
        ("1 UNION SELECT password FROM users", "1UEnk"),
        ("admin'--", "sc"),
        ("1 or sleep(5)#", "1&f(1"),
    ] {
        let found = sqli(text.as_bytes());
        assert_eq!(found.as_ref().map(super::Fingerprint::as_bytes), Some(print.as_bytes()), "{text}");
    }
    for text in ["", "garden tools", "watering can, 12.5", "John-Paul", "2026-11-24", "a/b/c.html", "Zürich"]
    {
        assert!(sqli(text.as_bytes()).is_none(), "{text}");
    }
    assert!(xss(b"<script>") && xss(b"x onclick=alert") && !xss(b"onclick"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn a_text_without_angle_and_equals_is_no_scripting(text in "[ -;>-~\t\n\\x00]{0,40}") {
        prop_assert!(text.bytes().any(|byte| XSS_BYTES.contains(&byte))
            || !detect(text.as_bytes()), "{text}");
    }
}
