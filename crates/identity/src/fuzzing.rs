//! Doors for fuzz targets to readers that otherwise stand behind a proof. They give nothing away that a caller
//! could use: what is read is dropped.

use model::Timestamp;

use crate::{
    certificate::Names,
    jose::{dpop, jwk::Algorithm},
    signature::fields,
};

/// Whether a proof holds, at a time and for an address of which there is none.
pub fn proof_holds(text: &str) -> bool {
    let algorithms = vec![Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA, Algorithm::RS256];
    let rules = dpop::Rules { algorithms, age_ms_max: 60_000, skew_ms: 0, nonces: None };
    let about = dpop::About {
        method: "GET",
        url: "https://nowhere.invalid/",
        token: Some(("none", &[0; 32])),
        tenant: "default",
    };
    rules.verify(text, &about, Timestamp::from_unix_ms(1_800_000_000_000)).is_ok()
}

/// Reads a dictionary of structured fields, and holds it to being written and read again as the same.
pub fn dictionary(text: &str) {
    let Some(read) = fields::dictionary(text) else { return };
    let one = |(key, member): &(String, fields::Member)| format!("{key}={}", fields::serialize(member));
    let written = read.iter().map(one).collect::<Vec<_>>().join(", ");
    assert_eq!(fields::dictionary(&written), Some(read));
}

/// Reads a certificate's names.
pub fn certificate(bytes: &[u8]) {
    let _ = Names::read(bytes);
}
