//! Policies in Cedar's JSON form (its "EST"): compared, cut into parts, with what is known put in its place. It never
//! decides.

use cedar_policy::Policy;
use model::{Principal, Waiver};
use serde_json::{Value, json};

use crate::{errors::PolicyError, terms::cut_to_second};

/// One part of a policy that must hold for the policy to apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    /// `principal`, `action`, `resource`, `when` or `unless`.
    pub(crate) kind: &'static str,
    /// A policy that applies where this part holds.
    pub(crate) policy: Value,
}

/// The policy without its name and other annotations: two that are equal here mean the same.
pub(crate) fn of(policy: &Policy) -> Result<Value, PolicyError> {
    let named = |message: String| PolicyError::new(message).of(policy.id().as_ref());
    let mut value = policy.to_json().map_err(|error| named(error.to_string()))?;
    if let Some(object) = value.as_object_mut() {
        object.remove("annotations");
    }
    Ok(value)
}

/// Each part of a policy by itself: the three of its scope that say anything, and the conjuncts of its conditions.
pub(crate) fn parts(policy: &Value) -> Vec<Part> {
    let all = json!({ "op": "All" });
    let bare = json!({
        "effect": "permit", "principal": all, "action": all, "resource": all, "conditions": [],
    });
    let with = |key: &str, value: Value| {
        let mut policy = bare.clone();
        if let Some(object) = policy.as_object_mut() {
            object.insert(key.to_owned(), value);
        }
        policy
    };
    let mut parts = Vec::new();
    for kind in ["principal", "action", "resource"] {
        let scope = policy.get(kind).filter(|scope| scope.get("op").is_some_and(|op| op != "All"));
        parts.extend(scope.map(|scope| Part { kind, policy: with(kind, scope.clone()) }));
    }
    for condition in policy.get("conditions").and_then(Value::as_array).into_iter().flatten() {
        let Some(body) = condition.get("body") else { continue };
        let unless = condition.get("kind").is_some_and(|kind| kind == "unless");
        let (kind, joint) = if unless { ("unless", "||") } else { ("when", "&&") };
        for body in joined(body, joint) {
            let clause = json!([{ "kind": kind, "body": body }]);
            parts.push(Part { kind, policy: with("conditions", clause) });
        }
    }
    parts
}

/// The operands of a chain of one operator, from the left. A chain is read from its right end, which is not deep.
fn joined<'v>(mut body: &'v Value, joint: &str) -> Vec<&'v Value> {
    let mut found = Vec::new();
    while let Some(pair) = body.get(joint) {
        let (Some(left), Some(right)) = (pair.get("left"), pair.get("right")) else { break };
        found.push(right);
        body = left;
    }
    found.push(body);
    found.reverse();
    found
}

/// Puts the function's waiver, or that it has none, in the place of each question about it, so that policies about
/// two revisions of one function can be compared.
pub(crate) fn with_waiver(policy: &mut Value, waiver: Option<&Waiver>) {
    replace(policy, &mut |node| {
        let asks = |name: &str| {
            let inner = node.get(name)?;
            (inner.get("attr")? == "waiver" && inner.get("left")?.get("Var")? == "resource").then_some(())
        };
        if asks("has").is_some() {
            return Some(json!({ "Value": waiver.is_some() }));
        }
        asks(".")?;
        let waiver = waiver?;
        Some(json!({ "Record": {
            "reason": { "Value": waiver.reason },
            "until": { "datetime": [{ "Value": cut_to_second(waiver.until) }] },
        } }))
    });
}

/// Puts the scope that an action wants in the place of `context.scope`.
pub(crate) fn with_scope(policy: &mut Value, scope: &str) {
    replace(policy, &mut |node| {
        let inner = node.get(".")?;
        let asked = inner.get("attr")? == "scope" && inner.get("left")?.get("Var")? == "context";
        asked.then(|| json!({ "Value": scope }))
    });
}

/// Puts a principal's tenant, name and scopes in the place of each question about them, so that they are known where
/// its other attributes are not.
pub(crate) fn with_principal(policy: &mut Value, principal: &Principal) {
    replace(policy, &mut |node| {
        let about = |form: &str| {
            let inner = node.get(form)?;
            let of = inner.get("left")?.get("Var")? == "principal";
            inner.get("attr")?.as_str().filter(|_| of)
        };
        if let Some("tenant" | "name") = about("has") {
            return Some(json!({ "Value": principal.tenant.is_some() }));
        }
        let tenant = principal.tenant.as_ref();
        match about(".")? {
            "tenant" => {
                Some(json!({ "Value": { "__entity": { "type": "Tenant", "id": tenant?.as_str() } } }))
            }
            "name" => tenant.map(|_| json!({ "Value": principal.name })),
            "scopes" => {
                let scopes: Vec<Value> = principal.scopes.iter().map(|s| json!({ "Value": s })).collect();
                Some(json!({ "Set": scopes }))
            }
            _ => None,
        }
    });
}

/// Puts what `with` says in the place of each node of which it says something.
fn replace(node: &mut Value, with: &mut impl FnMut(&Value) -> Option<Value>) {
    if let Some(other) = with(node) {
        *node = other;
        return;
    }
    match node {
        Value::Array(list) => list.iter_mut().for_each(|node| replace(node, with)),
        Value::Object(object) => object.values_mut().for_each(|node| replace(node, with)),
        _ => {}
    }
}

/// The entities that a policy names: type and id.
pub(crate) fn named(node: &Value) -> Vec<(String, String)> {
    let text = |of: &Value, name: &str| Some(of.get(name)?.as_str()?.to_owned());
    let mut found: Vec<(String, String)> = text(node, "type").zip(text(node, "id")).into_iter().collect();
    match node {
        Value::Array(list) => found.extend(list.iter().flat_map(named)),
        Value::Object(object) => found.extend(object.values().flat_map(named)),
        _ => {}
    }
    found
}

/// Whether the text may look at a waiver of anything but the resource.
pub(crate) fn asks_odd_waiver(node: &Value) -> bool {
    match node {
        Value::Array(list) => list.iter().any(asks_odd_waiver),
        Value::Object(object) => object.iter().any(|(name, inner)| {
            let waiver = (name == "has" || name == ".") && inner.get("attr").is_some_and(|a| a == "waiver");
            let of = inner.get("left").and_then(|left| left.get("Var"));
            (waiver && of.is_none_or(|of| of != "resource")) || asks_odd_waiver(inner)
        }),
        _ => false,
    }
}

/// Operators that cannot fail on values of their types (Cedar's reference, "operators"). What is not among them may:
/// whole numbers and times that grow too large.
const NEVER_FAIL: &[&str] = &[
    "Value",
    "Var",
    "!",
    "==",
    "!=",
    "<",
    "<=",
    ">",
    ">=",
    "&&",
    "||",
    "in",
    "has",
    ".",
    "like",
    "is",
    "if-then-else",
    "Set",
    "Record",
    "contains",
    "containsAll",
    "containsAny",
    "isEmpty",
    "ip",
    "decimal",
    "datetime",
    "duration",
    "isInRange",
    "isIpv4",
    "isIpv6",
    "isLoopback",
    "isMulticast",
    "lessThan",
    "lessThanOrEqual",
    "greaterThan",
    "greaterThanOrEqual",
];

/// Whether evaluating a policy that fits the schema may fail: arithmetic, or an attribute of an entity that is named
/// in the text and need not be there. A policy that fails denies, so that its going away may permit.
pub(crate) fn may_fail(policy: &Value) -> bool {
    let conditions = policy.get("conditions").and_then(Value::as_array).into_iter().flatten();
    conditions.filter_map(|condition| condition.get("body")).any(fails)
}

fn fails(node: &Value) -> bool {
    let Some(object) = node.as_object() else { return false };
    object.iter().any(|(name, inner)| {
        if !NEVER_FAIL.contains(&name.as_str()) {
            return true;
        }
        match name.as_str() {
            "Value" | "Var" => false,
            "." | "has" => inner.get("left").is_none_or(|left| !is_of_request(left)),
            "Record" => inner.as_object().is_some_and(|fields| fields.values().any(fails)),
            _ => operands(inner).any(fails),
        }
    })
}

/// Whether it is an attribute of the request's own principal, resource or context: those are there.
fn is_of_request(node: &Value) -> bool {
    match (node.get("Var"), node.get(".").and_then(|inner| inner.get("left"))) {
        (Some(_), _) => true,
        (None, Some(left)) => is_of_request(left),
        (None, None) => false,
    }
}

fn operands(inner: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    match inner {
        Value::Array(list) => Box::new(list.iter()),
        Value::Object(object) => Box::new(object.values()),
        _ => Box::new(std::iter::empty()),
    }
}

/// A policy's Cedar text without line breaks.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What stands between a policy's parentheses or braces: `principal == User::"t/a"`, or a condition.
pub(crate) fn text_of(part: &Part, policy: &Policy) -> String {
    let text = policy.to_cedar().map(|text| one_line(&text)).unwrap_or_default();
    let inner = match part.kind {
        "when" | "unless" => text.find('{').zip(text.rfind('}')),
        _ => text.find('(').zip(text.rfind(')')),
    };
    let inner = inner.and_then(|(from, to)| text.get(from + 1..to)).unwrap_or(&text).trim();
    match part.kind {
        "when" | "unless" => inner.to_owned(),
        kind => {
            let said = inner.split(", ").skip_while(|piece| !piece.starts_with(kind));
            let next = |piece: &&str| !["action", "resource"].iter().any(|n| *n != kind && *piece == *n);
            said.take_while(next).collect::<Vec<_>>().join(", ")
        }
    }
}
