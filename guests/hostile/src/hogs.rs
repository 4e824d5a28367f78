//! Attacks that take: time, memory, host calls, log. They answer only where it is said.

use std::hint::black_box;

use wasip2::clocks::monotonic_clock;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, OutgoingBody, OutgoingRequest, Scheme};
use wasip2::random::random;

use crate::Call;

const PAGE: usize = 64 * 1024;

/// Computes without end.
pub(crate) fn compute(_call: Call) {
    spin()
}

/// Answers well, and then computes without end.
pub(crate) fn compute_after_answer(call: Call) {
    answer::send(call.out, 200, "text/plain", b"answered\n");
    spin()
}

fn spin() {
    let mut n = 0u64;
    loop {
        n = black_box(n.wrapping_mul(6364136223846793005).wrapping_add(1));
    }
}

/// Calls the host without end.
pub(crate) fn call_host(_call: Call) {
    loop {
        black_box(monotonic_clock::now());
    }
}

/// Takes and touches memory without end; traps where no more is given.
pub(crate) fn take_memory(_call: Call) {
    loop {
        if grow(16) == usize::MAX {
            core::arch::wasm32::unreachable()
        }
    }
}

/// Takes and touches all memory that is given, and answers how many bytes it has then.
pub(crate) fn count_memory(call: Call) {
    while grow(16) != usize::MAX {}
    while grow(1) != usize::MAX {}
    let bytes = core::arch::wasm32::memory_size(0) as u64 * PAGE as u64;
    answer::send(call.out, 200, "text/plain", bytes.to_string().as_bytes());
}

/// Grows memory by `pages` and writes to each of them. `usize::MAX` where that is refused.
fn grow(pages: usize) -> usize {
    let before = core::arch::wasm32::memory_grow(0, pages);
    if before != usize::MAX {
        for page in before..before + pages {
            // SAFETY: the page was just given, and nothing else knows of it.
            unsafe { ((page * PAGE) as *mut u8).write_volatile(1) };
        }
    }
    before
}

/// Recurses without end on the Wasm stack (no frame takes linear memory).
pub(crate) fn recurse(call: Call) {
    let depth = descend(call.n(0));
    answer::send(call.out, 200, "text/plain", depth.to_string().as_bytes());
}

#[inline(never)]
fn descend(n: u64) -> u64 {
    if n == u64::MAX { 0 } else { descend(n + 1).wrapping_mul(3) ^ n }
}

/// Asks for `n` random bytes at once, a gigabyte by default, and answers how many came.
pub(crate) fn ask_random(call: Call) {
    let bytes = random::get_random_bytes(call.n(1 << 30));
    answer::send(call.out, 200, "text/plain", bytes.len().to_string().as_bytes());
}

/// Appends headers to one table in the host until that refuses; answers how many bytes it took.
pub(crate) fn grow_fields(call: Call) {
    let fields = Fields::new();
    let mut bytes = 0;
    while bytes < call.n(u64::MAX) && fields.append("x-fill", &[b'x'; 16 * 1024]).is_ok() {
        bytes += 16 * 1024;
    }
    answer::send(call.out, 200, "text/plain", bytes.to_string().as_bytes());
}

/// Makes `n` resources in the host and keeps them, without end by default; answers how many it got.
pub(crate) fn make_resources(call: Call) {
    let mut made = 0;
    while made < call.n(u64::MAX) {
        std::mem::forget(Fields::new());
        made += 1;
    }
    answer::send(call.out, 200, "text/plain", made.to_string().as_bytes());
}

/// Makes `n` timers in the host, 100,000 by default, and waits for all of them at once.
pub(crate) fn make_pollables(call: Call) {
    let timers: Vec<_> =
        (0..call.n(100_000)).map(|n| monotonic_clock::subscribe_duration(3_600_000_000_000 + n)).collect();
    let ready = wasip2::io::poll::poll(&timers.iter().collect::<Vec<_>>());
    answer::send(call.out, 200, "text/plain", ready.len().to_string().as_bytes());
}

/// Writes `n` bytes of log lines, 64 MiB by default, half to each of stdout and stderr; then answers.
pub(crate) fn flood_log(call: Call) {
    let line = "x".repeat(1023);
    for _ in 0..call.n(64 << 20) / 2048 {
        println!("{line}");
        eprintln!("{line}");
    }
    answer::send(call.out, 200, "text/plain", b"flooded\n");
}

/// Writes a log line that pretends to be more: line breaks, colours, a forged record, no UTF-8; then answers.
pub(crate) fn log_line(call: Call) {
    use std::io::Write;
    let forged: &[u8] =
        b"a\r\n{\"level\":\"INFO\",\"message\":\"forged\"}\n\x1b[2J\x1b]0;title\x07\xff\xfe\0b\n";
    let _ = std::io::stderr().write_all(forged);
    answer::send(call.out, 200, "text/plain", b"logged\n");
}

/// Calls `url` (`https://localhost/` by default) `n` times, without end by default, and goes on when it is
/// refused; answers how many calls were answered and how many were not.
pub(crate) fn call_out(call: Call) {
    let url = answer::parameter(&call.query, "url").unwrap_or_else(|| "https://localhost/".into());
    let (mut answered, mut refused) = (0, 0);
    while answered + refused < call.n(u64::MAX) {
        match call_once(&url) {
            Some(()) => answered += 1,
            None => refused += 1,
        }
    }
    let text = format!("answered {answered}, refused {refused}\n");
    answer::send(call.out, 200, "text/plain", text.as_bytes());
}

fn call_once(url: &str) -> Option<()> {
    let (scheme, rest) = url.split_once("://")?;
    let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    let request = OutgoingRequest::new(Fields::new());
    let scheme = if scheme == "https" { Scheme::Https } else { Scheme::Http };
    request.set_scheme(Some(&scheme)).ok()?;
    request.set_authority(Some(authority)).ok()?;
    request.set_path_with_query(Some(path)).ok()?;
    let body = request.body().ok()?;
    let answer = outgoing_handler::handle(request, None).ok()?;
    OutgoingBody::finish(body, None).ok()?;
    answer.subscribe().block();
    answer.get()?.ok()?.ok().map(drop)
}

/// Sleeps `n` milliseconds, a day by default, and answers.
pub(crate) fn sleep(call: Call) {
    pause(call.n(86_400_000));
    answer::send(call.out, 200, "text/plain", b"slept\n");
}

/// Waits without using the processor.
pub(crate) fn pause(ms: u64) {
    monotonic_clock::subscribe_duration(ms.saturating_mul(1_000_000)).block();
}
