//! The closed-loop load: `wrk`, pinned away from the server. It never counts an error as a request.

use std::{path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, bail};

use crate::servers::{Pins, pinned};

/// One round of load.
#[derive(Debug, Clone, PartialEq)]
pub struct Round {
    pub requests: u64,
    pub requests_per_s: f64,
    pub p50_us: f64,
    pub p99_us: f64,
    pub errors: u64,
}

/// What is asked of which server.
pub struct Load<'a> {
    pub url: &'a str,
    pub token: Option<&'a str>,
    pub pins: &'a Pins,
}

/// Finds `wrk`, or installs Debian's where that is possible.
pub fn require() -> Result<()> {
    let there = || Command::new("wrk").arg("-v").output().is_ok();
    if there() {
        return Ok(());
    }
    let _tried = Command::new("apt-get").args(["install", "-y", "-qq", "wrk"]).output();
    if there() { Ok(()) } else { bail!("`wrk` is not here: install it (`apt-get install wrk`)") }
}

impl Load<'_> {
    /// Loads the server over 32 kept-alive connections for each core of the server, with a thread for each.
    pub fn run(&self, time: Duration) -> Result<Round> {
        self.with(32 * self.pins.cores, time)
    }

    /// The same over so many connections.
    pub fn with(&self, connections: usize, time: Duration) -> Result<Round> {
        let threads = self.pins.cores.min(connections).to_string();
        let seconds = format!("{}s", time.as_secs());
        let mut command = pinned(&self.pins.load, Path::new("wrk"));
        command.args(["--latency", "-t", &threads, "-c", &connections.to_string(), "-d", &seconds]);
        if let Some(token) = self.token {
            command.args(["-H", &format!("Authorization: Bearer {token}")]);
        }
        let output = command.arg(self.url).output().context("wrk")?;
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
    let all: u64 = total.split_whitespace().next().context("requests")?.parse()?;
    let refused = text.lines().find_map(|l| l.trim().strip_prefix("Non-2xx or 3xx responses: "));
    let refused = refused.map_or(Ok(0), str::parse)?;
    let socket = text
        .lines()
        .find(|l| l.contains("Socket errors:"))
        .map_or(0, |l| l.split([' ', ',']).filter_map(|w| w.parse::<u64>().ok()).sum::<u64>());
    // A refusal is an answer too, but none that counts.
    let requests = all.saturating_sub(refused);
    let share = requests as f64 / all.max(1) as f64;
    Ok(Round {
        requests,
        requests_per_s: field("Requests/sec:")?.parse::<f64>()? * share,
        p50_us: micros(field("50%")?)?,
        p99_us: micros(field("99%")?)?,
        errors: socket + refused,
    })
}

fn micros(text: &str) -> Result<f64> {
    let at = text.find(|c: char| c.is_ascii_alphabetic()).context("a unit")?;
    let (number, unit) = text.split_at(at);
    let scale = match unit {
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        "m" => 6e7,
        other => bail!("unit `{other}`"),
    };
    Ok(number.parse::<f64>()? * scale)
}

#[cfg(test)]
mod tests {
    use super::{micros, parse};

    const SAID: &str = concat!(
        "Running 5s test @ https://127.0.0.1:1/hello\n",
        "  1 threads and 32 connections\n",
        "    Latency     1.86ms  500.00us  9.00ms   88.00%\n",
        "  Latency Distribution\n     50%    1.70ms\n     75%    2.00ms\n",
        "     90%    2.50ms\n     99%    3.46ms\n",
        "  1000 requests in 5.00s, 12.00MB read\n",
    );

    #[test]
    fn what_wrk_says_is_read() {
        let round = parse(&format!("{SAID}Requests/sec:    200.00\nTransfer/sec:      2.40MB\n")).unwrap();
        assert_eq!((round.requests, round.requests_per_s, round.errors), (1000, 200.0, 0));
        assert_eq!((round.p50_us, round.p99_us), (1700.0, 3460.0));
    }

    #[test]
    fn refusals_and_broken_connections_are_no_requests() {
        let errors =
            "  Socket errors: connect 1, read 2, write 0, timeout 3\n  Non-2xx or 3xx responses: 250\n";
        let round = parse(&format!("{SAID}{errors}Requests/sec:    200.00\n")).unwrap();
        assert_eq!((round.requests, round.requests_per_s, round.errors), (750, 150.0, 256));
        assert!(parse("unable to connect to 127.0.0.1:1 Connection refused\n").is_err());
    }

    #[test]
    fn units() {
        for (text, us) in [("900.00us", 900.0), ("1.50ms", 1500.0), ("2.00s", 2e6), ("1.00m", 6e7)] {
            assert_eq!(micros(text).unwrap(), us, "{text}");
        }
        assert!(micros("3.00h").is_err() && micros("3").is_err());
    }
}
