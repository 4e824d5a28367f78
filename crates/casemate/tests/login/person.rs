//! A person at a terminal, the key of their session, and requests that are made with it or with another.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Child, ChildStdout, Stdio},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::{
    digest,
    signature::{Ed25519KeyPair, KeyPair},
};
use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD as B64;
use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::support::{Answer, Home, Ran, TestNode};

/// Fetches of keys reach this machine too.
pub(crate) const HERE: &str = "[egress]\nallow = [\"127.0.0.0/8\"]\n";

pub(crate) fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Sets a tenant's configuration as the administrator.
#[track_caller]
pub(crate) fn configure(node: &TestNode, tenant: &str, text: &str) -> Ran {
    let file = node.home.path().join("identity.toml");
    fs::write(&file, text).unwrap();
    node.run(&["identity", "set", file.to_str().unwrap(), "--tenant", tenant])
}

/// Whether a tenant's record has an event with this code, or will soon.
#[track_caller]
pub(crate) fn recorded(node: &TestNode, code: &str) {
    let start = Instant::now();
    loop {
        let events = node.records(&["--limit", "200"]);
        if events.iter().any(|event| event["code"] == code && event["tenant"] == "default") {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "`{code}` is not in {events:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Refused as everyone is, and with this code in the record of the tenant or of the node.
#[track_caller]
pub(crate) fn refused(node: &TestNode, answer: &Answer, code: &str) {
    refused_in(node, "default", answer, code);
}

/// The same, of another tenant.
#[track_caller]
pub(crate) fn refused_in(node: &TestNode, tenant: &str, answer: &Answer, code: &str) {
    assert_eq!(answer.status, 401, "{code}: {}", answer.text());
    let told = answer.json();
    let said = (told["code"].as_str(), told["title"].as_str(), told.get("detail"));
    assert_eq!(said, (Some("unauthenticated"), Some("a valid token is required"), None), "{code}");
    let id = answer.headers["x-request-id"].to_str().unwrap();
    let mut events = node.records(&["--tenant", tenant, "--request", id]);
    events.extend(node.records(&["--of-node", "--request", id]));
    assert!(events.iter().any(|event| event["code"] == code), "`{code}` is not in {events:?}");
}

/// Somebody's folder, with no login in it yet.
pub(crate) struct Person {
    pub(crate) home: Home,
    to: Vec<String>,
}

/// `casemate login --oidc`, which waits for a browser.
pub(crate) struct Waiting {
    child: Child,
    lines: BufReader<ChildStdout>,
    /// What it said to open.
    pub(crate) said: Value,
}

impl Waiting {
    /// How it ended.
    pub(crate) fn end(mut self) -> Ran {
        let mut out = String::new();
        std::io::Read::read_to_string(&mut self.lines, &mut out).unwrap();
        let done = self.child.wait_with_output().unwrap();
        let err = String::from_utf8_lossy(&done.stderr).into_owned();
        Ran { code: done.status.code().unwrap_or(-1), out, err }
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.said[name].as_str().unwrap_or_else(|| panic!("{}", self.said)).to_owned()
    }
}

impl Person {
    pub(crate) fn new(node: &TestNode) -> Self {
        let ca = node.info["ca"].as_str().unwrap();
        let to = ["--node", node.control(), "--ca", ca].map(str::to_owned).to_vec();
        Self { home: Home::new(), to }
    }

    /// A command of theirs.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        let to: Vec<&str> = self.to.iter().map(String::as_str).collect();
        self.home.run(&[args, &to].concat())
    }

    /// Begins to log in; the browser is the test's to move.
    pub(crate) fn begin(&self, args: &[&str]) -> Waiting {
        let to: Vec<&str> = self.to.iter().map(String::as_str).collect();
        let words = ["login", "--oidc", "--no-browser", "--output", "json"];
        let mut command = self.home.command(&[&words, args, &to].concat());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        if line.is_empty() {
            panic!("{:?}", child.wait_with_output());
        }
        Waiting { child, lines, said: serde_json::from_str(&line).unwrap() }
    }

    /// Logs in by a browser, as somebody whom the provider knows.
    pub(crate) fn log_in(&self, user: &str) -> Ran {
        let waiting = self.begin(&[]);
        let mut browser = crate::provider::Browser::default();
        let back = browser.log_in(&waiting.text("open"), user);
        browser.send("GET", &back, "");
        waiting.end()
    }

    /// What lies in their folder: the session's secret and its key.
    pub(crate) fn holder(&self) -> Holder {
        let folder = self.home.path().join("config/casemate");
        let text = fs::read_to_string(folder.join("login.toml")).unwrap();
        let saved: toml::Table = toml::from_str(&text).unwrap();
        let secret = saved["session"]["secret"].as_str().unwrap().to_owned();
        let seed = fs::read(folder.join("login.key")).unwrap();
        Holder { secret, key: Key(Ed25519KeyPair::from_seed_unchecked(&seed).unwrap()) }
    }
}

/// A key that signs proofs.
pub(crate) struct Key(Ed25519KeyPair);

impl Key {
    pub(crate) fn new() -> Self {
        Self(Ed25519KeyPair::generate().unwrap())
    }

    pub(crate) fn thumbprint(&self) -> [u8; 32] {
        let x = B64.encode(self.0.public_key().as_ref());
        sha256(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#).as_bytes())
    }

    /// A proof for one request; `token`: what it comes with.
    pub(crate) fn proof(&self, method: &str, url: &str, token: Option<&str>) -> String {
        let mut id = [0; 16];
        aws_lc_rs::rand::fill(&mut id).unwrap();
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": B64.encode(self.0.public_key().as_ref()) });
        let header = json!({ "typ": "dpop+jwt", "alg": "EdDSA", "jwk": jwk });
        let mut claims = json!({ "jti": B64.encode(&id), "htm": method, "htu": url, "iat": now_s() });
        if let Some(token) = token {
            claims["ath"] = B64.encode(&sha256(token.as_bytes())).into();
        }
        let encode = |value: &Value| B64.encode(value.to_string().as_bytes());
        let signed = format!("{}.{}", encode(&header), encode(&claims));
        format!("{signed}.{}", B64.encode(self.0.sign(signed.as_bytes()).as_ref()))
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest::digest(&digest::SHA256, bytes).as_ref().try_into().unwrap()
}

/// A session's secret, and a key.
pub(crate) struct Holder {
    pub(crate) secret: String,
    pub(crate) key: Key,
}

impl Holder {
    /// A request with the secret and a fresh proof.
    pub(crate) fn ask(&self, node: &TestNode, method: &str, path: &str) -> Answer {
        let url = format!("{}{path}", node.control());
        let proof = self.key.proof(method, &url, Some(&self.secret));
        self.ask_with(node, method, path, &proof)
    }

    /// The same with that proof.
    pub(crate) fn ask_with(&self, node: &TestNode, method: &str, path: &str, proof: &str) -> Answer {
        let value = format!("DPoP {}", self.secret);
        control(node, method, path, &[("authorization", value.as_str()), ("dpop", proof)], b"")
    }
}

/// One request to the control API, with these headers.
#[track_caller]
pub(crate) fn control(
    node: &TestNode,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let ca = fs::read(node.info["ca"].as_str().unwrap()).unwrap();
    let config = egress::ClientConfig { roots: vec![ca], ..egress::ClientConfig::default() };
    let client = egress::Client::new(&config).unwrap();
    let mut request = http::Request::builder().method(method).uri(format!("{}{path}", node.control()));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if !body.is_empty() {
        request = request.header("content-type", "application/json");
    }
    let request = request.body(Bytes::copy_from_slice(body)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (head, mut stream) = client.call(request).await.unwrap().into_parts();
        let mut body = Vec::new();
        while let Some(piece) = stream.next().await {
            body.extend_from_slice(&piece.unwrap());
        }
        Answer { status: head.status.as_u16(), headers: head.headers, body }
    })
}
