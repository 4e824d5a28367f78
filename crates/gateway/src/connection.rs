//! One connection from its handshake to its end: TLS, the one HTTP parser and its bounds, patience, and a
//! graceful end. It never looks into a request.

use std::{
    convert::Infallible,
    future::Future,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::{Request, Response};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use model::limits;
use shield::Peer;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::stage::respond::Body;

/// What a client is told that speaks plain HTTP to a port of TLS.
const PLAIN_REFUSED: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: 35\r\n\
    connection: close\r\n\r\nthis port speaks TLS: use https://\n";
/// How long such a client may take to read it, and how much more of what it sends is taken off the line, so
/// that the system does not cut the answer off with a reset.
const PLAIN_WITHIN: Duration = Duration::from_secs(1);
const PLAIN_READ_MAX: u64 = 64 * 1024;
/// The first byte of every TLS connection: a handshake record (RFC 8446 §5.1).
const TLS_HANDSHAKE: u8 = 22;
/// Resets that a client may leave unread before its connection ends (CVE-2023-44487).
const RESETS_MAX: usize = 20;

/// What all connections of one listener share.
#[derive(Clone)]
pub(crate) struct Line {
    /// None speaks plain HTTP.
    pub(crate) tls: Option<TlsAcceptor>,
    /// Turns true once, when the node stops.
    pub(crate) closing: watch::Receiver<bool>,
    /// How long a client may take.
    pub(crate) patience: Patience,
}

/// How long a client may take over what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// A handshake.
    pub(crate) handshake: Duration,
    /// A head; over HTTP/1.1 also from one request to the next.
    pub(crate) head: Duration,
    /// A connection of HTTP/2 without a request.
    pub(crate) idle: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            handshake: Duration::from_millis(limits::HANDSHAKE_MS),
            head: Duration::from_millis(limits::REQUEST_HEAD_MS),
            idle: Duration::from_millis(limits::KEEP_ALIVE_MS),
        }
    }
}

impl Line {
    /// Serves a connection to its end; `answer` answers each of its requests.
    pub(crate) async fn serve<A, F>(self, stream: TcpStream, address: SocketAddr, answer: A)
    where
        A: Fn(Arc<Peer>, Request<Incoming>) -> F + Clone + Send + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let Some(tls) = self.tls.clone() else {
            let peer = Peer { address, tls: false, server_name: None };
            return self.http1(stream, Arc::new(peer), answer).await;
        };
        match timeout(self.patience.handshake, shake_hands(tls, stream)).await {
            Ok(Ok(Some(stream))) => {
                let (_, session) = stream.get_ref();
                let h2 = session.alpn_protocol() == Some(b"h2");
                let server_name = session.server_name().map(Arc::from);
                let peer = Arc::new(Peer { address, tls: true, server_name });
                if h2 {
                    self.http2(stream, peer, answer).await;
                } else {
                    self.http1(stream, peer, answer).await;
                }
            }
            Ok(Ok(None)) => {}
            Ok(Err(error)) => tracing::debug!(%address, %error, "a handshake failed"),
            Err(_) => tracing::debug!(%address, "a handshake took too long"),
        }
    }

    /// HTTP/1.1. Between two requests the parser waits as long as for a head.
    async fn http1<S, A, F>(self, stream: S, peer: Arc<Peer>, answer: A)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        A: Fn(Arc<Peer>, Request<Incoming>) -> F + Send + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let service = service_fn(move |request: Request<Incoming>| {
            let answer = answer(peer.clone(), request);
            async move { Ok::<_, Infallible>(answer.await) }
        });
        let connection = http1_builder(self.patience).serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let mut closed = std::pin::pin!(closed(self.closing));
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = &mut closed => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        note(ended);
    }

    /// HTTP/2. A connection that carries no request for long is told to end.
    async fn http2<S, A, F>(self, stream: S, peer: Arc<Peer>, answer: A)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        A: Fn(Arc<Peer>, Request<Incoming>) -> F + Send + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let activity = Arc::new(Activity::new());
        let watched = activity.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let busy = Busy::new(&activity);
            let answer = answer(peer.clone(), request);
            async move { Ok::<_, Infallible>(answer.await.map(|body| body.holding(busy))) }
        });
        let connection = http2_builder(self.patience).serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let mut closed = std::pin::pin!(closed(self.closing));
        let mut idle = std::pin::pin!(watched.idle(self.patience.idle));
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = async { tokio::select! { () = &mut closed => {}, () = &mut idle => {} } } => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        note(ended);
    }
}

async fn closed(mut closing: watch::Receiver<bool>) {
    // A sender that is gone means the same.
    drop(closing.wait_for(|closing| *closing).await);
}

fn note(ended: Result<(), hyper::Error>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended badly");
    }
}

/// How many requests one connection carries, and since when it carries none.
#[derive(Debug)]
struct Activity {
    opened: Instant,
    under_way: AtomicU64,
    idle_since_ms: AtomicU64,
}

/// One request under way on a connection, until it is dropped with the last of its answer.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Activity>);

impl Activity {
    fn new() -> Self {
        Self { opened: Instant::now(), under_way: AtomicU64::new(0), idle_since_ms: AtomicU64::new(0) }
    }

    /// Returns when no request was under way for `patience`.
    async fn idle(&self, patience: Duration) {
        loop {
            let since = self.opened + Duration::from_millis(self.idle_since_ms.load(Ordering::Relaxed));
            let busy = self.under_way.load(Ordering::Relaxed) > 0;
            let left = if busy { patience } else { (since + patience).duration_since(Instant::now()) };
            if left.is_zero() {
                return;
            }
            sleep(left).await;
        }
    }
}

impl Busy {
    fn new(activity: &Arc<Activity>) -> Self {
        activity.under_way.fetch_add(1, Ordering::Relaxed);
        Self(activity.clone())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let now_ms = u64::try_from(self.0.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.idle_since_ms.store(now_ms, Ordering::Relaxed);
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The TLS handshake; none where the client spoke something else. If that was plain HTTP, it is told.
async fn shake_hands(tls: TlsAcceptor, mut stream: TcpStream) -> io::Result<Option<TlsStream<TcpStream>>> {
    let mut first = [0_u8];
    let seen = stream.peek(&mut first).await?;
    if seen == 1 && first != [TLS_HANDSHAKE] {
        if first.first().is_some_and(u8::is_ascii_uppercase) {
            // Whoever does not take the answer in time goes without.
            let _told = timeout(PLAIN_WITHIN, refuse_plain(&mut stream)).await;
        }
        return Ok(None);
    }
    tls.accept(stream).await.map(Some)
}

async fn refuse_plain(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(PLAIN_REFUSED).await?;
    stream.shutdown().await?;
    let (mut rest, mut nowhere) = (stream.take(PLAIN_READ_MAX), [0_u8; 4096]);
    while rest.read(&mut nowhere).await? > 0 {}
    Ok(())
}

fn http1_builder(patience: Patience) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(patience.head)
        .max_headers(limits::REQUEST_HEADERS_MAX)
        .max_buf_size(head_bytes_max())
        // A caller that ends its side of the connection is gone, and so is its run.
        .half_close(false)
        .auto_date_header(true);
    builder
}

fn http2_builder(patience: Patience) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits::H2_STREAMS_MAX)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_local_error_reset_streams(RESETS_MAX)
        .max_header_list_size(u32::try_from(head_bytes_max()).unwrap_or(u32::MAX))
        .initial_stream_window_size(limits::STREAM_WINDOW_BYTES)
        .initial_connection_window_size(4 * limits::STREAM_WINDOW_BYTES)
        .keep_alive_interval(patience.idle / 2)
        .keep_alive_timeout(patience.head);
    builder
}

/// What the parser reads of a head before it gives up: the highest bound of any function, and some room for
/// what the shield is to name.
fn head_bytes_max() -> usize {
    let most = model::Limits::CEILING.request_header_bytes;
    usize::try_from(most).unwrap_or(usize::MAX).saturating_add(limits::REQUEST_TARGET_BYTES_MAX + 1024)
}

#[cfg(test)]
mod tests;
