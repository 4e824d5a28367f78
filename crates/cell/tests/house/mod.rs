//! What the tests of cells share: how a node with the probe in a worker's place is started, and a broker
//! that remembers. It never decides what is right.
#![allow(dead_code, clippy::allow_attributes, reason = "each test takes what it needs")]

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use cell::{
    BodyStream, Broker, CallError, Called, CellConfig, Cells, Code, LogStream, RequestBody, Run, Running,
};
use futures_util::StreamExt;
use http_body_util::BodyExt;
use model::{Fault, Limits, Outcome, TrustLabel, Usage, World};
use parking_lot::Mutex;

pub(crate) fn probe() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_cell-probe"))
}

pub(crate) fn guest(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guests/built").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Real workers.
pub(crate) fn real() -> CellConfig {
    CellConfig { workers: 1, ..CellConfig::new(probe()) }
}

/// Workers that play by a script.
pub(crate) fn playing(script: &str) -> CellConfig {
    CellConfig { worker_args: vec!["play".into(), script.into()], ..real() }
}

/// The worker itself: where it has a process namespace, the only child of what was spawned.
pub(crate) fn inner(pid: u32) -> u32 {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    children.split_whitespace().next().map_or(pid, |child| child.parse().unwrap())
}

pub(crate) fn any_code() -> Code {
    Code::new(b"any", World::P2).unwrap()
}

/// Remembers what it is told, and answers calls with one canned answer.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) log: Mutex<Vec<u8>>,
    pub(crate) calls: Mutex<Vec<String>>,
    pub(crate) ends: Mutex<Vec<(Usage, Outcome)>>,
    pub(crate) refuse: bool,
}

impl Broker for Memory {
    fn log(&self, _: LogStream, bytes: Bytes) {
        assert!(self.ends.lock().is_empty(), "a log after the end");
        self.log.lock().extend_from_slice(&bytes);
    }

    fn call(
        &self,
        request: http::Request<BodyStream>,
    ) -> std::pin::Pin<Box<dyn Future<Output = Called> + Send>> {
        assert!(self.ends.lock().is_empty(), "a call after the end");
        let (head, body) = request.into_parts();
        self.calls.lock().push(format!("{} {}", head.method, head.uri));
        let refuse = self.refuse;
        Box::pin(async move {
            if refuse {
                return Err(CallError::Denied);
            }
            if head.uri.path() == "/untaken" {
                let _held = body;
                return std::future::pending().await;
            }
            let asked: Vec<_> = body.collect().await;
            let asked: Vec<u8> = asked.into_iter().flat_map(|part| part.unwrap().to_vec()).collect();
            let answer = Bytes::from(format!("answer to {}", String::from_utf8_lossy(&asked)));
            let body: BodyStream = Box::pin(futures_util::stream::iter([Ok(answer)]));
            Ok(http::Response::builder().status(203).body(body).unwrap())
        })
    }

    fn calls_exhausted(&self) {
        assert!(self.ends.lock().is_empty(), "an end of calls after the end");
        self.calls.lock().push("one too many".into());
    }

    fn finished(&self, usage: Usage, outcome: Outcome) {
        self.ends.lock().push((usage, outcome));
    }
}

impl Memory {
    /// The one end that a run has, waited for.
    pub(crate) async fn end(&self) -> (Usage, Outcome) {
        for _ in 0..2_000 {
            if let [end] = &self.ends.lock()[..] {
                return end.clone();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{} ends", self.ends.lock().len());
    }
}

pub(crate) fn request(target: &str, body: RequestBody) -> http::Request<RequestBody> {
    http::Request::builder()
        .method("POST")
        .uri(format!("https://localhost{target}"))
        .header("host", "localhost")
        .body(body)
        .unwrap()
}

/// One run with usual limits.
pub(crate) fn run(cells: &Cells, code: &Code, target: &str, body: RequestBody) -> (Running, Arc<Memory>) {
    run_within(cells, code, target, body, Limits::default())
}

pub(crate) fn run_within(
    cells: &Cells,
    code: &Code,
    target: &str,
    body: RequestBody,
    limits: Limits,
) -> (Running, Arc<Memory>) {
    let broker = Arc::new(Memory::default());
    let heard: Arc<dyn Broker> = Arc::<Memory>::clone(&broker);
    let (code, trust) = (code.clone(), TrustLabel::default());
    let running = cells.run(Run { code, trust, limits, request: request(target, body), broker: heard });
    (running, broker)
}

pub(crate) fn empty() -> RequestBody {
    RequestBody::Full(Bytes::new())
}

/// The whole answer.
pub(crate) async fn answer(running: Running) -> Result<(u16, Bytes), Fault> {
    let (head, body) = running.await?.into_parts();
    Ok((head.status.as_u16(), body.collect().await?.to_bytes()))
}
