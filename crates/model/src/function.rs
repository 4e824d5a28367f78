//! What a deployed function is: its revisions, routes and grants. It never changes one.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Access, Digest, FunctionName, IdError, Limits, RevisionNumber, Shield, TenantId, Timestamp};

/// Which of the two `wasi:http` worlds a component speaks.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
pub enum World {
    /// Exports `wasi:http/incoming-handler@0.2.x`.
    #[serde(rename = "wasi-0.2")]
    P2,
    /// Exports `wasi:http/handler@0.3.x`.
    #[serde(rename = "wasi-0.3")]
    P3,
}

/// Where a function listens: an exact path, or a prefix written with a final `/...`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// `/hello` (that path alone) or `/hello/...` (that path and all below it).
    #[schemars(regex(pattern = r"^/[^?#]*$"))]
    pub path: String,
    /// Methods that are let through; none named means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// Which of the credentials in `access.accept` prove a caller here; all of them where none is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accept: Vec<String>,
}

impl Route {
    /// A route of that path for all methods and credentials.
    pub fn of(path: impl Into<String>) -> Self {
        Self { path: path.into(), methods: Vec::new(), accept: Vec::new() }
    }
}

/// The domain by which functions of a tenant call each other: `http://NAME.function.internal/path`. No public
/// network has `internal` (ICANN resolution 2024.07.29.06), and no call below this domain ever leaves the node.
pub const FUNCTION_DOMAIN: &str = "function.internal";

/// What a host name (without port, in any case) says to functions: none where it is not the domain of functions nor
/// below it, else the function that it names.
///
/// # Errors
/// It is reserved and names no function: the domain itself, or more than one label below it.
pub fn function_host(host: &str) -> Option<Result<FunctionName, IdError>> {
    let cut = host.len().checked_sub(FUNCTION_DOMAIN.len())?;
    let (label, domain) = host.split_at_checked(cut)?;
    if !domain.eq_ignore_ascii_case(FUNCTION_DOMAIN) {
        return None;
    }
    match label.strip_suffix('.') {
        Some(label) => Some(label.to_ascii_lowercase().parse()),
        None if label.is_empty() => Some(label.parse()),
        None => None,
    }
}

/// One outbound destination that a function may call.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OutboundGrant {
    /// `https://host[:port]/path`; a path that ends with `/...` covers all below it, none means all.
    /// `http://NAME.function.internal/path` is a function of the same tenant.
    pub url: String,
    /// Methods that are let through; none named means `GET` and `HEAD`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
}

/// What a revision may ask of the world, frozen at deploy: imports ∩ manifest ∩ policy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Grants {
    /// Outbound HTTP destinations. None: every outbound call is refused.
    pub outbound: Vec<OutboundGrant>,
    /// Interfaces that the component imports, linked but closed, for people to read.
    pub closed: Vec<String>,
}

/// Why a route answers anyone, and until when. Nothing is public without one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Waiver {
    /// A sentence that an auditor can read.
    pub reason: String,
    /// RFC 3339 time or date (midnight UTC) at which it ends.
    #[schemars(with = "String", regex(pattern = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt].+)?$"))]
    pub until: Timestamp,
}

/// A function as it was deployed once. It never changes; a deploy makes the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Revision {
    /// Whose it is.
    pub tenant: TenantId,
    /// Which function it is a revision of.
    pub function: FunctionName,
    /// Its number.
    pub number: RevisionNumber,
    /// SHA-256 of the component.
    pub component: Digest,
    /// Size of the component in bytes.
    pub component_bytes: u64,
    /// SHA-256 of the manifest's text.
    pub manifest: Digest,
    /// The manifest's text, as it was sent.
    pub manifest_text: String,
    /// Which world it exports.
    pub world: World,
    /// Where it answers.
    pub routes: Vec<Route>,
    /// Who may call it.
    pub access: Access,
    /// Its bounds.
    pub limits: Limits,
    /// What it may ask for.
    pub grants: Grants,
    /// How its requests are looked at.
    #[serde(default)]
    pub shield: Shield,
    /// When it was deployed.
    pub deployed_at: Timestamp,
    /// By whom.
    pub deployed_by: String,
}

/// A function: its name, the revision that answers, and the one to go back to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Function {
    /// Whose it is.
    pub tenant: TenantId,
    /// Its name.
    pub name: FunctionName,
    /// The revision that answers requests.
    pub active: Arc<Revision>,
    /// The newest number given out.
    pub newest: RevisionNumber,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_functions() {
        let check = |host: &str, expect: Option<Option<&str>>| {
            let found = function_host(host).map(|name| name.ok().map(|name| name.to_string()));
            assert_eq!(found, expect.map(|name| name.map(str::to_owned)), "{host}");
        };
        check("orders.function.internal", Some(Some("orders")));
        check("Orders.Function.INTERNAL", Some(Some("orders")));
        for reserved in [
            "function.internal",
            ".function.internal",
            "orders.other.function.internal",
            "-.function.internal",
            "127.0.0.1.function.internal",
        ] {
            check(reserved, Some(None));
        }
        for other in ["", "internal", "orders", "myfunction.internal", "function.internal.example.com"] {
            check(other, None);
        }
    }
}
