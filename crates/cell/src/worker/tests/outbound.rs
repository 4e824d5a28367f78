use bytes::Bytes;
use model::{Limits, World};

use super::node::{Guest, Node, request};
use crate::protocol::{CallError, ResponseHead, RunId, ToNode, ToWorker};

const WORLDS: [(&str, World); 2] = [("outbound", World::P2), ("outbound-p3", World::P3)];

fn until_call(node: &mut Node) -> (RunId, u32, crate::protocol::RequestHead) {
    loop {
        match node.next() {
            ToNode::Call { run, call, head } => return (run, call, head),
            ToNode::Log { .. } | ToNode::Credit { .. } => {}
            other => panic!("not expected: {other:?}"),
        }
    }
}

#[test]
fn a_call_goes_to_the_node_and_its_answer_to_the_guest() {
    let node = &mut Node::start();
    for (guest, world) in WORLDS {
        let code = node.load(&Guest::built(guest), world);
        let head = request("POST", "/?url=https://other.test:444/path?q=1");
        node.begin(code, Limits::default(), head, b"sent on", true);
        let (run, call, head) = until_call(node);
        assert_eq!(call, 1);
        assert_eq!(
            (&*head.method, &*head.scheme, &*head.authority, &*head.target),
            (&b"POST"[..], &b"https"[..], &b"other.test:444"[..], &b"/path?q=1"[..])
        );
        let mut sent = Vec::new();
        loop {
            match node.next() {
                ToNode::CallBody { bytes, ends, .. } => {
                    sent.extend_from_slice(&bytes);
                    if ends {
                        break;
                    }
                }
                other => panic!("not expected: {other:?}"),
            }
        }
        assert_eq!(sent, b"sent on", "{guest}");
        let head = ResponseHead { status: 203, headers: Vec::new() };
        node.say(&ToWorker::CallHead { run, call, head });
        for (bytes, ends) in [("an", false), ("swer", false), ("", true)] {
            let bytes = Bytes::from_static(bytes.as_bytes());
            node.say(&ToWorker::CallBody { run, call, bytes, ends });
        }
        let outcome = finish(node, run);
        assert_eq!(outcome.0, Some(203), "{guest}: {outcome:?}");
        assert!(outcome.1.ends_with(b"answer"), "{guest}: {outcome:?}");
    }
}

/// Status and body of a run, whatever else it says about its call.
fn finish(node: &mut Node, wanted: RunId) -> (Option<u16>, Vec<u8>, u32) {
    let (mut status, mut body) = (None, Vec::new());
    loop {
        match node.next() {
            ToNode::Head { run, head } if run == wanted => status = Some(head.status),
            ToNode::Body { run, bytes, .. } if run == wanted => body.extend_from_slice(&bytes),
            ToNode::Done { run, usage, fault } if run == wanted => {
                // Where the guest answers with the very error that it got.
                status = status.or_else(|| fault.map(|(fault, _)| fault.status()));
                return (status, body, usage.outbound_calls);
            }
            ToNode::CallBody { .. } | ToNode::CallCredit { .. } | ToNode::CallDropped { .. } => {}
            other => panic!("not expected: {other:?}"),
        }
    }
}

#[test]
fn a_refused_call_is_an_error_that_the_guest_survives() {
    let node = &mut Node::start();
    for (guest, world) in WORLDS {
        let code = node.load(&Guest::built(guest), world);
        for why in [CallError::Denied, CallError::NotFound, CallError::Timeout, CallError::Internal] {
            node.begin(code, Limits::default(), request("GET", "/?url=https://other.test/"), b"", true);
            let (run, call, _) = until_call(node);
            node.say(&ToWorker::CallFailed { run, call, why });
            let (status, _, calls) = finish(node, run);
            assert!(status.is_some_and(|status| status >= 400), "{guest} {why:?}: {status:?}");
            assert_eq!(calls, 1);
        }
    }
}

#[test]
fn calls_beyond_the_limit_never_reach_the_node() {
    let node = &mut Node::start();
    let code = node.load(&Guest::built("hostile"), World::P2);
    let limits = Limits { outbound_calls: 3, ..Limits::default() };
    let run = node.begin(code, limits, request("GET", "/outbound-flood?n=10"), b"", true);
    for expect in 1..=3 {
        let call = loop {
            match node.next() {
                ToNode::Call { call, .. } => break call,
                ToNode::CallBody { .. } | ToNode::CallDropped { .. } => {}
                other => panic!("not expected: {other:?}"),
            }
        };
        assert_eq!(call, expect);
        node.say(&ToWorker::CallFailed { run, call, why: CallError::Denied });
    }
    loop {
        match node.next() {
            ToNode::CallsExhausted { .. } => break,
            ToNode::CallBody { .. } | ToNode::CallDropped { .. } => {}
            other => panic!("not expected: {other:?}"),
        }
    }
    // Said once, however many more there were.
    let (status, body, calls) = finish(node, run);
    assert_eq!((status, calls), (Some(200), 3));
    assert_eq!(std::str::from_utf8(&body).unwrap().trim(), "answered 0, refused 10");
}
