//! The words of `shield`. It never decides what they mean.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use model::{Digest, FunctionName, TokenId};

use super::parse_span;

pub(super) const SHIELD: &str = "\
Example:
  casemate shield test --rules ./crs/rules --tests ./crs/tests/regression/tests
  casemate shield explain --rules ./crs/rules --paranoia 2 < request.http
  casemate shield status
  casemate shield block 192.0.2.7 --for 1h --reason 'scans us'

docs/shield.md says what is watched and what is done.";

const BLOCK: &str = "\
Example:
  casemate shield block 192.0.2.0/24 --for 1h --reason 'scans us'

It ends by itself, and with `casemate shield unblock`. Calls of functions are refused; the control API
answers there all the same, unless the node as a whole blocks it with `--of-node --control`.";

const HONEY: &str = "\
Example:
  casemate shield honey route /backup.zip
  casemate shield honey token wiki-page";

const TEST: &str = "\
Example:
  casemate shield test --rules ./crs/rules --tests ./crs/tests/regression/tests --output json

The tests are go-ftw's (YAML), run in this process, in the state that CRS asks for: rules only tell, at
paranoia level 4. Tests that ask for a status of the HTTP server alone are counted as not asked.
It ends with 1 where a test fails.";

const EXPLAIN: &str = "\
Example:
  casemate shield explain < request.http                       # by the rules in the box
  casemate shield explain --rules ./crs/rules < request.http

The request is as it is sent: request line, headers, an empty line, the body. Lines may end in LF.";

const RULES: &str = "\
Example:
  casemate shield rules add ./coreruleset-4.28.0-minimal.tar.gz
  casemate shield rules rollback

A node has rules of its own from the start (`base`). docs/shield.md says what they find.";

const ADD: &str = "\
Example:
  casemate shield rules add                                     # Debian's package
  casemate shield rules add ./coreruleset-4.28.0.tar.gz --name crs-4.28

The rules are read here and on the node, their own tests (go-ftw) run where they came with them, and
the set looks at every request of every function from then on, in the place of the one before. The node
refuses rules that cannot be read, that refuse what everybody sends, or that an exclusion of a deployed
function does not fit. `casemate shield rules rollback` goes back.";

const SIMULATE: &str = "\
Example:
  casemate shield simulate --rules ./coreruleset-4.28.0
  casemate shield simulate --paranoia 2

A node keeps some requests of each function in memory for an hour, without credentials and cookies.";

/// `shield …`
#[derive(Debug, Subcommand)]
pub(crate) enum Shield {
    /// Run go-ftw tests of a folder of rules, in this process
    #[command(after_help = TEST)]
    Test(ShieldTest),
    /// Show which rules one request, read from stdin, matches on what, the scores and the time
    #[command(after_help = EXPLAIN)]
    Explain(ShieldExplain),
    /// Which rules a node asks about every request: list, add, go back
    #[command(subcommand, after_help = RULES)]
    Rules(ShieldRules),
    /// Show what other rules or settings would have said to the requests of the last hour
    #[command(after_help = SIMULATE)]
    Simulate(Simulate),
    /// Show what was found suspicious within a day, and what is done about it
    #[command(after_help = "Example:\n  casemate shield status --output json | jq .signals")]
    Status(OfNode),
    /// Show what is behind a signal, an action or a request
    #[command(after_help = "Example:\n  casemate shield why s4f7k2m9q1r7z")]
    Why {
        /// A signal's or an action's name, or a request's id
        id: String,
        #[command(flatten)]
        of: OfNode,
    },
    /// Answer nobody at an address, or at a range of them, for a while
    #[command(after_help = BLOCK)]
    Block(Box<Block>),
    /// Let a token prove nobody for a while
    #[command(
        after_help = "Example:\n  casemate shield suspend t4x8k2m9q1r7z --for 1h --reason 'seen in a paste'"
    )]
    Suspend {
        /// The token's id
        id: TokenId,
        #[command(flatten)]
        act: Act,
    },
    /// Answer calls of a function's revision with 503 for a while; another revision answers
    #[command(
        after_help = "Example:\n  casemate shield quarantine hello --for 2h --reason 'calls a host it never called'"
    )]
    Quarantine {
        /// The function
        function: FunctionName,
        #[command(flatten)]
        act: Act,
    },
    /// Undo a block, a suspension or a quarantine before its time
    #[command(
        visible_alias = "undo",
        group = clap::ArgGroup::new("what").required(true).args(["which", "all"]),
        after_help = "Example:\n  casemate shield unblock 192.0.2.7\n  casemate shield unblock --all --automatic"
    )]
    Unblock {
        /// The action's name; or the address, whatever is done against it
        which: Option<String>,
        /// All that is in force
        #[arg(long)]
        all: bool,
        /// With `--all`: only what the node did by itself
        #[arg(long, requires = "all", conflicts_with = "which")]
        automatic: bool,
        #[command(flatten)]
        of: OfNode,
    },
    /// What the runs of functions do: show, approve and reset what was learned
    #[command(subcommand, after_help = "Example:\n  casemate shield profile show hello")]
    Profile(Profile),
    /// Routes and tokens that nobody has a reason to touch: one touch is a signal
    #[command(subcommand, after_help = HONEY)]
    Honey(Honey),
}

/// `shield rules …`
#[derive(Debug, Subcommand)]
pub(crate) enum ShieldRules {
    /// The sets that the node keeps, and which of them is in force
    #[command(after_help = "Example:\n  casemate shield rules list")]
    List,
    /// Add a set of rules, such as OWASP's Core Rule Set, and put it in force
    #[command(after_help = ADD)]
    Add(AddRules),
    /// Put another set that is kept in force
    #[command(after_help = "Example:\n  casemate shield rules use base")]
    Use {
        /// `base` (the one in the box), `previous`, or a digest
        set: String,
    },
    /// Put the set before the present one in force again
    #[command(after_help = "Example:\n  casemate shield rules rollback")]
    Rollback,
}

/// `shield rules add`
#[derive(Debug, Args)]
pub(crate) struct AddRules {
    /// A folder, a `.tar` or a `.tar.gz`; Debian's package `modsecurity-crs` where absent
    #[arg(value_name = "DIR|TAR")]
    pub(crate) from: Option<PathBuf>,
    /// Rules to read first, in the place of `crs-setup.conf` or `crs-setup.conf.example`
    #[arg(long, value_name = "FILE")]
    pub(crate) setup: Option<PathBuf>,
    /// What to call it; by the folder or the archive where absent
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// What the files must be: `sha256:…`, as `list` shows it
    #[arg(long, value_name = "DIGEST")]
    pub(crate) digest: Option<Digest>,
    /// Add them although some of their own tests fail
    #[arg(long)]
    pub(crate) accept_failures: bool,
}

/// `shield simulate`
#[derive(Debug, Args)]
pub(crate) struct Simulate {
    /// Other rules: a folder, a `.tar` or a `.tar.gz`
    #[arg(long, value_name = "DIR|TAR")]
    pub(crate) rules: Option<PathBuf>,
    /// Rules to read before them
    #[arg(long, value_name = "FILE", requires = "rules")]
    pub(crate) setup: Option<PathBuf>,
    /// Another paranoia level, from 1 to 4, for all functions
    #[arg(long, value_name = "LEVEL", value_parser = clap::value_parser!(u8).range(1..=4))]
    pub(crate) paranoia: Option<u8>,
    /// Another score from which a request is refused, for all functions
    #[arg(long, value_name = "SCORE", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) threshold: Option<u32>,
}

/// Whose shield.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct OfNode {
    /// Of the node itself, for all tenants
    #[arg(long)]
    pub(crate) of_node: bool,
}

/// For how long, and why.
#[derive(Debug, Clone, Args)]
pub(crate) struct Act {
    /// For how long: `90s`, `15m`, `1h`, `7d`; it ends by itself
    #[arg(long = "for", default_value = "1h", value_name = "TIME", value_parser = parse_span)]
    pub(crate) seconds: u64,
    /// Why: it is in the record
    #[arg(long)]
    pub(crate) reason: String,
}

/// `shield block`
#[derive(Debug, Args)]
pub(crate) struct Block {
    /// An address, or a range such as `192.0.2.0/24`
    #[arg(value_name = "ADDRESS")]
    pub(crate) source: String,
    #[command(flatten)]
    pub(crate) act: Act,
    /// Only those there who present no credential that holds
    #[arg(long, conflicts_with = "control")]
    pub(crate) strangers: bool,
    /// Nobody is blocked, and refusals are answered late
    #[arg(long, conflicts_with_all = ["strangers", "control"])]
    pub(crate) slow: bool,
    /// At the control API too
    #[arg(long, requires = "of_node")]
    pub(crate) control: bool,
    #[command(flatten)]
    pub(crate) of: OfNode,
}

/// `shield profile …`
#[derive(Debug, Subcommand)]
pub(crate) enum Profile {
    /// Show what was learned of the revision that answers
    #[command(after_help = "Example:\n  casemate shield profile show hello --output json")]
    Show {
        /// The function
        function: FunctionName,
    },
    /// Hold runs against what was learned until now
    #[command(after_help = "Example:\n  casemate shield profile approve hello")]
    Approve {
        /// The function
        function: FunctionName,
    },
    /// Forget what was learned, and learn anew
    #[command(after_help = "Example:\n  casemate shield profile reset hello")]
    Reset {
        /// The function
        function: FunctionName,
    },
}

/// `shield honey …`
#[derive(Debug, Subcommand)]
pub(crate) enum Honey {
    /// Lay a path as bait: no function answers there from then on
    #[command(after_help = "Example:\n  casemate shield honey route /backup.zip")]
    Route {
        /// The path, without a query
        path: String,
    },
    /// Make a token that proves nobody, to lie where a thief would look
    #[command(after_help = "Example:\n  casemate shield honey token wiki-page")]
    Token {
        /// Where it will lie
        name: String,
    },
    /// List the bait
    #[command(after_help = "Example:\n  casemate shield honey list")]
    List,
    /// Take bait away
    #[command(after_help = "Example:\n  casemate shield honey remove /backup.zip")]
    Remove {
        /// The path, or the token's id
        which: String,
    },
}

/// Where rules are.
#[derive(Debug, Args)]
pub(crate) struct RuleFiles {
    /// The folder of rules: its `*.conf` files in the order of their names, what they name beside them; or one such
    /// file; the rules in the box where absent
    #[arg(long, value_name = "DIR")]
    pub(crate) rules: Option<PathBuf>,
    /// Rules to read first; `crs-setup.conf` or `crs-setup.conf.example` in the folder or above where absent
    #[arg(long, value_name = "FILE", requires = "rules")]
    pub(crate) setup: Option<PathBuf>,
}

/// `shield test`
#[derive(Debug, Args)]
pub(crate) struct ShieldTest {
    #[command(flatten)]
    pub(crate) files: RuleFiles,
    /// The tests: a file of go-ftw's YAML, or a folder of them
    #[arg(long, value_name = "DIR")]
    pub(crate) tests: PathBuf,
}

/// `shield explain`
#[derive(Debug, Args)]
pub(crate) struct ShieldExplain {
    #[command(flatten)]
    pub(crate) files: RuleFiles,
    /// CRS's paranoia level, from 1 to 4; that of the rules' own set-up where absent
    #[arg(long, value_name = "LEVEL")]
    #[arg(value_parser = clap::value_parser!(u8).range(1..=4))]
    pub(crate) paranoia: Option<u8>,
}
