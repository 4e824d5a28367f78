//! Functions as callers: who a run may call as, for whom it does so, and the chain of calls in which it stands. It
//! never reads a header: a chain is made of proofs, link by link, and of nothing that a function says.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use model::{FunctionName, Principal, PrincipalKind, RevisionNumber, TenantId, limits};

use crate::{Caller, certificate::spiffe::is_trust_domain};

/// What a function may ask for as a caller: calls of functions, and nothing else.
const SCOPE: &str = "invoke";

/// The one authority of a node over the identities of its functions. It is not cloned and not handed around: whoever
/// starts runs holds it, and knows the callers that it made from all others ([`Functions::vouches_for`]).
#[derive(Debug)]
pub struct Functions {
    id: u64,
    trust_domain: Box<str>,
}

/// A text that is no trust domain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no trust domain: write at most 255 characters of a-z, 0-9, `.`, `-` and `_`")]
pub struct TrustDomainError(String);

/// One run of a function, for which it may call others: made of the proof of who called it. Only
/// [`Functions::began`] makes one.
#[derive(Debug)]
pub struct Running {
    caller: Caller,
    link: Link,
    /// Calls made so far by the whole chain, counted from the first on.
    calls: OnceLock<Arc<AtomicU32>>,
}

/// A function in a chain of calls, as the revision that ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    tenant: TenantId,
    function: FunctionName,
    revision: RevisionNumber,
}

/// The chain behind a caller that is a function: who began it, and the functions between, of which the last is the
/// caller.
#[derive(Debug)]
pub struct Chain {
    authority: u64,
    origin: Arc<str>,
    links: Vec<Link>,
    calls: Arc<AtomicU32>,
}

/// Why a run may not call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoCall {
    /// Its chain is as long as any may be.
    #[error("a chain has at most {} functions", limits::CHAIN_DEPTH_MAX)]
    Depth,
    /// The request that began the chain has caused as many calls as any may cause.
    #[error("a request causes at most {} calls between functions", limits::CHAIN_CALLS_MAX)]
    Calls,
}

impl NoCall {
    /// The stable code, in kebab case.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Depth => "call-depth",
            Self::Calls => "call-count",
        }
    }
}

impl Functions {
    /// An authority of its own, whatever others of the same trust domain there are.
    ///
    /// # Errors
    /// What is no trust domain (SPIFFE-ID §2.1).
    pub fn new(trust_domain: &str) -> Result<Self, TrustDomainError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        if !is_trust_domain(trust_domain) {
            return Err(TrustDomainError(trust_domain.chars().take(80).collect()));
        }
        Ok(Self { id: NEXT.fetch_add(1, Ordering::Relaxed), trust_domain: trust_domain.into() })
    }

    /// The id of a function: `spiffe://TRUST-DOMAIN/TENANT/FUNCTION` (SPIFFE-ID §2). It is that of all its revisions.
    pub fn id_of(&self, tenant: &TenantId, function: &FunctionName) -> String {
        format!("spiffe://{}/{tenant}/{function}", self.trust_domain)
    }

    /// The token of a run that begins: what it calls others with, for as long as it is held.
    pub fn began(
        &self,
        caller: &Caller,
        tenant: &TenantId,
        function: &FunctionName,
        revision: RevisionNumber,
    ) -> Running {
        let calls = caller.chain().map_or_else(OnceLock::new, |chain| OnceLock::from(chain.calls.clone()));
        let link = Link { tenant: tenant.clone(), function: function.clone(), revision };
        Running { caller: caller.clone(), link, calls }
    }

    /// The function of a run as a caller, for one call: on behalf of whoever began its chain.
    ///
    /// # Errors
    /// [`NoCall`]: loops end here, since every turn of one is a link.
    pub fn caller(&self, running: &Running) -> Result<Caller, NoCall> {
        let before = running.caller.chain();
        let mut links = before.map_or_else(Vec::new, |chain| chain.links.clone());
        links.push(running.link.clone());
        if links.len() >= limits::CHAIN_DEPTH_MAX {
            return Err(NoCall::Depth);
        }
        let calls = running.calls.get_or_init(Arc::default);
        let one_more = |made: u32| (made < limits::CHAIN_CALLS_MAX).then_some(made + 1);
        if calls.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_err() {
            return Err(NoCall::Calls);
        }
        let origin = before.map_or_else(|| running.caller.key().into(), |chain| chain.origin.clone());
        let chain = Chain { authority: self.id, origin, links, calls: calls.clone() };
        Ok(crate::caller::caller(running.principal()).through(chain))
    }

    /// Whether a caller is no function, or a function for which this very authority made it.
    pub fn vouches_for(&self, caller: &Caller) -> bool {
        match (caller.principal().kind, caller.chain()) {
            (PrincipalKind::Function, Some(chain)) => chain.authority == self.id,
            (PrincipalKind::Function, None) | (_, Some(_)) => false,
            (_, None) => true,
        }
    }
}

impl Running {
    /// The function as a principal.
    pub fn principal(&self) -> Principal {
        Principal {
            kind: PrincipalKind::Function,
            tenant: Some(self.link.tenant.clone()),
            name: self.link.function.to_string(),
            roles: Vec::new(),
            scopes: vec![SCOPE.into()],
            token: None,
        }
    }

    /// Who called it.
    pub const fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The functions of its chain with itself as the last.
    pub fn links(&self) -> impl Iterator<Item = &Link> {
        let before = self.caller.chain().map_or(&[][..], |chain| &chain.links);
        before.iter().chain([&self.link])
    }
}

impl Chain {
    /// Who began it: the text of the principal that called the first function.
    pub fn origin(&self) -> &Arc<str> {
        &self.origin
    }

    /// The functions between, the first first; at least one.
    pub fn links(&self) -> &[Link] {
        &self.links
    }
}

impl PartialEq for Chain {
    fn eq(&self, other: &Self) -> bool {
        (self.authority, &self.origin, &self.links) == (other.authority, &other.origin, &other.links)
    }
}

impl Eq for Chain {}

impl Link {
    /// Whose function.
    pub const fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// Its name.
    pub const fn function(&self) -> &FunctionName {
        &self.function
    }

    /// The revision that ran.
    pub const fn revision(&self) -> RevisionNumber {
        self.revision
    }
}

/// `default/orders@r3`: as records and headers name it.
impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.tenant, self.function, self.revision)
    }
}

#[cfg(test)]
mod tests;
