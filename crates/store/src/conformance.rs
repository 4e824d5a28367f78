//! What every store must do, run over each backend and over the sealed store on each. It never knows which
//! one it tests.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use model::TenantId;
use proptest::{prelude::*, test_runner::TestRunner};

use crate::{
    COMMIT_OPS_MAX, Check, Commit, CommitError, Embedded, ID_BYTES_MAX, Key, Memory, Page, Range, Sealed,
    Space, Span, Store, StoreError, VALUE_BYTES_MAX, Write,
};

const APPLES: Space = Space::new("apples");
const PEARS: Space = Space::new("pears");

type Opening = Pin<Box<dyn Future<Output = Arc<dyn Store>>>>;

/// A place where one store lives: each call opens what the last one left.
struct Place {
    open: Box<dyn Fn() -> Opening>,
}

pub(crate) fn tenant(name: &str) -> TenantId {
    name.parse().unwrap()
}

fn key(owner: &str, space: Space, id: &[u8]) -> Key {
    let tenant = (!owner.is_empty()).then(|| tenant(owner));
    Key { tenant, space, id: id.to_vec() }
}

fn put(key: &Key, value: &[u8]) -> Write {
    Write::Put(key.clone(), Bytes::copy_from_slice(value))
}

fn writes(writes: Vec<Write>) -> Commit {
    Commit { checks: Vec::new(), writes }
}

fn range(owner: &str, span: Span) -> Range {
    Range { tenant: (!owner.is_empty()).then(|| tenant(owner)), span }
}

async fn all(store: &dyn Store, range: &Range, limit: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
    let (mut out, mut next) = (Vec::new(), Some(range.clone()));
    while let Some(range) = next {
        let Page { rows, next: rest } = store.scan(&range, limit).await.unwrap();
        assert!(rows.len() <= limit);
        assert!(!rows.is_empty() || rest.is_none(), "an empty page goes on");
        out.extend(rows.into_iter().map(|row| (row.id, row.value.to_vec())));
        next = rest.map(|span| Range { span, ..range });
    }
    out
}

async fn reads_what_was_written(place: Place) {
    let store = (place.open)().await;
    let k = key("alice", APPLES, b"one");
    assert_eq!(store.get(&k).await.unwrap(), None);
    let first = store.commit(writes(vec![put(&k, b"1")])).await.unwrap();
    let second = store.commit(writes(vec![put(&key("alice", APPLES, b"two"), b"")])).await.unwrap();
    assert!(second > first);
    let found = store.get(&k).await.unwrap().unwrap();
    assert_eq!((found.value.as_ref(), found.revision), (b"1".as_ref(), first));
    for other in [key("alicf", APPLES, b"one"), key("", APPLES, b"one"), key("alice", PEARS, b"one")] {
        assert_eq!(store.get(&other).await.unwrap(), None, "{other}");
    }
    let third = store.commit(writes(vec![put(&k, b"2"), Write::Delete(k.clone()), put(&k, b"3")])).await;
    let found = store.get(&k).await.unwrap().unwrap();
    assert_eq!((found.value.as_ref(), found.revision), (b"3".as_ref(), third.unwrap()));
    store.commit(writes(vec![Write::Delete(k.clone()), Write::Delete(k.clone())])).await.unwrap();
    assert_eq!(store.get(&k).await.unwrap(), None);
}

async fn sorts_and_pages(place: Place) {
    let store = (place.open)().await;
    let ids: [&[u8]; 8] = [b"", b"\0", b"\0\0", b"a", b"a\0", b"a\xff", b"b", b"\xff\xff"];
    let mut commit = Commit::default();
    for id in ids.iter().rev() {
        for (owner, space) in [("alice", APPLES), ("alice", PEARS), ("alicf", APPLES), ("", APPLES)] {
            commit.writes.push(put(&key(owner, space, id), format!("{owner}/{}", space.as_str()).as_bytes()));
        }
    }
    store.commit(commit).await.unwrap();
    let check = async |owner: &str, span: Span, expect: &[&[u8]]| {
        for limit in [1, 2, 3, 100] {
            let rows = all(&*store, &range(owner, span.clone()), limit).await;
            let ids: Vec<&[u8]> = rows.iter().map(|(id, _)| id.as_slice()).collect();
            assert_eq!(ids, expect, "{owner} {span:?} by {limit}");
            let value = format!("{owner}/{}", span.space.as_str());
            assert!(rows.iter().all(|(_, v)| v == value.as_bytes()), "a row of another owner or space");
        }
    };
    let mut backwards = ids;
    backwards.reverse();
    for owner in ["alice", "alicf", ""] {
        check(owner, Span::all(APPLES), &ids).await;
        check(owner, Span::all(APPLES).descending(), &backwards).await;
    }
    check("alice", Span::all(PEARS), &ids).await;
    check("bob", Span::all(APPLES), &[]).await;
    check("alicf", Span::all(PEARS), &[]).await;
    check("alice", Span::prefix(APPLES, b"a"), &[b"a", b"a\0", b"a\xff"]).await;
    check("alice", Span::prefix(APPLES, b"a").descending(), &[b"a\xff", b"a\0", b"a"]).await;
    check("alice", Span::prefix(APPLES, b"\xff"), &[b"\xff\xff"]).await;
    check("alice", Span::prefix(APPLES, b""), &ids).await;
    check("alice", Span::between(APPLES, b"a\0", b"b"), &[b"a\0", b"a\xff"]).await;
    check("alice", Span::between(APPLES, b"b", b"a"), &[]).await;
    check("alice", Span::between(APPLES, b"b", b"b"), &[]).await;
    check("alice", Span::after(APPLES, b"a"), &[b"a\0", b"a\xff", b"b", b"\xff\xff"]).await;
}

async fn commits_all_or_nothing(place: Place) {
    let store = (place.open)().await;
    let (a, b) = (key("alice", APPLES, b"a"), key("", PEARS, b"b"));
    let revision = store.commit(writes(vec![put(&a, b"0")])).await.unwrap();
    let check = async |checks: &[(&Key, Option<u64>)], conflict: Option<&Key>| {
        let checks = checks.iter().map(|(k, expect)| Check { key: (*k).clone(), expect: *expect });
        let commit = Commit { checks: checks.collect(), writes: vec![put(&b, b"kept")] };
        let done = store.commit(commit).await;
        let kept = store.get(&b).await.unwrap().is_some();
        match conflict {
            Some(key) => assert_eq!((done, kept), (Err(CommitError::Conflict { key: key.clone() }), false)),
            None => assert!(done.is_ok() && kept),
        }
        store.commit(writes(vec![Write::Delete(b.clone())])).await.unwrap();
    };
    check(&[(&a, Some(revision))], None).await;
    check(&[(&b, None)], None).await;
    check(&[(&a, Some(revision)), (&b, None)], None).await;
    check(&[(&a, None)], Some(&a)).await;
    check(&[(&a, Some(revision + 1))], Some(&a)).await;
    check(&[(&a, Some(0))], Some(&a)).await;
    check(&[(&b, Some(revision))], Some(&b)).await;
    check(&[(&a, Some(revision)), (&b, Some(revision))], Some(&b)).await;
    // The same value again is a change nevertheless.
    store.commit(writes(vec![put(&a, b"0")])).await.unwrap();
    check(&[(&a, Some(revision))], Some(&a)).await;
    // A key that went and came back is another one.
    store.commit(writes(vec![Write::Delete(a.clone())])).await.unwrap();
    check(&[(&a, Some(revision))], Some(&a)).await;
    check(&[(&a, None)], None).await;
}

async fn counts_under_contention(place: Place) {
    const WRITERS: u64 = 8;
    const EACH: u64 = 25;
    let store = (place.open)().await;
    let add = |store: Arc<dyn Store>, own: Key| async move {
        let counter = key("alice", APPLES, b"counter");
        for n in 0..EACH {
            loop {
                let found = store.get(&counter).await.unwrap();
                let count = found.as_ref().map_or(0, |e| u64::from_le_bytes(e.value[..].try_into().unwrap()));
                let checks = vec![Check { key: counter.clone(), expect: found.map(|e| e.revision) }];
                let values =
                    vec![put(&counter, &(count + 1).to_le_bytes()), put(&own, &(n + 1).to_le_bytes())];
                match store.commit(Commit { checks, writes: values }).await {
                    Ok(_) => break,
                    Err(CommitError::Conflict { .. }) => tokio::task::yield_now().await,
                    Err(CommitError::Failed(error)) => panic!("{error}"),
                }
            }
        }
    };
    let tasks: Vec<_> = (0..WRITERS)
        .map(|n| tokio::spawn(add(store.clone(), key("alice", PEARS, &n.to_le_bytes()))))
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let count = store.get(&key("alice", APPLES, b"counter")).await.unwrap().unwrap();
    assert_eq!(count.value, (WRITERS * EACH).to_le_bytes().as_slice());
    for n in 0..WRITERS {
        let own = store.get(&key("alice", PEARS, &n.to_le_bytes())).await.unwrap().unwrap();
        assert_eq!(own.value, EACH.to_le_bytes().as_slice());
    }
}

async fn tells_of_changes(place: Place) {
    let store = (place.open)().await;
    let mut watch = store.watch(&range("alice", Span::prefix(APPLES, b"a")));
    let quiet = async |watch: &mut crate::Watch| {
        assert!(tokio::time::timeout(Duration::from_millis(30), watch.changed()).await.is_err());
    };
    quiet(&mut watch).await;
    for other in [key("alice", APPLES, b"b"), key("alice", PEARS, b"a"), key("", APPLES, b"a")] {
        store.commit(writes(vec![put(&other, b"")])).await.unwrap();
    }
    let stale = Check { key: key("alice", APPLES, b"a"), expect: Some(77) };
    let refused = Commit { checks: vec![stale], writes: vec![put(&key("alice", APPLES, b"a"), b"")] };
    assert!(store.commit(refused).await.is_err());
    quiet(&mut watch).await;
    let k = key("alice", APPLES, b"a1");
    store.commit(writes(vec![put(&k, b"")])).await.unwrap();
    let last = store.commit(writes(vec![Write::Delete(k.clone())])).await.unwrap();
    assert_eq!(watch.changed().await.unwrap(), last, "two changes are told as the last");
    quiet(&mut watch).await;
    let waiting = tokio::spawn(async move { watch.changed().await });
    tokio::task::yield_now().await;
    let revision = store.commit(writes(vec![put(&k, b"")])).await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap(), revision);
    let mut watch = store.watch(&range("alice", Span::all(APPLES)));
    drop(store);
    drop(place);
    let told = tokio::time::timeout(Duration::from_secs(5), watch.changed()).await;
    assert_eq!(told.unwrap(), Err(StoreError::Closed), "a watch of a store that is gone ends");
}

async fn keeps_blobs(place: Place) {
    let store = (place.open)().await;
    let (alice, bob) = (tenant("alice"), tenant("alicf"));
    let bytes = Bytes::from(vec![7_u8; 300_000]);
    let name = keyring::sha256(&bytes);
    assert_eq!(store.get_blob(Some(&alice), name).await.unwrap(), None);
    store.delete_blob(Some(&alice), name).await.unwrap();
    store.put_blob(Some(&alice), name, bytes.clone()).await.unwrap();
    store.put_blob(Some(&alice), name, bytes.clone()).await.unwrap();
    assert_eq!(store.get_blob(Some(&alice), name).await.unwrap(), Some(bytes.clone()));
    assert_eq!(store.get_blob(Some(&bob), name).await.unwrap(), None, "another tenant's blob");
    assert_eq!(store.get_blob(None, name).await.unwrap(), None, "a blob of a tenant is not the system's");
    store.put_blob(None, name, bytes.clone()).await.unwrap();
    let empty = keyring::sha256(b"");
    store.put_blob(Some(&alice), empty, Bytes::new()).await.unwrap();
    drop(store);
    let store = (place.open)().await;
    store.delete_blob(Some(&alice), name).await.unwrap();
    assert_eq!(store.get_blob(Some(&alice), name).await.unwrap(), None);
    assert_eq!(store.get_blob(Some(&alice), empty).await.unwrap(), Some(Bytes::new()));
    assert_eq!(store.get_blob(None, name).await.unwrap(), Some(bytes));
}

async fn keeps_everything_when_reopened(place: Place) {
    let mut last = 0;
    for round in 0..3_u8 {
        let store = (place.open)().await;
        for n in 0..20_u8 {
            let k = key("alice", APPLES, &[round, n]);
            let revision = store.commit(writes(vec![put(&k, &[n; 100])])).await.unwrap();
            assert!(revision > last, "a revision came back after a reopen");
            last = revision;
        }
        let rows = all(&*store, &range("alice", Span::all(APPLES)), 7).await;
        assert_eq!(rows.len(), 20 * (usize::from(round) + 1));
        assert!(rows.iter().all(|(id, value)| *value == [id[1]; 100]));
    }
}

async fn refuses_what_is_too_large(place: Place) {
    let store = (place.open)().await;
    let check = async |commit: Commit, fits: bool| match store.commit(commit).await {
        Ok(_) => assert!(fits),
        Err(CommitError::Failed(StoreError::TooLarge { .. })) => assert!(!fits),
        Err(other) => panic!("{other}"),
    };
    let k = |bytes| key("alice", APPLES, &vec![1; bytes]);
    check(writes(vec![put(&k(ID_BYTES_MAX), &vec![1; VALUE_BYTES_MAX])]), true).await;
    check(writes(vec![put(&k(ID_BYTES_MAX + 1), b"")]), false).await;
    check(writes(vec![put(&k(1), &vec![1; VALUE_BYTES_MAX + 100])]), false).await;
    check(writes((0..5).map(|n| put(&k(n), &vec![1; VALUE_BYTES_MAX])).collect()), false).await;
    check(writes(vec![Write::Delete(k(1)); COMMIT_OPS_MAX]), true).await;
    check(writes(vec![Write::Delete(k(1)); COMMIT_OPS_MAX + 1]), false).await;
    // A page ends when it has many bytes, however many rows were asked for.
    for n in 0..5 {
        check(writes(vec![put(&k(n), &vec![1; VALUE_BYTES_MAX])]), true).await;
    }
    let page = store.scan(&range("alice", Span::all(APPLES)), usize::MAX).await.unwrap();
    assert!(page.rows.len() < 5 && page.next.is_some());
}

async fn fresh_memory() -> Place {
    let memory = Memory::new();
    let open = move || {
        let store: Arc<dyn Store> = Arc::new(memory.clone());
        Box::pin(async move { store }) as Opening
    };
    Place { open: Box::new(open) }
}

async fn fresh_embedded() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let open = move || {
        let store: Arc<dyn Store> = Arc::new(Embedded::open(&folder.path().join("store")).unwrap());
        Box::pin(async move { store }) as Opening
    };
    Place { open: Box::new(open) }
}

async fn sealed_over(place: Place) -> Place {
    let keys = tempfile::tempdir().unwrap();
    let root = keys.path().join("keys/root.key");
    drop(keyring::RootKey::load_or_create(&root).unwrap());
    let place = std::rc::Rc::new(place);
    let keys = Arc::new(keys);
    let open = move || {
        let (place, root, keys) = (place.clone(), root.clone(), keys.clone());
        Box::pin(async move {
            let root = keyring::RootKey::load(&root).unwrap();
            let inner = (place.open)().await;
            let sealed = Sealed::open(inner, root, Arc::new(keyring::SystemEntropy)).await.unwrap();
            for name in ["alice", "alicf", "bob"] {
                sealed.create_tenant_key(&tenant(name)).await.unwrap();
            }
            drop(keys);
            sealed as Arc<dyn Store>
        }) as Opening
    };
    Place { open: Box::new(open) }
}

macro_rules! conformance {
    ($($backend:ident: $fresh:expr, [$($case:ident),* $(,)?];)*) => {
        $(mod $backend {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $case() {
                super::$case({ use super::*; $fresh }).await;
            })*
        })*
    };
}

macro_rules! every_case {
    ($($backend:ident: $fresh:expr;)*) => {
        conformance! {
            $($backend: $fresh, [
                reads_what_was_written, sorts_and_pages, commits_all_or_nothing, counts_under_contention,
                tells_of_changes, keeps_blobs, keeps_everything_when_reopened, refuses_what_is_too_large,
            ];)*
        }
    };
}

every_case! {
    memory: fresh_memory().await;
    embedded: fresh_embedded().await;
    sealed_memory: sealed_over(fresh_memory().await).await;
    sealed_embedded: sealed_over(fresh_embedded().await).await;
}

#[test]
fn encoded_keys_sort_as_keys_do() {
    let owners = proptest::sample::select(vec!["", "a", "a-b", "ab", "b"]);
    let spaces = proptest::sample::select(vec![APPLES, PEARS, Space::new("apples-2"), Space::new("a")]);
    let id = proptest::collection::vec(any::<u8>(), 0..6);
    let keys = (owners, spaces, id).prop_map(|(owner, space, id)| key(owner, space, &id));
    let same = |a: Key, b: Key| {
        let order = (&a.tenant, a.space.as_str(), &a.id).cmp(&(&b.tenant, b.space.as_str(), &b.id));
        prop_assert_eq!(order, a.encode().cmp(&b.encode()));
        let whole = Range { tenant: a.tenant.clone(), span: Span::all(a.space) };
        let (low, high) = whole.bounds();
        let encoded = b.encode();
        let inside = encoded >= low && encoded < high;
        prop_assert_eq!(inside, a.tenant == b.tenant && a.space == b.space);
        Ok(())
    };
    TestRunner::default().run(&(keys.clone(), keys), |(a, b)| same(a, b)).unwrap();
}
