//! Workers that play by a script: one function for each. They never run a guest.

mod codes;
mod deaf;
mod heavy;

use std::{
    collections::{HashMap, VecDeque},
    io::{Read, Write},
    os::unix::net::UnixStream,
    process::ExitCode,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use cell::{
    Walls,
    protocol::{CallId, CodeId, LogStream, RequestHead, ResponseHead, RunId, ToNode, ToWorker, VERSION},
    wall::{self, WallKind},
};
use model::{Usage, limits};

/// Plays the script of this name, behind the walls of a worker.
pub(crate) fn play(name: &str) -> ExitCode {
    let (walls, entered) = wall::raise(WallKind::Worker).unwrap();
    let mut stage = Stage { socket: entered.input.into(), input: BytesMut::new(), out: BytesMut::new() };
    let script: fn(&mut Stage) = match name {
        "honest" => honest,
        "echo" => echo,
        "calls" => calls,
        "no-walls" => return ready(&mut stage, VERSION, Walls(0), honest),
        "no-seccomp" => return ready(&mut stage, VERSION, Walls(walls.0 & !Walls::SECCOMP.0), honest),
        "other-version" => return ready(&mut stage, VERSION + 1, walls, honest),
        "never-ready" => return forever(),
        "sleeps" => |_| {
            forever();
        },
        "garbage-first" => return garbage_first(&mut stage),
        "dies-first" => return ExitCode::FAILURE,
        "garbage" => garbage,
        "oversized" => oversized,
        "foreign-run" => |s| s.lie(|run| ToNode::Head { run: RunId(run.0 + 77), head: hello() }),
        "ready-twice" => |s| s.lie(|_| ToNode::Ready { version: VERSION, walls: Walls::REQUIRED }),
        "pong-unasked" => |s| s.lie(|_| ToNode::Pong { number: 1 << 40 }),
        "head-twice" => |s| s.lie_twice(|run| ToNode::Head { run, head: hello() }),
        "done-twice" => |s| s.lie_twice(done),
        "body-before-head" => |s| s.lie(|run| ToNode::Body { run, bytes: "x".into(), ends: true }),
        "body-after-end" => body_after_end,
        "body-beyond-window" => body_beyond_window,
        "body-beyond-limit" => body_beyond_limit,
        "end-without-answer" => |s| s.lie(done),
        "end-within-answer" => end_within_answer,
        "bad-status" => |s| s.lie(|run| ToNode::Head { run, head: head(7, &[]) }),
        "bad-header" => |s| s.lie(|run| ToNode::Head { run, head: head(200, &[("a b", "c")]) }),
        "split-header" => |s| s.lie(|run| ToNode::Head { run, head: head(200, &[("a", "b\r\nc: d")]) }),
        "headers-beyond-limit" => headers_beyond_limit,
        "loaded-unasked" => |s| s.lie(|_| ToNode::Loaded { code: CodeId(1) }),
        "load-failed-unasked" => load_failed_unasked,
        "credit-nothing" => |s| s.lie(|run| ToNode::Credit { run, bytes: 0 }),
        "length-too-low" => |s| s.on_start(|s, run| s.framed(12, run, 20)),
        "length-too-high" => |s| s.on_start(|s, run| s.framed(90_000, run, 20)),
        "replays" => replays,
        "writes-without-end" => writes_without_end,
        "forks" => forks,
        "log-beyond-limit" => log_beyond_limit,
        "credit-unearned" => |s| s.lie(|run| ToNode::Credit { run, bytes: 1_000 }),
        "call-unmade" => |s| s.lie(|run| ToNode::CallBody { run, call: 3, bytes: "x".into(), ends: true }),
        "call-twice" => |s| s.lie_twice(|run| call(run, 1)),
        "calls-beyond-limit" => calls_beyond_limit,
        "calls-exhausted-early" => |s| s.lie(|run| ToNode::CallsExhausted { run }),
        "calls-exhausted-twice" => calls_exhausted_twice,
        "call-beyond-window" => call_beyond_window,
        "heavy-twice" => |s| s.lie_twice(|run| ToNode::Heavy { run }),
        "heavy-foreign" => |s| s.lie(|run| ToNode::Heavy { run: RunId(run.0 + 77) }),
        "heavy-after-end" => heavy::after_end,
        "dies" => |s| s.on_start(|_, _| std::process::exit(3)),
        "dies-loading" => dies_loading,
        "dies-every-other" => dies_every_other,
        "killed-by-wall" => |s| s.on_start(|_, _| drop(std::fs::File::open("/etc/passwd"))),
        "silent" => |s| s.on_start(|_, _| {}),
        "never-reads" => deaf::never_reads,
        "deaf" => deaf::deaf,
        "refuses-code" => codes::refused,
        "noisy" => noisy,
        _ => return ExitCode::FAILURE,
    };
    ready(&mut stage, VERSION, walls, script)
}

/// In a compiler's place: takes memory until there is none.
pub(crate) fn eat() -> ExitCode {
    let _entered = wall::enter(WallKind::Compiler).unwrap();
    let mut eaten: Vec<Vec<u8>> = Vec::new();
    loop {
        eaten.push(vec![1; 64 << 20]);
    }
}

fn ready(stage: &mut Stage, version: u16, walls: Walls, script: fn(&mut Stage)) -> ExitCode {
    stage.say(&ToNode::Ready { version, walls });
    stage.flush();
    script(stage);
    ExitCode::SUCCESS
}

/// The socket, and what scripts do with it.
pub(crate) struct Stage {
    socket: UnixStream,
    input: BytesMut,
    out: BytesMut,
}

impl Stage {
    fn say(&mut self, frame: &ToNode) {
        frame.encode(&mut self.out).unwrap();
    }

    fn flush(&mut self) {
        let out = self.out.split();
        // A node that has had enough hangs up.
        if self.socket.write_all(&out).is_err() {
            std::process::exit(0);
        }
    }

    /// The next frame; ends the process when the node hangs up. Descriptors that come along are lost, which
    /// no script minds.
    fn hear(&mut self) -> ToWorker {
        loop {
            if let Some(frame) = ToWorker::decode(&mut self.input).unwrap() {
                return frame;
            }
            self.flush();
            let mut chunk = [0; 64 << 10];
            match self.socket.read(&mut chunk) {
                Ok(0) | Err(_) => std::process::exit(0),
                Ok(length) => self.input.extend_from_slice(chunk.get(..length).unwrap_or_default()),
            }
        }
    }

    /// Answers pings and loads honestly, and hands the rest on.
    fn next(&mut self) -> ToWorker {
        loop {
            match self.hear() {
                ToWorker::Ping { number } => self.say(&ToNode::Pong { number }),
                ToWorker::Load { code, .. } => self.say(&ToNode::Loaded { code }),
                other => return other,
            }
        }
    }

    fn on_start(&mut self, mut act: impl FnMut(&mut Self, RunId)) {
        loop {
            if let ToWorker::Start { run, .. } = self.next() {
                act(self, run);
            }
        }
    }

    fn lie(&mut self, lie: impl Fn(RunId) -> ToNode) {
        self.on_start(|s, run| s.say(&lie(run)));
    }

    /// An answer, and in it something that may be said but once.
    fn lie_twice(&mut self, lie: impl Fn(RunId) -> ToNode) {
        self.on_start(|s, run| {
            if !matches!(lie(run), ToNode::Head { .. }) {
                s.say(&ToNode::Head { run, head: hello() });
            }
            if matches!(lie(run), ToNode::Done { .. }) {
                s.say(&ToNode::Body { run, bytes: Bytes::new(), ends: true });
            }
            s.say(&lie(run));
            s.say(&lie(run));
        });
    }

    fn answer(&mut self, run: RunId, bytes: impl Into<Bytes>) {
        self.say(&ToNode::Head { run, head: hello() });
        self.say(&ToNode::Body { run, bytes: bytes.into(), ends: true });
        self.say(&done(run));
    }

    /// A body's frame that says one length and has another.
    fn framed(&mut self, says: u32, run: RunId, has: usize) {
        self.say(&ToNode::Head { run, head: hello() });
        self.flush();
        self.out.extend_from_slice(&says.to_le_bytes());
        self.out.extend_from_slice(&[5]);
        self.out.extend_from_slice(&run.0.to_le_bytes());
        self.out.extend_from_slice(&vec![0; has]);
    }

    /// Fills the answer's window and goes on, past `limit` if need be.
    fn pour(&mut self, run: RunId, bytes: u32) {
        self.say(&ToNode::Head { run, head: hello() });
        for _ in 0..bytes / PIECE {
            self.say(&ToNode::Body { run, bytes: vec![b'x'; PIECE as usize].into(), ends: false });
        }
        self.say(&ToNode::Body { run, bytes: "x".into(), ends: true });
        self.say(&done(run));
    }
}

const PIECE: u32 = 32 << 10;

fn head(status: u16, headers: &[(&'static str, &'static str)]) -> ResponseHead {
    ResponseHead { status, headers: headers.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect() }
}

fn hello() -> ResponseHead {
    head(200, &[("content-type", "text/plain")])
}

fn done(run: RunId) -> ToNode {
    ToNode::Done { run, usage: Usage::default(), fault: None }
}

fn call(run: RunId, call: CallId) -> ToNode {
    call_to(run, call, "/there?a=b")
}

fn call_to(run: RunId, call: CallId, target: &'static str) -> ToNode {
    let head = RequestHead {
        method: "POST".into(),
        scheme: "https".into(),
        authority: "example.org".into(),
        target: target.into(),
        headers: vec![("x-a".into(), "1".into())],
    };
    ToNode::Call { run, call, head }
}

fn honest(stage: &mut Stage) {
    stage.on_start(|s, run| s.answer(run, "hello"));
}

/// One body on its way back.
#[derive(Default)]
struct Echo {
    spent: u32,
    held: VecDeque<Bytes>,
    ended: bool,
}

/// Sends the request's body back, within both windows, and logs the target first.
fn echo(stage: &mut Stage) {
    let mut echoes: HashMap<RunId, Echo> = HashMap::new();
    loop {
        let run = match stage.next() {
            ToWorker::Start { run, head, body, body_ends, .. } => {
                stage.say(&ToNode::Log { run, stream: LogStream::Stdout, bytes: head.target });
                stage.say(&ToNode::Head { run, head: hello() });
                echoes.insert(run, Echo { spent: 0, held: [body].into(), ended: body_ends });
                run
            }
            ToWorker::Body { run, bytes, ends } => {
                let echo = echoes.get_mut(&run).unwrap();
                echo.held.push_back(bytes);
                echo.ended = ends;
                run
            }
            ToWorker::Credit { run, bytes } => {
                echoes.entry(run).and_modify(|echo| echo.spent -= bytes);
                run
            }
            ToWorker::Cancel { run } => {
                echoes.remove(&run);
                stage.say(&done(run));
                run
            }
            _ => continue,
        };
        let Some(echo) = echoes.get_mut(&run) else { continue };
        if echo.go_on(stage, run) {
            echoes.remove(&run);
        }
    }
}

impl Echo {
    /// Whether it is over.
    fn go_on(&mut self, stage: &mut Stage, run: RunId) -> bool {
        while let Some(piece) = self.held.pop_front() {
            let length = u32::try_from(piece.len()).unwrap();
            if length == 0 {
                continue;
            }
            if self.spent + length > limits::STREAM_WINDOW_BYTES {
                self.held.push_front(piece);
                return false;
            }
            self.spent += length;
            stage.say(&ToNode::Credit { run, bytes: length });
            stage.say(&ToNode::Body { run, bytes: piece, ends: false });
        }
        if self.ended {
            stage.say(&ToNode::Body { run, bytes: Bytes::new(), ends: true });
            stage.say(&done(run));
        }
        self.ended
    }
}

/// Calls out with a body, and answers with what came back.
fn calls(stage: &mut Stage) {
    loop {
        match stage.next() {
            ToWorker::Start { run, .. } => {
                stage.say(&ToNode::Head { run, head: hello() });
                stage.say(&call(run, 1));
                stage.say(&ToNode::CallBody { run, call: 1, bytes: "question".into(), ends: true });
            }
            ToWorker::CallHead { run, head, .. } => {
                let status = Bytes::from(format!("{}:", head.status));
                stage.say(&ToNode::Body { run, bytes: status, ends: false });
            }
            ToWorker::CallBody { run, call, bytes, ends } => {
                if !bytes.is_empty() {
                    let length = u32::try_from(bytes.len()).unwrap();
                    stage.say(&ToNode::Body { run, bytes, ends: false });
                    stage.say(&ToNode::CallCredit { run, call, bytes: length });
                }
                if ends {
                    stage.say(&ToNode::Body { run, bytes: Bytes::new(), ends: true });
                    stage.say(&done(run));
                }
            }
            ToWorker::CallFailed { run, why, .. } => {
                let why = format!("{why:?}");
                stage.say(&ToNode::Body { run, bytes: why.into(), ends: true });
                stage.say(&done(run));
            }
            _ => {}
        }
    }
}

fn forever() -> ExitCode {
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}

fn garbage_first(stage: &mut Stage) -> ExitCode {
    stage.out.extend_from_slice(&[0xff; 64]);
    stage.flush();
    forever()
}

fn garbage(stage: &mut Stage) {
    stage.on_start(|s, _| s.out.extend_from_slice(b"HTTP/1.1 200 OK\r\n\r\nthis is no frame"));
}

fn oversized(stage: &mut Stage) {
    stage.on_start(|s, _| s.out.extend_from_slice(&(limits::FRAME_BYTES_MAX + 1).to_le_bytes()));
}

fn body_after_end(stage: &mut Stage) {
    stage.on_start(|s, run| {
        s.say(&ToNode::Head { run, head: hello() });
        s.say(&ToNode::Body { run, bytes: "x".into(), ends: true });
        s.say(&ToNode::Body { run, bytes: "y".into(), ends: true });
    });
}

fn body_beyond_window(stage: &mut Stage) {
    stage.on_start(|s, run| s.pour(run, limits::STREAM_WINDOW_BYTES * 2));
}

fn body_beyond_limit(stage: &mut Stage) {
    // The test's runs may answer less than a window.
    stage.on_start(|s, run| s.pour(run, 4 * PIECE));
}

fn end_within_answer(stage: &mut Stage) {
    stage.on_start(|s, run| {
        s.say(&ToNode::Head { run, head: hello() });
        s.say(&ToNode::Body { run, bytes: "x".into(), ends: false });
        s.say(&done(run));
    });
}

fn headers_beyond_limit(stage: &mut Stage) {
    let mut lines = hello();
    lines.headers.push(("x".into(), vec![b'x'; 64 << 10].into()));
    stage.on_start(|s, run| s.say(&ToNode::Head { run, head: lines.clone() }));
}

fn log_beyond_limit(stage: &mut Stage) {
    stage.on_start(|s, run| {
        for _ in 0..5 {
            s.say(&ToNode::Log { run, stream: LogStream::Stderr, bytes: vec![b'l'; 32 << 10].into() });
        }
    });
}

fn calls_beyond_limit(stage: &mut Stage) {
    stage.on_start(|s, run| {
        for id in 1..100 {
            s.say(&call(run, id));
        }
    });
}

fn calls_exhausted_twice(stage: &mut Stage) {
    stage.on_start(|s, run| {
        for id in 1..=10 {
            s.say(&call(run, id));
        }
        s.say(&ToNode::CallsExhausted { run });
        s.say(&ToNode::CallsExhausted { run });
    });
}

fn call_beyond_window(stage: &mut Stage) {
    stage.on_start(|s, run| {
        s.say(&call_to(run, 1, "/untaken"));
        for _ in 0..16 {
            let bytes = vec![b'q'; PIECE as usize].into();
            s.say(&ToNode::CallBody { run, call: 1, bytes, ends: false });
        }
    });
}

/// Says over and over that code cannot be used: each would be a line in the node's log.
fn load_failed_unasked(stage: &mut Stage) {
    stage.on_start(|s, _| {
        for number in 0..1_000 {
            s.say(&ToNode::LoadFailed { code: CodeId(number), why: "because".into() });
        }
    });
}

/// Answers `/hold` after a second; says of `/lie` what it said of its first run, which is over.
fn replays(stage: &mut Stage) {
    let (mut held, mut pings) = (Vec::new(), 0);
    loop {
        match stage.hear() {
            ToWorker::Start { run, head, .. } if head.target == "/hold" => held.push(run),
            ToWorker::Start { head, .. } if head.target == "/lie" => {
                stage.say(&ToNode::Head { run: RunId(1), head: hello() });
            }
            ToWorker::Start { run, .. } => stage.answer(run, "hello"),
            ToWorker::Load { code, .. } => stage.say(&ToNode::Loaded { code }),
            ToWorker::Ping { number } => {
                stage.say(&ToNode::Pong { number });
                pings += 1;
                if pings > 4 {
                    held.drain(..).for_each(|run| stage.answer(run, "held"));
                }
            }
            _ => {}
        }
    }
}

/// Goes on about one call for ever, each word of it allowed, and reads nothing meanwhile.
fn writes_without_end(stage: &mut Stage) {
    stage.on_start(|s, run| {
        s.say(&call(run, 1));
        loop {
            for _ in 0..1_000 {
                s.say(&ToNode::CallDropped { run, call: 1 });
            }
            s.flush();
        }
    });
}

/// Tries to be two.
fn forks(stage: &mut Stage) {
    stage.on_start(|_, _| {
        let _child = crate::escape::fork();
    });
}

fn dies_loading(stage: &mut Stage) {
    while !matches!(stage.hear(), ToWorker::Load { .. }) {}
}

/// Dies at every second run: `/die` in its target.
fn dies_every_other(stage: &mut Stage) {
    loop {
        if let ToWorker::Start { run, head, .. } = stage.next() {
            if head.target == "/die" {
                std::process::exit(3);
            }
            stage.answer(run, "hello");
        }
    }
}

/// Writes far more to its standard error than anyone wants to read.
fn noisy(stage: &mut Stage) {
    stage.on_start(|s, run| {
        let mut error = std::io::stderr();
        for _ in 0..100 {
            let _unread = error.write_all(&[b'!'; 1024]);
        }
        s.answer(run, "hello");
    });
}
