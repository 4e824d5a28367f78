//! Why a past request was decided as it was, when the policies, the function and the node are others since.

use crate::support::{TestNode, guest};

const TENANT: &str = "[access]\nallow = \"tenant\"\n";
const NOBODY: &str = "[access]\nallow = \"nobody\"\n";

fn set(node: &TestNode, text: &str) {
    let file = node.home.path().join("tenant.cedar");
    std::fs::write(&file, text).unwrap();
    node.run(&["policy", "set", file.to_str().unwrap(), "--accept-widening"]).ok();
}

fn explained(node: &TestNode, id: &str) -> serde_json::Value {
    node.run(&["policy", "explain", id, "--output", "json"]).ok().json()["decisions"][0].clone()
}

#[test]
fn a_decision_is_explained_as_it_was_then() {
    let node = TestNode::start();
    node.deploy("hello", &guest("hello"), TENANT);
    let eve = node.token(&["--name", "eve", "--scope", "invoke"]);
    let id = |answer: &crate::support::Answer| answer.headers["x-request-id"].to_str().unwrap().to_owned();
    let before = node.call("GET", "/hello", Some(&eve), b"");
    assert_eq!(before.status, 200);
    let forbid = "@id(\"no-deletes\") forbid (principal, action == Action::\"invoke\", resource)\n\
                  when { context.method == \"DELETE\" };";
    set(&node, forbid);
    let refused = node.call("DELETE", "/hello?secret=s3cr3t", Some(&eve), b"");
    let permitted = node.call("GET", "/hello?secret=s3cr3t", Some(&eve), b"");
    assert_eq!((refused.status, permitted.status), (403, 200));

    // Nothing is as it was: other policies, another revision, another life of the node.
    set(&node, "@id(\"other\") permit (principal, action == Action::\"readLogs\", resource);");
    node.deploy("hello", &guest("hello"), NOBODY);
    let node = TestNode::start_with(node.stop(), "");
    assert_eq!(node.call("GET", "/hello", Some(&eve), b"").status, 403);

    let why = explained(&node, &id(&refused));
    assert_eq!(why["why"]["decided_by"], serde_json::json!(["tenant/no-deletes"]), "{why}");
    let decisive = &why["why"]["policies"][0];
    assert_eq!((&decisive["policy"], &decisive["applies"]), (&"tenant/no-deletes".into(), &true.into()));
    assert!(decisive["parts"].to_string().contains("context.method == \\\"DELETE\\\""), "{why}");
    let asked: serde_json::Value = serde_json::from_str(why["event"]["asked"].as_str().unwrap()).unwrap();
    assert_eq!(asked["method"], "DELETE");
    assert_eq!((&asked["revision"], &asked["path"]), (&1.into(), &serde_json::Value::Null), "{asked}");

    let why = explained(&node, &id(&permitted));
    assert_eq!(why["why"]["permitted"], true, "{why}");
    let policies = why["why"]["policies"].as_array().unwrap();
    let forbid = policies.iter().find(|policy| policy["policy"] == "tenant/no-deletes").unwrap();
    let failed: Vec<_> = forbid["parts"].as_array().unwrap().iter().filter(|p| p["holds"] == false).collect();
    assert_eq!(failed.len(), 1, "the clause that failed then: {forbid}");
    assert!(
        policies.iter().any(|p| p["policy"] == "function/preset-tenant" && p["applies"] == true),
        "{why}"
    );

    // From before the first change of policies, of which nothing was kept until then.
    let why = explained(&node, &id(&before));
    assert_eq!(why["why"]["permitted"], true, "{why}");
    assert!(!why.to_string().contains("no-deletes"), "{why}");

    let said = node.run(&["policy", "explain", &id(&refused)]).ok().out;
    for part in ["refused", "eve", "decided by forbid `tenant/no-deletes`", "policies saw", "context.method"]
    {
        assert!(said.contains(part), "`{part}` is not in {said}");
    }
    let events = node.records(&["--limit", "1000"]);
    assert!(!serde_json::to_string(&events).unwrap().contains("s3cr3t"), "a query stands in the record");
}
