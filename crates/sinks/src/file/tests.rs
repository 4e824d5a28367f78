//! What stands in which file, and what stays when writing fails.

use std::{fs, os::unix::fs::PermissionsExt as _};

use super::*;

fn config(folder: &Path, bytes_max: u64, keep: u32) -> FileConfig {
    FileConfig { path: folder.join("events.ndjson"), bytes_max, keep }
}

fn text(config: &FileConfig, suffix: &str) -> String {
    fs::read_to_string(format!("{}{suffix}", config.path.display())).unwrap_or_default()
}

#[test]
fn files_turn_by_size_and_the_oldest_goes() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), 10, 2);
    for line in ["one-one\n", "two\n", "three-th\n", "four-fou\n", "five-fiv\n"] {
        append(&config, line.as_bytes()).unwrap();
    }
    assert_eq!(text(&config, ""), "five-fiv\n");
    assert_eq!(text(&config, ".1"), "four-fou\n");
    assert_eq!(text(&config, ".2"), "three-th\n");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "no more is kept");
    assert_eq!(fs::metadata(&config.path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn nothing_older_is_kept_where_nothing_is_to_be() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), 10, 0);
    append(&config, b"one-one-one\n").unwrap();
    append(&config, b"two\n").unwrap();
    assert_eq!(text(&config, ""), "two\n");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_file_that_is_moved_away_begins_anew_and_one_that_is_there_keeps_its_mode() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), 1000, 2);
    append(&config, b"one\n").unwrap();
    fs::rename(&config.path, folder.path().join("moved")).unwrap();
    fs::write(&config.path, "").unwrap();
    fs::set_permissions(&config.path, fs::Permissions::from_mode(0o640)).unwrap();
    append(&config, b"two\n").unwrap();
    assert_eq!(text(&config, ""), "two\n");
    assert_eq!(fs::metadata(&config.path).unwrap().permissions().mode() & 0o777, 0o640);
}

#[test]
fn what_is_no_file_or_full_is_an_error_and_not_an_end() {
    let folder = tempfile::tempdir().unwrap();
    let missing = FileConfig { path: folder.path().join("no/such"), bytes_max: 10, keep: 1 };
    assert_eq!(append(&missing, b"x\n").unwrap_err().1.kind(), io::ErrorKind::NotFound);
    let dir = FileConfig { path: folder.path().to_owned(), bytes_max: 10, keep: 1 };
    append(&dir, b"x\n").unwrap_err();
    // The device that is always full: no regular file, so it is refused before anything is written.
    let full = FileConfig { path: "/dev/full".into(), bytes_max: 10, keep: 1 };
    append(&full, b"x\n").unwrap_err();
}

#[test]
fn a_pipe_is_refused_at_once_and_nobody_waits_for_its_reader() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = FileConfig { path: folder.path().join("pipe"), bytes_max: 10, keep: 1 };
    let made = std::process::Command::new("mkfifo").arg(&pipe.path).status().unwrap();
    assert!(made.success());
    assert_eq!(append(&pipe, b"x\n").unwrap_err().1.kind(), io::ErrorKind::InvalidInput);
    assert!(FileSink::new(pipe).unwrap_err().to_string().contains("is no regular file"));
    let dir = FileConfig { path: folder.path().to_owned(), bytes_max: 10, keep: 1 };
    FileSink::new(dir).unwrap_err();
    for path in ["events.ndjson", "no/such"] {
        FileSink::new(FileConfig { path: folder.path().join(path), bytes_max: 10, keep: 1 }).unwrap();
    }
}
