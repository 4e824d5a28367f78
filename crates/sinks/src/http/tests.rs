//! What each status means for a batch, how one is written, and which token files are taken.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn answered(status: u16, retry_after: Option<&'static str>) -> Result<(), NotTaken> {
    let mut headers = HeaderMap::new();
    if let Some(text) = retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static(text));
    }
    outcome(StatusCode::from_u16(status).unwrap(), &headers)
}

#[test]
fn a_status_says_whether_the_batch_is_taken_waits_or_is_lost() {
    for status in [200, 201, 202, 204] {
        assert_eq!(answered(status, None), Ok(()));
    }
    for status in [301, 307, 401, 403, 404, 408, 429, 500, 502, 503, 504, 599] {
        assert!(matches!(answered(status, None), Err(NotTaken::Later(_, None))), "{status}");
    }
    for status in [400, 405, 409, 415, 422] {
        assert!(matches!(answered(status, None), Err(NotTaken::Never(_))), "{status}");
    }
    assert!(matches!(answered(413, None), Err(NotTaken::TooLarge(_))));
}

#[test]
fn a_receiver_says_when_to_come_again_within_the_bound() {
    let most = Duration::from_millis(limits::SINK_RETRY_MS_MAX);
    for (text, expect) in [
        ("2", Some(Duration::from_secs(2))),
        ("0", Some(Duration::ZERO)),
        ("999999999", Some(most)),
        ("18446744073709551615", Some(most)),
        ("-1", None),
        ("soon", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
    ] {
        for status in [429, 503] {
            let Err(NotTaken::Later(_, after)) = answered(status, Some(text)) else { unreachable!() };
            assert_eq!(after, expect, "{text}");
        }
    }
}

fn one(line: &str) -> Delivery {
    let time = model::Timestamp::from_unix_ms(0);
    Delivery { sequence: 1, time, kind: "node", severity: 1, line: line.to_owned() }
}

/// Hands lines over to a receiver that takes at most some bytes at once. What it took, and what came of it.
fn sent(lines: &[&str], most: usize, refuses: &str) -> (String, Result<(), SinkError>) {
    let batch: Vec<Delivery> = lines.iter().map(|line| one(line)).collect();
    let (mut taken, mut halves) = (String::new(), Halves::of(&batch));
    while let Some(part) = halves.next_part() {
        let text: String = part.iter().map(|one| one.line.as_str()).collect();
        let done = if text.len() > most {
            Err(NotTaken::TooLarge("too large".into()))
        } else if text == refuses {
            Err(NotTaken::Never("bad".into()))
        } else if text.contains('!') {
            Err(not_now("busy"))
        } else {
            taken.push_str(&text);
            Ok(())
        };
        if let Err(error) = halves.came_to(part, done) {
            return (taken, Err(error));
        }
    }
    (taken, halves.ended())
}

#[test]
fn a_batch_that_is_too_large_goes_in_parts_and_in_order() {
    let lines = ["a", "b", "c", "d", "e", "f", "g"];
    for most in 1..=8 {
        assert_eq!(sent(&lines, most, ""), ("abcdefg".into(), Ok(())), "{most}");
    }
    // One that is too large alone is lost, alone.
    let (taken, done) = sent(&["a", "b", "ccc", "d"], 2, "");
    assert_eq!((&*taken, done), ("abd", Err(SinkError::Never { why: "too large".into(), lost: 1 })));
    let (taken, done) = sent(&["a", "b", "c", "d"], 2, "cd");
    assert_eq!((&*taken, done), ("ab", Err(SinkError::Never { why: "bad".into(), lost: 2 })));
    let (taken, done) = sent(&["a", "b", "c", "!"], 2, "");
    assert_eq!((&*taken, done), ("ab", Err(SinkError::Later { why: "busy".into(), after: None })));
}

#[test]
fn a_batch_is_lines_or_an_array() {
    let batch = [one("{\"a\":1}"), one("{\"a\":2}")];
    assert_eq!(body(Format::Ndjson, &batch), ("application/x-ndjson", Bytes::from("{\"a\":1}\n{\"a\":2}\n")));
    assert_eq!(body(Format::Json, &batch), ("application/json", Bytes::from("[{\"a\":1},{\"a\":2}]")));
}

#[test]
fn only_a_private_token_file_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    let write = |text: &str, mode: u32| {
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        token(&path)
    };
    assert_eq!(write("abc\n", 0o600).unwrap().to_str().unwrap(), "Bearer abc");
    for (text, mode) in [("abc", 0o640), ("abc", 0o604), ("a\nb", 0o600), (&*"x".repeat(20_000), 0o600)] {
        write(text, mode).unwrap_err();
    }
    assert!(token(&folder.path().join("none")).is_err());
}
