//! Casemate's own rules for requests and answers, as they are in the box. They are text that `waf` reads; which function
//! has them, at which level, and what is done about a match is never decided here.

use waf::{LoadError, NoFiles, Rules, Source};

macro_rules! files {
    ($($name:literal),+ $(,)?) => {
        [$(Source { name: concat!("base/", $name), text: include_str!(concat!("../rules/", $name)) }),+]
    };
}

/// The files, in the order in which they are read; others' rules (such as CRS) may follow them.
pub const BASE_SOURCES: [Source<'static>; 11] = files![
    "00-setup.conf",
    "10-protocol.conf",
    "20-sql.conf",
    "30-queries.conf",
    "40-commands.conf",
    "50-code.conf",
    "60-places.conf",
    "70-objects.conf",
    "80-scripts.conf",
    "90-decide.conf",
    "95-answers.conf",
];

/// The rules, compiled.
///
/// # Errors
/// None that the crate's tests let through: the text is fixed.
pub fn base_rules() -> Result<Rules, LoadError> {
    Rules::load(&BASE_SOURCES, &NoFiles)
}
