//! What a message looks like on the wire.

use super::*;

fn delivery() -> Delivery {
    Delivery {
        sequence: 7,
        time: model::Timestamp::from_unix_ms(1_795_000_000_123),
        kind: "signal",
        severity: 4,
        line: "{\"class_uid\":2004,\"x\":\"ü\"}".into(),
    }
}

fn framed(hostname: &str, delivery: &Delivery) -> String {
    let mut out = Vec::new();
    frame(&mut out, hostname, delivery);
    String::from_utf8_lossy(&out).into_owned()
}

#[test]
fn a_message_is_of_rfc_5424_and_as_long_as_it_says() {
    let text = framed("node.example.com", &delivery());
    let (length, message) = text.split_once(' ').unwrap_or_default();
    assert_eq!(length.parse::<usize>().ok(), Some(message.len()), "bytes, not characters");
    let expect = format!(
        "<107>1 2026-11-18T11:06:40.123Z node.example.com casemate {} signal [meta sequenceId=\"7\"][origin \
         software=\"casemate\" swVersion=\"{}\"] {{\"class_uid\":2004,\"x\":\"ü\"}}",
        std::process::id(),
        env!("CARGO_PKG_VERSION"),
    );
    assert_eq!(message, expect);
}

#[test]
fn severities_and_sequences_stay_in_their_ranges() {
    for (severity, priority) in
        [(0, 110), (1, 110), (2, 109), (3, 108), (4, 107), (5, 106), (6, 106), (99, 106)]
    {
        let text = framed("h", &Delivery { severity, ..delivery() });
        assert!(text.contains(&format!(" <{priority}>1 ")), "{severity}: {text}");
    }
    for (sequence, shown) in [(1, 1), (2_147_483_647, 2_147_483_647), (2_147_483_648, 1), (0, 1)] {
        let text = framed("h", &Delivery { sequence, ..delivery() });
        assert!(text.contains(&format!("sequenceId=\"{shown}\"")), "{sequence}: {text}");
    }
}

#[test]
fn a_header_field_has_no_space_and_no_line() {
    for (text, expect) in [("a b\nc", "abc"), ("", "-"), ("ü", "-"), ("0123456789", "0123456")] {
        assert_eq!(header(text, 7), expect);
    }
}
