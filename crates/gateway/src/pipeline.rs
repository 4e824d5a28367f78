//! The way of a request, from its head to its answer, as a list. What each stage does is in its file under
//! `stage/`; before them `listen` accepts the connection and `tls` encrypts it. It never does a stage's work.

use std::sync::Arc;

use http::{HeaderName, HeaderValue, Request, Response};
use hyper::body::Incoming;
use identity::Caller;
use model::RequestId;
use platform::{Platform, Target};
use shield::{Admitted, Peer};

use crate::{
    metrics::Metrics,
    problem::Problem,
    slow::Slow,
    stage::{
        authorize::authorize,
        behind::behind,
        identify::{Whole, identify},
        inspect::inspect,
        invoke::invoke,
        respond,
        respond::Body,
        route::route,
        screen::{admit, screen},
        shape::{Shaped, settled, shape, tell},
    },
};

/// What every request of the data plane needs.
pub(crate) struct DataPlane {
    pub(crate) platform: Arc<Platform>,
    pub(crate) metrics: Arc<Metrics>,
    /// For bodies that must be read before it is known who sent them.
    pub(crate) whole: Whole,
    /// For refusals that the shield answers late.
    pub(crate) slow: Slow,
    /// Whether the name is one for which browsers should insist on TLS: not on `localhost`.
    pub(crate) strict_transport: bool,
}

impl DataPlane {
    /// Answers one request of a function.
    pub(crate) async fn answer(&self, peer: &Peer, request: Request<Incoming>) -> Response<Body> {
        let id = self.platform.request_id();
        let asked = respond::Asked::of(&request);
        let started = self.platform.clock().monotonic_ms();
        let (behind, unclear) = match behind(&self.platform, peer, &request) {
            Ok(behind) => (behind, None),
            Err(problem) => (None, Some(problem)),
        };
        // From here on, the peer is who asks.
        let (peer, told) = behind.as_ref().map_or((peer, None), |one| (&one.peer, Some(&one.told)));
        let is_slowed = Slow::is_meant(&self.platform, &request, peer);
        let walked = match unclear {
            Some(problem) => Err(problem),
            None => self.walk(id, peer, told, request).await,
        };
        let walked = if told.is_some() { walked.map_err(Problem::among_others) } else { walked };
        let mut response = match walked {
            Ok(response) => response,
            Err(problem) => {
                self.metrics.refused(problem.counted_as());
                if !problem.is_recorded() {
                    self.platform.note_refusal(id, None, peer, problem.code(), problem.sentence());
                }
                if is_slowed {
                    self.slow.wait().await;
                }
                problem.respond(id)
            }
        };
        respond::finish(&mut response, asked, id, peer.tls && self.strict_transport);
        let took_ms = self.platform.clock().monotonic_ms().saturating_sub(started);
        self.metrics.answered(response.status().as_u16(), took_ms);
        response
    }

    /// `told`: the header that the function sees of a forwarder's.
    async fn walk(
        &self,
        id: RequestId,
        peer: &Peer,
        told: Option<&(HeaderName, HeaderValue)>,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Problem> {
        let (mut head, body) = settled(peer, request)?;
        let admitted = admit(&self.platform, id, &head, peer)?;
        if let Some((name, value)) = told {
            tell(&mut head.headers, name, value);
        }
        let shaped = shape(head, body).await?;
        let target = route(&self.platform, id, &shaped, peer)?;
        let mut caller = None;
        let answer = self.enter(id, (peer, admitted), &target, shaped, &mut caller).await;
        let refused = answer.as_ref().err().map(Problem::code);
        match self.platform.rates_told(&target, peer, caller.as_ref(), refused) {
            None => answer,
            Some(told) => respond::tell_rates(answer, &told),
        }
    }

    /// From the function that is meant to its answer. Who asks is left in `caller` once that is known.
    async fn enter(
        &self,
        id: RequestId,
        (peer, admitted): (&Peer, Admitted),
        target: &Arc<Target>,
        shaped: Shaped,
        caller: &mut Option<Caller>,
    ) -> Result<Response<Body>, Problem> {
        let platform = &self.platform;
        let upload = shaped.upload.clone();
        upload.bounded_by(target.limits());
        let screened = screen(platform, id, target, shaped, admitted, peer)?;
        let screened = match target.takes_others() {
            true => {
                let ready = Box::pin(self.whole.ready(platform, id, target, screened)).await;
                ready.map_err(|problem| upload.blame(problem))?
            }
            false => screened,
        };
        let caller = caller.insert(identify(platform, id, target, &screened)?);
        let permit = authorize(platform, id, target, caller, &screened)?;
        let inspected = inspect(platform, id, target, (&*caller, peer), screened, &upload).await?;
        let answer = invoke(platform, id, permit, caller, target.clone(), inspected).await;
        answer.map_err(|problem| upload.blame(problem))
    }
}
