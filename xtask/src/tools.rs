//! Tools that tests want and the system need not have, fetched into `target/tools`, once. Without them tests say what
//! they skip.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Result, ensure};

/// The solver as `cedar-policy-symcc` names it.
const CVC5: &str = "cvc5==1.3.1";
/// The schema of events, as its project publishes it, and what holds JSON to it.
const OCSF: [&str; 2] = ["ocsf-json-schema==1.2.0", "jsonschema==4.25.1"];
/// What reads the events.
const OCSF_CHECK: &str = include_str!("tools/ocsf.py");
/// The OpenID provider.
const OIDC_PROVIDER: &str = "oidc-provider@9.13.3";
/// What makes an executable of its bindings.
const SOLVER: &str = include_str!("tools/solver.py");

/// Where the solver is: the one that `CVC5` or the `PATH` names, or one of our own, made of what PyPI carries.
pub fn cvc5(root: &Path) -> Result<PathBuf> {
    let named = std::env::var_os("CVC5").filter(|name| !name.is_empty()).unwrap_or_else(|| "cvc5".into());
    if Command::new(&named).arg("--version").output().is_ok_and(|output| output.status.success()) {
        return Ok(named.into());
    }
    let tools = root.join("target/tools/cvc5");
    let solver = tools.join("bin/cvc5-smt");
    if !solver.exists() {
        of_python(&tools, &[CVC5], SOLVER, &solver)?;
    }
    Ok(solver)
}

/// Where the program is that holds events to their schema.
pub fn ocsf(root: &Path) -> Result<PathBuf> {
    let tools = root.join("target/tools/ocsf");
    let check = tools.join("bin/ocsf-check");
    if !check.exists() {
        of_python(&tools, &OCSF, OCSF_CHECK, &check)?;
    }
    Ok(check)
}

/// A program of a script and what it needs of PyPI, in a folder of its own.
fn of_python(tools: &Path, packages: &[&str], script: &str, program: &Path) -> Result<()> {
    run(Command::new("python3").args(["-m", "venv"]).arg(tools))?;
    run(Command::new(tools.join("bin/pip")).args(["install", "--quiet"]).args(packages))?;
    let (path, python) = (tools.join("script.py"), tools.join("bin/python"));
    fs::write(&path, script)?;
    let text = format!("#!/bin/sh\nexec '{}' '{}' \"$@\"\n", python.display(), path.display());
    fs::write(program, text)?;
    fs::set_permissions(program, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// Where the OpenID provider is that people of the tests log in at: npm's `oidc-provider`, certified.
pub fn oidc_provider(root: &Path) -> Result<PathBuf> {
    let tools = root.join("target/tools/oidc");
    let module = tools.join("node_modules/oidc-provider/lib/index.js");
    if !module.exists() {
        fs::create_dir_all(&tools)?;
        fs::write(tools.join("package.json"), "{\"private\":true}\n")?;
        let install = ["install", "--no-audit", "--no-fund", "--silent", "--ignore-scripts", OIDC_PROVIDER];
        run(Command::new("npm").current_dir(&tools).args(install))?;
    }
    Ok(module)
}

/// Debian's programs that tests want, each by the package that has it: of TLS a certificate authority and a scanner, of
/// attacks a scanner for holes in SQL and a client that is slow on purpose.
const OF_DEBIAN: [(&str, &str); 5] = [
    ("pebble", "pebble"),
    ("pebble-challtestsrv", "pebble"),
    ("testssl", "testssl.sh"),
    ("sqlmap", "sqlmap"),
    ("slowhttptest", "slowhttptest"),
];

/// Installs what of [`OF_DEBIAN`] is not there, where this is Debian and its superuser asks.
pub fn of_debian() -> Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |name: &str| std::env::split_paths(&path).any(|folder| folder.join(name).exists());
    let mut wanted: Vec<_> =
        OF_DEBIAN.iter().filter(|(name, _)| !is_there(name)).map(|(_, of)| *of).collect();
    wanted.dedup();
    if wanted.is_empty() {
        return Ok(());
    }
    let apt = || {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").args(["-qq", "-o", "APT::Get::List-Cleanup=0"]);
        command.stdout(Stdio::null());
        command
    };
    run(apt().arg("update"))?;
    run(apt().args(["install", "-y", "--no-install-recommends"]).args(wanted))
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status()?;
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(())
}
