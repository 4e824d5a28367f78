//! An event as the Open Cybersecurity Schema Framework (OCSF 1.6.0, schema.ocsf.io) has it: which class, which of
//! its attributes, one line of JSON. It never says more than the event does, and never lets a field break its line.

mod objects;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::{Event, Kind, leaf::deceives};

/// The version of the schema that [`Ocsf`] writes.
pub const OCSF_VERSION: &str = "1.6.0";

/// What reports, in the place of a name.
const PRODUCT: &str = "Casemate";
/// The node, where a class wants the name of a service.
const SERVICE: &str = "casemate";
/// An activity that the class has no number for; its name stands beside it.
const OTHER: u64 = 99;

/// Who reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ocsf {
    version: String,
    source: String,
}

/// A class of the schema (`class_uid`) and an activity of it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Class {
    uid: u64,
    activity: u64,
    /// Told where the activity is [`OTHER`].
    name: String,
}

impl Ocsf {
    /// A reporter: the product's version, and what tells the records of this node from those of any other.
    pub fn new(version: &str, source: &str) -> Self {
        Self { version: version.to_owned(), source: source.to_owned() }
    }

    /// What one event is known by (`metadata.uid`): the same for the same event, however often it is sent.
    pub fn uid(&self, sequence: u64) -> String {
        format!("{}-{sequence}", self.source)
    }

    /// How grave an event is (`severity_id`): 1 is informational, 6 fatal.
    pub fn severity(event: &Event) -> u64 {
        severity(event)
    }

    /// The event as one line of JSON, without a line feed.
    pub fn line(&self, sequence: u64, event: &Event) -> String {
        let plain = self.value(sequence, event).to_string();
        let mut line = String::with_capacity(plain.len());
        for c in plain.chars() {
            // JSON has none of them but inside strings, where this is another spelling of the same.
            if deceives(c) {
                // Writing to a string cannot fail.
                let _ = write!(line, "\\u{:04x}", u32::from(c));
            } else {
                line.push(c);
            }
        }
        line
    }

    /// The event as an object of its class.
    pub fn value(&self, sequence: u64, event: &Event) -> Value {
        let class = Class::of(event);
        let mut out = self.base(sequence, event, &class);
        match event.kind {
            Kind::Decision | Kind::Run => api_activity(&mut out, event),
            Kind::Refusal => network(&mut out, event),
            Kind::Deploy | Kind::Rollback | Kind::Remove | Kind::Node => self.lifecycle(&mut out, event),
            Kind::Session => authentication(&mut out, event),
            Kind::Token | Kind::Policy | Kind::Identity | Kind::Tenant => entity(&mut out, event),
            Kind::Signal => finding(&mut out, event, &self.uid(sequence)),
            Kind::Action if bait(event).is_some() => entity(&mut out, event),
            Kind::Action => remediation(&mut out, event, &self.uid(sequence)),
        }
        let unmapped = objects::unmapped(event);
        if !unmapped.is_empty() {
            out.insert("unmapped".into(), unmapped.into());
        }
        Value::Object(out)
    }

    /// What every class has.
    fn base(&self, sequence: u64, event: &Event, class: &Class) -> Map<String, Value> {
        let mut out = Map::new();
        put(&mut out, "category_uid", class.uid / 1000);
        put(&mut out, "class_uid", class.uid);
        put(&mut out, "activity_id", class.activity);
        put(&mut out, "type_uid", class.uid * 100 + class.activity);
        put(&mut out, "severity_id", severity(event));
        put(&mut out, "time", event.time.unix_ms());
        // Of a finding, the status is what became of it: that it is new is all that is known here.
        let fresh = event.allowed || event.kind == Kind::Signal;
        put(&mut out, "status_id", if fresh { 1 } else { 2 });
        put_text(&mut out, "status_code", &event.code);
        put_text(&mut out, "status_detail", &event.detail);
        put_text(&mut out, "message", &objects::message(event));
        if class.activity == OTHER {
            put_text(&mut out, "activity_name", &class.name);
        }
        let mut profiles = Vec::new();
        if let Some((action, disposition)) = control(event) {
            put(&mut out, "action_id", action);
            put(&mut out, "disposition_id", disposition);
            profiles.push("security_control");
        }
        if matches!(class.uid, 6002 | 7001) {
            // Who did it stands in the profile `host`.
            profiles.push("host");
        }
        let mut metadata = Map::new();
        put_text(&mut metadata, "version", OCSF_VERSION);
        put_text(&mut metadata, "uid", &self.uid(sequence));
        put(&mut metadata, "sequence", sequence);
        put_text(&mut metadata, "event_code", event.kind.as_str());
        put_text(&mut metadata, "log_name", "record");
        let product = json!({ "name": PRODUCT, "vendor_name": PRODUCT, "version": self.version });
        metadata.insert("product".into(), product);
        if let Some(tenant) = &event.tenant {
            put_text(&mut metadata, "tenant_uid", tenant.as_str());
        }
        if let Some(request) = event.request {
            put_text(&mut metadata, "correlation_uid", &request.to_string());
        }
        if !profiles.is_empty() {
            metadata.insert("profiles".into(), profiles.into());
        }
        out.insert("metadata".into(), metadata.into());
        out
    }

    /// Application Lifecycle (6002): of a function, or of the node.
    fn lifecycle(&self, out: &mut Map<String, Value>, event: &Event) {
        let of_node = event.kind == Kind::Node;
        let app = match of_node || event.resource.is_empty() {
            true => json!({ "name": PRODUCT, "vendor_name": PRODUCT, "version": self.version }),
            false => json!({
                "name": objects::entity_name(&event.resource),
                "vendor_name": event.tenant.as_ref().map_or(PRODUCT, |tenant| tenant.as_str()),
                "uid": &*event.resource,
            }),
        };
        out.insert("app".into(), app);
        out.insert("actor".into(), objects::actor(event));
        objects::observe_source(out, event);
    }
}

impl Class {
    fn of(event: &Event) -> Self {
        let (uid, activity) = match event.kind {
            Kind::Decision => (6003, api(&event.action)),
            Kind::Run => (6003, OTHER),
            Kind::Refusal if is_of_connection(event) => (4001, 5),
            Kind::Refusal => (4002, 0),
            Kind::Deploy => (6002, 1),
            Kind::Remove => (6002, 2),
            Kind::Rollback => (6002, 8),
            Kind::Node => match &*event.action {
                "start" => (6002, 3),
                "stop" => (6002, 4),
                _ => (6002, OTHER),
            },
            Kind::Session => (3002, if event.action == "login" { 1 } else { 2 }),
            Kind::Token | Kind::Policy | Kind::Identity | Kind::Tenant => (3004, managed(event)),
            Kind::Signal => (2004, 1),
            Kind::Action => match bait(event) {
                Some(activity) => (3004, activity),
                None => (7001, countermeasure(&event.action)),
            },
        };
        let name = if event.kind == Kind::Run { "run" } else { &event.action };
        let name = if name.is_empty() { event.kind.as_str() } else { name };
        Self { uid, activity, name: name.to_owned() }
    }
}

/// `activity_id` of API Activity: Create, Read, Update, Delete.
fn api(action: &str) -> u64 {
    match action {
        "deploy" | "breakGlass" => 1,
        "inspect" | "readLogs" | "list" | "readRecord" | "readPolicy" | "listTokens" | "listTenants"
        | "readMetrics" | "readNode" | "readShield" => 2,
        "rollback" | "managePolicy" | "acceptWidening" | "approveWidening" | "manageTokens"
        | "manageTenants" | "manageShield" | "loosenShield" => 3,
        "remove" => 4,
        _ => OTHER,
    }
}

/// `activity_id` of Entity Management: Create, Update, Delete.
fn managed(event: &Event) -> u64 {
    match (event.allowed, event.detail.split(' ').next()) {
        (true, Some("made")) => 1,
        (true, Some("revoked")) => 4,
        _ if event.action == "first-start" => 1,
        _ => 3,
    }
}

/// `activity_id` of Remediation Activity, after MITRE D3FEND: Isolate, Evict, Restore, Harden.
fn countermeasure(action: &str) -> u64 {
    match action.split('-').next().unwrap_or_default() {
        "block" | "quarantine" => 1,
        "suspend" | "revoke" => 2,
        "undo" | "unblock" | "resume" | "release" | "restore" | "expire" => 3,
        "slow" | "refuse" | "limit" => 4,
        _ => OTHER,
    }
}

/// `activity_id` of Entity Management for bait, which is laid and taken away and does nothing to anybody: Create, Delete.
fn bait(event: &Event) -> Option<u64> {
    match (event.kind, &*event.action) {
        (Kind::Action, "lay-bait") => Some(1),
        (Kind::Action, "take-bait") => Some(4),
        _ => None,
    }
}

/// Whether a connection was refused, on which nothing was asked yet. Requests that were counted together have no id either,
/// and are told from those by their code.
fn is_of_connection(event: &Event) -> bool {
    let whole = [
        "address-refused",
        "connection-rate",
        "no-application-protocol",
        "plain-http",
        "proxy-header",
        "too-many-connections",
    ];
    let begun = ["client-certificate-", "handshake-", "server-name-"];
    let code = &*event.code;
    match code.is_empty() {
        true => event.request.is_none(),
        false => whole.contains(&code) || begun.iter().any(|begun| code.starts_with(begun)),
    }
}

/// `action_id` and `disposition_id`, where something was decided about what was asked.
fn control(event: &Event) -> Option<(u64, u64)> {
    match event.kind {
        Kind::Decision => Some(if event.allowed { (1, 1) } else { (2, 2) }),
        Kind::Refusal => Some((2, 2)),
        Kind::Signal => Some(if event.allowed { (1, 15) } else { (2, 2) }),
        Kind::Action if bait(event).is_some() => None,
        Kind::Action => match event.action.split('-').next().unwrap_or_default() {
            "block" | "refuse" => Some((2, 2)),
            "quarantine" => Some((2, 3)),
            "suspend" | "revoke" => Some((2, 24)),
            "slow" | "limit" => Some((1, 14)),
            _ if countermeasure(&event.action) == 3 => Some((1, 9)),
            _ => Some((0, 7)),
        },
        _ => None,
    }
}

/// Informational 1, Low 2, Medium 3, High 4: of signals, those that have no innocent explanation by their number.
fn severity(event: &Event) -> u64 {
    let grave = ["honey-", "transition-"].iter().any(|code| event.code.starts_with(code));
    match event.kind {
        Kind::Signal if grave => 4,
        Kind::Action if bait(event).is_some() => 1,
        Kind::Signal | Kind::Action => 3,
        Kind::Node if !event.allowed => 3,
        _ if !event.allowed => 2,
        _ => 1,
    }
}

/// API Activity (6003): a call that policies decided on, or one that ran.
fn api_activity(out: &mut Map<String, Value>, event: &Event) {
    let mut api = json!({ "operation": objects::operation(event), "service": { "name": SERVICE } });
    if let (Some(request), Some(api)) = (event.request, api.as_object_mut()) {
        api.insert("request".into(), json!({ "uid": request.to_string() }));
    }
    out.insert("api".into(), api);
    out.insert("actor".into(), objects::actor(event));
    out.insert("src_endpoint".into(), objects::endpoint(event));
    objects::resources(out, event);
    objects::http_request(out, event);
    let decision = if event.allowed { "Allowed" } else { "Denied" };
    let decided =
        |policy: &std::sync::Arc<str>| json!({ "decision": decision, "policy": { "name": &**policy } });
    if !event.policies.is_empty() {
        out.insert("authorizations".into(), event.policies.iter().map(decided).collect());
    }
    if let Some(usage) = &event.usage {
        put(out, "duration", usage.wall_us / 1000);
    }
}

/// HTTP Activity (4002) or Network Activity (4001): refused before anyone was asked.
fn network(out: &mut Map<String, Value>, event: &Event) {
    let name = if event.resource.is_empty() { SERVICE } else { &event.resource };
    out.insert("dst_endpoint".into(), json!({ "svc_name": name }));
    objects::source(out, event);
    match event.request {
        Some(request) => {
            out.insert("http_request".into(), json!({ "uid": request.to_string() }));
        }
        // Of requests that were counted together nothing more is known; the class wants it all the same.
        None if !is_of_connection(event) => {
            out.insert("http_request".into(), json!({}));
        }
        None => {}
    }
}

/// Authentication (3002): a session began or ended.
fn authentication(out: &mut Map<String, Value>, event: &Event) {
    out.insert("user".into(), objects::user(&event.principal));
    out.insert("service".into(), json!({ "name": SERVICE }));
    put(out, "is_remote", true);
    objects::source(out, event);
}

/// Entity Management (3004): something that says who may do what was changed.
fn entity(out: &mut Map<String, Value>, event: &Event) {
    let name = if event.resource.is_empty() { SERVICE } else { &event.resource };
    let kind = if bait(event).is_some() { "bait" } else { event.kind.as_str() };
    out.insert("entity".into(), json!({ "name": name, "type": kind }));
    put_text(out, "comment", &event.detail);
    out.insert("actor".into(), objects::actor(event));
    objects::source(out, event);
}

/// Detection Finding (2004).
fn finding(out: &mut Map<String, Value>, event: &Event, uid: &str) {
    let code = if event.code.is_empty() { "signal" } else { &event.code };
    let mut info = Map::new();
    put_text(&mut info, "uid", uid);
    put_text(&mut info, "title", code);
    put_text(&mut info, "desc", &event.detail);
    put(&mut info, "created_time", event.time.unix_ms());
    info.insert("types".into(), json!([code]));
    info.insert("analytic".into(), json!({ "name": code, "uid": code, "type_id": 1 }));
    out.insert("finding_info".into(), info.into());
    put(out, "is_alert", true);
    objects::resources(out, event);
    let mut evidence = Map::new();
    evidence.insert("actor".into(), objects::actor(event));
    objects::source(&mut evidence, event);
    out.insert("evidences".into(), json!([evidence]));
}

/// Remediation Activity (7001). A finding can be updated and closed; what was done, and taken back, is a row of events.
fn remediation(out: &mut Map<String, Value>, event: &Event, uid: &str) {
    put_text(out, "command_uid", uid);
    let said = if event.detail.is_empty() { objects::operation(event) } else { &*event.detail };
    out.insert("remediation".into(), json!({ "desc": said }));
    // Who did it stands in the profile `host`.
    out.insert("actor".into(), objects::actor(event));
    objects::observe_target(out, event);
}

fn put(out: &mut Map<String, Value>, name: &str, value: impl Into<Value>) {
    out.insert(name.to_owned(), value.into());
}

fn put_text(out: &mut Map<String, Value>, name: &str, text: &str) {
    if !text.is_empty() {
        out.insert(name.to_owned(), text.into());
    }
}
