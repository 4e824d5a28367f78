//! DRAFT of the API, real code replaces it soon:
//! # platform's API (what gateway and casemate build against; real code follows in crates/platform/src)
//! 
//! ```rust
//! // opening (casemate::node)
//! pub struct PlatformConfig { pub domain: String /* "localhost" */, pub ceiling: Limits, pub first_start: FirstStart }
//! pub struct Parts { pub store: Arc<dyn store::Store> /* inner backend */ or Sealed as store helper defines, pub cells: Arc<cell::Cells>,
//!                    pub egress: Arc<egress::Egress>, pub shield: Arc<shield::Shield>, pub clock: Arc<dyn Clock>, pub entropy: Arc<dyn Entropy> }
//! Platform::open(PlatformConfig, Parts) -> Result<(Arc<Platform>, Option<FirstStart>), OpenError>
//!    // FirstStart { tenant: TenantId, token: String (the admin token's text, shown once), token_id }
//! platform.stop().await            // drains runs, flushes record, logs, usage
//! 
//! // data plane (gateway's stages)
//! platform.request_id() -> RequestId
//! platform.shield() -> &Shield
//! platform.route(host: &str, method: &http::Method, path: &str) -> Result<Arc<Target>, RouteMiss>   // RouteMiss::{NoRoute, Method(Vec<String>)}
//! target.tenant() -> &TenantId; target.function() -> &FunctionName; target.revision() -> &Arc<Revision>; target.limits() -> &Limits
//! platform.identify(id: RequestId, tenant: Option<&TenantId>, headers: &HeaderMap, peer: &shield::Peer) -> Result<Caller, Refused>
//! platform.authorize(id, &Arc<Target>, &Caller, &Screened<RequestBody>) -> Result<Permit, Refused>
//! platform.invoke(id, Permit, Arc<Target>, &Caller, Screened<cell::RequestBody>) -> impl Future<Output = Result<http::Response<cell::AnswerBody>, Fault>>
//! 
//! /// Why somebody did not get what they asked for. gateway/src/problem.rs maps it to HTTP.
//! pub enum Refused { Unauthenticated { code }, Forbidden { code }, TooMany { retry_after_s }, Unavailable{code} }   // has .code() -> &'static str
//! 
//! // control plane: each takes (&self, id: RequestId, caller: &Caller, peer: &Peer, …) and authorizes inside
//! deploy(ctx, tenant, function, manifest: &str, component: Digest) -> Result<Deployed, ControlError>
//! put_component(ctx, tenant, digest, bytes) -> Result<bool /* new */, ControlError>
//! rollback(ctx, tenant, function, to: Option<RevisionNumber>) -> Result<Arc<Revision>, ControlError>
//! remove(ctx, tenant, function); list(ctx, tenant) -> Vec<FunctionSummary>; inspect(ctx, tenant, function) -> FunctionDetail
//! create_token(ctx, tenant, NewToken{name, kind, roles, scopes, days}) -> CreatedToken{text, record}; list_tokens; revoke_token
//! records(ctx, tenant, RecordQuery{request, function, limit}) -> Vec<serde_json::Value or ledger::Event>
//! read_logs(ctx, tenant, function, after: u64) -> Vec<LogLine{seq, at, revision, request, stream, text}>;  follow_logs(..) -> stream
//! policy(ctx, tenant) -> String; set_policy(ctx, tenant, text)
//! tenants(ctx); create_tenant(ctx, id, trust); node(ctx) -> NodeReport; metrics(ctx) -> Metrics
//! pub struct Ctx<'a> { pub id: RequestId, pub caller: &'a Caller, pub peer: &'a Peer }
//! pub enum ControlError { Refused(Refused), NotFound{what}, Invalid{code, message, at: Option<(line,col)>}, Conflict{message}, TooLarge{..}, Compile{code,message}, Busy, Internal }
//!    // .code() -> &'static str, .message() -> String; control callers are told details (they are authenticated operators)
//! ```
