//! Counters of the gateway, and the Prometheus text of everything that is counted. It never counts a run:
//! `platform` does.

use std::sync::atomic::AtomicU64;

use platform::Metrics as PlatformMetrics;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, text::encode},
    metrics::{
        counter::{ConstCounter, Counter},
        family::Family,
        gauge::ConstGauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

/// Functions that have lines of their own; the rest are summed up as `other`.
const FUNCTIONS_MAX: usize = 1_000;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Status {
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Code {
    code: &'static str,
}

/// What the gateway counts itself.
pub(crate) struct Metrics {
    registry: Registry,
    answers: Family<Status, Counter>,
    refusals: Family<Code, Counter>,
    seconds: Histogram,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("casemate");
        let (answers, refusals) = (Family::<Status, Counter>::default(), Family::<Code, Counter>::default());
        let seconds = Histogram::new(exponential_buckets(0.001, 2.0, 16));
        registry.register("answers", "Answers to callers of functions, by status", answers.clone());
        registry.register("refusals", "Requests that got a problem document, by code", refusals.clone());
        let help = "From the head of a request to the head of its answer";
        registry.register_with_unit("answer", help, Unit::Seconds, seconds.clone());
        Self { registry, answers, refusals, seconds }
    }

    pub(crate) fn answered(&self, status: u16, took_ms: u64) {
        self.answers.get_or_create(&Status { status }).inc();
        self.seconds.observe(took_ms as f64 / 1_000.0);
    }

    pub(crate) fn refused(&self, code: &'static str) {
        self.refusals.get_or_create(&Code { code }).inc();
    }

    /// All of it as OpenMetrics text.
    pub(crate) fn text(&self, platform: PlatformMetrics, connections: usize) -> String {
        let mut text = String::new();
        let mut now = Registry::with_prefix("casemate");
        now.register_collector(Box::new(Now { platform, connections }));
        // Writing to a string does not fail; each part ends with `# EOF`, which only the last may have.
        let _written = encode(&mut text, &self.registry);
        text.truncate(text.trim_end_matches("# EOF\n").len());
        let _written = encode(&mut text, &now);
        text
    }
}

/// What is counted elsewhere, at one moment.
#[derive(Debug)]
struct Now {
    platform: PlatformMetrics,
    connections: usize,
}

impl Collector for Now {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let gauges = [
            ("connections", "Open connections", self.connections),
            ("record_waiting", "Events that wait to be durable", self.platform.record_waiting),
            ("places_free", "Runs that could start at once", self.platform.places_free),
            ("runs", "Runs under way", self.platform.runs),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(value as i64);
            let metric = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
            gauge.encode(metric)?;
        }
        let replaced = ConstCounter::new(self.platform.workers_replaced);
        let help = "Worker processes that were replaced since the start";
        replaced.encode(encoder.encode_descriptor(
            "workers_replaced",
            help,
            None,
            replaced.metric_type(),
        )?)?;
        self.sinks(&mut encoder)?;
        self.functions(&mut encoder)
    }
}

type OfSink = fn(&platform::SinkView) -> u64;

type Read = fn(&platform::Totals) -> u64;

impl Now {
    fn sinks(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let counters: [(&str, &str, OfSink); 3] = [
            ("sink_delivered", "Events that a sink took", |sink| sink.delivered),
            ("sink_dropped", "Records that were passed over since a sink was too far behind", |sink| {
                sink.dropped
            }),
            ("sink_refused", "Events that a sink refused for good", |sink| sink.refused),
        ];
        let gauges: [(&str, &str, OfSink); 2] = [
            ("sink_behind", "Records that a sink was not asked about yet", |sink| sink.behind),
            ("sink_failing", "Whether the last delivery failed", |sink| sink.failing.is_some().into()),
        ];
        for (name, help, read) in counters {
            let kind = ConstCounter::new(0_u64).metric_type();
            let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
            for sink in &self.platform.sinks {
                let labels = [("sink", sink.name.as_str())];
                ConstCounter::new(read(sink)).encode(metric.encode_family(&labels)?)?;
            }
        }
        for (name, help, read) in gauges {
            let kind = ConstGauge::new(0_i64).metric_type();
            let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
            for sink in &self.platform.sinks {
                let labels = [("sink", sink.name.as_str())];
                let value = i64::try_from(read(sink)).unwrap_or(i64::MAX);
                ConstGauge::new(value).encode(metric.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn functions(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let families: [(&str, &str, Read); 5] = [
            ("function_runs", "Runs that ended", |t| t.runs),
            ("function_faults", "Runs that ended in a fault", |t| t.faults),
            ("function_cpu_microseconds", "CPU time of runs", |t| t.cpu_us),
            ("function_wall_microseconds", "Time from start to end of runs", |t| t.wall_us),
            ("function_host_calls", "Calls from guests into the host", |t| t.host_calls),
        ];
        let (named, rest) =
            self.platform.functions.split_at(FUNCTIONS_MAX.min(self.platform.functions.len()));
        for (name, help, read) in families {
            let kind = ConstCounter::new(0_u64).metric_type();
            let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
            for function in named {
                let labels = [("tenant", function.tenant.as_str()), ("function", function.function.as_str())];
                ConstCounter::new(read(&function.totals)).encode(metric.encode_family(&labels)?)?;
            }
            if !rest.is_empty() {
                let sum: u64 = rest.iter().map(|f| read(&f.totals)).sum();
                let labels = [("tenant", "other"), ("function", "other")];
                ConstCounter::new(sum).encode(metric.encode_family(&labels)?)?;
            }
        }
        let kind = Counter::<u64, AtomicU64>::default().metric_type();
        let mut metric =
            encoder.encode_descriptor("faults", "Faults since the start, by code", None, kind)?;
        let mut sums = std::collections::BTreeMap::new();
        for (code, count) in self.platform.functions.iter().flat_map(|f| &f.faults) {
            *sums.entry(*code).or_insert(0_u64) += count;
        }
        for (code, count) in sums {
            ConstCounter::new(count).encode(metric.encode_family(&[("code", code)])?)?;
        }
        Ok(())
    }
}
