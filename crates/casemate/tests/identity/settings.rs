//! Who may say whom a tenant accepts, and what is not taken.

use serde_json::json;

use crate::support::TestNode;

const PATH: &str = "/v1/tenants/default/identity";

#[test]
fn who_may_say_whom_to_accept() {
    let node = TestNode::start();
    let body = json!({ "text": "" }).to_string();
    for (role, read, write) in
        [("viewer", 403, 403), ("developer", 403, 403), ("auditor", 200, 403), ("owner", 200, 200)]
    {
        let token = node.token(&["--name", role, "--role", role, "--scope", "*"]);
        assert_eq!(node.api("GET", PATH, Some(&token), b"").status, read, "{role}");
        assert_eq!(node.api("PUT", PATH, Some(&token), body.as_bytes()).status, write, "{role}");
    }
    assert_eq!(node.api("GET", PATH, None, b"").status, 401);
    assert_eq!(node.api("PUT", PATH, None, body.as_bytes()).status, 401);
    let set = node.records(&["--limit", "50"]);
    assert!(set.iter().any(|event| event["kind"] == "identity" && event["allowed"] == true), "{set:?}");
}

#[test]
fn what_does_not_hold_changes_nothing() {
    let node = TestNode::start();
    let admin = node.admin();
    let set = |text: &str| {
        let answer = node.api("PUT", PATH, Some(&admin), json!({ "text": text }).to_string().as_bytes());
        (answer.status, answer.text())
    };
    let hook = "[[webhooks]]\nname = \"a\"\nscheme = \"github\"\npaths = [\"/a\"]\n\
                secrets = [\"a-secret-of-twenty-some-characters\"]\n";
    assert_eq!(set(hook).0, 200);
    for (text, says) in [
        (format!("{hook}tenant = \"acme\"\n"), "webhooks[0].tenant"),
        (hook.replace("secrets = [", "secret_files = [\"/etc/passwd\", "), "webhooks[0].secret_files"),
        (hook.replace("a-secret-of-twenty-some-characters", "(sealed)"), "webhooks[0].secrets[0]"),
        (hook.replace("github", "gitlab"), "line 3"),
        (
            "[[certificates]]\nname = \"m\"\ndns = [\"a.example\"]\nca = \"x\"\n".into(),
            "holds no certificate",
        ),
        (
            "[[issuers]]\nname = \"c\"\nissuer = \"http://id.example\"\naudiences = [\"a\"]\n\
          algorithms = [\"ES256\"]\nkind = \"User\"\n"
                .into(),
            "issuers[0].issuer",
        ),
        ("not TOML".into(), "line 1"),
    ] {
        let (status, said) = set(&text);
        assert_eq!(status, 422, "{text}: {said}");
        assert!(said.contains("identity-invalid") && said.contains(says), "{says}: {said}");
        assert!(!said.contains("twenty-some"), "no secret is repeated: {said}");
    }
    let shown = node.run(&["identity", "show"]).ok().out;
    assert!(shown.contains("github") && !shown.contains("twenty-some"), "{shown}");
    let records = serde_json::to_string(&node.records(&["--limit", "100"])).unwrap();
    assert!(!records.contains("twenty-some"), "nor is it recorded");
}
