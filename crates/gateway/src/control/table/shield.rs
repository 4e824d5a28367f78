//! The endpoints of the shield. It never serves one.

use http::Method;

use super::{Endpoint, Operation as Op, Shape, endpoint, json};
use crate::api;

pub(super) fn endpoints() -> Vec<Endpoint> {
    const WHICH: &[(&str, &str)] = &[
        ("which", "An action by its name, or all against an address"),
        ("all", "In its place: `any` for all actions, `automatic` for all that the node did by itself"),
    ];
    let none = Shape::Nothing;
    let report = || (200, json::<api::ShieldReport>());
    let undone = || (200, json::<api::UndoneActions>());
    let made = || (201, json::<api::ShieldAction>());
    let wanted = json::<api::NewShieldAction>;
    let (get, post, delete) = (Method::GET, Method::POST, Method::DELETE);
    let (saw, acts) = ("What the shield saw of a tenant, and does", "Block, slow, suspend or quarantine");
    let mut all = vec![
        endpoint(get.clone(), "/v1/node/shield", Op::NodeShield, "The same of the node", none, report()),
        endpoint(
            post.clone(),
            "/v1/node/shield/actions",
            Op::NodeAct,
            "Block or slow for all tenants",
            wanted(),
            made(),
        ),
        Endpoint {
            query: WHICH,
            ..endpoint(
                delete.clone(),
                "/v1/node/shield/actions",
                Op::NodeUndo,
                "Undo what is done for all",
                none,
                undone(),
            )
        },
        endpoint(
            get.clone(),
            "/v1/node/shield/why/{id}",
            Op::NodeWhy,
            "What is behind a signal or an action of the node",
            none,
            (200, json::<api::ShieldStory>()),
        ),
        endpoint(get.clone(), "/v1/tenants/{tenant}/shield", Op::ShieldReport, saw, none, report()),
        endpoint(
            get,
            "/v1/tenants/{tenant}/shield/why/{id}",
            Op::ShieldWhy,
            "What is behind a signal, an action or a request",
            none,
            (200, json::<api::ShieldStory>()),
        ),
        endpoint(post, "/v1/tenants/{tenant}/shield/actions", Op::ShieldAct, acts, wanted(), made()),
        Endpoint {
            query: WHICH,
            ..endpoint(
                delete,
                "/v1/tenants/{tenant}/shield/actions",
                Op::ShieldUndo,
                "Undo it before its time",
                none,
                undone(),
            )
        },
    ];
    all.extend(profiles());
    all.extend(bait());
    all
}

fn profiles() -> Vec<Endpoint> {
    const ONE: &str = "/v1/tenants/{tenant}/shield/profiles/{function}";
    let (none, one) = (Shape::Nothing, || (200, json::<api::ShieldProfile>()));
    vec![
        endpoint(Method::GET, ONE, Op::ReadProfile, "What runs of a function do", none, one()),
        endpoint(Method::DELETE, ONE, Op::ResetProfile, "Learn that anew", none, one()),
        endpoint(
            Method::POST,
            "/v1/tenants/{tenant}/shield/profiles/{function}/approve",
            Op::ApproveProfile,
            "Hold runs against what was learned",
            none,
            one(),
        ),
    ]
}

fn bait() -> Vec<Endpoint> {
    const ALL: &str = "/v1/tenants/{tenant}/shield/bait";
    let none = Shape::Nothing;
    vec![
        endpoint(
            Method::GET,
            ALL,
            Op::ListBait,
            "Routes and tokens that nobody has a reason to touch",
            none,
            (200, json::<api::BaitList>()),
        ),
        endpoint(
            Method::POST,
            ALL,
            Op::LayBait,
            "Lay such a route, or make such a token; its secret is shown this once",
            json::<api::NewBait>(),
            (201, json::<api::Bait>()),
        ),
        Endpoint {
            query: &[("which", "The route, or the token's id")],
            ..endpoint(Method::DELETE, ALL, Op::TakeBait, "Take it away", none, (204, none))
        },
    ]
}
