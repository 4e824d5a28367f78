//! Data folders that a node must not start on: each refusal says which file, what is wrong and what to do,
//! and leaves every byte, mode and time of the folder as it was.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown, symlink},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::LazyLock,
    time::{Duration, Instant},
};

use crate::support::{CASEMATE, Home, Ran, TestNode, guest};

const TENANT: &str = "[access]\nallow = \"tenant\"\n";
const NOT_STARTED: i32 = 8;
/// Somebody else, for tests that run as root.
const NOBODY: u32 = 65_534;

/// A node's data folder with one function deployed, and the login that goes with it; copied for each case.
static KEPT: LazyLock<Home> = LazyLock::new(|| {
    let node = TestNode::start();
    node.deploy("hello", &guest("hello"), TENANT);
    node.stop()
});

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    fs::set_permissions(to, fs::metadata(from).unwrap().permissions()).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, &to).unwrap();
        }
    }
}

/// A home of its own with a copy of the data folder.
fn home() -> (Home, PathBuf) {
    let home = Home::new();
    for part in ["data", "config"] {
        copy(&KEPT.path().join(part), &home.path().join(part));
    }
    let data = home.path().join("data");
    (home, data)
}

/// Of everything below a path: what it is, its mode, when it was changed, and its bytes.
fn all_of(path: &Path) -> BTreeMap<PathBuf, (u32, i64, i64, Vec<u8>)> {
    let meta = fs::symlink_metadata(path).unwrap();
    let bytes = match () {
        () if meta.is_symlink() => fs::read_link(path).unwrap().into_os_string().into_encoded_bytes(),
        () if meta.is_file() => fs::read(path).unwrap_or_default(),
        () => Vec::new(),
    };
    let mut all = BTreeMap::from([(path.into(), (meta.mode(), meta.mtime(), meta.mtime_nsec(), bytes))]);
    if meta.is_dir()
        && let Ok(entries) = fs::read_dir(path)
    {
        entries.for_each(|entry| all.extend(all_of(&entry.unwrap().path())));
    }
    all
}

/// Runs `up`, which must end by itself.
fn up(command: &mut Command) -> Ran {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > Duration::from_secs(30) {
            let _ = child.kill();
            panic!("a node runs on what it should refuse");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let done = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran { code: done.status.code().unwrap_or(-1), out: text(&done.stdout), err: text(&done.stderr) }
}

fn command(home: &Home, data: &Path, more: &[&str]) -> Command {
    let any = "127.0.0.1:0";
    let args = ["up", "--data", data.to_str().unwrap(), "--listen", any, "--control", any];
    home.command(&[&args, more].concat())
}

/// A copy of the data folder, spoiled: refused with these words, and left alone.
#[track_caller]
fn check(what: &str, spoil: impl FnOnce(&Path), says: &[&str]) {
    let (home, data) = home();
    spoil(&data);
    let before = all_of(home.path());
    let ran = up(&mut command(&home, &data, &[]));
    assert_eq!(ran.code, NOT_STARTED, "{what}: {ran:?}");
    for part in says {
        assert!(ran.err.contains(part), "{what}: `{part}` is not in {}", ran.err);
    }
    assert!(!ran.err.contains("panicked"), "{what}: {}", ran.err);
    assert!(all_of(home.path()) == before, "{what}: the refusal changed something");
    println!("{what}: {}", ran.err.trim());
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn database(data: &Path) -> PathBuf {
    data.join("store/data.redb")
}

#[test]
fn a_store_that_is_damaged() {
    let spoiled = |bytes: &'static [u8]| move |data: &Path| fs::write(database(data), bytes).unwrap();
    let says = ["data.redb", "is damaged", "restore it from a backup"];
    check("an empty database", spoiled(b""), &says);
    check("a few bytes", spoiled(b"redb"), &says);
    check("garbage", spoiled(&[0x5a; 50_000]), &says);
    check("another program's database", spoiled(b"SQLite format 3\0"), &says);
    let cut = |part: u64| {
        move |data: &Path| {
            let file = fs::File::options().write(true).open(database(data)).unwrap();
            file.set_len(file.metadata().unwrap().len() * part / 100).unwrap();
        }
    };
    check("half of the database", cut(50), &says);
    check("nearly all of the database", cut(99), &says);
    let flipped = |data: &Path| {
        let mut bytes = fs::read(database(data)).unwrap();
        for byte in bytes.iter_mut().skip(4096).step_by(701) {
            *byte ^= 0x40;
        }
        fs::write(database(data), bytes).unwrap();
    };
    check("flipped bits", flipped, &says);
    let gone = |data: &Path| fs::remove_file(database(data)).unwrap();
    check("no database beside the blobs", gone, &["the file is missing, though there are blobs", "backup"]);
}

#[test]
fn a_folder_that_is_not_a_nodes() {
    let empty = |data: &Path| {
        fs::remove_dir_all(data).unwrap();
        fs::create_dir(data).unwrap();
        chmod(data, 0o700);
    };
    let photos = |data: &Path| {
        empty(data);
        fs::write(data.join("photo.jpg"), "a photo").unwrap();
    };
    check("somebody's photos", photos, &["holds `photo.jpg` and no store", "--data"]);
    let open_photos = |data: &Path| {
        photos(data);
        chmod(data, 0o755);
    };
    check("photos that others may see", open_photos, &["holds `photo.jpg` and no store", "--data"]);
    let project = |data: &Path| {
        empty(data);
        fs::create_dir(data.join("src")).unwrap();
        fs::write(data.join("Cargo.toml"), "[package]").unwrap();
    };
    check("a project", project, &["holds `src` and no store"]);
    let file = |data: &Path| {
        fs::remove_dir_all(data).unwrap();
        fs::write(data, "").unwrap();
    };
    check("an empty file in the folder's place", file, &["is not a folder", "--data"]);
    let store = |data: &Path| {
        empty(data);
        fs::write(data.join("store"), "").unwrap();
    };
    check("an empty file in the store's place", store, &["store` is not a folder"]);
    let other_store = |data: &Path| {
        empty(data);
        fs::create_dir_all(data.join("store/letters")).unwrap();
        chmod(&data.join("store"), 0o700);
    };
    check(
        "another program's store",
        other_store,
        &["store` holds `letters` and no store", "choose an empty"],
    );
}

#[test]
fn a_key_that_is_not_the_right_one() {
    let key = |data: &Path| data.join("root.key");
    let write = move |bytes: &'static [u8]| {
        move |data: &Path| {
            fs::write(key(data), bytes).unwrap();
            chmod(&key(data), 0o600);
        }
    };
    let says = ["not the root key of this data", "nothing was changed", "`root_key`"];
    check("another root key", write(&[7; 32]), &says);
    check("a cut root key", write(&[7; 31]), &["root.key", "31 bytes where a root key has 32", "backup"]);
    let gone = move |data: &Path| fs::remove_file(key(data)).unwrap();
    check("no root key", gone, &["root.key` is not there", "restore the root key from a backup"]);
    let linked = move |data: &Path| {
        fs::rename(key(data), data.join("elsewhere")).unwrap();
        symlink("elsewhere", key(data)).unwrap();
    };
    check("a link to the root key", linked, &["root.key` is a symbolic link"]);
    let twice = move |data: &Path| fs::hard_link(key(data), data.join("second-name")).unwrap();
    check("a root key of two names", twice, &["more than one hard link"]);
    let read = move |data: &Path| chmod(&key(data), 0o640);
    check("a root key that others may read", read, &["root.key` has mode 0640", "chmod 0600"]);
    let (home, data) = home();
    fs::write(home.path().join("node.toml"), "[root_key]\npassphrase_env = \"PASS\"\n").unwrap();
    let before = all_of(home.path());
    let mut by_passphrase = command(&home, &data, &["--config", "node.toml"]);
    let ran = up(by_passphrase.env("PASS", "correct horse battery"));
    ran.fails(NOT_STARTED, "made with a root key file, not with a passphrase");
    assert!(all_of(home.path()) == before);
}

#[test]
fn a_folder_that_others_may_enter() {
    check("a data folder for all", |data| chmod(data, 0o755), &["data` has mode 0755", "chmod 0700"]);
    check("a data folder for a group", |data| chmod(data, 0o710), &["data` has mode 0710", "chmod 0700"]);
    let store = |data: &Path| chmod(&data.join("store"), 0o770);
    check("a store for a group", store, &["store` has mode 0770", "chmod 0700"]);
}

#[test]
fn links_and_things_that_are_no_files() {
    let moved = |name: &'static str| {
        move |data: &Path| {
            let elsewhere = data.join("elsewhere");
            fs::rename(data.join(name), &elsewhere).unwrap();
            symlink(&elsewhere, data.join(name)).unwrap();
        }
    };
    check("a link to a store", moved("store"), &["store` is a symbolic link"]);
    check("a link to a database", moved("store/data.redb"), &["data.redb` is a symbolic link"]);
    check("a link to the blobs", moved("store/blobs"), &["blobs` is a symbolic link"]);
    check("a link to a tenant's blobs", moved("store/blobs/default"), &["default` is a symbolic link"]);
    let dangling = |data: &Path| {
        fs::remove_file(database(data)).unwrap();
        symlink("/nowhere/at/all", database(data)).unwrap();
    };
    check("a link to nowhere", dangling, &["data.redb` is a symbolic link"]);
    let folder = |data: &Path| {
        fs::remove_file(database(data)).unwrap();
        fs::create_dir(database(data)).unwrap();
    };
    check("a folder in the database's place", folder, &["data.redb` is not a regular file"]);
    let pipe = |data: &Path| {
        fs::remove_file(database(data)).unwrap();
        let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR);
        rustix::fs::mknodat(rustix::fs::CWD, database(data), kind, mode, 0).unwrap();
    };
    check("a pipe in the database's place", pipe, &["data.redb` is not a regular file"]);
}

/// Gives everything below a path to another user.
fn give(path: &Path, user: u32) {
    chown(path, Some(user), Some(user)).unwrap();
    if path.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| give(&entry.unwrap().path(), user));
    }
}

/// Runs `up` as somebody whom permissions hold: root is held by none.
fn check_permission(what: &str, spoil: impl FnOnce(&Path), says: &[&str]) {
    let (home, data) = home();
    spoil(&data);
    let before = all_of(home.path());
    let mut command = command(&home, &data, &[]);
    let tools = tempfile::tempdir().unwrap();
    if rustix::process::geteuid().is_root() {
        // The executable may lie where nobody else may go.
        let own = tools.path().join("casemate");
        fs::copy(CASEMATE, &own).unwrap();
        chmod(tools.path(), 0o755);
        give(home.path(), NOBODY);
        let mut as_nobody = Command::new(own);
        as_nobody.args(command.get_args()).env_clear().current_dir(home.path());
        as_nobody.env("HOME", home.path()).uid(NOBODY).gid(NOBODY);
        command = as_nobody;
    }
    let ran = up(&mut command);
    assert_eq!(ran.code, NOT_STARTED, "{what}: {ran:?}");
    for part in says {
        assert!(ran.err.contains(part), "{what}: `{part}` is not in {}", ran.err);
    }
    assert!(all_of(home.path()) == before, "{what}: the refusal changed something");
    // So that the folder can be removed, by whoever owns it.
    for folder in [data.clone(), data.join("store")] {
        let _ = fs::set_permissions(folder, fs::Permissions::from_mode(0o700));
    }
    println!("{what}: {}", ran.err.trim());
}

#[test]
fn a_folder_without_permission() {
    let denied = ["Permission denied", "run as the user that owns it"];
    let shut = |data: &Path| chmod(&database(data), 0o000);
    check_permission("a database that may not be read", shut, &denied);
    let read = |data: &Path| chmod(&database(data), 0o400);
    check_permission("a database that may not be written", read, &denied);
    let store = |data: &Path| chmod(&data.join("store"), 0o000);
    check_permission("a store that may not be entered", store, &denied);
    let fixed = |data: &Path| {
        fs::remove_dir_all(data.join("store")).unwrap();
        fs::remove_file(data.join("root.key")).unwrap();
        chmod(data, 0o500);
    };
    check_permission("an empty folder that may not be written", fixed, &["data", "Permission denied"]);
    let read_only = |data: &Path| chmod(data, 0o500);
    check_permission(
        "a folder that may not be written",
        read_only,
        &["data`", "cannot be written", "--data"],
    );
}

#[test]
fn a_folder_of_another_user() {
    if !rustix::process::geteuid().is_root() {
        println!("only root can give a folder away");
        return;
    }
    check("a data folder", |data| give(data, NOBODY), &["data` belongs to user 65534"]);
    let store = |data: &Path| give(&data.join("store"), NOBODY);
    check("a store", store, &["store` belongs to user 65534", "run as that user"]);
    let key = |data: &Path| give(&data.join("root.key"), NOBODY);
    check("a root key", key, &["root.key` belongs to user 65534", "chown 0"]);
}

#[test]
fn a_folder_in_use() {
    let node = TestNode::start();
    node.deploy("hello", &guest("hello"), TENANT);
    let token = node.token(&["--name", "caller", "--scope", "invoke"]);
    let ran = up(&mut command(&node.home, &node.data, &[]));
    ran.fails(NOT_STARTED, "is in use by another node; stop that one, or choose another folder");
    assert_eq!(node.call("GET", "/hello", Some(&token), b"").status, 200, "the first node goes on");
    TestNode::start_with(node.stop(), "").stop();
}

#[test]
fn what_was_refused_starts_once_it_is_mended() {
    let (home, data) = home();
    let key = fs::read(data.join("root.key")).unwrap();
    fs::remove_file(data.join("root.key")).unwrap();
    assert_eq!(up(&mut command(&home, &data, &[])).code, NOT_STARTED);
    fs::write(data.join("root.key"), key).unwrap();
    chmod(&data.join("root.key"), 0o600);
    let node = TestNode::start_with(home, "");
    let token = node.token(&["--name", "caller", "--scope", "invoke"]);
    assert_eq!(node.call("GET", "/hello", Some(&token), b"").text(), "Hello, world!\n");
}

/// A node whose blobs were spoiled: it starts, and says what it misses when it is wanted.
#[track_caller]
fn check_blobs(what: &str, spoil: impl FnOnce(&Path, &Path), status: u16, logs: &str) {
    let (home, data) = home();
    let blobs = data.join("store/blobs/default");
    let component = fs::read_dir(home.path().join("data/store/blobs/default")).unwrap();
    let mut files: Vec<PathBuf> = component.map(|entry| entry.unwrap().path()).collect();
    files.sort_by_key(|path| fs::metadata(path).unwrap().len());
    // A component is smaller than its compiled code.
    let [component, code] = &files[..] else { panic!("{files:?}") };
    spoil(component, code);
    let before = all_of(&blobs);
    let node = TestNode::start_with(home, "");
    let token = node.token(&["--name", "caller", "--scope", "invoke"]);
    let answer = node.call("GET", "/hello", Some(&token), b"");
    assert_eq!(answer.status, status, "{what}: {}", answer.text());
    // The log is written beside the requests.
    let start = Instant::now();
    while !node.log().contains(logs) {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}: `{logs}` is not in {}", node.log());
        std::thread::sleep(Duration::from_millis(5));
    }
    if status == 200 {
        assert_eq!(answer.text(), "Hello, world!\n", "{what}");
    } else {
        assert!(all_of(&blobs) == before, "{what}: something was changed");
        assert!(!answer.text().contains("store"), "{what}: {}", answer.text());
    }
}

#[test]
fn blobs_that_are_missing_or_damaged() {
    let flip = |path: &Path| {
        let mut bytes = fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    let gone = |path: &Path| fs::remove_file(path).unwrap();
    check_blobs("damaged code", |_, code| flip(code), 200, "compiled code was altered on disk; refused");
    check_blobs("no code", |_, code| gone(code), 200, "");
    check_blobs("no component", |component, _| gone(component), 200, "");
    let both = |component: &Path, code: &Path| [component, code].into_iter().for_each(gone);
    check_blobs("neither component nor code", both, 503, "is gone from the store");
    let damaged = |component: &Path, code: &Path| [component, code].into_iter().for_each(flip);
    check_blobs("damaged component and code", damaged, 503, "does not open");
    let linked = |component: &Path, code: &Path| {
        gone(code);
        gone(component);
        symlink("/etc/passwd", component).unwrap();
    };
    check_blobs("a link in a blob's place", linked, 503, "is a symbolic link");
}
