use std::{
    collections::VecDeque,
    io,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use cell::{BodyBroken, CallError};
use futures_util::StreamExt;
use model::OutboundGrant;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
};

use super::*;

/// A destination on loopback that answers each request with the next of its texts and remembers what it read.
struct Destination {
    port: u16,
    connections: Arc<AtomicUsize>,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Destination {
    async fn start(answers: &[&str], tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (connections, heard) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
        let answers: VecDeque<String> = answers.iter().map(|a| (*a).to_owned()).collect();
        let answers = Arc::new(Mutex::new(answers));
        let (count, said) = (connections.clone(), heard.clone());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                let (answers, said, tls) = (answers.clone(), said.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, answers, said).await,
                        Some(config) => {
                            let acceptor = tokio_rustls::TlsAcceptor::from(config);
                            if let Ok(stream) = acceptor.accept(stream).await {
                                serve(stream, answers, said).await;
                            }
                        }
                    }
                });
            }
        });
        Self { port, connections, heard }
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answers: Arc<Mutex<VecDeque<String>>>,
    heard: Arc<Mutex<Vec<String>>>,
) {
    loop {
        let mut text = String::new();
        loop {
            let mut buffer = [0; 4096];
            let n = stream.read(&mut buffer).await.unwrap_or(0);
            if n == 0 {
                return;
            }
            text.push_str(&String::from_utf8_lossy(&buffer[..n]));
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length =
                head.lines().find_map(|l| l.strip_prefix("content-length: ")).map(|l| l.parse().unwrap());
            let whole = match length {
                Some(length) => body.len() >= length,
                None => !head.contains("chunked") || body.ends_with("0\r\n\r\n"),
            };
            if whole {
                break;
            }
        }
        heard.lock().unwrap().push(text);
        let Some(answer) = answers.lock().unwrap().pop_front() else { return };
        if answer == "stall" {
            std::future::pending::<()>().await;
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        if answer.contains("connection: close") {
            return;
        }
    }
}

/// A resolver that answers with the next of its lists, and counts how often it is asked.
struct Scripted {
    answers: Mutex<VecDeque<Vec<&'static str>>>,
    asked: AtomicUsize,
}

impl Scripted {
    fn new(answers: &[&[&'static str]]) -> Arc<Self> {
        let answers = Mutex::new(answers.iter().map(|a| a.to_vec()).collect());
        Arc::new(Self { answers, asked: AtomicUsize::new(0) })
    }
}

impl Resolve for Scripted {
    fn resolve(&self, _: &str) -> Resolved {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let next = self.answers.lock().unwrap().pop_front();
        Box::pin(async move {
            let next = next.ok_or_else(|| io::Error::other("no such name"))?;
            Ok(next.iter().map(|text| text.parse().unwrap()).collect())
        })
    }
}

fn egress(allow: &[&str], resolver: Arc<Scripted>, roots: Vec<Vec<u8>>) -> Egress {
    let allow = allow.iter().map(|text| text.parse().unwrap()).collect();
    Egress::new(EgressConfig { allow, roots, resolver }).unwrap()
}

fn granted(url: &str) -> Destinations {
    let methods = ["GET", "POST"].map(str::to_owned).to_vec();
    Destinations::parse(&[OutboundGrant { url: url.to_owned(), methods }]).unwrap()
}

fn body(pieces: &[&'static str]) -> BodyStream {
    let pieces: Vec<_> = pieces.iter().map(|p| Ok(Bytes::from_static(p.as_bytes()))).collect();
    Box::pin(futures_util::stream::iter(pieces))
}

fn get(url: &str) -> Request<BodyStream> {
    Request::get(url).body(body(&[])).unwrap()
}

async fn text(answer: Response<BodyStream>) -> Result<String, BodyBroken> {
    let mut body = answer.into_body();
    let mut all = Vec::new();
    while let Some(piece) = body.next().await {
        all.extend_from_slice(&piece?);
    }
    Ok(String::from_utf8(all).unwrap())
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-a: b\r\n\r\nhi";

#[tokio::test]
async fn a_granted_call_goes_out_once_resolved_and_keeps_its_connection() {
    let there = Destination::start(&[OK, OK, OK], None).await;
    let resolver = Scripted::new(&[&["127.0.0.1"], &["127.0.0.1"], &["127.0.0.1"]]);
    let out = egress(&["127.0.0.1"], resolver.clone(), vec![]);
    let url = format!("http://api.example.com:{}/v1/a?b=c", there.port);
    let grants = granted(&url.replace("/v1/a?b=c", "/v1/..."));
    for n in 1..=2 {
        let answer = out.call(&grants, get(&url), Bounds::default()).await.unwrap();
        assert_eq!(answer.headers()["x-a"], "b");
        assert_eq!(text(answer).await.unwrap(), "hi");
        assert_eq!(resolver.asked.load(Ordering::SeqCst), n, "one look-up a call");
    }
    assert_eq!(there.connections(), 1, "the second call takes the first one's connection");
    // Another function with the same grant never shares it.
    let other = granted(&url.replace("/v1/a?b=c", "/v1/..."));
    out.call(&other, get(&url), Bounds::default()).await.unwrap();
    assert_eq!(there.connections(), 2);
    let first = &there.heard()[0];
    assert!(first.starts_with("GET /v1/a?b=c HTTP/1.1\r\n"), "{first}");
    assert!(first.contains(&format!("host: api.example.com:{}\r\n", there.port)), "{first}");
    assert!(!first.contains("content-length") && !first.contains("transfer-encoding"), "{first}");
}

#[tokio::test]
async fn special_addresses_are_refused_before_anything_is_sent() {
    let there = Destination::start(&[OK], None).await;
    let check = async |answer: &[&'static str], allow: &[&str], refused: &str| {
        let out = egress(allow, Scripted::new(&[answer]), vec![]);
        let url = format!("http://rebind.example.com:{}/", there.port);
        let error = out.call(&granted(&url), get(&url), Bounds::default()).await.map(drop).unwrap_err();
        assert!(
            matches!(&error, EgressError::Address { address, .. } if address.to_string() == refused),
            "{answer:?}: {error}"
        );
        assert_eq!(error.call_error(), CallError::Denied);
    };
    check(&["127.0.0.1"], &[], "127.0.0.1").await;
    check(&["169.254.169.254"], &["127.0.0.0/8"], "169.254.169.254").await;
    check(&["8.8.8.8", "127.0.0.1"], &[], "127.0.0.1").await;
    check(&["127.0.0.1", "10.0.0.1"], &["127.0.0.0/8"], "10.0.0.1").await;
    check(&["::ffff:127.0.0.1"], &["127.0.0.0/8"], "::ffff:127.0.0.1").await;
    check(&["64:ff9b::7f00:1"], &["127.0.0.0/8"], "64:ff9b::7f00:1").await;
    check(&["2606:4700::1", "fd00:ec2::254"], &[], "fd00:ec2::254").await;
    assert_eq!(there.connections(), 0);
    let out = egress(&[], Scripted::new(&[]), vec![]);
    for url in ["http://127.0.0.1/", "http://[::1]/", "http://169.254.169.254/latest", "http://10.0.0.1/"] {
        let error = out.call(&granted(url), get(url), Bounds::default()).await.map(drop).unwrap_err();
        assert_eq!(error.code(), "outbound-address-refused", "{url}");
    }
}

#[tokio::test]
async fn a_name_that_moves_between_look_ups_gains_nothing() {
    let there = Destination::start(&[OK, OK], None).await;
    // First an allowed address, then a private one: the second is asked for by the second call alone.
    let resolver = Scripted::new(&[&["127.0.0.1"], &["10.0.0.1"]]);
    let out = egress(&["127.0.0.1"], resolver.clone(), vec![]);
    let url = format!("http://rebind.example.com:{}/", there.port);
    let grants = granted(&url);
    assert_eq!(text(out.call(&grants, get(&url), Bounds::default()).await.unwrap()).await.unwrap(), "hi");
    assert_eq!(resolver.asked.load(Ordering::SeqCst), 1);
    let error = out.call(&grants, get(&url), Bounds::default()).await.map(drop).unwrap_err();
    assert_eq!(error.code(), "outbound-address-refused");
    assert_eq!(there.heard().len(), 1, "not even on the connection that is still open");
}

#[tokio::test]
async fn a_name_of_a_function_is_never_resolved_even_where_it_is_granted() {
    let resolver = Scripted::new(&[&["127.0.0.1"]]);
    let out = egress(&["127.0.0.1"], resolver.clone(), vec![]);
    let grants = granted("http://orders.function.internal/");
    for url in ["http://orders.function.internal/", "http://ORDERS.function.internal:80/"] {
        let error = out.call(&grants, get(url), Bounds::default()).await.map(drop).unwrap_err();
        assert_eq!(error.code(), "outbound-denied", "{error}");
    }
    assert_eq!(resolver.asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn ungranted_calls_are_not_even_resolved() {
    let resolver = Scripted::new(&[&["127.0.0.1"]]);
    let out = egress(&["127.0.0.1"], resolver.clone(), vec![]);
    for url in ["http://b.example.com/", "https://a.example.com/", "http://a.example.com:81/", "/relative"] {
        let error = out.call(&granted("http://a.example.com/..."), get(url), Bounds::default()).await;
        let error = error.map(drop).unwrap_err();
        assert_eq!((error.code(), error.call_error()), ("outbound-denied", CallError::Denied), "{url}");
    }
    let grants = granted("http://a.example.com/");
    let error = out.call(&grants, get("http://u:p@a.example.com/?secret"), Bounds::default());
    let said = error.await.map(drop).unwrap_err().to_string();
    assert!(!said.contains("secret") && !said.contains("u:p"), "{said}");
    assert_eq!(resolver.asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_redirect_is_handed_back() {
    let location = "http://169.254.169.254/latest/meta-data/";
    let answer = format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
    let there = Destination::start(&[&answer], None).await;
    let out = egress(&["127.0.0.1"], Scripted::new(&[&["127.0.0.1"]]), vec![]);
    let url = format!("http://a.example.com:{}/", there.port);
    let answer = out.call(&granted(&url), get(&url), Bounds::default()).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers()["location"] == location), (302, true));
    let error = out.call(&granted(&url), get(location), Bounds::default()).await.map(drop).unwrap_err();
    assert_eq!(error.code(), "outbound-denied");
}

#[tokio::test]
async fn headers_of_one_connection_stay_on_it() {
    let answer = "HTTP/1.1 200 OK\r\nconnection: x-hop, keep-alive\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\n\
                  upgrade: h2c\r\nproxy-authenticate: a\r\nx-kept: 1\r\ntransfer-encoding: chunked\r\n\r\n\
                  2\r\nhi\r\n0\r\n\r\n";
    let there = Destination::start(&[answer], None).await;
    let out = egress(&["127.0.0.1"], Scripted::new(&[&["127.0.0.1"]]), vec![]);
    let url = format!("http://a.example.com:{}/", there.port);
    let request = Request::post(&url)
        .header("host", "evil.example")
        .header("connection", "x-mine, close")
        .header("x-mine", "1")
        .header("proxy-authorization", "secret")
        .header("te", "trailers")
        .header("upgrade", "websocket")
        .header("expect", "100-continue")
        .header("transfer-encoding", "gzip")
        .header("x-kept", "1")
        .body(body(&["ab", "cd"]))
        .unwrap();
    let answer = out.call(&granted(&url), request, Bounds::default()).await.unwrap();
    let names: Vec<&str> = answer.headers().keys().map(|name| name.as_str()).collect();
    assert_eq!(names, ["x-kept"]);
    assert_eq!(text(answer).await.unwrap(), "hi");
    let heard = &there.heard()[0];
    for absent in ["evil", "x-mine", "secret", "\r\nte:", "websocket", "expect", "gzip", "connection:"] {
        assert!(!heard.contains(absent), "{absent} in {heard}");
    }
    assert!(heard.contains("x-kept: 1") && heard.contains("transfer-encoding: chunked"), "{heard}");
    assert!(heard.ends_with("2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n"), "{heard}");
}

#[tokio::test]
async fn bodies_are_bounded() {
    let check =
        async |answer: &str, sent: &[&'static str], length: Option<&str>, expect: Result<&str, &str>| {
            let there = Destination::start(&[answer], None).await;
            let out = egress(&["127.0.0.1"], Scripted::new(&[&["127.0.0.1"]]), vec![]);
            let url = format!("http://a.example.com:{}/", there.port);
            let bounds = Bounds { request_bytes_max: 4, response_bytes_max: 4, ..Bounds::default() };
            let mut request = Request::post(&url);
            if let Some(length) = length {
                request = request.header("content-length", length);
            }
            let found = match out.call(&granted(&url), request.body(body(sent)).unwrap(), bounds).await {
                Err(error) => Err(error.code().to_owned()),
                Ok(answer) => text(answer).await.map_err(|_| "body".to_owned()),
            };
            let about = &answer[..answer.len().min(80)];
            assert_eq!(found.as_deref().map_err(String::as_str), expect, "{about:?} {sent:?} {length:?}");
        };
    let four = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nabcd";
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nabcd\r\n1\r\ne\r\n0\r\n\r\n";
    check(four, &["ab", "cd"], None, Ok("abcd")).await;
    check(four, &["ab", "cd"], Some("4"), Ok("abcd")).await;
    check(four, &[], Some("4"), Ok("abcd")).await;
    check(four, &["ab", "cde"], None, Err("outbound-too-large")).await;
    check(four, &["abcde"], Some("5"), Err("outbound-too-large")).await;
    check(four, &["ab"], Some("+2"), Err("outbound-protocol")).await;
    check(four, &["ab"], Some("4"), Err("outbound-protocol")).await;
    check("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabcde", &[], None, Err("outbound-too-large")).await;
    check(chunked, &[], None, Err("body")).await;
    check("HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\nab", &[], None, Err("body"))
        .await;
    check("HTTP/1.1 101 Switching Protocols\r\n\r\n", &[], None, Err("outbound-protocol")).await;
    check("nonsense\r\n\r\n", &[], None, Err("outbound-protocol")).await;
    let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(100_000));
    check(&long, &[], None, Err("outbound-too-large")).await;
}

#[tokio::test]
async fn standing_still_ends_a_call() {
    let bounds = Bounds { head_ms: 200, idle_ms: Some(200), connect_ms: 200, ..Bounds::default() };
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nab";
    let there = Destination::start(&["stall"], None).await;
    let out = egress(&["127.0.0.1"], Scripted::new(&[&["127.0.0.1"]]), vec![]);
    let url = format!("http://a.example.com:{}/", there.port);
    let error = out.call(&granted(&url), get(&url), bounds).await.map(drop).unwrap_err();
    assert_eq!(error, EgressError::Timeout);

    let there = Destination::start(&[half], None).await;
    let out = egress(&["127.0.0.1"], Scripted::new(&[&["127.0.0.1"]]), vec![]);
    let url = format!("http://a.example.com:{}/", there.port);
    let answer = out.call(&granted(&url), get(&url), bounds).await.unwrap();
    // Not reading for longer than the body may stand still is no standing still.
    tokio::time::sleep(Duration::from_millis(400)).await;
    let mut body = answer.into_body();
    assert_eq!(body.next().await, Some(Ok(Bytes::from_static(b"ab"))));
    assert_eq!(body.next().await, Some(Err(BodyBroken::Off)));
    assert_eq!(body.next().await, None);
}

#[tokio::test]
async fn a_destination_has_so_many_connections_and_no_more() {
    let stall = vec!["stall"; limits::OUTBOUND_CONNECTIONS_MAX];
    let there = Destination::start(&stall, None).await;
    let names: Vec<&[&'static str]> = vec![&["127.0.0.1"]; limits::OUTBOUND_CONNECTIONS_MAX + 2];
    let out = Arc::new(egress(&["127.0.0.1"], Scripted::new(&names), vec![]));
    let url = format!("http://a.example.com:{}/", there.port);
    let grants = Arc::new(granted(&url));
    let bounds = Bounds { connect_ms: 300, ..Bounds::default() };
    for _ in 0..limits::OUTBOUND_CONNECTIONS_MAX {
        let (out, grants, url) = (out.clone(), grants.clone(), url.clone());
        tokio::spawn(async move { out.call(&grants, get(&url), Bounds::default()).await.map(drop) });
    }
    while there.heard().len() < limits::OUTBOUND_CONNECTIONS_MAX {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(out.call(&grants, get(&url), bounds).await.map(drop).unwrap_err(), EgressError::Busy);
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_replaced() {
    let there = Destination::start(&[&OK.replace("x-a: b", "connection: close"), OK], None).await;
    let out = egress(&["127.0.0.1"], Scripted::new(&[&["127.0.0.1"], &["127.0.0.1"]]), vec![]);
    let url = format!("http://a.example.com:{}/", there.port);
    let grants = granted(&url);
    for _ in 0..2 {
        let answer = out.call(&grants, get(&url), Bounds::default()).await.unwrap();
        assert_eq!(text(answer).await.unwrap(), "hi");
    }
    assert_eq!(there.connections(), 2);
}

fn certified(names: &[&str]) -> (Arc<rustls::ServerConfig>, Vec<u8>) {
    let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    (Arc::new(config), made.cert.pem().into_bytes())
}

#[tokio::test]
async fn a_name_must_be_proved() {
    let (config, root) = certified(&["a.example.com", "127.0.0.1"]);
    let there = Destination::start(&[OK, OK], Some(config)).await;
    let check = async |host: &str, roots: Vec<Vec<u8>>, expect: Result<&str, &str>| {
        let out = egress(&["127.0.0.1"], Scripted::new(&[&["127.0.0.1"]]), roots);
        let url = format!("https://{host}:{}/", there.port);
        let found = match out.call(&granted(&url), get(&url), Bounds::default()).await {
            Err(error) => Err(error.code().to_owned()),
            Ok(answer) => text(answer).await.map_err(|_| "body".to_owned()),
        };
        assert_eq!(found.as_deref().map_err(String::as_str), expect, "{host}");
    };
    check("a.example.com", vec![root.clone()], Ok("hi")).await;
    check("127.0.0.1", vec![root.clone()], Ok("hi")).await;
    check("b.example.com", vec![root.clone()], Err("outbound-tls")).await;
    check("a.example.com", vec![], Err("outbound-tls")).await;
    let (_, stranger) = certified(&["a.example.com"]);
    check("a.example.com", vec![stranger], Err("outbound-tls")).await;
}

#[tokio::test]
async fn the_operators_client_trusts_its_authority_alone_and_stays_with_tls() {
    let (config, root) = certified(&["127.0.0.1", "acme.localhost"]);
    let there = Destination::start(&[OK, OK, OK], Some(config)).await;
    let client = Client::new(&ClientConfig { roots: vec![root], ..ClientConfig::default() }).unwrap();
    let call =
        |url: String, body: &'static str| client.call(Request::post(url).body(Bytes::from(body)).unwrap());
    for host in ["127.0.0.1", "acme.localhost"] {
        let answer = call(format!("https://{host}:{}/", there.port), "abc").await.unwrap();
        assert_eq!(text(answer).await.unwrap(), "hi", "{host}");
    }
    assert!(there.heard()[0].contains("content-length: 3\r\n"), "{}", there.heard()[0]);
    let plain = call(format!("http://127.0.0.1:{}/", there.port), "").await.map(drop).unwrap_err();
    assert_eq!(plain.code(), "outbound-denied");
    let stranger = Client::new(&ClientConfig::default()).unwrap();
    let url = format!("https://127.0.0.1:{}/", there.port);
    let error = stranger.call(Request::get(url).body(Bytes::new()).unwrap()).await.map(drop).unwrap_err();
    assert_eq!(error.code(), "outbound-tls");
    for bad in [&b""[..], b"nonsense", b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----", b"0\x00"]
    {
        assert!(Client::new(&ClientConfig { roots: vec![bad.to_vec()], ..ClientConfig::default() }).is_err());
    }
}
