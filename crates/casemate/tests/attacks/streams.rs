//! Clients of HTTP/2 who send what costs them nothing and the node something, frame by frame.

use crate::line::{Line, Site};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// RFC 9113 §7.
const ENHANCE_YOUR_CALM: u32 = 11;
const REFUSED_STREAM: u32 = 7;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Literals without indexing (RFC 7541 §6.2.2).
fn block(lines: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in lines {
        bytes.push(0);
        for text in [name, value] {
            let mut length = text.len();
            if length < 127 {
                bytes.push(u8::try_from(length).unwrap());
            } else {
                bytes.push(127);
                length -= 127;
                while length >= 128 {
                    bytes.push(u8::try_from(length % 128 + 128).unwrap());
                    length /= 128;
                }
                bytes.push(u8::try_from(length).unwrap());
            }
            bytes.extend(text.as_bytes());
        }
    }
    bytes
}

impl Site {
    fn block(&self, method: &str, path: &str) -> Vec<u8> {
        let bearer = format!("Bearer {}", self.token);
        let head = [(":method", method), (":scheme", "https"), (":path", path), (":authority", "localhost")];
        block(&[&head[..], &[("authorization", &bearer)]].concat())
    }

    /// A connection on which both sides have said hello.
    fn h2(&self) -> Line {
        let mut line = self.secure("h2");
        line.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
        line.send(&frame(SETTINGS, 0, 0, &[])).unwrap();
        line
    }

    /// A client of its own kind floods until the connection ends; a friendly caller is served meanwhile and
    /// afterwards. The answer: what the node sent.
    fn flood(&self, mut next: impl FnMut(u32) -> Vec<u8> + Send) -> Vec<Frame> {
        let mut line = self.h2();
        std::thread::scope(|scope| {
            let friendly = scope.spawn(|| (0..3).for_each(|_| self.is_well()));
            for n in 0..4_000 {
                if line.send(&next(n)).is_err() {
                    break;
                }
            }
            let mut bytes = Vec::new();
            line.hear_until(&mut bytes, |_| false);
            friendly.join().unwrap();
            self.is_well();
            frames(&bytes)
        })
    }
}

#[derive(Debug)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Frame {
    fn error(&self) -> Option<u32> {
        let at = match self.kind {
            RST_STREAM => 0,
            GOAWAY => 4,
            _ => return None,
        };
        Some(u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap()))
    }
}

/// The whole frames of what came.
fn frames(mut bytes: &[u8]) -> Vec<Frame> {
    let mut found = Vec::new();
    while let [a, b, c, kind, flags, s, t, u, v, rest @ ..] = bytes {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let Some(payload) = rest.get(..length) else { break };
        let stream = u32::from_be_bytes([*s, *t, *u, *v]);
        found.push(Frame { kind: *kind, flags: *flags, stream, payload: payload.to_vec() });
        bytes = &rest[length..];
    }
    found
}

fn says_goodbye(frames: &[Frame], error: u32) -> bool {
    frames.iter().any(|frame| frame.kind == GOAWAY && frame.error() == Some(error))
}

/// CVE-2023-44487.
#[test]
fn rapid_reset() {
    let site = Site::start();
    let head = site.block("GET", "/echo/reset");
    let sent = site.flood(|n| {
        let stream = 2 * n + 1;
        let mut bytes = frame(HEADERS, END_STREAM | END_HEADERS, stream, &head);
        bytes.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
        bytes
    });
    // The goodbye may be lost with the connection; the record is not.
    let calmed = says_goodbye(&sent, ENHANCE_YOUR_CALM);
    site.left("h2-flood");
    assert!(calmed || !sent.iter().any(|frame| frame.kind == GOAWAY), "{:?}", sent.last());
    assert!(site.runs() < 900, "every reset request was run");
}

/// CVE-2024-27316 and its kin.
#[test]
fn continuation_flood() {
    let site = Site::start();
    let head = site.block("GET", "/echo/continued");
    let more = block(&[("x", &"y".repeat(1_000))]);
    site.flood(|n| match n {
        0 => frame(HEADERS, END_STREAM, 1, &head),
        _ => frame(CONTINUATION, 0, 1, &more),
    });
    site.left("h2-flood");
    site.flood(|n| match n {
        0 => frame(HEADERS, END_STREAM, 1, &head),
        _ => frame(CONTINUATION, 0, 1, &[]),
    });
    // Those of the friendly callers alone.
    assert!(site.runs() <= 8, "the head that never ended was run");
}

/// CVE-2019-9512, 9515, 9518 and their kin: frames that carry nothing.
#[test]
fn floods_of_nothing() {
    let site = Site::start();
    let open = site.block("PUT", "/only");
    type Make = fn() -> Vec<u8>;
    let cases: [(&str, Make); 6] = [
        ("ping", || frame(PING, 0, 0, &[7; 8])),
        ("settings", || frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0])),
        ("window", || frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes())),
        ("priority", || frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 1])),
        ("empty data", || frame(DATA, 0, 1, &[])),
        ("unknown", || frame(0xfa, 0, 0, &[])),
    ];
    for (what, make) in cases {
        let opened = frame(HEADERS, END_HEADERS, 1, &open);
        let sent = site.flood(|n| if n == 0 && what == "empty data" { opened.clone() } else { make() });
        assert!(sent.iter().all(|frame| frame.kind != HEADERS || frame.stream == 1), "{what}: {sent:?}");
    }
    site.left("h2-flood");
}

/// Frames that break the rules.
#[test]
fn frames_that_are_none() {
    let site = Site::start();
    let head = site.block("GET", "/echo/broken");
    let pseudo = block(&[(":method", "GET"), (":path", "/echo"), (":scheme", "https"), (":path", "/only")]);
    for (what, bytes) in [
        ("a window that overflows", frame(WINDOW_UPDATE, 0, 0, &0x7fff_ffff_u32.to_be_bytes()).repeat(2)),
        ("a window of nothing", frame(WINDOW_UPDATE, 0, 0, &[0; 4])),
        ("a ping of a wrong length", frame(PING, 0, 0, &[0; 7])),
        ("settings of a stream", frame(SETTINGS, 0, 1, &[])),
        ("data of no stream", frame(DATA, END_STREAM, 0, b"x")),
        ("data of an idle stream", frame(DATA, END_STREAM, 7, b"x")),
        ("a stream of the server's", frame(HEADERS, END_STREAM | END_HEADERS, 2, &head)),
        ("a frame that is too long", frame(DATA, 0, 1, &[0; 20_000])),
        ("headers that do not decode", frame(HEADERS, END_STREAM | END_HEADERS, 1, &[0xff; 30])),
        ("the rest of no head", frame(CONTINUATION, END_HEADERS, 1, &head)),
        ("two paths", frame(HEADERS, END_STREAM | END_HEADERS, 1, &pseudo)),
    ] {
        let mut line = site.h2();
        line.send(&bytes).unwrap();
        let mut heard = Vec::new();
        line.hear_until(&mut heard, |heard| frames(heard).iter().any(|frame| frame.error().is_some()));
        let found = frames(&heard);
        let error = found.iter().find_map(Frame::error);
        assert!(error.is_some_and(|error| error != 0), "{what}: {found:?}");
        assert!(!found.iter().any(|f| f.kind == HEADERS && f.flags & END_STREAM == 0), "{what}: {found:?}");
    }
    site.left("h2-malformed");
    assert_eq!(site.runs(), 0);
    site.is_well();
}

#[test]
fn more_streams_than_may_be() {
    let site = Site::start();
    let head = site.block("PUT", "/only");
    let mut line = site.h2();
    let all: Vec<u8> = (0..300).flat_map(|n| frame(HEADERS, END_HEADERS, 2 * n + 1, &head)).collect();
    line.send(&all).unwrap();
    let mut heard = Vec::new();
    line.hear_until(&mut heard, |heard| {
        frames(heard).iter().any(|frame| matches!(frame.error(), Some(REFUSED_STREAM | ENHANCE_YOUR_CALM)))
    });
    site.is_well();
    drop(line);
    site.left("h2-too-many-streams");
    site.is_well();
}

#[test]
fn headers_that_are_too_large() {
    let site = Site::start();
    let large = [site.block("GET", "/echo"), block(&[("x", &"y".repeat(12_000))]).repeat(8)].concat();
    let mut line = site.h2();
    let mut parts = large.chunks(16_000).enumerate().peekable();
    while let Some((n, part)) = parts.next() {
        let ends = if parts.peek().is_none() { END_HEADERS } else { 0 };
        let bytes = match n {
            0 => frame(HEADERS, END_STREAM | ends, 1, part),
            _ => frame(CONTINUATION, ends, 1, part),
        };
        line.send(&bytes).unwrap();
    }
    let mut heard = Vec::new();
    line.hear_until(&mut heard, |heard| {
        frames(heard).iter().any(|f| f.kind == HEADERS || f.error().is_some())
    });
    site.left("headers-too-large");
    assert_eq!(site.runs(), 0);
    site.is_well();
}

/// A client that lets no answer through holds nothing but its own.
#[test]
fn a_window_that_is_shut() {
    let site = Site::start();
    let head = site.block("GET", "/echo/shut");
    let mut line = site.secure("h2");
    line.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    // SETTINGS_INITIAL_WINDOW_SIZE: 0.
    line.send(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])).unwrap();
    for n in 0..100 {
        line.send(&frame(HEADERS, END_STREAM | END_HEADERS, 2 * n + 1, &head)).unwrap();
    }
    let mut heard = Vec::new();
    line.hear_until(&mut heard, |heard| {
        let heads = frames(heard).iter().filter(|frame| frame.kind == HEADERS).count();
        heads >= 100
    });
    assert!(frames(&heard).iter().all(|frame| frame.kind != DATA || frame.payload.is_empty()), "it was sent");
    site.is_well();
    drop(line);
    site.is_well();
}
