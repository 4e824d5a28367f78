//! An issuer of access tokens of the tour's own, in this process: one key, its metadata, its document of keys. It never
//! listens beyond this machine.

use data_encoding::BASE64URL_NOPAD;
use keyring::{ProofKey, SystemEntropy};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{
    clock,
    exit::{Exit, Failure},
    session::Secret,
};

/// Whom its tokens are for.
pub(super) const AUDIENCE: &str = "casemate-demo";

/// An issuer that serves for as long as this value lives.
pub(super) struct Issuer {
    /// What its tokens call it.
    pub(super) url: String,
    key: ProofKey,
    serving: tokio::task::JoinHandle<()>,
}

impl Issuer {
    /// Makes a key and listens on a port that the system chooses.
    pub(super) async fn start() -> Result<Self, Failure> {
        let failed =
            |e: &dyn std::fmt::Display| Failure::new(Exit::Failed, format!("the tour's issuer: {e}"));
        let key = ProofKey::generate(&SystemEntropy).map_err(|e| failed(&e))?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(|e| failed(&e))?;
        let url = format!("http://{}", listener.local_addr().map_err(|e| failed(&e))?);
        let metadata = json!({ "issuer": url, "jwks_uri": format!("{url}/keys") });
        let x = BASE64URL_NOPAD.encode(key.public());
        let keys =
            json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": "demo", "use": "sig" }] });
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Whoever does not read its answer goes without one.
                let _gone = serve(stream, &metadata, &keys).await;
            }
        });
        Ok(Self { url, key, serving })
    }

    /// An access token (RFC 9068) for somebody in these groups, good for five minutes.
    pub(super) fn token(&self, subject: &str, groups: &[&str]) -> Secret {
        let now_s = clock::now().unix_ms() / 1_000;
        let header = json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": "demo" });
        let claims = json!({
            "iss": self.url, "aud": AUDIENCE, "sub": subject, "groups": groups, "iat": now_s, "exp": now_s + 300,
        });
        let encode = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let signed = format!("{}.{}", encode(&header), encode(&claims));
        let signature = BASE64URL_NOPAD.encode(&self.key.sign(signed.as_bytes()));
        Secret::new(&format!("{signed}.{signature}"))
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(mut stream: TcpStream, metadata: &Value, keys: &Value) -> std::io::Result<()> {
    let mut head = [0; 2048];
    let read = stream.read(&mut head).await?;
    let asked = String::from_utf8_lossy(head.get(..read).unwrap_or_default()).into_owned();
    let (status, body) = match asked.split(' ').nth(1) {
        Some("/.well-known/openid-configuration") => ("200 OK", metadata.to_string()),
        Some("/keys") => ("200 OK", keys.to_string()),
        _ => ("404 Not Found", String::new()),
    };
    let length = body.len();
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}
