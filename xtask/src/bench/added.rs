//! What Casemate adds to a function in CPU time: all that the node and its workers use, less what the worker's
//! own meter gives to instance and guest. It never guesses: both come from the same requests.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::{
    Bench,
    report::{Report, median},
    wrk::Load,
};
use crate::servers::{
    Pins,
    node::{Log, Node},
};

/// Windows of which the median is taken, at least.
const WINDOWS_MIN: usize = 5;

/// CPU time of one request in one window, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Split {
    /// In the node's process.
    pub(super) node: f64,
    /// In its workers.
    pub(super) worker: f64,
    /// Of the workers' time, what their meter gives to instance and guest.
    pub(super) metered: f64,
}

impl Split {
    /// All that is neither instance nor guest.
    pub(super) fn added(&self) -> f64 {
        self.node + self.worker - self.metered
    }
}

/// The figure, over TLS as the throughput is measured, and beside it on one connection and without TLS.
pub(super) fn run(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let pins = Pins::new(1);
    let node = Node::start(bench.tools, &pins, Log::Away)?;
    node.deploy("hello", &bench.tools.root.join("guests/built/hello.wasm"), "")?;
    for (suffix, base, connections) in
        [("", &node.functions, 32), ("_one_connection", &node.functions, 1), ("_plain", &node.plain, 32)]
    {
        let splits = windows(bench, &node, &format!("{base}/hello"), &pins, connections)?;
        let column = |of: fn(&Split) -> f64| median(&splits.iter().map(of).collect::<Vec<_>>());
        let mut figure = |name: &str, value: Option<f64>| {
            report.figure(&format!("{name}_cpu_us_p50{suffix}"), value.unwrap_or(f64::NAN));
        };
        figure("added", column(Split::added));
        figure("instance_and_guest", column(|split| split.metered));
        figure("node", column(|split| split.node));
        figure("worker", column(|split| split.worker));
    }
    Ok(())
}

/// Loads one function window by window; nothing else may call any function of the node meanwhile.
pub(super) fn windows(
    bench: &Bench<'_>,
    node: &Node,
    url: &str,
    pins: &Pins,
    connections: usize,
) -> Result<Vec<Split>> {
    let load = Load { url, token: Some(&node.token), pins };
    load.with(connections, Duration::from_secs(bench.seconds.min(2)))?;
    let mut splits = Vec::new();
    for _ in 0..bench.rounds.max(WINDOWS_MIN) {
        let (runs_before, metered_before) = node.metered()?;
        let before = parts(node);
        load.with(connections, Duration::from_secs(bench.seconds))?;
        let after = parts(node);
        let (runs_after, metered_after) = node.metered()?;
        let runs = runs_after.saturating_sub(runs_before) as f64;
        ensure!(runs > 0.0, "the node metered no run");
        let each = |after: u64, before: u64| after.saturating_sub(before) as f64 / runs;
        splits.push(Split {
            node: each(after.0, before.0),
            worker: each(after.1, before.1),
            metered: each(metered_after, metered_before),
        });
    }
    Ok(splits)
}

/// CPU time so far of the node's process, and of all below it.
fn parts(node: &Node) -> (u64, u64) {
    let root = node.process.id();
    node.process
        .cpu_us()
        .into_iter()
        .fold((0, 0), |(own, below), (id, us)| if id == root { (own + us, below) } else { (own, below + us) })
}

#[cfg(test)]
mod tests {
    #[test]
    fn added_is_all_but_instance_and_guest() {
        let split = super::Split { node: 25.0, worker: 24.0, metered: 20.0 };
        assert_eq!(split.added(), 29.0);
    }
}
