//! `cargo xtask tidy`: the rules of the house that no compiler checks. It never changes a file.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// `tidy.toml`: the floors, the owners, the words, and the list of exceptions that only shrinks.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    file_lines_max: usize,
    function_lines_max: usize,
    line_columns_max: usize,
    /// Comments, and lines that hold text.
    prose_columns_max: usize,
    /// Crate → floor.
    floors: BTreeMap<String, u32>,
    /// Heavy dependency → the crates that may name it.
    owners: BTreeMap<String, Vec<String>>,
    /// Word → what to write instead.
    words: BTreeMap<String, String>,
    /// Crates whose first lines say why they hold unsafe code.
    unsafe_crates: Vec<String>,
    #[serde(default)]
    exceptions: Exceptions,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Exceptions {
    file_lines: BTreeMap<String, usize>,
    function_lines: BTreeMap<String, usize>,
}

#[derive(Deserialize)]
struct CrateManifest {
    #[serde(default)]
    dependencies: BTreeMap<String, toml::Value>,
    #[serde(default, rename = "dev-dependencies")]
    dev_dependencies: BTreeMap<String, toml::Value>,
}

/// Checks the tree and fails with every finding.
pub fn run(root: &Path) -> Result<()> {
    let text = fs::read_to_string(root.join("tidy.toml")).context("tidy.toml")?;
    let rules: Rules = toml::from_str(&text).context("tidy.toml")?;
    let mut findings = Vec::new();
    arrows(root, &rules, &mut findings)?;
    let files = tracked(root)?;
    for file in &files {
        let full = root.join(file);
        let Ok(text) = fs::read_to_string(&full) else { continue };
        words(file, &text, &rules, &mut findings);
        if file.ends_with(".rs") {
            source(file, &text, &rules, &mut findings);
        }
    }
    dead_files(root, &files, &mut findings)?;
    if findings.is_empty() {
        println!("   tidy: {} files", files.len());
        return Ok(());
    }
    bail!("tidy:\n  {}", findings.join("\n  "))
}

/// What git tracks, and what it would if it were added.
fn tracked(root: &Path) -> Result<Vec<String>> {
    let list = ["ls-files", "--cached", "--others", "--exclude-standard"];
    let output = Command::new("git").current_dir(root).args(list).output().context("git ls-files")?;
    let mut files: Vec<String> = String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect();
    files.retain(|file| root.join(file).is_file());
    files.sort();
    files.dedup();
    Ok(files)
}

/// Arrows between rooms point down only, and a heavy dependency has one owner.
fn arrows(root: &Path, rules: &Rules, findings: &mut Vec<String>) -> Result<()> {
    for (name, floor) in &rules.floors {
        let path = root.join("crates").join(name).join("Cargo.toml");
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let manifest: CrateManifest = toml::from_str(&text)?;
        for dependency in manifest.dependencies.keys() {
            if rules.floors.get(dependency).is_some_and(|below| below >= floor) {
                findings
                    .push(format!("crates/{name}: must not import `{dependency}`, which is not below it"));
            }
        }
        for dependency in manifest.dependencies.keys().chain(manifest.dev_dependencies.keys()) {
            let owners = rules.owners.get(dependency);
            if owners.is_some_and(|owners| !owners.contains(name)) {
                findings
                    .push(format!("crates/{name}: `{dependency}` belongs to {:?}", rules.owners[dependency]));
            }
        }
        if !text.contains("[lints]\nworkspace = true") && !rules.unsafe_crates.contains(name) {
            findings.push(format!("crates/{name}/Cargo.toml: wants `[lints] workspace = true`"));
        }
    }
    Ok(())
}

fn words(file: &str, text: &str, rules: &Rules, findings: &mut Vec<String>) {
    // Vectors are what others wrote.
    if file == "tidy.toml" || file == "Cargo.lock" || (is_test(file) && file.ends_with(".txt")) {
        return;
    }
    for (number, line) in text.lines().enumerate() {
        for (word, instead) in &rules.words {
            if line.contains(word.as_str()) {
                findings.push(format!("{file}:{}: `{word}`: {instead}", number + 1));
            }
        }
    }
}

fn source(file: &str, text: &str, rules: &Rules, findings: &mut Vec<String>) {
    if file.starts_with("guests/") || file.contains("/templates/") {
        return;
    }
    if !text.starts_with("//!") && !is_test(file) {
        findings.push(format!("{file}: opens with one sentence (`//! …`) that says what it owns"));
    }
    let lines = text.lines().count();
    let most = rules.exceptions.file_lines.get(file).copied().unwrap_or(rules.file_lines_max);
    if lines > most && !is_test(file) {
        findings.push(format!("{file}: {lines} lines, at most {most}"));
    }
    for (number, line) in text.lines().enumerate() {
        let prose = line.trim_start().starts_with("//") || line.contains('"');
        let most = if prose { rules.prose_columns_max } else { rules.line_columns_max };
        if line.chars().count() > most && !line.contains("http") && !is_test(file) {
            findings.push(format!("{file}:{}: longer than {most}", number + 1));
        }
    }
    if !is_test(file) {
        functions(file, text, rules, findings);
    }
}

fn is_test(file: &str) -> bool {
    file.ends_with("tests.rs") || file.contains("/tests/")
}

/// Counts from a line that begins a function to the line that closes it at the same depth.
fn functions(file: &str, text: &str, rules: &Rules, findings: &mut Vec<String>) {
    let lines: Vec<&str> = text.lines().collect();
    for (start, line) in lines.iter().enumerate() {
        let trimmed = line.trim_start();
        let indent = line.len() - trimmed.len();
        let words = trimmed.split_whitespace().take(5).collect::<Vec<_>>();
        let begins = words.iter().position(|w| *w == "fn").is_some_and(|at| {
            words
                .iter()
                .take(at)
                .all(|w| w.starts_with("pub") || ["async", "const", "unsafe", "extern"].contains(w))
        });
        if !begins {
            continue;
        }
        let opens =
            lines.iter().skip(start).find(|l| l.ends_with('{') || l.ends_with(';') || l.ends_with('}'));
        if opens.is_none_or(|l| !l.ends_with('{')) {
            continue;
        }
        let closes = |line: &str| line.len() - line.trim_start().len() == indent && line.trim_start() == "}";
        let Some(length) = lines.iter().skip(start).position(|l| closes(l)).map(|n| n + 1) else { continue };
        let name = trimmed.split("fn ").nth(1).and_then(|t| t.split(['(', '<']).next()).unwrap_or_default();
        let key = format!("{file}:{name}");
        let most = rules.exceptions.function_lines.get(&key).copied().unwrap_or(rules.function_lines_max);
        if length > most {
            findings.push(format!("{file}:{}: `{name}` has {length} lines, at most {most}", start + 1));
        }
    }
}

/// A file of Rust that no `mod` names is dead.
fn dead_files(root: &Path, files: &[String], findings: &mut Vec<String>) -> Result<()> {
    let sources: BTreeSet<&str> = files.iter().filter(|f| f.ends_with(".rs")).map(String::as_str).collect();
    for file in &sources {
        let in_src = file.contains("/src/") && (file.starts_with("crates/") || file.starts_with("xtask/"));
        let is_root = file.ends_with("/lib.rs") || file.ends_with("/main.rs") || file.contains("/src/bin/");
        if !in_src || is_root {
            continue;
        }
        let path = PathBuf::from(file);
        let name = path.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
        let folder = path.parent().context("a file has a folder")?;
        let above = folder.with_extension("rs");
        let parents = [folder.join("lib.rs"), folder.join("main.rs"), above];
        let named = parents.iter().filter_map(|p| fs::read_to_string(root.join(p)).ok());
        let wanted = format!("mod {name};");
        if !named.into_iter().any(|text| text.contains(&wanted)) {
            findings.push(format!("{file}: no `mod {name};` names it"));
        }
    }
    Ok(())
}
