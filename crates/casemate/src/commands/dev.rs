//! `dev`: watch, build, deploy, again and again. It never opens anything that `deploy` would not: the node
//! checks each revision by the same rules, and keeps the one it has when a build or a check fails.

use std::{path::Path, time::Instant};

use gateway::api::DeployResult;

use super::{Context, ship};
use crate::{
    cli::Folder,
    client::Client,
    clock,
    exit::Failure,
    output::{Ink, Output},
    project::Project,
    watch::{Snapshot, Watch},
};

/// `dev`
pub(super) async fn dev(context: &Context, args: &Folder) -> Result<(), Failure> {
    let out = &context.out;
    let client = context.client()?;
    client.whoami().await?;
    let folder =
        if args.dir.is_dir() { args.dir.as_path() } else { args.dir.parent().unwrap_or(Path::new(".")) };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    // Without a manifest there is nothing to wait for.
    Project::open(folder)?;
    let mut watch = Watch::new()?;
    tokio::select! {
        ended = follow(out, &client, folder, &mut watch) => ended,
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

async fn follow(out: &Output, client: &Client, folder: &Path, watch: &mut Watch) -> Result<(), Failure> {
    let mut last: Option<Snapshot> = None;
    let mut answers: Option<DeployResult> = None;
    loop {
        let opened = Project::open(folder);
        let seen = Snapshot::take(folder, opened.as_ref().ok())?;
        watch.follow(&seen)?;
        if last.as_ref() != Some(&seen) {
            match attempt(out, client, opened).await {
                Ok((result, took)) => {
                    deployed(out, &result, took, answers.is_none());
                    answers = Some(result);
                }
                Err(failure) => failed(out, &failure, answers.as_ref()),
            }
            last = Some(seen);
            // What was saved while it was building is the next change, not a forgotten one.
            let now = Snapshot::take(folder, Project::open(folder).ok().as_ref())?;
            if last.as_ref() != Some(&now) {
                continue;
            }
        }
        watch.changed().await;
    }
}

/// How long each half took, in milliseconds.
struct Took {
    build: u128,
    deploy: u128,
}

async fn attempt(
    out: &Output,
    client: &Client,
    opened: Result<Project, Failure>,
) -> Result<(DeployResult, Took), Failure> {
    let project = opened?;
    let start = Instant::now();
    project.build(out).await?;
    let built = Instant::now();
    let result = ship(client, &project, out, false).await?;
    let took = Took { build: (built - start).as_millis(), deploy: built.elapsed().as_millis() };
    Ok((result, took))
}

fn deployed(out: &Output, result: &DeployResult, took: Took, first: bool) {
    if out.is_json() {
        out.json_line(&serde_json::json!({
            "event": "deployed", "at": clock::now(), "build_ms": took.build, "deploy_ms": took.deploy,
            "result": result,
        }));
        return;
    }
    if first {
        out.say(format!("{} (stop with ctrl-c)", out.paint(Ink::Strong, &result.urls.join(" "))));
    }
    let state = out.paint(Ink::Good, "answers");
    let (build, deploy) = (took.build, took.deploy);
    out.say(format!("{} {} {state} · built in {build} ms, deployed in {deploy} ms", time(), result.revision));
    for warning in &result.warnings {
        out.say(format!("{} {warning}", out.paint(Ink::Warn, "warning:")));
    }
}

fn failed(out: &Output, failure: &Failure, answers: Option<&DeployResult>) {
    let kept = answers.map(|result| result.revision);
    if out.is_json() {
        out.json_line(&serde_json::json!({
            "event": "failed", "at": clock::now(), "error": failure.message, "next": failure.next, "kept": kept,
        }));
        return;
    }
    let kept = kept.map_or_else(|| "nothing new answers".to_owned(), |r| format!("{r} still answers"));
    out.say(format!("{} {} · {kept}", time(), out.paint(Ink::Bad, "failed")));
    out.failure(failure);
}

fn time() -> String {
    clock::now().to_string().chars().skip(11).take(8).collect()
}
