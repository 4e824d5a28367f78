//! Code that is damaged where it lies.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    support::{TestNode, guest},
    town::TENANT,
};

/// Every blob in a data folder: files named by a digest.
fn blobs(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
    let named = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit())
    };
    entries.flat_map(|path| if path.is_dir() { blobs(&path) } else { vec![path] }).filter(named).collect()
}

#[test]
fn code_that_cannot_be_had_is_the_platforms_fault() {
    let node = TestNode::start();
    let token = node.token(&["--name", "caller", "--scope", "invoke"]);
    node.deploy("hello", &guest("hello"), TENANT);
    let data = node.data.clone();
    let home = node.stop();
    let damaged = blobs(&data);
    assert!(damaged.len() >= 2, "a component and its code: {damaged:?}");
    for blob in &damaged {
        let mut bytes = fs::read(blob).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(blob, bytes).unwrap();
    }
    let node = TestNode::start_with(home, "");
    for _ in 0..2 {
        let answer = node.call("GET", "/hello", Some(&token), b"");
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert_eq!(answer.json()["code"], "code-unavailable");
        let id = answer.headers["x-request-id"].to_str().unwrap();
        let events = node.records(&["--request", id]);
        assert!(events.iter().any(|e| e["kind"] == "run" && e["code"] == "code-unavailable"), "{events:?}");
    }
    // What is deployed anew is whole again.
    node.deploy("hello", &guest("hello"), TENANT);
    assert_eq!(node.call("GET", "/hello", Some(&token), b"").status, 200);
}
