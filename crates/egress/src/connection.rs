//! Connections to pinned addresses: made, lent, kept for the next call, counted. It never resolves a name
//! and never judges an address.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use model::limits;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinHandle,
    time::Instant,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    body::Outgoing,
    destination::{Host, Place},
    error::EgressError,
};

/// Idle connections kept in all; the oldest goes first.
const IDLE_MAX: usize = 256;
/// How long an idle connection is kept.
const IDLE_FOR: Duration = Duration::from_secs(15);
/// Bytes of an answer's head, and of the read buffer.
pub(crate) const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Addresses that are tried.
const ADDRESSES_MAX: usize = 4;

/// What two calls must have in common to share a connection: whose grants, where to, and the very address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) owner: u64,
    pub(crate) place: Place,
    pub(crate) address: IpAddr,
}

/// One open connection. Dropping it closes it.
pub(crate) struct Connection {
    pub(crate) sender: SendRequest<Outgoing>,
    driver: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

struct Idle {
    key: Key,
    connection: Connection,
    since: Instant,
}

/// The idle connections, and how many are in use where.
#[derive(Default)]
pub(crate) struct Pool {
    idle: Mutex<Vec<Idle>>,
    places: Mutex<HashMap<(u64, Place), Arc<Semaphore>>>,
}

/// A connection lent to one call.
pub(crate) struct Lease {
    pub(crate) connection: Connection,
    pub(crate) key: Key,
    pub(crate) pool: Arc<Pool>,
    pub(crate) _permit: OwnedSemaphorePermit,
}

impl Lease {
    /// Keeps the connection for the next call.
    pub(crate) fn give_back(self) {
        if !self.connection.sender.is_closed() {
            self.pool.keep(self.key, self.connection);
        }
    }
}

impl Pool {
    /// The right to one connection to `place`.
    pub(crate) fn places(&self, owner: u64, place: &Place) -> Arc<Semaphore> {
        let mut places = locked(&self.places);
        if places.len() >= 1024 {
            places.retain(|_, semaphore| Arc::strong_count(semaphore) > 1);
        }
        let make = || Arc::new(Semaphore::new(limits::OUTBOUND_CONNECTIONS_MAX));
        places.entry((owner, place.clone())).or_insert_with(make).clone()
    }

    /// An idle connection to one of the addresses.
    pub(crate) fn take(&self, owner: u64, place: &Place, addresses: &[IpAddr]) -> Option<(Key, Connection)> {
        let mut idle = locked(&self.idle);
        idle.retain(|kept| kept.since.elapsed() < IDLE_FOR && !kept.connection.sender.is_closed());
        let fits = |kept: &Idle| {
            kept.key.owner == owner && kept.key.place == *place && addresses.contains(&kept.key.address)
        };
        let found = idle.iter().rposition(fits)?;
        let kept = idle.remove(found);
        Some((kept.key, kept.connection))
    }

    fn keep(&self, key: Key, connection: Connection) {
        let mut idle = locked(&self.idle);
        idle.retain(|kept| kept.since.elapsed() < IDLE_FOR && !kept.connection.sender.is_closed());
        if idle.len() >= IDLE_MAX {
            idle.remove(0);
        }
        idle.push(Idle { key, connection, since: Instant::now() });
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection over which nothing was spoken yet.
pub(crate) enum Wire {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Connects to the first of the addresses that answers, and speaks HTTP.
pub(crate) async fn open(
    place: &Place,
    addresses: &[IpAddr],
    tls: &Arc<ClientConfig>,
    within: Duration,
) -> Result<(IpAddr, Connection), EgressError> {
    let (address, wire) = wire(place, addresses, tls, within).await?;
    let connection = match wire {
        Wire::Plain(stream) => speak(stream).await?,
        Wire::Tls(stream) => speak(*stream).await?,
    };
    Ok((address, connection))
}

/// Connects to the first of the addresses that answers. All are checked; the name is used for TLS alone.
pub(crate) async fn wire(
    place: &Place,
    addresses: &[IpAddr],
    tls: &Arc<ClientConfig>,
    within: Duration,
) -> Result<(IpAddr, Wire), EgressError> {
    let tried = addresses.get(..ADDRESSES_MAX).unwrap_or(addresses);
    let until = Instant::now() + within;
    let mut last = EgressError::Timeout;
    for (index, address) in tried.iter().enumerate() {
        let others = u32::try_from(tried.len() - index).unwrap_or(1);
        let share = until.saturating_duration_since(Instant::now()) / others;
        match tokio::time::timeout(share, connect(place, *address, tls)).await {
            Ok(Ok(wire)) => return Ok((*address, wire)),
            // A destination that cannot prove its name is not asked again at another address.
            Ok(Err(error @ EgressError::Tls(_))) => return Err(error),
            Ok(Err(error)) => last = error,
            Err(_) => last = EgressError::Timeout,
        }
    }
    Err(last)
}

async fn connect(place: &Place, address: IpAddr, tls: &Arc<ClientConfig>) -> Result<Wire, EgressError> {
    let refused = |e: io::Error| EgressError::Connection(e.to_string());
    let stream = TcpStream::connect(SocketAddr::new(address, place.port)).await.map_err(refused)?;
    stream.set_nodelay(true).map_err(refused)?;
    if !place.tls {
        return Ok(Wire::Plain(stream));
    }
    let name = match &place.host {
        Host::Address(address) => ServerName::from(*address),
        Host::Name(name) => ServerName::try_from(name.to_string())
            .map_err(|_| EgressError::Tls("the host is no name that a certificate may have".to_owned()))?,
    };
    let stream = TlsConnector::from(tls.clone()).connect(name, stream).await.map_err(from_tls)?;
    Ok(Wire::Tls(Box::new(stream)))
}

async fn speak<S>(stream: S) -> Result<Connection, EgressError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD_BYTES_MAX).max_headers(limits::REQUEST_HEADERS_MAX);
    let (sender, driver) =
        builder.handshake(TokioIo::new(stream)).await.map_err(|e| EgressError::Connection(e.to_string()))?;
    let driver = tokio::spawn(async move {
        if let Err(error) = driver.await {
            tracing::debug!(%error, "an outbound connection ended");
        }
    });
    Ok(Connection { sender, driver })
}

fn from_tls(error: io::Error) -> EgressError {
    let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match cause {
        Some(cause) => EgressError::Tls(cause.to_string()),
        None => EgressError::Connection(error.to_string()),
    }
}
