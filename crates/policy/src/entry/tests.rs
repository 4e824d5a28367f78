use super::*;
use crate::shipped::{GUARDS, PRESETS, ROLES, SCHEMA};

fn tenant() -> TenantId {
    "default".parse().unwrap()
}

/// Reads a tenant's policies and compares their ids, or a part of what is said against them.
fn check(text: &str, expect: Result<&[&str], &str>) {
    match (TenantPolicies::parse(tenant(), text), expect) {
        (Ok(policies), Ok(ids)) => {
            let got: Vec<_> = policies.policies().map(|(id, _)| id.to_owned()).collect();
            assert_eq!(got, ids, "{text}");
        }
        (Err(errors), Err(part)) => {
            let said = errors.to_string();
            assert!(said.contains(part), "`{said}` does not say `{part}`");
        }
        (got, expect) => panic!("{text}\nwanted {expect:?}, got {got:?}"),
    }
}

const ALICE: &str = "permit (principal == User::\"default/alice\", action == Action::\"invoke\", resource);";

#[test]
fn what_is_shipped_is_valid_and_named() {
    let shipped = Shipped::get().unwrap();
    let starts = |entries: &[Arc<Entry>], prefix: &str, permits: bool| {
        for entry in entries {
            assert!(entry.id.starts_with(prefix), "{}", entry.id);
            assert_eq!(entry.permits(), permits, "{}", entry.id);
        }
    };
    starts(&shipped.guards, "guard/", false);
    starts(&shipped.roles, "role/", true);
    starts(&shipped.presets, "function/preset-", true);
    let counts = (shipped.guards.len(), shipped.roles.len(), shipped.presets.len());
    assert_eq!(counts, (4, model::Role::ALL.len(), 2));
    assert!(model::Role::ALL.iter().all(|role| ROLES.contains(&format!("role/{}", role.as_str()))));
    assert!(!GUARDS.contains("permit (") && !PRESETS.contains("forbid ("));
}

#[test]
fn the_schema_has_our_actions_and_no_other() {
    let schema = Shipped::get().unwrap().validator.schema();
    let mut named: Vec<_> = schema.actions().map(|uid| uid.id().unescaped().to_owned()).collect();
    named.sort_unstable();
    let mut ours: Vec<_> = Action::ALL.iter().map(|action| action.as_str().to_owned()).collect();
    ours.sort_unstable();
    assert_eq!(named, ours);
    for uid in schema.actions() {
        let action: Action = uid.id().unescaped().parse().unwrap();
        let on: Vec<_> = schema.resources_for_action(uid).unwrap().map(|name| name.basename()).collect();
        for kind in ["Function", "Tenant", "Node"] {
            assert_eq!(action.applies_to(kind), on.contains(&kind), "{action} on {kind}");
        }
    }
    assert!(SCHEMA.contains("entity Tenant"));
}

#[test]
fn what_passes() {
    check("", Ok(&[]));
    check("// nothing", Ok(&[]));
    check(ALICE, Ok(&["tenant/0"]));
    check(
        &format!("{ALICE}\n@id(\"night-shift\") {ALICE}{ALICE}"),
        Ok(&["tenant/0", "tenant/night-shift", "tenant/2"]),
    );
    for condition in [
        "context.source.isInRange(ip(\"10.0.0.0/8\"))",
        "context.tls && context.method == \"GET\" && context.path like \"/api/*\"",
        "context.time < datetime(\"2027-01-01\")",
        "context.time.toTime() > duration(\"8h\")",
        "principal.scopes.contains(\"invoke\")",
        "principal is User && principal.name == \"alice\"",
        "principal in Role::\"owner\"",
        "principal has tenant && resource.tenant == principal.tenant",
        "resource.name == \"hello\" || resource has waiver && resource.waiver.reason like \"*demo*\"",
        "context.host == \"acme.example.com\"",
    ] {
        check(
            &format!("forbid (principal, action == Action::\"invoke\", resource) when {{ {condition} }};"),
            Ok(&["tenant/0"]),
        );
    }
    check("forbid (principal, action, resource) when { !context.tls };", Ok(&["tenant/0"]));
}

#[test]
fn what_does_not_parse() {
    check("permit", Err("line 1"));
    check("permit (principal, action, resource)", Err("line 1, column"));
    check(&format!("{ALICE}\n\n  permit (princpal, action, resource);"), Err("line 3, column 11"));
    check("permit (principal, action, resource) when { 1 + };", Err("line 1, column 49"));
    check("permit (principal == ?principal, action, resource);", Err("templates"));
    check(&format!("@id(\"a\") {ALICE} @id(\"a\") {ALICE}"), Err("two policies are named `tenant/a`"));
    for id in ["", "a b", "guard/scope", "../x", "é", &"a".repeat(65)] {
        check(&format!("@id(\"{id}\") {ALICE}"), Err("is no id"));
    }
    check(&" ".repeat(1_100_000), Err("at most"));
}

#[test]
fn what_does_not_fit_the_schema() {
    let when = |condition: &str, part: &str| {
        let text = format!(
            "{ALICE}\nforbid (principal, action == Action::\"invoke\", resource)\nwhen {{ {condition} }};"
        );
        check(&text, Err(part));
        check(&text, Err("policy `tenant/1`"));
        check(&text, Err("line "));
    };
    when("context.country == \"DE\"", "`country`");
    when("context.methd == \"GET\"", "`method`");
    when("principal.email == \"a@b\"", "`email`");
    when("principal.tenant == Tenant::\"a\"", "`tenant`");
    when("context.tls == \"yes\"", "not compatible");
    when("context.method > 5", "type");
    when("context.source.isInRange(\"10.0.0.0/8\")", "type");
    when("resource.waiver.reason == \"\"", "`waiver`");
    when("principal in Role::\"onwer\"", "onwer");
    when("principal in Group::\"staff\"", "Group");
    when("ip(\"10.0.0.256\").isIpv4()", "10.0.0.256");
    when("context.source.isInRange(ip(context.host))", "literal");
    when("[].contains(1)", "empty set");
    when("resource is Tenant", "impossible");
    when("false", "impossible");
    check("permit (principal, action == Action::\"invke\", resource);", Err("invke"));
    check("permit (principal == Usr::\"a\", action, resource);", Err("Usr"));
    check(
        "permit (principal is Anonymous, action == Action::\"deploy\", resource);",
        Err("policy `tenant/0`"),
    );
}

#[test]
fn policies_have_no_say_over_policies() {
    let text = "permit (principal in Role::\"developer\", action == Action::\"managePolicy\", resource);";
    check(text, Err("no say over `managePolicy`"));
    let text = "permit (principal, action in [Action::\"list\", Action::\"managePolicy\"], resource);";
    check(text, Err("no say over `managePolicy`"));
}

#[test]
fn a_functions_policy_speaks_of_its_calls() {
    let check =
        |text: &str, expect: Result<usize, &str>| match (read_function("default", "hello", text), expect) {
            (Ok(entries), Ok(count)) => assert_eq!(entries.len(), count),
            (Err(errors), Err(part)) => assert!(errors.to_string().contains(part), "{errors}"),
            (got, expect) => panic!("{text}\nwanted {expect:?}, got {got:?}"),
        };
    let on = |resource: &str| format!("permit (principal, action == Action::\"invoke\", {resource});");
    check(ALICE, Ok(1));
    check(&on("resource == Function::\"default/hello\""), Ok(1));
    check(&on("resource in Tenant::\"default\""), Ok(1));
    check(&on("resource is Function"), Ok(1));
    check(&on("resource == Function::\"default/other\""), Err("that function alone"));
    check(&on("resource == Function::\"other/hello\""), Err("that function alone"));
    check(&on("resource in Tenant::\"other\""), Err("that function alone"));
    check("permit (principal, action, resource);", Err("speaks of `invoke` alone"));
    check("permit (principal, action == Action::\"deploy\", resource);", Err("speaks of `invoke` alone"));
    check(
        "permit (principal, action in [Action::\"invoke\", Action::\"inspect\"], resource);",
        Err("speaks of `invoke` alone"),
    );
    check("", Err("no policy"));
    check("@id(\"preset-public\") permit (principal, action == Action::\"invoke\", resource);", Err("no id"));
}

#[test]
fn what_a_policy_looks_at() {
    let check = |condition: &str, expect: &[Uses]| {
        let text =
            format!("forbid (principal, action == Action::\"invoke\", resource) when {{ {condition} }};");
        let entries = read(&Shipped::get().unwrap().validator, &text, Layer::Tenant).unwrap();
        let expect = expect.iter().fold(Uses::default(), |all, one| all.with(*one));
        assert_eq!(entries[0].uses, expect, "{condition}");
    };
    check("principal.scopes.contains(\"x\")", &[]);
    check("context.method == \"GET\"", &[Uses::METHOD]);
    check("context[\"path\"] like \"/a*\"", &[Uses::PATH]);
    check("context.source.isIpv6() || !context.tls", &[Uses::SOURCE, Uses::TLS]);
    check("if context.tls then context.host == \"a\" else false", &[Uses::TLS, Uses::HOST]);
    check("[context.method, \"x\"].contains(context.scope)", &[Uses::METHOD, Uses::SCOPE]);
    check("{a: context.time}.a < datetime(\"2027-01-01\")", &[Uses::TIME]);
    check("context has path && principal.scopes.contains(\"x\")", &[Uses::PATH]);
    check("{a: context}.a.method == \"GET\"", &[Uses::ALL]);
    check("{context: \"method\"}.context == resource.name", &[]);
    check("{Var: \"context\"}.Var == resource.name", &[]);
    check("resource.name == \"context.method\"", &[]);
}

fn decide(slice: &crate::Slice) {
    let home = tenant();
    let principal = model::Principal {
        kind: PrincipalKind::User,
        tenant: Some(home.clone()),
        name: "alice".into(),
        roles: vec![model::Role::Owner],
        scopes: vec!["*".into()],
        token: None,
    };
    let source = std::net::Ipv4Addr::LOCALHOST.into();
    let now = model::Timestamp::from_unix_ms(1_800_000_000_000);
    let context = crate::Context {
        method: "GET",
        path: "/",
        host: "localhost",
        source,
        tls: true,
        on_behalf_of: "",
        chain: &[],
        now,
        proof: crate::Proof::default(),
    };
    let resource = crate::Resource::Tenant(&home);
    let _ = slice.decide(&crate::Question {
        principal: &principal,
        action: Action::List,
        resource,
        context: &context,
    });
}

#[test]
fn hostile_text_is_refused_or_read_on_a_small_stack() {
    let policy = |condition: &str| {
        format!("permit (principal, action == Action::\"list\", resource) when {{ {condition} }};")
    };
    let many = |text: &str, times: usize| text.repeat(times);
    let texts = [
        many("(", 1_000_000),
        policy(&format!("{}true{}", many("(", 60), many(")", 60))),
        policy(&format!("{}true{}", many("(", 100_000), many(")", 100_000))),
        policy(&format!("{}true", many("!", 100_000))),
        policy(&format!("{}true", many("! ", 100_000))),
        policy(&format!("{}1 < 1", many("- ", 100_000))),
        policy(&format!("{}1{} == 1", many("[", 50_000), many("]", 50_000))),
        policy(&format!("{}1{} == 1", many("{a:", 50_000), many("}", 50_000))),
        policy(&format!("true{}", many(" && true", 100_000))),
        policy(&format!("true{}", many(" && true", 390))),
        policy(&format!("false{}", many(" || context.path == \"a\"", 260))),
        policy(&format!("1{} < 5", many("+1", 790))),
        policy(&format!("1{} < 5", many("-1", 790))),
        policy(&format!("1{} < 5", many("*1", 790))),
        policy(&format!("principal{} == 1", many(".a", 790))),
        policy(&format!("{}true{}", many("if true then ", 790), many(" else true", 790))),
        policy(&format!("{}true", many("if true then true else ", 790))),
        policy(&format!("{}true", many("!", 790))),
        policy(&format!("{}1 < 1", many("-", 790))),
        policy(&format!("{}1{} == 1", many("[", 62), many("]", 62))),
        policy(&format!("{}1{} == 1", many("{a:", 62), many("}", 62))),
        format!("permit (principal, action, resource){};", many(" when { true }", 790)),
        format!("permit (principal, action, resource){};", many(" unless { false }", 790)),
        policy(&format!("1{} < 5", many("+1", 4_000))),
        policy(&format!("1{} < 5", many("*1", 4_000))),
        policy(&format!("principal{} == 1", many(".a", 4_000))),
        policy(&format!("{}true{}", many("if true then ", 4_000), many(" else true", 4_000))),
        policy(&format!("{}true", many("if true then true else ", 4_000))),
        many("permit (principal, action, resource) when { ", 20_000),
        format!("permit (principal, action, resource){};", many(" when { true }", 50_000)),
        format!("{}{ALICE}", many("@a(\"b\") ", 50_000)),
        policy(&format!("[{}].contains(1)", many("1,", 200_000))),
        policy(&format!("[{}].contains(1)", many("1,", 60_000))),
        policy("\"unfinished"),
        policy("resource.name == \"\u{202e}\""),
        "\u{0}\u{feff}\u{2028}".to_owned(),
    ];
    for text in texts {
        let head: String = text.chars().filter(|c| !c.is_control()).take(120).collect();
        // Half of what a thread has by default.
        let small = std::thread::Builder::new().stack_size(1 << 20);
        let read = small.spawn(move || {
            let start = std::time::Instant::now();
            let read = TenantPolicies::parse(tenant(), &text).and_then(|own| crate::Slice::for_tenant(&own));
            if let Ok(slice) = &read {
                decide(slice);
            }
            (read.is_ok(), start.elapsed())
        });
        let (good, took) = read.unwrap().join().unwrap();
        println!("{good} {took:?} {head}");
        assert!(!good || !head.contains(".a.a"), "what does not type-check was taken");
        assert!(took.as_secs() < 120, "it hangs: {head}");
    }
}
