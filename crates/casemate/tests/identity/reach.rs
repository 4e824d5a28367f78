//! Who can, over callers that no API token names: those of an issuer, of a certificate, of a webhook, and functions.

use serde_json::{Value, json};

use crate::{
    caller::Key,
    support::{TestNode, guest},
};

const ACCESS: &str = r#"[access]
accept = ["desk", "webhook:shop"]
policy = '''
permit (principal is User, action == Action::"invoke", resource) when { principal.groups.contains("buyers") };
forbid (principal is User, action == Action::"invoke", resource) when { principal.groups.contains("trainees") };
permit (principal == Service::"default/webhook:shop", action == Action::"invoke", resource);
permit (principal == Function::"default/front", action == Action::"invoke", resource)
when { context.chain.depth == 1 };
'''
"#;

#[test]
fn who_can_ranges_over_every_kind_of_caller() {
    let node = TestNode::start();
    let jwks = json!({ "keys": [Key::new("one").jwk()] }).to_string();
    let text = format!(
        "[[issuers]]\nname = \"desk\"\nissuer = \"https://id.example\"\naudiences = [\"a\"]\nalgorithms = [\"ES256\"]\n\
         kind = \"User\"\njwks = '{jwks}'\n[issuers.claims]\ngroups = \"groups\"\n[[webhooks]]\nname = \"shop\"\n\
         scheme = \"github\"\npaths = [\"/orders\"]\nsecrets = [\"a-secret-of-twenty-some-characters\"]\n"
    );
    let body = json!({ "text": text }).to_string();
    let set = node.api("PUT", "/v1/tenants/default/identity", Some(&node.admin()), body.as_bytes());
    assert_eq!(set.status, 200, "{}", set.text());
    node.deploy("front", &guest("hello"), "[access]\nallow = \"tenant\"\n");
    node.deploy("orders", &guest("hello"), ACCESS);
    node.token(&["--name", "eve", "--scope", "invoke"]);

    let found = node.run(&["policy", "who-can", "invoke", "orders", "--output", "json"]).ok().json();
    let of = |who: &str| -> Option<Value> {
        found["reached"].as_array().unwrap().iter().find(|r| r["who"] == who).cloned()
    };
    let desk = of("any User that `desk` proves").expect("an issuer's callers");
    assert_eq!(desk["may"], "when", "{desk}");
    assert_eq!(desk["permitted_when"].as_array().unwrap().len(), 1, "{desk}");
    let permitted = desk["permitted_when"][0]["condition"].as_str().unwrap();
    assert!(permitted.contains("contains(\"buyers\")") && !permitted.contains("tenant"), "{desk}");
    let forbidden = desk["forbidden_when"].to_string();
    assert!(forbidden.contains("trainees") && !forbidden.contains("scopes"), "{desk}");
    assert_eq!(of("Service::\"default/webhook:shop\"").expect("a webhook's sender")["may"], "always");
    let front = of("Function::\"default/front\"").expect("a function");
    assert_eq!(front["may"], "when", "{front}");
    assert_eq!(of("Function::\"default/orders\"").expect("another")["may"], "never");
    assert_eq!(of("User::\"default/eve\""), None, "it does not take her token");

    let found = node.run(&["policy", "what-can", "desk:grace", "--output", "json"]).ok().json();
    let reached = found["reached"].as_array().unwrap();
    assert_eq!(reached[0]["who"], "User::\"default/desk:grace\"");
    assert!(
        reached.iter().all(|r| r["action"] == "invoke"),
        "an issuer's tokens are for functions: {reached:?}"
    );
    assert_eq!(reached.len(), 1, "`front` does not take them: {reached:?}");
    node.run(&["policy", "what-can", "nobody:grace"]).fails(1, "nobody:grace");
}
