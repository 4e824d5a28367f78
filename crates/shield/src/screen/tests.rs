use http::{Request, Version};

use super::*;

const PEER: &str = "192.0.2.7:5000";

fn peer(text: &str) -> Peer {
    Peer { address: text.parse().unwrap(), tls: true, server_name: None, certificate: None }
}

fn shield() -> Shield {
    Shield::new(ShieldConfig::default())
}

/// A request in a few words: method, target, then `name: value` lines.
fn request(method: &str, target: &str, lines: &[&str]) -> Option<Parts> {
    let mut builder = Request::builder().method(method).uri(target);
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        builder = builder.header(name, value);
    }
    Some(builder.body(()).ok()?.into_parts().0)
}

/// Screens one request and compares the code; a request that the parser already refuses is refused too.
fn check(method: &str, target: &str, lines: &[&str], expect: &str) {
    let mut lines = lines.to_vec();
    if !lines.iter().any(|line| line.to_ascii_lowercase().starts_with("host:")) {
        lines.push("host: localhost");
    }
    let Some(head) = request(method, target, &lines) else {
        assert_ne!(expect, "ok", "{method} {target} {lines:?} is no request");
        return;
    };
    let got = shield().screen(head, (), &peer(PEER), 0);
    let code = got.as_ref().map_or_else(Blocked::code, |_| "ok");
    assert_eq!(code, expect, "{method} {target:?} {lines:?}");
}

#[test]
fn what_passes() {
    for target in [
        "/",
        "/hello",
        "/hello/",
        "/a.b/..c/...d/c..",
        "/a%20b/%C3%A9",
        "/a;v=1/b",
        "/~x/@y/a:b",
        "/x?q=..%2f..%2fetc&a=//b",
        "/x?",
        "/.well-known/security.txt",
        "/100%25",
        "https://localhost/hello",
    ] {
        check("GET", target, &[], "ok");
    }
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "M-SEARCH"] {
        check(method, "/", &[], "ok");
    }
    check("POST", "/", &["content-length: 5"], "ok");
    check("POST", "/", &["transfer-encoding: chunked"], "ok");
    check("GET", "/", &["host: [2001:db8::1]:8443"], "ok");
    check("GET", "/", &["host: acme.localhost:8443", "cookie: a=b", "cookie: c=d"], "ok");
}

#[test]
fn ambiguous_targets() {
    for target in [
        "/..",
        "/../",
        "/a/../b",
        "/a/./b",
        "/a/.",
        "/..;/admin",
        "/.;x/admin",
        "/a/%2e%2e/b",
        "/a/%2E./b",
        "/a%2fb",
        "/a%2Fb",
        "/a%5cb",
        "/a%5Cb",
        "//",
        "//a",
        "/a//b",
        "/a%00",
        "/a%00.txt",
        "/a%0d%0aSet-Cookie:x",
        "/a%7f",
        "/a%",
        "/a%2",
        "/a%zz",
        "/a%252e%252e/b",
        "/a%252fb",
        "/%61dmin",
        "/a%2Db",
        "/%7Euser",
        "/é",
        "/a?q=%",
        "/a?q=%g0",
    ] {
        check("GET", target, &[], "target-ambiguous");
    }
    // The parser refuses these, or this room does.
    for target in ["/a\\b", "/a b", "/a\u{0}b", "/a\u{7f}", "/a\u{1}?b"] {
        check("GET", target, &[], "target-ambiguous");
    }
    check("OPTIONS", "*", &[], "target-ambiguous");
    check("GET", &format!("/{}", "a".repeat(9_000)), &[], "target-too-long");
    check("GET", &format!("/?{}", "a".repeat(9_000)), &[], "target-too-long");
}

#[test]
fn odd_methods() {
    for method in ["TRACE", "TRACK"] {
        check(method, "/", &[], "method-refused");
    }
    check("CONNECT", "/", &[], "method-refused");
    for method in ["get", "Get", "GET1", "G*T", "A'B", &"A".repeat(33)] {
        check(method, "/", &[], "method-malformed");
    }
}

#[test]
fn too_many_or_too_large_headers() {
    let many: Vec<String> = (0..100).map(|n| format!("x-{n}: 1")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    check("GET", "/", &many[..99], "ok");
    check("GET", "/", &many, "too-many-headers");
    check("GET", "/", &[&format!("x: {}", "a".repeat(65_000))], "ok");
    check("GET", "/", &[&format!("x: {}", "a".repeat(65_536))], "headers-too-large");
}

#[test]
fn ambiguous_hosts() {
    check("GET", "/", &["host: a", "host: a"], "host-ambiguous");
    check("GET", "https://a/", &["host: b"], "host-ambiguous");
    check("GET", "https://A:8443/", &["host: a:8443"], "ok");
    for host in ["a:8443", "[::1]", "[2001:db8::1]:443", "a.b-c_d.example:1"] {
        check("GET", "/", &[&format!("host: {host}")], "ok");
    }
    let ports = ["a:b", "a:80-", "a:99999", "a:", "a:+1", ":80", "[::1]x", "[::1", "[a]", "::1", "a:1:2"];
    for host in ["u@a", "a/b", "a?b", "a b", "a,b", "a\\b", ""].into_iter().chain(ports) {
        check("GET", "/", &[&format!("host: {host}")], "host-ambiguous");
    }
    let head = request("GET", "/", &[]).unwrap();
    assert!(matches!(shield().screen(head, (), &peer(PEER), 0), Err(Blocked::Host("none is named"))));
}

#[test]
fn two_media_types() {
    check("POST", "/", &["content-type: a/b"], "ok");
    check("POST", "/", &["content-type: image/png", "content-type: application/json"], "media-types-several");
}

#[test]
fn smuggled_bodies() {
    check("POST", "/", &["content-length: 5", "content-length: 5"], "framing-ambiguous");
    check("POST", "/", &["content-length: 5", "transfer-encoding: chunked"], "framing-ambiguous");
    for length in ["+5", "-1", "5, 5", "0x5", "", "5 5", "99999999999999999999"] {
        check("POST", "/", &[&format!("content-length: {length}")], "framing-ambiguous");
    }
    for coding in ["gzip", "gzip, chunked", "chunked, chunked", "xchunked", "identity", "chunked "] {
        check("POST", "/", &[&format!("transfer-encoding: {coding}")], "framing-ambiguous");
    }
    check("POST", "/", &["transfer-encoding: chunked", "transfer-encoding: chunked"], "framing-ambiguous");
    for version in [Version::HTTP_2, Version::HTTP_10] {
        let mut head = request("POST", "/", &["host: a", "transfer-encoding: chunked"]).unwrap();
        head.version = version;
        assert!(matches!(shield().screen(head, (), &peer(PEER), 0), Err(Blocked::Framing(_))));
    }
}

fn plain(lines: &[&str]) -> Parts {
    let mut lines = lines.to_vec();
    lines.push("host: localhost");
    request("GET", "/", &lines).unwrap()
}

#[test]
fn a_source_has_a_rate() {
    let shield = Shield::new(ShieldConfig { source_rate: (10, 2), ..ShieldConfig::default() });
    let send = |from: &str, now_ms| shield.screen(plain(&[]), (), &peer(from), now_ms).map(|_| ());
    assert_eq!(send(PEER, 0), Ok(()));
    assert_eq!(send("192.0.2.7:5001", 0), Ok(()));
    let blocked = send("[::ffff:192.0.2.7]:1", 0).unwrap_err();
    assert_eq!(blocked, Blocked::SourceRate { retry_after_ms: 100 });
    assert_eq!((blocked.status(), blocked.retry_after_s()), (429, Some(1)));
    assert_eq!(send("192.0.2.8:1", 0), Ok(()));
    assert_eq!(send(PEER, 100), Ok(()));
}

#[test]
fn a_caller_has_a_rate() {
    let shield = Shield::new(ShieldConfig { caller_rate: (10, 1), ..ShieldConfig::default() });
    assert_eq!(shield.admit_caller("User::\"a/b\"", 0), Ok(()));
    assert_eq!(shield.admit_caller("User::\"a/c\"", 0), Ok(()));
    assert_eq!(shield.admit_caller("User::\"a/b\"", 99), Err(Blocked::CallerRate { retry_after_ms: 1 }));
    assert_eq!(shield.admit_caller("User::\"a/b\"", 100), Ok(()));
    assert_eq!(shield.remembered(), (0, 2));
}

#[test]
fn failed_proofs_slow_their_source_alone() {
    let shield = shield();
    let from = peer(PEER);
    let proof = ["authorization: Bearer x"];
    for _ in 0..limits::FAILED_PROOFS_PER_MINUTE {
        assert!(shield.screen(plain(&proof), (), &from, 0).is_ok());
        assert_eq!(shield.failed_proof(from.address.ip(), 0), Ok(()));
    }
    let blocked = shield.failed_proof(from.address.ip(), 0).unwrap_err();
    assert_eq!(blocked, Blocked::FailedProofs { retry_after_ms: 1_000 });
    assert!(shield.screen(plain(&proof), (), &from, 0).is_ok(), "one that holds is still taken");
    assert_eq!(shield.failed_proof(peer("192.0.2.8:1").address.ip(), 0), Ok(()));
    assert_eq!(shield.failed_proof(from.address.ip(), 1_000), Ok(()));
}

/// Whoever guesses at one name from many addresses is slowed, and nobody with another name.
#[test]
fn failed_proofs_slow_whom_they_claim_to_be() {
    let shield = shield();
    for _ in 0..limits::FAILED_CLAIMS_PER_MINUTE {
        assert_eq!(shield.failed_claim("default/corp:alice", 0), Ok(()));
    }
    let blocked = shield.failed_claim("default/corp:alice", 0).unwrap_err();
    assert_eq!(blocked, Blocked::FailedClaims { retry_after_ms: 500 });
    assert_eq!((blocked.status(), blocked.retry_after_s()), (429, Some(1)));
    assert_eq!(shield.failed_claim("default/corp:bob", 0), Ok(()));
    assert_eq!(shield.failed_claim("default/corp:alice", 500), Ok(()));
}

#[test]
fn the_firewall_stands_first() {
    let at = crate::At { now: model::Timestamp::default(), now_ms: 0 };
    let list = |text: &str| crate::Firewall::new(&[], &[text.parse().unwrap()], at);
    let lists = Lists { node: list("192.0.2.0/24"), control: list("198.51.100.0/24"), ..Lists::default() };
    let shield = Shield::new(ShieldConfig { lists, ..ShieldConfig::default() });
    let got = shield.screen(plain(&[]), (), &peer(PEER), 0).map(|_| ());
    assert_eq!(got, Err(Blocked::Firewall));
    let admit = |port, text: &str| shield.admit_peer(port, text.parse().unwrap(), 0);
    for port in [Port::Data, Port::Control] {
        assert_eq!(admit(port, "192.0.2.1"), Err(Blocked::Firewall));
        assert_eq!(admit(port, "203.0.113.1"), Ok(()));
    }
    assert_eq!(admit(Port::Data, "198.51.100.1"), Ok(()));
    assert_eq!(admit(Port::Control, "198.51.100.1"), Err(Blocked::Firewall));
    shield.replace_lists(Lists::default());
    assert_eq!(admit(Port::Control, "192.0.2.1"), Ok(()));
    assert_eq!(shield.remembered(), (0, 0), "a refused peer takes no room");
}

/// Not a benchmark: a bound that a slow path would break even on a busy machine.
#[test]
fn screening_is_quick() {
    let shield = Shield::new(ShieldConfig { source_rate: (u32::MAX, u32::MAX), ..ShieldConfig::default() });
    let from = peer(PEER);
    let times = 100_000_u32;
    let heads: Vec<_> = (0..times).map(|_| plain(&["accept: */*", "user-agent: curl/8.5"])).collect();
    let start = std::time::Instant::now();
    for (now_ms, head) in (0..).zip(heads) {
        assert!(shield.screen(head, (), &from, now_ms).is_ok());
    }
    let each_ns = start.elapsed().as_nanos() / u128::from(times);
    let start = std::time::Instant::now();
    (0..u64::from(times)).for_each(|now_ms| assert!(shield.admit_caller("User::\"a/b\"", now_ms).is_ok()));
    let caller_ns = start.elapsed().as_nanos() / u128::from(times);
    println!("screen: {each_ns} ns, admit_caller: {caller_ns} ns");
    assert!(each_ns < 20_000 && caller_ns < 10_000, "{each_ns} ns, {caller_ns} ns");
}

#[test]
fn a_call_between_functions_is_read_as_strictly_and_costs_its_source_nothing() {
    let shield = Shield::new(ShieldConfig { source_rate: (1, 1), ..ShieldConfig::default() });
    let host = ["host: orders.function.internal"];
    let ask = |target: &str, lines: &[&str]| {
        let head = request("GET", target, lines).unwrap();
        let got = shield.screen_within(head, (), &peer(PEER));
        got.as_ref().map_or_else(Blocked::code, |_| "ok")
    };
    for _ in 0..10 {
        assert_eq!(ask("/orders", &host), "ok");
    }
    for (target, lines, code) in [
        ("/orders/../admin", &host[..], "target-ambiguous"),
        ("/orders/%2e%2e/admin", &host, "target-ambiguous"),
        ("/orders", &[], "host-ambiguous"),
        ("/orders", &["host: a", "host: b"], "host-ambiguous"),
        ("/orders", &["host: a", "content-length: 1", "content-length: 2"], "framing-ambiguous"),
    ] {
        assert_eq!(ask(target, lines), code, "{target} {lines:?}");
    }
    let outside = request("GET", "/orders", &host).unwrap();
    assert!(shield.screen(outside, (), &peer(PEER), 0).is_ok(), "its rate was not touched");
}

#[test]
fn who_asks_how_to_log_in_is_slowed() {
    let shield = Shield::new(ShieldConfig::default());
    let from = peer("192.0.2.7:1").address.ip();
    for _ in 0..model::limits::LOGIN_ASKS_PER_MINUTE {
        assert_eq!(shield.login_asked(from, 0), Ok(()));
    }
    assert_eq!(shield.login_asked(from, 0).unwrap_err().code(), "source-rate");
    assert_eq!(shield.login_asked(peer("192.0.2.8:1").address.ip(), 0), Ok(()));
    assert_eq!(shield.login_asked(from, 60_000), Ok(()));
}
