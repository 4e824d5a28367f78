//! sqlmap before a shop with a hole in its SQL. It finds the hole where no rules look at requests, which proves that it
//! could; where they do it finds nothing, in no disguise.

use std::process::Command;

use crate::{
    node, program,
    support::{TestNode, guest},
};

const FOUND: &str = "sqlmap identified the following injection point";
const NOT_FOUND: &str = "all tested parameters do not appear to be injectable";
const DISGUISES: &str = "--tamper=between,randomcase,space2comment,charencode";
/// Rules know sqlmap by its own name. Who attacks changes that first.
const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

struct Shop {
    node: TestNode,
    token: String,
}

impl Shop {
    fn open(shield: &str) -> Self {
        let node = node();
        node.deploy("shop", &guest("vulnerable"), &format!("[access]\nallow = \"tenant\"\n{shield}"));
        let token = node.token(&["--name", "mallory", "--scope", "invoke"]);
        let shop = Self { node, token };
        let answer = shop.node.call("GET", "/shop?name=lamp", Some(&shop.token), b"");
        assert_eq!((answer.status, answer.text().as_str()), (200, "lamp costs 30\n"));
        shop
    }

    /// What sqlmap says of the parameter `name`.
    fn scanned(&self, mut sqlmap: Command, target: &str, more: &[&str]) -> String {
        let home = self.node.home.path();
        let output = home.join("sqlmap");
        sqlmap.env("HOME", home).env("XDG_DATA_HOME", home).current_dir(home);
        sqlmap.args(["-u", &format!("{}{target}", self.node.functions()), "--force-ssl", "-p", "name"]);
        sqlmap.args(["-H", &format!("Authorization: Bearer {}", self.token), "-A", BROWSER]);
        sqlmap.args(["--batch", "--ignore-stdin", "--disable-coloring", "--flush-session", "--threads=1"]);
        sqlmap.args(["--level=2", "--risk=2", "--timeout=10", "--retries=1"]);
        sqlmap.arg("--output-dir").arg(&output).args(more);
        crate::run_to_its_end(sqlmap, home)
    }

    /// How many refusals by rules are in the record, each by itself; of a flood the rest is counted.
    fn refusals(&self) -> usize {
        let events = self.node.records(&["--function", "shop", "--limit", "1000"]);
        events.iter().filter(|event| event["kind"] == "refusal" && event["code"] == "rule-matched").count()
    }
}

fn check_found(target: &str, more: &[&str]) {
    let Some(sqlmap) = program("sqlmap") else { return };
    let shop = Shop::open("[shield]\nmode = \"off\"\n");
    let said = shop.scanned(sqlmap, target, &[&["--technique=BE"], more].concat());
    assert!(said.contains(FOUND) && said.contains("Payload: name=lamp' AND"), "{said}");
    assert_eq!(shop.refusals(), 0);
}

fn check_not_found(target: &str, more: &[&str]) {
    let Some(sqlmap) = program("sqlmap") else { return };
    let shop = Shop::open("");
    let said = shop.scanned(sqlmap, target, &[&["--technique=BEU"], more].concat());
    assert!(!said.contains(FOUND) && !said.contains("Payload:"), "{said}");
    assert!(said.contains(NOT_FOUND), "{said}");
    let refusals = shop.refusals();
    eprintln!(
        "sqlmap found nothing in {target} with {more:?}; {refusals} refusals by rules are in the record"
    );
    assert!(refusals >= 50, "{said}");
}

#[test]
fn without_rules_sqlmap_finds_the_hole() {
    check_found("/shop?name=lamp", &[]);
}

#[test]
fn without_rules_sqlmap_finds_the_hole_of_a_form() {
    check_found("/shop", &["--data", "name=lamp"]);
}

#[test]
fn with_rules_sqlmap_finds_nothing() {
    check_not_found("/shop?name=lamp", &[]);
}

#[test]
fn with_rules_sqlmap_finds_nothing_in_disguise() {
    check_not_found("/shop?name=lamp", &[DISGUISES]);
}

#[test]
fn with_rules_sqlmap_finds_nothing_of_a_form_in_disguise() {
    check_not_found("/shop", &[DISGUISES, "--data", "name=lamp"]);
}
