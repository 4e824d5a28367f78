//! Where one request of HTTP/1.1 ends and the next begins, or why nobody can tell (RFC 9112). It never reads
//! from a socket, and never repairs: what could be read in two ways is refused.

mod chunks;
mod head;

use model::limits;

use chunks::Chunks;

/// Bytes that are no request, or could be several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The head is not as RFC 9112 §2.2, §3 or §5 have it.
    #[error("the request's head is malformed: {0}")]
    Head(&'static str),
    /// The target is none (RFC 9112 §3.2).
    #[error("the request's target is malformed")]
    Target,
    /// The target is longer than `REQUEST_TARGET_BYTES_MAX`.
    #[error("the request's target is too long")]
    TargetTooLong,
    /// A version that is not spoken here.
    #[error("the version of HTTP is not spoken here")]
    Version,
    /// More lines than `REQUEST_HEADERS_MAX`.
    #[error("the request has too many header lines")]
    TooManyHeaders,
    /// More bytes than the head of any function's request may have.
    #[error("the request's headers are too large")]
    HeadersTooLarge,
    /// No `Host` (RFC 9112 §3.2).
    #[error("no host is named")]
    HostMissing,
    /// Several `Host` lines.
    #[error("more than one host is named")]
    HostTwice,
    /// A length that is no number, or larger than any (RFC 9112 §6.3).
    #[error("the body's length is no number")]
    Length,
    /// A body with two lengths (RFC 9112 §6.1, §6.3): what a smuggled request looks like.
    #[error("the body's length is ambiguous: {0}")]
    Framing(&'static str),
    /// A transfer coding other than `chunked` (RFC 9112 §6.1).
    #[error("the transfer coding is not taken")]
    Coding,
    /// A body in chunks that are none (RFC 9112 §7.1).
    #[error("the body's chunks are malformed: {0}")]
    Chunks(&'static str),
    /// The head did not come in time.
    #[error("the request's head did not come in time")]
    HeadSlow,
}

impl Malformed {
    /// The stable code, in kebab case.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Head(_) => "head-malformed",
            Self::Target => "target-malformed",
            Self::TargetTooLong => "target-too-long",
            Self::Version => "version-refused",
            Self::TooManyHeaders => "too-many-headers",
            Self::HeadersTooLarge => "headers-too-large",
            Self::HostMissing => "host-missing",
            Self::HostTwice => "host-ambiguous",
            Self::Length => "length-malformed",
            Self::Framing(_) => "framing-ambiguous",
            Self::Coding => "coding-refused",
            Self::Chunks(_) => "chunks-malformed",
            Self::HeadSlow => "head-slow",
        }
    }

    /// The HTTP status (RFC 9110, RFC 6585).
    pub const fn status(self) -> u16 {
        match self {
            Self::TargetTooLong => 414,
            Self::TooManyHeaders | Self::HeadersTooLarge => 431,
            Self::Version => 505,
            Self::Coding => 501,
            Self::HeadSlow => 408,
            Self::Head(_)
            | Self::Target
            | Self::HostMissing
            | Self::HostTwice
            | Self::Length
            | Self::Framing(_)
            | Self::Chunks(_) => 400,
        }
    }

    /// A sentence that may be shown to anyone.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Head(_) => "the request's head is malformed",
            Self::Target => "the request's target is malformed",
            Self::TargetTooLong => "the request's target is too long",
            Self::Version => "the version of HTTP is not spoken here",
            Self::TooManyHeaders => "the request has too many header lines",
            Self::HeadersTooLarge => "the request's headers are too large",
            Self::HostMissing => "no host is named",
            Self::HostTwice => "more than one host is named",
            Self::Length => "the body's length is no number",
            Self::Framing(_) => "the body's length is ambiguous",
            Self::Coding => "the transfer coding is not taken",
            Self::Chunks(_) => "the body's chunks are malformed",
            Self::HeadSlow => "the request's head did not come in time",
        }
    }
}

/// What is to be done with the first bytes of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// So many bytes are the whole head of one request.
    Head(usize),
    /// So many bytes belong to the body of the request whose head was the last.
    Body(usize),
    /// Nothing can be said before there are more bytes.
    More,
    /// The last request said that it is the last (`Connection: close`); nobody reads what follows.
    Over,
    /// They are no request. Whatever follows is refused too.
    Refuse(Malformed),
}

/// Follows the bytes of one connection. The same bytes get the same answer, however they are cut into windows.
#[derive(Debug)]
pub struct Framer {
    head_bytes_max: usize,
    state: State,
    lines: head::Lines,
}

#[derive(Debug)]
enum State {
    /// Before or in a head.
    Head,
    /// In a body, with so many bytes to come.
    Length {
        left: u64,
        last: bool,
    },
    /// In a body of chunks.
    Chunks {
        chunks: Chunks,
        last: bool,
    },
    /// After the last request.
    Over,
    Broken(Malformed),
}

/// What a head says about what follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Follows {
    body: Body,
    last: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Body {
    None,
    Length(u64),
    Chunks,
}

impl Framer {
    /// A connection before its first byte. No head may be longer than `head_bytes_max`.
    pub fn new(head_bytes_max: usize) -> Self {
        Self { head_bytes_max, state: State::Head, lines: head::Lines::default() }
    }

    /// Whether the next byte would be the first of a head.
    pub fn is_between_requests(&self) -> bool {
        matches!(self.state, State::Head) && self.lines.is_untouched()
    }

    /// Judges the bytes of a window that begins where the last judged ones ended. After [`Step::More`] the next
    /// window begins with the same bytes and has more of them; a byte of a head is looked at once all the same.
    pub fn step(&mut self, window: &[u8]) -> Step {
        let step = match &mut self.state {
            State::Head => match self.lines.look(window, self.head_bytes_max) {
                Ok(None) => Step::More,
                Ok(Some((blank, length))) => {
                    let head = window.get(blank..length).unwrap_or_default();
                    self.lines = head::Lines::default();
                    match head::follows(head) {
                        Ok(follows) => {
                            self.state = State::after(follows);
                            Step::Head(length)
                        }
                        Err(malformed) => Step::Refuse(malformed),
                    }
                }
                Err(malformed) => Step::Refuse(malformed),
            },
            State::Length { .. } | State::Chunks { .. } if window.is_empty() => Step::More,
            State::Length { left, last } => {
                let here = u64::try_from(window.len()).map_or(*left, |bytes| bytes.min(*left));
                *left -= here;
                if *left == 0 {
                    self.state = State::between(*last);
                }
                Step::Body(usize::try_from(here).unwrap_or(window.len()))
            }
            State::Chunks { chunks, last } => match chunks.look(window) {
                Ok((bytes, ended)) => {
                    if ended {
                        self.state = State::between(*last);
                    }
                    Step::Body(bytes)
                }
                Err(malformed) => Step::Refuse(malformed),
            },
            State::Over => Step::Over,
            State::Broken(malformed) => Step::Refuse(*malformed),
        };
        if let Step::Refuse(malformed) = step {
            self.state = State::Broken(malformed);
        }
        step
    }
}

impl State {
    const fn between(last: bool) -> Self {
        if last { Self::Over } else { Self::Head }
    }

    const fn after(Follows { body, last }: Follows) -> Self {
        match body {
            Body::None | Body::Length(0) => Self::between(last),
            Body::Length(left) => Self::Length { left, last },
            Body::Chunks => Self::Chunks { chunks: Chunks::new(), last },
        }
    }
}

const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
}

const HEADERS_MAX: usize = limits::REQUEST_HEADERS_MAX;
const TARGET_MAX: usize = limits::REQUEST_TARGET_BYTES_MAX;

#[cfg(test)]
mod tests;
