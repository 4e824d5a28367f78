//! Finds the function that a request is for. It never says who may call it.

use std::sync::Arc;

use http::{header, request::Parts};
use platform::{Platform, RouteMiss, Target};

use super::shape::Shaped;

/// Tenant by host, function and revision by path and method.
pub(crate) fn route(platform: &Platform, shaped: &Shaped) -> Result<Arc<Target>, RouteMiss> {
    let head = &shaped.head;
    platform.route(host(head), &head.method, head.uri.path())
}

/// The authority of the target (HTTP/2's `:authority`), or the `Host`.
pub(crate) fn host(head: &Parts) -> &str {
    let authority = head.uri.authority().map(http::uri::Authority::as_str);
    authority.or_else(|| head.headers.get(header::HOST)?.to_str().ok()).unwrap_or_default()
}
