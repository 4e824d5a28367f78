//! `cargo xtask test`: everything that must hold before a change lands. It never measures speed.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context, Result, bail};

/// cargo-deny as the rules in `deny.toml` were written for it.
const CARGO_DENY: &str = "0.20.2";

/// Runs each step in turn and stops at the first that fails.
pub fn run(root: &Path, fast: bool) -> Result<()> {
    let started = Instant::now();
    step("format", cargo(root).args(["fmt", "--all", "--check"]))?;
    say("tidy");
    crate::tidy::run(root)?;
    deny(root)?;
    let clippy = ["clippy", "--quiet", "--workspace", "--all-targets", "--release", "--", "-D", "warnings"];
    step("clippy", cargo(root).args(clippy))?;
    if !fast {
        say("guests");
        crate::guests::for_tests(root)?;
        say("cvc5");
        if let Err(error) = crate::tools::cvc5(root) {
            println!("   skipped: {error:#}");
        }
        say("ocsf-json-schema");
        if let Err(error) = crate::tools::ocsf(root) {
            println!("   skipped: {error:#}");
        }
        say("pebble, testssl, sqlmap, slowhttptest");
        if let Err(error) = crate::tools::of_debian() {
            println!("   skipped: {error:#}");
        }
        say("oidc-provider");
        if let Err(error) = crate::tools::oidc_provider(root) {
            println!("   skipped: {error:#}");
        }
    }
    step("build", cargo(root).args(["build", "--release", "--workspace", "--all-targets"]))?;
    step("tests", cargo(root).args(["test", "--release", "--workspace", "--no-fail-fast"]))?;
    // What was built, not `cargo run`: a package alone has other features, and half the tree would be built again.
    step("demo", Command::new(root.join("target/release/casemate")).arg("demo"))?;
    say(&format!("all passed in {} s", started.elapsed().as_secs()));
    Ok(())
}

/// Bans, licences and sources, from the lock file alone.
fn deny(root: &Path) -> Result<()> {
    let tool = deny_tool(root)?;
    // All that the lock file names, those of other systems too: the rules are about all of it.
    step("fetch", cargo(root).args(["fetch", "--quiet"]))?;
    let mut command = Command::new(tool);
    command.current_dir(root).args(["--offline", "--log-level", "error", "--workspace", "check"]);
    step("deny", command.args(["bans", "licenses", "sources"]))
}

fn deny_tool(root: &Path) -> Result<PathBuf> {
    let installed = Command::new("cargo-deny").arg("--version").output();
    if installed.is_ok_and(|output| output.status.success()) {
        return Ok("cargo-deny".into());
    }
    let tools = root.join("target/tools");
    let tool = tools.join("bin/cargo-deny");
    if !tool.exists() {
        let version = ["install", "--quiet", "--locked", "--debug", "cargo-deny", "--version", CARGO_DENY];
        let mut command = cargo(root);
        command.args(version).arg("--root").arg(&tools).env("CARGO_TARGET_DIR", tools.join("build"));
        step("install cargo-deny", &mut command)?;
    }
    Ok(tool)
}

/// The cargo that runs us, in the workspace's folder.
pub fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    command
}

/// Runs a command to its end, says how long it took, and fails if it did.
pub fn step(name: &str, command: &mut Command) -> Result<()> {
    say(name);
    let started = Instant::now();
    let status = command.status().with_context(|| format!("{name}: {command:?} did not start"))?;
    if !status.success() {
        bail!("{name} failed: {command:?} ended with {status}");
    }
    println!("   {name}: {} s", started.elapsed().as_secs());
    Ok(())
}

fn say(what: &str) {
    println!("── {what}");
}
