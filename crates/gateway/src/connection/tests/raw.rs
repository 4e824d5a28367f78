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

/// What is refused before the parser sees it: the status, the code in the document, the note for the record, the
/// end of the connection, and nothing of what follows.
async fn refused(sent: impl AsRef<[u8]>, before: &[u16], status: u16, code: &'static str) {
    let sent = [sent.as_ref(), GET.as_bytes()].concat();
    let server = Server::start(None).await;
    let heard = server.exchange(&sent).await;
    let about = String::from_utf8_lossy(&sent[..sent.len().min(120)]).into_owned();
    let statuses = [before, &[status]].concat();
    assert_eq!((heard.statuses(), heard.closed), (statuses, true), "{about:?} {}", heard.text);
    let named = format!("\"type\":\"urn:casemate:error:{code}\"");
    assert!(heard.text.contains(&named), "{about:?} {}", heard.text);
    assert!(!heard.text.contains("/next"), "{about:?} {}", heard.text);
    assert!(server.refusals.lock().contains(&code), "{about:?} {:?}", server.refusals.lock());
}

fn post(lines: &str, body: &str) -> String {
    format!("POST / HTTP/1.1\r\nhost: a\r\n{lines}\r\n\r\n{body}")
}

#[tokio::test]
async fn lengths_that_are_none() {
    for length in ["+3", "-1", "3, 3", "0x3", "3 3", "99999999999999999999"] {
        refused(post(&format!("content-length: {length}"), "abc"), &[], 400, "length-malformed").await;
    }
    for lines in [
        "content-length: 3\r\ncontent-length: 4",
        "content-length: 6\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 6",
        "transfer-encoding: chunked\r\nte: x\r\ntransfer-encoding: chunked",
    ] {
        refused(post(lines, "0\r\n\r\n"), &[], 400, "framing-ambiguous").await;
    }
    refused(
        "POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        &[],
        400,
        "framing-ambiguous",
    )
    .await;
}

#[tokio::test]
async fn codings_that_are_not_taken() {
    for coding in ["gzip", "chunked, gzip", "gzip, chunked", "identity", "xchunked"] {
        refused(post(&format!("transfer-encoding: {coding}"), "0\r\n\r\n"), &[], 501, "coding-refused").await;
    }
    for coding in ["\u{b}chunked", "chunked\u{0}"] {
        refused(post(&format!("transfer-encoding: {coding}"), "0\r\n\r\n"), &[], 400, "head-malformed").await;
    }
}

/// A body in chunks has one length, so what follows it is a request of its own.
#[tokio::test]
async fn chunks() {
    for chunks in ["0\r\n\r\n", "3\r\nabc\r\n0\r\n\r\n", "3;x=y\r\nabc\r\n0\r\nauthorization: x\r\n\r\n"] {
        check(&(post("Transfer-Encoding: Chunked", chunks) + GET), &[200, 200], false).await;
    }
    for chunks in [
        "x\r\nabc\r\n0\r\n\r\n",
        "-3\r\nabc\r\n0\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "3 \r\nabc\r\n0\r\n\r\n",
        "3\nabc\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nabc",
        "\r\n0\r\n\r\n",
        "0\r\nx y\r\n\r\n",
    ] {
        let server = Server::start(None).await;
        let heard = server.exchange((post("transfer-encoding: chunked", chunks) + GET).as_bytes()).await;
        assert_eq!((heard.statuses(), heard.closed), (vec![400], true), "{chunks:?} {}", heard.text);
        assert!(heard.text.contains("request-malformed"), "{chunks:?} {}", heard.text);
        assert_eq!(*server.refusals.lock(), ["chunks-malformed"], "{chunks:?}");
    }
}

/// Whatever was asked before is answered first, and whole.
#[tokio::test]
async fn what_came_before_a_refusal_is_answered() {
    let slow = "GET /slow HTTP/1.1\r\nhost: a\r\n\r\n";
    let server = Server::start(None).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let sent = format!("{slow}{}nonsense\r\n\r\n{GET}", post("content-length: 3", "abc"));
    for piece in sent.as_bytes().chunks(7) {
        stream.write_all(piece).await.unwrap();
        stream.flush().await.unwrap();
    }
    let mut text = String::new();
    timeout(SHORT * 20, stream.read_to_string(&mut text)).await.unwrap().unwrap();
    assert_eq!(Heard { text: text.clone(), closed: true }.statuses(), [200, 200, 400], "{text}");
    assert!(
        text.contains("GET /slow a 0") && text.contains("POST / a 3") && !text.contains("/next"),
        "{text}"
    );
}

/// After an answer that says that it is the last, nothing is said of what follows.
#[tokio::test]
async fn nothing_follows_the_last_answer() {
    for first in
        ["GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", "GET / HTTP/1.0\r\nhost: a\r\n\r\n"]
    {
        let server = Server::start(None).await;
        let heard = server.exchange(format!("{first}nonsense\r\n\r\n{GET}").as_bytes()).await;
        assert_eq!((heard.statuses().len(), heard.closed), (1, true), "{first:?} {}", heard.text);
        assert!(server.refusals.lock().is_empty(), "{first:?}");
    }
}

#[tokio::test]
async fn what_was_said_before_an_answer_broke_off() {
    check(&format!("GET /broken HTTP/1.1\r\nhost: a\r\n\r\n{GET}"), &[200], true).await;
}

#[tokio::test]
async fn what_a_request_expects() {
    refused_after("expect: 200-ok\r\ncontent-length: 1", 417, "expectation-refused").await;
    refused_after("expect: 100-continue, x\r\ncontent-length: 1", 417, "expectation-refused").await;
    // Refused before it is told to go on.
    let sent = "POST /../ HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\n";
    let heard = Server::start(None).await.exchange(sent.as_bytes()).await;
    assert_eq!((heard.statuses(), heard.closed), (vec![400], true), "{}", heard.text);
}

async fn refused_after(lines: &str, status: u16, code: &str) {
    let heard = Server::start(None).await.exchange(post(lines, "").as_bytes()).await;
    assert_eq!((heard.statuses(), heard.closed), (vec![status], true), "{lines} {}", heard.text);
    assert!(heard.text.contains(code), "{lines} {}", heard.text);
}

#[tokio::test]
async fn heads_that_mean_nothing_or_two_things() {
    for (sent, status) in [
        ("nonsense\r\n\r\n", 400),
        ("GET /\r\n\r\n", 400),
        ("GET / HTTP/1.2\r\nhost: a\r\n\r\n", 505),
        ("GET / HTTP/2.0\r\nhost: a\r\n\r\n", 505),
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
    for (sent, says) in [
        ("", None),
        ("GET / HT", Some("HTTP/1.1 408")),
        ("GET / HTTP/1.1\r\nhost: a\r\nx: ", Some("head-slow")),
        (GET, Some("200 OK")),
        (&format!("{GET}{GET}GET /"), Some("HTTP/1.1 408")),
    ] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        let (begun, mut text) = (Instant::now(), String::new());
        let ended = timeout(SHORT * 10, stream.read_to_string(&mut text)).await;
        assert!(ended.is_ok(), "{sent:?} keeps its place");
        assert!(begun.elapsed() >= SHORT, "{sent:?}: {:?}", begun.elapsed());
        assert!(says.map_or(text.is_empty(), |says| text.contains(says)), "{sent:?}: {text}");
    }
    assert_eq!(*server.refusals.lock(), ["head-slow"; 3]);
}

/// The time of a connection between two requests is its own, longer than that of a head.
#[tokio::test]
async fn a_connection_is_kept_between_requests() {
    let patience = Patience { head: SHORT / 4, idle: SHORT * 3, ..IMPATIENT };
    let server = Server::start_with(None, patience).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    for _ in 0..3 {
        stream.write_all(GET.as_bytes()).await.unwrap();
        let mut text = [0; 4096];
        let bytes = timeout(SHORT * 5, stream.read(&mut text)).await.unwrap().unwrap();
        assert!(text[..bytes].starts_with(b"HTTP/1.1 200"));
        sleep(SHORT).await;
    }
    let ended = timeout(SHORT * 10, stream.read(&mut [0])).await;
    assert_eq!(ended.unwrap().unwrap(), 0, "it is kept for ever");
    assert!(server.refusals.lock().is_empty());
}

/// Time passes here only while nobody has anything to do.
#[tokio::test(start_paused = true)]
async fn a_long_body_may_not_stand_still() {
    let server = Server::start(None).await;
    for lines in ["content-length: 100000", "transfer-encoding: chunked"] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(post(lines, "3\r\nab").as_bytes()).await.unwrap();
        let mut text = String::new();
        timeout(Duration::from_secs(60), stream.read_to_string(&mut text)).await.unwrap().unwrap();
        assert!(text.starts_with("HTTP/1.1 408") && text.contains("body-slow"), "{text}");
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

/// One who is refused is heard again at once, and a thousand wait for each other. Time passes here only while
/// nobody has anything to do.
#[tokio::test(start_paused = true)]
async fn nobody_keeps_the_node_busy_with_refusals() {
    let server = Server::start(None).await;
    let ask = async |stream: &mut TcpStream, path: &str| {
        let begun = Instant::now();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes()).await.unwrap();
        let mut text = [0; 4096];
        let bytes = stream.read(&mut text).await.unwrap();
        (text[..bytes].starts_with(b"HTTP/1.1 503"), begun.elapsed())
    };
    let mut streams = Vec::new();
    for _ in 0..100 {
        streams.push(TcpStream::connect(server.address).await.unwrap());
    }
    for stream in &mut streams {
        let (refused, took) = ask(stream, "/later").await;
        assert!(refused && took < Duration::from_millis(10), "{took:?}");
    }
    let (refused, took) = ask(&mut streams[99], "/").await;
    assert!(!refused && took > Duration::from_millis(20), "it is heard after those before it: {took:?}");
    let (refused, took) = ask(&mut streams[99], "/").await;
    assert!(!refused && took < Duration::from_millis(10), "and then at once: {took:?}");
}

#[tokio::test]
async fn a_request_that_is_under_way_ends_before_its_connection_does() {
    let server = Server::start(None).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let mut unused = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    sleep(Duration::from_millis(100)).await;
    server.close.send_replace(true);
    let mut text = String::new();
    assert_eq!(unused.read(&mut [0]).await.unwrap(), 0);
    let early = stream.try_read(&mut [0]).is_err_and(|e| e.kind() == io::ErrorKind::WouldBlock);
    assert!(early, "a connection without a request ends at once");
    stream.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 200") && text.contains("connection: close"), "{text}");
    assert!(text.ends_with("GET /slow a 0"), "{text}");
}
