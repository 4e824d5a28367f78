//! Regression tests of rules as go-ftw writes them, run in the process: the request as it would stand on the wire, taken
//! apart leniently, and the answer that the test's server would give. It reads no files; suites come deserialised.

mod answer;
mod judge;
mod log;
mod suite;
mod wire;

use std::net::SocketAddr;

pub use log::line;
pub use suite::{Input, Log, Output, Response, Stage, Statuses, Suite, Test};
pub use wire::{Raw, parse_request};

use crate::{
    memory::Memory,
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

/// The id of every request of a test.
const UNIQUE_ID: &str = "0000000000000000";
/// Addresses that rules of one test may keep something for.
const ADDRESSES_MAX: usize = 64;

/// Runs all stages of one test, which share what rules keep by address. `clock` is as in [`World`].
#[must_use]
pub fn run(plan: &Plan, test: &Test, clock: &dyn Fn() -> u64) -> Outcome {
    let memory = Memory::new(ADDRESSES_MAX);
    let mut asked = false;
    let mut reason = "a status of the HTTP server, which never asks the rules";
    for stage in &test.stages {
        if let Some(why) = unasked(stage) {
            reason = why;
            continue;
        }
        match run_stage(plan, stage, clock, &memory) {
            Ok(judged) => asked |= judged,
            Err(why) => return Outcome::Failed(why),
        }
    }
    if asked { Outcome::Passed } else { Outcome::NotAsked(reason) }
}

/// Why rules cannot be asked what a stage expects.
fn unasked(stage: &Stage) -> Option<&'static str> {
    let (input, output) = (&stage.input, &stage.output);
    let asks_nothing = !output.asks_log() && output.status.0.is_empty();
    if output.expect_error == Some(true) && asks_nothing {
        Some("`expect_error`: whether a connection breaks is the server's")
    } else if input.follow_redirect == Some(true) {
        Some("`follow_redirect`: there is no server that redirects")
    } else if input.save_cookie == Some(true) {
        Some("`save_cookie`: there is no server that sets cookies")
    } else if output.response_contains.is_some() && asks_nothing {
        Some("`response_contains`: what an answer holds is the server's")
    } else {
        None
    }
}

/// Sends a stage's requests; whether anything was asked of the rules.
fn run_stage(plan: &Plan, stage: &Stage, clock: &dyn Fn() -> u64, memory: &Memory) -> Result<bool, String> {
    let mut asked = false;
    for raw in wire::raws(&stage.input)? {
        if raw.has_bare_return && stage.output.status.0.contains(&400) {
            continue;
        }
        let answer = match &stage.input.response {
            Some(response) => answer::given(response)?,
            None => answer::answer(&raw),
        };
        let world = World { clock, epoch_s: EPOCH_S, memory: Some(memory) };
        let report = send(plan, &raw, client(), world, Some(&answer));
        let status = judge::status(plan, &stage.output, &report, &answer)?;
        asked |= judge::log(plan, &stage.output, &report, &raw)? || status;
    }
    Ok(asked)
}

/// What the rules say to each request of a test, whatever it expects.
#[must_use]
pub fn reports(plan: &Plan, test: &Test, clock: &dyn Fn() -> u64) -> Vec<Report> {
    requests(test).map(|raw| examine(plan, &raw, client(), clock, Some(&answer::answer(&raw)))).collect()
}

/// Each request of a test as it stands on the wire, and what the test's server would answer; without those that no server
/// hands on.
#[must_use]
pub fn exchanges(test: &Test) -> Vec<(Raw, Answer)> {
    let handed_on = requests(test).filter(|raw| !raw.has_bare_return);
    handed_on.map(|raw| (answer::answer(&raw), raw)).map(|(answer, raw)| (raw, answer)).collect()
}

fn requests(test: &Test) -> impl Iterator<Item = Raw> {
    test.stages.iter().flat_map(|stage| wire::raws(&stage.input).unwrap_or_default())
}

/// The first second of 2026, UTC: the time of all tests.
const EPOCH_S: u64 = 1_767_225_600;

/// What the rules say to one raw request, and to the answer where one is given: (status, headers, body).
#[must_use]
pub fn examine(
    plan: &Plan,
    raw: &Raw,
    peer: SocketAddr,
    clock: &dyn Fn() -> u64,
    answer: Option<&Answer>,
) -> Report {
    send(plan, raw, peer, World { clock, epoch_s: EPOCH_S, memory: None }, answer)
}

/// The same with a time, and what rules keep by address.
#[must_use]
pub fn send(plan: &Plan, raw: &Raw, peer: SocketAddr, world: World<'_>, answer: Option<&Answer>) -> Report {
    let headers: Vec<(&[u8], &[u8])> =
        raw.headers.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
    let mut transaction = plan.transaction(world);
    let server = SocketAddr::from(([127, 0, 0, 1], 80));
    let decision = transaction.request_head(&Head {
        method: &raw.method,
        uri: &raw.uri,
        protocol: &raw.protocol,
        headers: &headers,
        peer,
        server,
        id: UNIQUE_ID,
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
