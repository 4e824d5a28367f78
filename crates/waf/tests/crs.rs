//! CRS's regression tests, and the prefilter against a run without it. Rules and tests are read from `CASEMATE_CRS`, or
//! from the folder beside the project; where neither is there the tests say so.
#![expect(clippy::unwrap_used, clippy::print_stderr, clippy::panic, reason = "tests")]

mod crs_rules;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::OnceLock,
    time::Instant,
};

use crs_rules::{load, root};
use waf::{
    Plan,
    ftw::{self, Outcome, Suite},
};

/// Tests that are not passed, each with its reason: (rule, test, why).
const EXCEPTIONS: [(u64, u64, &str); 0] = [];

fn suites(root: &Path) -> Vec<(PathBuf, Suite)> {
    let mut found = Vec::new();
    let mut folders = vec![root.join("tests/regression/tests")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "yaml") {
                let text = std::fs::read_to_string(&path).unwrap();
                match serde_saphyr::from_str(&text) {
                    Ok(suite) => found.push((path, suite)),
                    Err(e) => panic!("{}: {e}", path.display()),
                }
            }
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

fn clock() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_nanos()).unwrap()
}

#[test]
fn the_regression_tests_of_crs_pass() {
    let Some(root) = root() else { return };
    let plan = Plan::new(&load(&root), &ftw::settings()).unwrap();
    let (mut passed, mut not_asked, mut failed) = (0, Vec::new(), Vec::new());
    for (_, suite) in suites(&root) {
        for test in &suite.tests {
            let name = format!("{}-{}", suite.rule_id, test.test_id);
            match ftw::run(&plan, test, &clock) {
                Outcome::Passed => passed += 1,
                Outcome::NotAsked(_) => not_asked.push(name),
                Outcome::Failed(why) => {
                    let excepted = |(rule, test_id, _): &&(u64, u64, &str)| {
                        *rule == suite.rule_id && *test_id == test.test_id
                    };
                    if EXCEPTIONS.iter().find(excepted).is_none() {
                        failed.push(format!("{name}: {why}"));
                    }
                }
            }
        }
    }
    eprintln!("{passed} passed, {} not asked ({})", not_asked.len(), not_asked.join(" "));
    assert!(failed.is_empty(), "{} failed:\n{}", failed.len(), failed.join("\n"));
    assert!(passed > 1000, "only {passed} tests were found");
}

/// All ids with how often each was told, and the scores, for every test's request.
fn told(plan: &Plan, suites: &[(PathBuf, Suite)]) -> Vec<(String, BTreeMap<u64, usize>, i64)> {
    let mut all = Vec::new();
    for (_, suite) in suites {
        for test in &suite.tests {
            for report in ftw::reports(plan, test, &clock) {
                let mut ids = BTreeMap::new();
                for one in &report.matches {
                    *ids.entry(one.rule).or_default() += 1;
                }
                all.push((format!("{}-{}", suite.rule_id, test.test_id), ids, report.inbound_score));
            }
        }
    }
    all
}

#[test]
fn the_prefilter_loses_no_match() {
    let Some(root) = root() else { return };
    let rules = load(&root);
    let suites = suites(&root);
    let filtered = ftw::settings();
    let mut unfiltered = ftw::settings();
    unfiltered.unfiltered = true;
    let filtered = told(&Plan::new(&rules, &filtered).unwrap(), &suites);
    let unfiltered = told(&Plan::new(&rules, &unfiltered).unwrap(), &suites);
    assert!(filtered.len() > 1000, "only {} requests were found", filtered.len());
    for (with, without) in filtered.iter().zip(&unfiltered) {
        assert_eq!(with, without);
    }
}

/// The paths and bodies of all tests' requests, many in one text: long ones are searched for several patterns at once.
fn long_texts(suites: &[(PathBuf, Suite)]) -> Vec<Vec<u8>> {
    let mut texts = vec![Vec::new()];
    for raw in suites.iter().flat_map(|(_, suite)| &suite.tests).flat_map(ftw::exchanges).map(|(raw, _)| raw)
    {
        let last = texts.last_mut().unwrap();
        last.extend_from_slice(&raw.uri);
        last.push(b' ');
        last.extend_from_slice(raw.body.get(..raw.body.len().min(2000)).unwrap());
        if last.len() > 6_000 {
            texts.push(Vec::new());
        }
    }
    texts
}

#[test]
fn of_long_texts_neither_the_prefilter_nor_the_search_for_many_loses_a_match() {
    let Some(root) = root() else { return };
    let rules = load(&root);
    let filtered = ftw::settings();
    let mut unfiltered = ftw::settings();
    unfiltered.unfiltered = true;
    let (filtered, unfiltered) =
        (Plan::new(&rules, &filtered).unwrap(), Plan::new(&rules, &unfiltered).unwrap());
    let texts = long_texts(&suites(&root));
    assert!(texts.len() > 20, "only {} texts", texts.len());
    let mut told = 0;
    for text in texts {
        let body: String = text.iter().map(|byte| format!("%{byte:02x}")).collect();
        let header = |name: &str, value: &str| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
        let raw = ftw::Raw {
            method: b"POST".to_vec(),
            uri: b"/".to_vec(),
            protocol: b"HTTP/1.1".to_vec(),
            headers: vec![
                header("Host", "localhost"),
                header("Content-Type", "application/x-www-form-urlencoded"),
                header("Content-Length", &(body.len() + 2).to_string()),
            ],
            body: format!("a={body}").into_bytes(),
            has_bare_return: false,
        };
        let matches = |plan| ftw::examine(plan, &raw, ([172, 18, 0, 1], 40_000).into(), &|| 0, None).matches;
        let found = matches(&filtered);
        told += found.len();
        assert_eq!(found, matches(&unfiltered), "{}", String::from_utf8_lossy(&text));
    }
    assert!(told > 1000, "only {told} matches");
}

#[test]
fn a_plan_keeps_what_all_rules_answer() {
    let Some(root) = root() else { return };
    let rules = load(&root);
    let plan = Plan::new(&rules, &waf::Settings::paranoia(1)).unwrap();
    let four = Plan::new(&rules, &waf::Settings::paranoia(4)).unwrap();
    eprintln!("{} rules, {} left at level 1, {} at level 4", rules.len(), plan.len(), four.len());
    eprintln!("unguarded at level 1: {:?}", plan.unguarded());
    eprintln!("unguarded at level 4: {:?}", four.unguarded());
    assert!(plan.len() < four.len() && four.len() < rules.len());
}
