//! Comments of SQL, C and HTML taken out or put aside; strings in which they stand are never told apart, as in
//! ModSecurity.

use std::borrow::Cow;

/// Where the first of a comment's bytes may stand, or nothing to do.
fn first_mark(input: &[u8], marks: &[u8]) -> Option<usize> {
    input.iter().position(|byte| marks.contains(byte))
}

/// `/* … */` and `<!-- … -->` out, and all from `--` or `#` on. What follows an end of a comment is copied unseen, a zero
/// byte where nothing follows; an open comment leaves a space: both as in ModSecurity.
pub(super) fn remove(input: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = first_mark(input, b"/<-#") else { return Cow::Borrowed(input) };
    let (before, _) = input.split_at(first);
    let mut output = before.to_vec();
    let mut at = first;
    let mut inside = false;
    while let Some((byte, rest)) = input.get(at..).and_then(<[u8]>::split_first) {
        let tail = input.get(at..).unwrap_or_default();
        if !inside {
            if tail.starts_with(b"/*") {
                inside = true;
                at += 2;
            } else if tail.starts_with(b"<!--") {
                inside = true;
                at += 4;
            } else if tail.starts_with(b"--") || *byte == b'#' {
                break;
            } else {
                output.push(*byte);
                at += 1;
            }
            continue;
        }
        let end = if tail.starts_with(b"*/") {
            2
        } else if tail.starts_with(b"-->") {
            3
        } else {
            at += 1;
            continue;
        };
        inside = false;
        output.push(rest.get(end - 1).copied().unwrap_or(0));
        at += end + 1;
    }
    if inside {
        output.push(b' ');
    }
    super::settle(input, output)
}

/// The marks of comments out, their text kept.
pub(super) fn remove_marks(input: &[u8]) -> Cow<'_, [u8]> {
    const MARKS: [&[u8]; 6] = [b"/*", b"*/", b"<!--", b"-->", b"--", b"#"];
    let Some(first) = first_mark(input, b"/*<-#") else { return Cow::Borrowed(input) };
    let mut output = input.get(..first).unwrap_or_default().to_vec();
    let mut tail = input.get(first..).unwrap_or_default();
    while !tail.is_empty() {
        if let Some(after) = MARKS.iter().find_map(|mark| tail.strip_prefix(*mark)) {
            tail = after;
            continue;
        }
        // The byte is none, nor are those up to the next that could begin one.
        let rest = tail.get(1..).unwrap_or_default();
        let plain = 1 + first_mark(rest, b"/*<-#").unwrap_or(rest.len());
        let (kept, after) = tail.split_at_checked(plain).unwrap_or((tail, &[]));
        output.extend_from_slice(kept);
        tail = after;
    }
    super::settle(input, output)
}

/// Each `/* … */` to one space, an open one too.
pub(super) fn replace(input: &[u8]) -> Cow<'_, [u8]> {
    let find = |from: usize, mark: &[u8]| {
        input.get(from..).and_then(|tail| tail.windows(2).position(|two| two == mark)).map(|at| at + from)
    };
    let Some(mut start) = find(0, b"/*") else { return Cow::Borrowed(input) };
    let mut output = Vec::with_capacity(input.len());
    let mut at = 0;
    loop {
        output.extend_from_slice(input.get(at..start).unwrap_or_default());
        output.push(b' ');
        let Some(end) = find(start + 2, b"*/") else { break };
        at = end + 2;
        match find(at, b"/*") {
            Some(next) => start = next,
            None => {
                output.extend_from_slice(input.get(at..).unwrap_or_default());
                break;
            }
        }
    }
    super::settle(input, output)
}
