//! What a manifest says of its shield, and who may weaken it.

use super::{Site, support};

const ATTACK: (&str, &str) = ("GET", "/echo?id=1%27%20OR%20%271%27%3D%271");

#[test]
fn a_function_that_only_wants_to_know() {
    let site = Site::start("mode = \"detect\"");
    let answer = site.ask(ATTACK, &[], b"");
    assert_eq!(answer.status, 200);
    let id = answer.headers["x-request-id"].to_str().unwrap();
    let records = site.node.records(&["--request", id]);
    let signal = records.iter().find(|one| one["kind"] == "signal").unwrap_or_else(|| panic!("{records:?}"));
    assert_eq!((&signal["code"], &signal["allowed"]), (&"rule-would-refuse".into(), &true.into()));
}

#[test]
fn what_is_left_out() {
    let site = Site::start(
        "[[shield.exclude]]\ntags = [\"attack-sqli\"]\nvariables = [\"ARGS:id\"]\npath = \"/echo/sql\"\n\
         reason = \"people teach SQL here\"\n",
    );
    site.check(ATTACK, &[], b"", 403, "rule-matched");
    site.check(("GET", "/echo/sql?id=1%27%20OR%20%271%27%3D%271"), &[], b"", 200, "");
    site.check(("GET", "/echo/sql?q=1%27%20OR%20%271%27%3D%271"), &[], b"", 403, "rule-matched");
    let shown = site.node.run(&["inspect", "echo"]).ok().out;
    assert!(shown.contains("people teach SQL here"), "{shown}");
}

#[test]
fn weakening_is_a_decision_of_its_own() {
    let site = Site::start("paranoia = 2");
    let developer = site.node.token(&["--name", "dev", "--role", "developer", "--scope", "*"]);
    let deploy = |shield: &str| {
        let manifest = format!("[access]\nallow = \"tenant\"\n[shield]\n{shield}");
        let folder = site.node.home.function("echo", &support::guest("echo"), &manifest);
        let mut command = site.node.home.command(&["deploy", folder.to_str().unwrap(), "--no-build"]);
        command.env("CASEMATE_TOKEN", &developer).output().unwrap()
    };
    for weaker in
        ["mode = \"off\"", "inbound_threshold = 100", "exhausted = \"pass\"", "body_over = \"pass\""]
    {
        let done = deploy(weaker);
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(5), "{weaker}: {said}");
    }
    assert_eq!(deploy("paranoia = 3\nresponses = true").status.code(), Some(0), "what is stricter is free");
    let denied = site.node.records(&[]);
    let denied = denied.iter().find(|one| one["action"] == "loosenShield").unwrap();
    assert_eq!(denied["allowed"], false);
}

#[test]
fn what_cannot_be_deployed() {
    let site = Site::start("");
    for (shield, code, says) in [
        ("paranoia = 9", 7, "from 1 to 4"),
        ("mode = \"sometimes\"", 7, "unknown variant"),
        ("threshold = 4", 7, "unknown field"),
        (
            "[[shield.exclude]]\nrules = [\"1\"]\nvariables = [\"NOTHING:x\"]\nreason = \"long enough\"",
            1,
            "NOTHING",
        ),
    ] {
        let manifest = format!("[access]\nallow = \"tenant\"\n[shield]\n{shield}");
        let folder = site.node.home.function("echo", &support::guest("echo"), &manifest);
        site.node.run(&["deploy", folder.to_str().unwrap(), "--no-build"]).fails(code, says);
    }
}

#[test]
fn a_node_may_say_what_is_usual() {
    let config = "[shield]\nmode = \"detect\"\n";
    let node = support::TestNode::start_with(support::Home::new(), config);
    node.deploy("echo", &support::guest("echo"), "[access]\nallow = \"tenant\"");
    let token = node.token(&["--name", "ada", "--scope", "invoke"]);
    assert_eq!(node.call(ATTACK.0, ATTACK.1, Some(&token), b"").status, 200);
    node.deploy("echo", &support::guest("echo"), "[access]\nallow = \"tenant\"\n[shield]\nmode = \"block\"");
    assert_eq!(node.call(ATTACK.0, ATTACK.1, Some(&token), b"").status, 403);
}
