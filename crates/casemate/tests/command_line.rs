//! The command line without a node: help, exit codes, offline commands.

mod support;

use std::fs;

use support::Home;

#[test]
fn wrong_words_end_with_2() {
    let home = Home::new();
    home.run(&["deplo"]).fails(2, "deploy");
    home.run(&[]).fails(2, "Usage");
    home.run(&["list", "--node", "http://127.0.0.1:1"]).fails(2, "`https` alone");
    home.run(&["invoke", "hello", "--path", "x"]).fails(2, "is no path");
    home.run(&["remove", "hello"]).fails(2, "casemate remove hello --yes");
}

#[test]
fn no_node_ends_with_3_and_says_what_to_do() {
    let home = Home::new();
    for args in [&["list"][..], &["whoami"], &["logs", "hello"], &["records"], &["invoke", "hello"]] {
        let args = [args, &["--node", "https://127.0.0.1:1"]].concat();
        home.run(&args).fails(3, "casemate up");
    }
}

#[test]
fn errors_are_json_for_programs() {
    let home = Home::new();
    let ran = home.run(&["list", "--node", "https://127.0.0.1:1", "--output", "json"]);
    let error: serde_json::Value = serde_json::from_str(&ran.err).unwrap();
    assert_eq!((ran.code, ran.out.as_str()), (3, ""));
    assert_eq!(error["error"]["exit"], 3);
    assert!(error["error"]["next"].as_str().unwrap().contains("casemate up"));
}

#[test]
fn wrong_words_are_json_for_programs_too() {
    let home = Home::new();
    let check = |args: &[&str], message: &str, next: &str| {
        let ran = home.run(args);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{ran:?}");
        let error: serde_json::Value =
            serde_json::from_str(&ran.err).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
        assert_eq!(error["error"]["exit"], 2);
        let said = |key: &str| error["error"][key].as_str().unwrap_or_default().to_owned();
        assert!(said("message").contains(message) && said("next").contains(next), "{error}");
    };
    check(&["deplo", "--output", "json"], "deplo", "deploy");
    check(&["--output=json"], "a command is wanted", "Usage: casemate");
    check(
        &["--output", "json", "invoke"],
        "required arguments were not provided: <NAME>",
        "Usage: casemate invoke",
    );
    check(&["token", "create", "--output", "json", "--name", "a", "--days", "0"], "--days", "");
    check(&["list", "--output", "json", "--colour"], "--colour", "");
    check(&["list", "--output=json", "--output", "xml"], "--output", "");
    let text = home.run(&["deplo", "--", "--output", "json"]).fails(2, "deploy");
    assert!(text.err.starts_with("error:"), "what stands behind `--` is no flag");
    assert!(home.run(&["--help", "--output", "json"]).ok().out.contains("Usage"));
}

#[test]
fn new_writes_functions_whose_manifests_hold() {
    let home = Home::new();
    for lang in ["rust", "js", "py"] {
        let name = format!("hello-{lang}");
        home.run(&["new", &name, "--lang", lang]).ok();
        let checked = home.run(&["manifest", "check", &name, "--output", "json"]).ok().json();
        assert_eq!(checked["name"], name.as_str());
        home.run(&["new", &name, "--lang", lang]).fails(1, "is there already");
        home.run(&["deploy", &name, "--no-build", "--node", "https://127.0.0.1:1"])
            .fails(7, "casemate build");
    }
    let tested = home.run(&["test", "hello-py", "--output", "json"]).ok().json();
    assert!(tested["command"].as_str().unwrap().contains("unittest"));
}

#[test]
fn manifests_that_do_not_hold_end_with_7() {
    let home = Home::new();
    let check = |text: &str, says: &str| {
        fs::write(home.path().join("casemate.toml"), text).unwrap();
        home.run(&["manifest", "check"]).fails(7, says);
        home.run(&["build"]).fails(7, says);
        home.run(&["dev", "--node", "https://127.0.0.1:1"]);
    };
    check("name = \"hello\"\ncomponnet = \"x\"", "casemate.toml:2:1: unknown field `componnet`");
    check("name = \"hello\"\ncomponnet = \"x\"", "next:  did you mean `component`?");
    check("name = \"hello\"", "missing field `component`");
    check("", "missing field");
    home.run(&["manifest", "check", "nowhere"]).fails(7, "casemate new NAME");
}

#[test]
fn configurations_are_checked_offline() {
    let home = Home::new();
    let write = |text: &str| fs::write(home.path().join("node.toml"), text).unwrap();
    write("[dangerous]\ntls12 = true\n");
    let said = home.run(&["config", "check", "node.toml"]).ok();
    assert!(said.out.contains("holds") && said.out.contains("warning: dangerous.tls12"), "{said:?}");
    let said = home.run(&["config", "check", "node.toml", "--output", "json"]).ok().json();
    assert_eq!(said["dangerous"]["tls12"], true);
    write("lisen = \"127.0.0.1:1\"");
    home.run(&["config", "check", "node.toml"]).fails(7, "node.toml:1:1: unknown field `lisen`");
    home.run(&["up", "--config", "node.toml"]).fails(7, "did you mean `listen`?");
    home.run(&["up", "--config", "nowhere.toml"]).fails(7, "every key has a default");
    assert!(!home.path().join("share").exists(), "a configuration that does not hold left something behind");
}

#[test]
fn policies_are_checked_offline() {
    let home = Home::new();
    let write = |text: &str| fs::write(home.path().join("p.cedar"), text).unwrap();
    write("permit (principal, action == Action::\"invoke\", resource);");
    home.run(&["policy", "check", "p.cedar"]).ok();
    write("permit (principal, action == Action::\"invok\", resource);");
    home.run(&["policy", "check", "p.cedar"]).fails(7, "p.cedar");
    write("permit (principal, action == Action::\"invoke\", resource) when { principal.nmae == \"x\" };");
    home.run(&["policy", "check", "p.cedar"]).fails(7, "nmae");
}

/// What a set of rules names is read, and what cannot be read is said with its place, never passed over.
#[test]
fn files_that_rules_include_are_checked_offline() {
    let home = Home::new();
    let write = |name: &str, text: &str| {
        let path = home.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let test = || home.run(&["shield", "test", "--rules", "set", "--tests", "tests"]);
    let rule = |id: u32| format!("SecRule ARGS \"@contains x\" \"id:{id},phase:2,deny\"\n");
    fs::create_dir_all(home.path().join("tests")).unwrap();
    write("set/more/one.conf", &rule(2));
    for (named, says) in [
        ("IncludeOptional more/*/*.conf", "set/a.conf:2: cannot read `more/*/*.conf`: one `*`"),
        ("IncludeOptional more/*e*.conf", "set/a.conf:2: cannot read `more/*e*.conf`: one `*`"),
        ("Include none.conf", "set/a.conf:2: cannot read `none.conf`"),
    ] {
        write("set/a.conf", &format!("{}{named}\n", rule(1)));
        test().fails(7, says);
    }
    write("set/more/one.conf", "SecRule ARGS \"@rx (\" \"id:2,phase:2,deny\"\n");
    write("set/a.conf", &format!("{}IncludeOptional more/*.conf\nIncludeOptional none/*.conf\n", rule(1)));
    test().fails(7, "one.conf:1");
    write("set/more/one.conf", &rule(2));
    let said = test();
    assert!(!said.err.contains("cannot read"), "{said:?}");
}

#[test]
fn schemas_and_completions() {
    let home = Home::new();
    let manifest = home.run(&["manifest", "schema"]).ok().json();
    assert_eq!(manifest["title"], "casemate.toml");
    assert!(home.run(&["config", "schema"]).ok().json()["properties"]["listen"].is_object());
    for shell in ["bash", "zsh", "fish"] {
        let script = home.run(&["completions", shell]).ok().out;
        assert!(script.contains("casemate") && script.contains("rollback"), "{shell}");
    }
}

#[test]
fn a_login_that_others_may_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    let folder = home.path().join("config/casemate");
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("login.toml");
    fs::write(&file, "node = \"https://127.0.0.1:1\"\ntenant = \"default\"\ntoken = \"secret-text\"\n")
        .unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let ran = home.run(&["list"]).fails(4, "chmod 600");
    assert!(!ran.err.contains("secret-text"));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    home.run(&["list"]).fails(3, "https://127.0.0.1:1");
}

#[test]
fn colours_are_for_terminals_alone() {
    let home = Home::new();
    for args in
        [&["new", "hello"][..], &["manifest", "check", "hello"], &["list", "--node", "https://127.0.0.1:1"]]
    {
        let ran = home.run(args);
        assert!(!ran.out.contains('\u{1b}') && !ran.err.contains('\u{1b}'), "{ran:?}");
    }
}
