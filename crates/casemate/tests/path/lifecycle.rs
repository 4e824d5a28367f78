//! Deploy, roll back, remove, restart: what was acknowledged stays, what was refused changes nothing.

use crate::support::{TestNode, guest};

const TENANT: &str = "[access]\nallow = \"tenant\"\n";

#[test]
fn revisions_come_and_go() {
    let node = TestNode::start();
    let token = node.token(&["--name", "caller", "--scope", "invoke"]);
    assert_eq!(node.deploy("f", &guest("hello"), TENANT)["revision"], 1);
    assert_eq!(node.deploy("f", &guest("counter"), TENANT)["revision"], 2);
    assert_eq!(node.call("GET", "/f", Some(&token), b"").text().trim(), "1");
    node.run(&["rollback", "f"]).ok();
    assert_eq!(node.call("GET", "/f", Some(&token), b"").text(), "Hello, world!\n");
    assert_eq!(node.deploy("f", &guest("counter"), TENANT)["revision"], 3, "no number is used twice");
    node.run(&["remove", "f", "--yes"]).ok();
    assert_eq!(node.call("GET", "/f", Some(&token), b"").status, 404);
    assert_eq!(node.deploy("f", &guest("hello"), TENANT)["revision"], 4, "not even after a removal");
}

#[test]
fn a_restart_keeps_everything() {
    let node = TestNode::start();
    let token = node.token(&["--name", "caller", "--scope", "invoke"]);
    node.deploy("hello", &guest("hello"), TENANT);
    node.deploy("kitchen", &guest("kitchen"), TENANT);
    assert_eq!(node.call("GET", "/kitchen", Some(&token), b"").status, 200);
    let before = node.records(&["--limit", "1000"]).len();
    let node = TestNode::start_with(node.stop(), "");
    assert_eq!(node.call("GET", "/hello", Some(&token), b"").status, 200);
    assert!(node.records(&["--limit", "1000"]).len() > before, "the record goes on");
    assert!(!node.run(&["logs", "kitchen"]).ok().out.trim().is_empty(), "so does the log");
}

#[test]
fn what_is_refused_changes_nothing() {
    let node = TestNode::start();
    let token = node.token(&["--name", "caller", "--scope", "invoke"]);
    node.deploy("f", &guest("hello"), TENANT);
    let cwasm: Vec<u8> = [b"\x7fELF".as_slice(), &[0; 64]].concat();
    let cut = guest("hello")[..5_000].to_vec();
    for (what, component, says) in [
        ("not Wasm", b"hello".to_vec(), "no WebAssembly"),
        ("precompiled", cwasm, "precompiled"),
        ("cut off", cut, ""),
        ("a core module", guest("core-module"), "core-module"),
        ("without a handler", guest("no-handler"), "wasi:http"),
        ("an import that nobody grants", guest("import-ungranted"), "acme:thing/do"),
        ("a handler of another shape", guest("wrong-handler"), ""),
    ] {
        let folder = node.home.function("f", &component, TENANT);
        let refused = node.run(&["deploy", folder.to_str().unwrap(), "--no-build"]);
        assert_ne!(refused.code, 0, "{what} was deployed");
        assert!(refused.err.contains(says), "{what}: `{says}` is not in {}", refused.err);
        println!("{what}: {}", refused.err.lines().next().unwrap_or_default());
        assert_eq!(node.call("GET", "/f", Some(&token), b"").text(), "Hello, world!\n", "after {what}");
    }
    let events = node.records(&["--function", "f"]);
    let refused = events.iter().filter(|e| e["kind"] == "deploy" && e["allowed"] == false).count();
    assert!(refused >= 5, "refusals of the node are in the record: {events:?}");
}

#[test]
fn an_upload_is_what_its_digest_says() {
    let node = TestNode::start();
    let admin = node.admin();
    let digest = format!("sha256:{}", "0".repeat(64));
    let path = format!("/v1/tenants/default/components/{digest}");
    let answer = node.api("PUT", &path, Some(&admin), &guest("hello"));
    assert_eq!((answer.status, answer.json()["code"].as_str()), (422, Some("wrong-digest")));
    let deploy = "/v1/tenants/default/functions/f/revisions";
    let body = format!(r#"{{"manifest":"name = \"f\"\ncomponent = \"x\"\n","component":"{digest}"}}"#);
    let answer = node.api("POST", deploy, Some(&admin), body.as_bytes());
    assert_eq!(answer.status, 404, "nothing was kept: {}", answer.text());
}

#[test]
fn a_path_has_one_owner() {
    let node = TestNode::start();
    node.deploy("one", &guest("hello"), "[[route]]\npath = \"/same\"\n");
    let folder = node.home.function("two", &guest("hello"), "[[route]]\npath = \"/same\"\n");
    let refused = node.run(&["deploy", folder.to_str().unwrap(), "--no-build"]);
    assert_ne!(refused.code, 0);
    assert!(refused.err.contains("/same") && refused.err.contains("one"), "{}", refused.err);
}
