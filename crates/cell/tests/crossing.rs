//! What one crossing costs: node to worker and back, with a worker that answers at once. Run it with
//! `cargo test --release -p cell --test crossing -- --ignored --nocapture`.
#![allow(
    clippy::allow_attributes,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test says so by panicking"
)]

mod house;

use std::{sync::Arc, time::Instant};

use cell::{Broker, Cells, Code, LogStream, Run};
use futures_util::{StreamExt, stream::FuturesUnordered};
use house::{any_code, empty};
use model::{Limits, Outcome, TrustLabel, Usage, World};

struct Nobody;

impl Broker for Nobody {
    fn log(&self, _: LogStream, _: bytes::Bytes) {}

    fn call(
        &self,
        _: http::Request<cell::BodyStream>,
    ) -> std::pin::Pin<Box<dyn Future<Output = cell::Called> + Send>> {
        Box::pin(std::future::ready(Err(cell::CallError::Denied)))
    }

    fn calls_exhausted(&self) {}

    fn finished(&self, _: Usage, _: Outcome) {}
}

async fn measure(name: &str, cells: &Cells, code: &Code, at_once: usize, count: usize) {
    let broker: Arc<dyn Broker> = Arc::new(Nobody);
    let one = || {
        let (code, trust, limits) = (code.clone(), TrustLabel::default(), Limits::default());
        let request = house::request("/hello?name=world", empty());
        house::answer(cells.run(Run { code, trust, limits, request, broker: Arc::clone(&broker) }))
    };
    let mut under_way: FuturesUnordered<_> = (0..at_once).map(|_| one()).collect();
    let started = Instant::now();
    for _ in 0..count {
        assert_eq!(under_way.next().await.unwrap().unwrap().0, 200);
        under_way.push(one());
    }
    let each = started.elapsed() / u32::try_from(count).unwrap();
    println!("{name}, {at_once} at once: {each:?} each");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[ignore = "a measurement"]
async fn what_a_crossing_costs() {
    for (name, config) in [("scripted", house::playing("honest")), ("hello, WASI 0.2", house::real())] {
        let cells = Cells::start(config).await.unwrap();
        let code = if name == "scripted" {
            any_code()
        } else {
            let compiled = cells.compile(&house::guest("hello.wasm"), World::P2).await.unwrap();
            Code::new(&compiled, World::P2).unwrap()
        };
        for at_once in [1, 8, 32, 100] {
            measure(name, &cells, &code, at_once, 30_000).await;
        }
    }
}
