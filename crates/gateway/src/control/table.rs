//! Every endpoint of the control API, once: what dispatches requests is what the OpenAPI document is made of.
//! It never serves one.

mod login;
mod policy;
mod rules;
mod shield;

use http::Method;
use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::api;

/// What an endpoint does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Health,
    Ready,
    OpenApi,
    Metrics,
    WhoAmI,
    Node,
    NodeRecords,
    ListTenants,
    CreateTenant,
    LimitTenant,
    ListFunctions,
    Inspect,
    Remove,
    PutComponent,
    Deploy,
    Rollback,
    Invoke,
    Logs,
    ListTokens,
    CreateToken,
    RotateToken,
    RevokeToken,
    LoginOffer,
    LogIn,
    LoginFailed,
    LogOut,
    ListSessions,
    RevokeSession,
    Records,
    ReadPolicy,
    SetPolicy,
    ReadIdentity,
    SetIdentity,
    Explain,
    WhoCan,
    WhatCan,
    Changes,
    Propose,
    Change,
    Approve,
    Reject,
    ListGlass,
    BreakGlass,
    EndGlass,
    ListRules,
    AddRules,
    UseRules,
    Simulate,
    NodeShield,
    NodeWhy,
    NodeAct,
    NodeUndo,
    ShieldReport,
    ShieldWhy,
    ShieldAct,
    ShieldUndo,
    ReadProfile,
    ApproveProfile,
    ResetProfile,
    ListBait,
    LayBait,
    TakeBait,
}

type MakeSchema = fn(&mut SchemaGenerator) -> Schema;

/// What goes in or out.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    Nothing,
    Json(MakeSchema),
    /// One JSON document a line.
    Lines(MakeSchema),
    Text(&'static str),
    Bytes,
}

/// One endpoint.
pub(super) struct Endpoint {
    pub(super) method: Method,
    /// `{name}` stands for one segment.
    pub(super) path: &'static str,
    pub(super) operation: Operation,
    pub(super) summary: &'static str,
    /// Whether it answers without a credential.
    pub(super) open: bool,
    pub(super) query: &'static [(&'static str, &'static str)],
    pub(super) request: Shape,
    pub(super) status: u16,
    /// Another status of the same answer.
    pub(super) also: Option<u16>,
    pub(super) answer: Shape,
}

fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

fn json<T: JsonSchema>() -> Shape {
    Shape::Json(schema::<T>)
}

/// The table.
pub(super) fn endpoints() -> Vec<Endpoint> {
    let mut all = node_endpoints();
    all.extend(function_endpoints());
    all.extend(tenant_endpoints());
    all.extend(token_endpoints());
    all.extend(login::endpoints());
    all.extend(policy::endpoints());
    all.extend(rules::endpoints());
    all.extend(shield::endpoints());
    all
}

fn endpoint(
    method: Method,
    path: &'static str,
    operation: Operation,
    summary: &'static str,
    request: Shape,
    (status, answer): (u16, Shape),
) -> Endpoint {
    Endpoint {
        method,
        path,
        operation,
        summary,
        open: false,
        query: &[],
        request,
        status,
        also: None,
        answer,
    }
}

fn node_endpoints() -> Vec<Endpoint> {
    use Operation as Op;
    let open = |path, operation, summary, answer| Endpoint {
        open: true,
        ..endpoint(Method::GET, path, operation, summary, Shape::Nothing, (200, answer))
    };
    let get = |path, operation, summary, answer| {
        endpoint(Method::GET, path, operation, summary, Shape::Nothing, (200, answer))
    };
    vec![
        open("/healthz", Op::Health, "Whether the process is alive", json::<api::Health>()),
        open("/readyz", Op::Ready, "Whether it takes requests; 503 if not", json::<api::Health>()),
        open("/openapi.json", Op::OpenApi, "This document", Shape::Text("application/json")),
        get("/metrics", Op::Metrics, "Prometheus metrics", Shape::Text(METRICS_TYPE)),
        get("/v1/whoami", Op::WhoAmI, "Whom the credential proves", json::<api::WhoAmI>()),
        get("/v1/node", Op::Node, "How the node stands", json::<api::NodeReport>()),
        Endpoint {
            query: &[("request", "Only events of this request"), ("limit", "At most so many, 1 to 1000")],
            ..get(
                "/v1/node/records",
                Op::NodeRecords,
                "The record of the node itself, the newest first: what was refused before it was any tenant's",
                json::<api::RecordList>(),
            )
        },
    ]
}

/// The media type of OpenMetrics text.
pub(super) const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

fn function_endpoints() -> Vec<Endpoint> {
    use Operation as Op;
    const FUNCTION: &str = "/v1/tenants/{tenant}/functions/{function}";
    let none = Shape::Nothing;
    vec![
        endpoint(
            Method::GET,
            "/v1/tenants/{tenant}/functions",
            Op::ListFunctions,
            "The functions of a tenant",
            none,
            (200, json::<api::FunctionList>()),
        ),
        endpoint(
            Method::GET,
            FUNCTION,
            Op::Inspect,
            "One function",
            none,
            (200, json::<api::FunctionDetail>()),
        ),
        endpoint(Method::DELETE, FUNCTION, Op::Remove, "Take a function away", none, (204, none)),
        put_component(),
        endpoint(
            Method::POST,
            "/v1/tenants/{tenant}/functions/{function}/revisions",
            Op::Deploy,
            "Make a revision of an uploaded component and let it answer",
            json::<api::DeployRequest>(),
            (201, json::<api::DeployResult>()),
        ),
        endpoint(
            Method::POST,
            "/v1/tenants/{tenant}/functions/{function}/rollback",
            Op::Rollback,
            "Let an earlier revision answer again",
            json::<api::RollbackRequest>(),
            (200, json::<api::RollbackResult>()),
        ),
        endpoint(
            Method::POST,
            "/v1/tenants/{tenant}/functions/{function}/invoke",
            Op::Invoke,
            "Call a function; the answer comes with what it cost",
            json::<api::InvokeRequest>(),
            (200, json::<api::InvokeResult>()),
        ),
        Endpoint {
            query: &[
                ("after", "Only lines after this number; the last ones where it is absent"),
                ("follow", "`true`: stay and send new lines as they come"),
            ],
            ..endpoint(
                Method::GET,
                "/v1/tenants/{tenant}/functions/{function}/logs",
                Op::Logs,
                "Lines of a function's log",
                none,
                (200, Shape::Lines(schema::<api::LogLine>)),
            )
        },
    ]
}

fn put_component() -> Endpoint {
    Endpoint {
        also: Some(200),
        ..endpoint(
            Method::PUT,
            "/v1/tenants/{tenant}/components/{digest}",
            Operation::PutComponent,
            "Upload a component under its digest; 200 if it was there",
            Shape::Bytes,
            (201, json::<api::ComponentStored>()),
        )
    }
}

fn tenant_endpoints() -> Vec<Endpoint> {
    use Operation as Op;
    const IDENTITY: &str = "/v1/tenants/{tenant}/identity";
    let none = Shape::Nothing;
    vec![
        endpoint(
            Method::GET,
            "/v1/tenants",
            Op::ListTenants,
            "Tenants",
            none,
            (200, json::<api::TenantList>()),
        ),
        endpoint(
            Method::POST,
            "/v1/tenants",
            Op::CreateTenant,
            "Make a tenant",
            json::<api::CreateTenant>(),
            (201, json::<model::Tenant>()),
        ),
        endpoint(
            Method::PUT,
            "/v1/tenants/{tenant}/limits",
            Op::LimitTenant,
            "Change how much a tenant may have at once",
            json::<model::TenantLimits>(),
            (200, json::<model::Tenant>()),
        ),
        Endpoint {
            query: &[
                ("request", "Only events of this request"),
                ("function", "Only events about this function"),
                ("limit", "At most so many, 1 to 1000"),
            ],
            ..endpoint(
                Method::GET,
                "/v1/tenants/{tenant}/records",
                Op::Records,
                "A tenant's record, the newest first",
                none,
                (200, json::<api::RecordList>()),
            )
        },
        endpoint(
            Method::GET,
            IDENTITY,
            Op::ReadIdentity,
            "Whom a tenant accepts beside API tokens, without secrets",
            none,
            (200, json::<api::IdentityText>()),
        ),
        endpoint(
            Method::PUT,
            IDENTITY,
            Op::SetIdentity,
            "Accept these from the next request on",
            json::<api::IdentityText>(),
            (200, json::<api::IdentityText>()),
        ),
    ]
}

fn token_endpoints() -> Vec<Endpoint> {
    use Operation as Op;
    const TOKENS: &str = "/v1/tenants/{tenant}/tokens";
    let none = Shape::Nothing;
    vec![
        endpoint(
            Method::GET,
            TOKENS,
            Op::ListTokens,
            "A tenant's tokens",
            none,
            (200, json::<api::TokenList>()),
        ),
        endpoint(
            Method::POST,
            TOKENS,
            Op::CreateToken,
            "Make a token; its secret is shown this once",
            json::<api::CreateToken>(),
            (201, json::<api::IssuedToken>()),
        ),
        endpoint(
            Method::POST,
            "/v1/tenants/{tenant}/tokens/{token}/rotate",
            Op::RotateToken,
            "Make another token for the same principal; the old one ends after a while",
            json::<api::RotateToken>(),
            (201, json::<api::IssuedToken>()),
        ),
        endpoint(
            Method::DELETE,
            "/v1/tenants/{tenant}/tokens/{token}",
            Op::RevokeToken,
            "Revoke a token",
            none,
            (204, none),
        ),
    ]
}
