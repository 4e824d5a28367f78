//! What a signature of a request is made over: its components, each on a line (RFC 9421 §2). It never guesses
//! a component's value: what is absent, or there more than once, refuses the signature.

use super::fields::{self, Bare, Params};
use crate::{Reason, Request, uri};

/// One thing that is covered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Component {
    name: String,
    kind: Kind,
    /// As it stands at the beginning of its line.
    identifier: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// All of a header, or a derived component.
    Whole,
    /// One member of a header that is a dictionary (§2.1.2).
    Key(String),
    /// One parameter of the query (§2.2.8).
    QueryParam(String),
}

const DERIVED: [&str; 7] =
    ["@method", "@target-uri", "@authority", "@scheme", "@request-target", "@path", "@query"];

impl Component {
    /// Reads a component's identifier. Parameters other than `key` and `name` are refused.
    pub(super) fn read(item: &Bare, params: &Params) -> Result<Self, Reason> {
        let Bare::Text(name) = item else { return Err(Reason::SignatureMalformed) };
        let kind = match (name.as_str(), params.as_slice()) {
            ("@query-param", [(key, Bare::Text(value))]) if key == "name" => Kind::QueryParam(value.clone()),
            (_, []) if DERIVED.contains(&name.as_str()) => Kind::Whole,
            (_, []) if is_header(name) => Kind::Whole,
            (_, [(key, Bare::Text(value))]) if key == "key" && is_header(name) => Kind::Key(value.clone()),
            _ => return Err(Reason::SignatureComponentUnknown),
        };
        Ok(Self { name: name.clone(), kind, identifier: fields::serialize_item(item, params) })
    }

    /// Whether it is all of the component of that name.
    pub(super) fn is(&self, name: &str) -> bool {
        self.name == name && self.kind == Kind::Whole
    }

    fn value(&self, request: &Request<'_>) -> Option<String> {
        match &self.kind {
            Kind::QueryParam(name) => query_param(request.query()?, name),
            Kind::Key(key) => {
                let members = fields::dictionary(&header(request, &self.name)?)?;
                let member = members.iter().find(|(name, _)| name == key);
                member.map(|(_, member)| fields::serialize(member))
            }
            Kind::Whole => self.whole(request),
        }
    }

    //= RFC 9421 §2.2: the derived components
    fn whole(&self, request: &Request<'_>) -> Option<String> {
        let scheme = request.scheme.to_ascii_lowercase();
        let authority = || uri::authority(&scheme, request.authority);
        Some(match self.name.as_str() {
            "@method" => request.method.to_owned(),
            "@target-uri" => format!("{scheme}://{}{}", authority()?, request.target),
            "@authority" => authority()?,
            "@scheme" => scheme,
            "@request-target" => request.target.to_owned(),
            "@path" if request.path().is_empty() => "/".to_owned(),
            "@path" => request.path().to_owned(),
            "@query" => format!("?{}", request.query().unwrap_or_default()),
            name => header(request, name)?,
        })
    }
}

fn is_header(name: &str) -> bool {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&b);
    // The signature's own headers are what it is, not what it covers.
    !name.is_empty() && name.bytes().all(good) && name != "signature" && name != "signature-input"
}

/// All lines of a header as one value (RFC 9421 §2.1). None where there is none, or one that is no ASCII.
pub(super) fn header(request: &Request<'_>, name: &str) -> Option<String> {
    let lines = request.headers.get_all(name).iter();
    let lines: Option<Vec<&str>> =
        lines.map(|line| line.to_str().ok().map(|text| text.trim_matches([' ', '\t']))).collect();
    lines.filter(|lines| !lines.is_empty()).map(|lines| lines.join(", "))
}

/// The one parameter of that name, in the form of RFC 9421 §2.2.8. The name is given in that form too.
fn query_param(query: &str, name: &str) -> Option<String> {
    let mut found = None;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if encode(&decode(key)?) == name {
            if found.is_some() {
                return None;
            }
            found = Some(encode(&decode(value)?));
        }
    }
    found
}

/// What a name or a value of a query says, once its encoding is undone.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => uri::hex(bytes.next()?)? << 4 | uri::hex(bytes.next()?)?,
            other => other,
        });
    }
    Some(out)
}

fn encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'*' | b'-' | b'.' | b'_' => out.push(char::from(*byte)),
            _ if byte.is_ascii_alphanumeric() => out.push(char::from(*byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// The signature base (RFC 9421 §2.5).
pub(super) fn build(
    covered: &[Component],
    params_text: &str,
    request: &Request<'_>,
) -> Result<String, Reason> {
    let mut base = String::new();
    for component in covered {
        let value = component.value(request).ok_or(Reason::SignatureComponentAbsent)?;
        if value.contains(['\n', '\r']) {
            return Err(Reason::SignatureComponentAbsent);
        }
        base.push_str(&format!("{}: {value}\n", component.identifier));
    }
    base.push_str(&format!("\"@signature-params\": {params_text}"));
    Ok(base)
}
