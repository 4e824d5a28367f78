//! Decisions of `policy` as a node makes them, one after the other, in this process. It asks nobody else.

use std::{hint::black_box, net::Ipv4Addr, time::Instant};

use model::{
    Access, FunctionName, Principal, PrincipalKind, RevisionNumber, Role, TenantId, Timestamp,
    manifest::Preset,
};
use policy::{Action, Context, Question, Resource, Slice, TenantPolicies};
use serde_json::{Value, json};

use crate::{Wrong, order::Decisions};

/// Policies that speak of one function.
const POLICIES_OF_ONE: usize = 10;
/// Paths that are called, beside the principals.
const PATHS: usize = 16;

/// A tenant with its functions and principals.
struct Town {
    tenant: TenantId,
    functions: Vec<(FunctionName, Slice)>,
    principals: Vec<Principal>,
    paths: Vec<String>,
}

/// Measures.
pub(crate) fn run(wanted: &Decisions) -> Result<Value, Wrong> {
    let town = town(wanted.policies, wanted.principals)?;
    let mut dice = Dice(0x2545_f491_4f6c_dd17);
    // Each question once: none is remembered. Then the same again: as many as are kept are.
    let questions: Vec<(usize, usize, usize)> = (0..wanted.decisions)
        .map(|_| (dice.below(town.functions.len()), dice.below(town.principals.len()), dice.below(PATHS)))
        .collect();
    let fresh = time(&town, &questions);
    // A mix: four of five requests come from one of a hundred principals.
    let mixed: Vec<(usize, usize, usize)> = (0..wanted.decisions)
        .map(|_| {
            let few = town.principals.len().min(100);
            let principal =
                if dice.below(5) < 4 { dice.below(few) } else { dice.below(town.principals.len()) };
            let function = if dice.below(5) < 4 {
                dice.below(town.functions.len().min(10))
            } else {
                dice.below(town.functions.len())
            };
            (function, principal, dice.below(PATHS))
        })
        .collect();
    time(&town, &mixed);
    let mix = time(&town, &mixed);
    let one = vec![questions.first().copied().unwrap_or_default(); wanted.decisions];
    let remembered = time(&town, &one);
    Ok(json!({ "fresh_ns": fresh, "mix_ns": mix, "remembered_ns": remembered }))
}

fn time(town: &Town, questions: &[(usize, usize, usize)]) -> Vec<u64> {
    questions.iter().filter_map(|question| town.ask(*question)).collect()
}

impl Town {
    /// How long one decision takes, in nanoseconds.
    fn ask(&self, (function, principal, path): (usize, usize, usize)) -> Option<u64> {
        let (name, slice) = self.functions.get(function)?;
        let context = Context {
            method: "GET",
            path: self.paths.get(path)?,
            host: "localhost",
            source: Ipv4Addr::LOCALHOST.into(),
            tls: true,
            on_behalf_of: "",
            chain: &[],
            now: Timestamp::from_unix_ms(1_800_000_000_000),
            proof: policy::Proof::of("api-token"),
        };
        let question = Question {
            principal: self.principals.get(principal)?,
            action: Action::Invoke,
            resource: Resource::Function(&self.tenant, name),
            context: &context,
        };
        let started = Instant::now();
        let decided = slice.decide(black_box(&question));
        let took = started.elapsed().as_nanos();
        drop(black_box(decided));
        u64::try_from(took).ok()
    }
}

/// A tenant of so many policies, ten for each function, and so many principals.
fn town(policies: usize, principals: usize) -> Result<Town, Wrong> {
    let tenant: TenantId = "t".parse()?;
    let functions = policies.div_ceil(POLICIES_OF_ONE).max(1);
    let policy = |n: usize| {
        let (function, who) = (n / POLICIES_OF_ONE, n % principals.max(1));
        let scope = format!("action==Action::\"invoke\",resource==Function::\"t/f{function}\"");
        match n % POLICIES_OF_ONE {
            0 => format!("forbid(principal,{scope})when{{context.path like\"/x*\"}};\n"),
            1 => format!("permit(principal,{scope})when{{context.tls}};\n"),
            _ => format!("permit(principal==User::\"t/u{who}\",{scope});\n"),
        }
    };
    let text: String = (0..policies).map(policy).collect();
    let tenants = TenantPolicies::parse(tenant.clone(), &text)?;
    let access = Access { allow: Some(Preset::Tenant), ..Access::default() };
    let slice = |n: usize| -> Result<(FunctionName, Slice), Wrong> {
        let name: FunctionName = format!("f{n}").parse()?;
        let slice = Slice::for_access((&tenant, &name, RevisionNumber(1)), &access, &tenants)?;
        Ok((name, slice))
    };
    let user = |n: usize| Principal {
        kind: PrincipalKind::User,
        tenant: Some(tenant.clone()),
        name: format!("u{n}"),
        roles: if n.is_multiple_of(10) { vec![Role::Developer] } else { Vec::new() },
        scopes: vec!["invoke".to_owned()],
        token: None,
    };
    Ok(Town {
        functions: (0..functions).map(slice).collect::<Result<_, _>>()?,
        principals: (0..principals).map(user).collect(),
        paths: (0..PATHS).map(|n| format!("/api/items/{n}")).collect(),
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
