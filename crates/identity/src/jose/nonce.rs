//! Nonces that a server hands out for proofs (RFC 9449 §8, §9), made from a key and the time so that nothing
//! needs to be kept. It never reads a clock.

use data_encoding::BASE64URL_NOPAD;
use keyring::SharedKey;
use model::Timestamp;

/// Says what the codes are for, so that the same key could serve nothing else by accident.
const LABEL: &[u8] = b"casemate dpop nonce v1\0";

/// Makes and checks nonces. Each is good in the span of time that it was made in and in the one after.
pub(crate) struct Nonces {
    key: SharedKey,
    span_ms: u64,
}

impl Nonces {
    pub(crate) fn new(key: &[u8], span_s: u64) -> Self {
        Self { key: SharedKey::new(key), span_ms: span_s.max(1).saturating_mul(1000) }
    }

    /// The nonce of this time, for callers of this tenant.
    pub(crate) fn issue(&self, tenant: &str, now: Timestamp) -> String {
        self.at(tenant, now.unix_ms() / self.span_ms)
    }

    /// Whether `nonce` was made for this tenant, in this span or the one before.
    pub(crate) fn is_good(&self, tenant: &str, nonce: &str, now: Timestamp) -> bool {
        let span = now.unix_ms() / self.span_ms;
        [span, span.saturating_sub(1)]
            .iter()
            .any(|span| keyring::constant_time_eq(self.at(tenant, *span).as_bytes(), nonce.as_bytes()))
    }

    fn at(&self, tenant: &str, span: u64) -> String {
        BASE64URL_NOPAD.encode(&self.key.code(&[LABEL, &span.to_be_bytes(), tenant.as_bytes()]))
    }
}
