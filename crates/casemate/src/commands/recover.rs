//! `token recover`: an administrator's token from a stopped node's data folder. It never speaks to a node.

use std::sync::Arc;

use keyring::SystemEntropy;
use model::Entropy;

use super::{Context, up::read_config};
use crate::{
    cli::Recover,
    clock::SystemClock,
    config::Overrides,
    exit::{Exit, Failure},
    node::{not_started, open_store},
};

/// `token recover`
pub(super) async fn recover(context: &Context, args: &Recover) -> Result<(), Failure> {
    let out = &context.out;
    let over = Overrides { data: args.data.clone(), ..Overrides::default() };
    let config = read_config(args.config.as_deref(), &over)?;
    if !config.data.join("store").exists() {
        let data = config.data.display();
        return Err(Failure::new(Exit::NotStarted, format!("no node keeps its data in `{data}`"))
            .next("name its folder with `--data`, or its configuration with `--config`"));
    }
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let sealed = open_store(&config, &entropy).await?;
    let done = platform::recover(&sealed, Arc::new(SystemClock), &*entropy, args.revoke_others).await;
    let done = done.map_err(|e| not_started(&e))?;
    let record = &done.created.record;
    if out.is_json() {
        out.json(&serde_json::json!({
            "id": record.id,
            "name": record.name,
            "tenant": record.tenant,
            "roles": record.roles,
            "expires_at": record.expires_at,
            "secret": done.created.text.as_str(),
            "revoked": done.revoked,
        }));
        return Ok(());
    }
    out.say(done.created.text.as_str());
    out.note(format!("id {}, for {}, until {}", record.id, record.principal(), record.expires_at));
    for id in &done.revoked {
        out.note(format!("revoked {id}"));
    }
    let ca = config.data.join("ca.pem");
    out.note(format!(
        "start the node with `casemate up`, then give this to\n  casemate login --node https://{} --ca {}",
        config.control,
        ca.display()
    ));
    Ok(())
}
