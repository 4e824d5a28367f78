//! What the variables hold of a request and its answer: the head taken apart, the body read by its processor. It judges
//! nothing; what is irregular becomes a variable that rules look at.

use std::borrow::Cow;

use super::{Head, Transaction, scratch::Span};
use crate::{
    body::{self, BodyError, Bounds, Look, Pairs, Parsed},
    seclang::variable::Collection as C,
};

impl Transaction<'_> {
    pub(super) fn fill_head(&mut self, head: &Head<'_>) {
        let line = self.made(&[head.method, b" ", head.uri, b" ", head.protocol]);
        self.single(C::RequestLine, line);
        self.text(C::RequestMethod, head.method);
        self.text(C::RequestProtocol, head.protocol);
        self.text(C::RequestUriRaw, head.uri);
        // A fragment never reaches a server; it stays in REQUEST_LINE and REQUEST_URI_RAW.
        let relative = relative(head.uri).split(|byte| *byte == b'#').next().unwrap_or_default();
        self.text(C::RequestUri, &decoded(relative));
        let question = relative.iter().position(|byte| *byte == b'?');
        let (path, query) = match question {
            Some(at) => (relative.get(..at), relative.get(at + 1..)),
            None => (Some(relative), None),
        };
        let query = query.unwrap_or_default();
        let path = decoded(path.unwrap_or_default());
        self.text(C::RequestFilename, &path);
        let base = path.rsplit(|byte| matches!(byte, b'/' | b'\\')).next().unwrap_or_default();
        self.text(C::RequestBasename, base);
        self.text(C::QueryString, query);
        self.text(C::RemoteAddr, head.peer.ip().to_string().as_bytes());
        self.text(C::RemoteHost, head.peer.ip().to_string().as_bytes());
        self.text(C::RemotePort, head.peer.port().to_string().as_bytes());
        self.text(C::ServerAddr, head.server.ip().to_string().as_bytes());
        self.text(C::ServerPort, head.server.port().to_string().as_bytes());
        self.text(C::UniqueId, head.id.as_bytes());
        self.sizes.head = head.method.len() + head.uri.len() + head.protocol.len() + 6;
        self.headers(head);
        let parsed = body::urlencoded(query, self.plan.limits.argument_separator, &self.bounds());
        self.body.urlencoded_error |= parsed.invalid_encoding;
        self.arguments(C::ArgsGet, C::ArgsGetNames, &parsed.pairs);
        if parsed.truncated {
            self.fault(format!("more than {} arguments", self.plan.limits.values_max));
        }
    }

    /// Notes what is wrong with the request. The first fault stays: nothing that is read later takes it back.
    fn fault(&mut self, why: String) {
        self.body.error.get_or_insert(why);
    }

    fn headers(&mut self, head: &Head<'_>) {
        let most = self.plan.limits.values_max;
        let mut typed = false;
        for (name, value) in head.headers.iter().take(most) {
            let (key, text) = (self.scratch.push(name), self.scratch.push(value));
            self.sizes.head += name.len() + value.len() + 4;
            self.scratch.add(C::RequestHeaders, key, text);
            self.scratch.add(C::RequestHeadersNames, key, key);
            if name.eq_ignore_ascii_case(b"cookie") {
                self.cookies(value);
            } else if name.eq_ignore_ascii_case(b"host") {
                let end = value.iter().rposition(|byte| *byte == b':').filter(|_| !value.ends_with(b"]"));
                self.text(C::ServerName, end.and_then(|end| value.get(..end)).unwrap_or(value));
            } else if name.eq_ignore_ascii_case(b"authorization") {
                let scheme = value.split(|byte| *byte == b' ').next().unwrap_or_default();
                self.text(C::AuthType, scheme);
            } else if name.eq_ignore_ascii_case(b"content-type") {
                // Two readers may take different ones.
                if typed || names_several(value) {
                    self.fault("more than one media type is named".to_owned());
                }
                typed = true;
                if self.body.processor.is_none() {
                    self.body.processor = self.processor(value).map(str::to_owned);
                }
            }
        }
        if head.headers.len() > most {
            self.fault(format!("more than {most} headers"));
        }
    }

    /// How a body of that media type is read before any rule says otherwise: two by ModSecurity itself, the others as
    /// its recommended rules 200000, 200001 and 200006 ask for.
    fn processor(&self, content_type: &[u8]) -> Option<&'static str> {
        let lower = content_type.to_ascii_lowercase();
        let media = lower.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        if is_form(&lower) {
            return Some("URLENCODED");
        }
        if lower.starts_with(b"multipart/form-data") {
            return Some("MULTIPART");
        }
        if !self.plan.limits.processors {
            return None;
        }
        if media == b"application/json" || media.starts_with(b"application/") && media.ends_with(b"+json") {
            return Some("JSON");
        }
        let is_xml = [b"text/xml".as_slice(), b"application/xml", b"application/soap+xml"].contains(&media)
            || media.starts_with(b"application/") && media.ends_with(b"+xml");
        is_xml.then_some("XML")
    }

    /// Cookies of version 0: by `;`, the name up to the first `=`.
    fn cookies(&mut self, header: &[u8]) {
        let most = self.plan.limits.values_max;
        for (count, pair) in header.split(|byte| *byte == b';').enumerate() {
            if count >= most {
                return self.fault(format!("more than {most} cookies"));
            }
            let pair = pair.trim_ascii_start();
            if pair.is_empty() {
                continue;
            }
            let equals = pair.iter().position(|byte| *byte == b'=');
            let (name, value) = match equals {
                Some(at) => (pair.get(..at), pair.get(at + 1..)),
                None => (Some(pair), None),
            };
            let name = self.scratch.push(name.unwrap_or_default());
            let value = self.scratch.push(value.unwrap_or_default());
            self.scratch.add(C::RequestCookies, name, value);
            self.scratch.add(C::RequestCookiesNames, name, name);
        }
    }

    fn arguments(&mut self, values: C, names: C, pairs: &Pairs) {
        let most = self.plan.limits.values_max;
        let known = self.scratch.list(C::Args).len();
        for (name, value) in pairs.iter().take(most.saturating_sub(known)) {
            self.sizes.arguments += name.len() + value.len();
            let (name, value) = (self.scratch.push(name), self.scratch.push(value));
            self.scratch.add(values, name, value);
            self.scratch.add(names, name, name);
        }
        if pairs.len().saturating_add(known) > most {
            self.fault(format!("more than {most} arguments"));
        }
    }

    fn bounds(&self) -> Bounds {
        let limits = &self.plan.limits;
        Bounds { pairs_max: limits.values_max, depth_max: limits.depth_max, bytes_max: self.body.bytes_max }
    }

    pub(super) fn fill_body(&mut self, body: &[u8]) {
        self.body.length = body.len();
        let processor = self.body.processor.clone();
        // A body that is told of and is empty is no XML document and has no parts; of JSON and forms it is none.
        let is_told = || matches!(processor.as_deref(), Some("XML" | "MULTIPART")) && self.tells_of_body();
        if !self.body.inspect || (body.is_empty() && !is_told()) {
            return;
        }
        let unpacked = self.unpacked(body);
        let body = unpacked.as_deref().unwrap_or(body);
        match processor.as_deref() {
            Some("URLENCODED") => self.urlencoded(body),
            Some("JSON") => self.json(body),
            Some("XML") => self.xml(body),
            Some("MULTIPART") => self.multipart(body),
            Some("SNIFF") => self.sniff(body),
            Some(_) => self.text(C::RequestBody, body),
            None if self.is_other_xml() => self.xml(body),
            None if self.body.force => self.text(C::RequestBody, body),
            None => {}
        }
    }

    /// Whether the media type is one of XML that no rule has taken otherwise, such as a picture (`image/svg+xml`).
    fn is_other_xml(&self) -> bool {
        let media = self.header(b"content-type").unwrap_or_default().to_ascii_lowercase();
        let media = media.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        self.plan.limits.processors && media.ends_with(b"+xml")
    }

    /// Whether the head says that a body follows, be it an empty one.
    fn tells_of_body(&self) -> bool {
        let headers = self.scratch.list(C::RequestHeaders).iter();
        headers.filter_map(|index| self.scratch.value(*index)).any(|header| {
            let name = self.scratch.bytes(header.name);
            name.eq_ignore_ascii_case(b"content-length") || name.eq_ignore_ascii_case(b"transfer-encoding")
        })
    }

    /// The first header of that name.
    pub(super) fn header(&self, name: &[u8]) -> Option<Vec<u8>> {
        let headers = self.scratch.list(C::RequestHeaders).iter();
        let mut values = headers.filter_map(|index| self.scratch.value(*index));
        let named = values.find(|value| self.scratch.bytes(value.name).eq_ignore_ascii_case(name))?;
        Some(self.scratch.bytes(named.text).to_vec())
    }

    /// The body without its `Content-Encoding`; nothing where there is none, or it cannot be undone.
    fn unpacked(&mut self, body: &[u8]) -> Option<Vec<u8>> {
        let encoding = self.header(b"content-encoding")?;
        if encoding.trim_ascii().is_empty() || encoding.trim_ascii().eq_ignore_ascii_case(b"identity") {
            return None;
        }
        match body::decompress(&encoding, body, &self.bounds()) {
            Ok(plain) => Some(plain),
            Err(error) => {
                self.fault(error.to_string());
                None
            }
        }
    }

    fn urlencoded(&mut self, body: &[u8]) {
        let parsed = body::urlencoded(body, self.plan.limits.argument_separator, &self.bounds());
        self.body.urlencoded_error |= parsed.invalid_encoding;
        self.arguments(C::ArgsPost, C::ArgsPostNames, &parsed.pairs);
        if parsed.truncated {
            self.fault(format!("more than {} arguments", self.plan.limits.values_max));
        }
        self.text(C::RequestBody, body);
    }

    fn json(&mut self, body: &[u8]) {
        let (parsed, error) = body::json(body, &self.bounds());
        self.arguments(C::ArgsPost, C::ArgsPostNames, &parsed.pairs);
        self.wrong(error, body.len());
        self.text(C::RequestBody, body);
    }

    /// Notes what is wrong with a document, unless that is the place at which it was cut.
    fn wrong(&mut self, error: Option<BodyError>, length: usize) {
        let is_cut = |error: &BodyError| self.body.truncated && error.is_of_end(length);
        if let Some(error) = error.filter(|error| !is_cut(error)) {
            self.fault(error.to_string());
        }
    }

    /// A body whose media type says nothing, or that it is a form: read as what it looks like. What cannot be read so is
    /// no error; all of it is an argument then, beside what could be read.
    fn sniff(&mut self, body: &[u8]) {
        let is_form = self.header(b"content-type").is_some_and(|value| is_form(&value));
        let look = body::look(body);
        if body::is_wide(body) {
            self.fault(WIDE.to_owned());
        }
        let (parsed, wrong) = match look {
            Look::Json => body::json(body, &self.bounds()),
            Look::Xml => body::xml(body, &self.bounds()),
            Look::Form => (Parsed::default(), None),
            Look::Text if is_form => (Parsed::default(), None),
            Look::Text => return self.whole(body),
        };
        let read_as = match look {
            Look::Json | Look::Xml if wrong.is_some() && !is_form => "RAW",
            Look::Json if wrong.is_none() => "JSON",
            Look::Xml if wrong.is_none() => "XML",
            _ => "URLENCODED",
        };
        self.body.processor = Some(read_as.to_owned());
        match look {
            Look::Xml => self.pairs(C::Xml, &parsed.pairs),
            _ => self.arguments(C::ArgsPost, C::ArgsPostNames, &parsed.pairs),
        }
        // What begins with `<` may be a page as well.
        if wrong.is_some() || look == Look::Xml {
            self.whole(body);
        }
        if read_as == "URLENCODED" {
            self.urlencoded(body);
        } else if read_as == "JSON" || self.body.force {
            self.text(C::RequestBody, body);
        }
    }

    /// The whole body as one argument.
    fn whole(&mut self, body: &[u8]) {
        let mut pairs = Pairs::default();
        pairs.push(b"REQUEST_BODY", body);
        self.arguments(C::ArgsPost, C::ArgsPostNames, &pairs);
    }

    fn xml(&mut self, body: &[u8]) {
        if body::is_wide(body) {
            self.fault(WIDE.to_owned());
        }
        let (parsed, error) = body::xml(body, &self.bounds());
        self.pairs(C::Xml, &parsed.pairs);
        self.wrong(error, body.len());
        // What cannot be read as what it says it is is looked at as it stands too.
        if self.body.error.is_some() || self.body.force {
            self.text(C::RequestBody, body);
        }
    }

    fn multipart(&mut self, body: &[u8]) {
        let content_type = self.header(b"content-type").unwrap_or_default();
        let parsed = body::multipart(&content_type, body, &self.bounds());
        self.arguments(C::ArgsPost, C::ArgsPostNames, &parsed.fields);
        self.pairs(C::Files, &parsed.files);
        self.pairs(C::MultipartPartHeaders, &parsed.part_headers);
        for (name, file) in parsed.names.iter() {
            let (name, file) = (self.scratch.push(name), self.scratch.push(file));
            self.scratch.add(C::MultipartName, name, name);
            self.scratch.add(C::MultipartFilename, name, file);
        }
        for (name, contents) in parsed.file_contents.iter() {
            self.sizes.files += contents.len();
            let size = self.scratch.push(contents.len().to_string().as_bytes());
            let name = self.scratch.push(name);
            self.scratch.add(C::FilesNames, name, name);
            self.scratch.add(C::FilesSizes, name, size);
            if self.plan.reads.has(C::FilesTmpContent) {
                let contents = self.scratch.push(contents);
                self.scratch.add(C::FilesTmpContent, name, contents);
            }
        }
        self.body.multipart = parsed.flags;
        let is_cut = |error: &&str| self.body.truncated && body::is_of_end(error);
        if let Some(error) = parsed.error.filter(|error| !is_cut(error)) {
            self.body.multipart_error = true;
            self.fault(error.to_owned());
        }
        if self.body.error.is_some() || self.body.force {
            self.text(C::RequestBody, body);
        }
    }

    pub(super) fn fill_response(&mut self, status: u16, protocol: &[u8], headers: &[(&[u8], &[u8])]) {
        self.text(C::ResponseStatus, status.to_string().as_bytes());
        self.text(C::ResponseProtocol, protocol);
        let line = self.made(&[protocol, b" ", status.to_string().as_bytes()]);
        self.single(C::StatusLine, line);
        for (name, value) in headers.iter().take(self.plan.limits.values_max) {
            let (key, text) = (self.scratch.push(name), self.scratch.push(value));
            self.scratch.add(C::ResponseHeaders, key, text);
            self.scratch.add(C::ResponseHeadersNames, key, key);
            if name.eq_ignore_ascii_case(b"content-type") {
                self.text(C::ResponseContentType, value);
            } else if name.eq_ignore_ascii_case(b"content-length") {
                self.text(C::ResponseContentLength, value);
            }
        }
    }

    pub(super) fn is_inspected_type(&self) -> bool {
        let first = self.scratch.list(C::ResponseContentType).first();
        let value = first.and_then(|index| self.scratch.value(*index));
        let text = value.map(|value| self.scratch.bytes(value.text)).unwrap_or_default();
        let media = text.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let types = &self.plan.limits.response_types;
        types.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(media))
    }

    pub(super) fn fill_response_body(&mut self, body: &[u8]) {
        self.text(C::ResponseBody, body);
    }

    fn pairs(&mut self, collection: C, pairs: &Pairs) {
        for (name, value) in pairs.iter() {
            let (name, value) = (self.scratch.push(name), self.scratch.push(value));
            self.scratch.add(collection, name, value);
        }
    }

    fn made(&mut self, parts: &[&[u8]]) -> Span {
        let start = self.scratch.here();
        for part in parts {
            self.scratch.push(part);
        }
        self.scratch.since(start)
    }

    fn text(&mut self, collection: C, text: &[u8]) {
        let text = self.scratch.push(text);
        self.single(collection, text);
    }

    fn single(&mut self, collection: C, text: Span) {
        self.scratch.add(collection, Span::default(), text);
    }
}

const WIDE: &str = "the body is a document in UTF-16 or UTF-32, which is not read here";

/// Whether a Content-Type is a list: `image/png, application/json`. A comma of a parameter is none, unless what stands
/// behind it could be a media type.
fn names_several(content_type: &[u8]) -> bool {
    // RFC 9110, section 5.6.2.
    let is_token = |byte: &u8| byte.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(byte);
    let is_name =
        |part: Option<&[u8]>| part.is_some_and(|part| !part.is_empty() && part.iter().all(is_token));
    let is_media = |part: &[u8]| {
        let mut words = part.split(|byte| matches!(byte, b';' | b'=' | b'"') || byte.is_ascii_whitespace());
        let mut names =
            words.find(|word| !word.is_empty()).unwrap_or_default().splitn(2, |byte| *byte == b'/');
        is_name(names.next()) && is_name(names.next())
    };
    content_type.split(|byte| *byte == b',').skip(1).any(is_media)
}

fn is_form(content_type: &[u8]) -> bool {
    const FORM: &[u8] = b"application/x-www-form-urlencoded";
    content_type.get(..FORM.len()).is_some_and(|start| start.eq_ignore_ascii_case(FORM))
}

/// The target without scheme and host.
fn relative(uri: &[u8]) -> &[u8] {
    let scheme = uri
        .iter()
        .position(|byte| *byte == b':')
        .filter(|at| *at > 0 && uri.iter().take(*at).all(u8::is_ascii_alphanumeric));
    let Some(rest) = scheme.and_then(|at| uri.get(at..)).and_then(|rest| rest.strip_prefix(b"://")) else {
        return uri;
    };
    let path = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#'));
    path.and_then(|at| rest.get(at..)).unwrap_or(b"/")
}

/// `%HH` as bytes, all else as it stands; `+` too, which means a space only in a query.
fn decoded(uri: &[u8]) -> Cow<'_, [u8]> {
    if !uri.contains(&b'%') {
        return Cow::Borrowed(uri);
    }
    let mut made = Vec::with_capacity(uri.len());
    let mut rest = uri;
    while let Some((first, tail)) = rest.split_first() {
        let digit = |at: usize| tail.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        let byte = match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => u8::try_from(high * 16 + low).ok(),
            _ => None,
        };
        made.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { tail.get(2..).unwrap_or_default() } else { tail };
    }
    Cow::Owned(made)
}
