//! Clients that mean harm, each a few lines. They never stop before their time, whatever the server does to them.

mod frames;

use std::{
    cell::RefCell,
    collections::BTreeMap,
    rc::Rc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    Wrong,
    line::{Line, get, request, tcp},
    order::{Attack, To},
};

/// Of a hostile guest's answer no more is read.
const ANSWER_BYTES_MAX: u64 = 2 << 20;
/// Connections that a slow client adds at once; then it waits a moment, so that opening them is not the attack.
const BATCH: usize = 100;

/// Requests that no server should take, each on a connection of its own.
const MALFORMED: &[&[u8]] = &[
    b"GET /hello HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
    b"POST /hello HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /hello HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nabc\r\n",
    b"POST /hello HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    b"GET /hello/../../etc/passwd HTTP/1.1\r\nhost: localhost\r\n\r\n",
    b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nhost: localhost\r\n\r\n",
    b"GET //hello//x HTTP/1.1\r\nhost: localhost\r\n\r\n",
    b"GET /hello%00 HTTP/1.1\r\nhost: localhost\r\n\r\n",
    b"CONNECT example.com:80 HTTP/1.1\r\nhost: localhost\r\n\r\n",
    b"TRACE /hello HTTP/1.1\r\nhost: localhost\r\n\r\n",
    b"get /hello HTTP/1.1\r\nhost: localhost\r\n\r\n",
    b"GET /hello HTTP/1.1\r\nhost: nobody.example\r\n\r\n",
    b"GET /hello HTTP/1.1\r\n\r\n",
    b"GET /hello HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
    b"GET /hello HTTP/9.9\r\nhost: localhost\r\n\r\n",
    b"GET /hello HTTP/1.1\r\nhost: localhost\r\n folded: yes\r\n\r\n",
];

/// What an attacker saw.
#[derive(Default)]
pub(super) struct Seen {
    statuses: BTreeMap<String, u64>,
    opened: u64,
    open_now: u64,
    open_most: u64,
    requests: u64,
}

impl Seen {
    fn count(&mut self, what: &str) {
        *self.statuses.entry(what.to_owned()).or_default() += 1;
    }
}

/// One attacker: the order, its number, when to end, and what all of them saw.
#[derive(Clone)]
pub(super) struct Attacker {
    to: Rc<To>,
    run: Rc<Attack>,
    n: usize,
    until: Instant,
    seen: Rc<RefCell<Seen>>,
}

impl Attacker {
    fn goes_on(&self) -> bool {
        Instant::now() < self.until
    }

    fn count(&self, what: &str) {
        self.seen.borrow_mut().count(what);
    }

    fn sent(&self) {
        self.seen.borrow_mut().requests += 1;
    }

    async fn open(&self, alpn: &[u8]) -> Result<Line, Wrong> {
        let line = Line::open(&self.to, self.n, alpn).await?;
        self.seen.borrow_mut().opened += 1;
        Ok(line)
    }
}

/// Attacks until the time is over, and says what came back.
pub(crate) async fn run(to: &To, run: &Attack) -> Result<Value, Wrong> {
    let seen = Rc::new(RefCell::new(Seen::default()));
    let until = Instant::now() + Duration::from_secs_f64(run.seconds);
    let count = run.connections;
    let run: Rc<Attack> = Rc::new(Attack { kind: run.kind.clone(), path: run.path.clone(), ..*run });
    let first = Attacker { to: Rc::new(to.clone()), run, n: 0, until, seen: Rc::clone(&seen) };
    let mut tasks = Vec::new();
    for n in 0..count {
        let attacker = Attacker { n, ..first.clone() };
        if !attacker.goes_on() {
            break;
        }
        tasks.push(tokio::task::spawn_local(attack(attacker)));
        if n % BATCH == BATCH - 1 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    tokio::time::sleep(until.saturating_duration_since(Instant::now())).await;
    for task in tasks {
        task.abort();
    }
    let seen = seen.borrow();
    Ok(json!({
        "statuses": seen.statuses,
        "opened": seen.opened,
        "open_most": seen.open_most,
        "requests": seen.requests,
    }))
}

/// One attacker's whole time: what breaks is begun again, with a breath where nothing opens.
async fn attack(attacker: Attacker) {
    while attacker.goes_on() {
        let one = async {
            match attacker.run.kind.as_str() {
                "guest" => guest(&attacker).await,
                "slow-headers" => {
                    slowly(&attacker, b"GET /hello HTTP/1.1\r\nhost: localhost\r\nx-slow: ").await
                }
                "slow-body" => slow_body(&attacker).await,
                "endless-body" => endless_body(&attacker).await,
                "big-body" => big_body(&attacker).await,
                "big-head" => big_head(&attacker).await,
                "idle-tcp" => idle(&attacker, false).await,
                "idle-tls" => idle(&attacker, true).await,
                "rapid-reset" => frames::rapid_reset(&attacker).await,
                "garbage" => garbage(&attacker, true).await,
                "bad-tls" => garbage(&attacker, false).await,
                "plain-on-tls" => plain(&attacker).await,
                "malformed" => malformed(&attacker).await,
                "pipelined-garbage" => pipelined(&attacker).await,
                "handshakes" => attacker.open(b"http/1.1").await.map(drop),
                other => Err(format!("no attack is called `{other}`").into()),
            }
        };
        if one.await.is_err() {
            attacker.count("cut off");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Calls a hostile guest, over and over.
async fn guest(attacker: &Attacker) -> Result<(), Wrong> {
    let mut line = attacker.open(b"http/1.1").await?;
    let request = get(&attacker.to, &attacker.run.path, attacker.n);
    loop {
        attacker.sent();
        let answer = line.call(&request, ANSWER_BYTES_MAX).await?;
        attacker.count(&answer.status.to_string());
        if answer.closes || !answer.whole {
            return Ok(());
        }
    }
}

/// A beginning, then a byte a second.
async fn slowly(attacker: &Attacker, beginning: &[u8]) -> Result<(), Wrong> {
    let mut line = attacker.open(b"http/1.1").await?;
    line.send(beginning).await?;
    attacker.sent();
    loop {
        line.send(b"a").await?;
        let mut buffer = [0; 1024];
        let read = tokio::time::timeout(Duration::from_secs(1), line.stream.read(&mut buffer)).await;
        if let Ok(read) = read {
            let n = read?;
            attacker.count(&status_of(&buffer[..n]));
            return Ok(());
        }
    }
}

async fn slow_body(attacker: &Attacker) -> Result<(), Wrong> {
    let head = request(&attacker.to, "POST", "/hello", attacker.n, "content-length: 100000\r\n");
    slowly(attacker, &head).await
}

async fn endless_body(attacker: &Attacker) -> Result<(), Wrong> {
    let mut line = attacker.open(b"http/1.1").await?;
    line.send(&request(&attacker.to, "POST", "/hello", attacker.n, "transfer-encoding: chunked\r\n")).await?;
    attacker.sent();
    let mut chunk = b"4000\r\n".to_vec();
    chunk.extend_from_slice(&[b'x'; 0x4000]);
    chunk.extend_from_slice(b"\r\n");
    let mut buffer = [0; 1024];
    loop {
        tokio::select! {
            read = line.stream.read(&mut buffer) => {
                attacker.count(&status_of(&buffer[..read?]));
                return Ok(());
            }
            () = tokio::time::sleep(Duration::from_millis(1)) => {}
        }
        line.send(&chunk).await?;
    }
}

async fn big_body(attacker: &Attacker) -> Result<(), Wrong> {
    let mut line = attacker.open(b"http/1.1").await?;
    let head = request(&attacker.to, "POST", "/hello", attacker.n, "content-length: 1000000000\r\n");
    attacker.sent();
    let answer = line.call(&head, ANSWER_BYTES_MAX).await?;
    attacker.count(&answer.status.to_string());
    Ok(())
}

async fn big_head(attacker: &Attacker) -> Result<(), Wrong> {
    let mut line = attacker.open(b"http/1.1").await?;
    let long = format!("x-long: {}\r\n", "x".repeat(1 << 20));
    attacker.sent();
    // The server may answer and close before all of it is written.
    let _cut = line.send(&request(&attacker.to, "GET", "/hello", attacker.n, &long)).await;
    let answer = line.answer(ANSWER_BYTES_MAX, None).await?;
    attacker.count(&answer.status.to_string());
    Ok(())
}

async fn idle(attacker: &Attacker, tls: bool) -> Result<(), Wrong> {
    let stream = if tls {
        attacker.open(b"http/1.1").await?.stream
    } else {
        let stream = tcp(&attacker.to, attacker.n).await?;
        attacker.seen.borrow_mut().opened += 1;
        crate::line::Stream::Plain(stream)
    };
    let open = Open::new(&attacker.seen);
    let mut stream = stream;
    let ended = stream.read(&mut [0; 16]).await?;
    drop(open);
    attacker.count(if ended == 0 { "closed" } else { "spoken to" });
    Ok(())
}

/// Counts a connection as open for as long as it lives.
struct Open(Rc<RefCell<Seen>>);

impl Open {
    fn new(seen: &Rc<RefCell<Seen>>) -> Self {
        let mut now = seen.borrow_mut();
        now.open_now += 1;
        now.open_most = now.open_most.max(now.open_now);
        Self(Rc::clone(seen))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.borrow_mut().open_now -= 1;
    }
}

async fn garbage(attacker: &Attacker, tls: bool) -> Result<(), Wrong> {
    let mut stream = if tls {
        attacker.open(b"http/1.1").await?.stream
    } else {
        attacker.seen.borrow_mut().opened += 1;
        crate::line::Stream::Plain(tcp(&attacker.to, attacker.n).await?)
    };
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ attacker.n as u64;
    let noise: Vec<u8> = (0..4096)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        })
        .collect();
    attacker.sent();
    stream.write_all(&noise).await?;
    stream.flush().await?;
    let mut buffer = [0; 1024];
    let read = tokio::time::timeout(Duration::from_secs(2), stream.read(&mut buffer)).await??;
    attacker.count(&status_of(&buffer[..read]));
    Ok(())
}

async fn plain(attacker: &Attacker) -> Result<(), Wrong> {
    let mut stream = tcp(&attacker.to, attacker.n).await?;
    attacker.seen.borrow_mut().opened += 1;
    attacker.sent();
    stream.write_all(&get(&attacker.to, "/hello", attacker.n)).await?;
    let mut buffer = [0; 1024];
    let read = tokio::time::timeout(Duration::from_secs(2), stream.read(&mut buffer)).await??;
    attacker.count(&status_of(&buffer[..read]));
    Ok(())
}

async fn malformed(attacker: &Attacker) -> Result<(), Wrong> {
    for bytes in MALFORMED {
        let mut line = attacker.open(b"http/1.1").await?;
        attacker.sent();
        line.send(bytes).await?;
        let answer = tokio::time::timeout(Duration::from_secs(2), line.answer(ANSWER_BYTES_MAX, None)).await;
        match answer {
            Ok(Ok(answer)) => attacker.count(&answer.status.to_string()),
            Ok(Err(_)) => attacker.count("cut off"),
            Err(_) => attacker.count("no answer in 2 s"),
        }
    }
    Ok(())
}

/// Good requests one upon the other, and then noise where the next should begin.
async fn pipelined(attacker: &Attacker) -> Result<(), Wrong> {
    let mut line = attacker.open(b"http/1.1").await?;
    let mut bytes = get(&attacker.to, "/hello", attacker.n).repeat(50);
    bytes.extend_from_slice(&[0xff; 512]);
    bytes.extend_from_slice(b"\r\n\r\n");
    line.send(&bytes).await?;
    for _ in 0..51 {
        attacker.sent();
        let answer = line.answer(ANSWER_BYTES_MAX, None).await?;
        attacker.count(&answer.status.to_string());
        if answer.closes {
            return Ok(());
        }
    }
    Ok(())
}

/// The status of what begins an answer, or what else it was.
fn status_of(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    match text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)) {
        Some(status) => status.to_owned(),
        None if bytes.is_empty() => "closed".to_owned(),
        None => "not HTTP".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn answers_are_told_from_silence() {
        for (bytes, expect) in
            [(&b"HTTP/1.1 408 Request Timeout\r\n"[..], "408"), (b"", "closed"), (b"\x15\x03", "not HTTP")]
        {
            assert_eq!(super::status_of(bytes), expect);
        }
    }
}
