//! The table of attacks names tests that there are.

use std::{fs, path::Path};

#[test]
fn every_test_that_the_table_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = fs::read_to_string(root.join("docs/attacks.md")).unwrap();
    let mut named = 0;
    for line in page.lines().filter(|line| line.starts_with("| ") && line.contains(".rs`")) {
        let tests = line.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        for test in tests.split(", ") {
            let (file, name) = test.split_once("` ").unwrap_or_else(|| panic!("`{test}` in {line}"));
            let path = root.join("crates").join(file.trim_start_matches('`'));
            let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            let head = format!("#[test]\nfn {name}() {{");
            assert!(text.contains(&head), "{} has no test `{name}`", path.display());
            named += 1;
        }
    }
    assert!(named >= 40, "only {named} tests are named");
}
