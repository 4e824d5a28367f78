//! TLS and HTTP/2, as clients of several kinds see them.

use super::*;

struct Secure {
    server: Server,
    ca: String,
}

impl Secure {
    async fn start(tls12: bool) -> Self {
        Self::start_with(tls12, Patience::default()).await
    }

    async fn start_with(tls12: bool, patience: Patience) -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let names = ["localhost", "other.example.com", "127.0.0.1"].map(String::from);
        let made = NodeCertificates::generate(&names, i64::try_from(now).unwrap()).unwrap();
        let config = made.server_config("localhost", tls12).unwrap();
        Self { server: Server::start_with(Some(config), patience).await, ca: made.ca }
    }

    /// A handshake of a client that takes these versions, groups (all where there is none) and protocols.
    async fn connect(
        &self,
        name: &str,
        versions: &[&'static rustls::SupportedProtocolVersion],
        group: Option<NamedGroup>,
        alpn: &[&str],
    ) -> io::Result<client::TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.ca.as_bytes()).unwrap()).unwrap();
        let mut provider = aws_lc_rs::default_provider();
        provider.kx_groups.retain(|offered| group.is_none_or(|group| offered.name() == group));
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
        let stream = TcpStream::connect(self.server.address).await?;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    async fn h2(&self) -> SendRequest<Empty<Bytes>> {
        let stream = self.connect("localhost", &[&rustls::version::TLS13], None, &["h2"]).await.unwrap();
        let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        sender
    }
}

const TLS13: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13];
const TLS12: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS12];

#[tokio::test]
async fn what_is_agreed_on() {
    let secure = Secure::start(false).await;
    let check =
        async |group: Option<NamedGroup>, alpn: &[&str], agreed: NamedGroup, protocol: Option<&str>| {
            let stream = secure.connect("localhost", TLS13, group, alpn).await.unwrap();
            let (_, session) = stream.get_ref();
            assert_eq!(session.protocol_version(), Some(ProtocolVersion::TLSv1_3));
            assert_eq!(session.negotiated_key_exchange_group().map(|g| g.name()), Some(agreed));
            assert_eq!(session.alpn_protocol(), protocol.map(str::as_bytes));
        };
    let hybrid = NamedGroup::X25519MLKEM768;
    check(None, &["h2", "http/1.1"], hybrid, Some("h2")).await;
    check(None, &["http/1.1"], hybrid, Some("http/1.1")).await;
    check(None, &[], hybrid, None).await;
    check(Some(NamedGroup::X25519), &["h2"], NamedGroup::X25519, Some("h2")).await;
}

#[tokio::test]
async fn what_is_not() {
    let secure = Secure::start(false).await;
    let check = async |name: &str, versions, alpn: &[&str]| {
        assert!(secure.connect(name, versions, None, alpn).await.is_err(), "{name} {alpn:?}");
    };
    check("localhost", TLS12, &["h2"]).await;
    check("localhost", TLS13, &["spdy/3"]).await;
    check("localhost", TLS13, &["http/1.0", "h2c"]).await;
    check("stranger.example.com", TLS13, &["h2"]).await;
    let older = Secure::start(true).await;
    let stream = older.connect("localhost", TLS12, None, &["http/1.1"]).await.unwrap();
    assert_eq!(
        stream.get_ref().1.protocol_version(),
        Some(ProtocolVersion::TLSv1_2),
        "where it is asked for"
    );
}

#[tokio::test]
async fn what_is_no_tls() {
    let secure = Secure::start(false).await;
    let plain = secure.server.exchange(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!((plain.statuses(), plain.closed), (vec![400], true), "{}", plain.text);
    let (head, body) = plain.text.split_once("\r\n\r\n").unwrap();
    assert!(body.contains("https://") && head.contains(&format!("content-length: {}", body.len())), "{head}");
    assert!(plain.text.contains("application/problem+json"), "{}", plain.text);
    let large =
        secure.server.exchange(format!("POST / HTTP/1.1\r\n\r\n{}", "x".repeat(30_000)).as_bytes()).await;
    assert_eq!((large.statuses(), large.closed), (vec![400], true), "{}", large.text);
    for bytes in [&b"\x00\x00\x00"[..], b"\x80\x2e\x01", b"\xff\xff", b"SSH-2.0-x\r\n"] {
        let heard = secure.server.exchange(bytes).await;
        assert!(heard.closed, "{bytes:?} {}", heard.text);
    }
    let broken = secure.server.exchange(b"\x16\x03\x01\x00\x05\xff\xff\xff\xff\xff").await;
    assert!(broken.closed && broken.statuses().is_empty());
    let refusals = secure.server.refusals.lock().clone();
    assert_eq!(refusals.iter().filter(|code| **code == "plain-http").count(), 3, "{refusals:?}");
    assert_eq!(refusals.iter().filter(|code| **code == "handshake-failed").count(), 4, "{refusals:?}");
}

#[tokio::test]
async fn a_handshake_that_stands_still_ends() {
    let secure = Secure::start_with(false, IMPATIENT).await;
    for sent in [&b""[..], b"\x16\x03\x01\x02\x00\x01"] {
        let mut stream = TcpStream::connect(secure.server.address).await.unwrap();
        stream.write_all(sent).await.unwrap();
        let ended = timeout(SHORT * 5, stream.read(&mut [0])).await;
        let ended = ended.unwrap_or_else(|_| panic!("{sent:?} keeps its place"));
        assert!(ended.is_err() || ended.is_ok_and(|n| n == 0), "{sent:?}");
    }
}

#[tokio::test]
async fn tenants_have_names_of_their_own() {
    let secure = Secure::start(false).await;
    let certificate = async |name: &str| {
        let stream = secure.connect(name, TLS13, None, &["h2"]).await.ok()?;
        Some(stream.get_ref().1.peer_certificates().unwrap()[0].clone())
    };
    let own = certificate("localhost").await.unwrap();
    let acme = certificate("acme.localhost").await.unwrap();
    assert_ne!(acme, own);
    assert_eq!(certificate("acme.localhost").await, Some(acme.clone()), "it is kept");
    assert_ne!(certificate("other.localhost").await, Some(acme));
    assert_eq!(certificate("other.example.com").await, Some(own));
    for name in ["a.b.localhost", "acme.example.com", "localhost.example.com", "a_b.localhost"] {
        assert_eq!(certificate(name).await, None, "{name}");
    }
}

async fn ask(sender: &mut SendRequest<Empty<Bytes>>, method: &str, url: &str) -> (u16, String) {
    let request = Request::builder().method(method).uri(url).body(Empty::new()).unwrap();
    sender.ready().await.unwrap();
    let (head, body) = sender.send_request(request).await.unwrap().into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    (head.status.as_u16(), String::from_utf8_lossy(&bytes).into_owned())
}

#[tokio::test]
async fn requests_over_http2_look_like_others() {
    let secure = Secure::start(false).await;
    let mut sender = secure.h2().await;
    let all = [
        ("GET", "https://localhost/a?b", 200, "GET /a?b localhost 0"),
        ("HEAD", "https://localhost/a", 200, ""),
        ("GET", "https://LOCALHOST:8443/a", 200, "GET /a LOCALHOST:8443 0"),
    ];
    for (method, url, status, text) in all {
        assert_eq!(ask(&mut sender, method, url).await, (status, text.to_owned()), "{method} {url}");
    }
    for (method, url, status, code) in [
        ("GET", "https://other.example.com/a", 421, "misdirected"),
        ("GET", "https://127.0.0.1/a", 421, "misdirected"),
        ("GET", "https://localhost/../a", 400, "target-ambiguous"),
        ("TRACE", "https://localhost/a", 405, "method-refused"),
    ] {
        let (found, text) = ask(&mut sender, method, url).await;
        assert!(found == status && text.contains(code), "{method} {url}: {found} {text}");
    }
}

#[tokio::test]
async fn http2_heads_are_bounded() {
    let secure = Secure::start(false).await;
    let mut sender = secure.h2().await;
    assert_eq!(ask(&mut sender, "GET", "https://localhost/").await.0, 200);
    let large =
        Request::get("https://localhost/").header("x", "y".repeat(100_000)).body(Empty::new()).unwrap();
    sender.ready().await.unwrap();
    let answer = sender.send_request(large).await;
    assert!(answer.as_ref().map_or(true, |a| a.status() == 431), "{answer:?}");
    assert_eq!(*secure.server.refusals.lock(), ["headers-too-large"], "refused by the parser, and told of");
}

#[tokio::test]
async fn http2_streams_wait_for_their_turn() {
    let secure = Secure::start(false).await;
    let mut sender = secure.h2().await;
    assert_eq!(ask(&mut sender, "GET", "https://localhost/").await.0, 200);
    let check = async |streams: u32, at_least: u64, below: u64| {
        let begun = Instant::now();
        let asked = (0..streams).map(|_| {
            let mut sender = sender.clone();
            tokio::spawn(async move { ask(&mut sender, "GET", "https://localhost/slow").await.0 })
        });
        for answer in asked.collect::<Vec<_>>() {
            assert_eq!(answer.await.unwrap(), 200);
        }
        let took = begun.elapsed();
        assert!(
            took >= Duration::from_secs(at_least) && took < Duration::from_secs(below),
            "{streams}: {took:?}"
        );
    };
    check(limits::H2_STREAMS_MAX, 1, 2).await;
    check(limits::H2_STREAMS_MAX + 1, 2, 3).await;
}

#[tokio::test]
async fn an_http2_connection_without_requests_ends() {
    let secure = Secure::start_with(false, IMPATIENT).await;
    let mut sender = secure.h2().await;
    for _ in 0..2 {
        // A request that takes longer than a connection may be idle, and pauses that do not.
        assert_eq!(ask(&mut sender, "GET", "https://localhost/slow").await.0, 200);
        sleep(SHORT / 2).await;
    }
    assert!(!sender.is_closed(), "it was used");
    sleep(SHORT * 3).await;
    assert!(sender.is_closed(), "it is kept for ever");
}

#[tokio::test]
async fn http2_requests_end_before_the_node_does() {
    let secure = Secure::start(false).await;
    let (mut sender, close) = (secure.h2().await, secure.server.close.clone());
    assert_eq!(ask(&mut sender, "GET", "https://localhost/").await.0, 200);
    let mut second = sender.clone();
    let slow = tokio::spawn(async move { ask(&mut second, "GET", "https://localhost/slow").await });
    sleep(Duration::from_millis(100)).await;
    close.send_replace(true);
    assert_eq!(slow.await.unwrap(), (200, "GET /slow localhost 0".to_owned()));
    sleep(Duration::from_millis(100)).await;
    assert!(sender.is_closed());
}
