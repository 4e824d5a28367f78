//! go-ftw's tests as people write them, old and new: what is run, what is judged, what is an error.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::sync::Arc;

use waf::{
    NoFiles, Plan, Rules, Source,
    ftw::{self, Outcome, Suite},
};

const RULES: &str = r#"
SecRule ARGS|REQUEST_HEADERS:X-A "@rx attack" "id:100001,phase:2,deny,status:403,log,msg:'hit',logdata:'%{MATCHED_VAR}',severity:CRITICAL,ver:'x/1',tag:'t'"
SecRule MULTIPART_STRICT_ERROR "!@eq 0" "id:100002,phase:2,pass,log,msg:'strict'"
SecRule RESPONSE_STATUS "@streq 500" "id:100003,phase:3,pass,log"
SecRule RESPONSE_BODY "@contains leaked" "id:100004,phase:4,pass,log"
SecAction "id:100010,phase:1,nolog,pass,initcol:ip=%{REMOTE_ADDR},setvar:ip.hits=+1"
SecRule IP:hits "@gt 1" "id:100011,phase:1,pass,log,msg:'second'"
SecRule REQUEST_HEADERS:Host "@rx ." "id:100013,phase:1,pass,log"
SecRule REQUEST_BODY "@rx <b>" "id:100014,phase:2,pass,log"
SecRule REQUEST_HEADERS:Content-Length "@streq 0" "id:100015,phase:1,pass,log"
"#;

/// How the only test of a suite ends, from its stages on.
fn outcome(stages: &str) -> Outcome {
    let rules = Rules::load(&[Source { name: "r.conf", text: RULES }], &NoFiles).unwrap();
    let plan = Plan::new(&Arc::new(rules), &ftw::settings()).unwrap();
    let text = format!("rule_id: 100001\ntests:\n- test_id: 1\n  stages: {stages}\n");
    let suite: Suite = serde_saphyr::from_str(&text).unwrap();
    ftw::run(&plan, &suite.tests[0], &|| 0)
}

fn passes(input: &str, output: &str) -> bool {
    match outcome(&format!("[{{input: {input}, output: {output}}}]")) {
        Outcome::Passed => true,
        Outcome::Failed(_) => false,
        Outcome::NotAsked(why) => panic!("not asked: {input} {output}: {why}"),
    }
}

#[test]
fn what_is_expected_of_the_log_and_of_the_status_is_judged() {
    let attack = "{uri: '/?a=attack'}";
    let harmless = "{uri: '/?a=x'}";
    for (input, output, expect) in [
        (attack, "{log: {expect_ids: [100001]}}", true),
        (harmless, "{log: {expect_ids: [100001]}}", false),
        (attack, "{log: {no_expect_ids: [100001]}}", false),
        (attack, "{isolated: true, log: {expect_ids: [100001]}}", true),
        ("{uri: '/?a=attack', headers: {Host: h}}", "{isolated: true, log: {expect_ids: [100001]}}", false),
        (attack, "{status: 403}", true),
        (harmless, "{status: 403}", false),
        (attack, "{status: [403, 400], log_contains: 'id \"100001\"'}", true),
        (attack, "{status: 200}", false),
        (harmless, "{status: 200}", true),
        (attack, "{status: 200, log: {expect_ids: [100001]}}", true),
        (attack, "{no_log_contains: 'id \"100001\"'}", false),
        ("{uris: ['/?a=attack', '/?a=x']}", "{log: {expect_ids: [100001]}}", false),
        ("{uris: ['/?a=x', '/?a=attack']}", "{log: {no_expect_ids: [100001]}}", false),
        ("{uris: ['/?a=attack', '/?b=attack']}", "{log: {expect_ids: [100001]}}", true),
    ] {
        assert_eq!(passes(input, output), expect, "{input} {output}");
    }
}

#[test]
fn lines_of_the_log_are_those_of_modsecurity() {
    for (pattern, expect) in [
        (r#"\[id "100001"\]"#, true),
        (r#"severity "CRITICAL""#, true),
        (r#"\[ver "x/1"\]"#, true),
        (r#"Pattern match "attack" at ARGS:a\."#, true),
        (r#"\[uri "/p"\]"#, true),
        (r#"\[hostname "h"\]"#, true),
        (r#"\[unique_id "\w+"\]"#, true),
        (r#"\[data "an attack"\]"#, true),
        (r#"\[tag "t"\]"#, true),
        (r#"id "1000(?!01)"#, true),
        (r#"id "100001(?=")"#, true),
        (r#"severity "2""#, false),
    ] {
        let input = "{uri: '/p?a=an+attack', headers: {Host: h}}";
        assert_eq!(passes(input, &format!("{{log: {{match_regex: '{pattern}'}}}}")), expect, "{pattern}");
    }
}

#[test]
fn requests_are_those_that_go_ftw_writes() {
    for (input, output, expect) in [
        ("{method: POST, data: 'a=<b>'}", "{log: {no_expect_ids: [100014]}}", true),
        (
            "{method: POST, data: 'a=<b>', autocomplete_headers: false, headers: {Content-Length: 5, \
          Content-Type: application/x-www-form-urlencoded}}",
            "{log: {expect_ids: [100014]}}",
            true,
        ),
        ("{method: POST, data: 'a=attack me'}", "{log: {match_regex: 'data \"attack me\"'}}", true),
        ("{method: POST, encoded_data: 'YT1hdHRhY2s='}", "{log: {expect_ids: [100001]}}", true),
        (
            "{encoded_request: \"R0VUIC8/YT1hdHRhY2sgSFRU\\nUC8xLjENCkhvc3Q6IHgNCg0K\"}",
            "{log: {expect_ids: [100001]}}",
            true,
        ),
        ("{encoded_request: '!!'}", "{log: {no_expect_ids: [100001]}}", false),
        ("{method: DELETE}", "{log: {expect_ids: [100015]}}", true),
        ("{method: GET}", "{log: {no_expect_ids: [100015]}}", true),
        (
            "{method: POST, headers: {Content-Type: multipart/form-data; boundary=bb}, data: \
          \"--bb\\nContent-Disposition: form-data; name=\\\"a\\\"\\n\\nattack\\n--bb--\\n\"}",
            "{log: {expect_ids: [100001], no_expect_ids: [100002]}}",
            true,
        ),
        (
            "{response: {status: 500, body: leaked, headers: {Content-Type: text/html}}}",
            "{log: {expect_ids: [100003, 100004]}}",
            true,
        ),
    ] {
        assert_eq!(passes(input, output), expect, "{input} {output}");
    }
}

/// What rules keep by address is kept from stage to stage, and not from test to test.
#[test]
fn stages_share_a_memory() {
    let two = "[{input: {}, output: {log: {no_expect_ids: [100011]}}}, \
               {input: {}, output: {log: {expect_ids: [100011]}}}]";
    assert_eq!(outcome(two), Outcome::Passed);
    assert_eq!(outcome(two), Outcome::Passed);
}

#[test]
fn what_is_not_asked_says_the_real_reason() {
    for (input, output, expect) in [
        ("{}", "{expect_error: true}", "expect_error"),
        ("{}", "{response_contains: 'x'}", "response_contains"),
        ("{follow_redirect: true}", "{log: {expect_ids: [1]}}", "follow_redirect"),
        ("{save_cookie: true}", "{log: {expect_ids: [1]}}", "save_cookie"),
        ("{}", "{status: 400}", "a status of the HTTP server"),
    ] {
        match outcome(&format!("[{{input: {input}, output: {output}}}]")) {
            Outcome::NotAsked(why) => assert!(why.contains(expect), "{why}, not {expect}"),
            other => panic!("{input} {output}: {other:?}"),
        }
    }
}

#[test]
fn files_of_version_one_are_read() {
    let text = "---\nmeta: {author: x, enabled: true, name: old.yaml, description: d}\ntests:\n\
        - test_title: 100001-1\n  desc: old\n  stages:\n  - stage:\n      input: {dest_addr: 127.0.0.1, port: 80, \
        uri: '/?a=attack', headers: {Host: localhost}}\n      output: {log_contains: 'id \"100001\"'}\n\
        - stages: [{input: {}, output: {status: 200}}]\n";
    let suite: Suite = serde_saphyr::from_str(text).unwrap();
    assert_eq!(suite.rule_id, 100_001);
    assert_eq!(suite.tests.iter().map(|test| test.test_id).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(suite.tests[0].stages[0].input.uri.as_deref(), Some("/?a=attack"));
}

/// A test that asks for nothing because of a slip would pass for ever.
#[test]
fn what_is_no_test_is_an_error() {
    for (text, expect) in [
        ("rule_id: 1\ntests: []", "no `tests`"),
        ("rule_id: 1", "no `tests`"),
        ("rule_id: 1\ntests: [{test_id: 1}]", "test 1 has no `stages`"),
        ("tests:\n- stages:\n  - input: {}\n    output: {log: {expected_ids: [1]}}", "expected_ids"),
        ("tests:\n- stages: [{inputs: {}, output: {}}]", "inputs"),
        ("tests:\n- stages: [{input: {url: /}, output: {}}]", "url"),
        ("tests:\n- stages: [{input: {}}]", "no `output`"),
        ("tests:\n- stages: [{output: {}}]", "no `input`"),
        ("a: 1\n---\nb: 2", ""),
        ("", ""),
    ] {
        let error = serde_saphyr::from_str::<Suite>(text).unwrap_err().to_string();
        assert!(error.contains(expect), "{text}: {error}, not {expect}");
    }
}
