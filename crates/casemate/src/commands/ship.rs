//! `build`, `test` and `deploy`: from a folder to a revision that answers. It never skips a check.

use gateway::api::{DeployRequest, DeployResult};
use model::{Digest, Grants};

use super::Context;
use crate::{
    cli::{Deploy, Folder},
    client::Client,
    exit::Failure,
    output::{Ink, Output, size},
    project::Project,
};

/// `build`
pub(super) async fn build(context: &Context, args: &Folder) -> Result<(), Failure> {
    let project = Project::open(&args.dir)?;
    let ran = project.build(&context.out).await?;
    let component = project.component()?;
    let answer = serde_json::json!({
        "function": project.manifest.name,
        "component": project.folder.join(&project.manifest.component),
        "digest": component.digest,
        "bytes": component.bytes.len(),
        "build": ran,
    });
    context.out.answer(&answer, |_| {
        let took = ran.as_ref().map_or_else(
            || "nothing to build: the manifest names no command".to_owned(),
            |ran| format!("built in {:.1} s", ran.took_ms as f64 / 1000.0),
        );
        context.out.fields(&[
            ("function", project.manifest.name.to_string()),
            ("component", project.folder.join(&project.manifest.component).display().to_string()),
            ("digest", component.digest.to_string()),
            ("size", size(component.bytes.len() as u64)),
            ("build", took),
        ])
    });
    Ok(())
}

/// `test`
pub(super) async fn test(context: &Context, args: &Folder) -> Result<(), Failure> {
    let project = Project::open(&args.dir)?;
    let ran = project.test(&context.out).await?;
    context.out.answer(&ran, |ran| {
        let passed = context.out.paint(Ink::Good, "passed");
        format!("{passed} in {:.1} s: {}", ran.took_ms as f64 / 1000.0, ran.command)
    });
    Ok(())
}

/// `deploy`
pub(super) async fn deploy(context: &Context, args: &Deploy) -> Result<(), Failure> {
    let out = &context.out;
    let project = Project::open(&args.dir)?;
    let client = context.client()?;
    if !args.no_build {
        project.build(out).await?;
    }
    if args.propose {
        return super::policy::propose_deploy(&client, &project, out).await;
    }
    let result = ship(&client, &project, out, args.accept_widening).await?;
    out.answer(&result, |result| describe(out, result));
    Ok(())
}

/// Uploads a project's component and makes a revision of it.
///
/// # Errors
/// If the component cannot be read, or the node refuses it.
pub(crate) async fn ship(
    client: &Client,
    project: &Project,
    out: &Output,
    accept_widening: bool,
) -> Result<DeployResult, Failure> {
    let component = upload(client, project, out).await?;
    let _progress = out.spinner("checking and compiling");
    let request = DeployRequest { manifest: project.text.clone(), component, accept_widening };
    client.deploy(&project.manifest.name, &request).await
}

/// Uploads a project's component; the answer is its digest.
pub(super) async fn upload(client: &Client, project: &Project, out: &Output) -> Result<Digest, Failure> {
    let component = project.component()?;
    let progress = out.transfer("uploading", component.bytes.len() as u64);
    client.put_component(component.digest, component.bytes, progress.teller()).await?;
    drop(progress);
    Ok(component.digest)
}

fn describe(out: &Output, result: &DeployResult) -> String {
    let before = result.previous.map_or_else(|| "first".to_owned(), |r| format!("was {r}"));
    let compiled = if result.compile_ms == 0 {
        "compiled before".into()
    } else {
        format!("compiled in {} ms", result.compile_ms)
    };
    let mut text = out.fields(&[
        ("url", out.paint(Ink::Strong, &result.urls.join("\n"))),
        ("revision", format!("{} ({before}, {compiled})", result.revision)),
        ("capabilities", capabilities(&result.grants)),
        ("policy", policies(&result.policy)),
    ]);
    for warning in &result.warnings {
        text.push_str(&format!("\n{} {warning}", out.paint(Ink::Warn, "warning:")));
    }
    text
}

/// Grants for people, one a line; what is closed stands at the end.
pub(super) fn capabilities(grants: &Grants) -> String {
    let mut lines: Vec<String> = grants
        .outbound
        .iter()
        .map(|grant| {
            let methods =
                if grant.methods.is_empty() { "GET, HEAD".to_owned() } else { grant.methods.join(", ") };
            format!("call {} ({methods})", grant.url)
        })
        .collect();
    if lines.is_empty() {
        lines.push("none".to_owned());
    }
    if !grants.closed.is_empty() {
        lines.push(format!("closed: {} interfaces that the component imports", grants.closed.len()));
    }
    lines.join("\n")
}

/// The policies that decide calls of a function: its own and its tenant's in full, those of the platform by
/// name. Each begins with a comment that has its layer and name.
pub(super) fn policies(text: &str) -> String {
    let mut own: Vec<&str> = Vec::new();
    let (mut guards, mut roles) = (Vec::new(), Vec::new());
    let mut shown = true;
    for line in text.trim().lines() {
        if let Some(names) = line.strip_prefix("// shipped with the node: ") {
            let shipped = names.split(", ").filter_map(|id| id.split_once('/'));
            for (layer, name) in shipped {
                if layer == "guard" { guards.push(name) } else { roles.push(name) }
            }
            continue;
        }
        let id = line.strip_prefix("// ").and_then(|id| id.split_once('/'));
        match id {
            Some(("guard", name)) => guards.push(name),
            Some(("role", name)) => roles.push(name),
            _ => {}
        }
        if let Some((layer, _)) = id {
            shown = !matches!(layer, "guard" | "role");
        }
        if shown {
            own.push(line);
        }
    }
    let mut said = own.join("\n").trim().to_owned();
    if said.is_empty() {
        said.push_str("none of its own");
    }
    for (layer, names) in [("guards", guards), ("roles", roles)] {
        if !names.is_empty() {
            said.push_str(&format!("\n{layer}: {}", names.join(", ")));
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_policies_are_shown_and_the_platforms_named() {
        let check = |text: &str, expect: &str| assert_eq!(policies(text), expect);
        check("", "none of its own");
        check(
            "// guard/scope\nforbid (a);\n\n// role/owner\npermit (b);\n",
            "none of its own\nguards: scope\nroles: owner",
        );
        check(
            "// guard/scope\nforbid (a);\n\n// function/1\npermit (b)\nwhen { c };\n",
            "// function/1\npermit (b)\nwhen { c };\nguards: scope",
        );
        check("permit (a);", "permit (a);");
        check(
            "// shipped with the node: guard/scope, role/owner\n\n// function/1\npermit (b);",
            "// function/1\npermit (b);\nguards: scope\nroles: owner",
        );
    }
}
