//! slowhttptest in its four modes: heads, bodies and readers that take their time, and ranges that overlap. Meanwhile the
//! function answers, and the tool itself says that it does.

use crate::{
    friend, node, program, public, run_to_its_end,
    support::{TestNode, guest},
};

const CONNECTIONS: &str = "300";
const SECONDS: &str = "13";

fn site() -> TestNode {
    let node = node();
    node.deploy("echo", &guest("echo"), &public());
    node
}

/// What the tool says of an attack at `path`, while a friend asks for something else.
fn attacked(node: &TestNode, path: &str, mode: &[&str]) -> Option<String> {
    let mut slow = program("slowhttptest")?;
    slow.args(["-u", &format!("{}{path}", node.functions()), "-c", CONNECTIONS, "-r", "100"]);
    slow.args(["-l", SECONDS, "-p", "3"]).args(mode);
    let what = format!("slowhttptest {}", mode.join(" "));
    let said = friend::asks_on(node, "/echo/friend", &what, || run_to_its_end(slow, node.home.path()));
    assert!(said.contains("Exit status:"), "{said}");
    Some(said)
}

/// Each time that the tool looked, the function answered it.
#[track_caller]
fn check(mode: &[&str]) {
    let node = site();
    let Some(said) = attacked(&node, "/echo/slow", mode) else { return };
    let looked: Vec<&str> = said.lines().filter(|line| line.contains("service available:")).collect();
    assert!(!looked.is_empty() && looked.iter().all(|line| line.contains("YES")), "{said}");
    assert_eq!(node.call("GET", "/echo/afterwards", None, b"").status, 200);
}

#[test]
fn slow_heads() {
    check(&["-H", "-i", "3", "-x", "24"]);
}

#[test]
fn slow_bodies() {
    check(&["-B", "-i", "3", "-s", "8192", "-x", "10"]);
}

#[test]
fn slow_readers() {
    check(&["-X", "-k", "5", "-w", "1", "-y", "64", "-z", "8", "-n", "3"]);
}

#[test]
fn overlapping_ranges() {
    check(&["-R", "-a", "5", "-b", "500"]);
}

/// Whoever reads a gigabyte slowly takes the places of that function, which then is busy, and of no other.
#[test]
fn slow_readers_of_much() {
    let node = site();
    node.deploy("big", &guest("hostile"), &public());
    attacked(&node, "/big/gigabyte", &["-X", "-w", "1", "-y", "64", "-z", "8", "-n", "3"]);
    assert_eq!(node.call("GET", "/echo/afterwards", None, b"").status, 200);
}
