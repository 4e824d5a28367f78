//! What rules say to a request on its way, and to its answer: told to the record, to the function's log, and to whoever
//! must not go on. It holds no rules: `rules` does.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use cell::{AnswerBody, BodyBroken, RequestBody};
use futures_util::{StreamExt, stream};
use http::Response;
use http_body_util::BodyExt;
use identity::Caller;
use ledger::Kind;
use model::{Fault, RequestId, limits};
use shield::{
    Inspected, Screened, Sign,
    inspect::{Answer, Asked, Finding, Guard, Now, Reason, Seen},
};

use crate::{Platform, call::Call, catalog::Target, chain, held::Held, recorder::About};

/// The code under which the record tells of what rules would have refused.
pub(crate) const WOULD_REFUSE: &str = "rule-would-refuse";

/// Why a request did not pass the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Withheld {
    /// Rules refuse it, which is in the record.
    Rules(Reason),
    /// Its body broke off, or is none.
    Body(BodyBroken),
    /// Its body did not come in time.
    Slow,
    /// It is larger than the function takes, or the node has no room to hold what is to be looked at.
    Fault(Fault),
}

/// Bodies up to this are looked at in less time than it takes to move others out of the way, in bytes.
const SHORT_BODY_BYTES: usize = 16 << 10;

/// Looks at something long without keeping waiting what else this thread has to do.
fn beside_others<T>(bytes: usize, look: impl FnOnce() -> T) -> T {
    use tokio::runtime::{Handle, RuntimeFlavor};
    let has_others =
        || Handle::try_current().is_ok_and(|at| at.runtime_flavor() == RuntimeFlavor::MultiThread);
    if bytes > SHORT_BODY_BYTES && has_others() { tokio::task::block_in_place(look) } else { look() }
}

/// How long a body is by its head.
fn said_bytes(head: &http::request::Parts) -> Option<u64> {
    head.headers.get(http::header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// What an answer's rules are to be asked with.
pub(crate) struct Watched {
    guard: Arc<Guard>,
    asked: Asked,
}

impl Platform {
    /// Looks at a request whose body is in hand. Of one that still comes, nothing is looked at before it is known who
    /// sends it.
    ///
    /// # Errors
    /// [`Withheld::Rules`].
    pub fn look(
        &self,
        id: RequestId,
        target: &Target,
        screened: &mut Screened<RequestBody>,
    ) -> Result<(), Withheld> {
        let RequestBody::Full(bytes) = screened.body() else { return Ok(()) };
        let bytes = bytes.clone();
        self.look_at(id, target, None, screened, Seen::Whole(&bytes))
    }

    /// The proof that rules have looked at a request: those at which nobody has looked yet are looked at here, with the
    /// beginning of their body.
    ///
    /// # Errors
    /// [`Withheld`].
    pub async fn inspect_request(
        &self,
        id: RequestId,
        target: &Target,
        caller: &Caller,
        screened: Screened<RequestBody>,
    ) -> Result<Inspected<RequestBody>, Withheld> {
        let unseen = match screened.inspected() {
            Ok(inspected) => return Ok(inspected),
            Err(unseen) => unseen,
        };
        let (guard, bound) = (target.guard(), target.limits().request_body_bytes);
        let (unseen, body) = unseen.with_body(());
        let most = guard.body_bytes();
        let is_stream = matches!(body, RequestBody::Stream(_));
        let said = said_bytes(unseen.head()).filter(|_| is_stream).unwrap_or(0);
        if said > bound {
            return Err(self.not_read(id, target, caller, &unseen, Fault::RequestBodyLimit));
        }
        if said > most as u64 && guard.refuses_rest(unseen.head()) {
            // Nobody reads what is refused for its length anyway.
            let (mut screened, ()) = unseen.with_body(RequestBody::Full(Bytes::new()));
            self.look_at(id, target, Some(caller), &mut screened, Seen::Start(&[]))?;
            return Err(Withheld::Rules(Reason::TooLong));
        }
        let (start, rest) = match body {
            RequestBody::Full(bytes) => (bytes, None),
            // Nobody looks, so nobody waits.
            RequestBody::Stream(pieces) if most == 0 => (Bytes::new(), Some(pieces)),
            RequestBody::Stream(pieces) => {
                let wait = Duration::from_millis(target.limits().wall_ms);
                let begun = tokio::time::timeout(wait, self.begin(target, pieces, most)).await;
                let begun = begun.map_err(|_| Withheld::Slow)?;
                begun.map_err(|withheld| match withheld {
                    Withheld::Fault(fault) => self.not_read(id, target, caller, &unseen, fault),
                    other => other,
                })?
            }
        };
        let seen = if rest.is_some() { Seen::Start(&start) } else { Seen::Whole(&start) };
        let (mut screened, ()) = unseen.with_body(RequestBody::Full(start.clone()));
        self.look_at(id, target, Some(caller), &mut screened, seen)?;
        let inspected = screened.inspected().map_err(|_| Withheld::Fault(Fault::NodeBusy))?;
        Ok(match rest {
            None => inspected,
            Some(rest) => {
                let first = stream::once(async move { Ok(start) });
                inspected.continued(|_| RequestBody::Stream(Box::pin(first.chain(rest))))
            }
        })
    }

    /// A body that is not read to where rules would look: in the record and the function's log.
    fn not_read(
        &self,
        id: RequestId,
        target: &Target,
        caller: &Caller,
        screened: &Screened<()>,
        fault: Fault,
    ) -> Withheld {
        let source = screened.peer().address.ip();
        let call = Call::new(id, caller.key().into(), source, screened.head()).through(caller);
        self.log_refused(target, &call, fault.code());
        let about = About { request: Some(id), tenant: Some(target.tenant()), source: Some(source) };
        let mut event = about.on(self.recorder.event(Kind::Refusal));
        event.principal = call.principal.clone();
        event.resource = target.resource.clone();
        event.code = fault.code().into();
        event.detail = fault.sentence().into();
        chain::tell(&mut event, call.chain.as_deref());
        self.note_refused(fault.code(), &event);
        Withheld::Fault(fault)
    }

    /// The beginning of a body, and what follows if that is not all.
    async fn begin(
        &self,
        target: &Target,
        mut pieces: cell::BodyStream,
        most: usize,
    ) -> Result<(Bytes, Option<cell::BodyStream>), Withheld> {
        let bound = target.limits().request_body_bytes;
        let mut held: Held = self.inspected_bodies.begin();
        while held.len() <= most {
            let Some(piece) = pieces.next().await else { return Ok((held.into_bytes(), None)) };
            let piece = piece.map_err(Withheld::Body)?;
            if (held.len() + piece.len()) as u64 > bound {
                return Err(Withheld::Fault(Fault::RequestBodyLimit));
            }
            held.push(&piece).map_err(Withheld::Fault)?;
        }
        Ok((held.into_bytes(), Some(pieces)))
    }

    fn look_at(
        &self,
        id: RequestId,
        target: &Target,
        caller: Option<&Caller>,
        screened: &mut Screened<RequestBody>,
        seen: Seen<'_>,
    ) -> Result<(), Withheld> {
        let guard = target.guard();
        let (clock, digits) = (|| self.clock.monotonic_ns(), id.digits());
        let now = self.rules_now(target, &clock);
        let id_text = std::str::from_utf8(&digits).unwrap_or_default();
        let looked = beside_others(seen.bytes().len(), || guard.look(screened, seen, id_text, now));
        self.recent.keep(self.clock.monotonic_ms(), id, target, screened, seen, looked.is_err());
        match looked {
            Ok(None) => Ok(()),
            Ok(Some(finding)) => {
                self.tell_finding(id, target, caller, screened, &finding);
                Ok(())
            }
            Err(finding) => {
                self.tell_finding(id, target, caller, screened, &finding);
                Err(finding.refused.map_or(Withheld::Fault(Fault::NodeBusy), Withheld::Rules))
            }
        }
    }

    pub(crate) fn rules_now<'a>(&self, target: &'a Target, clock: &'a dyn Fn() -> u64) -> Now<'a> {
        let epoch_s = self.clock.now().unix_ms() / 1_000;
        Now { clock, epoch_s, memory: Some(&target.rule_memory) }
    }

    fn tell_finding(
        &self,
        id: RequestId,
        target: &Target,
        caller: Option<&Caller>,
        screened: &Screened<RequestBody>,
        finding: &Finding,
    ) {
        let source = screened.peer().address.ip();
        let principal: Arc<str> = caller.map(|caller| caller.key().into()).unwrap_or_default();
        let call = Call::new(id, principal, source, screened.head());
        let code = finding.refused.map_or(WOULD_REFUSE, Reason::code);
        self.tell_found(target, &call, (caller, code), finding);
        let attack = finding.refused.is_none_or(|why| matches!(why, Reason::Rule { .. }));
        if attack && caller.is_none_or(|caller| caller.chain().is_none()) {
            let score = u32::try_from(finding.report.inbound_score.max(5)).unwrap_or(u32::MAX);
            self.note_sign(id, Some(target), screened.peer(), Sign::RuleHit(score));
        }
    }

    fn tell_found(
        &self,
        target: &Target,
        call: &Call,
        (caller, code): (Option<&Caller>, &'static str),
        finding: &Finding,
    ) {
        if finding.refused.is_some() {
            self.log_refused(target, call, code);
        }
        let detail = finding.detail();
        self.tell(target, call.id, format!("{code}: {detail}"));
        let kind = if finding.refused.is_some() { Kind::Refusal } else { Kind::Signal };
        let about =
            About { request: Some(call.id), tenant: Some(target.tenant()), source: Some(call.source) };
        let mut event = about.on(self.recorder.event(kind));
        event.principal = call.principal.clone();
        event.resource = target.resource.clone();
        event.allowed = finding.refused.is_none();
        event.code = code.into();
        event.detail = detail.into();
        chain::tell(&mut event, caller.and_then(|caller| caller.chain()).map(|chain| &**chain));
        self.note_refused(code, &event);
    }

    /// Keeps what the rules of an answer need of its request, where the function asks for that.
    pub(crate) fn watch(&self, target: &Target, inspected: &Inspected<RequestBody>) -> Option<Watched> {
        let guard = target.guard();
        if !guard.looks_at_answers() {
            return None;
        }
        let body = match inspected.body() {
            RequestBody::Full(bytes) => bytes.clone(),
            RequestBody::Stream(_) => Bytes::new(),
        };
        let asked = Asked::of(inspected.head(), inspected.peer(), body, true);
        Some(Watched { guard, asked })
    }

    /// Holds an answer until rules have looked at its beginning.
    pub(crate) async fn look_at_answer(
        &self,
        target: &Target,
        call: &Call,
        watched: Watched,
        answer: Response<AnswerBody>,
    ) -> Result<Response<AnswerBody>, Fault> {
        let (head, mut body) = answer.into_parts();
        let most = usize::try_from(limits::INSPECTED_ANSWER_BYTES).unwrap_or(usize::MAX);
        let (mut start, mut pieces) = (self.inspected_bodies.begin(), Vec::new());
        while start.len() < most {
            let Some(frame) = body.frame().await else { break };
            let Ok(piece) = frame?.into_data() else { continue };
            start.push(&piece)?;
            pieces.push(piece);
        }
        let (clock, digits) = (|| self.clock.monotonic_ns(), call.id.digits());
        let id = std::str::from_utf8(&digits).unwrap_or_default();
        let seen = Answer { head: &head, start: start.as_ref() };
        let now = self.rules_now(target, &clock);
        let look = || watched.guard.look_at_answer(&watched.asked, &seen, id, now);
        let found = beside_others(start.len(), look);
        let Some(finding) = found.filter(Finding::is_told) else {
            return Ok(Response::from_parts(head, body.put_back(pieces)));
        };
        let fault = Fault::AnswerRefused;
        let code = if finding.refused.is_some() { fault.code() } else { WOULD_REFUSE };
        self.tell_found(target, call, (None, code), &finding);
        match finding.refused {
            Some(_) => Err(fault),
            None => Ok(Response::from_parts(head, body.put_back(pieces))),
        }
    }
}
