//! The way back in when every administrator's token is lost: on the data folder, with the root key, while no node
//! has it open. It never serves anyone.

use std::sync::Arc;

use identity::{Issuer, SessionRecord, TokenRecord};
use ledger::Kind;
use model::{Clock, Entropy, Role, Tenant, Timestamp, TokenId};
use policy::Resource;
use store::{Batch, Sealed, Span};

use crate::{
    open::{OpenError, administrator, default_tenant},
    recorder::{About, Recorder},
    refused::ControlError,
    shelf::{self, SESSIONS, TENANTS, TOKENS},
    tokens::{CreatedToken, draw},
};

/// An administrator's token was made.
pub struct Recovered {
    /// The token.
    pub created: CreatedToken,
    /// The tokens that were revoked beside it.
    pub revoked: Vec<TokenId>,
}

/// Makes a token for `admin` of the tenant that the first start made; with `revoke_others`, every other live token
/// and session that gives the role `admin` is revoked. Both are in the record before they are done.
///
/// # Errors
/// [`OpenError`] if the store fails, or has not seen a first start.
pub async fn recover(
    sealed: &Arc<Sealed>,
    clock: Arc<dyn Clock>,
    entropy: &dyn Entropy,
    revoke_others: bool,
) -> Result<Recovered, OpenError> {
    let tenant = default_tenant()?;
    let failed = |error: ControlError| OpenError::Tenant { tenant: tenant.clone(), error };
    let now = clock.now();
    let recorder = Recorder::open(sealed.system(), clock).await?;
    let (tenants, mut others) = (tenants(sealed).await?, Vec::new());
    if !tenants.iter().any(|known| known.id == tenant) {
        let reason = "there has been no first start here: `casemate up` makes the first token";
        return Err(OpenError::Internal(reason.into()));
    }
    for tenant in tenants.iter().filter(|_| revoke_others) {
        let live = |token: &TokenRecord| {
            token.roles.contains(&Role::Admin) && token.revoked_at.is_none() && token.expires_at > now
        };
        let store = sealed.tenant(&tenant.id)?;
        shelf::every(&store, Span::all(TOKENS), |_, value, _| {
            let token: TokenRecord = shelf::decode(TOKENS, value)?;
            others.extend(Some(token).filter(live));
            Ok(true)
        })
        .await?;
    }
    let sessions = match revoke_others {
        true => admin_sessions(sealed, &tenants, now).await?,
        false => Vec::new(),
    };
    let created = draw(entropy, now, &tenant, administrator(), Issuer::Recovery).map_err(failed)?;

    let made = format!("made `{}` for {} on the data folder", created.record.id, created.record.principal());
    let revoked = others.iter().map(|old| format!("revoked `{}` of {}", old.id, old.principal()));
    let ended = sessions.iter().map(|old| format!("revoked session `{}` of {}", old.id, old.principal()));
    for detail in std::iter::once(made).chain(revoked).chain(ended) {
        let about = About { tenant: Some(&tenant), ..About::default() };
        let mut event = about.on(recorder.event(Kind::Token));
        event.action = "recover".into();
        event.resource = Resource::Tenant(&tenant).to_string().into();
        event.allowed = true;
        event.detail = detail.into();
        recorder.record(&event).map_err(|e| OpenError::Internal(e.to_string()))?;
    }
    recorder.flush().await.map_err(|e| failed(e.into()))?;

    let row = shelf::encode(&created.record)?;
    let batch = Batch::new().check(TOKENS, created.record.id.as_str(), None);
    let put = sealed.tenant(&tenant)?.commit(batch.put(TOKENS, created.record.id.as_str(), row)).await;
    put.map_err(|e| failed(e.into()))?;
    for old in &mut others {
        old.revoked_at = Some(now);
        let batch = Batch::new().put(TOKENS, old.id.as_str(), shelf::encode(&*old)?);
        sealed.tenant(&old.tenant)?.commit(batch).await.map_err(|e| failed(e.into()))?;
    }
    for session in sessions {
        let session = SessionRecord { revoked_at: Some(now), ..session };
        let batch = Batch::new().put(SESSIONS, session.id.as_str(), shelf::encode(&session)?);
        sealed.tenant(&session.tenant)?.commit(batch).await.map_err(|e| failed(e.into()))?;
    }
    Ok(Recovered { created, revoked: others.into_iter().map(|old| old.id).collect() })
}

async fn admin_sessions(
    sealed: &Arc<Sealed>,
    tenants: &[Tenant],
    now: Timestamp,
) -> Result<Vec<SessionRecord>, OpenError> {
    let mut found = Vec::new();
    for tenant in tenants {
        shelf::every(&sealed.tenant(&tenant.id)?, Span::all(SESSIONS), |_, value, _| {
            let session: SessionRecord = shelf::decode(SESSIONS, value)?;
            found.extend(Some(session).filter(|one| one.roles.contains(&Role::Admin) && one.is_live(now)));
            Ok(true)
        })
        .await?;
    }
    Ok(found)
}

async fn tenants(sealed: &Arc<Sealed>) -> Result<Vec<Tenant>, OpenError> {
    let mut found = Vec::new();
    let mut next = Some(Span::all(TENANTS));
    while let Some(span) = next {
        let page = sealed.system().scan(span, store::PAGE_ROWS_MAX).await?;
        for row in page.rows {
            found.push(shelf::decode(TENANTS, &row.value)?);
        }
        next = page.next;
    }
    Ok(found)
}
