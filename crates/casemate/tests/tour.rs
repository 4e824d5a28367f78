//! The tour: every row as it must be, in a table that fits.

mod support;

use support::Home;

#[test]
fn every_row_is_as_it_must_be() {
    let home = Home::new();
    let ran = home.run(&["demo", "--output", "json"]).ok();
    let show = ran.json();
    let rows = show["rows"].as_array().unwrap();
    assert!(rows.len() >= 15, "{ran:?}");
    for row in rows {
        assert_ne!(row["state"], "bad", "{row}");
        let skippable = ["call JavaScript", "call Python"].contains(&row["what"].as_str().unwrap());
        assert!(row["state"] == "good" || skippable, "{row}");
    }
    for expect in ["200", "401", "403", "refused by name", "504 cpu-limit", "502 memory-limit", "denied"] {
        assert!(rows.iter().any(|row| row["expect"] == expect), "no row expects `{expect}`");
    }
    assert!(!home.path().join("config").exists(), "the tour left a login behind");

    let text = home.run(&["demo"]).ok().out;
    let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
    assert!(widest <= 100, "{widest} columns:\n{text}");
    assert!(text.contains("no-deletes") && text.contains("acme:thing/do"), "{text}");
}
