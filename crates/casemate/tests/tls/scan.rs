//! What `testssl.sh` (Debian's) finds at a node: nothing that is worse than a remark, but what `docs/operations.md` lists
//! with its reason.

use std::{fs, process::Command};

use serde_json::Value;

use crate::{
    handshake::address,
    support::{Home, TestNode},
};

/// Findings that are not about what a node does; each stands in `docs/operations.md` with its reason.
const KNOWN: &[&str] = &["cert_revocation", "engine_problem", "sessionresumption_ticket"];
/// Protocols, ciphers, forward secrecy, the server's order and defaults, headers, known weaknesses. What is left out tries
/// each cipher by itself once more, and plays browsers.
const CHECKS: [&str; 7] = ["-p", "-s", "-f", "-P", "-S", "-h", "-U"];
/// Of browsers one expects more where a name is not `localhost`.
const NAME: &str = "node.example.com";

#[test]
fn a_scanner_finds_nothing() {
    if Command::new("testssl").arg("--version").output().is_err() {
        eprintln!("skipped: no testssl; `cargo xtask test` fetches it, with apt-get");
        return;
    }
    let node = TestNode::start_with(Home::new(), &format!("domain = \"{NAME}\"\n"));
    let report = node.home.path().join("testssl.json");
    let target = format!("{NAME}:{}", address(node.functions()).port());
    let mut scan = Command::new("testssl");
    scan.args(["--quiet", "--color", "0", "--warnings", "off", "--ip", "127.0.0.1", "--nodns", "none"]);
    scan.args(CHECKS).arg("--add-ca").arg(node.info["ca"].as_str().unwrap()).arg("--jsonfile").arg(&report);
    let done = scan.arg(&target).current_dir(node.home.path()).output().unwrap();
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
