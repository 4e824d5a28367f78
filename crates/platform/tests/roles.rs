//! The two tellings of what a role is worth, held against each other: the policies, which decide, and the table by
//! which nobody gives away more than they hold.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{collections::BTreeSet, net::IpAddr};

use model::{
    Access, Digest, FunctionName, Grants, Limits, Principal, PrincipalKind, Revision, RevisionNumber, Role,
    TenantId, Timestamp, World,
};
use policy::{Action, Context, Question, Resource, Slice, TenantPolicies};

fn revision(tenant: &TenantId, function: &FunctionName) -> Revision {
    Revision {
        tenant: tenant.clone(),
        function: function.clone(),
        number: RevisionNumber(1),
        component: Digest::from_bytes([0; 32]),
        component_bytes: 0,
        manifest: Digest::from_bytes([0; 32]),
        manifest_text: String::new(),
        world: World::P2,
        routes: Vec::new(),
        access: Access::default(),
        limits: Limits::default(),
        grants: Grants::default(),
        shield: model::Shield::default(),
        deployed_at: Timestamp::default(),
        deployed_by: String::new(),
    }
}

/// Everything that one role alone permits somebody of the tenant `own`, asked question by question.
fn permitted(role: Role) -> BTreeSet<(Action, String)> {
    let [own, other]: [TenantId; 2] = ["own", "other"].map(|id| id.parse().unwrap());
    let function: FunctionName = "f".parse().unwrap();
    let principal = Principal {
        kind: PrincipalKind::User,
        tenant: Some(own.clone()),
        name: "somebody".into(),
        roles: vec![role],
        scopes: vec!["*".into()],
        token: None,
    };
    let context = Context {
        method: "GET",
        path: "/",
        host: "localhost",
        source: IpAddr::from([127, 0, 0, 1]),
        tls: true,
        on_behalf_of: "",
        chain: &[],
        now: Timestamp::from_unix_ms(1_800_000_000_000),
        proof: policy::Proof::default(),
    };
    let mut found = BTreeSet::new();
    let mut ask = |slice: &Slice, action: Action, resource: Resource<'_>| {
        let question = Question { principal: &principal, action, resource, context: &context };
        if slice.decide(&question).is_ok() {
            found.insert((action, resource.to_string()));
        }
    };
    for tenant in [&own, &other] {
        let none = TenantPolicies::none(tenant.clone());
        let control = Slice::for_tenant(&none).unwrap();
        let call = Slice::for_function(&revision(tenant, &function), &none).unwrap();
        for action in Action::ALL {
            let slice = if *action == Action::Invoke { &call } else { &control };
            ask(slice, *action, Resource::Function(tenant, &function));
            ask(&control, *action, Resource::Tenant(tenant));
        }
    }
    let node = Slice::for_node().unwrap();
    Action::ALL.iter().for_each(|action| ask(&node, *action, Resource::Node));
    found
}

#[test]
fn a_role_covers_what_its_policies_permit_and_no_more() {
    for has in Role::ALL {
        let held = permitted(*has);
        assert!(!held.is_empty(), "{has:?} permits nothing");
        for role in Role::ALL {
            let beyond: Vec<_> = permitted(*role).difference(&held).cloned().collect();
            assert_eq!(identity::covers(*has, *role), beyond.is_empty(), "{has:?} {role:?}: {beyond:?}");
        }
    }
}

#[test]
fn only_an_administrator_reaches_beyond_the_tenant_and_never_a_function() {
    for role in Role::ALL {
        let beyond: Vec<_> =
            permitted(*role).into_iter().filter(|(_, resource)| !resource.contains("\"own")).collect();
        assert_eq!(*role == Role::Admin, !beyond.is_empty(), "{role:?}: {beyond:?}");
        assert!(beyond.iter().all(|(_, resource)| !resource.starts_with("Function")), "{beyond:?}");
    }
}
