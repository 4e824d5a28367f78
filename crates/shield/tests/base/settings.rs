//! Settings, exclusions and answers: the same that hold for OWASP's Core Rule Set hold here.

use waf::{
    Cause, Decision, Limits, Settings,
    ftw::Answer,
    seclang::{RuleSelector, action::RuleEngine, variable::Target},
};

use super::{answered, carriers::get, plan_with, rules, run, told};

const ATTACK: &str = "/?q=1'%20OR%20'1'='1";

#[test]
fn the_rules_load_and_every_one_says_what_it_is() {
    let rules = rules();
    assert!(rules.len() > 80, "{} rules", rules.len());
    let mut seen = std::collections::BTreeSet::new();
    for source in shield::BASE_SOURCES {
        let text = source.text.replace("\\\n", " ");
        for rule in text.lines().filter(|line| line.contains("\"id:") || line.contains(" \"id:")) {
            let id: u64 = rule.split("id:").nth(1).unwrap().split(',').next().unwrap().parse().unwrap();
            assert!((9_800_000..9_900_000).contains(&id), "{id} is out of the range");
            assert!(seen.insert(id), "{id} stands twice");
            if rule.contains("block,") {
                for part in ["msg:'", "tag:'attack-", "severity:'"] {
                    assert!(rule.contains(part), "{id} has no `{part}`");
                }
            }
        }
    }
}

#[test]
fn a_refusal_tells_the_sum_and_the_rules_of_which_it_is_made() {
    let report = run(&plan_with(&rules(), Settings::paranoia(1)), &get(ATTACK));
    let Decision::Refuse(refusal) = &report.decision else { panic!("{}", told(&report)) };
    assert_eq!((refusal.status, &refusal.cause), (403, &Cause::Rule(9_849_100)));
    assert!(report.inbound_score >= 5);
    let first = report.matches.first().unwrap();
    assert!((9_802_100..9_802_200).contains(&first.rule));
    assert_eq!((first.variable.contains("ARGS:q"), first.severity), (true, Some(2)));
    assert!(first.tags.contains(&"attack-sqli".to_owned()));
}

#[test]
fn thresholds_and_telling_alone_are_settings() {
    let rules = rules();
    let decide = |settings| {
        let report = run(&plan_with(&rules, settings), &get("/?q=%24%7Bjndi:ldap://a/b%7D"));
        (report.decision == Decision::Pass, report.inbound_score, report.would_refuse)
    };
    assert_eq!(decide(Settings::paranoia(1)), (false, 5, Some(9_849_100)));
    assert_eq!(decide(Settings::paranoia(1).set("inbound_anomaly_score_threshold", "6")), (true, 5, None));
    assert_eq!(decide(Settings::paranoia(1).set("critical_anomaly_score", "2")), (true, 2, None));
    assert_eq!(decide(Settings::paranoia(1).detection_only()), (true, 5, Some(9_849_100)));
    let off = Settings { engine: Some(RuleEngine::Off), ..Settings::paranoia(1) };
    assert_eq!(decide(off), (true, 0, None));
    // A level that only tells is told, and refuses nothing.
    let told = Settings::paranoia(1).set("detection_paranoia_level", "2");
    let report = run(&plan_with(&rules, told), &get("/?q=%24%7Buser%7D"));
    assert_eq!((report.decision, report.inbound_score), (Decision::Pass, 5));
    // Nobody says a level: it is the first.
    assert_eq!(decide(Settings::default()), (false, 5, Some(9_849_100)));
}

#[test]
fn rules_and_their_variables_are_left_out_by_id_tag_and_name() {
    let rules = rules();
    let passes = |settings, uri| run(&plan_with(&rules, settings), &get(uri)).decision == Decision::Pass;
    let sql = || RuleSelector::Tag("attack-sqli".to_owned());
    let without = Settings { removed: vec![sql()], ..Settings::paranoia(1) };
    assert!(passes(without.clone(), ATTACK) && !passes(without, "/?q=%3Cscript%3E"));
    let ids = RuleSelector::ids(&["9802000-9802999"]).unwrap();
    assert!(passes(Settings { removed: vec![ids], ..Settings::paranoia(1) }, ATTACK));
    let except = |name| Settings {
        removed_targets: vec![(sql(), Target::parse(name).unwrap())],
        ..Settings::paranoia(1)
    };
    assert!(passes(except("ARGS:q"), ATTACK));
    assert!(!passes(except("ARGS:other"), ATTACK));
    assert!(!passes(Settings::paranoia(1), ATTACK));
}

/// Answers that should not leave: media type, body.
const LEAKS: [(&str, &str); 12] = [
    ("text/plain", "-----BEGIN RSA PRIVATE KEY-----\nMIIEow"),
    ("application/json", "{\"key\":\"-----BEGIN PRIVATE KEY-----\\nMIIE\"}"),
    ("text/plain", "root:x:0:0:root:/root:/bin/bash\n"),
    ("application/json", "{\"aws\":\"AKIAIOSFODNN7EXAMPLE\"}"),
    ("text/html", "You have an error in your SQL syntax; check the manual"),
    ("application/json", "{\"error\":\"SQLSTATE[42000]: Syntax error\"}"),
    ("text/plain", "ORA-00933: SQL command not properly ended"),
    ("text/plain", "Traceback (most recent call last):\n  File \"app.py\", line 1"),
    ("text/plain", "java.lang.NullPointerException\n\tat com.example.Main.main(Main.java:5)\n"),
    ("application/problem+json", "{\"a\":\"TypeError: x\n    at run (/app/src/index.js:10:5)\"}"),
    ("text/plain", "goroutine 1 [running]:\nmain.main()"),
    ("text/plain", "thread 'main' panicked at src/main.rs:2:5:\nindex out of bounds"),
];

const FINE: [(&str, &str); 7] = [
    ("text/html", "<h1>It's fine</h1><script src=\"/a.js\"></script>"),
    ("application/json", "{\"message\":\"your SQL syntax is fine\",\"order\":\"ORA-1\"}"),
    ("text/plain", "-----BEGIN PUBLIC KEY-----\nMIIBIjAN\n-----END PUBLIC KEY-----"),
    ("text/plain", "-----BEGIN CERTIFICATE-----\nMIIBIjAN\n-----END CERTIFICATE-----"),
    ("text/plain", "look at (main) and at me; error at line 5"),
    ("application/json", "{\"error\":\"not found\",\"code\":404,\"at\":\"2026-11-30T21:15:00Z\"}"),
    ("text/csv", "id,name\n1,root\n2,Ada\n"),
];

fn answer(kind: &str, body: &str) -> Answer {
    let headers = vec![("Content-Type".to_owned(), kind.to_owned())];
    Answer { status: 200, headers, body: body.as_bytes().to_vec() }
}

#[test]
fn answers_are_looked_at_only_where_a_function_asks() {
    let types = ["text/plain", "text/html", "application/json", "application/problem+json", "text/csv"];
    let limits = Limits {
        response_body: true,
        response_types: types.map(str::to_owned).to_vec(),
        ..Limits::default()
    };
    let rules = rules();
    let asked = plan_with(&rules, Settings { limits: Some(limits), ..Settings::paranoia(1) });
    let silent = plan_with(&rules, Settings::paranoia(1));
    for (kind, body) in LEAKS {
        let report = answered(&asked, &get("/"), &answer(kind, body));
        let Decision::Refuse(refusal) = &report.decision else { panic!("{body} leaves") };
        assert_eq!((refusal.status, &refusal.cause), (502, &Cause::Rule(9_859_100)), "{body}");
        assert!(report.outbound_score >= 4);
        assert!(
            report.matches.iter().all(|one| !one.value.contains("PRIVATE") && !one.data.contains("PRIVATE"))
        );
        assert_eq!(answered(&silent, &get("/"), &answer(kind, body)).decision, Decision::Pass, "{body}");
    }
    for (kind, body) in FINE {
        let report = answered(&asked, &get("/"), &answer(kind, body));
        assert_eq!(
            (&report.decision, report.outbound_score),
            (&Decision::Pass, 0),
            "{body}: {}",
            told(&report)
        );
    }
}
