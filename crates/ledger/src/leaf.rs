//! The one encoding of an event: compact JSON in a fixed order of fields, and its hash. It never writes a
//! control character, and never reads what it would have written otherwise.

use std::{io::Write as _, net::IpAddr, sync::Arc};

use model::{Digest, RequestId, TenantId, Timestamp, Usage, limits::CHAIN_DEPTH_MAX};
use serde::Deserialize;

use crate::{Event, Kind};

/// No leaf is longer, in bytes.
pub const LEAF_BYTES_MAX: usize = 48 << 10;

/// Of a leaf that tells of no chain of calls, of one that does, and of one that tells what a decision could see.
const VERSIONS: [u64; 3] = [1, 2, 3];
const PRINCIPAL_BYTES_MAX: usize = 256;
const ACTION_BYTES_MAX: usize = 64;
const RESOURCE_BYTES_MAX: usize = 512;
const ASKED_BYTES_MAX: usize = 1024;
const CODE_BYTES_MAX: usize = 64;
const LINK_BYTES_MAX: usize = 160;
const DETAIL_BYTES_MAX: usize = 1024;
const POLICY_BYTES_MAX: usize = 128;
const POLICIES_MAX: usize = 32;
/// What stands where text was cut.
const CUT: &str = "…";
/// 9999-12-30T21:59:59.999Z: the last time that RFC 3339 and every reader agree on.
const TIME_MS_MAX: u64 = 253_402_207_199_999;

/// Bytes that are not the encoding of an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeafError {
    /// Longer than any leaf.
    #[error("the record is longer than {LEAF_BYTES_MAX} bytes")]
    TooLong,
    /// Not JSON of an event.
    #[error("the record is malformed: {0}")]
    Malformed(String),
    /// JSON of an event, but not as this house writes it: other bytes would have another hash.
    #[error("the record is not in canonical form")]
    NotCanonical,
}

/// The hash of a leaf in a Merkle tree: SHA-256(0x00 || leaf), RFC 6962 §2.1.
pub fn leaf_hash(leaf: &[u8]) -> Digest {
    let mut hash = keyring::Sha256::new();
    hash.update(&[0]);
    hash.update(leaf);
    hash.finish()
}

impl Event {
    /// Appends the leaf of this event with its sequence number. The same event and number always give the
    /// same bytes, without a line feed.
    pub fn encode(&self, sequence: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(match (self.asked.is_empty(), self.is_of_chain()) {
            (true, false) => b"{\"v\":1,\"seq\":",
            (true, true) => b"{\"v\":2,\"seq\":",
            (false, _) => b"{\"v\":3,\"seq\":",
        });
        number(out, sequence);
        out.extend_from_slice(b",\"time\":\"");
        time(out, self.time);
        out.push(b'"');
        if let Some(tenant) = &self.tenant {
            text(out, b",\"tenant\":", tenant.as_str(), 64);
        }
        if let Some(request) = self.request {
            out.extend_from_slice(b",\"request\":\"");
            out.extend_from_slice(&request.digits());
            out.push(b'"');
        }
        text(out, b",\"kind\":", self.kind.as_str(), 64);
        text(out, b",\"principal\":", &self.principal, PRINCIPAL_BYTES_MAX);
        if !self.on_behalf_of.is_empty() {
            text(out, b",\"on_behalf_of\":", &self.on_behalf_of, PRINCIPAL_BYTES_MAX);
        }
        texts(out, b",\"chain\":[", &self.chain, CHAIN_DEPTH_MAX, LINK_BYTES_MAX);
        text(out, b",\"action\":", &self.action, ACTION_BYTES_MAX);
        text(out, b",\"resource\":", &self.resource, RESOURCE_BYTES_MAX);
        if !self.asked.is_empty() {
            text(out, b",\"asked\":", &self.asked, ASKED_BYTES_MAX);
        }
        out.extend_from_slice(if self.allowed { b",\"allowed\":true" } else { b",\"allowed\":false" });
        texts(out, b",\"policies\":[", &self.policies, POLICIES_MAX, POLICY_BYTES_MAX);
        text(out, b",\"code\":", &self.code, CODE_BYTES_MAX);
        if !self.detail.is_empty() {
            text(out, b",\"detail\":", &self.detail, DETAIL_BYTES_MAX);
        }
        if let Some(source) = self.source {
            address(out, source);
        }
        if let Some(usage) = &self.usage {
            encode_usage(out, usage);
        }
        out.push(b'}');
    }

    fn is_of_chain(&self) -> bool {
        !self.on_behalf_of.is_empty() || !self.chain.is_empty()
    }

    /// Reads a leaf: its sequence number and its event, cut where encoding cut it.
    ///
    /// # Errors
    /// [`LeafError`] for anything but the exact bytes that [`Event::encode`] writes.
    pub fn decode(leaf: &[u8]) -> Result<(u64, Self), LeafError> {
        if leaf.len() > LEAF_BYTES_MAX {
            return Err(LeafError::TooLong);
        }
        let raw: Raw = serde_json::from_slice(leaf).map_err(|e| LeafError::Malformed(e.to_string()))?;
        if !VERSIONS.contains(&raw.v) {
            return Err(LeafError::Malformed(format!("version {} is unknown", raw.v)));
        }
        let kind =
            Kind::named(&raw.kind).ok_or_else(|| LeafError::Malformed("its kind is unknown".into()))?;
        let event = Self {
            time: raw.time,
            tenant: raw.tenant,
            request: raw.request,
            kind,
            principal: raw.principal,
            on_behalf_of: raw.on_behalf_of,
            chain: raw.chain,
            action: raw.action.into(),
            resource: raw.resource,
            asked: raw.asked,
            allowed: raw.allowed,
            policies: raw.policies,
            code: raw.code.into(),
            detail: raw.detail,
            source: raw.source,
            usage: raw.usage,
        };
        let mut again = Vec::with_capacity(leaf.len());
        event.encode(raw.seq, &mut again);
        if again == leaf { Ok((raw.seq, event)) } else { Err(LeafError::NotCanonical) }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    v: u64,
    seq: u64,
    time: Timestamp,
    #[serde(default)]
    tenant: Option<TenantId>,
    #[serde(default)]
    request: Option<RequestId>,
    kind: String,
    principal: Arc<str>,
    #[serde(default)]
    on_behalf_of: Arc<str>,
    #[serde(default)]
    chain: Vec<Arc<str>>,
    action: String,
    resource: Arc<str>,
    #[serde(default)]
    asked: Arc<str>,
    allowed: bool,
    #[serde(default)]
    policies: Vec<Arc<str>>,
    code: String,
    #[serde(default)]
    detail: Arc<str>,
    #[serde(default)]
    source: Option<IpAddr>,
    #[serde(default)]
    usage: Option<Usage>,
}

/// Appends `before` and a list of strings, if there are any: at most `most`, of which the last says so where there
/// were more.
fn texts(out: &mut Vec<u8>, before: &[u8], values: &[Arc<str>], most: usize, bytes_max: usize) {
    if values.is_empty() {
        return;
    }
    let cut = values.len() > most;
    let kept = if cut { most - 1 } else { most };
    let mut before = before;
    for value in values.iter().take(kept) {
        text(out, before, value, bytes_max);
        before = b",";
    }
    if cut {
        text(out, before, CUT, bytes_max);
    }
    out.push(b']');
}

fn encode_usage(out: &mut Vec<u8>, usage: &Usage) {
    let fields: [(&[u8], u64); 9] = [
        (b",\"usage\":{\"cpu_us\":", usage.cpu_us),
        (b",\"wall_us\":", usage.wall_us),
        (b",\"memory_bytes_peak\":", usage.memory_bytes_peak),
        (b",\"host_calls\":", usage.host_calls),
        (b",\"request_bytes\":", usage.request_bytes),
        (b",\"response_bytes\":", usage.response_bytes),
        (b",\"log_bytes\":", usage.log_bytes),
        (b",\"log_bytes_dropped\":", usage.log_bytes_dropped),
        (b",\"outbound_calls\":", usage.outbound_calls.into()),
    ];
    for (name, value) in fields {
        out.extend_from_slice(name);
        number(out, value);
    }
    out.push(b'}');
}

fn address(out: &mut Vec<u8>, source: IpAddr) {
    let mut before: &[u8] = b",\"source\":\"";
    match source {
        IpAddr::V4(v4) => {
            for octet in v4.octets() {
                out.extend_from_slice(before);
                number(out, octet.into());
                before = b".";
            }
            out.push(b'"');
        }
        IpAddr::V6(v6) => {
            // Writing to a vector cannot fail.
            let _ = write!(out, ",\"source\":\"{v6}\"");
        }
    }
}

fn number(out: &mut Vec<u8>, value: u64) {
    let mut digits = [0_u8; 20];
    let (mut rest, mut length) = (value, 0);
    for slot in digits.iter_mut().rev() {
        *slot = b'0' + (rest % 10) as u8;
        rest /= 10;
        length += 1;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(20 - length..).unwrap_or_default());
}

/// `YYYY-MM-DDTHH:MM:SS.mmmZ`, as `model::Timestamp` writes it, by the civil calendar of days (Hinnant,
/// "chrono-compatible low-level date algorithms").
fn time(out: &mut Vec<u8>, at: Timestamp) {
    let ms = at.unix_ms().min(TIME_MS_MAX);
    let (days, in_day) = (ms / 86_400_000, ms % 86_400_000);
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    digits(out, year, 1000);
    for (mark, value, first) in [
        (b'-', month, 10),
        (b'-', day, 10),
        (b'T', in_day / 3_600_000, 10),
        (b':', in_day / 60_000 % 60, 10),
        (b':', in_day / 1000 % 60, 10),
        (b'.', in_day % 1000, 100),
    ] {
        out.push(mark);
        digits(out, value, first);
    }
    out.push(b'Z');
}

fn digits(out: &mut Vec<u8>, value: u64, first: u64) {
    let mut unit = first;
    while unit > 0 {
        out.push(b'0' + (value / unit % 10) as u8);
        unit /= 10;
    }
}

/// Appends `before` and a JSON string, cut to `bytes_max` bytes of text before it is escaped.
fn text(out: &mut Vec<u8>, before: &[u8], value: &str, bytes_max: usize) {
    out.extend_from_slice(before);
    out.push(b'"');
    if value.len() <= bytes_max {
        escape(out, value);
    } else {
        let end = value.floor_char_boundary(bytes_max - CUT.len());
        escape(out, value.get(..end).unwrap_or_default());
        out.extend_from_slice(CUT.as_bytes());
    }
    out.push(b'"');
}

fn escape(out: &mut Vec<u8>, value: &str) {
    // What is copied as it stands, as long as it goes on.
    let mut rest = value;
    while let Some(end) = rest.bytes().position(|b| !plain(b)) {
        let (copied, from) = rest.split_at_checked(end).unwrap_or((rest, ""));
        out.extend_from_slice(copied.as_bytes());
        let mut chars = from.chars();
        match chars.next() {
            Some('"') => out.extend_from_slice(b"\\\""),
            Some('\\') => out.extend_from_slice(b"\\\\"),
            Some(c) if deceives(c) => {
                // Writing to a vector cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            Some(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            None => {}
        }
        rest = chars.as_str();
    }
    out.extend_from_slice(rest.as_bytes());
}

/// ASCII that JSON writes as it stands.
const fn plain(byte: u8) -> bool {
    matches!(byte, 0x20..0x7f) && byte != b'"' && byte != b'\\'
}

/// Control characters, line and paragraph separators, and marks that change the direction of text or are
/// invisible ("Trojan Source", CVE-2021-42574): with them, a field could pass for another line or name.
pub(crate) fn deceives(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}')
}
