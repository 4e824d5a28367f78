//! Paths without `.`, `..` and doubled slashes, as ModSecurity normalises them; no file system is ever asked.

use std::borrow::Cow;

/// The path normalised; with `windows` a backslash counts as a slash and becomes one.
pub(super) fn normalise(input: &[u8], windows: bool) -> Cow<'_, [u8]> {
    let irregular = input.windows(2).any(|two| matches!(two, b"//" | b"./"))
        || input.last() == Some(&b'.')
        || windows && input.contains(&b'\\');
    if !irregular {
        return Cow::Borrowed(input);
    }
    let mut path: Vec<u8> = input.to_vec();
    if windows {
        for byte in &mut path {
            if *byte == b'\\' {
                *byte = b'/';
            }
        }
    }
    super::settle(input, Walk::new(&path).run())
}

/// The state of the walk: ModSecurity's in-place loop, with the output in a buffer of its own.
struct Walk<'a> {
    path: &'a [u8],
    output: Vec<u8>,
    relative: bool,
    at_root: bool,
}

/// What follows the look at a segment's last byte.
enum Next {
    /// Copy the byte.
    Copy,
    /// It is dealt with.
    Skip,
}

impl<'a> Walk<'a> {
    fn new(path: &'a [u8]) -> Self {
        Self {
            path,
            output: Vec::with_capacity(path.len()),
            relative: path.first() != Some(&b'/'),
            at_root: false,
        }
    }

    fn run(mut self) -> Vec<u8> {
        let mut at = 0;
        while at < self.path.len() {
            at = self.within(at);
            let Some(byte) = self.path.get(at).copied() else { break };
            let last = at + 1 == self.path.len();
            let ends_segment = last || self.path.get(at + 1) == Some(&b'/');
            if ends_segment && let Next::Skip = self.segment(byte, last) {
                if last {
                    break;
                }
                at += 1;
                // The slash after what was dropped is copied as any other: unless it was a `.` after a slash, which it
                // stands in for.
            }
            at = self.copy(at);
            if last {
                break;
            }
        }
        if self.path.last() != Some(&b'/') && self.output.last() == Some(&b'/') {
            self.output.pop();
        }
        self.output
    }

    /// Copies what is neither a slash nor the last byte of a segment; gives the position of that one.
    fn within(&mut self, at: usize) -> usize {
        let rest = self.path.get(at..).unwrap_or_default();
        let slash = memchr::memchr(b'/', rest).unwrap_or(rest.len());
        let plain = slash.saturating_sub(1);
        self.output.extend_from_slice(rest.get(..plain).unwrap_or_default());
        at + plain
    }

    /// At the end of a path segment: resolves `.` and `..`.
    fn segment(&mut self, byte: u8, last: bool) -> Next {
        if byte != b'.' {
            if !self.output.is_empty() && (last || byte != b'/') {
                self.at_root = false;
            }
            return Next::Copy;
        }
        match self.output.last() {
            Some(b'.') => {
                if self.relative && (self.at_root || self.output.len() <= 2) {
                    self.at_root = true;
                    return Next::Copy;
                }
                self.up(last);
                Next::Skip
            }
            None => Next::Skip,
            Some(b'/') => {
                if !last {
                    self.output.pop();
                }
                Next::Skip
            }
            Some(_) => Next::Copy,
        }
    }

    /// Drops the dot that was copied and the segment before it.
    fn up(&mut self, last: bool) {
        // `dst` stands three bytes back and goes on to the slash before.
        let mut length = self.output.len().saturating_sub(3);
        while length > 0 && self.output.get(length) != Some(&b'/') {
            length -= 1;
        }
        if length == 0 {
            self.at_root = true;
        }
        let keep = if length == 0 && !self.relative && last { 1 } else { length };
        self.output.truncate(keep);
    }

    /// Copies the byte at `at`, many slashes as one and none to the start of a relative path; gives the next position.
    fn copy(&mut self, at: usize) -> usize {
        let mut at = at;
        let Some(byte) = self.path.get(at).copied() else { return at };
        if byte == b'/' {
            while self.path.get(at + 1) == Some(&b'/') {
                at += 1;
            }
            if self.relative && self.output.is_empty() {
                return at + 1;
            }
        }
        self.output.push(byte);
        at + 1
    }
}
