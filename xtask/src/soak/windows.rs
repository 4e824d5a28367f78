//! The friendly caller's samples as they come, and what they say of a piece of time. It never throws one away.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::Value;

/// One line of the load.
struct Window {
    at_ms: u64,
    us: Vec<f64>,
    /// By status, or that no answer came.
    failed: BTreeMap<String, u64>,
}

/// All lines so far.
#[derive(Clone, Default)]
pub struct Windows(Arc<Mutex<Vec<Window>>>);

/// The samples of a piece of time.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Phase {
    us: Vec<f64>,
    /// Requests that were not answered with 200.
    pub failed: u64,
}

impl Phase {
    /// The nearest-rank 99th percentile in milliseconds; not a number of none.
    pub fn p99_ms(&self) -> f64 {
        crate::bench::percentile(&self.us, 99.0).map_or(f64::NAN, |us| us / 1000.0)
    }

    /// The median in milliseconds.
    pub fn p50_ms(&self) -> f64 {
        crate::bench::percentile(&self.us, 50.0).map_or(f64::NAN, |us| us / 1000.0)
    }

    /// All samples of several pieces together.
    pub fn together<'a>(phases: impl Iterator<Item = &'a Self>) -> Self {
        phases.fold(Self::default(), |mut sum, phase| {
            sum.us.extend_from_slice(&phase.us);
            sum.failed += phase.failed;
            sum
        })
    }
}

impl Windows {
    /// Reads lines in the background until they end.
    pub fn follow(lines: impl Iterator<Item = Value> + Send + 'static) -> Self {
        let windows = Self::default();
        let own = windows.clone();
        std::thread::spawn(move || lines.for_each(|line| own.take(line)));
        windows
    }

    fn take(&self, line: Value) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(at_ms) = line["at_ms"].as_u64() else { return };
        let us =
            line["us"].as_array().map_or_else(Vec::new, |us| us.iter().filter_map(Value::as_f64).collect());
        let failed = serde_json::from_value(line["failed"].clone()).unwrap_or_default();
        seen.push(Window { at_ms, us, failed });
    }

    /// Windows that ended in a piece of time: a window's samples are at most a quarter of a second older.
    pub fn between(&self, from_ms: u64, until_ms: u64) -> Phase {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let inside = seen.iter().filter(|window| (from_ms..=until_ms).contains(&window.at_ms));
        inside.fold(Phase::default(), |mut phase, window| {
            phase.us.extend_from_slice(&window.us);
            phase.failed += window.failed.values().sum::<u64>();
            phase
        })
    }

    /// Answers, and what came in place of one: a status, or nothing.
    pub fn totals(&self) -> (u64, BTreeMap<String, u64>) {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let answered = seen.iter().map(|window| window.us.len() as u64).sum();
        let mut failed = BTreeMap::new();
        for (what, count) in seen.iter().flat_map(|window| &window.failed) {
            *failed.entry(what.clone()).or_default() += count;
        }
        (answered, failed)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Phase, Windows};

    #[test]
    fn samples_are_found_by_time() {
        let windows = Windows::default();
        windows.take(json!({ "at_ms": 1000, "us": [100, 200], "failed": {} }));
        windows.take(json!({ "at_ms": 1250, "us": [5000], "failed": { "503": 2 } }));
        windows.take(json!({ "answered": 3, "other": { "500": 2 } }));
        let quiet = windows.between(0, 1000);
        assert_eq!((quiet.us.len(), quiet.failed, quiet.p99_ms(), quiet.p50_ms()), (2, 0, 0.2, 0.1));
        let during = windows.between(1001, 2000);
        assert_eq!((during.us.len(), during.failed, during.p99_ms()), (1, 2, 5.0));
        assert!(windows.between(3000, 4000).p99_ms().is_nan());
        assert_eq!(windows.totals(), (3, [("503".to_owned(), 2)].into()));
        let both = Phase::together([&quiet, &during].into_iter());
        assert_eq!((both.us.len(), both.failed), (3, 2));
    }
}
