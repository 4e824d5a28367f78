//! A node under attack, and a raw client of it: bytes over TLS, or without. It never speaks HTTP by itself.

use std::{
    fs,
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use serde_json::Value;

use crate::support::{Home, TestNode, guest};

/// How long anything may take that must come to an end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A node with functions that answer, and a caller of them.
pub(crate) struct Site {
    pub(crate) node: TestNode,
    pub(crate) token: String,
}

impl Site {
    /// `echo` behind `/echo`, bounded as the manifest's lines say.
    pub(crate) fn with(manifest: &str) -> Self {
        Self::configured("", manifest)
    }

    /// The same on a node with this configuration.
    pub(crate) fn configured(config: &str, manifest: &str) -> Self {
        Self::at(Home::new(), config, manifest)
    }

    /// The same in a folder that is there already.
    pub(crate) fn at(home: Home, config: &str, manifest: &str) -> Self {
        let node = TestNode::start_with(home, config);
        let text = format!(
            "[[route]]\npath = \"/echo/...\"\n[[route]]\npath = \"/only\"\nmethods = [\"PUT\"]\n\
            [access]\nallow = \"tenant\"\n{manifest}"
        );
        node.deploy("echo", &guest("echo"), &text);
        let token = node.token(&["--name", "caller", "--scope", "invoke"]);
        Self { node, token }
    }

    pub(crate) fn start() -> Self {
        Self::with("")
    }

    /// A request's head as a friendly client writes it, up to its last line.
    pub(crate) fn head(&self, line: &str) -> String {
        format!("{line} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n", self.token)
    }

    /// A whole request that would be answered if anyone took it for one.
    pub(crate) fn smuggled(&self) -> String {
        self.head("GET /echo/smuggled") + "\r\n"
    }

    /// A friendly caller is served.
    #[track_caller]
    pub(crate) fn is_well(&self) {
        let answer = self.node.call("GET", "/echo/friendly", Some(&self.token), b"");
        assert_eq!(answer.status, 200, "a friendly caller: {}", answer.text());
        assert!(answer.text().contains("/echo/friendly"), "{}", answer.text());
    }

    /// How many requests of `echo` were let through to be run: each is in the record before it is.
    pub(crate) fn runs(&self) -> usize {
        let events = self.node.records(&["--function", "echo", "--limit", "1000"]);
        let let_through = |event: &&Value| event["action"] == "invoke" && event["kind"] == "decision";
        events.iter().filter(let_through).filter(|event| event["allowed"] == true).count()
    }

    /// Waits for a refusal in the node's own record, and for its count.
    #[track_caller]
    pub(crate) fn left(&self, code: &str) -> Value {
        let event = self.left_by(code, "127.0.0.1");
        assert!(event.get("tenant").is_none(), "{event}");
        event
    }

    /// Waits for a refusal of this source in the node's own record or in the tenant's, and for its count.
    #[track_caller]
    pub(crate) fn left_by(&self, code: &str, source: &str) -> Value {
        let begun = Instant::now();
        let event = loop {
            let mut events = self.node.records(&["--of-node", "--limit", "1000"]);
            events.extend(self.node.records(&["--limit", "1000"]));
            let is_it = |e: &&Value| e["kind"] == "refusal" && e["code"] == code && e["source"] == source;
            if let Some(event) = events.iter().find(is_it) {
                break event.clone();
            }
            assert!(begun.elapsed() < PATIENCE, "no record of `{code}` of {source} in {events:?}");
            std::thread::sleep(Duration::from_millis(200));
        };
        assert_eq!(event["allowed"], false, "{event}");
        let metrics = self.node.api("GET", "/metrics", Some(&self.node.admin()), b"").text();
        let line = format!("casemate_refusals_total{{code=\"{code}\"}}");
        assert!(metrics.contains(&line), "`{line}` is not in {metrics}");
        event
    }

    /// Where functions answer, as an address.
    pub(crate) fn address(&self) -> &str {
        self.node.functions().rsplit('/').next().unwrap()
    }

    /// A connection without TLS.
    pub(crate) fn plain(&self) -> TcpStream {
        let address = self.address().replace("localhost", "127.0.0.1");
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// The same from another address of this machine: `127.0.0.2`, say.
    pub(crate) fn plain_from(&self, source: &str) -> TcpStream {
        Self::from_to(source, &self.address().replace("localhost", "127.0.0.1"))
    }

    /// A connection without TLS from one address to another.
    pub(crate) fn from_to(source: &str, address: &str) -> TcpStream {
        let address = address.parse().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let stream = runtime.block_on(async {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind(std::net::SocketAddr::new(source.parse().unwrap(), 0)).unwrap();
            socket.connect(address).await.unwrap().into_std().unwrap()
        });
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// A connection over TLS on which this protocol was agreed on.
    pub(crate) fn secure(&self, protocol: &str) -> Line {
        self.secure_over(self.plain(), protocol)
    }

    /// The same over a connection on which anything may have been sent before.
    pub(crate) fn secure_over(&self, stream: TcpStream, protocol: &str) -> Line {
        let ca = fs::read(self.node.info["ca"].as_str().unwrap()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&ca).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let mut config = builder.unwrap().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let name = ServerName::try_from("localhost").unwrap();
        let session = ClientConnection::new(Arc::new(config), name).unwrap();
        Line(StreamOwned::new(session, stream))
    }

    /// Sends bytes over a fresh connection of HTTP/1.1 and hears what comes until it ends.
    pub(crate) fn exchange(&self, sent: impl AsRef<[u8]>) -> Heard {
        let mut line = self.secure("http/1.1");
        // The node may refuse before it has read all of it.
        let _sent = line.send(sent.as_ref());
        line.hear()
    }

    /// Sends what is refused with a whole request behind it: there is one answer, which is the refusal; the
    /// connection ends; nothing behind it is run.
    #[track_caller]
    pub(crate) fn refuses(&self, sent: impl AsRef<[u8]>, status: u16, code: &str) {
        let sent = [sent.as_ref(), self.smuggled().as_bytes()].concat();
        let about = String::from_utf8_lossy(&sent[..sent.len().min(160)]).into_owned();
        let heard = self.exchange(&sent);
        assert_eq!(heard.statuses(), [status], "{about:?}: {heard:?}");
        heard.is_problem(code);
        assert!(!heard.text.contains("smuggled"), "{about:?}: {heard:?}");
    }
}

/// A connection over TLS.
pub(crate) struct Line(StreamOwned<ClientConnection, TcpStream>);

impl Line {
    pub(crate) fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.write_all(bytes)?;
        self.0.flush()
    }

    /// What comes until the connection ends, which it must.
    #[track_caller]
    pub(crate) fn hear(&mut self) -> Heard {
        let mut bytes = Vec::new();
        self.hear_until(&mut bytes, |_| false);
        Heard { text: String::from_utf8_lossy(&bytes).into_owned() }
    }

    /// What comes until there is enough of it, or the connection ends. True if it ended.
    #[track_caller]
    pub(crate) fn hear_until(&mut self, bytes: &mut Vec<u8>, enough: impl Fn(&[u8]) -> bool) -> bool {
        let (begun, mut buffer) = (Instant::now(), [0; 16 * 1024]);
        while !enough(bytes) {
            assert!(begun.elapsed() < PATIENCE, "it does not end: {}", String::from_utf8_lossy(bytes));
            // Not `StreamOwned::read`, which first sends what could not be sent, and fails where nobody takes it.
            match self.0.conn.reader().read(&mut buffer) {
                Ok(read) if read > 0 => bytes.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    match self.0.conn.read_tls(&mut self.0.sock) {
                        Ok(read) if read > 0 && self.0.conn.process_new_packets().is_ok() => {}
                        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                            panic!("it stands still: {}", String::from_utf8_lossy(bytes));
                        }
                        // Cut off, with or without a word of TLS: what came before it counts.
                        _ => return true,
                    }
                }
                _ => return true,
            }
        }
        false
    }

    /// The answer to one request, of which the connection may carry more.
    #[track_caller]
    pub(crate) fn answer(&mut self) -> Heard {
        let mut bytes = Vec::new();
        self.hear_until(&mut bytes, |bytes| {
            let text = String::from_utf8_lossy(bytes);
            let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            match length {
                Some(length) => body.len() >= length.parse().unwrap(),
                None => body.ends_with("0\r\n\r\n"),
            }
        });
        Heard { text: String::from_utf8_lossy(&bytes).into_owned() }
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) text: String,
}

impl Heard {
    /// The status of each answer.
    pub(crate) fn statuses(&self) -> Vec<u16> {
        let heads = self.text.split("HTTP/1.1 ").skip(1);
        heads.map(|head| head.get(..3).and_then(|code| code.parse().ok()).unwrap_or_default()).collect()
    }

    /// The last answer is a problem document with this code, an id, and the end of the connection.
    #[track_caller]
    pub(crate) fn is_problem(&self, code: &str) {
        let last = self.text.rsplit("HTTP/1.1 ").next().unwrap_or_default();
        let (head, body) = last.split_once("\r\n\r\n").unwrap_or((last, ""));
        assert!(head.contains("content-type: application/problem+json"), "{self:?}");
        assert!(head.contains("connection: close"), "{self:?}");
        let document: Value = serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}: {self:?}"));
        assert_eq!(document["code"], code, "{self:?}");
        let id = document["request_id"].as_str().unwrap();
        assert!(head.contains(&format!("x-request-id: {id}")), "{self:?}");
    }
}
