//! `cargo xtask dist`: the executable as it ships. It never uploads anything.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result, bail};

use crate::bench;

/// Builds, packs and names by digest.
pub fn run(root: &Path) -> Result<()> {
    let built = bench::build(root)?;
    let out = root.join("target/dist-out");
    let host = host()?;
    let name = format!("casemate-{}-{host}", env!("CARGO_PKG_VERSION"));
    let folder = out.join(&name);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    fs::copy(&built, folder.join("casemate"))?;
    for text in ["LICENSE", "README.md", "SECURITY.md", "CHANGELOG.md"] {
        fs::copy(root.join(text), folder.join(text))?;
    }
    let schema = Command::new(&built).args(["manifest", "schema"]).output()?;
    if !schema.status.success() {
        bail!("`casemate manifest schema` failed");
    }
    fs::write(folder.join("casemate.schema.json"), schema.stdout)?;
    let archive = out.join(format!("{name}.tar.gz"));
    let fixed = ["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner"];
    let packed =
        Command::new("tar").args(fixed).arg("-C").arg(&out).arg("-czf").arg(&archive).arg(&name).status();
    if !packed.context("tar")?.success() {
        bail!("tar failed");
    }
    let digest = Command::new("sha256sum").arg(&archive).output().context("sha256sum")?;
    fs::write(out.join(format!("{name}.tar.gz.sha256")), &digest.stdout)?;
    println!("{}", String::from_utf8_lossy(&digest.stdout).trim());
    Ok(())
}

fn host() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("rustc")?;
    let text = String::from_utf8(output.stdout)?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    Ok(host.to_owned())
}
