//! JSON: names, values, and each way to be wrong.

use proptest::prelude::*;

use crate::body::{BodyError, Bounds, Parsed, json};

fn check(input: &str, expect: &[(&str, &str)]) -> Parsed {
    let (parsed, error) = json(input.as_bytes(), &Bounds::default());
    assert_eq!(error, None, "{input}");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let pairs: Vec<_> = parsed.pairs.iter().map(|(name, value)| (text(name), text(value))).collect();
    let expect: Vec<_> = expect.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    assert_eq!(pairs, expect, "{input}");
    parsed
}

#[test]
fn names_are_those_of_modsecurity_3() {
    check(
        r#"{"a":1,"b":{"c":"x","d":[true,null]}}"#,
        &[("json.a", "1"), ("json.b.c", "x"), ("json.b.d.array_0", "true"), ("json.b.d.array_1", "")],
    );
    check(
        r#" [ [1 , 2.5e+3] , {"a":"b"} , -0 ] "#,
        &[
            ("json.array_0.array_0", "1"),
            ("json.array_0.array_1", "2.5e+3"),
            ("json.array_1.a", "b"),
            ("json.array_2", "-0"),
        ],
    );
    check("\"x\"", &[("json", "x")]);
    check(r#"{"":1}"#, &[("json.empty-key", "1")]);
}

#[test]
fn names_of_what_is_empty_are_told() {
    check(r#"{"<script>":{},"b":[]}"#, &[("json.<script>", ""), ("json.b", "")]);
    check("{}", &[]);
    check("[{},[[]]]", &[("json.array_0", ""), ("json.array_1.array_0", "")]);
}

#[test]
fn strings_are_decoded() {
    check(
        r#"["\u0041\n\/\\\"","\ud83d\ude00","\ud800","\u0000é"]"#,
        &[
            ("json.array_0", "A\n/\\\""),
            ("json.array_1", "😀"),
            ("json.array_2", "\u{fffd}"),
            ("json.array_3", "\0é"),
        ],
    );
}

#[test]
fn a_key_twice_is_told() {
    assert!(check(r#"{"a":1,"\u0061":2}"#, &[("json.a", "1"), ("json.a", "2")]).duplicate_keys);
    assert!(
        !check(r#"[{"a":1},{"a":2}]"#, &[("json.array_0.a", "1"), ("json.array_1.a", "2")]).duplicate_keys
    );
}

#[test]
fn what_is_wrong_ends_the_reading_and_keeps_what_came_before() {
    for wrong in [
        "",
        " ",
        "{",
        "[1",
        "[1,]",
        "[1 2]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{'a':1}",
        "[01]",
        "[1.]",
        "[.5]",
        "[+1]",
        "[1e]",
        "[-]",
        "tru",
        "[nul]",
        "\"a",
        "\"\\x\"",
        "\"\\u12\"",
        "\"a\nb\"",
        "[1]x",
        "{} {}",
        "]",
        "[1}",
        "NaN",
        "\u{feff}[]",
        "/**/[]",
    ] {
        let (_, error) = json(wrong.as_bytes(), &Bounds::default());
        assert!(matches!(error, Some(BodyError::Malformed { format: "JSON", .. })), "{wrong:?}: {error:?}");
    }
    assert!(json(b"[\"\xff\"]", &Bounds::default()).1.is_some());
    let (parsed, error) = json(br#"{"a":"attack","b":oops}"#, &Bounds::default());
    assert!(error.is_some());
    assert_eq!(parsed.pairs.get(0), Some((b"json.a".as_slice(), b"attack".as_slice())));
}

#[test]
fn bounds_hold() {
    let bounds = Bounds { pairs_max: 3, depth_max: 2, bytes_max: 100 };
    assert_eq!(json(b"[[1]]", &bounds).1, None);
    assert_eq!(json(b"[[[1]]]", &bounds).1, Some(BodyError::TooDeep { max: 2 }));
    assert_eq!(json(b"[1,2,3,4]", &bounds).1, Some(BodyError::TooMany { max: 3 }));
    let long = format!("{{\"{}\":[1,2,3]}}", "k".repeat(150));
    assert_eq!(json(long.as_bytes(), &bounds).1, Some(BodyError::TooLong { max: 400 }));
}

proptest! {
    /// Whoever else reads the same document finds the same: what serde_json takes is taken, and the reverse.
    #[test]
    fn validity_is_that_of_another_reader(input in "[\\[\\]{}:,\"a1e.\\-\\\\u0 tn]{0,24}") {
        let ours = json(input.as_bytes(), &Bounds::default()).1.is_none();
        let theirs = serde_json::from_str::<serde_json::Value>(&input).is_ok();
        // serde_json refuses half of a surrogate pair and numbers beyond a double; both are still JSON.
        prop_assert!(ours == theirs || ours && (input.contains("\\u") || input.contains('e')), "{input}");
    }

    #[test]
    fn hostile_bytes_end_in_an_answer(input in proptest::collection::vec(any::<u8>(), 0..300)) {
        let (parsed, _) = json(&input, &Bounds { pairs_max: 10, depth_max: 5, bytes_max: 100 });
        prop_assert!(parsed.pairs.len() <= 10 && parsed.pairs.bytes() <= 400 && parsed.depth <= 5);
    }
}
