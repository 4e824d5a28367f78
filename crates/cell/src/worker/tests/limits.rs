use model::{Fault, Limits, World, limits};

use super::node::{Guest, Node, Outcome, request};

const WORLDS: [(&str, World); 2] = [("hostile", World::P2), ("hostile-p3", World::P3)];

fn check(node: &mut Node, target: &str, limits: Limits, expect: Fault) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for (guest, world) in WORLDS {
        let code = node.load(&Guest::built(guest), world);
        let outcome = node.run(code, limits, "GET", target, b"");
        assert_eq!(outcome.fault, Some(expect), "{guest}{target}: {outcome:?}");
        assert!(!outcome.detail.is_empty(), "{guest}{target}");
        // Whatever it did, the next one is served.
        let next = node.run(code, Limits::default(), "GET", "/", b"");
        assert_eq!((next.status(), next.fault), (Some(200), None), "after {guest}{target}");
        outcomes.push(outcome);
    }
    outcomes
}

#[test]
fn each_limit_ends_a_run_with_its_own_fault() {
    let usual = Limits::default();
    let node = &mut Node::start();
    for (target, limits, expect) in [
        ("/loop", Limits { cpu_ms: 50, ..usual }, Fault::CpuLimit),
        ("/sleep", Limits { wall_ms: 50, ..usual }, Fault::WallLimit),
        ("/slow-first-byte", Limits { first_byte_ms: 50, ..usual }, Fault::FirstByteLimit),
        ("/idle-after-head", Limits { idle_ms: 50, ..usual }, Fault::IdleLimit),
        ("/memory-bomb", usual, Fault::MemoryLimit),
        ("/memory-bomb", Limits { memory_bytes: 64 << 10, ..usual }, Fault::MemoryLimit),
        ("/hostcall-loop", Limits { host_calls: 10_000, ..usual }, Fault::HostCallLimit),
        ("/recursion", usual, Fault::StackLimit),
        ("/recursion", Limits { stack_bytes: 4 << 20, ..usual }, Fault::StackLimit),
        ("/gigabyte", Limits { response_body_bytes: 1 << 20, ..usual }, Fault::ResponseBodyLimit),
        ("/endless-answer", Limits { response_body_bytes: 1 << 20, ..usual }, Fault::ResponseBodyLimit),
        (
            "/headers-10000?n=1000",
            Limits { response_header_bytes: 2000, ..usual },
            Fault::ResponseHeaderLimit,
        ),
        ("/header-big?n=30000", Limits { response_header_bytes: 2000, ..usual }, Fault::ResponseHeaderLimit),
        ("/", Limits { instances: 1, ..usual }, Fault::InstanceLimit),
        ("/", Limits { table_elements: 1, ..usual }, Fault::TableLimit),
        ("/trap", usual, Fault::Trap),
        ("/panic", usual, Fault::Trap),
        ("/exit", usual, Fault::Exit),
        ("/exit?n=0", usual, Fault::Exit),
        ("/error-code", usual, Fault::GuestError),
        ("/headers-10000", usual, Fault::ResponseHeaderLimit),
        ("/header-big", usual, Fault::ResponseHeaderLimit),
        ("/header-big?n=3000000", usual, Fault::HostCallBytesLimit),
        ("/fields-bomb", usual, Fault::ResponseHeaderLimit),
        ("/resource-bomb", usual, Fault::HandleLimit),
        ("/trap-after-head", usual, Fault::Trap),
    ] {
        check(node, target, limits, expect);
    }
}

#[test]
fn what_one_world_alone_can_do_ends_with_a_fault_of_its_own_too() {
    let node = &mut Node::start();
    for (guest, target, expect) in [
        ("hostile", "/no-answer", Some(Fault::NoAnswer)),
        // Its interface lets nobody return without an answer: there it waits for what never comes.
        ("hostile-p3", "/no-answer", Some(Fault::FirstByteLimit)),
        ("hostile", "/pollable-bomb", Some(Fault::HandleLimit)),
        ("hostile", "/random-huge", Some(Fault::RandomLimit)),
        ("hostile-p3", "/task-bomb", Some(Fault::HandleLimit)),
        ("hostile-p3", "/stream-bomb", Some(Fault::HandleLimit)),
        ("hostile-p3", "/future-bomb", Some(Fault::HandleLimit)),
        ("hostile-p3", "/waitable-bomb", Some(Fault::HandleLimit)),
        // Its interface lets a host give less than was asked for.
        ("hostile-p3", "/random-huge", None),
    ] {
        let world = if guest == "hostile" { World::P2 } else { World::P3 };
        let code = node.load(&Guest::built(guest), world);
        let limits = Limits { first_byte_ms: 2_000, ..Limits::default() };
        let outcome = node.run(code, limits, "GET", target, b"");
        assert_eq!(outcome.fault, expect, "{guest}{target}: {outcome:?}");
        if expect.is_none() {
            assert_eq!(outcome.body, limits::RANDOM_BYTES_MAX.to_string().as_bytes());
        }
    }
}

#[test]
fn cpu_time_is_charged_to_who_uses_it() {
    let node = &mut Node::start();
    for (guest, world) in WORLDS {
        let code = node.load(&Guest::built(guest), world);
        let limits = Limits { cpu_ms: 200, ..Limits::default() };
        let idle = node.begin(code, Limits::default(), request("GET", "/sleep?n=300"), b"", true);
        let busy: Vec<_> =
            (0..2).map(|_| node.begin(code, limits, request("GET", "/loop"), b"", true)).collect();
        let mut outcomes = node.finish(&[idle, busy[0], busy[1]]);
        let idle = outcomes.remove(&idle).unwrap();
        assert_eq!(idle.status(), Some(200));
        assert!(idle.usage.cpu_us < 20_000, "{:?}", idle.usage);
        assert!(idle.usage.wall_us >= 300_000, "{:?}", idle.usage);
        for run in busy {
            let outcome = outcomes.remove(&run).unwrap();
            assert_eq!(outcome.fault, Some(Fault::CpuLimit));
            assert!((200_000..260_000).contains(&outcome.usage.cpu_us), "{:?}", outcome.usage);
        }
    }
}

#[test]
fn a_guest_that_computes_does_not_hold_up_the_others() {
    let node = &mut Node::start();
    let code = node.load(&Guest::built("hostile"), World::P2);
    let limits = Limits { cpu_ms: 30_000, wall_ms: 60_000, first_byte_ms: 60_000, ..Limits::default() };
    let busy = node.begin(code, limits, request("GET", "/loop"), b"", true);
    for _ in 0..5 {
        let run = node.begin(code, Limits::default(), request("GET", "/"), b"", true);
        assert_eq!(node.finish(&[run]).remove(&run).unwrap().status(), Some(200));
    }
    // It computes still: the others did not have to wait for its end.
    node.say(&crate::protocol::ToWorker::Cancel { run: busy });
    let busy = node.finish(&[busy]).remove(&busy).unwrap();
    assert_ne!(busy.fault, Some(Fault::CpuLimit), "{:?}", busy.usage);
}

#[test]
fn a_slow_reader_is_not_waited_for_for_ever() {
    let node = &mut Node::start();
    node.generous = false;
    for (guest, world) in WORLDS {
        let code = node.load(&Guest::built(guest), world);
        let limits = Limits { idle_ms: 100, ..Limits::default() };
        let outcome = node.run(code, limits, "GET", "/gigabyte", b"");
        assert_eq!(outcome.fault, Some(Fault::IdleLimit));
        assert_eq!(outcome.body.len(), usize::try_from(model::limits::STREAM_WINDOW_BYTES).unwrap());
    }
}

#[test]
fn a_request_beyond_its_limits_is_refused() {
    let node = &mut Node::start();
    let code = node.load(&Guest::built("echo"), World::P2);
    let limits = Limits { request_body_bytes: 50_000, ..Limits::default() };
    let outcome = node.run(code, limits, "POST", "/", &[1; 50_000]);
    assert_eq!((outcome.fault, outcome.body.len()), (None, 50_000));
    assert_eq!(node.run(code, limits, "POST", "/", &[1; 50_001]).fault, Some(Fault::RequestBodyLimit));
    let limits = Limits { request_header_bytes: 256, ..Limits::default() };
    let long = format!("/{}", "x".repeat(300));
    assert_eq!(node.run(code, limits, "GET", &long, b"").fault, Some(Fault::RequestHeaderLimit));
}

#[test]
fn what_is_closed_refuses_and_does_no_harm() {
    let node = &mut Node::start();
    let usual = Limits { log_bytes: 0, ..Limits::default() };
    for (guest, world) in WORLDS {
        let code = node.load(&Guest::built(guest), world);
        for target in ["/random-huge", "/resource-bomb", "/pollable-bomb"] {
            let outcome = node.run(code, usual, "GET", target, b"");
            assert!(outcome.fault.is_some() || outcome.status() == Some(200), "{guest}{target} {outcome:?}");
            let next = node.run(code, usual, "GET", "/", b"");
            assert_eq!(next.status(), Some(200), "after {guest}{target}");
        }
    }
}

#[test]
fn a_broken_off_answer_is_no_good_one() {
    let node = &mut Node::start();
    for (guest, world, target, expect) in [
        ("hostile", World::P2, "/broken-off", Fault::Trap),
        ("hostile-p3", World::P3, "/error-trailers", Fault::GuestError),
    ] {
        let code = node.load(&Guest::built(guest), world);
        let outcome = node.run(code, Limits::default(), "GET", target, b"");
        assert_eq!(outcome.fault, Some(expect), "{guest}: {outcome:?}");
    }
}

#[test]
fn what_a_guest_makes_the_host_keep_is_bounded() {
    let node = &mut Node::start();
    let limits = Limits { cpu_ms: 300, wall_ms: 2_000, ..Limits::default() };
    for (guest, world) in WORLDS {
        let code = node.load(&Guest::built(guest), world);
        for target in ["/task-bomb", "/stream-bomb", "/future-bomb", "/fields-bomb", "/spin-yield"] {
            let before = resident_bytes();
            node.run(code, limits, "GET", target, b"");
            let more = resident_bytes().saturating_sub(before);
            assert!(more < 256 << 20, "{guest}{target} left {more} bytes");
            let next = node.run(code, Limits::default(), "GET", "/", b"");
            assert_eq!(next.status(), Some(200), "after {guest}{target}");
        }
    }
}

fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[test]
fn what_misbehaves_below_any_language_is_stopped_too() {
    let node = &mut Node::start();
    let limits = Limits { cpu_ms: 50, ..Limits::default() };
    for (guest, expect) in [
        ("loop", Fault::CpuLimit),
        ("start-loop", Fault::CpuLimit),
        ("recursion", Fault::StackLimit),
        ("memory-bomb", Fault::MemoryLimit),
        ("table-bomb", Fault::TableLimit),
    ] {
        let code = node.load(&Guest::built(guest), World::P2);
        let outcome = node.run(code, limits, "GET", "/", b"");
        assert_eq!(outcome.fault, Some(expect), "{guest}: {outcome:?}");
    }
}
