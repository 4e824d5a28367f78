//! `login`, `logout` and `whoami`. It never prints a token.

use std::{io::IsTerminal, path::Path};

use gateway::api::WhoAmI;

use super::{Context, oidc};
use crate::{
    cli::Login,
    client::Client,
    exit::{Exit, Failure},
    output::{Ink, Output, harmless},
    session::{Session, read_stdin},
};

/// Proves a credential to the node, then saves it with the node's address and certificate.
pub(super) async fn login(context: &Context, args: &Login) -> Result<(), Failure> {
    if args.oidc {
        return oidc::login(context, args).await;
    }
    let out = &context.out;
    let given = context.global.token_file.is_some() || std::env::var_os("CASEMATE_TOKEN").is_some();
    let mut session = Session { bound: None, ..Session::open(&context.global)? };
    if !given {
        if std::io::stdin().is_terminal() {
            out.note("token (one line):");
        }
        session.token = Some(read_stdin()?);
    }
    if session.token.as_ref().is_none_or(|token| token.expose().is_empty()) {
        return Err(Failure::new(Exit::Unauthenticated, "no token was given")
            .next("give it with `--token-file FILE`, in CASEMATE_TOKEN or on stdin"));
    }
    let client = Client::new(session.clone())?;
    let me = client.whoami().await?;
    if context.global.tenant.is_none()
        && let Some(tenant) = &me.principal.tenant
    {
        session.tenant = tenant.clone();
    }
    let path = session.save()?;
    if let (true, Some(file)) = (args.consume, &context.global.token_file)
        && file != Path::new("-")
    {
        std::fs::remove_file(file).map_err(|e| Failure::file("delete", file, &e))?;
    }
    if out.is_json() {
        out.json(
            &serde_json::json!({ "saved": path, "node": session.node, "tenant": session.tenant, "who": me }),
        );
    } else {
        out.say(describe(out, &session, &me));
        out.note(format!("saved in {}", path.display()));
    }
    Ok(())
}

/// Ends the session at the node and forgets it here; without one, forgets the saved token.
pub(super) async fn logout(context: &Context) -> Result<(), Failure> {
    let out = &context.out;
    // Whatever stands in the environment is not what was logged in with.
    let session = Session::saved(&context.global)?;
    let Some(session) = session else {
        return Err(Failure::new(Exit::Unauthenticated, "nobody is logged in here")
            .next("`casemate whoami` says whom a token of the environment proves"));
    };
    let Some(bound) = session.bound.clone() else {
        session.forget(true)?;
        out.answer(&serde_json::json!({ "forgotten": "token" }), |_| {
            "the saved token is forgotten here, and still good: `casemate token revoke ID` ends it".into()
        });
        return Ok(());
    };
    let ended = Client::new(session.clone())?.log_out().await;
    // It may have ended by itself, or the node may be gone: here it is forgotten in any case.
    let token_stays = session.forget(false)?;
    match ended {
        Err(failure) if failure.exit != Exit::Unauthenticated => return Err(failure),
        _ => {}
    }
    out.answer(&serde_json::json!({ "ended": bound.id }), |_| {
        format!("logged out; session {} is over", bound.id)
    });
    if token_stays {
        out.note("the API token that was saved before is what counts now; `casemate logout` forgets it too");
    }
    Ok(())
}

/// Asks the node whom the credential proves.
pub(super) async fn whoami(context: &Context) -> Result<(), Failure> {
    let client = context.client()?;
    let me = client.whoami().await?;
    context.out.answer(&me, |me| describe(&context.out, client.session(), me));
    Ok(())
}

pub(super) fn describe(out: &Output, session: &Session, me: &WhoAmI) -> String {
    let roles: Vec<&str> = me.principal.roles.iter().map(|role| role.as_str()).collect();
    let mut fields = vec![
        ("who", out.paint(Ink::Strong, &me.entity)),
        ("roles", if roles.is_empty() { "none".into() } else { roles.join(", ") }),
        ("scopes", me.principal.scopes.join(", ")),
        ("tenant", session.tenant.to_string()),
        ("node", session.node.clone()),
    ];
    if let Some(credential) = &me.credential {
        let at = credential.issuer.as_ref().map(|at| format!(", logged in at {at}")).unwrap_or_default();
        fields.push(("by", harmless(&format!("{} {}{at}", credential.kind, credential.id))));
        fields.push(("until", credential.expires_at.to_string()));
    }
    out.fields(&fields)
}
