//! The operator's own client, for the command line and its node. It never serves a guest: it goes wherever it
//! is told.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use bytes::Bytes;
use cell::BodyStream;
use futures_util::stream;
use http::{HeaderValue, Request, Response, header};

use crate::{
    Bounds, Resolve, SetupError, SystemResolver,
    call::{Lines, Route},
    destination::{Host, Place},
    error::EgressError,
    resolve, tls,
};

/// How much of a body is handed to the connection at once.
const PIECE_BYTES: usize = 256 * 1024;

/// How the operator's client is set up.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// The certificates (DER or PEM) that vouch for the node; where none is given, the web's own roots do.
    pub roots: Vec<Vec<u8>>,
    /// How long a node may take until the head of its answer.
    pub answer_within: Duration,
    /// Whether `http://` is spoken too. No credential should travel so.
    pub plain: bool,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self { roots: Vec::new(), answer_within: Duration::from_secs(30), plain: false }
    }
}

/// A client that speaks HTTP/1.1 over TLS, keeps connections, follows no redirect, and refuses no address.
pub struct Client {
    lines: Lines,
    bounds: Bounds,
    plain: bool,
}

impl Client {
    /// Sets a client up; connects to nothing.
    ///
    /// # Errors
    /// If a certificate cannot be read.
    pub fn new(config: &ClientConfig) -> Result<Self, SetupError> {
        let tls = tls::client_config(config.roots.is_empty(), &config.roots)?;
        let bounds = Bounds {
            head_ms: u64::try_from(config.answer_within.as_millis()).unwrap_or(u64::MAX >> 20),
            idle_ms: None,
            request_bytes_max: u64::MAX,
            response_bytes_max: u64::MAX,
            ..Bounds::default()
        };
        Ok(Self { lines: Lines::new(tls), bounds, plain: config.plain })
    }

    /// Sends a request to an absolute `https` target.
    ///
    /// # Errors
    /// What is wrong with the target, or what the network did.
    pub async fn call(&self, request: Request<Bytes>) -> Result<Response<BodyStream>, EgressError> {
        self.call_telling(request, |_| ()).await
    }

    /// As [`Client::call`]; `sent` is told how many bytes of the body were taken by the connection, again and
    /// again until that is all of them.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn call_telling(
        &self,
        request: Request<Bytes>,
        sent: impl Fn(u64) + Send + Sync + 'static,
    ) -> Result<Response<BodyStream>, EgressError> {
        let denied = |why| EgressError::Denied {
            method: request.method().to_string(),
            target: crate::bare(request.uri()),
            why,
        };
        let place = Place::of(request.uri()).map_err(denied)?;
        if !place.tls && !self.plain {
            return Err(denied("it is not `https`"));
        }
        let addresses = addresses(&SystemResolver, &place, self.bounds.connect_ms).await?;
        let (mut head, body) = request.into_parts();
        let length = HeaderValue::from(body.len());
        if !body.is_empty() {
            head.headers.insert(header::CONTENT_LENGTH, length);
        }
        let whole = body.len();
        let pieces = (0..whole).step_by(PIECE_BYTES).map(move |start| {
            let end = whole.min(start + PIECE_BYTES);
            // What is asked for is what the connection has room for.
            sent(end as u64);
            Ok(body.slice(start..end))
        });
        let body: BodyStream = Box::pin(stream::iter(pieces));
        let request = Request::from_parts(head, body);
        self.lines.call(Route { owner: 0, place, addresses }, request, self.bounds).await
    }
}

/// The addresses of a place that the operator names.
pub(crate) async fn addresses(
    resolver: &dyn Resolve,
    place: &Place,
    within_ms: u64,
) -> Result<Vec<IpAddr>, EgressError> {
    match &place.host {
        //= RFC 6761 §6.3: names below `localhost` are the loopback addresses
        Host::Name(name) if &**name == "localhost" || name.ends_with(".localhost") => {
            Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)])
        }
        _ => resolve(resolver, place, within_ms).await,
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}
