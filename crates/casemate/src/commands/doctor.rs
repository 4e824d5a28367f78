//! `doctor`: how this machine's walls stand, and how the node stands. It never changes anything.

use std::{fs, process::Stdio};

use cell::Walls;
use gateway::api::{Check, CheckState, NodeReport};
use serde::Serialize;
use tokio::process::Command;

use super::Context;
use crate::{
    child, descriptors,
    exit::{Exit, Failure},
    output::{Ink, Output},
};

/// All that was looked at.
#[derive(Debug, Serialize)]
struct Report {
    version: &'static str,
    machine: Vec<Check>,
    node: Option<NodeReport>,
    /// Why there is no report of the node.
    node_error: Option<String>,
}

/// `doctor`
pub(super) async fn doctor(context: &Context) -> Result<(), Failure> {
    let out = &context.out;
    let mut machine = vec![kernel(), open_files(descriptors::most())];
    machine.extend(walls().await?);
    let asked = match context.client() {
        Ok(client) => client.node().await,
        Err(failure) => Err(failure),
    };
    let (node, node_error) = match asked {
        Ok(node) => (Some(node), None),
        Err(failure) => (None, Some(failure.message)),
    };
    let report = Report { version: env!("CARGO_PKG_VERSION"), machine, node, node_error };
    out.answer(&report, |report| describe(out, report));
    let checks = report.machine.iter().chain(report.node.iter().flat_map(|node| &node.checks));
    let failed: Vec<&str> =
        checks.filter(|check| check.state == CheckState::Failed).map(|check| check.name.as_str()).collect();
    if failed.is_empty() {
        return Ok(());
    }
    Err(Failure::new(Exit::Failed, format!("not as it must be: {}", failed.join(", "))))
}

fn kernel() -> Check {
    let read = |name: &str| fs::read_to_string(format!("/proc/sys/kernel/{name}")).unwrap_or_default();
    let detail = format!("{} {}", read("ostype").trim(), read("osrelease").trim());
    Check { name: "kernel".into(), state: CheckState::Ok, detail }
}

/// A node raises its own bound as far as this.
fn open_files(most: u64) -> Check {
    let wanted = descriptors::WANTED;
    let (state, detail) = if most >= wanted {
        (CheckState::Ok, format!("up to {most} (RLIMIT_NOFILE); a full node wants {wanted}"))
    } else {
        let advice = "raise the hard limit: `ulimit -Hn`, or `LimitNOFILE=` of systemd";
        (CheckState::Warning, format!("up to {most}, and a full node wants {wanted}: {advice}"))
    };
    Check { name: "open-files".into(), state, detail }
}

/// Lets a child raise every wall around itself and say which of them stand.
async fn walls() -> Result<Vec<Check>, Failure> {
    let failed = |why: String| Failure::new(Exit::Failed, format!("cannot try the walls: {why}"));
    let program = std::env::current_exe().map_err(|e| failed(e.to_string()))?;
    let ran = Command::new(program)
        .arg(child::WALLS)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|e| failed(e.to_string()))?;
    let said = String::from_utf8_lossy(&ran.stderr);
    let bits = said.trim().strip_prefix(child::WALLS).and_then(|rest| rest.trim().parse().ok());
    let Some(bits) = bits else { return Err(failed(format!("the child said `{}`", said.trim()))) };
    Ok(Walls::ALL.iter().map(|(wall, name)| wall_check(Walls(bits), *wall, name)).collect())
}

fn wall_check(standing: Walls, wall: Walls, name: &str) -> Check {
    let (state, detail) = if standing.has(wall) {
        (CheckState::Ok, "stands".to_owned())
    } else if Walls::REQUIRED.has(wall) {
        (CheckState::Failed, format!("a node does not start without it: {}", advice(wall)))
    } else {
        (CheckState::Warning, format!("missing: {}", advice(wall)))
    };
    Check { name: format!("wall:{name}"), state, detail }
}

fn advice(wall: Walls) -> &'static str {
    match wall {
        Walls::LANDLOCK => "wants Linux 5.13 or newer with `landlock` in the kernel's `lsm=` list",
        Walls::SECCOMP => "wants a kernel with CONFIG_SECCOMP_FILTER",
        Walls::USER_NS | Walls::NET_NS | Walls::MOUNT_NS | Walls::PID_NS => {
            "allow unprivileged user namespaces (`sysctl user.max_user_namespaces`, and on Ubuntu \
             `kernel.apparmor_restrict_unprivileged_userns=0`); containers often withhold them"
        }
        _ => "this kernel is older than any that Casemate was tried on",
    }
}

fn describe(out: &Output, report: &Report) -> String {
    let mut text = format!("casemate {}\n\n{}", report.version, table(out, "MACHINE", &report.machine));
    if let Some(error) = &report.node_error {
        text.push_str(&format!("\n\n{} {error}", out.paint(Ink::Warn, "no word from a node:")));
    }
    if let Some(node) = &report.node {
        text.push_str(&format!("\n\n{}", table(out, "NODE", &node.checks)));
        let dangerous = if node.dangerous.is_empty() { "none".into() } else { node.dangerous.join(", ") };
        let restarts = format!("{} ready, {} replaced since the start", node.workers, node.worker_restarts);
        let counts =
            format!("{} tenants, {} functions, {} records", node.tenants, node.functions, node.records);
        text.push_str("\n\n");
        text.push_str(&out.fields(&[
            ("version", node.version.clone()),
            ("engine", node.engine.clone()),
            ("store", node.store.clone()),
            ("started", node.started_at.to_string()),
            ("workers", restarts),
            ("holds", counts),
            ("dangerous", dangerous),
        ]));
    }
    text
}

fn table(out: &Output, title: &str, checks: &[Check]) -> String {
    let row = |check: &Check| {
        let (ink, word) = match check.state {
            CheckState::Ok => (Ink::Good, "ok"),
            CheckState::Warning => (Ink::Warn, "warning"),
            CheckState::Failed => (Ink::Bad, "failed"),
        };
        vec![check.name.clone(), out.paint(ink, word), check.detail.clone()]
    };
    let rows: Vec<Vec<String>> = checks.iter().map(row).collect();
    out.table(&[title, "STATE", "DETAIL"], &rows)
}
