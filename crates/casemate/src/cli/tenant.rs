//! The words of `tenant`. It never decides what they mean.

use clap::Subcommand;
use model::TenantId;

/// `tenant …`
#[derive(Debug, Subcommand)]
pub(crate) enum Tenant {
    /// Make a tenant
    #[command(after_help = "Example:\n  casemate tenant create acme --trust acme-only")]
    Create {
        /// Its id: a DNS label
        id: TenantId,
        /// Which tenants it may share a worker process with: those of the same label
        #[arg(long, default_value = "shared", value_name = "LABEL")]
        trust: String,
        /// Runs of all its functions at once; 500 unless the node allows fewer
        #[arg(long, value_name = "RUNS")]
        concurrency: Option<u64>,
    },
    /// Change how much a tenant may have, whose requests its functions take, and how often
    #[command(
        after_help = "Example:\n  casemate tenant set acme --concurrency 50 --deny set:bots --rate source=20/1:40"
    )]
    Set {
        /// The tenant
        id: TenantId,
        /// Runs of all its functions at once, under the node's `tenants.concurrency`
        #[arg(long, value_name = "RUNS")]
        concurrency: Option<u64>,
        /// Only these sources may ask, in place of those before: a range, or `set:NAME`; `all` for everyone
        #[arg(long, value_name = "RANGE")]
        allow: Vec<String>,
        /// These may not, in place of those before; `none` for nobody
        #[arg(long, value_name = "RANGE")]
        deny: Vec<String>,
        /// `source`, `caller` or `tenant`, in place of all rates before; `none` for no rate
        #[arg(long, value_name = "WHO=REQUESTS/SECONDS[:BURST]")]
        rate: Vec<String>,
    },
    /// List tenants
    #[command(after_help = "Example:\n  casemate tenant list")]
    List,
}
