//! What functions used since they were deployed, counted without locks. It never decides what is too much.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use model::{Fault, Outcome, Usage};
use serde::{Deserialize, Serialize};

/// Totals of one function, over all its revisions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Totals {
    /// Runs that ended.
    pub runs: u64,
    /// Of them, those that ended in a fault.
    pub faults: u64,
    /// CPU time, in microseconds.
    pub cpu_us: u64,
    /// Time from start to end, all runs together, in microseconds.
    pub wall_us: u64,
    /// The most linear memory that one run held, in bytes.
    pub memory_bytes_peak: u64,
    /// Calls into the host.
    pub host_calls: u64,
    /// Request body bytes.
    pub request_bytes: u64,
    /// Answer body bytes.
    pub response_bytes: u64,
    /// Outbound calls.
    pub outbound_calls: u64,
}

/// The counters of one function, or of a node.
#[derive(Debug)]
pub(crate) struct Meter {
    runs: AtomicU64,
    faults: [AtomicU64; Fault::ALL.len()],
    faults_before: u64,
    cpu_us: AtomicU64,
    wall_us: AtomicU64,
    memory_bytes_peak: AtomicU64,
    host_calls: AtomicU64,
    request_bytes: AtomicU64,
    response_bytes: AtomicU64,
    outbound_calls: AtomicU64,
    saved: parking_lot::Mutex<Totals>,
}

impl Meter {
    /// Goes on from totals that were saved.
    pub(crate) fn resume(saved: Totals) -> Self {
        Self {
            runs: AtomicU64::new(saved.runs),
            faults: [const { AtomicU64::new(0) }; Fault::ALL.len()],
            faults_before: saved.faults,
            cpu_us: AtomicU64::new(saved.cpu_us),
            wall_us: AtomicU64::new(saved.wall_us),
            memory_bytes_peak: AtomicU64::new(saved.memory_bytes_peak),
            host_calls: AtomicU64::new(saved.host_calls),
            request_bytes: AtomicU64::new(saved.request_bytes),
            response_bytes: AtomicU64::new(saved.response_bytes),
            outbound_calls: AtomicU64::new(saved.outbound_calls),
            saved: parking_lot::Mutex::new(saved),
        }
    }

    /// Counts a run that ended.
    pub(crate) fn count(&self, usage: &Usage, outcome: &Outcome) {
        self.runs.fetch_add(1, Relaxed);
        if let Outcome::Failed(fault, _) = outcome {
            let slot = Fault::ALL.iter().position(|f| f == fault).unwrap_or_default();
            if let Some(counter) = self.faults.get(slot) {
                counter.fetch_add(1, Relaxed);
            }
        }
        self.cpu_us.fetch_add(usage.cpu_us, Relaxed);
        self.wall_us.fetch_add(usage.wall_us, Relaxed);
        self.memory_bytes_peak.fetch_max(usage.memory_bytes_peak, Relaxed);
        self.host_calls.fetch_add(usage.host_calls, Relaxed);
        self.request_bytes.fetch_add(usage.request_bytes, Relaxed);
        self.response_bytes.fetch_add(usage.response_bytes, Relaxed);
        self.outbound_calls.fetch_add(u64::from(usage.outbound_calls), Relaxed);
    }

    /// What was counted so far.
    pub(crate) fn totals(&self) -> Totals {
        Totals {
            runs: self.runs.load(Relaxed),
            faults: self.faults_before + self.faults.iter().map(|f| f.load(Relaxed)).sum::<u64>(),
            cpu_us: self.cpu_us.load(Relaxed),
            wall_us: self.wall_us.load(Relaxed),
            memory_bytes_peak: self.memory_bytes_peak.load(Relaxed),
            host_calls: self.host_calls.load(Relaxed),
            request_bytes: self.request_bytes.load(Relaxed),
            response_bytes: self.response_bytes.load(Relaxed),
            outbound_calls: self.outbound_calls.load(Relaxed),
        }
    }

    /// Faults of this process, by code; those that never happened are left out.
    pub(crate) fn faults(&self) -> Vec<(&'static str, u64)> {
        let counts = Fault::ALL.iter().zip(&self.faults).map(|(fault, n)| (fault.code(), n.load(Relaxed)));
        counts.filter(|(_, n)| *n > 0).collect()
    }

    /// The totals, if they have changed since the last call.
    pub(crate) fn take_unsaved(&self) -> Option<Totals> {
        let totals = self.totals();
        let mut saved = self.saved.lock();
        (*saved != totals).then(|| {
            *saved = totals;
            totals
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_resumes() {
        let meter = Meter::resume(Totals::default());
        assert_eq!(meter.take_unsaved(), None);
        let usage = Usage { cpu_us: 5, memory_bytes_peak: 10, outbound_calls: 1, ..Usage::default() };
        meter.count(&usage, &Outcome::Answered(200));
        meter.count(&usage, &Outcome::Failed(Fault::Trap, String::new()));
        let totals = meter.take_unsaved().unwrap();
        assert_eq!((totals.runs, totals.faults, totals.cpu_us, totals.memory_bytes_peak), (2, 1, 10, 10));
        assert_eq!(meter.faults(), [("trap", 1)]);
        assert_eq!(Meter::resume(totals).totals(), totals);
    }
}
