//! What rules an injection out beforehand never differs from the whole look.

use proptest::prelude::*;

use super::{XSS_BYTES, is_plain, sqli, words::WORDS, xss};

fn whole_sqli(text: &[u8]) -> bool {
    libinjectionrs::detect_sqli(text).is_injection()
}

#[test]
fn injections_are_found_and_prose_is_not() {
    for text in ["1' OR '1'='1", "1 UNION SELECT password FROM users", "admin'--"] {
        assert!(sqli(text.as_bytes()).is_some(), "{text}");
    }
    for text in ["", "garden tools", "watering can, 12.5", "John-Paul", "2026-11-24", "a/b/c.html", "Zürich"]
    {
        assert!(is_plain(text.as_bytes()), "{text}");
        assert!(sqli(text.as_bytes()).is_none(), "{text}");
    }
    assert!(xss(b"<script>") && xss(b"x onclick=alert") && !xss(b"onclick"));
}

#[test]
fn words_are_in_order_and_each_is_seen() {
    assert!(WORDS.is_sorted());
    for word in WORDS {
        assert!(!is_plain(word.as_bytes()) && !is_plain(word.to_lowercase().as_bytes()), "{word}");
    }
}

fn words() -> impl Strategy<Value = String> {
    // The table also holds the fingerprints, which begin with 0.
    let table = libinjectionrs::sqli::sqli_data::SQL_KEYWORDS.iter();
    let known: Vec<&str> = table.map(|one| one.word).filter(|word| !word.starts_with('0')).collect();
    prop_oneof![
        (0..known.len()).prop_map(move |at| known[at].to_owned()),
        "[a-zA-Z_.]{1,6}",
        "[0-9.]{1,4}",
        "[0-9a-fxeEd.]{1,6}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn a_plain_text_is_no_sql_injection(
        parts in proptest::collection::vec((words(), "[ ,.+/\\-\t]{0,2}"), 0..9),
    ) {
        let text: String = parts.iter().flat_map(|(word, gap)| [word.as_str(), gap.as_str()]).collect();
        prop_assert!(!is_plain(text.as_bytes()) || !whole_sqli(text.as_bytes()), "{text}");
    }

    #[test]
    fn a_text_without_angle_and_equals_is_no_scripting(text in "[ -;>-~\t\n\\x00]{0,40}") {
        prop_assert!(text.bytes().any(|byte| XSS_BYTES.contains(&byte))
            || !libinjectionrs::detect_xss(text.as_bytes()).is_injection(), "{text}");
    }
}
