//! The data folder before anything is in it: whose it is, and whether it is the node's at all. It never
//! changes a folder that it refuses.

use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::Path,
};

use crate::{
    config::{Config, RootKeySource},
    exit::{Exit, Failure},
};

/// The folder of the store within it.
pub(crate) const STORE: &str = "store";
/// What a start that did not come to its store may have left, and what a fresh disk has.
const OWN: [&str; 5] = ["root.key", "node.json", "ca.pem", "first-token", "lost+found"];

/// Makes the data folder with mode 0700, or proves that the one that is there is this user's alone and holds
/// a node's data or nothing.
///
/// # Errors
/// What is wrong with it and what to do; it is then as it was.
pub(crate) fn data_folder(config: &Config) -> Result<(), Failure> {
    let path = &config.data;
    let shown = path.display();
    let another = |what: String| Failure::new(Exit::NotStarted, what).next("name another with `--data`");
    let meta = match fs::metadata(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && !path.is_symlink() => {
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
            return made.map_err(|e| another(format!("cannot make `{shown}`: {e}")));
        }
        other => other.map_err(|e| another(format!("cannot read `{shown}`: {e}")))?,
    };
    if !meta.is_dir() {
        return Err(another(format!("`{shown}` is not a folder")));
    }
    let me = rustix::process::geteuid().as_raw();
    if meta.uid() != me {
        return Err(another(format!("`{shown}` belongs to user {}, and this is user {me}", meta.uid())));
    }
    let entries = fs::read_dir(path).map_err(|e| another(format!("cannot read `{shown}`: {e}")))?;
    let names: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.file_name())).collect();
    let found = names.iter().find(|name| !is_ours(config, name));
    if let Some(found) = found.filter(|_| !names.iter().any(|name| name == STORE)) {
        let found = found.to_string_lossy();
        return Err(Failure::new(
            Exit::NotStarted,
            format!("`{shown}` holds `{found}` and no store: it is not the data folder of a node"),
        )
        .next("name an empty folder, or one that is not there yet, with `--data`"));
    }
    if meta.mode() & 0o077 != 0 {
        let mode = meta.mode() & 0o7777;
        return Err(Failure::new(
            Exit::NotStarted,
            format!("`{shown}` has mode {mode:04o}, which lets others at it"),
        )
        .next(format!("run `chmod 0700 {shown}`")));
    }
    let wanted = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
    rustix::fs::access(path, wanted).map_err(|e| another(format!("`{shown}` cannot be written: {e}")))
}

/// Whether a name in a folder without a store is that of a file that belongs there: the node's own, a
/// configuration, or one that the configuration names.
fn is_ours(config: &Config, name: &OsStr) -> bool {
    let path = config.data.join(name);
    let text = name.to_string_lossy();
    let key = match &config.root_key {
        RootKeySource::File(file) | RootKeySource::PassphraseFile(file) => Some(file),
        RootKeySource::PassphraseEnv(_) => None,
    };
    let named = key.into_iter().chain(config.shown.files());
    let unfinished = text.starts_with("root.key.") && text.ends_with(".new");
    let mut named = named.map(AsRef::<Path>::as_ref);
    OWN.contains(&&*text)
        || unfinished
        || text.ends_with(".toml")
        || named.any(|file| file.starts_with(&path))
}
