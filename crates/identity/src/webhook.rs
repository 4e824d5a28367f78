//! Messages that a sender signed with a secret that both sides know: Standard Webhooks, GitHub, Stripe and
//! Slack. It never remembers a message: it says under which name to remember it, and until when.

use data_encoding::HEXLOWER;
use keyring::{PublicKey, SharedKey, SignatureAlgorithm, sha256};
use model::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    Reason, Request,
    bounds::{DATE_S_MAX, ID_BYTES_MAX, SIGNATURE_HEADER_BYTES_MAX, SIGNATURES_MAX},
    encoding,
};

/// Whose way of signing it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WebhookScheme {
    /// Standard Webhooks: `webhook-id`, `webhook-timestamp`, `webhook-signature`.
    Standard,
    /// GitHub: `X-Hub-Signature-256`. It signs no time.
    GitHub,
    /// Stripe: `Stripe-Signature`.
    Stripe,
    /// Slack: `X-Slack-Signature`, `X-Slack-Request-Timestamp`.
    Slack,
}

impl WebhookScheme {
    /// Every scheme.
    pub const ALL: [Self; 4] = [Self::Standard, Self::GitHub, Self::Stripe, Self::Slack];

    /// The header whose presence makes a request one of this scheme.
    pub const fn header(self) -> &'static str {
        match self {
            Self::Standard => "webhook-signature",
            Self::GitHub => "x-hub-signature-256",
            Self::Stripe => "stripe-signature",
            Self::Slack => "x-slack-signature",
        }
    }
}

/// What one sender signs with.
pub(crate) enum SenderKey {
    Shared(SharedKey),
    Public(PublicKey),
}

/// Who may send, and how it proves it. Made by the configuration, which proves it.
pub(crate) struct Sender {
    pub(crate) scheme: WebhookScheme,
    pub(crate) keys: Vec<SenderKey>,
    pub(crate) window_ms: u64,
    /// How long a message without a time is remembered.
    pub(crate) remember_ms: u64,
}

/// A message that holds, if it was not seen before.
pub(crate) struct Message {
    /// SHA-256 of what was signed. A sender that tries again signs another time, so that its second try is
    /// another message; what somebody else repeats is the same one.
    pub(crate) seen_as: [u8; 32],
    pub(crate) until: Timestamp,
    pub(crate) signed_at: Option<Timestamp>,
}

/// What a scheme's headers say.
struct Parts<'a> {
    /// What is signed before the body.
    prefix: String,
    signed_s: Option<u64>,
    shared: Vec<[u8; 32]>,
    public: Vec<Vec<u8>>,
    body: &'a [u8],
}

impl Sender {
    /// Proves one message.
    pub(crate) fn verify(&self, request: &Request<'_>, now: Timestamp) -> Result<Message, Reason> {
        let parts = match self.scheme {
            WebhookScheme::Standard => standard(request)?,
            WebhookScheme::GitHub => github(request)?,
            WebhookScheme::Stripe => stripe(request)?,
            WebhookScheme::Slack => slack(request)?,
        };
        if parts.shared.is_empty() && parts.public.is_empty() {
            return Err(Reason::WebhookMalformed);
        }
        let good = self.keys.iter().fold(false, |good, key| parts.signed_with(key) | good);
        if !good {
            return Err(Reason::WebhookSignature);
        }
        let signed_at = parts.signed_s.map(|s| Timestamp::from_unix_ms(s * 1000));
        let until = match signed_at {
            None => now.plus_ms(self.remember_ms),
            Some(at) if at > now.plus_ms(self.window_ms) => return Err(Reason::WebhookEarly),
            Some(at) if now >= at.plus_ms(self.window_ms) => return Err(Reason::WebhookStale),
            Some(at) => at.plus_ms(self.window_ms),
        };
        let body = sha256(parts.body);
        let seen_as = *sha256(&[parts.prefix.as_bytes(), body.as_bytes()].concat()).as_bytes();
        Ok(Message { seen_as, until, signed_at })
    }
}

impl Parts<'_> {
    fn signed_with(&self, key: &SenderKey) -> bool {
        let parts = [self.prefix.as_bytes(), self.body];
        match key {
            SenderKey::Shared(key) => {
                self.shared.iter().fold(false, |good, code| key.verifies(&parts, code) | good)
            }
            SenderKey::Public(key) => {
                let message = parts.concat();
                let one = |code: &Vec<u8>| key.verifies(SignatureAlgorithm::Ed25519, &message, code);
                self.public.iter().any(one)
            }
        }
    }
}

fn header<'a>(request: &Request<'a>, name: &str) -> Result<&'a str, Reason> {
    let value = request.one(name, Reason::WebhookMalformed, Reason::WebhookMalformed)?;
    let value = value.ok_or(Reason::WebhookMalformed)?;
    let fits = !value.is_empty() && value.len() <= SIGNATURE_HEADER_BYTES_MAX;
    if fits { Ok(value) } else { Err(Reason::WebhookMalformed) }
}

/// Whole seconds as their one text: digits without a sign or leading zeros.
fn seconds(text: &str) -> Result<u64, Reason> {
    let plain = (1..=12).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'));
    let value = if plain { text.parse::<u64>().ok() } else { None };
    value.filter(|s| *s <= DATE_S_MAX).ok_or(Reason::WebhookMalformed)
}

fn code(text: &str) -> Option<[u8; 32]> {
    HEXLOWER.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok())
}

//= Standard Webhooks, "Signature scheme": `id.timestamp.body`, and neither of the first two has a full stop
fn standard<'a>(request: &Request<'a>) -> Result<Parts<'a>, Reason> {
    let id = header(request, "webhook-id")?;
    if id.len() > ID_BYTES_MAX || id.contains('.') || !id.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Reason::WebhookMalformed);
    }
    let time = header(request, "webhook-timestamp")?;
    let signed_s = Some(seconds(time)?);
    let (mut shared, mut public) = (Vec::new(), Vec::new());
    let list = header(request, "webhook-signature")?;
    for (at, one) in list.split(' ').enumerate() {
        let (version, text) = one.split_once(',').ok_or(Reason::WebhookMalformed)?;
        if at >= SIGNATURES_MAX {
            return Err(Reason::WebhookMalformed);
        }
        // Versions that are not known here are passed over, as the scheme has it.
        let bytes = || encoding::base64(text).ok_or(Reason::WebhookMalformed);
        match version {
            "v1" => shared.push(bytes()?.try_into().map_err(|_| Reason::WebhookMalformed)?),
            "v1a" => public.push(bytes()?),
            _ => {}
        }
    }
    Ok(Parts { prefix: format!("{id}.{time}."), signed_s, shared, public, body: request.body })
}

fn github<'a>(request: &Request<'a>) -> Result<Parts<'a>, Reason> {
    let value = header(request, "x-hub-signature-256")?;
    let found = value.strip_prefix("sha256=").and_then(code).ok_or(Reason::WebhookMalformed)?;
    let shared = vec![found];
    Ok(Parts { prefix: String::new(), signed_s: None, shared, public: Vec::new(), body: request.body })
}

fn stripe<'a>(request: &Request<'a>) -> Result<Parts<'a>, Reason> {
    let (mut time, mut shared) = (None, Vec::new());
    for part in header(request, "stripe-signature")?.split(',') {
        let (name, value) = part.split_once('=').ok_or(Reason::WebhookMalformed)?;
        match name {
            "t" if time.is_some() => return Err(Reason::WebhookMalformed),
            "t" => time = Some(value),
            "v1" if shared.len() >= SIGNATURES_MAX => return Err(Reason::WebhookMalformed),
            "v1" => shared.push(code(value).ok_or(Reason::WebhookMalformed)?),
            // Older versions (`v0`) sign for tests alone; nobody may choose them.
            _ => {}
        }
    }
    let time = time.ok_or(Reason::WebhookMalformed)?;
    let (signed_s, prefix) = (Some(seconds(time)?), format!("{time}."));
    Ok(Parts { prefix, signed_s, shared, public: Vec::new(), body: request.body })
}

fn slack<'a>(request: &Request<'a>) -> Result<Parts<'a>, Reason> {
    let time = header(request, "x-slack-request-timestamp")?;
    let value = header(request, "x-slack-signature")?;
    let found = value.strip_prefix("v0=").and_then(code).ok_or(Reason::WebhookMalformed)?;
    let (signed_s, prefix) = (Some(seconds(time)?), format!("v0:{time}:"));
    Ok(Parts { prefix, signed_s, shared: vec![found], public: Vec::new(), body: request.body })
}

/// The key that a sender's text names. Standard Webhooks' keys say by their prefix what they are; the
/// secrets of the others are their text itself.
pub(crate) fn key(scheme: WebhookScheme, text: &str) -> Result<SenderKey, &'static str> {
    if scheme != WebhookScheme::Standard {
        let fits = (16..=256).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        return if fits {
            Ok(SenderKey::Shared(SharedKey::new(text.as_bytes())))
        } else {
            Err("a secret has from 16 to 256 visible characters")
        };
    }
    if let Some(encoded) = text.strip_prefix("whsec_") {
        let bytes = zeroize::Zeroizing::new(
            encoding::base64(encoded).ok_or("after `whsec_` comes base64 with padding")?,
        );
        //= Standard Webhooks, "Signature scheme": from 24 bytes to 64 bytes
        if !(24..=64).contains(&bytes.len()) {
            return Err("a secret has from 24 to 64 bytes");
        }
        return Ok(SenderKey::Shared(SharedKey::new(&bytes)));
    }
    let encoded = text.strip_prefix("whpk_").ok_or("write `whsec_…` or `whpk_…`")?;
    let bytes = encoding::base64(encoded).ok_or("after `whpk_` comes base64 with padding")?;
    PublicKey::ed25519(&bytes).map(SenderKey::Public).map_err(|_| "this is no public key of Ed25519")
}
