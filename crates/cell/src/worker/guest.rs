//! What a guest is given: closed standard interfaces, a log, coarse clocks, randomness, HTTP by way of the
//! node, and the limits of its instance. It never gives a file, a socket, an argument or a variable.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use http::{HeaderName, header};
use model::{Fault, limits};
use tokio::io::AsyncWrite;
use wasmtime::{Engine, ResourceLimiter, Store, UpdateDeadline, component::ResourceTable};
use wasmtime_wasi::{
    HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView, async_trait,
    cli::{IsTerminal, StdoutStream},
    p2::{OutputStream, Pollable, StreamResult},
};
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

use super::{calls, run::Run};
use crate::{
    engine::Engines,
    protocol::{LogStream, PART_BYTES_MAX},
};

/// The state of one store.
pub(super) struct Guest {
    table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: Hooks,
    bounds: Bounds,
}

/// A fresh store for `run`, with all its limits in place.
pub(super) fn store(engine: &Engine, run: &Arc<Run>) -> Store<Guest> {
    let mut table = ResourceTable::new();
    table.set_max_capacity(limits::HANDLES_MAX);
    let mut http = WasiHttpCtx::new();
    // The library counts its own records too; the answer's head is counted exactly when it is sent.
    http.set_field_size_limit(
        limits_of(run.limits.response_header_bytes).saturating_mul(4).max(limits::FIELDS_BYTES_MAX),
    );
    let guest = Guest {
        table,
        wasi: closed(run),
        http,
        hooks: Hooks(Arc::clone(run)),
        bounds: Bounds { run: Arc::clone(run), elements: 0 },
    };
    let mut store = Store::new(engine, guest);
    store.set_hostcall_fuel(limits::HOST_CALL_BYTES_MAX);
    store.set_max_component_handles(limits::HANDLES_MAX);
    // Tasks, streams and futures of 0.3.
    if let Some(table) = store.concurrent_resource_table() {
        table.set_max_capacity(limits::CONCURRENT_RECORDS_MAX);
    }
    store.limiter(|guest| &mut guest.bounds);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|store| match store.data().bounds.run.failure() {
        Some((_, detail)) => Err(wasmtime::Error::msg(detail)),
        None => Ok(UpdateDeadline::Yield(1)),
    });
    store
}

/// Environment, arguments and folders are empty, standard input is at its end, sockets are refused.
pub(super) fn closed(run: &Arc<Run>) -> WasiCtx {
    WasiCtxBuilder::new()
        .stdout(Log { run: Arc::clone(run), stream: LogStream::Stdout })
        .stderr(Log { run: Arc::clone(run), stream: LogStream::Stderr })
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .max_random_size(limits::RANDOM_BYTES_MAX)
        .wall_clock(Coarse)
        .monotonic_clock(CoarseSince(Instant::now()))
        .build()
}

impl Guest {
    /// As [`WasiHttpView::http`], for the host's own use: it counts no host call.
    pub(super) fn view(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.hooks, table: &mut self.table, ctx: &mut self.http }
    }

    /// The run that it is.
    pub(super) fn run(&self) -> &Run {
        &self.bounds.run
    }

    // Every host function asks for its view first: this is where calls are counted.
    fn count(&self) {
        if self.bounds.run.host_call() {
            // The guest is stopped at its next check, not at the next tick.
            Engines::tick();
        }
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.count();
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.count();
        self.view()
    }
}

struct Hooks(Arc<Run>);

impl WasiHttpHooks for Hooks {
    /// As the library's own list, without making it anew for each header.
    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        matches!(
            *name,
            header::CONNECTION
                | header::HOST
                | header::PROXY_AUTHENTICATE
                | header::PROXY_AUTHORIZATION
                | header::TRANSFER_ENCODING
                | header::UPGRADE
        ) || matches!(name.as_str(), "keep-alive" | "proxy-connection" | "http2-settings")
    }

    /// The authority says it, and only once.
    fn set_host_header(&mut self) -> bool {
        false
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _answered: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<(http::Response<WasiBody>, calls::Rest), Error>> + Send> {
        Box::new(calls::call(Arc::clone(&self.0), request, options))
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        PART_BYTES_MAX
    }

    fn p3_outgoing_body_chunk_size(&mut self) -> usize {
        PART_BYTES_MAX
    }
}

/// Memory, tables and instances of one store. What goes beyond ends the run.
struct Bounds {
    run: Arc<Run>,
    elements: u64,
}

impl ResourceLimiter for Bounds {
    fn memory_growing(&mut self, now: usize, wanted: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let more = u64::try_from(wanted.saturating_sub(now)).unwrap_or(u64::MAX);
        if self.run.grow(more) { Ok(true) } else { Err(wasmtime::Error::msg("memory limit")) }
    }

    fn table_growing(&mut self, now: usize, wanted: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let more = u64::try_from(wanted.saturating_sub(now)).unwrap_or(u64::MAX);
        self.elements = self.elements.saturating_add(more);
        let limit = self.run.limits.table_elements;
        if self.elements <= limit {
            return Ok(true);
        }
        self.run
            .fail(Fault::TableLimit, format!("{} table elements where {limit} are allowed", self.elements));
        Err(wasmtime::Error::msg("table limit"))
    }

    fn instances(&self) -> usize {
        limits_of(self.run.limits.instances)
    }

    fn tables(&self) -> usize {
        limits_of(self.run.limits.instances)
    }

    fn memories(&self) -> usize {
        limits_of(self.run.limits.instances)
    }
}

fn limits_of(limit: u64) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// One of the guest's two logs.
#[derive(Clone)]
struct Log {
    run: Arc<Run>,
    stream: LogStream,
}

impl IsTerminal for Log {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Log {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Pollable for Log {
    async fn ready(&mut self) {}
}

impl OutputStream for Log {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.run.log(self.stream, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PART_BYTES_MAX)
    }
}

impl AsyncWrite for Log {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.run.log(self.stream, bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The time of day, to the grain.
struct Coarse;

impl HostWallClock for Coarse {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(limits::CLOCK_GRAIN_NS)
    }

    fn now(&self) -> Duration {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Duration::new(now.as_secs(), u32::try_from(grained(now.subsec_nanos().into())).unwrap_or(0))
    }
}

/// Time since the run began, to the grain.
struct CoarseSince(Instant);

impl HostMonotonicClock for CoarseSince {
    fn resolution(&self) -> u64 {
        limits::CLOCK_GRAIN_NS
    }

    fn now(&self) -> u64 {
        grained(u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }
}

const fn grained(nanos: u64) -> u64 {
    nanos - nanos % limits::CLOCK_GRAIN_NS
}
