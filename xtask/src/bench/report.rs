//! What is reported, for people and for machines, and the little arithmetic between samples and figures. It never
//! measures.

use std::collections::BTreeMap;

use serde::Serialize;

/// Name → value, in the order of names.
pub type Named = BTreeMap<String, f64>;

/// One server under one closed-loop load, the median round.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    pub server: String,
    pub guest: &'static str,
    pub cores: usize,
    pub requests_per_s: f64,
    pub latency_us_p50: f64,
    pub latency_us_p99: f64,
    pub cpu_us_per_request: f64,
    pub rss_mib: f64,
    pub pss_mib: f64,
    pub errors: u64,
}

/// One stage of a request and what it costs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stage {
    pub stage: String,
    pub cpu_us: f64,
}

/// What machines read: one object on stdout.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Casemate's requests a second by a peer's.
    pub ratios: Named,
    /// Everything else, with units in the names.
    pub figures: Named,
    /// Peers and parts that could not be had, and why.
    pub absent: Vec<String>,
    /// Requests that two engines take differently, and how.
    pub differences: Vec<String>,
    /// Server by server.
    pub rows: Vec<Row>,
    /// Where the time of a request goes.
    pub stages: Vec<Stage>,
    /// What was measured on: cores, kernel, memory, date, seconds and rounds.
    pub machine: BTreeMap<String, String>,
}

impl Report {
    /// Notes a figure; one that is not a number is left out.
    pub fn figure(&mut self, name: &str, value: f64) {
        if value.is_finite() {
            self.figures.insert(name.to_owned(), round(value));
        }
    }

    /// Notes a ratio of two rates; nothing where one of them is not there.
    pub fn ratio(&mut self, name: &str, ours: Option<f64>, theirs: Option<f64>) {
        if let (Some(ours), Some(theirs)) = (ours, theirs)
            && theirs > 0.0
        {
            self.ratios.insert(name.to_owned(), round(ours / theirs));
        }
    }

    /// Says that something could not be had.
    pub fn absent(&mut self, what: &str, why: &str) {
        let line = format!("{what}: {}", why.lines().next().unwrap_or_default());
        eprintln!("   absent: {line}");
        self.absent.push(line);
    }

    /// Tables in Markdown.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let machine: Vec<String> = self.machine.iter().map(|(k, v)| format!("{k} {v}")).collect();
        text.push_str(&format!("{}\n", machine.join(" · ")));
        if !self.rows.is_empty() {
            text.push_str(
                "\n| server | guest | cores | requests/s | p50 / p99 ms | CPU µs/request | RSS / PSS MiB |\n",
            );
            text.push_str("|---|---|---|---|---|---|---|\n");
        }
        for row in &self.rows {
            let ms = |us: f64| us / 1000.0;
            text.push_str(&format!(
                "| {} | {} | {} | {:.0} | {:.2} / {:.2} | {:.1} | {:.0} / {:.0} |{}\n",
                row.server,
                row.guest,
                row.cores,
                row.requests_per_s,
                ms(row.latency_us_p50),
                ms(row.latency_us_p99),
                row.cpu_us_per_request,
                row.rss_mib,
                row.pss_mib,
                if row.errors > 0 { format!(" {} errors", row.errors) } else { String::new() }
            ));
        }
        // The rows' figures stand in the rows.
        let rows =
            |name: &str| ["rust_", "javascript_", "python_"].iter().any(|begin| name.starts_with(begin));
        let figures = self.figures.clone().into_iter().filter(|(name, _)| !rows(name)).collect();
        for (title, named) in [("ratio", &self.ratios), ("figure", &figures)] {
            if !named.is_empty() {
                text.push_str(&format!("\n| {title} | |\n|---|---|\n"));
            }
            for (name, value) in named {
                text.push_str(&format!("| `{name}` | {value} |\n"));
            }
        }
        if !self.stages.is_empty() {
            text.push_str("\n| stage | CPU µs/request |\n|---|---|\n");
        }
        for stage in &self.stages {
            text.push_str(&format!("| {} | {:.2} |\n", stage.stage, stage.cpu_us));
        }
        for difference in &self.differences {
            text.push_str(&format!("\n- {difference}"));
        }
        for absent in &self.absent {
            text.push_str(&format!("\nabsent: {absent}"));
        }
        text
    }
}

/// Three digits after the point say all that a measurement knows.
fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// The middle sample, or the mean of the two; nothing of none.
pub fn median(samples: &[f64]) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        n if n % 2 == 1 => sorted.get(middle).copied(),
        _ => Some((sorted.get(middle - 1)? + sorted.get(middle)?) / 2.0),
    }
}

/// The nearest-rank percentile; nothing of none.
pub fn percentile(samples: &[f64], percent: f64) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::{Report, Row, Stage, median, percentile};

    #[test]
    fn medians_and_percentiles() {
        for (samples, expect) in
            [(&[][..], None), (&[3.0], Some(3.0)), (&[9.0, 1.0, 4.0], Some(4.0)), (&[4.0, 1.0], Some(2.5))]
        {
            assert_eq!(median(samples), expect, "{samples:?}");
        }
        let hundred: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        for (percent, expect) in [(50.0, 50.0), (99.0, 99.0), (99.1, 100.0), (0.0, 1.0)] {
            assert_eq!(percentile(&hundred, percent), Some(expect), "{percent}");
        }
        assert_eq!(percentile(&[], 50.0), None);
    }

    #[test]
    fn ratios_want_both_and_figures_are_numbers() {
        let mut report = Report::default();
        report.ratio("a", Some(3.0), Some(2.0));
        report.ratio("b", Some(3.0), None);
        report.ratio("c", Some(3.0), Some(0.0));
        report.figure("d_us", 1.23456);
        report.figure("e_us", f64::NAN);
        assert_eq!(report.ratios.into_iter().collect::<Vec<_>>(), [("a".to_owned(), 1.5)]);
        assert_eq!(report.figures.into_iter().collect::<Vec<_>>(), [("d_us".to_owned(), 1.235)]);
    }

    #[test]
    fn machines_read_one_object_of_known_keys() {
        let mut report = Report::default();
        report.absent("deno", "npm is not there\nat all");
        report.stages.push(Stage { stage: "tls".into(), cpu_us: 1.5 });
        report.rows.push(Row {
            server: "hyper".into(),
            guest: "rust",
            cores: 1,
            requests_per_s: 10.0,
            latency_us_p50: 1000.0,
            latency_us_p99: 2000.0,
            cpu_us_per_request: 4.5,
            rss_mib: 1.0,
            pss_mib: 1.0,
            errors: 0,
        });
        let json = serde_json::to_value(&report).unwrap();
        let mut keys: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["absent", "differences", "figures", "machine", "ratios", "rows", "stages"]);
        assert_eq!(json["absent"][0], "deno: npm is not there");
        assert!(report.text().contains("| hyper | rust | 1 | 10 | 1.00 / 2.00 | 4.5 | 1 / 1 |"));
    }
}
