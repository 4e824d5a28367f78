//! A question in Cedar's terms: its request and the two entities that it is about. It builds values, never text that
//! would have to be read again, and never decides.

use std::{
    collections::{BTreeMap, HashSet},
    net::IpAddr,
    sync::Arc,
};

use cedar_policy_core::{
    ast::{
        Context, Eid, Entity, EntityType, EntityUID, EntityUIDEntry, Literal, Name, PartialValue, Request,
        Value,
    },
    entities::{Entities, NoEntitiesSchema, TCComputation},
    evaluator::Evaluator,
    extensions::Extensions,
};
use model::{Principal, PrincipalKind, TenantId, Timestamp, Waiver};
use parking_lot::Mutex;

use crate::{
    Action, Question, Resource,
    question::{Proof, Uses},
    shipped::Types,
};

/// Builds Cedar's values.
pub(crate) struct Terms {
    pub(crate) types: Types,
    nothing: Value,
    everything: Value,
    ip: Name,
    datetime: Name,
    /// The actions, in their order.
    actions: Vec<Arc<EntityUID>>,
    /// The last address that was asked about, and its value: requests of one connection come together.
    source: Mutex<Option<(IpAddr, Value)>>,
    /// The last second that was asked about, and its value: requests come in their order.
    second: Mutex<Option<(u64, Value)>>,
}

/// A question, ready to be evaluated.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) request: Request,
    pub(crate) entities: Entities,
    /// The principal's id and the resource's: `default/alice`.
    pub(crate) principal: Arc<EntityUID>,
    pub(crate) resource: Arc<EntityUID>,
}

/// What is acted on, once for all questions about it.
#[derive(Debug)]
pub(crate) struct Ground {
    uid: Arc<EntityUID>,
    attributes: Attributes,
    tenant: Option<EntityUID>,
    /// The entity alone.
    alone: Entities,
}

type Attributes = Vec<(&'static str, Value)>;

impl Asked {
    /// Cedar's own evaluator of this question.
    pub(crate) fn evaluator(&self) -> Evaluator<'_> {
        Evaluator::new(self.request.clone(), &self.entities, Extensions::all_available())
    }

    /// The same for Cedar's public interface.
    pub(crate) fn whole(&self) -> (cedar_policy::Request, cedar_policy::Entities) {
        (self.request.clone().into(), self.entities.clone().into())
    }
}

impl Terms {
    /// # Errors
    /// If a name that is shipped is none, which a test rules out.
    pub(crate) fn new() -> Result<Self, String> {
        let kind = |name: &str| -> Result<EntityType, String> {
            let name: cedar_policy::EntityTypeName = name.parse().map_err(said)?;
            Ok(name.as_ref().clone())
        };
        let name = |text: &str| Name::parse_unqualified_name(text).map_err(said);
        let actions = kind("Action")?;
        let action = |action: &Action| {
            Arc::new(EntityUID::from_components(actions.clone(), Eid::new(action.as_str()), None))
        };
        Ok(Self {
            actions: Action::ALL.iter().map(action).collect(),
            source: Mutex::new(None),
            types: Types {
                tenant: kind("Tenant")?,
                node: kind("Node")?,
                role: kind("Role")?,
                action: actions.clone(),
                user: kind("User")?,
                service: kind("Service")?,
                function: kind("Function")?,
                anonymous: kind("Anonymous")?,
            },
            nothing: Value::empty_set(None),
            everything: Value::set_of_lits([Literal::String("*".into())], None),
            ip: name("ip")?,
            datetime: name("datetime")?,
            second: Mutex::new(None),
        })
    }

    /// An entity's name.
    pub(crate) fn uid(&self, kind: &EntityType, id: &str) -> EntityUID {
        EntityUID::from_components(kind.clone(), Eid::new(id), None)
    }

    pub(crate) fn principal_uid(&self, principal: &Principal) -> EntityUID {
        let types = &self.types;
        let kind = match principal.kind {
            PrincipalKind::User => &types.user,
            PrincipalKind::Service => &types.service,
            PrincipalKind::Function => &types.function,
            PrincipalKind::Anonymous => &types.anonymous,
        };
        match &principal.tenant {
            Some(tenant) => self.uid(kind, &joined(tenant, &principal.name)),
            None => self.uid(kind, &principal.name),
        }
    }

    pub(crate) fn resource_uid(&self, resource: Resource<'_>) -> EntityUID {
        let types = &self.types;
        match resource {
            Resource::Node => self.uid(&types.node, "node"),
            Resource::Tenant(tenant) => self.uid(&types.tenant, tenant.as_str()),
            Resource::Function(tenant, name) => self.uid(&types.function, &joined(tenant, name.as_str())),
        }
    }

    /// What is acted on, with the waiver of a function that has one.
    ///
    /// # Errors
    /// A sentence, where Cedar does not take a value.
    pub(crate) fn ground(&self, resource: Resource<'_>, waiver: Option<&Waiver>) -> Result<Ground, String> {
        let uid = Arc::new(self.resource_uid(resource));
        let (mut attributes, mut home) = (Attributes::new(), None);
        if let Resource::Function(tenant, name) = resource {
            let tenant = self.uid(&self.types.tenant, tenant.as_str());
            attributes.push(("tenant", entity(tenant.clone())));
            attributes.push(("name", text(name.as_str())));
            attributes.push(("scopes", self.nothing.clone()));
            attributes.push(("groups", self.nothing.clone()));
            if let Some(waiver) = waiver {
                let until = self.datetime(waiver.until)?;
                let waiver = Value::record([("reason", text(&waiver.reason)), ("until", until)], None);
                attributes.push(("waiver", waiver));
            }
            home = Some(tenant);
        }
        let parents = home.iter().cloned().collect();
        let alone = Entity::new_with_attr_partial_value(
            (*uid).clone(),
            known(attributes.clone()),
            HashSet::new(),
            parents,
            [],
        );
        Ok(Ground { uid, attributes, tenant: home, alone: only(alone)? })
    }

    /// Turns a question into Cedar's terms. The context holds only what some policy looks at, so that a
    /// decision cannot depend on anything that is not in its key.
    ///
    /// # Errors
    /// A sentence, where Cedar does not take a value.
    pub(crate) fn ask(&self, question: &Question<'_>, ground: &Ground, uses: Uses) -> Result<Asked, String> {
        let uid = Arc::new(self.principal_uid(question.principal));
        // A function that calls itself is one entity, with both halves: of two values, the later counts.
        let itself = *uid == *ground.uid;
        let mut attributes = if itself { ground.attributes.clone() } else { Attributes::with_capacity(4) };
        let mut parents = self.describe(question, &mut attributes);
        parents.extend(ground.tenant.clone().filter(|_| itself));
        let claims = question.context.proof.attributes.filter(|_| !itself).into_iter().flatten();
        let tags = claims.map(|(name, values)| (name.into(), self.texts(values).into()));
        let principal = Entity::new_with_attr_partial_value(
            (*uid).clone(),
            known(attributes),
            HashSet::new(),
            parents,
            tags,
        );
        let entities = if itself { only(principal)? } else { beside(&ground.alone, principal)? };
        let known = |euid: &Arc<EntityUID>| EntityUIDEntry::Known { euid: Arc::clone(euid), loc: None };
        let action = self.actions.get(question.action as usize).ok_or("the action is not known")?;
        let context = self.context(question, uses)?;
        let request = Request::new_unchecked(known(&uid), known(action), known(&ground.uid), Some(context));
        Ok(Asked { request, entities, principal: uid, resource: Arc::clone(&ground.uid) })
    }

    /// Adds a principal's attributes and says what it is in.
    fn describe(&self, question: &Question<'_>, attributes: &mut Attributes) -> HashSet<EntityUID> {
        let principal = question.principal;
        attributes.push(("scopes", self.texts(&principal.scopes)));
        attributes.push(("groups", self.texts(question.context.proof.groups)));
        let roles = principal.roles.iter().map(|role| self.uid(&self.types.role, role.as_str()));
        let mut parents: HashSet<_> = roles.collect();
        if let Some(tenant) = &principal.tenant {
            let uid = self.uid(&self.types.tenant, tenant.as_str());
            attributes.push(("tenant", entity(uid.clone())));
            attributes.push(("name", text(&principal.name)));
            parents.insert(uid);
        }
        parents
    }

    fn context(&self, question: &Question<'_>, uses: Uses) -> Result<Context, String> {
        let asked = question.context;
        let mut members = BTreeMap::new();
        let mut add = |name: &'static str, value: Value| drop(members.insert(name.into(), value));
        for (used, name, value) in [
            (Uses::METHOD, "method", asked.method),
            (Uses::PATH, "path", asked.path),
            (Uses::HOST, "host", asked.host),
            (Uses::SCOPE, "scope", question.action.as_str()),
            (Uses::ON_BEHALF_OF, "onBehalfOf", asked.on_behalf_of),
        ] {
            if uses.has(used) {
                add(name, text(value));
            }
        }
        if uses.has(Uses::TLS) {
            add("tls", Value::new(asked.tls, None));
        }
        if uses.has(Uses::SOURCE) {
            add("source", self.source(asked.source.to_canonical())?);
        }
        if uses.has(Uses::TIME) {
            add("time", self.now(asked.now)?);
        }
        if uses.has(Uses::CHAIN) {
            add("chain", chain(asked.chain));
        }
        if uses.has(Uses::TOKEN) {
            add("token", token(&asked.proof));
        }
        Ok(Context::Value(Arc::new(members)))
    }

    fn texts(&self, texts: &[String]) -> Value {
        match texts {
            [] => self.nothing.clone(),
            [all] if all == "*" => self.everything.clone(),
            texts => Value::set_of_lits(texts.iter().map(|text| Literal::String(text.into())), None),
        }
    }

    /// A request's address.
    fn source(&self, address: IpAddr) -> Result<Value, String> {
        let known = self.source.lock().clone();
        if let Some((_, value)) = known.filter(|(last, _)| *last == address) {
            return Ok(value);
        }
        let value = called(&self.ip, &address.to_string())?;
        *self.source.lock() = Some((address, value.clone()));
        Ok(value)
    }

    /// A request's time.
    fn now(&self, time: Timestamp) -> Result<Value, String> {
        let second = time.unix_ms() / 1_000;
        let mut last = self.second.lock();
        if let Some((known, value)) = &*last
            && *known == second
        {
            return Ok(value.clone());
        }
        let value = self.datetime(time)?;
        *last = Some((second, value.clone()));
        Ok(value)
    }

    /// A time cut to its second: the grain at which decisions are remembered. Both sides of a comparison are cut,
    /// so a waiver ends up to a second early, never late.
    fn datetime(&self, time: Timestamp) -> Result<Value, String> {
        called(&self.datetime, &cut_to_second(time))
    }
}

/// A time as policies see it: `2026-11-23T10:00:00.000Z`, the milliseconds always zero.
pub(crate) fn cut_to_second(time: Timestamp) -> String {
    Timestamp::from_unix_ms(time.unix_ms() / 1_000 * 1_000).to_string()
}

fn joined(tenant: &TenantId, name: &str) -> String {
    let mut id = String::with_capacity(tenant.as_str().len() + 1 + name.len());
    id.push_str(tenant.as_str());
    id.push('/');
    id.push_str(name);
    id
}

fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn text(text: &str) -> Value {
    Value::new(Literal::String(text.into()), None)
}

fn entity(uid: EntityUID) -> Value {
    Value::new(Literal::EntityUID(Arc::new(uid)), None)
}

/// What one of Cedar's extension functions makes of a text.
fn called(name: &Name, argument: &str) -> Result<Value, String> {
    let function = Extensions::all_available().func(name).map_err(said)?;
    match function.call(&[text(argument)]).map_err(said)? {
        PartialValue::Value(value) => Ok(value),
        PartialValue::Residual(_) => Err(format!("`{argument}` is no value")),
    }
}

fn known<T: From<&'static str>>(attributes: Attributes) -> impl Iterator<Item = (T, PartialValue)> {
    attributes.into_iter().map(|(name, value)| (T::from(name), PartialValue::Value(value)))
}

/// Nothing is in what is in something else here, so there is nothing to close over.
fn only(entity: Entity) -> Result<Entities, String> {
    beside(&Entities::new(), entity)
}

fn beside(others: &Entities, entity: Entity) -> Result<Entities, String> {
    let (closed, extensions) = (TCComputation::AssumeAlreadyComputed, Extensions::all_available());
    let one = std::iter::once(Arc::new(entity));
    others.clone().add_entities(one, None::<&NoEntitiesSchema>, closed, extensions).map_err(said)
}

fn chain(functions: &[&str]) -> Value {
    let depth = i64::try_from(functions.len()).unwrap_or(i64::MAX);
    let names = functions.iter().map(|name| Literal::String((*name).into()));
    let members = [("depth", Value::new(depth, None)), ("functions", Value::set_of_lits(names, None))];
    Value::record(members, None)
}

fn token(proof: &Proof<'_>) -> Value {
    let age_s = i64::try_from(proof.age_s).unwrap_or(i64::MAX);
    let members = [
        ("kind", text(proof.kind)),
        ("bound", Value::new(proof.bound, None)),
        ("age_s", Value::new(age_s, None)),
    ];
    Value::record(members.into_iter().chain(proof.issuer.map(|issuer| ("issuer", text(issuer)))), None)
}
