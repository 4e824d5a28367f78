//! Answers that rules hold back, where a function asks for that.

use super::Site;

const TEXT: &[(&str, &str)] = &[("content-type", "text/plain")];

#[test]
fn what_must_not_leave() {
    let key = format!("-----BEGIN RSA {} KEY-----\nMIIEpAIBAAKCAQEA\n", "PRIVATE");
    let site = Site::start("mode = \"detect\"");
    let seen = site.ask(("POST", "/echo"), TEXT, key.as_bytes());
    assert_eq!((seen.status, seen.text()), (200, key.clone()), "nobody asked for answers to be looked at");
    site.deploy(
        "responses = true\n[[shield.exclude]]\nrules = [\"9801101-9809999\"]\nreason = \"only answers here\"",
    );
    site.check(("POST", "/echo"), TEXT, key.as_bytes(), 502, "answer-refused");
    for text in ["a letter to nobody".to_owned(), "x".repeat(300_000)] {
        let answer =
            site.ask(("POST", "/echo"), &[("content-type", "application/octet-stream")], text.as_bytes());
        assert_eq!((answer.status, answer.text() == text), (200, true), "the rest follows what was seen");
    }
}
