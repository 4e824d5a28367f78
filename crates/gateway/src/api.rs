//! What the control API is asked and what it answers, shared with the command line. It never does either.
//!
//! Every error is a [`Problem`] (RFC 9457). Unknown fields of a request are refused; an answer may gain
//! fields, so a client must not refuse what it does not know. Times are RFC 3339, ids and digests as `model`
//! writes them.

mod login;
mod policy;
mod rules;
mod shield;

use std::fmt;

use model::{
    Digest, Fault, Function, FunctionName, Grants, Limits, Principal, PrincipalKind, RequestId,
    RevisionNumber, Role, Route, Tenant, TenantId, Timestamp, TokenId, TrustLabel, Usage, World,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use login::{
    Credential, LoginFlow, LoginProblem, LoginProvider, LoginWhy, OpenSession, OpenedSession, SessionInfo,
    SessionList,
};
pub use policy::{
    BreakGlass, Condition, Explained, ExplainedList, Glass, GlassList, May, PolicyText, Proposal, Reached,
    ReachedList, SetPolicy, Waiting, WaitingList,
};
pub use rules::*;
pub use shield::{
    Bait, BaitList, NewBait, NewShieldAction, ProfileNumber, ProfileStage, ProfileStep, ShieldAction,
    ShieldProfile, ShieldReport, ShieldSignal, ShieldStory, UndoneActions,
};

/// An error as it leaves the node (RFC 9457 §3.1), with the media type `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// `urn:casemate:error:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// One sentence, the same for every problem of this code.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong with this very request, where that tells the caller nothing but about its own input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The stable code, in kebab case.
    pub code: String,
    /// Names the request in the node's log and record. None where none could be given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
    /// Of `widens-access`: a request that the change would let in, where one was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lets_in: Option<serde_json::Value>,
}

/// `GET /healthz`, `GET /readyz`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// `ok`, or `starting` or `draining` with the status 503.
    pub status: String,
}

/// `GET /v1/whoami`: whom the credential proves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WhoAmI {
    /// The Cedar entity, as policies and records name it: `User::"default/alice"`.
    pub entity: String,
    /// The same in parts.
    pub principal: Principal,
    /// What proves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<Credential>,
}

/// `GET /v1/tenants`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TenantList {
    /// Sorted by id.
    pub tenants: Vec<Tenant>,
}

/// `POST /v1/tenants`; the answer is a [`Tenant`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateTenant {
    /// Its id: a DNS label.
    pub id: TenantId,
    /// Which tenants it may share a worker process with; `shared` where it is absent.
    #[serde(default)]
    pub trust: TrustLabel,
    /// Runs of all its functions at once; 500, or the node's ceiling if that is lower, where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u64>,
}

/// One line of a list of functions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FunctionSummary {
    /// Its name.
    pub name: FunctionName,
    /// The revision that answers.
    pub revision: RevisionNumber,
    /// The component of that revision.
    pub component: Digest,
    /// Which world it exports.
    pub world: World,
    /// Where it answers.
    pub routes: Vec<Route>,
    /// When that revision was deployed.
    pub deployed_at: Timestamp,
    /// By whom.
    pub deployed_by: String,
}

/// `GET /v1/tenants/{tenant}/functions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FunctionList {
    /// Sorted by name.
    pub functions: Vec<FunctionSummary>,
}

/// One line of a function's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RevisionSummary {
    /// Its number.
    pub number: RevisionNumber,
    /// Its component.
    pub component: Digest,
    /// When it was deployed.
    pub deployed_at: Timestamp,
    /// By whom.
    pub deployed_by: String,
    /// Whether it is the one that answers.
    pub active: bool,
}

/// `GET /v1/tenants/{tenant}/functions/{function}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FunctionDetail {
    /// The function with its active revision: routes, limits, grants, access.
    pub function: Function,
    /// Where it answers, as whole URLs.
    pub urls: Vec<String>,
    /// Its identity when it calls others, as a SPIFFE id.
    pub identity: String,
    /// What of its shield is weaker than the node's, each in a sentence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub loosened: Vec<String>,
    /// The Cedar text that decides who may call it.
    pub policy: String,
    /// Its revisions, the newest first.
    pub revisions: Vec<RevisionSummary>,
    /// What it used since it was first deployed.
    pub totals: platform::Totals,
}

/// `PUT /v1/tenants/{tenant}/components/{digest}`: 201 if it is new, 200 if it was there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ComponentStored {
    /// Its digest, checked.
    pub digest: Digest,
    /// Its size in bytes.
    pub bytes: u64,
    /// Whether it was there already.
    pub existed: bool,
}

/// `POST /v1/tenants/{tenant}/functions/{function}/revisions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeployRequest {
    /// The text of `casemate.toml`. Its name must be the function's.
    pub manifest: String,
    /// The component, uploaded before.
    pub component: Digest,
    /// Whether it may let in whom the active revision refuses.
    #[serde(default)]
    pub accept_widening: bool,
}

/// What a deploy made, 201.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeployResult {
    /// The function.
    pub function: FunctionName,
    /// The revision that answers from now on.
    pub revision: RevisionNumber,
    /// The one that answered before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<RevisionNumber>,
    /// Which world the component exports.
    pub world: World,
    /// Where it answers, as whole URLs.
    pub urls: Vec<String>,
    /// The capabilities granted, and what is linked but closed.
    pub grants: Grants,
    /// The bounds in force.
    pub limits: Limits,
    /// The Cedar text in force.
    pub policy: String,
    /// How long the compilation took, in milliseconds; 0 if the compiled code was there.
    pub compile_ms: u64,
    /// What is allowed but worth a look.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// `POST /v1/tenants/{tenant}/functions/{function}/rollback`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RollbackRequest {
    /// The revision to go back to; the one before the active one where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<RevisionNumber>,
    /// Whether it may let in whom the active revision refuses.
    #[serde(default)]
    pub accept_widening: bool,
}

/// What a rollback did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RollbackResult {
    /// The function.
    pub function: FunctionName,
    /// The revision that answers from now on.
    pub revision: RevisionNumber,
    /// The one that answered before.
    pub previous: RevisionNumber,
}

/// One header of a request or an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its value; bytes that are not UTF-8 are replaced in answers.
    pub value: String,
}

/// `POST /v1/tenants/{tenant}/functions/{function}/invoke`: a call whose answer comes with what it cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InvokeRequest {
    /// The method, `GET` where it is absent.
    #[serde(default = "default_method")]
    pub method: String,
    /// Path and query that the function sees, `/` where it is absent.
    #[serde(default = "default_path")]
    pub path: String,
    /// Headers that the function sees.
    #[serde(default)]
    pub headers: Vec<Header>,
    /// The body, in base 64 (RFC 4648 §4); at most 1 MiB with everything else.
    #[serde(default)]
    pub body_base64: String,
}

fn default_method() -> String {
    "GET".into()
}

fn default_path() -> String {
    "/".into()
}

impl Default for InvokeRequest {
    fn default() -> Self {
        let (method, path) = (default_method(), default_path());
        Self { method, path, headers: Vec::new(), body_base64: String::new() }
    }
}

/// What a call answered and what it cost. A function that failed is a result too, with status 200 of the API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InvokeResult {
    /// The run's id in log and record.
    pub request_id: RequestId,
    /// The revision that ran.
    pub revision: RevisionNumber,
    /// The function's status, or the one that a caller would have seen for its fault.
    pub status: u16,
    /// The function's headers.
    pub headers: Vec<Header>,
    /// The function's body, in base 64.
    pub body_base64: String,
    /// Whether the body was cut at 1 MiB.
    #[serde(default)]
    pub body_cut: bool,
    /// What it used.
    pub usage: Usage,
    /// Why it failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    /// What the fault says to the function's owner: a trap's message, say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault_detail: Option<String>,
}

/// Where a line of a function's log came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LogSource {
    /// The guest's standard output.
    Stdout,
    /// The guest's standard error.
    Stderr,
    /// The platform, about a run: its fault, say.
    Platform,
}

impl LogSource {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Platform => "platform",
        }
    }
}

/// One line of NDJSON of `GET /v1/tenants/{tenant}/functions/{function}/logs?after=SEQ&follow=true`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogLine {
    /// Counts the lines of one function, from 1; give the last one as `after` to go on.
    pub seq: u64,
    /// When it was written.
    pub at: Timestamp,
    /// The run that wrote it.
    pub request_id: RequestId,
    /// The revision that wrote it.
    pub revision: RevisionNumber,
    /// Where it came from.
    pub source: LogSource,
    /// The line, without its end; bytes that are not UTF-8 are replaced.
    pub text: String,
}

/// A token without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenInfo {
    /// Names it without being it.
    pub id: TokenId,
    /// Whose it is: the principal's name in the tenant.
    pub name: String,
    /// What kind of principal.
    pub kind: PrincipalKind,
    /// The principal's roles.
    pub roles: Vec<Role>,
    /// What it may be used for: names of actions, or `*`.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// By whom.
    pub created_by: String,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it was revoked, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
    /// When it was last used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Timestamp>,
}

/// `GET /v1/tenants/{tenant}/tokens`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenList {
    /// The newest first.
    pub tokens: Vec<TokenInfo>,
}

/// `POST /v1/tenants/{tenant}/tokens`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateToken {
    /// The principal's name in the tenant.
    pub name: String,
    /// What kind of principal: a person where it is absent.
    #[serde(default = "default_kind")]
    pub kind: PrincipalKind,
    /// The principal's roles.
    #[serde(default)]
    pub roles: Vec<Role>,
    /// What it may be used for: names of actions, or `*`; `invoke` alone where it is absent.
    #[serde(default = "default_scopes")]
    pub scopes: Vec<String>,
    /// How many days it lives, 1 to 365.
    #[schemars(range(min = 1, max = 365))]
    pub days: u64,
}

fn default_kind() -> PrincipalKind {
    PrincipalKind::User
}

fn default_scopes() -> Vec<String> {
    vec!["invoke".into()]
}

/// A token just made, 201: the only time that its secret is shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IssuedToken {
    /// What is kept of it.
    pub token: TokenInfo,
    /// The bearer token itself.
    pub secret: String,
}

impl fmt::Debug for IssuedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedToken").field("token", &self.token).finish_non_exhaustive()
    }
}

/// `POST /v1/tenants/{tenant}/tokens/{token}/rotate`; the answer is an [`IssuedToken`] for the same principal with
/// the same roles and scopes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateToken {
    /// How long the old one stays good beside it, in seconds; 0, which ends it at once, to 30 days.
    #[serde(default)]
    #[schemars(range(max = 2_592_000))]
    pub overlap_s: u64,
    /// How many days the new one lives, 1 to 365; as many as the old one did where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<u64>,
}

/// One event of the tenant's record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Record {
    /// Its place in the node's record.
    pub seq: u64,
    /// The event, as it is recorded: always `at` and `kind`, and what belongs to the kind.
    pub event: serde_json::Value,
}

/// `GET /v1/tenants/{tenant}/records?request=ID&function=NAME&limit=N`, and `GET /v1/node/records?request=ID&limit=N`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RecordList {
    /// The newest first.
    pub records: Vec<Record>,
}

/// `GET` and `PUT /v1/tenants/{tenant}/identity`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IdentityText {
    /// Whom the tenant accepts beside API tokens, in TOML. What is read has no secrets in it.
    pub text: String,
}

/// One thing that was looked at, and how it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// What was looked at: `wall:seccomp`, `store`, `workers`.
    pub name: String,
    /// How it stands.
    pub state: CheckState,
    /// A sentence: what is, and what to do where it is not well.
    pub detail: String,
}

/// How a thing stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CheckState {
    /// As it should be.
    Ok,
    /// Weaker than it could be.
    Warning,
    /// Not as it must be.
    Failed,
}

/// `GET /v1/node`: how the node stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeReport {
    /// The product's version.
    pub version: String,
    /// The engine and its version.
    pub engine: String,
    /// The store's backend.
    pub store: String,
    /// When the node started.
    pub started_at: Timestamp,
    /// Worker processes that stand ready.
    pub workers: u64,
    /// Worker processes replaced since the start.
    pub worker_restarts: u64,
    /// The walls that stand around every worker.
    pub walls: Vec<String>,
    /// The walls that do not.
    pub walls_missing: Vec<String>,
    /// Tenants on this node.
    pub tenants: u64,
    /// Functions on this node.
    pub functions: u64,
    /// Events recorded so far.
    pub records: u64,
    /// What the configuration weakens, by name.
    pub dangerous: Vec<String>,
    /// Each thing that was looked at.
    pub checks: Vec<Check>,
}
