//! The examples of docs/policies.md, and the commands about policies that need no node.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::allow_attributes,
    reason = "a test fails by panicking, and says what it skips"
)]

mod support;

use std::{collections::BTreeSet, fs, path::Path};

use support::{Home, solver};

const HELLO: &str = "name = \"hello\"\ncomponent = \"hello.wasm\"\n[access]\nallow = \"tenant\"\n";

fn page() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/policies.md");
    fs::read_to_string(page).unwrap()
}

fn blocks(page: &str, language: &str) -> Vec<String> {
    let begin = format!("```{language}\n");
    page.split(&begin).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// A folder with the page's policies, its table and a function.
fn home() -> Home {
    let (home, page) = (Home::new(), page());
    fs::create_dir(home.path().join("hello")).unwrap();
    fs::write(home.path().join("hello/casemate.toml"), HELLO).unwrap();
    let cedar = blocks(&page, "cedar");
    assert_eq!(cedar.len(), 2);
    fs::write(home.path().join("tenant.cedar"), &cedar[0]).unwrap();
    fs::write(home.path().join("four-eyes.cedar"), &cedar[1]).unwrap();
    fs::write(home.path().join("policies.toml"), &blocks(&page, "toml")[0]).unwrap();
    home
}

#[test]
fn the_policies_and_the_table_of_the_page_hold() {
    let home = home();
    for file in ["tenant.cedar", "four-eyes.cedar"] {
        let said =
            home.run(&["policy", "check", file, "--function", "hello", "--strict", "--output", "json"]).ok();
        assert_eq!(said.json()["findings"], serde_json::json!([]), "{file}");
    }
    let said = home.run(&["policy", "test", "policies.toml"]).ok();
    assert!(said.out.contains("3 of 3"), "{said:?}");
}

#[test]
fn the_commands_of_the_page_are_commands() {
    let home = home();
    for line in page().lines().filter_map(|line| line.strip_prefix("    casemate ")) {
        let line = line.split(" #").next().unwrap();
        let words: Vec<String> =
            line.split_whitespace().map(|word| word.trim_matches('\'').to_owned()).collect();
        let words: Vec<&str> =
            words.iter().map(String::as_str).take_while(|w| !w.starts_with("12")).collect();
        let ran = home.run(&[&words[..], &["--help"]].concat());
        assert_eq!(ran.code, 0, "{line}: {ran:?}");
    }
}

#[test]
fn every_action_and_attribute_stands_on_the_page() {
    let page = page();
    for action in policy::Action::ALL {
        assert!(page.contains(&format!("`{action}`")), "{action}");
    }
    let asked = policy::SCHEMA.split("type Asked = {").nth(1).unwrap().split("};").next().unwrap();
    let names: BTreeSet<&str> = asked
        .lines()
        .filter(|line| !line.trim().starts_with("//"))
        .filter_map(|line| line.trim().split_once(':'))
        .map(|(name, _)| name.trim_end_matches('?'))
        .collect();
    assert!(names.contains("method"), "{names:?}");
    for name in names {
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn a_row_that_is_not_so_is_shown_with_its_clauses() {
    let home = home();
    let table = "policies = [\"tenant.cedar\"]\nfunctions = [\"hello\"]\n[[case]]\nname = \"eve reads\"\nwho = \"eve\"\n\
                 do = \"invoke\"\non = \"hello\"\ncontext = { path = \"/internal/x\" }\nexpect = \"permit\"\n";
    fs::write(home.path().join("t.toml"), table).unwrap();
    let ran = home.run(&["policy", "test", "t.toml"]).fails(7, "1 of 1");
    for part in
        ["eve reads", "tenant/internal", "context.path like \"/internal/*\"", "Service::\"default/ci\""]
    {
        assert!(ran.out.contains(part), "`{part}` is not in {ran:?}");
    }
    let ran = home.run(&["policy", "test", "t.toml", "--output", "json"]);
    assert_eq!(ran.json()["failed"][0]["got"]["decided_by"][0], "tenant/internal");
    for (wrong, says) in [
        ("[[case]]\nwho = \"eve\"\ndo = \"fly\"\nexpect = \"deny\"\n", "`fly` is no action"),
        ("[[case]]\nwho = \"eve\"\ndo = \"list\"\nexpect = \"maybe\"\n", "maybe"),
        ("[[case]]\nwho = \"eve\"\ndo = \"invoke\"\non = \"other\"\nexpect = \"deny\"\n", "`other`"),
        ("", "[[case]]"),
    ] {
        fs::write(home.path().join("t.toml"), wrong).unwrap();
        home.run(&["policy", "test", "t.toml"]).fails(7, says);
    }
}

#[test]
fn policies_without_effect_are_found() {
    let home = home();
    let text = "@id(\"a\") permit (principal, action == Action::\"invoke\", resource);\n\
                @id(\"b\") permit (principal == User::\"default/b\", action == Action::\"invoke\", resource) \
                when { context.tls };\n\
                @id(\"c\") permit (principal == User::\"other/c\", action, resource);\n\
                @id(\"d\") forbid (principal, action == Action::\"deploy\", resource);\n\
                @id(\"e\") permit (principal, action == Action::\"deploy\", resource is Function);\n\
                @id(\"f\") permit (principal, action == Action::\"inspect\", resource);\n";
    fs::write(home.path().join("p.cedar"), text).unwrap();
    let said = home.run(&["policy", "check", "p.cedar", "--output", "json"]).ok().json();
    let found: Vec<(String, String)> = said["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| (f["policy"].as_str().unwrap().to_owned(), f["kind"].as_str().unwrap().to_owned()))
        .collect();
    let expect = [("tenant/b", "redundant"), ("tenant/c", "unreachable"), ("tenant/e", "shadowed")];
    assert_eq!(found, expect.map(|(id, kind)| (id.to_owned(), kind.to_owned())));
    let shown = home.run(&["policy", "check", "p.cedar", "--strict"]).fails(7, "3 policies");
    assert!(shown.out.contains("p.cedar:3: unreachable"), "{shown:?}");
}

#[test]
fn an_explanation_names_what_failed() {
    let home = home();
    let ask = ["policy", "explain", "--policies", "tenant.cedar", "--function", "hello", "--who", "alice"];
    let said = home.run(&[&ask[..], &["--do", "deploy", "--on", "hello"]].concat()).ok().out;
    for part in
        ["no-permit", "does not apply: permit `role/developer`", "no  principal in Role::\"developer\""]
    {
        assert!(said.contains(part), "`{part}` is not in\n{said}");
    }
    let said =
        home.run(&[&ask[..], &["--do", "invoke", "--on", "hello", "--method", "DELETE"]].concat()).ok().out;
    assert!(said.contains("decided by forbid `tenant/no-deletes-from-outside`"), "{said}");
    home.run(&[&ask[..], &["--do", "invoke", "--on", "hello"]].concat()).ok();
    home.run(&["policy", "explain"]).fails(2, "--who");
}

#[test]
fn a_difference_is_proved_or_shown() {
    let home = home();
    let write = |name: &str, text: &str| fs::write(home.path().join(name), text).unwrap();
    write("old.cedar", "permit (principal == User::\"default/a\", action == Action::\"invoke\", resource);");
    write("narrow.cedar", "");
    write("new.cedar", "permit (principal, action == Action::\"invoke\", resource) when { context.tls };");
    let diff = |solver: &str, new: &str| {
        let mut command = home.command(&["policy", "diff", "old.cedar", new, "--output", "json"]);
        let done = command.env("CVC5", solver).output().expect("it runs");
        let json: serde_json::Value =
            serde_json::from_slice(&done.stdout).unwrap_or_else(|e| panic!("{e}: {done:?}"));
        (done.status.code(), json)
    };
    let (code, said) = diff("/nowhere/cvc5", "narrow.cedar");
    assert_eq!((code, &said["verdict"]), (Some(0), &"harmless".into()), "{said}");
    let (code, said) = diff("/nowhere/cvc5", "new.cedar");
    assert_eq!((code, &said["verdict"]), (Some(1), &"unproved".into()), "{said}");
    let Some(solver) = solver() else { return };
    let (code, said) = diff(&solver, "new.cedar");
    assert_eq!((code, &said["verdict"]), (Some(1), &"widens".into()), "{said}");
    assert_eq!(
        (&said["request"]["action"], &said["request"]["context"]["tls"]),
        (&"invoke".into(), &true.into())
    );
}
