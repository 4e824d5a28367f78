use bytes::{BufMut, Bytes, BytesMut};
use model::{Fault, Limits, Usage, World, limits};
use proptest::{collection::vec, option, prelude::*};

use super::{Malformed, PART_BYTES_MAX, TooLong};
use crate::{
    Walls,
    protocol::{
        CallError, CodeId, HeaderLine, LogStream, RequestHead, ResponseHead, RunId, ToNode, ToWorker,
    },
};

fn bytes(max: usize) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..max).prop_map(Bytes::from)
}

fn headers() -> impl Strategy<Value = Vec<HeaderLine>> {
    vec((bytes(20), bytes(40)), 0..12)
}

fn request_head() -> impl Strategy<Value = RequestHead> {
    (bytes(8), bytes(6), bytes(30), bytes(90), headers()).prop_map(
        |(method, scheme, authority, target, headers)| RequestHead {
            method,
            scheme,
            authority,
            target,
            headers,
        },
    )
}

fn response_head() -> impl Strategy<Value = ResponseHead> {
    (any::<u16>(), headers()).prop_map(|(status, headers)| ResponseHead { status, headers })
}

fn a_limits() -> impl Strategy<Value = Limits> {
    any::<[u64; 18]>().prop_map(|v| Limits {
        cpu_ms: v[0],
        wall_ms: v[1],
        memory_bytes: v[2],
        table_elements: v[3],
        instances: v[4],
        stack_bytes: v[5],
        request_body_bytes: v[6],
        request_header_bytes: v[7],
        response_body_bytes: v[8],
        response_header_bytes: v[9],
        first_byte_ms: v[10],
        idle_ms: v[11],
        host_calls: v[12],
        log_bytes: v[13],
        outbound_calls: v[14],
        concurrency: v[15],
        queue: v[16],
        queue_ms: v[17],
    })
}

fn usage() -> impl Strategy<Value = Usage> {
    any::<([u64; 8], u32)>().prop_map(|(v, outbound_calls)| Usage {
        cpu_us: v[0],
        wall_us: v[1],
        memory_bytes_peak: v[2],
        host_calls: v[3],
        request_bytes: v[4],
        response_bytes: v[5],
        log_bytes: v[6],
        log_bytes_dropped: v[7],
        outbound_calls,
    })
}

fn world() -> impl Strategy<Value = World> {
    prop_oneof![Just(World::P2), Just(World::P3)]
}

fn call_error() -> impl Strategy<Value = CallError> {
    use CallError::{Connection, Denied, Internal, NotFound, Protocol, Timeout, Tls, TooLarge};
    proptest::sample::select(vec![Denied, NotFound, Connection, Tls, Timeout, TooLarge, Protocol, Internal])
}

fn fault() -> impl Strategy<Value = Option<(Fault, String)>> {
    option::of((proptest::sample::select(Fault::ALL), ".{0,80}"))
}

fn to_worker() -> impl Strategy<Value = ToWorker> {
    let (run, code) = (|| any::<u64>().prop_map(RunId), || any::<u64>().prop_map(CodeId));
    prop_oneof![
        (code(), world()).prop_map(|(code, world)| ToWorker::Load { code, world }),
        code().prop_map(|code| ToWorker::Unload { code }),
        (run(), code(), a_limits(), request_head(), bytes(900), any::<bool>()).prop_map(
            |(run, code, limits, head, body, body_ends)| ToWorker::Start {
                run,
                code,
                limits,
                head,
                body,
                body_ends
            }
        ),
        (run(), bytes(900), any::<bool>()).prop_map(|(run, bytes, ends)| ToWorker::Body { run, bytes, ends }),
        (run(), any::<u32>()).prop_map(|(run, bytes)| ToWorker::Credit { run, bytes }),
        run().prop_map(|run| ToWorker::Cancel { run }),
        (run(), any::<u32>(), response_head()).prop_map(|(run, call, head)| ToWorker::CallHead {
            run,
            call,
            head
        }),
        (run(), any::<u32>(), bytes(900), any::<bool>())
            .prop_map(|(run, call, bytes, ends)| ToWorker::CallBody { run, call, bytes, ends }),
        (run(), any::<u32>(), call_error()).prop_map(|(run, call, why)| ToWorker::CallFailed {
            run,
            call,
            why
        }),
        (run(), any::<u32>(), any::<u32>()).prop_map(|(run, call, bytes)| ToWorker::CallCredit {
            run,
            call,
            bytes
        }),
        any::<u64>().prop_map(|number| ToWorker::Ping { number }),
    ]
}

fn to_node() -> impl Strategy<Value = ToNode> {
    let (run, code) = (|| any::<u64>().prop_map(RunId), || any::<u64>().prop_map(CodeId));
    let stream = || prop_oneof![Just(LogStream::Stdout), Just(LogStream::Stderr)];
    prop_oneof![
        any::<(u16, u16)>().prop_map(|(version, walls)| ToNode::Ready { version, walls: Walls(walls) }),
        code().prop_map(|code| ToNode::Loaded { code }),
        (code(), ".{0,80}").prop_map(|(code, why)| ToNode::LoadFailed { code, why }),
        (run(), response_head()).prop_map(|(run, head)| ToNode::Head { run, head }),
        (run(), bytes(900), any::<bool>()).prop_map(|(run, bytes, ends)| ToNode::Body { run, bytes, ends }),
        (run(), any::<u32>()).prop_map(|(run, bytes)| ToNode::Credit { run, bytes }),
        (run(), stream(), bytes(900)).prop_map(|(run, stream, bytes)| ToNode::Log { run, stream, bytes }),
        (run(), any::<u32>(), request_head()).prop_map(|(run, call, head)| ToNode::Call { run, call, head }),
        (run(), any::<u32>(), bytes(900), any::<bool>())
            .prop_map(|(run, call, bytes, ends)| ToNode::CallBody { run, call, bytes, ends }),
        (run(), any::<u32>()).prop_map(|(run, call)| ToNode::CallDropped { run, call }),
        (run(), any::<u32>(), any::<u32>()).prop_map(|(run, call, bytes)| ToNode::CallCredit {
            run,
            call,
            bytes
        }),
        (run(), usage(), fault()).prop_map(|(run, usage, fault)| ToNode::Done { run, usage, fault }),
        any::<u64>().prop_map(|number| ToNode::Pong { number }),
        run().prop_map(|run| ToNode::CallsExhausted { run }),
        run().prop_map(|run| ToNode::Heavy { run }),
    ]
}

macro_rules! round_trip {
    ($frame:ty, $frames:expr, $cut:expr) => {{
        let (frames, cut): (Vec<$frame>, prop::sample::Index) = ($frames, $cut);
        let mut wire = BytesMut::new();
        for frame in &frames {
            frame.encode(&mut wire).unwrap();
        }
        // The bytes come in two reads, cut anywhere.
        let tail = wire.split_off(cut.index(wire.len() + 1));
        let (mut input, mut seen) = (wire, Vec::new());
        while let Some(frame) = <$frame>::decode(&mut input).unwrap() {
            seen.push(frame);
        }
        input.extend_from_slice(&tail);
        while let Some(frame) = <$frame>::decode(&mut input).unwrap() {
            seen.push(frame);
        }
        prop_assert!(input.is_empty());
        prop_assert_eq!(seen, frames);
    }};
}

fn drain(mut input: BytesMut, mut decode: impl FnMut(&mut BytesMut) -> Result<bool, Malformed>) {
    let mut left = input.len();
    while let Ok(true) = decode(&mut input) {
        assert!(input.len() < left, "a frame that took no bytes");
        left = input.len();
    }
}

proptest! {
    #[test]
    fn what_goes_to_a_worker_arrives(frames in vec(to_worker(), 0..6), cut in any::<prop::sample::Index>()) {
        round_trip!(ToWorker, frames, cut);
    }

    #[test]
    fn what_goes_to_the_node_arrives(frames in vec(to_node(), 0..6), cut in any::<prop::sample::Index>()) {
        round_trip!(ToNode, frames, cut);
    }

    #[test]
    fn random_bytes_never_panic(noise in vec(any::<u8>(), 0..2000)) {
        drain(BytesMut::from(&noise[..]), |b| ToWorker::decode(b).map(|f| f.is_some()));
        drain(BytesMut::from(&noise[..]), |b| ToNode::decode(b).map(|f| f.is_some()));
    }

    #[test]
    fn random_payloads_never_panic(kind in 0_u8..17, noise in vec(any::<u8>(), 0..600)) {
        let frame = raw(noise.len() as u32 + 9, kind, 7, &noise);
        drain(frame.clone(), |b| ToWorker::decode(b).map(|f| f.is_some()));
        drain(frame, |b| ToNode::decode(b).map(|f| f.is_some()));
    }

    #[test]
    fn a_flipped_byte_never_panics(frame in to_node(), at in any::<prop::sample::Index>(), with in any::<u8>()) {
        let mut wire = BytesMut::new();
        frame.encode(&mut wire).unwrap();
        let at = at.index(wire.len());
        wire[at] = with;
        drain(wire, |b| ToNode::decode(b).map(|f| f.is_some()));
    }
}

fn raw(length: u32, kind: u8, subject: u64, payload: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    out.put_u32_le(length);
    out.put_u8(kind);
    out.put_u64_le(subject);
    out.put_slice(payload);
    out
}

#[test]
fn what_is_malformed() {
    let check = |kind: u8, payload: &[u8], expect: Malformed| {
        let said = payload.len() as u32 + 9;
        assert_eq!(ToNode::decode(&mut raw(said, kind, 1, payload)), Err(expect), "{kind} {payload:?}");
    };
    check(0, &[], Malformed::Kind(0));
    check(16, &[], Malformed::Kind(16));
    check(255, &[], Malformed::Kind(255));
    check(1, &[1, 0, 0, 0], Malformed::Value("subject"));
    check(2, &[9], Malformed::Trailing(1));
    check(3, &[255, 255, 255, 255], Malformed::Short);
    check(3, &[2, 0, 0, 0, 0xff, 0xfe], Malformed::Value("text"));
    check(4, &[200], Malformed::Short);
    check(4, &[200, 0, 255, 255, 255, 255], Malformed::Value("header count"));
    check(4, &[200, 0, 1, 0, 0, 0], Malformed::Value("header count"));
    check(4, &[200, 0, 1, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0], Malformed::Short);
    check(4, &[200, 0, 0, 0, 0, 0, 7], Malformed::Trailing(1));
    check(5, &[2], Malformed::Value("flag"));
    check(5, &[], Malformed::Short);
    check(6, &[1, 2, 3], Malformed::Short);
    check(7, &[3], Malformed::Value("log stream"));
    check(13, &[0], Malformed::Trailing(1));
    check(14, &[0], Malformed::Trailing(1));
    check(15, &[0], Malformed::Trailing(1));
    let done = [&[0_u8; 68][..], &[200]].concat();
    check(12, &done, Malformed::Value("fault"));

    for length in [0, 8, limits::FRAME_BYTES_MAX + 1, u32::MAX] {
        // Refused from its first four bytes on: nothing is waited for, nothing is kept.
        let mut input = BytesMut::from(&length.to_le_bytes()[..]);
        assert_eq!(ToNode::decode(&mut input), Err(Malformed::Length(length)));
        let mut input = BytesMut::from(&length.to_le_bytes()[..]);
        assert_eq!(ToWorker::decode(&mut input), Err(Malformed::Length(length)));
    }
}

#[test]
fn a_body_is_not_copied() {
    let mut wire = BytesMut::new();
    let sent = ToNode::Body { run: RunId(1), bytes: Bytes::from(vec![7; 4096]), ends: false };
    sent.encode(&mut wire).unwrap();
    let place = wire[14..].as_ptr();
    let Some(ToNode::Body { bytes, .. }) = ToNode::decode(&mut wire).unwrap() else { panic!("no body") };
    assert_eq!(bytes.as_ptr(), place);
}

#[test]
fn what_is_too_long_is_not_written() {
    let head = |value_bytes: usize| RequestHead {
        method: "GET".into(),
        scheme: "https".into(),
        authority: "localhost".into(),
        target: vec![b'a'; limits::REQUEST_TARGET_BYTES_MAX].into(),
        headers: vec![("name".into(), vec![b'v'; value_bytes].into()); limits::REQUEST_HEADERS_MAX],
    };
    let start = |head: RequestHead, part: usize| ToWorker::Start {
        run: RunId(1),
        code: CodeId(1),
        limits: Limits::CEILING,
        head,
        body: vec![0; part].into(),
        body_ends: true,
    };
    let mut out = BytesMut::from(&b"before"[..]);
    // The greatest head that a node allows goes beside the greatest part of a body.
    let greatest = Limits::CEILING.request_header_bytes as usize / limits::REQUEST_HEADERS_MAX - 4;
    start(head(greatest), PART_BYTES_MAX).encode(&mut out).unwrap();
    out.truncate(6);
    let TooLong(length) = start(head(2000), PART_BYTES_MAX).encode(&mut out).unwrap_err();
    assert!(length > limits::FRAME_BYTES_MAX as usize);
    assert_eq!(out, &b"before"[..]);
    // A head of more lines than the other end takes is not sent either, however short they are.
    for (lines, fits) in [(limits::FRAME_HEADERS_MAX, true), (limits::FRAME_HEADERS_MAX + 1, false)] {
        let head = ResponseHead { status: 200, headers: vec![("a".into(), "".into()); lines] };
        let mut out = BytesMut::new();
        assert_eq!(ToNode::Head { run: RunId(1), head }.encode(&mut out).is_ok(), fits);
        assert_eq!(ToNode::decode(&mut out).unwrap().is_some(), fits);
    }
    // A fault's detail is cut, at a whole character.
    let fault = Some((Fault::Trap, "ü".repeat(40_000)));
    ToNode::Done { run: RunId(1), usage: Usage::default(), fault }.encode(&mut out).unwrap();
    let mut input = out.split_off(6);
    let Some(ToNode::Done { fault: Some((_, cut)), .. }) = ToNode::decode(&mut input).unwrap() else {
        panic!("no fault")
    };
    assert_eq!(cut, "ü".repeat(2048));
}

#[test]
fn a_start_of_parts_is_the_same_frame() {
    let check = |uri: &str, scheme: &str, authority: &str, target: &str| {
        let request = http::Request::post(uri).header("host", "other.example").header("x-a", "1");
        let (parts, ()) = request.header("x-a", "2").body(()).unwrap().into_parts();
        let mut out = BytesMut::new();
        let limits = Limits::default();
        super::encode_start(&mut out, (RunId(3), CodeId(4)), &limits, &parts, (b"body", true)).unwrap();
        let head = RequestHead {
            method: "POST".into(),
            scheme: scheme.to_owned().into(),
            authority: authority.to_owned().into(),
            target: target.to_owned().into(),
            headers: [("host", "other.example"), ("x-a", "1"), ("x-a", "2")]
                .map(|(name, value)| (name.into(), value.into()))
                .to_vec(),
        };
        let start = ToWorker::Start {
            run: RunId(3),
            code: CodeId(4),
            limits,
            head,
            body: "body".into(),
            body_ends: true,
        };
        assert_eq!(ToWorker::decode(&mut out).unwrap(), Some(start));
    };
    check("http://localhost:80/a?b=c", "http", "localhost:80", "/a?b=c");
    check("/a", "https", "other.example", "/a");
    check("https://localhost", "https", "localhost", "/");
}
