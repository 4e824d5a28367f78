//! A node with a friendly function on it, and what is asked of it after everything bad: an answer, a record,
//! a log line. It never decides what is right.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    sync::Arc,
    time::Duration,
};

use serde_json::Value;

use crate::support::{Answer, Home, TestNode, guest};

/// Every caller of the tenant may call, and routes are below the function's name.
pub(crate) const TENANT: &str = "[access]\nallow = \"tenant\"\n";

/// A node on which `friendly` answers, and a token that may call.
pub(crate) struct Town {
    pub(crate) node: TestNode,
    pub(crate) token: String,
}

/// One TLS connection, spoken by hand.
pub(crate) type Raw = rustls::StreamOwned<rustls::ClientConnection, TcpStream>;

impl Town {
    pub(crate) fn new() -> Self {
        Self::with("")
    }

    pub(crate) fn with(config: &str) -> Self {
        let node = TestNode::start_with(Home::new(), config);
        node.deploy("friendly", &guest("hello"), TENANT);
        let token = node.token(&["--name", "caller", "--scope", "invoke"]);
        Self { node, token }
    }

    pub(crate) fn call(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        self.node.call(method, path, Some(&self.token), body)
    }

    /// The friendly function answers as ever.
    #[track_caller]
    pub(crate) fn is_well(&self, after: &str) {
        let answer = self.call("GET", "/friendly", b"");
        assert_eq!((answer.status, answer.text().as_str()), (200, "Hello, world!\n"), "after {after}");
    }

    /// The record of a request has an event of this kind and code.
    #[track_caller]
    pub(crate) fn has_record(&self, request: &str, kind: &str, code: &str) -> Value {
        let events = self.node.records(&["--request", request]);
        let found = events.iter().find(|e| e["kind"] == kind && e["code"] == code);
        found.unwrap_or_else(|| panic!("no {kind} with `{code}` in {events:?}")).clone()
    }

    /// The function's log has a line of this request that names the code.
    #[track_caller]
    pub(crate) fn has_line(&self, function: &str, request: &str, code: &str) {
        let path = format!("/v1/tenants/default/functions/{function}/logs");
        let answer = self.node.api("GET", &path, Some(&self.node.admin()), b"");
        assert_eq!(answer.status, 200, "{}", answer.text());
        let text = answer.text();
        let line = text.lines().find(|line| line.contains(request) && line.contains(code));
        assert!(line.is_some(), "no line of {request} with `{code}` in {text}");
    }

    /// A connection to where functions answer, on which nothing was said yet.
    pub(crate) fn connect(&self) -> Raw {
        self.connect_to(self.node.functions())
    }

    /// The same to a listener of the node.
    pub(crate) fn connect_to(&self, url: &str) -> Raw {
        let ca = fs::read(self.node.info["ca"].as_str().unwrap()).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        let ca = rustls::pki_types::pem::PemObject::from_pem_slice(&ca).unwrap();
        roots.add(ca).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
        let session = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
        let stream = TcpStream::connect(url.strip_prefix("https://").unwrap()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        rustls::StreamOwned::new(session, stream)
    }

    /// Sends bytes on a connection of their own and reads until it ends.
    pub(crate) fn raw(&self, bytes: &[u8]) -> String {
        let mut connection = self.connect();
        connection.write_all(bytes).unwrap();
        let mut answer = Vec::new();
        // A refusal may end with a reset: what came before it counts.
        let _ended = connection.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// One request on a connection that is kept, and its answer: status and body.
    pub(crate) fn on(&self, connection: &mut Raw, path: &str) -> (u16, String) {
        connection.write_all(format!("{}\r\n", self.head("GET", path)).as_bytes()).unwrap();
        let (mut said, mut piece) = (Vec::new(), [0_u8; 4096]);
        loop {
            let text = String::from_utf8_lossy(&said).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                // In chunks where the end of the answer came after its head.
                let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
                let whole = if chunked {
                    body.strip_suffix("0\r\n\r\n").map(|chunks| chunks.lines().skip(1).step_by(2).collect())
                } else {
                    let length: usize = header(&text, "content-length").parse().unwrap();
                    (body.len() >= length).then(|| body.to_owned())
                };
                if let Some(body) = whole {
                    return (head.split(' ').nth(1).unwrap().parse().unwrap(), body);
                }
            }
            let length = connection.read(&mut piece).unwrap();
            assert!(length > 0, "the connection ended within an answer: {text}");
            said.extend_from_slice(&piece[..length]);
        }
    }

    /// The head of a request of this caller, without the empty line at its end.
    pub(crate) fn head(&self, method: &str, path: &str) -> String {
        let token = &self.token;
        format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n")
    }
}

/// The value of a header in an answer's text.
#[track_caller]
pub(crate) fn header<'t>(answer: &'t str, name: &str) -> &'t str {
    let lines = answer.lines().take_while(|line| !line.is_empty());
    let found = lines.filter_map(|line| line.split_once(": ")).find(|(n, _)| n.eq_ignore_ascii_case(name));
    found.unwrap_or_else(|| panic!("no `{name}` in {answer}")).1
}
