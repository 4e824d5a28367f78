//! What is one request, and a longer list of what is none.

use proptest::prelude::*;

use super::*;

const MAX: usize = 64 * 1024;

/// Everything that a framer says about bytes that come in pieces: the lengths of heads and bodies, and how it
/// ended.
fn judge(bytes: &[u8], pieces: impl Iterator<Item = usize>) -> (Vec<(usize, usize)>, Step) {
    let (mut framer, mut messages): (_, Vec<(usize, usize)>) = (Framer::new(MAX), Vec::new());
    let (mut from, mut upto, mut pieces) = (0, 0, pieces);
    loop {
        let step = framer.step(&bytes[from..upto]);
        match step {
            Step::Head(length) => {
                assert!(length > 0);
                messages.push((length, 0));
                from += length;
            }
            Step::Body(length) => {
                assert!(length > 0);
                messages.last_mut().unwrap().1 += length;
                from += length;
            }
            Step::More if upto < bytes.len() => {
                upto = (upto + pieces.next().unwrap_or(bytes.len()).max(1)).min(bytes.len());
            }
            Step::More | Step::Over | Step::Refuse(_) => return (messages, step),
        }
    }
}

fn whole(bytes: &[u8]) -> (Vec<(usize, usize)>, Step) {
    judge(bytes, std::iter::empty())
}

fn check(bytes: impl AsRef<[u8]>, messages: usize, expect: Result<Step, &str>) {
    let bytes = bytes.as_ref();
    let about = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
    let (found, ended) = whole(bytes);
    match (ended, expect) {
        (Step::Refuse(malformed), Err(code)) => assert_eq!(malformed.code(), code, "{about:?}"),
        (ended, expect) => assert_eq!(Ok(ended), expect, "{about:?}"),
    }
    assert_eq!(found.len(), messages, "{about:?}");
    assert_eq!(judge(bytes, std::iter::repeat(1)), (found, ended), "{about:?} byte by byte");
}

const GET: &str = "GET /next HTTP/1.1\r\nhost: a\r\n\r\n";

fn post(lines: &str, body: &str) -> String {
    format!("POST / HTTP/1.1\r\nhost: a\r\n{lines}\r\n\r\n{body}")
}

#[test]
fn requests() {
    check("", 0, Ok(Step::More));
    check(GET, 1, Ok(Step::More));
    check(format!("{GET}{GET}GET /"), 2, Ok(Step::More));
    check(format!("\r\n{GET}"), 1, Ok(Step::More));
    check(format!("{}{GET}", post("content-length: 3", "abc")), 2, Ok(Step::More));
    check(format!("{}{GET}", post("content-length: 0", "")), 2, Ok(Step::More));
    check(format!("{}{GET}", post("content-length: 1\r\nCONTENT-LENGTH:1", "a")), 2, Ok(Step::More));
    check(post("content-length: 4", "abc"), 1, Ok(Step::More));
    check("GET / HTTP/1.1\r\nhost: a\r\nx: \u{e9}\t \r\ny:\r\n\r\n", 1, Ok(Step::More));
    check("GET https://a/x?y HTTP/1.1\r\nhost: a\r\n\r\n", 1, Ok(Step::More));
    check("OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n", 1, Ok(Step::More));
    check(format!("CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n{GET}"), 1, Ok(Step::Over));
    check(r"GET /a|b\c{}[]^?x=/?{} HTTP/1.1".to_owned() + "\r\nhost: a\r\n\r\n", 1, Ok(Step::More));
    check(format!("{}{GET}", post("connection: x, Close", "")), 1, Ok(Step::Over));
    check(format!("GET / HTTP/1.0\r\n\r\n{GET}"), 1, Ok(Step::Over));
}

#[test]
fn bodies_in_chunks() {
    let chunked = |chunks: &str| post("transfer-encoding: chunked", chunks) + GET;
    for chunks in [
        "0\r\n\r\n",
        "3\r\nabc\r\n0\r\n\r\n",
        "00003\r\nabc\r\n000\r\n\r\n",
        "A\r\n0123456789\r\n0\r\n\r\n",
        "3;a=b;c=\"d e\"\r\nabc\r\n0;x\r\n\r\n",
        "1\r\n\r\r\n1\r\n\n\r\n0\r\n\r\n",
        "0\r\ndigest: x\r\ny:\t\u{e9} \r\n\r\n",
    ] {
        check(chunked(chunks), 2, Ok(Step::More));
    }
    let over = limits::CHUNK_EXTENSION_BYTES_MAX + 1;
    for chunks in [
        "\r\n0\r\n\r\n".to_owned(),
        "x\r\n".into(),
        "-1\r\n".into(),
        "+1\r\n".into(),
        "0x1\r\n".into(),
        " 1\r\na\r\n0\r\n\r\n".into(),
        "1 \r\na\r\n0\r\n\r\n".into(),
        "1 ;x\r\na\r\n0\r\n\r\n".into(),
        "1\na\r\n0\r\n\r\n".into(),
        "1\r\na\n0\r\n\r\n".into(),
        "1\r\nab\r\n0\r\n\r\n".into(),
        "1\r\na0\r\n\r\n".into(),
        "2\r\na\r\n0\r\n\r\n".into(),
        "1;\u{0}\r\na\r\n0\r\n\r\n".into(),
        "1;x\na\r\n0\r\n\r\n".into(),
        "1;x\ry\r\na\r\n0\r\n\r\n".into(),
        "1000000000000000\r\n".into(),
        "0000000000000001\r\n".into(),
        "ffffffffffffffff\r\n".into(),
        format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(over)),
        format!("{}0\r\n\r\n", format!("1;{}\r\na\r\n", "x".repeat(100)).repeat(over / 100 + 1)),
        "0\r\n\n".into(),
        "0\r\n\rx".into(),
        "0\r\n x: y\r\n\r\n".into(),
        "0\r\nx : y\r\n\r\n".into(),
        "0\r\nx\r\n\r\n".into(),
        "0\r\n: y\r\n\r\n".into(),
        "0\r\nx: \u{0}\r\n\r\n".into(),
        "0\r\nx: y\n\r\n".into(),
        format!("0\r\nx: {}\r\n\r\n", "y".repeat(limits::TRAILER_BYTES_MAX)),
        format!("0\r\n{}\r\n", "x: y\r\n".repeat(limits::TRAILERS_MAX + 1)),
    ] {
        check(chunked(&chunks), 1, Err("chunks-malformed"));
    }
}

#[test]
fn two_lengths_or_none() {
    for lines in [
        "content-length: 3\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 3",
        "Transfer-Encoding: CHUNKED\r\nContent-Length: 0",
        "content-length: 3\r\ncontent-length: 4",
        "content-length: 3\r\nx: y\r\nContent-Length: 03333",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity",
        "transfer-encoding: gzip\r\ncontent-length: 3",
    ] {
        check(post(lines, "0\r\n\r\n") + GET, 0, Err("framing-ambiguous"));
    }
    check("POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n", 0, Err("framing-ambiguous"));
    for length in ["", "+3", "-3", "3, 3", "3,3", "0x3", "3 3", "3.0", "\"3\"", "٣", "99999999999999999999"]
    {
        check(post(&format!("content-length: {length}"), "abc") + GET, 0, Err("length-malformed"));
    }
    for coding in
        ["gzip", "gzip, chunked", "chunked, gzip", "identity", "xchunked", "chunked;x", "\"chunked\"", ""]
    {
        check(post(&format!("transfer-encoding: {coding}"), "0\r\n\r\n") + GET, 0, Err("coding-refused"));
    }
}

#[test]
fn heads_that_are_none() {
    for head in [
        "nonsense\r\n\r\n",
        "GET /\r\n\r\n",
        "GET\r\n\r\n",
        " GET / HTTP/1.1\r\nhost: a\r\n\r\n",
        "\n",
        "\r\n\r\n",
        "\r\n\n",
        "\rGET",
        "\u{0}",
        "\u{16}\u{3}\u{1}",
        "{\"json\": 1}\r\n\r\n",
        "GET / HTTP/1.1\nhost: a\n\n",
        "GET / HTTP/1.1\r\nhost: a\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\n\n",
        "GET / HTTP/1.1\r\nhost: a\rx: y\r\n\r\n",
        "GET / HTTP/1.1\r\r\nhost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\n folded: x\r\n\r\n",
        "GET / HTTP/1.1\r\n host: a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nx: y\r\n\tz\r\n\r\n",
        "GET / HTTP/1.1\r\nhost : a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost\t: a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost\r\n\r\n",
        "GET / HTTP/1.1\r\n: a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nx: \u{0}\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nx: \u{b}chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nx: \u{7f}\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nx\u{e9}: y\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\n(x): y\r\n\r\n",
        "G<T / HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET / HTTP/1.1 \r\nhost: a\r\n\r\n",
        "GET / x HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET / http/1.1\r\nhost: a\r\n\r\n",
        "GET / HTTP/11\r\nhost: a\r\n\r\n",
        "GET / HTTP/1.1x\r\nhost: a\r\n\r\n",
    ] {
        check(head, 0, Err("head-malformed"));
    }
    for target in [
        "a",
        "/a#b",
        "/é",
        "/<",
        "/>",
        "",
        "//a b",
        "http://",
        "http:// /",
        "/\u{7f}",
        "a:b:c",
        "**",
        "*",
        "a:443",
        "ftp://a/",
        "/a?b=\"c\"",
    ] {
        let (_, ended) = whole(format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes());
        let Step::Refuse(malformed) = ended else { panic!("{target:?}: {ended:?}") };
        assert!(
            ["target-malformed", "head-malformed"].contains(&malformed.code()),
            "{target:?} {malformed:?}"
        );
    }
    for version in ["HTTP/1.2", "HTTP/2.0", "HTTP/0.9", "HTTP/3.0"] {
        check(format!("GET / {version}\r\nhost: a\r\n\r\n"), 0, Err("version-refused"));
    }
    check("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0, Err("version-refused"));
    check("GET / HTTP/1.1\r\n\r\n", 0, Err("host-missing"));
    check("GET http://a/ HTTP/1.1\r\n\r\n", 0, Err("host-missing"));
    check("GET / HTTP/1.1\r\nhost: a\r\nHost: a\r\n\r\n", 0, Err("host-ambiguous"));
    check("GET / HTTP/1.0\r\nhost: a\r\nhost: b\r\n\r\n", 0, Err("host-ambiguous"));
}

#[test]
fn heads_that_are_too_large() {
    let head = |line: &str, lines: String| format!("{line}\r\nhost: a\r\n{lines}\r\n");
    check(head("GET / HTTP/1.1", "x: y\r\n".repeat(HEADERS_MAX - 1)), 1, Ok(Step::More));
    check(head("GET / HTTP/1.1", "x: y\r\n".repeat(HEADERS_MAX)), 0, Err("too-many-headers"));
    check(head("GET / HTTP/1.1", "x: y\r\n".repeat(10_000)), 0, Err("too-many-headers"));
    check(head("GET / HTTP/1.1", format!("x: {}\r\n", "y".repeat(MAX))), 0, Err("headers-too-large"));
    check(head(&format!("GET /{} HTTP/1.1", "a".repeat(TARGET_MAX - 1)), String::new()), 1, Ok(Step::More));
    check(
        head(&format!("GET /{} HTTP/1.1", "a".repeat(TARGET_MAX)), String::new()),
        0,
        Err("target-too-long"),
    );
    check(format!("GET /{}", "a".repeat(MAX)), 0, Err("target-too-long"));
    check("A".repeat(MAX), 0, Err("head-malformed"));
}

/// Lines and bodies, right and wrong, put together in every order.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        6 => prop::sample::select(vec![
            "GET / HTTP/1.1\r\nhost: a\r\n\r\n", "POST /a?b HTTP/1.1\r\n", "host: a\r\n", "\r\n",
            "content-length: 3\r\n", "content-length: 0\r\n", "transfer-encoding: chunked\r\n", "abc",
            "3\r\nabc\r\n", "0\r\n\r\n", "0;x\r\nx: y\r\n\r\n", "connection: close\r\n", "x: y\r\n",
            "expect: 100-continue\r\n", "upgrade: h2c\r\n",
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc",
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..6),
        1 => prop::sample::select(vec!["\r", "\n", " ", "\t", ":", ";", "0", "f", "\u{0}", "content-length: 4\r\n"])
            .prop_map(|text| text.as_bytes().to_vec()),
    ];
    prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
}

type Lines = Vec<(http::HeaderName, http::HeaderValue)>;

/// How httparse and `http`, which everything behind reads with, see a head.
fn parsed(head: &[u8]) -> Option<(http::Method, http::Uri, Lines)> {
    let mut lines = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut lines);
    let length = request.parse(head).ok()?;
    if length != httparse::Status::Complete(head.len()) {
        return None;
    }
    let headers = request.headers.iter().map(|line| {
        let value = http::HeaderValue::from_bytes(line.value).ok()?;
        Some((http::HeaderName::from_bytes(line.name.as_bytes()).ok()?, value))
    });
    let method = http::Method::from_bytes(request.method?.as_bytes()).ok()?;
    Some((method, request.path?.parse().ok()?, headers.collect::<Option<_>>()?))
}

proptest! {
    #[test]
    fn the_same_bytes_get_the_same_answer(
        bytes in pieces(),
        cuts in prop::collection::vec(1_usize..40, 0..40),
    ) {
        let expect = whole(&bytes);
        prop_assert_eq!(judge(&bytes, cuts.into_iter().cycle().take(1000)), expect.clone());
        prop_assert_eq!(judge(&bytes, std::iter::repeat(1)), expect);
    }

    /// What passes is what the parser behind sees: each head whole, no body longer or shorter than it says.
    #[test]
    fn what_passes_is_what_is_read(bytes in pieces()) {
        let (messages, ended) = whole(&bytes);
        let mut rest = &bytes[..];
        for (at, (head, body)) in messages.iter().enumerate() {
            let seen = parsed(&rest[..*head]);
            prop_assert!(seen.is_some(), "{:?}", String::from_utf8_lossy(&rest[..*head]));
            let (_, _, headers) = seen.unwrap();
            let length = headers.iter().find(|(name, _)| name == "content-length");
            let chunked = headers.iter().any(|(name, _)| name == "transfer-encoding");
            prop_assert!(!(chunked && length.is_some()));
            let whole = at + 1 < messages.len() || ended == Step::Over;
            let said = length.map_or(0, |(_, value)| value.to_str().unwrap().parse::<usize>().unwrap());
            if !chunked {
                prop_assert!(*body <= said && (!whole || *body == said));
            } else if whole {
                prop_assert!(rest[*head..head + body].ends_with(b"\r\n\r\n") || *body == 0);
            }
            rest = &rest[head + body..];
        }
    }

    #[test]
    fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        whole(&bytes);
    }
}
