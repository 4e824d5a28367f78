//! The tour: every row as it must be, in a table that fits.

mod support;

use support::Home;

#[test]
fn every_row_is_as_it_must_be() {
    let home = Home::new();
    let text = home.run(&["demo"]).ok().out;
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with(['✓', '✗', '–'])).collect();
    assert!(rows.len() >= 15, "{text}");
    for row in rows {
        let skipped = row.starts_with('–') && (row.contains("JavaScript") || row.contains("Python"));
        assert!(row.starts_with('✓') || skipped, "{text}");
    }
    for part in [
        "401 unauthenticated",
        "403 forbidden",
        "504 cpu-limit",
        "502 memory-limit",
        "outbound-denied",
        "import-refused",
        "acme:thing/do",
        "function/no-deletes",
        "call by OIDC, own issuer",
        "refused: User::\"default/desk:eve\"",
        "function/no-trainees",
        "Function::\"default/front\" called for User::\"default/ada\"",
    ] {
        assert!(text.contains(part), "`{part}` is not in\n{text}");
    }
    let widest = text.lines().map(|line| line.chars().count()).max();
    assert!(widest <= Some(100), "{widest:?} columns:\n{text}");
    assert!(!home.path().join("config").exists(), "the tour left a login behind");
}
