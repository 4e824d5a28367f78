//! The load: `wrk`, pinned away from the server. It never counts an error as a request.

use std::{process::Command, time::Duration};

use anyhow::{Context, Result, bail};

use super::server::{Pins, Server};

/// One round of load.
pub struct Round {
    pub requests: u64,
    pub requests_per_s: f64,
    pub p50_us: f64,
    pub p99_us: f64,
    pub errors: u64,
}

/// What is asked of which server.
pub struct Load<'a> {
    server: &'a Server,
    pins: &'a Pins,
}

/// Finds `wrk`, or installs Debian's where that is possible.
pub fn require() -> Result<()> {
    let there = || Command::new("wrk").arg("-v").output().is_ok();
    if there() {
        return Ok(());
    }
    let _tried = Command::new("apt-get").args(["install", "-y", "-qq", "wrk"]).status();
    if there() { Ok(()) } else { bail!("`wrk` is not here: install it (`apt-get install wrk`)") }
}

impl<'a> Load<'a> {
    pub const fn new(server: &'a Server, pins: &'a Pins) -> Self {
        Self { server, pins }
    }

    /// Loads the server over 32 kept-alive connections on each core of load.
    pub fn run(&self, time: Duration) -> Result<Round> {
        let threads = self.pins.cores.to_string();
        let connections = (32 * self.pins.cores).to_string();
        let seconds = format!("{}s", time.as_secs());
        let mut command = Command::new("taskset");
        command.args(["-c", &self.pins.load, "wrk", "--latency"]);
        command.args(["-t", &threads, "-c", &connections, "-d", &seconds]);
        if let Some(token) = &self.server.token {
            command.args(["-H", &format!("Authorization: Bearer {token}")]);
        }
        let output = command.arg(&self.server.url).output().context("wrk")?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        parse(&text).with_context(|| format!("wrk said:\n{text}"))
    }
}

fn parse(text: &str) -> Result<Round> {
    let field = |name: &str| {
        let line = text.lines().map(str::trim).find(|l| l.starts_with(name));
        line.and_then(|l| l.split_whitespace().nth(1)).with_context(|| name.to_owned())
    };
    let total = text.lines().find(|l| l.contains(" requests in ")).context("requests in")?;
    let requests = total.split_whitespace().next().context("requests")?.parse()?;
    let refused = text.lines().find_map(|l| l.trim().strip_prefix("Non-2xx or 3xx responses: "));
    let socket = text
        .lines()
        .find(|l| l.contains("Socket errors:"))
        .map_or(0, |l| l.split([' ', ',']).filter_map(|w| w.parse::<u64>().ok()).sum());
    Ok(Round {
        requests,
        requests_per_s: field("Requests/sec:")?.parse()?,
        p50_us: micros(field("50%")?)?,
        p99_us: micros(field("99%")?)?,
        errors: socket + refused.map_or(Ok(0), str::parse)?,
    })
}

fn micros(text: &str) -> Result<f64> {
    let at = text.find(|c: char| c.is_ascii_alphabetic()).context("a unit")?;
    let (number, unit) = text.split_at(at);
    let scale = match unit {
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        other => bail!("unit `{other}`"),
    };
    Ok(number.parse::<f64>()? * scale)
}
