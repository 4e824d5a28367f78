//! What changed in a function's folder. It never builds.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use keyring::Sha256;
use model::Digest;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

use crate::{
    exit::{Exit, Failure},
    project::{MANIFEST, Project},
};

/// Folders whose contents are made, not written.
const MADE: &[&str] = &["target", "node_modules", "__pycache__", "dist", "build", "venv"];
/// Files that are looked at, at most.
const FILES_MAX: usize = 20_000;
/// Changes that come within this time of each other are one.
const SETTLE: Duration = Duration::from_millis(60);

/// Watches folders for changes of what was written there.
pub(crate) struct Watch {
    watcher: RecommendedWatcher,
    changes: mpsc::Receiver<()>,
    watched: BTreeSet<PathBuf>,
}

/// What the sources of a project were at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// SHA-256 over names and contents: a file that is written again as it was is no change.
    digest: Digest,
    folders: BTreeSet<PathBuf>,
}

impl Watch {
    /// Watches nothing yet.
    ///
    /// # Errors
    /// If the system has no more watches to give.
    pub(crate) fn new() -> Result<Self, Failure> {
        let (told, changes) = mpsc::channel(1);
        let tell = move |_event| {
            // One that waits already says it all.
            let _ = told.try_send(());
        };
        let watcher = notify::recommended_watcher(tell).map_err(|e| cannot(&e))?;
        Ok(Self { watcher, changes, watched: BTreeSet::new() })
    }

    /// Watches the folders of a snapshot, and no longer those that are gone.
    ///
    /// # Errors
    /// If a folder cannot be watched.
    pub(crate) fn follow(&mut self, snapshot: &Snapshot) -> Result<(), Failure> {
        for folder in snapshot.folders.difference(&self.watched) {
            self.watcher.watch(folder, RecursiveMode::NonRecursive).map_err(|e| cannot(&e))?;
        }
        for folder in self.watched.difference(&snapshot.folders) {
            // It may be gone already.
            let _ = self.watcher.unwatch(folder);
        }
        self.watched.clone_from(&snapshot.folders);
        Ok(())
    }

    /// Waits until something changed and then stood still.
    pub(crate) async fn changed(&mut self) {
        if self.changes.recv().await.is_none() {
            return std::future::pending().await;
        }
        while tokio::time::timeout(SETTLE, self.changes.recv()).await.is_ok_and(|more| more.is_some()) {}
    }
}

impl Snapshot {
    /// Reads the manifest and everything that it names under `build.watch`; the whole folder where it names
    /// nothing, or does not hold. The component itself, hidden files and build folders do not count.
    ///
    /// # Errors
    /// If a file or folder cannot be read, or there are too many.
    pub(crate) fn take(folder: &Path, project: Option<&Project>) -> Result<Self, Failure> {
        let mut files = BTreeSet::from([folder.join(MANIFEST)]);
        let mut folders = BTreeSet::from([folder.to_owned()]);
        let named = project.map(|p| p.manifest.build.watch.as_slice()).unwrap_or_default();
        let starts: Vec<PathBuf> = if named.is_empty() {
            vec![folder.to_owned()]
        } else {
            named.iter().map(|path| folder.join(path)).collect()
        };
        for start in starts {
            walk(&start, &mut files, &mut folders).map_err(|e| Failure::file("watch", &start, &e))?;
        }
        if let Some(project) = project {
            files.remove(&folder.join(&project.manifest.component));
        }
        let mut hash = Sha256::new();
        for file in &files {
            let bytes = match fs::read(file) {
                Ok(bytes) => bytes,
                // Gone since the walk: the next look will see it.
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(Failure::file("read", file, &e)),
            };
            hash.update(file.as_os_str().as_encoded_bytes());
            hash.update(keyring::sha256(&bytes).as_bytes());
        }
        Ok(Self { digest: hash.finish(), folders })
    }
}

fn walk(start: &Path, files: &mut BTreeSet<PathBuf>, folders: &mut BTreeSet<PathBuf>) -> io::Result<()> {
    let mut waiting = vec![start.to_owned()];
    while let Some(path) = waiting.pop() {
        if files.len() + folders.len() > FILES_MAX {
            let text = format!("more than {FILES_MAX} files; name the sources in `build.watch`");
            return Err(io::Error::other(text));
        }
        let meta = match fs::symlink_metadata(&path) {
            Ok(meta) => meta,
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(e),
        };
        if meta.is_file() {
            if let Some(parent) = path.parent() {
                folders.insert(parent.to_owned());
            }
            files.insert(path);
        } else if meta.is_dir() {
            for entry in fs::read_dir(&path)? {
                let entry = entry?;
                let name = entry.file_name();
                let name = name.to_string_lossy();
                let made = entry.file_type()?.is_dir() && MADE.contains(&&*name);
                if !name.starts_with('.') && !made {
                    waiting.push(entry.path());
                }
            }
            folders.insert(path);
        }
    }
    Ok(())
}

fn cannot(error: &notify::Error) -> Failure {
    Failure::new(Exit::Failed, format!("cannot watch for changes: {error}"))
        .next("name the sources in `build.watch`, so that fewer folders are watched")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        fs::write(path.join(MANIFEST), "name = \"hello\"\ncomponent = \"out/hello.wasm\"\n").unwrap();
        for made in ["src", "out", "target", "node_modules/x"] {
            fs::create_dir_all(path.join(made)).unwrap();
        }
        fs::write(path.join("src/lib.rs"), "one").unwrap();
        (folder, path)
    }

    fn look(path: &Path) -> Digest {
        Snapshot::take(path, Project::open(path).ok().as_ref()).unwrap().digest
    }

    #[test]
    fn what_counts_as_a_change() {
        let (_kept, path) = project();
        let check = |file: &str, text: &str, counts: bool| {
            let before = look(&path);
            fs::write(path.join(file), text).unwrap();
            assert_eq!(look(&path) != before, counts, "{file}");
        };
        check("src/lib.rs", "two", true);
        check("src/lib.rs", "two", false);
        check("src/new.rs", "", true);
        check(MANIFEST, "name = \"hello\"\ncomponent = \"out/hello.wasm\"\n# x\n", true);
        check("out/hello.wasm", "built", false);
        check("out/notes", "", true);
        check("target/x", "built", false);
        check("node_modules/x/y.js", "fetched", false);
        check(".git", "", false);
        check(MANIFEST, "no manifest at all", true);
        check("src/lib.rs", "three", true);
    }

    #[test]
    fn named_sources_are_all_that_counts() {
        let (_kept, path) = project();
        let text = "name = \"hello\"\ncomponent = \"x.wasm\"\n[build]\nwatch = [\"src\"]\n";
        fs::write(path.join(MANIFEST), text).unwrap();
        let before = look(&path);
        fs::write(path.join("out/notes"), "x").unwrap();
        assert_eq!(look(&path), before);
        fs::write(path.join("src/lib.rs"), "x").unwrap();
        assert_ne!(look(&path), before);
    }

    #[tokio::test]
    async fn a_change_is_told_once() {
        let (_kept, path) = project();
        let mut watch = Watch::new().unwrap();
        watch.follow(&Snapshot::take(&path, None).unwrap()).unwrap();
        for n in 0..20 {
            fs::write(path.join("src/lib.rs"), n.to_string()).unwrap();
        }
        let wait = Duration::from_secs(10);
        tokio::time::timeout(wait, watch.changed()).await.unwrap();
        assert!(
            tokio::time::timeout(Duration::from_millis(300), watch.changed()).await.is_err(),
            "told twice"
        );
    }
}
