//! HTTP/1.1 as an attacker writes it.

use super::*;

const GET: &str = "GET /next HTTP/1.1\r\nhost: a\r\n\r\n";

async fn check(sent: &str, statuses: &[u16], closed: bool) {
    check_bytes(sent.as_bytes(), statuses, closed).await;
}

async fn check_bytes(sent: &[u8], statuses: &[u16], closed: bool) {
    let heard = Server::start(None).await.exchange(sent).await;
    let about = String::from_utf8_lossy(&sent[..sent.len().min(120)]).into_owned();
    assert_eq!((heard.statuses().as_slice(), heard.closed), (statuses, closed), "{about:?} {}", heard.text);
}

#[tokio::test]
async fn what_passes() {
    check(GET, &[200], false).await;
    check(&format!("{GET}{GET}"), &[200, 200], false).await;
    check(&format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc{GET}"), &[200, 200], false)
        .await;
    check("HEAD / HTTP/1.1\r\nhost: a\r\n\r\n", &[200], false).await;
    check("GET https://a/x HTTP/1.1\r\nHOST:a \r\n\r\n", &[200], false).await;
    check("OPTIONS / HTTP/1.1\r\nhost: a:8443\r\n\r\n", &[200], false).await;
    check("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", &[200], true).await;
    // RFC 9110 §8.6: the same length twice is one length.
    check("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\na", &[200], false)
        .await;
    check(
        "POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\na",
        &[100, 200],
        false,
    )
    .await;
}

#[tokio::test]
async fn lengths_that_are_none() {
    for length in ["+3", "-1", "3, 3", "0x3", "3 3", "99999999999999999999", "3\r\ncontent-length: 4"] {
        let sent = format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\nabc{GET}");
        check(&sent, &[400], true).await;
    }
}

#[tokio::test]
async fn codings_that_are_not_taken() {
    let chunks = "3\r\nabc\r\n0\r\n\r\n";
    for coding in [
        "gzip",
        "chunked, gzip",
        "gzip, chunked",
        "identity",
        "xchunked",
        "chunked\r\nte: x\r\ntransfer-encoding: chunked",
    ] {
        let sent = format!("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: {coding}\r\n\r\n{chunks}{GET}");
        check(&sent, &[400], true).await;
    }
    for coding in ["\u{b}chunked", "chunked\u{0}"] {
        let sent = format!("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: {coding}\r\n\r\n{chunks}{GET}");
        check(&sent, &[400], true).await;
    }
    check(&format!("POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{chunks}"), &[400], true)
        .await;
}

/// Nothing that stands behind a body in chunks is ever read as a request, whatever else the head says.
#[tokio::test]
async fn smuggled_requests_are_not_answered() {
    for lengths in [
        "transfer-encoding: chunked",
        "Transfer-Encoding: Chunked",
        "content-length: 6\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 6",
        "transfer-encoding: chunked\r\nconnection: keep-alive",
    ] {
        let sent = format!("POST / HTTP/1.1\r\nhost: a\r\n{lengths}\r\n\r\n0\r\n\r\n{GET}");
        check(&sent, &[200], true).await;
    }
}

#[tokio::test]
async fn chunks_that_are_none() {
    for chunks in [
        "x\r\nabc\r\n0\r\n\r\n",
        "-3\r\nabc\r\n0\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nabc",
        "\r\n0\r\n\r\n",
    ] {
        let sent = format!("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{chunks}{GET}");
        check(&sent, &[400], true).await;
    }
    // Trailers carry no authority: they are read and dropped.
    let sent =
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\nauthorization: x\r\n\r\n";
    check(sent, &[200], true).await;
}

#[tokio::test]
async fn heads_that_mean_nothing_or_two_things() {
    for (sent, status) in [
        ("nonsense\r\n\r\n", 400),
        ("GET /\r\n\r\n", 400),
        ("GET / HTTP/1.2\r\nhost: a\r\n\r\n", 400),
        ("GET / HTTP/2.0\r\nhost: a\r\n\r\n", 400),
        ("GET / HTTP/1.0\r\nhost: a\r\n\r\n", 505),
        ("GET  / HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        ("GET /a b HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET https://a/ HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n", 400),
        ("GET https://b/ HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a@b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a/b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost:\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost : a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a\r\n folded: x\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a\r\nx: a\rb\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a\r\nx: a\u{0}b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a\r\nx\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a\r\n: x\r\n\r\n", 400),
    ] {
        let heard = Server::start(None).await.exchange(sent.as_bytes()).await;
        assert_eq!(heard.statuses(), [status], "{sent:?} {}", heard.text);
    }
    for (line, status) in [
        ("get /", 400),
        ("CONNECT a:443", 405),
        ("TRACE /", 405),
        ("TRACK /", 405),
        ("GET //a", 400),
        ("GET /../a", 400),
        ("GET /a/..", 400),
        ("GET /%2e%2e/a", 400),
        ("GET /a%2fb", 400),
        ("GET /a%00", 400),
        ("GET /a\\b", 400),
        ("GET /%zz", 400),
        ("GET /%252e", 400),
        ("GET /é", 400),
        ("OPTIONS *", 400),
    ] {
        let host = if line.starts_with("CONNECT") { "a:443" } else { "a" };
        let sent = format!("{line} HTTP/1.1\r\nhost: {host}\r\n\r\n");
        let heard = Server::start(None).await.exchange(sent.as_bytes()).await;
        assert_eq!(heard.statuses(), [status], "{line:?} {}", heard.text);
    }
}

#[tokio::test]
async fn heads_that_are_too_large() {
    let head = |line: &str| format!("GET / HTTP/1.1\r\nhost: a\r\n{line}\r\n");
    check(&head(&"x: y\r\n".repeat(99)), &[200], false).await;
    let heard =
        |sent: String| async move { Server::start(None).await.exchange(sent.as_bytes()).await.statuses() };
    assert_eq!(heard(head(&"x: y\r\n".repeat(100))).await, [431]);
    assert_eq!(heard(head(&"x: y\r\n".repeat(10_000))).await, [431]);
    assert_eq!(heard(head(&format!("x: {}\r\n", "y".repeat(66_000)))).await, [431]);
    assert_eq!(heard(head(&format!("x: {}\r\n", "y".repeat(200_000)))).await, [431]);
    assert_eq!(heard(format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "a".repeat(9_000))).await, [414]);
    let longest = heard(format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "a".repeat(200_000))).await;
    assert!(longest == [414] || longest == [431], "{longest:?}");
}

#[tokio::test]
async fn refusals_are_problem_documents_with_an_id() {
    let heard = Server::start(None).await.exchange(b"GET /../ HTTP/1.1\r\nhost: a\r\n\r\n").await;
    for part in [
        "content-type: application/problem+json",
        "x-request-id: ",
        "x-content-type-options: nosniff",
        "cache-control: no-store",
        "\"type\":\"urn:casemate:error:target-ambiguous\"",
    ] {
        assert!(heard.text.contains(part), "{part} in {}", heard.text);
    }
    assert!(!heard.text.contains("server:") && !heard.text.contains("dot segment"), "{}", heard.text);
}

#[tokio::test]
async fn nobody_may_stand_still() {
    let server = Server::start_with(None, IMPATIENT).await;
    for sent in ["", "GET / HT", "GET / HTTP/1.1\r\nhost: a\r\nx: ", GET] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        let (begun, mut text) = (Instant::now(), String::new());
        let ended = timeout(SHORT * 10, stream.read_to_string(&mut text)).await;
        assert!(ended.is_ok(), "{sent:?} keeps its place");
        assert!(begun.elapsed() >= SHORT, "{sent:?}: {:?}", begun.elapsed());
        assert_eq!(text.contains("200 OK"), sent == GET, "{sent:?}: {text}");
    }
}

/// Time passes here only while nobody has anything to do.
#[tokio::test(start_paused = true)]
async fn a_body_may_not_stand_still() {
    let server = Server::start(None).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nab").await.unwrap();
    let mut text = String::new();
    timeout(Duration::from_secs(60), stream.read_to_string(&mut text)).await.unwrap().unwrap();
    assert!(text.starts_with("HTTP/1.1 408") && text.contains("body-slow"), "{text}");
}

#[tokio::test]
async fn a_request_that_is_under_way_ends_before_its_connection_does() {
    let server = Server::start(None).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let mut unused = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    sleep(Duration::from_millis(100)).await;
    server.close.send_replace(true);
    let (begun, mut text) = (Instant::now(), String::new());
    assert_eq!(unused.read(&mut [0]).await.unwrap(), 0);
    assert!(begun.elapsed() < Duration::from_millis(500), "a connection without a request ends at once");
    stream.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 200") && text.contains("connection: close"), "{text}");
    assert!(text.ends_with("GET /slow a 0"), "{text}");
}
