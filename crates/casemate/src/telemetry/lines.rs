//! Lines of the log on their way to stderr, written by a thread of their own. Whoever logs never waits for
//! whoever reads: what cannot be kept is counted, and the count is a line too.

use std::{
    io::{self, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use tracing_subscriber::fmt::MakeWriter;

/// How long lines gather before they are written.
const GATHER: Duration = Duration::from_millis(20);
/// Bytes that may wait to be written: some seconds of a busy node's lines.
const WAITING_BYTES_MAX: usize = 8 << 20;
/// How long the end of a process waits for the last lines to be taken.
const LAST: Duration = Duration::from_secs(1);

/// Where lines go.
#[derive(Clone)]
pub(crate) struct Lines(Arc<Shared>);

struct Shared {
    waiting: Mutex<Waiting>,
    come: Condvar,
    gone: Condvar,
}

#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    dropped: u64,
    closing: bool,
    /// Nothing is written any more.
    over: bool,
}

/// Writes the last lines when it is dropped.
pub(crate) struct Flush(Lines);

impl Lines {
    /// Starts the thread that writes to `sink`.
    ///
    /// # Errors
    /// If the system has no thread for it.
    pub(crate) fn start(sink: impl Write + Send + 'static) -> io::Result<(Self, Flush)> {
        let shared = Shared { waiting: Mutex::default(), come: Condvar::new(), gone: Condvar::new() };
        let lines = Self(Arc::new(shared));
        let writer = lines.clone();
        thread::Builder::new().name("log-writer".into()).spawn(move || writer.write_out(sink))?;
        Ok((lines.clone(), Flush(lines)))
    }

    /// Takes one or more whole lines.
    pub(super) fn push(&self, lines: &[u8]) {
        let mut waiting = self.lock();
        if waiting.bytes.len() + lines.len() > WAITING_BYTES_MAX || waiting.over {
            waiting.dropped += 1;
            return;
        }
        let first = waiting.bytes.is_empty();
        waiting.bytes.extend_from_slice(lines);
        drop(waiting);
        if first {
            self.0.come.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_out(&self, mut sink: impl Write) {
        let mut batch = Vec::new();
        loop {
            let waiting = self.lock();
            let idle = |waiting: &mut Waiting| waiting.bytes.is_empty() && !waiting.closing;
            let waiting = self.0.come.wait_while(waiting, idle).unwrap_or_else(PoisonError::into_inner);
            let open = |waiting: &mut Waiting| !waiting.closing;
            let gathered = self.0.come.wait_timeout_while(waiting, GATHER, open);
            let (mut waiting, _) = gathered.unwrap_or_else(PoisonError::into_inner);
            batch.clear();
            std::mem::swap(&mut batch, &mut waiting.bytes);
            let (dropped, closing) = (std::mem::take(&mut waiting.dropped), waiting.closing);
            drop(waiting);
            if dropped > 0 {
                // Writing to a vector cannot fail.
                let _ = writeln!(batch, "{dropped} lines of this log were dropped: nobody read them in time");
            }
            let written = sink.write_all(&batch).and_then(|()| sink.flush());
            if closing || written.is_err() {
                self.lock().over = true;
                self.0.gone.notify_all();
                return;
            }
        }
    }
}

impl Drop for Flush {
    fn drop(&mut self) {
        let lines = &self.0;
        let mut waiting = lines.lock();
        waiting.closing = true;
        lines.0.come.notify_one();
        let written = lines.0.gone.wait_timeout_while(waiting, LAST, |waiting| !waiting.over);
        drop(written);
    }
}

/// One event's text, which comes in one piece.
impl Write for &Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Passes on what is written, after it was let.
    struct Slow(mpsc::Sender<Vec<u8>>, mpsc::Receiver<()>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.1.recv();
            let _ = self.0.send(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn all_lines_are_written_in_their_order_the_last_at_the_end() {
        let (sender, written) = mpsc::channel();
        let (go, wait) = mpsc::channel();
        let (lines, flush) = Lines::start(Slow(sender, wait)).unwrap();
        (0..1000).for_each(|n| lines.push(format!("{n}\n").as_bytes()));
        drop(go);
        drop(flush);
        let text: Vec<u8> = written.try_iter().flatten().collect();
        let expect: String = (0..1000).map(|n| format!("{n}\n")).collect();
        assert_eq!(String::from_utf8(text).unwrap(), expect);
    }

    #[test]
    fn who_does_not_read_holds_nobody_up() {
        let (sender, written) = mpsc::channel();
        let (go, wait) = mpsc::channel();
        let (lines, flush) = Lines::start(Slow(sender, wait)).unwrap();
        let line = vec![b'x'; 1 << 20];
        // Nobody reads: this returns all the same.
        (0..64).for_each(|_| lines.push(&line));
        drop(go);
        drop(flush);
        let text: Vec<u8> = written.iter().flatten().collect();
        assert!(text.len() <= 2 * WAITING_BYTES_MAX + 100, "{}", text.len());
        assert!(String::from_utf8_lossy(&text).contains("lines of this log were dropped"));
    }
}
