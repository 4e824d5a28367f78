//! Policies on a desk: a tenant's text and its functions' manifests, asked without a node. It opens no connection.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use model::{
    Access, FunctionName, Limits, Manifest, Principal, PrincipalKind, RevisionNumber, Role, TenantId,
    Timestamp,
};
use policy::{
    Action, Context, Explanation, PolicyError, PolicyErrors, Proof, Question, Resource, Slice, TenantPolicies,
};

use crate::{
    cli, clock,
    exit::{Exit, Failure},
    project::MANIFEST,
};

/// What stands.
pub(super) struct Desk {
    pub(super) policies: TenantPolicies,
    pub(super) functions: BTreeMap<FunctionName, Access>,
}

/// Who asks for what, of what, in which circumstances.
pub(super) struct Case {
    pub(super) principal: Principal,
    pub(super) action: Action,
    on: String,
    method: String,
    path: String,
    host: String,
    source: std::net::IpAddr,
    tls: bool,
    on_behalf_of: String,
    through: Vec<String>,
    proof: String,
    bound: bool,
    issuer: Option<String>,
    age_s: u64,
    groups: Vec<String>,
    at: Timestamp,
}

impl Desk {
    /// Reads a tenant's policies and the manifests of its functions.
    ///
    /// # Errors
    /// If a file cannot be read, or says what does not hold: with file, line and column.
    pub(super) fn open(tenant: &TenantId, files: &[PathBuf], folders: &[PathBuf]) -> Result<Self, Failure> {
        let policies = read_policies(tenant, files)?;
        let mut functions = BTreeMap::new();
        for folder in folders {
            let file = if folder.is_dir() { folder.join(MANIFEST) } else { folder.clone() };
            let text = fs::read_to_string(&file).map_err(|e| Failure::file("read", &file, &e))?;
            let manifest = Manifest::parse(&text, &Limits::CEILING)
                .map_err(|error| Failure::new(Exit::Invalid, format!("{}: {error}", file.display())))?;
            policy::check_access(tenant, &manifest.name, &manifest.access).map_err(|errors| {
                Failure::new(Exit::Invalid, format!("{}: `access.policy`: {errors}", file.display()))
                    .next("lines are counted from the beginning of the policy's text")
            })?;
            functions.insert(manifest.name, manifest.access);
        }
        Ok(Self { policies, functions })
    }

    /// The functions with who may call each.
    pub(super) fn list(&self) -> Vec<(FunctionName, Access)> {
        self.functions.iter().map(|(name, access)| (name.clone(), access.clone())).collect()
    }

    /// Decides a case and says why.
    ///
    /// # Errors
    /// If it is about a function that is not on the desk.
    pub(super) fn explain(&self, case: &Case) -> Result<Explanation, Failure> {
        let tenant = self.policies.tenant();
        let invalid = |error: PolicyErrors| Failure::new(Exit::Invalid, error);
        let named: FunctionName;
        let resource = match case.on.as_str() {
            "tenant" => Resource::Tenant(tenant),
            "node" => Resource::Node,
            name => {
                named = name.parse().map_err(|e| Failure::new(Exit::Invalid, e))?;
                Resource::Function(tenant, &named)
            }
        };
        let slice = match (case.action, resource) {
            (Action::Invoke, Resource::Function(_, name)) => {
                let access = self.functions.get(name).ok_or_else(|| {
                    Failure::new(Exit::Invalid, format!("there is no manifest of `{name}` here"))
                        .next("name its folder with `--function`, or under `functions` of the table")
                })?;
                Slice::for_access((tenant, name, RevisionNumber(1)), access, &self.policies)
                    .map_err(invalid)?
            }
            (_, Resource::Node) => Slice::for_node().map_err(invalid)?,
            _ => Slice::for_tenant(&self.policies).map_err(invalid)?,
        };
        let through: Vec<&str> = case.through.iter().map(String::as_str).collect();
        let context = Context {
            method: &case.method,
            path: &case.path,
            host: &case.host,
            source: case.source,
            tls: case.tls,
            on_behalf_of: &case.on_behalf_of,
            chain: &through,
            now: case.at,
            proof: Proof {
                bound: case.bound,
                issuer: case.issuer.as_deref(),
                age_s: case.age_s,
                groups: &case.groups,
                ..Proof::of(&case.proof)
            },
        };
        let question =
            Question { principal: &case.principal, action: case.action, resource, context: &context };
        Ok(slice.explain(&question))
    }
}

impl Case {
    /// Reads what was typed.
    ///
    /// # Errors
    /// If something of it is no principal, role or action.
    pub(super) fn read(tenant: &TenantId, asked: &cli::Asked) -> Result<Self, Failure> {
        let invalid = |what: String| Failure::new(Exit::Invalid, what);
        let mut principal = principal(tenant, asked.who.as_deref().unwrap_or_default())?;
        for role in &asked.roles {
            let found = Role::ALL.iter().find(|known| known.as_str() == role);
            principal.roles.push(*found.ok_or_else(|| invalid(format!("`{role}` is no role")))?);
        }
        if !asked.scopes.is_empty() {
            principal.scopes.clone_from(&asked.scopes);
        }
        let does = asked.does.as_deref().unwrap_or_default();
        let itself = || principal.to_string();
        Ok(Self {
            on_behalf_of: asked.on_behalf_of.clone().unwrap_or_else(itself),
            through: asked.through.clone(),
            proof: asked.proof.clone(),
            bound: asked.bound,
            issuer: asked.issuer.clone(),
            age_s: asked.age,
            groups: asked.groups.clone(),
            principal,
            action: does.parse().map_err(|e: policy::UnknownAction| invalid(e.to_string()))?,
            on: asked.on.clone().unwrap_or_else(|| "tenant".to_owned()),
            method: asked.method.clone(),
            path: asked.path.clone(),
            host: asked.host.clone(),
            source: asked.source.unwrap_or(std::net::Ipv4Addr::LOCALHOST.into()),
            tls: !asked.plain,
            at: asked.at.unwrap_or_else(clock::now),
        })
    }
}

/// `alice`, `service:ci`, `function:hello`, `anonymous`, or `User::"default/alice"`.
fn principal(tenant: &TenantId, text: &str) -> Result<Principal, Failure> {
    let bad = || {
        Failure::new(Exit::Invalid, format!("`{text}` is nobody"))
            .next("write `alice`, `service:ci`, `function:hello`, `anonymous` or `User::\"default/alice\"`")
    };
    if text == "anonymous" || text == "Anonymous::\"anonymous\"" {
        return Ok(Principal::anonymous());
    }
    let named = |kind: &str| match kind {
        "User" | "user" => Some(PrincipalKind::User),
        "Service" | "service" => Some(PrincipalKind::Service),
        "Function" | "function" => Some(PrincipalKind::Function),
        _ => None,
    };
    let (kind, home, name) = match (text.split_once("::\""), text.split_once(':')) {
        (Some((kind, rest)), _) => {
            let (home, name) = rest.trim_end_matches('"').split_once('/').ok_or_else(bad)?;
            (named(kind).ok_or_else(bad)?, home.parse().map_err(|_| bad())?, name)
        }
        // `corp:alice` is a name of its own.
        (None, Some((kind, name))) if named(kind).is_some() => {
            (named(kind).ok_or_else(bad)?, tenant.clone(), name)
        }
        _ => (PrincipalKind::User, tenant.clone(), text),
    };
    if name.is_empty() {
        return Err(bad());
    }
    let (roles, scopes) = (Vec::new(), vec!["*".to_owned()]);
    Ok(Principal { kind, tenant: Some(home), name: name.to_owned(), roles, scopes, token: None })
}

/// All files are one text to the tenant; what is wrong is said of its own file.
fn read_policies(tenant: &TenantId, files: &[PathBuf]) -> Result<TenantPolicies, Failure> {
    let mut all = String::new();
    for file in files {
        let text = super::read_text(file)?;
        TenantPolicies::parse(tenant.clone(), &text).map_err(|errors| wrong(file, &errors))?;
        all.push_str(&text);
        all.push('\n');
    }
    TenantPolicies::parse(tenant.clone(), &all).map_err(|errors| match files {
        [file] => wrong(file, &errors),
        _ => Failure::new(Exit::Invalid, format!("all files together: {errors}")),
    })
}

fn wrong(file: &Path, errors: &PolicyErrors) -> Failure {
    let one = |error: &PolicyError| {
        let place = match error.at {
            Some((line, column)) => format!("{}:{line}:{column}", file.display()),
            None => file.display().to_string(),
        };
        let help = error.suggestion.as_ref().map(|text| format!(" ({text})")).unwrap_or_default();
        format!("{place}: {}{help}", error.message)
    };
    let all: Vec<String> = errors.0.iter().map(one).collect();
    Failure::new(Exit::Invalid, all.join("\n")).next(
        "docs/policies.md has the schema; its entities are Function, Tenant, Node, User, Service and Role",
    )
}
