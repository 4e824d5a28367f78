//! What the scanner is to watch for before a rule's first link is tried: literals, bytes, patterns joined with others, and
//! patterns of which long texts are searched for several at once. What a rule does is never looked at.

use std::sync::Arc;

use super::Compiler;
use crate::{
    pattern::{
        Pattern,
        lanes::{JOINED_MAX, Joint},
        literals::{self, Requirement},
    },
    plan::{
        program::{Read, RunLink, Select, Text},
        scanner::{Joined, Long, Wanted},
        tree::SCANNED_MAX,
    },
    rules::{Check, TextTest},
    seclang::variable::Collection,
};

/// A pattern that no literal guards.
pub(super) struct Alone {
    guard: u32,
    response: bool,
    node: u16,
    collections: u128,
    /// Those of which it is asked of all values.
    whole: u128,
    pattern: Arc<Pattern>,
}

impl Compiler<'_> {
    /// Numbers the pattern of a rule's first link, where it is asked of all values of a collection at one place.
    pub(super) fn long(&mut self, phase: u8, number: usize, link: &RunLink) -> Option<usize> {
        let (Check::Pattern(pattern) | Check::PatternGlobal(pattern) | Check::Digits(_, pattern)) =
            &link.check
        else {
            return None;
        };
        let response = phase > 2;
        let collections = whole(&link.reads, response);
        let is_scanned = link.path.is_empty() && usize::from(link.node) < SCANNED_MAX;
        if number > 0 || phase == 5 || collections == 0 || !is_scanned || self.settings.unfiltered {
            return None;
        }
        let known = self.patterns.iter().position(|known| Arc::ptr_eq(known, pattern));
        let pattern = known.unwrap_or_else(|| {
            self.patterns.push(Arc::clone(pattern));
            self.patterns.len() - 1
        });
        let long = Long { pattern, guard: link.guard, node: link.node, collections };
        if response { &mut self.response_long } else { &mut self.request_long }.push(long);
        Some(pattern)
    }

    /// Asks the scanner to watch for what the link requires; none where nothing can be watched for.
    pub(super) fn guard(&mut self, phase: u8, number: usize, link: &RunLink) -> Option<u32> {
        let response = phase > 2;
        let is_seen = |read: &Read| is_scanned(read.collection, response) && !read.count;
        let stable = !link.reads.is_empty() && link.reads.iter().all(is_seen);
        let nodes = if link.path.is_empty() { vec![link.node] } else { link.path.clone() };
        if !stable || phase == 5 || nodes.iter().any(|node| usize::from(*node) >= SCANNED_MAX) {
            return None;
        }
        let set = nodes.iter().fold(0u128, |all, node| all | 1 << node);
        let required = if link.negated { None } else { required(&link.check, &link.argument) };
        if required.is_some() || number == 0 {
            for read in &link.reads {
                let key = if let Select::Key(key) = &read.select { Some(&**key) } else { None };
                let places = if response { &mut self.response_places } else { &mut self.request_places };
                for at in spread(read.collection) {
                    places.get_mut(at.index()).into_iter().for_each(|places| places.add(key, set));
                }
            }
        }
        if self.settings.unfiltered {
            return None;
        }
        let guard = self.guards;
        let collections = link.reads.iter().fold(0u128, |all, read| all | 1 << read.collection.index());
        let whole = whole(&link.reads, response);
        match (required, &link.check) {
            (Some(required), _) => {
                let wanted = Wanted { guard, required, nodes, collections };
                if response { &mut self.response } else { &mut self.request }.push(wanted);
            }
            // One value, or two, are looked at faster by one rule after the other.
            (None, Check::Pattern(pattern) | Check::PatternGlobal(pattern))
                if number == 0
                    && !link.negated
                    && link.path.is_empty()
                    && pattern.can_join()
                    && whole.count_ones() > 1 =>
            {
                let pattern = Arc::clone(pattern);
                self.alone.push(Alone { guard, response, node: link.node, collections, whole, pattern });
            }
            _ => return None,
        }
        self.guards += 1;
        Some(guard)
    }

    /// Joins the patterns that no literal guards, those of one place that are asked of all values
    /// of the same collections together.
    pub(super) fn joined(&self, response: bool) -> Vec<Joined> {
        let mut alone: Vec<&Alone> = self.alone.iter().filter(|one| one.response == response).collect();
        alone.sort_by_key(|one| (one.node, one.whole));
        let places = alone.chunk_by(|a, b| (a.node, a.whole) == (b.node, b.whole));
        let first = self.patterns.len() + if response { self.alone.len() } else { 0 };
        let some = places.flat_map(|place| place.chunks(JOINED_MAX)).zip(first..);
        some.map(|(some, number)| Joined {
            joint: Joint::new(some.iter().map(|one| &*one.pattern)),
            number,
            node: some.first().map_or(0, |one| one.node),
            guards: some.iter().map(|one| (one.guard, one.collections)).collect(),
        })
        .collect()
    }
}

/// The collections of which all values are looked at, and are known before the rules run.
fn whole(reads: &[Read], response: bool) -> u128 {
    let is_whole = |read: &&Read| {
        is_scanned(read.collection, response) && !read.count && matches!(read.select, Select::All)
    };
    reads.iter().filter(is_whole).fold(0, |all, read| all | 1 << read.collection.index())
}

/// The collections in which a value of `collection` is kept first.
fn spread(collection: Collection) -> Vec<Collection> {
    match collection {
        Collection::Args => vec![Collection::ArgsGet, Collection::ArgsPost],
        Collection::ArgsNames => vec![Collection::ArgsGetNames, Collection::ArgsPostNames],
        other => vec![other],
    }
}

/// Whether values of the collection stand fast before the rules of their phases run.
fn is_scanned(collection: Collection, response: bool) -> bool {
    use Collection as C;
    if response {
        return matches!(
            collection,
            C::ResponseBody
                | C::ResponseHeaders
                | C::ResponseHeadersNames
                | C::ResponseStatus
                | C::ResponseProtocol
                | C::ResponseContentType
        );
    }
    matches!(
        collection,
        C::Args
            | C::ArgsGet
            | C::ArgsPost
            | C::ArgsNames
            | C::ArgsGetNames
            | C::ArgsPostNames
            | C::Files
            | C::FilesNames
            | C::FilesTmpContent
            | C::MultipartFilename
            | C::MultipartName
            | C::MultipartPartHeaders
            | C::QueryString
            | C::RemoteAddr
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
            | C::Xml
    )
}

/// What a text must hold for an operator to match it.
fn required(check: &Check, argument: &Text) -> Option<Requirement> {
    let bytes = |bytes: Vec<u8>| Some(Requirement { literals: Vec::new(), bytes });
    match (check, argument) {
        (Check::Pattern(pattern) | Check::PatternGlobal(pattern), _) => pattern.required.clone(),
        (Check::Phrases(phrases), _) => literals::any_of(phrases.list.iter().map(Vec::as_slice)),
        (Check::Text(test), Text::Fixed(argument)) if *test != TextTest::Within && !argument.is_empty() => {
            literals::any_of(std::iter::once(&**argument))
        }
        (Check::ByteRange(allowed), _) => {
            bytes((0..=255).filter(|byte| allowed.violation(&[*byte]).is_some()).collect())
        }
        (Check::UrlEncoding, _) => bytes(vec![b'%']),
        (Check::Xss, _) => bytes(crate::injection::XSS_BYTES.to_vec()),
        (Check::Utf8Encoding, _) => bytes((0x80..=0xff).collect()),
        _ => None,
    }
}
