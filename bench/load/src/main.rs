//! The load of the benchmark and the soak: one JSON order as argument, one JSON answer on stdout. It never starts
//! a server but the bare one it is measured against, and speaks to loopback alone.

mod attack;
mod calls;
mod decisions;
mod deploys;
mod hyper_server;
mod line;
mod open_loop;
mod order;

use std::process::ExitCode;

use order::Order;

/// Anything that ends an order early.
type Wrong = Box<dyn std::error::Error>;

/// The node's, so that what is measured of its crates in this process costs what it costs there.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Wrong> {
    let text = std::env::args().nth(1).ok_or("an order as JSON is wanted")?;
    let order: Order = serde_json::from_str(&text)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    let answer = local.block_on(&runtime, async {
        match order {
            Order::Hyper {} => hyper_server::serve().await,
            Order::OpenLoop { to, run } => open_loop::run(&to, &run).await,
            Order::EachOnce { to, paths } => calls::each_once(&to, &paths).await,
            Order::Deploys { to, run } => deploys::run(&to, &run).await,
            Order::Attack { to, run } => attack::run(&to, &run).await,
            Order::Decisions { wanted } => decisions::run(&wanted),
        }
    })?;
    println!("{answer}");
    Ok(())
}
