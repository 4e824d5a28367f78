//! Each answer of a slice against plain Cedar: its authorizer over the whole of the policies, with entities and a
//! context that are read from JSON and checked against the schema. It shares nothing with what it checks but the
//! question and the text of the policies.

use cedar_policy::{
    Authorizer, Context as CedarContext, Decision as CedarDecision, Entities, EntityUid, Policy, PolicyId,
    PolicySet, Request,
};
use serde_json::{Value, json};

use super::*;

const PRINCIPALS: &[&str] = &[
    "principal",
    "principal is User",
    "principal is Service",
    "principal is Function",
    "principal == User::\"default/alice\"",
    "principal == Service::\"default/alice\"",
    "principal == Function::\"default/hello\"",
    "principal in User::\"default/alice\"",
    "principal in Role::\"developer\"",
    "principal in Role::\"owner\"",
    "principal is User in Role::\"viewer\"",
    "principal in Tenant::\"default\"",
    "principal is Service in Tenant::\"other\"",
    "principal is Function in Function::\"default/hello\"",
];
const ACTIONS: &[&str] = &[
    "action",
    "action == Action::\"invoke\"",
    "action == Action::\"deploy\"",
    "action in [Action::\"list\", Action::\"readLogs\", Action::\"invoke\"]",
];
const RESOURCES: &[&str] = &[
    "resource",
    "resource is Function",
    "resource is Tenant",
    "resource == Function::\"default/hello\"",
    "resource == Function::\"default/other\"",
    "resource == Tenant::\"default\"",
    "resource in Tenant::\"default\"",
    "resource in Tenant::\"other\"",
    "resource in Role::\"owner\"",
    "resource in Function::\"default/hello\"",
    "resource is Function in Tenant::\"default\"",
    "resource is Function in Role::\"developer\"",
];
const CONDITIONS: &[&str] = &[
    "",
    "when { context.tls }",
    "unless { context.method == \"GET\" }",
    "when { context.path like \"/a*\" && !context.tls }",
    "when { context.source.isInRange(ip(\"10.0.0.0/8\")) } unless { context.host == \"localhost\" }",
    "when { context.time < datetime(\"2027-01-15T08:30:00Z\") }",
    "when { context.time.toTime() > duration(\"8h\") }",
    "when { principal.scopes.contains(\"invoke\") || principal.groups.contains(\"staff\") }",
    "when { principal has name && principal.name == \"alice\" }",
    "when { principal has tenant && resource in principal.tenant }",
    "when { principal is User && principal.hasTag(\"team\") && principal.getTag(\"team\").contains(\"red\") }",
    "when { principal.getTag(\"team\").contains(\"red\") }",
    "when { context.chain.depth > 0 && context.chain.functions.contains(\"a\") }",
    "when { context.token.kind == \"access-token\" && context.token has issuer && context.token.bound }",
    "when { context.token.age_s * 4611686018427387904 > 5 }",
    "when { context.token.age_s + 9223372036854775807 > 5 || context.tls }",
    "when { resource is Function && resource has waiver && resource.waiver.reason like \"the*\" }",
    "when { context.onBehalfOf == \"User::\\\"default/alice\\\"\" && context.scope == \"invoke\" }",
    "when { principal in Role::\"developer\" } unless { principal in [Role::\"owner\", Role::\"admin\"] }",
    "when { principal == resource }",
    "when { if context.tls then principal is User else resource is Tenant }",
];

/// One policy; some that come out say what cannot be, and are left out before they are asked.
fn policies() -> impl Strategy<Value = Vec<String>> {
    let pick = prop::sample::select::<&'static str>;
    let effects = pick(vec!["permit", "permit", "forbid"]);
    let one = (
        effects,
        pick(PRINCIPALS.to_vec()),
        pick(ACTIONS.to_vec()),
        pick(RESOURCES.to_vec()),
        pick(CONDITIONS.to_vec()),
    );
    let one =
        one.prop_map(|(effect, who, what, of, when)| format!("{effect} ({who}, {what}, {of}) {when};\n"));
    prop::collection::vec(one, 0..24).prop_map(|all| {
        let fits = |text: &String| TenantPolicies::parse(tenant("default"), text).is_ok();
        all.into_iter().filter(fits).collect()
    })
}

/// All that is in force for a function, unsliced: id and text.
fn in_force(own: &Slice, tenants: &TenantPolicies, action: Action) -> PolicySet {
    let shipped = [crate::GUARDS, crate::ROLES].map(|text| {
        let set: PolicySet = text.parse().unwrap();
        let named = |policy: &Policy| {
            let id = policy.annotation("id").unwrap().to_owned();
            policy.new_id(PolicyId::new(id))
        };
        set.policies().map(named).collect::<Vec<_>>()
    });
    let parsed = |(id, text): (&str, &str)| Policy::parse(Some(PolicyId::new(id)), text).unwrap();
    let own = own.policies().filter(|(id, _)| id.starts_with("function/")).map(parsed);
    // The one rule beside the language: a tenant's text has no say over who may change it.
    let theirs = tenants.policies().filter(|_| action != Action::ManagePolicy).map(parsed);
    PolicySet::from_policies(shipped.into_iter().flatten().chain(own).chain(theirs)).unwrap()
}

fn uid(kind: &str, id: &str) -> Value {
    json!({ "type": kind, "id": id })
}

fn time(at: Timestamp) -> Value {
    let second = Timestamp::from_unix_ms(at.unix_ms() / 1_000 * 1_000).to_string();
    json!({ "__extn": { "fn": "datetime", "arg": second } })
}

fn entity_of(uid: &Value, attributes: Value, parents: Vec<Value>, tags: Value) -> Value {
    json!({ "uid": uid, "attrs": attributes, "parents": parents, "tags": tags })
}

/// The two entities of a question, as JSON.
fn entities(question: &Question<'_>, waiver: Option<&Waiver>) -> (Value, Value, Vec<Value>) {
    let principal = question.principal;
    let proof = &question.context.proof;
    let kind = format!("{:?}", principal.kind);
    let mut own = json!({ "scopes": principal.scopes, "groups": proof.groups });
    let mut parents: Vec<Value> = principal.roles.iter().map(|role| uid("Role", role.as_str())).collect();
    let id = match &principal.tenant {
        Some(home) => {
            own["tenant"] = json!({ "__entity": uid("Tenant", home.as_str()) });
            own["name"] = principal.name.clone().into();
            parents.push(uid("Tenant", home.as_str()));
            format!("{home}/{}", principal.name)
        }
        None => principal.name.clone(),
    };
    let who = uid(&kind, &id);
    let tags = json!(proof.attributes.cloned().unwrap_or_default());
    let Resource::Function(home, name) = question.resource else {
        let of = uid("Tenant", "default");
        let all = vec![entity_of(&who, own, parents, tags), entity_of(&of, json!({}), vec![], json!({}))];
        return (who, of, all);
    };
    let of = uid("Function", &format!("{home}/{name}"));
    let mut its = json!({
        "tenant": { "__entity": uid("Tenant", home.as_str()) }, "name": name, "scopes": [], "groups": [],
    });
    if let Some(waiver) = waiver {
        its["waiver"] = json!({ "reason": waiver.reason, "until": time(waiver.until) });
    }
    if who == of {
        for (name, value) in own.as_object().unwrap() {
            its[name] = value.clone();
        }
        let all = vec![entity_of(&of, its, parents, json!({}))];
        return (who, of, all);
    }
    let mine = entity_of(&who, own, parents, tags);
    let all = vec![mine, entity_of(&of, its, vec![uid("Tenant", home.as_str())], json!({}))];
    (who, of, all)
}

fn circumstances(question: &Question<'_>) -> Value {
    let asked = question.context;
    let mut token =
        json!({ "kind": asked.proof.kind, "bound": asked.proof.bound, "age_s": asked.proof.age_s });
    if let Some(issuer) = asked.proof.issuer {
        token["issuer"] = issuer.into();
    }
    json!({
        "method": asked.method,
        "path": asked.path,
        "host": asked.host,
        "source": { "__extn": { "fn": "ip", "arg": asked.source.to_canonical().to_string() } },
        "tls": asked.tls,
        "time": time(asked.now),
        "scope": question.action.as_str(),
        "onBehalfOf": asked.on_behalf_of,
        "chain": { "depth": asked.chain.len(), "functions": asked.chain },
        "token": token,
    })
}

/// What plain Cedar says: permitted or why not, by which policies, with how many errors.
fn plainly(
    set: &PolicySet,
    question: &Question<'_>,
    waiver: Option<&Waiver>,
) -> (&'static str, Vec<String>, Vec<String>) {
    let schema = Shipped::get().unwrap().validator.schema();
    let (who, of, all) = entities(question, waiver);
    let entities = Entities::from_json_value(json!(all), Some(schema)).unwrap();
    let uid = |value: &Value| EntityUid::from_json(value.clone()).unwrap();
    let action = uid(&uid_of_action(question.action));
    let context = CedarContext::from_json_value(circumstances(question), Some((schema, &action))).unwrap();
    let request = Request::new(uid(&who), action, uid(&of), context, Some(schema)).unwrap();
    let response = Authorizer::new().is_authorized(&request, set, &entities);
    let mut reasons: Vec<String> = response.diagnostics().reason().map(ToString::to_string).collect();
    let mut errors: Vec<String> = response.diagnostics().errors().map(ToString::to_string).collect();
    reasons.sort();
    errors.sort();
    let permitted = response.decision() == CedarDecision::Allow;
    let word = match (permitted, errors.is_empty()) {
        (_, false) => "error",
        (true, true) => "permitted",
        (false, true) if reasons.is_empty() => "no-permit",
        (false, true) => "forbidden",
    };
    if permitted && word == "error" {
        reasons.clear();
    }
    (word, reasons, errors)
}

fn uid_of_action(action: Action) -> Value {
    uid("Action", action.as_str())
}

fn sliced(slice: &Slice, question: &Question<'_>) -> (&'static str, Vec<String>, Vec<String>) {
    let (word, mut policies, mut errors) = match slice.decide_with(question, false) {
        Ok(permit) => ("permitted", permit.policies().iter().map(ToString::to_string).collect(), Vec::new()),
        Err(no) => (no.reason().code(), no.policies().to_vec(), no.errors().to_vec()),
    };
    policies.sort();
    errors.sort();
    (word, policies, errors)
}

/// Each head by itself, asked by each kind of principal, the function itself among them.
#[test]
fn every_head_holds_where_plain_cedar_says_it_does() {
    let (home, name) = (tenant("default"), function("hello"));
    let roles = [vec![], vec![Role::Owner], vec![Role::Developer, Role::Viewer]];
    let (mut taken, mut held) = (0, 0);
    for (who, of) in PRINCIPALS.iter().flat_map(|who| RESOURCES.iter().map(move |of| (who, of))) {
        let text = format!("permit ({who}, action == Action::\"invoke\", {of});\n");
        let Ok(tenants) = TenantPolicies::parse(home.clone(), &text) else { continue };
        taken += 1;
        let access = preset(Preset::Public);
        let calls = Slice::for_function(&revision(access.clone()), &tenants).unwrap();
        let set = in_force(&calls, &tenants, Action::Invoke);
        for (kind, called, roles) in KINDS.into_iter().flat_map(|kind| {
            let all = ["alice", "hello"].into_iter().flat_map(|name| roles.iter().map(move |r| (name, r)));
            all.map(move |(name, roles)| (kind, name, roles))
        }) {
            let anonymous = kind == PrincipalKind::Anonymous;
            let principal = match anonymous {
                true => Principal::anonymous(),
                false => Principal { kind, name: called.into(), roles: roles.clone(), ..who_in_default() },
            };
            let resource = Resource::Function(&home, &name);
            let question =
                Question { principal: &principal, action: Action::Invoke, resource, context: &CONTEXT };
            let (ours, theirs) =
                (sliced(&calls, &question), plainly(&set, &question, access.waiver.as_ref()));
            held += usize::from(ours.1.iter().any(|id| id == "tenant/0"));
            assert_eq!(ours, theirs, "{principal}: {text}");
        }
    }
    assert!(taken > 60 && held > 200, "{taken} heads were taken, which held {held} times");
}

fn who_in_default() -> Principal {
    who("default/alice - *")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Decision, policies and errors, over policies and questions of all kinds.
    #[test]
    fn a_slice_says_what_plain_cedar_says_over_all_policies(
        theirs in policies(),
        own in policies(),
        access in prop::sample::select(vec![Preset::Nobody, Preset::Tenant, Preset::Public]),
        questions in prop::collection::vec(
            (
                principals(),
                prop::sample::select(Action::ALL.to_vec()),
                prop::sample::select(vec!["GET", "POST"]),
                prop::sample::select(vec!["/hello", "/a", "/ab/c"]),
                prop::sample::select(vec!["localhost", "User::\"default/alice\""]),
                prop::sample::select(vec!["10.0.0.1", "::ffff:10.0.0.1", "192.0.2.1", "2001:db8::1"]),
                any::<bool>(),
                prop::sample::select(vec![0, 400, 1_000, HOUR_MS / 2, HOUR_MS]),
                prop::sample::select(vec![&[][..], &["a"], &["a", "b"]]),
                (any::<bool>(), 0_u64..4, any::<bool>(), any::<bool>()),
            ),
            1..40,
        ),
    ) {
        let tenants = TenantPolicies::parse(tenant("default"), &theirs.concat()).unwrap();
        let mine: String = own.into_iter().filter(|text| {
            crate::entry::read_function("default", "hello", text).is_ok()
        }).collect();
        let access = match mine.is_empty() {
            true => preset(access),
            false => Access { waiver: preset(access).waiver, ..self::own(&mine) },
        };
        let calls = Slice::for_function(&revision(access.clone()), &tenants).unwrap();
        let control = Slice::for_tenant(&tenants).unwrap();
        let (home, name) = (tenant("default"), function("hello"));
        let groups = ["staff".to_owned()];
        let team = BTreeMap::from([("team".to_owned(), vec!["red".to_owned()])]);
        for (principal, action, method, path, host, source, tls, later, chain, more) in &questions {
            let (tagged, age_s, bound, on_function) = *more;
            let person = matches!(principal.kind, PrincipalKind::User | PrincipalKind::Service);
            let proof = Proof {
                kind: if bound { "access-token" } else { "api-token" },
                bound,
                issuer: bound.then_some("https://id.example"),
                age_s,
                groups: if tagged { &groups } else { &[] },
                attributes: (tagged && person).then_some(&team),
            };
            let now = NOW.plus_ms(*later);
            let context = Context {
                method, path, host, source: source.parse().unwrap(), tls: *tls, on_behalf_of: host,
                chain, now, proof,
            };
            let tenant_too = action.applies_to("Tenant");
            let resource = match (action.applies_to("Function"), tenant_too && !on_function) {
                (true, false) => Resource::Function(&home, &name),
                _ if tenant_too => Resource::Tenant(&home),
                _ => continue,
            };
            let question = Question { principal, action: *action, resource, context: &context };
            let (slice, waiver) = match action {
                Action::Invoke => (&calls, access.waiver.as_ref()),
                _ => (&control, None),
            };
            if !slice.is_asked(&question) {
                continue;
            }
            let set = in_force(&calls, &tenants, *action);
            prop_assert_eq!(
                sliced(slice, &question), plainly(&set, &question, waiver),
                "{:?}\n{}{}", question, theirs.concat(), mine
            );
        }
    }
}
