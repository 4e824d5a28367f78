//! Objects of the schema that several classes have, made of an event's fields. It never decides about a class.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use super::{SERVICE, put_text};
use crate::{Event, Kind};

/// The methods that `http_request.http_method` has.
const METHODS: [&str; 8] = ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT", "TRACE"];

/// `Kind::"tenant/name"` taken apart: kind, tenant and name, as far as they are there.
fn parts(entity: &str) -> (&str, Option<&str>, &str) {
    let Some((kind, rest)) = entity.split_once("::") else { return ("", None, entity) };
    let id = rest.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(rest);
    match id.split_once('/') {
        Some((tenant, name)) => (kind, Some(tenant), name),
        None => (kind, None, id),
    }
}

/// The name alone.
pub(super) fn entity_name(entity: &str) -> &str {
    parts(entity).2
}

/// A principal as a user. Nobody is one of unknown type.
pub(super) fn user(principal: &str) -> Value {
    let (kind, tenant, name) = parts(principal);
    let mut user = Map::new();
    let type_id = match kind {
        "User" => 1,
        "" | "Anonymous" => 0,
        _ => super::OTHER,
    };
    put_text(&mut user, "name", if name.is_empty() { "unknown" } else { name });
    put_text(&mut user, "uid", principal);
    put_text(&mut user, "domain", tenant.unwrap_or_default());
    if type_id == super::OTHER {
        put_text(&mut user, "type", kind);
    }
    user.insert("type_id".into(), type_id.into());
    user.into()
}

/// Who did it; the node itself where no principal is told.
pub(super) fn actor(event: &Event) -> Value {
    match event.principal.is_empty() {
        true => json!({ "app_name": SERVICE }),
        false => json!({ "user": user(&event.principal) }),
    }
}

/// Where it came from. A class that wants it has the node's own service where there is no address.
pub(super) fn endpoint(event: &Event) -> Value {
    match event.source {
        Some(source) => json!({ "ip": source.to_string() }),
        None => json!({ "svc_name": SERVICE }),
    }
}

/// Where it came from, if that is known.
pub(super) fn source(out: &mut Map<String, Value>, event: &Event) {
    if event.source.is_some() {
        out.insert("src_endpoint".into(), endpoint(event));
    }
}

/// Where it came from, in a class that knows no endpoint of it: what an observable is named by is where it stands.
pub(super) fn observe_source(out: &mut Map<String, Value>, event: &Event) {
    if let Some(source) = event.source {
        let seen = json!([{ "name": "unmapped.source", "type_id": IP_ADDRESS, "value": source.to_string() }]);
        out.insert("observables".into(), seen);
    }
}

/// Against what something was done: an address, a range of them, or the name of a token or of a function.
pub(super) fn observe_target(out: &mut Map<String, Value>, event: &Event) {
    if event.resource.is_empty() {
        return;
    }
    let (address, bits) = match event.resource.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (&*event.resource, None),
    };
    let (type_id, value) = match (address.parse::<IpAddr>(), bits) {
        (Err(_), _) => (RESOURCE_UID, &*event.resource),
        (Ok(IpAddr::V4(_)), Some("32")) | (Ok(IpAddr::V6(_)), Some("128")) | (Ok(_), None) => {
            (IP_ADDRESS, address)
        }
        (Ok(_), Some(_)) => (SUBNET, &*event.resource),
    };
    let seen = json!([{ "name": "unmapped.resource", "type_id": type_id, "value": value }]);
    out.insert("observables".into(), seen);
}

/// `type_id` of observables.
const IP_ADDRESS: u64 = 2;
const RESOURCE_UID: u64 = 10;
const SUBNET: u64 = 12;

/// What it was about.
pub(super) fn resources(out: &mut Map<String, Value>, event: &Event) {
    if event.resource.is_empty() {
        return;
    }
    let (kind, ..) = parts(&event.resource);
    let mut resource = Map::new();
    put_text(&mut resource, "name", entity_name(&event.resource));
    put_text(&mut resource, "uid", &event.resource);
    put_text(&mut resource, "type", kind);
    out.insert("resources".into(), json!([resource]));
}

/// What was called.
pub(super) fn operation(event: &Event) -> &str {
    if event.action.is_empty() { event.kind.as_str() } else { &event.action }
}

/// The request's line, as far as the decision could see it.
pub(super) fn http_request(out: &mut Map<String, Value>, event: &Event) {
    let Ok(Value::Object(asked)) = serde_json::from_str(&event.asked) else { return };
    let text = |name: &str| asked.get(name).and_then(Value::as_str).unwrap_or_default();
    let mut request = Map::new();
    if METHODS.contains(&text("method")) {
        put_text(&mut request, "http_method", text("method"));
    }
    if !text("path").is_empty() {
        let mut url = Map::new();
        put_text(&mut url, "path", text("path"));
        put_text(&mut url, "hostname", text("host"));
        match asked.get("tls").and_then(Value::as_bool) {
            Some(true) => put_text(&mut url, "scheme", "https"),
            Some(false) => put_text(&mut url, "scheme", "http"),
            None => {}
        }
        request.insert("url".into(), url.into());
    }
    if let (Some(id), false) = (event.request, request.is_empty()) {
        put_text(&mut request, "uid", &id.to_string());
        out.insert("http_request".into(), request.into());
    }
}

/// What the classes have no attribute for.
pub(super) fn unmapped(event: &Event) -> Map<String, Value> {
    let mut out = Map::new();
    put_text(&mut out, "on_behalf_of", &event.on_behalf_of);
    if !event.chain.is_empty() {
        out.insert("chain".into(), event.chain.iter().map(|link| Value::from(&**link)).collect());
    }
    match serde_json::from_str(&event.asked) {
        Ok(asked @ Value::Object(_)) => {
            out.insert("asked".into(), asked);
        }
        _ => put_text(&mut out, "asked", &event.asked),
    }
    if event.kind == Kind::Refusal {
        put_text(&mut out, "principal", &event.principal);
    }
    if matches!(event.kind, Kind::Refusal | Kind::Action) {
        put_text(&mut out, "resource", &event.resource);
    }
    let has_no_endpoint = match event.kind {
        Kind::Deploy | Kind::Rollback | Kind::Remove | Kind::Node => true,
        Kind::Action => super::bait(event).is_none(),
        _ => false,
    };
    if let Some(source) = event.source.filter(|_| has_no_endpoint) {
        put_text(&mut out, "source", &source.to_string());
    }
    if !matches!(event.kind, Kind::Decision | Kind::Run) && !event.policies.is_empty() {
        out.insert("policies".into(), event.policies.iter().map(|policy| Value::from(&**policy)).collect());
    }
    // Numbers always have a text.
    if let Some(Ok(usage)) = event.usage.as_ref().map(serde_json::to_value) {
        out.insert("usage".into(), usage);
    }
    out
}

/// A line for people: kind, what came of it, whom and what it is about.
pub(super) fn message(event: &Event) -> String {
    let outcome = match (event.kind, event.allowed) {
        (Kind::Signal, _) => "seen",
        (_, true) => "allowed",
        (_, false) => "refused",
    };
    let said = [&*event.action, &*event.code, &*event.resource].into_iter().filter(|text| !text.is_empty());
    said.fold(format!("{} {outcome}", event.kind.as_str()), |mut line, text| {
        line.push_str(", ");
        line.push_str(text);
        line
    })
}
