//! The line of each run, written by hand: there is one for every request. It never takes another event.

use std::{cell::RefCell, fmt, io::Write, time::SystemTime};

use model::Timestamp;
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
    subscriber::Interest,
};
use tracing_subscriber::{Layer, layer::Context};

use super::lines::Lines;

/// The target of events that are runs.
const RUN: &str = "casemate::run";

/// Writes runs.
pub(super) struct Runs {
    pub(super) lines: Lines,
    pub(super) json: bool,
}

/// Leaves runs out, and gives all else to the layer in it.
pub(super) struct Others<L>(pub(super) L);

#[derive(Default)]
struct Scratch {
    line: Vec<u8>,
    second: u64,
    /// `2026-11-23T13:44:32`, of `second`.
    prefix: String,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl<S: Subscriber> Layer<S> for Runs {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() != RUN {
            return;
        }
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        SCRATCH.with_borrow_mut(|scratch| {
            let Scratch { line, second, prefix } = scratch;
            line.clear();
            if *second != now.as_secs() || prefix.is_empty() {
                *second = now.as_secs();
                *prefix = Timestamp::from_unix_ms(*second * 1000).to_string();
                prefix.truncate("2026-11-23T13:44:32".len());
            }
            line.extend_from_slice(if self.json { b"{\"timestamp\":\"" } else { b"" });
            line.extend_from_slice(prefix.as_bytes());
            line.push(b'.');
            micros(line, now.subsec_micros());
            line.extend_from_slice(if self.json { b"Z\",\"level\":\"INFO\"" } else { b"Z  INFO" });
            event.record(&mut Fields { line, json: self.json });
            line.extend_from_slice(if self.json { b",\"target\":\"casemate::run\"}\n" } else { b"\n" });
            self.lines.push(line);
        });
    }
}

fn micros(line: &mut Vec<u8>, micros: u32) {
    let mut unit = 100_000;
    while unit > 0 {
        line.push(b'0' + (micros / unit % 10) as u8);
        unit /= 10;
    }
}

struct Fields<'l> {
    line: &'l mut Vec<u8>,
    json: bool,
}

impl Fields<'_> {
    fn name(&mut self, field: &Field) {
        if self.json {
            self.line.extend_from_slice(b",\"");
            self.line.extend_from_slice(field.name().as_bytes());
            self.line.extend_from_slice(b"\":");
        } else {
            self.line.push(b' ');
            self.line.extend_from_slice(field.name().as_bytes());
            self.line.push(b'=');
        }
    }

    fn quoted(&mut self, text: &str) {
        let plain = |b: u8| (0x20..0x7f).contains(&b) && b != b'"' && b != b'\\';
        if text.bytes().all(plain) {
            self.line.push(b'"');
            self.line.extend_from_slice(text.as_bytes());
            self.line.push(b'"');
        } else if self.json {
            // Text always has a form in JSON, and writing to a vector cannot fail.
            let _ = serde_json::to_writer(&mut *self.line, text);
        } else {
            let _ = write!(self.line, "{text:?}");
        }
    }
}

impl Visit for Fields<'_> {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.name(field);
        let mut digits = [0_u8; 20];
        let (mut rest, mut used) = (value, 0);
        for slot in digits.iter_mut().rev() {
            *slot = b'0' + (rest % 10) as u8;
            (rest, used) = (rest / 10, used + 1);
            if rest == 0 {
                break;
            }
        }
        self.line.extend_from_slice(digits.get(20 - used..).unwrap_or_default());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.name(field);
        let _ = write!(self.line, "{value}");
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.name(field);
        let _ = write!(self.line, "{value}");
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.name(field);
        self.quoted(value);
    }

    /// What displays itself: an id.
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.name(field);
        if self.json {
            self.quoted(&format!("{value:?}"));
        } else {
            let _ = write!(self.line, "{value:?}");
        }
    }
}

impl<S: Subscriber, L: Layer<S>> Layer<S> for Others<L> {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if event.metadata().target() != RUN {
            self.0.on_event(event, context);
        }
    }

    fn on_register_dispatch(&self, subscriber: &tracing::Dispatch) {
        self.0.on_register_dispatch(subscriber);
    }

    fn on_layer(&mut self, subscriber: &mut S) {
        self.0.on_layer(subscriber);
    }

    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        self.0.register_callsite(metadata)
    }

    fn enabled(&self, metadata: &Metadata<'_>, context: Context<'_, S>) -> bool {
        self.0.enabled(metadata, context)
    }

    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        self.0.on_new_span(attributes, id, context);
    }

    fn on_record(&self, span: &span::Id, values: &span::Record<'_>, context: Context<'_, S>) {
        self.0.on_record(span, values, context);
    }

    fn on_enter(&self, id: &span::Id, context: Context<'_, S>) {
        self.0.on_enter(id, context);
    }

    fn on_exit(&self, id: &span::Id, context: Context<'_, S>) {
        self.0.on_exit(id, context);
    }

    fn on_close(&self, id: span::Id, context: Context<'_, S>) {
        self.0.on_close(id, context);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::prelude::*;

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn said(json: bool, what: impl FnOnce()) -> String {
        let sink = Sink::default();
        let (lines, flush) = Lines::start(sink.clone()).unwrap();
        let runs = Runs { lines: lines.clone(), json };
        let others =
            Others(tracing_subscriber::fmt::layer().with_writer(lines).with_ansi(false).without_time());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(runs).with(others), what);
        drop(flush);
        String::from_utf8(sink.0.lock().unwrap().clone()).unwrap()
    }

    fn run(path: &str) {
        tracing::info!(target: "casemate::run", request = %"01m8", tenant = "default", status = 200_u16, path);
    }

    #[test]
    fn a_run_is_a_line() {
        let text = said(false, || run("/a"));
        let (time, rest) = text.split_once(' ').unwrap();
        assert_eq!((time.len(), time.as_bytes()[10], time.as_bytes()[19]), (27, b'T', b'.'), "{time}");
        assert_eq!(rest, " INFO request=01m8 tenant=\"default\" status=200 path=\"/a\"\n");
    }

    #[test]
    fn a_run_is_an_object() {
        let text = said(true, || run("/a"));
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        for (key, expect) in [
            ("level", serde_json::json!("INFO")),
            ("request", serde_json::json!("01m8")),
            ("status", serde_json::json!(200)),
            ("path", serde_json::json!("/a")),
            ("target", serde_json::json!("casemate::run")),
        ] {
            assert_eq!(line[key], expect, "{text}");
        }
    }

    #[test]
    fn nobody_writes_a_line_into_another() {
        for path in ["/a\n2026-01-01T00:00:00Z  INFO forged", "/\"", "/\\", "/\u{1b}[31m", "/ä\u{202e}"] {
            let text = said(false, || run(path));
            assert_eq!(text.lines().count(), 1, "{text}");
            assert!(!text.contains('\u{1b}'), "{text:?}");
            let text = said(true, || run(path));
            let line: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(line["path"], path);
            assert_eq!(text.lines().count(), 1, "{text}");
        }
    }

    #[test]
    fn what_is_no_run_goes_its_own_way() {
        let text = said(false, || {
            tracing::warn!("a warning");
            run("/a");
        });
        assert_eq!(text.matches("a warning").count(), 1, "{text}");
        assert_eq!(text.matches("path=").count(), 1, "{text}");
    }
}
