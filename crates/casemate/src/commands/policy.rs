//! `policy`: what stands on a node, what waits, what ends by itself, who may do what. It never decides.

mod desk;
mod offline;

use gateway::api::{BreakGlass, Explained, Glass, May, Proposal, Reached, ReachedList, SetPolicy, Waiting};
use model::{PrincipalKind, RequestId};
use policy::Explanation;
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

/// The same without what could move a terminal's cursor.
fn tame(mut why: Explanation) -> Explanation {
    why.errors.iter_mut().for_each(|error| *error = harmless(error));
    for policy in &mut why.policies {
        policy.effect = harmless(&policy.effect).into();
        for part in &mut policy.parts {
            part.text = harmless(&part.text);
            part.error = part.error.as_deref().map(harmless);
        }
    }
    why
}

/// `policy explain REQUEST-ID`: what the record says of it, and why, by the policies of then.
async fn explain(out: &Output, client: &Client, id: RequestId) -> Result<(), Failure> {
    let found = client.explain(id).await?;
    if found.decisions.is_empty() {
        return Err(Failure::new(
            Exit::Failed,
            format!("the record of this tenant has no decision about `{id}`"),
        )
        .next("`casemate records --of-node` has what was refused before any tenant was known"));
    }
    let told = |one: &Explained| told(out, one);
    out.answer(&found, |found| found.decisions.iter().map(told).collect::<Vec<_>>().join("\n\n"));
    Ok(())
}

fn told(out: &Output, one: &Explained) -> String {
    let text = |name: &str| one.event.get(name).and_then(Value::as_str).map(harmless).unwrap_or_default();
    let allowed = one.event.get("allowed").and_then(Value::as_bool).unwrap_or_default();
    let word = if allowed { out.paint(Ink::Good, "permitted") } else { out.paint(Ink::Bad, "refused") };
    let mut said = format!("{word}: {} {} {}", text("principal"), text("action"), text("resource"));
    let (code, detail, asked) = (text("code"), text("detail"), text("asked"));
    if !code.is_empty() {
        said.push_str(&format!(" ({code})"));
    }
    let why: Option<Explanation> = one.why.clone().and_then(|why| serde_json::from_value(why).ok());
    // Of a denial that is explained, the detail says the same again.
    if !detail.is_empty() && (allowed || why.is_none()) {
        said.push_str(&format!("\n  {detail}"));
    }
    if !asked.is_empty() {
        said.push_str(&format!("\n  policies saw {asked}"));
    }
    match why {
        Some(why) => said.push_str(&offline::clauses(out, &tame(why))),
        None => {
            let ids = one.event.get("policies").and_then(Value::as_array).into_iter().flatten();
            for id in ids.filter_map(Value::as_str) {
                said.push_str(&format!("\n  decided by `{}`", harmless(id)));
            }
        }
    }
    if let Some(unknown) = &one.unknown {
        said.push_str(&format!("\n  no more can be said: {}", harmless(unknown)));
    }
    said
}
