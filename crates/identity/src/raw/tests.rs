use super::*;

/// Reads a text, and compares its parts or the error.
fn check(text: &str, expect: Result<&str, RawError>) {
    let got = RawRequest::parse(text.as_bytes()).map(|raw| {
        let (request, body) = (raw.request(None), String::from_utf8_lossy(&raw.body).into_owned());
        format!("{} {}://{}{} {body}", request.method, request.scheme, request.authority, request.target)
    });
    assert_eq!(
        got.as_deref().map_err(Clone::clone),
        expect.as_ref().map(|text| *text).map_err(Clone::clone),
        "{text:?}"
    );
}

#[test]
fn as_sent_and_as_typed() {
    check("GET /x?y HTTP/1.1\r\nHost: a.example\r\n\r\n", Ok("GET https://a.example/x?y "));
    check("POST / HTTP/2\nhost: a.example:8443\n\n{}\n", Ok("POST https://a.example:8443/ {}\n"));
    check("POST / HTTP/1.1\nhost: a\ncontent-length: 2\n\n{}\n", Ok("POST https://a/ {}"));
    check("POST / HTTP/1.1\r\nhost: a\r\nContent-Length: 2\r\n\r\n{}", Ok("POST https://a/ {}"));
    check("GET http://A.example/x HTTP/1.1\nHost: a.example\n\n", Ok("GET http://A.example/x "));
    check("OPTIONS * HTTP/1.1\nHost: a\n\n", Ok("OPTIONS https://a* "));
}

#[test]
fn what_is_no_request() {
    check("", Err(RawError::HeadOpen));
    check("GET / HTTP/1.1\r\nHost: a\r\n", Err(RawError::HeadOpen));
    check("\n", Err(RawError::RequestLine));
    for line in [
        "GET /",
        "GET / HTTP/1.0",
        "GET  / HTTP/1.1",
        "G(T / HTTP/1.1",
        "GET /#x HTTP/1.1",
        "GET /\t HTTP/1.1",
        "GET /\u{e4} HTTP/1.1",
    ] {
        check(&format!("{line}\nHost: a\n\n"), Err(RawError::RequestLine));
    }
    check("GET / HTTP/1.1\r\nHost: a\n\r\n", Err(RawError::LineEnd(2)));
    check("GET / HTTP/1.1\nHost: a\n folded\n\n", Err(RawError::Header(3)));
    check("GET / HTTP/1.1\nHost : a\n\n", Err(RawError::Header(2)));
    check("GET / HTTP/1.1\nHost: a\nx\n\n", Err(RawError::Header(3)));
    check("GET / HTTP/1.1\n\n", Err(RawError::Host));
    check("GET / HTTP/1.1\nHost: a\nHost: a\n\n", Err(RawError::Host));
    check("GET / HTTP/1.1\nHost: u@a\n\n", Err(RawError::Host));
    check("GET https://b/ HTTP/1.1\nHost: a\n\n", Err(RawError::Host));
    check("GET x HTTP/1.1\nHost: a\n\n", Err(RawError::Host));
    check("GET / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n", Err(RawError::Coding));
    for said in ["3", "1", "+2", "2, 2", "", "99999999999999999999999"] {
        let expect = RawError::Length { said: said.into(), found: 2 };
        check(&format!("GET / HTTP/1.1\nHost: a\nContent-Length: {said}\n\n{{}}"), Err(expect));
    }
    check(&format!("GET / HTTP/1.1\n{}\n", "a: b\n".repeat(101)), Err(RawError::TooManyHeaders));
}
