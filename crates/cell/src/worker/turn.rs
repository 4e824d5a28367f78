//! The turns of a worker: read, let runs go on, write. It never waits for one run while another may go on.

use std::{
    cell::Cell,
    collections::VecDeque,
    os::fd::OwnedFd,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use model::{Fault, Limits, World, limits};
use rustix::time::{ClockId, clock_gettime};

use super::{
    WorkerError,
    answer::answer,
    code::{Code, Mappings},
    hub::{Hub, RunWaker},
    run::{Failure, Run, Stage},
    socket::Socket,
};
use crate::{
    engine::{Engines, StackClass},
    protocol::{CodeId, Numbered, RequestHead, RunId, ToNode, ToWorker},
};

/// How long runs may go on before the socket is looked at again.
const TURN: Duration = Duration::from_millis(2);
/// CPU time beyond which a run is worn.
const WORN: Duration = Duration::from_millis(limits::WORN_CPU_MS);
/// Bytes that may wait to be written before runs have to wait.
const OUT_BYTES_MAX: usize = 8 << 20;

/// One run under way.
struct Task {
    run: Arc<Run>,
    future: Pin<Box<dyn Future<Output = Result<(), Failure>>>>,
    waker: Waker,
    flag: Arc<RunWaker>,
    cpu: Duration,
    started: Instant,
}

/// The state of a worker between its turns.
pub(super) struct Worker {
    engines: &'static Engines,
    socket: Socket,
    hub: Arc<Hub>,
    input: BytesMut,
    descriptors: VecDeque<OwnedFd>,
    codes: Numbered<CodeId, Code>,
    mappings: Mappings,
    tasks: Numbered<RunId, Task>,
    born: Instant,
    alarm: Alarm,
    /// CPU time of this thread when it was last looked at within this turn.
    cpu: Cell<Option<Duration>>,
}

impl Worker {
    pub(super) fn new(engines: &'static Engines, socket: OwnedFd) -> std::io::Result<Self> {
        Ok(Self {
            engines,
            socket: Socket::new(socket)?,
            hub: Arc::default(),
            input: BytesMut::new(),
            descriptors: VecDeque::new(),
            codes: Numbered::default(),
            mappings: Mappings::default(),
            tasks: Numbered::default(),
            born: Instant::now(),
            alarm: Alarm::default(),
            cpu: Cell::new(None),
        })
    }

    pub(super) fn say(&self, frame: &ToNode) {
        // INVARIANT: whoever calls this has a frame of bounded size.
        let _fits = self.hub.send(frame);
    }

    /// One turn. Ready when the node hung up or cannot be understood.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), WorkerError>> {
        let start = Instant::now();
        self.hub.begin(cx.waker(), self.since_birth(start));
        self.cpu.set(None);
        let over = self.turn(cx, start);
        self.hub.end();
        if let Poll::Ready(result) = over {
            return Poll::Ready(result);
        }
        if let Poll::Ready(Err(error)) = self.write(cx) {
            return Poll::Ready(Err(error.into()));
        }
        if self.hub.has_ready() && !self.is_full() {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    fn turn(&mut self, cx: &mut Context<'_>, start: Instant) -> Poll<Result<(), WorkerError>> {
        while let Poll::Ready(read) = self.socket.poll_read(cx, &mut self.input, &mut self.descriptors) {
            if !read? {
                return Poll::Ready(Ok(()));
            }
            while let Some(frame) = ToWorker::decode(&mut self.input)? {
                self.hear(frame)?;
            }
            if start.elapsed() > TURN {
                cx.waker().wake_by_ref();
                break;
            }
        }
        if self.alarm.rang(cx) {
            self.end_overdue(start);
        }
        self.let_go_on(start);
        self.alarm.arm(cx, self.born);
        Poll::Pending
    }

    /// Those that are not worn go on as long as the turn lasts, then one that is, whatever the others do:
    /// nobody waits for two that compute, and nobody waits for ever.
    fn let_go_on(&mut self, start: Instant) {
        while !self.is_full()
            && let Some(id) = self.hub.next_fresh()
        {
            self.go_on(id);
            if start.elapsed() > TURN {
                break;
            }
        }
        if !self.is_full()
            && let Some(id) = self.hub.next_worn()
        {
            self.go_on(id);
        }
    }

    fn write(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let Self { hub, socket, .. } = self;
        hub.with_out(|out| socket.poll_write(cx, out))
    }

    fn is_full(&self) -> bool {
        self.hub.with_out(|out| out.len() > OUT_BYTES_MAX)
    }

    fn hear(&mut self, frame: ToWorker) -> Result<(), WorkerError> {
        match frame {
            ToWorker::Load { code, world } => self.load(code, world)?,
            ToWorker::Unload { code } => {
                self.codes.remove(&code);
                self.mappings.sweep();
            }
            ToWorker::Start { run, code, limits, head, body, body_ends } => {
                if self.tasks.contains_key(&run) {
                    return Err(WorkerError::OutOfOrder("a run that goes on already"));
                }
                self.start(run, code, limits, head, body, body_ends);
            }
            ToWorker::Body { run, bytes, ends } => self.receive(run, bytes, ends),
            ToWorker::Credit { run, bytes } => self.with(run, |run| run.credit.add(bytes)),
            ToWorker::Cancel { run } => self.end(run, Err((Fault::CallerGone, "cancelled".to_owned()))),
            ToWorker::CallHead { run, call, head } => {
                self.with_call(run, call, |call| call.answered(head));
            }
            ToWorker::CallBody { run, call, bytes, ends } => {
                self.with_call(run, call, |call| call.body.push(bytes, ends));
            }
            ToWorker::CallFailed { run, call, why } => self.with_call(run, call, |call| call.failed(why)),
            ToWorker::CallCredit { run, call, bytes } => {
                self.with_call(run, call, |call| call.credit.add(bytes));
            }
            ToWorker::Ping { number } => self.say(&ToNode::Pong { number }),
        }
        Ok(())
    }

    // Frames about a run that has ended crossed its end on the way: they are passed over.
    fn with(&self, run: RunId, act: impl FnOnce(&Run)) {
        if let Some(task) = self.tasks.get(&run) {
            act(&task.run);
        }
    }

    fn with_call(&self, run: RunId, call: u32, act: impl FnOnce(&super::calls::Call)) {
        self.with(run, |run| {
            let call = run.calls.lock().get(&call).cloned();
            if let Some(call) = call {
                act(&call);
            }
        });
    }

    fn load(&mut self, code: CodeId, world: World) -> Result<(), WorkerError> {
        let file =
            self.descriptors.pop_front().ok_or(WorkerError::OutOfOrder("code without a descriptor"))?;
        self.mappings.sweep();
        let frame = match Code::load(self.engines, &self.mappings, world, file) {
            Ok(loaded) => {
                self.codes.insert(code, loaded);
                ToNode::Loaded { code }
            }
            Err(error) => ToNode::LoadFailed { code, why: error.to_string() },
        };
        self.say(&frame);
        Ok(())
    }

    fn start(&mut self, id: RunId, code: CodeId, limits: Limits, head: RequestHead, body: Bytes, ends: bool) {
        let run = Arc::new(Run::new(id, limits, Arc::clone(&self.hub)));
        let refuse = |fault, why: String| run.finish(Duration::ZERO, Duration::ZERO, Some((fault, why)));
        if self.tasks.len() >= usize::try_from(limits::WORKER_RUNS_MAX).unwrap_or(usize::MAX) {
            return refuse(Fault::NodeBusy, "every slot of this worker is taken".to_owned());
        }
        let class = StackClass::holding(limits.stack_bytes);
        let loaded = match self.codes.get(&code).map(|code| code.class(self.engines, &self.mappings, class)) {
            Some(Ok(loaded)) => loaded,
            Some(Err(error)) => return refuse(Fault::WorkerDied, error.to_string()),
            None => return refuse(Fault::WorkerDied, "its code is not loaded here".to_owned()),
        };
        let header_bytes: usize = head.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        let head_bytes = u64::try_from(header_bytes + head.target.len()).unwrap_or(u64::MAX);
        if head_bytes > limits.request_header_bytes {
            return refuse(Fault::RequestHeaderLimit, format!("{head_bytes} bytes of headers and target"));
        }
        if !run.receive(body, ends) {
            return refuse(Fault::RequestBodyLimit, "the first part is too large already".to_owned());
        }
        let flag = self.hub.waker(id);
        let waker = Waker::from(Arc::clone(&flag));
        let future = Box::pin(answer(loaded, Arc::clone(&run), head));
        waker.wake_by_ref();
        let started = Instant::now();
        let task = Task { run, future, waker, flag, cpu: Duration::ZERO, started };
        self.tasks.insert(id, task);
    }

    fn receive(&mut self, id: RunId, bytes: Bytes, ends: bool) {
        let Some(task) = self.tasks.get(&id) else { return };
        if !task.run.receive(bytes, ends) {
            let limit = task.run.limits.request_body_bytes;
            self.end(id, Err((Fault::RequestBodyLimit, format!("more than {limit} bytes of body"))));
        }
    }

    /// Lets one run go on until it waits, yields or ends.
    fn go_on(&mut self, id: RunId) {
        // What woke it may be older than its end.
        let Some(task) = self.tasks.get_mut(&id) else { return };
        task.flag.lower();
        let before = self.cpu.get().unwrap_or_else(cpu_time);
        let polled = task.future.as_mut().poll(&mut Context::from_waker(&task.waker));
        self.hub.paused();
        let after = cpu_time();
        self.cpu.set(Some(after));
        task.cpu += after.saturating_sub(before);
        let limit = task.run.limits.cpu_ms;
        if let Poll::Ready(ending) = polled {
            self.end(id, ending);
        } else if let Some(failure) = task.run.failure() {
            self.end(id, Err(failure));
        } else if task.cpu > Duration::from_millis(limit) {
            self.end(id, Err((Fault::CpuLimit, format!("more than {limit} ms of CPU time"))));
        } else {
            self.alarm.want(task.run.due().0);
            if task.cpu > WORN && task.flag.wear() {
                task.run.worn();
            }
        }
    }

    fn end(&mut self, id: RunId, ending: Result<(), Failure>) {
        let Some(mut task) = self.tasks.remove(&id) else { return };
        if !matches!(ending, Ok(())) || task.run.stage() != Stage::Ended {
            // Unwinding a guest takes time too, and it is the guest's.
            let before = cpu_time();
            task.future = Box::pin(async { Ok(()) });
            let after = cpu_time();
            self.cpu.set(Some(after));
            task.cpu += after.saturating_sub(before);
        }
        task.run.finish(task.cpu, task.started.elapsed(), ending.err());
    }

    fn end_overdue(&mut self, now: Instant) {
        let now = self.since_birth(now);
        let mut overdue = Vec::new();
        for (id, task) in &self.tasks {
            let (due, fault) = task.run.due();
            if due <= now {
                overdue.push((*id, fault));
            } else {
                self.alarm.want(due);
            }
        }
        for (id, fault) in overdue {
            self.end(id, Err((fault, fault.sentence().to_owned())));
        }
    }

    fn since_birth(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.born).as_millis()).unwrap_or(u64::MAX)
    }
}

/// Rings when some run may be overdue. It rings too early rather than being set anew for every run.
#[derive(Default)]
struct Alarm {
    sleep: Option<Pin<Box<tokio::time::Sleep>>>,
    armed_ms: Option<u64>,
    wanted_ms: Option<u64>,
}

impl Alarm {
    /// Some run is due then, in milliseconds since the worker's start.
    fn want(&mut self, due_ms: u64) {
        self.wanted_ms = Some(self.wanted_ms.map_or(due_ms, |wanted| wanted.min(due_ms)));
    }

    fn rang(&mut self, cx: &mut Context<'_>) -> bool {
        let rang = self.armed_ms.is_some()
            && self.sleep.as_mut().is_some_and(|sleep| sleep.as_mut().poll(cx).is_ready());
        if rang {
            self.armed_ms = None;
        }
        rang
    }

    fn arm(&mut self, cx: &mut Context<'_>, born: Instant) {
        let Some(wanted) = self.wanted_ms.take() else { return };
        if self.armed_ms.is_some_and(|armed| armed <= wanted) {
            return;
        }
        self.armed_ms = Some(wanted);
        // One millisecond more, since times are rounded down.
        let when = tokio::time::Instant::from_std(born + Duration::from_millis(wanted.saturating_add(1)));
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(when)));
        sleep.as_mut().reset(when);
        if sleep.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }
}

/// CPU time of this thread.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}
