//! The rules that every entry of a configuration keeps. It never repeats a secret in an error.

use std::collections::HashSet;

use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use super::{ClaimPath, ConfigError, Files, Secret};

pub(super) type Checked<T> = Result<T, ConfigError>;

/// An error about one key.
pub(super) fn wrong<T>(key: &str, why: impl ToString) -> Checked<T> {
    Err(ConfigError { key: key.to_owned(), why: why.to_string() })
}

/// A number within its bounds.
pub(super) fn within(key: &str, value: u64, least: u64, most: u64) -> Checked<u64> {
    if (least..=most).contains(&value) {
        return Ok(value);
    }
    wrong(key, format!("{value} is outside of {least} to {most}"))
}

/// A list that is neither empty nor too long, nor has anything twice.
pub(super) fn list<'a, T: PartialEq>(key: &str, list: &'a [T], most: usize) -> Checked<&'a [T]> {
    if list.is_empty() {
        return wrong(key, "name one at least");
    }
    if list.len() > most {
        return wrong(key, format!("more than {most}"));
    }
    match list.iter().enumerate().find(|(at, one)| list.iter().take(*at).any(|other| other == *one)) {
        Some((at, _)) => wrong(&format!("{key}[{at}]"), "it stands there before"),
        None => Ok(list),
    }
}

/// Texts that are neither empty nor full of what nobody sees.
pub(super) fn texts(key: &str, texts: &[String], most: usize) -> Checked<Vec<String>> {
    list(key, texts, most)?;
    match texts.iter().position(|text| text.is_empty() || !text.bytes().all(|b| b.is_ascii_graphic())) {
        Some(at) => wrong(&format!("{key}[{at}]"), "write visible ASCII characters without blanks"),
        None => Ok(texts.to_vec()),
    }
}

/// Names of actions. `*` is for tokens of this node's alone: what others vouch for gets named actions.
pub(super) fn scopes(key: &str, scopes: &[String]) -> Checked<Vec<String>> {
    list(key, scopes, 64)?;
    let word = |s: &String| (1..=32).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_alphabetic());
    match scopes.iter().position(|scope| !word(scope)) {
        Some(at) => wrong(&format!("{key}[{at}]"), "write the name of an action"),
        None => Ok(scopes.to_vec()),
    }
}

/// The names of entries, each once over all kinds of them: a principal is named after its entry, and must
/// not be taken for another's.
#[derive(Default)]
pub(super) struct EntryNames(HashSet<String>);

impl EntryNames {
    pub(super) fn take(&mut self, key: &str, name: &str) -> Checked<()> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if !(1..=63).contains(&name.len()) || !name.bytes().all(plain) {
            return wrong(key, "write 1 to 63 characters of a-z, 0-9 and `-`");
        }
        if ["token", "tokens", "session", "webhook", "signature"].contains(&name) {
            return wrong(key, format!("`{name}` is not free to be taken"));
        }
        if !self.0.insert(name.to_owned()) {
            return wrong(key, format!("`{name}` is the name of another entry"));
        }
        Ok(())
    }
}

/// The steps of a way to a claim.
pub(super) fn path(key: &str, path: &ClaimPath) -> Checked<Vec<String>> {
    let steps: Vec<String> = match path {
        ClaimPath::Dotted(text) => text.split('.').map(Into::into).collect(),
        ClaimPath::Names(names) => names.clone(),
    };
    if steps.is_empty() || steps.len() > 8 || steps.iter().any(String::is_empty) {
        return wrong(key, "write 1 to 8 names, such as `realm_access.roles`");
    }
    Ok(steps)
}

/// What stands in place or in a file: exactly one of the two.
pub(super) fn one_source(
    key: &str,
    inline: Option<&[u8]>,
    file: Option<&str>,
    files: &Files<'_>,
) -> Checked<Zeroizing<Vec<u8>>> {
    match (inline, file) {
        (Some(inline), None) => Ok(Zeroizing::new(inline.to_vec())),
        (None, Some(file)) => from_file(&format!("{key}_file"), file, files),
        _ => wrong(key, format!("write either `{0}` or `{0}_file`", key.rsplit('.').next().unwrap_or(key))),
    }
}

/// What stands in a file.
pub(super) fn from_file(key: &str, file: &str, files: &Files<'_>) -> Checked<Zeroizing<Vec<u8>>> {
    files(file).map(Zeroizing::new).or_else(|why| wrong(key, format!("`{file}`: {why}")))
}

/// A secret's text, without the line end that files have.
pub(super) fn secret_text(key: &str, bytes: &[u8]) -> Checked<Zeroizing<String>> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned())),
        Err(_) => wrong(key, "it is no text"),
    }
}

/// Bytes of a secret in base64.
pub(super) fn secret_bytes(key: &str, text: &[u8], least: usize) -> Checked<Zeroizing<Vec<u8>>> {
    let text = secret_text(key, text)?;
    match crate::encoding::base64(&text).map(Zeroizing::new) {
        Some(bytes) if (least..=1024).contains(&bytes.len()) => Ok(bytes),
        Some(_) => wrong(key, format!("a secret has at least {least} bytes")),
        None => wrong(key, "this is no base64 with padding"),
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d).map(Self::new)
    }
}

impl Secret {
    /// Wraps a secret's text.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// Where an issuer's metadata may be fetched from: `https`, or this very machine.
pub(super) fn discoverable(key: &str, issuer: &str) -> Checked<()> {
    let uri = issuer.parse::<http::Uri>().ok();
    let good = uri.is_some_and(|uri| {
        let host = uri.host().unwrap_or_default();
        let here = ["localhost", "127.0.0.1", "[::1]"].contains(&host);
        let scheme = uri.scheme_str().unwrap_or_default();
        let plain = uri.query().is_none() && !issuer.contains(['#', '@']);
        plain && !host.is_empty() && (scheme == "https" || (scheme == "http" && here))
    });
    let why = "its keys are fetched only over `https`: write such a URL, or the keys as `jwks`";
    if good { Ok(()) } else { wrong(key, why) }
}

/// What may stand in place or in a file, or not at all.
pub(super) fn some_source(
    key: &str,
    inline: Option<&str>,
    file: Option<&str>,
    files: &Files<'_>,
) -> Checked<Option<String>> {
    if inline.is_none() && file.is_none() {
        return Ok(None);
    }
    let bytes = one_source(key, inline.map(str::as_bytes), file, files)?;
    secret_text(key, &bytes).map(|text| Some(text.to_string()))
}
