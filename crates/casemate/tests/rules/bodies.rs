//! Bodies that rules look at, up to a bound, and what becomes of the rest.

use super::{FORM, JSON, Site};

const ATTACK: &str = "1' UNION SELECT password FROM users-- -";

#[test]
fn long_bodies() {
    let site = Site::start("");
    let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(200_000));
    site.check(("POST", "/echo"), JSON, long.as_bytes(), 413, "body-not-inspected");
    let hidden = format!(r#"{{"a":"{}","q":"{ATTACK}"}}"#, "x".repeat(100_000));
    site.check(("POST", "/echo"), JSON, hidden.as_bytes(), 403, "rule-matched");
    let binary = [("content-type", "application/octet-stream")];
    let picture = vec![7_u8; 1_000_000];
    let answer = site.ask(("POST", "/echo"), &binary, &picture);
    assert_eq!((answer.status, answer.body == picture), (200, true), "what no rule reads passes whole");
    site.deploy("body_over = \"pass\"");
    let answer = site.ask(("POST", "/echo"), JSON, long.as_bytes());
    assert_eq!(
        (answer.status, answer.body == long.as_bytes()),
        (200, true),
        "the rest follows what was seen"
    );
    let early = format!(r#"{{"q":"{ATTACK}","a":"{}"}}"#, "x".repeat(200_000));
    site.check(("POST", "/echo"), JSON, early.as_bytes(), 403, "rule-matched");
    site.deploy("body_bytes = 1024\nbody_over = \"refuse\"");
    site.check(("POST", "/echo"), &binary, &[0; 2_000], 413, "body-not-inspected");
    site.check(("POST", "/echo"), FORM, b"a=b", 200, "");
}

#[test]
fn packed_bodies() {
    use std::io::Write;
    let site = Site::start("");
    let pack = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let packed: &[(&str, &str)] = &[JSON[0], ("content-encoding", "gzip")];
    let attack = pack(format!(r#"{{"q":"{ATTACK}"}}"#).as_bytes());
    site.check(("POST", "/echo"), packed, &attack, 403, "rule-matched");
    let friendly = pack(br#"{"q":"a lamp"}"#);
    site.check(("POST", "/echo"), packed, &friendly, 200, "");
    // A thousand to one: what is unpacked is bounded, and what is not unpacked is not let through.
    let bomb = pack(&vec![b' '; 50 << 20]);
    assert!(bomb.len() < 60_000);
    site.check(("POST", "/echo"), packed, &bomb, 403, "rule-matched");
    site.check(("POST", "/echo"), packed, b"this is not gzip", 403, "rule-matched");
}
