//! Regression tests of rules as go-ftw writes them, run in the process: the request as it would stand on the wire, taken
//! apart leniently, and the answer that the test's server would give. It reads no files; suites come deserialised.

mod answer;
mod suite;
mod wire;

use std::{collections::BTreeMap, net::SocketAddr};

pub use suite::{Input, Log, Output, Stage, Suite, Test};
pub use wire::{Raw, parse_request};

use crate::{
    pattern::Patterns,
    plan::{Limits, Plan, Settings},
    transaction::{Decision, Head, Report, World},
};

/// How one test ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As it expects.
    Passed,
    /// Not as it expects, and how.
    Failed(String),
    /// It asks what only a server in front can answer, and which.
    NotAsked(&'static str),
}

/// The state that CRS's documentation of its tests asks for (`tests/docker-compose.yml`, rule 900005): rules only tell,
/// level 4, the limits of arguments and files set, answers looked at.
#[must_use]
pub fn settings() -> Settings {
    let limits = Limits {
        response_body: true,
        response_types: ["text/plain", "text/html", "text/xml", "application/json"]
            .map(str::to_owned)
            .to_vec(),
        time_ns_max: 10_000_000_000,
        bytes_max: 256 << 20,
        request_body_bytes_max: 13_107_200,
        ..Limits::default()
    };
    let mut settings = Settings::paranoia(4).detection_only();
    for (name, value) in [
        ("crs_validate_utf8_encoding", "1"),
        ("arg_name_length", "100"),
        ("arg_length", "400"),
        ("total_arg_length", "64000"),
        ("max_num_args", "255"),
        ("max_file_size", "64100"),
        ("combined_file_sizes", "65535"),
    ] {
        settings = settings.set(name, value);
    }
    settings.limits = Some(limits);
    settings
}

/// Runs all stages of one test. `clock` is as in [`World`].
#[must_use]
pub fn run(plan: &Plan, test: &Test, clock: &dyn Fn() -> u64) -> Outcome {
    let mut asked = false;
    for stage in &test.stages {
        let raw = match wire::raw(&stage.input) {
            Ok(raw) => raw,
            Err(why) => return Outcome::Failed(why),
        };
        if raw.has_bare_return && stage.output.status == Some(400) {
            continue;
        }
        let report = inspect(plan, &raw, clock);
        match judge(&stage.output, &report) {
            Ok(true) => asked = true,
            Ok(false) => {}
            Err(why) => return Outcome::Failed(why),
        }
    }
    if asked {
        Outcome::Passed
    } else {
        Outcome::NotAsked("a status of the HTTP server, which never asks the rules")
    }
}

/// What the rules say to each request of a test, whatever it expects.
#[must_use]
pub fn reports(plan: &Plan, test: &Test, clock: &dyn Fn() -> u64) -> Vec<Report> {
    let requests = test.stages.iter().filter_map(|stage| wire::raw(&stage.input).ok());
    requests.map(|raw| inspect(plan, &raw, clock)).collect()
}

/// Each request of a test as it stands on the wire, and what the test's server would answer; without those that no server
/// hands on.
#[must_use]
pub fn exchanges(test: &Test) -> Vec<(Raw, Answer)> {
    let requests = test.stages.iter().filter_map(|stage| wire::raw(&stage.input).ok());
    let handed_on = requests.filter(|raw| !raw.has_bare_return);
    handed_on.map(|raw| (answer::answer(&raw), raw)).map(|(answer, raw)| (raw, answer)).collect()
}

/// Sends one raw request and the test server's answer through the plan.
fn inspect(plan: &Plan, raw: &Raw, clock: &dyn Fn() -> u64) -> Report {
    let answer = answer::answer(raw);
    examine(plan, raw, client(), clock, Some(&answer))
}

/// What the rules say to one raw request, and to the answer where one is given: (status, headers, body).
#[must_use]
pub fn examine(
    plan: &Plan,
    raw: &Raw,
    peer: SocketAddr,
    clock: &dyn Fn() -> u64,
    answer: Option<&Answer>,
) -> Report {
    let headers: Vec<(&[u8], &[u8])> =
        raw.headers.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
    let mut transaction = plan.transaction(World { clock, epoch_s: 1_767_225_600, memory: None });
    let server = SocketAddr::from(([127, 0, 0, 1], 80));
    let decision = transaction.request_head(&Head {
        method: &raw.method,
        uri: &raw.uri,
        protocol: &raw.protocol,
        headers: &headers,
        peer,
        server,
        id: "0000000000000000",
    });
    let goes_on = |decision: Decision| decision == Decision::Pass;
    let passed = goes_on(decision) && goes_on(transaction.request_body(&raw.body));
    if let Some(answer) = answer.filter(|_| passed) {
        let headers: Vec<(&[u8], &[u8])> =
            answer.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        if goes_on(transaction.response_head(answer.status, b"HTTP/1.1", &headers)) {
            transaction.response_body(&answer.body);
        }
    }
    transaction.finish()
}

pub use answer::Answer;

/// The tests' client: another container, so that rules for the loopback interface do not apply.
fn client() -> SocketAddr {
    SocketAddr::from(([172, 18, 0, 1], 40_000))
}

/// Whether the log is as expected; `Ok(false)` where nothing of the log is.
fn judge(output: &Output, report: &Report) -> Result<bool, String> {
    let log = &output.log;
    let told = |id: &u64| report.matches.iter().any(|one| one.rule == *id);
    let ids: BTreeMap<u64, usize> = report.matches.iter().fold(BTreeMap::new(), |mut all, one| {
        *all.entry(one.rule).or_default() += 1;
        all
    });
    let matched = || ids.keys().map(u64::to_string).collect::<Vec<_>>().join(" ");
    if let Some(missing) = log.expect_ids.iter().find(|id| !told(id)) {
        return Err(format!("{missing} did not match; what did: {}", matched()));
    }
    if let Some(extra) = log.no_expect_ids.iter().find(|id| told(id)) {
        return Err(format!("{extra} matched; all that did: {}", matched()));
    }
    let lines: Vec<String> = report.matches.iter().map(line).collect();
    let finds = |pattern: &str| -> Result<bool, String> {
        let pattern = Patterns::default().compile(pattern, false).map_err(|e| e.to_string())?;
        Ok(lines.iter().any(|line| pattern.regex.is_match(line.as_bytes())))
    };
    for pattern in log.match_regex.iter().chain(&output.log_contains) {
        if !finds(pattern)? {
            return Err(format!("no line of the log has `{pattern}`; matched: {}", matched()));
        }
    }
    for pattern in log.no_match_regex.iter().chain(&output.no_log_contains) {
        if finds(pattern)? {
            return Err(format!("a line of the log has `{pattern}`"));
        }
    }
    let any = log.match_regex.is_some() || log.no_match_regex.is_some();
    let contains = output.log_contains.is_some() || output.no_log_contains.is_some();
    Ok(any || contains || !log.expect_ids.is_empty() || !log.no_expect_ids.is_empty())
}

/// A line as ModSecurity writes it.
#[must_use]
pub fn line(one: &crate::Match) -> String {
    let tags: String = one.tags.iter().map(|tag| format!(" [tag \"{tag}\"]")).collect();
    let severity = one.severity.map(|level| format!(" [severity \"{level}\"]")).unwrap_or_default();
    format!(
        "[file \"{}\"] [line \"{}\"] [id \"{}\"] [msg \"{}\"] [data \"{}\"]{severity}{tags} at {}",
        one.file, one.line, one.rule, one.message, one.data, one.variable
    )
}
