//! The words of `policy`. It never decides what they mean.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use model::{FunctionName, RequestId, Timestamp, limits::GLASS_MINUTES_MAX};
use policy::Action;

use super::parse_time;

pub(super) const POLICY: &str = "\
Example:
  casemate policy check tenant.cedar --function ./hello
  casemate policy test policies.toml
  casemate policy diff old.cedar new.cedar --function ./hello
  casemate policy set new.cedar

docs/policies.md has the layers, the schema, the tools and the proofs.";

const EXPLAIN: &str = "\
Example:
  casemate policy explain 01jd3c5m7q8r9s0t1v2w3x4y5z
  casemate policy explain --policies t.cedar --function ./f --who alice --do invoke --on f

Of a past request it shows what the node's record has; without an id it decides offline.";

const GLASS: &str = "\
Example:
  casemate policy break-glass --for alice --action readLogs --reason incident-12 --minutes 30

It ends by itself. Guard rails and forbids stand above it. It is in the record when it is given,
used and ended, and each use is a warning in the node's log.";

/// `policy …`
#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// Print the tenant's own policies
    #[command(after_help = "Example:\n  casemate policy get > tenant.cedar")]
    Get,
    /// Replace the tenant's own policies
    #[command(after_help = "Example:\n  casemate policy set tenant.cedar")]
    Set {
        /// Cedar text; `-` reads it from stdin
        file: PathBuf,
        /// Go on where they let in whom the policies refuse now
        #[arg(long, conflicts_with = "propose")]
        accept_widening: bool,
        /// Leave it to a second person: `casemate policy approve`
        #[arg(long)]
        propose: bool,
    },
    /// Check policies against the schema, and find those that have no effect, offline
    #[command(after_help = "Example:\n  casemate policy check tenant.cedar --function ./hello")]
    Check {
        /// Cedar text of the tenant; `-` reads it from stdin
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// A function's folder, whose own policies stand below them; may be repeated
        #[arg(long = "function", value_name = "DIR")]
        functions: Vec<PathBuf>,
        /// Fail where a policy has no effect
        #[arg(long)]
        strict: bool,
    },
    /// Hold policies against a table of who may do what, offline: for pipelines
    #[command(after_help = "Example:\n  casemate policy test policies.toml")]
    Test {
        /// The table, as docs/policies.md has it
        table: PathBuf,
    },
    /// Say why something is or was decided as it is: which policy, and which of its clauses failed
    #[command(after_help = EXPLAIN)]
    Explain {
        /// The request, as an answer's `x-request-id` and the record name it
        #[arg(value_name = "REQUEST-ID", conflicts_with = "who")]
        request: Option<RequestId>,
        #[command(flatten)]
        offline: Offline,
        #[command(flatten)]
        asked: Box<Asked>,
    },
    /// Prove that new policies let nobody in whom the old ones refuse, or show a request that they let in, offline
    #[command(after_help = "Example:\n  casemate policy diff old.cedar new.cedar")]
    Diff {
        /// The policies that are
        old: PathBuf,
        /// The policies that would be
        new: PathBuf,
        /// A function's folder, whose own policies stand below both; may be repeated
        #[arg(long = "function", value_name = "DIR")]
        functions: Vec<PathBuf>,
    },
    /// Say who may do something, in which circumstances
    #[command(
        after_help = "Example:\n  casemate policy who-can invoke hello\n  casemate policy who-can managePolicy"
    )]
    WhoCan {
        /// The action
        action: Action,
        /// The function; the tenant where it is absent
        function: Option<FunctionName>,
    },
    /// Say what somebody may do, in which circumstances
    #[command(
        after_help = "Example:\n  casemate policy what-can alice\n  casemate policy what-can desk:alice"
    )]
    WhatCan {
        /// The name of somebody with a live token, of a function, or of whom an issuer vouches for
        principal: String,
    },
    /// List the changes that wait for a second person
    #[command(after_help = "Example:\n  casemate policy pending")]
    Pending {
        /// Show all of one
        id: Option<String>,
    },
    /// Do a change that somebody else proposed
    #[command(after_help = "Example:\n  casemate policy approve c4f7k2m9q1r7z")]
    Approve {
        /// The change
        id: String,
    },
    /// Take away a change that waits
    #[command(after_help = "Example:\n  casemate policy reject c4f7k2m9q1r7z")]
    Reject {
        /// The change
        id: String,
    },
    /// Give somebody a permit that ends by itself
    #[command(
        after_help = GLASS,
        override_usage = "casemate policy break-glass --for NAME --action ACTION --reason REASON --minutes N"
    )]
    BreakGlass(Box<BreakGlass>),
    /// List the permits that end by themselves
    #[command(after_help = "Example:\n  casemate policy glass")]
    Glass,
    /// End such a permit before its time
    #[command(after_help = "Example:\n  casemate policy end-glass g4f7k2m9q1r7z")]
    EndGlass {
        /// The permit
        id: String,
    },
}

/// What stands, where no node is asked.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Offline {
    /// Cedar text of the tenant
    #[arg(long, value_name = "FILE")]
    pub(crate) policies: Option<PathBuf>,
    /// A function's folder; may be repeated
    #[arg(long = "function", value_name = "DIR")]
    pub(crate) functions: Vec<PathBuf>,
}

/// What is asked, where no node is.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Asked {
    /// Who: `alice`, `service:ci`, `function:hello`, `anonymous`, or as records name them
    #[arg(long, value_name = "WHO", required_unless_present = "request")]
    pub(crate) who: Option<String>,
    /// A role of theirs; may be repeated
    #[arg(long = "role", value_name = "ROLE")]
    pub(crate) roles: Vec<String>,
    /// What their credential may be used for; everything where it is absent
    #[arg(long = "scope", value_name = "SCOPE")]
    pub(crate) scopes: Vec<String>,
    /// The action
    #[arg(long = "do", value_name = "ACTION", required_unless_present = "request")]
    pub(crate) does: Option<String>,
    /// A function's name, `tenant` or `node`; the tenant where it is absent
    #[arg(long, value_name = "WHAT")]
    pub(crate) on: Option<String>,
    /// The method of a call
    #[arg(long, default_value = "GET")]
    pub(crate) method: String,
    /// Its path
    #[arg(long, default_value = "/")]
    pub(crate) path: String,
    /// Its host
    #[arg(long, default_value = "localhost")]
    pub(crate) host: String,
    /// The address it comes from
    #[arg(long, default_value = "127.0.0.1")]
    pub(crate) source: Option<std::net::IpAddr>,
    /// Without TLS
    #[arg(long)]
    pub(crate) plain: bool,
    /// What proved them: `api-token`, `access-token`, `certificate`, `webhook`, `message-signature` or `none`
    #[arg(long, value_name = "KIND", default_value = "api-token")]
    pub(crate) proof: String,
    /// The proof was bound to a key or a certificate of theirs
    #[arg(long)]
    pub(crate) bound: bool,
    /// Who issued their access token
    #[arg(long, value_name = "ISSUER")]
    pub(crate) issuer: Option<String>,
    /// How long ago it was issued, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub(crate) age: u64,
    /// A group that it says they are in; may be repeated
    #[arg(long = "group", value_name = "GROUP")]
    pub(crate) groups: Vec<String>,
    /// A function between, the first first; may be repeated
    #[arg(long = "through", value_name = "FUNCTION")]
    pub(crate) through: Vec<String>,
    /// For whom, where functions stand between: `User::"default/alice"`
    #[arg(long, value_name = "WHO")]
    pub(crate) on_behalf_of: Option<String>,
    /// When, RFC 3339; now where it is absent
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) at: Option<Timestamp>,
}

/// Whose permit it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum GlassKind {
    /// A person
    User,
    /// A machine
    Service,
}

/// `policy break-glass`
#[derive(Debug, Args)]
pub(crate) struct BreakGlass {
    /// The principal's name in the tenant
    #[arg(long = "for", value_name = "NAME")]
    pub(crate) name: String,
    /// What kind of principal: `user`, a person, or `service`, a machine
    #[arg(long, value_enum, default_value_t = GlassKind::User, hide_possible_values = true)]
    pub(crate) kind: GlassKind,
    /// What it may do
    #[arg(long)]
    pub(crate) action: Action,
    /// On which function alone
    #[arg(long, value_name = "NAME")]
    pub(crate) function: Option<FunctionName>,
    /// Why: it is in the record
    #[arg(long)]
    pub(crate) reason: String,
    /// For how long
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=GLASS_MINUTES_MAX))]
    pub(crate) minutes: u64,
}
