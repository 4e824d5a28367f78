//! What one run costs in a worker, from frame to frame: `cargo test --release -p cell --lib worker_speed --
//! --ignored --nocapture`.

use std::time::Instant;

use model::{Limits, World};

use super::node::{Guest, Node, request};

#[test]
#[ignore = "a measurement, not a test"]
fn worker_speed() {
    const RUNS: u32 = 20_000;
    let mut node = Node::start();
    for (guest, world) in [("hello", World::P2), ("hello-p3", World::P3)] {
        let code = node.load(&Guest::built(guest), world);
        for at_once in [1, 16, 64] {
            let mut cpu_us = 0;
            let start = Instant::now();
            for _ in 0..RUNS / at_once {
                let runs: Vec<_> = (0..at_once)
                    .map(|_| node.begin(code, Limits::default(), request("GET", "/"), b"", true))
                    .collect();
                cpu_us += node.finish(&runs).values().map(|outcome| outcome.usage.cpu_us).sum::<u64>();
            }
            let each = start.elapsed().as_secs_f64() * 1e6 / f64::from(RUNS);
            let cpu = f64::from(u32::try_from(cpu_us).unwrap()) / f64::from(RUNS);
            println!("{guest}, {at_once} at once: {each:.1} us a run, {cpu:.1} of them in the guest's turn");
        }
    }
}

#[test]
#[ignore = "a measurement, not a test"]
fn context_speed() {
    use std::{hint::black_box, sync::Arc};

    use crate::{
        engine::{Engines, StackClass},
        protocol::RunId,
        worker::{guest, hub::Hub, run::Run},
    };
    let hub: Arc<Hub> = Arc::default();
    let engines = Engines::of_process().unwrap();
    let time = |what: &str, act: &dyn Fn()| {
        let start = Instant::now();
        (0..100_000).for_each(|_| act());
        println!("{what}: {:.2} us", start.elapsed().as_secs_f64() * 10.0);
    };
    let run = Arc::new(Run::new(RunId(1), Limits::default(), Arc::clone(&hub)));
    time("run", &|| drop(black_box(Run::new(RunId(1), Limits::default(), Arc::clone(&hub)))));
    time("context", &|| drop(black_box(guest::closed(&run))));
    for world in [World::P2, World::P3] {
        let engine = engines.engine(world, StackClass::USUAL);
        time("store", &|| drop(black_box(guest::store(engine, &run))));
    }
    time("cpu clock", &|| {
        black_box(rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime));
    });
}
