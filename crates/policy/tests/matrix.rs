//! Role × action × resource, as a table of text that is compared with what the policies say.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test: what is not as expected stops it")]

use std::{collections::HashMap, fmt::Write as _, net::Ipv4Addr, path::Path};

use model::{
    Access, Digest, FunctionName, Grants, Limits, Principal, PrincipalKind, Revision, RevisionNumber, Role,
    TenantId, Timestamp, Waiver, World, manifest::Preset,
};
use policy::{Action, Context, Question, Resource, Slice, TenantPolicies};

const NOW: Timestamp = Timestamp::from_unix_ms(1_800_000_000_000);
const COLUMNS: [&str; 9] =
    ["anonymous", "function", "no-role", "viewer", "developer", "operator", "auditor", "owner", "admin"];
const HEAD: &str = "\
# What each role may do, with a credential of all scopes and no policy of the tenant's own.
# Written by `UPDATE_MATRIX=1 cargo test --release -p policy --test matrix`; a change of it is a change of
# who may do what, and is read as such. `yes`: permitted. `no`: no policy permits. `never`: a guard forbids,
# which no policy of a tenant can lift.
";

fn principal(column: &str, tenant: &TenantId) -> Principal {
    let kind = match column {
        "anonymous" => return Principal::anonymous(),
        "function" => PrincipalKind::Function,
        _ => PrincipalKind::User,
    };
    Principal {
        kind,
        tenant: Some(tenant.clone()),
        name: "someone".into(),
        roles: Role::ALL.iter().filter(|role| role.as_str() == column).copied().collect(),
        scopes: vec!["*".into()],
        token: None,
    }
}

fn invoke_slice(tenant: &TenantId, function: &FunctionName, allow: Preset, until: Timestamp) -> Slice {
    let digest = Digest::from_bytes([0; 32]);
    let waiver = Waiver { reason: "the landing page".into(), until };
    let revision = Revision {
        tenant: tenant.clone(),
        function: function.clone(),
        number: RevisionNumber(1),
        component: digest,
        component_bytes: 0,
        manifest: digest,
        manifest_text: String::new(),
        world: World::P2,
        routes: Vec::new(),
        access: Access {
            allow: Some(allow),
            policy: None,
            waiver: (allow == Preset::Public).then_some(waiver),
            ..Access::default()
        },
        limits: Limits::default(),
        grants: Grants::default(),
        shield: model::Shield::default(),
        deployed_at: NOW,
        deployed_by: String::new(),
    };
    Slice::for_function(&revision, &TenantPolicies::none(tenant.clone())).unwrap()
}

fn word(slice: &Slice, question: &Question<'_>) -> &'static str {
    match slice.decide(question) {
        Ok(_) => "yes",
        Err(denial) if denial.reason() == policy::Reason::NoPermit => "no",
        Err(denial) if denial.reason() == policy::Reason::Forbidden => "never",
        Err(denial) => panic!("{denial}: {:?}", denial.errors()),
    }
}

struct Table(String, HashMap<(String, &'static str), &'static str>);

impl Table {
    fn row(&mut self, name: &str, home: &TenantId, slice: &Slice, action: Action, resource: Resource<'_>) {
        let source = Ipv4Addr::LOCALHOST.into();
        let context = Context {
            method: "GET",
            path: "/",
            host: "localhost",
            source,
            tls: true,
            on_behalf_of: "",
            chain: &[],
            now: NOW,
            proof: policy::Proof::default(),
        };
        write!(self.0, "{name:44}").unwrap();
        for column in COLUMNS {
            let principal = principal(column, home);
            let question = Question { principal: &principal, action, resource, context: &context };
            let word = word(slice, &question);
            write!(self.0, "{word:>10}").unwrap();
            self.1.insert((name.to_owned(), column), word);
        }
        self.0.push('\n');
    }
}

fn table() -> Table {
    let (own, other): (TenantId, TenantId) = ("acme".parse().unwrap(), "other".parse().unwrap());
    let function: FunctionName = "hello".parse().unwrap();
    let mut table = Table(format!("{HEAD}\n{:44}", ""), HashMap::new());
    COLUMNS.iter().for_each(|column| write!(table.0, "{column:>10}").unwrap());
    table.0.push('\n');
    let node = Slice::for_node().unwrap();
    for (whose, tenant) in [("own", &own), ("another's", &other)] {
        let control = Slice::for_tenant(&TenantPolicies::none(tenant.clone())).unwrap();
        for (preset, allow, until) in [
            ("nobody", Preset::Nobody, NOW),
            ("tenant", Preset::Tenant, NOW),
            ("public", Preset::Public, NOW.plus_ms(60_000)),
            ("public, ended", Preset::Public, NOW),
        ] {
            let slice = invoke_slice(tenant, &function, allow, until);
            let name = format!("invoke {whose} function ({preset})");
            table.row(&name, &own, &slice, Action::Invoke, Resource::Function(tenant, &function));
        }
        for action in Action::ALL.iter().copied().filter(|action| *action != Action::Invoke) {
            for (kind, resource) in
                [("function", Resource::Function(tenant, &function)), ("tenant", Resource::Tenant(tenant))]
            {
                // What does not go together is an error, not a row.
                let question = Question {
                    principal: &principal("owner", &own),
                    action,
                    resource,
                    context: &Context {
                        method: "GET",
                        path: "/",
                        host: "",
                        source: Ipv4Addr::LOCALHOST.into(),
                        tls: true,
                        on_behalf_of: "",
                        chain: &[],
                        now: NOW,
                        proof: policy::Proof::default(),
                    },
                };
                let fits =
                    !matches!(control.decide(&question), Err(d) if d.reason() == policy::Reason::Error);
                if fits {
                    table.row(&format!("{action} {whose} {kind}"), &own, &control, action, resource);
                }
            }
        }
    }
    for action in [Action::ListTenants, Action::ManageTenants, Action::ReadMetrics, Action::ReadNode] {
        table.row(&format!("{action} node"), &own, &node, action, Resource::Node);
    }
    table
}

#[test]
fn the_matrix_is_as_committed() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/matrix.txt");
    let got = table().0;
    if std::env::var_os("UPDATE_MATRIX").is_some() {
        std::fs::write(&path, &got).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap();
    assert!(got == committed, "who may do what has changed:\n{got}");
}

#[test]
fn every_action_stands_in_it() {
    let table = table().0;
    for action in Action::ALL {
        assert!(table.contains(&format!("\n{action} ")), "{action}");
    }
}

#[test]
fn wider_roles_cover_narrower_ones() {
    let Table(_, cells) = table();
    let pairs = [
        ("no-role", "viewer"),
        ("viewer", "developer"),
        ("developer", "operator"),
        ("operator", "owner"),
        ("viewer", "auditor"),
        ("auditor", "owner"),
        ("owner", "admin"),
    ];
    for ((row, column), word) in &cells {
        for (narrow, wide) in pairs {
            if *column == narrow && *word == "yes" {
                assert_eq!(cells[&(row.clone(), wide)], "yes", "{row}: {narrow} may, {wide} may not");
            }
        }
    }
}
