//! Long texts on which slow patterns show: rules that take far longer for one of them than a request may cost would keep a
//! node from all other work. It never looks at a real request.

use bytes::Bytes;
use http::Request;

use super::{Asked, Guard, Now};
use crate::Peer;

/// Texts are made of these letters, at random but always the same.
const LETTERS: [&[u8]; 8] = [
    b"a",
    b"ab",
    b"0123456789",
    b"abcdefghijklmnopqrstuvwxyz",
    b"abcdefghijklmnopqrstuvwxyz      ",
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=",
    b"'\"()<>{}[];=-#/*.,:|&$%@!?\\` \n",
    b"aA0 '\"<>(/.-=",
];

const SPARE: usize = 16;

/// The most that looking at one of these texts costs, in nanoseconds by the clock. Each is as long as what is looked at of a
/// body. It stops at the first that costs more than `bound_ns` three times, since a machine may be busy.
pub fn dearest_ns(guard: &Guard, clock: &dyn Fn() -> u64, bound_ns: u64) -> u64 {
    let mut dearest = 0;
    for letters in LETTERS {
        let Some(asked) = probe(letters, guard.body_bytes().saturating_sub(SPARE)) else { continue };
        let mut least = u64::MAX;
        for _ in 0..3 {
            let begun = clock();
            let _said = guard.ask_again(&asked, "dear", Now { clock, epoch_s: 0, memory: None });
            least = least.min(clock().saturating_sub(begun));
            if least <= bound_ns {
                break;
            }
        }
        dearest = dearest.max(least);
        if dearest > bound_ns {
            break;
        }
    }
    dearest
}

/// One long value, as a form has it.
fn probe(letters: &[u8], bytes: usize) -> Option<Asked> {
    let mut text = b"v=".to_vec();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    while text.len() < bytes {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let at = usize::try_from(state >> 33).unwrap_or(0) % letters.len();
        text.extend(letters.get(at));
    }
    let request = Request::post("/").header("host", "example.com").header("user-agent", "curl/8.9.1");
    let request = request
        .header("content-type", "application/x-www-form-urlencoded")
        .header("content-length", text.len());
    let (head, ()) = request.body(()).ok()?.into_parts();
    let address = std::net::SocketAddr::from(([192, 0, 2, 1], 40_000));
    let peer = Peer { address, tls: true, server_name: None, certificate: None };
    Some(Asked::of(&head, &peer, Bytes::from(text), true))
}
