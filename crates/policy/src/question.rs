//! What is asked: who, what, of what, and in which circumstances. It never holds an answer.

use std::{collections::BTreeMap, fmt, net::IpAddr};

use model::{FunctionName, Principal, PrincipalKind, TenantId, Timestamp};

use crate::Action;

/// What an action is asked of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Resource<'a> {
    /// The node.
    Node,
    /// A tenant.
    Tenant(&'a TenantId),
    /// A function, which need not be there yet.
    Function(&'a TenantId, &'a FunctionName),
}

impl Resource<'_> {
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Node => "Node",
            Self::Tenant(_) => "Tenant",
            Self::Function(..) => "Function",
        }
    }
}

/// `Function::"default/hello"`: the Cedar entity, as records and people name it.
impl fmt::Display for Resource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node => f.write_str("Node::\"node\""),
            Self::Tenant(tenant) => write!(f, "Tenant::\"{tenant}\""),
            Self::Function(tenant, function) => write!(f, "Function::\"{tenant}/{function}\""),
        }
    }
}

/// The circumstances. Nothing of it may come from a header that a caller can forge, but `method`, `path` and
/// `host`, which are the caller's to choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context<'a> {
    /// `GET`, as it came.
    pub method: &'a str,
    /// The path without its query, as it came.
    pub path: &'a str,
    /// The host without its port, in lowercase.
    pub host: &'a str,
    /// The address at the other end of the connection.
    pub source: IpAddr,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// For whom it is asked: the text of the principal that began the chain of calls (`User::"default/alice"`), which
    /// is the asking one itself where no function stands between.
    pub on_behalf_of: &'a str,
    /// The functions between, by their names, the first first; the last is the asking principal. Empty for everyone
    /// who is no function.
    pub chain: &'a [&'a str],
    /// Now. Policies see it cut to a whole second.
    pub now: Timestamp,
    /// How the principal was proved.
    pub proof: Proof<'a>,
}

/// How a principal was proved, and what else its issuer says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proof<'a> {
    /// The kind of credential: `api-token`, `access-token`, `certificate`, `webhook`, `message-signature`, or `none`.
    pub kind: &'a str,
    /// Whether it was bound to a key or a certificate that the caller holds.
    pub bound: bool,
    /// Who issued an access token.
    pub issuer: Option<&'a str>,
    /// How long ago the proof was made: a token issued, a message signed. In seconds.
    pub age_s: u64,
    /// The groups that an issuer says the principal is in.
    pub groups: &'a [String],
    /// What else an issuer says of it, by the names of the configuration.
    pub attributes: Option<&'a BTreeMap<String, Vec<String>>>,
}

impl Proof<'_> {
    /// A proof of this kind of which there is no more to say.
    pub const fn of(kind: &str) -> Proof<'_> {
        Proof { kind, bound: false, issuer: None, age_s: 0, groups: &[], attributes: None }
    }
}

impl Default for Proof<'_> {
    fn default() -> Self {
        Proof::of("none")
    }
}

/// One question.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Who asks.
    pub principal: &'a Principal,
    /// For what.
    pub action: Action,
    /// Of what.
    pub resource: Resource<'a>,
    /// In which circumstances.
    pub context: &'a Context<'a>,
}

/// Which attributes of the context a policy looks at, one bit for each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Uses(u16);

impl Uses {
    pub(crate) const METHOD: Self = Self(1);
    pub(crate) const PATH: Self = Self(1 << 1);
    pub(crate) const HOST: Self = Self(1 << 2);
    pub(crate) const SOURCE: Self = Self(1 << 3);
    pub(crate) const TLS: Self = Self(1 << 4);
    pub(crate) const TIME: Self = Self(1 << 5);
    pub(crate) const SCOPE: Self = Self(1 << 6);
    pub(crate) const ON_BEHALF_OF: Self = Self(1 << 7);
    pub(crate) const CHAIN: Self = Self(1 << 8);
    pub(crate) const TOKEN: Self = Self(1 << 9);
    pub(crate) const ALL: Self = Self(0x3ff);

    pub(crate) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The attribute of that name; an unknown one counts as all of them.
    pub(crate) fn named(name: &str) -> Self {
        match name {
            "method" => Self::METHOD,
            "path" => Self::PATH,
            "host" => Self::HOST,
            "source" => Self::SOURCE,
            "tls" => Self::TLS,
            "time" => Self::TIME,
            "scope" => Self::SCOPE,
            "onBehalfOf" => Self::ON_BEHALF_OF,
            "chain" => Self::CHAIN,
            "token" => Self::TOKEN,
            _ => Self::ALL,
        }
    }
}

impl Question<'_> {
    /// The time as policies see it.
    pub(crate) const fn second(&self) -> u64 {
        self.context.now.unix_ms() / 1_000
    }

    /// All that a decision can depend on, each part with its length before it, so that two questions with
    /// the same bytes are the same question.
    pub(crate) fn key(&self, uses: Uses) -> Vec<u8> {
        let mut key = Vec::with_capacity(192);
        let mut part = |bytes: &[u8]| {
            key.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
            key.extend_from_slice(bytes);
        };
        let principal = self.principal;
        part(&[
            kind_index(principal.kind) as u8,
            self.action as u8,
            u8::try_from(principal.roles.len()).unwrap_or(u8::MAX),
            u8::from(uses.has(Uses::TLS) && self.context.tls),
        ]);
        part(principal.tenant.as_ref().map_or(b"".as_slice(), |tenant| tenant.as_str().as_bytes()));
        part(principal.name.as_bytes());
        principal.roles.iter().for_each(|role| part(&[*role as u8]));
        part(&u32::try_from(principal.scopes.len()).unwrap_or(u32::MAX).to_le_bytes());
        principal.scopes.iter().for_each(|scope| part(scope.as_bytes()));
        self.claims(&mut part);
        match self.resource {
            Resource::Node => part(b"n"),
            Resource::Tenant(tenant) => part(tenant.as_str().as_bytes()),
            Resource::Function(tenant, function) => {
                part(tenant.as_str().as_bytes());
                part(function.as_str().as_bytes());
            }
        }
        for (used, text) in [
            (Uses::METHOD, self.context.method),
            (Uses::PATH, self.context.path),
            (Uses::HOST, self.context.host),
            (Uses::ON_BEHALF_OF, self.context.on_behalf_of),
        ] {
            if uses.has(used) {
                part(text.as_bytes());
            }
        }
        if uses.has(Uses::SOURCE) {
            match self.context.source.to_canonical() {
                IpAddr::V4(v4) => part(&v4.octets()),
                IpAddr::V6(v6) => part(&v6.octets()),
            }
        }
        if uses.has(Uses::CHAIN) {
            part(&u32::try_from(self.context.chain.len()).unwrap_or(u32::MAX).to_le_bytes());
            self.context.chain.iter().for_each(|name| part(name.as_bytes()));
        }
        if uses.has(Uses::TIME) {
            part(&self.second().to_le_bytes());
        }
        if uses.has(Uses::TOKEN) {
            let proof = &self.context.proof;
            part(proof.kind.as_bytes());
            part(&[u8::from(proof.bound), u8::from(proof.issuer.is_some())]);
            part(proof.issuer.unwrap_or_default().as_bytes());
            part(&proof.age_s.to_le_bytes());
        }
        key
    }

    /// The groups and attributes, which are the principal's: nothing where there are none.
    fn claims(&self, part: &mut impl FnMut(&[u8])) {
        let proof = &self.context.proof;
        let attributes = proof.attributes.filter(|attributes| !attributes.is_empty());
        if proof.groups.is_empty() && attributes.is_none() {
            return part(b"");
        }
        let mut list = |name: &str, values: &[String]| {
            part(name.as_bytes());
            part(&u32::try_from(values.len()).unwrap_or(u32::MAX).to_le_bytes());
            values.iter().for_each(|value| part(value.as_bytes()));
        };
        list("groups", proof.groups);
        attributes.into_iter().flatten().for_each(|(name, values)| list(name, values));
        part(b"end");
    }
}

pub(crate) const KINDS: [PrincipalKind; 4] =
    [PrincipalKind::User, PrincipalKind::Service, PrincipalKind::Function, PrincipalKind::Anonymous];

pub(crate) const fn kind_index(kind: PrincipalKind) -> usize {
    match kind {
        PrincipalKind::User => 0,
        PrincipalKind::Service => 1,
        PrincipalKind::Function => 2,
        PrincipalKind::Anonymous => 3,
    }
}

pub(crate) const fn kind_name(kind: PrincipalKind) -> &'static str {
    match kind {
        PrincipalKind::User => "User",
        PrincipalKind::Service => "Service",
        PrincipalKind::Function => "Function",
        PrincipalKind::Anonymous => "Anonymous",
    }
}
