use std::{collections::BTreeMap, net::IpAddr, time::Instant};

use model::{Grants, Limits, Principal, PrincipalKind, Role, Timestamp, World};
use proptest::prelude::*;

use super::*;
use crate::{Context, Proof};

mod whole;

const NOW: Timestamp = Timestamp::from_unix_ms(1_800_000_000_000);
const HOUR_MS: u64 = 3_600_000;

fn tenant(text: &str) -> TenantId {
    text.parse().unwrap()
}

fn function(text: &str) -> FunctionName {
    text.parse().unwrap()
}

fn waiver(until: Timestamp) -> Waiver {
    Waiver { reason: "the landing page".into(), until }
}

fn revision(access: Access) -> Revision {
    let digest = model::Digest::from_bytes([0; 32]);
    Revision {
        tenant: tenant("default"),
        function: function("hello"),
        number: RevisionNumber(7),
        component: digest,
        component_bytes: 1,
        manifest: digest,
        manifest_text: String::new(),
        world: World::P2,
        routes: Vec::new(),
        access,
        limits: Limits::default(),
        grants: Grants::default(),
        shield: model::Shield::default(),
        deployed_at: NOW,
        deployed_by: "test".into(),
    }
}

fn preset(allow: Preset) -> Access {
    let waiver = (allow == Preset::Public).then(|| waiver(NOW.plus_ms(HOUR_MS)));
    Access { allow: Some(allow), policy: None, waiver, ..Access::default() }
}

fn own(policy: &str) -> Access {
    Access { allow: None, policy: Some(policy.into()), ..Access::default() }
}

fn slice(access: Access, policies: &str) -> Slice {
    let policies = TenantPolicies::parse(tenant("default"), policies).unwrap();
    Slice::for_function(&revision(access), &policies).unwrap()
}

/// A principal in three words: `tenant/name`, roles, scopes; `-` for anonymous.
fn who(words: &str) -> Principal {
    if words == "-" {
        return Principal::anonymous();
    }
    let [id, roles, scopes] = words.split(' ').collect::<Vec<_>>()[..] else { panic!("{words}") };
    let (home, name) = id.split_once('/').unwrap();
    let role = |text: &str| *Role::ALL.iter().find(|role| role.as_str() == text).unwrap();
    Principal {
        kind: PrincipalKind::User,
        tenant: Some(tenant(home)),
        name: name.into(),
        roles: roles.split(',').filter(|role| *role != "-").map(role).collect(),
        scopes: scopes.split(',').map(Into::into).collect(),
        token: None,
    }
}

const CONTEXT: Context<'static> = Context {
    method: "GET",
    path: "/hello",
    host: "localhost",
    source: IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7)),
    tls: true,
    on_behalf_of: "User::\"default/alice\"",
    chain: &[],
    now: NOW,
    proof: Proof::of("api-token"),
};

fn ask(slice: &Slice, principal: &Principal, context: &Context<'_>) -> Result<Permit, Denial> {
    let (home, name) = (tenant("default"), function("hello"));
    let resource = Resource::Function(&home, &name);
    slice.decide(&Question { principal, action: Action::Invoke, resource, context })
}

/// Asks to invoke and compares the ids of the deciding policies, `+` before them for a permit, `-` for a
/// denial.
fn check(slice: &Slice, words: &str, context: &Context<'_>, expect: &str) {
    let text = match ask(slice, &who(words), context) {
        Ok(permit) => format!("+{}", permit.policies().join(" ")),
        Err(denial) => format!("-{} {}", denial.reason().code(), denial.policies().join(" ")),
    };
    assert_eq!(text.trim_end(), expect, "{words}");
}

#[test]
fn presets() {
    let nobody = slice(Access::default(), "");
    let in_tenant = slice(preset(Preset::Tenant), "");
    let public = slice(preset(Preset::Public), "");
    let check = |slice, words, expect| check(slice, words, &CONTEXT, expect);
    check(&nobody, "-", "-forbidden guard/anonymous");
    check(&nobody, "default/alice - invoke", "-no-permit");
    check(&nobody, "default/alice viewer *", "-no-permit");
    check(&nobody, "default/alice developer invoke", "+role/developer");
    check(&nobody, "default/alice owner *", "+role/owner");
    check(&in_tenant, "default/alice - invoke", "+function/preset-tenant");
    check(&in_tenant, "default/alice developer invoke", "+role/developer function/preset-tenant");
    check(&in_tenant, "default/alice - deploy", "-forbidden guard/scope");
    check(&in_tenant, "other/bob owner *", "-forbidden guard/tenant-isolation");
    check(&in_tenant, "other/root admin *", "-forbidden guard/tenant-isolation");
    check(&in_tenant, "-", "-forbidden guard/anonymous");
    check(&public, "-", "+function/preset-public");
    check(&public, "default/alice - invoke", "+function/preset-public");
    check(&public, "other/bob owner *", "-forbidden guard/tenant-isolation");
}

#[test]
fn a_waiver_ends_for_remembered_decisions_too() {
    let public = slice(preset(Preset::Public), "");
    let at = |now| Context { now, ..CONTEXT };
    let end = NOW.plus_ms(HOUR_MS);
    for now in [NOW, NOW, NOW.plus_ms(500), Timestamp::from_unix_ms(end.unix_ms() - 1)] {
        check(&public, "-", &at(now), "+function/preset-public");
    }
    for now in [end, end.plus_ms(1), end.plus_ms(999), end.plus_ms(1_000), end.plus_ms(1 << 40)] {
        check(&public, "-", &at(now), "-forbidden guard/anonymous");
        check(&public, "default/alice - invoke", &at(now), "-no-permit");
    }
    // A clock that steps back is believed: it is the node's own.
    check(&public, "-", &at(NOW), "+function/preset-public");
}

#[test]
fn an_end_within_a_second_is_never_late() {
    let access = Access { waiver: Some(waiver(NOW.plus_ms(1_500))), ..preset(Preset::Public) };
    let public = slice(access, "");
    let at = |ms| Context { now: NOW.plus_ms(ms), ..CONTEXT };
    check(&public, "-", &at(999), "+function/preset-public");
    check(&public, "-", &at(1_000), "-forbidden guard/anonymous");
    check(&public, "-", &at(1_600), "-forbidden guard/anonymous");
}

#[test]
fn a_waiver_alone_lets_nobody_in() {
    let access = Access { allow: None, waiver: Some(waiver(NOW.plus_ms(HOUR_MS))), ..Access::default() };
    check(&slice(access, ""), "-", &CONTEXT, "-no-permit");
    let everyone = "permit (principal, action == Action::\"invoke\", resource);";
    check(&slice(own(everyone), ""), "-", &CONTEXT, "-forbidden guard/anonymous");
    let access = Access { waiver: Some(waiver(NOW.plus_ms(HOUR_MS))), ..own(everyone) };
    check(&slice(access, ""), "-", &CONTEXT, "+function/0");
}

#[test]
fn own_policies_and_the_tenants() {
    let alice = "@id(\"alice\") permit (principal == User::\"default/alice\", action == Action::\"invoke\", \
                 resource) when { context.method == \"GET\" };";
    let get = slice(own(alice), "");
    check(&get, "default/alice - invoke", &CONTEXT, "+function/alice");
    check(&get, "default/alice - invoke", &Context { method: "POST", ..CONTEXT }, "-no-permit");
    check(&get, "default/bob - invoke", &CONTEXT, "-no-permit");
    check(&get, "other/alice - invoke", &CONTEXT, "-forbidden guard/tenant-isolation");
    let outside = "@id(\"office\") forbid (principal, action, resource) unless { \
                   context.source.isInRange(ip(\"10.0.0.0/8\")) };";
    let office = slice(own(alice), outside);
    check(&office, "default/alice - invoke", &CONTEXT, "-forbidden tenant/office");
    let inside = Context { source: "::ffff:10.1.2.3".parse().unwrap(), ..CONTEXT };
    check(&office, "default/alice - invoke", &inside, "+function/alice");
    // A tenant that permits everything still cannot lift a guard.
    let open = slice(Access::default(), "permit (principal, action, resource);");
    check(&open, "-", &CONTEXT, "-forbidden guard/anonymous");
    check(&open, "other/bob owner *", &CONTEXT, "-forbidden guard/tenant-isolation");
    check(&open, "default/bob - deploy", &CONTEXT, "-forbidden guard/scope");
    check(&open, "default/bob - invoke", &CONTEXT, "+tenant/0");
}

#[test]
fn a_function_that_calls_itself() {
    let in_tenant = slice(preset(Preset::Tenant), "");
    let mut itself = who("default/hello - invoke");
    itself.kind = PrincipalKind::Function;
    assert!(ask(&in_tenant, &itself, &CONTEXT).is_ok());
    itself.scopes = vec!["list".into()];
    assert!(ask(&in_tenant, &itself, &CONTEXT).is_err());
}

#[test]
fn a_chain_of_calls_is_what_a_policy_sees_of_it() {
    let mut front = who("default/front - invoke");
    front.kind = PrincipalKind::Function;
    let alice = "User::\"default/alice\"";
    let from = |on_behalf_of, chain| Context { on_behalf_of, chain, ..CONTEXT };
    let asked = |slice: &Slice, context: &Context<'_>| ask(slice, &front, context).is_ok();
    let in_tenant = slice(preset(Preset::Tenant), "");
    assert!(asked(&in_tenant, &from("Anonymous::\"anonymous\"", &["front"])), "who acts decides");

    let for_alice = slice(
        own("permit (principal is Function, action == Action::\"invoke\", resource) when { \
             context.onBehalfOf == \"User::\\\"default/alice\\\"\" };"),
        "",
    );
    let bob = "User::\"default/bob\"";
    for _ in 0..2 {
        assert!(asked(&for_alice, &from(alice, &["front"])));
        assert!(
            !asked(&for_alice, &from(bob, &["front"])),
            "a decision for one is not remembered for another"
        );
    }
    let through = slice(
        own("permit (principal is Function, action == Action::\"invoke\", resource) when { \
             context.chain.functions.contains(\"gate\") && context.chain.depth < 3 };"),
        "",
    );
    for _ in 0..2 {
        assert!(asked(&through, &from(alice, &["gate", "front"])));
        assert!(!asked(&through, &from(alice, &["gatefront"])), "names do not run into each other");
        assert!(!asked(&through, &from(alice, &["front"])));
        assert!(!asked(&through, &from(alice, &["gate", "front", "front"])));
    }
    let direct = slice(
        own("permit (principal, action == Action::\"invoke\", resource) when { context.chain.depth == 0 };"),
        "",
    );
    check(&direct, "default/alice - invoke", &CONTEXT, "+function/0");
    assert!(!asked(&direct, &from(alice, &["front"])));
    let manages = Question {
        principal: &front,
        action: Action::Deploy,
        resource: Resource::Tenant(&tenant("default")),
        context: &CONTEXT,
    };
    let control = Slice::for_tenant(&TenantPolicies::none(tenant("default"))).unwrap();
    assert_eq!(
        control.decide(&manages).unwrap_err().reason(),
        Reason::Forbidden,
        "a function manages nothing"
    );
}

#[test]
fn a_denial_says_why() {
    let denial = |slice: &Slice, words: &str| ask(slice, &who(words), &CONTEXT).unwrap_err();
    let nobody = slice(Access::default(), "");
    let isolation = denial(&nobody, "other/bob owner *");
    assert!(isolation.clause().contains("resource in principal.tenant"), "{isolation}");
    assert_eq!(isolation.resource(), "Function::\"default/hello\"");
    assert_eq!(&**isolation.principal(), "User::\"other/bob\"");
    let none = denial(&nobody, "default/bob - invoke");
    assert!(none.clause().starts_with("no policy permits; the nearest is `role/developer`"), "{none}");
    let alice = "permit (principal == User::\"default/alice\", action == Action::\"invoke\", resource);";
    let none = denial(&slice(own(alice), ""), "default/bob - invoke");
    assert!(none.clause().contains("`function/0`") && none.clause().contains("default/alice"), "{none}");
    assert!(none.policies().is_empty() && none.errors().is_empty());
}

#[test]
fn an_error_is_a_denial() {
    let overflow = "permit (principal, action == Action::\"invoke\", resource) when { \
                    9223372036854775807 + (if context.tls then 1 else 0) > 0 };";
    for (access, policies) in [(own(overflow), ""), (preset(Preset::Tenant), overflow)] {
        let slice = slice(access, policies);
        for words in ["default/alice - invoke", "default/alice owner *"] {
            let denial = ask(&slice, &who(words), &CONTEXT).unwrap_err();
            assert_eq!(denial.reason(), Reason::Error, "{words}");
            assert!(denial.errors()[0].contains("overflow"), "{:?}", denial.errors());
            assert!(ask(&slice, &who(words), &Context { tls: false, ..CONTEXT }).is_ok(), "{words}");
        }
    }
    let forbids = "forbid (principal, action == Action::\"invoke\", resource) when { \
                   9223372036854775807 + (if context.tls then 1 else 0) > 0 };";
    let slice = slice(preset(Preset::Tenant), forbids);
    let denial = ask(&slice, &who("default/alice owner *"), &CONTEXT).unwrap_err();
    assert_eq!(denial.reason(), Reason::Error, "a forbid that errs does not let through");
}

#[test]
fn a_slice_answers_for_its_subject_alone() {
    let (home, other) = (tenant("default"), tenant("other"));
    let (hello, bye) = (function("hello"), function("bye"));
    let policies = TenantPolicies::none(home.clone());
    let calls = slice(preset(Preset::Tenant), "");
    let control = Slice::for_tenant(&policies).unwrap();
    let node = Slice::for_node().unwrap();
    let root = who("default/root owner,admin *");
    let decide = |slice: &Slice, action, resource| {
        let question = Question { principal: &root, action, resource, context: &CONTEXT };
        slice.decide(&question).map(|_| ()).map_err(|denial| denial.reason())
    };
    let wrong = Err(Reason::Error);
    assert_eq!(decide(&calls, Action::Invoke, Resource::Function(&home, &hello)), Ok(()));
    assert_eq!(decide(&calls, Action::Invoke, Resource::Function(&home, &bye)), wrong);
    assert_eq!(decide(&calls, Action::Invoke, Resource::Function(&other, &hello)), wrong);
    assert_eq!(decide(&calls, Action::Remove, Resource::Function(&home, &hello)), wrong);
    assert_eq!(decide(&calls, Action::List, Resource::Tenant(&home)), wrong);
    assert_eq!(decide(&control, Action::Remove, Resource::Function(&home, &bye)), Ok(()));
    assert_eq!(decide(&control, Action::Invoke, Resource::Function(&home, &hello)), wrong);
    assert_eq!(decide(&control, Action::Remove, Resource::Function(&other, &bye)), wrong);
    assert_eq!(decide(&control, Action::Remove, Resource::Tenant(&home)), wrong);
    assert_eq!(decide(&control, Action::List, Resource::Tenant(&other)), wrong);
    assert_eq!(decide(&control, Action::ReadNode, Resource::Node), wrong);
    assert_eq!(decide(&node, Action::ReadNode, Resource::Node), Ok(()));
    assert_eq!(decide(&node, Action::List, Resource::Tenant(&home)), wrong);
    let elsewhere = TenantPolicies::none(other);
    assert!(Slice::for_function(&revision(Access::default()), &elsewhere).is_err());
}

#[test]
fn a_permit_says_what_it_is_for() {
    let slice = slice(preset(Preset::Tenant), "");
    let permit = ask(&slice, &who("default/alice - invoke"), &CONTEXT).unwrap();
    let (home, name) = (tenant("default"), function("hello"));
    assert_eq!(permit.invocation(), Some((&home, &name, RevisionNumber(7))));
    assert_eq!((permit.action(), permit.at()), (Action::Invoke, NOW));
    assert_eq!(&**permit.principal(), "User::\"default/alice\"");
    let control = Slice::for_tenant(&TenantPolicies::none(home.clone())).unwrap();
    let principal = who("default/alice owner *");
    let resource = Resource::Function(&home, &name);
    let question = Question { principal: &principal, action: Action::Deploy, resource, context: &CONTEXT };
    let permit = control.decide(&question).unwrap();
    assert_eq!(permit.invocation(), None);
    assert_eq!((permit.tenant(), permit.function()), (Some(&home), Some(&name)));
}

#[test]
fn a_tenant_cannot_lock_its_owner_out() {
    let home = tenant("default");
    let forbids = TenantPolicies::parse(home.clone(), "forbid (principal, action, resource);").unwrap();
    let control = Slice::for_tenant(&forbids).unwrap();
    let owner = who("default/alice owner *");
    let decide = |action| {
        let resource = Resource::Tenant(&home);
        control.decide(&Question { principal: &owner, action, resource, context: &CONTEXT }).is_ok()
    };
    assert!(decide(Action::ManagePolicy));
    assert!(!decide(Action::List) && !decide(Action::ManageTokens));
}

#[test]
fn memory_of_decisions_is_bounded() {
    let slice = slice(
        own("permit (principal, action == Action::\"invoke\", resource) when { context.path like \"/a*\" };"),
        "",
    );
    let alice = who("default/alice - invoke");
    for n in 0..3_000 {
        let path = format!("/a{n}");
        assert!(ask(&slice, &alice, &Context { path: &path, ..CONTEXT }).is_ok());
    }
    assert!(slice.cache.len() <= 1_024, "{}", slice.cache.len());
    let before = slice.cache.len();
    let long = format!("/a{}", "x".repeat(5_000));
    assert!(ask(&slice, &alice, &Context { path: &long, ..CONTEXT }).is_ok());
    assert_eq!(slice.cache.len(), before);
}

const MIXED: &str = "
    forbid (principal, action == Action::\"invoke\", resource)
      when { context.path like \"/admin*\" && !context.tls };
    permit (principal is User, action == Action::\"invoke\", resource) when { context.method == \"GET\" };
    permit (principal is Service, action, resource) when { context.source.isInRange(ip(\"10.0.0.0/8\")) };
    forbid (principal, action == Action::\"invoke\", resource) when { context.host == \"evil.example\" };
    forbid (principal is User, action, resource) when {
      context.chain.functions.contains(\"ab\") || context.chain.depth == 2 && context.chain.functions.contains(\"b\") };
    permit (principal is Function, action, resource) when { context.onBehalfOf == \"localhost\" };
    permit (principal in Role::\"viewer\", action == Action::\"invoke\", resource) when {
      context.time.toTime() < duration(\"30m\") };
";

fn principals() -> impl Strategy<Value = Principal> {
    let kinds = prop::sample::select(KINDS.to_vec());
    let roles = prop::collection::vec(prop::sample::select(Role::ALL.to_vec()), 0..3);
    let scopes = prop::sample::subsequence(vec!["invoke".to_owned(), "*".into(), "list".into()], 0..3);
    let names = prop::sample::select(vec!["alice", "hello", "a"]);
    let homes = prop::sample::select(vec!["default", "other", "d"]);
    (kinds, roles, scopes, names, homes).prop_map(|(kind, roles, scopes, name, home)| Principal {
        kind,
        tenant: (kind != PrincipalKind::Anonymous).then(|| tenant(home)),
        name: if kind == PrincipalKind::Anonymous { "anonymous".into() } else { name.into() },
        roles: if kind == PrincipalKind::Anonymous { Vec::new() } else { roles },
        scopes,
        token: None,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// One slice that remembers is asked many questions in a row; each answer must be that of a slice that
    /// remembers nothing.
    #[test]
    fn a_remembered_decision_is_the_fresh_one(
        questions in prop::collection::vec(
            (
                principals(),
                prop::sample::select(vec!["GET", "POST"]),
                prop::sample::select(vec!["/hello", "/admin", "/admin/x"]),
                prop::sample::select(vec!["localhost", "evil.example"]),
                prop::sample::select(vec!["10.0.0.1", "::ffff:10.0.0.1", "192.0.2.1", "2001:db8::1"]),
                any::<bool>(),
                prop::sample::select(vec![0, 400, 999, 1_000, HOUR_MS / 2, HOUR_MS - 1, HOUR_MS]),
                prop::sample::select(vec![&[][..], &["a"], &["a", "b"], &["ab"], &["b", "a"]]),
            ),
            1..200,
        ),
        access in prop::sample::select(vec![Preset::Nobody, Preset::Tenant, Preset::Public]),
    ) {
        let slice = slice(preset(access), MIXED);
        let (home, name) = (tenant("default"), function("hello"));
        for (principal, method, path, host, source, tls, later, chain) in &questions {
            let now = NOW.plus_ms(*later);
            let (source, tls, on_behalf_of) = (source.parse().unwrap(), *tls, *host);
            let context = Context { method, path, host, source, tls, on_behalf_of, chain, now, ..CONTEXT };
            let resource = Resource::Function(&home, &name);
            let question = Question { principal, action: Action::Invoke, resource, context: &context };
            let view = |got: Result<Permit, Denial>| match got {
                Ok(permit) => Ok((permit.policies().to_vec(), Arc::clone(permit.principal()), permit.at())),
                Err(denial) => Err(denial),
            };
            prop_assert_eq!(view(slice.decide(&question)), view(slice.decide_with(&question, false)));
        }
    }
}

fn each_ns(times: u32, mut run: impl FnMut()) -> u128 {
    let start = Instant::now();
    (0..times).for_each(|_| run());
    start.elapsed().as_nanos() / u128::from(times)
}

#[test]
fn ten_thousand_policies_of_others_do_not_matter() {
    use std::fmt::Write as _;
    let mut text = String::new();
    for n in 0..5_000 {
        writeln!(
            text,
            "permit (principal, action == Action::\"invoke\", resource == Function::\"default/f{n}\");"
        )
        .unwrap();
        writeln!(
            text,
            "permit (principal, action == Action::\"deploy\", resource) when {{ false == context.tls }};"
        )
        .unwrap();
    }
    let many = TenantPolicies::parse(tenant("default"), &text).unwrap();
    let few = TenantPolicies::none(tenant("default"));
    let revision = revision(preset(Preset::Tenant));
    let start = Instant::now();
    let large = Slice::for_function(&revision, &many).unwrap();
    println!("slicing 10,000 policies: {:?}", start.elapsed());
    let small = Slice::for_function(&revision, &few).unwrap();
    assert_eq!(large.policies().count(), small.policies().count());
}

#[test]
fn a_slice_holds_a_bounded_text() {
    let policy =
        "permit (principal, action == Action::\"invoke\", resource) when { context.path == \"/a\" };\n";
    let fits = TenantPolicies::parse(tenant("default"), &policy.repeat(1_400)).unwrap();
    let large = TenantPolicies::parse(tenant("default"), &policy.repeat(1_600)).unwrap();
    let revision = revision(preset(Preset::Tenant));
    let slice = Slice::for_function(&revision, &fits).unwrap();
    let error = Slice::for_function(&revision, &large).unwrap_err().to_string();
    assert!(error.contains("more than 131072"), "{error}");
    assert!(Slice::for_tenant(&large).is_ok(), "calls are no control actions");
    let alice = who("default/alice - invoke");
    let fresh = each_ns(20, || {
        let (home, name) = (tenant("default"), function("hello"));
        let resource = Resource::Function(&home, &name);
        let question = Question { principal: &alice, action: Action::Invoke, resource, context: &CONTEXT };
        drop(slice.decide_with(&question, false).unwrap());
    });
    println!("decide with 128 KiB of policies: {fresh} ns fresh");
    assert!(fresh < 100_000_000, "{fresh} ns");
}

/// Not a benchmark: bounds that a slow path would break even on a busy machine.
#[test]
fn deciding_is_quick() {
    let slice = slice(preset(Preset::Tenant), "");
    let alice = who("default/alice developer invoke");
    let (home, name) = (tenant("default"), function("hello"));
    let resource = Resource::Function(&home, &name);
    let question = Question { principal: &alice, action: Action::Invoke, resource, context: &CONTEXT };
    let remembered = each_ns(200_000, || drop(slice.decide(&question).unwrap()));
    let fresh = each_ns(5_000, || drop(slice.decide_with(&question, false).unwrap()));
    println!("decide: {remembered} ns remembered, {fresh} ns fresh");
    assert!(remembered < 10_000, "{remembered} ns");
    assert!(fresh < 1_000_000, "{fresh} ns");
}

/// What an issuer says of a principal counts in the decision, and in what is remembered of it.
#[test]
fn groups_attributes_and_the_proof_count() {
    let policy = "permit (principal is User, action == Action::\"invoke\", resource) when { \
                  principal.groups.contains(\"buyers\") && principal.hasTag(\"team\") && \
                  principal.getTag(\"team\").contains(\"red\") && context.token.bound && \
                  context.token.age_s < 60 && context.token has issuer && \
                  context.token.issuer == \"https://id.example\" };";
    let slice = slice(own(policy), "");
    let (red, blue) = (
        BTreeMap::from([("team".to_owned(), vec!["red".to_owned()])]),
        BTreeMap::from([("team".to_owned(), vec!["blue".to_owned()])]),
    );
    let buyers = ["buyers".to_owned()];
    let issuer = Some("https://id.example");
    let good = Proof {
        kind: "access-token",
        bound: true,
        issuer,
        age_s: 59,
        groups: &buyers,
        attributes: Some(&red),
    };
    let alice = who("default/alice - invoke");
    for (proof, expect) in [
        (good, true),
        (Proof { groups: &[], ..good }, false),
        (Proof { attributes: Some(&blue), ..good }, false),
        (Proof { attributes: None, ..good }, false),
        (Proof { bound: false, ..good }, false),
        (Proof { age_s: 60, ..good }, false),
        (Proof { issuer: None, ..good }, false),
        (Proof { issuer: Some("https://other.example"), ..good }, false),
        (good, true),
    ] {
        assert_eq!(ask(&slice, &alice, &Context { proof, ..CONTEXT }).is_ok(), expect, "{proof:?}");
    }
}
