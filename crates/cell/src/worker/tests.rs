//! A worker on a thread, and a test in its node's place at the other end of the socket.

mod bench;
mod limits;
mod node;
mod outbound;

use bytes::Bytes;
use model::{Fault, Limits, World};
use node::{Guest, Node, Outcome, body_of, request};

use crate::protocol::{CodeId, RunId, ToNode, ToWorker, VERSION};

#[test]
fn a_worker_is_ready_and_says_that_it_is_alive() {
    let mut node = Node::start();
    assert!(matches!(node.ready, ToNode::Ready { version: VERSION, .. }), "{:?}", node.ready);
    node.say(&ToWorker::Ping { number: 7 });
    assert_eq!(node.next(), ToNode::Pong { number: 7 });
}

#[test]
fn hello_is_answered_in_both_worlds() {
    let mut node = Node::start();
    for (guest, world) in [("hello", World::P2), ("hello-p3", World::P3)] {
        let code = node.load(&Guest::built(guest), world);
        for _ in 0..300 {
            let outcome = node.run(code, Limits::default(), "GET", "/", b"");
            assert_eq!(outcome.status(), Some(200), "{outcome:?}");
            assert!(outcome.body.starts_with(b"Hello"), "{outcome:?}");
            assert_eq!(outcome.fault, None);
            let usage = outcome.usage;
            assert!(usage.memory_bytes_peak >= 64 << 10, "{usage:?}");
            assert!((1..100).contains(&usage.host_calls), "{usage:?}");
            assert_eq!(usage.response_bytes, u64::try_from(outcome.body.len()).unwrap());
        }
    }
}

#[test]
fn many_runs_go_on_at_once() {
    let mut node = Node::start();
    let code = node.load(&Guest::built("hello"), World::P2);
    let ids: Vec<RunId> =
        (0..100).map(|_| node.begin(code, Limits::default(), request("GET", "/"), b"", true)).collect();
    let mut outcomes = node.finish(&ids);
    for id in ids {
        assert_eq!(outcomes.remove(&id).unwrap().status(), Some(200));
    }
}

#[test]
fn an_instance_never_serves_twice() {
    let mut node = Node::start();
    for (guest, world) in [("counter", World::P2), ("counter-p3", World::P3)] {
        let code = node.load(&Guest::built(guest), world);
        let first = node.run(code, Limits::default(), "GET", "/", b"");
        for _ in 0..10 {
            assert_eq!(node.run(code, Limits::default(), "GET", "/", b"").body, first.body);
        }
    }
}

#[test]
fn a_body_streams_both_ways_within_the_window() {
    let mut node = Node::start();
    for (guest, world) in [("echo", World::P2), ("echo-p3", World::P3)] {
        let code = node.load(&Guest::built(guest), world);
        for length in [0, 1, 100_000, 3_000_000] {
            let sent: Vec<u8> = (0..length).map(|n: u32| u8::try_from(n % 251).unwrap()).collect();
            let outcome = node.run(code, Limits::default(), "POST", "/", &sent);
            assert_eq!(outcome.fault, None, "{guest} {length}");
            assert_eq!(outcome.body, sent, "{guest} {length}");
            assert_eq!(outcome.usage.request_bytes, u64::from(length), "{guest} {length}");
        }
    }
}

#[test]
fn the_request_arrives_as_it_was_sent() {
    let mut node = Node::start();
    for (guest, world) in [("echo", World::P2), ("echo-p3", World::P3)] {
        let code = node.load(&Guest::built(guest), world);
        let mut head = request("DELETE", "/a/b?c=d&e");
        head.headers.push((Bytes::from_static(b"x-one"), Bytes::from_static(b"1")));
        head.headers.push((Bytes::from_static(b"connection"), Bytes::from_static(b"x-one")));
        let run = node.begin(code, Limits::default(), head, b"", true);
        let told = String::from_utf8(node.finish(&[run]).remove(&run).unwrap().body).unwrap();
        let parts: &[&str] = match world {
            World::P2 => &["\"DELETE\"", "\"https\"", "\"/a/b\"", "c=d&e", "[\"x-one\",\"1\"]", "cell.test"],
            World::P3 => &["Delete", "/a/b?c=d&e"],
        };
        for part in parts {
            assert!(told.contains(part), "{guest}: no {part} in {told}");
        }
        assert!(!told.contains("connection"), "{told}");
    }
}

#[test]
fn the_log_is_passed_on_and_cut() {
    let mut node = Node::start();
    let limits = Limits { log_bytes: 10_000, ..Limits::default() };
    for (guest, world) in [("hostile", World::P2), ("hostile-p3", World::P3)] {
        let code = node.load(&Guest::built(guest), world);
        let outcome = node.run(code, limits, "GET", "/log-flood?n=100000", b"");
        assert_eq!(outcome.fault, None, "{outcome:?}");
        assert_eq!(outcome.log.len(), 10_000);
        assert_eq!(outcome.usage.log_bytes, 10_000);
        let dropped = outcome.usage.log_bytes_dropped;
        assert!((80_000..=100_000).contains(&dropped), "{dropped}");
    }
}

#[test]
fn code_that_is_none_is_refused_and_the_worker_goes_on() {
    let mut node = Node::start();
    node.load_bytes(CodeId(90), World::P2, b"not code at all");
    assert!(matches!(node.next(), ToNode::LoadFailed { code: CodeId(90), .. }));
    let p3 = Guest::built("hello-p3").compiled(World::P3);
    node.load_bytes(CodeId(91), World::P2, &p3);
    assert!(matches!(node.next(), ToNode::LoadFailed { code: CodeId(91), .. }));
    node.load_unsealed(CodeId(92), World::P3, &p3);
    let ToNode::LoadFailed { why, .. } = node.next() else { panic!("unsealed code was taken") };
    assert!(why.contains("sealed"), "{why}");
    let code = node.load(&Guest::built("hello"), World::P2);
    assert_eq!(node.run(code, Limits::default(), "GET", "/", b"").status(), Some(200));
}

#[test]
fn unloaded_code_does_not_run_and_what_runs_goes_on() {
    let mut node = Node::start();
    let code = node.load(&Guest::built("hostile"), World::P2);
    let running = node.begin(code, Limits::default(), request("GET", "/sleep?n=100"), b"", true);
    node.say(&ToWorker::Unload { code });
    let late = node.begin(code, Limits::default(), request("GET", "/"), b"", true);
    let mut outcomes = node.finish(&[running, late]);
    assert_eq!(outcomes.remove(&running).unwrap().status(), Some(200));
    assert_ne!(outcomes.remove(&late).unwrap().fault, None);
}

#[test]
fn a_cancelled_run_ends_at_once() {
    let mut node = Node::start();
    for (guest, world) in [("hostile", World::P2), ("hostile-p3", World::P3)] {
        let code = node.load(&Guest::built(guest), world);
        for path in ["/sleep", "/loop", "/endless-answer"] {
            let run = node.begin(code, Limits::default(), request("GET", path), b"", true);
            std::thread::sleep(std::time::Duration::from_millis(20));
            node.say(&ToWorker::Cancel { run });
            let outcome = node.finish(&[run]).remove(&run).unwrap();
            assert_eq!(outcome.fault, Some(Fault::CallerGone), "{guest} {path}");
        }
    }
}

#[test]
fn what_no_frame_is_ends_the_worker() {
    for bytes in [&[0xff; 64][..], &[13, 0, 0, 0, 99, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4][..]] {
        let mut node = Node::start();
        node.say_bytes(bytes);
        assert!(node.ended().is_err());
    }
}

#[test]
fn a_worker_ends_well_when_its_node_hangs_up() {
    let mut node = Node::start();
    let code = node.load(&Guest::built("hostile"), World::P2);
    node.begin(code, Limits::default(), request("GET", "/sleep"), b"", true);
    node.hang_up();
    node.ended().unwrap();
}

#[test]
fn the_stack_class_is_mapped_when_it_is_needed() {
    let mut node = Node::start();
    let code = node.load(&Guest::built("hello"), World::P2);
    let limits = Limits { stack_bytes: 4 << 20, ..Limits::default() };
    let outcome: Outcome = node.run(code, limits, "GET", "/", b"");
    assert_eq!(outcome.status(), Some(200));
    assert_eq!(body_of(&outcome), body_of(&node.run(code, Limits::default(), "GET", "/", b"")));
}

#[test]
fn a_node_that_does_not_read_for_a_while_loses_nothing() {
    let mut node = Node::start();
    let code = node.load(&Guest::built("hostile"), World::P2);
    let head = || request("GET", "/gigabyte?n=1000000");
    let ids: Vec<RunId> = (0..60).map(|_| node.begin(code, Limits::default(), head(), b"", true)).collect();
    std::thread::sleep(std::time::Duration::from_millis(300));
    let outcomes = node.finish(&ids);
    for id in ids {
        let outcome = &outcomes[&id];
        assert_eq!((outcome.body.len(), outcome.fault), (1_000_000, None));
    }
}
