//! Which imports a component may have, and what each amounts to. It never grants anything by itself.

use crate::Refusal;

/// What an import amounts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Import {
    /// Types and streams that requests and answers are made of: open by nature.
    Open,
    /// Linked, but closed: an empty environment, no folder, no socket, the function's log in place of
    /// terminals, coarse clocks.
    Closed,
    /// Outbound HTTP: open as far as `capabilities.http` goes.
    Outbound,
}

/// Package, interface, in 0.2, in 0.3, what it amounts to. This is the whole list; there is no other import.
#[rustfmt::skip]
const TABLE: &[(&str, &str, bool, bool, Import)] = &[
    ("cli",        "environment",       true,  true,  Import::Closed),
    ("cli",        "exit",              true,  true,  Import::Closed),
    ("cli",        "stderr",            true,  true,  Import::Closed),
    ("cli",        "stdin",             true,  true,  Import::Closed),
    ("cli",        "stdout",            true,  true,  Import::Closed),
    ("cli",        "terminal-input",    true,  true,  Import::Closed),
    ("cli",        "terminal-output",   true,  true,  Import::Closed),
    ("cli",        "terminal-stderr",   true,  true,  Import::Closed),
    ("cli",        "terminal-stdin",    true,  true,  Import::Closed),
    ("cli",        "terminal-stdout",   true,  true,  Import::Closed),
    ("cli",        "types",             false, true,  Import::Open),
    ("clocks",     "monotonic-clock",   true,  true,  Import::Closed),
    ("clocks",     "system-clock",      false, true,  Import::Closed),
    ("clocks",     "types",             false, true,  Import::Open),
    ("clocks",     "wall-clock",        true,  false, Import::Closed),
    ("filesystem", "preopens",          true,  true,  Import::Closed),
    ("filesystem", "types",             true,  true,  Import::Closed),
    ("http",       "client",            false, true,  Import::Outbound),
    ("http",       "outgoing-handler",  true,  false, Import::Outbound),
    ("http",       "types",             true,  true,  Import::Open),
    ("io",         "error",             true,  false, Import::Open),
    ("io",         "poll",              true,  false, Import::Open),
    ("io",         "streams",           true,  false, Import::Open),
    ("random",     "insecure",          true,  true,  Import::Closed),
    ("random",     "insecure-seed",     true,  true,  Import::Closed),
    ("random",     "random",            true,  true,  Import::Closed),
    ("sockets",    "instance-network",  true,  false, Import::Closed),
    ("sockets",    "ip-name-lookup",    true,  true,  Import::Closed),
    ("sockets",    "network",           true,  false, Import::Closed),
    ("sockets",    "tcp",               true,  false, Import::Closed),
    ("sockets",    "tcp-create-socket", true,  false, Import::Closed),
    ("sockets",    "types",             false, true,  Import::Closed),
    ("sockets",    "udp",               true,  false, Import::Closed),
    ("sockets",    "udp-create-socket", true,  false, Import::Closed),
];

/// A name of the form `wasi:PACKAGE/INTERFACE@0.MINOR.PATCH`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WasiName<'a> {
    pub(crate) package: &'a str,
    pub(crate) interface: &'a str,
    /// 2 for 0.2, 3 for 0.3.
    pub(crate) minor: u8,
}

impl<'a> WasiName<'a> {
    /// None for anything else, release candidates among it.
    pub(crate) fn parse(name: &'a str) -> Option<Self> {
        let (path, version) = name.strip_prefix("wasi:")?.split_once('@')?;
        let (package, interface) = path.split_once('/')?;
        let (minor, patch) = version.strip_prefix("0.")?.split_once('.')?;
        let number = !patch.is_empty() && patch.len() <= 4 && patch.bytes().all(|b| b.is_ascii_digit());
        let minor = match minor {
            "2" => 2,
            "3" => 3,
            _ => return None,
        };
        number.then_some(Self { package, interface, minor })
    }
}

/// Judges one import by its name. Any patch of 0.2 and of 0.3 is taken: within a minor, WASI only adds.
///
/// # Errors
/// [`Refusal::Import`], with what would grant it.
pub(crate) fn judge(name: &str, is_instance: bool) -> Result<(Import, u8), Refusal> {
    let found = WasiName::parse(name).filter(|_| is_instance).and_then(|wasi| {
        let row = TABLE.iter().find(|row| row.0 == wasi.package && row.1 == wasi.interface)?;
        let there = if wasi.minor == 2 { row.2 } else { row.3 };
        there.then_some((row.4, wasi.minor))
    });
    found.ok_or_else(|| Refusal::Import {
        name: name.chars().filter(|c| !c.is_control()).take(120).collect(),
        why: why(name),
    })
}

fn why(name: &str) -> String {
    let text = match name.strip_prefix("wasi:").and_then(|rest| rest.split(['/', '@']).next()) {
        Some("keyvalue") => "no capability grants a key-value store yet; call one over `capabilities.http`",
        Some("blobstore") => "no capability grants a blob store yet; call one over `capabilities.http`",
        Some("messaging") => "no capability grants messages yet",
        Some("config" | "runtime-config") => "no capability grants configuration yet; build it in",
        Some("secrets" | "vault") => "no capability grants secrets yet",
        Some("logging") => "there is no such interface here; write to standard output, which is the log",
        Some("nn") => "no capability grants machine learning",
        Some("threads") => "functions have no threads",
        Some("http" | "cli" | "clocks" | "filesystem" | "io" | "random" | "sockets") => {
            "it is no stable interface of WASI 0.2 or 0.3; build with current bindings"
        }
        _ => "no capability covers it; compose the component that provides it into this one (`wac plug`)",
    };
    text.to_owned()
}

#[cfg(test)]
mod tests;
