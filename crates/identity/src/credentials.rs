//! What a request presents as proof of who sends it. It never looks anything up.

use http::{HeaderMap, HeaderValue, Uri, header};

use crate::{
    Refusal,
    secret::{TEXT_BYTES, TokenError, TokenSecret},
    webhook::WebhookScheme,
};

/// A credential that is well formed, or none. It is wiped when dropped.
///
/// Functions never see the `Authorization` header: it is meant for the node, and a function that saw it could
/// act as its caller. Whoever hands a request to a function takes the header out.
pub struct Credentials(pub(crate) Option<TokenSecret>);

impl Credentials {
    /// No credential: the caller is anonymous.
    pub const fn none() -> Self {
        Self(None)
    }

    /// A token that came otherwise than in a request's head.
    pub const fn token(secret: TokenSecret) -> Self {
        Self(Some(secret))
    }

    /// Whether there is none.
    pub const fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// Reads the one `Authorization: Bearer TOKEN` header (RFC 6750 §2.1) and proves the token's checksum.
    /// No header at all is no credential.
    ///
    /// # Errors
    /// Several headers, another scheme, too long, or no token of ours.
    pub fn from_headers(headers: &HeaderMap) -> Result<Self, Refusal> {
        let mut found = headers.get_all(header::AUTHORIZATION).iter();
        let Some(value) = found.next() else { return Ok(Self::none()) };
        //= RFC 6750 §2: clients must not use more than one method to transmit the token in each request
        if found.next().is_some() {
            return Err(Refusal::Several);
        }
        if value.len() > "Bearer ".len() + 4 * TEXT_BYTES {
            return Err(Refusal::Oversized);
        }
        let text = value.to_str().map_err(|_| Refusal::Malformed)?;
        let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
        //= RFC 9110 §11.1: the scheme's name is case-insensitive
        if !scheme.eq_ignore_ascii_case("Bearer") {
            return Err(Refusal::Scheme);
        }
        match TokenSecret::parse(token) {
            Ok(secret) => Ok(Self(Some(secret))),
            Err(TokenError::Checksum) => Err(Refusal::Checksum),
            Err(TokenError::Malformed) => Err(Refusal::Malformed),
        }
    }

    /// As [`Credentials::from_headers`]; refuses besides a target that holds a token of ours anywhere.
    /// Targets end up in logs, histories and `Referer` headers (RFC 6750 §5.3), so the token must be taken
    /// for stolen, whoever sent it. Other parameters of a query are the function's own affair.
    ///
    /// # Errors
    /// As [`Credentials::from_headers`], and [`Refusal::InTarget`].
    pub fn from_head(headers: &HeaderMap, target: &Uri) -> Result<Self, Refusal> {
        let text = target.path_and_query().map_or("", |text| text.as_str());
        if text.len() >= TEXT_BYTES && holds_token(text) {
            return Err(Refusal::InTarget);
        }
        Self::from_headers(headers)
    }
}

/// What a request presents of itself, as it was sent, whether anybody takes it or not: the value of `Authorization`, of a
/// message's signature (RFC 9421 §4.2), or of a webhook's.
pub fn presented(headers: &HeaderMap) -> Option<&[u8]> {
    let schemes = WebhookScheme::ALL.into_iter().map(WebhookScheme::header);
    let mut names = ["authorization", "signature"].into_iter().chain(schemes);
    names.find_map(|name| headers.get(name)).map(HeaderValue::as_bytes)
}

pub(crate) fn holds_token(text: &str) -> bool {
    text.match_indices("casemate_").any(|(at, _)| {
        let end = at.saturating_add(TEXT_BYTES);
        text.get(at..end).is_some_and(|token| TokenSecret::parse(token).is_ok())
    })
}
