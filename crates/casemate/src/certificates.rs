//! The certificates that the node shows, and what looks after them while it runs: the operator's files, an authority's
//! orders, or neither. It never writes a private key in the clear.

mod acme;
mod files;
mod transport;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use gateway::tls::{self, NodeCertificates, Pair, Tls};
use platform::Platform;
use store::{Batch, Space, SystemStore};
use tokio::{sync::Notify, task::JoinHandle};
use zeroize::Zeroizing;

use crate::{
    clock,
    config::{Config, Shown},
    exit::{Exit, Failure},
};
use acme::Orders;
use files::Files;

/// System: the node's own certificates, under [`CURRENT`], and what [`acme`] keeps.
const CERTIFICATES: Space = Space::new("certificates");
const CURRENT: &[u8] = b"current";

/// What the listeners use, and what clients are to trust.
pub(crate) struct Certificates {
    /// Of both listeners.
    pub(crate) tls: Tls,
    /// The certificate (PEM) that signs the node's.
    pub(crate) ca: String,
    /// Where it lies.
    pub(crate) ca_file: PathBuf,
    /// What looks after them.
    pub(crate) keeper: Keeper,
}

/// What looks after the certificates while the node runs.
pub(crate) enum Keeper {
    /// Nobody: they last until the next start.
    Nobody,
    /// They are read again when the operator's files change.
    Files(Files),
    /// They are ordered and renewed.
    Orders(Box<Orders>),
}

impl Keeper {
    /// Looks after them until the task is aborted; `wish` makes it look at once.
    pub(crate) fn start(self, platform: Arc<Platform>, wish: Arc<Notify>) -> Option<JoinHandle<()>> {
        match self {
            Self::Nobody => None,
            Self::Files(files) => Some(tokio::spawn(files.watch(platform, wish))),
            Self::Orders(orders) => Some(tokio::spawn(orders.keep(platform))),
        }
    }
}

/// Reads the operator's certificate and key; or the node's own, made anew where they are for other names or
/// end within a month, and with them what an authority issued before.
///
/// # Errors
/// If a file or a row cannot be read, or certificate and key do not fit together.
pub(crate) async fn certificates(config: &Config, store: &SystemStore) -> Result<Certificates, Failure> {
    let tls12 = config.dangerous.tls12;
    if let Shown::Files { certificate, key } = &config.shown {
        let addresses = config.tls_names.iter().filter_map(|name| name.parse().ok()).collect();
        let (files, pair, ca) = Files::read(certificate, key)?;
        let shown = tls::Certificates::brought(pair, addresses);
        let keeper = if files.can_change() { Keeper::Files(files.shown_by(&shown)) } else { Keeper::Nobody };
        let tls = shown.tls(tls12).map_err(|e| wrong(&e))?;
        return Ok(Certificates { tls, ca, ca_file: certificate.clone(), keeper });
    }
    let now = i64::try_from(clock::now().unix_ms() / 1000).unwrap_or(i64::MAX);
    let kept = store.get(CERTIFICATES, CURRENT).await.map_err(|e| wrong(&e))?;
    let kept = kept.and_then(|entry| serde_json::from_slice::<NodeCertificates>(&entry.value).ok());
    let own = match kept {
        Some(kept) if kept.serves(&config.tls_names, now) => kept,
        Some(_) => {
            tracing::warn!("the node's certificates are made anew: clients need the new `ca.pem`");
            make(config, store, now).await?
        }
        None => make(config, store, now).await?,
    };
    let shown = tls::Certificates::own(&own, &config.domain).map_err(|e| wrong(&e));
    let _wiped = (Zeroizing::new(own.key), Zeroizing::new(own.ca_key));
    let shown = shown?;
    let keeper = match &config.shown {
        Shown::Acme(settings) => Keeper::Orders(Box::new(Orders::open(settings, store, &shown).await?)),
        _ => Keeper::Nobody,
    };
    let ca_file = config.data.join("ca.pem");
    publish(&ca_file, &own.ca)?;
    let tls = shown.tls(tls12).map_err(|e| wrong(&e))?;
    Ok(Certificates { tls, ca: own.ca, ca_file, keeper })
}

/// Whether a pair holds at a time, in seconds since 1970.
fn in_time(pair: &Pair, now_unix_s: u64) -> Result<(), String> {
    let (begins, ends) = pair.lasts_unix_s();
    let day = |seconds: u64| model::Timestamp::from_unix_ms(seconds.saturating_mul(1000));
    if now_unix_s > ends {
        return Err(format!("the certificate ended at {}", day(ends)));
    }
    if now_unix_s < begins {
        return Err(format!("the certificate begins at {}", day(begins)));
    }
    Ok(())
}

async fn make(config: &Config, store: &SystemStore, now: i64) -> Result<NodeCertificates, Failure> {
    let made = NodeCertificates::generate(&config.tls_names, now).map_err(|e| wrong(&e))?;
    let row = serde_json::to_vec(&made).map_err(|e| wrong(&e))?;
    let batch = Batch::new().put(CERTIFICATES, CURRENT, row);
    store.commit(batch).await.map_err(|e| wrong(&e))?;
    tracing::info!(names = %made.names.join(", "), "made the node's certificates");
    Ok(made)
}

/// The authority's certificate is no secret; only the change of it is worth a write.
fn publish(path: &Path, ca: &str) -> Result<(), Failure> {
    if fs::read_to_string(path).is_ok_and(|there| there == ca) {
        return Ok(());
    }
    fs::write(path, ca).map_err(|e| Failure::file("write", path, &e))
}

fn wrong(why: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::NotStarted, format!("the node's certificates: {why}"))
}
