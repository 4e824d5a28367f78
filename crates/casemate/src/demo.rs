//! `demo`: a node, functions, calls that work and attacks that do not, in one process and one table. It never
//! lets a row pass whose answer or whose record is not as it must be.

mod guests;
mod tour;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    commands::Context,
    config::{Config, Overrides, Surroundings},
    exit::{Exit, Failure},
    node::Node,
    output::{Ink, Output},
};

/// One thing that was tried.
#[derive(Debug, Clone, Serialize)]
struct Row {
    /// What was tried.
    what: String,
    /// What must come of it.
    expect: String,
    /// What came of it.
    got: String,
    /// What the record says of it.
    record: String,
    /// Whether all is as it must be.
    state: State,
}

/// How a row came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    /// As it must be.
    Good,
    /// Not as it must be.
    Bad,
    /// Not tried: the toolchain is not there.
    Skipped,
}

/// What the tour has to show.
#[derive(Debug, Default, Serialize)]
struct Show {
    rows: Vec<Row>,
    /// What is worth a word below the table, by the row that it belongs to.
    notes: BTreeMap<usize, String>,
}

/// `demo`
///
/// # Errors
/// If the node does not start, or a row is not as it must be.
pub(crate) async fn demo(context: &Context) -> Result<(), Failure> {
    let out = &context.out;
    let folder = tempfile::Builder::new().prefix("casemate-demo-").tempdir();
    let folder = folder.map_err(|e| Failure::new(Exit::Failed, format!("cannot make a folder: {e}")))?;
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let over = Overrides { data: Some(folder.path().join("data")), listen: Some(any), control: Some(any) };
    let around = Surroundings {
        base: folder.path().to_owned(),
        data: folder.path().to_owned(),
        cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
    };
    let config = Config::parse("", &over, &around).map_err(|e| Failure::new(Exit::Invalid, e))?;

    let progress = out.spinner("starting a node");
    let mut node = Node::start(&config).await?;
    drop(progress);
    let shown = tour::walk(out, &mut node).await;
    let progress = out.spinner("stopping the node");
    let walls = node.walls();
    node.stop().await;
    drop(progress);
    let show = shown?;
    if out.is_json() {
        out.json(&show);
    } else {
        out.say(describe(out, &show, &walls));
    }
    let bad = show.rows.iter().filter(|row| row.state == State::Bad).count();
    if bad == 0 {
        return Ok(());
    }
    Err(Failure::new(Exit::Failed, format!("{bad} of {} rows are not as they must be", show.rows.len()))
        .next("run it again with `--output json`, and report what it says"))
}

fn describe(out: &Output, show: &Show, walls: &(Vec<&str>, Vec<&str>)) -> String {
    let row = |row: &Row| {
        let (ink, mark) = match row.state {
            State::Good => (Ink::Good, "✓"),
            State::Bad => (Ink::Bad, "✗"),
            State::Skipped => (Ink::Faint, "–"),
        };
        let got = if row.state == State::Bad { out.paint(Ink::Bad, &row.got) } else { row.got.clone() };
        vec![
            out.paint(ink, mark),
            row.what.clone(),
            row.expect.clone(),
            got,
            out.paint(Ink::Faint, &row.record),
        ]
    };
    let rows: Vec<Vec<String>> = show.rows.iter().map(row).collect();
    let mut text = out.table(&["", "TRIED", "EXPECTED", "GOT", "RECORD"], &rows);
    for note in show.notes.values() {
        text.push_str(&format!("\n\n{note}"));
    }
    let (standing, missing) = walls;
    text.push_str(&format!("\n\nwalls around every worker: {}", standing.join(", ")));
    if !missing.is_empty() {
        text.push_str(&format!(
            "\n{} {}",
            out.paint(Ink::Warn, "withheld by this kernel:"),
            missing.join(", ")
        ));
    }
    let count = |state| show.rows.iter().filter(|row| row.state == state).count();
    let verdict = match (count(State::Bad), count(State::Skipped)) {
        (0, 0) => out.paint(Ink::Good, "all as it must be"),
        (0, skipped) => format!("{}, {skipped} skipped", out.paint(Ink::Good, "all as it must be")),
        (bad, _) => out.paint(Ink::Bad, &format!("{bad} not as it must be")),
    };
    text.push_str(&format!("\n{} rows: {verdict}", show.rows.len()));
    text
}
