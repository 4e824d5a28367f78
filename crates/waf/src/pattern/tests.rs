use super::*;

fn matches(pattern: &str, text: &[u8]) -> bool {
    Patterns::default().compile(pattern, false).unwrap().is_match(text)
}

#[test]
fn patterns_mean_what_pcre_means() {
    for (pattern, text, expect) in [
        (r"a$", b"a\n".as_slice(), false),
        (r"a.b", b"a\nb", true),
        (r"[a[]b", b"[b", true),
        (r"[\w-.]x", b"-x", true),
        (r"^[+--]$", b",", true),
        (r"[]a]", b"]", true),
        (r"\<b\>", b"<b>", true),
        (r"\x{ff}", b"\xff", true),
        ("é", "é".as_bytes(), true),
        (r"a{,3}", b"a{,3}", true),
        (r"x\Q.*\Ey", b"x.*y", true),
        (r"[[:digit:]&&a]", b"&", true),
        (r"[\s\x0b-\x22]", b"!", true),
        (r"\101", b"A", false),
        (r"\071", b"9", true),
        (r"[~~]", b"~", true),
        (r"(?i)ABC\b", b"xabc", true),
        (r"[a\-z]", b"b", false),
    ] {
        if pattern == r"\101" {
            assert!(Patterns::default().compile(pattern, false).is_err());
            continue;
        }
        assert_eq!(matches(pattern, text), expect, "{pattern}");
    }
}

#[test]
fn what_is_no_pattern_here_is_refused() {
    for pattern in [
        r"\p{L}",
        r"a\G",
        r"[a",
        r"(?R)",
        r"(*COMMIT)",
        r"(a)\11",
        r"(?<n>a)\k<n>",
        r"(?<=a+)b(?=",
        r"(?(1)a)",
    ] {
        assert!(Patterns::default().compile(pattern, false).is_err(), "{pattern}");
    }
}

/// What PCRE answers to what only a backtracking engine can match.
#[test]
fn lookaround_backreferences_and_atoms_mean_what_pcre_means() {
    for (pattern, text, expect) in [
        (r"<\?(?!xml)", b"<?php".as_slice(), true),
        (r"<\?(?!xml)", b"<?xml", false),
        (r"(?<!&amp|&lt);", b"a&amp;", false),
        (r"(?<!&amp|&lt);", b"a;", true),
        (r"(?<=\xe4)\xff", b"\xe4\xff", true),
        (r"(?<=\xe4)\xff", b"\xe5\xff", false),
        (r"(?i)\b(\w+)\b=\1", b"ab=AB", true),
        (r"\b(\w+)\b=\1\b", b"ab=abc", false),
        (r"\s*+;\s*+x", b"  ; x", true),
        (r"a++a", b"aaa", false),
        (r"(?>a|ab)c", b"abc", false),
        (r"a.(?=c)", b"a\nc", true),
        (r"a$(?!b)", b"a\n", false),
        (r"a\Z", b"a\n", true),
        (r"a\Z", b"a", true),
        (r"a\Z", b"a\n\n", false),
        (r"[^a](?=[\x80-\xff])", b"\x90\xf0", true),
    ] {
        assert_eq!(matches(pattern, text), expect, "{pattern}");
    }
}

/// A search that goes back too often is given up, and says so.
#[test]
fn backtracking_is_bounded() {
    let pattern = Patterns::default().compile(r"(a|a)*(?=b)c", false).unwrap();
    assert_eq!(pattern.search(&[b'a'; 5000]), Err(Exceeded));
    assert_eq!(pattern.search(b"aab"), Ok(false));
    for large in [r"(?=(a{1000}){1000})x", r"(?=((a{1000}){1000}){1000})x", r"(?:(a)(?=b)){1000}{1000}"] {
        assert!(Patterns::default().compile(large, false).is_err(), "{large}");
    }
}

#[test]
fn what_would_take_a_program_too_large_is_refused() {
    let mut patterns = Patterns::default();
    let mut refused = |pattern: &str| patterns.compile(pattern, false).err().map(|e| e.to_string());
    let check = [
        ("(a+)+$b", None),
        ("(?:[a-z]{1,255} ){10}", None),
        ("[ab]{5001}", Some("states")),
        ("(a{1000}){1000}", Some("states")),
        ("((((((a{99}){99}){99}){99}){99}){99}){99}", Some("states")),
        ("(?:x{0,1000}){0,1000}", Some("states")),
    ];
    for (pattern, expect) in check {
        match (refused(pattern), expect) {
            (None, None) => {}
            (Some(said), Some(expect)) => assert!(said.contains(expect), "{pattern}: {said}"),
            (found, _) => panic!("{pattern}: {found:?}"),
        }
    }
    assert!(refused(&"ab".repeat(5_001)).is_some_and(|said| said.contains("states")));
}

#[test]
fn many_patterns_are_no_way_around_it() {
    let mut patterns = Patterns::default();
    let found = (0..1_000).find_map(|n| patterns.compile(&format!("x{n}[ab]{{1800}}"), false).err());
    assert!(found.unwrap().to_string().contains("all patterns together"));
}

#[test]
fn what_is_required_is_in_every_match() {
    let check = |pattern: &str| {
        let compiled = Patterns::default().compile(pattern, false).unwrap();
        compiled.required.clone().map(|r| (r.literals, r.bytes))
    };
    let words = |list: &[&str]| list.iter().map(|w| w.as_bytes().to_vec()).collect::<Vec<_>>();
    assert_eq!(check(r"(?i)union\s+select"), Some((words(&["select"]), vec![])));
    assert_eq!(check(r"^[\d]+foo(?:bar|baz)"), Some((words(&["foobar", "foobaz"]), vec![])));
    assert_eq!(check(r"a*"), None);
    assert_eq!(check(r"<[a-z]*"), Some((vec![], vec![b'<'])));
}
