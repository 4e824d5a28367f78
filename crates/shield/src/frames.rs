//! The frames of HTTP/2 as they pass (RFC 9113 §4.1): how many there are of what, and what the parser of
//! HTTP/2 refused. It never reads a header block.

/// What a client sends before its first frame (RFC 9113 §3.4), in bytes.
const PREFACE_BYTES: usize = 24;
const HEAD_BYTES: usize = 9;
/// What is kept of a payload: an error code and what stands before it.
const KEPT_BYTES: usize = 8;

/// The types of frames that matter here (RFC 9113 §6).
pub mod kind {
    /// A part of a body.
    pub const DATA: u8 = 0;
    /// The head of a request or an answer, or its first part.
    pub const HEADERS: u8 = 1;
    /// The end of one stream.
    pub const RST_STREAM: u8 = 3;
    /// The end of the connection.
    pub const GOAWAY: u8 = 7;
    /// The rest of a head.
    pub const CONTINUATION: u8 = 9;
    /// A flag of DATA and HEADERS: nothing follows on the stream.
    pub const END_STREAM: u8 = 1;
}

/// One frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Its type.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Bytes of its payload.
    pub length: u32,
    /// The first bytes of its payload, zeros after its end.
    pub begins: [u8; KEPT_BYTES],
}

impl Frame {
    /// The error code of a frame that ends a stream or the connection (RFC 9113 §7).
    pub fn error(&self) -> Option<u32> {
        let [a, b, c, d, e, f, g, h] = self.begins;
        match self.kind {
            kind::RST_STREAM => Some(u32::from_be_bytes([a, b, c, d])),
            kind::GOAWAY => Some(u32::from_be_bytes([e, f, g, h])),
            _ => None,
        }
    }
}

/// Follows one direction of a connection.
#[derive(Debug)]
pub struct Frames {
    preface: usize,
    head: [u8; HEAD_BYTES],
    /// Bytes of the head, then of the payload, that have passed.
    passed: usize,
    begins: [u8; KEPT_BYTES],
}

impl Frames {
    /// What a client sends.
    pub const fn of_client() -> Self {
        Self { preface: PREFACE_BYTES, ..Self::of_server() }
    }

    /// What a server sends.
    pub const fn of_server() -> Self {
        Self { preface: 0, head: [0; HEAD_BYTES], passed: 0, begins: [0; KEPT_BYTES] }
    }

    /// Takes what passes, and tells of each frame that ends in it.
    pub fn pass(&mut self, bytes: &[u8], mut tell: impl FnMut(Frame)) {
        let skipped = self.preface.min(bytes.len());
        self.preface -= skipped;
        let mut rest = bytes.get(skipped..).unwrap_or_default();
        while !rest.is_empty() {
            if self.passed < HEAD_BYTES {
                let taken = copy(&mut self.head, self.passed, rest);
                self.passed += taken;
                rest = rest.get(taken..).unwrap_or_default();
            }
            if self.passed < HEAD_BYTES {
                return;
            }
            let [a, b, c, kind, flags, ..] = self.head;
            let length = u32::from_be_bytes([0, a, b, c]);
            let at = self.passed - HEAD_BYTES;
            let left = usize::try_from(length).unwrap_or(usize::MAX).saturating_sub(at).min(rest.len());
            copy(&mut self.begins, at, rest.get(..left).unwrap_or_default());
            self.passed += left;
            rest = rest.get(left..).unwrap_or_default();
            if self.passed - HEAD_BYTES == usize::try_from(length).unwrap_or(usize::MAX) {
                tell(Frame { kind, flags, length, begins: self.begins });
                (self.passed, self.begins) = (0, [0; KEPT_BYTES]);
            }
        }
    }
}

/// Copies as much as fits behind the first `at`.
fn copy(to: &mut [u8], at: usize, from: &[u8]) -> usize {
    let room = to.get_mut(at..).unwrap_or_default();
    let taken = room.len().min(from.len());
    room.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
        bytes.extend([kind, flags, 0, 0, 0, 1]);
        bytes.extend(payload);
        bytes
    }

    #[test]
    fn frames_are_told_however_they_are_cut() {
        let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        sent.extend(frame(4, 0, &[]));
        sent.extend(frame(kind::HEADERS, 5, &[9; 100]));
        sent.extend(frame(kind::DATA, 1, &[]));
        sent.extend(frame(kind::RST_STREAM, 0, &[0, 0, 0, 7]));
        sent.extend(frame(kind::GOAWAY, 0, &[0, 0, 0, 1, 0, 0, 0, 11, b'x', b'y']));
        for cut in 1..sent.len() {
            let (mut frames, mut told) = (Frames::of_client(), Vec::new());
            sent.chunks(cut).for_each(|part| frames.pass(part, |frame| told.push(frame)));
            let kinds: Vec<_> = told.iter().map(|f| (f.kind, f.flags, f.length)).collect();
            assert_eq!(kinds, [(4, 0, 0), (1, 5, 100), (0, 1, 0), (3, 0, 4), (7, 0, 10)], "{cut}");
            let errors: Vec<_> = told.iter().map(Frame::error).collect();
            assert_eq!(errors, [None, None, None, Some(7), Some(11)], "{cut}");
        }
    }
}
