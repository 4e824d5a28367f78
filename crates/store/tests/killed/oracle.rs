//! What must be true of a store after its process was killed: exactly the acknowledged commits, and of those
//! that nobody answered each one whole or not at all. It never forgives.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use bytes::Bytes;
use store::{Commit, Key, Range, Span, Store, Write};

use crate::load::{self, JOURNAL, KEYS, MIX, PAIRS};

/// What all rounds came to.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    /// Commits that were acknowledged, and are there.
    pub(crate) kept: usize,
    /// Commits that were told to conflict, and are not there.
    pub(crate) conflicts: usize,
    /// Commits in the middle of which the process was killed.
    pub(crate) killed_within: usize,
    /// Those of them that are there whole.
    pub(crate) killed_and_kept: usize,
    /// Acknowledged removals of keys.
    pub(crate) deletes: usize,
    /// Acknowledged puts of blobs.
    pub(crate) blobs_put: usize,
    /// Acknowledged removals of blobs.
    pub(crate) blobs_deleted: usize,
    /// Rounds that ended before the store was open.
    pub(crate) killed_at_start: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Nothing,
    Kept(u64),
    Conflict,
}

struct Begun {
    checks: Vec<(usize, Option<u64>)>,
    writes: Vec<(usize, bool)>,
    told: Told,
}

/// A blob: what it was last known to be, and what may have become of it since. The content is its count.
#[derive(Default, Clone)]
struct BlobState {
    known: Option<u64>,
    pending: Option<Option<u64>>,
}

pub(crate) struct Oracle {
    sealed: bool,
    /// What was told since the store was last judged.
    begun: BTreeMap<String, Begun>,
    /// Commits of earlier rounds that are there, and their revisions.
    journal: BTreeMap<String, u64>,
    /// Key → revision and commit of its value, as of the last judgement.
    rows: BTreeMap<usize, (u64, String)>,
    newest: u64,
    blobs: Vec<BlobState>,
    blobs_told: [usize; 2],
}

impl Oracle {
    pub(crate) fn new(sealed: bool) -> Self {
        let blobs = vec![BlobState::default(); load::all_blobs(sealed).len()];
        let (begun, journal, rows) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { sealed, begun, journal, rows, newest: 0, blobs, blobs_told: [0, 0] }
    }

    /// Takes what a process told.
    pub(crate) fn hear(&mut self, told: &[String]) {
        for line in told {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["begin", name, ref rest @ ..] => {
                    assert!(self.begun.insert(name.into(), begun(rest)).is_none(), "{line}");
                }
                ["kept", name, revision] => {
                    self.begun.get_mut(name).unwrap().told = Told::Kept(revision.parse().unwrap());
                }
                ["conflict", name] => self.begun.get_mut(name).unwrap().told = Told::Conflict,
                ["blob", number, count] => {
                    self.blob(number).pending = Some(Some(count.parse().unwrap()));
                }
                ["unblob", number] => self.blob(number).pending = Some(None),
                [word @ ("blobbed" | "unblobbed"), number] => {
                    let blob = self.blob(number);
                    blob.known = blob.pending.take().unwrap();
                    self.blobs_told[usize::from(word == "unblobbed")] += 1;
                }
                _ => {}
            }
        }
    }

    fn blob(&mut self, number: &str) -> &mut BlobState {
        &mut self.blobs[number.parse::<usize>().unwrap()]
    }

    /// Opens what is left and compares.
    pub(crate) fn judge(&mut self, folder: &Path, round: usize, figures: &mut Figures) {
        figures.killed_at_start += usize::from(self.begun.is_empty());
        figures.blobs_put += std::mem::take(&mut self.blobs_told[0]);
        figures.blobs_deleted += std::mem::take(&mut self.blobs_told[1]);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            let store = load::open(folder, self.sealed).await;
            self.settle(&*store, figures).await;
            self.compare(&*store).await;
            self.compare_blobs(&*store).await;
            self.go_on(&*store, round).await;
        });
        no_half_file(&folder.join("store/blobs"));
    }

    /// Finds out which commits were kept, by the row that each puts for itself, and applies them in the order
    /// of their revisions.
    async fn settle(&mut self, store: &dyn Store, figures: &mut Figures) {
        let mut found = BTreeMap::new();
        for (id, _, revision) in all(store, &Range { tenant: None, span: Span::all(JOURNAL) }).await {
            found.insert(String::from_utf8(id).unwrap(), revision);
        }
        for (name, revision) in &self.journal {
            assert_eq!(
                found.remove(name),
                Some(*revision),
                "`{name}` of an earlier round is gone or changed"
            );
        }
        let mut applied = BTreeMap::new();
        for (name, begun) in std::mem::take(&mut self.begun) {
            let there = found.remove(&name);
            match (begun.told, there) {
                (Told::Kept(told), Some(there)) if told == there => {
                    figures.kept += 1;
                    figures.deletes += begun.writes.iter().filter(|(_, put)| !put).count();
                }
                (Told::Kept(told), there) => panic!("`{name}` was kept at {told}, and is at {there:?}"),
                (Told::Conflict, None) => figures.conflicts += 1,
                (Told::Conflict, Some(_)) => panic!("`{name}` was in conflict, and is there"),
                (Told::Nothing, there) => {
                    figures.killed_within += 1;
                    figures.killed_and_kept += usize::from(there.is_some());
                }
            }
            if let Some(revision) = there {
                assert!(revision > self.newest, "`{name}` at {revision}: {} was there before", self.newest);
                let earlier = applied.insert(revision, (name, begun));
                assert!(earlier.is_none(), "two commits at {revision}");
            }
        }
        assert!(found.is_empty(), "commits that nobody began, or that were not there before: {found:?}");
        for (revision, (name, begun)) in applied {
            self.apply(revision, &name, &begun);
        }
    }

    fn apply(&mut self, revision: u64, name: &str, begun: &Begun) {
        for (number, expect) in &begun.checks {
            let found = self.rows.get(number).map(|(revision, _)| *revision);
            assert_eq!(found, *expect, "`{name}` was kept at {revision} though its check of {number} fails");
        }
        for (number, put) in &begun.writes {
            match put {
                true => drop(self.rows.insert(*number, (revision, name.into()))),
                false => drop(self.rows.remove(number)),
            }
        }
        self.journal.insert(name.into(), revision);
        self.newest = revision;
    }

    /// Every row is what the commits make of it, by `get` and by `scan`, and there is no other.
    async fn compare(&self, store: &dyn Store) {
        let mut expected = BTreeMap::new();
        for number in 0..KEYS {
            let key = load::key(number);
            let found = store.get(&key).await.unwrap();
            let expect =
                self.rows.get(&number).map(|(revision, name)| (*revision, load::value(name, number)));
            let found = found.map(|entry| (entry.revision, entry.value));
            let brief = |row: &Option<(u64, Bytes)>| {
                row.as_ref().map(|(revision, value)| {
                    (
                        *revision,
                        value.len(),
                        String::from_utf8_lossy(&value[..value.len().min(40)]).into_owned(),
                    )
                })
            };
            assert!(found == expect, "{key}: {:?} where {:?} belongs", brief(&found), brief(&expect));
            expected.extend(expect.map(|(revision, value)| (key, (value, revision))));
        }
        let mut scanned = BTreeMap::new();
        for space in [MIX, PAIRS] {
            for tenant in [None, Some("alice"), Some("bob")] {
                let tenant = tenant.map(|name| name.parse().unwrap());
                let range = Range { tenant: tenant.clone(), span: Span::all(space) };
                for (id, value, revision) in all(store, &range).await {
                    scanned.insert(Key { tenant: tenant.clone(), space, id }, (value, revision));
                }
            }
        }
        assert!(scanned == expected, "a scan gives other rows than reads do");
    }

    async fn compare_blobs(&mut self, store: &dyn Store) {
        for (number, (owner, name)) in load::all_blobs(self.sealed).into_iter().enumerate() {
            let found = store.get_blob(owner.as_ref(), name).await.unwrap();
            let state = &mut self.blobs[number];
            let may: Vec<Option<u64>> =
                [Some(state.known), state.pending.take()].into_iter().flatten().collect();
            let is = |count: &Option<u64>| count.map(|count| load::blob(self.sealed, number, count)) == found;
            let now = may.iter().find(|count| is(count));
            let length = found.as_ref().map(Bytes::len);
            state.known =
                *now.unwrap_or_else(|| panic!("blob {number} has {length:?} bytes; it may be {may:?}"));
        }
    }

    /// The store takes commits again, at a revision that was never given before.
    async fn go_on(&mut self, store: &dyn Store, round: usize) {
        let name = format!("{round}.judge");
        let key = Key::system(JOURNAL, name.as_bytes());
        let put = Commit { checks: Vec::new(), writes: vec![Write::Put(key, Bytes::new())] };
        let revision = store.commit(put).await.unwrap();
        assert!(revision > self.newest, "the revision {revision} was given again");
        self.newest = revision;
        self.journal.insert(name, revision);
    }
}

fn begun(words: &[&str]) -> Begun {
    let mut begun = Begun { checks: Vec::new(), writes: Vec::new(), told: Told::Nothing };
    for word in words {
        let (kind, rest) = word.split_at(1);
        match (kind, rest.split_once('=')) {
            ("c", Some((number, expect))) => {
                begun.checks.push((number.parse().unwrap(), expect.parse().ok()))
            }
            ("p" | "d", None) => begun.writes.push((rest.parse().unwrap(), kind == "p")),
            other => panic!("{other:?}"),
        }
    }
    begun
}

async fn all(store: &dyn Store, range: &Range) -> Vec<(Vec<u8>, Bytes, u64)> {
    let (mut rows, mut next) = (Vec::new(), Some(range.clone()));
    while let Some(range) = next {
        let page = store.scan(&range, 1000).await.unwrap();
        rows.extend(page.rows.into_iter().map(|row| (row.id, row.value, row.revision)));
        next = page.next.map(|span| Range { span, ..range });
    }
    rows
}

fn no_half_file(folder: &Path) {
    let mut names = BTreeSet::new();
    for owner in std::fs::read_dir(folder).unwrap() {
        for file in std::fs::read_dir(owner.unwrap().path()).unwrap() {
            names.insert(file.unwrap().file_name().into_string().unwrap());
        }
    }
    assert!(names.iter().all(|name| name.len() == 64), "{names:?}");
}
