//! `shield rules` and `shield simulate`: which rules a node asks, and what others would have said. It decides nothing.

use std::sync::Arc;

use gateway::api;
use serde::Serialize;
use waf::{
    Plan, Rules,
    ftw::{self, Outcome, Suite},
};

use super::{Context, bundle::Bundle, clock};
use crate::{
    cli,
    exit::{Exit, Failure},
    output::{Ink, Output, harmless},
};

/// `shield rules …`
pub(super) async fn rules(context: &Context, args: &cli::ShieldRules) -> Result<(), Failure> {
    let out = &context.out;
    match args {
        cli::ShieldRules::List => {
            let list = context.client()?.rule_sets().await?;
            out.answer(&list, |list| table(out, &list.sets));
        }
        cli::ShieldRules::Add(args) => add(context, args).await?,
        cli::ShieldRules::Use { set } => {
            let set = context.client()?.use_rules(set).await?;
            out.answer(&set, |set| told(out, set));
        }
        cli::ShieldRules::Rollback => {
            let set = context.client()?.use_rules("previous").await?;
            out.answer(&set, |set| told(out, set));
        }
    }
    Ok(())
}

/// What was added, and what its tests said before.
#[derive(Debug, Serialize)]
struct Added {
    #[serde(flatten)]
    set: api::RuleSet,
    /// None came with the rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    tests: Option<Tests>,
}

#[derive(Debug, Default, Clone, Serialize)]
struct Tests {
    passed: usize,
    failed: Vec<String>,
    not_asked: usize,
}

async fn add(context: &Context, args: &cli::AddRules) -> Result<(), Failure> {
    let out = &context.out;
    let bundle = Bundle::open(args.from.as_deref(), args.setup.as_deref())?;
    let mut files = bundle.rules()?;
    if let Some(name) = &args.name {
        files.name.clone_from(name);
    }
    let digest =
        platform::RuleFiles { name: String::new(), read: files.read.clone(), files: files.files.clone() }
            .digest();
    if let Some(expected) = args.digest.filter(|expected| *expected != digest) {
        let why = format!("the files are `{digest}`, not `{expected}`");
        return Err(Failure::new(Exit::Invalid, why).next("get them anew, or look at what was changed"));
    }
    // What is wrong with them is the node's to say.
    if let Ok(rules) = plain(&files) {
        for warning in rules.warnings() {
            out.note(format!("warning: {}", harmless(warning)));
        }
    }
    let tests = run_tests(&bundle, &files)?;
    if let Some(tests) = tests.as_ref().filter(|tests| !tests.failed.is_empty() && !args.accept_failures) {
        let some: Vec<&str> = tests.failed.iter().take(5).map(String::as_str).collect();
        let why = format!("{} of the rules' own tests fail: {}", tests.failed.len(), some.join("; "));
        return Err(Failure::new(Exit::Failed, why).next("`--accept-failures` adds them all the same"));
    }
    let set = context.client()?.add_rules(&files).await?;
    let added = Added { set, tests };
    out.answer(&added, |added| {
        let tests = match &added.tests {
            Some(t) => format!("{} passed, {} failed, {} not asked", t.passed, t.failed.len(), t.not_asked),
            None => "none came with the rules".to_owned(),
        };
        format!("{}\n{}", told(out, &added.set), out.fields(&[("tests", tests)]))
    });
    Ok(())
}

/// The tests that came with the rules, if any did.
fn run_tests(bundle: &Bundle, files: &api::RuleFiles) -> Result<Option<Tests>, Failure> {
    let mut all: Option<Tests> = None;
    let mut plan = None;
    for (name, text) in bundle.tests() {
        if plan.is_none() {
            plan = Some(tested_plan(files)?);
        }
        let Some(plan) = &plan else { continue };
        let tests = all.get_or_insert_default();
        let suite: Suite = match serde_saphyr::from_str(text) {
            Ok(suite) => suite,
            Err(e) => {
                tests.failed.push(harmless(&format!("{name}: {e}")));
                continue;
            }
        };
        for test in &suite.tests {
            match ftw::run(plan, test, &clock) {
                Outcome::Passed => tests.passed += 1,
                Outcome::NotAsked(_) => tests.not_asked += 1,
                Outcome::Failed(why) => {
                    tests.failed.push(harmless(&format!("{}-{}: {why}", suite.rule_id, test.test_id)));
                }
            }
        }
    }
    Ok(all)
}

/// The rules as their tests expect them.
fn tested_plan(files: &api::RuleFiles) -> Result<Plan, Failure> {
    super::plan(&Arc::new(plain(files)?), &ftw::settings())
}

/// The rules without what a node reads before.
fn plain(files: &api::RuleFiles) -> Result<Rules, Failure> {
    let given: Vec<shield::added::RuleFile<'_>> =
        files.files.iter().map(|(name, text)| shield::added::RuleFile { name, text }).collect();
    shield::added::plain_rules(&files.read, &given).map_err(|e| {
        Failure::new(Exit::Invalid, e).next("docs/waf.md says what is taken, and what is refused and why")
    })
}

fn table(out: &Output, sets: &[api::RuleSet]) -> String {
    let row = |set: &api::RuleSet| {
        vec![
            harmless(&set.name),
            set.digest.short(),
            set.rules.to_string(),
            set.at.map(|at| at.to_string()).unwrap_or_default(),
            harmless(set.by.as_deref().unwrap_or_default()),
            if set.in_force { out.paint(Ink::Good, "in force") } else { String::new() },
        ]
    };
    let rows: Vec<Vec<String>> = sets.iter().map(row).collect();
    out.table(&["SET", "DIGEST", "RULES", "ADDED", "BY", ""], &rows)
}

fn told(out: &Output, set: &api::RuleSet) -> String {
    let digest = set.digest.to_string();
    out.fields(&[
        ("in force", out.paint(Ink::Strong, &harmless(&set.name))),
        ("digest", digest),
        ("rules", set.rules.to_string()),
    ])
}

/// `shield simulate`
pub(super) async fn simulate(context: &Context, args: &cli::Simulate) -> Result<(), Failure> {
    let out = &context.out;
    let rules = match &args.rules {
        Some(path) => Some(Bundle::open(Some(path), args.setup.as_deref())?.rules()?),
        None => None,
    };
    let own = model::Shield {
        paranoia: args.paranoia,
        inbound_threshold: args.threshold,
        ..model::Shield::default()
    };
    let shield = (args.paranoia.is_some() || args.threshold.is_some()).then_some(own);
    if rules.is_none() && shield.is_none() {
        return Err(Failure::new(Exit::Usage, "nothing is to be changed")
            .next("name other rules with `--rules`, or `--paranoia` or `--threshold`"));
    }
    let found = context.client()?.simulate(&api::Simulate { rules, shield }).await?;
    out.answer(&found, |found| simulated(out, found));
    Ok(())
}

fn simulated(out: &Output, found: &api::Simulated) -> String {
    let fields = out.fields(&[
        ("requests", found.requests.to_string()),
        ("refused now", found.refused_now.to_string()),
        ("refused then", found.refused_then.to_string()),
        ("changed", found.changed.len().to_string()),
    ]);
    let row = |one: &api::Changed| {
        let what =
            if one.refused_now { out.paint(Ink::Bad, "passes") } else { out.paint(Ink::Good, "refused") };
        vec![
            one.request_id.to_string(),
            harmless(&one.function),
            harmless(&one.asked),
            what,
            harmless(&one.detail).replace('\n', " "),
        ]
    };
    if found.changed.is_empty() {
        return fields;
    }
    let rows: Vec<Vec<String>> = found.changed.iter().map(row).collect();
    format!("{fields}\n\n{}", out.table(&["REQUEST", "FUNCTION", "ASKED", "THEN", "BY"], &rows))
}
