//! The crash tests in their long form: `CASEMATE_LONG=1` and everything that is ignored for taking long. It never
//! judges them: they do.

use std::{path::Path, process::Stdio, time::Instant};

use anyhow::{Context, Result};

use crate::test::cargo;

/// What, the test target, and the filter of its tests.
const CRASHES: &[(&str, &str, &str)] = &[
    ("`kill -9` of a store under a mixed load, with an oracle", "store", "kill"),
    ("`kill -9` of a node in deploys and token changes", "casemate", "kill"),
    ("deaths of workers under load", "cell", "death"),
];

/// One of them, and how it ended.
pub struct Crash {
    pub what: String,
    pub long: bool,
    pub passed: bool,
    pub tests: usize,
    pub seconds: u64,
}

/// Runs each to its end.
pub fn run(root: &Path, long: bool) -> Result<Vec<Crash>> {
    CRASHES.iter().map(|(what, package, filter)| one(root, what, package, filter, long)).collect()
}

fn one(root: &Path, what: &str, package: &str, filter: &str, long: bool) -> Result<Crash> {
    println!("── {what}");
    let started = Instant::now();
    let mut command = cargo(root);
    command.args(["test", "--release", "--workspace", "--quiet"]);
    command.args(["--", "--include-ignored", filter]).stderr(Stdio::inherit());
    if long {
        command.env("CASEMATE_LONG", "1");
    }
    let output = command.output().with_context(|| package.to_owned())?;
    let said = String::from_utf8_lossy(&output.stdout);
    let tests = passed(&said);
    let passed = output.status.success() && tests > 0;
    if !passed {
        println!("{said}");
    }
    let seconds = started.elapsed().as_secs();
    println!("   {tests} tests, {seconds} s: {}", if passed { "passed" } else { "failed" });
    Ok(Crash { what: what.to_owned(), long, passed, tests, seconds })
}

/// Tests that passed, over all targets.
fn passed(said: &str) -> usize {
    let lines = said.lines().filter_map(|line| line.trim().strip_prefix("test result: "));
    let counts = lines.filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let at = words.iter().position(|word| *word == "passed;")?;
        words.get(at.checked_sub(1)?)?.parse::<usize>().ok()
    });
    counts.sum()
}

#[cfg(test)]
mod tests {
    #[test]
    fn passes_are_counted_over_targets() {
        let said = "\nrunning 2 tests\n..\ntest result: ok. 2 passed; 0 failed; 0 ignored\n\nrunning 0 tests\n\
                    test result: ok. 0 passed; 0 failed\ntest result: FAILED. 3 passed; 1 failed\n";
        assert_eq!(super::passed(said), 5);
        assert_eq!(super::passed(""), 0);
    }
}
