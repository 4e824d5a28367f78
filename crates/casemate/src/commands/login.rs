//! `login` and `whoami`. It never prints a token.

use std::{io::IsTerminal, path::Path};

use gateway::api::WhoAmI;

use super::Context;
use crate::{
    cli::Login,
    client::Client,
    exit::{Exit, Failure},
    output::{Ink, Output},
    session::{Session, read_stdin},
};

/// Proves a credential to the node, then saves it with the node's address and certificate.
pub(super) async fn login(context: &Context, args: &Login) -> Result<(), Failure> {
    let out = &context.out;
    let given = context.global.token_file.is_some() || std::env::var_os("CASEMATE_TOKEN").is_some();
    let mut session = Session::open(&context.global)?;
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

/// Asks the node whom the credential proves.
pub(super) async fn whoami(context: &Context) -> Result<(), Failure> {
    let client = context.client()?;
    let me = client.whoami().await?;
    context.out.answer(&me, |me| describe(&context.out, client.session(), me));
    Ok(())
}

fn describe(out: &Output, session: &Session, me: &WhoAmI) -> String {
    let roles: Vec<&str> = me.principal.roles.iter().map(|role| role.as_str()).collect();
    out.fields(&[
        ("who", out.paint(Ink::Strong, &me.entity)),
        ("roles", if roles.is_empty() { "none".into() } else { roles.join(", ") }),
        ("scopes", me.principal.scopes.join(", ")),
        ("tenant", session.tenant.to_string()),
        ("node", session.node.clone()),
    ])
}
