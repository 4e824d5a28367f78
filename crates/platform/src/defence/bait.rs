//! Bait: routes and tokens that nobody has a reason to touch. A bait token is made like any other and is never in the book
//! of tokens, so that it proves nobody; a bait route is answered like any path that is not there.

use std::{
    borrow::Cow,
    collections::HashMap,
    sync::atomic::{AtomicBool, Ordering},
};

use http::{HeaderName, header, request::Parts};
use identity::TokenSecret;
use ledger::Kind;
use model::{Digest, Route, TenantId, Timestamp, TokenId, limits};
use parking_lot::RwLock;
use policy::Action as Asked;
use serde::{Deserialize, Serialize};
use store::{Batch, Span, StoreError, TenantStore};

use crate::{
    Platform,
    recorder::About,
    refused::{ControlError, Ctx},
    shelf::{self, BAIT},
};

/// The code of a bait token, for the record.
pub(super) const TOUCHED: &str = "token-bait";
/// What every token begins with.
const TOKEN_PREFIX: &str = "casemate_";
/// How many of what could be tokens are looked at in one text.
const TOKENS_LOOKED_AT: usize = 8;

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
    any_token: AtomicBool,
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

    /// The bait route that a path is, however it is spelt.
    pub(super) fn route_at(&self, tenant: &TenantId, path: &str) -> Option<String> {
        if !self.is_any() {
            return None;
        }
        let laid = self.laid.read();
        let routes = laid.routes.get(tenant)?;
        let meant = meant(path);
        routes.iter().find(|route| route.as_str() == path || route.as_bytes() == &*meant).cloned()
    }

    /// The bait token that a request presents: in `Authorization` by whatever scheme, in `X-Api-Key`, or in its query.
    pub(super) fn token_in(&self, head: &Parts) -> Option<(TenantId, TokenId)> {
        if !self.any_token.load(Ordering::Acquire) {
            return None;
        }
        let headers = [header::AUTHORIZATION, HeaderName::from_static("x-api-key")];
        let values = headers.iter().flat_map(|name| head.headers.get_all(name));
        let mut texts = values.map(|value| String::from_utf8_lossy(value.as_bytes()));
        texts.find_map(|text| self.token_of(&text).or_else(|| self.token_of(&basic(&text)?))).or_else(|| {
            let query = head.uri.query()?;
            self.token_of(query)
        })
    }

    /// The bait token that stands anywhere in a text.
    fn token_of(&self, text: &str) -> Option<(TenantId, TokenId)> {
        text.match_indices(TOKEN_PREFIX).take(TOKENS_LOOKED_AT).find_map(|(at, prefix)| {
            let rest = text.get(at + prefix.len()..)?;
            let digits = rest.bytes().take_while(u8::is_ascii_alphanumeric).count();
            let secret = TokenSecret::parse(text.get(at..at + prefix.len() + digits)?).ok()?;
            self.laid.read().tokens.get(&secret.hash()).cloned()
        })
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
        self.any_token.store(!laid.tokens.is_empty(), Ordering::Release);
        self.any.store(!laid.routes.is_empty() || !laid.tokens.is_empty(), Ordering::Release);
    }
}

/// A path as whoever decodes it reads it: escapes undone once, parameters of segments (`;a`) left out.
fn meant(path: &str) -> Cow<'_, [u8]> {
    if !path.bytes().any(|byte| matches!(byte, b'%' | b';')) {
        return Cow::Borrowed(path.as_bytes());
    }
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    let mut in_parameter = false;
    while let Some((first, after)) = rest.split_first() {
        let (byte, next) = match (first, after) {
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, after),
                _ => (b'%', rest.get(1..).unwrap_or_default()),
            },
            _ => (*first, after),
        };
        in_parameter = byte == b';' || (in_parameter && byte != b'/');
        if !in_parameter {
            out.push(byte);
        }
        rest = next;
    }
    Cow::Owned(out)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// The name and the password of `Basic` (RFC 7617), as far as they can be read.
fn basic(value: &str) -> Option<String> {
    let (scheme, text) = value.trim_start().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let (mut out, mut bits, mut held) = (Vec::new(), 0_u32, 0_u32);
    for byte in text.trim().bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => break,
        };
        bits = (bits << 6 | u32::from(value)) & 0xffff;
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held & 0xff) as u8);
        }
    }
    Some(String::from_utf8_lossy(&out).into_owned())
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

    /// Whether a function may have these routes: one that is bait would never be answered, and who asks for it blocked.
    pub(crate) fn check_no_bait(&self, tenant: &TenantId, routes: &[Route]) -> Result<(), ControlError> {
        let bait = routes.iter().find_map(|route| self.defence.baits.route_at(tenant, &route.path));
        match bait {
            None => Ok(()),
            Some(path) => Err(ControlError::Conflict(format!(
                "`{path}` is bait of the shield, which no function answers: `casemate shield honey remove {path}`"
            ))),
        }
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
        let plain = |b: u8| b.is_ascii_graphic() && !b"?#%&=;\"<>\\^`{|}".contains(&b);
        if !path.starts_with('/') || path == "/" || path.len() > 256 || !path.bytes().all(plain) {
            let path: String = path.chars().take(80).collect();
            let message =
                format!("`{path}` is no path for bait: write `/path`, without a query, in plain text");
            return Err(ControlError::Invalid { code: "shield-bait", message });
        }
        let home = self.home(tenant)?;
        for (name, placed) in &home.view().functions {
            if placed.target.revision.routes.iter().any(|route| *meant(&route.path) == *path.as_bytes()) {
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
        let said = format!("bait `{}` was laid", bait.key());
        self.record_bait(ctx, tenant, ("lay-bait", bait.key()), &said).await?;
        let row = shelf::encode(&bait)?;
        home.store.commit(Batch::new().put(BAIT, row_of(bait.key()), row)).await?;
        all.push(bait.clone());
        self.defence.baits.show(tenant, &all);
        Ok(MadeBait { bait, text })
    }

    /// Puts it into the record that bait is laid, or taken away.
    async fn record_bait(
        &self,
        ctx: Ctx<'_>,
        tenant: &TenantId,
        (act, key): (&'static str, &str),
        said: &str,
    ) -> Result<(), ControlError> {
        let source = Some(ctx.peer.address.ip());
        let about = About { request: Some(ctx.id), tenant: Some(tenant), source };
        let mut event = about.on(self.recorder.event(Kind::Action));
        event.principal = ctx.caller.principal().to_string().into();
        event.action = act.into();
        event.resource = format!("Bait::\"{tenant}/{key}\"").into();
        event.allowed = true;
        event.detail = said.into();
        self.recorder.record_durably(&event).await.map_err(|e| ControlError::Refused(e.into()))?;
        Ok(())
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
        self.record_bait(ctx, tenant, ("take-bait", key), &format!("bait `{key}` was taken away")).await?;
        home.store.commit(Batch::new().delete(BAIT, row_of(key))).await?;
        self.defence.baits.show(tenant, &all);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use http::{Request, header::AUTHORIZATION};

    use super::*;

    fn laid() -> (Baits, TenantId, String) {
        let (baits, tenant): (_, TenantId) = (Baits::default(), "one".parse().unwrap());
        let secret = TokenSecret::parse(TEXT).unwrap();
        let (at, by) = (Timestamp::from_unix_ms(0), String::new());
        let id = "t4x8k2m9q1r7z".parse().unwrap();
        let token = Bait::Token { id, name: "wiki".into(), hash: secret.hash(), at, by: by.clone() };
        baits.show(&tenant, &[Bait::Route { path: "/backup.zip".into(), at, by }, token]);
        (baits, tenant, TEXT.to_owned())
    }

    /// All bits zero.
    const TEXT: &str = "casemate_00000000000000000000000000000000000000000001a1nR8";

    #[test]
    fn a_bait_route_is_one_however_it_is_spelt() {
        let (baits, tenant, _) = laid();
        for path in [
            "/backup.zip",
            "/backup%2ezip",
            "/%62ackup.zip",
            "/backup.zip;a",
            "/backup.zip;a=b;c",
            "/backup.zip%3ba",
        ] {
            assert_eq!(baits.route_at(&tenant, path).as_deref(), Some("/backup.zip"), "{path}");
        }
        for path in [
            "/backup.zi",
            "/backup.zip/x",
            "/backup.zip%",
            "/backup.zip%zz",
            "/backup%252ezip",
            "/backup.zip;a/x",
            "/",
        ] {
            assert_eq!(baits.route_at(&tenant, path), None, "{path}");
        }
        assert_eq!(baits.route_at(&"two".parse().unwrap(), "/backup.zip"), None);
    }

    #[test]
    fn a_bait_token_is_seen_wherever_it_is_presented() {
        let (baits, tenant, text) = laid();
        let seen = |target: &str, headers: &[(HeaderName, String)]| {
            let mut request = Request::get(target);
            for (name, value) in headers {
                request = request.header(name, value);
            }
            baits.token_in(&request.body(()).unwrap().into_parts().0).map(|(whose, _)| whose)
        };
        let api_key = HeaderName::from_static("x-api-key");
        for value in
            ["Bearer @", "Bearer  @", "bearer\t@", "DPoP @", "Token @", "@", "ApiKey key=@,x", "Basic @"]
        {
            let headers = [(AUTHORIZATION, value.replace('@', &text))];
            assert_eq!(seen("/", &headers), Some(tenant.clone()), "{value}");
        }
        for plain in ["alice:@", "@:", "@"] {
            let value = format!("Basic {}", base64(plain.replace('@', &text).as_bytes()));
            assert_eq!(seen("/", &[(AUTHORIZATION, value)]), Some(tenant.clone()), "{plain}");
        }
        assert_eq!(seen("/", &[(api_key, text.clone())]), Some(tenant.clone()));
        assert_eq!(seen(&format!("/x?a=b&access_token={text}&c"), &[]), Some(tenant.clone()));
        let two = [(AUTHORIZATION, "Bearer x".to_owned()), (AUTHORIZATION, format!("Bearer {text}"))];
        assert_eq!(seen("/", &two), Some(tenant));
        for value in
            [format!("Bearer {text}0"), format!("Bearer {}", text.to_uppercase()), "casemate_".repeat(99)]
        {
            assert_eq!(seen("/", &[(AUTHORIZATION, value.clone())]), None, "{value}");
        }
        assert_eq!(seen("/?x=casemate_", &[]), None);
    }

    fn base64(bytes: &[u8]) -> String {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut out = String::new();
        for three in bytes.chunks(3) {
            let bits = three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte))
                << (8 * (3 - three.len()));
            (0..=three.len())
                .for_each(|n| out.push(char::from(DIGITS[(bits >> (18 - 6 * n)) as usize & 63])));
            (three.len()..3).for_each(|_| out.push('='));
        }
        out
    }
}
