//! `manifest`, `config` and `completions`: what needs no node. It never opens a connection.

use std::str::FromStr;

use clap_complete::generate;
use model::Manifest;

use super::{Context, up::read_config};
use crate::{
    cli,
    config::{Config, Overrides},
    events,
    exit::{Exit, Failure},
    output::Ink,
    project::Project,
};

/// `manifest …`
pub(super) fn manifest(context: &Context, args: cli::Manifest) -> Result<(), Failure> {
    let out = &context.out;
    match args {
        cli::Manifest::Check(args) => {
            let project = Project::open(&args.dir)?;
            let (manifest, tenant) = (&project.manifest, model::TenantId::from_str("default"));
            if let Ok(tenant) = tenant {
                policy::check_access(&tenant, &manifest.name, &manifest.access).map_err(|errors| {
                    Failure::new(Exit::Invalid, format!("`access.policy`: {errors}"))
                        .next("lines are counted from the beginning of the policy's text")
                })?;
            }
            out.answer(&project.manifest, |manifest| {
                let routes: Vec<&str> = manifest.routes.iter().map(|route| route.path.as_str()).collect();
                format!("{} {} · {}", manifest.name, out.paint(Ink::Good, "holds"), routes.join(" · "))
            });
        }
        cli::Manifest::Schema => out.json(&Manifest::json_schema()),
    }
    Ok(())
}

/// `config …`
pub(super) fn config(context: &Context, args: cli::Config) -> Result<(), Failure> {
    let out = &context.out;
    match args {
        cli::Config::Check { file } => {
            let config = read_config(Some(&file), &Overrides::default())?;
            events::check_files(&config)?;
            out.answer(&config, |config| {
                let text = toml::to_string_pretty(config).unwrap_or_default();
                let mut said = format!("{} {}\n\n{text}", file.display(), out.paint(Ink::Good, "holds"));
                for warning in config.dangerous.warnings() {
                    said.push_str(&format!("\n{} {warning}", out.paint(Ink::Warn, "warning:")));
                }
                said
            });
        }
        cli::Config::Schema => out.json(&Config::json_schema()),
    }
    Ok(())
}

/// `completions`
pub(super) fn completions(
    context: &Context,
    args: &cli::Completions,
    mut command: clap::Command,
) -> Result<(), Failure> {
    let mut script = Vec::new();
    generate(args.shell, &mut command, "casemate", &mut script);
    let script = String::from_utf8_lossy(&script);
    let answer = serde_json::json!({ "shell": args.shell.to_string(), "script": script });
    context.out.answer(&answer, |_| script.into_owned());
    Ok(())
}
