//! Accepts connections within their bounds and from those whom the firewall lets in. It never reads from one.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use shield::Shield;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};

/// After a failed accept: no file descriptors left, say.
const PAUSE: Duration = Duration::from_millis(50);
/// How long a peer may leave sent bytes unread or unacknowledged before the system ends the connection.
const UNREAD_MS: u32 = 30_000;

/// How many connections there may be, and how many there are of whom.
#[derive(Clone)]
pub(crate) struct Bounds {
    all: Arc<Semaphore>,
    max: usize,
    sources: Arc<Mutex<HashMap<IpAddr, u32>>>,
    per_source_max: u32,
}

/// A place among the connections, until it is dropped.
pub(crate) struct Place {
    _one: OwnedSemaphorePermit,
    sources: Arc<Mutex<HashMap<IpAddr, u32>>>,
    address: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut sources = self.sources.lock();
        if let Some(count) = sources.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                sources.remove(&self.address);
            }
        }
    }
}

impl Bounds {
    pub(crate) fn new(max: usize, per_source_max: u32) -> Self {
        let max = max.min(Semaphore::MAX_PERMITS);
        let (all, sources) = (Arc::new(Semaphore::new(max)), Arc::default());
        Self { all, max, sources, per_source_max }
    }

    /// Open connections.
    pub(crate) fn open(&self) -> usize {
        self.max.saturating_sub(self.all.available_permits())
    }

    /// Returns when no connection is open any more.
    pub(crate) async fn emptied(&self) {
        while self.open() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn place(&self, address: IpAddr) -> Option<Place> {
        let one = self.all.clone().try_acquire_owned().ok()?;
        let mut sources = self.sources.lock();
        let count = sources.get(&address).copied().unwrap_or(0);
        if count >= self.per_source_max {
            return None;
        }
        sources.insert(address, count + 1);
        drop(sources);
        Some(Place { _one: one, sources: self.sources.clone(), address })
    }
}

/// The next connection that may come in. Others are closed unread: a refusal costs an attacker more than us.
pub(crate) async fn accept(
    listener: &TcpListener,
    bounds: &Bounds,
    shield: &Shield,
    refused: impl Fn(IpAddr, &'static str, &str),
) -> (TcpStream, SocketAddr, Place) {
    loop {
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        if let Err(blocked) = shield.admit_peer(address.ip()) {
            refused(address.ip(), blocked.code(), &blocked.to_string());
            continue;
        }
        let Some(place) = bounds.place(source(address.ip())) else {
            refused(address.ip(), "too-many-connections", "as many connections are open as may be");
            continue;
        };
        // Small answers leave at once, and a peer that reads nothing does not hold its place. A socket that
        // takes neither is only slower.
        let _kept = stream.set_nodelay(true);
        let _kept = rustix::net::sockopt::set_tcp_user_timeout(&stream, UNREAD_MS);
        return (stream, address, place);
    }
}

/// What counts as one source: an address of IPv4, the network (`/64`) of one of IPv6, which one host may have
/// all to itself.
fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_given_back() {
        let bounds = Bounds::new(3, 2);
        let (a, b): (IpAddr, IpAddr) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        let first = bounds.place(a).unwrap();
        let _second = bounds.place(a).unwrap();
        assert!(bounds.place(a).is_none(), "two of one source");
        let _third = bounds.place(b).unwrap();
        assert!(bounds.place([10, 0, 0, 3].into()).is_none(), "three in all");
        drop(first);
        assert!(bounds.place(a).is_some());
        assert_eq!(bounds.open(), 2);
    }

    #[test]
    fn sources() {
        let check = |text: &str, expect: &str| {
            assert_eq!(source(text.parse().unwrap()).to_string(), expect);
        };
        check("192.0.2.7", "192.0.2.7");
        check("::ffff:192.0.2.7", "192.0.2.7");
        check("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::");
        check("2001:db8:1:2:ffff::1", "2001:db8:1:2::");
        check("2001:db8:1:3::1", "2001:db8:1:3::");
    }
}
