//! Clients who ask for one thing in the hope that it is taken for another: paths, methods, hosts.

use crate::line::Site;

/// Paths that two readers could take differently, and paths that lead nowhere.
#[test]
fn path_tricks() {
    let site = Site::start();
    for (target, status, code) in [
        ("/echo/../only", 400, "target-ambiguous"),
        ("/echo/..", 400, "target-ambiguous"),
        ("/echo/./x", 400, "target-ambiguous"),
        ("/echo/..;x/only", 400, "target-ambiguous"),
        ("/echo/%2e%2e/only", 400, "target-ambiguous"),
        ("/echo/%2E%2E/only", 400, "target-ambiguous"),
        ("/echo/.%2e/only", 400, "target-ambiguous"),
        ("/echo/%252e%252e/only", 400, "target-ambiguous"),
        ("/echo//x", 400, "target-ambiguous"),
        ("/echo/%2fx", 400, "target-ambiguous"),
        ("/echo/x%2F..%2Fonly", 400, "target-ambiguous"),
        ("/echo/%00", 400, "target-ambiguous"),
        ("/echo/x%00.html", 400, "target-ambiguous"),
        ("/echo/a%5cb", 400, "target-ambiguous"),
        ("/echo/a\\..\\b", 400, "target-ambiguous"),
        ("/echo/%0d%0ax:%20y", 400, "target-ambiguous"),
        ("/echo/%zz", 400, "target-ambiguous"),
        ("/echo/%", 400, "target-ambiguous"),
    ] {
        let sent = site.head(&format!("GET {target}")) + "connection: close\r\n\r\n" + &site.smuggled();
        let heard = site.exchange(sent);
        assert_eq!(heard.statuses(), [status], "{target}: {heard:?}");
        assert!(heard.text.contains(code), "{target}: {heard:?}");
    }
    for (target, code) in [
        ("/echo/\0", "head-malformed"),
        ("/echo/\u{e9}", "target-malformed"),
        ("/echo/\u{c0}\u{ae}", "target-malformed"),
        ("/echo#fragment", "target-malformed"),
        ("/echo x", "head-malformed"),
        ("echo", "target-malformed"),
        ("", "target-malformed"),
    ] {
        site.refuses(site.head(&format!("GET {target}")) + "\r\n", 400, code);
    }
    let overlong = [site.head("GET /echo/").trim_end().as_bytes(), b""].concat();
    let overlong = String::from_utf8(overlong).unwrap();
    let mut bytes = overlong.replace("/echo/ ", "/echo/@@ ").into_bytes();
    let at = bytes.windows(2).position(|two| two == b"@@").unwrap();
    bytes[at..at + 2].copy_from_slice(&[0xc0, 0xae]);
    site.refuses([&bytes[..], b"\r\n\r\n"].concat(), 400, "target-malformed");
    for target in ["/", "/ech", "/echoes", "/ECHO", "/only/x", "/%65cho", "/echo%2f..%2fonly", "/..", "/"] {
        let heard = site.exchange(site.head(&format!("GET {target}")) + "connection: close\r\n\r\n");
        assert_eq!(heard.statuses(), [404], "{target}: {heard:?}");
    }
    site.left("target-malformed");
    site.left("no-route");
    assert_eq!(site.runs(), 0);
    site.is_well();
}

#[test]
fn method_tricks() {
    let site = Site::start();
    for (method, status, code) in [
        ("TRACE", 405, "method-refused"),
        ("TRACK", 405, "method-refused"),
        ("get", 400, "method-malformed"),
        ("Get", 400, "method-malformed"),
        ("G3T", 400, "method-malformed"),
        ("GET'", 400, "method-malformed"),
    ] {
        let heard = site.exchange(site.head(&format!("{method} /echo")) + "connection: close\r\n\r\n");
        assert_eq!(heard.statuses(), [status], "{method}: {heard:?}");
        assert!(heard.text.contains(code), "{method}: {heard:?}");
    }
    let tunnel = site.exchange(format!(
        "CONNECT localhost:443 HTTP/1.1\r\nhost: localhost:443\r\n\r\n{}",
        site.smuggled()
    ));
    assert!(tunnel.statuses()[0] >= 400, "{tunnel:?}");
    assert!(!tunnel.text.contains("/echo/smuggled"), "{tunnel:?}");
    // A method that a route does not take, whatever the headers say that it is meant to be.
    for line in
        ["", "x-http-method-override: PUT\r\n", "x-http-method: PUT\r\n", "x-method-override: PUT\r\n"]
    {
        let heard = site.exchange(site.head("GET /only") + line + "connection: close\r\n\r\n");
        assert_eq!(heard.statuses(), [405], "{line}: {heard:?}");
        assert!(heard.text.contains("allow: PUT") && heard.text.contains("method-not-allowed"), "{heard:?}");
    }
    site.left("method-not-allowed");
    let events = site.node.records(&["--function", "echo", "--limit", "1000"]);
    for code in ["method-refused", "method-malformed"] {
        assert!(events.iter().any(|event| event["code"] == code), "{code}: {events:?}");
    }
    assert_eq!(site.runs(), 0, "{events:?}");
    site.is_well();
}

#[test]
fn wrong_host() {
    let site = Site::start();
    let with = |host: &str| format!("GET /echo HTTP/1.1\r\n{host}authorization: Bearer {}\r\n", site.token);
    for (host, status, code) in [
        ("host: example.com\r\n", 421, "misdirected"),
        ("host: acme.localhost\r\n", 421, "misdirected"),
        ("host: localhost.example.com\r\n", 421, "misdirected"),
        ("host: 127.0.0.1\r\n", 421, "misdirected"),
        ("host: localhost@example.com\r\n", 421, "misdirected"),
        ("host:\r\n", 421, "misdirected"),
    ] {
        let heard = site.exchange(with(host) + "\r\n" + &site.smuggled());
        assert_eq!(heard.statuses(), [status], "{host:?}: {heard:?}");
        heard.is_problem(code);
    }
    site.refuses(with("") + "\r\n", 400, "host-missing");
    site.refuses(with("host: localhost\r\nhost: localhost\r\n") + "\r\n", 400, "host-ambiguous");
    site.refuses(with("host: localhost\r\nHost: example.com\r\n") + "\r\n", 400, "host-ambiguous");
    let both =
        site.exchange(with("host: localhost\r\n").replace("/echo", "https://example.com/echo") + "\r\n");
    assert_eq!(both.statuses(), [400], "{both:?}");
    both.is_problem("host-differs");
    for code in ["misdirected", "host-missing", "host-ambiguous", "host-differs"] {
        site.left(code);
    }
    assert_eq!(site.runs(), 0);
    site.is_well();
}
