//! How often anyone may ask: the rates in a node's configuration. They only ever go below the product's own.

use model::limits;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shield::ShieldConfig;

use super::{Wrong, within};

/// How often anyone may ask. Whoever asks more often gets 429 and is told when to come again.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawRates {
    /// Connections a second of one source address, at each of the node's ports. 100 by default, at most 100000. Those
    /// above it wait before their handshake; whoever forwards many clients' connections wants more.
    connections_per_second: Option<u64>,
    /// How many connections of one source may come at once. 250 by default, at most 100000.
    connections_at_once: Option<u64>,
    /// Requests a second of one source address. 50000 by default, which is the most.
    source_per_second: Option<u64>,
    /// How many of one source may come at once. 10000 by default, which is the most.
    source_at_once: Option<u64>,
    /// Requests a second of one caller. 50000 by default, which is the most.
    caller_per_second: Option<u64>,
    /// How many of one caller may come at once. 10000 by default, which is the most.
    caller_at_once: Option<u64>,
    /// Credentials that do not hold, a minute of one source address. 60 by default, which is the most.
    failed_proofs_per_minute: Option<u64>,
}

/// Rates that hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Rates {
    connection: (u32, u32),
    source: (u32, u32),
    caller: (u32, u32),
    failed_proofs_per_minute: u32,
}

impl Rates {
    /// # Errors
    /// The key whose value is out of its range.
    pub(super) fn prove(raw: &RawRates) -> Result<Self, Wrong> {
        let rate = |key: &str, value: Option<u64>, most: u32| -> Result<u32, Wrong> {
            let value = within(key, value.unwrap_or(most.into()), 1..=most.into())?;
            Ok(u32::try_from(value).unwrap_or(most))
        };
        let connections = |key: &str, value: Option<u64>, usual: u32| {
            rate(key, Some(value.unwrap_or(usual.into())), limits::CONNECTION_RATE_MAX)
        };
        let (source, caller) = (limits::SOURCE_RATE, limits::CALLER_RATE);
        let usual = limits::CONNECTION_RATE;
        Ok(Self {
            connection: (
                connections("rates.connections_per_second", raw.connections_per_second, usual.0)?,
                connections("rates.connections_at_once", raw.connections_at_once, usual.1)?,
            ),
            source: (
                rate("rates.source_per_second", raw.source_per_second, source.0)?,
                rate("rates.source_at_once", raw.source_at_once, source.1)?,
            ),
            caller: (
                rate("rates.caller_per_second", raw.caller_per_second, caller.0)?,
                rate("rates.caller_at_once", raw.caller_at_once, caller.1)?,
            ),
            failed_proofs_per_minute: rate(
                "rates.failed_proofs_per_minute",
                raw.failed_proofs_per_minute,
                limits::FAILED_PROOFS_PER_MINUTE,
            )?,
        })
    }

    /// The shield's configuration with these rates.
    pub(crate) fn shield(self) -> ShieldConfig {
        ShieldConfig {
            connection_rate: self.connection,
            source_rate: self.source,
            caller_rate: self.caller,
            failed_proofs_per_minute: self.failed_proofs_per_minute,
            ..ShieldConfig::default()
        }
    }
}
