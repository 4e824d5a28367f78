//! A file of one JSON line an event, in turns of a bounded size. It never holds the file open between batches, so
//! that whoever moves it away gets the next batch into a new one.

#[cfg(test)]
mod tests;

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use platform::{Delivering, Delivery, Sink};

use crate::{SetupError, later};

/// Where, and how much of it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileConfig {
    /// The file; older ones are `PATH.1`, `PATH.2` and so on.
    pub path: PathBuf,
    /// After which size the next batch goes into a new file, in bytes.
    pub bytes_max: u64,
    /// How many older files are kept.
    pub keep: u32,
}

/// A file that events are appended to. A new one has mode 0600; one that is there keeps its own.
#[derive(Debug)]
pub struct FileSink(FileConfig);

impl FileSink {
    /// A file that is not opened before there is something to write.
    ///
    /// # Errors
    /// Something is there that is no regular file. A file that cannot be reached now may be later.
    pub fn new(config: FileConfig) -> Result<Self, SetupError> {
        match check_kind(&config.path) {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                Err(SetupError(format!("`{}` {error}", config.path.display())))
            }
            _ => Ok(Self(config)),
        }
    }
}

impl Sink for FileSink {
    fn deliver<'a>(&'a self, batch: &'a [Delivery]) -> Delivering<'a> {
        let lines: usize = batch.iter().map(|delivery| delivery.line.len() + 1).sum();
        let mut text = String::with_capacity(lines);
        for delivery in batch {
            text.push_str(&delivery.line);
            text.push('\n');
        }
        let config = self.0.clone();
        Box::pin(async move {
            // Long work on a slow disk.
            let written = tokio::task::spawn_blocking(move || append(&config, text.as_bytes())).await;
            written.map_err(later)?.map_err(|(place, e)| later(format!("`{}`: {e}", place.display())))
        })
    }
}

/// Writes a batch whole, and durably, or leaves the file as it was.
fn append(config: &FileConfig, text: &[u8]) -> Result<(), (PathBuf, io::Error)> {
    let at = |e: io::Error| (config.path.clone(), e);
    let mut file = open(&config.path).map_err(at)?;
    let mut before = file.metadata().map_err(at)?.len();
    if before > 0 && before.saturating_add(text.len() as u64) > config.bytes_max {
        turn(config)?;
        file = open(&config.path).map_err(at)?;
        before = file.metadata().map_err(at)?.len();
    }
    let written = file.write_all(text).and_then(|()| file.sync_data());
    written.map_err(|error| {
        // INVARIANT: half a line never stays; where even that fails, the error is told all the same.
        let _ = file.set_len(before);
        at(error)
    })
}

fn open(path: &Path) -> io::Result<File> {
    // Asked before it is opened too: to open a pipe waits for whoever reads it, for ever.
    check_kind(path)?;
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(no_file()) }
}

/// Whether a regular file is there, or nothing.
fn check_kind(path: &Path) -> io::Result<()> {
    match std::fs::metadata(path) {
        Ok(found) if !found.is_file() => Err(no_file()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn no_file() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "is no regular file")
}

/// Gives each file the next number; the last one is overwritten by the one before it.
fn turn(config: &FileConfig) -> Result<(), (PathBuf, io::Error)> {
    let numbered = |number: u32| {
        let mut name = config.path.clone().into_os_string();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    };
    if config.keep == 0 {
        return std::fs::remove_file(&config.path).map_err(|e| (config.path.clone(), e));
    }
    for number in (0..config.keep).rev() {
        let from = if number == 0 { config.path.clone() } else { numbered(number) };
        match std::fs::rename(&from, numbered(number + 1)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err((from, e)),
            _ => {}
        }
    }
    Ok(())
}
