//! The pages that are made from the code, and the examples of the one that is not. With `UPDATE_DOCS=1` a page
//! that is stale is written anew; it never changes one otherwise.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test: what is not as expected stops it")]

use std::{collections::BTreeSet, fmt::Write, fs, path::PathBuf};

use model::{Fault, Limits, Manifest, limits};

const SOURCE: &str = include_str!("../src/limits.rs");

const LIMITS: &str = "\
# Limits

Every bound of the product. Made from `crates/model/src/limits.rs`: change it there.

## Of a function

All are on by default. `[limits]` in a manifest sets each, as a whole number of the unit, between its
minimum and the node's ceiling; a node's configuration may lower the ceiling below the one that stands here.

| limit | unit | minimum | default | ceiling | meaning |
|---|---|--:|--:|--:|---|
";

const NODE: &str = "
## Of the node

No manifest changes them. Where a node's configuration does, the meaning says so; the others stand as they are.

| limit | value | meaning |
|---|--:|---|
";

const ERRORS: &str = "\
# Errors of a run

Why a run did not end as it should. Made from `crates/model/src/usage.rs`: change it there. A caller sees
the status, the code and the sentence in a problem document (RFC 9457), and a request id by which the
function's owner finds the rest in its log. Where the answer had begun already, it breaks off, and the code
stands in the record alone.

Blame: the `caller` sent what is not taken; the `guest`, the function, misbehaved; `load` means that trying
later may work; the `platform` failed.

| code | status | blame | sentence |
|---|--:|---|---|
";

#[test]
fn limits_are_documented() {
    let mut page = LIMITS.to_owned();
    assert_eq!(limits::TABLE.len(), limits::MEANINGS.len());
    for ((name, min, default, max), meaning) in limits::TABLE.iter().zip(limits::MEANINGS) {
        let unit = unit(name, meaning);
        let [min, default, max] = [min, default, max].map(|value| shown(*value, unit));
        writeln!(page, "| `{name}` | {unit} | {min} | {default} | {max} | {meaning} |").unwrap();
    }
    page.push_str(NODE);
    for Constant { name, values, doc } in constants() {
        let unit = unit(&name, &doc);
        let shown: Vec<String> = values.iter().map(|value| shown(*value, unit)).collect();
        let unit = if unit == "count" { String::new() } else { format!(" {unit}") };
        writeln!(page, "| `{name}` | {}{unit} | {doc} |", shown.join("; ")).unwrap();
    }
    fresh("limits.md", &page);
}

#[test]
fn errors_are_documented() {
    let mut page = ERRORS.to_owned();
    for fault in Fault::ALL {
        let blame = serde_json::to_value(fault.blame()).unwrap();
        let (code, status, blame) = (fault.code(), fault.status(), blame.as_str().unwrap());
        writeln!(page, "| `{code}` | {status} | {blame} | {} |", fault.sentence()).unwrap();
    }
    fresh("errors.md", &page);
}

#[test]
fn the_schema_is_written() {
    let schema = serde_json::to_string_pretty(&Manifest::json_schema()).unwrap();
    fresh("casemate.schema.json", &format!("{schema}\n"));
}

#[test]
fn the_examples_of_the_manifest_hold() {
    for (name, least) in [("manifest.md", 5), ("functions-calling.md", 2)] {
        let page = fs::read_to_string(docs(name)).unwrap();
        let blocks = blocks(&page);
        assert!(blocks.len() >= least, "only {} examples in {name}", blocks.len());
        for block in blocks {
            if let Err(error) = Manifest::parse(block, &Limits::CEILING) {
                panic!("an example of docs/{name}: {error}\n{block}");
            }
        }
    }
}

#[test]
fn every_key_of_the_manifest_is_on_its_page() {
    let page = fs::read_to_string(docs("manifest.md")).unwrap();
    let schema = Manifest::json_schema();
    let mut keys = BTreeSet::new();
    properties(&schema, &mut keys);
    assert!(keys.contains("until") && keys.contains("cpu_ms"), "{keys:?}");
    let bound = |key: &str| limits::TABLE.iter().any(|(name, ..)| *name == key);
    // `a.key`, `key.b` or `key` alone, in backticks.
    let marks = [("`", "`"), ("`", "."), (".", "`"), (".", ".")];
    let named =
        |key: &str| marks.iter().any(|(before, after)| page.contains(&format!("{before}{key}{after}")));
    let absent: Vec<_> = keys.into_iter().filter(|key| !bound(key) && !named(key)).collect();
    assert!(absent.is_empty(), "not in docs/manifest.md: {absent:?}");
}

#[test]
fn values_are_read_as_the_compiler_reads_them() {
    let all = constants();
    let of = |name: &str| all.iter().find(|c| c.name == name).map(|c| c.values.clone()).unwrap();
    assert_eq!(of("WORKER_DATA_BYTES_MAX"), [limits::WORKER_DATA_BYTES_MAX]);
    assert_eq!(of("REQUEST_TARGET_BYTES_MAX"), [limits::REQUEST_TARGET_BYTES_MAX as u64]);
    assert_eq!(of("POLICY_BYTES_MAX"), [limits::POLICY_BYTES_MAX]);
    assert_eq!(of("SOURCE_RATE"), [limits::SOURCE_RATE.0, limits::SOURCE_RATE.1].map(u64::from));
    assert_eq!(calculated("4 << 20"), 4 << 20);
    assert_eq!(all.len(), SOURCE.lines().filter(|line| line.starts_with("pub const ")).count());
}

/// Compares a page with what it should say, or writes it.
fn fresh(name: &str, expect: &str) {
    let path = docs(name);
    // The order of keys in JSON depends on what else the workspace builds; it means nothing.
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
    let same = |found: &str| found == expect || json(found).is_some_and(|found| Some(found) == json(expect));
    if fs::read_to_string(&path).is_ok_and(|found| same(&found)) {
        return;
    }
    assert!(
        std::env::var_os("UPDATE_DOCS").is_some(),
        "docs/{name} is stale: run `UPDATE_DOCS=1 cargo test --release -p model --test docs`"
    );
    fs::write(path, expect).unwrap();
}

fn docs(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", "..", "docs", name].iter().collect()
}

/// A constant of the node, as its source says it.
struct Constant {
    name: String,
    values: Vec<u64>,
    doc: String,
}

fn constants() -> Vec<Constant> {
    let mut found = Vec::new();
    let mut doc = Vec::new();
    for line in SOURCE.lines() {
        if let Some(text) = line.strip_prefix("///") {
            doc.push(text.trim());
        } else if let Some(rest) = line.strip_prefix("pub const ") {
            let (name, rest) = rest.split_once(": ").unwrap();
            let (_, value) = rest.trim_end_matches(';').split_once(" = ").unwrap();
            let parts = value.trim_matches(['(', ')']).split(", ");
            let values = parts.map(calculated).collect();
            assert!(!doc.is_empty(), "`{name}` has no docstring");
            found.push(Constant { name: name.to_owned(), values, doc: doc.join(" ") });
            doc.clear();
        } else {
            doc.clear();
        }
    }
    found
}

/// Products and shifts of whole numbers, `KIB` and `MIB`.
fn calculated(text: &str) -> u64 {
    if let Some((left, right)) = text.split_once(" << ") {
        return calculated(left) << calculated(right);
    }
    let factor = |part: &str| match part.trim() {
        "KIB" => 1024,
        "MIB" => 1024 * 1024,
        number => {
            number.replace('_', "").parse().unwrap_or_else(|_| panic!("`{number}` in `{text}` is no number"))
        }
    };
    text.split('*').map(factor).product()
}

/// The unit that a docstring names, else the one that the name ends with.
fn unit(name: &str, doc: &str) -> &'static str {
    let said = [
        ("in bytes", "bytes"),
        ("in milliseconds", "ms"),
        ("in nanoseconds", "ns"),
        ("in seconds", "s"),
        ("in days", "days"),
    ];
    let named = [("_bytes", "bytes"), ("bytes_max", "bytes"), ("_ms", "ms"), ("_ns", "ns")];
    let name = name.to_lowercase();
    let said = said.iter().find(|(words, _)| doc.contains(words));
    said.or_else(|| named.iter().find(|(end, _)| name.ends_with(end))).map_or("count", |(_, unit)| unit)
}

/// A number with its thousands apart, and bytes as a round number too where they are one.
fn shown(value: u64, unit: &str) -> String {
    let digits = value.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|g| std::str::from_utf8(g).unwrap()).collect();
    let plain = groups.join(",");
    let sizes = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let round =
        sizes.iter().find(|(size, _)| unit == "bytes" && value >= *size && value.is_multiple_of(*size));
    round.map_or(plain.clone(), |(size, name)| format!("{plain} ({} {name})", value / size))
}

/// The text of each block of TOML.
fn blocks(page: &str) -> Vec<&str> {
    page.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

fn properties(schema: &serde_json::Value, keys: &mut BTreeSet<String>) {
    match schema {
        serde_json::Value::Object(fields) => {
            if let Some(named) = fields.get("properties").and_then(serde_json::Value::as_object) {
                keys.extend(named.keys().cloned());
            }
            fields.values().for_each(|field| properties(field, keys));
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| properties(item, keys)),
        _ => {}
    }
}
