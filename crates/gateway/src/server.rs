//! Listeners of both planes, and their end. It never reads from a connection.

use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use http::{Request, Response};
use hyper::body::Incoming;
use model::RequestId;
use platform::Platform;
use shield::{Blocked, Peer, Port};
use tokio::{net::TcpListener, sync::watch, time::timeout};
use tokio_rustls::TlsAcceptor;

use crate::{
    GatewayConfig,
    connection::{Host, Later, Line, Patience, Turns},
    control::{self, ControlPlane},
    metrics::Metrics,
    pipeline::DataPlane,
    slow::Slow,
    stage::{
        identify::Whole,
        listen::{Bounds, accept},
        respond::Body,
    },
    tls::clients::Clients,
};

/// One connection in so many is kept for the control API, so that callers never lock operators out.
const CONTROL_SHARE: usize = 16;

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
    line: Line,
    bounds: Bounds,
    platform: Arc<Platform>,
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
        // The control plane outlives the other by the drain: whoever looks is told how the node stands.
        let (close_control, control_closing) = watch::channel(false);
        let (most, per_source) = (self.config.connections_max, self.config.connections_per_source_max);
        let reserved = (most / CONTROL_SHARE).max(1);
        let bounds = Bounds::new(most.saturating_sub(reserved).max(1), per_source);
        let control_bounds = Bounds::new(reserved, per_source);
        let metrics = Arc::new(Metrics::new());
        let data = Arc::new(DataPlane {
            platform: self.platform.clone(),
            metrics: metrics.clone(),
            whole: Whole::default(),
            slow: Slow::default(),
            strict_transport: self.config.domain != "localhost",
        });
        let (all, controls) = (bounds.clone(), control_bounds.clone());
        let control = Arc::new(ControlPlane::new(
            self.platform.clone(),
            metrics,
            Box::new(move || all.open() + controls.open()),
            self.config.domain.clone(),
            self.addresses.data.port(),
            self.config.about.clone(),
            control_closing.clone(),
        ));
        let (tls, later) = (TlsAcceptor::from(self.config.tls.clone()), Arc::new(Later::new()));
        let clients = Arc::new(Clients::new(self.platform.clone(), self.config.tls.clone()));
        let door = |plane: Plane, tls: Option<TlsAcceptor>, bounds: &Bounds| {
            let closing = if matches!(plane, Plane::Data(_)) { &closing } else { &control_closing }.clone();
            // Whoever floods one plane with handshakes keeps nobody from the other.
            let turns = Arc::new(Turns::new(std::thread::available_parallelism().map_or(1, usize::from)));
            let (patience, later) = (Patience::default(), later.clone());
            // Operators have tokens: no client is asked for a certificate at the control API.
            let clients = matches!(plane, Plane::Data(_)).then(|| clients.clone());
            let line = Line { tls, clients, ended: None, closing, patience, later, turns };
            Door { plane, line, bounds: bounds.clone(), platform: self.platform.clone() }
        };
        let mut doors = vec![(self.data, door(Plane::Data(data.clone()), Some(tls.clone()), &bounds))];
        doors.extend(self.plain.map(|listener| (listener, door(Plane::Data(data), None, &bounds))));
        let opened: Vec<_> = doors.into_iter().map(|(l, door)| tokio::spawn(door.open(l))).collect();
        let control =
            tokio::spawn(door(Plane::Control(control), Some(tls), &control_bounds).open(self.control));
        shutdown.await;
        self.platform.drain();
        opened.iter().for_each(tokio::task::JoinHandle::abort);
        close.send_replace(true);
        let emptied = async {
            bounds.emptied().await;
            control.abort();
            close_control.send_replace(true);
            control_bounds.emptied().await;
        };
        if timeout(Duration::from_millis(self.config.drain_ms), emptied).await.is_err() {
            let open = bounds.open() + control_bounds.open();
            tracing::warn!(open, "connections were cut off when the time to end was over");
        }
        control.abort();
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|error| BindError::Listen { address, error })
}

impl Door {
    async fn open(self, listener: TcpListener) {
        loop {
            let refused = |source, code, detail: &str| {
                self.plane.refused(source, code, detail);
            };
            let shield = self.platform.shield();
            let clock = self.platform.clock();
            let (stream, address, place) = accept(&listener, &self.bounds, shield, clock, refused).await;
            let (plane, line) = (self.plane.clone(), self.line.clone());
            tokio::spawn(async move {
                line.serve(stream, address, place.activity().clone(), plane).await;
                drop(place);
            });
            // A flood of connections is taken in one by one, between what else there is to do.
            tokio::task::yield_now().await;
        }
    }
}

impl Host for Plane {
    async fn answer(&self, peer: Arc<Peer>, request: Request<Incoming>) -> Response<Body> {
        match self {
            Self::Data(plane) => plane.answer(&peer, request).await,
            // The larger future by far: the other kind of request does not carry its size about.
            Self::Control(plane) => Box::pin(control::serve(plane, request, &peer)).await,
        }
    }

    fn admit(&self, source: IpAddr) -> Result<Duration, Blocked> {
        let (port, platform) = match self {
            Self::Data(plane) => (Port::Data, &plane.platform),
            Self::Control(plane) => (Port::Control, plane.platform()),
        };
        let wait = platform.shield().admit_connection(port, source, platform.clock().monotonic_ms());
        wait.map(Duration::from_millis)
    }

    fn refused(&self, source: IpAddr, code: &'static str, detail: &str) -> RequestId {
        let (platform, metrics) = match self {
            Self::Data(plane) => (&plane.platform, &plane.metrics),
            Self::Control(plane) => (plane.platform(), plane.metrics()),
        };
        let id = platform.request_id();
        metrics.refused(code);
        platform.note_refusal_of_node(id, source, code, detail);
        id
    }
}
