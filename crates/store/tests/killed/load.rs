//! The load of the process that is killed: commits with and without checks, deletes, reads, scans and blobs,
//! several at once, each told before it begins and after it was acknowledged. It never judges what is left.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use keyring::{RootKey, SystemEntropy};
use model::{Digest, TenantId};
use store::{Check, Commit, CommitError, Embedded, Key, Range, Sealed, Space, Span, Store, Write};

/// Keys that all tasks write: of the system and of two tenants.
pub(crate) const KEYS: usize = 26;
/// The last two keys are of one space and always written together.
const PAIR: [usize; 2] = [KEYS - 2, KEYS - 1];
/// One row for each commit that was kept, put by that commit itself.
pub(crate) const JOURNAL: Space = Space::new("journal");
pub(crate) const MIX: Space = Space::new("mix");
pub(crate) const PAIRS: Space = Space::new("pairs");
/// Blobs of each of the tasks that write blobs.
pub(crate) const BLOBS: usize = 6;
const BLOB_TASKS: usize = 2;
const COMMIT_TASKS: usize = 5;
/// The line that says that the store is open.
pub(crate) const OPEN: &str = "open";
/// Longer than the buffer of the database for one page, now and then.
const LONG_BYTES: u64 = 60_000;

/// xorshift64*: choices that a seed repeats.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.max(1);
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// From 0 up to, but without, `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 16) % end
    }
}

/// What one process is to do.
pub(crate) struct Plan {
    pub(crate) sealed: bool,
    pub(crate) seed: u64,
    pub(crate) round: usize,
}

/// A plan and its folder, as the process that is killed gets them.
pub(crate) struct Given {
    plan: Plan,
    folder: PathBuf,
}

impl Plan {
    pub(crate) const VARIABLE: &str = "CASEMATE_KILLED_STORE";

    pub(crate) fn encode(&self, folder: &Path) -> String {
        format!("{} {} {} {}", self.sealed, self.seed, self.round, folder.to_str().unwrap())
    }

    pub(crate) fn decode(text: &str) -> Given {
        let parts: Vec<&str> = text.splitn(4, ' ').collect();
        let plan = Self {
            sealed: parts[0] == "true",
            seed: parts[1].parse().unwrap(),
            round: parts[2].parse().unwrap(),
        };
        Given { plan, folder: parts[3].into() }
    }
}

/// Opens the store of a folder, sealed or not.
pub(crate) async fn open(folder: &Path, sealed: bool) -> Arc<dyn Store> {
    let store = Arc::new(Embedded::open(&folder.join("store")).unwrap());
    if !sealed {
        return store;
    }
    let root = RootKey::load_or_create(&folder.join("keys/root.key")).unwrap();
    let sealed = Sealed::open(store, root, Arc::new(SystemEntropy)).await.unwrap();
    for name in ["alice", "bob"] {
        sealed.create_tenant_key(&name.parse().unwrap()).await.unwrap();
    }
    sealed
}

fn owner(key: usize) -> Option<TenantId> {
    let name = ["", "alice", "bob"][if PAIR.contains(&key) { 1 } else { key % 3 }];
    (!name.is_empty()).then(|| name.parse().unwrap())
}

/// The store's key of a number.
pub(crate) fn key(number: usize) -> Key {
    let space = if PAIR.contains(&number) { PAIRS } else { MIX };
    Key { tenant: owner(number), space, id: format!("{number:02}").into_bytes() }
}

/// The value that a commit puts at a key: no two commits put the same one.
pub(crate) fn value(commit: &str, key: usize) -> Bytes {
    let word = format!("{commit}/{key}/");
    let mut random = Random(word.bytes().fold(7, |sum, b| sum.wrapping_mul(131) + u64::from(b)));
    let most = if random.below(12) == 0 { LONG_BYTES } else { 900 };
    let bytes = word.len() + random.below(most) as usize;
    Bytes::from(word.bytes().cycle().take(bytes).collect::<Vec<u8>>())
}

/// The name of a blob: where the store is sealed, the digest of what is in it.
pub(crate) fn blob_name(sealed: bool, number: usize) -> Digest {
    keyring::sha256(&blob(sealed, number, 0))
}

/// What the `count`-th put writes into a blob: the same every time where the store is sealed.
pub(crate) fn blob(sealed: bool, number: usize, count: u64) -> Bytes {
    let mut random = Random(number as u64 * 1000 + if sealed { 1 } else { count + 1 });
    let bytes = 1 + random.below(if random.0.is_multiple_of(3) { 300_000 } else { 9_000 }) as usize;
    Bytes::from((0..bytes).map(|at| (random.0 >> (at % 8)) as u8 ^ at as u8).collect::<Vec<u8>>())
}

/// One write to the pipe, which takes a line of this length whole or not at all.
fn tell(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// Runs until it is killed.
pub(crate) fn run(given: &Given) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let plan = &given.plan;
        let store = open(&given.folder, plan.sealed).await;
        tell(OPEN);
        let mut tasks = Vec::new();
        for task in 0..COMMIT_TASKS {
            let random = Random(plan.seed.wrapping_add(task as u64 * 7919));
            let name = format!("{}.{task}", plan.round);
            tasks.push(tokio::spawn(commits(store.clone(), random, name)));
        }
        for task in 0..BLOB_TASKS {
            let random = Random(plan.seed.wrapping_add(task as u64 * 104_729 + 3));
            tasks.push(tokio::spawn(blobs(store.clone(), random, plan.sealed, plan.round, task)));
        }
        for task in tasks {
            task.await.unwrap();
        }
    });
}

async fn commits(store: Arc<dyn Store>, mut random: Random, task: String) {
    let mut last = 0;
    for count in 0.. {
        if random.below(6) == 0 {
            look_at_pairs(&*store).await;
        }
        let name = format!("{task}.{count}");
        let (commit, line) = next_commit(&*store, &mut random, &name).await;
        let first_put = commit.writes.iter().find_map(|write| match write {
            Write::Put(key, _) => Some(key.clone()),
            Write::Delete(_) => None,
        });
        tell(&format!("begin {name}{line}"));
        match store.commit(commit).await {
            Ok(revision) => {
                tell(&format!("kept {name} {revision}"));
                assert!(revision > last, "{name}: the revision {revision} came after {last}");
                last = revision;
                // Own writes are read at once; only a later commit may stand in their place.
                if let Some(found) = store.get(&first_put.unwrap()).await.unwrap() {
                    assert!(found.revision >= revision, "{name}: an older value came back");
                }
            }
            Err(CommitError::Conflict { .. }) => tell(&format!("conflict {name}")),
            Err(CommitError::Failed(error)) => panic!("{name}: {error}"),
        }
    }
}

/// A commit and how it is told: `c3=7` key 3 must have revision 7, `c3=-` must not be there, `p3` is put,
/// `d3` removed.
async fn next_commit(store: &dyn Store, random: &mut Random, name: &str) -> (Commit, String) {
    let (mut commit, mut line) = (Commit::default(), String::new());
    let any = |random: &mut Random| random.below(KEYS as u64 - 2) as usize;
    let checked = [0, 0, 1, 2, 3][random.below(5) as usize];
    for _ in 0..checked {
        let number = any(random);
        let found = store.get(&key(number)).await.unwrap().map(|entry| entry.revision);
        let expect = match random.below(10) {
            0 => Some(1),
            1 => None,
            _ => found,
        };
        line += &format!(" c{number}={}", expect.map_or("-".to_string(), |revision| revision.to_string()));
        commit.checks.push(Check { key: key(number), expect });
    }
    let mut writes: Vec<(usize, bool)> = Vec::new();
    if random.below(2) == 0 {
        let put = random.below(5) > 0;
        writes.extend(PAIR.map(|number| (number, put)));
    }
    for _ in 0..1 + random.below(5) {
        writes.push((any(random), random.below(3) > 0));
    }
    for (number, put) in writes {
        let (at, word) = (key(number), if put { 'p' } else { 'd' });
        line += &format!(" {word}{number}");
        commit.writes.push(if put { Write::Put(at, value(name, number)) } else { Write::Delete(at) });
    }
    commit.writes.push(Write::Put(Key::system(JOURNAL, name), Bytes::copy_from_slice(line.as_bytes())));
    (commit, line)
}

/// A page is of one moment: both of the pair, or neither.
async fn look_at_pairs(store: &dyn Store) {
    let range = Range { tenant: owner(PAIR[0]), span: Span::all(PAIRS) };
    let rows = store.scan(&range, 10).await.unwrap().rows;
    let revisions: Vec<u64> = rows.iter().map(|row| row.revision).collect();
    assert!(matches!(revisions[..], [] | [_, _]) && revisions.first() == revisions.last(), "{revisions:?}");
}

async fn blobs(store: Arc<dyn Store>, mut random: Random, sealed: bool, round: usize, task: usize) {
    for count in 0_u64.. {
        let number = task * BLOBS + random.below(BLOBS as u64) as usize;
        let (owner, name) = (owner(number), blob_name(sealed, number));
        let count = round as u64 * 1_000_000 + count;
        if random.below(3) == 0 {
            tell(&format!("unblob {number}"));
            store.delete_blob(owner.as_ref(), name).await.unwrap();
            tell(&format!("unblobbed {number}"));
            assert_eq!(store.get_blob(owner.as_ref(), name).await.unwrap(), None);
        } else {
            let bytes = blob(sealed, number, count);
            tell(&format!("blob {number} {count}"));
            store.put_blob(owner.as_ref(), name, bytes.clone()).await.unwrap();
            tell(&format!("blobbed {number}"));
            assert!(store.get_blob(owner.as_ref(), name).await.unwrap() == Some(bytes), "a blob changed");
        }
    }
}

/// Every blob with its owner.
pub(crate) fn all_blobs(sealed: bool) -> Vec<(Option<TenantId>, Digest)> {
    (0..BLOBS * BLOB_TASKS).map(|number| (owner(number), blob_name(sealed, number))).collect()
}
