//! The one encoding: what it looks like, what it refuses to read, and what no field can do to it.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use model::{RequestId, Timestamp, Usage};
use proptest::{prelude::*, test_runner::TestRunner};

use crate::*;

fn sample() -> Event {
    Event {
        tenant: Some("default".parse().unwrap()),
        request: Some(RequestId::from_parts(Timestamp::from_unix_ms(1_795_000_000_000), 42)),
        principal: "User::\"default/alice\"".into(),
        action: "invoke".into(),
        resource: "Function::\"default/hello\"".into(),
        allowed: true,
        policies: vec!["owner-may-all".into(), "hello/route".into()],
        code: "ok".into(),
        source: Some("192.0.2.7".parse().unwrap()),
        ..Event::new(Timestamp::from_unix_ms(1_795_000_000_123), Kind::Decision)
    }
}

fn leaf(event: &Event, sequence: u64) -> Vec<u8> {
    let mut out = Vec::new();
    event.encode(sequence, &mut out);
    out
}

fn text_of(event: &Event) -> String {
    String::from_utf8(leaf(event, 7)).unwrap()
}

#[test]
fn a_leaf_looks_like_this() {
    let check = |event: &Event, expect: &str| {
        assert_eq!(text_of(event), expect);
        assert_eq!(Event::decode(expect.as_bytes()), Ok((7, event.clone())));
    };
    check(
        &sample(),
        r#"{"v":1,"seq":7,"time":"2026-11-18T11:06:40.123Z","tenant":"default","request":"01m7q5cqg0000000000000001a","kind":"decision","principal":"User::\"default/alice\"","action":"invoke","resource":"Function::\"default/hello\"","allowed":true,"policies":["owner-may-all","hello/route"],"code":"ok","source":"192.0.2.7"}"#,
    );
    let hop = Event {
        principal: "Function::\"default/front\"".into(),
        on_behalf_of: "User::\"default/alice\"".into(),
        chain: vec!["default/front@r3".into()],
        ..sample()
    };
    check(
        &hop,
        r#"{"v":2,"seq":7,"time":"2026-11-18T11:06:40.123Z","tenant":"default","request":"01m7q5cqg0000000000000001a","kind":"decision","principal":"Function::\"default/front\"","on_behalf_of":"User::\"default/alice\"","chain":["default/front@r3"],"action":"invoke","resource":"Function::\"default/hello\"","allowed":true,"policies":["owner-may-all","hello/route"],"code":"ok","source":"192.0.2.7"}"#,
    );
    let seen = Event { asked: "{\"tls\":true}".into(), ..hop.clone() };
    check(
        &seen,
        r#"{"v":3,"seq":7,"time":"2026-11-18T11:06:40.123Z","tenant":"default","request":"01m7q5cqg0000000000000001a","kind":"decision","principal":"Function::\"default/front\"","on_behalf_of":"User::\"default/alice\"","chain":["default/front@r3"],"action":"invoke","resource":"Function::\"default/hello\"","asked":"{\"tls\":true}","allowed":true,"policies":["owner-may-all","hello/route"],"code":"ok","source":"192.0.2.7"}"#,
    );
    for other in ["\"v\":1", "\"v\":3"] {
        let text = text_of(&hop).replace("\"v\":2", other);
        assert!(Event::decode(text.as_bytes()).is_err(), "{text}");
    }
    check(
        &Event::new(Timestamp::from_unix_ms(0), Kind::Node),
        r#"{"v":1,"seq":7,"time":"1970-01-01T00:00:00.000Z","kind":"node","principal":"","action":"","resource":"","allowed":false,"code":""}"#,
    );
    let usage =
        Usage { cpu_us: 1, wall_us: 2, memory_bytes_peak: u64::MAX, outbound_calls: 9, ..Usage::default() };
    let run = Event {
        code: "cpu-limit".into(),
        detail: "stopped".into(),
        usage: Some(usage),
        source: Some("2001:db8::1".parse().unwrap()),
        ..Event::new(Timestamp::from_unix_ms(951_782_400_000), Kind::Run)
    };
    check(
        &run,
        r#"{"v":1,"seq":7,"time":"2000-02-29T00:00:00.000Z","kind":"run","principal":"","action":"","resource":"","allowed":false,"code":"cpu-limit","detail":"stopped","source":"2001:db8::1","usage":{"cpu_us":1,"wall_us":2,"memory_bytes_peak":18446744073709551615,"host_calls":0,"request_bytes":0,"response_bytes":0,"log_bytes":0,"log_bytes_dropped":0,"outbound_calls":9}}"#,
    );
}

#[test]
fn times_are_written_as_everywhere_else() {
    let same = |ms: u64| {
        let at = Timestamp::from_unix_ms(ms);
        let text = text_of(&Event::new(at, Kind::Node));
        prop_assert!(text.contains(&format!("\"time\":\"{at}\"")), "{text} is not of {at}");
        Ok(())
    };
    TestRunner::default().run(&(0..=253_402_207_199_999_u64), same).unwrap();
    for ms in [0, 999, 86_399_999, 86_400_000, 1_709_164_800_000, 4_107_542_400_000, 253_402_207_199_999] {
        same(ms).unwrap();
    }
    assert!(
        text_of(&Event::new(Timestamp::from_unix_ms(u64::MAX), Kind::Node))
            .contains("9999-12-30T21:59:59.999Z")
    );
}

#[test]
fn no_field_breaks_its_line_or_deceives_a_reader() {
    let check = |text: &str, expect: &str| {
        let event = Event { detail: text.into(), ..sample() };
        let leaf = text_of(&event);
        assert!(leaf.contains(&format!("\"detail\":\"{expect}\"")), "{leaf}");
        assert_eq!(Event::decode(leaf.as_bytes()), Ok((7, event)), "it reads back as it was");
    };
    check("plain, ünïcode, 日本, 🦀", "plain, ünïcode, 日本, 🦀");
    check("a\nb\r\nc\td", "a\\u000ab\\u000d\\u000ac\\u0009d");
    check("\",\"allowed\":true,\"x\":\"", "\\\",\\\"allowed\\\":true,\\\"x\\\":\\\"");
    check("back\\slash", "back\\\\slash");
    check("\0\u{1b}[2J\u{7f}\u{85}", "\\u0000\\u001b[2J\\u007f\\u0085");
    check("\u{2028}\u{2029}", "\\u2028\\u2029");
    check("\u{202e}txt.exe\u{2066}\u{200f}\u{61c}", "\\u202etxt.exe\\u2066\\u200f\\u061c");
    check("zero\u{200b}width\u{feff}", "zero\\u200bwidth\\ufeff");
}

#[test]
fn long_fields_are_cut_and_say_so() {
    let check = |change: &dyn Fn(&mut Event, Arc<str>), name: &str, most: usize| {
        for filler in ["x", "ü", "日", "🦀", "\0"] {
            let mut event = sample();
            change(&mut event, filler.repeat(most).into());
            let leaf = leaf(&event, 7);
            let (_, cut) = Event::decode(&leaf).unwrap();
            let json: serde_json::Value = serde_json::from_slice(&leaf).unwrap();
            let value = json[name].as_str().or(json[name][0].as_str()).unwrap().to_string();
            assert!(value.len() <= most, "{name} has {} bytes", value.len());
            assert_eq!(value.ends_with('…'), filler.len() > 1, "{name} of `{filler}`");
            let mut again = Vec::new();
            cut.encode(7, &mut again);
            assert_eq!(again, leaf, "cutting twice is cutting once");
        }
    };
    check(&|e, t| e.principal = t, "principal", 256);
    check(&|e, t| e.action = t.to_string().into(), "action", 64);
    check(&|e, t| e.resource = t, "resource", 512);
    check(&|e, t| e.code = t.to_string().into(), "code", 64);
    check(&|e, t| e.detail = t, "detail", 1024);
    check(&|e, t| e.asked = t, "asked", 1024);
    check(&|e, t| e.policies = vec![t], "policies", 128);
    check(&|e, t| e.on_behalf_of = t, "on_behalf_of", 256);
    check(&|e, t| e.chain = vec![t], "chain", 160);
    let many = Event { policies: vec!["p".into(); 100], ..sample() };
    let (_, cut) = Event::decode(&leaf(&many, 7)).unwrap();
    assert_eq!((cut.policies.len(), cut.policies.last().unwrap().as_ref()), (32, "…"));
    let worst: Arc<str> = "\0".repeat(5000).into();
    let worst = Event {
        principal: worst.clone(),
        on_behalf_of: worst.clone(),
        chain: vec![worst.clone(); 40],
        action: worst.to_string().into(),
        resource: worst.clone(),
        code: worst.to_string().into(),
        detail: worst.clone(),
        policies: vec![worst; 40],
        usage: Some(Usage { cpu_us: u64::MAX, ..Usage::default() }),
        ..sample()
    };
    assert!(leaf(&worst, u64::MAX).len() <= LEAF_BYTES_MAX);
}

#[test]
fn only_the_one_encoding_is_read() {
    let good = String::from_utf8(leaf(&sample(), 7)).unwrap();
    assert!(Event::decode(good.as_bytes()).is_ok());
    let check = |altered: String| {
        assert_ne!(altered, good, "the case changes nothing");
        assert!(Event::decode(altered.as_bytes()).is_err(), "{altered}");
    };
    check(format!(" {good}"));
    check(format!("{good}\n"));
    check(good.replace(":7,", ": 7,"));
    check(good.replace(":7,", ":07,"));
    check(good.replace(":7,", ":7.0,"));
    check(good.replace("\"v\":1", "\"v\":2"));
    check(good.replace("\"v\":1,\"seq\":7", "\"seq\":7,\"v\":1"));
    check(good.replace("alice", "\\u0061lice"));
    check(good.replace("invoke", "inv\noke"));
    check(good.replace("invoke", "inv\\noke"));
    check(good.replace("invoke", "inv\\u000Aoke"));
    check(good.replace("invoke", &"x".repeat(65)));
    check(good.replace(".123Z", ".123000Z"));
    check(good.replace(".123Z", ".123+00:00"));
    check(good.replace("decision", "decisions"));
    check(good.replace("\"allowed\":true", "\"allowed\":true,\"allowed\":true"));
    check(good.replace("\"code\"", "\"more\":1,\"code\""));
    check(good.replace("\"code\":\"ok\"", "\"code\":\"ok\",\"detail\":\"\""));
    check(good.replace("\"code\":\"ok\"", "\"code\":\"ok\",\"usage\":null"));
    check(good.replace("192.0.2.7", "::ffff:192.0.2.7 "));
    check(good.replace("2001", "02001").replace("default", "Default"));
    check(good[..good.len() - 1].to_string());
    check(String::new());
    check("x".repeat(LEAF_BYTES_MAX + 1));
    let hostile = |bytes: Vec<u8>| {
        if let Ok((sequence, event)) = Event::decode(&bytes) {
            prop_assert_eq!(leaf(&event, sequence), bytes);
        }
        Ok(())
    };
    TestRunner::default().run(&proptest::collection::vec(any::<u8>(), 0..200), hostile).unwrap();
    // Nearly right leaves find more than noise does.
    let near = (0..good.len(), any::<u8>()).prop_map(|(at, byte)| {
        let mut bytes = good.clone().into_bytes();
        bytes[at] = byte;
        bytes
    });
    TestRunner::default().run(&near, hostile).unwrap();
}

#[test]
fn any_event_reads_back() {
    let text = || any::<String>().prop_map(|text| Arc::<str>::from(text.as_str()));
    let parts =
        (0..253_402_207_200_000_u64, text(), text(), proptest::collection::vec(text(), 0..4), any::<u64>());
    let reads = |(ms, one, two, policies, sequence): (u64, Arc<str>, Arc<str>, Vec<Arc<str>>, u64)| {
        let mut event = Event::new(Timestamp::from_unix_ms(ms), Kind::ALL[(ms % 10) as usize]);
        (event.detail, event.principal, event.policies) = (one, two, policies);
        let encoded = leaf(&event, sequence);
        prop_assert!(!encoded.iter().any(|b| *b < 0x20 || *b == 0x7f), "a control character got through");
        let (found, decoded) = Event::decode(&encoded).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(found, sequence);
        prop_assert_eq!(leaf(&decoded, sequence), encoded);
        Ok(())
    };
    TestRunner::default().run(&parts, reads).unwrap();
}

#[test]
fn a_leaf_is_hashed_as_rfc_6962_says() {
    // RFC 6962 §2.1: the hash of an empty leaf is SHA-256 of one zero byte.
    let empty = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";
    assert_eq!(leaf_hash(b"").hex(), empty);
    assert_eq!(leaf_hash(b"ab"), keyring::sha256(b"\0ab"));
}

fn segment(first: u64, count: usize) -> Bytes {
    let mut writer = SegmentWriter::new(first);
    for n in 0..count {
        assert_eq!(writer.push(&sample()), Ok(first + n as u64));
    }
    writer.finish()
}

#[test]
fn a_segment_gives_its_events_back() {
    for count in [0, 1, 100] {
        let read = Segment::decode(segment(5, count)).unwrap();
        assert_eq!((read.first(), read.leaves().len()), (5, count));
        let events: Vec<_> = read.events().map(Result::unwrap).collect();
        assert!(
            events.iter().enumerate().all(|(n, (seq, event))| *seq == 5 + n as u64 && *event == sample())
        );
        let newest = read.events().next_back().map(|last| last.unwrap().0);
        assert_eq!(newest, (count > 0).then(|| 4 + count as u64));
    }
    let mut writer = SegmentWriter::new(1);
    let mut count = 0;
    while writer.push(&sample()).is_ok() {
        count += 1;
    }
    assert_eq!((writer.len(), writer.next()), (count, count as u64 + 1));
    let bytes = writer.finish();
    assert!(count > 10_000 && bytes.len() <= SEGMENT_BYTES_MAX);
    assert_eq!(Segment::decode(bytes).unwrap().leaves().len(), count, "a full segment reads back");
}

#[test]
fn only_a_whole_segment_is_read() {
    let good = segment(5, 3);
    let check = |bytes: Vec<u8>, expect: SegmentError| {
        assert_eq!(Segment::decode(bytes.into()), Err(expect));
    };
    for length in 1..good.len() {
        check(good[..length].to_vec(), SegmentError::Short);
    }
    check(Vec::new(), SegmentError::Format);
    check([&[2], &good[1..]].concat(), SegmentError::Format);
    check([&good[..], b"x"].concat(), SegmentError::Trailing);
    check(vec![1; SEGMENT_BYTES_MAX + 1], SegmentError::Bounds);
    let with = |at: usize, bytes: &[u8]| {
        let mut altered = good.to_vec();
        altered[at..at + bytes.len()].copy_from_slice(bytes);
        altered
    };
    check(with(9, &u32::MAX.to_le_bytes()), SegmentError::Bounds);
    check(with(9, &60_000_u32.to_le_bytes()), SegmentError::Short);
    check(with(9, &2_u32.to_le_bytes()), SegmentError::Trailing);
    check(with(13, &u32::MAX.to_le_bytes()), SegmentError::Bounds);
    check(with(1, &u64::MAX.to_le_bytes()), SegmentError::Bounds);
    let moved = Segment::decode(with(1, &6_u64.to_le_bytes()).into()).unwrap();
    assert_eq!(moved.events().next(), Some(Err(SegmentError::Sequence(6))));
    let broken = Segment::decode(with(20, b"!").into()).unwrap();
    assert!(matches!(broken.events().next(), Some(Err(SegmentError::Leaf { sequence: 5, .. }))));
    let hostile = |mut bytes: Vec<u8>| {
        if let Some(first) = bytes.first_mut() {
            *first = 1;
        }
        if let Ok(segment) = Segment::decode(bytes.into()) {
            segment.events().for_each(drop);
        }
        Ok(())
    };
    TestRunner::default().run(&proptest::collection::vec(any::<u8>(), 0..120), hostile).unwrap();
}

/// A figure: `cargo test --release -p ledger -- --ignored --nocapture encoding_costs`.
#[test]
#[ignore = "a measurement"]
fn encoding_costs() {
    let run = Event { kind: Kind::Run, usage: Some(Usage { cpu_us: 1234, ..Usage::default() }), ..sample() };
    for (name, event) in [("decision", sample()), ("run", run)] {
        const EACH: u32 = 10_000;
        let mut best = u128::MAX;
        for _ in 0..20 {
            let start = Instant::now();
            let mut writer = SegmentWriter::new(1);
            for _ in 0..EACH {
                if writer.push(&event).is_err() {
                    writer = SegmentWriter::new(1);
                }
            }
            assert!(!writer.finish().is_empty());
            best = best.min(start.elapsed().as_nanos() / u128::from(EACH));
        }
        println!("{name}: {best} ns an event of {} bytes, into a segment", leaf(&event, 1).len());
    }
}
