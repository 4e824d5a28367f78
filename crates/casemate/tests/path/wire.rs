//! What the wire shows: TLS, one parser, documents that match.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use crate::support::{TestNode, guest};

fn raw(address: &str, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address.strip_prefix("https://").unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    // A refusal may end with a reset: what came before it counts.
    let _ended = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn plain_http_on_the_tls_port() {
    let node = TestNode::start();
    let said = raw(node.functions(), b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n");
    assert!(said.starts_with("HTTP/1.1 400") && said.contains("https://"), "{said}");
    assert_eq!(raw(node.functions(), &[0, 1, 2, 3, 4, 5]), "");
}

#[test]
fn paths_with_two_meanings() {
    let node = TestNode::start();
    let token = node.token(&["--name", "caller", "--scope", "invoke"]);
    node.deploy("hello", &guest("hello"), "[access]\nallow = \"tenant\"\n");
    for path in ["/hello/%2e%2e/x", "/hello//x", "/hello/%2fx", "/hello/%00", "/hello/a%5cb"] {
        let answer = node.call("GET", path, Some(&token), b"");
        assert!([400, 404].contains(&answer.status), "{path}: {}", answer.text());
    }
    assert_eq!(node.call("TRACE", "/hello", Some(&token), b"").status, 405);
    assert_eq!(node.call("GET", "/nowhere", Some(&token), b"").status, 404);
}

#[test]
fn the_open_documents() {
    let node = TestNode::start();
    let document = node.api("GET", "/openapi.json", None, b"").json();
    assert_eq!(document["openapi"], "3.1.0");
    assert!(document["paths"].as_object().unwrap().len() > 10);
    assert_eq!(node.api("GET", "/readyz", None, b"").json()["status"], "ok");
    let metrics = node.api("GET", "/metrics", Some(&node.admin()), b"");
    assert_eq!(metrics.status, 200, "{}", metrics.text());
    let text = metrics.text();
    assert!(text.contains("casemate_connections") && text.ends_with("# EOF\n"), "{text}");
    assert_eq!(text.matches("# EOF").count(), 1);
}
