//! Logging in, logging out and sessions, as functions. It never prints, and never speaks to a provider.

use bytes::Bytes;
use gateway::api;
use http::{Method, Request, header};
use keyring::ProofKey;
use model::TokenId;

use super::{Client, decode, refused, sensitive};
use crate::{
    exit::{Exit, Failure},
    proof::proof,
};

impl Client {
    /// `GET …/login`
    pub(crate) async fn login_provider(&self) -> Result<api::LoginProvider, Failure> {
        let found = self.get(&self.path("login")).await;
        found.map_err(|failure: Failure| match failure.code.as_deref() {
            Some("no-login") => failure.next(
                "an owner of the tenant sets one up with `casemate identity set` (docs/identity.md, `[login]`)",
            ),
            _ => failure,
        })
    }

    /// `POST …/login`, with the key that the session is to be bound to.
    pub(crate) async fn open_session(
        &self,
        asked: &api::OpenSession,
        key: &ProofKey,
    ) -> Result<api::OpenedSession, Failure> {
        let failed = |e: &dyn std::fmt::Display| Failure::new(Exit::Failed, format!("cannot log in: {e}"));
        let url = format!("{}{}", self.session.node, self.path("login"));
        let body = serde_json::to_vec(asked).map_err(|e| failed(&e))?;
        let request = Request::post(&url)
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/json")
            .header("dpop", sensitive(&proof(key, "POST", &url, None)?)?)
            .body(Bytes::from(body))
            .map_err(|e| failed(&e))?;
        let answer = self.transport.call(request, |_| ()).await?;
        if answer.status().is_success() {
            return decode(answer).await;
        }
        let failure = refused(answer).await;
        Err(match failure.exit {
            Exit::Unauthenticated => failure.next(
                "the node does not say why: whoever reads the tenant's record (`casemate records`) finds it under the \
                 request's id",
            ),
            _ => failure,
        })
    }

    /// `POST …/login/failed`
    pub(crate) async fn login_failed(&self, why: api::LoginWhy) -> Result<(), Failure> {
        let body = serde_json::to_vec(&api::LoginProblem { why });
        let body = body.map_err(|e| Failure::new(Exit::Failed, e))?;
        self.exchange(Method::POST, &self.path("login/failed"), "application/json", body.into())
            .await
            .map(drop)
    }

    /// `DELETE /v1/session`
    pub(crate) async fn log_out(&self) -> Result<(), Failure> {
        self.delete("/v1/session").await
    }

    /// `GET …/sessions`
    pub(crate) async fn sessions(&self) -> Result<api::SessionList, Failure> {
        self.get(&self.path("sessions")).await
    }

    /// `DELETE …/sessions/ID`
    pub(crate) async fn revoke_session(&self, id: &TokenId) -> Result<(), Failure> {
        self.delete(&self.path(&format!("sessions/{id}"))).await
    }
}
