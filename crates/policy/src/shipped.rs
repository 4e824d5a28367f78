//! The schema and the policies that come with the product, parsed once. It never holds a tenant's text.

use std::sync::{Arc, OnceLock};

use cedar_policy::{Schema, Validator};
use cedar_policy_core::ast::EntityType;

use crate::{
    entry::{self, Entry, Layer},
    errors::{PolicyError, PolicyErrors},
    terms::Terms,
};

/// The Cedar schema that every policy is checked against.
pub const SCHEMA: &str = include_str!("schema.cedarschema");
/// The guard rails: Cedar text that only forbids.
pub const GUARDS: &str = include_str!("guards.cedar");
/// What each role may do: Cedar text.
pub const ROLES: &str = include_str!("roles.cedar");
/// What the presets of `access.allow` stand for: Cedar text.
pub const PRESETS: &str = include_str!("presets.cedar");

/// The names of the entity types, parsed once.
pub(crate) struct Types {
    pub(crate) tenant: EntityType,
    pub(crate) node: EntityType,
    pub(crate) role: EntityType,
    pub(crate) action: EntityType,
    pub(crate) user: EntityType,
    pub(crate) service: EntityType,
    pub(crate) function: EntityType,
    pub(crate) anonymous: EntityType,
}

/// All that is shipped.
pub(crate) struct Shipped {
    pub(crate) validator: Validator,
    pub(crate) terms: Terms,
    pub(crate) guards: Vec<Arc<Entry>>,
    pub(crate) roles: Vec<Arc<Entry>>,
    pub(crate) presets: Vec<Arc<Entry>>,
}

impl Shipped {
    /// The one there is.
    ///
    /// # Errors
    /// If the shipped text is broken, which a test rules out; then nothing is permitted.
    pub(crate) fn get() -> Result<&'static Self, PolicyErrors> {
        static SHIPPED: OnceLock<Result<Shipped, PolicyErrors>> = OnceLock::new();
        SHIPPED.get_or_init(Self::load).as_ref().map_err(Clone::clone)
    }

    fn load() -> Result<Self, PolicyErrors> {
        let (schema, _) = Schema::from_cedarschema_str(SCHEMA)
            .map_err(|error| PolicyError::new(format!("the shipped schema is broken: {error}")))?;
        let validator = Validator::new(schema);
        let read = |text, layer| entry::read(&validator, text, layer);
        Ok(Self {
            guards: read(GUARDS, Layer::Guard)?,
            roles: read(ROLES, Layer::Role)?,
            presets: read(PRESETS, Layer::Preset)?,
            terms: Terms::new().map_err(PolicyError::new)?,
            validator,
        })
    }

    /// The preset's policy.
    ///
    /// # Errors
    /// If none has that id, which a test rules out.
    pub(crate) fn preset(&self, id: &str) -> Result<Arc<Entry>, PolicyError> {
        let found = self.presets.iter().find(|entry| &*entry.id == id).cloned();
        found.ok_or_else(|| PolicyError::new(format!("the shipped policies lack `{id}`")))
    }
}
