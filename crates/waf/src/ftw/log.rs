//! Lines of a log as ModSecurity 2 writes them, which the patterns of tests are made for.

use super::Raw;
use crate::{
    Match, Plan,
    rules::{Check, Link, Outcome, Rule},
    seclang::operator::{Piece, Template},
};

const SEVERITIES: [&str; 8] =
    ["EMERGENCY", "ALERT", "CRITICAL", "ERROR", "WARNING", "NOTICE", "INFO", "DEBUG"];

/// The line of a match: what was done, what matched where, the rule, the request.
#[must_use]
pub fn line(plan: &Plan, one: &Match, raw: &Raw) -> String {
    let rule = plan.rules.rules.iter().find(|rule| rule.id == one.rule);
    let mut line = String::from("ModSecurity: ");
    line.push_str(&rule.map_or_else(|| "Warning.".to_owned(), |rule| done(plan, rule)));
    line.push(' ');
    line.push_str(&rule.and_then(|rule| rule.links.last()).map_or_else(String::new, |link| test(link, one)));
    let mut field = |name: &str, value: &str| line.push_str(&format!(" [{name} \"{value}\"]"));
    field("file", &one.file);
    field("line", &one.line.to_string());
    field("id", &one.rule.to_string());
    if let Some(revision) = rule.and_then(|rule| rule.revision.as_deref()) {
        field("rev", revision);
    }
    field("msg", &one.message);
    if !one.data.is_empty() {
        field("data", &one.data);
    }
    if let Some(name) = one.severity.and_then(|level| SEVERITIES.get(usize::from(level))) {
        field("severity", name);
    }
    if let Some(version) = &one.version {
        field("ver", version);
    }
    for tag in &one.tags {
        field("tag", tag);
    }
    let host = raw.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(b"host"));
    field("hostname", &host.map_or_else(String::new, |(_, host)| lossy(host)));
    field("uri", &lossy(raw.uri.split(|byte| *byte == b'?').next().unwrap_or_default()));
    field("unique_id", super::UNIQUE_ID);
    line
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What was done: nothing, where rules only tell.
fn done(plan: &Plan, rule: &Rule) -> String {
    let refuses = matches!(rule.disruptive, Outcome::Deny | Outcome::Drop);
    if plan.engine != crate::seclang::action::RuleEngine::On || !refuses {
        return "Warning.".to_owned();
    }
    format!("Access denied with code {} (phase {}).", rule.status, rule.phase)
}

/// What the operator says of its match.
fn test(link: &Link, one: &Match) -> String {
    let (argument, at) = (text(&link.argument), &one.variable);
    if link.negated {
        let name = name(&link.check);
        return format!("Match of \"{name} {argument}\" against \"{at}\" required.");
    }
    match &link.check {
        Check::Always => "Unconditional match in SecAction.".to_owned(),
        Check::Pattern(_) | Check::PatternGlobal(_) | Check::PatternMade(_) => {
            format!("Pattern match \"{argument}\" at {at}.")
        }
        Check::Phrases(_) => format!("Matched phrase \"{}\" at {at}.", one.value),
        Check::Text(crate::rules::TextTest::Within) => format!("String match within \"{argument}\" at {at}."),
        Check::Text(_) => format!("String match \"{argument}\" at {at}."),
        Check::Number(_) => {
            format!("Operator {} matched {argument} at {at}.", name(&link.check).to_ascii_uppercase())
        }
        Check::Addresses(_) => format!("IPmatch: \"{argument}\" matched at {at}."),
        Check::ByteRange(_) => format!("Found byte(s) in {at} outside range: {argument}."),
        Check::UrlEncoding => format!("Invalid URL Encoding at {at}."),
        Check::Utf8Encoding => format!("Invalid UTF-8 encoding at {at}."),
        Check::Sqli => "detected SQLi using libinjection.".to_owned(),
        Check::Xss => "detected XSS using libinjection.".to_owned(),
        Check::Never | Check::Digits(..) => format!("Match at {at}."),
    }
}

fn name(check: &Check) -> &'static str {
    use crate::rules::{Comparison as N, TextTest as T};
    match check {
        Check::Always => "unconditionalMatch",
        Check::Never => "noMatch",
        Check::Pattern(_) | Check::PatternMade(_) => "rx",
        Check::PatternGlobal(_) => "rxGlobal",
        Check::Phrases(_) => "pm",
        Check::Text(T::BeginsWith) => "beginsWith",
        Check::Text(T::Contains) => "contains",
        Check::Text(T::ContainsWord) => "containsWord",
        Check::Text(T::EndsWith) => "endsWith",
        Check::Text(T::Equals) => "streq",
        Check::Text(T::Within) => "within",
        Check::Number(N::Equal) => "eq",
        Check::Number(N::AtLeast) => "ge",
        Check::Number(N::Greater) => "gt",
        Check::Number(N::AtMost) => "le",
        Check::Number(N::Less) => "lt",
        Check::Addresses(_) => "ipMatch",
        Check::ByteRange(_) => "validateByteRange",
        Check::UrlEncoding => "validateUrlEncoding",
        Check::Utf8Encoding => "validateUtf8Encoding",
        Check::Sqli => "detectSQLi",
        Check::Xss => "detectXSS",
        Check::Digits(..) => "verify",
    }
}

/// The argument as it was written.
fn text(template: &Template) -> String {
    let piece = |piece: &Piece| match piece {
        Piece::Text(text) => text.clone(),
        Piece::Macro(target) => format!("%{{{}}}", target.collection.name()),
    };
    template.0.iter().map(piece).collect()
}
