//! What callers and issuers do: an issuer that serves its metadata and keys, tokens and proofs that it and its
//! clients sign, and requests with any headers.

use std::{
    io::{Read, Write},
    net::TcpListener,
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::{
    digest,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD as B64;
use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::support::{Answer, TestNode};

/// Guests, and so fetches of keys, reach this machine too.
pub(crate) const HERE: &str = "[egress]\nallow = [\"127.0.0.0/8\"]\n";

pub(crate) fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Asks again until it is so. The bound is there so that nothing hangs.
#[track_caller]
pub(crate) fn until(what: &str, mut is: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is() {
        assert!(start.elapsed() < Duration::from_secs(120), "{what}");
        // Slower than the rate of failed proofs.
        std::thread::sleep(Duration::from_millis(1_500));
    }
}

/// A key pair of somebody's, with an id.
pub(crate) struct Key {
    pair: EcdsaKeyPair,
    kid: String,
}

impl Key {
    pub(crate) fn new(kid: &str) -> Self {
        Self { pair: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(), kid: kid.into() }
    }

    fn public(&self) -> Value {
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        json!({ "crv": "P-256", "kty": "EC", "x": B64.encode(x), "y": B64.encode(y) })
    }

    pub(crate) fn jwk(&self) -> Value {
        let mut jwk = self.public();
        jwk["kid"] = self.kid.clone().into();
        jwk
    }

    /// RFC 7638.
    pub(crate) fn thumbprint(&self) -> String {
        B64.encode(digest::digest(&digest::SHA256, self.public().to_string().as_bytes()).as_ref())
    }

    pub(crate) fn jws(&self, header: &Value, claims: &Value) -> String {
        let signed = format!(
            "{}.{}",
            B64.encode(header.to_string().as_bytes()),
            B64.encode(claims.to_string().as_bytes())
        );
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", B64.encode(signature.as_ref()))
    }

    pub(crate) fn header(&self) -> Value {
        json!({ "alg": "ES256", "typ": "at+jwt", "kid": self.kid })
    }

    /// A proof of possession for one request (RFC 9449 §4.2).
    pub(crate) fn proof(&self, method: &str, url: &str, token: &str, changes: Value) -> String {
        let ath = B64.encode(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
        let mut id = [0; 16];
        aws_lc_rs::rand::fill(&mut id).unwrap();
        let claims = json!({
            "jti": B64.encode(&id), "htm": method, "htu": url, "iat": now_s(), "ath": ath,
        });
        self.jws(&json!({ "alg": "ES256", "typ": "dpop+jwt", "jwk": self.public() }), &with(claims, changes))
    }
}

/// `value` with members replaced or, where they are null, taken out.
pub(crate) fn with(mut value: Value, changes: Value) -> Value {
    for (name, change) in changes.as_object().unwrap() {
        match change {
            Value::Null => drop(value.as_object_mut().unwrap().remove(name)),
            change => value[name] = change.clone(),
        }
    }
    value
}

/// An issuer of access tokens that serves what is true of it at the time.
pub(crate) struct Issuer {
    pub(crate) url: String,
    pub(crate) key: Key,
    keys: Arc<Mutex<Value>>,
}

impl Issuer {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
        let key = Key::new("one");
        let keys = Arc::new(Mutex::new(json!({ "keys": [key.jwk()] })));
        let (served, at) = (keys.clone(), url.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                    head.push(byte[0]);
                }
                let head = String::from_utf8_lossy(&head).into_owned();
                let body = match head.split(' ').nth(1) {
                    Some("/.well-known/openid-configuration") => {
                        json!({ "issuer": at, "jwks_uri": format!("{at}/keys") }).to_string()
                    }
                    Some("/keys") => served.lock().unwrap().to_string(),
                    _ => String::new(),
                };
                let status = if body.is_empty() { "404 Not Found" } else { "200 OK" };
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                );
                let _gone = stream.write_all(answer.as_bytes());
            }
        });
        Self { url, key, keys }
    }

    /// From now on it has these keys.
    pub(crate) fn publish(&self, keys: &[&Key]) {
        *self.keys.lock().unwrap() = json!({ "keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>() });
    }

    pub(crate) fn claims(&self) -> Value {
        json!({
            "iss": self.url, "aud": "https://api.example", "sub": "alice", "iat": now_s() - 5,
            "exp": now_s() + 600, "groups": ["buyers"], "team": "red",
        })
    }

    /// A good token with changes to header and claims.
    pub(crate) fn token(&self, header: Value, claims: Value) -> String {
        self.key.jws(&with(self.key.header(), header), &with(self.claims(), claims))
    }

    /// The entry `corp` of a tenant's configuration, with more keys.
    pub(crate) fn entry(&self, more: &str) -> String {
        format!(
            "[[issuers]]\nname = \"corp\"\nissuer = \"{}\"\naudiences = [\"https://api.example\"]\n\
             algorithms = [\"ES256\"]\nkind = \"User\"\n{more}\n[issuers.claims]\ngroups = \"groups\"\n\
             attributes = {{ team = \"team\" }}\n",
            self.url
        )
    }
}

/// Sets a tenant's configuration as the administrator.
#[track_caller]
pub(crate) fn accept(node: &TestNode, tenant: &str, text: &str) {
    let file = node.home.path().join("identity.toml");
    std::fs::write(&file, text).unwrap();
    node.run(&["identity", "set", file.to_str().unwrap(), "--tenant", tenant]).ok();
}

/// One request to where functions answer, with these headers.
#[track_caller]
pub(crate) fn ask(
    node: &TestNode,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let ca = std::fs::read(node.info["ca"].as_str().unwrap()).unwrap();
    let config = egress::ClientConfig { roots: vec![ca], ..egress::ClientConfig::default() };
    let client = egress::Client::new(&config).unwrap();
    let url = if path.starts_with('/') { format!("{}{path}", node.functions()) } else { path.to_owned() };
    let mut request = http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
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

/// The same with a bearer token.
#[track_caller]
pub(crate) fn bearer(node: &TestNode, path: &str, token: &str) -> Answer {
    ask(node, "GET", path, &[("authorization", &format!("Bearer {token}"))], b"")
}

/// Refused as everyone is, and with this code in the record.
#[track_caller]
pub(crate) fn refused(node: &TestNode, answer: &Answer, code: &str) {
    assert_eq!(answer.status, 401, "{code}: {}", answer.text());
    let told = with(answer.json(), json!({ "request_id": null }));
    let plain = json!({
        "type": "urn:casemate:error:unauthenticated", "title": "a valid token is required", "status": 401,
        "code": "unauthenticated",
    });
    assert_eq!(told, plain, "{code}: all refusals look the same");
    let id = answer.headers["x-request-id"].to_str().unwrap();
    let events = node.records(&["--request", id]);
    assert!(events.iter().any(|event| event["code"] == code), "`{code}` is not in {events:?}");
}
