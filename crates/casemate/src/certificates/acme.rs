//! Certificates that an authority issues (RFC 8555): ordered, kept sealed, renewed when two thirds of their time are over.
//! An order that fails changes nothing that is shown.

use std::{sync::Arc, time::Duration};

use gateway::tls::{self, Challenge, Pair};
use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeHandle, ChallengeType, Error, Identifier,
    NewAccount, NewOrder, Order, OrderStatus, RetryPolicy,
};
use keyring::SystemEntropy;
use model::{Entropy, limits};
use platform::Platform;
use serde::{Deserialize, Serialize};
use store::{Batch, SystemStore};
use tokio::time::{sleep, timeout};
use zeroize::{ZeroizeOnDrop, Zeroizing};

use super::{CERTIFICATES, in_time, transport::Transport, wrong};
use crate::{
    config::{Acme, AcmeChallenge},
    exit::Failure,
};

/// The account with the authority.
const ACCOUNT: &[u8] = b"acme-account";
/// The last certificate that it issued.
const ISSUED: &[u8] = b"acme-certificate";
/// The longest sleep: machines that were suspended look at the clock again.
const NAP: Duration = Duration::from_secs(3_600);

/// What is ordered again and again.
pub(crate) struct Orders {
    settings: Acme,
    store: SystemStore,
    client: Arc<egress::Client>,
    shown: Arc<tls::Certificates>,
    /// When the next order is due, in milliseconds since 1970.
    due_ms: u64,
    has_one: bool,
    failures: u32,
}

#[derive(Serialize, Deserialize)]
struct KeptAccount {
    directory: String,
    contact: Vec<String>,
    credentials: AccountCredentials,
}

#[derive(Serialize, Deserialize, ZeroizeOnDrop)]
struct KeptCertificate {
    #[zeroize(skip)]
    directory: String,
    #[zeroize(skip)]
    names: Vec<String>,
    #[zeroize(skip)]
    chain: String,
    key: String,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
enum OrderError {
    /// The authority, or the way to it.
    #[error("{0}")]
    Authority(#[from] Error),
    /// It looked, and the name was not the node's.
    #[error("the authority could not see that `{name}` is this node's: {why}")]
    Unproved { name: String, why: String },
    /// What it says makes no sense.
    #[error("{0}")]
    Odd(String),
    /// What it issued is not what was ordered.
    #[error("what was issued does not hold: {0}")]
    Issued(String),
    /// Ours.
    #[error("{0}")]
    Store(String),
    /// It took too long.
    #[error("the order was not done in time")]
    Slow,
}

impl Orders {
    /// Shows what was issued before, where it is still there.
    ///
    /// # Errors
    /// If the authority's own certificate cannot be read, or the store.
    pub(super) async fn open(
        settings: &Acme,
        store: &SystemStore,
        shown: &Arc<tls::Certificates>,
    ) -> Result<Self, Failure> {
        let mut config = egress::ClientConfig::default();
        if let Some(file) = &settings.directory_ca {
            config.roots = vec![std::fs::read(file).map_err(|e| Failure::file("read", file, &e))?];
        }
        let client =
            egress::Client::new(&config).map_err(|e| wrong(&format!("`tls.acme.directory_ca`: {e}")))?;
        let mut orders = Self {
            settings: settings.clone(),
            store: store.clone(),
            client: Arc::new(client),
            shown: Arc::clone(shown),
            due_ms: 0,
            has_one: false,
            failures: 0,
        };
        let row = store.get(CERTIFICATES, ISSUED).await.map_err(|e| wrong(&e))?;
        let kept = row.and_then(|row| serde_json::from_slice::<KeptCertificate>(&row.value).ok());
        // Another authority's is as good as none: nobody knows whether it was for trying things out.
        if let Some(kept) = kept.filter(|kept| kept.directory == settings.directory) {
            let pair = Pair::read(&kept.chain, &kept.key).map_err(|e| wrong(&e))?;
            orders.show(pair);
            if kept.names != settings.names {
                orders.due_ms = 0;
            }
        }
        Ok(orders)
    }

    /// Orders whenever it is time to.
    pub(super) async fn keep(mut self, platform: Arc<Platform>) {
        loop {
            let now_ms = platform.clock().now().unix_ms();
            let wait = Duration::from_millis(self.due_ms.saturating_sub(now_ms));
            if !wait.is_zero() {
                sleep(wait.min(NAP)).await;
                continue;
            }
            let order = timeout(Duration::from_millis(limits::ACME_ORDER_MS), self.order());
            let issued = order.await.unwrap_or(Err(OrderError::Slow));
            let issued = match issued {
                Ok(issued) => self.take(issued, platform.clock().now().unix_ms() / 1000).await,
                Err(error) => Err(error),
            };
            self.note(&platform, issued);
        }
    }

    /// Tells what became of an order, and says when the next is due.
    fn note(&mut self, platform: &Platform, issued: Result<Pair, OrderError>) {
        let (names, now_ms) = (self.settings.names.join(", "), platform.clock().now().unix_ms());
        let action = if self.has_one { "renew-certificate" } else { "obtain-certificate" };
        match issued {
            Ok(pair) => {
                let ends = model::Timestamp::from_unix_ms(pair.lasts_unix_s().1.saturating_mul(1000));
                self.show(pair);
                self.due_ms = self.due_ms.max(now_ms + limits::ACME_LEAST_MS);
                self.failures = 0;
                tracing::info!(names, %ends, "an authority issued a certificate");
                platform.note_certificates(action, Ok(()), &format!("for {names}; it ends at {ends}"));
            }
            Err(error) => {
                let wait_ms = backoff_ms(self.failures, fraction());
                self.failures = self.failures.saturating_add(1);
                self.due_ms = now_ms + wait_ms;
                let again = wait_ms / 1000;
                tracing::error!(names, %error, again_in_s = again, "no certificate was issued");
                let said = format!("for {names}: {error}; tried again in {again} s");
                platform.note_certificates(action, Err("certificate-not-issued"), &said);
            }
        }
    }

    fn show(&mut self, pair: Pair) {
        self.due_ms = renewal_ms(pair.lasts_unix_s(), fraction());
        self.shown.replace(pair);
        self.has_one = true;
    }

    /// Proves what was issued, and keeps it.
    async fn take(&self, issued: (String, Zeroizing<String>), now_unix_s: u64) -> Result<Pair, OrderError> {
        let (chain, key) = issued;
        let pair = Pair::read(&chain, &key).map_err(|error| OrderError::Issued(error.to_string()))?;
        in_time(&pair, now_unix_s).map_err(OrderError::Issued)?;
        if let Some(name) = self.settings.names.iter().find(|name| !pair.is_for(name)) {
            return Err(OrderError::Issued(format!("it is not for `{name}`")));
        }
        let (directory, names) = (self.settings.directory.clone(), self.settings.names.clone());
        self.put(ISSUED, &KeptCertificate { directory, names, chain, key: key.to_string() }).await?;
        Ok(pair)
    }

    async fn order(&self) -> Result<(String, Zeroizing<String>), OrderError> {
        let account = self.account().await?;
        let names: Vec<_> = self.settings.names.iter().cloned().map(Identifier::Dns).collect();
        let order = account.new_order(&NewOrder::new(&names)).await;
        let mut order = match order {
            Err(Error::Api(problem)) if problem.r#type.as_deref().is_some_and(is_account_gone) => {
                // The next order makes another.
                self.commit(Batch::new().delete(CERTIFICATES, ACCOUNT)).await?;
                return Err(Error::Api(problem).into());
            }
            order => order?,
        };
        let patience = RetryPolicy::new().timeout(Duration::from_millis(limits::ACME_ORDER_MS));
        // They are shown until the authority has made up its mind.
        let _shown = self.show_challenges(&mut order).await?;
        let proved = order.poll_ready(&patience).await;
        if !matches!(proved, Ok(OrderStatus::Ready | OrderStatus::Valid)) {
            let unproved = unproved(&mut order, self.kind()).await;
            return Err(unproved.unwrap_or_else(|| match proved {
                Err(error) => error.into(),
                Ok(status) => OrderError::Odd(format!("the order is {status:?}")),
            }));
        }
        let key = Zeroizing::new(order.finalize().await?);
        let chain = order.poll_certificate(&patience).await?;
        Ok((chain, key))
    }

    /// The account that was made before, or a new one.
    async fn account(&self) -> Result<Account, OrderError> {
        let (directory, contact) = (self.settings.directory.clone(), self.settings.contact.clone());
        let builder = Account::builder_with_http(Box::new(Transport(Arc::clone(&self.client))));
        let row = self.store.get(CERTIFICATES, ACCOUNT).await;
        let row = row.map_err(|error| OrderError::Store(error.to_string()))?;
        let kept = row.and_then(|row| serde_json::from_slice::<KeptAccount>(&row.value).ok());
        if let Some(kept) = kept.filter(|kept| kept.directory == directory && kept.contact == contact) {
            return Ok(builder.from_credentials(kept.credentials).await?);
        }
        let to: Vec<&str> = contact.iter().map(String::as_str).collect();
        // The configuration is none without it.
        let new = NewAccount { contact: &to, terms_of_service_agreed: true, only_return_existing: false };
        let (account, credentials) = builder.create(&new, directory.clone(), None).await?;
        self.put(ACCOUNT, &KeptAccount { directory, contact, credentials }).await?;
        Ok(account)
    }

    async fn show_challenges(&self, order: &mut Order) -> Result<Vec<Challenge>, OrderError> {
        let mut shown = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            let name = authorization.identifier().to_string();
            match authorization.status {
                AuthorizationStatus::Valid => continue,
                AuthorizationStatus::Pending => {}
                status => {
                    return Err(OrderError::Odd(format!("the authorization of `{name}` is {status:?}")));
                }
            }
            let kind = self.kind();
            let none = || OrderError::Odd(format!("the authority does not look at `{name}` in this way"));
            let mut challenge = authorization.challenge(kind).ok_or_else(none)?;
            shown.push(self.show_challenge(&name, &challenge)?);
            challenge.set_ready().await?;
        }
        Ok(shown)
    }

    fn show_challenge(&self, name: &str, challenge: &ChallengeHandle<'_>) -> Result<Challenge, OrderError> {
        let (all, authorization) = (self.shown.challenges(), challenge.key_authorization());
        if self.settings.challenge == AcmeChallenge::Http01 {
            return Ok(all.show_text(&challenge.token, authorization.as_str()));
        }
        let digest = authorization.digest();
        let digest = <[u8; 32]>::try_from(digest.as_ref());
        let digest = digest.map_err(|_| OrderError::Odd("a digest of another length".into()))?;
        all.show_certificate(name, digest).map_err(|error| OrderError::Odd(error.to_string()))
    }

    fn kind(&self) -> ChallengeType {
        match self.settings.challenge {
            AcmeChallenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
            AcmeChallenge::Http01 => ChallengeType::Http01,
        }
    }

    async fn put<T: Serialize + Sync>(&self, id: &'static [u8], row: &T) -> Result<(), OrderError> {
        let row = serde_json::to_vec(row).map_err(|error| OrderError::Store(error.to_string()))?;
        self.commit(Batch::new().put(CERTIFICATES, id, row)).await
    }

    async fn commit(&self, batch: Batch) -> Result<(), OrderError> {
        let done = self.store.commit(batch).await;
        done.map(drop).map_err(|error| OrderError::Store(error.to_string()))
    }
}

/// The first name of an order that was not proved, and what the authority says of it.
async fn unproved(order: &mut Order, kind: ChallengeType) -> Option<OrderError> {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        authorization.refresh().await.ok()?;
        let name = authorization.identifier().to_string();
        let tried = authorization.challenges.iter().find(|challenge| challenge.r#type == kind);
        if let Some(error) = tried.and_then(|challenge| challenge.error.as_ref()) {
            return Some(OrderError::Unproved { name, why: error.to_string() });
        }
    }
    None
}

/// RFC 8555 §6.7.
fn is_account_gone(kind: &str) -> bool {
    kind == "urn:ietf:params:acme:error:accountDoesNotExist"
}

/// When a certificate is to be renewed, in milliseconds since 1970: when two thirds of its time are over, or up to a
/// twentieth of it sooner, so that what began together does not go on together. `fraction` is of [`u32::MAX`].
fn renewal_ms((begins_unix_s, ends_unix_s): (u64, u64), fraction: u32) -> u64 {
    let lasts_ms = ends_unix_s.saturating_sub(begins_unix_s).saturating_mul(1000);
    let sooner = part(lasts_ms / 20, fraction);
    (begins_unix_s.saturating_mul(1000) + lasts_ms / 3 * 2).saturating_sub(sooner)
}

/// How long after so many failures an order is tried again, in milliseconds: twice as long each time, within
/// [`limits::ACME_RETRY_MS`], and up to a quarter of it sooner.
fn backoff_ms(failures: u32, fraction: u32) -> u64 {
    let (first, most) = limits::ACME_RETRY_MS;
    let wait = first.saturating_mul(1 << failures.min(20)).min(most);
    wait - part(wait / 4, fraction)
}

fn part(of: u64, fraction: u32) -> u64 {
    let part = u128::from(of) * u128::from(fraction) / u128::from(u32::MAX);
    u64::try_from(part).unwrap_or(of)
}

/// Without randomness, none of it.
fn fraction() -> u32 {
    let mut bytes = [0; 4];
    SystemEntropy.fill(&mut bytes).map_or(0, |()| u32::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_it_is_renewed() {
        const DAY: u64 = 86_400;
        let at = |fraction| renewal_ms((1_000 * DAY, 1_090 * DAY), fraction);
        assert_eq!(at(0), 1_060 * DAY * 1000, "two thirds of ninety days");
        assert_eq!(at(u32::MAX), (1_060 * DAY - 9 * DAY / 2) * 1000, "a twentieth sooner");
        assert!((at(u32::MAX)..at(0)).contains(&at(u32::MAX / 2)));
        assert_eq!(renewal_ms((5, 5), 7), 5_000, "one that lasts no time");
        assert_eq!(renewal_ms((9, 5), 7), 9_000, "one that makes no sense");
    }

    #[test]
    fn when_it_is_tried_again() {
        let (first, most) = limits::ACME_RETRY_MS;
        assert_eq!([0, 1, 2].map(|n| backoff_ms(n, 0)), [first, 2 * first, 4 * first]);
        assert_eq!(backoff_ms(40, 0), most);
        assert_eq!(backoff_ms(u32::MAX, 0), most);
        for failures in 0..40 {
            let (late, soon) = (backoff_ms(failures, 0), backoff_ms(failures, u32::MAX));
            assert_eq!(late - soon, late / 4, "{failures}");
            assert!(soon >= first / 4 * 3);
        }
    }
}
