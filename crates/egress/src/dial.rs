//! A TLS stream to a destination that the operator names, for protocols that are not HTTP. It never serves a guest: it
//! goes wherever it is told.

use std::{pin::Pin, sync::Arc, time::Duration};

use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    EgressError, SetupError, SystemResolver, client,
    connection::{Wire, wire},
    destination::{Host, Place},
    tls,
};

/// Bytes both ways.
pub trait Duplex: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> Duplex for T {}

/// One verified destination.
pub struct Dialer {
    place: Place,
    tls: Arc<ClientConfig>,
}

/// What vouches for a destination, and what proves the client to it.
#[derive(Clone, Default)]
pub struct DialerConfig {
    /// The certificates (DER or PEM) that vouch for it; where none is given, the web's own roots do.
    pub roots: Vec<Vec<u8>>,
    /// The client's own chain and its key (PEM), where the destination wants them.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl Dialer {
    /// A destination, as `host:port` or `[address]:port`; connects to nothing.
    ///
    /// # Errors
    /// What is wrong with the certificates.
    pub fn new(host: &str, port: u16, config: &DialerConfig) -> Result<Self, SetupError> {
        let host = Host::parse(host).map_err(|why| SetupError::Destination(why.to_owned()))?;
        let identity = config.identity.as_ref().map(|(chain, key)| (chain.as_slice(), key.as_slice()));
        Ok(Self { place: Place { tls: true, host, port }, tls: tls::stream_config(&config.roots, identity)? })
    }

    /// Connects, verifies the destination's name, and gives the stream.
    ///
    /// # Errors
    /// What the network did.
    pub async fn connect(&self, within: Duration) -> Result<Pin<Box<dyn Duplex>>, EgressError> {
        let within_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        let addresses = client::addresses(&SystemResolver, &self.place, within_ms).await?;
        match wire(&self.place, &addresses, &self.tls, within).await? {
            (_, Wire::Tls(stream)) => Ok(Box::pin(*stream)),
            // INVARIANT: nothing is ever spoken in the clear; the place says so, and this holds it to that.
            (_, Wire::Plain(_)) => Err(EgressError::Tls("it was not asked for".to_owned())),
        }
    }
}

impl std::fmt::Debug for Dialer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dialer").field("place", &self.place).finish_non_exhaustive()
    }
}
