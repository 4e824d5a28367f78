//! Rules in the way of requests: what the node is protected by from its start, what a manifest says of it, and which rules
//! an operator puts in their place. Attacks never run, leave a record, and cost nobody else anything.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::allow_attributes,
    reason = "a test fails by panicking"
)]

mod answers;
mod attacks;
mod bodies;
mod sets;
#[path = "../support/mod.rs"]
mod support;
mod tuning;

use support::TestNode;

/// A node with the function `echo`, open to whoever has a token of the tenant's, and such a token.
struct Site {
    node: TestNode,
    token: String,
}

const FORM: &[(&str, &str)] = &[("content-type", "application/x-www-form-urlencoded")];
const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

impl Site {
    /// `shield`: what stands below `[shield]`.
    fn start(shield: &str) -> Self {
        let node = TestNode::start();
        let site = Self { token: node.token(&["--name", "ada", "--scope", "invoke"]), node };
        site.deploy(shield);
        site
    }

    fn deploy(&self, shield: &str) {
        let manifest = format!("[access]\nallow = \"tenant\"\n[shield]\n{shield}");
        self.node.deploy("echo", &support::guest("echo"), &manifest);
    }

    fn ask(&self, asked: (&str, &str), headers: &[(&str, &str)], body: &[u8]) -> support::Answer {
        self.node.call_with(asked, Some(&self.token), headers, body)
    }

    /// Asks, and expects a status and, where it is none of the function's, a code; and a record of that.
    #[track_caller]
    fn check(&self, asked: (&str, &str), headers: &[(&str, &str)], body: &[u8], status: u16, code: &str) {
        let answer = self.ask(asked, headers, body);
        let text = answer.text();
        assert_eq!(answer.status, status, "{asked:?} {headers:?}: {text}");
        if code.is_empty() {
            return;
        }
        assert_eq!(answer.json()["code"], code, "{asked:?} {headers:?}: {text}");
        let id = answer.headers["x-request-id"].to_str().unwrap();
        let records = self.node.records(&["--request", id]);
        assert!(records.iter().any(|one| one["code"] == code), "{asked:?} left no record: {records:?}");
    }

    /// How often its function ran.
    fn runs(&self) -> u64 {
        let detail = self.node.run(&["inspect", "echo", "--output", "json"]).ok().json();
        let totals = &detail["totals"];
        ["runs", "invocations", "calls"]
            .iter()
            .find_map(|name| totals[*name].as_u64())
            .unwrap_or_else(|| panic!("no number of runs in {totals}"))
    }
}
