//! Accepts connections within their bounds and from those whom the firewall lets in. It never reads from one.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use model::Clock;
use parking_lot::Mutex;
use shield::{Port, Shield, proxy::Proxied};
use tokio::net::{TcpListener, TcpStream};

use crate::connection::{Activity, proxied};

/// After a failed accept: no file descriptors left, say.
const PAUSE: Duration = Duration::from_millis(50);
/// How long a peer may leave sent bytes unread or unacknowledged before the system ends the connection.
const UNREAD_MS: u32 = 30_000;

/// How many connections there may be, and of whom. Where there are as many as may be, the one that carries no
/// request for longest makes room, so that nobody shuts others out by holding connections.
#[derive(Clone)]
pub(crate) struct Bounds {
    crowd: Arc<Mutex<Crowd>>,
    max: usize,
    per_source_max: usize,
}

/// The open connections of each source.
#[derive(Default)]
struct Crowd {
    open: usize,
    sources: HashMap<IpAddr, Vec<Arc<Activity>>>,
}

/// A place among the connections, until it is dropped.
pub(crate) struct Place {
    crowd: Arc<Mutex<Crowd>>,
    address: IpAddr,
    activity: Arc<Activity>,
}

impl Place {
    /// What its connection tells of itself.
    pub(crate) const fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.lock().remove(self.address, &self.activity);
    }
}

impl Crowd {
    /// Takes a connection out, unless it was already.
    fn remove(&mut self, address: IpAddr, activity: &Arc<Activity>) {
        let Some(all) = self.sources.get_mut(&address) else { return };
        let Some(at) = all.iter().position(|other| Arc::ptr_eq(other, activity)) else { return };
        all.swap_remove(at);
        self.open -= 1;
        if all.is_empty() {
            self.sources.remove(&address);
        }
    }

    /// Ends the connection of a source that carries no request for longest. False if all carry one.
    fn make_room(&mut self, address: IpAddr) -> bool {
        let all = self.sources.get(&address).map(Vec::as_slice).unwrap_or_default();
        let idle = all.iter().filter_map(|activity| Some((activity.idle_since_ms()?, activity)));
        let Some(longest) = idle.min_by_key(|(since, _)| *since).map(|(_, activity)| activity.clone()) else {
            return false;
        };
        longest.end();
        self.remove(address, &longest);
        true
    }

    fn largest(&self) -> Option<IpAddr> {
        self.sources.iter().max_by_key(|(_, all)| all.len()).map(|(address, _)| *address)
    }
}

/// Whether a connection may come in.
enum Admission {
    In(Place),
    /// It may, in the place of another one.
    InPlaceOf(Place),
    Full,
}

impl Bounds {
    pub(crate) fn new(max: usize, per_source_max: u32) -> Self {
        let per_source_max = usize::try_from(per_source_max).unwrap_or(usize::MAX);
        Self { crowd: Arc::default(), max, per_source_max }
    }

    /// Open connections.
    pub(crate) fn open(&self) -> usize {
        self.crowd.lock().open
    }

    /// Returns when no connection is open any more.
    pub(crate) async fn emptied(&self) {
        while self.open() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// `may_push` says whether one of this source may still end another's. A forwarder's connections are many sources',
    /// and are not bounded as one's.
    fn place(&self, address: IpAddr, is_forwarder: bool, may_push: impl FnOnce() -> bool) -> Admission {
        let mut crowd = self.crowd.lock();
        let of_source = crowd.sources.get(&address).map_or(0, Vec::len);
        let from = if of_source >= self.per_source_max && !is_forwarder {
            Some(address)
        } else if crowd.open >= self.max {
            crowd.largest()
        } else {
            None
        };
        if from.is_some_and(|from| !may_push() || !crowd.make_room(from)) {
            return Admission::Full;
        }
        let activity = Arc::new(Activity::new());
        crowd.open += 1;
        crowd.sources.entry(address).or_default().push(activity.clone());
        drop(crowd);
        let place = Place { crowd: self.crowd.clone(), address, activity };
        if from.is_some() { Admission::InPlaceOf(place) } else { Admission::In(place) }
    }
}

/// The next connection that may come in. Others are closed unread: a refusal costs an attacker more than us.
pub(crate) async fn accept(listener: &TcpListener, watch: &Watch<'_>) -> Incoming {
    loop {
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let now_ms = watch.clock.monotonic_ms();
        let lists = watch.shield.lists();
        // Whom a forwarder speaks for is asked about when it has said so.
        let is_forwarder = lists.forwarders.begins_with_header(watch.port, address.ip(), now_ms);
        let Some(place) = watch.place(address.ip(), is_forwarder) else { continue };
        // Small answers leave at once, and a peer that reads nothing does not hold its place. A socket that
        // takes neither is only slower.
        let _kept = stream.set_nodelay(true);
        let _kept = rustix::net::sockopt::set_tcp_user_timeout(&stream, UNREAD_MS);
        return Incoming { stream, address, place, is_forwarder };
    }
}

/// A connection that came in.
pub(crate) struct Incoming {
    pub(crate) stream: TcpStream,
    /// Whose it is.
    pub(crate) address: SocketAddr,
    pub(crate) place: Place,
    is_forwarder: bool,
}

/// What connections are let in by.
pub(crate) struct Watch<'a> {
    pub(crate) port: Port,
    pub(crate) bounds: &'a Bounds,
    pub(crate) shield: &'a Shield,
    pub(crate) clock: &'a dyn Clock,
    /// Records that one was not: its source, a code and a sentence.
    pub(crate) refused: &'a (dyn Fn(IpAddr, &'static str, &str) + Sync),
}

impl Watch<'_> {
    /// A place for a connection, if the firewall and the bounds let it in.
    fn place(&self, address: IpAddr, is_forwarder: bool) -> Option<Place> {
        let now_ms = self.clock.monotonic_ms();
        if !is_forwarder && let Err(blocked) = self.shield.admit_peer(self.port, address, now_ms) {
            (self.refused)(address, blocked.code(), &blocked.to_string());
            return None;
        }
        let may_push = || self.shield.admit_push(address, now_ms).is_ok();
        match self.bounds.place(shield::source(address), is_forwarder, may_push) {
            Admission::In(place) => Some(place),
            Admission::InPlaceOf(place) => {
                let detail = "the connection that was idle for longest made room for another";
                (self.refused)(address, "too-many-connections", detail);
                Some(place)
            }
            Admission::Full => {
                (self.refused)(address, "too-many-connections", "as many connections are open as may be");
                None
            }
        }
    }

    /// Puts whoever is behind a forwarder in its place: from here on the connection is that client's, for the firewall,
    /// the bounds, the rates and the record. One of nobody else passes as it is.
    pub(crate) async fn unmask(&self, mut incoming: Incoming) -> Option<Incoming> {
        if !incoming.is_forwarder {
            return Some(incoming);
        }
        let activity = incoming.place.activity().clone();
        let found = tokio::select! {
            found = proxied(&mut incoming.stream) => found,
            () = activity.ended() => return None,
        };
        let Incoming { stream, address: forwarder, place, .. } = incoming;
        let address = match found {
            Ok(Proxied::Source(address)) => address,
            Ok(Proxied::Local) => forwarder,
            Err(error) => {
                (self.refused)(forwarder.ip(), "proxy-header", &error.to_string());
                return None;
            }
        };
        // The forwarder's own place goes first, so that the client's can be had where there is no other.
        drop(place);
        let place = self.place(address.ip(), false)?;
        Some(Incoming { stream, address, place, is_forwarder: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::Busy;

    fn place(bounds: &Bounds, address: [u8; 4]) -> (Option<Place>, bool) {
        match bounds.place(address.into(), false, || true) {
            Admission::In(place) => (Some(place), false),
            Admission::InPlaceOf(place) => (Some(place), true),
            Admission::Full => (None, false),
        }
    }

    #[test]
    fn places_are_bounded_and_given_back() {
        let bounds = Bounds::new(3, 2);
        let (a, b) = ([10, 0, 0, 1], [10, 0, 0, 2]);
        let (first, _) = place(&bounds, a);
        let (second, _) = place(&bounds, a);
        let first_busy = Busy::new(first.as_ref().unwrap().activity());
        let second_busy = Busy::new(second.as_ref().unwrap().activity());
        assert!(place(&bounds, a).0.is_none(), "two of one source that are busy");
        let (third, made_room) = place(&bounds, b);
        assert!(third.is_some() && !made_room);
        assert!(place(&bounds, [10, 0, 0, 3]).0.is_none(), "three in all, and the largest source is busy");
        drop(first_busy);
        let (other, made_room) = place(&bounds, [10, 0, 0, 3]);
        assert!(other.is_some() && made_room, "the idle one of the largest source made room");
        drop((first, second_busy));
        assert_eq!(bounds.open(), 3, "the first gave its place back once");
        drop((second, third, other));
        assert_eq!(bounds.open(), 0);
        assert!(bounds.crowd.lock().sources.is_empty());
    }

    #[test]
    fn who_pushes_too_often_stays_outside() {
        let bounds = Bounds::new(10, 1);
        let first = place(&bounds, [10, 0, 0, 1]).0.unwrap();
        assert!(matches!(bounds.place([10, 0, 0, 1].into(), false, || false), Admission::Full));
        assert!(!first.activity().is_ended(), "nobody made room");
        assert!(matches!(bounds.place([10, 0, 0, 2].into(), false, || false), Admission::In(_)));
        assert!(
            matches!(bounds.place([10, 0, 0, 1].into(), true, || false), Admission::In(_)),
            "a forwarder"
        );
    }

    #[test]
    fn the_longest_idle_makes_room() {
        let bounds = Bounds::new(10, 3);
        let places: Vec<_> = (0..3).map(|_| place(&bounds, [10, 0, 0, 1]).0.unwrap()).collect();
        std::thread::sleep(Duration::from_millis(5));
        drop(Busy::new(places[0].activity()));
        drop(Busy::new(places[2].activity()));
        let _fourth = place(&bounds, [10, 0, 0, 1]);
        let ended: Vec<_> = places.iter().map(|place| place.activity().is_ended()).collect();
        assert_eq!(ended, [false, true, false]);
    }
}
