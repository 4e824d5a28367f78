//! What functions wrote to stdout and stderr: the last lines of each, in memory and sealed on disk. It never
//! reads what they say.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use model::{FunctionName, RequestId, RevisionNumber, TenantId, Timestamp, limits};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

/// One line of a function's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Counts the lines of the function, from 1.
    pub seq: u64,
    /// When it was written.
    pub at: Timestamp,
    /// By which revision.
    pub revision: RevisionNumber,
    /// While answering which request.
    pub request: RequestId,
    /// `stdout`, `stderr`, or `platform` for what the platform says about a run.
    pub stream: String,
    /// The text, without its newline; what is not UTF-8 is replaced.
    pub text: String,
}

type Name = (TenantId, FunctionName);

/// The logs of all functions of a node.
#[derive(Debug, Default)]
pub(crate) struct LogBook {
    books: Mutex<HashMap<Name, Arc<FunctionLog>>>,
}

/// The log of one function.
#[derive(Debug, Default)]
pub(crate) struct FunctionLog {
    kept: Mutex<Kept>,
    grew: Notify,
}

#[derive(Debug, Default)]
struct Kept {
    lines: VecDeque<LogLine>,
    bytes: u64,
    newest: u64,
    unsaved_from: u64,
}

impl LogBook {
    pub(crate) fn of(&self, tenant: &TenantId, function: &FunctionName) -> Arc<FunctionLog> {
        let name = (tenant.clone(), function.clone());
        self.books.lock().entry(name).or_default().clone()
    }

    pub(crate) fn forget(&self, tenant: &TenantId, function: &FunctionName) {
        self.books.lock().remove(&(tenant.clone(), function.clone()));
    }

    /// Lines that are in memory alone, a batch for each function that has some; they count as saved from now.
    pub(crate) fn take_unsaved(&self) -> Vec<(Name, Vec<LogLine>)> {
        let books: Vec<_> = self.books.lock().iter().map(|(n, log)| (n.clone(), log.clone())).collect();
        books
            .into_iter()
            .map(|(name, log)| (name, log.take_unsaved()))
            .filter(|(_, l)| !l.is_empty())
            .collect()
    }
}

impl FunctionLog {
    /// Adds a line and numbers it.
    pub(crate) fn push(&self, mut line: LogLine) {
        let mut kept = self.kept.lock();
        kept.newest += 1;
        line.seq = kept.newest;
        kept.keep(line);
        drop(kept);
        self.grew.notify_waiters();
    }

    /// Puts back lines that were saved by an earlier process, in order.
    pub(crate) fn restore(&self, lines: Vec<LogLine>) {
        let mut kept = self.kept.lock();
        for line in lines {
            kept.newest = kept.newest.max(line.seq);
            kept.keep(line);
        }
        kept.unsaved_from = kept.newest + 1;
    }

    /// The lines after number `after`, at most `most`.
    pub(crate) fn after(&self, after: u64, most: usize) -> Vec<LogLine> {
        let kept = self.kept.lock();
        let from = kept.lines.partition_point(|line| line.seq <= after);
        kept.lines.iter().skip(from).take(most).cloned().collect()
    }

    /// The last `most` lines.
    pub(crate) fn last(&self, most: usize) -> Vec<LogLine> {
        let kept = self.kept.lock();
        let from = kept.lines.len().saturating_sub(most);
        kept.lines.iter().skip(from).cloned().collect()
    }

    /// Waits until there are lines after `after`.
    pub(crate) async fn wait_after(&self, after: u64) {
        loop {
            let grew = self.grew.notified();
            if self.kept.lock().newest > after {
                return;
            }
            grew.await;
        }
    }

    fn take_unsaved(&self) -> Vec<LogLine> {
        let mut kept = self.kept.lock();
        let from = kept.unsaved_from;
        kept.unsaved_from = kept.newest + 1;
        let start = kept.lines.partition_point(|line| line.seq < from);
        kept.lines.iter().skip(start).cloned().collect()
    }
}

impl Kept {
    fn keep(&mut self, line: LogLine) {
        self.bytes += weight(&line);
        self.lines.push_back(line);
        while self.bytes > limits::LOG_KEEP_BYTES {
            let Some(oldest) = self.lines.pop_front() else { break };
            self.bytes = self.bytes.saturating_sub(weight(&oldest));
        }
    }
}

fn weight(line: &LogLine) -> u64 {
    line.text.len() as u64 + 64
}

/// Cuts what a guest writes into lines; holds back an unfinished one until its end or the run's.
#[derive(Debug, Default)]
pub(crate) struct LineCutter {
    rest: Vec<u8>,
}

/// A longer line is cut here.
const LINE_BYTES_MAX: usize = 8 * 1024;

impl LineCutter {
    /// Takes bytes and calls `line` with each finished line.
    pub(crate) fn push(&mut self, bytes: &[u8], mut line: impl FnMut(String)) {
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            self.rest.extend_from_slice(piece);
            if self.rest.ends_with(b"\n") || self.rest.len() >= LINE_BYTES_MAX {
                self.finish(&mut line);
            }
        }
    }

    /// Calls `line` with what is left, if anything.
    pub(crate) fn finish(&mut self, mut line: impl FnMut(String)) {
        if self.rest.is_empty() {
            return;
        }
        let text = String::from_utf8_lossy(&self.rest);
        line(text.trim_end_matches(['\n', '\r']).replace(|c: char| c.is_control() && c != '\t', "\u{fffd}"));
        self.rest.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> LogLine {
        LogLine {
            seq: 0,
            at: Timestamp::default(),
            revision: RevisionNumber(1),
            request: RequestId::from_parts(Timestamp::default(), 0),
            stream: "stdout".into(),
            text: text.into(),
        }
    }

    fn cut(pieces: &[&str]) -> Vec<String> {
        let (mut cutter, mut lines) = (LineCutter::default(), Vec::new());
        for piece in pieces {
            cutter.push(piece.as_bytes(), |l| lines.push(l));
        }
        cutter.finish(|l| lines.push(l));
        lines
    }

    #[test]
    fn lines_are_cut() {
        assert_eq!(cut(&["a\nb", "c\n", "d"]), ["a", "bc", "d"]);
        assert_eq!(cut(&["\n\n"]), ["", ""]);
        assert_eq!(cut(&["a\x1b[31mb\r\n"]), ["a\u{fffd}[31mb"], "a terminal is never written to by a guest");
        assert_eq!(cut(&[&"x".repeat(LINE_BYTES_MAX + 5)])[0].len(), LINE_BYTES_MAX + 5);
    }

    #[test]
    fn old_lines_make_room() {
        let log = FunctionLog::default();
        for n in 0..2000 {
            log.push(line(&format!("{n} {}", "x".repeat(4096))));
        }
        let kept = log.after(0, usize::MAX);
        assert!(kept.len() < 1100 && kept.len() > 900, "{}", kept.len());
        assert_eq!(kept.last().unwrap().seq, 2000);
        assert_eq!(log.after(1999, 10).len(), 1);
        assert_eq!(log.last(3).len(), 3);
    }

    #[test]
    fn lines_are_saved_once_and_restored() {
        let book = LogBook::default();
        let (tenant, function) = ("t".parse().unwrap(), "f".parse().unwrap());
        let log = book.of(&tenant, &function);
        log.push(line("one"));
        log.push(line("two"));
        let saved = book.take_unsaved();
        assert_eq!(saved[0].1.len(), 2);
        assert!(book.take_unsaved().is_empty());
        let again = FunctionLog::default();
        again.restore(saved[0].1.clone());
        again.push(line("three"));
        let seqs: Vec<u64> = again.after(0, 9).iter().map(|l| l.seq).collect();
        assert_eq!(seqs, [1, 2, 3]);
        assert_eq!(again.take_unsaved().len(), 1);
    }
}
