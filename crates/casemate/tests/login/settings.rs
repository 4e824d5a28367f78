//! What a login's configuration may say, and who may say it. No provider is wanted for it.

use serde_json::json;

use crate::{
    person::{configure, control},
    support::TestNode,
};

const LOGIN: &str = "[login]\nissuer = \"https://id.example\"\nclient_id = \"cli\"\nalgorithms = [\"ES256\"]\n\
                     [login.claims]\ngroups = \"groups\"\n\
                     [[login.grants]]\ngroups = [\"ops\"]\nroles = [\"operator\"]\n";

#[test]
fn a_mapping_gives_no_more_than_who_sets_it_holds() {
    let node = TestNode::start();
    let owner = node.token(&["--name", "lead", "--role", "owner"]);
    let narrow = node.token(&["--name", "lead", "--role", "owner", "--scope", "managePolicy"]);
    let set = |token: &str, text: &str| {
        let body = json!({ "text": text }).to_string();
        let answer = node.api("PUT", "/v1/tenants/default/identity", Some(token), body.as_bytes());
        (answer.status, answer.text())
    };
    let (status, said) = set(&narrow, LOGIN);
    assert!(status == 403 && said.contains("scope `*` is more"), "{status} {said}");
    assert_eq!(set(&narrow, &format!("{LOGIN}scopes = [\"managePolicy\"]\n")).0, 200);
    assert_eq!(set(&owner, LOGIN).0, 200);
    let (status, said) =
        set(&owner, &format!("{}scopes = [\"readNode\"]\n", LOGIN.replace("operator", "admin")));
    assert!(status == 403 && said.contains("role `admin` is more"), "{status} {said}");
    let admin = LOGIN.replace("operator", "admin");
    assert_eq!(set(&node.admin(), &admin).0, 403, "nobody gives all that an administrator may");
    assert_eq!(set(&node.admin(), &format!("{admin}scopes = [\"readNode\"]\n")).0, 200);
    let events = node.records(&["--limit", "100"]);
    assert!(
        events.iter().any(|event| event["code"] == "escalation" && event["kind"] == "identity"),
        "{events:?}"
    );
}

#[test]
fn what_does_not_hold_is_said_with_what_would() {
    let node = TestNode::start();
    let said = |text: &str| configure(&node, "default", text).err;
    for (from, to, expect) in [
        ("client_id", "client-id", "did you mean `client_id`?"),
        ("\"operator\"", "\"operater\"", "did you mean `operator`?"),
        ("https://id", "http://id", "login.issuer"),
        ("[\"ES256\"]", "[\"ES256\"]\nsession_s = 43201", "login.session_s"),
        ("[\"ES256\"]", "[\"ES256\"]\nscopes = [\"profile\"]", "login.scopes"),
        ("[\"ES256\"]", "[\"ES256\"]\nname = \"session\"", "login.name"),
        ("groups = [\"ops\"]\n", "", "login.grants[0]"),
        ("groups = \"groups\"", "", "login.claims.groups"),
        ("roles = [\"operator\"]", "roles = []", "login.grants[0].roles"),
        ("roles = [\"operator\"]", "roles = [\"operator\"]\nscopes = [\"fly\"]", "`fly` is none"),
    ] {
        assert!(LOGIN.contains(from), "{from}");
        let said = said(&LOGIN.replacen(from, to, 1));
        assert!(said.contains(expect), "{expect}: {said}");
    }
    let accept = |text: &str| said(&format!("{LOGIN}[control]\naccept = {text}\n"));
    assert!(accept("[\"sesion\"]").contains("write `token` or `session`"));
    assert!(accept("[\"session\"]").contains("does not take the credential that sets it"));
    assert_eq!(accept("[\"token\", \"session\"]"), "");
    assert!(said("[control]\naccept = [\"session\"]\n").contains("where there is no `login`"));
    node.run(&["whoami"]).ok();
}

#[test]
fn who_asks_too_often_waits() {
    let node = TestNode::start();
    let ask = || control(&node, "GET", "/v1/tenants/default/login", &[], b"").status;
    let told: Vec<u16> = (0..70).map(|_| ask()).collect();
    assert!(told.contains(&404) && told.contains(&429), "{told:?}");
    node.run(&["whoami"]).ok();
}

#[test]
fn nobody_is_logged_in() {
    let node = TestNode::start();
    let person = crate::person::Person::new(&node);
    person.run(&["logout"]).fails(4, "nobody is logged in");
    person.run(&["login", "--oidc"]).fails(1, "casemate identity set");
    node.run(&["logout"]).ok();
    let to = ["whoami", "--node", node.control(), "--ca", node.info["ca"].as_str().unwrap()];
    node.run(&to).fails(4, "a valid token is required");
}
