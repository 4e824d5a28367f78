//! The endpoints about policies. It never serves one.

use http::Method;

use super::{Endpoint, Operation as Op, Shape, endpoint, json};
use crate::api;

pub(super) fn endpoints() -> Vec<Endpoint> {
    const POLICY: &str = "/v1/tenants/{tenant}/policy";
    let (none, text) = (Shape::Nothing, json::<api::PolicyText>);
    let mut all = vec![
        endpoint(Method::GET, POLICY, Op::ReadPolicy, "A tenant's own policies", none, (200, text())),
        endpoint(
            Method::PUT,
            POLICY,
            Op::SetPolicy,
            "Replace them; what lets in whom they refuse now stops with 409 `widens-access` unless it is accepted",
            json::<api::SetPolicy>(),
            (200, text()),
        ),
        Endpoint {
            query: &[("request", "Which")],
            ..endpoint(
                Method::GET,
                "/v1/tenants/{tenant}/explain",
                Op::Explain,
                "Why a request of the past was decided as it was, by the policies of then",
                none,
                (200, json::<api::ExplainedList>()),
            )
        },
        Endpoint {
            query: &[
                ("action", "What is asked for"),
                ("function", "Of which function; of the tenant where absent"),
            ],
            ..endpoint(
                Method::GET,
                "/v1/tenants/{tenant}/who-can",
                Op::WhoCan,
                "Who may do something, in which circumstances",
                none,
                (200, json::<api::ReachedList>()),
            )
        },
        Endpoint {
            query: &[("principal", "The name of one with a live token")],
            ..endpoint(
                Method::GET,
                "/v1/tenants/{tenant}/what-can",
                Op::WhatCan,
                "What somebody may do, in which circumstances",
                none,
                (200, json::<api::ReachedList>()),
            )
        },
    ];
    all.extend(changes());
    all.extend(glass());
    all
}

fn changes() -> Vec<Endpoint> {
    const ALL: &str = "/v1/tenants/{tenant}/changes";
    const ONE: &str = "/v1/tenants/{tenant}/changes/{change}";
    let (none, one) = (Shape::Nothing, json::<api::Waiting>);
    let list = (200, json::<api::WaitingList>());
    vec![
        endpoint(Method::GET, ALL, Op::Changes, "Changes that wait for a second person", none, list),
        endpoint(
            Method::POST,
            ALL,
            Op::Propose,
            "Propose a change that lets somebody in, for a second person to approve",
            json::<api::Proposal>(),
            (201, one()),
        ),
        endpoint(Method::GET, ONE, Op::Change, "One change with all that it would do", none, (200, one())),
        endpoint(
            Method::POST,
            "/v1/tenants/{tenant}/changes/{change}/approve",
            Op::Approve,
            "Do it",
            none,
            (200, one()),
        ),
        endpoint(Method::DELETE, ONE, Op::Reject, "Take it away", none, (204, none)),
    ]
}

fn glass() -> Vec<Endpoint> {
    const ALL: &str = "/v1/tenants/{tenant}/glass";
    let none = Shape::Nothing;
    vec![
        endpoint(
            Method::GET,
            ALL,
            Op::ListGlass,
            "Permits that end by themselves",
            none,
            (200, json::<api::GlassList>()),
        ),
        endpoint(
            Method::POST,
            ALL,
            Op::BreakGlass,
            "Give somebody a permit that ends by itself",
            json::<api::BreakGlass>(),
            (201, json::<api::Glass>()),
        ),
        endpoint(
            Method::DELETE,
            "/v1/tenants/{tenant}/glass/{glass}",
            Op::EndGlass,
            "End one before its time",
            none,
            (204, none),
        ),
    ]
}
