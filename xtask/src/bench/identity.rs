//! Proving a caller: an access token at first and when it was proved before, and an API token. It measures the room
//! alone, without a node.

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{Bench, report::Report};

/// The figures.
pub(super) fn run(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let mut proving = crate::test::cargo(&bench.tools.root);
    proving.args(["run", "--quiet", "--release", "-p", "identity", "--example", "proving"]);
    let done = proving.output()?;
    if !done.status.success() {
        bail!("{}", String::from_utf8_lossy(&done.stderr));
    }
    let figures: Value = serde_json::from_slice(&done.stdout).context("no line of JSON")?;
    for (name, value) in figures.as_object().into_iter().flatten() {
        report.figure(name, value.as_f64().unwrap_or(f64::NAN));
    }
    Ok(())
}
