//! Bait: routes and tokens that nobody has a reason to touch. A bait token is made like any other and is never in the book
//! of tokens, so that it proves nobody; a bait route is answered like any path that is not there.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, Ordering},
};

use http::HeaderValue;
use identity::TokenSecret;
use ledger::Kind;
use model::{Digest, TenantId, Timestamp, TokenId, limits};
use parking_lot::RwLock;
use policy::{Action as Asked, Resource};
use serde::{Deserialize, Serialize};
use store::{Batch, Span, StoreError, TenantStore};

use crate::{
    Platform,
    control::What,
    refused::{ControlError, Ctx},
    shelf::{self, BAIT},
};

/// The code of a token that nobody knows.
pub(super) const UNKNOWN: &str = "token-unknown";
/// The code of a bait token, for the record.
pub(super) const TOUCHED: &str = "token-bait";

/// One bait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Bait {
    /// A path of the tenant's host.
    Route {
        /// The path, without a query.
        path: String,
        /// When it was laid.
        at: Timestamp,
        /// By whom.
        by: String,
    },
    /// A token.
    Token {
        /// Its name in signals.
        id: TokenId,
        /// Where it was laid, for people.
        name: String,
        /// The hash of its secret.
        hash: Digest,
        /// When it was laid.
        at: Timestamp,
        /// By whom.
        by: String,
    },
}

impl Bait {
    /// What it is named by: the path, or the token's id.
    pub fn key(&self) -> &str {
        match self {
            Self::Route { path, .. } => path,
            Self::Token { id, .. } => id.as_str(),
        }
    }
}

/// Bait that was laid; a token's text is shown this once.
pub struct MadeBait {
    /// What is kept of it.
    pub bait: Bait,
    /// The token.
    pub text: Option<zeroize::Zeroizing<String>>,
}

/// All bait, as requests meet it.
#[derive(Debug, Default)]
pub(super) struct Baits {
    any: AtomicBool,
    laid: RwLock<Laid>,
}

#[derive(Debug, Default)]
struct Laid {
    routes: HashMap<TenantId, Vec<String>>,
    tokens: HashMap<Digest, (TenantId, TokenId)>,
}

impl Baits {
    pub(super) fn is_any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    pub(super) fn is_route(&self, tenant: &TenantId, path: &str) -> bool {
        if !self.is_any() {
            return false;
        }
        let laid = self.laid.read();
        laid.routes.get(tenant).is_some_and(|routes| routes.iter().any(|route| route == path))
    }

    /// The bait token that an `Authorization` header presents.
    pub(super) fn token_of(&self, value: &HeaderValue) -> Option<(TenantId, TokenId)> {
        if !self.is_any() {
            return None;
        }
        let (_, text) = value.to_str().ok()?.split_once(' ')?;
        let secret = TokenSecret::parse(text.trim()).ok()?;
        self.laid.read().tokens.get(&secret.hash()).cloned()
    }

    fn show(&self, tenant: &TenantId, all: &[Bait]) {
        let mut laid = self.laid.write();
        laid.routes.remove(tenant);
        laid.tokens.retain(|_, (whose, _)| whose != tenant);
        for bait in all {
            match bait {
                Bait::Route { path, .. } => {
                    laid.routes.entry(tenant.clone()).or_default().push(path.clone());
                }
                Bait::Token { id, hash, .. } => {
                    laid.tokens.insert(*hash, (tenant.clone(), id.clone()));
                }
            }
        }
        self.any.store(!laid.routes.is_empty() || !laid.tokens.is_empty(), Ordering::Release);
    }
}

/// Ids of rows are in clear where the store lies, and bait that is known is none.
fn row_of(key: &str) -> Vec<u8> {
    keyring::sha256(key.as_bytes()).as_bytes().to_vec()
}

async fn all_of(store: &TenantStore) -> Result<Vec<Bait>, StoreError> {
    let mut all = Vec::new();
    shelf::every(store, Span::all(BAIT), |_, value, _| {
        all.push(shelf::decode(BAIT, value)?);
        Ok(true)
    })
    .await?;
    Ok(all)
}

impl Platform {
    pub(crate) async fn load_bait(&self, tenant: &TenantId, store: &TenantStore) -> Result<(), StoreError> {
        let all = all_of(store).await?;
        if !all.is_empty() {
            self.defence.baits.show(tenant, &all);
        }
        Ok(())
    }

    /// A tenant's bait.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn bait(&self, ctx: Ctx<'_>, tenant: &TenantId) -> Result<Vec<Bait>, ControlError> {
        self.permit_shield(ctx, Some(tenant), Asked::ReadShield)?;
        Ok(all_of(&self.home(tenant)?.store).await?)
    }

    /// Lays a path as bait. From then on no function answers there.
    ///
    /// # Errors
    /// [`ControlError`]: a path that a function answers by its exact route is none for bait.
    pub async fn lay_route(
        &self,
        ctx: Ctx<'_>,
        tenant: &TenantId,
        path: &str,
    ) -> Result<MadeBait, ControlError> {
        self.permit_shield(ctx, Some(tenant), Asked::ManageShield)?;
        let plain = |b: u8| b.is_ascii_graphic() && !b"?#%&=\"<>\\^`{|}".contains(&b);
        if !path.starts_with('/') || path == "/" || path.len() > 256 || !path.bytes().all(plain) {
            let path: String = path.chars().take(80).collect();
            let message =
                format!("`{path}` is no path for bait: write `/path`, without a query, in plain text");
            return Err(ControlError::Invalid { code: "shield-bait", message });
        }
        let home = self.home(tenant)?;
        for (name, placed) in &home.view().functions {
            if placed.target.revision.routes.iter().any(|route| route.path == path) {
                return Err(ControlError::Conflict(format!("`{path}` is a route of the function `{name}`")));
            }
        }
        let (at, by) = (self.clock.now(), ctx.caller.principal().to_string());
        self.lay(ctx, tenant, Bait::Route { path: path.to_owned(), at, by }, None).await
    }

    /// Makes a token that is bait: wherever it lies, whoever presents it has found it there.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn lay_token(
        &self,
        ctx: Ctx<'_>,
        tenant: &TenantId,
        name: &str,
    ) -> Result<MadeBait, ControlError> {
        self.permit_shield(ctx, Some(tenant), Asked::ManageShield)?;
        let name = name.trim();
        if name.is_empty() || name.len() > 63 || name.chars().any(char::is_control) {
            let message = "the name says where the token lies, in at most 63 bytes".to_owned();
            return Err(ControlError::Invalid { code: "shield-bait", message });
        }
        let failed = |e: model::EntropyError| ControlError::Internal(e.to_string());
        let id = TokenId::generate(&*self.entropy).map_err(failed)?;
        let secret = TokenSecret::generate(&*self.entropy).map_err(failed)?;
        let (name, hash) = (name.to_owned(), secret.hash());
        let (at, by) = (self.clock.now(), ctx.caller.principal().to_string());
        self.lay(ctx, tenant, Bait::Token { id, name, hash, at, by }, Some(secret.reveal())).await
    }

    async fn lay(
        &self,
        ctx: Ctx<'_>,
        tenant: &TenantId,
        bait: Bait,
        text: Option<zeroize::Zeroizing<String>>,
    ) -> Result<MadeBait, ControlError> {
        let home = self.home(tenant)?;
        let _one = home.changing.lock().await;
        let mut all = all_of(&home.store).await?;
        all.retain(|one| one.key() != bait.key());
        if all.len() >= limits::BAIT_MAX {
            return Err(ControlError::Conflict(format!("there are {} already: remove some", all.len())));
        }
        let what = What { kind: Kind::Action, tenant, resource: Resource::Tenant(tenant) };
        self.record_act(ctx, what, &format!("bait `{}` was laid", bait.key())).await?;
        let row = shelf::encode(&bait)?;
        home.store.commit(Batch::new().put(BAIT, row_of(bait.key()), row)).await?;
        all.push(bait.clone());
        self.defence.baits.show(tenant, &all);
        Ok(MadeBait { bait, text })
    }

    /// Takes bait away.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn take_bait(&self, ctx: Ctx<'_>, tenant: &TenantId, key: &str) -> Result<(), ControlError> {
        self.permit_shield(ctx, Some(tenant), Asked::ManageShield)?;
        let home = self.home(tenant)?;
        let _one = home.changing.lock().await;
        let mut all = all_of(&home.store).await?;
        let before = all.len();
        all.retain(|one| one.key() != key);
        if all.len() == before {
            let key: String = key.chars().take(80).collect();
            return Err(ControlError::NotFound(format!("bait `{key}`")));
        }
        let what = What { kind: Kind::Action, tenant, resource: Resource::Tenant(tenant) };
        self.record_act(ctx, what, &format!("bait `{key}` was taken away")).await?;
        home.store.commit(Batch::new().delete(BAIT, row_of(key))).await?;
        self.defence.baits.show(tenant, &all);
        Ok(())
    }
}
