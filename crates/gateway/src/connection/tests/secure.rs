//! TLS and HTTP/2, as clients of several kinds see them.

use super::*;

struct Secure {
    server: Server,
    ca: String,
    certificates: Arc<Certificates>,
}

impl Secure {
    async fn start(tls12: bool) -> Self {
        Self::start_with(tls12, Patience::default()).await
    }

    async fn start_with(tls12: bool, patience: Patience) -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let names = ["localhost", "other.example.com", "127.0.0.1"].map(String::from);
        let made = NodeCertificates::generate(&names, i64::try_from(now).unwrap()).unwrap();
        let certificates = Certificates::own(&made, "localhost").unwrap();
        let tls = certificates.tls(tls12).unwrap();
        Self { server: Server::start_with(Some(tls), patience).await, ca: made.ca, certificates }
    }

    /// What the server refused, and how a handshake with it ended.
    async fn refused(&self, name: &str, alpn: &[&str]) -> (Vec<&'static str>, String) {
        self.server.refusals.lock().clear();
        let said = self.connect(name, TLS13, None, alpn).await.expect_err(name).to_string();
        let codes = || self.server.refusals.lock().clone();
        for _ in 0..100 {
            if !codes().is_empty() {
                break;
            }
            sleep(Duration::from_millis(30)).await;
        }
        (codes(), said)
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
    let older = Secure::start(true).await;
    let stream = older.connect("localhost", TLS12, None, &["http/1.1"]).await.unwrap();
    assert_eq!(
        stream.get_ref().1.protocol_version(),
        Some(ProtocolVersion::TLSv1_2),
        "where it is asked for"
    );
}

/// RFC 6066 §3, RFC 7301 §3.2.
#[tokio::test]
async fn by_which_names_and_for_which_protocols_nobody_answers() {
    let secure = Secure::start(false).await;
    let check = async |name: &str, alpn: &[&str], code: &str, alert: &str| {
        let (codes, said) = secure.refused(name, alpn).await;
        assert_eq!(codes, [code], "{name} {alpn:?}: {said}");
        assert!(said.contains(alert), "{name} {alpn:?}: {said}");
    };
    for name in [
        "stranger.example.com",
        "example.com",
        "a.other.example.com",
        "nobody.localhost",
        "a.b.localhost",
        "localhost.example.com",
        "local",
    ] {
        check(name, &["h2"], "server-name-unknown", "UnrecognisedName").await;
    }
    for alpn in [&["h3"][..], &["acme-tls/1"], &["http/1.0", "spdy/3"], &["H2"]] {
        check("localhost", alpn, "no-application-protocol", "NoApplicationProtocol").await;
    }
    // An address is no name: the client does not say which it asked for.
    for name in ["127.0.0.1", "127.0.0.2"] {
        let refused = secure.connect(name, TLS13, None, &["h2"]).await.err().map(|e| e.to_string());
        assert_eq!(refused.is_some(), name == "127.0.0.2", "{name}: {refused:?}");
    }
}

/// Nobody who asks by address gets the certificate of a node that has no address in it.
#[tokio::test]
async fn an_address_that_no_certificate_has() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let of = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        NodeCertificates::generate(&names, i64::try_from(now).unwrap()).unwrap()
    };
    let named = of(&["node.example.com", "192.0.2.1"]);
    let pair = |made: &NodeCertificates| Pair::read(&made.certificate, &made.key).unwrap();
    let certificates = Certificates::brought(pair(&named), vec!["192.0.2.1".parse().unwrap()]);
    let check = |local: &str, answers: bool| {
        assert_eq!(certificates.has_address(local.parse().unwrap()), answers, "{local}");
    };
    check("192.0.2.1", true);
    check("::ffff:192.0.2.1", true);
    check("10.0.0.7", true);
    check("127.0.0.1", false);
    check("::1", false);
    let unnamed = Certificates::brought(pair(&of(&["node.example.com"])), vec!["192.0.2.1".parse().unwrap()]);
    assert!(!unnamed.has_address("192.0.2.1".parse().unwrap()));
    assert!(unnamed.has("node.example.com") && !unnamed.has("example.com") && !unnamed.has(""));

    let server = Server::start(Some(unnamed.tls(false).unwrap())).await;
    let secure = Secure { server, ca: named.ca, certificates: unnamed };
    let (codes, said) = secure.refused("127.0.0.1", &["h2"]).await;
    assert_eq!(codes, ["server-name-absent"]);
    assert!(said.contains("UnrecognisedName"), "{said}");
}

/// A certificate that changes takes no connection with it, and no session along.
#[tokio::test]
async fn certificates_change_under_way() {
    let secure = Secure::start(false).await;
    let shown = async |name: &str| {
        let stream = secure.connect(name, TLS13, None, &["h2"]).await.ok()?;
        Some(stream.get_ref().1.peer_certificates().unwrap()[0].clone())
    };
    let mut sender = secure.h2().await;
    assert_eq!(ask(&mut sender, "GET", "https://localhost/a").await.0, 200);
    let (own, tenants) = (shown("localhost").await.unwrap(), shown("acme.localhost").await.unwrap());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let other = NodeCertificates::generate(&["localhost".into()], i64::try_from(now).unwrap()).unwrap();
    secure.certificates.replace(Pair::read(&other.certificate, &other.key).unwrap());
    assert_eq!(shown("localhost").await, None, "its authority is another");
    assert_eq!(shown("acme.localhost").await, Some(tenants), "what it does not name is as it was");
    assert_eq!(shown("127.0.0.1").await, Some(own));
    assert_eq!(ask(&mut sender, "GET", "https://localhost/a").await.0, 200, "the connection goes on");
}

#[tokio::test]
async fn sessions_are_resumed_until_the_certificate_changes() {
    let secure = Secure::start(false).await;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(secure.ca.as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(TLS13)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let config = Arc::new(config);
    let shake = async |name: &'static str| {
        let stream = TcpStream::connect(secure.server.address).await.unwrap();
        let connector = TlsConnector::from(Arc::clone(&config));
        let mut stream = connector.connect(ServerName::try_from(name).unwrap(), stream).await.unwrap();
        // Tickets come after the handshake, before the first answer.
        stream.write_all(b"GET /a HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
        stream.read_to_end(&mut Vec::new()).await.unwrap();
        let kind = stream.get_ref().1.handshake_kind().unwrap();
        let group = stream.get_ref().1.negotiated_key_exchange_group().map(|group| group.name());
        assert_eq!(group, Some(NamedGroup::X25519MLKEM768), "a resumed session has fresh keys too");
        kind == rustls::HandshakeKind::Resumed
    };
    assert!(!shake("localhost").await);
    assert!(shake("localhost").await && shake("localhost").await);
    assert!(!shake("acme.localhost").await, "a session is of one name");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let other = NodeCertificates::generate(&["other.test".into()], i64::try_from(now).unwrap()).unwrap();
    secure.certificates.replace(Pair::read(&other.certificate, &other.key).unwrap());
    assert!(!shake("localhost").await);
    assert!(shake("localhost").await);
}

/// RFC 8737 §3 and §4.
#[tokio::test]
async fn an_authority_sees_its_certificate_and_nothing_else() {
    let secure = Secure::start(false).await;
    let challenges = secure.certificates.challenges();
    let shake = async |name: &'static str, alpn: &[&str]| {
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anyone))
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
        let stream = TcpStream::connect(secure.server.address).await.unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        let mut stream = connector.connect(ServerName::try_from(name).unwrap(), stream).await?;
        let shown = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
        let agreed = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
        let _ended = stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        let mut answer = Vec::new();
        let _ended = stream.read_to_end(&mut answer).await;
        io::Result::Ok((shown, agreed, answer))
    };
    let order = challenges.show_certificate("new.example.com", [0xa5; 32]).unwrap();
    let (shown, agreed, answer) = shake("new.example.com", &["acme-tls/1"]).await.unwrap();
    assert_eq!((agreed.as_deref(), answer.len()), (Some(&b"acme-tls/1"[..]), 0));
    // id-pe-acmeIdentifier, critical, an octet string in an octet string (RFC 8737 §3).
    let mut extension = b"\x06\x08\x2b\x06\x01\x05\x05\x07\x01\x1f\x01\x01\xff\x04\x22\x04\x20".to_vec();
    extension.extend([0xa5; 32]);
    assert!(shown.windows(extension.len()).any(|window| window == extension));
    for (name, alpn) in [
        ("new.example.com", &["h2"][..]),
        ("new.example.com", &["acme-tls/1", "h2"]),
        ("new.example.com", &[]),
        ("localhost", &["acme-tls/1"]),
        ("other.example.com", &["acme-tls/1"]),
    ] {
        assert!(shake(name, alpn).await.is_err(), "{name} {alpn:?}");
    }
    drop(order);
    assert!(shake("new.example.com", &["acme-tls/1"]).await.is_err(), "the order is over");
}

/// Takes any certificate: what an authority looks at is inside.
#[derive(Debug)]
struct Anyone;

impl rustls::client::danger::ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.3 is spoken".into()))
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
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
