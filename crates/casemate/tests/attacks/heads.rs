//! Clients whose heads are none, or could be several.

use std::time::Duration;

use crate::line::Site;

/// Garbage in place of a request, alone and behind one that is well.
#[test]
fn pipelined_garbage() {
    let site = Site::start();
    let well = site.head("GET /echo/first") + "\r\n";
    for garbage in [
        "nonsense\r\n\r\n",
        "GET /echo\r\n\r\n",
        "GET /echo HTTP/1.1\nhost: localhost\n\n",
        "GET /echo HTTP/1.1\r\nhost : localhost\r\n\r\n",
        "GET /echo HTTP/1.1\r\nhost: localhost\r\n folded: x\r\n\r\n",
        "GET /echo HTTP/1.1\r\nhost: localhost\r\nx: a\rb\r\n\r\n",
        "GET /echo HTTP/1.1\r\nhost: localhost\r\nx: \0\r\n\r\n",
        "GET /echo HTTP/1.1\r\nhost: localhost\r\n: x\r\n\r\n",
        "\r\n\r\n\r\n",
        "\x16\x03\x01\x02\x00",
        "{\"json\": true}\r\n\r\n",
        "0\r\n\r\n",
    ] {
        site.refuses(garbage, 400, "head-malformed");
        let before = site.runs();
        let heard = site.exchange(format!("{well}{well}{garbage}{}", site.smuggled()));
        assert_eq!(heard.statuses(), [200, 200, 400], "{garbage:?}: {heard:?}");
        heard.is_problem("head-malformed");
        assert_eq!(site.runs(), before + 2, "{garbage:?}: what is behind it was run");
    }
    site.left("head-malformed");
    site.is_well();
}

#[test]
fn versions_that_are_not_spoken() {
    let site = Site::start();
    for version in ["HTTP/0.9", "HTTP/1.2", "HTTP/2.0", "HTTP/3.0"] {
        site.refuses(format!("GET /echo {version}\r\nhost: localhost\r\n\r\n"), 505, "version-refused");
    }
    let older = site.exchange("GET /echo HTTP/1.0\r\nhost: localhost\r\n\r\n");
    assert!(older.text.starts_with("HTTP/1.0 505 ") && older.text.contains("version-refused"), "{older:?}");
    site.refuses("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "version-refused");
    site.left("version-refused");
    site.is_well();
}

#[test]
fn heads_without_end() {
    let site = Site::start();
    let many = "x: y\r\n".repeat(10_000);
    site.refuses(site.head("GET /echo") + &many + "\r\n", 431, "too-many-headers");
    let large = format!("x: {}\r\n\r\n", "y".repeat(300_000));
    site.refuses(site.head("GET /echo") + &large, 431, "headers-too-large");
    site.refuses(site.head(&format!("GET /echo/{}", "a".repeat(300_000))) + "\r\n", 414, "target-too-long");
    for code in ["too-many-headers", "headers-too-large", "target-too-long"] {
        site.left(code);
    }
    assert_eq!(site.runs(), 0);
    site.is_well();
}

/// A byte now and then: the head has its time from its first byte, however many come in between.
#[test]
fn slow_headers() {
    let site = Site::start();
    let mut line = site.secure("http/1.1");
    line.send(b"GET /echo HTTP/1.1\r\nhost: localhost\r\nx: ").unwrap();
    std::thread::scope(|scope| {
        let friendly = scope.spawn(|| (0..5).for_each(|_| site.is_well()));
        for _ in 0..40 {
            std::thread::sleep(Duration::from_millis(500));
            if line.send(b"y").is_err() {
                break;
            }
        }
        friendly.join().unwrap();
    });
    let heard = line.hear();
    assert_eq!(heard.statuses(), [408], "{heard:?}");
    heard.is_problem("head-slow");
    site.left("head-slow");
    site.is_well();
}
