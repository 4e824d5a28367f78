//! Clients whose bodies have two lengths, none, or no end.

use std::time::Instant;

use crate::line::{PATIENCE, Site};

/// A body whose length two readers could take differently. Nothing of it is ever a request.
#[test]
fn conflicting_lengths() {
    let site = Site::start();
    let post = |lines: &str, body: &str| format!("{}{lines}\r\n\r\n{body}", site.head("POST /echo"));
    for (lines, body, status, code) in [
        ("content-length: 5\r\ntransfer-encoding: chunked", "0\r\n\r\n", 400, "framing-ambiguous"),
        ("transfer-encoding: chunked\r\ncontent-length: 5", "0\r\n\r\n", 400, "framing-ambiguous"),
        ("content-length: 0\r\nTransfer-Encoding: Chunked", "0\r\n\r\n", 400, "framing-ambiguous"),
        ("content-length: 3\r\ncontent-length: 4", "abc", 400, "framing-ambiguous"),
        ("content-length: 0\r\ncontent-length: 44", "", 400, "framing-ambiguous"),
        ("transfer-encoding: chunked\r\ntransfer-encoding: chunked", "0\r\n\r\n", 400, "framing-ambiguous"),
        ("transfer-encoding: chunked\r\ntransfer-encoding: x", "0\r\n\r\n", 400, "framing-ambiguous"),
        ("content-length: 3, 3", "abc", 400, "length-malformed"),
        ("content-length: 3, 4", "abc", 400, "length-malformed"),
        ("content-length: +3", "abc", 400, "length-malformed"),
        ("content-length: -3", "abc", 400, "length-malformed"),
        ("content-length: 0x3", "abc", 400, "length-malformed"),
        ("content-length: 3 3", "abc", 400, "length-malformed"),
        ("content-length:", "", 400, "length-malformed"),
        ("content-length: 99999999999999999999", "", 400, "length-malformed"),
        ("content-length : 3", "abc", 400, "head-malformed"),
        ("transfer-encoding : chunked", "0\r\n\r\n", 400, "head-malformed"),
        ("transfer-encoding: \u{b}chunked", "0\r\n\r\n", 400, "head-malformed"),
        ("x: y\n transfer-encoding: chunked", "0\r\n\r\n", 400, "head-malformed"),
        ("transfer-encoding:\r\n chunked", "0\r\n\r\n", 400, "head-malformed"),
        ("transfer-encoding: gzip", "0\r\n\r\n", 501, "coding-refused"),
        ("transfer-encoding: gzip, chunked", "0\r\n\r\n", 501, "coding-refused"),
        ("transfer-encoding: chunked, identity", "0\r\n\r\n", 501, "coding-refused"),
        ("transfer-encoding: xchunked", "0\r\n\r\n", 501, "coding-refused"),
    ] {
        site.refuses(post(lines, body), status, code);
    }
    let older = site.head("POST /echo").replace("HTTP/1.1", "HTTP/1.0");
    site.refuses(older + "transfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400, "framing-ambiguous");
    assert_eq!(site.runs(), 0, "a request with two lengths was run, or one behind it");
    for code in ["framing-ambiguous", "length-malformed", "head-malformed", "coding-refused"] {
        site.left(code);
    }
    site.is_well();
}

/// Chunks that are none: the run ends, it is the caller's doing, and nothing behind them is a request.
#[test]
fn bad_chunking() {
    let site = Site::start();
    let head = site.head("PUT /only") + "transfer-encoding: chunked\r\n\r\n";
    let cases = [
        "x\r\nabc\r\n0\r\n\r\n",
        "-1\r\na\r\n0\r\n\r\n",
        "0x1\r\na\r\n0\r\n\r\n",
        "1 \r\na\r\n0\r\n\r\n",
        "\r\n0\r\n\r\n",
        "1\na\r\n0\r\n\r\n",
        "1\r\nab\r\n0\r\n\r\n",
        "5\r\nab\r\n0\r\n\r\n",
        "ffffffffffffffffff\r\na",
        "1;\0\r\na\r\n0\r\n\r\n",
        "0\r\nx y\r\n\r\n",
        "0\r\n folded\r\n\r\n",
    ];
    for chunks in cases {
        let heard = site.exchange(format!("{head}{chunks}{}", site.smuggled()));
        let statuses = heard.statuses();
        assert_eq!(statuses, [400], "{chunks:?}: {heard:?}");
        assert!(!heard.text.contains("smuggled"), "{chunks:?}: {heard:?}");
    }
    site.left("chunks-malformed");
    assert_eq!(site.runs(), cases.len(), "one decision for each, and none for what is behind it");
    let events = site.node.records(&["--function", "echo", "--limit", "1000"]);
    assert!(
        events.iter().all(|event| event["kind"] != "run"),
        "what is malformed is known before anything runs"
    );
    assert!(events.iter().any(|event| event["code"] == "request-malformed"), "{events:?}");
    site.is_well();
}

/// A body in chunks that is well does not cost the connection.
#[test]
fn good_chunking() {
    let site = Site::start();
    let mut line = site.secure("http/1.1");
    let head = site.head("POST /echo") + "transfer-encoding: chunked\r\n\r\n";
    for chunks in ["3\r\nabc\r\n0\r\n\r\n", "1;x=y\r\na\r\n2\r\nbc\r\n0\r\ndigest: x\r\n\r\n"] {
        line.send(format!("{head}{chunks}").as_bytes()).unwrap();
        let heard = line.answer();
        assert_eq!(heard.statuses(), [200], "{heard:?}");
        assert!(heard.text.contains("abc") || heard.text.contains("\r\nbc\r\n"), "{heard:?}");
    }
}

/// A body that stands still has the function's own time for it.
#[test]
fn slow_body() {
    let site = Site::with("[limits]\nidle_ms = 700\n[shield]\nbody_over = \"pass\"\n");
    for (lines, body) in [
        ("content-length: 200000\r\n\r\n", "abc"),
        ("transfer-encoding: chunked\r\n\r\n", "5\r\nabc"),
        ("transfer-encoding: chunked\r\n\r\n", ""),
    ] {
        let begun = Instant::now();
        let heard = site.exchange(site.head("PUT /only") + lines + body);
        assert!(begun.elapsed() < PATIENCE);
        let statuses = heard.statuses();
        assert!(statuses == [408] || statuses == [200], "{lines:?}: {heard:?}");
        assert!(!heard.text.ends_with("\r\n0\r\n\r\n"), "it was answered to the end: {heard:?}");
        site.is_well();
    }
    let short = site.exchange(site.head("PUT /only") + "content-length: 5\r\n\r\nabc");
    assert_eq!(short.statuses(), [408], "{short:?}");
    site.left("body-slow");
    site.is_well();
}

/// A body without end is cut where the function takes no more.
#[test]
fn endless_body() {
    let site = Site::with("[limits]\nrequest_body_bytes = 100000\n");
    let said =
        site.exchange(site.head("POST /echo") + "content-length: 1000000000\r\n\r\n" + &"x".repeat(1_000));
    assert_eq!(said.statuses(), [413], "{said:?}");
    assert!(said.text.contains("request-body-limit"), "{said:?}");
    let mut line = site.secure("http/1.1");
    line.send((site.head("PUT /only") + "transfer-encoding: chunked\r\n\r\n").as_bytes()).unwrap();
    let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
    let sent = (0..2_000).take_while(|_| line.send(chunk.as_bytes()).is_ok()).count();
    assert!(sent < 2_000, "32 MiB were taken where 100 kB may be");
    site.is_well();
    let events = site.node.records(&["--function", "echo", "--limit", "1000"]);
    assert!(events.iter().any(|event| event["code"] == "request-body-limit"), "{events:?}");
}

/// Nobody is told to send a body before it is known that the function takes it.
#[test]
fn bodies_that_are_asked_about() {
    let site = Site::start();
    let refused = site.exchange(site.head("POST /echo") + "expect: 200-ok\r\ncontent-length: 3\r\n\r\n");
    assert_eq!(refused.statuses(), [417], "{refused:?}");
    site.left("expectation-refused");
    let lines = "expect: 100-continue\r\ncontent-length: 3\r\n\r\n";
    let stranger = format!("POST /echo HTTP/1.1\r\nhost: localhost\r\n{lines}");
    let heard = site.exchange(stranger);
    assert_eq!(heard.statuses(), [401], "told to go on before it was known who asks: {heard:?}");
    let mut line = site.secure("http/1.1");
    line.send((site.head("POST /echo") + lines).as_bytes()).unwrap();
    let mut bytes = Vec::new();
    line.hear_until(&mut bytes, |bytes| bytes.ends_with(b"\r\n\r\n"));
    // A function that answers before it reads takes the body all the same (RFC 9110 §10.1.1).
    let told = [&b"HTTP/1.1 100 "[..], b"HTTP/1.1 200 "].iter().any(|status| bytes.starts_with(status));
    assert!(told, "{}", String::from_utf8_lossy(&bytes));
    line.send(b"abc").unwrap();
    line.hear_until(&mut bytes, |bytes| bytes.ends_with(b"\r\n\r\nabc"));
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("HTTP/1.1 200 ") && text.contains("abc"), "{text}");
}
