//! Tries everything that a standard library links, for WASI 0.2, and answers as JSON what each attempt gave.
//! It never hides a success: where the world is linked but closed, each `attempts` entry is an error. It never
//! names an address beyond the machine that it runs on: under a runtime that lets it, it reaches loopback alone.
//!
//! `attempts` is `{"what": {"ok": bool, "got": text}}`; beside it stand the environment, the arguments, the
//! preopened folders, how finely the clock steps, and what was read from standard input.

use std::fmt::{Debug, Display};
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{env, fs};

use answer::json;
use wasip2::clocks::{monotonic_clock, wall_clock};
use wasip2::filesystem::preopens;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};
use wasip2::random::{insecure_seed, random};
use wasip2::sockets::network::{IpAddressFamily, IpSocketAddress, Ipv4SocketAddress};
use wasip2::sockets::{instance_network, tcp_create_socket};

wasip2::http::proxy::export!(Kitchen);

struct Kitchen;

impl wasip2::exports::http::incoming_handler::Guest for Kitchen {
    fn handle(_request: IncomingRequest, out: ResponseOutparam) {
        println!("kitchen says this on stdout");
        eprintln!("kitchen says this on stderr");
        let attempts: Vec<_> = attempts().into_iter().map(|(what, ok, got)| object(what, ok, &got)).collect();
        let report = format!(
            "{{\"environment\":{},\"arguments\":{},\"preopens\":{},\
            \"stdin\":{},\"clock\":{},\"random\":{},\"attempts\":{{{}}}}}\n",
            list(env::vars().map(|(name, value)| format!("{name}={value}"))),
            list(env::args()),
            list(preopens::get_directories().into_iter().map(|(_, path)| path)),
            json(&stdin()),
            clock(),
            json(&format!("{:x} {:x?}", random::get_random_u64(), insecure_seed::insecure_seed())),
            attempts.join(",")
        );
        answer::send(out, 200, "application/json", report.as_bytes());
    }
}

fn object(what: &str, ok: bool, got: &str) -> String {
    format!("{}:{{\"ok\":{ok},\"got\":{}}}", json(what), json(got))
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.map(|item| json(&item)).collect::<Vec<_>>().join(","))
}

type Attempt = (&'static str, bool, String);

fn attempts() -> Vec<Attempt> {
    vec![
        shown("read /etc/passwd", fs::read_to_string("/etc/passwd")),
        shown("read /proc/self/environ", fs::read_to_string("/proc/self/environ")),
        shown("read relative", fs::read_to_string("casemate.toml")),
        shown("list /", fs::read_dir("/").map(|entries| entries.count())),
        shown("list .", fs::read_dir(".").map(|entries| entries.count())),
        shown("write /tmp/kitchen", fs::write("/tmp/kitchen", "x").map(|()| "written")),
        shown("remove /tmp/kitchen", fs::remove_file("/tmp/kitchen").map(|()| "removed")),
        shown("tcp connect 127.0.0.1:443", TcpStream::connect("127.0.0.1:443").map(|_| "connected")),
        shown("tcp connect 127.0.0.1:8444", TcpStream::connect("127.0.0.1:8444").map(|_| "connected")),
        shown("tcp connect [::1]:8444", TcpStream::connect("[::1]:8444").map(|_| "connected")),
        shown("tcp listen 127.0.0.1:8080", TcpListener::bind("127.0.0.1:8080").map(|_| "listening")),
        shown("udp send 127.0.0.1:53", udp(Ipv4Addr::LOCALHOST.into())),
        shown("udp send [::1]:53", udp(Ipv6Addr::LOCALHOST.into())),
        shown("resolve localhost", ("localhost", 443).to_socket_addrs().map(|found| found.count())),
        shown("tcp connect by the raw interface", raw_tcp().map_err(|code| format!("{code:?}"))),
        shown("change folder", env::set_current_dir("/").map(|()| "changed")),
        shown("start a thread", std::thread::Builder::new().spawn(|| {}).map(|_| "started")),
    ]
}

fn shown<T: Debug, E: Display>(what: &'static str, result: Result<T, E>) -> Attempt {
    match result {
        Ok(value) => (what, true, format!("{value:?}").chars().take(200).collect()),
        Err(error) => (what, false, error.to_string()),
    }
}

fn udp(loopback: IpAddr) -> std::io::Result<usize> {
    let socket = UdpSocket::bind((loopback, 0))?;
    socket.connect((loopback, 53))?;
    socket.send(b"x")
}

fn raw_tcp() -> Result<&'static str, wasip2::sockets::network::ErrorCode> {
    let network = instance_network::instance_network();
    let socket = tcp_create_socket::create_tcp_socket(IpAddressFamily::Ipv4)?;
    let address = IpSocketAddress::Ipv4(Ipv4SocketAddress { port: 80, address: (127, 0, 0, 1) });
    socket.start_connect(&network, address)?;
    socket.subscribe().block();
    socket.finish_connect().map(|_| "connected")
}

fn stdin() -> String {
    let mut text = String::new();
    match std::io::stdin().take(1024).read_to_string(&mut text) {
        Ok(_) => text,
        Err(error) => format!("error: {error}"),
    }
}

/// Says what the clocks show, their stated resolution, and the smallest step that was seen in at most 20,000
/// readings: a step below a millisecond would be fit for timing attacks.
fn clock() -> String {
    let start = monotonic_clock::now();
    let mut last = start;
    let mut step = u64::MAX;
    for _ in 0..20_000 {
        let now = monotonic_clock::now();
        if now != last {
            step = step.min(now - last);
        }
        last = now;
    }
    monotonic_clock::subscribe_duration(1).block();
    let wall = wall_clock::now();
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let step = if step == u64::MAX { "null".into() } else { step.to_string() };
    format!(
        "{{\"monotonic_ns\":{start},\"step_ns\":{step},\"resolution_ns\":{},\
        \"wall_s\":{},\"wall_ns\":{},\"unix_ms\":{}}}",
        monotonic_clock::resolution(),
        wall.seconds,
        wall.nanoseconds,
        since.as_millis()
    )
}
