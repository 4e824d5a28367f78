//! Published vectors, values that must not open where they do not belong, and files that must not be taken.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use data_encoding::HEXLOWER_PERMISSIVE as HEX;
use model::{Entropy, EntropyError, TenantId};
use proptest::{prelude::*, test_runner::TestRunner};
use zeroize::Zeroizing;

use crate::{envelope::Aead, *};

fn hex(text: &str) -> Vec<u8> {
    HEX.decode(text.as_bytes()).unwrap()
}

fn tenant(name: &str) -> TenantId {
    name.parse().unwrap()
}

fn root() -> RootKey {
    RootKey::ephemeral(&SystemEntropy).unwrap()
}

fn keys(root: &RootKey, owner: &str) -> TenantKeys {
    let owner = (!owner.is_empty()).then(|| tenant(owner));
    TenantKeys::create(root, owner.as_ref(), &SystemEntropy).unwrap()
}

const HERE: Place<'_> = Place { space: "things", key: b"a" };

/// RFC 8452, appendix C.2 (AEAD_AES_256_GCM_SIV).
#[test]
fn aes_256_gcm_siv_gives_the_published_answers() {
    let check = |plain: &str, associated: &str, result: &str| {
        let mut key = [0; 32];
        key[0] = 1;
        let mut nonce = [0; 12];
        nonce[0] = 3;
        let mut body = hex(plain);
        let tag = Aead::new(&key).seal_in_place(nonce, &hex(associated), &mut body).unwrap();
        body.extend_from_slice(&tag);
        assert_eq!(HEX.encode(&body), result, "plaintext `{plain}`");
        let envelope = [&[1, 1, 0, 0, 0], nonce.as_slice(), &body].concat();
        assert_eq!(Aead::new(&key).open(&hex(associated), &envelope), Ok(hex(plain)));
    };
    check("", "", "07f5f4169bbf55a8400cd47ea6fd400f");
    check("0100000000000000", "", "c2ef328e5c71c83b843122130f7364b761e0b97427e3df28");
    check("010000000000000000000000", "", "9aab2aeb3faa0a34aea8e2b18ca50da9ae6559e48fd10f6e5c9ca17e");
    check(
        "01000000000000000000000000000000",
        "",
        "85a01b63025ba19b7fd3ddfc033b3e76c9eac6fa700942702e90862383c6c366",
    );
    check("0200000000000000", "01", "1de22967237a813291213f267e3b452f02d01ae33e4ec854");
}

/// FIPS 180-4 examples; RFC 4231 §4.2 is HMAC's, which the MAC is built on.
#[test]
fn sha256_gives_the_published_answers() {
    let check = |input: &[u8], digest: &str| {
        assert_eq!(sha256(input).hex(), digest);
        let mut pieces = Sha256::new();
        input.chunks(3).for_each(|piece| pieces.update(piece));
        assert_eq!(pieces.finish().hex(), digest);
    };
    check(b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    check(b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    check(&[b'a'; 1_000_000], "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

/// A generator that counts: what a seed gives in a simulation.
struct Counting(std::sync::Mutex<u8>);

impl Entropy for Counting {
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError> {
        let mut next = self.0.lock().unwrap();
        out.iter_mut().for_each(|b| {
            *b = *next;
            *next = next.wrapping_add(1);
        });
        Ok(())
    }
}

struct Broken;

impl Entropy for Broken {
    fn fill(&self, _: &mut [u8]) -> Result<(), EntropyError> {
        Err(EntropyError)
    }
}

/// The formats are what `docs/formats.md` says: a change of these bytes is a change of format.
#[test]
fn formats_do_not_drift() {
    let entropy = Counting(std::sync::Mutex::new(0));
    let root = RootKey::from_bytes(&Zeroizing::new([7; 32]));
    let keys = TenantKeys::create(&root, Some(&tenant("alice")), &entropy).unwrap();
    let sealed = keys.purpose(Purpose::Data).seal(HERE, b"value", &entropy).unwrap();
    assert_eq!((sealed[0], &sealed[1..5], sealed.len()), (1, &[1, 0, 0, 0][..], 5 + ENVELOPE_OVERHEAD_BYTES));
    let mac = keys.purpose(Purpose::Code).mac("code", &[b"part"]);
    let seen = [root.check_value().to_vec(), sha256(keys.record()).as_bytes().to_vec(), sealed, mac.to_vec()];
    assert_eq!(seen.map(|bytes| HEX.encode(&bytes)), GOLDEN);
}

const GOLDEN: [&str; 4] = [
    "ea51496d9e8efef3f905b1b145389309d03b53e919df0d7533de52180ebf4a86",
    "0c85059610e4549dcea5783e6a68bdb8f761afe83ff7785bde11a0e133a96590",
    "01010000003435363738393a3b3c3d3e3ffa66fa9b9c479555e8019a1481bd58e47465e53047",
    "010000007295610be00e00cc97fec42d1746d2f2f49f62b1b58a35002c5c7e4f857985fe",
];

#[test]
fn a_sealed_value_opens_in_its_place_alone() {
    let root = root();
    let alice = keys(&root, "alice");
    let sealed = alice.purpose(Purpose::Data).seal(HERE, b"value", &SystemEntropy).unwrap();
    let check = |keys: &TenantKeys, purpose: Purpose, space: &str, key: &[u8], opens: bool| {
        let found = keys.purpose(purpose).open(Place { space, key }, &sealed);
        assert_eq!(found, if opens { Ok(b"value".to_vec()) } else { Err(OpenError::Forged) });
    };
    check(&alice, Purpose::Data, "things", b"a", true);
    check(&alice, Purpose::Data, "things", b"b", false);
    check(&alice, Purpose::Data, "things", b"", false);
    check(&alice, Purpose::Data, "thing", b"sa", false);
    check(&alice, Purpose::Data, "thingsa", b"", false);
    check(&alice, Purpose::Data, "other", b"a", false);
    for purpose in Purpose::ALL.iter().filter(|p| **p != Purpose::Data) {
        check(&alice, *purpose, "things", b"a", false);
    }
    check(&keys(&root, "bob"), Purpose::Data, "things", b"a", false);
    check(&keys(&root, ""), Purpose::Data, "things", b"a", false);
    check(&keys(&root, "alice"), Purpose::Data, "things", b"a", false);
    let again = TenantKeys::open(&root, Some(&tenant("alice")), alice.record()).unwrap();
    check(&again, Purpose::Data, "things", b"a", true);
}

#[test]
fn no_byte_of_a_sealed_value_may_change() {
    let keys = keys(&root(), "alice").rotated(&root(), &SystemEntropy).err();
    assert!(matches!(keys, Some(KeysError::Open(OpenError::Forged))), "rotated under another root key");
    let root = root();
    let keys = self::keys(&root, "alice").rotated(&root, &SystemEntropy).unwrap();
    let key = keys.purpose(Purpose::Data);
    let sealed = key.seal(HERE, b"sixteen bytes ..", &SystemEntropy).unwrap();
    for bit in 0..sealed.len() * 8 {
        let mut flipped = sealed.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(key.open(HERE, &flipped).is_err(), "bit {bit}");
    }
    for length in 0..sealed.len() {
        assert!(key.open(HERE, &sealed[..length]).is_err(), "cut to {length}");
    }
    assert_eq!(key.open(HERE, &[sealed.as_slice(), b"x"].concat()), Err(OpenError::Forged));
    assert_eq!(key.open(HERE, &[0; 40]), Err(OpenError::Format(0)));
    assert_eq!(key.open(HERE, &[0; 5]), Err(OpenError::Short));
    let mut old = sealed.clone();
    old[1] = 1;
    assert_eq!(key.open(HERE, &old), Err(OpenError::Forged), "moved to another version");
    old[1] = 3;
    assert_eq!(key.open(HERE, &old), Err(OpenError::Version(3)));
    assert_ne!(key.seal(HERE, b"x", &SystemEntropy), key.seal(HERE, b"x", &SystemEntropy));
    assert_eq!(key.seal(HERE, b"x", &Broken), Err(SealError::Entropy(EntropyError)));
}

#[test]
fn rotation_seals_with_the_newest_and_opens_all() {
    let root = root();
    let first = keys(&root, "alice");
    let old = first.purpose(Purpose::Data).seal(HERE, b"old", &SystemEntropy).unwrap();
    let second = first.rotated(&root, &SystemEntropy).unwrap();
    let new = second.purpose(Purpose::Data).seal(HERE, b"new", &SystemEntropy).unwrap();
    assert_eq!((first.version(), second.version(), old[1], new[1]), (1, 2, 1, 2));
    let second = TenantKeys::open(&root, second.owner(), second.record()).unwrap();
    assert_eq!(second.purpose(Purpose::Data).open(HERE, &old), Ok(b"old".to_vec()));
    assert_eq!(second.purpose(Purpose::Data).open(HERE, &new), Ok(b"new".to_vec()));
    assert_eq!(first.purpose(Purpose::Data).open(HERE, &new), Err(OpenError::Version(2)));
    first.destroy();
}

#[test]
fn a_record_of_keys_opens_for_its_owner_and_root_alone() {
    let root = root();
    let alice = tenant("alice");
    let record = keys(&root, "alice").rotated(&root, &SystemEntropy).unwrap().record().to_vec();
    let opens = |root: &RootKey, owner: Option<&TenantId>, record: &[u8]| {
        TenantKeys::open(root, owner, record).is_ok()
    };
    assert!(opens(&root, Some(&alice), &record));
    assert!(!opens(&self::root(), Some(&alice), &record));
    assert!(!opens(&root, Some(&tenant("bob")), &record));
    assert!(!opens(&root, None, &record));
    assert!(!opens(&root, Some(&alice), &[record.as_slice(), &record[1..]].concat()), "versions twice");
    for at in 0..record.len() {
        let mut altered = record.clone();
        altered[at] ^= 0x40;
        assert!(!opens(&root, Some(&alice), &altered), "byte {at}");
    }
    let one_version = 1 + (record.len() - 1) / 2;
    for length in (0..record.len()).filter(|length| *length != one_version) {
        assert!(!opens(&root, Some(&alice), &record[..length]), "cut to {length}");
    }
    let hostile = |bytes: Vec<u8>| {
        let _ = TenantKeys::open(&root, Some(&alice), &bytes);
        let _ = keys(&root, "alice").purpose(Purpose::Data).open(HERE, &bytes);
        Ok(())
    };
    TestRunner::default().run(&proptest::collection::vec(any::<u8>(), 0..400), hostile).unwrap();
}

#[test]
fn a_mac_is_of_its_context_and_parts() {
    let root = root();
    let keys = keys(&root, "");
    let key = keys.purpose(Purpose::Code);
    let tag = key.mac("code", &[b"ab", b"c"]);
    let check = |key: &PurposeKey, context: &str, parts: &[&[u8]], tag: &[u8], holds: bool| {
        assert_eq!(key.verify_mac(context, parts, tag).is_ok(), holds, "{context} {parts:?}");
    };
    check(key, "code", &[b"ab", b"c"], &tag, true);
    check(key, "code", &[b"a", b"bc"], &tag, false);
    check(key, "code", &[b"abc"], &tag, false);
    check(key, "code", &[b"ab", b"c", b""], &tag, false);
    check(key, "code2", &[b"ab", b"c"], &tag, false);
    check(key, "code", &[b"ab", b"c"], &tag[..35], false);
    check(key, "code", &[b"ab", b"c"], &[], false);
    check(keys.purpose(Purpose::Ledger), "code", &[b"ab", b"c"], &tag, false);
    check(self::keys(&root, "alice").purpose(Purpose::Code), "code", &[b"ab", b"c"], &tag, false);
    let mut flipped = tag;
    flipped[35] ^= 1;
    check(key, "code", &[b"ab", b"c"], &flipped, false);
    let rotated = keys.rotated(&root, &SystemEntropy).unwrap();
    check(rotated.purpose(Purpose::Code), "code", &[b"ab", b"c"], &tag, true);
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_root_key_file_is_made_once_and_only_for_its_owner() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a/b/root.key");
    let made = RootKey::load_or_create(&file).unwrap();
    let permissions = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((permissions(&file), permissions(file.parent().unwrap())), (0o600, 0o700));
    assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1, "a temporary file was left");
    let again = RootKey::load_or_create(&file).unwrap();
    assert!(again.verify(&made.check_value()).is_ok());
    assert_eq!(RootKey::from_bytes(&Zeroizing::new([0; 32])).verify(&made.check_value()), Err(WrongRoot));
    assert_eq!(made.verify(&made.check_value()[..31]), Err(WrongRoot));
    assert_eq!(made.verify(b""), Err(WrongRoot));
    mode(&file, 0o400);
    assert!(RootKey::load(&file).is_ok(), "a narrower mode is fine");
    assert!(made.check_value().as_slice() != fs::read(&file).unwrap(), "the check value is not the key");
}

#[test]
fn a_root_key_file_that_others_could_have_read_is_refused() {
    let check = |prepare: &dyn Fn(&Path), expect: &str| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys/root.key");
        drop(RootKey::load_or_create(&file).unwrap());
        prepare(&file);
        let before = fs::read(&file).ok();
        for refused in [RootKey::load(&file).err(), RootKey::load_or_create(&file).err()] {
            let text = refused.map(|e| e.to_string()).unwrap_or_default();
            assert!(text.contains(expect), "expected `{expect}`, found `{text}`");
        }
        assert_eq!(fs::read(&file).ok(), before, "the file was changed");
    };
    for wide in [0o640, 0o604, 0o660, 0o666, 0o700, 0o644, 0o4600] {
        check(&|f| mode(f, wide), "run `chmod 0600");
    }
    for wide in [0o750, 0o701, 0o777] {
        check(&|f| mode(f.parent().unwrap(), wide), "run `chmod 0700");
    }
    for length in [0, 31, 33, 64] {
        check(&|f| fs::write(f, vec![1; length]).unwrap(), "restore it from a backup");
    }
    check(
        &|f| {
            fs::rename(f, f.with_extension("moved")).unwrap();
            std::os::unix::fs::symlink(f.with_extension("moved"), f).unwrap();
        },
        "is a symbolic link",
    );
    check(
        &|f| {
            fs::remove_file(f).unwrap();
            std::os::unix::fs::symlink("/nowhere/at/all", f).unwrap();
        },
        "is a symbolic link",
    );
    check(&|f| fs::hard_link(f, f.with_extension("second")).unwrap(), "more than one hard link");
    check(
        &|f| {
            fs::remove_file(f).unwrap();
            fs::create_dir(f).unwrap();
        },
        "is not a regular file",
    );
    let missing = RootKey::load(Path::new("/nowhere/root.key")).err();
    assert!(matches!(missing, Some(RootError::Missing(_))));
}

#[test]
fn a_passphrase_gives_one_key_for_one_salt() {
    let params = KdfParams::generate(&SystemEntropy).unwrap();
    assert_eq!((params.memory_kib, params.passes, params.lanes), (65_536, 3, 4));
    assert_eq!(KdfParams::decode(&params.encode()), Ok(params.clone()));
    let key = |passphrase: &str, params: &KdfParams| {
        RootKey::from_passphrase(passphrase, params).unwrap().check_value()
    };
    let right = key("a long passphrase", &params);
    assert_eq!(key("a long passphrase", &params), right);
    assert_ne!(key("a long passphrasf", &params), right);
    assert_ne!(key("a long passphrase", &KdfParams::generate(&SystemEntropy).unwrap()), right);
    let check = |passphrase: &str, params: KdfParams, expect: KdfError| {
        let refused = RootKey::from_passphrase(passphrase, &params).err().map(|e| e.to_string());
        assert_eq!(refused, Some(expect.to_string()));
    };
    let with = |change: fn(&mut KdfParams)| {
        let mut params = params.clone();
        change(&mut params);
        params
    };
    check("short", params.clone(), KdfError::PassphraseShort);
    check(&"long".repeat(300), params.clone(), KdfError::PassphraseLong);
    check("a long passphrase", with(|p| p.memory_kib = 8), KdfError::Bounds("memory_kib"));
    check("a long passphrase", with(|p| p.memory_kib = u32::MAX), KdfError::Bounds("memory_kib"));
    check("a long passphrase", with(|p| p.passes = 1), KdfError::Bounds("passes"));
    check("a long passphrase", with(|p| p.lanes = 0), KdfError::Bounds("lanes"));
    assert_eq!(KdfParams::decode(b"{}"), Err(KdfError::Malformed));
    assert_eq!(KdfParams::decode(&with(|p| p.passes = 2).encode()), Err(KdfError::Bounds("passes")));
}

#[test]
fn equal_is_equal() {
    let check = |left: &[u8], right: &[u8], same| assert_eq!(constant_time_eq(left, right), same);
    check(b"", b"", true);
    check(b"abc", b"abc", true);
    check(b"abc", b"abd", false);
    check(b"abc", b"ab", false);
    check(b"", b"a", false);
}
