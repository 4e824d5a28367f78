//! A request that is permitted now and was not before, for people. It never holds a credential.

use std::collections::BTreeMap;

use cedar_policy::{Entities, EvalResult, Request};
use policy::Asked;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A request, as concrete as one that was asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Witness {
    /// Who asks: `User::"default/alice"`.
    pub principal: String,
    /// Its roles in its tenant.
    pub roles: Vec<String>,
    /// What its credential may be used for.
    pub scopes: Vec<String>,
    /// For what.
    pub action: String,
    /// Of what.
    pub resource: String,
    /// Those circumstances that the policies look at.
    pub context: BTreeMap<String, Value>,
    /// The ids of the policies that permit it.
    pub policies: Vec<String>,
}

impl Witness {
    pub(crate) fn new(asked: &Asked, request: &Request, entities: &Entities, policies: Vec<String>) -> Self {
        let uid = |uid: Option<&cedar_policy::EntityUid>| uid.map(ToString::to_string).unwrap_or_default();
        let principal = request.principal();
        let entity = principal.and_then(|principal| entities.get(principal));
        let above = principal.and_then(|principal| entities.ancestors(principal)).into_iter().flatten();
        let mut roles: Vec<String> = above
            .filter(|uid| uid.type_name().basename() == "Role")
            .map(|uid| uid.id().unescaped().to_owned())
            .collect();
        roles.sort_unstable();
        let scopes = match entity.and_then(|entity| entity.attr("scopes")) {
            Some(Ok(EvalResult::Set(set))) => set.iter().map(plain).collect(),
            _ => Vec::new(),
        };
        let looked_at = serde_json::to_string(&(&asked.old, &asked.new)).unwrap_or_default();
        let names = |name: &str| looked_at.contains(&format!("\"attr\":\"{name}\""));
        let context = request.context().map(context_of).unwrap_or_default();
        Self {
            principal: uid(principal),
            roles,
            scopes,
            action: asked.action.to_string(),
            resource: uid(request.resource()),
            context: context.into_iter().filter(|(name, _)| names(name)).collect(),
            policies,
        }
    }
}

fn context_of(context: &cedar_policy::Context) -> BTreeMap<String, Value> {
    match context.to_json_value() {
        Ok(Value::Object(object)) => object.into_iter().map(|(name, value)| (name, shown(value))).collect(),
        _ => BTreeMap::new(),
    }
}

/// Cedar's escapes for addresses and times as what they stand for: `{"__extn": {"fn": "ip", "arg": "…"}}`, and a
/// time as the length by which it is after, or before, the first of January 1970.
fn shown(value: Value) -> Value {
    let Some(call) = value.get("__extn") else { return value };
    if let Some(text) = call.get("arg") {
        return text.clone();
    }
    let length = call.get("args").and_then(|args| args.get(1)?.get("__extn")?.get("arg")?.as_str());
    let ms = length.and_then(|text| text.strip_suffix("ms")?.parse::<i64>().ok());
    match ms {
        Some(ms) => u64::try_from(ms).map_or_else(
            |_| Value::from(format!("{} ms before 1970", ms.unsigned_abs())),
            |ms| Value::from(model::Timestamp::from_unix_ms(ms).to_string()),
        ),
        None => value,
    }
}

fn plain(value: &EvalResult) -> String {
    match value {
        EvalResult::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// `User::"default/alice" (roles: developer) may `invoke` `Function::"default/hello"` with method "GET"`.
impl std::fmt::Display for Witness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let of = if self.roles.is_empty() { "no role".to_owned() } else { self.roles.join(", ") };
        write!(f, "`{}` ({of}) may `{}` on `{}`", self.principal, self.action, self.resource)?;
        let circumstances = self.context.iter().filter(|(name, _)| *name != "scope");
        for (n, (name, value)) in circumstances.enumerate() {
            write!(f, "{} {name} {value}", if n == 0 { " with" } else { "," })?;
        }
        if !self.policies.is_empty() {
            write!(f, ", by `{}`", self.policies.join("`, `"))?;
        }
        Ok(())
    }
}
