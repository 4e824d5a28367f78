//! A node on which functions call each other, and what is asked of it. It never decides what is right.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::support::{Answer, Home, TestNode, guest};

/// How long anything may take that must come to an end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// Every caller of the tenant may call.
///
/// Whom a function calls here is what it is told, which rules would take for an attack anywhere else; and bodies are long.
pub(crate) const TENANT: &str = "[access]\nallow = \"tenant\"\n[shield]\nbody_over = \"pass\"\n\
     [[shield.exclude]]\ntags = [\"attack-ssrf\"]\nvariables = [\"ARGS:url\"]\nreason = \"the test says whom it calls\"\n";

/// A node, and a token of `User::"default/alice"` that may call.
pub(crate) struct Village {
    pub(crate) node: TestNode,
    pub(crate) token: String,
}

impl Village {
    /// With `echo`, which tells what it was asked.
    pub(crate) fn start() -> Self {
        let node = TestNode::start_with(Home::new(), "[dangerous]\nplain_http = \"127.0.0.1:0\"\n");
        node.deploy("echo", &guest("echo"), TENANT);
        let token = node.token(&["--name", "alice", "--scope", "invoke"]);
        Self { node, token }
    }

    /// Deploys a function that calls what it is asked to, where these grants cover it.
    #[track_caller]
    pub(crate) fn caller(&self, name: &str, more: &str, grants: &[&str]) {
        self.node.deploy(name, &guest("outbound"), &format!("{TENANT}{more}{}", granted(grants)));
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.node.call("GET", path, Some(&self.token), b"")
    }

    /// The record of a request, the oldest first.
    pub(crate) fn records(&self, answer: &Answer) -> Vec<Value> {
        let id = answer.headers["x-request-id"].to_str().unwrap();
        let mut events = self.node.records(&["--request", id, "--limit", "1000"]);
        events.reverse();
        events
    }

    /// The event of a request with this code.
    #[track_caller]
    pub(crate) fn left(&self, answer: &Answer, code: &str) -> Value {
        let begun = Instant::now();
        loop {
            let events = self.records(answer);
            if let Some(event) = events.iter().find(|event| event["code"] == code) {
                return event.clone();
            }
            assert!(begun.elapsed() < PATIENCE, "no record of `{code}` in {events:?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// One request as it is written, without TLS, and all that is heard.
    pub(crate) fn raw(&self, text: &str) -> String {
        let address = self.node.info["plain_http"].as_str().unwrap().trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).unwrap();
        String::from_utf8_lossy(&heard).into_owned()
    }

    /// A function without a part in anything answers as ever.
    #[track_caller]
    pub(crate) fn is_well(&self) {
        let answer = self.get("/echo/friendly");
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

/// The lines of a manifest that grant calls with `GET` and `POST`.
pub(crate) fn granted(grants: &[&str]) -> String {
    let line =
        |url: &&str| format!("[[capabilities.http]]\nurl = \"{url}\"\nmethods = [\"GET\", \"POST\"]\n");
    grants.iter().map(line).collect()
}

/// What `echo` says of a header that it was sent.
pub(crate) fn header(echoed: &Value, name: &str) -> Option<String> {
    let pairs = echoed["headers"].as_array().unwrap();
    let found = pairs.iter().find(|pair| pair[0].as_str() == Some(name))?;
    Some(found[1].as_str().unwrap().to_owned())
}

/// The address of a function's path, as functions of its tenant call it.
pub(crate) fn url(function: &str, path: &str) -> String {
    format!("http://{function}.function.internal{path}")
}

/// The path on which the first of these functions calls the second, that the third, and so on; the last calls `end`.
pub(crate) fn through(functions: &[&str], end: &str) -> String {
    let (last, before) = functions.split_last().unwrap();
    let mut callee = *last;
    let mut path = format!("/{last}?url={end}");
    for function in before.iter().rev() {
        path = format!("/{function}?url={}", url(callee, &path));
        callee = function;
    }
    path
}
