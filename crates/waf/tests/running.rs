//! What rules do to a request: chains, captures, macros, variables, jumps, exclusions, bodies, budgets.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::{cell::Cell, net::SocketAddr, sync::Arc};

use waf::{
    Cause, Decision, Head, Limits, NoFiles, Plan, Report, Rules, Settings, Source, World, memory::Memory,
};

fn plan_with(text: &str, settings: &Settings) -> Plan {
    match Rules::load(&[Source { name: "own.conf", text }], &NoFiles) {
        Ok(rules) => Plan::new(&Arc::new(rules), settings).unwrap(),
        Err(e) => panic!("{text}\n{e}"),
    }
}

fn plan(text: &str) -> Plan {
    plan_with(text, &Settings::default())
}

/// A request to be sent through a plan.
#[derive(Clone, Copy)]
struct Request<'a> {
    method: &'a str,
    uri: &'a str,
    headers: &'a [(&'a str, &'a str)],
    body: &'a [u8],
    epoch_s: u64,
    memory: Option<&'a Memory>,
}

fn get(uri: &str) -> Request<'_> {
    Request { method: "GET", uri, headers: &[], body: b"", epoch_s: 1000, memory: None }
}

fn run(plan: &Plan, request: Request<'_>) -> Report {
    let clock = || 0;
    let headers: Vec<(&[u8], &[u8])> =
        request.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    let mut transaction =
        plan.transaction(World { clock: &clock, epoch_s: request.epoch_s, memory: request.memory });
    let head = Head {
        method: request.method.as_bytes(),
        uri: request.uri.as_bytes(),
        protocol: b"HTTP/1.1",
        headers: &headers,
        peer: SocketAddr::from(([192, 0, 2, 7], 4000)),
        server: SocketAddr::from(([127, 0, 0, 1], 80)),
        id: "one",
    };
    if transaction.request_head(&head) == Decision::Pass {
        transaction.request_body(request.body);
    }
    transaction.finish()
}

/// The messages of all that is told, in order.
fn told(text: &str, request: Request<'_>) -> Vec<String> {
    let messages = |report: Report| report.matches.into_iter().map(|one| one.message).collect::<Vec<_>>();
    let filtered = messages(run(&plan(text), request));
    let settings = Settings { unfiltered: true, ..Settings::default() };
    assert_eq!(
        filtered,
        messages(run(&plan_with(text, &settings), request)),
        "without the prefilter: {text}"
    );
    filtered
}

fn ids(text: &str, uri: &str) -> Vec<u64> {
    run(&plan(text), get(uri)).matches.iter().map(|one| one.rule).collect()
}

#[test]
fn every_link_of_a_chain_has_to_match_and_changes_as_it_does() {
    let rules = "SecRule ARGS:a \"@rx x\" \"id:1,phase:1,pass,nolog,chain,setvar:tx.first=+1\"\n\
         SecRule ARGS:b \"@rx y\" \"chain,setvar:tx.second=+1\"\nSecRule ARGS:c \"@rx z\" \"setvar:tx.third=+1\"\n\
         SecAction \"id:2,phase:1,pass,msg:'%{tx.first} %{tx.second} %{tx.third}'\"";
    assert_eq!(told(rules, get("/?a=x&b=y&c=z")), ["1 1 1"]);
    assert_eq!(told(rules, get("/?a=x&b=y&c=no")), ["1 1 "]);
    assert_eq!(told(rules, get("/?a=x&b=no&c=z")), ["1  "]);
    assert_eq!(told(rules, get("/?a=no&b=y&c=z")), ["  "]);
    // Each value that matches counts.
    assert_eq!(told(rules, get("/?a=x&a=xx&b=y&c=no")), ["2 1 "]);
    let chain = "SecRule ARGS:a \"@rx x\" \"id:1,phase:1,deny,status:418,chain\"\nSecRule ARGS:b \"!@rx y\"";
    let refusal = run(&plan(chain), get("/?a=x&b=n")).decision;
    assert!(
        matches!(&refusal, Decision::Refuse(r) if r.status == 418 && r.cause == Cause::Rule(1)),
        "{refusal:?}"
    );
    assert_eq!(run(&plan(chain), get("/?a=x&b=y")).decision, Decision::Pass);
    // A value that is not there does not match, not even a negated operator.
    assert_eq!(run(&plan(chain), get("/?a=x")).decision, Decision::Pass);
}

#[test]
fn captures_are_kept_in_tx_until_the_next() {
    let rules = "SecRule ARGS:a \"@rx ^(\\w+)-(\\d+)?(x)?\" \"id:1,phase:1,pass,capture,\
         msg:'%{tx.0}|%{tx.1}|%{TX.2}|%{tx.3}|%{tx.4}'\"\n\
         SecRule TX:1 \"@streq ab\" \"id:2,phase:1,pass,msg:'again %{tx.1}'\"";
    assert_eq!(told(rules, get("/?a=ab-12")), ["ab-12|ab|12||", "again ab"]);
    assert_eq!(told(rules, get("/?a=cd-x")), ["cd-x|cd||x|"]);
    let phrases = "SecRule ARGS \"@pm alpha beta\" \"id:1,phase:1,pass,capture,msg:'%{tx.0}'\"";
    assert_eq!(told(phrases, get("/?a=xBETAx")), ["BETA"]);
    // Without `capture` nothing is kept.
    let none = "SecRule ARGS \"@rx (a)\" \"id:1,phase:1,pass,msg:'<%{tx.1}>'\"";
    assert_eq!(told(none, get("/?a=a")), ["<>"]);
}

#[test]
fn macros_read_every_kind_of_variable() {
    let rules = "SecRule ARGS \"@rx v\" \"id:1,phase:1,pass,severity:2,tag:t,msg:'%{MATCHED_VAR} %{matched_var_name} \
         %{REQUEST_METHOD} %{REQUEST_HEADERS.Host} %{ARGS.b} %{rule.id} %{remote_addr} %{nope}%{time_epoch}'\"";
    let mut request = get("/?b=val");
    request.headers = &[("host", "e.org")];
    let error = Rules::load(&[Source { name: "x", text: rules }], &NoFiles).unwrap_err().to_string();
    assert!(error.contains("`nope`"), "{error}");
    let rules = rules.replace("%{nope}", "");
    assert_eq!(told(&rules, request), ["val ARGS:b GET e.org val 1 192.0.2.7 1000"]);
    let within = "SecAction \"id:1,phase:1,nolog,pass,setvar:'tx.allowed=GET HEAD'\"\n\
         SecRule REQUEST_METHOD \"!@within %{tx.allowed}\" \"id:2,phase:1,deny,msg:'%{tx.allowed}'\"";
    assert!(told(within, get("/")).is_empty());
    let mut post = get("/");
    post.method = "POST";
    assert_eq!(told(within, post), ["GET HEAD"]);
}

#[test]
fn setvar_sets_adds_subtracts_and_unsets() {
    let rules = "SecAction \"id:1,phase:1,nolog,pass,setvar:tx.a=5,setvar:TX.A=+2,setvar:tx.b=-3,setvar:tx.c,\
         setvar:'tx.d=%{tx.a}x',setvar:tx.e=1,setvar:!tx.e,setvar:tx.f=+%{tx.a},setvar:tx.n_%{tx.a}=named\"\n\
         SecAction \"id:2,phase:1,pass,msg:'%{tx.a} %{tx.b} %{tx.c} %{tx.d} <%{tx.e}> %{tx.f} %{tx.n_7}'\"\n\
         SecRule &TX:e \"@eq 0\" \"id:3,phase:1,pass,msg:'none'\"\n\
         SecRule TX:/^n_/ \"@streq named\" \"id:4,phase:1,pass,msg:'%{MATCHED_VAR_NAME}'\"";
    assert_eq!(told(rules, get("/")), ["7 -3 1 7x <> 7 named", "none", "TX:n_7"]);
    // The same where nothing can be worked out before the request comes.
    let late = format!("SecRule ARGS:go \"@rx .\" \"id:9,phase:1,nolog,pass,setvar:tx.go=1\"\n{rules}");
    assert_eq!(told(&late, get("/?go=1")), ["7 -3 1 7x <> 7 named", "none", "TX:n_7"]);
    let scores = "SecRule ARGS \"@rx a\" \"id:1,phase:1,nolog,pass,setvar:'tx.s=+%{tx.w}'\"\n\
         SecRule TX:s \"@ge %{tx.limit}\" \"id:2,phase:1,pass,msg:'score %{tx.s}'\"";
    let pinned = Settings::default().set("w", "4").set("limit", "8");
    let messages = |uri| run(&plan_with(scores, &pinned), get(uri)).matches.pop().map(|one| one.message);
    assert_eq!(messages("/?x=a&y=a"), Some("score 8".to_owned()));
    assert_eq!(messages("/?x=a&y=b"), None);
}

#[test]
fn skip_and_skip_after_jump_within_a_phase() {
    let rules = "SecRule ARGS:a \"@rx x\" \"id:1,phase:1,pass,skipAfter:END\"\nSecAction \"id:2,phase:1,pass\"\n\
         SecAction \"id:3,phase:2,pass\"\nSecMarker END\nSecAction \"id:4,phase:1,pass\"";
    assert_eq!(ids(rules, "/?a=x"), [1, 4, 3]);
    assert_eq!(ids(rules, "/?a=y"), [2, 4, 3]);
    let to_rule = rules.replace("SecMarker END\n", "").replace("skipAfter:END", "skipAfter:4");
    assert_eq!(ids(&(to_rule + "\nSecAction \"id:5,phase:1,pass\""), "/?a=x"), [1, 5, 3]);
    let skip = "SecRule ARGS:a \"@rx x\" \"id:1,phase:1,pass,skip:2\"\nSecAction \"id:2,phase:1,pass\"\n\
         SecAction \"id:3,phase:2,pass\"\nSecAction \"id:4,phase:1,pass\"\nSecAction \"id:5,phase:1,pass\"";
    assert_eq!(ids(skip, "/?a=x"), [1, 5, 3]);
    assert_eq!(ids(skip, "/?a=y"), [2, 4, 5, 3]);
    // What settings decide is decided before the request comes.
    let gate = "SecRule TX:level \"@lt 2\" \"id:1,phase:1,pass,nolog,skipAfter:END\"\nSecAction \"id:2,phase:1,pass\"\n\
         SecMarker END\nSecAction \"id:3,phase:1,pass\"";
    let at = |level| plan_with(gate, &Settings::default().set("level", level));
    let of = |plan: &Plan| run(plan, get("/")).matches.iter().map(|one| one.rule).collect::<Vec<_>>();
    assert_eq!((of(&at("1")), of(&at("2"))), (vec![3], vec![2, 3]));
    assert!(at("1").len() < at("2").len() || at("1").len() == 1);
}

#[test]
fn matched_variables_are_those_of_the_chain() {
    let rules = "SecRule ARGS \"@rx a\" \"id:1,phase:1,pass,nolog,chain\"\n\
         SecRule MATCHED_VARS \"@rx b\" \"chain\"\nSecRule MATCHED_VARS_NAMES \"@rx :two$\" \"t:none,setvar:'tx.m=%{MATCHED_VAR}'\"\n\
         SecRule TX:m \"@unconditionalMatch\" \"id:2,phase:1,pass,msg:'%{MATCHED_VAR}'\"";
    assert_eq!(told(rules, get("/?one=a&two=ab")), ["MATCHED_VARS:ARGS:two"]);
    assert!(told(rules, get("/?one=ab&two=b")).is_empty());
    let count = "SecRule ARGS \"@rx a\" \"id:1,phase:1,pass,nolog,chain\"\nSecRule &MATCHED_VARS \"@eq 2\" \"setvar:tx.two=1\"\n\
         SecRule TX:two \"@eq 1\" \"id:2,phase:1,pass,msg:two\"";
    assert_eq!(told(count, get("/?x=a&y=a&z=b")), ["two"]);
    assert!(told(count, get("/?x=a&y=b")).is_empty());
}

#[test]
fn multi_match_asks_at_every_step() {
    let rules = "SecRule ARGS \"@rx [A]\" \"id:1,phase:1,pass,t:none,t:urlDecodeUni,t:lowercase,MULTI,msg:'%{MATCHED_VAR}'\"";
    assert!(told(&rules.replace("MULTI,", ""), get("/?x=A")).is_empty());
    let rules = rules.replace("MULTI", "multiMatch");
    assert_eq!(told(&rules, get("/?x=A")), ["A"]);
    assert_eq!(told(&rules, get("/?x=%2541")), ["A"]);
    assert!(told(&rules, get("/?x=b")).is_empty());
}

#[test]
fn ctl_takes_rules_and_variables_out_for_one_request() {
    let rules = "SecRule ARGS:skip \"@rx 1\" \"id:1,phase:1,nolog,pass,ctl:CTL\"\n\
         SecRule ARGS \"@rx bad\" \"id:10,phase:1,pass,tag:'attack-x',msg:'m ten'\"\n\
         SecRule ARGS \"@rx bad\" \"id:11,phase:1,pass,tag:'attack-y',msg:'m eleven'\"";
    let with = |ctl: &str| ids(&rules.replace("CTL", ctl), "/?skip=1&a=bad");
    assert_eq!(ids(&rules.replace("CTL", "ruleRemoveById=10"), "/?a=bad"), [10, 11]);
    assert_eq!(with("ruleRemoveById=10"), [11]);
    assert_eq!(with("ruleRemoveById=9-20"), Vec::<u64>::new());
    assert_eq!(with("ruleRemoveByTag=attack-y"), [10]);
    assert_eq!(with("ruleRemoveByMsg=eleven"), [10]);
    assert_eq!(with("ruleRemoveTargetById=10;ARGS:a"), [11]);
    assert_eq!(with("ruleRemoveTargetById=10;ARGS:b"), [10, 11]);
    assert_eq!(with("ruleRemoveTargetById=10;ARGS:/^[ab]$/"), [11]);
    assert_eq!(with("ruleRemoveTargetByTag=attack;ARGS"), Vec::<u64>::new());
    assert_eq!(with("ruleEngine=Off"), Vec::<u64>::new());
    let deny = rules.replace("id:10,phase:1,pass", "id:10,phase:1,deny");
    let decision = |ctl: &str| run(&plan(&deny.replace("CTL", ctl)), get("/?skip=1&a=bad")).decision;
    assert!(matches!(decision("ruleEngine=On"), Decision::Refuse(_)));
    assert_eq!(decision("ruleEngine=DetectionOnly"), Decision::Pass);
}

#[test]
fn exclusions_at_load_and_of_settings() {
    let rules = "SecRule ARGS|REQUEST_URI \"@rx bad\" \"id:10,phase:1,pass,tag:x\"\nSecAction \"id:11,phase:1,pass,msg:'eleven'\"\n";
    let with = |more: &str| ids(&format!("{rules}{more}"), "/?a=bad");
    assert_eq!(with(""), [10, 11]);
    assert_eq!(with("SecRuleRemoveById 10 11"), Vec::<u64>::new());
    assert_eq!(with("SecRuleRemoveByTag ^x$"), [11]);
    assert_eq!(with("SecRuleRemoveByMsg elev"), [10]);
    assert_eq!(with("SecRuleUpdateTargetById 10 !ARGS,!REQUEST_URI"), [11]);
    assert_eq!(with("SecRuleUpdateTargetById 10 !ARGS:a"), [10, 11]);
    assert_eq!(with("SecRuleUpdateTargetByTag x ARGS:b REQUEST_URI"), [10, 11]);
    assert_eq!(with("SecRuleUpdateActionById 10 \"deny,status:400\""), [10]);
    let selector = waf::seclang::RuleSelector::ids(&["10"]).unwrap();
    let target = waf::seclang::variable::Target::parse("ARGS:a").unwrap();
    let uri = waf::seclang::variable::Target::parse("REQUEST_URI").unwrap();
    let removed_targets = vec![(selector.clone(), target), (selector.clone(), uri)];
    let mut settings = Settings { removed_targets, ..Settings::default() };
    let of = |s: &Settings| run(&plan_with(rules, s), get("/?a=bad")).matches.len();
    assert_eq!(of(&settings), 1);
    settings = Settings { removed: vec![selector], ..Settings::default() };
    assert_eq!(of(&settings), 1);
}

#[test]
fn outcomes_are_those_of_the_action() {
    let of = |actions: &str| {
        let rules = format!(
            "SecDefaultAction \"phase:1,deny,status:406,log\"\nSecAction \"id:1,phase:1,{actions}\"\n\
             SecAction \"id:2,phase:1,deny,status:500\""
        );
        match run(&plan(&rules), get("/")).decision {
            Decision::Pass => (0, None, false),
            Decision::Refuse(refusal) => (refusal.status, refusal.redirect, refusal.close),
        }
    };
    assert_eq!(of("deny"), (406, None, false));
    assert_eq!(of("deny,status:451"), (451, None, false));
    assert_eq!(of("block"), (406, None, false));
    assert_eq!(of("drop"), (406, None, true));
    assert_eq!(of("pass"), (500, None, false));
    assert_eq!(
        of("redirect:'https://e.org/%{REQUEST_METHOD}'"),
        (302, Some("https://e.org/GET".to_owned()), false)
    );
    assert_eq!(of("allow"), (0, None, false));
    let scoped = |scope: &str| {
        ids(
            &format!(
                "SecAction \"id:1,phase:1,allow{scope}\"\nSecAction \"id:2,phase:1,pass\"\n\
             SecAction \"id:3,phase:2,pass\"\nSecAction \"id:4,phase:5,pass\""
            ),
            "/",
        )
    };
    assert_eq!((scoped(""), scoped(":phase"), scoped(":request")), (vec![1, 4], vec![1, 3, 4], vec![1, 4]));
}

#[test]
fn collections_are_kept_by_address_and_end() {
    let rules = "SecAction \"id:1,phase:1,nolog,pass,initcol:ip=%{REMOTE_ADDR},setvar:ip.n=+1,expirevar:ip.n=10\"\n\
         SecRule IP:n \"@ge 3\" \"id:2,phase:1,deny,status:429,msg:'%{ip.n}'\"";
    let (plan, memory) = (plan(rules), Memory::new(10));
    let at = |epoch_s| {
        let report = run(&plan, Request { epoch_s, memory: Some(&memory), ..get("/") });
        (
            report.decision != Decision::Pass,
            report.matches.into_iter().map(|one| one.message).collect::<Vec<_>>(),
        )
    };
    assert!(!at(100).0 && !at(101).0);
    assert_eq!(at(102), (true, vec!["3".to_owned()]));
    assert!(!at(113).0, "what expired counts from the start");
    assert_eq!(memory.len(), 1);
    // Without a memory such collections are empty.
    assert_eq!(run(&plan, get("/")).decision, Decision::Pass);
}

#[test]
fn rules_that_only_tell_say_what_they_would_do() {
    let rules = "SecRuleEngine DetectionOnly\nSecRule ARGS \"@rx bad\" \"id:1,phase:1,deny\"";
    let report = run(&plan(rules), get("/?a=bad"));
    assert_eq!((report.decision, report.would_refuse), (Decision::Pass, Some(1)));
    assert!(run(&plan("SecRuleEngine Off\nSecAction \"id:1,phase:1,deny\""), get("/")).matches.is_empty());
}

#[test]
fn values_that_are_not_to_be_shown_are_not() {
    let rules = "SecAction \"id:1,phase:1,nolog,pass,sanitiseArg:secret\"\n\
         SecRule ARGS \"@rx x\" \"id:2,phase:1,pass,msg:'saw %{MATCHED_VAR}',logdata:'%{MATCHED_VAR}'\"";
    let report = run(&plan(rules), get("/?secret=xyz"));
    let one = report.matches.first().unwrap();
    assert_eq!((one.value.as_str(), one.variable.as_str()), ("***", "ARGS:secret"));
    assert!(!one.message.contains("xyz") && !one.data.contains("xyz"));
}

fn body<'a>(content_type: &'a [(&'a str, &'a str)], body: &'a [u8]) -> Request<'a> {
    Request { method: "POST", uri: "/", headers: content_type, body, epoch_s: 0, memory: None }
}

#[test]
fn bodies_are_read_by_their_type_and_told_where_they_cannot_be() {
    let rules = "SecRule ARGS_POST \"@rx .\" \"id:1,phase:2,pass,msg:'%{MATCHED_VAR_NAME}=%{MATCHED_VAR}'\"\n\
         SecRule XML:/* \"@rx .\" \"id:2,phase:2,pass,msg:'xml %{MATCHED_VAR}'\"\n\
         SecRule XML://@* \"@rx .\" \"id:3,phase:2,pass,msg:'attribute %{MATCHED_VAR}'\"\n\
         SecRule FILES|FILES_NAMES|FILES_SIZES \"@rx .\" \"id:4,phase:2,pass,msg:'%{MATCHED_VAR_NAME}=%{MATCHED_VAR}'\"\n\
         SecRule REQBODY_ERROR \"@eq 1\" \"id:5,phase:2,pass,msg:'error'\"\n\
         SecRule REQUEST_BODY \"@contains raw\" \"id:6,phase:2,pass,msg:'raw'\"\n\
         SecRule MULTIPART_STRICT_ERROR \"@eq 1\" \"id:7,phase:2,pass,msg:'strict'\"";
    let of = |kind: &str, text: &[u8]| told(rules, body(&[("Content-Type", kind)], text));
    assert_eq!(of("application/x-www-form-urlencoded", b"a=1&b=%41"), ["ARGS_POST:b=A"]);
    assert_eq!(of("application/json; charset=utf-8", b"{\"a\":[\"x\"]}"), ["ARGS_POST:json.a.array_0=x"]);
    assert_eq!(of("application/json", b"{\"a\":\"x\",raw"), ["ARGS_POST:json.a=x", "error", "raw"]);
    assert_eq!(of("application/soap+xml", b"<a b='c'>d</a>"), ["xml d", "attribute c"]);
    assert_eq!(of("text/xml", b"<a>raw"), ["xml raw", "error", "raw"]);
    let part = "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"n\"\r\n\r\nabc\r\n--b--\r\n";
    assert_eq!(of("multipart/form-data; boundary=b", part.as_bytes()), ["FILES_SIZES:f=3"]);
    assert_eq!(
        of("multipart/form-data; boundary=b", part.replace("\r\n", "\n").as_bytes()),
        ["FILES_SIZES:f=3", "strict"]
    );
    assert!(of("text/plain", b"raw").is_empty());
    let forced = format!("SecAction \"id:9,phase:1,nolog,pass,ctl:forceRequestBodyVariable=On\"\n{rules}");
    assert_eq!(told(&forced, body(&[("Content-Type", "text/plain")], b"raw")), ["raw"]);
    let json = format!("SecAction \"id:9,phase:1,nolog,pass,ctl:requestBodyProcessor=JSON\"\n{rules}");
    assert_eq!(told(&json, body(&[("Content-Type", "text/plain")], b"[1]")), ["ARGS_POST:json.array_0=1"]);
}

#[test]
fn a_body_that_says_nothing_of_itself_is_read_as_what_it_looks_like() {
    let rules = "SecRule REQBODY_PROCESSOR \"@rx ^(?:URLENCODED)?$\" \"id:9,phase:1,nolog,pass,ctl:requestBodyProcessor=SNIFF\"\n\
         SecRule ARGS_POST \"@rx .\" \"id:1,phase:2,pass,msg:'%{MATCHED_VAR_NAME}=%{MATCHED_VAR}'\"\n\
         SecRule XML://text()|XML://@* \"@rx .\" \"id:2,phase:2,pass,msg:'xml %{MATCHED_VAR}'\"\n\
         SecRule REQBODY_ERROR \"@eq 1\" \"id:3,phase:2,pass,msg:'error'\"\n\
         SecAction \"id:4,phase:2,pass,msg:'as %{REQBODY_PROCESSOR}'\"";
    let of = |kind: &str, text: &str| told(rules, body(&[("Content-Type", kind)], text.as_bytes()));
    let form = "application/x-www-form-urlencoded";
    for kind in ["text/plain", "x/y", form] {
        assert_eq!(of(kind, "{\"a\":[\"x\"]}"), ["ARGS_POST:json.a.array_0=x", "as JSON"]);
        assert_eq!(of(kind, "a=1&b=%41"), ["ARGS_POST:b=A", "as URLENCODED"]);
    }
    assert_eq!(of("", " [1]"), ["ARGS_POST:json.array_0=1", "as JSON"]);
    assert_eq!(of("text/plain", "a = b"), ["ARGS_POST:REQUEST_BODY=a = b", "as SNIFF"]);
    assert_eq!(of(form, "a = b"), ["ARGS_POST:a = b", "as URLENCODED"]);
    // What cannot be read to its end is no error, and is looked at as it stands.
    let broken = "{\"a\":1}{";
    assert_eq!(of("text/plain", broken), [&format!("ARGS_POST:REQUEST_BODY={broken}"), "as RAW"]);
    assert_eq!(
        of("text/plain", "<a b='c'>d</a>"),
        ["ARGS_POST:REQUEST_BODY=<a b='c'>d</a>", "xml c", "as XML"]
    );
    // Other media types are as they were.
    assert_eq!(of("application/json", "{\"a\":1"), ["ARGS_POST:json.a=1", "error", "as JSON"]);
}

#[test]
fn bodies_over_their_bound_are_refused_or_looked_at_up_to_it() {
    let rules = "SecRequestBodyLimit 10\nACTION\nSecRule ARGS_POST \"@rx bad\" \"id:1,phase:2,deny\"\n\
         SecRule INBOUND_DATA_ERROR \"@eq 1\" \"id:2,phase:2,pass,msg:'cut'\"";
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let of = |action: &str, text: &[u8]| run(&plan(&rules.replace("ACTION", action)), body(&form, text));
    let refused = of("SecRequestBodyLimitAction Reject", b"a=12345678901").decision;
    assert!(matches!(&refused, Decision::Refuse(r) if r.status == 413 && r.cause == Cause::BodyTooLong));
    let cut = of("SecRequestBodyLimitAction ProcessPartial", b"a=1234567890bad");
    assert_eq!((cut.decision, cut.matches.len()), (Decision::Pass, 1));
    assert_ne!(of("", b"a=bad").decision, Decision::Pass);
}

#[test]
fn a_budget_that_is_used_up_refuses() {
    let rules = "SecRule ARGS \"@rx (?:a|b)*c\" \"id:1,phase:1,pass\"";
    let spent = Cell::new(0);
    let clock = || spent.replace(spent.get() + 15_000_000);
    let uri = format!("/?{}", "x=abababababab&".repeat(900));
    let mut outcomes = Vec::new();
    for exhausted in [waf::plan::Exhausted::Refuse, waf::plan::Exhausted::Pass] {
        let settings =
            Settings { limits: Some(Limits { exhausted, ..Limits::default() }), ..Settings::default() };
        let plan = plan_with(rules, &settings);
        let mut transaction = plan.transaction(World { clock: &clock, epoch_s: 0, memory: None });
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let head = Head {
            method: b"GET",
            uri: uri.as_bytes(),
            protocol: b"HTTP/1.1",
            headers: &[],
            peer: address,
            server: address,
            id: "",
        };
        let decision = transaction.request_head(&head);
        assert!(transaction.finish().exhausted);
        outcomes.push(decision);
    }
    assert!(matches!(&outcomes[0], Decision::Refuse(r) if r.status == 503 && r.cause == Cause::Exhausted));
    assert_eq!(outcomes[1], Decision::Pass);
}

/// A single test of a long text, with no rule behind it, may be what is too much.
#[test]
fn the_last_rule_may_use_up_the_budget() {
    let spent = Cell::new(0_u64);
    let clock = || spent.replace(spent.get() + 15_000_000);
    let plan = plan("SecRule ARGS \"@rx [a-z]{5}[^a-z]\" \"id:1,phase:1,pass\"");
    let address = SocketAddr::from(([127, 0, 0, 1], 1));
    for (length, expect) in [(100, false), (40_000, true)] {
        let uri = format!("/?x={}", "ab".repeat(length / 2));
        let mut transaction = plan.transaction(World { clock: &clock, epoch_s: 0, memory: None });
        let head = Head {
            method: b"GET",
            uri: uri.as_bytes(),
            protocol: b"HTTP/1.1",
            headers: &[],
            peer: address,
            server: address,
            id: "",
        };
        assert_eq!(transaction.request_head(&head) != Decision::Pass, expect, "{length}");
        assert_eq!(transaction.finish().exhausted, expect, "{length}");
    }
}

#[test]
fn packed_bodies_are_unpacked_within_the_bound() {
    let rules = "SecRule ARGS_POST \"@rx bad\" \"id:1,phase:2,deny\"\nSecRule REQBODY_ERROR \"@eq 1\" \"id:2,phase:2,pass\"";
    let packed = |text: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        std::io::Write::write_all(&mut encoder, text).unwrap();
        encoder.finish().unwrap()
    };
    let headers = [("Content-Type", "application/x-www-form-urlencoded"), ("Content-Encoding", "gzip")];
    let of = |bytes: &[u8]| run(&plan(rules), body(&headers, bytes));
    assert_ne!(of(&packed(b"a=bad")).decision, Decision::Pass);
    assert_eq!(of(&packed(&vec![b'a'; 1 << 20])).matches.first().map(|one| one.rule), Some(2));
    assert_eq!(of(b"a=1").matches.first().map(|one| one.rule), Some(2));
}
