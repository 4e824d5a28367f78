//! Changes that let in whom the policies refused before: they stop, with a request that shows it, and go on when
//! somebody who may says that it is meant. It never changes anything itself.

use std::sync::Arc;

use model::{Access, FunctionName, Manifest, RevisionNumber, Route, limits};
use policy::{Action, Difference, PolicyErrors, Resource, TenantPolicies};
use prover::{Prover, Verdict, Witness};
use tokio::sync::Semaphore;

use crate::{
    Platform,
    catalog::{Home, View},
    functions::off_the_loop,
    refused::{ControlError, Ctx},
};

/// Who says that a change may let somebody in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consent<'a> {
    /// Nobody: such a change stops.
    None,
    /// Who makes the change.
    Own,
    /// Who approves what somebody else proposed.
    Approved {
        /// Who proposed it, as records name them.
        by: &'a str,
    },
}

/// Where a function answers, and who may call it there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Door<'a> {
    pub(crate) access: &'a Access,
    pub(crate) routes: &'a [Route],
}

impl<'a> Door<'a> {
    pub(crate) fn of(manifest: &'a Manifest) -> Self {
        Self { access: &manifest.access, routes: &manifest.routes }
    }
}

/// What of routes that took less than their function would take more: where they are, below them, and where they are
/// no more and another answers.
fn opened(old: &[Route], new: Door<'_>) -> Option<String> {
    let more = |closed: &Route, open: &Route| {
        let takes = if open.accept.is_empty() { &new.access.accept } else { &open.accept };
        let word = takes.iter().find(|word| !closed.accept.contains(word))?;
        let path = &closed.path;
        Some(format!("its route `{path}` would take `{word}` for a proof of who calls, and does not now"))
    };
    let narrow = |route: &&Route| !route.accept.is_empty();
    let inside = new
        .routes
        .iter()
        .find_map(|open| nearest(old, open).into_iter().filter(narrow).find_map(|closed| more(closed, open)));
    inside.or_else(|| {
        old.iter().filter(narrow).find_map(|closed| {
            let above = nearest(new.routes, closed);
            above.into_iter().find_map(|open| more(closed, open))
        })
    })
}

/// The routes that answer, for some method, where another does: those of the longest path.
fn nearest<'a>(routes: &'a [Route], of: &Route) -> Vec<&'a Route> {
    let shares = |route: &&Route| {
        let (a, b) = (&route.methods, &of.methods);
        a.is_empty() || b.is_empty() || a.iter().any(|method| b.contains(method))
    };
    let all = |route: &Route| {
        route.methods.is_empty()
            || (!of.methods.is_empty() && of.methods.iter().all(|method| route.methods.contains(method)))
    };
    let mut found: Vec<_> =
        routes.iter().filter(shares).filter(|route| covers(&route.path, &of.path)).collect();
    let prefix = |route: &Route| route.path.strip_suffix("/...").map(str::len);
    // An exact path answers before a prefix that is as long.
    found.sort_by_key(|route| {
        (std::cmp::Reverse(prefix(route).unwrap_or(route.path.len())), prefix(route).is_some())
    });
    // What lies further up answers the methods that those further down do not take.
    let last = found.iter().position(|route| all(route));
    found.truncate(last.map_or(found.len(), |last| last + 1));
    found
}

/// Whether all that the second route answers lies where the first answers.
fn covers(route: &str, other: &str) -> bool {
    let Some(prefix) = route.strip_suffix("/...") else { return route == other };
    let below = other.strip_suffix("/...").unwrap_or(other).strip_prefix(prefix);
    below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Why a change stopped.
#[derive(Debug, Clone, PartialEq)]
pub struct Widening {
    /// A sentence.
    pub why: String,
    /// A request that would be permitted and is refused now, where one was found.
    pub request: Option<Box<Witness>>,
}

/// The solver of a node, and who may use it.
pub(crate) struct Proofs {
    prover: Option<Prover>,
    places: Semaphore,
}

impl Proofs {
    pub(crate) fn new(prover: Option<Prover>) -> Self {
        Self { prover, places: Semaphore::new(limits::PROOFS_AT_ONCE) }
    }

    pub(crate) const fn is_there(&self) -> bool {
        self.prover.is_some()
    }

    /// What is known about a change. The comparison and the solver run beside those who serve.
    async fn verdict(
        &self,
        compare: impl FnOnce() -> Result<Difference, PolicyErrors> + Send + 'static,
    ) -> Result<Verdict, ControlError> {
        let _place = self.places.acquire().await.map_err(|e| ControlError::Internal(e.to_string()))?;
        let prover = self.prover.clone();
        let work = move || {
            let difference = compare()?;
            Ok(match &prover {
                Some(prover) => prover.prove(&difference),
                None => prover::without_solver(&difference),
            })
        };
        off_the_loop(work).await?
    }
}

/// Proof that a change may be done, as far as it widens access: it lets nobody in, or that is meant. It holds while
/// what it was compared with stands.
pub(crate) struct Passed {
    policies: Arc<str>,
    function: Option<(FunctionName, Option<RevisionNumber>)>,
    /// Who may call from now on, and whether there never was such a function.
    next: Option<(Access, Vec<Route>, bool)>,
    accepted: Option<String>,
    /// Who makes the change means it, whatever it lets in.
    meant: bool,
}

impl Passed {
    /// What of it belongs in the record: nothing, where nobody is let in.
    pub(crate) fn said(&self) -> String {
        self.accepted.as_ref().map_or_else(String::new, |said| format!("; {said}"))
    }

    /// The same of a deploy, of which less has to stand still.
    pub(crate) fn of_deploy(self, door: Door<'_>, first: bool) -> Self {
        Self { next: Some((door.access.clone(), door.routes.to_vec(), first)), ..self }
    }

    /// Whether who may call stays what it is, or is said for the first time: then nothing is compared.
    fn compares_nothing(&self, view: &View) -> bool {
        let (Some((name, _)), Some((next, routes, first))) = (&self.function, &self.next) else {
            return false;
        };
        let same = |placed: &crate::catalog::Placed| {
            let revision = &placed.target.revision;
            revision.access == *next && opened(&revision.routes, Door { access: next, routes }).is_none()
        };
        view.functions.get(name).map_or(*first, same)
    }

    /// Checks, when nobody else changes anything any more, that it is still about what stands.
    pub(crate) fn holds(&self, view: &View) -> Result<(), ControlError> {
        let active = |name| view.functions.get(name).map(|placed| placed.target.revision.number);
        let same = self.function.as_ref().is_none_or(|(name, number)| active(name) == *number);
        if self.meant || self.compares_nothing(view) || (same && *self.policies == *view.policy_text) {
            return Ok(());
        }
        Err(ControlError::Conflict("it was changed meanwhile; look, and try again".into()))
    }
}

impl Platform {
    /// Compares a tenant's policies with those that would take their place.
    pub(crate) async fn policies_verdict(
        &self,
        view: &View,
        next: &TenantPolicies,
    ) -> Result<Verdict, ControlError> {
        let access = |(name, placed): (&FunctionName, &crate::catalog::Placed)| {
            (name.clone(), placed.target.revision.access.clone())
        };
        let functions: Vec<(FunctionName, Access)> = view.functions.iter().map(access).collect();
        let (old, new) = (view.policies.clone(), next.clone());
        self.proofs.verdict(move || Difference::of_tenant(&old, &new, &functions)).await
    }

    /// Compares who may call a function with who may under another manifest. A function that there never was lets
    /// in whom its first manifest says.
    pub(crate) async fn access_verdict(
        &self,
        view: &View,
        function: &FunctionName,
        next: Door<'_>,
        first: bool,
    ) -> Result<Verdict, ControlError> {
        let active = view.functions.get(function).map(|placed| &placed.target.revision);
        let (old, routes) = match active {
            Some(revision) => (revision.access.clone(), &*revision.routes),
            None if first => return Ok(Verdict::Harmless),
            None => (Access::default(), &[][..]),
        };
        let word = next.access.accept.iter().find(|word| !old.accept.contains(word));
        let more =
            word.map(|word| format!("it would take `{word}` for a proof of who calls, and does not now"));
        let more = more.or_else(|| opened(routes, next));
        let (policies, name, new) = (view.policies.clone(), function.clone(), next.access.clone());
        let verdict =
            self.proofs.verdict(move || Difference::of_function(&policies, &name, &old, &new)).await?;
        // Policies say who may call, and nothing of what proves it.
        Ok(match (verdict, more) {
            (Verdict::Harmless, Some(more)) => Verdict::Unproved(more),
            (verdict, _) => verdict,
        })
    }

    /// Lets a change pass that lets nobody in, or that somebody who may accepts.
    pub(crate) fn pass(
        &self,
        ctx: Ctx<'_>,
        (home, view): (&Home, &View),
        resource: Resource<'_>,
        verdict: Verdict,
        consent: Consent<'_>,
    ) -> Result<Passed, ControlError> {
        let function = match resource {
            Resource::Function(_, name) => {
                Some((name.clone(), view.functions.get(name).map(|placed| placed.target.revision.number)))
            }
            _ => None,
        };
        let policies = view.policy_text.clone();
        let meant = consent == Consent::Own;
        let passed = |accepted| Ok(Passed { policies, function, next: None, accepted, meant });
        let Some(widening) = Widening::of(verdict) else { return passed(None) };
        let action = match consent {
            Consent::None => return Err(ControlError::Widens(Box::new(widening))),
            Consent::Own => Action::AcceptWidening,
            Consent::Approved { .. } => Action::ApproveWidening,
        };
        self.permit(ctx, home, action, resource)?;
        let by = ctx.caller.principal();
        let of = match consent {
            Consent::Approved { by } => format!(", proposed by `{by}`"),
            _ => String::new(),
        };
        passed(Some(format!("widens access, accepted by `{by}`{of}: {}", widening.why)))
    }
}

impl Widening {
    /// None where nobody is let in.
    pub(crate) fn of(verdict: Verdict) -> Option<Self> {
        match verdict {
            Verdict::Harmless => None,
            Verdict::Widens(request) => {
                let why = format!("{request}, which is refused now");
                Some(Self { why, request: Some(request) })
            }
            Verdict::Unproved(why) => Some(Self { why, request: None }),
        }
    }
}

impl std::fmt::Display for Widening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.request {
            Some(_) => write!(f, "this would let somebody in: {}", self.why),
            None => write!(f, "this may let somebody in: {}", self.why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_that_open() {
        let route = |path: &str, methods: &[&str], accept: &[&str]| Route {
            path: path.into(),
            methods: methods.iter().map(|m| (*m).to_owned()).collect(),
            accept: accept.iter().map(|a| (*a).to_owned()).collect(),
        };
        let access = Access { accept: vec!["token".into(), "webhook:a".into()], ..Access::default() };
        let old = [route("/a/...", &[], &[]), route("/a/hook", &["POST"], &["webhook:a"])];
        let check = |new: &[Route], opens: bool| {
            let said = opened(&old, Door { access: &access, routes: new });
            assert_eq!(said.is_some(), opens, "{new:?}: {said:?}");
        };
        check(&old, false);
        check(&[route("/a/hook", &["POST"], &["webhook:a"]), route("/b", &[], &[])], false);
        // It takes more, by its own words, for want of them, and because the route above answers now.
        check(&[route("/a/hook", &["POST"], &["webhook:a", "token"])], true);
        check(&[route("/a/hook", &[], &[])], true);
        check(&[route("/a/...", &[], &[])], true);
        check(&[route("/a/...", &[], &["webhook:a"])], false);
        // For other methods, or elsewhere.
        check(&[route("/a/hook", &["POST"], &["webhook:a"]), route("/a/hook", &["GET"], &[])], false);
        check(&[route("/a/...", &["GET"], &[])], false);
        check(&[route("/ab/...", &[], &[])], false);
        // Each its own, one within the other.
        let own = [
            route("/a/...", &[], &["token"]),
            route("/a/hook", &[], &["webhook:a"]),
            route("/a", &[], &["webhook:a"]),
        ];
        assert_eq!(opened(&own, Door { access: &access, routes: &own }), None);
        assert!(opened(&own, Door { access: &access, routes: &own[..2] }).is_some());
        // A hole in what a prefix closes.
        let closed = [route("/in/...", &[], &["webhook:a"])];
        let hole = [closed[0].clone(), route("/in/x", &[], &["token"])];
        assert!(opened(&closed, Door { access: &access, routes: &hole }).is_some());
    }
}
