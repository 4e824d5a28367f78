//! A request as credentials are read from it. It never changes, and it decides nothing.

use std::sync::Arc;

use http::HeaderMap;

use crate::Reason;

/// One request, taken apart by whoever read it from the wire. Nothing here was repaired: the target, the
/// headers and the body are what the sender sent.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The method, as sent.
    pub method: &'a str,
    /// `https` or `http`: how it came, not what a header says.
    pub scheme: &'a str,
    /// The host and port that it is for: `Host`, or `:authority` in HTTP/2.
    pub authority: &'a str,
    /// Path and query in origin form (RFC 9112 §3.2.1), or `*`.
    pub target: &'a str,
    /// All header lines.
    pub headers: &'a HeaderMap,
    /// The whole body.
    pub body: &'a [u8],
    /// The client's certificate in DER, once TLS has proved its chain and that the client holds its key.
    pub certificate: Option<&'a [u8]>,
    /// The entries of the configuration whose authorities vouch for that certificate; none: nobody asked which.
    pub vouched: Option<&'a [Arc<str>]>,
}

impl<'a> Request<'a> {
    /// The path, without the query.
    pub fn path(&self) -> &'a str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// What follows the first `?`.
    pub fn query(&self) -> Option<&'a str> {
        self.target.split_once('?').map(|(_, query)| query)
    }

    /// The one header of that name as text; none where it is absent.
    pub(crate) fn one(
        &self,
        name: &str,
        several: Reason,
        malformed: Reason,
    ) -> Result<Option<&'a str>, Reason> {
        let mut found = self.headers.get_all(name).iter();
        let Some(value) = found.next() else { return Ok(None) };
        if found.next().is_some() {
            return Err(several);
        }
        value.to_str().map(Some).map_err(|_| malformed)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.headers.contains_key(name)
    }
}
