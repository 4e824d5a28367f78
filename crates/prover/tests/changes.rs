//! Changes that are proved harmless, and changes that let someone in, with the request that shows it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::allow_attributes,
    reason = "a test fails by panicking, and says what it skips"
)]

use std::path::{Path, PathBuf};

use model::{Access, FunctionName, TenantId, Timestamp, Waiver, manifest::Preset};
use policy::{Difference, TenantPolicies};
use prover::{Prover, Verdict, Witness, without_solver};

fn tenant() -> TenantId {
    "default".parse().unwrap()
}

fn hello() -> FunctionName {
    "hello".parse().unwrap()
}

/// The solver of `cargo xtask test`, or the one that `CVC5` or the `PATH` names.
fn prover() -> Option<Prover> {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/cvc5/bin/cvc5-smt");
    let found = Prover::find().or_else(|| Prover::new(&PathBuf::from(&built)).ok());
    if found.is_none() {
        eprintln!("skipped: no cvc5 is there; `cargo xtask test` fetches one, and `CVC5` names one");
    }
    found
}

fn allow(preset: Preset) -> Access {
    let waiver =
        Waiver { reason: "the landing page".into(), until: Timestamp::from_unix_ms(1_900_000_000_000) };
    let waiver = (preset == Preset::Public).then_some(waiver);
    Access { allow: Some(preset), waiver, ..Access::default() }
}

fn own(text: &str) -> Access {
    Access { allow: None, policy: Some(text.into()), ..Access::default() }
}

fn tenants(old: &str, new: &str, functions: &[(FunctionName, Access)]) -> Difference {
    let parse = |text| TenantPolicies::parse(tenant(), text).unwrap();
    Difference::of_tenant(&parse(old), &parse(new), functions).unwrap()
}

fn widens(difference: &Difference) -> Witness {
    assert!(matches!(without_solver(difference), Verdict::Unproved(_)));
    match prover().unwrap().prove(difference) {
        Verdict::Widens(witness) => *witness,
        other => panic!("{other:?}"),
    }
}

fn harmless(difference: &Difference) {
    assert_eq!(prover().unwrap().prove(difference), Verdict::Harmless);
}

const ALICE: &str = "permit (principal == User::\"default/alice\", action == Action::\"invoke\", resource)";

#[test]
fn what_a_tenant_may_change() {
    if prover().is_none() {
        return;
    }
    let none = &[];
    // Harmless, and seen to be without a solver.
    for (old, new) in [
        ("", ""),
        (&*format!("{ALICE};"), ""),
        (&format!("@id(\"a\") {ALICE};"), &format!("// said again\n@id(\"b\")\n{ALICE};")),
        ("", "forbid (principal, action == Action::\"deploy\", resource);"),
    ] {
        let difference = tenants(old, new, none);
        assert_eq!(without_solver(&difference), Verdict::Harmless, "{old} → {new}");
        harmless(&difference);
    }
    // Harmless, but only a solver sees it.
    for (old, new) in [
        (&*format!("{ALICE};"), &*format!("{ALICE} when {{ context.method == \"GET\" }};")),
        (
            "permit (principal, action == Action::\"invoke\", resource) when { context.tls };",
            "permit (principal, action == Action::\"invoke\", resource) when { context.tls && context.path like \"/a/*\" };\
             permit (principal is User, action == Action::\"invoke\", resource) when { context.tls };",
        ),
        ("", "permit (principal == User::\"other/eve\", action, resource);"),
        (
            "forbid (principal, action == Action::\"deploy\", resource) when { !context.tls };",
            "forbid (principal, action == Action::\"deploy\", resource) unless { context.tls };",
        ),
    ] {
        let difference = tenants(old, new, none);
        assert!(!difference.asked.is_empty(), "{old} → {new}");
        harmless(&difference);
    }
}

#[test]
fn what_lets_someone_in() {
    if prover().is_none() {
        return;
    }
    let shown = widens(&tenants("", &format!("@id(\"alice\") {ALICE};"), &[]));
    assert_eq!((&*shown.principal, &*shown.action), ("User::\"default/alice\"", "invoke"));
    assert!(shown.policies.contains(&"tenant/alice".to_owned()), "{shown}");
    assert!(shown.resource.starts_with("Function::\""), "{shown}");

    let old = format!("{ALICE} when {{ context.method == \"GET\" }};");
    let shown = widens(&tenants(&old, &format!("{ALICE};"), &[]));
    assert_ne!(shown.context["method"], "GET", "{shown}");

    let forbid = "forbid (principal, action == Action::\"deploy\", resource) unless { context.tls };";
    let shown = widens(&tenants(forbid, "", &[]));
    assert_eq!((&*shown.action, &shown.context["tls"]), ("deploy", &false.into()), "{shown}");
    assert!(!shown.roles.is_empty(), "somebody with a role: {shown}");
}

#[test]
fn a_function_is_let_in_by_its_tenant() {
    if prover().is_none() {
        return;
    }
    // Nobody without a credential is let in by a role: only the function's own preset does.
    let forbid = "forbid (principal is Anonymous, action, resource);";
    harmless(&tenants(forbid, "", &[(hello(), allow(Preset::Nobody))]));
    let shown = widens(&tenants(forbid, "", &[(hello(), allow(Preset::Public))]));
    assert_eq!(shown.principal, "Anonymous::\"anonymous\"");
    assert_eq!(shown.resource, "Function::\"default/hello\"");
    assert_eq!(shown.policies, ["function/preset-public"]);
}

#[test]
fn a_deploy_changes_who_may_call() {
    if prover().is_none() {
        return;
    }
    let none = TenantPolicies::none(tenant());
    let deploy = |old: &Access, new: &Access| Difference::of_function(&none, &hello(), old, new).unwrap();
    let (nobody, in_tenant, public) = (allow(Preset::Nobody), allow(Preset::Tenant), allow(Preset::Public));
    let gets =
        own("permit (principal, action == Action::\"invoke\", resource) when { principal has tenant && \
                    resource in principal.tenant && context.method == \"GET\" };");
    for (old, new) in [(&in_tenant, &nobody), (&in_tenant, &in_tenant), (&in_tenant, &gets), (&gets, &nobody)]
    {
        harmless(&deploy(old, new));
    }
    assert_eq!(widens(&deploy(&nobody, &in_tenant)).policies, ["function/preset-tenant"]);
    assert_ne!(widens(&deploy(&gets, &in_tenant)).context["method"], "GET");
    let shown = widens(&deploy(&in_tenant, &public));
    assert_eq!(shown.principal, "Anonymous::\"anonymous\"", "{shown}");

    let mut shorter = public.clone();
    shorter.waiver.as_mut().unwrap().until = Timestamp::from_unix_ms(1_800_000_000_000);
    harmless(&deploy(&public, &shorter));
    let longer = widens(&deploy(&shorter, &public));
    assert!(longer.context["time"].as_str().unwrap() >= "2027-01-15T08:00:00", "{longer}");
}

#[test]
fn what_fails_and_goes_away_may_let_someone_in() {
    // Adding 9,223,372,036,854,775,807 milliseconds to any time fails, and what fails denies.
    let fails = "permit (principal, action == Action::\"invoke\", resource) when { \
                 context.time.offset(duration(\"9223372036854775807ms\")) > context.time };";
    let difference = tenants(fails, "", &[]);
    assert!(matches!(without_solver(&difference), Verdict::Unproved(_)));
    let Some(prover) = prover() else { return };
    let Verdict::Unproved(why) = prover.prove(&difference) else { panic!("taken for harmless") };
    assert!(why.contains("tenant/0"), "{why}");
}

#[test]
fn a_solver_that_is_none_proves_nothing() {
    for name in ["/nowhere/cvc5", "true", "cat"] {
        assert!(Prover::new(Path::new(name)).is_err(), "{name}");
    }
}
