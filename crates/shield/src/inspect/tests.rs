use std::sync::Arc;

use http::Request;
use model::{Digest, Shield, ShieldDefaults};
use waf::{NoFiles, Rules, Source};

use super::*;
use crate::{Shield as Screen, ShieldConfig};

/// Two rules that refuse by themselves, and one that scores at level 2.
const RULES: &str = r#"
SecRule ARGS|REQUEST_BODY "@contains attack" "id:1,phase:2,deny,status:403,t:none,severity:CRITICAL,msg:'an attack',tag:'attack-a'"
SecRule REQUEST_HEADERS:X-Bad "@streq yes" "id:2,phase:1,deny,status:418,severity:ERROR,msg:'a bad header',tag:'attack-b'"
SecRule TX:BLOCKING_PARANOIA_LEVEL "@lt 2" "id:3,phase:2,pass,nolog,skipAfter:END"
SecRule ARGS "@contains odd" "id:4,phase:2,deny,status:200,severity:CRITICAL,msg:'odd'"
SecMarker END
SecRule RESPONSE_BODY "@contains secret" "id:5,phase:4,deny,severity:ERROR,msg:'a leak'"
"#;

fn guards() -> Guards {
    let rules = Rules::load(&[Source { name: "test.conf", text: RULES }], &NoFiles).unwrap();
    Guards::new(RuleSet { name: "test".into(), digest: Digest::from_bytes([7; 32]), rules: Arc::new(rules) })
}

fn guard(own: &str) -> Guard {
    let shield: Shield = toml::from_str(own).unwrap();
    guards().guard(ShieldDefaults::default(), &shield).unwrap()
}

fn screened(uri: &str, headers: &[(&str, &str)]) -> Screened<()> {
    let mut request = Request::post(uri).header("host", "localhost");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (head, ()) = request.body(()).unwrap().into_parts();
    let address = "192.0.2.7:1".parse().unwrap();
    let peer = Peer { address, tls: true, server_name: None, certificate: None };
    Screen::new(ShieldConfig::default()).screen(head, (), &peer, 0).unwrap()
}

fn now(clock: &dyn Fn() -> u64) -> Now<'_> {
    Now { clock, epoch_s: 1_000, memory: None }
}

/// `expect`: the code of the refusal, `told` where it goes on with a finding, or nothing.
fn check(own: &str, uri: &str, headers: &[(&str, &str)], body: Seen<'_>, expect: &str) {
    let guard = guard(own);
    let mut screened = screened(uri, headers);
    let found = match guard.look(&mut screened, body, "id", now(&|| 0)) {
        Ok(None) => "",
        Ok(Some(_)) => "told",
        Err(finding) => finding.refused.unwrap().code(),
    };
    assert_eq!(found, expect, "{own} {uri} {headers:?} {body:?}");
    let lets_on = matches!(expect, "" | "told");
    assert_eq!(
        screened.inspected().is_ok(),
        lets_on,
        "{own} {uri}: a proof without a look, or none after it"
    );
}

const NO_BODY: Seen<'_> = Seen::Whole(b"");
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const BINARY: (&str, &str) = ("content-type", "application/octet-stream");

#[test]
fn what_goes_on_and_what_does_not() {
    check("", "/?a=peace", &[], NO_BODY, "");
    check("", "/?a=attack", &[], NO_BODY, "rule-matched");
    check("", "/", &[FORM], Seen::Whole(b"a=attack"), "rule-matched");
    check("", "/", &[("x-bad", "yes")], NO_BODY, "rule-matched");
    check("", "/?a=odd", &[], NO_BODY, "");
    check("paranoia = 2", "/?a=odd", &[], NO_BODY, "rule-matched");
    check("mode = 'detect'", "/?a=attack", &[], NO_BODY, "told");
    check("mode = 'detect'", "/?a=peace", &[], NO_BODY, "");
    check("mode = 'off'", "/?a=attack", &[("x-bad", "yes")], NO_BODY, "");
}

#[test]
fn what_is_left_out() {
    let all = "[[exclude]]\nrules = ['1-9']\nreason = 'for a test'";
    check(all, "/?a=attack", &[("x-bad", "yes")], NO_BODY, "");
    let tag = "[[exclude]]\ntags = ['attack-a']\nreason = 'for a test'";
    check(tag, "/?a=attack", &[], NO_BODY, "");
    check(tag, "/?a=attack", &[("x-bad", "yes")], NO_BODY, "rule-matched");
    // A tag is a text, not a pattern.
    let dot = "[[exclude]]\ntags = ['attack.a', 'attack-']\nreason = 'for a test'";
    check(dot, "/?a=attack", &[], NO_BODY, "rule-matched");
    let one = "[[exclude]]\nrules = ['1']\nvariables = ['ARGS:q']\nreason = 'for a test'";
    check(one, "/?q=attack", &[], NO_BODY, "");
    check(one, "/?q=attack&a=attack", &[], NO_BODY, "rule-matched");
}

#[test]
fn what_is_left_out_on_some_paths() {
    let paths = "[[exclude]]\nrules = ['1']\npath = '/a/...'\nreason = 'for a test'
        [[exclude]]\nrules = ['2']\npath = '/a/b'\nreason = 'for a test'";
    check(paths, "/?x=attack", &[], NO_BODY, "rule-matched");
    check(paths, "/ab?x=attack", &[], NO_BODY, "rule-matched");
    check(paths, "/a/c?x=attack", &[], NO_BODY, "");
    check(paths, "/a/c?x=attack", &[("x-bad", "yes")], NO_BODY, "rule-matched");
    check(paths, "/a?x=attack", &[], NO_BODY, "");
    check(paths, "/a/b?x=attack", &[("x-bad", "yes")], NO_BODY, "");
    check(paths, "/a/b/c?x=attack", &[("x-bad", "yes")], NO_BODY, "rule-matched");
    let shield: Shield =
        toml::from_str("[[exclude]]\nrules = ['1']\nvariables = ['NOTHING']\nreason = 'for a test'").unwrap();
    assert!(guards().guard(ShieldDefaults::default(), &shield).is_err());
}

/// As many paths as a manifest may have, where they leave out the same; and no more sets of them than plans.
#[test]
fn many_paths() {
    let same = |n: usize| format!("[[exclude]]\nrules = ['1']\npath = '/p{n}'\nreason = 'for a test'\n");
    let all: String = (0..64).map(same).collect();
    for n in [0, 1, 20, 63] {
        check(&all, &format!("/p{n}?x=attack"), &[], NO_BODY, "");
    }
    check(&all, "/p64?x=attack", &[], NO_BODY, "rule-matched");
    let other =
        |n: usize| format!("[[exclude]]\nrules = ['{}']\npath = '/p{n}'\nreason = 'for a test'\n", n + 10);
    let some: Shield = toml::from_str(&(0..15).map(other).collect::<String>()).unwrap();
    assert!(guards().guard(ShieldDefaults::default(), &some).is_ok());
    let many: Shield = toml::from_str(&(0..16).map(other).collect::<String>()).unwrap();
    let refused = guards().guard(ShieldDefaults::default(), &many).unwrap_err();
    assert!(matches!(refused, GuardError::Paths), "{refused}");
}

#[test]
fn long_bodies() {
    let small = "body_bytes = 1024";
    let long = vec![b'x'; 1025];
    check(small, "/", &[FORM], Seen::Start(b"a=b"), "body-not-inspected");
    check(small, "/", &[], Seen::Start(b"a=b"), "body-not-inspected");
    check(small, "/", &[FORM], Seen::Whole(&long), "body-not-inspected");
    check(small, "/", &[FORM], Seen::Whole(&long[..1024]), "");
    check(small, "/", &[BINARY], Seen::Start(&long[..1024]), "");
    check("body_over = 'pass'", "/", &[FORM], Seen::Start(b"a=b"), "");
    check("body_over = 'pass'", "/", &[FORM], Seen::Start(b"a=attack"), "rule-matched");
    check("body_over = 'refuse'", "/", &[BINARY], Seen::Start(b"a"), "body-not-inspected");
    check("mode = 'detect'", "/", &[FORM], Seen::Start(b"a"), "");
    check("mode = 'off'", "/", &[FORM], Seen::Start(b"a"), "");
}

#[test]
fn a_finding_tells_rules_and_never_values() {
    let mut screened = screened("/?user=attack-with-a-secret", &[]);
    let finding = guard("").look(&mut screened, NO_BODY, "id", now(&|| 0)).unwrap_err();
    assert_eq!(finding.refused, Some(Reason::Rule { id: 1, status: 403 }));
    let detail = finding.detail();
    assert!(detail.contains("rule 1 refused it") && detail.contains("1 an attack in ARGS:user"), "{detail}");
    assert!(!detail.contains("secret"), "{detail}");
}

#[test]
fn a_status_that_is_no_refusal_becomes_one() {
    assert_eq!(Reason::Rule { id: 4, status: 200 }.status(), 403);
    assert_eq!(Reason::Rule { id: 4, status: 418 }.status(), 418);
    assert_eq!(Reason::Rule { id: 4, status: 500 }.status(), 403);
}

#[test]
fn answers() {
    let look = |own: &str, text: &str, media: &str| {
        let guard = guard(own);
        let mut screened = screened("/", &[]);
        guard.look(&mut screened, NO_BODY, "id", now(&|| 0)).unwrap();
        let asked = Asked::of(screened.head(), screened.peer(), bytes::Bytes::new(), true);
        let response = http::Response::builder().header("content-type", media).body(()).unwrap();
        let (head, ()) = response.into_parts();
        let answer = Answer { head: &head, start: text.as_bytes() };
        let finding = guard.look_at_answer(&asked, &answer, "id", now(&|| 0)).unwrap();
        finding.refused.map(Reason::code)
    };
    assert_eq!(look("responses = true", "a secret", "text/plain"), Some("rule-matched"));
    assert_eq!(look("responses = true", "nothing", "text/plain"), None);
    assert_eq!(look("responses = true", "a secret", "image/png"), None);
    assert!(!guard("").looks_at_answers());
    assert!(guard("responses = true").looks_at_answers());
}

#[test]
fn functions_that_ask_the_same_share_a_plan() {
    let guards = guards();
    let make = |own: &str| guards.guard(ShieldDefaults::default(), &toml::from_str(own).unwrap()).unwrap();
    let (one, two, three) = (make(""), make("paranoia = 1"), make("paranoia = 2"));
    assert!(Arc::ptr_eq(&one.first(), &two.first()));
    assert!(!Arc::ptr_eq(&one.first(), &three.first()));
}

/// Time goes on by a millisecond whenever somebody asks for it.
#[test]
fn the_dearest_text_is_told_and_too_dear_a_one_ends_it() {
    let guard = guard("");
    let asked = std::cell::Cell::new(0_u64);
    let clock = || asked.replace(asked.get() + 1_000_000);
    let dearest = dearest_ns(&guard, &clock, u64::MAX);
    assert!(dearest >= 1_000_000, "{dearest}");
    let all = asked.replace(0);
    assert!(dearest_ns(&guard, &clock, 0) > 0);
    assert!(asked.get() < all, "it goes on");
}
