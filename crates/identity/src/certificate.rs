//! What a client's certificate says of its holder: names, and until when (RFC 5280). It never proves the
//! chain: TLS has done that before, and only then is a certificate handed in.
//!
//! The few fields are read here, strictly as DER has them, and not by a general reader of X.509: that would be
//! a dozen crates for four names, and the certificate has already passed the verifier's own reader.

mod der;
pub(crate) mod spiffe;

use model::Timestamp;

use crate::{
    Reason,
    bounds::{CERTIFICATE_BYTES_MAX, NAMES_MAX},
};
use der::{Der, tag};

/// The names of one certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) uris: Vec<String>,
    pub(crate) dns: Vec<String>,
    /// The common names of its subject.
    pub(crate) common: Vec<String>,
    /// Whether it may sign other certificates, or lists of revoked ones.
    pub(crate) is_authority: bool,
    pub(crate) begins_at: Timestamp,
    pub(crate) ends_at: Timestamp,
}

const OID_COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const OID_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
const OID_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
const OID_BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];

impl Names {
    /// Reads a certificate.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Reason> {
        if bytes.len() > CERTIFICATE_BYTES_MAX {
            return Err(Reason::CertificateMalformed);
        }
        read(bytes).ok_or(Reason::CertificateMalformed)
    }
}

//= RFC 5280 §4.1: Certificate, TBSCertificate
fn read(bytes: &[u8]) -> Option<Names> {
    let mut outer = Der::new(bytes);
    let mut certificate = outer.sequence()?;
    outer.end()?;
    let mut body = certificate.sequence()?;
    certificate.take(tag::SEQUENCE)?;
    certificate.take(tag::BIT_STRING)?;
    certificate.end()?;
    // Version 3, which alone has extensions.
    if body.take(tag::VERSION)? != [tag::INTEGER, 1, 2] {
        return None;
    }
    body.take(tag::INTEGER)?;
    body.take(tag::SEQUENCE)?;
    body.take(tag::SEQUENCE)?;
    let mut validity = body.sequence()?;
    let (begins_at, ends_at) = (time(&mut validity)?, time(&mut validity)?);
    validity.end()?;
    let common = common_names(body.sequence()?)?;
    body.take(tag::SEQUENCE)?;
    body.optional(tag::ISSUER_ID)?;
    body.optional(tag::SUBJECT_ID)?;
    let mut names =
        Names { uris: Vec::new(), dns: Vec::new(), common, is_authority: false, begins_at, ends_at };
    if let Some(extensions) = body.optional(tag::EXTENSIONS)? {
        let mut extensions = Der::new(extensions);
        let mut list = extensions.sequence()?;
        extensions.end()?;
        names.extensions(&mut list)?;
    }
    body.end()?;
    Some(names)
}

impl Names {
    fn extensions(&mut self, list: &mut Der<'_>) -> Option<()> {
        let mut seen: Vec<&[u8]> = Vec::new();
        while !list.is_empty() {
            let mut extension = list.sequence()?;
            let oid = extension.take(tag::OID)?;
            extension.optional(tag::BOOLEAN)?;
            let value = extension.take(tag::OCTET_STRING)?;
            extension.end()?;
            //= RFC 5280 §4.2: no more than one instance of an extension
            if seen.contains(&oid) || seen.len() >= NAMES_MAX {
                return None;
            }
            seen.push(oid);
            match oid {
                OID_ALT_NAME => self.alt_names(value)?,
                OID_BASIC_CONSTRAINTS => {
                    let mut value = Der::new(value);
                    self.is_authority |= value.sequence()?.optional(tag::BOOLEAN)? == Some(&[0xff]);
                    value.end()?;
                }
                OID_KEY_USAGE => {
                    let mut value = Der::new(value);
                    // The first byte counts unused bits; keyCertSign and cRLSign are bits 5 and 6.
                    let bits = value.take(tag::BIT_STRING)?;
                    self.is_authority |= bits.get(1).is_some_and(|byte| byte & 0b0000_0110 != 0);
                    value.end()?;
                }
                _ => {}
            }
        }
        Some(())
    }

    //= RFC 5280 §4.2.1.6: GeneralNames; those of other kinds are passed over
    fn alt_names(&mut self, value: &[u8]) -> Option<()> {
        let mut outer = Der::new(value);
        let mut list = outer.sequence()?;
        outer.end()?;
        while !list.is_empty() {
            let (kind, name) = list.any()?;
            let names = match kind {
                tag::NAME_URI => &mut self.uris,
                tag::NAME_DNS => &mut self.dns,
                _ => continue,
            };
            let plain = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
            if !plain || names.len() >= NAMES_MAX {
                return None;
            }
            names.push(String::from_utf8(name.to_vec()).ok()?);
        }
        Some(())
    }
}

fn common_names(mut subject: Der<'_>) -> Option<Vec<String>> {
    let mut found = Vec::new();
    while !subject.is_empty() {
        let mut set = Der::new(subject.take(tag::SET)?);
        while !set.is_empty() {
            let mut pair = set.sequence()?;
            let oid = pair.take(tag::OID)?;
            let (kind, value) = pair.any()?;
            pair.end()?;
            if oid == OID_COMMON_NAME {
                if ![tag::UTF8, tag::PRINTABLE, tag::IA5].contains(&kind) || found.len() >= NAMES_MAX {
                    return None;
                }
                found.push(String::from_utf8(value.to_vec()).ok()?);
            }
        }
    }
    Some(found)
}

//= RFC 5280 §4.1.2.5: UTCTime until 2049, GeneralizedTime from 2050 on; both in UTC and with seconds
fn time(from: &mut Der<'_>) -> Option<Timestamp> {
    let (kind, bytes) = from.any()?;
    let text = std::str::from_utf8(bytes).ok()?;
    let digits = text.strip_suffix('Z')?;
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let full = match (kind, digits.len()) {
        (tag::UTC_TIME, 12) => format!("{}{digits}", if digits < "5" { "20" } else { "19" }),
        (tag::GENERALIZED_TIME, 14) => digits.to_owned(),
        _ => return None,
    };
    let part = |from: usize, to: usize| full.get(from..to);
    let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
    let (hour, minute, second) = (part(8, 10)?, part(10, 12)?, part(12, 14)?);
    let text = format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z");
    // A time before 1970 is one that has passed.
    Some(Timestamp::parse(&text).unwrap_or_default())
}

#[cfg(test)]
mod tests;
