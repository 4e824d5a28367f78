//! `login --oidc`: proves to a tenant's provider who sits here, and to the node that it was this key that asked. It
//! never shows a token, and no provider sees the node's.

mod browser;
mod device;
mod provider;

use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use gateway::api::{LoginFlow, LoginProvider, LoginWhy, OpenSession};
use keyring::{ProofKey, SystemEntropy};

use self::provider::Provider;
use super::{Context, login::describe};
use crate::{
    cli::Login,
    client::Client,
    exit::{Exit, Failure},
    proof::{BoundSession, random, thumbprint},
    session::{Secret, Session, save_key},
};

/// A login that came to nothing: what to tell the node of it, and whoever sits here.
struct Stopped {
    why: Option<LoginWhy>,
    failure: Failure,
}

impl Stopped {
    fn new(why: LoginWhy, message: impl std::fmt::Display) -> Self {
        let failure = Failure::new(Exit::Unauthenticated, message);
        Self { why: Some(why), failure: failure.next("try again with `casemate login --oidc`") }
    }
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self { why: None, failure }
    }
}

/// `login --oidc`
pub(super) async fn login(context: &Context, args: &Login) -> Result<(), Failure> {
    let out = &context.out;
    let saved = Session::open(&context.global)?;
    // A token of the environment is not saved by this; one that was saved stays beside the session.
    let token = saved.token.clone().filter(|_| saved.is_saved);
    let session = Session { token: None, bound: None, ..saved };
    let client = Client::new(session.clone())?;
    let offer = client.login_provider().await?;
    let key = ProofKey::generate(&SystemEntropy).map_err(|e| Failure::new(Exit::Failed, e))?;
    let seed = random()?;
    let nonce = identity::login_nonce(&thumbprint(&key), &seed);
    let id_token = match ask(context, args, &offer, &nonce).await {
        Ok(id_token) => id_token,
        Err(stopped) => {
            if let Some(why) = stopped.why {
                // The record should have it; whoever sits here is told what happened all the same.
                let _untold = client.login_failed(why).await;
            }
            return Err(stopped.failure);
        }
    };
    let asked =
        OpenSession { id_token: id_token.expose().to_owned(), nonce_seed: BASE64URL_NOPAD.encode(&seed) };
    let opened = client.open_session(&asked, &key).await?;
    save_key(&key)?;
    let (id, until) = (opened.session.id, opened.session.expires_at);
    let bound = Some(Arc::new(BoundSession { id, secret: Secret::new(&opened.secret), key, until }));
    let session = Session { token, bound, is_saved: true, ..session };
    let path = session.save()?;
    let me = Client::new(session.clone())?.whoami().await?;
    if out.is_json() {
        let (node, tenant) = (&session.node, &session.tenant);
        out.json_line(&serde_json::json!({ "saved": path, "node": node, "tenant": tenant, "who": me }));
    } else {
        out.say(describe(out, &session, &me));
        out.note(format!("saved in {}; `casemate logout` ends it", path.display()));
    }
    Ok(())
}

/// Asks the provider for an ID token, one way or the other.
async fn ask(context: &Context, args: &Login, offer: &LoginProvider, nonce: &str) -> Result<Secret, Stopped> {
    let has = |flow| offer.flows.contains(&flow);
    let flow = if args.device || !has(LoginFlow::Code) { LoginFlow::Device } else { LoginFlow::Code };
    if !has(flow) {
        let failure = Failure::new(Exit::Usage, "the tenant's login takes no `--device`");
        return Err(failure.next("log in with `casemate login --oidc`").into());
    }
    let provider = Provider::discover(offer, args.provider_ca.as_deref()).await?;
    match flow {
        LoginFlow::Code => browser::log_in(&context.out, &provider, nonce, args.no_browser).await,
        LoginFlow::Device => device::log_in(&context.out, &provider, nonce).await,
    }
}
