//! Decisions of `policy` as a node makes them, one after the other, in this process. It asks nobody else.

use std::{
    collections::BTreeMap,
    hint::black_box,
    net::{IpAddr, Ipv4Addr},
    time::Instant,
};

use model::{
    Access, FunctionName, Principal, PrincipalKind, RevisionNumber, Role, TenantId, Timestamp,
    manifest::Preset,
};
use policy::{Action, Context, Proof, Question, Resource, Slice, TenantPolicies};
use serde_json::{Value, json};

use crate::{Wrong, order::Decisions};

/// Policies that speak of one function.
const POLICIES_OF_ONE: usize = 10;
/// Groups that an issuer puts the principals in.
const GROUPS: usize = 50;
/// Questions that are asked again and again: of so many principals, to so many functions.
const HOT: (usize, usize) = (50, 10);

/// A tenant with its functions and principals.
struct Town {
    tenant: TenantId,
    functions: Vec<(FunctionName, Slice)>,
    principals: Vec<(Principal, Vec<String>)>,
}

/// One question by numbers: which function, which principal, which path, and which of a few circumstances.
#[derive(Clone, Copy)]
struct Asked {
    function: usize,
    principal: usize,
    path: u64,
    kind: usize,
}

/// What came of questions.
#[derive(Default)]
struct Seen {
    took_ns: Vec<u64>,
    permitted: usize,
}

/// Measures: questions of which none was asked before, one again and again, and both in turn.
pub(crate) fn run(wanted: &Decisions) -> Result<Value, Wrong> {
    let started = Instant::now();
    let town = town(wanted.policies, wanted.principals)?;
    let sliced_ms = started.elapsed().as_secs_f64() * 1e3;
    let mut dice = Dice(0x2545_f491_4f6c_dd17);
    let mut paths = 0;
    // A path that was never asked for: each function has policies that look at it.
    let mut fresh = |dice: &mut Dice| {
        paths += 1;
        let (function, principal) = (dice.below(town.functions.len()), dice.below(town.principals.len()));
        Asked { function, principal, path: paths, kind: dice.below(20) }
    };
    // Nobody asks each policy for the first time: those below find the slices as a node has them after a while.
    let warm: Vec<Asked> = (0..wanted.decisions / 2).map(|_| fresh(&mut dice)).collect();
    town.ask_all(&warm);
    let new: Vec<Asked> = (0..wanted.decisions).map(|_| fresh(&mut dice)).collect();
    let new = town.ask_all(&new);
    let hot = |dice: &mut Dice| {
        let (principals, functions) = HOT;
        let function = dice.below(town.functions.len().min(functions));
        Asked { function, principal: dice.below(town.principals.len().min(principals)), path: 0, kind: 0 }
    };
    let again: Vec<Asked> = (0..wanted.decisions).map(|_| hot(&mut dice)).collect();
    town.ask_all(&again);
    let again = town.ask_all(&again);
    let mixed: Vec<Asked> = (0..wanted.decisions)
        .map(|_| if dice.below(2) == 0 { hot(&mut dice) } else { fresh(&mut dice) })
        .collect();
    let mix = town.ask_all(&mixed);
    let share = mixed.iter().filter(|asked| asked.path > 0).count() as f64 / mixed.len().max(1) as f64;
    let permitted = new.permitted as f64 / new.took_ns.len().max(1) as f64;
    Ok(json!({
        "fresh_ns": new.took_ns, "mix_ns": mix.took_ns, "remembered_ns": again.took_ns,
        "mix_fresh_share": share, "fresh_permitted_share": permitted, "slicing_ms": sliced_ms,
    }))
}

impl Town {
    fn ask_all(&self, all: &[Asked]) -> Seen {
        let mut seen = Seen::default();
        for asked in all {
            if let Some((took_ns, permitted)) = self.ask(*asked) {
                seen.took_ns.push(took_ns);
                seen.permitted += usize::from(permitted);
            }
        }
        seen
    }

    /// How long one decision takes, in nanoseconds, and whether it is a yes.
    fn ask(&self, asked: Asked) -> Option<(u64, bool)> {
        let (name, slice) = self.functions.get(asked.function)?;
        let (principal, groups) = self.principals.get(asked.principal)?;
        let (kind, number) = (asked.kind, asked.path);
        let path = match kind {
            1 => format!("/admin/{number}"),
            _ => format!("/api/items/{number}"),
        };
        let source: IpAddr = match kind % 2 {
            0 => Ipv4Addr::new(10, 0, 0, 7).into(),
            _ => Ipv4Addr::new(192, 0, 2, 7).into(),
        };
        let claims = BTreeMap::new();
        let proof = Proof {
            kind: if kind % 3 == 0 { "access-token" } else { "api-token" },
            age_s: 60,
            groups,
            attributes: Some(&claims),
            ..Proof::default()
        };
        let context = Context {
            method: if kind == 2 { "DELETE" } else { "GET" },
            path: &path,
            host: "localhost",
            source,
            tls: true,
            on_behalf_of: "",
            chain: &[],
            now: Timestamp::from_unix_ms(1_800_000_000_000 + asked.path / 1_000),
            proof,
        };
        let resource = Resource::Function(&self.tenant, name);
        let question = Question { principal, action: Action::Invoke, resource, context: &context };
        let started = Instant::now();
        let decided = slice.decide(black_box(&question));
        let took = started.elapsed().as_nanos();
        let permitted = decided.is_ok();
        drop(black_box(decided));
        Some((u64::try_from(took).ok()?, permitted))
    }
}

/// The policies of a function, from a tenant's text: half of them name one principal, the others say who by role,
/// group and circumstances, and what nobody does.
fn policy(n: usize, principals: usize) -> String {
    let (function, which) = (n / POLICIES_OF_ONE, n % POLICIES_OF_ONE);
    let of = format!("action==Action::\"invoke\",resource==Function::\"t/f{function}\"");
    let group = function % GROUPS;
    match which {
        0 => format!("forbid(principal,{of})when{{context.path like\"/admin*\"}};\n"),
        1 => format!(
            "permit(principal is User,{of})when{{context.tls&&principal.groups.contains(\"g{group}\")}};\n"
        ),
        2 => format!("permit(principal in Role::\"viewer\",{of})when{{context.tls}};\n"),
        3 => format!(
            "forbid(principal,{of})when{{context.method==\"DELETE\"}}\
             unless{{context.source.isInRange(ip(\"10.0.0.0/8\"))}};\n"
        ),
        4 if function.is_multiple_of(3) => {
            format!("permit(principal is Service,{of})when{{context.token.age_s<3600}};\n")
        }
        // Without a space: the text of a tenant's policies has its bound.
        _ => format!("permit(principal==User::\"t/u{}\",{of});\n", (n * 7) % principals.max(1)),
    }
}

/// A tenant of so many policies, ten for each function, and so many principals: a tenth with a role, nine of ten
/// people, each in a group.
fn town(policies: usize, principals: usize) -> Result<Town, Wrong> {
    let tenant: TenantId = "t".parse()?;
    let functions = policies.div_ceil(POLICIES_OF_ONE).max(1);
    let text: String = (0..policies).map(|n| policy(n, principals)).collect();
    let tenants = TenantPolicies::parse(tenant.clone(), &text)?;
    let slice = |n: usize| -> Result<(FunctionName, Slice), Wrong> {
        let name: FunctionName = format!("f{n}").parse()?;
        // Half of the functions are open to the whole tenant but for what the policies forbid.
        let allow = if n.is_multiple_of(2) { Preset::Tenant } else { Preset::Nobody };
        let access = Access { allow: Some(allow), ..Access::default() };
        let slice = Slice::for_access((&tenant, &name, RevisionNumber(1)), &access, &tenants)?;
        Ok((name, slice))
    };
    let one = |n: usize| {
        let roles = match n % 20 {
            0 => vec![Role::Developer],
            1 => vec![Role::Viewer],
            _ => Vec::new(),
        };
        let (kind, name) = match n % 10 {
            9 => (PrincipalKind::Service, format!("s{n}")),
            _ => (PrincipalKind::User, format!("u{n}")),
        };
        let scopes = vec![if n.is_multiple_of(3) { "*" } else { "invoke" }.to_owned()];
        let principal = Principal { kind, tenant: Some(tenant.clone()), name, roles, scopes, token: None };
        (principal, vec![format!("g{}", n % GROUPS)])
    };
    Ok(Town {
        functions: (0..functions).map(slice).collect::<Result<_, _>>()?,
        principals: (0..principals).map(one).collect(),
        tenant,
    })
}

/// Numbers that look random and are the same in each run (xorshift64*).
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(number).unwrap_or(0) % most.max(1)
    }
}
