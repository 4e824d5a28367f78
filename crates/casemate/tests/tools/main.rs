//! Programs that people attack sites with, and rules that attack the node: a scanner for holes in SQL, one that is slow on
//! purpose, sets of rules that explode, and parameters that rules are slow on. The scanner finds its hole where nobody looks.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::allow_attributes,
    reason = "a test fails by panicking, and says what it measured"
)]

mod friend;
mod hostile_rules;
mod repetitions;
mod slowhttptest;
mod sqlmap;
#[path = "../support/mod.rs"]
mod support;

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use support::{Home, TestNode};

/// A friend and a foe share an address here, so nothing is done about the address: what is refused, rules and bounds refuse.
/// sqlmap speaks no TLS 1.3, and all of them open many connections.
const CONFIG: &str = "[dangerous]\ntls12 = true\n[rates]\nconnections_per_second = 1000\nconnections_at_once = 1000\n\
    [shield.response]\nprobing = \"log\"\n";

/// How long a program may attack.
const ATTACK_MAX: Duration = Duration::from_secs(150);

/// A program of Debian's; none where it is not there, and the test says what it skips.
fn program(name: &str) -> Option<Command> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.exists());
    if found.is_none() {
        eprintln!("skipped: no {name} is there; `cargo xtask test` installs it where it may");
    }
    let mut command = Command::new(found?);
    command.stdin(Stdio::null());
    Some(command)
}

fn node() -> TestNode {
    TestNode::start_with(Home::new(), CONFIG)
}

/// Lets everybody in for a month.
fn public() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    let until = model::Timestamp::from_unix_ms(u64::try_from(now).unwrap() + 30 * 86_400_000);
    format!(
        "[access]\nallow = \"public\"\nwaiver = {{ reason = \"the landing page\", until = \"{until}\" }}\n"
    )
}

/// All that a program says on both of its outputs. Fails the test where it does not end in time.
#[track_caller]
fn run_to_its_end(mut command: Command, home: &Path) -> String {
    let log = home.join("attack.log");
    let file = fs::File::create(&log).unwrap();
    let mut child = command.stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
    let begun = Instant::now();
    let said = || String::from_utf8_lossy(&fs::read(&log).unwrap()).into_owned();
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > ATTACK_MAX {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{command:?} did not end: {}", said());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    said()
}
