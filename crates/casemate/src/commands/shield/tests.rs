//! Rules and tests from files, as `shield test` and `shield explain` read them.

use std::fs;

use super::*;

const RULES: &str =
    "SecRule ARGS \"@pmFromFile words.data\" \"id:1,phase:2,deny,msg:'a word'\"\nInclude more/*.inc";

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    fs::create_dir_all(folder.path().join("rules/more")).unwrap();
    fs::create_dir_all(folder.path().join("tests/inner")).unwrap();
    write("crs-setup.conf.example", "SecAction \"id:9,phase:1,pass,nolog,setvar:tx.from_setup=1\"");
    write("rules/10.conf", RULES);
    write("rules/words.data", "# words\nforbidden\n");
    write("rules/more/a.inc", "SecRule TX:from_setup \"@eq 1\" \"id:2,phase:1,pass,msg:'set up'\"");
    write(
        "tests/inner/1.yaml",
        "rule_id: 1\ntests:\n\
         - test_id: 1\n  stages:\n  - input: {uri: '/?a=forbidden', headers: {Host: h}}\n    output: {log: {expect_ids: [1, 2]}}\n\
         - test_id: 2\n  stages:\n  - input: {uri: '/?a=fine', headers: {Host: h}}\n    output: {log: {no_expect_ids: [2]}}\n\
         - test_id: 3\n  stages:\n  - input: {uri: '/'}\n    output: {status: 400}\n",
    );
    folder
}

fn files(folder: &tempfile::TempDir) -> cli::RuleFiles {
    cli::RuleFiles { rules: Some(folder.path().join("rules")), setup: None }
}

#[test]
fn tests_of_a_folder_are_run_and_told_per_file() {
    let folder = folder();
    let rules = read(&files(&folder)).unwrap();
    assert_eq!(rules.len(), 3);
    let plan = plan(&rules, &ftw::settings()).unwrap();
    let mut found = Vec::new();
    files::tests(&folder.path().join("tests"), &mut found).unwrap();
    assert_eq!(found.len(), 1);
    let tested = test_file(&plan, &folder.path().join("tests"), &found[0]);
    assert_eq!(tested.file, Path::new("inner/1.yaml"));
    assert_eq!((tested.passed, tested.not_asked.len()), (1, 1));
    let failed: Vec<u64> = tested.failed.iter().map(|one| one.test).collect();
    assert_eq!(failed, [2]);
}

#[test]
fn a_request_is_explained() {
    let folder = folder();
    let rules = read(&files(&folder)).unwrap();
    let request = request::read(b"GET /?a=forbidden HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    let explained = explain::explained(&rules, None, request).unwrap();
    assert_eq!(explained.refused_before, None);
    assert_eq!(explained.refused_by, Some(1));
    let matched: Vec<(u64, &str)> =
        explained.matches.iter().map(|one| (one.rule, one.variable.as_str())).collect();
    assert_eq!(matched, [(2, "TX:from_setup"), (1, "ARGS:a")]);
    assert!(explained.time_us > 0.0);
}

/// What the set-up says of the engine holds in what is printed.
#[test]
fn a_setup_that_only_tells_or_allows_is_honoured() {
    let folder = folder();
    for (line, by, would) in [
        ("", Some(1), Some(1)),
        ("SecRuleEngine DetectionOnly", None, Some(1)),
        ("SecRuleEngine Off", None, Some(1)),
        ("SecAction \"id:8,phase:1,allow,nolog\"", None, Some(1)),
        ("SecRequestBodyLimit 3", Some(0), Some(1)),
    ] {
        fs::write(folder.path().join("rules/00.conf"), line).unwrap();
        let rules = read(&files(&folder)).unwrap();
        let typed = b"POST /?a=forbidden HTTP/1.1\nHost: h\nContent-Type: text/plain\n\nlong";
        let request = request::read(typed).unwrap();
        let explained = explain::explained(&rules, None, request).unwrap();
        assert_eq!(explained.would_refuse, would, "{line}");
        let refused = if line.contains("Limit") { Some(1) } else { by };
        assert_eq!(explained.refused_by, refused, "{line}");
        assert_eq!(explained.body_over_limit, line.contains("Limit"), "{line}");
    }
}

/// A file that cannot be read is a failure of that file alone.
#[test]
fn a_file_that_is_none_of_tests_is_named() {
    let folder = folder();
    let rules = read(&files(&folder)).unwrap();
    let plan = plan(&rules, &ftw::settings()).unwrap();
    for text in ["", "rule_id: 1\ntests: []", "tests:\n- stages: [{input: {uris: [1}}]", "a: 1\n---\nb: 2"] {
        let file = folder.path().join("942100.yaml");
        fs::write(&file, text).unwrap();
        assert!(test_file(&plan, folder.path(), &file).error.is_some(), "{text}");
    }
    assert_eq!(digits(Path::new("tests/942100.yaml")), 942_100);
}

#[test]
fn what_is_wrong_with_rules_names_the_file_and_the_line() {
    let folder = folder();
    fs::write(folder.path().join("rules/20.conf"), "\nSecRule ARGS \"@nosuch x\" \"id:3\"").unwrap();
    let failure = read(&files(&folder)).unwrap_err();
    assert_eq!(failure.exit, Exit::Invalid);
    assert!(failure.message.contains("20.conf:2: there is no operator `@nosuch`"), "{}", failure.message);
    let none = cli::RuleFiles { rules: Some(folder.path().join("tests")), setup: None };
    assert!(read(&none).unwrap_err().message.contains("there is no `.conf` file"));
}
