//! Clients at other addresses: all of 127.0.0.0/8 is this machine, so that each can be a source of its own.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::Value;

use crate::{
    stepping::SteppingClock,
    support::{Home, TestNode},
};

/// Every caller of the tenant may call.
pub(crate) const TENANT: &str = "[access]\nallow = \"tenant\"\n";
/// A port without TLS, and functions that may call this machine.
const CONFIG: &str = "[dangerous]\nplain_http = \"127.0.0.1:0\"\n[egress]\nallow = [\"127.0.0.0/8\"]\n";

/// A node with more of a configuration, in a folder that may be another's.
pub(crate) fn node_in(home: Home, more: &str) -> TestNode {
    TestNode::start_with(home, &format!("{CONFIG}{more}"))
}

/// The same by a clock of its own.
pub(crate) fn node_by(clock: &SteppingClock) -> TestNode {
    TestNode::start_as(Home::new(), CONFIG, |command| clock.rule(command))
}

pub(crate) fn node(more: &str) -> TestNode {
    node_in(Home::new(), more)
}

/// A client at one address.
pub(crate) struct Client {
    node: SocketAddr,
    at: Ipv4Addr,
}

/// What it was answered.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) status: u16,
    pub(crate) text: String,
}

impl Heard {
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let lines = self.text.lines().take_while(|line| !line.is_empty());
        let found =
            lines.filter_map(|line| line.split_once(": ")).find(|(n, _)| n.eq_ignore_ascii_case(name))?;
        Some(found.1.to_owned())
    }

    pub(crate) fn id(&self) -> String {
        self.header("x-request-id").unwrap_or_else(|| panic!("{self:?}"))
    }
}

impl Client {
    pub(crate) fn at(node: &TestNode, at: [u8; 4]) -> Self {
        let address = node.info["plain_http"].as_str().unwrap().trim_start_matches("http://");
        Self { node: address.parse().unwrap(), at: at.into() }
    }

    fn connect(&self) -> TcpStream {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let stream = runtime.block_on(async {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind((self.at, 0).into()).unwrap();
            socket.connect(self.node).await.unwrap().into_std().unwrap()
        });
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    /// One request on a connection of its own.
    pub(crate) fn ask(&self, method: &str, path: &str, token: Option<&str>, body: &str) -> Heard {
        let credential = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
        let length = body.len();
        self.sent(&format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{credential}\
             content-length: {length}\r\n\r\n{body}"
        ))
    }

    /// A request of which the first lines are given, each with its end.
    pub(crate) fn raw(&self, lines: &str) -> Heard {
        self.sent(&format!("{lines}host: localhost\r\nconnection: close\r\n\r\n"))
    }

    fn sent(&self, text: &str) -> Heard {
        let mut stream = self.connect();
        stream.write_all(text.as_bytes()).unwrap();
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).unwrap();
        let text = String::from_utf8_lossy(&heard).into_owned();
        let status =
            text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{text}"));
        Heard { status, text }
    }

    pub(crate) fn get(&self, path: &str, token: Option<&str>) -> Heard {
        self.ask("GET", path, token, "")
    }

    /// Many requests on one connection, all of which must be answered 200.
    pub(crate) fn many(&self, path: &str, token: &str, count: usize) {
        let mut stream = self.connect();
        let text = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\r\n");
        let mut buffer = vec![0; 64 * 1024];
        for n in 0..count {
            stream.write_all(text.as_bytes()).unwrap();
            let mut heard = String::new();
            while !is_whole(&heard) {
                let read = stream.read(&mut buffer).unwrap();
                assert!(read > 0, "{heard}");
                heard.push_str(&String::from_utf8_lossy(&buffer[..read]));
            }
            assert!(heard.starts_with("HTTP/1.1 200"), "request {n}: {heard}");
        }
    }
}

fn is_whole(heard: &str) -> bool {
    let Some((head, body)) = heard.split_once("\r\n\r\n") else { return false };
    let head = head.to_ascii_lowercase();
    match head.lines().find_map(|line| line.strip_prefix("content-length: ")) {
        Some(length) => body.len() >= length.parse().unwrap(),
        None => body.ends_with("0\r\n\r\n"),
    }
}

/// What the tenant's shield says.
pub(crate) fn status(node: &TestNode) -> Value {
    node.run(&["shield", "status", "--output", "json"]).ok().json()
}

/// The signals with a code.
pub(crate) fn signals(node: &TestNode, code: &str) -> Vec<Value> {
    let found = status(node);
    found["signals"].as_array().unwrap().iter().filter(|signal| signal["code"] == code).cloned().collect()
}

/// The one signal with a code, which is in the record once.
#[track_caller]
pub(crate) fn the_signal(node: &TestNode, code: &str) -> Value {
    let found = signals(node, code);
    assert_eq!(found.len(), 1, "{code}: {}", status(node));
    let id = found[0]["id"].as_str().unwrap();
    let events = node.records(&["--limit", "1000"]);
    let told = events.iter().filter(|event| {
        event["kind"] == "signal" && event["code"] == code && detail(event).contains(&format!("`{id}`"))
    });
    assert_eq!(told.count(), 1, "{code}: {events:?}");
    found[0].clone()
}

pub(crate) fn detail(event: &Value) -> &str {
    event["detail"].as_str().unwrap_or_default()
}
