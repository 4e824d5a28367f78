//! What it takes to prove a caller, as one line of JSON: the median of rounds, in microseconds on one core. Run by
//! `cargo xtask bench identity`. It measures and never asserts.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement that ends where anything is wrong"
)]

use std::{hint::black_box, time::Instant};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use data_encoding::BASE64URL_NOPAD as B64;
use http::{HeaderMap, HeaderValue, header};
use identity::{
    Accept, Credentials, Identity, IdentityConfig, Issue, Issuer, Request, TokenBook, TokenRecord,
    TokenSecret, identify,
};
use model::{Entropy, EntropyError, PrincipalKind, Timestamp, TokenId};
use serde_json::json;

const NOW_S: u64 = 1_800_000_000;
const NOW: Timestamp = Timestamp::from_unix_ms(NOW_S * 1_000);
const ROUNDS: usize = 9;

struct Random;

impl Entropy for Random {
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError> {
        aws_lc_rs::rand::fill(out).map_err(|_| EntropyError)
    }
}

struct Signer(EcdsaKeyPair);

impl Signer {
    fn token(&self, subject: &str) -> String {
        let claims = json!({
            "iss": "https://id.example", "aud": "https://api.example", "sub": subject, "iat": NOW_S - 10,
            "exp": NOW_S + 600, "groups": ["buyers", "sellers", "support"], "mail": "alice@example.com",
            "jti": "8b2c63e0-6f4b-4dd0-a0a5-1d2f1c1a7a55", "client_id": "web", "scope": "openid orders",
        });
        let head = json!({ "alg": "ES256", "typ": "at+jwt", "kid": "one" });
        let part = |value: &serde_json::Value| B64.encode(value.to_string().as_bytes());
        let signed = format!("{}.{}", part(&head), part(&claims));
        let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", B64.encode(signature.as_ref()))
    }

    fn configuration(&self) -> String {
        let point = self.0.public_key().as_ref();
        let (x, y) = point.split_at(1).1.split_at(32);
        let jwk =
            json!({ "kty": "EC", "crv": "P-256", "kid": "one", "x": B64.encode(x), "y": B64.encode(y) });
        format!(
            "[[issuers]]\nname = \"corp\"\nissuer = \"https://id.example\"\nkind = \"User\"\n\
             audiences = [\"https://api.example\"]\nalgorithms = [\"ES256\"]\njwks = '''{}'''\n\
             claims = {{ groups = \"groups\" }}\n\
             [[signatures]]\nname = \"partner\"\nkeyid = \"partner\"\nalgorithm = \"hmac-sha256\"\n\
             secret = \"{}\"\n",
            json!({ "keys": [jwk] }),
            data_encoding::BASE64.encode(&[7; 32])
        )
    }
}

fn bearer(token: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {token}")).unwrap());
    headers
}

/// A request signed under nobody's secret, as the caller of this id.
fn forged(id: &str) -> HeaderMap {
    let input = format!(
        "s=(\"@method\" \"@authority\" \"@path\");created={NOW_S};keyid=\"{id}\";alg=\"hmac-sha256\""
    );
    let signature = format!("s=:{}:", data_encoding::BASE64.encode(&[9; 32]));
    let mut headers = HeaderMap::new();
    headers.insert("signature-input", HeaderValue::from_str(&input).unwrap());
    headers.insert("signature", HeaderValue::from_str(&signature).unwrap());
    headers
}

/// The median over rounds of one call, in microseconds.
fn median_us(heads: &[HeaderMap], mut one: impl FnMut(&HeaderMap)) -> f64 {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            heads.iter().for_each(&mut one);
            start.elapsed().as_secs_f64() * 1e6 / heads.len() as f64
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds.get(ROUNDS / 2).copied().unwrap()
}

fn main() {
    let signer = Signer(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap());
    let tenant = "default".parse().unwrap();
    let config = IdentityConfig::parse(&signer.configuration()).unwrap().of_tenant(&tenant).unwrap();
    let identity = Identity::new(config, &|_| Err("no files".into())).unwrap();
    let (book, accept) = (TokenBook::new(), Accept::named(&["token".into(), "corp".into()]));
    let prove = |headers: &HeaderMap| {
        let (method, scheme, authority, target) = ("GET", "https", "api.example", "/orders/7");
        let (body, certificate, vouched) = (&[][..], None, None);
        let request = Request { method, scheme, authority, target, headers, body, certificate, vouched };
        drop(black_box(identity.identify(&request, &book, &accept, NOW).unwrap()));
    };
    // More tokens than are remembered, each asked once a round: none is there when it is asked again.
    let fresh: Vec<_> = (0..20_000).map(|n| bearer(&signer.token(&format!("user-{n}")))).collect();
    let jwt_es256_us = median_us(&fresh, prove);
    let same = vec![bearer(&signer.token("alice")); 100_000];
    let jwt_cached_us = median_us(&same, prove);

    let (id, secret) = (TokenId::generate(&Random).unwrap(), TokenSecret::generate(&Random).unwrap());
    let issue = Issue {
        kind: PrincipalKind::Service,
        tenant,
        name: "ci".into(),
        roles: Vec::new(),
        scopes: vec!["invoke".into()],
        expires_at: NOW.plus_ms(60_000),
    };
    book.put(TokenRecord::issue(id, secret.hash(), issue, Issuer::FirstStart, NOW).unwrap());
    let own = vec![bearer(&secret.reveal()); 100_000];
    let target = http::Uri::from_static("/orders/7");
    let api_token_us = median_us(&own, |headers| {
        let credentials = Credentials::from_head(headers, &target).unwrap();
        drop(black_box(identify(&credentials, &book, NOW).unwrap()));
    });

    let accept = Accept::named(&["signature".into()]);
    let refuse = |headers: &HeaderMap| {
        let (method, scheme, authority, target) = ("GET", "https", "api.example", "/orders/7");
        let (body, certificate, vouched) = (&[][..], None, None);
        let request = Request { method, scheme, authority, target, headers, body, certificate, vouched };
        drop(black_box(identity.identify(&request, &book, &accept, NOW).unwrap_err()));
    };
    let (user, secret) = (vec![forged("nobodys"); 50_000], vec![forged("partner"); 50_000]);
    let wrong_user_us = median_us(&user, refuse);
    let wrong_secret_us = median_us(&secret, refuse);
    println!(
        "{}",
        json!({
            "jwt_es256_us": jwt_es256_us, "jwt_cached_us": jwt_cached_us, "api_token_us": api_token_us,
            "wrong_user_us": wrong_user_us, "wrong_secret_us": wrong_secret_us,
        })
    );
}
