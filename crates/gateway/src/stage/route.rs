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

/// The host, which `shape` left in `Host` alone.
fn host(head: &Parts) -> &str {
    head.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default()
}
