//! `token`, `session` and `tenant`: who is there. It never shows a token twice.

use gateway::api::{CreateTenant, CreateToken, IssuedToken, RotateToken, SessionInfo, TokenInfo};
use model::{PrincipalKind, TokenId, TrustLabel};

use super::{Context, functions::day_and_minute, limits::limits, recover};
use crate::{
    cli::{Kind, Sessions, Tenant, Token, TokenCreate},
    client::Client,
    clock,
    exit::{Exit, Failure},
    output::{Ink, Output, harmless},
    session::{Secret, Session},
};

/// `token …`
pub(super) async fn token(context: &Context, args: Token) -> Result<(), Failure> {
    let out = &context.out;
    if let Token::Recover(args) = &args {
        return recover::recover(context, args).await;
    }
    let client = context.client()?;
    match args {
        Token::Create(args) => {
            let issued = client.create_token(&asked(args)).await?;
            show(out, &issued);
        }
        Token::Rotate { which, overlap, days } => rotate(context, &client, &which, overlap, days).await?,
        // Answered above: it speaks to no node.
        Token::Recover(_) => {}
        Token::List => {
            let found = client.tokens().await?;
            out.answer(&found, |found| {
                let rows: Vec<Vec<String>> = found.tokens.iter().map(token_row).collect();
                out.table(&["ID", "NAME", "KIND", "ROLES", "SCOPES", "EXPIRES", "LAST USED"], &rows)
            });
        }
        Token::Revoke { id } => {
            client.revoke_token(&id).await?;
            out.answer(&serde_json::json!({ "revoked": id }), |_| format!("revoked {id}"));
        }
    }
    Ok(())
}

fn show(out: &Output, issued: &IssuedToken) {
    if out.is_json() {
        out.json(issued);
        return;
    }
    out.say(&issued.secret);
    out.note(format!("id {}, until {}", issued.token.id, issued.token.expires_at));
    out.note("this is the only time that it is shown; only a hash of it is kept");
}

async fn rotate(
    context: &Context,
    client: &Client,
    which: &str,
    overlap_s: u64,
    days: Option<u64>,
) -> Result<(), Failure> {
    let (out, old) = (&context.out, live_token(&client.tokens().await?.tokens, which)?);
    // Asked before the overlap begins: with none, the old token is good for nothing afterwards.
    let own = client.whoami().await?.principal.token == Some(old.clone());
    let issued = client.rotate_token(&old, &RotateToken { overlap_s, days }).await?;
    show(out, &issued);
    match overlap_s {
        0 => out.note(format!("{old} has ended")),
        _ => out.note(format!("{old} ends in {overlap_s} s at the latest")),
    }
    if own && client.session().is_saved {
        let session = Session { token: Some(Secret::new(&issued.secret)), ..client.session().clone() };
        out.note(format!("your login has the new one: {}", session.save()?.display()));
    }
    Ok(())
}

/// The one live token of an id or a principal's name.
fn live_token(tokens: &[TokenInfo], which: &str) -> Result<TokenId, Failure> {
    let now = clock::now();
    let live = |token: &&TokenInfo| token.revoked_at.is_none() && token.expires_at > now;
    let by_id = tokens.iter().find(|token| token.id.as_str() == which);
    let found: Vec<&TokenInfo> = match by_id {
        Some(token) => vec![token],
        None => tokens.iter().filter(|token| token.name == which).filter(live).collect(),
    };
    match found.as_slice() {
        [one] => Ok(one.id.clone()),
        [] => Err(Failure::new(Exit::Failed, format!("nobody called `{which}` has a live token"))
            .next("`casemate token list` shows them all")),
        several => {
            let ids: Vec<&str> = several.iter().map(|token| token.id.as_str()).collect();
            Err(Failure::new(Exit::Failed, format!("`{which}` has {} live tokens", several.len()))
                .next(format!("name one by its id: {}", ids.join(", "))))
        }
    }
}

/// A role without a scope would be good for nothing, so a role brings all scopes unless some are named.
fn asked(args: TokenCreate) -> CreateToken {
    let scopes = match (args.scopes.is_empty(), args.roles.is_empty()) {
        (false, _) => args.scopes,
        (true, true) => vec!["invoke".to_owned()],
        (true, false) => vec!["*".to_owned()],
    };
    let kind = match args.kind {
        Kind::User => PrincipalKind::User,
        Kind::Service => PrincipalKind::Service,
    };
    CreateToken { name: args.name, kind, roles: args.roles, scopes, days: args.days }
}

fn token_row(token: &TokenInfo) -> Vec<String> {
    let roles: Vec<&str> = token.roles.iter().map(|role| role.as_str()).collect();
    vec![
        token.id.to_string(),
        token.name.clone(),
        format!("{:?}", token.kind).to_lowercase(),
        if roles.is_empty() { "–".into() } else { roles.join(",") },
        token.scopes.join(","),
        day_and_minute(token.expires_at),
        token.last_used_at.map_or_else(|| "never".into(), day_and_minute),
    ]
}

/// `session …`
pub(super) async fn sessions(context: &Context, args: Sessions) -> Result<(), Failure> {
    let (out, client) = (&context.out, context.client()?);
    match args {
        Sessions::List => {
            let found = client.sessions().await?;
            out.answer(&found, |found| {
                let rows: Vec<Vec<String>> = found.sessions.iter().map(session_row).collect();
                out.table(&["ID", "NAME", "ROLES", "SCOPES", "OPENED", "ENDS"], &rows)
            });
        }
        Sessions::Revoke { id } => {
            client.revoke_session(&id).await?;
            out.answer(&serde_json::json!({ "revoked": id }), |_| format!("revoked {id}"));
        }
    }
    Ok(())
}

fn session_row(session: &SessionInfo) -> Vec<String> {
    let roles: Vec<&str> = session.roles.iter().map(|role| role.as_str()).collect();
    let ends =
        if session.revoked_at.is_some() { "revoked".into() } else { day_and_minute(session.expires_at) };
    vec![
        session.id.to_string(),
        harmless(&session.name),
        roles.join(","),
        session.scopes.join(","),
        day_and_minute(session.created_at),
        ends,
    ]
}

/// A tenant with what is in force for it.
fn stands(tenant: &model::Tenant) -> String {
    let model::TenantShield { allow, deny, rate } = &tenant.shield;
    let mut said = format!("{} may have {} runs at once", tenant.id, tenant.concurrency);
    if !allow.is_empty() {
        said.push_str(&format!("\nonly for {}", allow.join(", ")));
    }
    if !deny.is_empty() {
        said.push_str(&format!("\nnot for {}", deny.join(", ")));
    }
    for (who, rate) in [("source", rate.source), ("caller", rate.caller), ("tenant", rate.tenant)] {
        let Some(rate) = rate else { continue };
        let burst = rate.burst.unwrap_or(rate.requests);
        said.push_str(&format!("\na {who} {} times in {} s, {burst} at once", rate.requests, rate.seconds));
    }
    said
}

/// `tenant …`
pub(super) async fn tenant(context: &Context, args: Tenant) -> Result<(), Failure> {
    let out = &context.out;
    let client = context.client()?;
    match args {
        Tenant::Create { id, trust, concurrency } => {
            let request = CreateTenant { id, trust: TrustLabel(trust), concurrency };
            let made = client.create_tenant(&request).await?;
            out.answer(&made, |made| {
                format!(
                    "made {}; act in it with `--tenant {}`",
                    out.paint(Ink::Strong, made.id.as_str()),
                    made.id
                )
            });
        }
        Tenant::Set { id, concurrency, allow, deny, rate } => {
            let limits = limits(concurrency, allow, deny, &rate)?;
            let set = client.limit_tenant(&id, &limits).await?;
            out.answer(&set, stands);
        }
        Tenant::List => {
            let found = client.tenants().await?;
            out.answer(&found, |found| {
                let row = |t: &model::Tenant| {
                    let (made, most) = (day_and_minute(t.created_at), t.concurrency.to_string());
                    vec![t.id.to_string(), t.trust.0.clone(), most, made]
                };
                let rows: Vec<Vec<String>> = found.tenants.iter().map(row).collect();
                out.table(&["TENANT", "TRUST", "CONCURRENCY", "MADE"], &rows)
            });
        }
    }
    Ok(())
}
