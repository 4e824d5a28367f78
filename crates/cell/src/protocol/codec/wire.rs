//! The pieces that frames are made of, written and read. It never reads past the end of a frame.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use model::{Fault, Limits, Usage, World, limits};

use super::Malformed;
use crate::protocol::{CallError, CodeId, HeaderLine, LogStream, RequestHead, ResponseHead};

/// Texts that go with a fault are cut to this many bytes.
const TEXT_BYTES_MAX: usize = 4 * 1024;

/// Appends fields to a frame under construction. Lengths of more than a `u32` cannot be said; the whole
/// frame is refused then by its own length, which is far smaller.
pub(super) struct Writer<'a> {
    pub(super) out: &'a mut BytesMut,
    /// A head has more lines than a frame may have: the other end would not take it.
    pub(super) too_many_lines: bool,
}

impl Writer<'_> {
    pub(super) fn u8(&mut self, value: u8) -> &mut Self {
        self.out.put_u8(value);
        self
    }

    pub(super) fn u16(&mut self, value: u16) -> &mut Self {
        self.out.put_u16_le(value);
        self
    }

    pub(super) fn u32(&mut self, value: u32) -> &mut Self {
        self.out.put_u32_le(value);
        self
    }

    pub(super) fn u64(&mut self, value: u64) -> &mut Self {
        self.out.put_u64_le(value);
        self
    }

    pub(super) fn flag(&mut self, value: bool) -> &mut Self {
        self.u8(u8::from(value))
    }

    pub(super) fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.u32(u32::try_from(value.len()).unwrap_or(u32::MAX));
        self.rest(value)
    }

    /// What needs no length, since it is the last of its frame.
    pub(super) fn rest(&mut self, value: &[u8]) -> &mut Self {
        self.out.put_slice(value);
        self
    }

    pub(super) fn text(&mut self, value: &str) -> &mut Self {
        let end = value.floor_char_boundary(TEXT_BYTES_MAX);
        self.bytes(value.get(..end).unwrap_or_default().as_bytes())
    }

    fn count(&mut self, lines: usize) -> &mut Self {
        self.too_many_lines |= lines > limits::FRAME_HEADERS_MAX;
        self.u32(u32::try_from(lines).unwrap_or(u32::MAX))
    }

    fn headers(&mut self, lines: &[HeaderLine]) -> &mut Self {
        self.count(lines.len());
        for (name, value) in lines {
            self.bytes(name).bytes(value);
        }
        self
    }

    pub(super) fn request_head(&mut self, head: &RequestHead) -> &mut Self {
        self.bytes(&head.method).bytes(&head.scheme).bytes(&head.authority).bytes(&head.target);
        self.headers(&head.headers)
    }

    /// The same of a request's parts. One that names no authority is sent to its `host`.
    pub(super) fn request_parts(&mut self, head: &http::request::Parts) -> &mut Self {
        let host = || head.headers.get(http::header::HOST).map_or(&b""[..], |h| h.as_bytes());
        let authority = head.uri.authority().map_or_else(host, |a| a.as_str().as_bytes());
        let target = head.uri.path_and_query().map_or("/", |t| t.as_str());
        self.bytes(head.method.as_str().as_bytes());
        self.bytes(head.uri.scheme_str().unwrap_or("https").as_bytes());
        self.bytes(authority).bytes(target.as_bytes());
        self.count(head.headers.len());
        for (name, value) in &head.headers {
            self.bytes(name.as_str().as_bytes()).bytes(value.as_bytes());
        }
        self
    }

    pub(super) fn response_head(&mut self, head: &ResponseHead) -> &mut Self {
        self.u16(head.status).headers(&head.headers)
    }

    /// In the order of the table of limits.
    pub(super) fn limits(&mut self, limits: &Limits) -> &mut Self {
        for (_, value) in limits.rows() {
            self.u64(value);
        }
        self
    }

    pub(super) fn usage(&mut self, usage: &Usage) -> &mut Self {
        self.u64(usage.cpu_us).u64(usage.wall_us).u64(usage.memory_bytes_peak).u64(usage.host_calls);
        self.u64(usage.request_bytes).u64(usage.response_bytes);
        self.u64(usage.log_bytes).u64(usage.log_bytes_dropped).u32(usage.outbound_calls)
    }

    /// 0 for none, else its place in the table of faults, from 1.
    pub(super) fn fault(&mut self, fault: Option<&(Fault, String)>) -> &mut Self {
        let Some((fault, detail)) = fault else { return self.u8(0) };
        let place = Fault::ALL.iter().position(|f| f == fault).and_then(|at| u8::try_from(at + 1).ok());
        self.u8(place.unwrap_or(0)).text(detail)
    }

    pub(super) fn world(&mut self, world: World) -> &mut Self {
        self.u8(match world {
            World::P2 => 2,
            World::P3 => 3,
        })
    }

    pub(super) fn stream(&mut self, stream: LogStream) -> &mut Self {
        self.u8(match stream {
            LogStream::Stdout => 1,
            LogStream::Stderr => 2,
        })
    }

    pub(super) fn call_error(&mut self, error: CallError) -> &mut Self {
        self.u8(match error {
            CallError::Denied => 1,
            CallError::NotFound => 2,
            CallError::Connection => 3,
            CallError::Tls => 4,
            CallError::Timeout => 5,
            CallError::TooLarge => 6,
            CallError::Protocol => 7,
            CallError::Internal => 8,
        })
    }
}

/// Takes fields off a whole frame's payload; byte strings are slices of it.
pub(super) struct Reader(pub(super) Bytes);

impl Reader {
    pub(super) fn u8(&mut self) -> Result<u8, Malformed> {
        self.0.try_get_u8().map_err(|_| Malformed::Short)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Malformed> {
        self.0.try_get_u16_le().map_err(|_| Malformed::Short)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        self.0.try_get_u32_le().map_err(|_| Malformed::Short)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Malformed> {
        self.0.try_get_u64_le().map_err(|_| Malformed::Short)
    }

    pub(super) fn flag(&mut self) -> Result<bool, Malformed> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed::Value("flag")),
        }
    }

    pub(super) fn bytes(&mut self) -> Result<Bytes, Malformed> {
        let length = usize::try_from(self.u32()?).map_err(|_| Malformed::Short)?;
        if length > self.0.len() {
            return Err(Malformed::Short);
        }
        Ok(self.0.split_to(length))
    }

    pub(super) fn rest(&mut self) -> Bytes {
        std::mem::take(&mut self.0)
    }

    pub(super) fn text(&mut self) -> Result<String, Malformed> {
        let bytes = self.bytes()?;
        if bytes.len() > TEXT_BYTES_MAX {
            return Err(Malformed::Value("text"));
        }
        String::from_utf8(bytes.into()).map_err(|_| Malformed::Value("text"))
    }

    fn headers(&mut self) -> Result<Vec<HeaderLine>, Malformed> {
        let count = usize::try_from(self.u32()?).map_err(|_| Malformed::Short)?;
        // Each line takes its two lengths at least, so a count that lies allocates nothing.
        if count > limits::FRAME_HEADERS_MAX || count > self.0.len() / 8 {
            return Err(Malformed::Value("header count"));
        }
        (0..count).map(|_| Ok((self.bytes()?, self.bytes()?))).collect()
    }

    pub(super) fn request_head(&mut self) -> Result<RequestHead, Malformed> {
        Ok(RequestHead {
            method: self.bytes()?,
            scheme: self.bytes()?,
            authority: self.bytes()?,
            target: self.bytes()?,
            headers: self.headers()?,
        })
    }

    pub(super) fn response_head(&mut self) -> Result<ResponseHead, Malformed> {
        Ok(ResponseHead { status: self.u16()?, headers: self.headers()? })
    }

    pub(super) fn limits(&mut self) -> Result<Limits, Malformed> {
        Ok(Limits {
            cpu_ms: self.u64()?,
            wall_ms: self.u64()?,
            memory_bytes: self.u64()?,
            table_elements: self.u64()?,
            instances: self.u64()?,
            stack_bytes: self.u64()?,
            request_body_bytes: self.u64()?,
            request_header_bytes: self.u64()?,
            response_body_bytes: self.u64()?,
            response_header_bytes: self.u64()?,
            first_byte_ms: self.u64()?,
            idle_ms: self.u64()?,
            host_calls: self.u64()?,
            log_bytes: self.u64()?,
            outbound_calls: self.u64()?,
            concurrency: self.u64()?,
            queue: self.u64()?,
            queue_ms: self.u64()?,
        })
    }

    pub(super) fn usage(&mut self) -> Result<Usage, Malformed> {
        Ok(Usage {
            cpu_us: self.u64()?,
            wall_us: self.u64()?,
            memory_bytes_peak: self.u64()?,
            host_calls: self.u64()?,
            request_bytes: self.u64()?,
            response_bytes: self.u64()?,
            log_bytes: self.u64()?,
            log_bytes_dropped: self.u64()?,
            outbound_calls: self.u32()?,
        })
    }

    pub(super) fn fault(&mut self) -> Result<Option<(Fault, String)>, Malformed> {
        let Some(at) = self.u8()?.checked_sub(1) else { return Ok(None) };
        let fault = Fault::ALL.get(usize::from(at)).ok_or(Malformed::Value("fault"))?;
        Ok(Some((*fault, self.text()?)))
    }

    pub(super) fn world(&mut self) -> Result<World, Malformed> {
        match self.u8()? {
            2 => Ok(World::P2),
            3 => Ok(World::P3),
            _ => Err(Malformed::Value("world")),
        }
    }

    pub(super) fn stream(&mut self) -> Result<LogStream, Malformed> {
        match self.u8()? {
            1 => Ok(LogStream::Stdout),
            2 => Ok(LogStream::Stderr),
            _ => Err(Malformed::Value("log stream")),
        }
    }

    pub(super) fn call_error(&mut self) -> Result<CallError, Malformed> {
        Ok(match self.u8()? {
            1 => CallError::Denied,
            2 => CallError::NotFound,
            3 => CallError::Connection,
            4 => CallError::Tls,
            5 => CallError::Timeout,
            6 => CallError::TooLarge,
            7 => CallError::Protocol,
            8 => CallError::Internal,
            _ => return Err(Malformed::Value("call error")),
        })
    }

    pub(super) fn code(&mut self) -> Result<CodeId, Malformed> {
        self.u64().map(CodeId)
    }
}
