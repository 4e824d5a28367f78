//! Clients who speak no TLS, or nothing at all.

use std::{
    io::{Read, Write},
    time::Duration,
};

use crate::line::{Heard, Site};

fn heard(mut stream: std::net::TcpStream) -> Heard {
    let mut bytes = Vec::new();
    // A refusal may end with a reset: what came before it counts.
    let _ended = stream.read_to_end(&mut bytes);
    Heard { text: String::from_utf8_lossy(&bytes).into_owned() }
}

#[test]
fn plain_http_on_the_tls_port() {
    let site = Site::start();
    let mut stream = site.plain();
    stream.write_all(site.smuggled().as_bytes()).unwrap();
    let heard = heard(stream);
    assert_eq!(heard.statuses(), [400], "{heard:?}");
    heard.is_problem("plain-http");
    assert!(heard.text.contains("https://"), "{heard:?}");
    site.left("plain-http");
    assert_eq!(site.runs(), 0);
    site.is_well();
}

#[test]
fn bad_tls() {
    let site = Site::start();
    for sent in [
        &b"\x00\x01\x02\x03"[..],
        b"\x80\x2e\x01\x00\x02",
        b"SSH-2.0-client\r\n".to_ascii_lowercase().as_slice(),
        b"\x16\x03\x01\x00\x05\xff\xff\xff\xff\xff",
        b"\x16\x03\x01\xff\xff\x01\x00\x00",
        b"\x16\x03\x01\x00\x00",
        b"\x16\x01\x01\x00\x05hello",
    ] {
        let mut stream = site.plain();
        stream.write_all(sent).unwrap();
        // The node may have ended it already.
        let _ended = stream.shutdown(std::net::Shutdown::Write);
        let heard = heard(stream);
        assert!(heard.statuses().is_empty(), "{sent:?}: {heard:?}");
    }
    site.left("handshake-failed");
    site.is_well();
}

/// Many connections that carry nothing take nobody's place. A short form; the soak holds ten times as many.
#[test]
fn idle_connections() {
    let site = Site::start();
    let mut idle: Vec<_> = (0..900).map(|_| site.plain()).collect();
    site.is_well();
    for (n, stream) in idle.iter_mut().enumerate().filter(|(n, _)| n % 3 == 0) {
        let _sent = stream.write_all(&b"\x16\x03\x01\x02\x00\x01"[..n % 6]);
    }
    for _ in 0..5 {
        site.is_well();
    }
    let secure: Vec<_> = (0..50).map(|_| site.secure("http/1.1")).collect();
    site.is_well();
    drop((idle, secure));
    site.is_well();
}

/// Whoever opens connections faster than it may waits for itself: those who are connected, and operators at their own
/// port, do not notice.
#[test]
fn a_flood_of_connections() {
    let site = Site::configured("[rates]\nconnections_per_second = 10\nconnections_at_once = 20\n", "");
    let mut friend = site.secure("http/1.1");
    let request = site.head("GET /echo/friend") + "\r\n";
    let mut is_served = || {
        friend.send(request.as_bytes()).unwrap();
        assert_eq!(friend.answer().statuses(), [200]);
    };
    is_served();
    let mut flood: Vec<_> = (0..200).map(|_| site.plain()).collect();
    for stream in &mut flood {
        // The node may have ended it already.
        let _sent = stream.write_all(b"\x16\x03\x01");
    }
    site.left("connection-rate");
    for _ in 0..20 {
        is_served();
    }
    drop(flood);
    // Somebody else of that address stands in their line, which is full for as long as they push.
    std::thread::sleep(Duration::from_secs(1));
    site.is_well();
}
