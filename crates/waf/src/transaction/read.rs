//! What a rule or a macro reads: values of the request as they stand, and those that are worked out when asked for.

use super::{Span, Transaction, scratch::Matched};
use crate::{
    plan::program::{Part, Read, Select, Text, TxValue},
    seclang::variable::Collection as C,
};

/// A value that a rule looks at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) collection: C,
    pub(super) name: Span,
    pub(super) text: Span,
    /// Its place among the values of the request; none where it was worked out.
    pub(super) value: Option<u32>,
}

/// An operator's argument or another text, expanded.
#[derive(Clone, Copy, Debug)]
pub(super) enum Expanded<'p> {
    Fixed(&'p [u8]),
    Made(Span),
}

impl<'p> Transaction<'p> {
    /// The text with its macros expanded.
    pub(super) fn expand(&mut self, text: &'p Text) -> Expanded<'p> {
        let parts = match text {
            Text::Fixed(text) => return Expanded::Fixed(text),
            Text::Made(parts) => parts,
        };
        let mut made = Vec::new();
        for part in parts {
            match part {
                Part::Text(text) => made.extend_from_slice(text),
                Part::Read(read) => {
                    let found = self.first(read);
                    made.extend_from_slice(found.map(|span| self.scratch.bytes(span)).unwrap_or_default());
                }
            }
        }
        Expanded::Made(self.scratch.push(&made))
    }

    pub(super) fn expanded<'s>(&'s self, text: Expanded<'s>) -> &'s [u8] {
        match text {
            Expanded::Fixed(text) => text,
            Expanded::Made(span) => self.scratch.bytes(span),
        }
    }

    /// The text with its macros expanded, as bytes of its own.
    pub(super) fn owned(&mut self, text: &'p Text) -> Vec<u8> {
        let text = self.expand(text);
        self.expanded(text).to_vec()
    }

    fn first(&mut self, read: &'p Read) -> Option<Span> {
        if read.count {
            let count = self.count(read, &[]).to_string();
            return Some(self.scratch.push(count.as_bytes()));
        }
        if let Some(list) = self.stored(read.collection) {
            let found = list.iter().filter_map(|index| self.scratch.value(*index));
            return found.into_iter().find(|v| self.is_selected(read, v.name)).map(|v| v.text);
        }
        let mut found = Vec::new();
        self.worked_out(read, &mut found);
        found.first().map(|found| found.text)
    }

    /// The values of the request that a collection has; none where its values are worked out.
    pub(super) fn stored(&self, collection: C) -> Option<&[u32]> {
        if is_worked_out(collection) { None } else { Some(self.scratch.list(collection)) }
    }

    pub(super) fn is_selected(&self, read: &Read, name: Span) -> bool {
        match &read.select {
            Select::All => true,
            Select::Key(key) => self.scratch.bytes(name).eq_ignore_ascii_case(key),
            Select::Pattern(pattern) | Select::Slots(pattern, _) => {
                pattern.is_match(self.scratch.bytes(name))
            }
            Select::Slot(_) => false,
        }
    }

    pub(super) fn is_excluded(&self, excluded: &[Read], found: &Found) -> bool {
        let hits = |read: &Read| match &read.select {
            Select::Slot(slot) => {
                let name = self.plan.names.get(usize::from(*slot));
                name.is_some_and(|name| self.scratch.bytes(found.name).eq_ignore_ascii_case(name))
            }
            _ => self.is_selected(read, found.name),
        };
        if excluded.iter().any(|read| read.collection == found.collection && hits(read)) {
            return true;
        }
        let removed = self.removed_targets.iter().filter(|(rules, read)| {
            read.collection == found.collection && self.current.is_some_and(|rule| rules.has(rule))
        });
        removed.into_iter().any(|(_, read)| hits(read))
    }

    /// How many values a rule would look at.
    pub(super) fn count(&mut self, read: &'p Read, excluded: &[Read]) -> usize {
        if let Some(list) = self.stored(read.collection) {
            let values = list.iter().filter_map(|index| self.scratch.value(*index));
            return values
                .filter(|value| self.is_selected(read, value.name))
                .filter(|value| {
                    let found = Found {
                        collection: read.collection,
                        name: value.name,
                        text: value.text,
                        value: None,
                    };
                    !self.is_excluded(excluded, &found)
                })
                .count();
        }
        let mut found = Vec::new();
        self.worked_out(read, &mut found);
        found.iter().filter(|found| !self.is_excluded(excluded, found)).count()
    }

    /// Works out the values of a collection that are not kept as values of the request.
    pub(super) fn worked_out(&mut self, read: &'p Read, found: &mut Vec<Found>) {
        let collection = read.collection;
        match collection {
            C::Tx => self.tx_values(read, found),
            C::Ip | C::Global | C::Session | C::User | C::Resource => self.kept(read, found),
            C::MatchedVars | C::MatchedVarsNames => self.matched_values(read, found),
            C::MatchedVar => {
                let last = self.last_matched().map(|matched| matched.text);
                found.extend(last.map(|text| single(collection, text)));
            }
            C::MatchedVarName => {
                if let Some(last) = self.last_matched().copied() {
                    let text = self.full_name(&last);
                    found.push(single(collection, text));
                }
            }
            C::Rule => self.rule_values(read, found),
            C::Env => {
                for (name, value) in self.env.clone() {
                    let (name, text) = (self.scratch.push(&name), self.scratch.push(&value));
                    if self.is_selected(read, name) {
                        found.push(Found { collection, name, text, value: None });
                    }
                }
            }
            _ => {
                if let Some(text) = self.told(collection) {
                    let text = self.scratch.push(&text);
                    found.push(single(collection, text));
                }
            }
        }
    }

    fn tx_values(&mut self, read: &'p Read, found: &mut Vec<Found>) {
        let plan = self.plan;
        match &read.select {
            Select::Slot(slot) => return found.extend(self.tx_value(usize::from(*slot))),
            Select::Slots(pattern, slots) => {
                let slots = slots.of(pattern, &plan.names).iter();
                found.extend(slots.filter_map(|slot| self.tx_value(*slot)));
            }
            _ => found.extend((0..plan.names.len()).filter_map(|slot| self.tx_value(slot))),
        }
        for at in 0..self.scratch.extra.len() {
            let Some((name, value)) = self.scratch.extra.get(at).copied() else { continue };
            if let Some(text) = self.tx_text(value).filter(|_| self.is_selected(read, name)) {
                found.push(Found { collection: C::Tx, name, text, value: None });
            }
        }
    }

    /// What a slot holds, if anything.
    fn tx_value(&mut self, slot: usize) -> Option<Found> {
        let plan = self.plan;
        let value = self.scratch.tx.get(slot).copied().unwrap_or_default();
        let (text, name) = (self.tx_text(value)?, plan.names.get(slot)?);
        Some(Found { collection: C::Tx, name: self.scratch.push(name), text, value: None })
    }

    pub(super) fn tx_text(&mut self, value: TxValue) -> Option<Span> {
        match value {
            TxValue::Unset => None,
            TxValue::Number(number) => Some(self.scratch.push(number.to_string().as_bytes())),
            TxValue::Constant(at) => {
                let plan = self.plan;
                let at = usize::try_from(at).ok()?;
                plan.constants.get(at).map(|text| self.scratch.push(text))
            }
            TxValue::Text(span) => Some(span),
        }
    }

    fn kept(&mut self, read: &'p Read, found: &mut Vec<Found>) {
        let Some(memory) = self.world.memory else { return };
        let Some((_, key)) = self.collections.iter().find(|(one, _)| *one == read.collection) else { return };
        for (name, value) in memory.all(read.collection, key, self.world.epoch_s) {
            let (name, text) = (self.scratch.push(&name), self.scratch.push(&value));
            if self.is_selected(read, name) {
                found.push(Found { collection: read.collection, name, text, value: None });
            }
        }
    }

    fn matched_values(&mut self, read: &'p Read, found: &mut Vec<Found>) {
        for at in 0..self.scratch.matched.len() {
            let Some(matched) = self.scratch.matched.get(at).copied() else { continue };
            let name = self.full_name(&matched);
            let text = if read.collection == C::MatchedVars { matched.text } else { name };
            if self.is_selected(read, name) {
                found.push(Found { collection: read.collection, name, text, value: None });
            }
        }
    }

    fn rule_values(&mut self, read: &'p Read, found: &mut Vec<Found>) {
        let plan = self.plan;
        let Some(rule) = self.current.and_then(|at| plan.rules.rules.get(at)) else { return };
        let severity = rule.severity.map(|level| level.to_string()).unwrap_or_default();
        let id = rule.id.to_string();
        let values = [
            ("id", id.as_str()),
            ("severity", severity.as_str()),
            ("rev", rule.revision.as_deref().unwrap_or_default()),
            ("ver", rule.version.as_deref().unwrap_or_default()),
        ];
        for (name, value) in values {
            let (name, text) = (self.scratch.push(name.as_bytes()), self.scratch.push(value.as_bytes()));
            if self.is_selected(read, name) {
                found.push(Found { collection: C::Rule, name, text, value: None });
            }
        }
    }

    /// `ARGS:name`
    pub(super) fn full_name(&mut self, matched: &Matched) -> Span {
        let collection = matched.collection.name();
        if matched.name.len() == 0 {
            return self.scratch.push(collection.as_bytes());
        }
        let name = self.scratch.bytes(matched.name).to_vec();
        self.scratch.push(&[collection.as_bytes(), b":", &name].concat())
    }

    /// What is told of the transaction when it is asked for.
    fn told(&self, collection: C) -> Option<Vec<u8>> {
        let flags = &self.body.multipart;
        let flag = |on: bool| Some(if on { b"1".to_vec() } else { b"0".to_vec() });
        let number = |n: usize| Some(n.to_string().into_bytes());
        match collection {
            C::ArgsCombinedSize => number(self.sizes.arguments),
            C::FilesCombinedSize => number(self.sizes.files),
            C::FullRequestLength => number(self.sizes.head + self.body.length),
            C::RequestBodyLength => number(self.body.length),
            C::HighestSeverity => number(usize::from(self.highest_severity.unwrap_or(255))),
            C::InboundDataError => flag(self.body.truncated),
            C::OutboundDataError => flag(self.body.response_truncated),
            C::ReqbodyError | C::ReqbodyProcessorError => flag(self.body.error.is_some()),
            C::ReqbodyErrorMsg | C::ReqbodyProcessorErrorMsg => {
                Some(self.body.error.clone().unwrap_or_default().into_bytes())
            }
            C::ReqbodyProcessor => Some(self.body.processor.clone().unwrap_or_default().into_bytes()),
            C::UrlencodedError => flag(self.body.urlencoded_error),
            C::MultipartStrictError => flag(flags.strict_error() || self.body.multipart_error),
            C::MultipartUnmatchedBoundary => number(usize::from(flags.unmatched_boundary)),
            C::MultipartBoundaryQuoted => flag(flags.boundary_quoted),
            C::MultipartBoundaryWhitespace => flag(flags.boundary_whitespace),
            C::MultipartCrlfLfLines => flag(flags.crlf_lf_lines),
            C::MultipartDataAfter => flag(flags.data_after),
            C::MultipartDataBefore => flag(flags.data_before),
            C::MultipartFileLimitExceeded => flag(flags.file_limit_exceeded),
            C::MultipartHeaderFolding => flag(flags.header_folding),
            C::MultipartInvalidHeaderFolding => flag(flags.invalid_header_folding),
            C::MultipartInvalidPart => flag(flags.invalid_part),
            C::MultipartInvalidQuoting => flag(flags.invalid_quoting),
            C::MultipartLfLine => flag(flags.lf_line),
            C::MultipartMissingSemicolon => flag(flags.missing_semicolon),
            C::ModsecBuild => Some(b"030000000".to_vec()),
            C::FullRequest => Some(self.full_request()),
            C::UserId | C::SessionId => {
                let kind = if collection == C::UserId { C::User } else { C::Session };
                let named = self.collections.iter().find(|(one, _)| *one == kind);
                Some(named.map(|(_, key)| key.clone()).unwrap_or_default())
            }
            C::PathInfo => Some(Vec::new()),
            C::RemoteUser => Some(self.user().unwrap_or_default()),
            C::WebAppId => Some(self.plan.web_app_id.clone().into_bytes()),
            _ => self.time(collection).map(|text| text.into_bytes()),
        }
    }

    /// The name of HTTP's Basic authentication (RFC 7617); nobody has looked at its password.
    fn user(&self) -> Option<Vec<u8>> {
        let value = self.header(b"authorization")?;
        let (scheme, rest) = value.split_at_checked(5)?;
        let encoded = rest.strip_prefix(b" ").filter(|_| scheme.eq_ignore_ascii_case(b"basic"))?;
        let pair = data_encoding::BASE64.decode(encoded.trim_ascii()).ok()?;
        pair.split(|byte| *byte == b':').next().map(<[u8]>::to_vec)
    }

    fn full_request(&self) -> Vec<u8> {
        let text = |collection| {
            let value = self.scratch.list(collection).first().and_then(|index| self.scratch.value(*index));
            value.map(|value| self.scratch.bytes(value.text)).unwrap_or_default()
        };
        let mut made = [text(C::RequestLine), b"\n"].concat();
        for value in self.scratch.list(C::RequestHeaders).iter().filter_map(|i| self.scratch.value(*i)) {
            made.extend_from_slice(self.scratch.bytes(value.name));
            made.extend_from_slice(b": ");
            made.extend_from_slice(self.scratch.bytes(value.text));
            made.push(b'\n');
        }
        made.push(b'\n');
        made.extend_from_slice(text(C::RequestBody));
        made
    }

    /// The time, UTC.
    fn time(&self, collection: C) -> Option<String> {
        let epoch = self.world.epoch_s;
        let (days, second) = (epoch / 86_400, epoch % 86_400);
        let (year, month, day) = civil(i64::try_from(days).unwrap_or(0));
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        Some(match collection {
            C::Duration => ((self.world.clock)().saturating_sub(self.started_ns) / 1000).to_string(),
            C::Time => format!("{hour:02}:{minute:02}:{second:02}"),
            C::TimeDay => day.to_string(),
            C::TimeEpoch => epoch.to_string(),
            C::TimeHour => hour.to_string(),
            C::TimeMin => minute.to_string(),
            C::TimeMon => (month - 1).to_string(),
            C::TimeSec => second.to_string(),
            C::TimeWday => ((days + 4) % 7).to_string(),
            C::TimeYear => year.to_string(),
            _ => return None,
        })
    }
}

fn single(collection: C, text: Span) -> Found {
    Found { collection, name: Span::default(), text, value: None }
}

/// Whether values of the collection are worked out when they are asked for.
fn is_worked_out(collection: C) -> bool {
    !matches!(
        collection,
        C::Args
            | C::ArgsGet
            | C::ArgsPost
            | C::ArgsNames
            | C::ArgsGetNames
            | C::ArgsPostNames
            | C::AuthType
            | C::Files
            | C::FilesNames
            | C::FilesSizes
            | C::FilesTmpContent
            | C::MultipartFilename
            | C::MultipartName
            | C::MultipartPartHeaders
            | C::QueryString
            | C::RemoteAddr
            | C::RemoteHost
            | C::RemotePort
            | C::RequestBasename
            | C::RequestBody
            | C::RequestCookies
            | C::RequestCookiesNames
            | C::RequestFilename
            | C::RequestHeaders
            | C::RequestHeadersNames
            | C::RequestLine
            | C::RequestMethod
            | C::RequestProtocol
            | C::RequestUri
            | C::RequestUriRaw
            | C::ResponseBody
            | C::ResponseContentLength
            | C::ResponseContentType
            | C::ResponseHeaders
            | C::ResponseHeadersNames
            | C::ResponseProtocol
            | C::ResponseStatus
            | C::ServerAddr
            | C::ServerName
            | C::ServerPort
            | C::StatusLine
            | C::UniqueId
            | C::Xml
    )
}

/// Year, month (1 to 12) and day of days since 1970 (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}
