//! `records`: the tenant's record, for people and for programs. It never leaves an event out.

use gateway::api::Record;
use serde_json::Value;

use super::Context;
use crate::{
    cli::Records,
    exit::Failure,
    output::{Ink, Output, harmless},
};

/// `records`
pub(super) async fn records(context: &Context, args: &Records) -> Result<(), Failure> {
    let out = &context.out;
    let mut query = format!("limit={}", args.limit);
    if let Some(id) = &args.request {
        query.push_str(&format!("&request={id}"));
    }
    if let Some(name) = &args.function {
        query.push_str(&format!("&function={name}"));
    }
    let found = context.client()?.records(&query).await?;
    out.answer(&found, |found| {
        if found.records.is_empty() {
            return "no records".to_owned();
        }
        found.records.iter().map(|record| line(out, record)).collect::<Vec<_>>().join("\n")
    });
    Ok(())
}

fn line(out: &Output, record: &Record) -> String {
    let text = |name: &str| record.event.get(name).and_then(Value::as_str).unwrap_or_default();
    let kind = text("kind");
    let ink = if ["denied", "denial", "refused", "fault"].iter().any(|bad| kind.contains(bad)) {
        Ink::Bad
    } else {
        Ink::Strong
    };
    let mut rest = Vec::new();
    for (name, value) in record.event.as_object().into_iter().flatten() {
        if name != "at" && name != "kind" {
            flatten(name, value, &mut rest);
        }
    }
    let head = out.paint(Ink::Faint, &format!("{:>6} {}", record.seq, text("at")));
    format!("{head} {} {}", out.paint(ink, kind), harmless(&rest.join(" ")).replace('\n', " "))
}

fn flatten(name: &str, value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Null => {}
        Value::Object(fields) => {
            for (below, value) in fields {
                flatten(&format!("{name}.{below}"), value, into);
            }
        }
        Value::Array(values) if values.is_empty() => {}
        Value::String(text) => into.push(format!("{name}={text}")),
        other => into.push(format!("{name}={other}")),
    }
}
