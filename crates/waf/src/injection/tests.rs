//! What rules scripting out beforehand never differs from the whole look. The C library's answers stand in
//! `tests/libinjection.rs`.

use proptest::prelude::*;

use super::{XSS_BYTES, is_one_token, sqli, xss, xss::detect};

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

/// Words that mean something to SQL are of its keywords, and each of them alone is none the less no injection.
#[test]
fn no_keyword_alone_is_an_injection() {
    let mut asked = 0;
    // Each line begins with the kind of token.
    let words = include_str!("keywords.txt").lines().filter_map(|line| line.get(1..));
    for word in words.filter(|word| is_one_token(word.as_bytes())) {
        for text in [word.to_owned(), word.to_ascii_lowercase()] {
            assert!(super::sqli::detect(text.as_bytes()).is_none(), "{text}");
        }
        asked += 1;
    }
    assert!(asked > 400, "only {asked} words");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn one_token_is_no_injection(word in "[A-Za-z][A-Za-z0-9_]{0,40}|[0-9]{0,40}") {
        prop_assert!(is_one_token(word.as_bytes()));
        prop_assert!(super::sqli::detect(word.as_bytes()).is_none(), "{word}");
    }

    #[test]
    fn a_text_without_angle_and_equals_is_no_scripting(text in "[ -;>-~\t\n\\x00]{0,40}") {
        prop_assert!(text.bytes().any(|byte| XSS_BYTES.contains(&byte))
            || !detect(text.as_bytes()), "{text}");
    }
}
