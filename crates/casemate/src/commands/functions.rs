//! `list`, `inspect`, `rollback`, `remove` and `logs`. It never removes without a yes.

use std::io::IsTerminal;

use gateway::api::{FunctionDetail, FunctionSummary, LogLine, LogSource};
use model::{Route, Timestamp};

use super::{
    Context,
    ship::{capabilities, policies},
};
use crate::{
    cli::{Logs, Named, Remove, Rollback},
    exit::{Exit, Failure},
    output::{Ink, Output, harmless},
};

/// `list`
pub(super) async fn list(context: &Context) -> Result<(), Failure> {
    let out = &context.out;
    let found = context.client()?.functions().await?;
    out.answer(&found, |found| {
        if found.functions.is_empty() {
            return "no functions yet; make one with `casemate new NAME` and `casemate deploy NAME`"
                .to_owned();
        }
        let row = |f: &FunctionSummary| {
            let world = serde_json::to_value(f.world).ok();
            vec![
                out.paint(Ink::Strong, f.name.as_str()),
                f.revision.to_string(),
                world.and_then(|w| w.as_str().map(str::to_owned)).unwrap_or_default(),
                routes(&f.routes),
                day_and_minute(f.deployed_at),
                f.deployed_by.clone(),
            ]
        };
        let rows: Vec<Vec<String>> = found.functions.iter().map(row).collect();
        out.table(&["NAME", "REVISION", "WORLD", "ROUTES", "DEPLOYED", "BY"], &rows)
    });
    Ok(())
}

/// `inspect`
pub(super) async fn inspect(context: &Context, args: &Named) -> Result<(), Failure> {
    let detail = context.client()?.function(&args.name).await?;
    context.out.answer(&detail, |detail| describe(&context.out, detail));
    Ok(())
}

/// `rollback`
pub(super) async fn rollback(context: &Context, args: &Rollback) -> Result<(), Failure> {
    let out = &context.out;
    let result = context.client()?.rollback(&args.name, args.to, args.accept_widening).await;
    let result = result.map_err(|failure| match failure.message.contains("revision") {
        true => failure.next(format!("`casemate inspect {}` shows the revisions that there are", args.name)),
        false => failure,
    })?;
    out.answer(&result, |r| {
        format!(
            "{} answers with {} now (was {})",
            r.function,
            out.paint(Ink::Strong, &r.revision.to_string()),
            r.previous
        )
    });
    Ok(())
}

/// `remove`
pub(super) async fn remove(context: &Context, args: &Remove) -> Result<(), Failure> {
    let client = context.client()?;
    if !args.yes && !confirmed(context, args)? {
        return Err(Failure::new(Exit::Failed, "nothing was removed"));
    }
    client.remove(&args.name).await?;
    let answer = serde_json::json!({ "removed": args.name });
    context.out.answer(&answer, |_| format!("removed {}; its records stay", args.name));
    Ok(())
}

fn confirmed(context: &Context, args: &Remove) -> Result<bool, Failure> {
    if context.out.is_json() || !std::io::stdin().is_terminal() {
        return Err(Failure::new(Exit::Usage, "`remove` wants a yes, and nobody is there to give it")
            .next(format!("casemate remove {} --yes", args.name)));
    }
    context.out.note(format!("remove `{}` and all its revisions? type its name:", args.name));
    let mut line = String::new();
    let read = std::io::stdin().read_line(&mut line);
    read.map_err(|e| Failure::file("read", std::path::Path::new("stdin"), &e))?;
    Ok(line.trim() == args.name.as_str())
}

/// `logs`
pub(super) async fn logs(context: &Context, args: &Logs) -> Result<(), Failure> {
    let out = &context.out;
    let client = context.client()?;
    let show = |line: LogLine| {
        if out.is_json() {
            out.json_line(&line);
        } else {
            out.say(log_line(out, &line));
        }
    };
    tokio::select! {
        ended = client.logs(&args.name, args.after, args.follow, show) => ended,
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

fn log_line(out: &Output, line: &LogLine) -> String {
    let at = line.at.to_string();
    let time = at.split_once('T').map_or(at.as_str(), |(_, time)| time.trim_end_matches('Z'));
    let text = harmless(&line.text);
    let text = match line.source {
        LogSource::Platform => out.paint(Ink::Bad, &text),
        LogSource::Stderr => out.paint(Ink::Warn, &text),
        LogSource::Stdout => text,
    };
    let head = format!("{time} {} {} {:8}", line.revision, line.request_id, line.source.as_str());
    format!("{} {text}", out.paint(Ink::Faint, &head))
}

fn describe(out: &Output, detail: &FunctionDetail) -> String {
    let active = &detail.function.active;
    let limits: Vec<String> =
        active.limits.rows().iter().map(|(name, value)| format!("{name:22} {value}")).collect();
    let waiver = active.access.waiver.as_ref();
    let waiver = waiver.map_or_else(|| "none".to_owned(), |w| format!("until {}: {}", w.until, w.reason));
    let shield = match detail.loosened.as_slice() {
        [] => "as the node has it, or stricter".to_owned(),
        weaker => out.paint(Ink::Warn, &weaker.join("\n")),
    };
    let fields = out.fields(&[
        ("function", out.paint(Ink::Strong, &format!("{}/{}", detail.function.tenant, detail.function.name))),
        ("revision", format!("{}, deployed {} by {}", active.number, active.deployed_at, active.deployed_by)),
        ("component", format!("{} ({} bytes)", active.component, active.component_bytes)),
        ("url", detail.urls.join("\n")),
        ("identity", detail.identity.clone()),
        ("routes", routes(&active.routes)),
        ("capabilities", capabilities(&active.grants)),
        ("waiver", waiver),
        ("shield", shield),
        ("policy", policies(&detail.policy)),
        ("limits", limits.join("\n")),
    ]);
    let row = |r: &gateway::api::RevisionSummary| {
        let mark = if r.active { out.paint(Ink::Good, "answers") } else { String::new() };
        vec![
            r.number.to_string(),
            r.component.short(),
            r.deployed_at.to_string(),
            r.deployed_by.clone(),
            mark,
        ]
    };
    let rows: Vec<Vec<String>> = detail.revisions.iter().map(row).collect();
    let table = out.table(&["REVISION", "COMPONENT", "DEPLOYED", "BY", ""], &rows);
    format!("{fields}\n\n{table}")
}

fn routes(routes: &[Route]) -> String {
    let one = |route: &Route| {
        let mut text = match route.methods.is_empty() {
            true => route.path.clone(),
            false => format!("{} {}", route.methods.join(","), route.path),
        };
        if !route.accept.is_empty() {
            text.push_str(&format!(" ({})", route.accept.join(", ")));
        }
        text
    };
    routes.iter().map(one).collect::<Vec<_>>().join(" · ")
}

/// `2026-11-23 10:41`
pub(super) fn day_and_minute(at: Timestamp) -> String {
    at.to_string().chars().take(16).map(|c| if c == 'T' { ' ' } else { c }).collect()
}
