//! What `testssl.sh` (Debian's) finds at a node: nothing that is worse than a remark, but what `docs/operations.md` lists with
//! its reason.

use std::{fs, process::Command};

use serde_json::Value;

use crate::{handshake::address, support::TestNode};

/// Findings about the certificate of a node that nobody gave one, and the machine; each stands in `docs/operations.md`.
const KNOWN: &[&str] = &[];

#[test]
fn a_scanner_finds_nothing() {
    if Command::new("testssl").arg("--version").output().is_err() {
        eprintln!("skipped: no testssl; `cargo xtask test` fetches it, with apt-get");
        return;
    }
    let node = TestNode::start();
    let report = node.home.path().join("testssl.json");
    let target = format!("localhost:{}", address(node.functions()).port());
    let args = ["--quiet", "--color", "0", "--warnings", "off", "--ip", "127.0.0.1", "--nodns", "none"];
    let done =
        Command::new("testssl").args(args).arg("--jsonfile").arg(&report).arg(&target).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    let found: Vec<Value> = serde_json::from_str(&fs::read_to_string(&report).unwrap()).unwrap();
    let severe = |finding: &&Value| !["OK", "INFO"].contains(&finding["severity"].as_str().unwrap());
    let worse: Vec<&Value> = found.iter().filter(severe).collect();
    let ours: Vec<_> =
        worse.iter().filter(|finding| !KNOWN.contains(&finding["id"].as_str().unwrap())).collect();
    assert!(ours.is_empty(), "{ours:#?}\n{said}");
    let offered =
        |id: &str| found.iter().find(|finding| finding["id"] == id).map(|finding| finding["finding"].clone());
    assert_eq!(offered("TLS1_3").unwrap(), "offered with final", "it was looked at\n{said}");
}
