//! Listeners of both planes, and their end. It never reads from a connection.

use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use http::{Request, Response};
use hyper::body::Incoming as Arriving;
use model::{RequestId, limits};
use platform::Platform;
use shield::{Blocked, Peer, Port};
use tokio::{net::TcpListener, sync::watch, time::timeout};

use crate::{
    GatewayConfig,
    challenge::ChallengePlane,
    connection::{Host, Later, Line, Patience, Turns},
    control::{self, ControlPlane},
    metrics::Metrics,
    pipeline::DataPlane,
    slow::Slow,
    stage::{
        identify::Whole,
        listen::{Bounds, Incoming, Watch, accept},
        respond::Body,
    },
    tls::{Tls, clients::Clients},
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
    /// Certificate authorities that look whether names are the node's.
    pub challenges: Option<SocketAddr>,
}

/// The doors of a node: bound, and not yet open.
pub struct Gateway {
    config: GatewayConfig,
    platform: Arc<Platform>,
    data: TcpListener,
    control: TcpListener,
    plain: Option<TcpListener>,
    challenges: Option<TcpListener>,
    addresses: Addresses,
}

/// Which plane a listener is of.
#[derive(Clone)]
enum Plane {
    Data(Arc<DataPlane>),
    Control(Arc<ControlPlane>),
    Challenges(Arc<ChallengePlane>),
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
        let plain = listen_where(config.plain).await?;
        let challenges = listen_where(config.challenges).await?;
        let bound = |listener: &TcpListener, asked: SocketAddr| {
            listener.local_addr().map_err(|error| BindError::Listen { address: asked, error })
        };
        let addresses = Addresses {
            data: bound(&data, config.listen)?,
            control: bound(&control, config.control)?,
            plain: plain.as_ref().zip(config.plain).map(|(l, asked)| bound(l, asked)).transpose()?,
            challenges: challenges
                .as_ref()
                .zip(config.challenges)
                .map(|(l, asked)| bound(l, asked))
                .transpose()?,
        };
        Ok(Self { config, platform, data, control, plain, challenges, addresses })
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
        let looked = Arc::new(ChallengePlane {
            platform: self.platform.clone(),
            metrics: metrics.clone(),
            challenges: self.config.tls.certificates.challenges().clone(),
        });
        let control = Arc::new(ControlPlane::new(
            self.platform.clone(),
            metrics,
            Box::new(move || all.open() + controls.open()),
            self.config.domain.clone(),
            self.addresses.data.port(),
            self.config.about.clone(),
            control_closing.clone(),
        ));
        let (tls, later) = (self.config.tls.clone(), Arc::new(Later::new()));
        let clients = Arc::new(Clients::new(self.platform.clone(), self.config.tls.clone()));
        let door = |plane: Plane, tls: Option<Tls>, bounds: &Bounds| {
            let closing =
                if matches!(plane, Plane::Control(_)) { &control_closing } else { &closing }.clone();
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
        let authorities = Bounds::new(limits::CHALLENGE_CONNECTIONS_MAX, per_source);
        let challenges = self.challenges.map(|l| (l, door(Plane::Challenges(looked), None, &authorities)));
        doors.extend(challenges);
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

async fn listen_where(address: Option<SocketAddr>) -> Result<Option<TcpListener>, BindError> {
    match address {
        Some(address) => Ok(Some(listen(address).await?)),
        None => Ok(None),
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|error| BindError::Listen { address, error })
}

impl Door {
    fn watch<'a>(&'a self, refused: &'a (dyn Fn(IpAddr, &'static str, &str) + Sync)) -> Watch<'a> {
        Watch {
            port: self.plane.port(),
            bounds: &self.bounds,
            shield: self.platform.shield(),
            clock: self.platform.clock(),
            refused,
        }
    }

    async fn open(self, listener: TcpListener) {
        loop {
            let refused = |source, code, detail: &str| {
                self.plane.refused(source, code, detail);
            };
            let incoming = accept(&listener, &self.watch(&refused)).await;
            let door = self.clone();
            tokio::spawn(async move {
                let refused = |source, code, detail: &str| {
                    door.plane.refused(source, code, detail);
                };
                let Some(incoming) = door.watch(&refused).unmask(incoming).await else { return };
                let Incoming { stream, address, place, .. } = incoming;
                door.line.serve(stream, address, place.activity().clone(), door.plane).await;
                drop(place);
            });
            // A flood of connections is taken in one by one, between what else there is to do.
            tokio::task::yield_now().await;
        }
    }
}

impl Plane {
    fn platform(&self) -> &Arc<Platform> {
        match self {
            Self::Data(plane) => &plane.platform,
            Self::Control(plane) => plane.platform(),
            Self::Challenges(plane) => &plane.platform,
        }
    }

    const fn port(&self) -> Port {
        match self {
            Self::Data(_) | Self::Challenges(_) => Port::Data,
            Self::Control(_) => Port::Control,
        }
    }
}

impl Host for Plane {
    async fn answer(&self, peer: Arc<Peer>, request: Request<Arriving>) -> Response<Body> {
        match self {
            Self::Data(plane) => plane.answer(&peer, request).await,
            // The larger future by far: the other kind of request does not carry its size about.
            Self::Control(plane) => Box::pin(control::serve(plane, request, &peer)).await,
            Self::Challenges(plane) => plane.answer(&peer, &request),
        }
    }

    fn admit(&self, source: IpAddr) -> Result<Duration, Blocked> {
        let platform = self.platform();
        let wait = platform.shield().admit_connection(self.port(), source, platform.clock().monotonic_ms());
        wait.map(Duration::from_millis)
    }

    fn is_known(&self, server_name: &str) -> bool {
        self.platform().is_host(server_name)
    }

    fn refused(&self, source: IpAddr, code: &'static str, detail: &str) -> RequestId {
        let platform = self.platform();
        let metrics = match self {
            Self::Data(plane) => &plane.metrics,
            Self::Control(plane) => plane.metrics(),
            Self::Challenges(plane) => &plane.metrics,
        };
        let id = platform.request_id();
        metrics.refused(code);
        platform.note_refusal_of_node(id, source, code, detail);
        id
    }
}
