//! The node's end of the socket, as simple as can be: it sends, and sorts what comes by run.

use std::{
    collections::HashMap,
    fs,
    io::{IoSlice, Read, Write},
    mem::MaybeUninit,
    net::Shutdown,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::PathBuf,
    sync::{Mutex, Once, OnceLock},
    thread::JoinHandle,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use model::{Fault, Limits, Usage, World};
use rustix::{
    fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create},
    net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg},
};

use crate::{
    Walls,
    compile::child::compile,
    protocol::{CodeId, RequestHead, ResponseHead, RunId, ToNode, ToWorker},
    worker::{Prepared, WorkerError, tick},
};

type Known = HashMap<(String, World), Vec<u8>>;

/// A component and its compiled code, compiled once for all tests.
pub(super) struct Guest {
    name: String,
    bytes: Vec<u8>,
}

impl Guest {
    /// One of the functions that come built.
    pub(super) fn built(name: &str) -> Self {
        let built = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../guests/built");
        let path = built.join(format!("{name}.wasm"));
        Self { name: name.to_owned(), bytes: fs::read(&path).unwrap_or_else(|e| panic!("{path:?}: {e}")) }
    }

    pub(super) fn compiled(&self, world: World) -> Vec<u8> {
        static KNOWN: OnceLock<Mutex<Known>> = OnceLock::new();
        let mut known = KNOWN.get_or_init(Mutex::default).lock().unwrap();
        let key = (self.name.clone(), world);
        known.entry(key).or_insert_with(|| compile(world, &self.bytes).unwrap()).clone()
    }
}

/// What came of a run.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) head: Option<ResponseHead>,
    pub(super) body: Vec<u8>,
    pub(super) log: Vec<u8>,
    pub(super) ended: bool,
    pub(super) usage: Usage,
    pub(super) fault: Option<Fault>,
    pub(super) detail: String,
}

impl Outcome {
    pub(super) fn status(&self) -> Option<u16> {
        self.head.as_ref().map(|head| head.status)
    }
}

pub(super) fn body_of(outcome: &Outcome) -> &str {
    std::str::from_utf8(&outcome.body).unwrap()
}

pub(super) fn request(method: &str, target: &str) -> RequestHead {
    let copy = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    RequestHead {
        method: copy(method),
        scheme: copy("https"),
        authority: copy("cell.test"),
        target: copy(target),
        headers: vec![(copy("accept"), copy("*/*"))],
    }
}

pub(super) struct Node {
    pub(super) ready: ToNode,
    socket: UnixStream,
    input: BytesMut,
    worker: Option<JoinHandle<Result<(), WorkerError>>>,
    runs: u64,
    codes: u64,
    /// Whether credit is given for what comes.
    pub(super) generous: bool,
    /// Bodies not sent yet for want of credit.
    uploads: HashMap<RunId, Vec<u8>>,
}

impl Node {
    pub(super) fn start() -> Self {
        static TICKING: Once = Once::new();
        TICKING.call_once(|| tick::start().unwrap());
        let (socket, other) = UnixStream::pair().unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let worker =
            std::thread::spawn(move || Prepared::new()?.serve(OwnedFd::from(other), Walls::default()));
        let mut node = Self {
            ready: ToNode::Pong { number: 0 },
            socket,
            input: BytesMut::new(),
            worker: Some(worker),
            runs: 0,
            codes: 0,
            generous: true,
            uploads: HashMap::new(),
        };
        node.ready = node.next();
        node
    }

    pub(super) fn say(&mut self, frame: &ToWorker) {
        let mut bytes = BytesMut::new();
        frame.encode(&mut bytes).unwrap();
        self.say_bytes(&bytes);
    }

    pub(super) fn say_bytes(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
    }

    pub(super) fn hang_up(&mut self) {
        self.socket.shutdown(Shutdown::Both).unwrap();
    }

    pub(super) fn ended(&mut self) -> Result<(), WorkerError> {
        self.worker.take().unwrap().join().unwrap()
    }

    pub(super) fn next(&mut self) -> ToNode {
        loop {
            if let Some(frame) = ToNode::decode(&mut self.input).unwrap() {
                return frame;
            }
            let mut bytes = [0; 64 << 10];
            let read = self.socket.read(&mut bytes).unwrap();
            assert!(read > 0, "the worker hung up: {:?}", self.worker.take().map(JoinHandle::join));
            self.input.extend_from_slice(&bytes[..read]);
        }
    }

    pub(super) fn load(&mut self, guest: &Guest, world: World) -> CodeId {
        self.codes += 1;
        let code = CodeId(self.codes);
        self.load_bytes(code, world, &guest.compiled(world));
        assert_eq!(self.next(), ToNode::Loaded { code });
        code
    }

    pub(super) fn load_bytes(&mut self, code: CodeId, world: World, bytes: &[u8]) {
        let file = file_of(bytes);
        fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)
            .unwrap();
        self.send_file(code, world, file);
    }

    pub(super) fn load_unsealed(&mut self, code: CodeId, world: World, bytes: &[u8]) {
        self.send_file(code, world, file_of(bytes));
    }

    fn send_file(&mut self, code: CodeId, world: World, file: OwnedFd) {
        let mut frame = BytesMut::new();
        ToWorker::Load { code, world }.encode(&mut frame).unwrap();
        let fds = [file.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
        let sent = sendmsg(&self.socket, &[IoSlice::new(&frame)], &mut control, SendFlags::empty()).unwrap();
        assert_eq!(sent, frame.len());
    }

    pub(super) fn begin(
        &mut self,
        code: CodeId,
        limits: Limits,
        head: RequestHead,
        body: &[u8],
        ends: bool,
    ) -> RunId {
        self.runs += 1;
        let run = RunId(self.runs);
        let body = Bytes::copy_from_slice(body);
        self.say(&ToWorker::Start { run, code, limits, head, body, body_ends: ends });
        run
    }

    /// One run from start to end; a large body is sent as credit comes.
    pub(super) fn run(
        &mut self,
        code: CodeId,
        limits: Limits,
        method: &str,
        target: &str,
        body: &[u8],
    ) -> Outcome {
        let first = body.len().min(40_000);
        let run = self.begin(code, limits, request(method, target), &body[..first], first == body.len());
        if first < body.len() {
            self.uploads.insert(run, body[first..].to_vec());
            self.upload(run, 200_000);
        }
        self.finish(&[run]).remove(&run).unwrap()
    }

    fn upload(&mut self, run: RunId, credit: usize) {
        let Some(mut left) = self.uploads.remove(&run) else { return };
        let now: Vec<u8> = left.drain(..credit.min(left.len())).collect();
        for part in now.chunks(30_000) {
            self.say(&ToWorker::Body { run, bytes: Bytes::copy_from_slice(part), ends: false });
        }
        if left.is_empty() {
            self.say(&ToWorker::Body { run, bytes: Bytes::new(), ends: true });
        } else {
            self.uploads.insert(run, left);
        }
    }

    /// Listens until all of `runs` are done.
    pub(super) fn finish(&mut self, runs: &[RunId]) -> HashMap<RunId, Outcome> {
        let mut outcomes: HashMap<RunId, Outcome> = HashMap::new();
        let mut done = 0;
        while done < runs.len() {
            let frame = self.next();
            done += usize::from(self.sort(&mut outcomes, frame));
        }
        outcomes
    }

    fn sort(&mut self, outcomes: &mut HashMap<RunId, Outcome>, frame: ToNode) -> bool {
        match frame {
            ToNode::Head { run, head } => outcomes.entry(run).or_default().head = Some(head),
            ToNode::Body { run, bytes, ends } => {
                let outcome = outcomes.entry(run).or_default();
                assert!(!outcome.ended && outcome.head.is_some(), "a body out of order");
                outcome.body.extend_from_slice(&bytes);
                outcome.ended = ends;
                if self.generous && !bytes.is_empty() {
                    // It may have ended on the other side, and hung up.
                    let bytes = u32::try_from(bytes.len()).unwrap();
                    self.say(&ToWorker::Credit { run, bytes });
                }
            }
            ToNode::Credit { run, bytes } => self.upload(run, usize::try_from(bytes).unwrap()),
            ToNode::Log { run, bytes, .. } => {
                outcomes.entry(run).or_default().log.extend_from_slice(&bytes);
            }
            ToNode::Done { run, usage, fault } => {
                let outcome = outcomes.entry(run).or_default();
                outcome.usage = usage;
                if let Some((fault, detail)) = fault {
                    (outcome.fault, outcome.detail) = (Some(fault), detail);
                }
                self.uploads.remove(&run);
                return true;
            }
            ToNode::Heavy { .. } => {}
            other => panic!("not expected here: {other:?}"),
        }
        false
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _gone = self.socket.shutdown(Shutdown::Both);
        if let Some(worker) = self.worker.take()
            && !std::thread::panicking()
        {
            worker.join().unwrap().unwrap();
        }
    }
}

fn file_of(bytes: &[u8]) -> OwnedFd {
    let file = memfd_create("code", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    let mut file = fs::File::from(file);
    file.write_all(bytes).unwrap();
    OwnedFd::from(file)
}
