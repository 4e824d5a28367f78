//! `shield`: what rules say, offline, to the tests of their authors and to one request; which rules a node asks
//! (`rules.rs`), and what a node's shield saw and does (`node.rs`). It opens no file but those that the command line and the
//! rules name.

mod bundle;
mod explain;
mod files;
mod node;
mod request;
mod rules;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use serde::Serialize;
use waf::{
    Plan, Rules, Settings, Source,
    ftw::{self, Outcome, Suite},
};

use self::files::Folder;
use super::Context;
use crate::{
    cli,
    exit::{Exit, Failure},
    output::{Ink, Output, harmless},
};

/// `shield …`
pub(super) async fn shield(context: &Context, args: cli::Shield) -> Result<(), Failure> {
    match args {
        cli::Shield::Test(args) => test(&context.out, &args),
        cli::Shield::Explain(args) => explain::explain(&context.out, &args),
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

fn load(out: &Output, args: &cli::RuleFiles) -> Result<Arc<Rules>, Failure> {
    let rules = read(args)?;
    for warning in rules.warnings() {
        out.note(format!("warning: {}", harmless(warning)));
    }
    Ok(rules)
}

fn read(args: &cli::RuleFiles) -> Result<Arc<Rules>, Failure> {
    let Some(folder) = &args.rules else {
        return shield::base_rules().map(Arc::new).map_err(|e| Failure::new(Exit::Failed, e));
    };
    let files = files::of(folder, args.setup.as_deref())?;
    let mut texts = Vec::with_capacity(files.len());
    for path in &files {
        let bytes = std::fs::read(path).map_err(|e| Failure::file("read", path, &e))?;
        let name = path.display().to_string();
        let text = waf::seclang::text(&name, &bytes).map_err(|e| Failure::new(Exit::Invalid, e))?.to_owned();
        texts.push((name, text));
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
    /// Why the file is none of tests; none of it was run then.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
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
    let rules = load(out, &args.files)?;
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
        tested.push(test_file(&plan, &args.tests, &file));
    }
    let unread = tested.iter().filter(|one| one.error.is_some()).count();
    let failed: usize = tested.iter().map(|one| one.failed.len()).sum();
    let all = AllTested {
        rules: rules.len(),
        passed: tested.iter().map(|one| one.passed).sum(),
        failed,
        not_asked: tested.iter().map(|one| one.not_asked.len()).sum(),
        files: tested,
    };
    out.answer(&all, |all| tested_text(out, all));
    if unread > 0 {
        let why = format!("{failed} tests failed, and {unread} files are none of tests");
        return Err(Failure::new(Exit::Failed, why));
    }
    if failed > 0 {
        return Err(Failure::new(Exit::Failed, format!("{failed} tests failed")));
    }
    Ok(())
}

fn test_file(plan: &Plan, folder: &Path, file: &Path) -> Tested {
    let named = file.strip_prefix(folder).ok().filter(|rest| !rest.as_os_str().is_empty());
    let mut tested = Tested {
        file: named.unwrap_or(file).to_owned(),
        passed: 0,
        failed: Vec::new(),
        not_asked: BTreeMap::new(),
        error: None,
    };
    let text = std::fs::read_to_string(file).map_err(|e| e.to_string());
    let suite: Result<Suite, String> =
        text.and_then(|text| serde_saphyr::from_str(&text).map_err(|e| e.to_string()));
    let suite = match suite {
        Ok(suite) => suite,
        Err(why) => {
            tested.error = Some(why);
            return tested;
        }
    };
    let rule = if suite.rule_id == 0 { digits(file) } else { suite.rule_id };
    for test in &suite.tests {
        match ftw::run(plan, test, &clock) {
            Outcome::Passed => tested.passed += 1,
            Outcome::NotAsked(why) => {
                tested.not_asked.insert(test.test_id, why);
            }
            Outcome::Failed(why) => {
                tested.failed.push(Failed { rule, test: test.test_id, why });
            }
        }
    }
    tested
}

/// The rule that a file is called after, as go-ftw finds it.
fn digits(file: &Path) -> u64 {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let mut runs = name.split(|c: char| !c.is_ascii_digit()).filter(|run| !run.is_empty());
    runs.next().and_then(|run| run.parse().ok()).unwrap_or(0)
}

fn tested_text(out: &Output, all: &AllTested) -> String {
    let row = |one: &Tested| {
        let failed = one.failed.len();
        let ink = if failed == 0 && one.error.is_none() { Ink::Good } else { Ink::Bad };
        vec![
            one.file.display().to_string(),
            one.passed.to_string(),
            out.paint(ink, &failed.to_string()),
            one.not_asked.len().to_string(),
        ]
    };
    let rows: Vec<Vec<String>> = all.files.iter().map(row).collect();
    let mut lines = vec![out.table(&["FILE", "PASSED", "FAILED", "NOT ASKED"], &rows)];
    for (file, error) in all.files.iter().filter_map(|one| Some((&one.file, one.error.as_ref()?))) {
        lines.push(harmless(&format!("{}: {error}", file.display())));
    }
    for failed in all.files.iter().flat_map(|one| &one.failed) {
        lines.push(harmless(&format!("{}-{}: {}", failed.rule, failed.test, failed.why)));
    }
    let (passed, not_asked) = (all.passed, all.not_asked);
    lines.push(format!("{passed} passed, {} failed, {not_asked} not asked", all.failed));
    lines.join("\n")
}
