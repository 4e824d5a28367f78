//! The words of the command line. It never acts on them.

mod identity;
mod login;
pub(crate) mod policy;
mod shield;
mod tenant;

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use model::{
    FunctionName, RequestId, RevisionNumber, Role, TenantId, Timestamp, TokenId,
    limits::{TOKEN_DAYS_MAX, TOKEN_OVERLAP_DAYS_MAX},
};

pub(crate) use self::{
    identity::{Identity, IdentityCheck},
    login::{Login, Sessions},
    policy::{Asked, BreakGlass, Offline, Policy},
    shield::{
        Act, AddRules, Block, Honey, Profile, RuleFiles, Shield, ShieldExplain, ShieldRules, ShieldTest,
        Simulate,
    },
    tenant::Tenant,
};
use crate::output::Format;

/// A serverless platform in which every function runs in a chamber of its own.
#[derive(Debug, Parser)]
#[command(name = "casemate", version, after_help = AFTER, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const AFTER: &str = "\
Example:
  casemate up                       # a node, in one terminal
  casemate new hello --lang rust    # a function, in another
  casemate deploy ./hello
  casemate invoke hello

Environment: CASEMATE_NODE, CASEMATE_TOKEN, CASEMATE_CA, CASEMATE_TENANT, NO_COLOR.
A flag wins over the environment, and that over the saved login.

Exit codes:
  0  done                        5  not permitted: a policy says no
  1  refused or failed           6  the function answered with an error (invoke)
  2  wrong usage                 7  wrong manifest or config, failed build or test
  3  cannot reach the node       8  the node cannot start here (up)
  4  not authenticated";

/// Options that every command takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// How answers are written: `text` for people, `json` for programs
    #[arg(long, global = true, value_enum, default_value_t = Format::Text, value_name = "FORMAT")]
    #[arg(hide_possible_values = true)]
    #[arg(help_heading = "Global options")]
    pub(crate) output: Format,
    /// The node's control address, `https://127.0.0.1:8444` where neither this nor a login says otherwise
    #[arg(long, global = true, value_name = "URL", env = "CASEMATE_NODE", hide_env = true)]
    #[arg(help_heading = "Global options")]
    pub(crate) node: Option<String>,
    /// A file with the token, mode 0600; `-` reads it from stdin
    #[arg(long, global = true, value_name = "FILE", help_heading = "Global options")]
    pub(crate) token_file: Option<PathBuf>,
    /// The certificate (PEM) that signs the node's; without one, the web's authorities count
    #[arg(long, global = true, value_name = "FILE", env = "CASEMATE_CA", hide_env = true)]
    #[arg(help_heading = "Global options")]
    pub(crate) ca: Option<PathBuf>,
    /// The tenant to act in
    #[arg(long, global = true, value_name = "TENANT", env = "CASEMATE_TENANT", hide_env = true)]
    #[arg(help_heading = "Global options")]
    pub(crate) tenant: Option<TenantId>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a node
    #[command(after_help = "Example:\n  casemate up --data ~/casemate --listen 127.0.0.1:8443")]
    Up(Up),
    /// A tour: a node, functions, calls that work and attacks that do not
    #[command(after_help = "Example:\n  casemate demo && echo every wall held")]
    Demo,
    /// Save how to reach a node and who you are there
    #[command(after_help = login::LOGIN)]
    Login(Login),
    /// End the session that `login --oidc` opened, or forget the saved token
    #[command(after_help = "Example:\n  casemate logout")]
    Logout,
    /// Say who the node takes you for
    #[command(after_help = "Example:\n  casemate whoami --output json | jq .principal.roles")]
    Whoami,
    /// Write a function that builds, with its manifest and a test
    #[command(after_help = "Example:\n  casemate new hello --lang js")]
    New(New),
    /// Build the component that the manifest names
    #[command(after_help = "Example:\n  casemate build ./hello")]
    Build(Folder),
    /// Run the manifest's test command
    #[command(after_help = "Example:\n  casemate test ./hello")]
    Test(Folder),
    /// Build, upload, compile and switch over: the next request meets the new revision
    #[command(after_help = "Example:\n  casemate deploy ./hello --no-build")]
    Deploy(Deploy),
    /// Watch, build and deploy on every change, under the same rules as `deploy`
    #[command(after_help = "Example:\n  casemate dev ./hello")]
    Dev(Folder),
    /// Call a function and see what the call cost
    #[command(
        after_help = "Example:\n  casemate invoke hello --method POST --path /hello/greet --data 'Ada'"
    )]
    Invoke(Invoke),
    /// Read a function's log
    #[command(after_help = "Example:\n  casemate logs hello -f")]
    Logs(Logs),
    /// List the tenant's functions
    #[command(after_help = "Example:\n  casemate list")]
    List,
    /// Show a function: routes, limits, grants, policy, revisions
    #[command(after_help = "Example:\n  casemate inspect hello")]
    Inspect(Named),
    /// Go back to an earlier revision
    #[command(after_help = "Example:\n  casemate rollback hello --to r3")]
    Rollback(Rollback),
    /// Remove a function and all its revisions
    #[command(after_help = "Example:\n  casemate remove hello --yes")]
    Remove(Remove),
    /// Make, list and revoke API tokens
    #[command(
        subcommand,
        after_help = "Example:\n  casemate token create --name ci --kind service --role developer"
    )]
    Token(Token),
    /// List and revoke the sessions of people who logged in
    #[command(subcommand, after_help = "Example:\n  casemate session list")]
    Session(Sessions),
    /// Make, change and list tenants
    #[command(subcommand, after_help = "Example:\n  casemate tenant create acme")]
    Tenant(Tenant),
    /// Who may do what: read, check, test, explain, prove and change the tenant's policies
    #[command(subcommand, after_help = policy::POLICY)]
    Policy(Policy),
    /// Read the record: every decision, deploy, token and policy change
    #[command(
        after_help = "Example:\n  casemate records --function hello --limit 20\n  casemate records --of-node"
    )]
    Records(Records),
    /// Check a manifest offline, or print its schema
    #[command(subcommand, after_help = "Example:\n  casemate manifest check ./hello")]
    Manifest(Manifest),
    /// Check a node's configuration offline, or print its schema
    #[command(subcommand, after_help = "Example:\n  casemate config check node.toml")]
    Config(Config),
    /// Say whom the tenant accepts beside API tokens; say offline who a request would be from
    #[command(subcommand, after_help = identity::IDENTITY)]
    Identity(Identity),
    /// What was found suspicious and what is done about it; test rules of the web firewall offline
    #[command(subcommand, after_help = shield::SHIELD)]
    Shield(Shield),
    /// Look at this machine's walls and at the node
    #[command(after_help = "Example:\n  casemate doctor")]
    Doctor,
    /// Print a shell's completions
    #[command(
        after_help = "Example:\n  casemate completions fish > ~/.config/fish/completions/casemate.fish"
    )]
    Completions(Completions),
}

const ROTATE: &str = "\
Example:
  casemate token rotate ci --overlap 1h

Both are good until the overlap is over. Where it is the token of your own saved login, the login has the
new one afterwards.";

const RECOVER: &str = "\
Example:
  casemate token recover --data ~/casemate

For when every administrator's token is lost or has ended. It wants the data folder and its root key, as
`up` does, and leaves an event in the record.";

/// `up`
#[derive(Debug, Args)]
pub(crate) struct Up {
    /// The node's configuration; every key has a default
    #[arg(long, value_name = "FILE", env = "CASEMATE_CONFIG", hide_env = true)]
    pub(crate) config: Option<PathBuf>,
    /// The folder that holds everything the node keeps
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Where functions answer, over TLS
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<SocketAddr>,
    /// Where the control API answers, over TLS
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) control: Option<SocketAddr>,
    /// Begin at the machine's time, though this node has seen a later one; what had expired since may be valid
    /// again
    #[arg(long)]
    pub(crate) accept_clock: bool,
}

/// A language that `new` has a template for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Lang {
    /// Rust
    Rust,
    /// JavaScript
    #[value(alias = "javascript")]
    Js,
    /// Python
    #[value(alias = "python")]
    Py,
}

/// `new`
#[derive(Debug, Args)]
pub(crate) struct New {
    /// The function's name, also the folder's
    pub(crate) name: FunctionName,
    /// The language
    #[arg(long, value_enum, default_value_t = Lang::Rust)]
    pub(crate) lang: Lang,
    /// The folder to write, `./NAME` where it is absent
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}

/// `build`, `test`, `dev`
#[derive(Debug, Args)]
pub(crate) struct Folder {
    /// The folder with `casemate.toml`, or that file
    #[arg(default_value = ".", value_name = "DIR")]
    pub(crate) dir: PathBuf,
}

/// `deploy`
#[derive(Debug, Args)]
pub(crate) struct Deploy {
    /// The folder with `casemate.toml`, or that file
    #[arg(default_value = ".", value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Deploy the component as it lies there
    #[arg(long)]
    pub(crate) no_build: bool,
    /// Go on where the new revision lets in whom the active one refuses
    #[arg(long, conflicts_with = "propose")]
    pub(crate) accept_widening: bool,
    /// Leave it to a second person: `casemate policy approve`
    #[arg(long)]
    pub(crate) propose: bool,
}

/// `invoke`
#[derive(Debug, Args)]
pub(crate) struct Invoke {
    /// The function
    pub(crate) name: FunctionName,
    /// The method; `POST` where a body is given, `GET` where none is
    #[arg(long, short = 'X')]
    pub(crate) method: Option<String>,
    /// Path and query below one of the function's routes; `/` stands for the first of them
    #[arg(long, default_value = "/")]
    pub(crate) path: String,
    /// A header, `name: value`; may be repeated
    #[arg(long = "header", short = 'H', value_name = "HEADER")]
    pub(crate) headers: Vec<String>,
    /// The body
    #[arg(long, short = 'd', conflicts_with = "data_file")]
    pub(crate) data: Option<String>,
    /// A file with the body; `-` reads it from stdin
    #[arg(long, value_name = "FILE")]
    pub(crate) data_file: Option<PathBuf>,
}

/// `logs`
#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// The function
    pub(crate) name: FunctionName,
    /// Wait for more
    #[arg(long, short = 'f')]
    pub(crate) follow: bool,
    /// Begin after this line's number
    #[arg(long, default_value_t = 0, value_name = "SEQ")]
    pub(crate) after: u64,
}

/// `inspect`
#[derive(Debug, Args)]
pub(crate) struct Named {
    /// The function
    pub(crate) name: FunctionName,
}

/// `rollback`
#[derive(Debug, Args)]
pub(crate) struct Rollback {
    /// The function
    pub(crate) name: FunctionName,
    /// The revision; the one before the active one where it is absent
    #[arg(long, value_name = "REVISION")]
    pub(crate) to: Option<RevisionNumber>,
    /// Go on where it lets in whom the active revision refuses
    #[arg(long)]
    pub(crate) accept_widening: bool,
}

/// `remove`
#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// The function
    pub(crate) name: FunctionName,
    /// Do not ask
    #[arg(long, short = 'y')]
    pub(crate) yes: bool,
}

/// Whose token it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// A person
    User,
    /// A machine: a pipeline, another system
    Service,
}

/// `token …`
#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Make a token; its text is shown once
    #[command(
        after_help = "Example:\n  casemate token create --name ci --kind service --scope invoke --days 30"
    )]
    Create(TokenCreate),
    /// List tokens, without their texts
    #[command(after_help = "Example:\n  casemate token list")]
    List,
    /// Make another token for the same principal, and let the old one end after a while
    #[command(after_help = ROTATE)]
    Rotate {
        /// The principal's name; or the token's id, where several of the name are live
        which: String,
        /// How long the old one stays good: `90s`, `15m`, `1h`, `7d`; `0` ends it at once
        #[arg(long, default_value = "1h", value_name = "TIME", value_parser = parse_span)]
        overlap: u64,
        /// How many days the new one lives; as many as the old one did where it is absent
        #[arg(long, value_parser = clap::value_parser!(u64).range(1..=TOKEN_DAYS_MAX))]
        days: Option<u64>,
    },
    /// Make an administrator's token from the data folder of a node that is stopped
    #[command(after_help = RECOVER)]
    Recover(Recover),
    /// Revoke a token: the next request with it is refused
    #[command(after_help = "Example:\n  casemate token revoke t4x8k2m9q1r7z")]
    Revoke {
        /// The token's id
        id: TokenId,
    },
}

/// `token recover`
#[derive(Debug, Args)]
pub(crate) struct Recover {
    /// The node's configuration, as `up` takes it
    #[arg(long, value_name = "FILE", env = "CASEMATE_CONFIG", hide_env = true)]
    pub(crate) config: Option<PathBuf>,
    /// The node's data folder, as `up` takes it
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Revoke every other administrator's token: for when one was stolen
    #[arg(long)]
    pub(crate) revoke_others: bool,
}

/// `token create`
#[derive(Debug, Args)]
pub(crate) struct TokenCreate {
    /// The principal's name in the tenant
    #[arg(long)]
    pub(crate) name: String,
    /// What kind of principal: `user`, a person, or `service`, a machine
    #[arg(long, value_enum, default_value_t = Kind::User, hide_possible_values = true)]
    pub(crate) kind: Kind,
    /// A role: viewer, developer, operator, auditor, owner; may be repeated
    #[arg(long = "role", value_name = "ROLE", value_parser = parse_role)]
    pub(crate) roles: Vec<Role>,
    /// What the token may be used for: an action's name, or `*`; may be repeated. `invoke` alone where
    /// neither this nor a role is given, `*` where a role is
    #[arg(long = "scope", value_name = "SCOPE")]
    pub(crate) scopes: Vec<String>,
    /// How many days it lives
    #[arg(long, default_value_t = 90)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=TOKEN_DAYS_MAX))]
    pub(crate) days: u64,
}

/// `records`
#[derive(Debug, Args)]
pub(crate) struct Records {
    /// The node's own in place of a tenant's: what was refused before it was anyone's
    #[arg(long, conflicts_with = "function")]
    pub(crate) of_node: bool,
    /// Only this request's
    #[arg(long, value_name = "ID")]
    pub(crate) request: Option<RequestId>,
    /// Only this function's
    #[arg(long, value_name = "NAME")]
    pub(crate) function: Option<FunctionName>,
    /// How many, the newest first
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub(crate) limit: u64,
}

/// `manifest …`
#[derive(Debug, Subcommand)]
pub(crate) enum Manifest {
    /// Check a manifest offline
    #[command(after_help = "Example:\n  casemate manifest check hello/casemate.toml")]
    Check(Folder),
    /// Print the JSON schema of `casemate.toml`, for editors
    #[command(after_help = "Example:\n  casemate manifest schema > casemate.schema.json")]
    Schema,
}

/// `config …`
#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Check a node's configuration offline and print what it comes to
    #[command(after_help = "Example:\n  casemate config check /etc/casemate/node.toml")]
    Check {
        /// The configuration
        file: PathBuf,
    },
    /// Print the JSON schema of the configuration, for editors
    #[command(after_help = "Example:\n  casemate config schema > casemate-node.schema.json")]
    Schema,
}

/// `completions`
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

/// A span of time as people write it: `90s`, `15m`, `1h`, `7d`; in seconds.
fn parse_span(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text.get(digits.len()..).unwrap_or_default() {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "" if digits == "0" => 1,
        _ => return Err("write a number and `s`, `m`, `h` or `d`, such as `1h`".to_owned()),
    };
    let seconds = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(unit));
    let most = TOKEN_OVERLAP_DAYS_MAX * 86_400;
    let seconds = seconds.filter(|seconds| *seconds <= most);
    seconds.ok_or_else(|| format!("it must be from `0` to `{TOKEN_OVERLAP_DAYS_MAX}d`"))
}

fn parse_time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text).ok_or_else(|| "write it as `2026-12-31T00:00:00Z`".to_owned())
}

fn parse_role(text: &str) -> Result<Role, String> {
    let known: Vec<&str> = Role::ALL.iter().map(|role| role.as_str()).collect();
    let found = Role::ALL.iter().find(|role| role.as_str() == text).copied();
    found.ok_or_else(|| format!("no such role; there are {}", known.join(", ")))
}

#[cfg(test)]
mod tests;
