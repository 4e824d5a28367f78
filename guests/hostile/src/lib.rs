//! Every misbehaviour that a function of WASI 0.2 can show, one for each path. It never does two at once.
//!
//! The last part of the path names the attack; `/` lists them. `?n=` sets the size or the milliseconds where
//! one is said below.

mod answers;
mod hogs;

use wasip2::http::types::{IncomingRequest, ResponseOutparam};

wasip2::http::proxy::export!(Hostile);

struct Hostile;

/// What an attack is given: the request, where the answer goes, and the query.
struct Call {
    request: IncomingRequest,
    out: ResponseOutparam,
    query: String,
}

impl Call {
    /// The query's `n`, or `default`.
    fn n(&self, default: u64) -> u64 {
        answer::number(&self.query, "n", default)
    }
}

const ATTACKS: &[(&str, fn(Call))] = &[
    ("loop", hogs::compute),
    ("loop-after-answer", hogs::compute_after_answer),
    ("hostcall-loop", hogs::call_host),
    ("memory-bomb", hogs::take_memory),
    ("memory-grab", hogs::count_memory),
    ("recursion", hogs::recurse),
    ("random-huge", hogs::ask_random),
    ("fields-bomb", hogs::grow_fields),
    ("resource-bomb", hogs::make_resources),
    ("pollable-bomb", hogs::make_pollables),
    ("log-flood", hogs::flood_log),
    ("log-line", hogs::log_line),
    ("outbound-flood", hogs::call_out),
    ("sleep", hogs::sleep),
    ("trap", answers::trap),
    ("panic", answers::panic),
    ("exit", answers::exit),
    ("no-answer", answers::none),
    ("error-code", answers::error_code),
    ("endless-answer", answers::endless),
    ("drip", answers::drip),
    ("gigabyte", answers::gigabyte),
    ("headers-10000", answers::many_headers),
    ("header-big", answers::big_header),
    ("header-split", answers::split_header),
    ("header-hop", answers::hop_headers),
    ("header-trusted", answers::trusted_headers),
    ("length-lie", answers::wrong_length),
    ("status-odd", answers::odd_status),
    ("slow-first-byte", answers::slow_first_byte),
    ("idle-after-head", answers::idle_after_head),
    ("trap-after-head", answers::trap_after_head),
    ("broken-off", answers::broken_off),
    ("ignore-body", answers::ignore_body),
    ("drop-body", answers::drop_body),
];

impl wasip2::exports::http::incoming_handler::Guest for Hostile {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let (path, query) = answer::target(&request);
        let name = path.rsplit('/').next().unwrap_or_default();
        match ATTACKS.iter().find(|(attack, _)| *attack == name) {
            Some((_, attack)) => attack(Call { request, out, query }),
            None => {
                let names: Vec<_> = ATTACKS.iter().map(|(attack, _)| *attack).collect();
                answer::send(out, 200, "text/plain", (names.join("\n") + "\n").as_bytes());
            }
        }
    }
}
