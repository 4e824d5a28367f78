//! Names to addresses, behind a trait so that a test can lie. It never judges an address: `address` does.

use std::{future::Future, io, net::IpAddr, pin::Pin};

/// The addresses of a name, or why there are none.
pub type Resolved = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Where addresses come from. Asked once for each call; what it answered then is what is connected to.
pub trait Resolve: Send + Sync + 'static {
    /// Looks a name up. It is in lowercase and no address.
    fn resolve(&self, name: &str) -> Resolved;
}

/// The resolver of the system: hosts file, name servers.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, name: &str) -> Resolved {
        let name = name.to_owned();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}
