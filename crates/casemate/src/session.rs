//! Which node, which tenant, which credential: from flags, the environment and the saved login. It never
//! talks to a node, and never prints a token.

use std::{
    fs,
    io::{Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use keyring::ProofKey;
use model::{ManifestError, TenantId, Timestamp, TokenId};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    cli::Global,
    exit::{Exit, Failure},
    proof::BoundSession,
};

/// The node that is meant where nobody says which.
pub(crate) const NODE: &str = "https://127.0.0.1:8444";

/// A token's text; wiped when it is dropped, and without a form for the log.
#[derive(Clone)]
pub(crate) struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a text, without the white space around it.
    pub(crate) fn new(text: &str) -> Self {
        Self(Zeroizing::new(text.trim().to_owned()))
    }

    /// The text, for the one header that it belongs in.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

/// A login as it lies on disk, mode 0600.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedLogin {
    node: String,
    tenant: TenantId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ca: Option<String>,
    /// Of a person who logged in; its key lies in a file of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    session: Option<SavedSession>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedSession {
    id: TokenId,
    secret: String,
    until: Timestamp,
}

/// Everything that a command needs to know about the node.
#[derive(Clone)]
pub(crate) struct Session {
    /// `https://HOST:PORT` of the control API, without a final slash.
    pub(crate) node: String,
    /// The tenant to act in.
    pub(crate) tenant: TenantId,
    /// The credential, where there is no session.
    pub(crate) token: Option<Secret>,
    /// The session, which goes before the token.
    pub(crate) bound: Option<Arc<BoundSession>>,
    /// The certificate (PEM) that signs the node's.
    pub(crate) ca: Option<String>,
    /// Whether the credential is the saved login's.
    pub(crate) is_saved: bool,
}

impl Session {
    /// Puts flags, environment and saved login together, in this order.
    ///
    /// # Errors
    /// If a file cannot be read, is open to others, or the node's address is none.
    pub(crate) fn open(global: &Global) -> Result<Self, Failure> {
        let saved = load()?;
        let typed = read_token(global)?;
        let ca = match &global.ca {
            Some(file) => Some(fs::read_to_string(file).map_err(|e| Failure::file("read", file, &e))?),
            None => None,
        };
        let other = global.node.as_deref().map(tidy_url).transpose()?;
        // A saved credential and authority belong to the saved node: they never go to another.
        let saved = saved.filter(|saved| other.as_ref().is_none_or(|node| *node == saved.node));
        let (mut session, saved_token) = match saved {
            Some(saved) => {
                let bound = match saved.session.filter(|_| typed.is_none()) {
                    Some(session) => Some(Arc::new(opened(&session)?)),
                    None => None,
                };
                let (node, tenant, ca) = (saved.node, saved.tenant, saved.ca);
                let token = saved.token.as_deref().map(Secret::new);
                (Self { node, tenant, token: None, bound, ca, is_saved: false }, token)
            }
            None => {
                let tenant = default_tenant()?;
                let node = other.clone().unwrap_or_else(|| NODE.to_owned());
                (Self { node, tenant, token: None, bound: None, ca: None, is_saved: false }, None)
            }
        };
        session.is_saved = typed.is_none() && (saved_token.is_some() || session.bound.is_some());
        session.token = typed.or(saved_token);
        session.ca = ca.or(session.ca);
        if let Some(tenant) = &global.tenant {
            session.tenant = tenant.clone();
        }
        Ok(session)
    }

    /// The saved login alone, whatever flags and environment say; none where there is none. A session whose key is gone
    /// counts as one that was forgotten.
    ///
    /// # Errors
    /// If a file cannot be read, or is open to others.
    pub(crate) fn saved(global: &Global) -> Result<Option<Self>, Failure> {
        let Some(saved) = load()? else { return Ok(None) };
        let other = global.node.as_deref().map(tidy_url).transpose()?;
        if other.is_some_and(|node| node != saved.node) {
            return Ok(None);
        }
        let bound = saved.session.as_ref().and_then(|session| opened(session).ok()).map(Arc::new);
        let (node, tenant, ca) = (saved.node, saved.tenant, saved.ca);
        let token = saved.token.as_deref().map(Secret::new);
        Ok(Some(Self { node, tenant, token, bound, ca, is_saved: true }))
    }

    /// Saves this as the login of this user.
    ///
    /// # Errors
    /// If the folder or the file cannot be written.
    pub(crate) fn save(&self) -> Result<PathBuf, Failure> {
        let path = login_path()?;
        if self.token.is_none() && self.bound.is_none() {
            return Err(Failure::new(Exit::Unauthenticated, "there is no credential to save"));
        }
        let session = self.bound.as_ref().map(|bound| SavedSession {
            id: bound.id.clone(),
            secret: bound.secret.expose().to_owned(),
            until: bound.until,
        });
        let saved = SavedLogin {
            node: self.node.clone(),
            tenant: self.tenant.clone(),
            token: self.token.as_ref().map(|token| token.expose().to_owned()),
            ca: self.ca.clone(),
            session,
        };
        let text = toml::to_string(&saved).map(Zeroizing::new);
        let text = text.map_err(|e| Failure::new(Exit::Failed, format!("cannot write the login: {e}")))?;
        write_private(&path, text.as_bytes())?;
        if self.bound.is_none() {
            forget(&path.with_file_name(KEY_FILE))?;
        }
        Ok(path)
    }

    /// Takes the session out of the saved login, and the key with it; without a token nothing stays saved. Says whether
    /// a token does.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub(crate) fn forget(&self, token_too: bool) -> Result<bool, Failure> {
        let path = login_path()?;
        forget(&path.with_file_name(KEY_FILE))?;
        if self.token.is_none() || token_too {
            forget(&path)?;
            return Ok(false);
        }
        Self { bound: None, ..self.clone() }.save()?;
        Ok(true)
    }
}

/// The name of the key's file, beside the saved login.
const KEY_FILE: &str = "login.key";

/// Saves the key of a session that is about to be saved.
///
/// # Errors
/// If the folder or the file cannot be written.
pub(crate) fn save_key(key: &ProofKey) -> Result<(), Failure> {
    let path = login_path()?.with_file_name(KEY_FILE);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|e| Failure::file("make", folder, &e))?;
    }
    key.save(&path).map_err(|e| Failure::new(Exit::Failed, e))
}

fn opened(saved: &SavedSession) -> Result<BoundSession, Failure> {
    let path = login_path()?.with_file_name(KEY_FILE);
    let key = ProofKey::load(&path).map_err(|e| {
        let failure = Failure::new(Exit::Unauthenticated, format!("the session's key cannot be used: {e}"));
        failure
            .next("log in again with `casemate login --oidc`, or forget the session with `casemate logout`")
    })?;
    Ok(BoundSession { id: saved.id.clone(), secret: Secret::new(&saved.secret), key, until: saved.until })
}

fn forget(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Failure::file("delete", path, &e)),
        _ => Ok(()),
    }
}

/// Where the login is saved: `$XDG_CONFIG_HOME/casemate/login.toml`.
///
/// # Errors
/// If neither `XDG_CONFIG_HOME` nor `HOME` is set.
pub(crate) fn login_path() -> Result<PathBuf, Failure> {
    xdg("XDG_CONFIG_HOME", ".config").map(|folder| folder.join("casemate/login.toml"))
}

/// A folder of the XDG Base Directory Specification, or its default below the home folder.
///
/// # Errors
/// If neither `variable` nor `HOME` is an absolute path.
pub(crate) fn xdg(variable: &str, below_home: &str) -> Result<PathBuf, Failure> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let found = absolute(variable).or_else(|| absolute("HOME").map(|home| home.join(below_home)));
    found.ok_or_else(|| {
        Failure::new(Exit::Failed, format!("neither `{variable}` nor `HOME` names a folder"))
            .next(format!("set `{variable}`"))
    })
}

/// Writes a file that only this user can read, whole or not at all.
///
/// # Errors
/// If the folder or the file cannot be written.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let failed = |e: std::io::Error| Failure::file("write", path, &e);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|e| Failure::file("make", folder, &e))?;
    }
    let beside = path.with_extension(format!("new-{}", std::process::id()));
    let _ = fs::remove_file(&beside);
    let mut file =
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&beside, path).map_err(failed)
}

/// Reads a file that only this user may read.
///
/// # Errors
/// If it cannot be read, or others may read it.
pub(crate) fn read_private(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let failed = |e: std::io::Error| Failure::file("read", path, &e);
    let mut file = fs::File::open(path).map_err(failed)?;
    let meta = file.metadata().map_err(failed)?;
    if meta.is_file() && meta.mode() & 0o077 != 0 {
        let mode = meta.permissions().mode() & 0o777;
        return Err(Failure::new(
            Exit::Unauthenticated,
            format!("`{}` holds a secret and is open to others (mode {mode:03o})", path.display()),
        )
        .next(format!("chmod 600 {}", path.display())));
    }
    let mut text = Zeroizing::new(String::new());
    file.read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

fn load() -> Result<Option<SavedLogin>, Failure> {
    let path = login_path()?;
    if !path.exists() {
        return Ok(None);
    }
    let text = read_private(&path)?;
    let read: Result<SavedLogin, _> = toml::from_str(&text);
    read.map(Some).map_err(|e| {
        let error = ManifestError::from_toml(&text, &e);
        Failure::new(Exit::Failed, format!("`{}`: {error}", path.display()))
            .next("log in again with `casemate login`")
    })
}

/// The token that was given here and now: `--token-file`, or `CASEMATE_TOKEN`.
fn read_token(global: &Global) -> Result<Option<Secret>, Failure> {
    match &global.token_file {
        Some(path) if path == Path::new("-") => read_stdin().map(Some),
        Some(path) => read_private(path).map(|text| Some(Secret::new(&text))),
        None => {
            Ok(std::env::var("CASEMATE_TOKEN").ok().filter(|t| !t.trim().is_empty()).map(|t| Secret::new(&t)))
        }
    }
}

/// A token from stdin: its first line.
///
/// # Errors
/// If stdin cannot be read.
pub(crate) fn read_stdin() -> Result<Secret, Failure> {
    let mut line = Zeroizing::new(String::new());
    std::io::stdin().read_line(&mut line).map_err(|e| Failure::file("read", Path::new("stdin"), &e))?;
    Ok(Secret::new(&line))
}

/// `https://HOST[:PORT]`, without a path; a token never travels without TLS.
fn tidy_url(text: &str) -> Result<String, Failure> {
    let wrong = |why: &str| {
        Failure::new(Exit::Usage, format!("`{text}` is no node: {why}")).next(format!("write it as `{NODE}`"))
    };
    let url: http::Uri = text.parse().map_err(|_| wrong("it is no URL"))?;
    if url.scheme_str() != Some("https") {
        return Err(wrong("a node is spoken to over `https` alone"));
    }
    if url.path() != "/" || url.query().is_some() {
        return Err(wrong("it has a path"));
    }
    match url.authority() {
        Some(authority) if !authority.as_str().contains('@') => Ok(format!("https://{authority}")),
        _ => Err(wrong("it has no plain host")),
    }
}

fn default_tenant() -> Result<TenantId, Failure> {
    "default".parse().map_err(|e: model::IdError| Failure::new(Exit::Failed, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes() {
        let check = |text: &str, expect: &str| assert_eq!(tidy_url(text).unwrap(), expect);
        check("https://127.0.0.1:8444", "https://127.0.0.1:8444");
        check("https://node.example.com/", "https://node.example.com");
        check("https://[::1]:8444/", "https://[::1]:8444");
        for text in
            ["", "127.0.0.1:8444", "http://127.0.0.1:8444", "https://a@b", "https://h/v1", "https://h/?a"]
        {
            assert_eq!(tidy_url(text).unwrap_err().exit, Exit::Usage, "{text}");
        }
    }

    #[test]
    fn a_secret_that_others_may_read_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/token");
        write_private(&path, b"  text\n").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(Secret::new(&read_private(&path).unwrap()).expose(), "text");
        for mode in [0o640, 0o604, 0o660, 0o666] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let said = read_private(&path).unwrap_err();
            assert!(said.message.contains("open to others"), "{mode:o}: {said}");
            assert!(said.next.unwrap().starts_with("chmod 600"));
        }
    }
}
