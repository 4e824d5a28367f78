//! A function's folder: its manifest, its build, its component. It never talks to a node.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use bytes::Bytes;
use model::{Digest, Limits, Manifest, limits};
use serde::Serialize;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::Command,
};

use crate::{
    exit::{Exit, Failure},
    output::Output,
};

/// The manifest's file name.
pub(crate) const MANIFEST: &str = "casemate.toml";
/// How many lines of a failed command are shown.
const LINES_SHOWN: usize = 60;

/// A folder with a manifest that holds.
pub(crate) struct Project {
    /// The folder that the manifest stands in.
    pub(crate) folder: PathBuf,
    /// The manifest's text as it stands there.
    pub(crate) text: String,
    /// The same, proved.
    pub(crate) manifest: Manifest,
}

/// A component as it lies on disk.
pub(crate) struct Component {
    /// Its bytes.
    pub(crate) bytes: Bytes,
    /// Their SHA-256.
    pub(crate) digest: Digest,
}

/// A command that the manifest names and that ran to its end.
#[derive(Debug, Serialize)]
pub(crate) struct Ran {
    /// The command.
    pub(crate) command: String,
    /// How long it took, in milliseconds.
    pub(crate) took_ms: u64,
}

impl Project {
    /// Reads and proves the manifest of a folder (or the file itself).
    ///
    /// # Errors
    /// If there is none, or it does not hold; the message has file, line and column.
    pub(crate) fn open(dir: &Path) -> Result<Self, Failure> {
        let file = if dir.is_dir() { dir.join(MANIFEST) } else { dir.to_owned() };
        let text = fs::read_to_string(&file).map_err(|e| {
            Failure::new(Exit::Invalid, format!("cannot read `{}`: {e}", file.display()))
                .next("name a function's folder, or make one with `casemate new NAME`")
        })?;
        let manifest = Manifest::parse(&text, &Limits::CEILING)
            .and_then(|manifest| manifest.check_waiver(crate::clock::now()).map(|()| manifest))
            .map_err(|error| {
                let place = match error.at {
                    Some((line, column)) => format!("{}:{line}:{column}", file.display()),
                    None => file.display().to_string(),
                };
                let failure = Failure::new(Exit::Invalid, format!("{place}: {}", error.message));
                match error.suggestion {
                    Some(suggestion) => failure.next(suggestion),
                    None => failure.next("`casemate manifest schema` has every key with its meaning"),
                }
            })?;
        let folder = file.parent().map_or_else(PathBuf::new, Path::to_owned);
        let folder = if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder };
        Ok(Self { folder, text, manifest })
    }

    /// Runs the manifest's build command, if it has one.
    ///
    /// # Errors
    /// If the command fails; what it said is part of the message.
    pub(crate) async fn build(&self, out: &Output) -> Result<Option<Ran>, Failure> {
        match &self.manifest.build.command {
            Some(command) => self.run(command, "building", out).await.map(Some),
            None => Ok(None),
        }
    }

    /// Runs the manifest's test command.
    ///
    /// # Errors
    /// If there is none, or it fails.
    pub(crate) async fn test(&self, out: &Output) -> Result<Ran, Failure> {
        let Some(command) = &self.manifest.build.test else {
            return Err(Failure::new(Exit::Invalid, "the manifest names no test command")
                .next("add `test = \"…\"` to `[build]` in `casemate.toml`"));
        };
        self.run(command, "testing", out).await
    }

    /// Reads the component that the manifest names. What it is, the node alone judges.
    ///
    /// # Errors
    /// If it is not there, or larger than any node takes.
    pub(crate) fn component(&self) -> Result<Component, Failure> {
        let path = self.folder.join(&self.manifest.component);
        let wrong = |why: String| Failure::new(Exit::Invalid, format!("`{}` {why}", path.display()));
        let size = fs::metadata(&path).map(|meta| meta.len()).map_err(|e| {
            wrong(format!("cannot be read: {e}"))
                .next("build it with `casemate build`, or correct `component`")
        })?;
        if size > limits::COMPONENT_BYTES_MAX {
            return Err(wrong(format!("has {size} bytes; {} are taken", limits::COMPONENT_BYTES_MAX)));
        }
        let bytes = fs::read(&path).map_err(|e| Failure::file("read", &path, &e))?;
        let digest = keyring::sha256(&bytes);
        Ok(Component { bytes: bytes.into(), digest })
    }

    async fn run(&self, command: &str, doing: &str, out: &Output) -> Result<Ran, Failure> {
        let started = std::time::Instant::now();
        let progress = out.spinner(format!("{doing} {}: {command}", self.manifest.name));
        let cannot = |e: std::io::Error| Failure::new(Exit::Invalid, format!("cannot run `{command}`: {e}"));
        let mut child = Command::new("sh")
            .args(["-c", command])
            .current_dir(&self.folder)
            .env_remove("CASEMATE_TOKEN")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(cannot)?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (said, complained) = tokio::join!(tail(stdout), tail(stderr));
        let status = child.wait().await.map_err(cannot)?;
        drop(progress);
        if status.success() {
            let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
            return Ok(Ran { command: command.to_owned(), took_ms });
        }
        let said = [said, complained].concat().join("\n");
        Err(Failure::new(Exit::Invalid, format!("`{command}` ended with {status}\n{said}"))
            .next(format!("run it by hand in `{}`", self.folder.display())))
    }
}

/// The last lines of what a command said.
async fn tail(stream: Option<impl AsyncRead + Unpin>) -> Vec<String> {
    let mut kept = std::collections::VecDeque::new();
    let Some(stream) = stream else { return Vec::new() };
    let mut lines = BufReader::new(stream).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        if kept.len() == LINES_SHOWN {
            kept.pop_front();
        }
        kept.push_back(String::from_utf8_lossy(&line).into_owned());
    }
    kept.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(manifest: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(MANIFEST), manifest).unwrap();
        folder
    }

    fn refused(manifest: &str, part: &str) {
        let folder = folder(manifest);
        let failure = Project::open(folder.path()).err().unwrap_or_else(|| panic!("{manifest} holds"));
        assert_eq!(failure.exit, Exit::Invalid);
        assert!(failure.message.contains(part), "{failure}");
        assert!(failure.next.is_some());
    }

    const HEAD: &str = "name = \"hello\"\ncomponent = \"hello.wasm\"\n";

    #[test]
    fn manifests_that_do_not_hold() {
        refused("", "casemate.toml");
        refused(&format!("{HEAD}componnet = 1"), "casemate.toml:3:1: unknown field `componnet`");
        let ended =
            "[access]\nallow = \"public\"\nwaiver = { reason = \"for a while\", until = \"2020-01-01\" }\n";
        refused(&format!("{HEAD}{ended}"), "which has passed");
        let nowhere = Project::open(Path::new("/nowhere/at/all")).err().unwrap();
        assert!(nowhere.next.unwrap().contains("casemate new"));
    }

    #[test]
    fn components_that_cannot_be_sent() {
        let folder = folder(HEAD);
        let open = || Project::open(folder.path()).unwrap().component();
        let missing = open().err().unwrap();
        assert!(missing.message.contains("cannot be read"), "{missing}");
        assert!(missing.next.unwrap().contains("casemate build"));
        let path = folder.path().join("hello.wasm");
        fs::File::create(&path).unwrap().set_len(limits::COMPONENT_BYTES_MAX + 1).unwrap();
        let large = open().err().unwrap();
        assert!(large.message.contains("are taken"), "{large}");
        fs::write(&path, b"any").unwrap();
        assert_eq!(open().unwrap().digest, keyring::sha256(b"any"));
    }

    #[tokio::test]
    async fn builds() {
        let out = Output::new(crate::output::Format::Json);
        let good = folder(&format!("{HEAD}[build]\ncommand = \"printf x > built\"\n"));
        let ran = Project::open(good.path()).unwrap().build(&out).await.unwrap();
        assert!(ran.is_some() && good.path().join("built").exists());

        let bad = folder(&format!("{HEAD}[build]\ncommand = \"echo why >&2; exit 3\"\n"));
        let failure = Project::open(bad.path()).unwrap().build(&out).await.unwrap_err();
        assert!(failure.message.contains("why") && failure.message.contains('3'), "{failure}");
        assert_eq!(failure.exit, Exit::Invalid);
        assert!(Project::open(bad.path()).unwrap().test(&out).await.is_err(), "there is no test command");
    }
}
