//! The control API as functions. It never prints, and sends the token to nobody but the session's node.

mod login;
mod policy;
mod rules;
mod shield;

use bytes::Bytes;
use cell::BodyStream;
use futures_util::StreamExt;
use gateway::api;
use http::{Method, Request, Response, StatusCode, header};
use model::{Digest, FunctionName, RevisionNumber, Tenant, TenantId, TokenId};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    clock,
    exit::{Exit, Failure},
    proof::proof,
    session::Session,
    transport::Transport,
};

/// The largest answer that is read at once, in bytes.
const ANSWER_BYTES_MAX: usize = 32 << 20;
/// A connection to one node as one caller.
pub(crate) struct Client {
    transport: Transport,
    session: Session,
}

impl Client {
    /// Makes a client; connects to nothing yet.
    ///
    /// # Errors
    /// If the certificate of the session cannot be used.
    pub(crate) fn new(session: Session) -> Result<Self, Failure> {
        Ok(Self { transport: Transport::new(session.ca.as_deref())?, session })
    }

    /// What this speaks to, and as whom.
    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    /// `GET /v1/whoami`
    pub(crate) async fn whoami(&self) -> Result<api::WhoAmI, Failure> {
        self.get("/v1/whoami").await
    }

    /// `GET /v1/tenants`
    pub(crate) async fn tenants(&self) -> Result<api::TenantList, Failure> {
        self.get("/v1/tenants").await
    }

    /// `POST /v1/tenants`
    pub(crate) async fn create_tenant(&self, request: &api::CreateTenant) -> Result<Tenant, Failure> {
        self.send(Method::POST, "/v1/tenants", request).await
    }

    /// `PUT …/limits`
    pub(crate) async fn limit_tenant(
        &self,
        tenant: &TenantId,
        limits: &model::TenantLimits,
    ) -> Result<Tenant, Failure> {
        self.send(Method::PUT, &format!("/v1/tenants/{tenant}/limits"), limits).await
    }

    /// `GET …/functions`
    pub(crate) async fn functions(&self) -> Result<api::FunctionList, Failure> {
        self.get(&self.path("functions")).await
    }

    /// `GET …/functions/NAME`
    pub(crate) async fn function(&self, name: &FunctionName) -> Result<api::FunctionDetail, Failure> {
        self.get(&self.path(&format!("functions/{name}"))).await
    }

    /// `PUT …/components/DIGEST`; `sent` is told how much of it is on its way.
    pub(crate) async fn put_component(
        &self,
        digest: Digest,
        bytes: Bytes,
        sent: impl Fn(u64) + Send + Sync + 'static,
    ) -> Result<api::ComponentStored, Failure> {
        let path = self.path(&format!("components/{digest}"));
        decode(self.exchange_telling(Method::PUT, &path, "application/wasm", bytes, sent).await?).await
    }

    /// `POST …/functions/NAME/revisions`
    pub(crate) async fn deploy(
        &self,
        name: &FunctionName,
        request: &api::DeployRequest,
    ) -> Result<api::DeployResult, Failure> {
        self.send(Method::POST, &self.path(&format!("functions/{name}/revisions")), request).await
    }

    /// `POST …/functions/NAME/rollback`
    pub(crate) async fn rollback(
        &self,
        name: &FunctionName,
        to: Option<RevisionNumber>,
        accept_widening: bool,
    ) -> Result<api::RollbackResult, Failure> {
        let request = api::RollbackRequest { to, accept_widening };
        self.send(Method::POST, &self.path(&format!("functions/{name}/rollback")), &request).await
    }

    /// `DELETE …/functions/NAME`
    pub(crate) async fn remove(&self, name: &FunctionName) -> Result<(), Failure> {
        self.delete(&self.path(&format!("functions/{name}"))).await
    }

    /// `POST …/functions/NAME/invoke`
    pub(crate) async fn invoke(
        &self,
        name: &FunctionName,
        request: &api::InvokeRequest,
    ) -> Result<api::InvokeResult, Failure> {
        self.send(Method::POST, &self.path(&format!("functions/{name}/invoke")), request).await
    }

    /// `GET …/functions/NAME/logs`: calls `line` with each line; without `follow` until there is no more.
    pub(crate) async fn logs(
        &self,
        name: &FunctionName,
        after: u64,
        follow: bool,
        mut line: impl FnMut(api::LogLine),
    ) -> Result<(), Failure> {
        let path = self.path(&format!("functions/{name}/logs?after={after}&follow={follow}"));
        let mut body = self.exchange(Method::GET, &path, "", Bytes::new()).await?.into_body();
        let mut rest = Vec::new();
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|_| self.broken())?;
            rest.extend_from_slice(&piece);
            if rest.len() > ANSWER_BYTES_MAX {
                return Err(Failure::new(Exit::Failed, "the node sent a log line without an end"));
            }
            while let Some(end) = rest.iter().position(|b| *b == b'\n') {
                let text: Vec<u8> = rest.drain(..=end).collect();
                if !text.trim_ascii().is_empty() {
                    line(parse(&text)?);
                }
            }
        }
        Ok(())
    }

    /// `GET …/tokens`
    pub(crate) async fn tokens(&self) -> Result<api::TokenList, Failure> {
        self.get(&self.path("tokens")).await
    }

    /// `POST …/tokens`
    pub(crate) async fn create_token(&self, request: &api::CreateToken) -> Result<api::IssuedToken, Failure> {
        self.send(Method::POST, &self.path("tokens"), request).await
    }

    /// `POST …/tokens/ID/rotate`
    pub(crate) async fn rotate_token(
        &self,
        id: &TokenId,
        request: &api::RotateToken,
    ) -> Result<api::IssuedToken, Failure> {
        self.send(Method::POST, &self.path(&format!("tokens/{id}/rotate")), request).await
    }

    /// `DELETE …/tokens/ID`
    pub(crate) async fn revoke_token(&self, id: &TokenId) -> Result<(), Failure> {
        self.delete(&self.path(&format!("tokens/{id}"))).await
    }

    /// `GET …/records`
    pub(crate) async fn records(&self, query: &str) -> Result<api::RecordList, Failure> {
        self.get(&self.path(&format!("records?{query}"))).await
    }

    /// `GET /v1/node/records`
    pub(crate) async fn node_records(&self, query: &str) -> Result<api::RecordList, Failure> {
        self.get(&format!("/v1/node/records?{query}")).await
    }

    /// `GET …/policy`
    pub(crate) async fn policy(&self) -> Result<api::PolicyText, Failure> {
        self.get(&self.path("policy")).await
    }

    /// `PUT …/policy`
    pub(crate) async fn set_policy(&self, wanted: &api::SetPolicy) -> Result<api::PolicyText, Failure> {
        self.send(Method::PUT, &self.path("policy"), wanted).await
    }

    /// `GET …/identity`
    pub(crate) async fn identity(&self) -> Result<api::IdentityText, Failure> {
        self.get(&self.path("identity")).await
    }

    /// `PUT …/identity`
    pub(crate) async fn set_identity(&self, text: &api::IdentityText) -> Result<api::IdentityText, Failure> {
        self.send(Method::PUT, &self.path("identity"), text).await
    }

    /// `GET /v1/node`
    pub(crate) async fn node(&self) -> Result<api::NodeReport, Failure> {
        self.get("/v1/node").await
    }

    fn path(&self, below: &str) -> String {
        format!("/v1/tenants/{}/{below}", self.session.tenant)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        decode(self.exchange(Method::GET, path, "", Bytes::new()).await?).await
    }

    async fn delete(&self, path: &str) -> Result<(), Failure> {
        self.exchange(Method::DELETE, path, "", Bytes::new()).await.map(drop)
    }

    async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        value: &impl Serialize,
    ) -> Result<T, Failure> {
        let body = serde_json::to_vec(value)
            .map_err(|e| Failure::new(Exit::Failed, format!("cannot write the request: {e}")))?;
        decode(self.exchange(method, path, "application/json", body.into()).await?).await
    }

    /// One request and the head of its answer; an answer that is a problem becomes a failure.
    async fn exchange(
        &self,
        method: Method,
        path: &str,
        kind: &str,
        body: Bytes,
    ) -> Result<Response<BodyStream>, Failure> {
        self.exchange_telling(method, path, kind, body, |_| ()).await
    }

    /// The same; `sent` is told how much of the body is on its way.
    async fn exchange_telling(
        &self,
        method: Method,
        path: &str,
        kind: &str,
        body: Bytes,
        sent: impl Fn(u64) + Send + Sync + 'static,
    ) -> Result<Response<BodyStream>, Failure> {
        let url = format!("{}{path}", self.session.node);
        let mut request =
            Request::builder().method(method.clone()).uri(&url).header(header::ACCEPT, "application/json");
        if !kind.is_empty() {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        if let Some(bound) = &self.session.bound {
            let secret = bound.secret.expose();
            let proof = proof(&bound.key, method.as_str(), &url, Some(secret))?;
            request = request.header(header::AUTHORIZATION, sensitive(&format!("DPoP {secret}"))?);
            request = request.header("dpop", sensitive(&proof)?);
        } else if let Some(token) = &self.session.token {
            request =
                request.header(header::AUTHORIZATION, sensitive(&format!("Bearer {}", token.expose()))?);
        }
        let request = request
            .body(body)
            .map_err(|e| Failure::new(Exit::Usage, format!("`{url}` cannot be asked: {e}")))?;
        let answer = self.transport.call(request, sent).await?;
        if answer.status().is_success() { Ok(answer) } else { Err(self.explained(refused(answer).await)) }
    }

    /// A refusal of a session says how to get another.
    fn explained(&self, failure: Failure) -> Failure {
        match &self.session.bound {
            Some(bound) if failure.exit == Exit::Unauthenticated => {
                let ended = clock::now() >= bound.until;
                let what = if ended { "your session has ended: log" } else { "log" };
                failure.next(format!("{what} in again with `casemate login --oidc`"))
            }
            _ => failure,
        }
    }

    fn broken(&self) -> Failure {
        Failure::new(Exit::Unreachable, format!("`{}` broke off its answer", self.session.node))
            .next("see with `casemate doctor` whether the node still runs")
    }
}

/// A header's value that no log shows.
fn sensitive(text: &str) -> Result<header::HeaderValue, Failure> {
    let wrong = |_| Failure::new(Exit::Unauthenticated, "the token has characters that no token has");
    let mut value = header::HeaderValue::from_str(text).map_err(wrong)?;
    value.set_sensitive(true);
    Ok(value)
}

async fn decode<T: DeserializeOwned>(answer: Response<BodyStream>) -> Result<T, Failure> {
    parse(&collect(answer.into_body()).await?)
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(bytes).map_err(|e| {
        Failure::new(Exit::Failed, format!("the node's answer cannot be read: {e}"))
            .next("compare `casemate --version` with the node's in `casemate doctor`")
    })
}

async fn collect(mut body: BodyStream) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(|_| Failure::new(Exit::Unreachable, "the node broke off its answer"))?;
        bytes.extend_from_slice(&piece);
        if bytes.len() > ANSWER_BYTES_MAX {
            return Err(Failure::new(Exit::Failed, "the node's answer is too large to read"));
        }
    }
    Ok(bytes)
}

/// A problem document (RFC 9457) as a failure that says what to do next.
async fn refused(answer: Response<BodyStream>) -> Failure {
    let status = answer.status();
    let bytes = collect(answer.into_body()).await.unwrap_or_default();
    let Ok(problem) = serde_json::from_slice::<api::Problem>(&bytes) else {
        return Failure::new(exit_of(status), format!("the node answered {status}"))
            .next("see that `--node` is the control address, not the one where functions answer");
    };
    let message = problem.detail.clone().unwrap_or_else(|| problem.title.clone());
    let request_id = problem.request_id.map(|id| id.to_string());
    Failure {
        exit: exit_of(status),
        next: next_of(status, &problem.code, &message, request_id.as_deref()),
        message: format!("{message} ({})", problem.code),
        code: Some(problem.code),
        request_id,
    }
}

fn exit_of(status: StatusCode) -> Exit {
    match status {
        StatusCode::UNAUTHORIZED => Exit::Unauthenticated,
        StatusCode::FORBIDDEN => Exit::Forbidden,
        _ => Exit::Failed,
    }
}

fn next_of(status: StatusCode, code: &str, message: &str, request_id: Option<&str>) -> Option<String> {
    let next = match status {
        _ if matches!(code, "no-route" | "method-not-allowed") => {
            "`casemate inspect NAME` shows the function's routes".to_owned()
        }
        StatusCode::UNAUTHORIZED => "log in with `casemate login`, or set CASEMATE_TOKEN".to_owned(),
        _ if code == "widens-access" => {
            "if that is meant, say so with `--accept-widening`; or leave it to a second person with `--propose`"
                .to_owned()
        }
        StatusCode::FORBIDDEN => match request_id {
            Some(id) => format!(
                "`casemate whoami` shows your roles; `casemate policy explain {id}` shows an auditor which policy \
                 said no"
            ),
            None => "`casemate whoami` shows your roles".to_owned(),
        },
        StatusCode::NOT_FOUND if message.contains(" no tenant ") => {
            "`casemate tenant list` shows them all".to_owned()
        }
        StatusCode::NOT_FOUND if message.contains(" no token ") => {
            "`casemate token list` shows them all".to_owned()
        }
        StatusCode::NOT_FOUND if message.contains(" no action ") || message.contains(" no signal, action ") => {
            "`casemate shield status` shows them all; `--of-node` those of the node".to_owned()
        }
        StatusCode::NOT_FOUND if message.contains(" no bait ") => {
            "`casemate shield honey list` shows it all".to_owned()
        }
        StatusCode::NOT_FOUND => "`casemate list` shows what there is".to_owned(),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => "try again in a moment".to_owned(),
        status if status.is_server_error() => "the node's log has more under the request's id".to_owned(),
        _ => return None,
    };
    Some(next)
}
