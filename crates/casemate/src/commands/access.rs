//! `token`, `tenant` and `policy`: who is there and what they may do. It never shows a token twice.

use gateway::api::{CreateTenant, CreateToken, PolicyText, TokenInfo};
use model::{PrincipalKind, TrustLabel};

use super::{Context, functions::day_and_minute, read_text};
use crate::{
    cli::{Kind, Policy, Tenant, Token, TokenCreate},
    exit::{Exit, Failure},
    output::Ink,
};

/// `token …`
pub(super) async fn token(context: &Context, args: Token) -> Result<(), Failure> {
    let out = &context.out;
    let client = context.client()?;
    match args {
        Token::Create(args) => {
            let issued = client.create_token(&asked(args)).await?;
            if out.is_json() {
                out.json(&issued);
                return Ok(());
            }
            out.say(&issued.secret);
            out.note(format!("id {}, until {}", issued.token.id, issued.token.expires_at));
            out.note("this is the only time that it is shown; only a hash of it is kept");
        }
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

/// `tenant …`
pub(super) async fn tenant(context: &Context, args: Tenant) -> Result<(), Failure> {
    let out = &context.out;
    let client = context.client()?;
    match args {
        Tenant::Create { id, trust } => {
            let made = client.create_tenant(&CreateTenant { id, trust: TrustLabel(trust) }).await?;
            out.answer(&made, |made| {
                format!(
                    "made {}; act in it with `--tenant {}`",
                    out.paint(Ink::Strong, made.id.as_str()),
                    made.id
                )
            });
        }
        Tenant::List => {
            let found = client.tenants().await?;
            out.answer(&found, |found| {
                let row = |t: &model::Tenant| {
                    vec![t.id.to_string(), t.trust.0.clone(), day_and_minute(t.created_at)]
                };
                let rows: Vec<Vec<String>> = found.tenants.iter().map(row).collect();
                out.table(&["TENANT", "TRUST", "MADE"], &rows)
            });
        }
    }
    Ok(())
}

/// `policy …`
pub(super) async fn policy(context: &Context, args: Policy) -> Result<(), Failure> {
    let out = &context.out;
    match args {
        Policy::Get => {
            let found = context.client()?.policy().await?;
            out.answer(&found, |found| found.text.clone());
        }
        Policy::Set { file } => {
            let text = read_text(&file)?;
            let client = context.client()?;
            client.set_policy(&PolicyText { text }).await?;
            let tenant = &client.session().tenant;
            let answer = serde_json::json!({ "tenant": tenant, "set": true });
            out.answer(&answer, |_| format!("the policies of {tenant} are in force"));
        }
        Policy::Check { file } => {
            let text = read_text(&file)?;
            check(&text, &file)?;
            let answer = serde_json::json!({ "file": file, "valid": true });
            out.answer(&answer, |_| format!("{}: {}", file.display(), out.paint(Ink::Good, "holds")));
        }
    }
    Ok(())
}

/// Any tenant will do: what a policy may say is the same for all.
fn check(text: &str, file: &std::path::Path) -> Result<(), Failure> {
    let tenant = "default".parse().map_err(|e: model::IdError| Failure::new(Exit::Failed, e))?;
    let checked = policy::TenantPolicies::parse(tenant, text).map(drop);
    checked.map_err(|errors| {
        let one = |error: &policy::PolicyError| {
            let place = match error.at {
                Some((line, column)) => format!("{}:{line}:{column}", file.display()),
                None => file.display().to_string(),
            };
            let help = error.suggestion.as_ref().map(|text| format!(" ({text})")).unwrap_or_default();
            format!("{place}: {}{help}", error.message)
        };
        let all: Vec<String> = errors.0.iter().map(one).collect();
        Failure::new(Exit::Invalid, all.join("\n"))
            .next("the schema's entities are Function, Tenant, Node, User, Service and Role")
    })
}
