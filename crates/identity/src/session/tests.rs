use http::HeaderMap;

use super::*;
use crate::testing::Ask;

fn record(id: &str, hash: u8) -> SessionRecord {
    SessionRecord {
        id: id.parse().unwrap(),
        hash: Digest::from_bytes([hash; 32]),
        key: Digest::from_bytes([7; 32]),
        tenant: "default".parse().unwrap(),
        entry: "staff".into(),
        issuer: "https://id.example".into(),
        subject: "alice".into(),
        groups: vec!["ops".into()],
        attributes: BTreeMap::new(),
        roles: vec![Role::Viewer],
        scopes: vec!["*".into()],
        grant: Digest::from_bytes([9; 32]),
        authenticated_at: Timestamp::from_unix_ms(1),
        created_at: Timestamp::from_unix_ms(2),
        expires_at: Timestamp::from_unix_ms(10),
        revoked_at: None,
    }
}

#[test]
fn a_book_finds_by_hash_and_by_id() {
    let book = SessionBook::default();
    book.put(record("s1", 1));
    book.put(record("s2", 2));
    assert_eq!(book.find(&Digest::from_bytes([1; 32])).unwrap().record().id.as_str(), "s1");
    assert!(book.find(&Digest::from_bytes([3; 32])).is_none());
    let revoked = SessionRecord { revoked_at: Some(Timestamp::from_unix_ms(3)), ..record("s1", 1) };
    book.put(revoked.clone());
    assert_eq!(book.session(&revoked.id), Some(revoked.clone()));
    assert_eq!(book.sessions(&revoked.tenant).len(), 2);
    assert!(book.sessions(&"other".parse().unwrap()).is_empty());
    book.remove(&revoked.id);
    assert!(book.find(&revoked.hash).is_none() && book.session(&revoked.id).is_none());
    assert!(!revoked.is_live(Timestamp::from_unix_ms(4)));
    assert!(record("s3", 3).is_live(Timestamp::from_unix_ms(9)));
    assert!(!record("s3", 3).is_live(Timestamp::from_unix_ms(10)));
}

#[test]
fn what_is_stored_is_read_again() {
    let text = serde_json::to_string(&record("s1", 1)).unwrap();
    assert_eq!(serde_json::from_str::<SessionRecord>(&text).unwrap(), record("s1", 1));
}

#[test]
fn what_is_presented() {
    let secret = TokenSecret::generate(&keyring::SystemEntropy).unwrap();
    let text = secret.reveal();
    let read =
        |ask: &Ask| PresentedSession::read(&ask.request()).map(|found| found.map(|found| *found.hash()));
    let with = |value: &str| Ask::new("GET", "/v1/whoami").header("authorization", value);
    assert_eq!(read(&with(&format!("DPoP {}", *text))), Ok(Some(secret.hash())));
    assert_eq!(read(&with(&format!("dpop {}", *text))), Ok(Some(secret.hash())));
    assert_eq!(read(&with(&format!("Bearer {}", *text))), Ok(None));
    assert_eq!(read(&Ask::new("GET", "/")), Ok(None));
    assert_eq!(read(&with("DPoP eyJhbGciOi")), Err(Reason::TokenMalformed));
    let twice = with(&format!("DPoP {}", *text)).header("authorization", "Bearer x");
    assert_eq!(read(&twice), Err(Reason::CredentialSeveral));
    let target = Ask { target: format!("/?{}", *text), headers: HeaderMap::new(), ..with("") };
    assert_eq!(read(&target.header("authorization", &format!("DPoP {}", *text))), Err(Reason::TokenInTarget));
}
