//! `policy check`, `test`, `explain` and `diff`: what needs no node. It opens no connection.

use std::path::{Path, PathBuf};

use model::TenantId;
use platform::Prover;
use policy::{Considered, Difference, Explanation, Finding, Part, lint};
use prover::Verdict;
use serde::{Deserialize, Serialize};

use super::{
    super::{Context, read_text},
    desk::{Case, Desk},
};
use crate::{
    cli,
    exit::{Exit, Failure},
    output::{Ink, Output},
};

/// Policies that did not apply, shown of an explanation.
const NEAREST_SHOWN: usize = 3;

/// The tenant that is meant where nobody names one.
pub(super) fn tenant_of(context: &Context) -> Result<TenantId, Failure> {
    let default = || "default".parse().map_err(|e: model::IdError| Failure::new(Exit::Failed, e));
    context.global.tenant.clone().map_or_else(default, Ok)
}

/// `policy check`
pub(super) fn check(
    context: &Context,
    files: &[PathBuf],
    functions: &[PathBuf],
    strict: bool,
) -> Result<(), Failure> {
    let desk = Desk::open(&tenant_of(context)?, files, functions)?;
    let found = lint(&desk.policies, &desk.list()).map_err(|e| Failure::new(Exit::Invalid, e))?;
    let placed: Vec<_> = found.iter().map(|finding| place(finding, files)).collect();
    let out = &context.out;
    let answer = serde_json::json!({ "files": files, "valid": true, "findings": found });
    out.answer(&answer, |_| {
        let held = files.iter().map(|file| format!("{}: {}", file.display(), out.paint(Ink::Good, "holds")));
        let lines = found.iter().zip(&placed).map(|(finding, place)| {
            let kind = out.paint(Ink::Warn, finding.kind);
            format!("{place}: {kind}: policy `{}`: {}", finding.policy, finding.message)
        });
        held.chain(lines).collect::<Vec<_>>().join("\n")
    });
    if strict && !found.is_empty() {
        return Err(Failure::new(Exit::Invalid, format!("{} policies have no effect", found.len())));
    }
    Ok(())
}

/// File and line of a policy, by its text.
fn place(finding: &Finding, files: &[PathBuf]) -> String {
    for file in files.iter().filter(|file| *file != Path::new("-")) {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        if let Some(at) = text.find(finding.text.trim()) {
            let line = 1 + text.get(..at).unwrap_or_default().matches('\n').count();
            return format!("{}:{line}", file.display());
        }
    }
    "manifest".to_owned()
}

/// A table of who may do what.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    /// Whose policies they are.
    tenant: Option<TenantId>,
    /// Cedar text, beside the table.
    #[serde(default)]
    policies: Vec<PathBuf>,
    /// Folders of functions, beside the table.
    #[serde(default)]
    functions: Vec<PathBuf>,
    /// The rows.
    #[serde(default, rename = "case")]
    cases: Vec<Row>,
}

/// One row.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: Option<String>,
    who: String,
    #[serde(default)]
    roles: Vec<String>,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(rename = "do")]
    does: String,
    on: Option<String>,
    #[serde(default)]
    context: Circumstances,
    expect: Expect,
    /// The policies that must decide, each by its id.
    by: Option<Vec<String>>,
}

/// The circumstances of a row; what is absent is as of a call on this machine, now.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Circumstances {
    method: Option<String>,
    path: Option<String>,
    host: Option<String>,
    source: Option<std::net::IpAddr>,
    tls: Option<bool>,
    time: Option<String>,
    #[serde(default)]
    token: TokenSaid,
    /// The groups of the principal.
    #[serde(default)]
    groups: Vec<String>,
    /// The functions between.
    #[serde(default)]
    chain: Vec<String>,
    #[serde(rename = "onBehalfOf")]
    on_behalf_of: Option<String>,
}

/// How a principal was proved.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenSaid {
    kind: Option<String>,
    #[serde(default)]
    bound: bool,
    issuer: Option<String>,
    #[serde(default)]
    age_s: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Expect {
    Permit,
    Deny,
}

/// A row that did not come out as it says.
#[derive(Debug, Serialize)]
struct Failed {
    case: String,
    expected: Expect,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected_by: Option<Vec<String>>,
    got: Explanation,
}

/// `policy test`
pub(super) fn test(context: &Context, file: &Path) -> Result<(), Failure> {
    let text = read_text(file)?;
    let invalid = |why: String| Failure::new(Exit::Invalid, format!("{}: {why}", file.display()));
    let table: Table = toml::from_str(&text).map_err(|error| {
        let error = model::ManifestError::from_toml(&text, &error);
        invalid(error.to_string()).next("docs/policies.md has the keys of a table")
    })?;
    if table.cases.is_empty() {
        return Err(invalid("there is no `[[case]]`".to_owned()));
    }
    let tenant = table.tenant.clone().map_or_else(|| tenant_of(context), Ok)?;
    let beside = |paths: &[PathBuf]| -> Vec<PathBuf> {
        let folder = file.parent().unwrap_or(Path::new(""));
        paths.iter().map(|path| folder.join(path)).collect()
    };
    let desk = Desk::open(&tenant, &beside(&table.policies), &beside(&table.functions))?;
    let (all, mut failed) = (table.cases.len(), Vec::new());
    for (n, row) in table.cases.into_iter().enumerate() {
        let name = row
            .name
            .clone()
            .unwrap_or_else(|| format!("{} {} {}", row.who, row.does, row.on.as_deref().unwrap_or("tenant")));
        let of_row =
            |failure: Failure| Failure { message: format!("case {}, {name}: {failure}", n + 1), ..failure };
        let (expect, by) = (row.expect, row.by.clone());
        let case = Case::read(&tenant, &row.asked().map_err(of_row)?).map_err(of_row)?;
        let got = desk.explain(&case).map_err(of_row)?;
        let as_said = got.permitted == (expect == Expect::Permit);
        if !as_said || by.as_ref().is_some_and(|by| *by != got.decided_by) {
            failed.push(Failed { case: name, expected: expect, expected_by: by, got });
        }
    }
    let out = &context.out;
    let answer = serde_json::json!({ "cases": all, "failed": failed });
    out.answer(&answer, |_| {
        let mut text = String::new();
        for one in &failed {
            let by = one.expected_by.as_ref().map(|by| format!(" by {}", by.join(", "))).unwrap_or_default();
            let word = if one.expected == Expect::Permit { "permit" } else { "deny" };
            let head = out.paint(Ink::Bad, "failed");
            text.push_str(&format!("{head} {}: expected {word}{by}\n{}\n\n", one.case, told(out, &one.got)));
        }
        let good = out.paint(Ink::Good, &format!("{} of {all}", all - failed.len()));
        format!("{text}{good} as the table says")
    });
    match failed.len() {
        0 => Ok(()),
        n => Err(Failure::new(Exit::Invalid, format!("{n} of {all} cases are not as the table says"))),
    }
}

impl Row {
    fn asked(self) -> Result<cli::Asked, Failure> {
        let at = self.context.time.as_deref().map(|text| {
            let bad =
                || Failure::new(Exit::Invalid, format!("`{text}` is no time: write `2026-12-31T00:00:00Z`"));
            model::Timestamp::parse(text).ok_or_else(bad)
        });
        let Circumstances { method, path, host, source, tls, token, groups, chain, on_behalf_of, .. } =
            self.context;
        Ok(cli::Asked {
            who: Some(self.who),
            roles: self.roles,
            scopes: self.scopes,
            does: Some(self.does),
            on: self.on,
            method: method.unwrap_or_else(|| "GET".to_owned()),
            path: path.unwrap_or_else(|| "/".to_owned()),
            host: host.unwrap_or_else(|| "localhost".to_owned()),
            source,
            plain: tls == Some(false),
            proof: token.kind.unwrap_or_else(|| "api-token".to_owned()),
            bound: token.bound,
            issuer: token.issuer,
            age: token.age_s,
            groups,
            through: chain,
            on_behalf_of,
            at: at.transpose()?,
        })
    }
}

/// `policy explain` without a request's id
pub(super) fn explain(context: &Context, offline: &cli::Offline, asked: &cli::Asked) -> Result<(), Failure> {
    let tenant = tenant_of(context)?;
    let files: Vec<PathBuf> = offline.policies.iter().cloned().collect();
    let desk = Desk::open(&tenant, &files, &offline.functions)?;
    let got = desk.explain(&Case::read(&tenant, asked)?)?;
    context.out.answer(&got, |got| told(&context.out, got));
    Ok(())
}

/// Why something is decided as it is, for people: what decides, and what comes nearest.
fn told(out: &Output, got: &Explanation) -> String {
    let head = match got.permitted {
        true => out.paint(Ink::Good, "permitted"),
        false => out.paint(Ink::Bad, got.reason.map_or("denied", |reason| reason.code())),
    };
    format!("{head}: {} {} {}{}", got.principal, got.action, got.resource, clauses(out, got))
}

/// What decides, or what comes nearest.
pub(super) fn clauses(out: &Output, got: &Explanation) -> String {
    let mut text = String::new();
    for error in &got.errors {
        text.push_str(&format!("\n  {error}"));
    }
    let decides = |policy: &&Considered| got.decided_by.contains(&policy.policy);
    for policy in got.policies.iter().filter(decides) {
        text.push_str(&format!("\n  decided by {} `{}`", policy.effect, policy.policy));
        text.push_str(&parts(out, policy));
    }
    if got.permitted || got.decided_by.is_empty() {
        let nearest = got.policies.iter().filter(|policy| !policy.applies && policy.effect == "permit");
        let shown = if got.permitted { 0 } else { NEAREST_SHOWN };
        for policy in nearest.take(shown) {
            text.push_str(&format!("\n  does not apply: permit `{}`", policy.policy));
            text.push_str(&parts(out, policy));
        }
    }
    text
}

fn parts(out: &Output, policy: &Considered) -> String {
    let one = |part: &Part| {
        let mark = if part.holds { out.paint(Ink::Good, "yes") } else { out.paint(Ink::Bad, "no ") };
        let kind = match &*part.kind {
            "when" | "unless" => format!("{} ", part.kind),
            _ => String::new(),
        };
        let error = part.error.as_ref().map(|error| format!(" ({error})")).unwrap_or_default();
        format!("\n    {mark} {kind}{}{error}", part.text)
    };
    policy.parts.iter().map(one).collect()
}

/// What a change comes to.
#[derive(Debug, Serialize)]
struct Compared {
    added: Vec<String>,
    removed: Vec<String>,
    /// `harmless`, `widens` or `unproved`.
    verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<Box<prover::Witness>>,
}

/// `policy diff`
pub(super) fn diff(context: &Context, old: &Path, new: &Path, functions: &[PathBuf]) -> Result<(), Failure> {
    let tenant = tenant_of(context)?;
    let before = Desk::open(&tenant, &[old.to_owned()], functions)?;
    let after = Desk::open(&tenant, &[new.to_owned()], functions)?;
    let difference = Difference::of_tenant(&before.policies, &after.policies, &before.list());
    let difference = difference.map_err(|e| Failure::new(Exit::Invalid, e))?;
    let verdict = match Prover::find() {
        Some(prover) => prover.prove(&difference),
        None => prover::without_solver(&difference),
    };
    let (word, why, request) = match verdict {
        Verdict::Harmless => ("harmless", None, None),
        Verdict::Widens(request) => ("widens", Some(request.to_string()), Some(request)),
        Verdict::Unproved(why) => ("unproved", Some(why), None),
    };
    let Difference { added, removed, .. } = difference;
    let compared = Compared { added, removed, verdict: word, why, request };
    let out = &context.out;
    out.answer(&compared, |compared| {
        let list =
            |sign: &str, ids: &[String]| ids.iter().map(|id| format!("{sign} {id}\n")).collect::<String>();
        let said = match (word, &compared.why) {
            ("harmless", _) => {
                format!("{}: nothing is permitted that was refused", out.paint(Ink::Good, "proved"))
            }
            ("widens", Some(why)) => format!("{}: {why}", out.paint(Ink::Bad, "lets somebody in")),
            (_, why) => {
                let why = why.as_deref().unwrap_or_default();
                format!("{}: {why}; it counts as letting somebody in", out.paint(Ink::Warn, "not proved"))
            }
        };
        format!("{}{}{said}", list("+", &compared.added), list("-", &compared.removed))
    });
    match compared.verdict {
        "harmless" => Ok(()),
        _ => Err(Failure::new(Exit::Failed, "the new policies are not proved to let nobody in")
            .next("if that is meant, `casemate policy set --accept-widening` does it")),
    }
}
