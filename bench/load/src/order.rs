//! What can be ordered, as JSON. It never does it.

use std::net::SocketAddr;

use serde::Deserialize;

/// One order.
#[derive(Debug, Deserialize)]
#[serde(tag = "order", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Order {
    /// Serve `Hello, world!` with nothing but hyper, until killed. Prints `{"port": …}` at once.
    Hyper {},
    /// Send at a rate, whether answers come or not.
    OpenLoop { to: To, run: OpenLoop },
    /// Call each path once, one after the other, on one connection.
    EachOnce { to: To, paths: Vec<String> },
    /// Deploy functions one after the other through the control API.
    Deploys { to: To, run: Deploys },
    /// Misbehave for a while.
    Attack { to: To, run: Attack },
    /// Decide by policies, in this process.
    Decisions { wanted: Decisions },
}

/// Decisions in a tenant of so many policies and principals.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Decisions {
    pub(crate) policies: usize,
    pub(crate) principals: usize,
    pub(crate) decisions: usize,
}

/// Where to, and as whom.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct To {
    /// A loopback address.
    pub(crate) address: SocketAddr,
    /// The authority (PEM) of a TLS server; plain without.
    #[serde(default)]
    pub(crate) ca: Option<String>,
    /// Bearer tokens, taken in turn by connections.
    #[serde(default)]
    pub(crate) tokens: Vec<String>,
    /// Loopback addresses of its own to come from, taken in turn; with none it comes from the system's.
    #[serde(default)]
    pub(crate) sources: u8,
}

/// A rate of requests that does not wait for answers.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OpenLoop {
    pub(crate) path: String,
    pub(crate) connections: usize,
    pub(crate) rate_per_s: f64,
    pub(crate) seconds: f64,
    /// Print a line of JSON with the samples of each such piece of time, in milliseconds.
    #[serde(default)]
    pub(crate) windows_ms: Option<u64>,
}

/// Many functions.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Deploys {
    /// A component on disk; each function gets it with a custom section of its own, so that no two are equal.
    pub(crate) component: String,
    /// The names are this and a number.
    pub(crate) prefix: String,
    pub(crate) first: usize,
    pub(crate) count: usize,
}

/// A misbehaviour.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Attack {
    pub(crate) kind: String,
    /// Where `kind` is `guest`: what is called.
    #[serde(default)]
    pub(crate) path: String,
    pub(crate) connections: usize,
    pub(crate) seconds: f64,
}

#[cfg(test)]
mod tests {
    use super::Order;

    #[test]
    fn orders_are_read_and_others_refused() {
        let good = r#"{"order":"each-once","to":{"address":"127.0.0.1:1"},"paths":["/a"]}"#;
        assert!(matches!(serde_json::from_str(good), Ok(Order::EachOnce { .. })));
        for bad in [
            r#"{"order":"each-once","to":{"address":"127.0.0.1:1","tolkens":[]},"paths":[]}"#,
            r#"{"order":"each-twice","to":{"address":"127.0.0.1:1"},"paths":[]}"#,
            r#"{"order":"hyper","port":1}"#,
        ] {
            assert!(serde_json::from_str::<Order>(bad).is_err(), "{bad}");
        }
    }
}
