//! What misbehaves, and how much of it at once: guests by their own lists, clients by the load's. It never
//! measures what they do.

use std::fs;

use anyhow::Result;
use serde_json::Value;

use crate::{
    load::{self, Running, Turn},
    servers::{Pins, Tools, node::Node},
};

/// Calls of the friendly function a second, and the connections over which they come.
pub const FRIENDLY_RATE: f64 = 200.0;
const FRIENDLY_CONNECTIONS: usize = 16;
/// Attackers that call a hostile guest at once.
const GUEST_CALLERS: usize = 4;

/// What hostile guests run under: the defaults, but that what hangs ends sooner.
pub const LIMITS: &str = "[limits]\ncpu_ms = 500\nwall_ms = 10000\nfirst_byte_ms = 5000\nidle_ms = 5000\n";

/// One attack.
#[derive(Debug, Clone, PartialEq)]
pub struct Attack {
    /// As it is reported.
    pub name: String,
    /// The load's name for it.
    kind: &'static str,
    /// What a hostile guest is called by.
    path: String,
    connections: usize,
    sources: u8,
}

/// A guest that the node did not take.
#[derive(Debug, Clone, PartialEq)]
pub struct Refused {
    /// Its component.
    pub name: String,
    /// What the node said.
    pub why: String,
}

impl Attack {
    /// Callers of a hostile guest.
    pub fn guest(name: &str, path: &str) -> Self {
        Self { name: name.into(), kind: "guest", path: path.into(), connections: GUEST_CALLERS, sources: 1 }
    }

    /// Begins it. Attackers leave the load's core to the friendly callers, so that it is the node's time alone that is
    /// fought for.
    pub fn start(&self, tools: &Tools, node: &Node, pins: &Pins, seconds: f64) -> Result<Running> {
        let to = node.to_from(self.sources, std::slice::from_ref(&node.token));
        let order = load::attack(&to, self.kind, &self.path, self.connections, seconds);
        load::start(tools, &pins.load, &order, Turn::Last)
    }
}

/// Every hostile client that the load knows, with as many of it as hurt.
pub fn clients() -> Vec<Attack> {
    let all: [(&'static str, usize, u8); 14] = [
        ("slow-headers", 500, 1),
        ("slow-body", 200, 1),
        ("endless-body", 4, 1),
        ("big-body", 8, 1),
        ("big-head", 8, 1),
        ("idle-tcp", 10_000, 12),
        ("idle-tls", 2_000, 12),
        ("rapid-reset", 4, 1),
        ("garbage", 8, 1),
        ("bad-tls", 8, 1),
        ("plain-on-tls", 8, 1),
        ("malformed", 4, 1),
        ("pipelined-garbage", 4, 1),
        ("handshakes", 4, 1),
    ];
    let attack = |(kind, connections, sources): (&'static str, usize, u8)| Attack {
        name: kind.into(),
        kind,
        path: String::new(),
        connections,
        sources,
    };
    all.into_iter().map(attack).collect()
}

/// Every attack of the two guests that have a list of them, and every other guest that means harm. A guest that
/// the node refuses is given by name with what it said.
pub fn guests(tools: &Tools, node: &Node) -> Result<(Vec<Attack>, Vec<Refused>)> {
    let (mut attacks, mut refused) = (Vec::new(), Vec::new());
    let built = tools.root.join("guests/built");
    for name in ["hostile", "hostile-p3"] {
        node.deploy(name, &built.join(format!("{name}.wasm")), LIMITS)?;
        let list = node.text(&["invoke", name, "--path", &format!("/{name}/")])?;
        let suffix = name.strip_prefix("hostile").unwrap_or_default();
        for attack in list.lines().filter(|line| !line.is_empty()) {
            attacks.push(Attack::guest(&format!("{attack}{suffix}"), &format!("/{name}/{attack}")));
        }
    }
    let mut others: Vec<_> =
        fs::read_dir(tools.root.join("guests/wat"))?.flatten().map(|e| e.path()).collect();
    others.sort();
    for path in others {
        let Some(name) = path.file_stem().and_then(|name| name.to_str()) else { continue };
        match node.deploy(name, &built.join(format!("{name}.wasm")), LIMITS) {
            Ok(_) => attacks.push(Attack::guest(&format!("{name} (component)"), &format!("/{name}"))),
            Err(error) => refused.push(Refused { name: name.to_owned(), why: reason(&format!("{error:#}")) }),
        }
    }
    Ok((attacks, refused))
}

/// Deploys the function that everyone else is a neighbour of.
pub fn friendly(tools: &Tools, node: &Node) -> Result<()> {
    node.deploy("hello", &tools.root.join("guests/built/hello.wasm"), "").map(drop)
}

/// Its callers, or another's, for so long.
pub fn friendly_order(node: &Node, path: &str, seconds: f64) -> Value {
    load::open_loop(&node.to(), path, FRIENDLY_CONNECTIONS, FRIENDLY_RATE, seconds)
}

/// The first line that says something, of a command's error as text or JSON.
fn reason(said: &str) -> String {
    let json = serde_json::from_str::<Value>(said).ok();
    let message = json.and_then(|json| json["error"]["message"].as_str().map(str::to_owned));
    let text = message.unwrap_or_else(|| said.to_owned());
    text.lines().next().unwrap_or_default().chars().take(160).collect()
}

#[cfg(test)]
mod tests {
    use super::{clients, reason};

    #[test]
    fn attacks_have_names_of_their_own() {
        let names: std::collections::BTreeSet<String> = clients().into_iter().map(|a| a.name).collect();
        assert_eq!(names.len(), clients().len());
    }

    #[test]
    fn reasons_are_one_line() {
        for (said, expect) in [
            ("error: no\nnext: yes", "error: no"),
            (r#"{"error":{"message":"the component is none","exit":7}}"#, "the component is none"),
            ("", ""),
        ] {
            assert_eq!(reason(said), expect);
        }
    }
}
