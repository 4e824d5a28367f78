//! A whole node under `kill -9`: a client deploys, rolls back and removes functions, makes and revokes tokens
//! and changes the policy, several at once; the node is killed at a random moment and started again; and what
//! was acknowledged stands and works, and nothing is half there.
//!
//! `CASEMATE_LONG=1` makes 200 rounds of it. `CASEMATE_SEED=N` repeats the choices of a failed run.

use std::{
    collections::BTreeSet,
    fs,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use futures_util::StreamExt;
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::{
    book::{Act, Book, Function, Token},
    support::{Answer, Home, TestNode, guest},
};

/// Rounds, and rounds with `CASEMATE_LONG`.
const ROUNDS: [usize; 2] = [10, 200];
/// Rounds on one data folder, one after the other.
const ROUNDS_OF_A_FOLDER: usize = 10;
/// A node is killed this long after the load began, at the latest.
const LIFE_MS_MAX: u64 = 1_200;
/// A node is killed this long after it was started, at the latest, where it is killed before it answers.
pub(crate) const START_MS_MAX: u64 = 300;
const FUNCTIONS: [&str; 3] = ["f0", "f1", "f2"];
/// The function that every other policy closes.
const GATED: &str = "gated";
const OPEN: &str = "[access]\nallow = \"tenant\"\n";
const TENANT: &str = "/v1/tenants/default";

/// xorshift64*: choices that a seed repeats.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.max(1);
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// From 0 up to, but without, `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 16) % end
    }
}

pub(crate) fn seed() -> u64 {
    let seed = match std::env::var("CASEMATE_SEED") {
        Ok(text) => text.parse().unwrap(),
        Err(_) => SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64,
    };
    println!("CASEMATE_SEED={seed}");
    seed
}

pub(crate) fn long() -> usize {
    usize::from(std::env::var_os("CASEMATE_LONG").is_some())
}

/// What variant `n` of the component answers.
fn answer(variant: u64) -> String {
    format!("Hello, v{variant:04}!\n")
}

/// A component that answers so: the greeting with its constant changed.
fn component(variant: u64) -> Bytes {
    let mut bytes = guest("hello");
    let text = b"Hello, world!\n";
    let at = bytes.windows(text.len()).position(|w| w == text).unwrap();
    bytes[at..at + text.len()].copy_from_slice(answer(variant).as_bytes());
    bytes.into()
}

/// A client that keeps its connections. A call that came to no answer is an error and nothing more.
#[derive(Clone)]
struct Api {
    client: Arc<egress::Client>,
    control: String,
    functions: String,
    admin: String,
}

struct Cut;

impl Api {
    fn of(node: &TestNode) -> Self {
        let ca = fs::read(node.info["ca"].as_str().unwrap()).unwrap();
        let config = egress::ClientConfig { roots: vec![ca], ..egress::ClientConfig::default() };
        Self {
            client: Arc::new(egress::Client::new(&config).unwrap()),
            control: node.control().into(),
            functions: node.functions().into(),
            admin: node.admin(),
        }
    }

    async fn send(&self, method: &str, url: String, token: &str, body: Bytes) -> Result<Answer, Cut> {
        let media = if url.contains("/components/") { "application/wasm" } else { "application/json" };
        let mut request = http::Request::builder().method(method).uri(url);
        request = request.header("authorization", format!("Bearer {token}"));
        if !body.is_empty() {
            request = request.header("content-type", media);
        }
        let (head, mut stream) =
            self.client.call(request.body(body).unwrap()).await.map_err(|_| Cut)?.into_parts();
        let mut body = Vec::new();
        while let Some(piece) = stream.next().await {
            body.extend_from_slice(&piece.map_err(|_| Cut)?);
        }
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
    }

    async fn control(&self, method: &str, path: &str, body: Bytes) -> Result<Answer, Cut> {
        self.send(method, format!("{}{TENANT}/{path}", self.control), &self.admin, body).await
    }

    /// A change that must be answered with this status, and is then in the record under its request.
    async fn change(&self, book: &Mutex<Book>, change: Change<'_>) -> Result<Answer, Cut> {
        let Change { method, path, body, status, kind } = change;
        let answer = self.control(method, path, body).await?;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        let request = answer.headers["x-request-id"].to_str().unwrap().to_owned();
        book.lock().acknowledged.push((request, kind));
        Ok(answer)
    }

    async fn call(&self, function: &str, token: &str) -> Result<Answer, Cut> {
        self.send("GET", format!("{}/{function}", self.functions), token, Bytes::new()).await
    }
}

struct Change<'a> {
    method: &'a str,
    path: &'a str,
    body: Bytes,
    status: u16,
    kind: &'static str,
}

async fn deploy(api: &Api, book: &Mutex<Book>, name: &str, variant: u64) -> Result<u64, Cut> {
    let bytes = component(variant);
    let digest = keyring::sha256(&bytes);
    let stored = api.control("PUT", &format!("components/{digest}"), bytes).await?;
    assert!(stored.status < 300, "{}", stored.text());
    let manifest = format!("name = \"{name}\"\ncomponent = \"c.wasm\"\n{OPEN}");
    let component = digest.to_string();
    // A function that was taken away and comes back lets its callers in anew.
    let body = json!({ "manifest": manifest, "component": component, "accept_widening": true });
    let body = body.to_string().into();
    let path = format!("functions/{name}/revisions");
    let change = Change { method: "POST", path: &path, body, status: 201, kind: "deploy" };
    Ok(api.change(book, change).await?.json()["revision"].as_u64().unwrap())
}

/// One function's life, until the node is gone.
async fn functions(api: Api, book: Arc<Mutex<Book>>, name: &str, mut random: Random) -> Result<(), Cut> {
    loop {
        let state = book.lock().functions[name].clone();
        let act = match (state.active, random.below(10)) {
            (None, _) | (_, 0..=4) => {
                let mut book = book.lock();
                // Compiling takes longer than all else: most variants were there before.
                let new = book.variants < 2 || random.below(3) == 0;
                book.variants += u64::from(new);
                let newest = book.variants;
                Act::Deploy(if new { newest } else { 1 + random.below(newest) })
            }
            (_, 5..=7) => {
                let kept: Vec<u64> = state.revisions.keys().copied().collect();
                Act::Rollback(kept[random.below(kept.len() as u64) as usize])
            }
            (_, 8) => Act::Remove,
            (Some(active), _) => {
                let answered = api.call(name, &api.admin).await?;
                assert_eq!(answered.text(), answer(state.revisions[&active]), "{name} {active}");
                continue;
            }
        };
        book.lock().functions.get_mut(name).unwrap().pending = Some(act);
        let path = format!("functions/{name}");
        let number = match act {
            Act::Deploy(variant) => deploy(&api, &book, name, variant).await?,
            Act::Rollback(to) => {
                let (path, body) = (format!("{path}/rollback"), json!({ "to": to }).to_string().into());
                let change = Change { method: "POST", path: &path, body, status: 200, kind: "rollback" };
                api.change(&book, change).await?;
                to
            }
            Act::Remove => {
                let body = Bytes::new();
                let change = Change { method: "DELETE", path: &path, body, status: 204, kind: "remove" };
                api.change(&book, change).await?;
                0
            }
        };
        let mut book = book.lock();
        let function = book.functions.get_mut(name).unwrap();
        function.pending = None;
        function.done(act, number);
    }
}

async fn tokens(api: Api, book: Arc<Mutex<Book>>, mut random: Random) -> Result<(), Cut> {
    loop {
        let live: Vec<String> =
            book.lock().tokens.iter().filter(|(_, t)| !t.revoked).map(|(id, _)| id.clone()).collect();
        if live.len() < 3 || random.below(2) == 0 {
            book.lock().tokens_unanswered += 1;
            let name = format!("t{}", random.below(1_000_000));
            let body = json!({ "name": name, "kind": "Service", "days": 1 }).to_string().into();
            let change = Change { method: "POST", path: "tokens", body, status: 201, kind: "token" };
            let made = api.change(&book, change).await?.json();
            let secret = made["secret"].as_str().unwrap().to_owned();
            let id = made["token"]["id"].as_str().unwrap().to_owned();
            let mut book = book.lock();
            book.tokens_unanswered -= 1;
            book.tokens.insert(id, Token { secret, revoked: false, revoking: false });
        } else {
            let id = &live[random.below(live.len() as u64) as usize];
            book.lock().tokens.get_mut(id).unwrap().revoking = true;
            let path = format!("tokens/{id}");
            let change =
                Change { method: "DELETE", path: &path, body: Bytes::new(), status: 204, kind: "token" };
            api.change(&book, change).await?;
            let mut book = book.lock();
            let token = book.tokens.get_mut(id).unwrap();
            (token.revoked, token.revoking) = (true, false);
        }
    }
}

/// The tenant's policy: an odd one closes the gated function.
fn policy(number: u64) -> String {
    let closed = if number % 2 == 1 { GATED } else { "nothing" };
    format!(
        "@id(\"number-{number}\")\nforbid (principal, action == Action::\"invoke\", resource == \
         Function::\"default/{closed}\");\n"
    )
}

async fn policies(api: Api, book: Arc<Mutex<Book>>) -> Result<(), Cut> {
    loop {
        let next = book.lock().policy + 1;
        book.lock().policy_pending = Some(next);
        let body = json!({ "text": policy(next), "accept_widening": true }).to_string().into();
        api.change(&book, Change { method: "PUT", path: "policy", body, status: 200, kind: "policy" })
            .await?;
        {
            let mut book = book.lock();
            (book.policy, book.policy_pending) = (next, None);
        }
        let status = api.call(GATED, &api.admin).await?.status;
        assert_eq!(status, if next % 2 == 1 { 403 } else { 200 }, "the policy {next} is not in force");
    }
}

/// The processes whose parent is `pid`.
fn children(pid: u64) -> Vec<u64> {
    let all = fs::read_dir("/proc").unwrap().filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok());
    all.filter(|child: &u64| process(*child).is_some_and(|(parent, _)| parent == pid)).collect()
}

/// A process's parent and state.
fn process(pid: u64) -> Option<(u64, char)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut rest = stat.rsplit_once(") ")?.1.split(' ');
    let state = rest.next()?.chars().next()?;
    Some((rest.next()?.parse().ok()?, state))
}

/// Waits until the workers of a dead node are dead too.
fn gone(workers: &[u64]) {
    let start = Instant::now();
    for pid in workers {
        while process(*pid).is_some_and(|(_, state)| state != 'Z' && state != 'X') {
            assert!(start.elapsed() < Duration::from_secs(10), "the worker {pid} outlived its node");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

#[derive(Debug, Default)]
struct Figures {
    acknowledged: usize,
    acts_under_way: usize,
    acts_found_done: usize,
    tokens_checked: usize,
    records_checked: usize,
    workers: usize,
    killed_while_starting: usize,
    starts_ms: Vec<u128>,
}

/// Runs the load against a node and kills it in the midst.
fn kill_under_load(
    node: TestNode,
    book: &Arc<Mutex<Book>>,
    random: &mut Random,
    figures: &mut Figures,
) -> Home {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let api = Api::of(&node);
    let mut tasks = Vec::new();
    for name in FUNCTIONS {
        let random = Random(random.next());
        tasks.push(runtime.spawn(functions(api.clone(), book.clone(), name, random)));
    }
    tasks.push(runtime.spawn(tokens(api.clone(), book.clone(), Random(random.next()))));
    tasks.push(runtime.spawn(policies(api, book.clone())));
    std::thread::sleep(Duration::from_millis(random.below(LIFE_MS_MAX)));
    let workers = children(node.info["pid"].as_u64().unwrap());
    assert!(!workers.is_empty(), "a node without workers");
    figures.workers += workers.len();
    let home = node.kill();
    gone(&workers);
    for task in tasks {
        // Each ends with the connection; a check that failed is a panic.
        assert!(runtime.block_on(task).unwrap().is_err());
    }
    home
}

/// Starts a node on the folder, after killing some in their start.
fn start_again(home: Home, random: &mut Random, figures: &mut Figures) -> TestNode {
    if random.below(4) == 0 {
        TestNode::killed_in_its_start(&home, Duration::from_millis(random.below(START_MS_MAX)));
        figures.killed_while_starting += 1;
    }
    let start = Instant::now();
    let node = TestNode::start_with(home, "");
    figures.starts_ms.push(start.elapsed().as_millis());
    node
}

/// Compares a node with the book, and writes into the book what became of what was under way.
async fn judge(api: &Api, book: &mut Book, figures: &mut Figures) {
    let records = get(api, "records?limit=1000").await;
    check_records(api, book, records["records"].as_array().unwrap(), figures).await;
    for name in FUNCTIONS {
        judge_function(api, name, book.functions.get_mut(name).unwrap(), figures).await;
    }
    judge_tokens(api, book, figures).await;
    let text = get(api, "policy").await["text"].as_str().unwrap().to_owned();
    let may = [Some(book.policy), book.policy_pending.take()];
    let is = |number: &u64| text == if *number == 0 { String::new() } else { policy(*number) };
    let found = may.into_iter().flatten().find(is);
    book.policy = found.unwrap_or_else(|| panic!("the policy is {text}; it may be {may:?}"));
    let gated = api.call(GATED, &api.admin).await.ok().unwrap();
    let closed = book.policy % 2 == 1;
    assert_eq!(gated.status, if closed { 403 } else { 200 }, "policy {}: {}", book.policy, gated.text());
}

async fn get(api: &Api, path: &str) -> Value {
    let answer = api.control("GET", path, Bytes::new()).await.ok().unwrap();
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

async fn judge_function(api: &Api, name: &str, function: &mut Function, figures: &mut Figures) {
    let path = format!("functions/{name}");
    let answer_of_control = api.control("GET", &path, Bytes::new()).await.ok().unwrap();
    let mut found = Function { newest: function.newest, ..Function::default() };
    if answer_of_control.status != 404 {
        let detail = answer_of_control.json();
        found.active = detail["function"]["active"]["number"].as_u64();
        found.newest = detail["function"]["newest"].as_u64().unwrap();
        for revision in detail["revisions"].as_array().unwrap() {
            let digest = revision["component"].as_str().unwrap();
            let all = function.possible().into_iter().flat_map(|state| state.revisions.into_values());
            let of = all.into_iter().find(|v| keyring::sha256(&component(*v)).to_string() == digest);
            let variant = of.unwrap_or_else(|| panic!("{name}: nobody deployed {revision}"));
            found.revisions.insert(revision["number"].as_u64().unwrap(), variant);
        }
    }
    let possible = function.possible();
    figures.acts_under_way += possible.len() - 1;
    let same = |state: &&Function| {
        (state.active, &state.revisions, state.newest) == (found.active, &found.revisions, found.newest)
    };
    let Some(state) = possible.iter().find(same) else {
        panic!("{name} is {found:#?}\nand may be one of {possible:#?}");
    };
    if possible.len() == 2 && *state == possible[1] {
        figures.acts_found_done += 1;
    }
    *function = state.clone();
    let answered = api.call(name, &api.admin).await.ok().unwrap();
    match function.active {
        Some(number) => assert_eq!(answered.text(), answer(function.revisions[&number]), "{name} r{number}"),
        None => assert_eq!(answered.status, 404, "{name} is removed: {}", answered.text()),
    }
}

async fn judge_tokens(api: &Api, book: &mut Book, figures: &mut Figures) {
    let listed = get(api, "tokens").await;
    let listed = listed["tokens"].as_array().unwrap();
    let by_id = |id: &str| listed.iter().find(|token| token["id"] == id);
    let mut refused = 0;
    for (id, token) in &mut book.tokens {
        let row = by_id(id).unwrap_or_else(|| panic!("the token {id} was acknowledged and is not listed"));
        let revoked = !row["revoked_at"].is_null();
        assert!(revoked == token.revoked || token.revoking, "{row} was revoked: {}", token.revoked);
        (token.revoked, token.revoking) = (revoked, false);
        // A node bears only so many wrong tokens a minute.
        refused += usize::from(revoked);
        if revoked && refused > 4 {
            continue;
        }
        let whoami = format!("{}/v1/whoami", api.control);
        let status = api.send("GET", whoami, &token.secret, Bytes::new()).await.ok().unwrap().status;
        assert_eq!(status, if revoked { 401 } else { 200 }, "{row}");
        figures.tokens_checked += 1;
    }
    // The first start's own, those of this test, and those whose answer was cut off.
    let unknown = listed.len() - book.tokens.len() - 1;
    let most = book.tokens_unknown + book.tokens_unanswered;
    assert!(unknown >= book.tokens_unknown && unknown <= most, "{unknown} unknown tokens, at most {most}");
    (book.tokens_unknown, book.tokens_unanswered) = (unknown, 0);
}

/// Each acknowledged change is in the record, and the record has no gap.
async fn check_records(api: &Api, book: &mut Book, records: &[Value], figures: &mut Figures) {
    let numbers: BTreeSet<u64> = records.iter().map(|r| r["seq"].as_u64().unwrap()).collect();
    assert_eq!(numbers.len(), records.len(), "a number of the record was given twice");
    for (n, (request, kind)) in book.acknowledged.drain(..).rev().enumerate() {
        let is = |record: &&Value| {
            let event = &record["event"];
            event["request"] == *request && event["kind"] == kind && event["allowed"] == true
        };
        let mut there = records.iter().any(|record| is(&record));
        // Older ones are asked for one by one, the newest of them.
        if !there && n < 60 {
            let path = format!("records?limit=20&request={request}");
            there = get(api, &path).await["records"].as_array().unwrap().iter().any(|record| is(&record));
        } else if !there {
            continue;
        }
        assert!(there, "the {kind} of {request} was acknowledged and is not in the record");
        figures.records_checked += 1;
    }
}

/// At the end of a folder's life: every revision that is kept has its component and answers.
async fn every_revision_answers(api: &Api, book: &Mutex<Book>) {
    let kept = book.lock().functions.clone();
    for (name, function) in kept.iter().filter(|(_, function)| function.active.is_some()) {
        for (number, variant) in function.revisions.iter().rev().take(6) {
            let (path, body) =
                (format!("functions/{name}/rollback"), json!({ "to": number }).to_string().into());
            let change = Change { method: "POST", path: &path, body, status: 200, kind: "rollback" };
            assert!(api.change(book, change).await.is_ok());
            let answered = api.call(name, &api.admin).await.ok().unwrap();
            assert_eq!(answered.text(), answer(*variant), "{name} r{number}");
        }
    }
}

#[test]
fn a_killed_node_keeps_what_it_acknowledged_and_nothing_half_done() {
    let mut random = Random(seed());
    let (mut figures, start) = (Figures::default(), Instant::now());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for first in (0..ROUNDS[long()]).step_by(ROUNDS_OF_A_FOLDER) {
        let mut node = TestNode::start();
        node.deploy(GATED, &guest("hello"), OPEN);
        let book = Arc::new(Mutex::new(Book::default()));
        book.lock().functions = FUNCTIONS.map(|name| (name.to_string(), Function::default())).into();
        for round in first..first + ROUNDS_OF_A_FOLDER {
            println!("round {round}");
            let home = kill_under_load(node, &book, &mut random, &mut figures);
            node = start_again(home, &mut random, &mut figures);
            figures.acknowledged += book.lock().acknowledged.len();
            let mut book = book.lock();
            runtime.block_on(judge(&Api::of(&node), &mut book, &mut figures));
        }
        runtime.block_on(every_revision_answers(&Api::of(&node), &book));
        node.stop();
    }
    let mut starts = std::mem::take(&mut figures.starts_ms);
    starts.sort_unstable();
    let (middle, most) = (starts[starts.len() / 2], starts[starts.len() - 1]);
    println!("{} rounds in {:.0} s: {figures:?}", ROUNDS[long()], start.elapsed().as_secs_f64());
    println!("a start on a killed node's folder: {middle} ms in the middle, {most} ms at most");
    assert!(figures.acknowledged > ROUNDS[long()] && figures.tokens_checked > 0, "{figures:?}");
    assert!(figures.acts_under_way > 0 && figures.records_checked > 0, "{figures:?}");
}
