//! The handshake of one connection: what its client asks for first, and what speaks to it then. It never serves a
//! request.

use std::{io, net::SocketAddr, sync::Arc};

use rustls::server::Acceptor;
use shield::Blocked;
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    time::{error::Elapsed, timeout},
};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};

use super::{Host, Line, farewell};
use crate::tls::{
    Tls,
    clients::{self, Made},
    hello::{Choice, NameError, UNRECOGNIZED_NAME},
};

/// The first byte of every TLS connection: a handshake record (RFC 8446 §5.1).
const TLS_HANDSHAKE: u8 = 22;

/// Why a handshake came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unshaken {
    #[error("{0}")]
    Blocked(#[from] Blocked),
    #[error("{0}")]
    Name(#[from] NameError),
    #[error("{0}")]
    Failed(#[from] io::Error),
    #[error("the handshake took too long")]
    Slow(#[from] Elapsed),
}

impl Unshaken {
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Blocked(blocked) => blocked.code(),
            Self::Name(error) => error.code(),
            Self::Failed(error) => clients::handshake_code(error),
            Self::Slow(_) => "handshake-slow",
        }
    }
}

/// What became of a handshake.
pub(super) enum Shaken {
    Tls(Box<TlsStream<TcpStream>>, Option<Arc<Made>>),
    /// An authority has seen what it wanted to see.
    Shown,
    /// The client speaks HTTP without TLS.
    Plain(TcpStream),
}

/// Tells why a handshake came to nothing.
pub(super) fn unshaken<H: Host>(host: &H, address: SocketAddr, error: &Unshaken) {
    host.refused(address.ip(), error.code(), &error.to_string());
    tracing::debug!(%address, %error, "a handshake failed");
}

impl Line {
    /// Shakes hands with a client whose first byte is `first`.
    pub(super) async fn meet<H: Host>(
        &self,
        first: u8,
        tls: &Tls,
        stream: TcpStream,
        host: &H,
    ) -> Result<Shaken, Unshaken> {
        match first {
            TLS_HANDSHAKE => timeout(self.patience.handshake, self.shake_hands(tls, stream, host)).await?,
            b'A'..=b'Z' => Ok(Shaken::Plain(stream)),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "it is no TLS").into()),
        }
    }

    /// Hears what the client asks for, and goes on where there is a certificate for it.
    async fn shake_hands<H: Host>(&self, tls: &Tls, stream: TcpStream, host: &H) -> Result<Shaken, Unshaken> {
        let local = stream.local_addr()?.ip();
        let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        let clients = self.clients.as_deref().filter(|clients| clients.are_asked());
        match tls.choose(&start.client_hello(), local, clients, |name| host.is_known(name)) {
            Choice::Serve(config, made) => {
                let stream = self.turns.in_turn(start.into_stream(config)).await?;
                Ok(Shaken::Tls(Box::new(stream), made))
            }
            Choice::Challenge(config) => {
                let mut stream = self.turns.in_turn(start.into_stream(config)).await?;
                // Nothing more is said: the authority has seen the certificate.
                let _told = stream.shutdown().await;
                Ok(Shaken::Shown)
            }
            Choice::Refuse(error) => {
                farewell(start.io, UNRECOGNIZED_NAME.to_vec()).await;
                Err(error.into())
            }
        }
    }
}
