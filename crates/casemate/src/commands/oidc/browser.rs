//! The way by a browser on this machine: an authorization code (RFC 6749 §4.1) with PKCE (RFC 7636), which comes back to
//! a port of this very machine (RFC 8252 §7.3). It never takes an answer to a question that it did not ask.

use std::{net::Ipv4Addr, process::Stdio, time::Duration};

use data_encoding::BASE64URL_NOPAD;
use gateway::api::LoginWhy;
use keyring::{constant_time_eq, sha256};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::{
    Stopped,
    provider::{Provider, decoded, encoded, safe},
};
use crate::{
    exit::{Exit, Failure},
    output::{Output, harmless},
    proof::random,
    session::Secret,
};

/// How long a person may take.
const PATIENCE: Duration = Duration::from_secs(600);
/// How long one request of the browser may take.
const REQUEST_WITHIN: Duration = Duration::from_secs(10);
/// The head of such a request, in bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Where the provider sends the browser back to.
const PATH: &str = "/callback";

/// One question and how its answer is recognised.
struct Question {
    state: String,
    verifier: String,
    redirect: String,
}

/// Opens the provider's page in a browser and waits for its answer.
pub(super) async fn log_in(
    out: &Output,
    provider: &Provider,
    nonce: &str,
    no_browser: bool,
) -> Result<Secret, Stopped> {
    let failed =
        |e: std::io::Error| Failure::new(Exit::Failed, format!("cannot listen for the browser: {e}"));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(failed)?;
    let port = listener.local_addr().map_err(failed)?.port();
    let question = Question {
        state: BASE64URL_NOPAD.encode(&random()?),
        verifier: BASE64URL_NOPAD.encode(&random()?),
        redirect: format!("http://127.0.0.1:{port}{PATH}"),
    };
    let address = question.address(provider, nonce)?;
    if out.is_json() {
        out.json_line(&serde_json::json!({ "open": address }));
    } else {
        out.note(format!("open this address in a browser of this machine:\n{}", harmless(&address)));
    }
    if !no_browser {
        open(&address);
    }
    let _waiting = out.spinner("waiting for the browser");
    let code = timeout(PATIENCE, question.answer(&listener, provider)).await;
    let code = code.map_err(|_| Stopped::new(LoginWhy::Expired, "nobody logged in in time"))??;
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code.expose()),
        ("redirect_uri", &question.redirect),
        ("code_verifier", &question.verifier),
    ];
    provider.redeem(&form).await.map_err(Stopped::from)
}

impl Question {
    /// The address to open.
    fn address(&self, provider: &Provider, nonce: &str) -> Result<String, Stopped> {
        let place = provider.metadata.authorization_endpoint.as_deref().unwrap_or_default();
        safe(place)?;
        let scopes = provider.offer.scopes.join(" ");
        //= RFC 7636 §4.2: code_challenge = BASE64URL-ENCODE(SHA256(ASCII(code_verifier)))
        let challenge = BASE64URL_NOPAD.encode(sha256(self.verifier.as_bytes()).as_bytes());
        let query = encoded(&[
            ("response_type", "code"),
            ("client_id", &provider.offer.client_id),
            ("redirect_uri", &self.redirect),
            ("scope", &scopes),
            ("state", &self.state),
            ("nonce", nonce),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ]);
        let joint = if place.contains('?') { '&' } else { '?' };
        Ok(format!("{place}{joint}{query}"))
    }

    /// Waits for the browser, one connection at a time; what is not the provider's answer is answered 404.
    async fn answer(&self, listener: &TcpListener, provider: &Provider) -> Result<Secret, Stopped> {
        loop {
            let Ok((mut stream, _)) = listener.accept().await else { continue };
            let head = timeout(REQUEST_WITHIN, head(&mut stream)).await.ok().flatten();
            let Some(query) = head.as_deref().and_then(callback) else {
                say(&mut stream, "404 Not Found", "There is nothing here.").await;
                continue;
            };
            let read = self.read(query, provider);
            match &read {
                Ok(_) => say(&mut stream, "200 OK", "This went well. Close this window.").await,
                Err(_) => say(&mut stream, "400 Bad Request", "This went wrong: see the terminal.").await,
            }
            return read;
        }
    }

    fn read(&self, query: &str, provider: &Provider) -> Result<Secret, Stopped> {
        let pairs = decoded(query).unwrap_or_default();
        let one = |name: &str| {
            let mut found = pairs.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str());
            found.next().filter(|_| found.next().is_none())
        };
        //= RFC 6749 §10.12: what does not carry the state was not asked for by this client
        if !constant_time_eq(one("state").unwrap_or_default().as_bytes(), self.state.as_bytes()) {
            let what = "the browser brought an answer to another question: somebody may be trying to log you in as \
                        themselves";
            return Err(Stopped::new(LoginWhy::State, what));
        }
        //= RFC 9207 §2.4: clients must compare `iss` with the issuer that they asked
        let wanted = provider.metadata.authorization_response_iss_parameter_supported;
        match one("iss") {
            Some(iss) if iss == provider.offer.issuer => {}
            None if !wanted => {}
            _ => return Err(Stopped::new(LoginWhy::Issuer, "the answer is another provider's")),
        }
        if let Some(error) = one("error") {
            let more = one("error_description").map(|text| format!(": {text}")).unwrap_or_default();
            let said = harmless(&format!("{error}{more}")).replace('\n', " ");
            return Err(Stopped::new(LoginWhy::Denied, format!("the provider said no: {said}")));
        }
        let missing = || Stopped::new(LoginWhy::Failed, "the provider's answer has no code");
        one("code").map(Secret::new).ok_or_else(missing)
    }
}

/// The head of a request, as text.
async fn head(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut piece = [0; 2048];
    while !bytes.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = stream.read(&mut piece).await.ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(piece.get(..read)?);
        if bytes.len() > HEAD_BYTES_MAX {
            return None;
        }
    }
    String::from_utf8(bytes).ok()
}

/// The query, where a head asks for the place that the provider sends browsers to.
fn callback(head: &str) -> Option<&str> {
    let target = head.strip_prefix("GET ")?.split(' ').next()?;
    let (path, query) = target.split_once('?')?;
    (path == PATH).then_some(query)
}

async fn say(stream: &mut TcpStream, status: &str, text: &str) {
    let length = text.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {length}\r\n\
         cache-control: no-store\r\nconnection: close\r\n\r\n{text}"
    );
    // Whoever asked has the answer or has gone.
    let _unheard = stream.write_all(answer.as_bytes()).await;
    let _unheard = stream.shutdown().await;
}

/// Opens a browser where there is one; the address stands in the terminal in any case.
fn open(address: &str) {
    for opener in ["xdg-open", "open"] {
        let mut command = std::process::Command::new(opener);
        command.arg(address).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if command.spawn().is_ok() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_request_is_the_answer() {
        assert_eq!(callback("GET /callback?code=a&state=b HTTP/1.1\r\n\r\n"), Some("code=a&state=b"));
        for head in
            ["GET /favicon.ico HTTP/1.1", "POST /callback?code=a HTTP/1.1", "GET /callback HTTP/1.1", ""]
        {
            assert_eq!(callback(head), None, "{head}");
        }
    }
}
