//! Rules that an operator adds in the place of those in the box, the way back, and what others would have said.

use std::{fs, path::Path};

use super::{Site, support};

const ATTACK: (&str, &str) = ("GET", "/echo?id=1%27%20OR%20%271%27%3D%271");
const OWN: (&str, &str) = ("GET", "/echo?word=forbidden");

fn folder(site: &Site, name: &str, files: &[(&str, &str)]) -> String {
    let folder = site.node.home.path().join(name);
    for (file, text) in files {
        let path = folder.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder.to_str().unwrap().to_owned()
}

const WORDS: &str = "SecRule ARGS \"@pmFromFile words.data\" \"id:1,phase:2,deny,status:403,msg:'a word',severity:CRITICAL\"\n";

#[test]
fn added_and_back() {
    let site = Site::start("");
    let own = folder(&site, "mine", &[("a.conf", WORDS), ("words.data", "forbidden\n")]);
    site.check(OWN, &[], b"", 200, "");
    let added = site.node.run(&["shield", "rules", "add", &own, "--output", "json"]).ok().json();
    let digest = added["digest"].as_str().unwrap().to_owned();
    site.check(OWN, &[], b"", 403, "rule-matched");
    site.check(ATTACK, &[], b"", 200, "");
    let node = support::TestNode::start_with(site.node.stop(), "");
    let site = Site { node, token: site.token };
    site.check(OWN, &[], b"", 403, "rule-matched");
    site.node.run(&["shield", "rules", "rollback"]).ok();
    site.check(OWN, &[], b"", 200, "");
    site.check(ATTACK, &[], b"", 403, "rule-matched");
    site.node.run(&["shield", "rules", "use", &digest]).ok();
    site.check(OWN, &[], b"", 403, "rule-matched");
    site.node.run(&["shield", "rules", "use", "base"]).ok();
    site.check(ATTACK, &[], b"", 403, "rule-matched");
    let list = site.node.run(&["shield", "rules", "list", "--output", "json"]).ok().json();
    let names: Vec<&str> =
        list["sets"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["base", "mine"]);
    // What is deployed later has the rules in force, too.
    site.node.run(&["shield", "rules", "use", &digest]).ok();
    site.deploy("");
    site.check(OWN, &[], b"", 403, "rule-matched");
    let records = site.node.run(&["records", "--of-node", "--output", "json"]).ok().json();
    let acts =
        records["records"].as_array().unwrap().iter().filter(|one| one["event"]["action"] == "rules").count();
    assert_eq!(acts, 5, "each change is in the record");
}

#[test]
fn what_is_not_taken() {
    let site = Site::start("");
    let add = |folder: &str| site.node.run(&["shield", "rules", "add", folder]);
    let all = "SecRule REQUEST_METHOD \"@rx .\" \"id:1,phase:1,deny,status:403,msg:'all'\"";
    add(&folder(&site, "all", &[("a.conf", all)])).fails(1, "they refuse a plain request");
    let broken = "SecAction \"id:1,phase:1,pass\"\nSecRule ARGS \"@rx (\" \"id:2,phase:2,deny\"";
    add(&folder(&site, "broken", &[("a.conf", broken)])).fails(1, "a.conf:2");
    add(&folder(&site, "none", &[("words.data", "x")])).fails(7, "no `.conf` file");
    add(&folder(&site, "missing", &[("a.conf", WORDS)])).fails(1, "words.data");
    add(&folder(&site, "exec", &[("a.conf", "SecAction \"id:1,phase:1,pass,exec:/bin/sh\"")]))
        .fails(1, "exec");
    let own = folder(&site, "mine", &[("a.conf", WORDS), ("words.data", "forbidden\n")]);
    let wrong = format!("sha256:{}", "0".repeat(64));
    site.node.run(&["shield", "rules", "add", &own, "--digest", &wrong]).fails(7, "the files are");
    let failing = "---\nrule_id: 1\ntests:\n  - test_id: 1\n    stages:\n      - input:\n          uri: /?a=other\n          \
        headers:\n            Host: localhost\n        output:\n          log:\n            expect_ids: [1]\n";
    folder(&site, "mine", &[("tests/1.yaml", failing)]);
    site.node.run(&["shield", "rules", "add", &own]).fails(1, "own tests fail");
    site.check(ATTACK, &[], b"", 403, "rule-matched");
    site.check(OWN, &[], b"", 200, "");
    let operator = site.node.token(&["--name", "op", "--role", "operator", "--scope", "*"]);
    let body = br#"{"set":"base"}"#;
    assert_eq!(site.node.api("PUT", "/v1/node/rules/in-force", Some(&operator), body).status, 403);
    assert_eq!(site.node.api("PUT", "/v1/node/rules/in-force", None, body).status, 401);
    assert_eq!(site.node.api("GET", "/v1/node/rules", Some(&site.token), b"").status, 403);
}

#[test]
fn what_others_would_have_said() {
    let site = Site::start("");
    site.check(ATTACK, &[], b"", 403, "rule-matched");
    site.check(OWN, &[], b"", 200, "");
    let own = folder(&site, "mine", &[("a.conf", WORDS), ("words.data", "forbidden\n")]);
    let found = site.node.run(&["shield", "simulate", "--rules", &own, "--output", "json"]).ok().json();
    assert_eq!(
        (&found["requests"], &found["refused_now"], &found["refused_then"]),
        (&2.into(), &1.into(), &1.into())
    );
    let changed: Vec<(&str, bool)> = found["changed"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["asked"].as_str().unwrap(), one["refused_now"].as_bool().unwrap()))
        .collect();
    assert_eq!(changed, [("GET /echo", false), ("GET /echo", true)]);
    site.check(OWN, &[], b"", 200, "");
    site.node.run(&["shield", "simulate"]).fails(2, "nothing is to be changed");
    let same = site.node.run(&["shield", "simulate", "--paranoia", "1", "--output", "json"]).ok().json();
    assert_eq!(same["changed"].as_array().unwrap().len(), 0);
}

/// OWASP's Core Rule Set, with its own tests, where it is there.
#[test]
fn the_core_rule_set() {
    let named = std::env::var("CASEMATE_CRS").unwrap_or_default();
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..").join("shared/crs");
    let found = [Path::new(&named), &beside].into_iter().find(|path| path.join("rules").is_dir());
    let Some(crs) = found else {
        return eprintln!("skipped: no Core Rule Set; `CASEMATE_CRS` names its folder");
    };
    let site = Site::start("");
    let added =
        site.node.run(&["shield", "rules", "add", crs.to_str().unwrap(), "--output", "json"]).ok().json();
    assert!(added["tests"]["passed"].as_u64().unwrap() > 3_000, "{added}");
    site.check(ATTACK, &[], b"", 403, "rule-matched");
    site.check(("PUT", "/echo/1"), super::JSON, br#"{"name":"a lamp","count":2}"#, 200, "");
    site.check(("DELETE", "/echo/1"), &[], b"", 200, "");
    site.check(("GET", "/echo?q=a+lamp&page=2"), &[("user-agent", "curl/8.9.1")], b"", 200, "");
}
