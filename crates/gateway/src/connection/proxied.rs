//! The header before a forwarded connection (PROXY protocol, version 2): read whole and never further. It never decides
//! who may send one.

use std::time::Duration;

use model::limits;
use shield::proxy::{self, FIXED_BYTES, Proxied, ProxyError};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time::{error::Elapsed, timeout},
};

/// Why a forwarder's connection does not say whose it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unproxied {
    #[error(transparent)]
    Malformed(#[from] ProxyError),
    #[error("the PROXY header broke off: {0}")]
    Broken(#[from] std::io::Error),
    #[error("the PROXY header did not come in time")]
    Slow(#[from] Elapsed),
}

/// Reads the header, and leaves what follows it where it is.
///
/// # Errors
/// [`Unproxied`]; the connection is of no use then.
pub(crate) async fn proxied(stream: &mut (impl AsyncRead + Unpin)) -> Result<Proxied, Unproxied> {
    timeout(Duration::from_millis(limits::PROXY_HEADER_MS), async {
        let mut fixed = [0; FIXED_BYTES];
        stream.read_exact(&mut fixed).await?;
        let mut rest = vec![0; proxy::rest_bytes(&fixed)?];
        stream.read_exact(&mut rest).await?;
        Ok(proxy::parse(&fixed, &rest)?)
    })
    .await?
}
