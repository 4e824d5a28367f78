//! The crash tests in their long form: every test whose source looks at `CASEMATE_LONG`. It never judges them: they
//! do.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Instant,
};

use anyhow::{Context, Result};

use crate::test::cargo;

/// The environment variable by which tests are asked for their long form.
const LONG: &str = "CASEMATE_LONG";

/// One of them, and how it ended.
pub struct Crash {
    /// Its package, and its target or module.
    pub what: String,
    /// What its first lines say of it.
    pub about: String,
    /// Whether it was asked for its long form.
    pub long: bool,
    /// How it ended.
    pub passed: bool,
    /// How many passed.
    pub tests: usize,
    /// How long it took.
    pub seconds: u64,
}

/// Where tests are, as cargo is told.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Clone)]
struct Target {
    package: String,
    /// Of a test target; else it is a module of the library.
    is_target: bool,
    name: String,
    about: String,
}

/// Runs each to its end.
pub fn run(root: &Path, long: bool) -> Result<Vec<Crash>> {
    find(&root.join("crates"))?.iter().map(|target| one(root, target, long)).collect()
}

/// Every test target, and every module of a library's tests, that has a long form.
fn find(crates: &Path) -> Result<Vec<Target>> {
    let mut found = Vec::new();
    for file in sources(crates)? {
        let text = fs::read_to_string(&file)?;
        if !text.contains(LONG) {
            continue;
        }
        let inside = file.strip_prefix(crates)?.to_owned();
        let mut parts = inside.iter().filter_map(|part| part.to_str());
        let (Some(package), Some(folder), Some(next)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let is_target = folder == "tests";
        let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let name = if is_target { next.trim_end_matches(".rs") } else { stem };
        let about = about(&text);
        found.push(Target { package: package.to_owned(), is_target, name: name.to_owned(), about });
    }
    found.sort();
    found.dedup_by(|a, b| (&a.package, &a.name, a.is_target) == (&b.package, &b.name, b.is_target));
    Ok(found)
}

/// The first sentence of a file.
fn about(text: &str) -> String {
    let lines = text.lines().take_while(|line| line.starts_with("//!"));
    let words = lines.map(|line| line.trim_start_matches("//!").trim()).collect::<Vec<_>>().join(" ");
    words.split(". ").next().unwrap_or_default().trim_end_matches('.').to_owned()
}

fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(sources(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(files)
}

fn one(root: &Path, target: &Target, long: bool) -> Result<Crash> {
    let what = format!("{} {}", target.package, target.name);
    println!("── {what}");
    let started = Instant::now();
    let mut command = cargo(root);
    command.args(["test", "--release", "--workspace", "--quiet"]);
    if target.is_target {
        command.args(["--test", &target.name]);
    } else {
        command.args(["--lib", "--", &format!("{}::", target.name)]);
    }
    if long {
        command.env(LONG, "1");
    }
    let output = command.stderr(Stdio::inherit()).output().context("cargo test")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let tests = passed(&said);
    let passed = output.status.success() && tests > 0;
    if !passed {
        println!("{said}");
    }
    let seconds = started.elapsed().as_secs();
    println!("   {tests} tests, {seconds} s: {}", if passed { "passed" } else { "failed" });
    Ok(Crash { what, about: target.about.clone(), long, passed, tests, seconds })
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
    use std::fs;

    #[test]
    fn passes_are_counted_over_targets() {
        let said = "\nrunning 2 tests\n..\ntest result: ok. 2 passed; 0 failed; 0 ignored\n\nrunning 0 tests\n\
                    test result: ok. 0 passed; 0 failed\ntest result: FAILED. 3 passed; 1 failed\n";
        assert_eq!(super::passed(said), 5);
        assert_eq!(super::passed(""), 0);
    }

    #[test]
    fn long_forms_are_found_by_their_source() {
        let crates = std::env::temp_dir().join(format!("casemate-long-{}", std::process::id()));
        for (path, text) in [
            ("store/tests/killed/main.rs", "//! Kills a store. It never\n//! waits.\n\"CASEMATE_LONG\""),
            ("store/tests/killed/load.rs", "\"CASEMATE_LONG\""),
            ("store/src/tests/faults.rs", "//! Faults.\n// CASEMATE_LONG"),
            ("cell/tests/death.rs", "CASEMATE_LONG"),
            ("cell/tests/walls.rs", "short"),
        ] {
            let path = crates.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let found = super::find(&crates).unwrap();
        fs::remove_dir_all(&crates).unwrap();
        let names: Vec<_> =
            found.iter().map(|t| (t.package.as_str(), t.is_target, t.name.as_str())).collect();
        assert_eq!(names, [("cell", true, "death"), ("store", false, "faults"), ("store", true, "killed")]);
        assert_eq!(super::about("//! Kills a store. It never\n//! waits.\ncode"), "Kills a store");
    }
}
