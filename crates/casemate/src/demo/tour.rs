//! The way through the tour: what is tried, in which order, and what must come of it. It never looks inside
//! the node: all that it knows, it knows as any caller does.

mod changes;
mod people;
mod shield;

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use gateway::api::{CreateToken, DeployRequest, Problem};
use http::{Method, Request, header};
use model::{PrincipalKind, RequestId};
use serde_json::Value;

use super::{
    Row, Show, State,
    guests::{self, Guest},
};
use crate::{
    client::Client,
    exit::{Exit, Failure},
    node::Node,
    output::Output,
    session::{Secret, Session},
    transport::Transport,
};

/// How long an event may take into the record.
const RECORDED_WITHIN: Duration = Duration::from_secs(5);

/// What the record must say of a call: an event of this kind, allowed where the code is empty, else with it.
#[derive(Debug, Clone, Copy)]
struct Mark {
    kind: &'static str,
    code: &'static str,
}

const PERMITTED: Mark = Mark { kind: "decision", code: "" };

/// What must come of a call.
#[derive(Debug, Clone, Copy)]
struct Expect {
    status: u16,
    /// The code of the problem document, where the node answers and not the function.
    code: &'static str,
    mark: Mark,
}

/// What came of a call.
struct Got {
    status: u16,
    body: Vec<u8>,
    problem: Option<Problem>,
    request: Option<RequestId>,
    took: Duration,
}

struct Tour<'a> {
    out: &'a Output,
    admin: Client,
    transport: Transport,
    functions: String,
    token: Secret,
    show: Show,
}

/// Walks the tour on a node that has just started for the first time.
///
/// # Errors
/// If the tour cannot be walked at all; what came out otherwise than it must is a row.
pub(super) async fn walk(out: &Output, node: &mut Node) -> Result<Show, Failure> {
    let missing = || Failure::new(Exit::Failed, "the first start made no token");
    let (tenant, token) = node.first_token().ok_or_else(missing)?;
    let session = Session {
        node: format!("https://{}", node.control()),
        tenant,
        token: Some(token),
        bound: None,
        ca: Some(node.ca().to_owned()),
        is_saved: false,
    };
    let admin = Client::new(session)?;
    let ada = admin.create_token(&someone("ada")).await?;
    let mut tour = Tour {
        out,
        admin,
        transport: Transport::new(Some(node.ca()))?,
        functions: format!("https://{}", node.functions()),
        token: Secret::new(&ada.secret),
        show: Show::default(),
    };
    tour.deploys().await?;
    tour.calls_that_work().await?;
    tour.calls_that_may_not_be().await?;
    tour.shielded().await?;
    tour.attacks().await?;
    tour.after_all_that().await?;
    Ok(tour.show)
}

fn someone(name: &str) -> CreateToken {
    CreateToken {
        name: name.to_owned(),
        kind: PrincipalKind::User,
        roles: Vec::new(),
        scopes: vec!["invoke".to_owned()],
        days: 1,
    }
}

impl Tour<'_> {
    async fn deploys(&mut self) -> Result<(), Failure> {
        for guest in guests::built() {
            let _progress = self.out.spinner(format!("deploying {}", guest.name));
            self.deploy(guest).await?;
        }
        Ok(())
    }

    async fn calls_that_work(&mut self) -> Result<(), Failure> {
        let good = Expect { status: 200, code: "", mark: PERMITTED };
        self.call("call Rust, WASI 0.2", Method::GET, "/hello", true, good).await?;
        self.call("call Rust, WASI 0.3", Method::GET, "/hello-p3", true, good).await?;
        for (name, language) in [("hello-js", "JavaScript"), ("hello-py", "Python")] {
            let what = format!("call {language}");
            match guests::elsewhere(name) {
                Some(guest) => {
                    let progress = self.out.spinner(format!("deploying {name}"));
                    self.deploy(guest).await?;
                    drop(progress);
                    self.call(&what, Method::GET, &format!("/{name}"), true, good).await?;
                }
                None => self.skip(&what, name),
            }
        }
        self.call("GET what a policy permits", Method::GET, "/ledger/2026", true, good).await?;
        self.people().await?;
        self.chain().await
    }

    async fn calls_that_may_not_be(&mut self) -> Result<(), Failure> {
        let kind = "decision";
        let unknown = Expect { status: 401, code: "", mark: Mark { kind, code: "*" } };
        self.call("call without a token", Method::GET, "/hello", false, unknown).await?;
        self.revoked().await?;
        let refused = Expect { status: 403, code: "", mark: Mark { kind, code: "*" } };
        let row = self.show.rows.len();
        self.call("DELETE what a policy forbids", Method::DELETE, "/ledger/2026", true, refused).await?;
        if let Some(note) = self.clause(row).await? {
            self.show.notes.insert(row, note);
        }
        self.ungranted().await?;
        self.changes().await
    }

    /// A function that calls another, which lets in this function alone, and for people alone.
    async fn chain(&mut self) -> Result<(), Failure> {
        let refused = Expect { status: 403, code: "", mark: Mark { kind: "decision", code: "*" } };
        self.call("call what is for functions", Method::GET, "/vault", true, refused).await?;
        let token = self.token.clone();
        let path = "/front?url=http://vault.function.internal/vault/gold";
        let got = self.ask(Method::GET, path, Some(&token)).await?;
        let recorded = self.recorded(got.request, PERMITTED).await?;
        let hop = self.hop(got.request).await?;
        let (row, number) = (self.show.rows.len(), self.next());
        let said =
            format!("{} {}", got.status, if hop.is_some() { "and a chain" } else { "without a chain" });
        let as_told = got.status == 200 && hop.is_some();
        self.row("the same, through a function", "200 and a chain", &said, as_told, recorded);
        if let Some(hop) = hop {
            self.show.notes.insert(row, format!("row {number}: {hop}"));
        }
        Ok(())
    }

    /// What the record says of a call between functions: who acted, for whom, and through whom.
    async fn hop(&self, request: Option<RequestId>) -> Result<Option<String>, Failure> {
        let Some(request) = request else { return Ok(None) };
        let found = self.admin.records(&format!("request={request}&limit=50")).await?;
        let text = |event: &Value, name: &str| event.get(name).and_then(Value::as_str).map(str::to_owned);
        Ok(found.records.iter().find_map(|record| {
            let event = &record.event;
            let links = event.get("chain")?.as_array()?.iter().filter_map(Value::as_str);
            let (who, whom) = (text(event, "principal")?, text(event, "on_behalf_of")?);
            let (links, detail) = (links.collect::<Vec<_>>().join(", "), text(event, "detail")?);
            Some(format!("{who} called for {whom}\n  through {links} ({detail})"))
        }))
    }

    async fn attacks(&mut self) -> Result<(), Failure> {
        let stopped = |status, code| Expect { status, code, mark: Mark { kind: "run", code } };
        let get = Method::GET;
        self.call("a loop without end", get.clone(), "/hostile/loop", true, stopped(504, "cpu-limit"))
            .await?;
        let bomb = stopped(502, "memory-limit");
        self.call("a memory bomb", get.clone(), "/hostile/memory-bomb", true, bomb).await?;
        let deep = stopped(502, "stack-limit");
        self.call("recursion without end", get.clone(), "/hostile/recursion", true, deep).await?;
        self.outbound().await?;
        self.doors().await
    }

    async fn after_all_that(&mut self) -> Result<(), Failure> {
        let good = Expect { status: 200, code: "", mark: PERMITTED };
        self.call("the first function again", Method::GET, "/hello", true, good).await
    }
}

impl Tour<'_> {
    async fn deploy(&self, guest: Guest) -> Result<(), Failure> {
        let name = guest.name.parse().map_err(|e: model::IdError| Failure::new(Exit::Failed, e))?;
        let digest = keyring::sha256(&guest.component);
        self.admin.put_component(digest, guest.component.into(), |_| ()).await?;
        let manifest = format!("name = \"{0}\"\ncomponent = \"{0}.wasm\"\n{1}", guest.name, guest.manifest);
        self.admin
            .deploy(&name, &DeployRequest { manifest, component: digest, accept_widening: false })
            .await
            .map(drop)
    }

    async fn call(
        &mut self,
        what: &str,
        method: Method,
        path: &str,
        with_token: bool,
        expect: Expect,
    ) -> Result<(), Failure> {
        let progress = self.out.spinner(what);
        let token = with_token.then(|| self.token.clone());
        let got = self.ask(method, path, token.as_ref()).await?;
        let code = got.problem.as_ref().map_or("", |problem| problem.code.as_str());
        let as_told = got.status == expect.status && (expect.code.is_empty() || expect.code == code);
        let recorded = self.recorded(got.request, expect.mark).await?;
        drop(progress);
        let expected = format!("{} {}", expect.status, expect.code);
        let got = match got.status {
            200 => format!("200 in {:.1} ms", got.took.as_secs_f64() * 1000.0),
            status => format!("{status} {code}"),
        };
        self.row(what, &expected, &got, as_told, recorded);
        Ok(())
    }

    async fn revoked(&mut self) -> Result<(), Failure> {
        let eve = self.admin.create_token(&someone("eve")).await?;
        self.admin.revoke_token(&eve.token.id).await?;
        let got = self.ask(Method::GET, "/hello", Some(&Secret::new(&eve.secret))).await?;
        let recorded = self.recorded(got.request, Mark { kind: "refusal", code: "*" }).await?;
        let code = got.problem.as_ref().map_or("", |problem| problem.code.as_str());
        let said = format!("{} {code}", got.status);
        self.row("call with a revoked token", "401", &said, got.status == 401, recorded);
        Ok(())
    }

    async fn ungranted(&mut self) -> Result<(), Failure> {
        let what = "deploy an ungranted import";
        let failure = match self.deploy(guests::ungranted()).await {
            Ok(()) => {
                self.row(what, "refused by name", "deployed", false, None);
                return Ok(());
            }
            Err(failure) => failure,
        };
        let request = failure.request_id.as_deref().and_then(|id| id.parse().ok());
        let recorded = self.recorded(request, Mark { kind: "deploy", code: "*" }).await?;
        let named = failure.message.contains("acme:thing/do");
        let said = if named { "refused by name" } else { "refused, unnamed" };
        let row = self.show.rows.len();
        let note = format!("row {}: the deploy was refused: {}", self.next(), failure.message);
        self.row(what, "refused by name", said, named, recorded);
        self.show.notes.insert(row, note);
        Ok(())
    }

    async fn outbound(&mut self) -> Result<(), Failure> {
        let url = "/outbound?url=https://example.com/";
        let token = self.token.clone();
        let got = self.ask(Method::GET, url, Some(&token)).await?;
        let denied = got.body.starts_with(b"HTTP-request-denied");
        let recorded = self.recorded(got.request, Mark { kind: "*", code: "outbound-denied" }).await?;
        let said = if denied { "denied" } else { "not denied" };
        self.row("call out without a grant", "denied", said, denied, recorded);
        Ok(())
    }

    /// A function that tries every door which a standard library knows: files, sockets, names, threads.
    async fn doors(&mut self) -> Result<(), Failure> {
        let token = self.token.clone();
        let got = self.ask(Method::GET, "/kitchen", Some(&token)).await?;
        let report: Value = serde_json::from_slice(&got.body).unwrap_or_default();
        let attempts = report.get("attempts").and_then(Value::as_object);
        let opened = |value: &&Value| value.get("ok") != Some(&Value::Bool(false));
        let open = attempts.map_or(usize::MAX, |all| all.values().filter(opened).count());
        let tried = attempts.map_or(0, serde_json::Map::len);
        let recorded = self.recorded(got.request, PERMITTED).await?;
        let said = if tried == 0 { "no report".to_owned() } else { format!("{open} of {tried} open") };
        self.row("open files, sockets, names", "none open", &said, open == 0 && tried > 0, recorded);
        Ok(())
    }

    /// The clause that refused the last call, as the record has it.
    async fn clause(&self, row: usize) -> Result<Option<String>, Failure> {
        let found = self.admin.records("function=ledger&limit=20").await?;
        let denial = found.records.iter().map(|record| &record.event).find(|event| {
            let policies = event.get("policies").and_then(Value::as_array);
            let named = |id: &Value| id.as_str().is_some_and(|id| id.ends_with(guests::CLAUSE));
            event.get("allowed") == Some(&Value::Bool(false))
                && policies.is_some_and(|all| all.iter().any(named))
        });
        let Some(denial) = denial else { return Ok(None) };
        let policy = denial.pointer("/policies/0").and_then(Value::as_str).unwrap_or_default();
        let clause = denial.get("detail").and_then(Value::as_str).unwrap_or_default();
        let indented = clause.trim().replace('\n', "\n  ");
        Ok(Some(format!("row {}: the policy `{policy}` said no:\n  {indented}", row + 1)))
    }

    async fn ask(&self, method: Method, path: &str, token: Option<&Secret>) -> Result<Got, Failure> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.functions));
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.expose()));
        }
        self.exchange(request.body(Bytes::new()).map_err(bad_request)?).await
    }

    async fn exchange(&self, request: Request<Bytes>) -> Result<Got, Failure> {
        let start = Instant::now();
        let (head, mut stream) = self.transport.call(request, |_| ()).await?.into_parts();
        let mut body = Vec::new();
        while let Some(Ok(piece)) = stream.next().await {
            body.extend_from_slice(&piece);
        }
        let took = start.elapsed();
        let problem = serde_json::from_slice::<Problem>(&body).ok().filter(|_| !head.status.is_success());
        let named = head.headers.get("x-request-id").and_then(|id| id.to_str().ok()?.parse().ok());
        let request = named.or_else(|| problem.as_ref().and_then(|problem| problem.request_id));
        Ok(Got { status: head.status.as_u16(), body, problem, request, took })
    }

    /// Waits for the event that must be in the record of a request, and says it in a few words.
    async fn recorded(&self, request: Option<RequestId>, mark: Mark) -> Result<Option<String>, Failure> {
        let Some(request) = request else { return Ok(None) };
        let start = Instant::now();
        loop {
            let found = self.admin.records(&format!("request={request}&limit=50")).await?;
            let said = found.records.iter().find_map(|record| say(&record.event, mark));
            if said.is_some() || start.elapsed() > RECORDED_WITHIN {
                return Ok(said);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn row(&mut self, what: &str, expect: &str, got: &str, as_told: bool, recorded: Option<String>) {
        let state = if as_told && recorded.is_some() { State::Good } else { State::Bad };
        let record = recorded.unwrap_or_else(|| "none".to_owned());
        let [expect, got] = [expect, got].map(|text| text.trim().to_owned());
        self.show.rows.push(Row { what: what.to_owned(), expect, got, record, state });
    }

    fn skip(&mut self, what: &str, name: &str) {
        let note = format!(
            "row {}: `target/guests/{name}.wasm` is not there; `cargo xtask guests` builds it",
            self.next()
        );
        self.show.notes.insert(self.show.rows.len(), note);
        let [what, expect, got] = [what, "200", "skipped"].map(str::to_owned);
        self.show.rows.push(Row { what, expect, got, record: String::new(), state: State::Skipped });
    }

    /// The number of the next row, as people count.
    fn next(&self) -> usize {
        self.show.rows.len() + 1
    }
}

fn bad_request(error: http::Error) -> Failure {
    Failure::new(Exit::Failed, error)
}

/// The event in a few words, if it is the one that is looked for.
fn say(event: &Value, mark: Mark) -> Option<String> {
    let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
    let (kind, code) = (text("kind"), text("code"));
    let allowed = event.get("allowed") == Some(&Value::Bool(true));
    let fits = match mark.code {
        "" => allowed,
        "*" => !allowed && !code.is_empty(),
        wanted => code == wanted,
    };
    if !fits || (mark.kind != "*" && mark.kind != kind) {
        return None;
    }
    Some(if code.is_empty() { format!("{kind} permitted") } else { format!("{kind} {code}") })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn events_are_told_apart() {
        let check = |event: Value, kind: &'static str, code: &'static str, expect: Option<&str>| {
            assert_eq!(say(&event, Mark { kind, code }).as_deref(), expect, "{event} {kind} {code}");
        };
        let run = json!({ "kind": "run", "allowed": true, "code": "" });
        check(run.clone(), "run", "", Some("run permitted"));
        check(run.clone(), "decision", "", None);
        check(run, "run", "cpu-limit", None);
        let stopped = json!({ "kind": "run", "allowed": false, "code": "cpu-limit" });
        check(stopped.clone(), "run", "cpu-limit", Some("run cpu-limit"));
        check(stopped.clone(), "run", "", None);
        check(stopped.clone(), "run", "memory-limit", None);
        check(stopped.clone(), "*", "*", Some("run cpu-limit"));
        check(stopped, "decision", "*", None);
        check(json!({ "kind": "decision", "allowed": false }), "decision", "*", None);
        check(json!({}), "*", "*", None);
    }
}
