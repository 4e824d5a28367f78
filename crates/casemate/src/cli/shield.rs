//! The words of `shield`. It never decides what they mean.

use std::path::PathBuf;

use clap::{Args, Subcommand};

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

/// `shield …`
#[derive(Debug, Subcommand)]
pub(crate) enum Shield {
    /// Run go-ftw tests of a folder of rules, in this process
    #[command(after_help = TEST)]
    Test(ShieldTest),
    /// Show which rules one request, read from stdin, matches on what, the scores and the time
    #[command(after_help = EXPLAIN)]
    Explain(ShieldExplain),
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
