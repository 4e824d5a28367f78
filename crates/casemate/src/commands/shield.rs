//! `shield`: what rules say, offline, to the tests of their authors and to one request; which rules a node asks
//! (`rules.rs`), and what a node's shield saw and does (`node.rs`). It opens no file but those that the command line and the
//! rules name.

mod bundle;
mod files;
mod node;
mod rules;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    io::Read,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use serde::Serialize;
use waf::{
    Decision, Plan, Report, Rules, Settings, Source,
    ftw::{self, Outcome, Suite},
};

use self::files::Folder;
use super::Context;
use crate::{
    cli,
    exit::{Exit, Failure},
    output::{Ink, Output, harmless},
};

/// More than any request that is read.
const REQUEST_BYTES_MAX: u64 = 17 * 1024 * 1024;
/// How often a request is run to tell what it costs.
const ROUNDS: usize = 20;

/// `shield …`
pub(super) async fn shield(context: &Context, args: cli::Shield) -> Result<(), Failure> {
    match args {
        cli::Shield::Test(args) => test(&context.out, &args),
        cli::Shield::Explain(args) => explain(&context.out, &args),
        cli::Shield::Rules(args) => rules::rules(context, &args).await,
        cli::Shield::Simulate(args) => rules::simulate(context, &args).await,
        asked => node::shield(context, asked).await,
    }
}

/// Nanoseconds since the first time it was asked.
fn clock() -> u64 {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX)
}

fn load(args: &cli::RuleFiles) -> Result<Arc<Rules>, Failure> {
    let Some(folder) = &args.rules else {
        return shield::base_rules().map(Arc::new).map_err(|e| Failure::new(Exit::Failed, e));
    };
    let files = files::of(folder, args.setup.as_deref())?;
    let mut texts = Vec::with_capacity(files.len());
    for path in &files {
        let bytes = std::fs::read(path).map_err(|e| Failure::file("read", path, &e))?;
        texts.push((path.display().to_string(), String::from_utf8_lossy(&bytes).into_owned()));
    }
    let sources: Vec<Source<'_>> = texts.iter().map(|(name, text)| Source { name, text }).collect();
    let rules = Rules::load(&sources, &Folder).map_err(|e| {
        Failure::new(Exit::Invalid, e).next("docs/waf.md says what is taken, and what is refused and why")
    })?;
    Ok(Arc::new(rules))
}

fn plan(rules: &Arc<Rules>, settings: &Settings) -> Result<Plan, Failure> {
    Plan::new(rules, settings).map_err(|e| Failure::new(Exit::Invalid, e))
}

/// What came of the tests of one file.
#[derive(Debug, Serialize)]
struct Tested {
    file: PathBuf,
    passed: usize,
    failed: Vec<Failed>,
    /// By the number of the test: why rules cannot be asked.
    not_asked: BTreeMap<u64, &'static str>,
}

#[derive(Debug, Serialize)]
struct Failed {
    rule: u64,
    test: u64,
    why: String,
}

#[derive(Debug, Serialize)]
struct AllTested {
    rules: usize,
    passed: usize,
    failed: usize,
    not_asked: usize,
    files: Vec<Tested>,
}

fn test(out: &Output, args: &cli::ShieldTest) -> Result<(), Failure> {
    let rules = load(&args.files)?;
    let plan = plan(&rules, &ftw::settings())?;
    let mut found = Vec::new();
    files::tests(&args.tests, &mut found)?;
    if found.is_empty() {
        let why = format!("there is no `.yaml` file in `{}`", args.tests.display());
        return Err(
            Failure::new(Exit::Invalid, why).next("name a file of go-ftw's tests, or a folder of them")
        );
    }
    let mut tested = Vec::with_capacity(found.len());
    for file in found {
        tested.push(test_file(&plan, &args.tests, &file)?);
    }
    let failed: usize = tested.iter().map(|one| one.failed.len()).sum();
    let all = AllTested {
        rules: rules.len(),
        passed: tested.iter().map(|one| one.passed).sum(),
        failed,
        not_asked: tested.iter().map(|one| one.not_asked.len()).sum(),
        files: tested,
    };
    out.answer(&all, |all| tested_text(out, all));
    if failed > 0 {
        return Err(Failure::new(Exit::Failed, format!("{failed} tests failed")));
    }
    Ok(())
}

fn test_file(plan: &Plan, folder: &Path, file: &Path) -> Result<Tested, Failure> {
    let text = std::fs::read_to_string(file).map_err(|e| Failure::file("read", file, &e))?;
    let wrong = |e| Failure::new(Exit::Invalid, format!("`{}`: {e}", file.display()));
    let suite: Suite = serde_saphyr::from_str(&text).map_err(wrong)?;
    let named = file.strip_prefix(folder).ok().filter(|rest| !rest.as_os_str().is_empty());
    let mut tested = Tested {
        file: named.unwrap_or(file).to_owned(),
        passed: 0,
        failed: Vec::new(),
        not_asked: BTreeMap::new(),
    };
    for test in &suite.tests {
        match ftw::run(plan, test, &clock) {
            Outcome::Passed => tested.passed += 1,
            Outcome::NotAsked(why) => {
                tested.not_asked.insert(test.test_id, why);
            }
            Outcome::Failed(why) => {
                tested.failed.push(Failed { rule: suite.rule_id, test: test.test_id, why });
            }
        }
    }
    Ok(tested)
}

fn tested_text(out: &Output, all: &AllTested) -> String {
    let row = |one: &Tested| {
        let failed = one.failed.len();
        let ink = if failed == 0 { Ink::Good } else { Ink::Bad };
        vec![
            one.file.display().to_string(),
            one.passed.to_string(),
            out.paint(ink, &failed.to_string()),
            one.not_asked.len().to_string(),
        ]
    };
    let rows: Vec<Vec<String>> = all.files.iter().map(row).collect();
    let mut lines = vec![out.table(&["FILE", "PASSED", "FAILED", "NOT ASKED"], &rows)];
    for failed in all.files.iter().flat_map(|one| &one.failed) {
        lines.push(harmless(&format!("{}-{}: {}", failed.rule, failed.test, failed.why)));
    }
    let (passed, not_asked) = (all.passed, all.not_asked);
    lines.push(format!("{passed} passed, {} failed, {not_asked} not asked", all.failed));
    lines.join("\n")
}

/// What rules say to a request.
#[derive(Debug, Serialize)]
struct Explained {
    /// The rule that refuses it where rules refuse.
    refused_by: Option<u64>,
    inbound_score: i64,
    body_error: Option<String>,
    /// All phases, microseconds, the best of several runs.
    time_us: f64,
    matches: Vec<Matched>,
}

#[derive(Debug, Serialize)]
struct Matched {
    rule: u64,
    phase: u8,
    file: String,
    line: u32,
    severity: Option<u8>,
    message: String,
    variable: String,
    value: String,
}

fn explain(out: &Output, args: &cli::ShieldExplain) -> Result<(), Failure> {
    let rules = load(&args.files)?;
    let mut bytes = Vec::new();
    let read = std::io::stdin().take(REQUEST_BYTES_MAX).read_to_end(&mut bytes);
    read.map_err(|e| Failure::file("read", Path::new("-"), &e))?;
    let plan = plan(&rules, &Settings::paranoia(args.paranoia).detection_only())?;
    let explained = explained(&plan, &bytes);
    out.answer(&explained, |explained| explained_text(out, explained));
    Ok(())
}

fn explained(plan: &Plan, bytes: &[u8]) -> Explained {
    let raw = ftw::parse_request(bytes);
    let peer = SocketAddr::from(([192, 0, 2, 1], 40_000));
    let run = || ftw::examine(plan, &raw, peer, &clock, None);
    let report: Report = run();
    let best_ns = (0..ROUNDS).map(|_| run().time_ns).min().unwrap_or(report.time_ns);
    let refused_by = match report.decision {
        Decision::Pass => report.would_refuse,
        Decision::Refuse(_) => report.would_refuse.or(Some(0)),
    };
    let matched = |one: waf::Match| Matched {
        rule: one.rule,
        phase: one.phase,
        file: one.file.to_string(),
        line: one.line,
        severity: one.severity,
        message: one.message,
        variable: one.variable,
        value: one.value,
    };
    Explained {
        refused_by,
        inbound_score: report.inbound_score,
        body_error: report.body_error,
        time_us: f64::from(u32::try_from(best_ns).unwrap_or(u32::MAX)) / 1000.0,
        matches: report.matches.into_iter().map(matched).collect(),
    }
}

fn explained_text(out: &Output, explained: &Explained) -> String {
    let decision = match explained.refused_by {
        Some(rule) => out.paint(Ink::Bad, &format!("refused by {rule}")),
        None => out.paint(Ink::Good, "passes"),
    };
    let mut fields = vec![
        ("decision", decision),
        ("score", explained.inbound_score.to_string()),
        ("time", format!("{:.1} µs", explained.time_us)),
    ];
    fields.extend(explained.body_error.iter().map(|error| ("body", harmless(error))));
    let row = |one: &Matched| {
        let value: String = one.value.chars().take(60).collect();
        vec![
            one.rule.to_string(),
            one.phase.to_string(),
            harmless(&one.variable).replace('\n', " "),
            harmless(&value).replace('\n', " "),
            harmless(&one.message).replace('\n', " "),
        ]
    };
    let rows: Vec<Vec<String>> = explained.matches.iter().map(row).collect();
    let mut text = out.fields(&fields);
    if !rows.is_empty() {
        text.push('\n');
        text.push_str(&out.table(&["RULE", "PHASE", "VARIABLE", "VALUE", "MESSAGE"], &rows));
    }
    text
}
