//! The embedded store against crashes, failing disks, damage and folders that are not its own.

mod faults;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{folder::FILE, *};
use crate::{Space, Span, Write};

const PAIRS: Space = Space::new("pairs");

fn put(id: &str, value: &[u8]) -> Commit {
    Commit {
        checks: Vec::new(),
        writes: vec![Write::Put(Key::system(PAIRS, id), Bytes::copy_from_slice(value))],
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Every file under a folder with its bytes.
fn snapshot(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut out = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            out.insert(name.clone(), Vec::new());
            out.extend(snapshot(&path).into_iter().map(|(inner, bytes)| (format!("{name}/{inner}"), bytes)));
        } else {
            out.insert(name, fs::read(&path).unwrap());
        }
    }
    out
}

fn with_rows(path: &Path, rows: usize) {
    let store = Embedded::open(path).unwrap();
    for n in 0..rows {
        wait(store.commit(put(&format!("{n:05}"), &[n as u8; 700]))).unwrap();
    }
}

#[test]
fn a_folder_that_is_not_its_own_is_refused_and_left_alone() {
    let check = |prepare: &dyn Fn(&Path), expect: &str| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        prepare(&path);
        let before = snapshot(folder.path());
        let refused = Embedded::open(&path).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(refused.contains(expect), "expected `{expect}`, found `{refused}`");
        assert!(snapshot(folder.path()) == before, "a refusal changed the folder: {expect}");
    };
    let data = |bytes: &'static [u8]| move |path: &Path| fs::write(path.join("data.redb"), bytes).unwrap();
    check(&|p| fs::write(p.join("notes.txt"), "mine").unwrap(), "holds `notes.txt` and no store");
    check(&|p| fs::create_dir(p.join("photos")).unwrap(), "holds `photos` and no store");
    check(&data(b""), "damaged");
    check(&data(b"short"), "damaged");
    check(&data(&[0x5a; 40_000]), "damaged");
    check(&data(b"SQLite format 3\0"), "damaged");
    check(
        &|p| {
            fs::create_dir_all(p.join("blobs/alice")).unwrap();
            fs::write(p.join("blobs/alice/ab"), "x").unwrap();
        },
        "the file is missing",
    );
    check(&|p| fs::set_permissions(p, fs::Permissions::from_mode(0o750)).unwrap(), "chmod 0700");
    check(
        &|p| {
            fs::remove_dir(p).unwrap();
            fs::write(p, "a file").unwrap();
        },
        "is not a folder",
    );
    // A database of redb that is somebody else's.
    check(
        &|p| {
            let db = Database::create(p.join("data.redb")).unwrap();
            let txn = db.begin_write().unwrap();
            txn.open_table(TableDefinition::<&str, u64>::new("theirs")).unwrap();
            txn.commit().unwrap();
        },
        "and no store",
    );
    check(
        &|p| {
            drop(Embedded::open(p).unwrap());
            let db = Database::open(p.join("data.redb")).unwrap();
            let txn = db.begin_write().unwrap();
            txn.open_table(META).unwrap().insert(META_FORMAT, 9).unwrap();
            txn.commit().unwrap();
        },
        "has the format 9",
    );
}

#[test]
fn what_a_broken_start_left_is_taken_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b/store");
    fs::create_dir_all(path.join("blobs")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(path.join("data.redb.new"), "half").unwrap();
    drop(Embedded::open(&path).unwrap());
    let alice = path.join("blobs/alice");
    fs::create_dir(&alice).unwrap();
    fs::write(alice.join(".new-0011"), "half").unwrap();
    fs::write(alice.join("0011"), "whole").unwrap();
    drop(Embedded::open(&path).unwrap());
    assert!(!alice.join(".new-0011").exists());
    assert!(alice.join("0011").exists());
    let fresh = folder.path().join("c/store");
    drop(Embedded::open(&fresh).unwrap());
    let mode = |p: &Path| fs::metadata(p).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&fresh), mode(&fresh.join("data.redb"))), (0o700, 0o600));
}

#[test]
fn damage_is_found_at_the_start_and_nothing_is_changed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    with_rows(&path, 60);
    let file = path.join("data.redb");
    let whole = fs::read(&file).unwrap();
    let check = |bytes: Vec<u8>, what: String| {
        fs::write(&file, &bytes).unwrap();
        match Embedded::open(&path) {
            // What lies in no page in use may be anything.
            Ok(store) => {
                let page = wait(store.scan(&Range { tenant: None, span: Span::all(PAIRS) }, 100)).unwrap();
                assert_eq!(page.rows.len(), 60, "{what}");
                for (n, row) in page.rows.iter().enumerate() {
                    assert_eq!(row.value, [n as u8; 700].as_slice(), "{what}");
                }
                false
            }
            Err(OpenError::Damaged { .. }) => {
                assert!(fs::read(&file).unwrap() == bytes, "a refusal changed the file: {what}");
                true
            }
            Err(other) => panic!("{what}: {other}"),
        }
    };
    let mut refused = 0;
    for at in (0..whole.len()).step_by(whole.len() / 97) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        refused += usize::from(check(bytes, format!("byte {at} flipped")));
    }
    assert!(refused > 0, "no flipped byte was ever found");
    for length in [whole.len() / 2, 4096, 100] {
        assert!(check(whole[..length].to_vec(), format!("cut to {length}")));
    }
    assert!(!check(whole, "as it was".into()));
}

#[test]
fn two_nodes_never_open_one_folder() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let store = Embedded::open(&path).unwrap();
    for _ in 0..2 {
        assert!(matches!(Embedded::open(&path), Err(OpenError::Locked(_))));
    }
    drop(store);
    drop(Embedded::open(&path).unwrap());
}

/// xorshift64*: choices that a seed repeats.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// From 0 up to, but without, `end`.
    fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 16) % end
    }
}

/// Figures, not a test: `cargo test --release -p store -- --ignored --nocapture commits_per_second`.
#[test]
#[ignore = "a measurement"]
fn commits_per_second() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for name in ["embedded", "sealed"] {
        for writers in [1_u64, 64] {
            // On a disk, which the folder for temporary files may not be.
            let folder = tempfile::tempdir_in("/var/tmp").unwrap();
            let mut store: Arc<dyn Store> = Arc::new(Embedded::open(&folder.path().join("store")).unwrap());
            if name == "sealed" {
                let root = keyring::RootKey::ephemeral(&keyring::SystemEntropy).unwrap();
                let sealed = crate::Sealed::open(store, root, Arc::new(keyring::SystemEntropy));
                store = runtime.block_on(sealed).unwrap();
            }
            let until = Instant::now() + Duration::from_secs(3);
            let task = |writer: u64, store: Arc<dyn Store>| async move {
                let mut count = 0_u64;
                while Instant::now() < until {
                    store.commit(put(&format!("{writer}-{count}"), &[7; 300])).await.unwrap();
                    count += 1;
                }
                count
            };
            let total: u64 = runtime.block_on(async {
                let tasks: Vec<_> = (0..writers).map(|w| tokio::spawn(task(w, store.clone()))).collect();
                let mut total = 0;
                for task in tasks {
                    total += task.await.unwrap();
                }
                total
            });
            let (key, start) = (Key::system(PAIRS, "0-0"), Instant::now());
            for _ in 0..100_000 {
                runtime.block_on(store.get(&key)).unwrap().unwrap();
            }
            let get = start.elapsed().as_nanos() / 100_000;
            println!("{name}, {writers} writers: {} commits/s of 300 bytes; get {get} ns", total / 3);
        }
    }
}
