//! `demo`: a node, functions, calls that work and attacks that do not, in one process and one table. It never
//! lets a row pass whose answer or whose record is not as it must be.

mod guests;
mod issuer;
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
    let over = Overrides {
        data: Some(folder.path().join("data")),
        listen: Some(any),
        control: Some(any),
        ..Overrides::default()
    };
    let around = Surroundings {
        base: folder.path().to_owned(),
        data: folder.path().to_owned(),
        cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
    };
    // The tour's own issuer of access tokens is on this machine: no function of the tour may go there.
    let here = "[egress]\nallow = [\"127.0.0.0/8\"]\n";
    let config = Config::parse(here, &over, &around).map_err(|e| Failure::new(Exit::Invalid, e))?;

    let progress = out.spinner("starting a node");
    let mut node = Node::start_with(&config, prover).await?;
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

/// The solver that any node finds, else the one that `cargo xtask test` has made.
fn prover() -> Option<platform::Prover> {
    let built = || guests::target_folders().into_iter().map(|folder| folder.join("tools/cvc5/bin/cvc5-smt"));
    platform::Prover::find().or_else(|| built().find_map(|solver| platform::Prover::new(&solver).ok()))
}

fn describe(out: &Output, show: &Show, walls: &(Vec<&str>, Vec<&str>)) -> String {
    let row = |(index, row): (usize, &Row)| {
        let (ink, mark) = match row.state {
            State::Good => (Ink::Good, "✓"),
            State::Bad => (Ink::Bad, "✗"),
            State::Skipped => (Ink::Faint, "–"),
        };
        let got = if row.state == State::Bad { out.paint(Ink::Bad, &row.got) } else { row.got.clone() };
        let number = format!("{:>2}", index + 1);
        vec![
            out.paint(ink, mark),
            out.paint(Ink::Faint, &number),
            row.what.clone(),
            row.expect.clone(),
            got,
            out.paint(Ink::Faint, &row.record),
        ]
    };
    let rows: Vec<Vec<String>> = show.rows.iter().enumerate().map(row).collect();
    let mut text = out.table(&["", "", "TRIED", "EXPECTED", "GOT", "RECORD"], &rows);
    for note in show.notes.values() {
        text.push_str(&format!("\n\n{}", wrap(note)));
    }
    let (standing, missing) = walls;
    let walls = format!("walls around every worker: {}", standing.join(", "));
    text.push_str(&format!("\n\n{}", wrap(&walls)));
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

/// Breaks lines at spaces, so that each has at most [`COLUMNS`]; what follows is indented.
fn wrap(text: &str) -> String {
    let mut lines = Vec::new();
    for line in text.lines() {
        let mut rest = line.to_owned();
        while let Some((head, tail)) = cut(&rest) {
            lines.push(head);
            rest = format!("  {tail}");
        }
        lines.push(rest);
    }
    lines.join("\n")
}

/// The longest beginning that fits and ends before a space, and what comes after it.
fn cut(line: &str) -> Option<(String, String)> {
    let (end, _) = line.char_indices().nth(COLUMNS)?;
    let at = line.get(..=end)?.rfind(' ').filter(|at| *at > 2)?;
    Some((line.get(..at)?.to_owned(), line.get(at + 1..)?.trim_start().to_owned()))
}

/// The width that everything fits in.
const COLUMNS: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_break_at_spaces() {
        let text = "word ".repeat(60);
        let wrapped = wrap(text.trim());
        assert!(wrapped.lines().all(|line| line.chars().count() <= COLUMNS), "{wrapped}");
        assert_eq!(wrapped.split_whitespace().count(), 60);
        assert!(wrapped.lines().skip(1).all(|line| line.starts_with("  w")));
        assert_eq!(wrap("a\n  b"), "a\n  b");
        assert_eq!(wrap(&"é".repeat(250)), "é".repeat(250), "what cannot break does not");
    }
}
