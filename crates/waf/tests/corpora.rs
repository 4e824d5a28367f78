//! What fuzzing kept, asked again: each input of `fuzz/corpora` holds what its target says. It finds nothing new.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

#[path = "../../../fuzz/checks/waf_json.rs"]
mod json;
#[path = "../../../fuzz/checks/waf_multipart.rs"]
mod multipart;
#[path = "../../../fuzz/checks/waf_rules.rs"]
mod rules;
#[path = "../../../fuzz/checks/waf_transformations.rs"]
mod transformations;
#[path = "../../../fuzz/checks/waf_xml.rs"]
mod xml;

use std::{fs, io::Read, path::Path};

/// Asks a check about every input of a target.
fn replay(target: &str, holds: fn(&[u8])) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../fuzz/corpora/{target}.tar.gz"));
    let packed = fs::File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(packed));
    let mut count = 0;
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let mut input = Vec::new();
        entry.read_to_end(&mut input).unwrap();
        holds(&input);
        count += 1;
    }
    assert!(count > 100, "{target}: {count} inputs");
}

#[test]
fn rules_are_refused_or_answer_the_same_without_their_prefilter() {
    replay("waf_rules", rules::holds);
}

#[test]
fn multipart_stays_within_its_bounds() {
    replay("waf_multipart", multipart::holds);
}

#[test]
fn json_is_what_serde_json_takes() {
    replay("waf_json", json::holds);
}

#[test]
fn xml_and_packed_bodies_stay_within_their_bounds() {
    replay("waf_xml", xml::holds);
}

#[test]
fn transformations_are_never_longer_than_they_say() {
    replay("waf_transformations", transformations::holds);
}
