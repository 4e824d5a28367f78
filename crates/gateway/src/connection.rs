//! One connection from its handshake to its end: TLS, the gate before the one HTTP parser and the parser's
//! bounds, patience, and a graceful end. It never looks into a request.

mod handshake;
mod http1;
mod http2;
mod later;
mod proxied;
mod turns;

use std::{
    convert::Infallible,
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use http::{Request, Response, header};
use hyper::{
    body::Incoming,
    server::conn::{http1 as parser1, http2 as parser2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use model::{RequestId, limits};
use shield::{Blocked, Peer};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::{Notify, watch},
    time::{Instant, sleep, timeout},
};

use crate::{
    problem::Problem,
    stage::respond::{self, Body, Held},
    tls::{Tls, clients::Clients},
};
use handshake::{Shaken, Unshaken, unshaken};
pub(crate) use http1::Answer;
use http1::{Answers, Gate};
use http2::Watched;
pub(crate) use later::Later;
pub(crate) use proxied::proxied;
pub(crate) use turns::Turns;

/// How long a client may take to read the last that it is told.
const FAREWELL: Duration = Duration::from_secs(2);
/// Resets that a client may leave unread before its connection ends (CVE-2023-44487).
const RESETS_MAX: usize = 20;

/// What all connections of one listener share.
#[derive(Clone)]
pub(crate) struct Line {
    /// None speaks plain HTTP.
    pub(crate) tls: Option<Tls>,
    /// Who asks clients for certificates, where there may be some.
    pub(crate) clients: Option<Arc<Clients>>,
    /// Turns true once, when the client's certificate proves nothing any more.
    pub(crate) ended: Option<watch::Receiver<bool>>,
    /// Turns true once, when the node stops.
    pub(crate) closing: watch::Receiver<bool>,
    /// How long a client may take.
    pub(crate) patience: Patience,
    /// Those who were told to come back later.
    pub(crate) later: Arc<Later>,
    /// Those who shake hands, which is most of what a connection costs.
    pub(crate) turns: Arc<Turns>,
}

/// How long a client may take over what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// A handshake.
    pub(crate) handshake: Duration,
    /// A head, from its first byte.
    pub(crate) head: Duration,
    /// A connection without a request.
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

/// Who answers the requests of a connection, and keeps the record of what never became one.
pub(crate) trait Host: Clone + Send + Sync + 'static {
    /// Answers a request.
    fn answer(
        &self,
        peer: Arc<Peer>,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Body>> + Send;

    /// Counts a client that has begun to speak, and says how long it waits for others of its source.
    ///
    /// # Errors
    /// [`Blocked`]: its connection ends.
    fn admit(&self, source: IpAddr) -> Result<Duration, Blocked>;

    /// Whether anyone answers by a name that a client asks for in its handshake.
    fn is_known(&self, server_name: &str) -> bool;

    /// Counts and records that something was refused which is no request: its code, and a sentence. The answer
    /// is the id under which the client is told, where it can be told.
    fn refused(&self, source: IpAddr, code: &'static str, detail: &str) -> RequestId;
}

impl Line {
    /// Serves a connection to its end, which may be that `activity` is told to end; `host` answers each of its
    /// requests.
    pub(crate) async fn serve<H: Host>(
        self,
        stream: TcpStream,
        address: SocketAddr,
        activity: Arc<Activity>,
        host: H,
    ) {
        tokio::select! {
            () = self.speak(stream, address, &activity, host) => {}
            () = activity.ended() => tracing::debug!(%address, "an idle connection made room for another"),
        }
    }

    async fn speak<H: Host>(
        mut self,
        stream: TcpStream,
        address: SocketAddr,
        activity: &Arc<Activity>,
        host: H,
    ) {
        let Some(tls) = self.tls.clone() else {
            let peer = Peer { address, tls: false, server_name: None, certificate: None };
            return Box::pin(self.http1(stream, Arc::new(peer), activity, host)).await;
        };
        match self.greeting(&stream, address.ip(), &host).await {
            // A client that comes and goes without a word asks whether the port is open.
            Ok(None) => {}
            // Until here one of ten thousand idle connections takes as little memory as it can.
            Ok(Some(first)) => Box::pin(self.converse(first, tls, stream, address, activity, host)).await,
            Err(error) => unshaken(&host, address, &error),
        }
    }

    /// The first byte of a client, when those of its source that spoke before it have had their turn; none if the
    /// client or the node ends the connection.
    async fn greeting<H: Host>(
        &mut self,
        stream: &TcpStream,
        source: IpAddr,
        host: &H,
    ) -> Result<Option<u8>, Unshaken> {
        let mut first = [0_u8];
        let seen = timeout(self.patience.handshake, stream.peek(&mut first)).await??;
        if seen == 0 {
            return Ok(None);
        }
        let wait = host.admit(source)?;
        if !wait.is_zero() {
            tokio::select! {
                () = sleep(wait) => {}
                _closing = self.closing.wait_for(|closing| *closing) => return Ok(None),
            }
        }
        Ok(Some(first[0]))
    }

    async fn converse<H: Host>(
        mut self,
        first: u8,
        tls: Tls,
        stream: TcpStream,
        address: SocketAddr,
        activity: &Arc<Activity>,
        host: H,
    ) {
        let source = address.ip();
        match self.meet(first, &tls, stream, &host).await {
            Ok(Shaken::Tls(stream, made)) => {
                let (_, session) = stream.get_ref();
                let h2 = session.alpn_protocol() == Some(b"h2");
                let server_name = session.server_name().map(Arc::from);
                let certificate = made.as_ref().and_then(|made| made.proved(session.peer_certificates()));
                self.ended = made.filter(|_| certificate.is_some()).map(|made| made.trust.ended());
                let peer = Arc::new(Peer { address, tls: true, server_name, certificate });
                if h2 {
                    self.http2(*stream, peer, activity, host).await;
                } else {
                    self.http1(*stream, peer, activity, host).await;
                }
            }
            Ok(Shaken::Shown) => {}
            Ok(Shaken::Plain(stream)) => {
                let problem = Problem::new(400, "plain-http", "this port speaks TLS: use https://");
                let id = host.refused(source, problem.code(), "plain HTTP on a port of TLS");
                farewell(stream, respond::last(problem, id)).await;
            }
            Err(error) => unshaken(&host, address, &error),
        }
    }

    /// HTTP/1.1, behind the gate.
    async fn http1<S, H>(self, stream: S, peer: Arc<Peer>, activity: &Arc<Activity>, host: H)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        H: Host,
    {
        let answers = Arc::new(Answers::default());
        let (source, refuser) = (peer.address.ip(), host.clone());
        let refuse = Box::new(move |malformed: shield::http1::Malformed| {
            let id = refuser.refused(source, malformed.code(), &malformed.to_string());
            respond::last(malformed.into(), id)
        });
        let line = (self.patience, self.later.clone());
        let gate = Gate::new(stream, head_bytes_max(), line, answers.clone(), refuse);
        let activity = activity.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let busy = Busy::new(&activity);
            let (host, peer, answers) = (host.clone(), peer.clone(), answers.clone());
            async move {
                // The parser moves what it waits for about: a pointer, not all that a request is on its way.
                let response = Box::pin(host.answer(peer, request)).await;
                if response.headers().contains_key(header::CONNECTION) {
                    // What `finish` leaves there says that it is the last.
                    answers.last();
                }
                if response.headers().contains_key(header::RETRY_AFTER) {
                    answers.pause();
                }
                Ok::<_, Infallible>(response.map(|body| body.holding(Held::Answer(answers.begin(), busy))))
            }
        });
        let connection = http1_builder().serve_connection(TokioIo::new(gate), service);
        let mut connection = std::pin::pin!(connection);
        let mut closed = std::pin::pin!(closed(self.closing, self.ended));
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
    async fn http2<S, H>(self, stream: S, peer: Arc<Peer>, activity: &Arc<Activity>, host: H)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        H: Host,
    {
        let (activity, watched) = (activity.clone(), activity.clone());
        let (source, refuser) = (peer.address.ip(), host.clone());
        let stream = Watched::new(
            stream,
            Box::new(move |code, detail| {
                refuser.refused(source, code, detail);
            }),
        );
        let service = service_fn(move |request: Request<Incoming>| {
            let busy = Busy::new(&activity);
            let (host, peer) = (host.clone(), peer.clone());
            async move {
                let response = host.answer(peer, request).await;
                Ok::<_, Infallible>(response.map(|body| body.holding(Held::Busy(busy))))
            }
        });
        let connection = http2_builder(self.patience).serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let mut closed = std::pin::pin!(closed(self.closing, self.ended));
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

async fn closed(mut closing: watch::Receiver<bool>, ended: Option<watch::Receiver<bool>>) {
    let ended = async move {
        match ended {
            Some(mut ended) => drop(ended.wait_for(|ended| *ended).await),
            None => std::future::pending().await,
        }
    };
    // A sender that is gone means the same.
    tokio::select! {
        _ = closing.wait_for(|closing| *closing) => {}
        () = ended => {}
    }
}

fn note(ended: Result<(), hyper::Error>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended badly");
    }
}

/// How many requests one connection carries, since when it carries none, and whether it is to end.
#[derive(Debug)]
pub(crate) struct Activity {
    opened: Instant,
    under_way: AtomicU64,
    idle_since_ms: AtomicU64,
    ended: AtomicBool,
    end: Notify,
}

/// When all clocks of activities began.
static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// One request under way on a connection, until it is dropped with the last of its answer.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Activity>);

impl Activity {
    pub(crate) fn new() -> Self {
        let opened = *BEGUN;
        Self {
            opened,
            under_way: AtomicU64::new(0),
            idle_since_ms: AtomicU64::new(since_ms(opened)),
            ended: AtomicBool::new(false),
            end: Notify::new(),
        }
    }

    /// Since when it carries no request, in milliseconds that are comparable between connections. None while it
    /// carries one.
    pub(crate) fn idle_since_ms(&self) -> Option<u64> {
        let busy = self.under_way.load(Ordering::Relaxed) > 0;
        (!busy).then(|| self.idle_since_ms.load(Ordering::Relaxed))
    }

    /// Tells the connection to end: its place is another's.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
        self.end.notify_one();
    }

    #[cfg(test)]
    pub(crate) fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Returns when the connection is to end at once.
    pub(crate) async fn ended(&self) {
        while !self.ended.load(Ordering::Relaxed) {
            self.end.notified().await;
        }
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

fn since_ms(opened: Instant) -> u64 {
    u64::try_from(opened.elapsed().as_millis()).unwrap_or(u64::MAX)
}

impl Busy {
    pub(crate) fn new(activity: &Arc<Activity>) -> Self {
        activity.under_way.fetch_add(1, Ordering::Relaxed);
        Self(activity.clone())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.idle_since_ms.store(since_ms(self.0.opened), Ordering::Relaxed);
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Tells a client the last that it is told, and takes some more of what it sends off the line, so that the
/// system does not cut the answer off with a reset (RFC 9112 §9.6).
async fn farewell<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, last: Vec<u8>) {
    let told = async {
        stream.write_all(&last).await?;
        stream.shutdown().await?;
        let (mut rest, mut nowhere) = (stream.take(limits::LINGER_BYTES_MAX as u64), [0_u8; 4096]);
        while rest.read(&mut nowhere).await? > 0 {}
        io::Result::Ok(())
    };
    // Whoever does not take it in time goes without.
    let _told = timeout(FAREWELL, told).await;
}

fn http1_builder() -> parser1::Builder {
    let mut builder = parser1::Builder::new();
    builder
        // The gate has the bounds that count; these stand behind it. It keeps the time too.
        .max_headers(limits::REQUEST_HEADERS_MAX)
        .max_buf_size(2 * head_bytes_max())
        // A caller that ends its side of the connection is gone, and so is its run.
        .half_close(false)
        .auto_date_header(true);
    builder
}

fn http2_builder(patience: Patience) -> parser2::Builder<TokioExecutor> {
    let mut builder = parser2::Builder::new(TokioExecutor::new());
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
