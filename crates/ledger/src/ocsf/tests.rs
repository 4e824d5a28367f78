//! Each kind of event has the attributes that its class requires, with values of the schema's own, and stays as the
//! committed text has it.

use model::{RequestId, Timestamp, Usage};
use serde_json::Value;

use super::*;
use crate::Group;

/// The kinds and what they come to. Written anew by `UPDATE_SNAPSHOTS=1`.
const SNAPSHOTS: &str = "src/ocsf/tests/snapshots.txt";

type Required = (u64, &'static [&'static str], &'static [&'static str], &'static [u64]);

/// Each class: what it requires beside the base, of which one must be there, and its activities, as schema.ocsf.io
/// has them for 1.6.0.
const CLASSES: [Required; 8] = [
    (2004, &["finding_info"], &[], &[0, 1, 2, 3, 99]),
    (3002, &["user"], &["service", "dst_endpoint"], &[0, 1, 2, 3, 4, 5, 6, 7, 99]),
    (3004, &["entity"], &[], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 99]),
    (4001, &[], &["src_endpoint", "dst_endpoint"], &[0, 1, 2, 3, 4, 5, 6, 7, 99]),
    (4002, &[], &["http_request", "http_response"], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 99]),
    (6002, &["app"], &[], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 99]),
    (6003, &["actor", "api", "src_endpoint"], &[], &[0, 1, 2, 3, 4, 99]),
    (7001, &["command_uid"], &[], &[0, 1, 2, 3, 4, 99]),
];
const BASE: [&str; 8] =
    ["activity_id", "category_uid", "class_uid", "metadata", "severity_id", "time", "type_uid", "status_id"];

/// Objects by the name of their attribute: what they require, and of which one must be there.
const OBJECTS: [(&str, &[&str], &[&str]); 16] = [
    ("metadata", &["product", "version"], &[]),
    ("product", &["vendor_name"], &["name", "uid"]),
    ("app", &["vendor_name"], &["name", "uid"]),
    ("actor", &[], &["process", "user", "invoked_by", "session", "app_name", "app_uid"]),
    ("user", &[], &["account", "name", "uid"]),
    ("api", &["operation"], &[]),
    ("request", &["uid"], &[]),
    ("src_endpoint", &[], &["ip", "uid", "name", "hostname", "svc_name", "instance_uid"]),
    ("dst_endpoint", &[], &["ip", "uid", "name", "hostname", "svc_name", "instance_uid"]),
    ("service", &[], &["name", "uid"]),
    ("url", &[], &["url_string", "path"]),
    ("entity", &[], &["name", "uid"]),
    ("finding_info", &["uid"], &[]),
    ("analytic", &["type_id"], &["name", "uid"]),
    ("remediation", &["desc"], &[]),
    ("policy", &[], &["name", "uid"]),
];

fn reporter() -> Ocsf {
    Ocsf::new("0.1.0", "5f3a9c0d11e2b4a7")
}

fn event(kind: Kind) -> Event {
    Event {
        tenant: Some("default".parse().unwrap()),
        request: Some(RequestId::from_parts(Timestamp::from_unix_ms(1_795_000_000_000), 42)),
        principal: "User::\"default/alice\"".into(),
        resource: "Function::\"default/hello\"".into(),
        action: kind.as_str().into(),
        source: Some("192.0.2.7".parse().unwrap()),
        ..Event::new(Timestamp::from_unix_ms(1_795_000_000_123), kind)
    }
}

/// One or more for each kind.
fn samples() -> Vec<(&'static str, Event)> {
    let asked =
        r#"{"method":"GET","path":"/orders","host":"default.localhost","tls":true,"roles":["owner"]}"#;
    let invoke = || Event {
        action: "invoke".into(),
        asked: asked.into(),
        policies: vec!["owner-may-all".into()],
        ..event(Kind::Decision)
    };
    let tenant = |kind, detail: &str| Event {
        allowed: true,
        resource: "Tenant::\"default\"".into(),
        detail: detail.into(),
        ..event(kind)
    };
    let bare = |kind, action: &'static str| Event {
        action: action.into(),
        ..Event::new(Timestamp::from_unix_ms(1_795_000_000_123), kind)
    };
    let refused = Event {
        action: "".into(),
        code: "token-unknown".into(),
        principal: "".into(),
        ..event(Kind::Refusal)
    };
    let hop = Event {
        principal: "Function::\"default/front\"".into(),
        on_behalf_of: "User::\"default/alice\"".into(),
        chain: vec!["default/front@r3".into()],
        source: None,
        ..invoke()
    };
    let usage = Usage { cpu_us: 900, wall_us: 31_000, ..Usage::default() };
    vec![
        ("permitted", Event { allowed: true, code: "ok".into(), ..invoke() }),
        ("denied", Event { code: "denied".into(), detail: "no policy permits it".into(), ..invoke() }),
        ("a function calls", hop),
        (
            "an administrator reads",
            Event { action: "readRecord".into(), allowed: true, ..event(Kind::Decision) },
        ),
        ("deployed", Event { allowed: true, detail: "r3 of sha256:0a".into(), ..event(Kind::Deploy) }),
        ("rolled back", Event { allowed: true, detail: "from r3 to r2".into(), ..event(Kind::Rollback) }),
        ("removed", Event { allowed: true, detail: "3 revisions".into(), ..event(Kind::Remove) }),
        ("a token was made", tenant(Kind::Token, "made `tok_1` for Service::\"default/ci\"")),
        ("a token was revoked", tenant(Kind::Token, "revoked `tok_1` of Service::\"default/ci\"")),
        (
            "logged in",
            Event { action: "login".into(), ..tenant(Kind::Session, "`ses_1` by https://idp.example") },
        ),
        ("logged out", tenant(Kind::Session, "logged out of `ses_1` of User::\"default/alice\"")),
        ("policies", tenant(Kind::Policy, "replaced by sha256:0b")),
        (
            "identity",
            tenant(Kind::Identity, "replaced by sha256:0c (without secrets), which names one issuer"),
        ),
        ("a tenant was made", tenant(Kind::Tenant, "made, trust label `default`")),
        ("refused", refused),
        (
            "refused before it was a request",
            Event { code: "connection-rate".into(), ..bare(Kind::Refusal, "") },
        ),
        (
            "requests that were refused alike",
            Event {
                code: "no-route".into(),
                detail: "17 more like the one before".into(),
                source: Some("192.0.2.7".parse().unwrap()),
                ..bare(Kind::Refusal, "")
            },
        ),
        (
            "an operator looks at the shield",
            Event { action: "readShield".into(), allowed: true, ..event(Kind::Decision) },
        ),
        (
            "an operator may use the shield",
            Event { action: "manageShield".into(), allowed: true, ..event(Kind::Decision) },
        ),
        (
            "a weaker shield is allowed",
            Event { action: "loosenShield".into(), allowed: true, ..event(Kind::Decision) },
        ),
        ("a run failed", Event { code: "cpu-limit".into(), usage: Some(usage), ..event(Kind::Run) }),
        ("started", Event { allowed: true, detail: "walls: landlock".into(), ..bare(Kind::Node, "start") }),
        ("stopped", Event { allowed: true, ..bare(Kind::Node, "stop") }),
        (
            "bait was touched",
            Event {
                code: "honey-route".into(),
                detail: "`/backup.zip` is bait".into(),
                ..event(Kind::Signal)
            },
        ),
        (
            "a rule matched and nobody refused",
            Event { allowed: true, code: "rule-matched".into(), ..event(Kind::Signal) },
        ),
        (
            "a source was blocked",
            Event {
                allowed: true,
                resource: "192.0.2.7/32".into(),
                detail: "probing, until 2026-11-18T11:16:40.123Z".into(),
                ..Event { action: "block-source".into(), principal: "".into(), ..event(Kind::Action) }
            },
        ),
        (
            "an operator blocked a range",
            Event {
                allowed: true,
                resource: "198.51.100.0/24".into(),
                ..Event { action: "block-source".into(), ..event(Kind::Action) }
            },
        ),
        (
            "a token was suspended",
            Event {
                allowed: true,
                action: "suspend-token".into(),
                resource: "t4x8k2m9q1r7z".into(),
                ..event(Kind::Action)
            },
        ),
        (
            "a revision was quarantined",
            Event { allowed: true, action: "quarantine-revision".into(), ..event(Kind::Action) },
        ),
        (
            "bait was laid",
            Event {
                allowed: true,
                action: "lay-bait".into(),
                resource: "Bait::\"default//backup.zip\"".into(),
                detail: "bait `/backup.zip` was laid".into(),
                ..event(Kind::Action)
            },
        ),
        ("bait was taken away", Event { allowed: true, action: "take-bait".into(), ..event(Kind::Action) }),
        ("taken back", Event { allowed: true, action: "undo".into(), ..event(Kind::Action) }),
    ]
}

#[test]
fn each_kind_is_as_the_schema_has_it() {
    let samples = samples();
    for kind in Kind::ALL {
        assert!(samples.iter().any(|(_, event)| event.kind == *kind), "{kind:?} has no sample");
    }
    for (name, event) in &samples {
        if let Err(why) = check(&reporter().value(7, event)) {
            panic!("{name}: {why}");
        }
        // An event of a kind alone, with nothing else in it, is one too.
        if let Err(why) = check(&reporter().value(7, &Event::new(event.time, event.kind))) {
            panic!("{name}, bare: {why}");
        }
    }
}

#[test]
fn the_check_itself_finds_what_is_missing() {
    let (_, event) = samples().swap_remove(0);
    let whole = reporter().value(7, &event);
    let without = |pointer: &str, name: &str| {
        let mut less = whole.clone();
        less.pointer_mut(pointer).unwrap().as_object_mut().unwrap().remove(name).unwrap();
        less
    };
    for (pointer, name) in [
        ("", "actor"),
        ("", "time"),
        ("/metadata", "product"),
        ("/api", "operation"),
        ("/src_endpoint", "ip"),
    ] {
        check(&without(pointer, name)).unwrap_err();
    }
    for (name, value) in
        [("type_uid", 600_302), ("activity_id", 17), ("severity_id", 7), ("disposition_id", 77)]
    {
        let mut other = whole.clone();
        put(other.as_object_mut().unwrap(), name, value);
        check(&other).unwrap_err();
    }
}

#[test]
fn the_text_of_each_kind_is_known() {
    let mut text = String::new();
    for (name, event) in samples() {
        let sorted = serde_json::to_string_pretty(&sorted(reporter().value(7, &event))).unwrap();
        text.push_str(&format!("## {name}\n{sorted}\n\n"));
    }
    let place = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(SNAPSHOTS);
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&place, &text).unwrap();
    }
    let known = std::fs::read_to_string(&place).unwrap();
    for (is, was) in text.split("## ").zip(known.split("## ")) {
        assert_eq!(is, was);
    }
    assert_eq!(text, known);
}

#[test]
fn no_field_breaks_its_line_or_deceives_a_reader() {
    for hostile in
        ["a\nb\r\n", "\",\"class_uid\":1,\"x\":\"", "\u{2028}\u{202e}\u{feff}\0\u{7f}\u{85}", "\u{1b}[2J"]
    {
        let event = Event {
            detail: hostile.into(),
            code: hostile.to_owned().into(),
            action: hostile.to_owned().into(),
            resource: hostile.into(),
            principal: hostile.into(),
            asked: hostile.into(),
            policies: vec![hostile.into()],
            ..event(Kind::Decision)
        };
        let line = reporter().line(7, &event);
        assert!(!line.chars().any(|c| c.is_control() || deceives(c)), "{line:?}");
        let back: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(back["status_detail"], hostile, "it reads back as it was");
        assert_eq!(back["class_uid"], 6003);
        assert_eq!(back, reporter().value(7, &event));
    }
}

#[test]
fn a_leaf_tells_its_group_without_being_read() {
    for (name, event) in samples() {
        let mut leaf = Vec::new();
        event.encode(7, &mut leaf);
        assert_eq!(Group::of_leaf(&leaf), Some(Group::of(event.kind, event.allowed)), "{name}");
    }
    let deceiver = Event {
        principal: "\",\"allowed\":true,\"kind\":\"signal\",\"principal\":\"".into(),
        resource: ",\"allowed\":true,".into(),
        ..event(Kind::Decision)
    };
    let mut leaf = Vec::new();
    deceiver.encode(7, &mut leaf);
    assert_eq!(Group::of_leaf(&leaf), Some(Group::Refusals));
    for none in [
        &b""[..],
        b"{}",
        b",\"kind\":\"decision\"",
        b",\"principal\":\",\"kind\":\"",
        b",\"kind\":\"x\",\"principal\":\"",
    ] {
        assert_eq!(Group::of_leaf(none), None);
    }
    for (group, name) in Group::ALL {
        assert_eq!(Group::named(name), Some(group));
    }
}

/// Holds an object to what its class says.
fn check(value: &Value) -> Result<(), String> {
    let out = value.as_object().ok_or("no object")?;
    for name in BASE {
        if !out.contains_key(name) {
            return Err(format!("`{name}` is missing"));
        }
    }
    let number = |name: &str| out.get(name).and_then(Value::as_u64);
    let uid = number("class_uid").ok_or("`class_uid` is no number")?;
    let found = CLASSES.iter().find(|(known, ..)| *known == uid);
    let (_, required, one_of, activities) = found.ok_or(format!("class {uid} is unknown"))?;
    if let Some(name) = required.iter().find(|name| !out.contains_key(**name)) {
        return Err(format!("`{name}` is missing"));
    }
    if !one_of.is_empty() && !one_of.iter().any(|name| out.contains_key(*name)) {
        return Err(format!("none of {one_of:?}"));
    }
    let activity = number("activity_id").unwrap_or(u64::MAX);
    let named =
        out.get("activity_name").is_some_and(|name| name.as_str().is_some_and(|name| !name.is_empty()));
    if !activities.contains(&activity) || (activity == 99) != named {
        return Err(format!("activity {activity} of {uid}, named: {named}"));
    }
    if number("type_uid") != Some(uid * 100 + activity) || number("category_uid") != Some(uid / 1000) {
        return Err("the numbers do not fit together".into());
    }
    for (name, allowed) in
        [("severity_id", 0..=6), ("status_id", 0..=2), ("action_id", 0..=4), ("disposition_id", 0..=27)]
    {
        if out.contains_key(name) && !number(name).is_some_and(|value| allowed.contains(&value)) {
            return Err(format!("`{name}` is out of range"));
        }
    }
    let profiles = value["metadata"]["profiles"].to_string();
    if out.contains_key("disposition_id") != profiles.contains("security_control") {
        return Err("a profile is not named".into());
    }
    out.iter().filter(|(name, _)| *name != "unmapped").try_for_each(|(name, value)| check_object(name, value))
}

fn check_object(name: &str, value: &Value) -> Result<(), String> {
    match value {
        Value::Array(items) => items.iter().try_for_each(|item| check_object("", item)),
        Value::Object(object) => {
            if let Some((_, required, one_of)) = OBJECTS.iter().find(|(known, ..)| *known == name) {
                if let Some(missing) = required.iter().find(|wanted| !object.contains_key(**wanted)) {
                    return Err(format!("`{name}.{missing}` is missing"));
                }
                if !one_of.is_empty() && !one_of.iter().any(|wanted| object.contains_key(*wanted)) {
                    return Err(format!("`{name}` has none of {one_of:?}"));
                }
            }
            object.iter().try_for_each(|(name, value)| check_object(name, value))
        }
        Value::String(text) if text.is_empty() => Err(format!("`{name}` is empty")),
        _ => Ok(()),
    }
}

/// Members in the order of their names, whatever order the map keeps.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let by_name: std::collections::BTreeMap<String, Value> = object.into_iter().collect();
            by_name.into_iter().map(|(name, value)| (name, sorted(value))).collect::<Map<_, _>>().into()
        }
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        other => other,
    }
}
