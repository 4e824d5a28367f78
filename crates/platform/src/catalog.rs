//! What is deployed, in memory, as requests see it: tenants, functions, routes, slices of policies. It never
//! writes to the store.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use egress::Destinations;
use http::{Method, request::Parts};
use identity::Accept;
use model::{FunctionName, Limits, Revision, Tenant, TenantId, limits};
use parking_lot::RwLock;
use policy::{PolicyErrors, Slice, TenantPolicies};
use shield::inspect::Memory;
use store::TenantStore;

use crate::{
    call::Refusals,
    code::CodeSlot,
    defence::ProfileRoom,
    gate::Gate,
    identities::Room,
    logs::FunctionLog,
    meter::{Meter, Totals},
    own::{TenantNow, TenantRoom},
    quota::Quota,
    recent::Sampled,
    routes::{RouteMiss, RouteTable, RouteTaken},
    rules::GuardSlot,
    shelf::FunctionRecord,
};

/// What a route leads to: one revision of a function with all that is needed to call it.
pub struct Target {
    pub(crate) tenant: Tenant,
    pub(crate) quota: Quota,
    pub(crate) revision: Arc<Revision>,
    pub(crate) slice: Slice,
    /// Whom the tenant accepts, as it stands.
    pub(crate) identity: Arc<Room>,
    /// Which of these credentials this function takes, and which some of its routes do.
    pub(crate) accept: Accepts,
    /// Whose requests it takes, and how often.
    pub(crate) own: shield::Own,
    /// Whose its tenant takes.
    pub(crate) room: Arc<TenantRoom>,
    pub(crate) gate: Gate,
    pub(crate) code: Arc<CodeSlot>,
    pub(crate) destinations: Arc<Destinations>,
    pub(crate) life: Arc<Life>,
    /// What looks at its requests.
    pub(crate) guard: GuardSlot,
    /// What rules keep from request to request, of the whole tenant.
    pub(crate) rule_memory: Arc<Memory>,
    /// `Function::"default/hello"`, as policies and records name it.
    pub(crate) resource: Arc<str>,
}

/// Where one function answers, and which credentials it takes there.
pub(crate) struct Accepts {
    /// What it takes at all.
    all: Accept,
    /// What those routes take that say so.
    own: Vec<Accept>,
    /// Each route with its place among those.
    routes: RouteTable<Option<usize>>,
}

impl Accepts {
    pub(crate) fn new(revision: &Revision) -> Self {
        let (mut own, mut routes) = (Vec::new(), RouteTable::default());
        for route in &revision.routes {
            let place = (!route.accept.is_empty()).then_some(own.len());
            own.extend(place.map(|_| Accept::named(&route.accept)));
            // Routes of one function cannot be in each other's way.
            let _never = routes.add(revision.function.as_str(), std::slice::from_ref(route), &place);
        }
        Self { all: Accept::named(&revision.access.accept), own, routes }
    }

    /// What it takes on the route that a request came by.
    pub(crate) fn on(&self, head: &Parts) -> &Accept {
        let found = || self.routes.find(&head.method, head.uri.path()).ok().flatten();
        let place = if self.own.is_empty() { None } else { found() };
        place.and_then(|place| self.own.get(place)).unwrap_or(&self.all)
    }
}

/// What outlives the revisions of a function.
pub(crate) struct Life {
    pub(crate) meter: Meter,
    pub(crate) log: Arc<FunctionLog>,
    pub(crate) refusals: Refusals,
    /// What its rates are counted under.
    pub(crate) scope: shield::Scope,
    pub(crate) profile: ProfileRoom,
    pub(crate) sampled: Sampled,
}

impl Life {
    /// One that goes on from these totals.
    pub(crate) fn new(totals: Totals, log: Arc<FunctionLog>, scope: shield::Scope) -> Self {
        let meter = Meter::resume(totals);
        let (refusals, sampled, profile) = <(Refusals, Sampled, ProfileRoom)>::default();
        Self { meter, log, refusals, scope, profile, sampled }
    }
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{} {}", self.revision.tenant, self.revision.function, self.revision.number)
    }
}

impl Target {
    /// Whose function it is.
    pub fn tenant(&self) -> &TenantId {
        &self.revision.tenant
    }

    /// Its name.
    pub fn function(&self) -> &FunctionName {
        &self.revision.function
    }

    /// The revision that answers.
    pub const fn revision(&self) -> &Arc<Revision> {
        &self.revision
    }

    /// Whether one of its routes takes a method and path.
    ///
    /// # Errors
    /// [`RouteMiss`], as a caller from outside would meet it.
    pub fn takes(&self, method: &Method, path: &str) -> Result<(), RouteMiss> {
        self.accept.routes.find(method, path).map(drop)
    }

    /// Whether it takes other credentials than API tokens.
    pub const fn takes_others(&self) -> bool {
        !self.accept.all.is_tokens_alone()
    }

    /// Its bounds.
    pub fn limits(&self) -> &Limits {
        &self.revision.limits
    }
}

/// A tenant at home on this node.
pub(crate) struct Home {
    pub(crate) tenant: Tenant,
    pub(crate) store: TenantStore,
    /// Runs at once, as they are in force: what the tenant was given, under the node's ceiling.
    pub(crate) quota: Quota,
    /// Whom it accepts, as it stands.
    pub(crate) identity: Arc<Room>,
    /// Whose requests its functions take.
    pub(crate) room: Arc<TenantRoom>,
    /// What rules keep from request to request.
    pub(crate) rule_memory: Arc<Memory>,
    /// One change at a time.
    pub(crate) changing: tokio::sync::Mutex<()>,
    view: RwLock<Arc<View>>,
}

/// A tenant's functions and policies at one moment. A change makes the next.
pub(crate) struct View {
    pub(crate) functions: BTreeMap<FunctionName, Placed>,
    pub(crate) policies: TenantPolicies,
    pub(crate) policy_text: Arc<str>,
    /// Decides control actions.
    pub(crate) control: Slice,
    routes: RouteTable<Arc<Target>>,
}

/// A function as it stands.
#[derive(Clone)]
pub(crate) struct Placed {
    pub(crate) record: FunctionRecord,
    pub(crate) target: Arc<Target>,
}

/// A view cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ViewError {
    #[error(transparent)]
    Policy(#[from] PolicyErrors),
    #[error(transparent)]
    Route(#[from] RouteTaken),
}

impl View {
    pub(crate) fn new(
        functions: BTreeMap<FunctionName, Placed>,
        policies: TenantPolicies,
        policy_text: Arc<str>,
    ) -> Result<Self, ViewError> {
        let mut routes = RouteTable::default();
        for (name, deployed) in &functions {
            routes.add(name.as_str(), &deployed.target.revision.routes, &deployed.target)?;
        }
        let control = Slice::for_tenant(&policies)?;
        Ok(Self { functions, policies, policy_text, control, routes })
    }

    /// The same with one function put, or taken away.
    pub(crate) fn with(&self, function: &FunctionName, placed: Option<Placed>) -> Result<Self, ViewError> {
        let mut functions = self.functions.clone();
        match placed {
            Some(placed) => functions.insert(function.clone(), placed),
            None => functions.remove(function),
        };
        Self::new(functions, self.policies.clone(), self.policy_text.clone())
    }
}

impl Home {
    pub(crate) fn new(tenant: Tenant, store: TenantStore, view: View, ceiling: u64, now: TenantNow) -> Self {
        let quota = Quota::new(tenant.concurrency.min(ceiling));
        let (changing, room) = (tokio::sync::Mutex::new(()), TenantRoom::new(now));
        let rule_memory = Arc::new(Memory::new(limits::RULE_ADDRESSES_MAX));
        let (identity, view) = (Arc::default(), RwLock::new(Arc::new(view)));
        Self { tenant, store, quota, identity, room, rule_memory, changing, view }
    }

    /// The tenant with what is in force for it now.
    pub(crate) fn as_it_stands(&self) -> Tenant {
        let shield = self.room.now().shield.clone();
        Tenant { concurrency: self.quota.most(), shield, ..self.tenant.clone() }
    }

    pub(crate) fn view(&self) -> Arc<View> {
        self.view.read().clone()
    }

    /// Shows requests the next view. Requests under way keep what they have.
    pub(crate) fn show(&self, view: View) {
        *self.view.write() = Arc::new(view);
    }
}

/// All tenants of a node, and which host names are theirs.
pub(crate) struct Catalog {
    homes: RwLock<HashMap<TenantId, Arc<Home>>>,
    default: TenantId,
    /// `.` and the domain, in lowercase.
    suffix: String,
    trusting: AtomicBool,
}

impl Catalog {
    pub(crate) fn new(default: TenantId, domain: &str) -> Self {
        let suffix = format!(".{}", domain.to_ascii_lowercase());
        Self { homes: RwLock::new(HashMap::new()), default, suffix, trusting: AtomicBool::new(false) }
    }

    pub(crate) fn add(&self, home: Arc<Home>) {
        self.homes.write().insert(home.tenant.id.clone(), home);
    }

    pub(crate) fn home(&self, tenant: &TenantId) -> Option<Arc<Home>> {
        self.homes.read().get(tenant).cloned()
    }

    pub(crate) fn homes(&self) -> Vec<Arc<Home>> {
        let mut homes: Vec<_> = self.homes.read().values().cloned().collect();
        homes.sort_by(|a, b| a.tenant.id.cmp(&b.tenant.id));
        homes
    }

    /// A tenant trusts somebody to vouch for its clients.
    pub(crate) fn note_trust(&self) {
        self.trusting.store(true, Ordering::Release);
    }

    /// Whether any tenant ever did since the start.
    pub(crate) fn is_trusting(&self) -> bool {
        self.trusting.load(Ordering::Acquire)
    }

    /// The tenant of a host: the label before the domain, or the default one where the host names none.
    pub(crate) fn of_host(&self, host: &str) -> Option<Arc<Home>> {
        let name = strip_port(host).to_ascii_lowercase();
        let homes = self.homes.read();
        match name.strip_suffix(&self.suffix) {
            Some(label) => homes.get(&label.parse::<TenantId>().ok()?).cloned(),
            None => homes.get(&self.default).cloned(),
        }
    }

    /// Which function answers.
    ///
    /// # Errors
    /// [`RouteMiss`].
    pub(crate) fn route(&self, host: &str, method: &Method, path: &str) -> Result<Arc<Target>, RouteMiss> {
        if model::function_host(strip_port(host)).is_some() {
            // From outside nobody is a function's neighbour.
            return Err(RouteMiss::NoRoute);
        }
        let home = self.of_host(host).ok_or(RouteMiss::NoRoute)?;
        let view = home.view();
        view.routes.find(method, path)
    }

    /// The function of a name in a tenant, whatever its routes.
    pub(crate) fn named(&self, tenant: &TenantId, function: &FunctionName) -> Option<Arc<Target>> {
        let view = self.home(tenant)?.view();
        view.functions.get(function).map(|placed| placed.target.clone())
    }

    /// The host name under which a tenant's functions answer.
    pub(crate) fn host_of(&self, tenant: &TenantId) -> String {
        let domain = self.suffix.trim_start_matches('.');
        if *tenant == self.default { domain.to_owned() } else { format!("{tenant}.{domain}") }
    }
}

fn strip_port(host: &str) -> &str {
    if host.starts_with('[') {
        return host.find(']').and_then(|end| host.get(..=end)).unwrap_or(host);
    }
    host.split(':').next().unwrap_or(host)
}
