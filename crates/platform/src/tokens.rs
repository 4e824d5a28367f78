//! Tokens: make, list, revoke, and remember when they were last used. It never keeps a secret.

use identity::{Issue, IssueError, Issuer, TokenRecord, TokenSecret};
use ledger::Kind;
use model::{Entropy, PrincipalKind, Role, TenantId, Timestamp, TokenId, limits};
use policy::{Action, Resource};
use store::Batch;

use crate::{
    Platform,
    control::What,
    refused::{ControlError, Ctx, Refused},
    shelf::{self, TOKENS},
};

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// The principal's name.
    pub name: String,
    /// A person or a machine.
    pub kind: PrincipalKind,
    /// Roles in the tenant.
    pub roles: Vec<Role>,
    /// What it may be used for: names of actions, or `*`.
    pub scopes: Vec<String>,
    /// How long it lives, in days.
    pub days: u64,
}

/// A token was made. Its text is shown this once.
pub struct CreatedToken {
    /// The credential.
    pub text: zeroize::Zeroizing<String>,
    /// What is kept of it.
    pub record: TokenRecord,
}

impl Platform {
    /// Makes a token. Nobody gives away more than they hold.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn create_token(
        &self,
        ctx: Ctx<'_>,
        tenant: &TenantId,
        new: NewToken,
    ) -> Result<CreatedToken, ControlError> {
        let home = self.home(tenant)?;
        self.permit(ctx, &home, Action::ManageTokens, Resource::Tenant(tenant))?;
        if new.days == 0 || new.days > limits::TOKEN_DAYS_MAX {
            let message =
                format!("a token lives from 1 to {} days, not {}", limits::TOKEN_DAYS_MAX, new.days);
            return Err(ControlError::Invalid { code: "token-lifetime", message });
        }
        if let Some(scope) = new.scopes.iter().find(|s| *s != "*" && s.parse::<Action>().is_err()) {
            let known = Action::ALL.iter().map(|action| action.as_str()).collect::<Vec<_>>().join(", ");
            let message = format!("`{scope}` is no scope: write `*` or one of {known}");
            return Err(ControlError::Invalid { code: "token-invalid", message });
        }
        if self.tokens_outrank(tenant, ctx, &new.name, None) {
            let reason = format!("`{}` is the name of someone whom this caller did not make", new.name);
            return Err(Refused::Forbidden { code: "escalation", reason }.into());
        }
        let created = self.issue(tenant, new, Issuer::Caller(ctx.caller));
        let what = What { kind: Kind::Token, tenant, resource: Resource::Tenant(tenant) };
        let created = self.note_failure(ctx, what, created)?;
        let CreatedToken { record, .. } = &created;
        let detail = format!("made `{}` for {}", record.id, record.principal());
        self.record_act(ctx, what, &detail).await?;
        let row = shelf::encode(record)?;
        home.store
            .commit(Batch::new().check(TOKENS, record.id.as_str(), None).put(TOKENS, record.id.as_str(), row))
            .await?;
        self.tokens.put(record.clone());
        Ok(created)
    }

    /// Whether a live token of this name (or the one named) gives more than the caller holds. A name stands in
    /// policies: who could make a token for it would be whom they permit.
    pub(crate) fn tokens_outrank(
        &self,
        tenant: &TenantId,
        ctx: Ctx<'_>,
        name: &str,
        one: Option<&TokenId>,
    ) -> bool {
        let (caller, now) = (ctx.caller.principal(), self.clock.now());
        let itself = |t: &TokenRecord| t.kind == caller.kind && t.name == caller.name;
        let above = [Role::Owner, Role::Admin].iter().any(|role| caller.roles.contains(role));
        self.tokens.tokens(tenant).iter().any(|token| {
            let meant = one.map_or(token.name == name, |id| token.id == *id);
            let live = token.revoked_at.is_none() && token.expires_at > now;
            meant && live && !above && !itself(token) && {
                let by_other = token.created_by != ctx.caller.key();
                token.within(caller).is_err() || (one.is_none() && by_other)
            }
        })
    }

    /// Makes a token for the principal of another, with the same roles and scopes, and lets the other end when
    /// `overlap_s` seconds are over. Nobody gets hold of a name or a right that way which they could not give.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn rotate_token(
        &self,
        ctx: Ctx<'_>,
        tenant: &TenantId,
        id: &TokenId,
        overlap_s: u64,
        days: Option<u64>,
    ) -> Result<CreatedToken, ControlError> {
        let home = self.home(tenant)?;
        self.permit(ctx, &home, Action::ManageTokens, Resource::Tenant(tenant))?;
        let most = limits::TOKEN_OVERLAP_DAYS_MAX * 86_400;
        if overlap_s > most {
            let message = format!("the overlap is at most {most} seconds, not {overlap_s}");
            return Err(ControlError::Invalid { code: "token-lifetime", message });
        }
        let _one = home.changing.lock().await;
        let known = self.tokens.token(id).filter(|record| record.tenant == *tenant);
        let mut old = known.ok_or_else(|| ControlError::NotFound(format!("token `{id}`")))?;
        let now = self.clock.now();
        if old.revoked_at.is_some() || old.expires_at <= now {
            let message = format!("`{id}` is good for nothing any more: make another with `token create`");
            return Err(ControlError::Conflict(message));
        }
        if self.tokens_outrank(tenant, ctx, &old.name, None) {
            let reason = format!("`{}` is the name of someone whom this caller did not make", old.name);
            return Err(Refused::Forbidden { code: "escalation", reason }.into());
        }
        let lived = old.expires_at.since_ms(old.created_at).div_ceil(86_400_000);
        let days = days.unwrap_or(lived).min(limits::TOKEN_DAYS_MAX);
        let (name, roles, scopes) = (old.name.clone(), old.roles.clone(), old.scopes.clone());
        let new = NewToken { name, kind: old.kind, roles, scopes, days };
        let what = What { kind: Kind::Token, tenant, resource: Resource::Tenant(tenant) };
        let made = self.note_failure(ctx, what, self.issue(tenant, new, Issuer::Caller(ctx.caller)))?;
        old.expires_at = old.expires_at.min(now.plus_ms(overlap_s * 1_000));
        let (record, until) = (&made.record, old.expires_at);
        let detail =
            format!("`{}` takes the place of `{id}` of {}, which ends {until}", record.id, old.principal());
        self.record_act(ctx, what, &detail).await?;
        let batch = Batch::new().check(TOKENS, record.id.as_str(), None);
        let batch = batch.put(TOKENS, record.id.as_str(), shelf::encode(record)?);
        home.store.commit(batch.put(TOKENS, id.as_str(), shelf::encode(&old)?)).await?;
        self.tokens.put(record.clone());
        self.tokens.put(old);
        Ok(made)
    }

    /// Draws a secret and makes its record.
    pub(crate) fn issue(
        &self,
        tenant: &TenantId,
        new: NewToken,
        issuer: Issuer<'_>,
    ) -> Result<CreatedToken, ControlError> {
        draw(&*self.entropy, self.clock.now(), tenant, new, issuer)
    }

    /// A tenant's tokens, revoked and ended ones too, the oldest first.
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn list_tokens(&self, ctx: Ctx<'_>, tenant: &TenantId) -> Result<Vec<TokenRecord>, ControlError> {
        let home = self.home(tenant)?;
        self.permit(ctx, &home, Action::ListTokens, Resource::Tenant(tenant))?;
        Ok(self.tokens.tokens(tenant))
    }

    /// Revokes a token: the next request with it is refused.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn revoke_token(
        &self,
        ctx: Ctx<'_>,
        tenant: &TenantId,
        id: &TokenId,
    ) -> Result<(), ControlError> {
        let home = self.home(tenant)?;
        self.permit(ctx, &home, Action::ManageTokens, Resource::Tenant(tenant))?;
        let _one = home.changing.lock().await;
        let known = self.tokens.token(id).filter(|record| record.tenant == *tenant);
        let mut record = known.ok_or_else(|| ControlError::NotFound(format!("token `{id}`")))?;
        if record.revoked_at.is_some() {
            return Ok(());
        }
        if self.tokens_outrank(tenant, ctx, &record.name, Some(id)) {
            let reason = format!("`{id}` gives more than its revoker holds");
            return Err(Refused::Forbidden { code: "escalation", reason }.into());
        }
        let (now, admin) = (self.clock.now(), Role::Admin);
        let admins = self.tokens.tokens(tenant).into_iter().filter(|token| {
            token.roles.contains(&admin) && token.revoked_at.is_none() && token.expires_at > now
        });
        if record.roles.contains(&admin) && admins.count() <= 1 {
            let message =
                format!("`{id}` is the last administrator's token: make another before you revoke it");
            return Err(ControlError::Conflict(message));
        }
        record.revoked_at = Some(self.clock.now());
        let what = What { kind: Kind::Token, tenant, resource: Resource::Tenant(tenant) };
        self.record_act(ctx, what, &format!("revoked `{id}` of {}", record.principal())).await?;
        // From here on the token is dead in this process, even if the write below fails.
        self.tokens.put(record.clone());
        home.store.commit(Batch::new().put(TOKENS, id.as_str(), shelf::encode(&record)?)).await?;
        Ok(())
    }

    /// Saves when tokens were last used.
    pub(crate) async fn save_token_use(&self) -> Result<(), ControlError> {
        for used in self.tokens.take_used() {
            let Some(home) = self.catalog.home(&used.tenant) else { continue };
            let _one = home.changing.lock().await;
            // A revocation may have come meanwhile: what is in the book now is what is true.
            let Some(record) = self.tokens.token(&used.id) else { continue };
            home.store.commit(Batch::new().put(TOKENS, used.id.as_str(), shelf::encode(&record)?)).await?;
        }
        Ok(())
    }
}

/// Draws a secret and makes its record.
pub(crate) fn draw(
    entropy: &dyn Entropy,
    now: Timestamp,
    tenant: &TenantId,
    new: NewToken,
    issuer: Issuer<'_>,
) -> Result<CreatedToken, ControlError> {
    let failed = |e: model::EntropyError| ControlError::Internal(e.to_string());
    let id = TokenId::generate(entropy).map_err(failed)?;
    let secret = TokenSecret::generate(entropy).map_err(failed)?;
    let issue = Issue {
        kind: new.kind,
        tenant: tenant.clone(),
        name: new.name,
        roles: new.roles,
        scopes: new.scopes,
        expires_at: now.plus_ms(new.days * 86_400_000),
    };
    let record = TokenRecord::issue(id, secret.hash(), issue, issuer, now).map_err(|error| match error {
        IssueError::Role(_) | IssueError::WiderScope(_) => {
            ControlError::Refused(Refused::Forbidden { code: "escalation", reason: error.to_string() })
        }
        other => ControlError::Invalid { code: "token-invalid", message: other.to_string() },
    })?;
    Ok(CreatedToken { text: secret.reveal(), record })
}
