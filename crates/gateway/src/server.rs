//! Listeners, handshakes and connections of both planes, and their end. It never looks into a request.

use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use http::{Request, Response};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use model::limits;
use platform::Platform;
use shield::Peer;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    GatewayConfig,
    control::{self, ControlPlane},
    metrics::Metrics,
    pipeline::DataPlane,
    stage::{
        listen::{Bounds, accept},
        respond::Body,
    },
};

/// What a client is told that speaks plain HTTP to a port of TLS.
const PLAIN_REFUSED: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: 34\r\n\
    connection: close\r\n\r\nthis port speaks TLS: use https://\n";
/// The first byte of every TLS connection: a handshake record (RFC 8446 §5.1).
const TLS_HANDSHAKE: u8 = 22;
/// Resets that a client may leave unread before its connection ends (CVE-2023-44487).
const RESETS_MAX: usize = 20;

/// The listeners could not be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The system refused.
    #[error("`{address}` cannot be listened on: {error}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// Plain HTTP is for loopback alone.
    #[error("plain HTTP is only listened for on a loopback address, not on `{0}`")]
    PlainNotLoopback(SocketAddr),
}

/// Where a gateway listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// Functions.
    pub data: SocketAddr,
    /// The control API.
    pub control: SocketAddr,
    /// Functions without TLS.
    pub plain: Option<SocketAddr>,
}

/// The doors of a node: bound, and not yet open.
pub struct Gateway {
    config: GatewayConfig,
    platform: Arc<Platform>,
    data: TcpListener,
    control: TcpListener,
    plain: Option<TcpListener>,
    addresses: Addresses,
}

/// Which plane a listener is of.
#[derive(Clone)]
enum Plane {
    Data(Arc<DataPlane>),
    Control(Arc<ControlPlane>),
}

/// What a listener's connections share.
#[derive(Clone)]
struct Door {
    plane: Plane,
    tls: Option<TlsAcceptor>,
    bounds: Bounds,
    platform: Arc<Platform>,
    closing: watch::Receiver<bool>,
}

impl Gateway {
    /// Binds all listeners, or none.
    ///
    /// # Errors
    /// [`BindError`].
    pub async fn bind(config: GatewayConfig, platform: Arc<Platform>) -> Result<Self, BindError> {
        if let Some(plain) = config.plain.filter(|address| !address.ip().is_loopback()) {
            return Err(BindError::PlainNotLoopback(plain));
        }
        let data = listen(config.listen).await?;
        let control = listen(config.control).await?;
        let plain = match config.plain {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        let bound = |listener: &TcpListener, asked: SocketAddr| {
            listener.local_addr().map_err(|error| BindError::Listen { address: asked, error })
        };
        let addresses = Addresses {
            data: bound(&data, config.listen)?,
            control: bound(&control, config.control)?,
            plain: plain.as_ref().zip(config.plain).map(|(l, asked)| bound(l, asked)).transpose()?,
        };
        Ok(Self { config, platform, data, control, plain, addresses })
    }

    /// Where it listens.
    pub const fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Serves until `shutdown` resolves, then lets requests end for as long as the configuration says.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) {
        let (close, closing) = watch::channel(false);
        let bounds = Bounds::new(self.config.connections_max, self.config.connections_per_source_max);
        let metrics = Arc::new(Metrics::new());
        let data = Arc::new(DataPlane {
            platform: self.platform.clone(),
            metrics: metrics.clone(),
            strict_transport: self.config.domain != "localhost",
        });
        let (open, url_port) = (bounds.clone(), self.addresses.data.port());
        let control = Arc::new(ControlPlane::new(
            self.platform.clone(),
            metrics,
            Box::new(move || open.open()),
            self.config.domain.clone(),
            url_port,
            self.config.about.clone(),
        ));
        let tls = TlsAcceptor::from(self.config.tls.clone());
        let door = |plane: Plane, tls: Option<TlsAcceptor>| Door {
            plane,
            tls,
            bounds: bounds.clone(),
            platform: self.platform.clone(),
            closing: closing.clone(),
        };
        let mut doors = vec![
            (self.data, door(Plane::Data(data.clone()), Some(tls.clone()))),
            (self.control, door(Plane::Control(control), Some(tls))),
        ];
        doors.extend(self.plain.map(|listener| (listener, door(Plane::Data(data), None))));
        let opened: Vec<_> = doors.into_iter().map(|(l, door)| tokio::spawn(door.open(l))).collect();
        shutdown.await;
        self.platform.drain();
        opened.iter().for_each(tokio::task::JoinHandle::abort);
        close.send_replace(true);
        if timeout(Duration::from_millis(self.config.drain_ms), bounds.emptied()).await.is_err() {
            tracing::warn!(open = bounds.open(), "connections were cut off when the time to end was over");
        }
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|error| BindError::Listen { address, error })
}

impl Door {
    async fn open(self, listener: TcpListener) {
        loop {
            let (stream, address, place) = accept(&listener, &self.bounds, &self.platform).await;
            let door = self.clone();
            tokio::spawn(async move {
                door.connection(stream, address).await;
                drop(place);
            });
        }
    }

    async fn connection(self, stream: TcpStream, address: SocketAddr) {
        let Some(tls) = self.tls.clone() else {
            let peer = Peer { address, tls: false, server_name: None };
            return self.http(stream, peer, false).await;
        };
        let wait = Duration::from_millis(limits::HANDSHAKE_MS);
        match timeout(wait, shake_hands(tls, stream)).await {
            Ok(Ok(Some(stream))) => {
                let (_, session) = stream.get_ref();
                let h2 = session.alpn_protocol() == Some(b"h2");
                let server_name = session.server_name().map(Arc::from);
                let peer = Peer { address, tls: true, server_name };
                self.http(stream, peer, h2).await;
            }
            Ok(Ok(None)) => {}
            Ok(Err(error)) => tracing::debug!(%address, %error, "a handshake failed"),
            Err(_) => tracing::debug!(%address, "a handshake took too long"),
        }
    }

    async fn http<S>(self, stream: S, peer: Peer, h2: bool)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut closing = self.closing.clone();
        let mut closed = std::pin::pin!(async move { drop(closing.wait_for(|closing| *closing).await) });
        let (plane, peer) = (self.plane, Arc::new(peer));
        let service = service_fn(move |request: Request<Incoming>| {
            let (plane, peer) = (plane.clone(), peer.clone());
            async move { Ok::<_, std::convert::Infallible>(plane.answer(&peer, request).await) }
        });
        let io = TokioIo::new(stream);
        let ended = if h2 {
            let mut connection = std::pin::pin!(http2_builder().serve_connection(io, service));
            tokio::select! {
                ended = connection.as_mut() => ended,
                () = &mut closed => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            }
        } else {
            let mut connection = std::pin::pin!(http1_builder().serve_connection(io, service));
            tokio::select! {
                ended = connection.as_mut() => ended,
                () = &mut closed => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended badly");
        }
    }
}

impl Plane {
    async fn answer(&self, peer: &Peer, request: Request<Incoming>) -> Response<Body> {
        match self {
            Self::Data(plane) => plane.answer(peer, request).await,
            Self::Control(plane) => control::serve(plane, request, peer).await,
        }
    }
}

/// The TLS handshake; none where the client spoke plain HTTP, which it is told.
async fn shake_hands(
    tls: TlsAcceptor,
    mut stream: TcpStream,
) -> io::Result<Option<tokio_rustls::server::TlsStream<TcpStream>>> {
    let mut first = [0_u8];
    let seen = stream.peek(&mut first).await?;
    if seen == 1 && first != [TLS_HANDSHAKE] {
        if first.first().is_some_and(u8::is_ascii_uppercase) {
            stream.write_all(PLAIN_REFUSED).await?;
            stream.shutdown().await?;
        }
        return Ok(None);
    }
    tls.accept(stream).await.map(Some)
}

fn http1_builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(limits::REQUEST_HEAD_MS))
        .max_headers(limits::REQUEST_HEADERS_MAX)
        .max_buf_size(head_bytes_max())
        .half_close(false)
        .pipeline_flush(true)
        .auto_date_header(true);
    builder
}

fn http2_builder() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits::H2_STREAMS_MAX)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_local_error_reset_streams(RESETS_MAX)
        .max_header_list_size(u32::try_from(head_bytes_max()).unwrap_or(u32::MAX))
        .initial_stream_window_size(limits::STREAM_WINDOW_BYTES)
        .initial_connection_window_size(4 * limits::STREAM_WINDOW_BYTES)
        .keep_alive_interval(Duration::from_millis(limits::KEEP_ALIVE_MS / 2))
        .keep_alive_timeout(Duration::from_millis(limits::REQUEST_HEAD_MS));
    builder
}

/// What the parser reads of a head before it gives up: the highest bound of any function, and some room for
/// what the shield is to name.
fn head_bytes_max() -> usize {
    let most = model::Limits::CEILING.request_header_bytes;
    usize::try_from(most).unwrap_or(usize::MAX).saturating_add(limits::REQUEST_TARGET_BYTES_MAX + 1024)
}
