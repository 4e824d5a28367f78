//! The keys of issuers, fetched from where their metadata say (OpenID Connect Discovery 1.0 §4, RFC 8414 §3) and
//! fetched again. No request waits for a fetch but those before the first; what a fetch brings is swapped in as a
//! whole. It never follows a redirect, and never goes where guests could not.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use cell::BodyStream;
use egress::{Bounds, Destinations};
use futures_util::StreamExt;
use http::{Request, StatusCode, Uri};
use identity::{JwkError, KeySet};
use ledger::Kind;
use model::{Digest, OutboundGrant, TenantId, Timestamp, limits};
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::sync::{Notify, watch};

use crate::{Platform, identities::Configured, recorder::About};

/// One issuer whose keys are fetched.
pub(crate) struct Feed {
    /// The entry's name.
    entry: Arc<str>,
    issuer: String,
    state: Mutex<State>,
    /// Whether somebody tried once, however it ended.
    tried: watch::Sender<bool>,
    wanted: Notify,
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct State {
    good_at: Option<Timestamp>,
    /// Of the document of keys that is in force.
    digest: Option<Digest>,
    failing: bool,
}

/// What an issuer says of itself, as far as it matters here.
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
}

/// What came of a fetch.
enum Fetched {
    Keys(KeySet, Digest),
    /// The issuer answered that it has no key any more.
    None(Digest),
}

impl Feed {
    pub(crate) fn new(entry: &Arc<str>, issuer: &str) -> Self {
        let (entry, issuer, (tried, _)) = (Arc::clone(entry), issuer.to_owned(), watch::channel(false));
        Self { entry, issuer, state: Mutex::default(), tried, wanted: Notify::new() }
    }
}

impl Configured {
    /// Somebody presented a key's id that nobody knows: the issuer may have a new one.
    pub(crate) fn want_keys(&self, entry: Option<&str>) {
        let feeds = self.feeds.iter().filter(|feed| entry == Some(&*feed.entry));
        feeds.for_each(|feed| feed.wanted.notify_one());
    }

    /// Waits until each issuer was asked once, or the time for that is over.
    pub(crate) async fn first_keys(&self) {
        for feed in &self.feeds {
            if *feed.tried.borrow() {
                continue;
            }
            let mut tried = feed.tried.subscribe();
            let wait = Duration::from_millis(limits::ISSUER_FETCH_MS);
            // Where the time is over, the request is told what it would be told without keys.
            let _asked = tokio::time::timeout(wait, tried.wait_for(|tried| *tried)).await;
        }
    }
}

impl Platform {
    /// Fetches the keys of a configuration's issuers, now and again for as long as it is in force.
    pub(crate) fn follow_issuers(self: &Arc<Self>, tenant: &TenantId, now: &Arc<Configured>) {
        for feed in &now.feeds {
            let (platform, config) = (Arc::downgrade(self), Arc::downgrade(now));
            tokio::spawn(follow(platform, config, tenant.clone(), Arc::clone(feed)));
        }
    }

    /// One fetch, and what follows from it. Says whether it was good.
    async fn refresh(&self, tenant: &TenantId, now: &Configured, feed: &Feed) -> bool {
        let wait = Duration::from_millis(limits::ISSUER_FETCH_MS);
        let fetched = tokio::time::timeout(wait, self.fetch_keys(&feed.issuer)).await;
        let fetched = fetched.unwrap_or_else(|_| Err("it did not answer in time".into()));
        let at = self.clock.now();
        let mut state = feed.state.lock().clone();
        let (was_failing, before) = (state.failing, state.digest);
        let good = fetched.is_ok();
        let mut said = String::new();
        match fetched {
            Ok(fetched) => {
                let (keys, digest) = match fetched {
                    Fetched::Keys(keys, digest) => (Some(keys), digest),
                    Fetched::None(digest) => (None, digest),
                };
                if before != Some(digest) {
                    said = if keys.is_some() { "keys fetched" } else { "it has no keys any more" }.into();
                    now.identity.replace_keys(&feed.entry, keys);
                } else if was_failing {
                    said = "it answers again".into();
                }
                state = State { good_at: Some(at), digest: Some(digest), failing: false };
            }
            Err(why) => {
                state.failing = true;
                if grace_is_over(&state, at) && state.digest.take().is_some() {
                    now.identity.replace_keys(&feed.entry, None);
                    said = format!("its keys are too old to be good: {why}");
                } else if !was_failing {
                    said = why;
                }
            }
        }
        *feed.state.lock() = state;
        feed.tried.send_replace(true);
        if !said.is_empty() {
            self.note_issuer(tenant, feed, good, &said);
        }
        good
    }

    fn note_issuer(&self, tenant: &TenantId, feed: &Feed, good: bool, said: &str) {
        let (entry, issuer) = (&*feed.entry, feed.issuer.as_str());
        if good {
            tracing::info!(%tenant, entry, issuer, said, "an issuer's keys");
        } else {
            tracing::warn!(%tenant, entry, issuer, said, "an issuer's keys cannot be fetched");
        }
        let about = About { request: None, tenant: Some(tenant), source: None };
        let mut event = about.on(self.recorder.event(Kind::Identity));
        event.action = "fetch-keys".into();
        event.resource = policy::Resource::Tenant(tenant).to_string().into();
        event.allowed = good;
        event.code = if good { "" } else { "issuer-unreachable" }.into();
        event.detail = format!("`{entry}` ({issuer}): {said}").into();
        self.note(&event);
    }

    async fn fetch_keys(&self, issuer: &str) -> Result<Fetched, String> {
        let metadata = self.metadata(issuer).await?;
        //= RFC 8414 §3.3: the `issuer` value must be identical to the one that the URL was made of
        if metadata.issuer != issuer {
            return Err("its metadata are those of another issuer".into());
        }
        let (status, bytes) = self.fetch(&metadata.jwks_uri).await?;
        if status != StatusCode::OK {
            return Err(format!("its keys were answered with {}", status.as_u16()));
        }
        let digest = keyring::sha256(&bytes);
        match KeySet::parse(&bytes) {
            Ok(keys) => Ok(Fetched::Keys(keys, digest)),
            Err(JwkError::Empty) => Ok(Fetched::None(digest)),
            Err(error) => Err(format!("its keys: {error}")),
        }
    }

    /// As OpenID Connect has it, or where there is none, as RFC 8414.
    async fn metadata(&self, issuer: &str) -> Result<Metadata, String> {
        let mut last = String::new();
        for url in places(issuer) {
            let (status, bytes) = self.fetch(&url).await?;
            if status == StatusCode::OK {
                let read = serde_json::from_slice(&bytes);
                return read.map_err(|_| "its metadata are no JSON with `issuer` and `jwks_uri`".into());
            }
            last = format!("its metadata were answered with {}", status.as_u16());
            if status != StatusCode::NOT_FOUND {
                break;
            }
        }
        Err(last)
    }

    /// One document, over `https`; over `http` from this very machine alone, where the operator lets guests go
    /// there too.
    async fn fetch(&self, url: &str) -> Result<(StatusCode, Vec<u8>), String> {
        let uri: Uri = url.parse().map_err(|_| "a place that is none".to_owned())?;
        let (scheme, host) = (uri.scheme_str().unwrap_or_default(), uri.host().unwrap_or_default());
        let here = ["localhost", "127.0.0.1", "[::1]"].contains(&host);
        if scheme != "https" && !(scheme == "http" && here) {
            return Err("it points to a place that is not `https`".into());
        }
        let origin = format!("{scheme}://{}", uri.authority().map_or("", |authority| authority.as_str()));
        let grant = OutboundGrant { url: origin, methods: Vec::new() };
        let destinations = Destinations::parse(&[grant]).map_err(|error| error.to_string())?;
        let bounds = Bounds {
            connect_ms: limits::ISSUER_FETCH_MS,
            head_ms: limits::ISSUER_FETCH_MS,
            idle_ms: Some(limits::ISSUER_FETCH_MS),
            request_bytes_max: 0,
            response_bytes_max: limits::ISSUER_BYTES_MAX,
        };
        let empty: BodyStream = Box::pin(futures_util::stream::empty());
        let request = Request::get(uri).header("accept", "application/json").body(empty);
        let request = request.map_err(|error| error.to_string())?;
        let answer = self.egress.call(&destinations, request, bounds).await;
        let (head, mut body) = answer.map_err(|error| error.to_string())?.into_parts();
        let mut bytes = Vec::new();
        while let Some(piece) = body.next().await {
            bytes.extend_from_slice(&piece.map_err(|_| "its answer broke off, or is too long".to_owned())?);
            if bytes.len() as u64 > limits::ISSUER_BYTES_MAX {
                return Err("its answer is too long".into());
            }
        }
        Ok((head.status, bytes))
    }
}

/// Fetches until the configuration is another or the node has gone: every [`limits::ISSUER_REFRESH_MS`], and
/// sooner where a fetch failed or a key is unknown, but never twice within [`limits::ISSUER_RETRY_MS`].
async fn follow(platform: Weak<Platform>, config: Weak<Configured>, tenant: TenantId, feed: Arc<Feed>) {
    let least = Duration::from_millis(limits::ISSUER_RETRY_MS);
    loop {
        let good = {
            let (Some(platform), Some(config)) = (platform.upgrade(), config.upgrade()) else { return };
            platform.refresh(&tenant, &config, &feed).await
        };
        let most = if good { Duration::from_millis(limits::ISSUER_REFRESH_MS) } else { least };
        tokio::time::sleep(least).await;
        tokio::select! {
            () = tokio::time::sleep(most.saturating_sub(least)) => {}
            () = feed.wanted.notified() => {}
        }
    }
}

/// Whether the keys of the last good fetch are too old to be good.
fn grace_is_over(state: &State, now: Timestamp) -> bool {
    state.good_at.is_none_or(|at| now.since_ms(at) > limits::ISSUER_GRACE_MS)
}

/// Where an issuer's metadata may be: below it, and between its host and its path (RFC 8414 §3.1).
fn places(issuer: &str) -> [String; 2] {
    let below = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    let (scheme, rest) = issuer.split_once("://").unwrap_or(("https", issuer));
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let path = if path.is_empty() { String::new() } else { format!("/{}", path.trim_end_matches('/')) };
    [below, format!("{scheme}://{host}/.well-known/oauth-authorization-server{path}")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_metadata_are() {
        for (issuer, oidc, oauth) in [
            (
                "https://id.example",
                "https://id.example/.well-known/openid-configuration",
                "https://id.example/.well-known/oauth-authorization-server",
            ),
            (
                "https://id.example/",
                "https://id.example/.well-known/openid-configuration",
                "https://id.example/.well-known/oauth-authorization-server",
            ),
            (
                "https://id.example/realms/a",
                "https://id.example/realms/a/.well-known/openid-configuration",
                "https://id.example/.well-known/oauth-authorization-server/realms/a",
            ),
        ] {
            assert_eq!(places(issuer), [oidc, oauth]);
        }
    }

    #[test]
    fn grace_ends() {
        let at = Timestamp::from_unix_ms;
        let state = State { good_at: Some(at(5)), digest: None, failing: true };
        assert!(!grace_is_over(&state, at(5 + limits::ISSUER_GRACE_MS)));
        assert!(grace_is_over(&state, at(6 + limits::ISSUER_GRACE_MS)));
        assert!(grace_is_over(&State::default(), at(0)), "nothing was ever fetched");
    }
}
