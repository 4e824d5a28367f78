use data_encoding::BASE64URL_NOPAD as B64;
use serde_json::json;

use super::*;
use crate::{
    IdentityConfig, TokenSecret,
    jose::jwk::Jwk,
    testing::{self, Ask, ED, Key, NOW, NOW_S, P256, P256_OTHER, jws, with},
};

const SEED: [u8; 32] = [5; 32];
const URL: &str = "https://api.example/v1/tenants/default/login";

fn toml(more: &str) -> String {
    format!(
        "[login]\nname = \"staff\"\nissuer = \"https://id.example\"\nclient_id = \"cli\"\ntenant = \"default\"\n\
         algorithms = [\"ES256\"]\nsession_s = 600\njwks = '''{}'''\n{more}\n[login.claims]\ngroups = \"groups\"\n\
         attributes = {{ site = \"site\" }}\n\
         [[login.grants]]\ngroups = [\"ops\"]\nattributes = {{ site = [\"north\", \"south\"] }}\n\
         roles = [\"operator\"]\n\
         [[login.grants]]\ngroups = [\"ops\", \"dev\"]\nroles = [\"developer\"]\nscopes = [\"deploy\", \"list\"]\n\
         [[login.grants]]\nsubjects = [\"root\"]\nroles = [\"owner\"]\n",
        testing::jwks()
    )
}

fn node(more: &str) -> Identity {
    testing::identity(&toml(more))
}

fn thumbprint(key: &Key) -> [u8; 32] {
    Jwk::read(key.jwk().as_object().unwrap()).unwrap().thumbprint
}

fn claims() -> Value {
    json!({
        "iss": "https://id.example", "aud": "cli", "sub": "alice", "iat": NOW_S - 5, "exp": NOW_S + 300,
        "groups": ["dev"], "nonce": login_nonce(&thumbprint(&ED), &SEED),
    })
}

fn id_token(header: Value, changes: Value) -> String {
    jws(&P256, &with(json!({ "alg": "ES256", "kid": "ec" }), header), &with(claims(), changes))
}

fn proof(key: &Key, changes: Value) -> String {
    let said = json!({ "jti": "one", "htm": "POST", "htu": URL, "iat": NOW_S });
    let alg = if matches!(key, Key::Ed(_)) { "EdDSA" } else { "ES256" };
    jws(key, &json!({ "typ": "dpop+jwt", "alg": alg, "jwk": key.jwk() }), &with(said, changes))
}

fn log_in(node: &Identity, token: &str, proof: &str, seed: &[u8]) -> Result<LoggedIn, Reason> {
    let ask = Ask::new("POST", "/v1/tenants/default/login").header("dpop", proof);
    let seed = B64.encode(seed);
    let asked = LoginAsked { id_token: token, seed: &seed };
    node.log_in(&ask.request(), asked, NOW).map_err(|nobody| nobody.reason)
}

/// Logs in with an ID token that is changed in this way.
#[track_caller]
fn check(header: Value, changes: Value, expect: Result<&[Role], Reason>) {
    let got = log_in(&node(""), &id_token(header.clone(), changes.clone()), &proof(&ED, json!({})), &SEED);
    let roles = got.as_ref().map(|who| who.roles.as_slice()).map_err(|reason| *reason);
    assert_eq!(roles, expect, "{header} {changes}");
}

#[test]
fn the_first_rule_that_fits_gives_the_roles() {
    let none = json!({});
    check(none.clone(), json!({}), Ok(&[Role::Developer]));
    check(none.clone(), json!({ "groups": ["ops", "dev"] }), Ok(&[Role::Developer]));
    check(none.clone(), json!({ "groups": ["ops"], "site": "south" }), Ok(&[Role::Operator]));
    check(none.clone(), json!({ "groups": "ops", "site": ["east", "north"] }), Ok(&[Role::Operator]));
    check(none.clone(), json!({ "groups": null, "sub": "root" }), Ok(&[Role::Owner]));
    for changes in [
        json!({ "groups": null }),
        json!({ "groups": ["Dev", "", "x"] }),
        json!({ "site": "north", "groups": [] }),
    ] {
        let got = log_in(&node(""), &id_token(none.clone(), changes.clone()), &proof(&ED, json!({})), &SEED);
        let expect = if changes["groups"][1] == "" { Reason::JwtClaim } else { Reason::LoginUnmapped };
        assert_eq!(got.unwrap_err(), expect, "{changes}");
    }
}

#[test]
fn what_is_no_id_token_of_this_login() {
    let none = json!({});
    for (header, changes, reason) in [
        (none.clone(), json!({ "iss": "https://other.example" }), Reason::JwtIssuer),
        (none.clone(), json!({ "aud": "another-client" }), Reason::JwtAudience),
        (none.clone(), json!({ "aud": ["cli", "other"] }), Reason::LoginParty),
        (none.clone(), json!({ "aud": ["cli", "other"], "azp": "other" }), Reason::LoginParty),
        (none.clone(), json!({ "azp": "other" }), Reason::LoginParty),
        (none.clone(), json!({ "nonce": "another" }), Reason::LoginNonce),
        (none.clone(), json!({ "nonce": null }), Reason::LoginNonce),
        (none.clone(), json!({ "exp": NOW_S - 31 , "iat": NOW_S - 90 }), Reason::JwtExpired),
        (none.clone(), json!({ "iat": NOW_S - 601 }), Reason::LoginStale),
        (none.clone(), json!({ "iat": NOW_S + 31, "exp": NOW_S + 300 }), Reason::JwtIssuedAhead),
        (none.clone(), json!({ "scope": "openid" }), Reason::LoginType),
        (none.clone(), json!({ "typ": "Bearer" }), Reason::LoginType),
        (json!({ "typ": "at+jwt" }), none.clone(), Reason::LoginType),
        (json!({ "typ": "dpop+jwt" }), none.clone(), Reason::LoginType),
        (json!({ "kid": "ec384" }), none.clone(), Reason::JwtKeyUnfit),
        (json!({ "alg": "none" }), none.clone(), Reason::JwtUnsigned),
        (json!({ "alg": "RS256", "kid": "rsa" }), none.clone(), Reason::JwtAlgorithm),
        (none.clone(), json!({ "sub": "a\"b" }), Reason::JwtSubject),
    ] {
        check(header, changes, Err(reason));
    }
    check(json!({ "typ": "JWT" }), json!({ "aud": ["cli", "other"], "azp": "cli" }), Ok(&[Role::Developer]));
    let forged = jws(&P256_OTHER, &json!({ "alg": "ES256", "kid": "ec" }), &claims());
    assert_eq!(log_in(&node(""), &forged, &proof(&ED, json!({})), &SEED).unwrap_err(), Reason::JwtSignature);
}

#[test]
fn an_id_token_is_of_use_to_the_key_that_asked_for_it_and_once() {
    let (node, token) = (node(""), id_token(json!({}), json!({})));
    let refused = |proof: &str, seed: &[u8]| log_in(&node, &token, proof, seed).unwrap_err();
    assert_eq!(refused(&proof(&P256, json!({})), &SEED), Reason::LoginNonce, "stolen");
    assert_eq!(refused(&proof(&ED, json!({})), &[6; 32]), Reason::LoginNonce);
    assert_eq!(refused(&proof(&ED, json!({})), &[5; 31]), Reason::LoginNonce);
    assert_eq!(refused(&proof(&ED, json!({ "htm": "GET" })), &SEED), Reason::DpopMethod);
    assert_eq!(refused(&proof(&ED, json!({ "htu": "https://other.example/" })), &SEED), Reason::DpopUrl);
    let ask = Ask::new("POST", "/v1/tenants/default/login");
    let asked = LoginAsked { id_token: &token, seed: &B64.encode(&SEED) };
    let none = node.log_in(&ask.request(), asked, NOW).unwrap_err();
    assert_eq!(none.reason, Reason::SessionUnproved);
    log_in(&node, &token, &proof(&ED, json!({})), &SEED).unwrap();
    assert_eq!(refused(&proof(&ED, json!({})), &SEED), Reason::DpopReplay);
    assert_eq!(refused(&proof(&ED, json!({ "jti": "two" })), &SEED), Reason::LoginReplay);
}

#[test]
fn a_device_may_do_without_a_nonce_where_the_tenant_says_so() {
    let token = id_token(json!({}), json!({ "nonce": null }));
    log_in(&node("device_nonce = false"), &token, &proof(&ED, json!({})), &SEED).unwrap();
    let code = node("device_nonce = false\nflows = [\"code\"]");
    assert_eq!(log_in(&code, &token, &proof(&ED, json!({})), &SEED).unwrap_err(), Reason::LoginNonce);
    let wrong = id_token(json!({}), json!({ "nonce": "x" }));
    let other = node("device_nonce = false");
    assert_eq!(log_in(&other, &wrong, &proof(&ED, json!({})), &SEED).unwrap_err(), Reason::LoginNonce);
}

struct Open {
    entry: SessionEntry,
    text: String,
}

fn open(node: &Identity) -> Open {
    let who = log_in(node, &id_token(json!({}), json!({})), &proof(&ED, json!({})), &SEED).unwrap();
    let secret = TokenSecret::generate(&keyring::SystemEntropy).unwrap();
    let record = who.session("s1".parse().unwrap(), secret.hash(), NOW);
    let book = crate::SessionBook::default();
    book.put(record.clone());
    let entry = book.find(&record.hash).unwrap();
    let entry = SessionEntry { record, caller: entry.caller.clone() };
    Open { entry, text: secret.reveal().to_string() }
}

impl Open {
    fn ask(
        &self,
        node: &Identity,
        key: &Key,
        id: &str,
        token: &str,
        now: Timestamp,
    ) -> Result<Caller, Reason> {
        let said = json!({
            "jti": id, "htm": "GET", "htu": "https://api.example/v1/whoami", "iat": now.unix_ms() / 1000,
            "ath": B64.encode(sha256(token.as_bytes()).as_bytes()),
        });
        let alg = if matches!(key, Key::Ed(_)) { "EdDSA" } else { "ES256" };
        let proof = jws(key, &json!({ "typ": "dpop+jwt", "alg": alg, "jwk": key.jwk() }), &said);
        let value = format!("DPoP {}", self.text);
        let ask = Ask::new("GET", "/v1/whoami").header("authorization", &value).header("dpop", &proof);
        let request = ask.request();
        let presented = PresentedSession::read(&request)?.unwrap();
        assert_eq!(*presented.hash(), self.entry.record.hash);
        node.session(&request, &presented, &self.entry, now).map_err(|nobody| nobody.reason)
    }
}

#[test]
fn a_session_is_good_with_its_key_and_once_a_proof() {
    let node = node("");
    let open = open(&node);
    let caller = open.ask(&node, &ED, "a", &open.text, NOW).unwrap();
    assert_eq!(caller.key(), "User::\"default/staff:alice\"");
    assert_eq!(caller.principal().scopes, ["deploy", "list"]);
    let proof = caller.proof().unwrap();
    assert_eq!(
        (proof.said().as_str(), proof.groups()),
        ("session of staff, dpop, key s1", ["dev".to_owned()].as_slice())
    );
    assert_eq!(open.ask(&node, &ED, "a", &open.text, NOW).unwrap_err(), Reason::DpopReplay);
    assert_eq!(open.ask(&node, &P256, "b", &open.text, NOW).unwrap_err(), Reason::DpopThumbprint);
    assert_eq!(open.ask(&node, &ED, "c", "another", NOW).unwrap_err(), Reason::DpopToken);
    assert!(open.ask(&node, &ED, "d", &open.text, NOW.plus_ms(599_999)).is_ok());
    assert_eq!(
        open.ask(&node, &ED, "e", &open.text, NOW.plus_ms(600_000)).unwrap_err(),
        Reason::SessionExpired
    );
}

#[test]
fn a_session_ends_with_what_gave_it() {
    let node = node("");
    let open = open(&node);
    let then = |toml: &str| {
        let config = IdentityConfig::parse(toml).unwrap();
        node.followed_by(config, &|_| Err("no file".into())).unwrap()
    };
    let ask = |toml: &str| open.ask(&then(toml), &ED, "x", &open.text, NOW).map(|_| ());
    for (from, to) in [
        ("\"developer\"", "\"viewer\""),
        ("[\"deploy\", \"list\"]", "[\"deploy\"]"),
        ("\"ops\", \"dev\"", "\"ops\""),
        ("client_id = \"cli\"", "client_id = \"other\""),
        ("name = \"staff\"", "name = \"people\""),
        ("groups = \"groups\"", "groups = \"realm.groups\""),
        // A rule before it that fits the person now.
        (
            "[[login.grants]]\ngroups = [\"ops\"]",
            "[[login.grants]]\nsubjects = [\"alice\"]\nroles = [\"viewer\"]\n[[login.grants]]\ngroups = [\"ops\"]",
        ),
    ] {
        let text = toml("");
        assert!(text.contains(from), "{from}");
        assert_eq!(ask(&text.replacen(from, to, 1)), Err(Reason::SessionUnmapped), "{to}");
    }
    assert_eq!(ask(""), Err(Reason::SessionUnmapped));
    assert_eq!(
        ask(&format!("{}[control]\naccept = [\"token\"]\n", toml(""))),
        Err(Reason::CredentialElsewhere)
    );
    let short = toml("").replace("session_s = 600", "session_s = 10");
    let later = open.ask(&then(&short), &ED, "y", &open.text, NOW.plus_ms(10_000));
    assert_eq!(later.unwrap_err(), Reason::SessionExpired, "a shorter life is everybody's");
    assert_eq!(ask(&toml("flows = [\"device\"]")), Ok(()), "what gave it stands");
}
