//! All that reaches the terminal: text or JSON, colours, tables, progress. It never decides what is said.

use std::{
    fmt::Display,
    io::{self, IsTerminal, Write},
    time::Duration,
};

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::exit::Failure;

/// How answers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// For programs: one document on stdout, or one a line where there is no end.
    Json,
}

/// A colour with a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ink {
    /// As it should be.
    Good,
    /// Not as it should be.
    Bad,
    /// Look at this.
    Warn,
    /// A heading.
    Strong,
    /// Of less weight.
    Faint,
}

/// Where a command writes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    format: Format,
    colour: bool,
    colour_errors: bool,
    live: bool,
}

impl Output {
    /// Looks at the terminal and the environment: colours obey `NO_COLOR` (<https://no-color.org>) and
    /// `TERM=dumb`, and nothing moves where stderr is no terminal.
    pub(crate) fn new(format: Format) -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|v| !v.is_empty());
        let plain = set("NO_COLOR") || std::env::var_os("TERM").is_some_and(|t| t == "dumb");
        let text = format == Format::Text;
        Self {
            format,
            colour: text && !plain && io::stdout().is_terminal(),
            colour_errors: text && !plain && io::stderr().is_terminal(),
            live: text && io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|t| t != "dumb"),
        }
    }

    /// Whether programs read this.
    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// One line of text for people, on stdout.
    pub(crate) fn say(&self, text: impl Display) {
        if !self.is_json() {
            write_out(format!("{text}\n").as_bytes());
        }
    }

    /// One line of text for people beside the answer, on stderr.
    pub(crate) fn note(&self, text: impl Display) {
        if !self.is_json() {
            write_err(&format!("{text}\n"));
        }
    }

    /// Bytes as they are, on stdout; where stdout is a terminal, as a line without what could steer it.
    pub(crate) fn bytes(&self, bytes: &[u8]) {
        if io::stdout().is_terminal() {
            let text = harmless(&String::from_utf8_lossy(bytes));
            let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
            write_out(format!("{text}{end}").as_bytes());
        } else {
            write_out(bytes);
        }
    }

    /// One JSON document, on stdout.
    pub(crate) fn json(&self, value: &impl Serialize) {
        let text = serde_json::to_string_pretty(value).unwrap_or_else(|e| format!("{{\"error\": \"{e}\"}}"));
        write_out(format!("{text}\n").as_bytes());
    }

    /// One JSON document on one line, on stdout.
    pub(crate) fn json_line(&self, value: &impl Serialize) {
        let text = serde_json::to_string(value).unwrap_or_else(|e| format!("{{\"error\": \"{e}\"}}"));
        write_out(format!("{text}\n").as_bytes());
    }

    /// A command's answer: the value itself for programs, what `text` makes of it for people.
    pub(crate) fn answer<T: Serialize>(&self, value: &T, text: impl FnOnce(&T) -> String) {
        if self.is_json() {
            self.json(value);
        } else {
            write_out(format!("{}\n", text(value).trim_end()).as_bytes());
        }
    }

    /// What went wrong, on stderr.
    pub(crate) fn failure(&self, failure: &Failure) {
        if self.is_json() {
            let value = serde_json::json!({ "error": {
                "message": failure.message,
                "next": failure.next,
                "code": failure.code,
                "request_id": failure.request_id,
                "exit": failure.exit as u8,
            }});
            write_err(&format!("{value}\n"));
            return;
        }
        let mut text = format!("{} {}\n", paint(self.colour_errors, Ink::Bad, "error:"), failure.message);
        if let Some(next) = &failure.next {
            text.push_str(&format!("{}  {next}\n", paint(self.colour_errors, Ink::Strong, "next:")));
        }
        if let Some(id) = &failure.request_id {
            text.push_str(&paint(self.colour_errors, Ink::Faint, &format!("request {id}")));
            text.push('\n');
        }
        write_err(&text);
    }

    /// Text in a colour, where colours are wanted.
    pub(crate) fn paint(&self, ink: Ink, text: &str) -> String {
        paint(self.colour, ink, text)
    }

    /// Columns under a heading, two spaces apart, without an edge.
    pub(crate) fn table(&self, head: &[&str], rows: &[Vec<String>]) -> String {
        let mut widths: Vec<usize> = head.iter().map(|cell| width(cell)).collect();
        for row in rows {
            for (slot, cell) in widths.iter_mut().zip(row) {
                *slot = (*slot).max(width(cell));
            }
        }
        let line = |cells: Vec<String>| {
            let padded = cells.iter().zip(&widths).map(|(cell, wide)| pad(cell, *wide));
            padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        let heading = line(head.iter().map(|cell| (*cell).to_owned()).collect());
        let mut text = self.paint(Ink::Faint, &heading);
        for row in rows {
            text.push('\n');
            text.push_str(&line(row.clone()));
        }
        text
    }

    /// Names and values, the values aligned.
    pub(crate) fn fields(&self, fields: &[(&str, String)]) -> String {
        let wide = fields.iter().map(|(name, _)| width(name)).max().unwrap_or(0);
        let line = |(name, value): &(&str, String)| {
            let mut rest = value.lines();
            let mut text =
                format!("{}  {}", self.paint(Ink::Faint, &pad(name, wide)), rest.next().unwrap_or_default());
            for more in rest {
                text.push_str(&format!("\n{}  {more}", " ".repeat(wide)));
            }
            text
        };
        fields.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    /// Shows that something goes on, where somebody watches.
    pub(crate) fn spinner(&self, text: impl Display) -> Progress {
        if !self.live {
            return Progress(None);
        }
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed:.dim}") {
            bar.set_style(style.tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ "));
        }
        bar.set_message(text.to_string());
        bar.enable_steady_tick(Duration::from_millis(80));
        Progress(Some(bar))
    }

    /// Shows how many of so many bytes have gone, where somebody watches.
    pub(crate) fn transfer(&self, text: impl Display, bytes: u64) -> Progress {
        if !self.live {
            return Progress(None);
        }
        let bar = ProgressBar::new(bytes);
        let template = "{msg} {bar:24} {binary_bytes} of {binary_total_bytes} {elapsed:.dim}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("━╸ "));
        }
        bar.set_message(text.to_string());
        Progress(Some(bar))
    }
}

/// Something under way; it disappears with this value.
pub(crate) struct Progress(Option<ProgressBar>);

impl Progress {
    /// Shows how far it has come; to be called with ever more.
    pub(crate) fn teller(&self) -> impl Fn(u64) + Send + Sync + use<> {
        let bar = self.0.clone();
        move |done| {
            if let Some(bar) = &bar {
                bar.set_position(done);
            }
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// Text of others without control characters, so that it cannot steer a terminal; newlines and tabs stay.
pub(crate) fn harmless(text: &str) -> String {
    let tame = |c: char| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c };
    text.chars().map(tame).collect()
}

/// A duration in microseconds, for people.
pub(crate) fn micros(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..1_000_000 => format!("{}.{:02} ms", us / 1_000, us % 1_000 / 10),
        _ => format!("{}.{:02} s", us / 1_000_000, us % 1_000_000 / 10_000),
    }
}

/// A size in bytes, for people.
pub(crate) fn size(bytes: u64) -> String {
    const KIB: u64 = 1024;
    const MIB: u64 = KIB * 1024;
    match bytes {
        0..KIB => format!("{bytes} B"),
        KIB..MIB => format!("{}.{} KiB", bytes / KIB, bytes % KIB * 10 / KIB),
        _ => format!("{}.{} MiB", bytes / MIB, bytes % MIB * 10 / MIB),
    }
}

fn paint(on: bool, ink: Ink, text: &str) -> String {
    let code = match ink {
        Ink::Good => "32",
        Ink::Bad => "1;31",
        Ink::Warn => "33",
        Ink::Strong => "1",
        Ink::Faint => "2",
    };
    if on { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
}

/// Characters that a text takes on the screen: escape sequences take none.
fn width(text: &str) -> usize {
    let mut count = 0;
    let mut escaped = false;
    for c in text.chars() {
        match (escaped, c) {
            (false, '\u{1b}') => escaped = true,
            (true, 'm') => escaped = false,
            (true, _) => {}
            (false, _) => count += 1,
        }
    }
    count
}

fn pad(text: &str, wide: usize) -> String {
    format!("{text}{}", " ".repeat(wide.saturating_sub(width(text))))
}

/// Whoever read has gone: there is nobody left to tell.
fn write_out(bytes: &[u8]) {
    let mut out = io::stdout().lock();
    if out.write_all(bytes).and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}

fn write_err(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> Output {
        Output { format: Format::Text, colour: false, colour_errors: false, live: false }
    }

    #[test]
    fn tables_align_what_is_painted_and_what_is_not() {
        let rows = vec![
            vec!["hello".to_owned(), paint(true, Ink::Good, "ok")],
            vec!["a".to_owned(), "refused".to_owned()],
        ];
        let text = plain().table(&["NAME", "STATE"], &rows);
        let starts: Vec<usize> = text.lines().map(|l| l.find(['S', '\u{1b}', 'r']).unwrap()).collect();
        assert_eq!(starts, [7, 7, 7], "{text}");
    }

    #[test]
    fn text_of_others_cannot_steer_a_terminal() {
        assert_eq!(harmless("a\u{1b}[2Jb\r\n\tc\u{9b}"), "a\u{fffd}[2Jb\u{fffd}\n\tc\u{fffd}");
    }

    #[test]
    fn figures_read_well() {
        let check = |us, expect: &str| assert_eq!(micros(us), expect);
        check(0, "0 µs");
        check(999, "999 µs");
        check(1_250, "1.25 ms");
        check(2_030_000, "2.03 s");
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(128 << 20), "128.0 MiB");
    }
}
