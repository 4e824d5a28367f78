//! The way without a browser on this machine (RFC 8628). It never asks more often than the provider says.

use std::time::Duration;

use gateway::api::LoginWhy;
use serde::Deserialize;
use tokio::time::Instant;

use super::{
    Stopped,
    provider::{Provider, Unanswered, safe},
};
use crate::{
    exit::{Exit, Failure},
    output::{Ink, Output, harmless},
    session::Secret,
};

/// What the grant is called (RFC 8628 §3.4).
const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// How long to wait between two questions where the provider does not say, and how much longer where it says
/// `slow_down` (RFC 8628 §3.2, §3.5), in seconds.
const STEP_S: u64 = 5;
/// The longest between two questions, in seconds.
const INTERVAL_S_MAX: u64 = 60;
/// The longest that a code is waited for, in seconds, whatever the provider says.
const EXPIRES_S_MAX: u64 = 1_800;

/// What the provider gives (RFC 8628 §3.2).
#[derive(Deserialize)]
struct Device {
    device_code: String,
    user_code: String,
    verification_uri: String,
    verification_uri_complete: Option<String>,
    expires_in: u64,
    interval: Option<u64>,
}

/// Shows a code and an address, and waits until somebody types the one at the other.
pub(super) async fn log_in(out: &Output, provider: &Provider, nonce: &str) -> Result<Secret, Stopped> {
    let place = provider.metadata.device_authorization_endpoint.as_deref();
    let place = place.ok_or_else(|| {
        let failure = Failure::new(Exit::Failed, "the provider has no way for devices to log in");
        Stopped { why: Some(LoginWhy::Failed), failure: failure.next("log in with `casemate login --oidc`") }
    })?;
    let scopes = provider.offer.scopes.join(" ");
    let asked = provider.post::<Device>(place, &[("scope", &scopes), ("nonce", nonce)]).await;
    let device = asked.map_err(Stopped::from)?;
    show(out, &device)?;
    let _waiting = out.spinner("waiting for somebody to log in there");
    let end = Instant::now() + Duration::from_secs(device.expires_in.min(EXPIRES_S_MAX));
    let mut interval_s = device.interval.unwrap_or(STEP_S).clamp(1, INTERVAL_S_MAX);
    loop {
        tokio::time::sleep(Duration::from_secs(interval_s)).await;
        if Instant::now() >= end {
            return Err(expired());
        }
        let form = [("grant_type", GRANT), ("device_code", device.device_code.as_str())];
        let refusal = match provider.redeem(&form).await {
            Ok(id_token) => return Ok(id_token),
            Err(Unanswered::Refused(refusal)) => refusal,
            Err(Unanswered::Nothing(stopped)) if stopped.failure.exit == Exit::Unreachable => {
                //= RFC 8628 §3.5: on a connection timeout, clients must poll less often
                interval_s = (interval_s * 2).min(INTERVAL_S_MAX);
                continue;
            }
            Err(Unanswered::Nothing(stopped)) => return Err(stopped),
        };
        match refusal.error.as_str() {
            "authorization_pending" => {}
            "slow_down" => interval_s = (interval_s + STEP_S).min(INTERVAL_S_MAX),
            "expired_token" => return Err(expired()),
            "access_denied" => return Err(Stopped::new(LoginWhy::Denied, "whoever was asked said no")),
            _ => return Err(Unanswered::Refused(refusal).into()),
        }
    }
}

fn expired() -> Stopped {
    Stopped::new(LoginWhy::Expired, "nobody typed the code in time")
}

fn show(out: &Output, device: &Device) -> Result<(), Stopped> {
    safe(&device.verification_uri)?;
    let whole = device.verification_uri_complete.as_deref().filter(|whole| safe(whole).is_ok());
    let (address, code) = (harmless(&device.verification_uri), harmless(&device.user_code));
    if out.is_json() {
        out.json_line(&serde_json::json!({
            "verification_uri": address, "user_code": code, "verification_uri_complete": whole,
        }));
    } else {
        let code = out.paint(Ink::Strong, &code);
        out.note(format!("open {address}\nand type   {code}"));
        if let Some(whole) = whole {
            out.note(format!("or open    {}", harmless(whole)));
        }
    }
    Ok(())
}
