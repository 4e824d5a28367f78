//! The endpoints about logging in and about sessions. It never serves one.

use http::Method;

use super::{Endpoint, Operation as Op, Shape, endpoint, json};
use crate::api;

pub(super) fn endpoints() -> Vec<Endpoint> {
    const LOGIN: &str = "/v1/tenants/{tenant}/login";
    let none = Shape::Nothing;
    let open = |endpoint| Endpoint { open: true, ..endpoint };
    vec![
        open(endpoint(
            Method::GET,
            LOGIN,
            Op::LoginOffer,
            "Where the tenant's people log in; 404 where they do not, and where there is no such tenant",
            none,
            (200, json::<api::LoginProvider>()),
        )),
        open(endpoint(
            Method::POST,
            LOGIN,
            Op::LogIn,
            "Open a session for who logged in, bound to the key of the proof in `DPoP`",
            json::<api::OpenSession>(),
            (201, json::<api::OpenedSession>()),
        )),
        open(endpoint(
            Method::POST,
            "/v1/tenants/{tenant}/login/failed",
            Op::LoginFailed,
            "Tell that a login came to nothing before it reached the node",
            json::<api::LoginProblem>(),
            (204, none),
        )),
        endpoint(
            Method::DELETE,
            "/v1/session",
            Op::LogOut,
            "End the session that this is asked with",
            none,
            (204, none),
        ),
        endpoint(
            Method::GET,
            "/v1/tenants/{tenant}/sessions",
            Op::ListSessions,
            "The sessions of people who logged in",
            none,
            (200, json::<api::SessionList>()),
        ),
        endpoint(
            Method::DELETE,
            "/v1/tenants/{tenant}/sessions/{session}",
            Op::RevokeSession,
            "Revoke a session",
            none,
            (204, none),
        ),
    ]
}
