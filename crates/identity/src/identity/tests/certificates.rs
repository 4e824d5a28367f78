//! Clients' certificates as principals.

use data_encoding::BASE64;
use serde_json::json;

use crate::{
    Bound, ProofKind,
    testing::{certificates as made, *},
};

const SPIFFE: &str = "[[certificates]]\nname = \"mesh\"\nspiffe_trust_domain = \"prod.example\"\n\
    spiffe_path = \"/ns/default\"\ntenant = \"default\"\n";
const DNS: &str =
    "[[certificates]]\nname = \"edge\"\ndns = [\"a.example\", \"web.example\"]\ntenant = \"default\"\n";
const SUBJECT: &str =
    "[[certificates]]\nname = \"back\"\nsubjects = [\"billing\", \"payroll\"]\ntenant = \"default\"\n";

fn der(text: &str) -> Vec<u8> {
    BASE64.decode(text.as_bytes()).unwrap()
}

#[track_caller]
fn check(toml: &str, certificate: &str, expect: &str) {
    let ask = Ask::new("GET", "/x").certificate(&der(certificate));
    assert_eq!(said(&ask.ask(&identity(toml), NOW)), expect);
}

#[test]
fn names_by_rules() {
    check(SPIFFE, made::SPIFFE, "mesh:ns/default/sa/web");
    check(SPIFFE, made::FAR, "mesh:ns/default/sa/web");
    check(DNS, made::DNS, "edge:a.example");
    check(DNS, made::SPIFFE, "edge:web.example");
    check(SUBJECT, made::SUBJECT, "back:billing");
    let proved = Ask::new("GET", "/x").certificate(&der(made::SPIFFE)).ask(&identity(SPIFFE), NOW).unwrap();
    assert_eq!((proved.kind(), proved.bound()), (ProofKind::Certificate, Bound::Mtls));
    assert_eq!(proved.expires_at().unwrap().to_string(), "2030-01-01T00:00:00.000Z");
    assert_eq!(proved.principal().to_string(), "Service::\"default/mesh:ns/default/sa/web\"");
}

#[test]
fn names_that_are_refused() {
    check(SPIFFE, made::TWO_URIS, "certificate-spiffe");
    check(SPIFFE, made::DOTS, "certificate-spiffe");
    check(SPIFFE, made::NO_PATH, "certificate-unknown");
    check(SPIFFE, made::OTHER_DOMAIN, "certificate-unknown");
    check(SPIFFE, made::NEIGHBOUR, "certificate-unknown");
    check(SPIFFE, made::DNS, "certificate-unknown");
    check(SPIFFE, made::AUTHORITY, "certificate-authority");
    check(SPIFFE, made::CERT_SIGN, "certificate-authority");
    check(SPIFFE, made::ENDED, "certificate-dates");
    check(SPIFFE, made::UNBEGUN, "certificate-dates");
    check(SUBJECT, made::TWO_SUBJECTS, "certificate-ambiguous");
    check(&format!("{SPIFFE}{DNS}"), made::SPIFFE, "certificate-ambiguous");
    check("", made::SPIFFE, "credential-none");
}

#[test]
fn a_certificate_beside_another_credential() {
    let toml = format!("{}{SPIFFE}", issuer_toml(""));
    let ask = Ask::bearer(&token(json!({}), json!({}))).certificate(&der(made::SPIFFE));
    assert_eq!(said(&ask.ask(&identity(&toml), NOW)), "credential-several");
    assert_eq!(said(&ask.ask(&identity(&issuer_toml("")), NOW)), "corp:alice");
}
