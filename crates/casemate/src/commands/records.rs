//! `records`: the tenant's or the node's record, for people and for programs. It never leaves an event out.

use gateway::api::Record;
use serde_json::Value;

use super::Context;
use crate::{
    cli::Records,
    exit::Failure,
    output::{Ink, Output, harmless, micros},
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
    let client = context.client()?;
    let found =
        if args.of_node { client.node_records(&query).await? } else { client.records(&query).await? };
    out.answer(&found, |found| {
        if found.records.is_empty() {
            return "no records".to_owned();
        }
        found.records.iter().map(|record| lines(out, record)).collect::<Vec<_>>().join("\n")
    });
    Ok(())
}

/// One event on a line of its own; why it was so on a second one, where there is a reason.
fn lines(out: &Output, record: &Record) -> String {
    let text = |name: &str| harmless(record.event.get(name).and_then(Value::as_str).unwrap_or_default());
    let allowed = record.event.get("allowed").and_then(Value::as_bool).unwrap_or_default();
    let (ink, word) = if allowed { (Ink::Good, "yes") } else { (Ink::Bad, "no ") };
    let at = [text("time"), text("at")].concat();
    let mut parts = vec![
        out.paint(Ink::Faint, &format!("{:>6} {at} {}", record.seq, text("request"))),
        out.paint(ink, word),
        out.paint(Ink::Strong, &text("kind")),
        text("action"),
        text("resource"),
    ];
    if !text("principal").is_empty() {
        parts.push(format!("by {}", text("principal")));
        if !text("on_behalf_of").is_empty() {
            let chain = record.event.get("chain").and_then(Value::as_array).into_iter().flatten();
            let links: Vec<String> = chain.filter_map(Value::as_str).map(harmless).collect();
            parts.push(format!("for {} through {}", text("on_behalf_of"), links.join(", ")));
        }
    }
    if !text("code").is_empty() {
        parts.push(out.paint(ink, &text("code")));
    }
    if let Some(usage) = record.event.get("usage") {
        let figure = |name: &str| usage.get(name).and_then(Value::as_u64).unwrap_or_default();
        parts.push(format!("cpu {}, wall {}", micros(figure("cpu_us")), micros(figure("wall_us"))));
    }
    parts.retain(|part| !part.is_empty());
    let mut said = parts.join(" ");
    let policies =
        record.event.get("policies").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let named: Vec<&str> = policies.iter().filter_map(Value::as_str).collect();
    let mut why = named.join(", ");
    if !text("detail").is_empty() {
        why = format!("{why}{}{}", if why.is_empty() { "" } else { ": " }, text("detail").replace('\n', " "));
    }
    if !why.is_empty() {
        said.push_str(&format!("\n       {}", out.paint(Ink::Faint, &why)));
    }
    said
}
