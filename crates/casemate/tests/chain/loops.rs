//! Chains without an end, and chains that stand in each other's way: they end, and others are served meanwhile.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

use crate::village::{PATIENCE, Village, through, url};

/// Functions in one chain.
const MOST: usize = model::limits::CHAIN_DEPTH_MAX;

/// Four callers at once run a chain until each of them has its answer; who has no part in it is served meanwhile.
fn four_at_once(village: &Village, path: &str, check: impl Fn(&crate::support::Answer) + Sync) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let bystander = scope.spawn(|| {
            let mut served = 0;
            while !over.load(Ordering::Relaxed) || served == 0 {
                village.is_well();
                served += 1;
            }
            served
        });
        let callers: Vec<_> = (0..4).map(|_| scope.spawn(|| check(&village.get(path)))).collect();
        let ended: Vec<_> = callers.into_iter().map(|caller| caller.join()).collect();
        over.store(true, Ordering::Relaxed);
        assert!(bystander.join().unwrap() > 0);
        assert!(ended.iter().all(Result::is_ok));
    });
}

/// A chain as long as it may be, and one link more, in a loop of so many functions.
fn loop_of(count: usize) {
    let village = Village::start();
    let names: Vec<String> = (0..count).map(|n| format!("f{n}")).collect();
    for (at, name) in names.iter().enumerate() {
        let next = url(&names[(at + 1) % count], "/...");
        village.caller(name, "", &[&next, "http://echo.function.internal/..."]);
    }
    let turns = |length: usize| -> Vec<&str> { (0..length).map(|n| names[n % count].as_str()).collect() };
    let longest = through(&turns(MOST - 1), &url("echo", "/echo"));
    four_at_once(&village, &longest, |answer| assert_eq!(answer.status, 200, "{}", answer.text()));
    for length in [MOST, 20] {
        let endless = through(&turns(length), &url("echo", "/echo"));
        four_at_once(&village, &endless, |answer| {
            assert_eq!(answer.status, 508, "{}", answer.text());
            let event = village.left(answer, "call-depth");
            assert_eq!(event["chain"].as_array().unwrap().len(), MOST, "{event}");
            assert_eq!(event["on_behalf_of"], "User::\"default/alice\"", "{event}");
            let events = village.records(answer);
            let hops = events.iter().filter(|event| event["kind"] == "decision" && event["allowed"] == true);
            assert_eq!(hops.count(), MOST, "each function ran once, and none more: {events:?}");
        });
    }
}

#[test]
fn a_loop_of_one() {
    loop_of(1);
}

#[test]
fn a_loop_of_two() {
    loop_of(2);
}

#[test]
fn a_loop_of_twenty() {
    loop_of(20);
}

/// Two functions with two places each, that wait for each other's. Whoever holds and waits gives up in a second, so
/// that the places come free, whatever the queues are.
#[test]
fn chains_that_hold_each_others_places_let_go() {
    let village = Village::start();
    let tight = "[limits]\nconcurrency = 2\nqueue_ms = 60000\nfirst_byte_ms = 120000\nwall_ms = 120000\n";
    village.caller("ping", tight, &["http://pong.function.internal/..."]);
    village.caller(
        "pong",
        tight,
        &["http://ping.function.internal/...", "http://echo.function.internal/..."],
    );
    let there_and_back = through(&["ping", "pong", "ping", "pong"], &url("echo", "/echo"));
    let begun = Instant::now();
    for _ in 0..2 {
        four_at_once(&village, &there_and_back, |answer| {
            assert!([200, 503].contains(&answer.status), "{}: {}", answer.status, answer.text());
        });
    }
    assert!(begun.elapsed() < PATIENCE, "they did not let go of each other");
    let after = village.get(&there_and_back);
    assert_eq!(after.status, 200, "all places are free again: {}", after.text());
}

#[test]
fn a_request_causes_a_bounded_number_of_calls() {
    let village = Village::start();
    village.caller("front", "[limits]\noutbound_calls = 1000\n", &["http://echo.function.internal/..."]);
    let most = model::limits::CHAIN_CALLS_MAX;
    let call = |times: u32| village.get(&format!("/front?url={}&times={times}", url("echo", "/echo/many")));
    assert_eq!(call(most).status, 200);
    let answer = call(most + 5);
    assert_eq!(answer.status, 429, "{}", answer.text());
    village.left(&answer, "call-count");
    assert_eq!(call(1).status, 200, "the next request has a count of its own");
}
