//! The embedded store on a disk that fails: writes that fail or are cut short, no space, syncs that fail or
//! lie, and the power cut at any call. It never needs such a disk: it is one, under the database.
//!
//! `CASEMATE_LONG=1` tries many more; `CASEMATE_SEED=N` begins with the seed of a failed run.

use std::{collections::BTreeMap, fs, ops::Bound, path::Path, sync::Arc, time::SystemTime};

use parking_lot::Mutex;

use super::*;

/// Disks of each fault, and with `CASEMATE_LONG`.
const DISKS: [u64; 2] = [15, 500];
const SECTOR_BYTES: usize = 512;
const KEYS: u64 = 14;
/// The row of the newest commit's number.
const NEWEST: &str = "newest";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    WriteFails,
    ShortWrite,
    Full,
    SyncFails,
    SyncLies,
    PowerCut,
}

#[derive(Debug)]
enum Change {
    Length(u64),
    Bytes(u64, Vec<u8>),
}

/// What a disk holds for certain, what it was given since, and what goes wrong on it.
#[derive(Debug)]
struct State {
    random: Random,
    /// What reads see.
    seen: Vec<u8>,
    /// What is on the platter.
    kept: Vec<u8>,
    /// What was written since the last sync that told the truth.
    unsynced: Vec<Change>,
    /// Which fault comes, and after how many calls that it may befall.
    plan: Option<(Fault, u64)>,
    /// A fault that has come and stays.
    broken: Option<Fault>,
    /// What a power cut left.
    left: Option<Vec<u8>>,
    happened: bool,
}

#[derive(Debug, Clone)]
struct Disk(Arc<Mutex<State>>);

#[derive(Debug)]
struct OnDisk {
    disk: Disk,
    file: FileBackend,
}

fn change(image: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Length(bytes) => image.resize(*bytes as usize, 0),
        Change::Bytes(at, bytes) => {
            let end = *at as usize + bytes.len();
            if image.len() < end {
                image.resize(end, 0);
            }
            image[*at as usize..end].copy_from_slice(bytes);
        }
    }
}

impl State {
    /// Whether the planned fault befalls this call.
    fn befalls(&mut self, may: impl Fn(Fault) -> bool) -> Option<Fault> {
        if let Some(fault) = self.broken.filter(|fault| may(*fault)) {
            return Some(fault);
        }
        let (fault, calls) = self.plan.as_mut().filter(|(fault, _)| may(*fault))?;
        if *calls > 0 {
            *calls -= 1;
            return None;
        }
        let fault = *fault;
        self.plan = None;
        self.happened = true;
        // Some faults pass, some stay, and a liar lies on and off.
        let stays = matches!(fault, Fault::Full | Fault::PowerCut | Fault::SyncLies);
        if stays || self.random.below(2) == 0 {
            self.broken = Some(fault);
        }
        if fault == Fault::PowerCut {
            self.left = Some(self.after_a_cut());
        }
        Some(fault)
    }

    /// What is on the platter when the power goes: of what was not synced, any part in sectors.
    fn after_a_cut(&mut self) -> Vec<u8> {
        let mut image = self.kept.clone();
        let luck = self.random.below(4);
        for each in &self.unsynced {
            let whole = luck == 3 || (luck > 0 && self.random.below(3) > 0);
            match each {
                _ if whole => change(&mut image, each),
                Change::Bytes(at, bytes) if luck > 0 && self.random.below(3) == 0 => {
                    for (n, sector) in bytes.chunks(SECTOR_BYTES).enumerate() {
                        if self.random.below(2) == 0 {
                            let at = at + (n * SECTOR_BYTES) as u64;
                            change(&mut image, &Change::Bytes(at, sector.to_vec()));
                        }
                    }
                }
                _ => {}
            }
        }
        image
    }

    fn write(&mut self, given: Change) {
        change(&mut self.seen, &given);
        self.unsynced.push(given);
    }
}

impl Disk {
    fn new(seed: u64) -> Self {
        let (seen, kept, unsynced) = (Vec::new(), Vec::new(), Vec::new());
        let (plan, broken, left, happened) = (None, None, None, false);
        let random = Random(seed.max(1));
        Self(Arc::new(Mutex::new(State { random, seen, kept, unsynced, plan, broken, left, happened })))
    }

    fn attach(&self, file: FileBackend) -> OnDisk {
        let mut image = vec![0; file.len().unwrap() as usize];
        file.read(0, &mut image).unwrap();
        let mut state = self.0.lock();
        (state.seen, state.kept, state.unsynced) = (image.clone(), image, Vec::new());
        OnDisk { disk: self.clone(), file }
    }

    fn plan(&self, fault: Fault, calls: u64) {
        self.0.lock().plan = Some((fault, calls));
    }

    /// Cuts the power now, if it was not cut before; the file then has what was left, once nobody has it open.
    fn cut(&self) -> Vec<u8> {
        let mut state = self.0.lock();
        let left = state.left.take();
        left.unwrap_or_else(|| state.after_a_cut())
    }

    fn happened(&self) -> bool {
        self.0.lock().happened
    }
}

fn io(kind: std::io::ErrorKind) -> std::io::Error {
    std::io::Error::new(kind, "injected")
}

impl StorageBackend for OnDisk {
    fn len(&self) -> Result<u64, std::io::Error> {
        Ok(self.disk.0.lock().seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), std::io::Error> {
        let state = self.disk.0.lock();
        let (from, end) = (offset as usize, offset as usize + out.len());
        out.copy_from_slice(state.seen.get(from..end).ok_or(io(std::io::ErrorKind::UnexpectedEof))?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), std::io::Error> {
        let mut state = self.disk.0.lock();
        let grows = len > state.seen.len() as u64;
        match state.befalls(|fault| fault == Fault::PowerCut || (fault == Fault::Full && grows)) {
            Some(Fault::Full) => Err(io(std::io::ErrorKind::StorageFull)),
            Some(_) => Err(io(std::io::ErrorKind::Other)),
            None => {
                state.write(Change::Length(len));
                Ok(())
            }
        }
    }

    fn sync_data(&self) -> Result<(), std::io::Error> {
        let mut state = self.disk.0.lock();
        let may = |fault| matches!(fault, Fault::SyncFails | Fault::SyncLies | Fault::PowerCut);
        match state.befalls(may) {
            Some(Fault::SyncLies) if state.random.below(3) > 0 => Ok(()),
            Some(Fault::SyncFails | Fault::PowerCut) => Err(io(std::io::ErrorKind::Other)),
            _ => {
                for each in std::mem::take(&mut state.unsynced) {
                    change(&mut state.kept, &each);
                }
                Ok(())
            }
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), std::io::Error> {
        let mut state = self.disk.0.lock();
        let may = |fault| !matches!(fault, Fault::SyncFails | Fault::SyncLies);
        match state.befalls(may) {
            None => {
                state.write(Change::Bytes(offset, data.to_vec()));
                Ok(())
            }
            Some(fault) => {
                if matches!(fault, Fault::ShortWrite | Fault::Full) {
                    let part = state.random.below(data.len() as u64) as usize;
                    state.write(Change::Bytes(offset, data[..part].to_vec()));
                }
                let full = fault == Fault::Full;
                Err(io(if full { std::io::ErrorKind::StorageFull } else { std::io::ErrorKind::Other }))
            }
        }
    }

    fn close(&self) -> Result<(), std::io::Error> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, redb::BackendError> {
        self.file.try_lock_range(start, end)
    }
}

type Rows = BTreeMap<Vec<u8>, Bytes>;

/// What a disk should hold: after each commit that was ever begun, all rows.
struct Model {
    states: Vec<Rows>,
    acknowledged: usize,
}

#[derive(Debug, Default)]
struct Figures {
    faults_met: usize,
    refused_commits: usize,
    refused_opens: usize,
    damaged: usize,
    lost: usize,
    kept_unanswered: usize,
}

fn next_commit(random: &mut Random, model: &mut Model) -> Commit {
    let number = model.states.len();
    let mut rows = model.states.last().cloned().unwrap_or_default();
    let mut commit = put(NEWEST, number.to_string().as_bytes());
    rows.insert(NEWEST.into(), number.to_string().into());
    for _ in 0..1 + random.below(6) {
        let id = format!("{}", random.below(KEYS));
        if random.below(4) == 0 {
            commit.writes.push(Write::Delete(Key::system(PAIRS, id.as_bytes())));
            rows.remove(id.as_bytes());
        } else {
            let bytes = if random.below(8) == 0 { 40_000 } else { 1_200 };
            let value = format!("{number}/{id}/").repeat(1 + random.below(bytes) as usize / 6);
            commit.writes.extend(put(&id, value.as_bytes()).writes);
            rows.insert(id.into(), value.into());
        }
    }
    model.states.push(rows);
    commit
}

fn rows_of(store: &Embedded) -> Rows {
    let page = wait(store.scan(&Range { tenant: None, span: Span::all(PAIRS) }, 1000)).unwrap();
    assert!(page.next.is_none());
    page.rows.into_iter().map(|row| (row.id, row.value)).collect()
}

/// One life of a store: commits until the fault, refusals after it, and the power cut. What is left is in the
/// file.
fn live(path: &Path, fault: Fault, random: &mut Random, model: &mut Model, figures: &mut Figures) {
    let disk = Disk::new(random.next());
    let in_opening = random.below(4) == 0;
    if in_opening {
        disk.plan(fault, random.below(6));
    }
    let opened = Candidate::examine(path).and_then(|found| found.open_on(|file| disk.attach(file)));
    if let Ok(store) = &opened {
        let faulty = random.below(10);
        let mut refused = false;
        for n in 0..14 {
            if n == faulty && !in_opening {
                disk.plan(fault, random.below(12));
            }
            match wait(store.commit(next_commit(random, model))) {
                Ok(_) => {
                    assert!(!refused, "{fault:?}: a commit was taken after one that failed");
                    model.acknowledged = model.states.len() - 1;
                }
                Err(CommitError::Failed(error)) => {
                    let stopped = matches!(error, StoreError::Stopped(_));
                    assert_eq!(stopped, refused, "{fault:?}: {error}");
                    refused = true;
                    figures.refused_commits += 1;
                }
                Err(other) => panic!("{other}"),
            }
            // What is read is what was acknowledged, or on its way: nothing else, after a failure too.
            if let Ok(Some(entry)) = wait(store.get(&Key::system(PAIRS, NEWEST))) {
                let newest: usize = std::str::from_utf8(&entry.value).unwrap().parse().unwrap();
                assert!(newest >= model.acknowledged && newest < model.states.len());
            }
        }
    } else {
        assert!(disk.happened(), "{fault:?}: {}", opened.err().unwrap());
        figures.refused_opens += 1;
        fs::write(path.join(FILE), disk.cut()).unwrap();
        return;
    }
    figures.faults_met += usize::from(disk.happened());
    let left = disk.cut();
    drop(opened);
    fs::write(path.join(FILE), left).unwrap();
}

/// Opens what is left on a disk that works. `false`: it is damaged, and refused.
fn recover(path: &Path, fault: Fault, model: &mut Model, figures: &mut Figures) -> bool {
    let before = snapshot(path);
    let store = match Embedded::open(path) {
        Ok(store) => store,
        Err(error @ OpenError::Damaged { .. }) => {
            assert_eq!(fault, Fault::SyncLies, "{error}");
            assert!(snapshot(path) == before, "a refusal changed the folder");
            figures.damaged += 1;
            return false;
        }
        Err(other) => panic!("{fault:?}: {other}"),
    };
    let rows = rows_of(&store);
    let newest = rows.get(NEWEST.as_bytes());
    let newest: usize = newest.map_or(0, |text| std::str::from_utf8(text).unwrap().parse().unwrap());
    assert!(rows == model.states[newest], "{fault:?}: the rows are not those of commit {newest}");
    if newest < model.acknowledged {
        assert_eq!(fault, Fault::SyncLies, "{newest} is left, {} was acknowledged", model.acknowledged);
        figures.lost += 1;
    }
    figures.kept_unanswered += usize::from(newest > model.acknowledged);
    wait(store.commit(put("9", b"again"))).unwrap();
    drop(store);
    let mut now = rows;
    now.insert(b"9".to_vec(), Bytes::from_static(b"again"));
    // Numbers go on, whatever was lost: the states in between are never seen again.
    model.states[newest] = now;
    model.states.truncate(newest + 1);
    model.acknowledged = newest;
    true
}

fn many_disks(fault: Fault) -> Figures {
    let long = std::env::var_os("CASEMATE_LONG").is_some();
    let seed = match std::env::var("CASEMATE_SEED") {
        Ok(text) => text.parse().unwrap(),
        Err(_) => SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64,
    };
    let mut figures = Figures::default();
    for disk in 0..DISKS[usize::from(long)] {
        let seed = seed.wrapping_add(disk * 0x9e37_79b9);
        println!("CASEMATE_SEED={seed}");
        let mut random = Random(seed.max(1));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        drop(Embedded::open(&path).unwrap());
        let mut model = Model { states: vec![Rows::new()], acknowledged: 0 };
        for _ in 0..3 {
            live(&path, fault, &mut random, &mut model, &mut figures);
            if !recover(&path, fault, &mut model, &mut figures) {
                break;
            }
        }
    }
    println!("{fault:?}: {figures:?}");
    assert!(figures.faults_met > 0, "the fault never came");
    figures
}

#[test]
fn writes_that_fail() {
    assert!(many_disks(Fault::WriteFails).refused_commits > 0);
}

#[test]
fn writes_that_are_cut_short() {
    assert!(many_disks(Fault::ShortWrite).refused_commits > 0);
}

#[test]
fn a_disk_that_is_full() {
    assert!(many_disks(Fault::Full).refused_commits > 0);
}

#[test]
fn syncs_that_fail() {
    assert!(many_disks(Fault::SyncFails).refused_commits > 0);
}

#[test]
fn syncs_that_lie_lose_the_end_and_nothing_else() {
    let figures = many_disks(Fault::SyncLies);
    assert!(figures.lost + figures.damaged > 0, "no lie was ever felt: {figures:?}");
}

#[test]
fn power_that_goes_at_any_call() {
    assert!(many_disks(Fault::PowerCut).refused_commits > 0);
}
