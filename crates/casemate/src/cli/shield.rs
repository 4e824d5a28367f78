//! The words of `shield`. It never decides what they mean.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use model::Digest;

pub(super) const SHIELD: &str = "\
Example:
  casemate shield test --rules ./crs/rules --tests ./crs/tests/regression/tests
  casemate shield explain --rules ./crs/rules --paranoia 2 < request.http";

const TEST: &str = "\
Example:
  casemate shield test --rules ./crs/rules --tests ./crs/tests/regression/tests --output json

The tests are go-ftw's (YAML), run in this process, in the state that CRS asks for: rules only tell, at
paranoia level 4. Tests that ask for a status of the HTTP server alone are counted as not asked.
It ends with 1 where a test fails.";

const EXPLAIN: &str = "\
Example:
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
  casemate shield rules add ./coreruleset-4.28.0.tar.gz --digest sha256:…

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
}

/// `shield rules …`
#[derive(Debug, Subcommand)]
pub(crate) enum ShieldRules {
    /// The sets that the node keeps, and which of them is in force
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

/// Where rules are.
#[derive(Debug, Args)]
pub(crate) struct RuleFiles {
    /// The folder of rules: its `*.conf` files in the order of their names, what they name beside them
    #[arg(long, value_name = "DIR")]
    pub(crate) rules: PathBuf,
    /// Rules to read first; `crs-setup.conf` or `crs-setup.conf.example` in the folder or above where absent
    #[arg(long, value_name = "FILE")]
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
    /// CRS's paranoia level, from 1 to 4
    #[arg(long, value_name = "LEVEL", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u8).range(1..=4))]
    pub(crate) paranoia: u8,
}
