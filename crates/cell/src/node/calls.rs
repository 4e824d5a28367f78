//! Outbound calls of runs: the worker's frames become a request to the broker, the broker's answer becomes
//! frames. It never decides whether a call may be made: the broker does.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use model::limits;
use tokio::{
    sync::{Semaphore, mpsc},
    task::AbortHandle,
};

use super::{
    link::Link,
    live::{Lie, Live},
};
use crate::{
    BodyBroken, Broker, CallError, Called,
    protocol::{CallId, HeaderLine, PART_BYTES_MAX, RequestHead, ResponseHead, RunId, ToWorker},
};

/// The calls of one run.
#[derive(Default)]
pub(super) struct Calls {
    last: CallId,
    count: u64,
    live: Vec<(CallId, Call)>,
    exhausted: bool,
}

/// One call under way.
struct Call {
    /// Parts of the request's body, and whether it ends with them. None once it ended.
    parts: Option<mpsc::UnboundedSender<(Bytes, bool)>>,
    /// Bytes of the request's body that the worker may send.
    window: u32,
    /// Bytes of the answer's body that may be sent to the worker.
    credit: Arc<Semaphore>,
    /// Those sent that it has not taken.
    unacked: u32,
    task: Option<AbortHandle>,
}

impl Calls {
    pub(super) fn stop(&mut self) {
        for (_, call) in self.live.drain(..) {
            call.task.inspect(AbortHandle::abort);
        }
    }

    fn get(&mut self, id: CallId) -> Option<&mut Call> {
        self.live.iter_mut().find(|(live, _)| *live == id).map(|(_, call)| call)
    }

    /// A call that may still be spoken of. One that is over is passed over: both ends may end it, and what
    /// crossed that on the way is no lie.
    fn known(&mut self, id: CallId) -> Result<Option<&mut Call>, Lie> {
        if id == 0 || id > self.last { Err(Lie("a call that was never made")) } else { Ok(self.get(id)) }
    }

    fn begin(&mut self, id: CallId, most: u64) -> Result<Opened, Lie> {
        self.count += 1;
        if id <= self.last {
            return Err(Lie("a call's number for the second time"));
        }
        if self.count > most {
            return Err(Lie("more calls than the run may make"));
        }
        self.last = id;
        let (sender, parts) = mpsc::unbounded_channel();
        let credit = Arc::new(Semaphore::new(limits::STREAM_WINDOW_BYTES as usize));
        let call = Call {
            parts: Some(sender),
            window: limits::STREAM_WINDOW_BYTES,
            credit: Arc::clone(&credit),
            unacked: 0,
            task: None,
        };
        self.live.push((id, call));
        Ok(Opened { parts, credit })
    }

    /// The guest wanted one more than the `most` that it may make.
    pub(super) fn exhausted(&mut self, most: u64) -> Result<(), Lie> {
        if self.count < most {
            return Err(Lie("an end of calls before their limit"));
        }
        if std::mem::replace(&mut self.exhausted, true) {
            return Err(Lie("an end of calls for the second time"));
        }
        Ok(())
    }

    /// Part of the request's body.
    pub(super) fn body(&mut self, id: CallId, bytes: Bytes, ends: bool) -> Result<(), Lie> {
        let Some(call) = self.known(id)? else { return Ok(()) };
        if bytes.is_empty() && !ends {
            return Err(Lie("an empty part"));
        }
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        call.window = call.window.checked_sub(length).ok_or(Lie("a call's body beyond its window"))?;
        let Some(parts) = &call.parts else { return Err(Lie("a call's body beyond its end")) };
        // Whoever would take it may have let go of it.
        let _untaken = parts.send((bytes, ends));
        if ends {
            call.parts = None;
        }
        Ok(())
    }

    /// The worker took so much of the answer's body.
    pub(super) fn taken(&mut self, id: CallId, bytes: u32) -> Result<(), Lie> {
        if bytes == 0 {
            return Err(Lie("a call's credit for nothing"));
        }
        let Some(call) = self.known(id)? else { return Ok(()) };
        let left = call.unacked.checked_sub(bytes);
        call.unacked = left.ok_or(Lie("a call's credit for bytes that were not sent"))?;
        call.credit.add_permits(bytes as usize);
        Ok(())
    }

    /// The guest lost interest in it.
    pub(super) fn dropped(&mut self, id: CallId) -> Result<(), Lie> {
        self.known(id)?;
        if let Some(at) = self.live.iter().position(|(live, _)| *live == id) {
            self.live.swap_remove(at).1.task.inspect(AbortHandle::abort);
        }
        Ok(())
    }
}

/// What a call's own task holds of it.
pub(super) struct Opened {
    parts: mpsc::UnboundedReceiver<(Bytes, bool)>,
    credit: Arc<Semaphore>,
}

/// A call that the worker asks for and the broker has not heard of.
pub(super) struct Asked {
    broker: Arc<dyn Broker>,
    request: Result<http::request::Parts, CallError>,
    opened: Opened,
    run: RunId,
    call: CallId,
}

impl Asked {
    /// Notes the call. Nothing is asked for a run that the node has ended.
    pub(super) fn note(
        live: &mut Live,
        run: RunId,
        call: CallId,
        head: RequestHead,
    ) -> Result<Option<Self>, Lie> {
        let opened = live.calls.begin(call, live.limits.outbound_calls)?;
        let Some(broker) = live.finish.broker().filter(|_| !live.is_condemned()) else { return Ok(None) };
        // A guest may say what is no request; that is not its worker's fault.
        let request = request(head).ok_or(CallError::Protocol);
        Ok(Some(Self { broker, request, opened, run, call }))
    }

    /// Asks the broker, in the order of calls, and leaves the rest to a task. Not under the link's lock.
    pub(super) fn ask(self, link: &Arc<Link>) {
        let Self { broker, request, opened, run, call } = self;
        let Opened { parts, credit } = opened;
        let future: Pin<Box<dyn Future<Output = Called> + Send>> = match request {
            Ok(head) => {
                let body = Upload { link: Arc::clone(link), run, call, parts, untold: 0, ended: false };
                broker.call(http::Request::from_parts(head, Box::pin(body)))
            }
            Err(why) => Box::pin(std::future::ready(Err(why))),
        };
        drop(broker);
        let task = tokio::spawn(answer(Arc::clone(link), run, call, future, credit)).abort_handle();
        // Where the run ended in the meantime, nobody else would end its task.
        let kept = link.with_call(run, call, |c| c.task = Some(task.clone()));
        if kept.is_none() {
            task.abort();
        }
    }
}

impl Link {
    fn with_call<T>(&self, run: RunId, call: CallId, act: impl FnOnce(&mut Call) -> T) -> Option<T> {
        self.with_run(run.0, |live| live.calls.get(call).map(act)).flatten()
    }

    /// Says something about a call, if it is still under way.
    fn say_of_call(&self, run: RunId, call: CallId, sent: u32, last: bool, frame: &ToWorker) -> Said {
        let mut over = None;
        let said = self.say_of_run(run.0, |live| {
            let known = live.calls.get(call)?;
            known.unacked += sent;
            if last {
                let at = live.calls.live.iter().position(|(id, _)| *id == call);
                over = at.map(|at| live.calls.live.swap_remove(at));
            }
            Some(frame)
        });
        drop(over);
        match said {
            Some(Ok(())) => Said::Yes,
            Some(Err(_)) => Said::TooLong,
            None => Said::Over,
        }
    }
}

#[derive(PartialEq, Eq)]
enum Said {
    Yes,
    TooLong,
    Over,
}

/// Passes the broker's answer on, as fast as the guest takes it.
async fn answer(
    link: Arc<Link>,
    run: RunId,
    call: CallId,
    future: Pin<Box<dyn Future<Output = Called> + Send>>,
    credit: Arc<Semaphore>,
) {
    let fail = |why| link.say_of_call(run, call, 0, true, &ToWorker::CallFailed { run, call, why });
    let response = match future.await {
        Ok(response) => response,
        Err(why) => {
            fail(why);
            return;
        }
    };
    let (parts, mut body) = response.into_parts();
    let head = ResponseHead { status: parts.status.as_u16(), headers: lines(&parts.headers) };
    match link.say_of_call(run, call, 0, false, &ToWorker::CallHead { run, call, head }) {
        Said::Yes => {}
        Said::Over => return,
        Said::TooLong => {
            fail(CallError::TooLarge);
            return;
        }
    }
    while let Some(piece) = body.next().await {
        let Ok(mut piece) = piece else {
            fail(CallError::Connection);
            return;
        };
        while !piece.is_empty() {
            let part = piece.split_to(piece.len().min(PART_BYTES_MAX));
            let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
            let Ok(permits) = credit.acquire_many(length).await else { return };
            permits.forget();
            let frame = ToWorker::CallBody { run, call, bytes: part, ends: false };
            if link.say_of_call(run, call, length, false, &frame) != Said::Yes {
                return;
            }
        }
    }
    let end = ToWorker::CallBody { run, call, bytes: Bytes::new(), ends: true };
    link.say_of_call(run, call, 0, true, &end);
}

/// The body of an outbound request. What is taken of it makes room for more.
struct Upload {
    link: Arc<Link>,
    run: RunId,
    call: CallId,
    parts: mpsc::UnboundedReceiver<(Bytes, bool)>,
    untold: u32,
    ended: bool,
}

impl Stream for Upload {
    type Item = Result<Bytes, BodyBroken>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if self.ended {
                return Poll::Ready(None);
            }
            match std::task::ready!(self.parts.poll_recv(context)) {
                None => {
                    self.ended = true;
                    return Poll::Ready(Some(Err(BodyBroken::Off)));
                }
                Some((bytes, ends)) => {
                    self.ended = ends;
                    if bytes.is_empty() {
                        continue;
                    }
                    self.untold += u32::try_from(bytes.len()).unwrap_or(0);
                    if self.untold >= limits::STREAM_WINDOW_BYTES / 2 && !ends {
                        let (run, call, told) = (self.run, self.call, std::mem::take(&mut self.untold));
                        self.link.with_call(run, call, |c| c.window = c.window.saturating_add(told));
                        let frame = ToWorker::CallCredit { run, call, bytes: told };
                        self.link.say_of_call(run, call, 0, false, &frame);
                    }
                    return Poll::Ready(Some(Ok(bytes)));
                }
            }
        }
    }
}

fn request(head: RequestHead) -> Option<http::request::Parts> {
    let uri = http::Uri::builder().scheme(&*head.scheme).authority(&*head.authority);
    let uri = uri.path_and_query(&*head.target).build().ok()?;
    let method = http::Method::from_bytes(&head.method).ok()?;
    let (mut parts, ()) = http::Request::new(()).into_parts();
    for (name, value) in head.headers {
        let name = http::HeaderName::from_bytes(&name).ok()?;
        parts.headers.try_append(name, http::HeaderValue::from_maybe_shared(value).ok()?).ok()?;
    }
    (parts.uri, parts.method) = (uri, method);
    Some(parts)
}

fn lines(headers: &http::HeaderMap) -> Vec<HeaderLine> {
    let copy = Bytes::copy_from_slice;
    headers.iter().map(|(name, value)| (copy(name.as_str().as_bytes()), copy(value.as_bytes()))).collect()
}
