//! The provider, as far as a client speaks to it: its metadata, its endpoints, and what it answers. It never follows a
//! redirect, and speaks `http` to this very machine alone.

use std::{fs, path::Path, time::Duration};

use bytes::Bytes;
use egress::{Client, ClientConfig};
use futures_util::StreamExt;
use gateway::api::{LoginProvider, LoginWhy};
use http::{Request, Uri, header};
use serde::{Deserialize, de::DeserializeOwned};

use super::Stopped;
use crate::{
    exit::{Exit, Failure},
    output::harmless,
    session::Secret,
};

/// How long a provider may take for one answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// The largest of its answers, in bytes.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// A provider and what a tenant says of it.
pub(super) struct Provider {
    pub(super) offer: LoginProvider,
    pub(super) metadata: Metadata,
    client: Client,
}

/// What it says of itself (OpenID Connect Discovery 1.0 §3, RFC 8414 §2, RFC 8628 §4, RFC 9207 §3).
#[derive(Deserialize)]
pub(super) struct Metadata {
    issuer: String,
    pub(super) authorization_endpoint: Option<String>,
    token_endpoint: String,
    pub(super) device_authorization_endpoint: Option<String>,
    code_challenge_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    pub(super) authorization_response_iss_parameter_supported: bool,
}

/// What its token endpoint gives, as far as it is of use here.
#[derive(Deserialize)]
struct Tokens {
    id_token: Option<String>,
}

/// An error of OAuth's (RFC 6749 §5.2).
#[derive(Deserialize)]
pub(super) struct Refusal {
    pub(super) error: String,
    error_description: Option<String>,
}

/// An answer that is no success.
pub(super) enum Unanswered {
    /// The provider says why.
    Refused(Refusal),
    /// There is no answer at all.
    Nothing(Stopped),
}

impl Refusal {
    /// What it says, in one line.
    pub(super) fn said(&self) -> String {
        let more = self.error_description.as_ref().map(|text| format!(": {text}")).unwrap_or_default();
        harmless(&format!("{}{more}", self.error)).replace('\n', " ")
    }
}

impl From<Unanswered> for Stopped {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::Refused(refusal) => {
                Self::new(LoginWhy::Denied, format!("the provider refused: {}", refusal.said()))
            }
            Unanswered::Nothing(stopped) => stopped,
        }
    }
}

impl Provider {
    /// Reads its metadata, which must be those of the issuer that the tenant names.
    pub(super) async fn discover(offer: &LoginProvider, ca: Option<&Path>) -> Result<Self, Stopped> {
        let failed =
            |why: &str| Stopped::new(LoginWhy::Failed, format!("the provider `{}` {why}", offer.issuer));
        let roots = match ca {
            Some(file) => vec![fs::read(file).map_err(|e| Failure::file("read", file, &e))?],
            None => Vec::new(),
        };
        let config = ClientConfig { roots, answer_within: ANSWER_WITHIN, plain: true };
        let client = Client::new(&config).map_err(|e| Failure::new(Exit::Usage, e))?;
        let place = format!("{}/.well-known/openid-configuration", offer.issuer.trim_end_matches('/'));
        let request = get(&place)?;
        let metadata: Metadata = match answered(&client, request).await {
            Ok(metadata) => metadata,
            Err(Unanswered::Nothing(stopped)) => return Err(stopped),
            Err(Unanswered::Refused(_)) => return Err(failed("has no metadata")),
        };
        //= OpenID Connect Discovery 1.0 §4.3: the `issuer` must be identical to the one that the URL was made of
        if metadata.issuer != offer.issuer {
            return Err(failed("says that it is another"));
        }
        //= RFC 9700 §2.1.1: clients must ensure that the server supports PKCE; `plain` is none
        if metadata
            .code_challenge_methods_supported
            .as_ref()
            .is_some_and(|all| !all.iter().any(|m| m == "S256"))
        {
            return Err(failed("takes no code challenge `S256`"));
        }
        Ok(Self { offer: offer.clone(), metadata, client })
    }

    /// Asks for tokens (RFC 6749 §3.2) and gives the ID token among them.
    pub(super) async fn redeem(&self, form: &[(&str, &str)]) -> Result<Secret, Unanswered> {
        let found: Tokens = self.post(&self.metadata.token_endpoint, form).await?;
        let missing = || {
            let why = "the provider gave no ID token: does it know the scope `openid`?";
            Unanswered::Nothing(Stopped::new(LoginWhy::Failed, why))
        };
        found.id_token.map(|text| Secret::new(&text)).ok_or_else(missing)
    }

    /// One form to one of its endpoints, as this client.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        place: &str,
        form: &[(&str, &str)],
    ) -> Result<T, Unanswered> {
        let form = [form, &[("client_id", self.offer.client_id.as_str())]].concat();
        let body = encoded(&form);
        let request = Request::post(safe(place).map_err(Unanswered::Nothing)?)
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Bytes::from(body))
            .map_err(|e| Unanswered::Nothing(Stopped::new(LoginWhy::Failed, e)))?;
        answered(&self.client, request).await
    }
}

fn get(place: &str) -> Result<Request<Bytes>, Stopped> {
    let request = Request::get(safe(place)?).header(header::ACCEPT, "application/json").body(Bytes::new());
    request.map_err(|e| Stopped::new(LoginWhy::Failed, e))
}

/// An address that secrets may go to: `https`, or this very machine.
pub(super) fn safe(place: &str) -> Result<Uri, Stopped> {
    let uri: Option<Uri> = place.parse().ok();
    let safe = uri.filter(|uri| {
        let host = uri.host().unwrap_or_default();
        let here = ["localhost", "127.0.0.1", "[::1]"].contains(&host);
        let plain = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
        plain && (uri.scheme_str() == Some("https") || (uri.scheme_str() == Some("http") && here))
    });
    let wrong = || format!("the provider points to `{}`, which is no `https` address", harmless(place));
    safe.ok_or_else(|| Stopped::new(LoginWhy::Failed, wrong()))
}

/// One answer: what it holds, or why the provider says no.
async fn answered<T: DeserializeOwned>(client: &Client, request: Request<Bytes>) -> Result<T, Unanswered> {
    let at = request.uri().authority().map(|at| at.as_str().to_owned()).unwrap_or_default();
    let nothing = |why: &dyn std::fmt::Display| {
        let failure = Failure::new(Exit::Unreachable, format!("the provider at `{at}` {why}"));
        Unanswered::Nothing(Stopped { why: Some(LoginWhy::Failed), failure })
    };
    let answer = client.call(request).await.map_err(|e| nothing(&format!("cannot be reached: {e}")))?;
    let (head, mut body) = answer.into_parts();
    let mut bytes = zeroize::Zeroizing::new(Vec::new());
    while let Some(piece) = body.next().await {
        bytes.extend_from_slice(&piece.map_err(|_| nothing(&"broke off its answer"))?);
        if bytes.len() > ANSWER_BYTES_MAX {
            return Err(nothing(&"answers without an end"));
        }
    }
    if head.status.is_success() {
        return serde_json::from_slice(&bytes).map_err(|_| nothing(&"answers with what it must not"));
    }
    match serde_json::from_slice(&bytes) {
        Ok(refusal) => Err(Unanswered::Refused(refusal)),
        Err(_) => Err(nothing(&format!("answered {}", head.status))),
    }
}

/// `application/x-www-form-urlencoded`, and a query: everything but letters, digits and `-._~` in percent-encoding.
pub(super) fn encoded(pairs: &[(&str, &str)]) -> String {
    let mut out = String::new();
    for (name, value) in pairs {
        if !out.is_empty() {
            out.push('&');
        }
        for (text, end) in [(name, "="), (value, "")] {
            for byte in text.bytes() {
                if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                    out.push(char::from(byte));
                } else {
                    out.push_str(&format!("%{byte:02X}"));
                }
            }
            out.push_str(end);
        }
    }
    out
}

/// The pairs of such a text; none where it cannot be read.
pub(super) fn decoded(text: &str) -> Option<Vec<(String, String)>> {
    let part = |text: &str| {
        let mut out = Vec::new();
        let mut bytes = text.bytes();
        while let Some(byte) = bytes.next() {
            out.push(match byte {
                b'%' => {
                    let mut digit = || char::from(bytes.next()?).to_digit(16);
                    u8::try_from(digit()? * 16 + digit()?).ok()?
                }
                b'+' => b' ',
                other => other,
            });
        }
        String::from_utf8(out).ok()
    };
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((part(name)?, part(value)?))
    };
    text.split('&').filter(|pair| !pair.is_empty()).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let pairs = [("redirect_uri", "http://127.0.0.1:1/a b"), ("scope", "openid é"), ("x", "")];
        let text = encoded(&pairs);
        assert_eq!(text, "redirect_uri=http%3A%2F%2F127.0.0.1%3A1%2Fa%20b&scope=openid%20%C3%A9&x=");
        let owned: Vec<_> = pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        assert_eq!(decoded(&text), Some(owned));
        assert_eq!(decoded("a=b+c&&d"), Some(vec![("a".into(), "b c".into()), ("d".into(), String::new())]));
        for text in ["a=%", "a=%4", "a=%zz", "a=%ff"] {
            assert_eq!(decoded(text), None, "{text}");
        }
    }

    #[test]
    fn where_secrets_may_go() {
        for place in
            ["https://id.example/token", "http://127.0.0.1:1/t", "http://localhost/t", "http://[::1]:1/t"]
        {
            assert!(safe(place).is_ok(), "{place}");
        }
        for place in ["http://id.example/", "ftp://localhost/", "/token", "", "https://u@id.example/"] {
            assert!(safe(place).is_err(), "{place}");
        }
    }
}
