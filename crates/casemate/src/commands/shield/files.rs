//! Files of rules and tests: which there are, in which order, and what rules name beside themselves. It reads no rule.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::exit::{Exit, Failure};

/// Where Debian's `modsecurity-crs` has its rules and, elsewhere, their set-up.
const DEBIAN: (&str, &str) = ("/usr/share/modsecurity-crs", "/etc/modsecurity/crs/crs-setup.conf");
/// Names that CRS gives the file to be read first.
const SETUPS: [&str; 2] = ["crs-setup.conf", "crs-setup.conf.example"];

/// The files of a folder of rules, the set-up first; a file alone is the only one.
pub(super) fn of(folder: &Path, setup: Option<&Path>) -> Result<Vec<PathBuf>, Failure> {
    if folder.is_file() {
        return Ok(setup.into_iter().chain([folder]).map(Path::to_owned).collect());
    }
    let mut found = sorted(folder)?;
    found.retain(|path| path.extension().is_some_and(|end| end == "conf"));
    if found.is_empty() {
        let inner = folder.join("rules");
        if inner.is_dir() {
            return of(&inner, setup);
        }
        let why = format!("there is no `.conf` file in `{}`", folder.display());
        return Err(Failure::new(Exit::Invalid, why).next("name the folder that holds the rules themselves"));
    }
    let setup = match setup {
        Some(setup) => Some(setup.to_owned()),
        None => {
            let folders = [Some(folder.to_owned()), Some(folder.join(".."))];
            let named = |folder: PathBuf| SETUPS.map(|name| folder.join(name));
            let debian = folder.starts_with(DEBIAN.0).then(|| PathBuf::from(DEBIAN.1));
            let beside = folders.into_iter().flatten().flat_map(named);
            beside.chain(debian).find(|path| path.is_file())
        }
    };
    if let Some(setup) = setup {
        let same = |path: &PathBuf| path.canonicalize().ok() == setup.canonicalize().ok();
        found.retain(|path| !same(path));
        found.insert(0, setup);
    }
    Ok(found)
}

/// All `.yaml` files of a folder and those in it, in order; the file itself where it is one.
pub(super) fn tests(path: &Path, found: &mut Vec<PathBuf>) -> Result<(), Failure> {
    if path.is_file() {
        found.push(path.to_owned());
        return Ok(());
    }
    for path in sorted(path)? {
        let yaml = path.extension().is_some_and(|end| end == "yaml" || end == "yml");
        if path.is_dir() {
            tests(&path, found)?;
        } else if yaml {
            found.push(path);
        }
    }
    Ok(())
}

fn sorted(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let read = |e: std::io::Error| Failure::file("read", folder, &e);
    let entries = fs::read_dir(folder).map_err(read)?;
    let mut found = Vec::new();
    for entry in entries {
        found.push(entry.map_err(read)?.path());
    }
    found.sort();
    Ok(found)
}

/// What rules name, by the folder of the file that names it.
pub(super) struct Folder;

fn beside(from: &str, name: &str) -> PathBuf {
    Path::new(from).parent().unwrap_or(Path::new(".")).join(name)
}

impl waf::Files for Folder {
    fn read(&self, from: &str, name: &str) -> Result<Vec<u8>, String> {
        fs::read(beside(from, name)).map_err(|e| e.to_string())
    }

    /// Of patterns the last part may hold `*`.
    fn expand(&self, from: &str, pattern: &str) -> Result<Vec<String>, String> {
        if pattern.rsplit_once('/').is_some_and(|(folder, _)| folder.contains('*')) {
            return Err("one `*` in the last part of the path is read".to_owned());
        }
        let path = beside(from, pattern);
        let last = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some((start, end)) = last.split_once('*') else {
            let is_there = path.try_exists().map_err(|e| e.to_string())?;
            return Ok(is_there.then(|| path.display().to_string()).into_iter().collect());
        };
        if end.contains('*') {
            return Err("one `*` in the last part of the path is read".to_owned());
        }
        let folder = path.parent().unwrap_or(Path::new("."));
        if !folder.try_exists().map_err(|e| e.to_string())? {
            return Ok(Vec::new());
        }
        let found = sorted(folder).map_err(|failure| failure.message)?;
        let fits = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
        };
        // What is included is named from here on, whatever folder named it.
        let absolute = |path: PathBuf| fs::canonicalize(&path).unwrap_or(path).display().to_string();
        Ok(found.into_iter().filter(fits).map(absolute).collect())
    }
}
