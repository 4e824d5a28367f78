//! `policy`: what stands on a node, what waits, what ends by itself, who may do what. It never decides.

mod desk;
mod offline;

use gateway::api::{BreakGlass, Glass, May, Proposal, Reached, ReachedList, Record, SetPolicy, Waiting};
use model::{PrincipalKind, RequestId};
use serde_json::Value;

use super::{Context, functions::day_and_minute, read_text, ship::upload};
use crate::{
    cli::{self, Policy, policy::GlassKind},
    client::Client,
    exit::{Exit, Failure},
    output::{Ink, Output, harmless},
    project::Project,
};

/// `policy …`
pub(super) async fn policy(context: &Context, args: Policy) -> Result<(), Failure> {
    let out = &context.out;
    match args {
        Policy::Check { files, functions, strict } => {
            return offline::check(context, &files, &functions, strict);
        }
        Policy::Test { table } => return offline::test(context, &table),
        Policy::Diff { old, new, functions } => return offline::diff(context, &old, &new, &functions),
        Policy::Explain { request: None, offline, asked } => {
            return offline::explain(context, &offline, &asked);
        }
        _ => {}
    }
    let client = context.client()?;
    match args {
        Policy::Get => {
            let found = client.policy().await?;
            out.answer(&found, |found| found.text.clone());
        }
        Policy::Set { file, accept_widening, propose } => {
            let text = read_text(&file)?;
            if propose {
                let waiting = client.propose(&Proposal::Policy { text }).await?;
                out.answer(&waiting, |waiting| proposed(out, waiting));
                return Ok(());
            }
            client.set_policy(&SetPolicy { text, accept_widening }).await?;
            let tenant = &client.session().tenant;
            let answer = serde_json::json!({ "tenant": tenant, "set": true });
            out.answer(&answer, |_| format!("the policies of {tenant} are in force"));
        }
        Policy::Explain { request: Some(id), .. } => explain(out, &client, id).await?,
        Policy::WhoCan { action, function } => {
            let found = client.who_can(action, function.as_ref()).await?;
            out.answer(&found, |found| reached(out, found, true));
        }
        Policy::WhatCan { principal } => {
            let found = client.what_can(&principal).await?;
            out.answer(&found, |found| reached(out, found, false));
        }
        Policy::Pending { .. } | Policy::Approve { .. } | Policy::Reject { .. } => {
            changes(out, &client, args).await?;
        }
        Policy::BreakGlass(args) => {
            let given = client.break_glass(&asked(*args)).await?;
            out.answer(&given, |given| {
                format!("{} until {}; each use is in the record and the log", glass_line(given), given.until)
            });
        }
        Policy::Glass => {
            let found = client.glass().await?;
            out.answer(&found, |found| match found.glass.is_empty() {
                true => "no permits that end by themselves".to_owned(),
                false => found.glass.iter().map(glass_line).collect::<Vec<_>>().join("\n"),
            });
        }
        Policy::EndGlass { id } => {
            client.end_glass(&id).await?;
            out.answer(&serde_json::json!({ "ended": id }), |_| format!("ended {id}"));
        }
        // Answered above: they speak to no node.
        Policy::Check { .. } | Policy::Test { .. } | Policy::Diff { .. } | Policy::Explain { .. } => {}
    }
    Ok(())
}

/// `policy pending`, `approve`, `reject`
async fn changes(out: &Output, client: &Client, args: Policy) -> Result<(), Failure> {
    match args {
        Policy::Pending { id: None } => {
            let found = client.changes().await?;
            out.answer(&found, |found| {
                if found.changes.is_empty() {
                    return "nothing waits for a second person".to_owned();
                }
                let row = |waiting: &Waiting| {
                    let what = what(&waiting.what);
                    vec![
                        waiting.id.clone(),
                        what,
                        waiting.by.clone(),
                        day_and_minute(waiting.until),
                        waiting.shown.clone(),
                    ]
                };
                let rows: Vec<Vec<String>> = found.changes.iter().map(row).collect();
                out.table(&["CHANGE", "WHAT", "BY", "UNTIL", "SHOWN"], &rows)
            });
        }
        Policy::Pending { id: Some(id) } => {
            let found = client.change(&id).await?;
            out.answer(&found, |found| {
                let text = match &found.what {
                    Proposal::Policy { text } => text,
                    Proposal::Deploy { manifest, .. } => manifest,
                };
                let fields = out.fields(&[
                    ("change", found.id.clone()),
                    ("what", what(&found.what)),
                    ("by", found.by.clone()),
                    ("until", found.until.to_string()),
                    ("shown", harmless(&found.shown)),
                ]);
                format!("{fields}\n\n{}", harmless(text))
            });
        }
        Policy::Approve { id } => {
            let done = client.approve(&id).await?;
            out.answer(&done, |done| format!("{} of {} is done", what(&done.what), done.by));
        }
        Policy::Reject { id } => {
            client.reject(&id).await?;
            out.answer(&serde_json::json!({ "rejected": id }), |_| format!("rejected {id}"));
        }
        _ => {}
    }
    Ok(())
}

fn what(proposal: &Proposal) -> String {
    match proposal {
        Proposal::Policy { .. } => "policies".to_owned(),
        Proposal::Deploy { function, .. } => format!("deploy {function}"),
    }
}

fn proposed(out: &Output, waiting: &Waiting) -> String {
    let id = out.paint(Ink::Strong, &waiting.id);
    format!(
        "{id} waits: {}\nanother person does it with `casemate policy approve {}`",
        waiting.shown, waiting.id
    )
}

/// `deploy --propose`
pub(super) async fn propose_deploy(client: &Client, project: &Project, out: &Output) -> Result<(), Failure> {
    let component = upload(client, project, out).await?;
    let (function, manifest) = (project.manifest.name.clone(), project.text.clone());
    let waiting = client.propose(&Proposal::Deploy { function, manifest, component }).await?;
    out.answer(&waiting, |waiting| proposed(out, waiting));
    Ok(())
}

fn asked(args: cli::BreakGlass) -> BreakGlass {
    let kind = match args.kind {
        GlassKind::User => PrincipalKind::User,
        GlassKind::Service => PrincipalKind::Service,
    };
    let (action, function) = (args.action.to_string(), args.function);
    BreakGlass { kind, name: args.name, action, function, reason: args.reason, minutes: args.minutes }
}

fn glass_line(given: &Glass) -> String {
    let of = given.function.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
    let until = day_and_minute(given.until);
    format!(
        "{} {} may {}{of} until {until}: {}",
        given.id,
        given.principal,
        given.action,
        harmless(&given.reason)
    )
}

/// What may be, for people. Who may never is left out of `what-can`, where there are many.
fn reached(out: &Output, found: &ReachedList, with_never: bool) -> String {
    let row = |one: &Reached| {
        let may = match one.may {
            May::Always => out.paint(Ink::Good, "always"),
            May::Never => out.paint(Ink::Bad, "never"),
            May::When => out.paint(Ink::Warn, "when"),
        };
        let mut how: Vec<String> = one.policies.clone();
        how.extend(one.permitted_when.iter().map(|c| format!("{}: {}", c.policy, harmless(&c.condition))));
        how.extend(
            one.forbidden_when.iter().map(|c| format!("not {}: {}", c.policy, harmless(&c.condition))),
        );
        vec![
            one.who.clone(),
            one.scopes.join(","),
            one.action.clone(),
            one.resource.clone(),
            may,
            how.join("; "),
        ]
    };
    let shown = found.reached.iter().filter(|one| with_never || one.may != May::Never);
    let rows: Vec<Vec<String>> = shown.map(row).collect();
    let table = out.table(&["WHO", "SCOPES", "ACTION", "RESOURCE", "MAY", "BY"], &rows);
    format!(
        "{table}\n\nlooked at: principals with a live token by its roles and scopes, one of each role with all scopes, \
         a function, and no credential"
    )
}

/// `policy explain REQUEST-ID`: what the record says of it, with the text of the policies as they stand now.
async fn explain(out: &Output, client: &Client, id: RequestId) -> Result<(), Failure> {
    let found = client.records(&format!("request={id}&limit=1000")).await?;
    let decided = |record: &&Record| matches!(text(record, "kind"), "decision" | "refusal");
    let records: Vec<&Record> = found.records.iter().rev().filter(decided).collect();
    if records.is_empty() {
        return Err(Failure::new(
            Exit::Failed,
            format!("the record of this tenant has no decision about `{id}`"),
        )
        .next("`casemate records --of-node` has what was refused before any tenant was known"));
    }
    let texts = policies_now(client, &records).await;
    let answer: Vec<Value> = records.iter().map(|record| explained(record, &texts)).collect();
    out.answer(&serde_json::json!({ "request": id, "decisions": answer }), |_| {
        records.iter().map(|record| told(out, record, &texts)).collect::<Vec<_>>().join("\n\n")
    });
    Ok(())
}

fn text<'r>(record: &'r Record, name: &str) -> &'r str {
    record.event.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn policy_ids(record: &Record) -> Vec<&str> {
    let ids = record.event.get("policies").and_then(Value::as_array);
    ids.into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Id and text of policies in force, where the caller may see them.
async fn policies_now(client: &Client, records: &[&Record]) -> Vec<(String, String)> {
    let mut texts = Vec::new();
    let resources = records.iter().map(|record| text(record, "resource"));
    let mut functions: Vec<&str> = resources
        .filter_map(|resource| resource.strip_prefix("Function::\"")?.trim_end_matches('"').split_once('/'))
        .map(|(_, name)| name)
        .collect();
    functions.dedup();
    for name in functions {
        let Ok(name) = name.parse() else { continue };
        let Ok(detail) = client.function(&name).await else { continue };
        for policy in detail.policy.split("\n// ").skip(1) {
            let Some((id, text)) = policy.split_once('\n') else { continue };
            texts.push((id.trim().to_owned(), text.trim().to_owned()));
        }
    }
    for shipped in [policy::GUARDS, policy::ROLES] {
        for policy in shipped.split("@id(\"").skip(1) {
            let Some((id, text)) = policy.split_once("\")\n") else { continue };
            let text = text.split_once(";\n").map_or(text, |(text, _)| text);
            texts.push((id.to_owned(), format!("{};", text.trim().trim_end_matches(';'))));
        }
    }
    texts
}

fn explained(record: &Record, texts: &[(String, String)]) -> Value {
    let policies = policy_ids(record).into_iter().map(|id| {
        let found = texts.iter().find(|(known, _)| known == id).map(|(_, text)| text);
        serde_json::json!({ "policy": id, "text_now": found })
    });
    serde_json::json!({ "event": record.event, "policies": policies.collect::<Vec<_>>() })
}

fn told(out: &Output, record: &Record, texts: &[(String, String)]) -> String {
    let allowed = record.event.get("allowed").and_then(Value::as_bool).unwrap_or_default();
    let word = if allowed { out.paint(Ink::Good, "permitted") } else { out.paint(Ink::Bad, "refused") };
    let named = |name: &str| harmless(text(record, name));
    let mut said = format!("{word}: {} {} {}", named("principal"), named("action"), named("resource"));
    let code = named("code");
    if !code.is_empty() {
        said.push_str(&format!(" ({code})"));
    }
    let detail = named("detail");
    if !detail.is_empty() {
        said.push_str(&format!("\n  {detail}"));
    }
    for id in policy_ids(record) {
        said.push_str(&format!("\n  decided by `{}`", harmless(id)));
        if let Some((_, text)) = texts.iter().find(|(known, _)| known == id) {
            let indented: Vec<String> = text.lines().map(|line| format!("    {}", harmless(line))).collect();
            said.push_str(&format!(", as it stands now:\n{}", indented.join("\n")));
        }
    }
    said
}
