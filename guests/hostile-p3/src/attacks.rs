//! The attacks. They answer only where it is said.

use std::hint::black_box;

use wasip3::clocks::monotonic_clock;
use wasip3::http::types::{ErrorCode, Fields, Response};
use wasip3::{random, spawn_local, wit_future, wit_stream};

use crate::{send, start};

/// A text that stands for what must never leave a node: an inner error, a secret.
const INNER: &str = "s3cret-inner-detail at /srv/app/secret.rs:42";

const NAMES: &str = "loop loop-after-answer hostcall-loop memory-bomb recursion random-huge log-flood sleep \
spin-yield task-bomb stream-bomb future-bomb waitable-bomb resource-bomb fields-bomb trap panic exit no-answer error-code endless-answer drip gigabyte \
headers-10000 header-big header-split slow-first-byte idle-after-head trap-after-head no-trailers \
error-trailers";

/// Runs the attack of that name; lists all where there is none.
pub(crate) async fn run(name: &str, n: Option<u64>) -> Result<Response, ErrorCode> {
    match name {
        "loop" => spin(),
        "loop-after-answer" => {
            spawn_local(async {
                monotonic_clock::wait_for(50_000_000).await;
                spin()
            });
            send("answered\n".into())
        }
        "hostcall-loop" => loop {
            black_box(monotonic_clock::now());
        },
        "memory-bomb" => take_memory(),
        "recursion" => send(descend(n.unwrap_or(0)).to_string()),
        "random-huge" => send(random::random::get_random_bytes(n.unwrap_or(1 << 30)).len().to_string()),
        "log-flood" => flood_log(n.unwrap_or(64 << 20)),
        "sleep" => {
            pause(n.unwrap_or(86_400_000)).await;
            send("slept\n".into())
        }
        // Waits without end for what is ready at once: host calls and wake-ups, hardly any computing.
        "spin-yield" => loop {
            pause(0).await;
        },
        "task-bomb" => task_bomb(n.unwrap_or(u64::MAX)),
        "stream-bomb" => stream_bomb(n.unwrap_or(u64::MAX)),
        "future-bomb" => future_bomb(n.unwrap_or(u64::MAX)),
        "waitable-bomb" => waitable_bomb(n.unwrap_or(u64::MAX)),
        "resource-bomb" => resource_bomb(n.unwrap_or(u64::MAX)),
        "fields-bomb" => fields_bomb(n.unwrap_or(u64::MAX)),
        "trap" => core::arch::wasm32::unreachable(),
        "panic" => panic!("{INNER}"),
        "exit" => std::process::exit(n.unwrap_or(1) as i32),
        // What it waits for is its own to write, and it never does. (Where nothing at all is waited for, the
        // language's runtime traps.)
        "no-answer" => {
            let (writer, reader) = wit_future::new::<Result<(), ErrorCode>>(|| Ok(()));
            std::mem::forget(writer);
            reader.await.map(|()| unreachable!("nobody wrote it"))
        }
        "error-code" => Err(ErrorCode::InternalError(Some(INNER.into()))),
        _ => answer(name, n).await,
    }
}

async fn answer(name: &str, n: Option<u64>) -> Result<Response, ErrorCode> {
    match name {
        "endless-answer" => fill(u64::MAX),
        "gigabyte" => fill(n.unwrap_or(1 << 30)),
        "drip" => drip(n.unwrap_or(1_000)),
        "headers-10000" => {
            let headers = (0..n.unwrap_or(10_000)).map(|n| (format!("x-{n}"), b"y".to_vec()));
            with_headers(&headers.collect::<Vec<_>>())
        }
        "header-big" => with_headers(&[("x-big".into(), vec![b'x'; n.unwrap_or(1 << 20) as usize])]),
        "header-split" => with_headers(&[("x-split".into(), b"a\r\nset-cookie: stolen=1".to_vec())]),
        "slow-first-byte" => {
            pause(n.unwrap_or(20_000)).await;
            send("late\n".into())
        }
        "idle-after-head" => idle_after_head(n.unwrap_or(86_400_000)),
        "trap-after-head" => trap_after_head(),
        "no-trailers" => trailers(None),
        "error-trailers" => trailers(Some(ErrorCode::InternalError(Some(INNER.into())))),
        _ => send(NAMES.replace(' ', "\n") + "\n"),
    }
}

fn spin() -> ! {
    let mut n = 0u64;
    loop {
        n = black_box(n.wrapping_mul(6364136223846793005).wrapping_add(1));
    }
}

async fn pause(ms: u64) {
    monotonic_clock::wait_for(ms.saturating_mul(1_000_000)).await;
}

/// Takes and touches memory without end; traps where no more is given.
fn take_memory() -> ! {
    loop {
        let before = core::arch::wasm32::memory_grow(0, 16);
        if before == usize::MAX {
            core::arch::wasm32::unreachable()
        }
        for page in before..before + 16 {
            // SAFETY: the page was just given, and nothing else knows of it.
            unsafe { ((page * 64 * 1024) as *mut u8).write_volatile(1) };
        }
    }
}

#[inline(never)]
fn descend(n: u64) -> u64 {
    if n == u64::MAX { 0 } else { descend(n + 1).wrapping_mul(3) ^ n }
}

fn flood_log(bytes: u64) -> Result<Response, ErrorCode> {
    let line = "x".repeat(1023);
    for _ in 0..bytes / 2048 {
        println!("{line}");
        eprintln!("{line}");
    }
    send("flooded\n".into())
}

/// Starts tasks that wait for an hour, and answers how many it could.
fn task_bomb(most: u64) -> Result<Response, ErrorCode> {
    let mut made = 0;
    while made < most {
        let mut task = Box::pin(pause(3_600_000));
        let waker = std::task::Waker::noop();
        // Polled once, it is a task in the host; forgotten, it stays one.
        let _ = std::future::Future::poll(task.as_mut(), &mut std::task::Context::from_waker(waker));
        std::mem::forget(task);
        made += 1;
    }
    send(made.to_string())
}

/// Makes streams and keeps both ends, and answers how many it could.
fn stream_bomb(most: u64) -> Result<Response, ErrorCode> {
    let mut made = 0;
    while made < most {
        std::mem::forget(wit_stream::new::<u8>());
        made += 1;
    }
    send(made.to_string())
}

/// Makes futures and keeps both ends, and answers how many it could.
fn future_bomb(most: u64) -> Result<Response, ErrorCode> {
    let mut made = 0;
    while made < most {
        std::mem::forget(wit_future::new::<Result<(), ErrorCode>>(|| Ok(())));
        made += 1;
    }
    send(made.to_string())
}

#[link(wasm_import_module = "$root")]
unsafe extern "C" {
    #[link_name = "[waitable-set-new]"]
    fn waitable_set_new() -> u32;
}

/// Makes sets of what can be waited for, and answers how many it could.
fn waitable_bomb(most: u64) -> Result<Response, ErrorCode> {
    let mut made = 0;
    while made < most {
        // SAFETY: the intrinsic takes nothing and gives a handle.
        black_box(unsafe { waitable_set_new() });
        made += 1;
    }
    send(made.to_string())
}

/// Makes resources in the host and keeps them, and answers how many it could.
fn resource_bomb(most: u64) -> Result<Response, ErrorCode> {
    let mut made = 0;
    while made < most {
        std::mem::forget(Fields::new());
        made += 1;
    }
    send(made.to_string())
}

/// Appends headers to one table in the host until that refuses, and answers how many bytes it took.
fn fields_bomb(most: u64) -> Result<Response, ErrorCode> {
    let (fields, mut bytes) = (Fields::new(), 0);
    while bytes < most && fields.append("x-fill", &[b'x'; 16 * 1024]).is_ok() {
        bytes += 16 * 1024;
    }
    send(bytes.to_string())
}

fn with_headers(headers: &[(String, Vec<u8>)]) -> Result<Response, ErrorCode> {
    let (response, mut body) = start(headers)?;
    spawn_local(async move {
        body.write_all(b"accepted\n".to_vec()).await;
    });
    Ok(response)
}

fn fill(mut left: u64) -> Result<Response, ErrorCode> {
    let (response, mut body) = start(&[])?;
    spawn_local(async move {
        while left > 0 {
            let now = left.min(64 * 1024);
            if !body.write_all(vec![b'x'; now as usize]).await.is_empty() {
                return;
            }
            left -= now;
        }
    });
    Ok(response)
}

fn drip(every_ms: u64) -> Result<Response, ErrorCode> {
    let (response, mut body) = start(&[])?;
    spawn_local(async move {
        while body.write_all(b"x".to_vec()).await.is_empty() {
            pause(every_ms).await;
        }
    });
    Ok(response)
}

fn idle_after_head(still_ms: u64) -> Result<Response, ErrorCode> {
    let (response, mut body) = start(&[])?;
    spawn_local(async move {
        body.write_all(b"x".to_vec()).await;
        pause(still_ms).await;
        body.write_all(b"y".to_vec()).await;
    });
    Ok(response)
}

fn trap_after_head() -> Result<Response, ErrorCode> {
    let (response, mut body) = start(&[])?;
    spawn_local(async move {
        body.write_all(b"x".to_vec()).await;
        core::arch::wasm32::unreachable()
    });
    Ok(response)
}

/// A whole body, and then trailers that never come (`None`) or that are an error.
fn trailers(error: Option<ErrorCode>) -> Result<Response, ErrorCode> {
    let (mut body, body_read) = wit_stream::new();
    let (trailers, trailers_read) = wit_future::new(|| Ok(None));
    let (response, _sent) = Response::new(Fields::new(), Some(body_read), trailers_read);
    spawn_local(async move {
        body.write_all(b"body\n".to_vec()).await;
        drop(body);
        match error {
            Some(error) => drop(trailers.write(Err(error)).await),
            None => std::mem::forget(trailers),
        }
    });
    Ok(response)
}
