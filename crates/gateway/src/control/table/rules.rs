//! The endpoints about the node's rules. It never serves one.

use http::Method;

use super::{Endpoint, Operation as Op, Shape, endpoint, json};
use crate::api;

pub(super) fn endpoints() -> Vec<Endpoint> {
    const RULES: &str = "/v1/node/rules";
    let set = json::<api::RuleSet>;
    vec![
        endpoint(
            Method::GET,
            RULES,
            Op::ListRules,
            "The sets of rules of the web firewall, and which of them looks at requests",
            Shape::Nothing,
            (200, json::<api::RuleSetList>()),
        ),
        endpoint(
            Method::POST,
            RULES,
            Op::AddRules,
            "Add a set of rules and let it look at all requests from now on",
            json::<api::RuleFiles>(),
            (201, set()),
        ),
        endpoint(
            Method::PUT,
            "/v1/node/rules/in-force",
            Op::UseRules,
            "Let another set that is kept look at all requests from now on",
            json::<api::UseRules>(),
            (200, set()),
        ),
        endpoint(
            Method::POST,
            "/v1/node/rules/simulate",
            Op::Simulate,
            "What other rules, or other settings, would have said to the requests of the last hour",
            json::<api::Simulate>(),
            (200, json::<api::Simulated>()),
        ),
    ]
}
