//! Facts that a request need not have, but that make one that people can read. It never proves anything by them.

use policy::{Action, Asked};

/// Cedar text that forbids what looks odd: a credential of some scopes, a method that there is not.
pub(crate) fn facts(asked: &Asked) -> String {
    let mut facts: Vec<&str> = Vec::new();
    if asked.principal != "Anonymous" {
        facts.push("principal.scopes == [\"*\"]");
    }
    if asked.action == Action::Invoke {
        facts.extend([
            "[\"GET\", \"POST\", \"PUT\", \"DELETE\"].contains(context.method)",
            "context.path like \"/*\"",
        ]);
    } else {
        facts.extend(["context.method == \"\"", "context.path == \"\"", "context.host == \"\""]);
    }
    facts.extend(["context.tls", "context.source.isIpv4()"]);
    facts.iter().map(|fact| format!("forbid (principal, action, resource) unless {{ {fact} }};\n")).collect()
}
