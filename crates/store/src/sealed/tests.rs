//! Sealing: what a backend sees, whose keys open what, and what happens when they are gone.

use std::{fs, path::Path};

use super::*;
use crate::{Batch, Embedded, Memory, conformance::tenant};

const THINGS: Space = Space::new("things");
const MARKER: &[u8] = b"the-tenant-wrote-this-marker-3f9c";

fn root() -> RootKey {
    RootKey::ephemeral(&keyring::SystemEntropy).unwrap()
}

async fn open(inner: Arc<dyn Store>, root: RootKey) -> Result<Arc<Sealed>, OpenSealedError> {
    Sealed::open(inner, root, Arc::new(keyring::SystemEntropy)).await
}

async fn two_tenants() -> (Memory, Arc<Sealed>) {
    let memory = Memory::new();
    let sealed = open(Arc::new(memory.clone()), root()).await.unwrap();
    for name in ["alice", "bob"] {
        assert!(sealed.create_tenant_key(&tenant(name)).await.unwrap());
    }
    (memory, sealed)
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|w| w == needle)
}

fn files_with(folder: &Path, needle: &[u8]) -> usize {
    let inside = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    inside
        .map(|path| match path.is_dir() {
            true => files_with(&path, needle),
            false => usize::from(contains(&fs::read(&path).unwrap(), needle)),
        })
        .sum()
}

#[tokio::test]
async fn no_file_holds_a_value_in_clear() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let sealed = open(Arc::new(Embedded::open(&path).unwrap()), root()).await.unwrap();
    sealed.create_tenant_key(&tenant("alice")).await.unwrap();
    let alice = sealed.tenant(&tenant("alice")).unwrap();
    let blob = Bytes::from([MARKER, &[9; 9000]].concat());
    alice.commit(Batch::new().put(THINGS, b"a", MARKER.repeat(100))).await.unwrap();
    sealed.system().commit(Batch::new().put(THINGS, b"a", MARKER)).await.unwrap();
    alice.put_blob(keyring::sha256(&blob), blob.clone()).await.unwrap();
    sealed.system().put_blob(keyring::sha256(&blob), blob).await.unwrap();
    assert_eq!(files_with(&path, MARKER), 0);
    // The search finds what is there: ids are in clear, and so is a value that nobody sealed.
    assert_eq!(files_with(&path, b"things\0a"), 1);
    sealed
        .inner
        .commit(Commit {
            writes: vec![Write::Put(Key::system(THINGS, "b"), MARKER.into())],
            ..Default::default()
        })
        .await
        .unwrap();
    assert_eq!(files_with(&path, MARKER), 1);
}

#[tokio::test]
async fn a_wrong_root_key_is_refused_and_changes_nothing() {
    let memory = Memory::new();
    let keys = tempfile::tempdir().unwrap();
    let file = keys.path().join("k/root");
    let sealed = open(Arc::new(memory.clone()), RootKey::load_or_create(&file).unwrap()).await.unwrap();
    sealed.create_tenant_key(&tenant("alice")).await.unwrap();
    drop(sealed);
    let before = memory.raw();
    let refused = open(Arc::new(memory.clone()), root()).await.err();
    assert_eq!(refused, Some(OpenSealedError::WrongRoot(WrongRoot)));
    assert_eq!(memory.raw(), before);
    open(Arc::new(memory), RootKey::load(&file).unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_passphrase_opens_what_it_made() {
    let memory: Arc<dyn Store> = Arc::new(Memory::new());
    let make = async |passphrase: &str| {
        let params = passphrase_params(&*memory, &keyring::SystemEntropy).await.unwrap();
        open(memory.clone(), RootKey::from_passphrase(passphrase, &params).unwrap()).await.err()
    };
    assert_eq!(make("correct horse battery").await, None);
    assert_eq!(make("correct horse battery").await, None);
    assert_eq!(make("correct horse batterz").await, Some(OpenSealedError::WrongRoot(WrongRoot)));
    let by_file: Arc<dyn Store> = Arc::new(Memory::new());
    open(by_file.clone(), root()).await.unwrap();
    let refused = passphrase_params(&*by_file, &keyring::SystemEntropy).await;
    assert_eq!(refused, Err(OpenSealedError::NotByPassphrase));
}

#[tokio::test]
async fn a_sealed_value_opens_nowhere_else() {
    let (memory, sealed) = two_tenants().await;
    let alice = tenant("alice");
    let here = Key::tenant(&alice, THINGS, "a");
    let commit = Commit { checks: Vec::new(), writes: vec![Write::Put(here.clone(), MARKER.into())] };
    sealed.commit(commit).await.unwrap();
    let raw = memory.get(&here).await.unwrap().unwrap().value;
    let check = async |key: Key, value: Bytes, opens: bool| {
        if !opens {
            let write = Write::Put(key.clone(), value);
            memory.commit(Commit { checks: Vec::new(), writes: vec![write] }).await.unwrap();
        }
        let got = sealed.get(&key).await;
        let range = Range { tenant: key.tenant.clone(), span: Span::prefix(key.space, key.id.clone()) };
        let scanned = sealed.scan(&range, 10).await;
        if opens {
            assert_eq!(got.unwrap().unwrap().value, MARKER);
            assert_eq!(scanned.unwrap().rows[0].value, MARKER);
        } else {
            assert!(matches!(got, Err(StoreError::Unreadable { .. })), "{key}: {got:?}");
            assert!(matches!(scanned, Err(StoreError::Unreadable { .. })), "{key}: {scanned:?}");
        }
    };
    check(here.clone(), raw.clone(), true).await;
    // An older value put back in its own place stands at another revision.
    check(here.clone(), raw.clone(), false).await;
    check(Key::tenant(&alice, THINGS, "b"), raw.clone(), false).await;
    check(Key::tenant(&alice, Space::new("other"), "a"), raw.clone(), false).await;
    check(Key::tenant(&tenant("bob"), THINGS, "a"), raw.clone(), false).await;
    check(Key::system(THINGS, "a"), raw.clone(), false).await;
    check(here.clone(), raw.slice(..raw.len() - 1), false).await;
    check(here.clone(), Bytes::new(), false).await;
    check(here.clone(), Bytes::from_static(MARKER), false).await;
    let mut flipped = raw.to_vec();
    flipped[20] ^= 1;
    check(here, flipped.into(), false).await;
}

#[tokio::test]
async fn a_blob_is_the_one_that_its_digest_names() {
    let (memory, sealed) = two_tenants().await;
    let (alice, bob) = (tenant("alice"), tenant("bob"));
    let bytes = Bytes::from_static(MARKER);
    let name = keyring::sha256(&bytes);
    let wrong = sealed.put_blob(Some(&alice), keyring::sha256(b"x"), bytes.clone()).await;
    assert!(matches!(wrong, Err(StoreError::WrongDigest(_))));
    sealed.put_blob(Some(&alice), name, bytes).await.unwrap();
    let raw = memory.get_blob(Some(&alice), name).await.unwrap().unwrap();
    assert!(!contains(&raw, MARKER));
    memory.put_blob(Some(&bob), name, raw.clone()).await.unwrap();
    assert!(matches!(sealed.get_blob(Some(&bob), name).await, Err(StoreError::Unreadable { .. })));
    let other = keyring::sha256(b"another");
    memory.put_blob(Some(&alice), other, raw).await.unwrap();
    assert!(matches!(sealed.get_blob(Some(&alice), other).await, Err(StoreError::Unreadable { .. })));
}

#[tokio::test]
async fn a_destroyed_tenant_is_unreadable_for_good() {
    let (memory, sealed) = two_tenants().await;
    let (alice, bob) = (tenant("alice"), tenant("bob"));
    let (store, bobs) = (sealed.tenant(&alice).unwrap(), sealed.tenant(&bob).unwrap());
    for store in [&store, &bobs] {
        store.commit(Batch::new().put(THINGS, "a", MARKER)).await.unwrap();
    }
    sealed.destroy_tenant_key(&alice).await.unwrap();
    let gone = Some(StoreError::NoKey(Some(alice.clone())));
    assert_eq!(store.get(THINGS, b"a").await.err(), gone);
    assert_eq!(store.scan(Span::all(THINGS), 9).await.err(), gone);
    assert_eq!(store.get_blob(keyring::sha256(b"")).await.err(), gone);
    let write = store.commit(Batch::new().put(THINGS, "a", MARKER)).await;
    assert_eq!(write.err(), gone.clone().map(CommitError::Failed));
    assert!(store.commit(Batch::new().delete(THINGS, "a")).await.is_err());
    assert_eq!(sealed.tenant(&alice).err(), gone);
    assert_eq!(sealed.rotate_key(Some(&alice)).await.err(), gone);
    assert_eq!(sealed.create_tenant_key(&alice).await, Err(StoreError::Destroyed(alice.clone())));
    assert_eq!(sealed.tenants(), [bob]);
    assert_eq!(bobs.get(THINGS, b"a").await.unwrap().unwrap().value, MARKER);
    drop(memory);
}

#[tokio::test]
async fn rotated_keys_open_what_older_ones_sealed() {
    let memory = Memory::new();
    let keys = tempfile::tempdir().unwrap();
    let file = keys.path().join("k/root");
    let alice = tenant("alice");
    let load = || RootKey::load_or_create(&file).unwrap();
    let sealed = open(Arc::new(memory.clone()), load()).await.unwrap();
    sealed.create_tenant_key(&alice).await.unwrap();
    let store = sealed.tenant(&alice).unwrap();
    store.commit(Batch::new().put(THINGS, "old", MARKER)).await.unwrap();
    assert_eq!(sealed.rotate_key(Some(&alice)).await, Ok(2));
    store.commit(Batch::new().put(THINGS, "new", MARKER)).await.unwrap();
    assert_eq!(sealed.rotate_key(None).await, Ok(2));
    let sealed = open(Arc::new(memory.clone()), load()).await.unwrap();
    for id in ["old", "new"] {
        let found = sealed.tenant(&alice).unwrap().get(THINGS, id.as_bytes()).await.unwrap().unwrap();
        assert_eq!(found.value, MARKER);
    }
    let raw = async |id: &str| memory.get(&Key::tenant(&alice, THINGS, id)).await.unwrap().unwrap().value[1];
    let versions: Vec<u8> = [raw("old").await, raw("new").await].to_vec();
    assert_eq!(versions, [1, 2]);
}

#[tokio::test]
async fn a_key_that_was_half_made_is_made_once() {
    let (memory, sealed) = two_tenants().await;
    let carol = tenant("carol");
    memory.faults().fail_after(1);
    assert!(matches!(sealed.create_tenant_key(&carol).await, Err(StoreError::Unknown(_))));
    assert!(!sealed.create_tenant_key(&carol).await.unwrap(), "it was kept");
    let store = sealed.tenant(&carol).unwrap();
    memory.faults().fail_before(1);
    assert!(store.commit(Batch::new().put(THINGS, "a", MARKER)).await.is_err());
    assert_eq!(store.get(THINGS, b"a").await.unwrap(), None);
    memory.faults().full(true);
    let full = store.commit(Batch::new().put(THINGS, "a", MARKER)).await;
    assert_eq!(full, Err(CommitError::Failed(StoreError::Full)));
    assert_eq!(sealed.destroy_tenant_key(&carol).await, Err(StoreError::Full));
    memory.faults().full(false);
    store.commit(Batch::new().put(THINGS, "a", MARKER)).await.unwrap();
}

#[tokio::test]
async fn no_space_of_a_caller_reaches_the_keys() {
    let (_, sealed) = two_tenants().await;
    assert_eq!(sealed.system().scan(Span::all(THINGS), 10).await.unwrap().rows, []);
    let named = std::panic::catch_unwind(|| Space::new(Box::leak("_keys".to_string().into_boxed_str())));
    assert!(named.is_err(), "the space of the keys can be named");
}
