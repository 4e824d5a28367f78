//! One connection and the little of HTTP/1.1 that a load needs: write a request, read an answer to its end. It
//! never retries.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::{TcpSocket, TcpStream},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{Wrong, order::To};

/// A head longer than this is no answer of ours.
const HEAD_BYTES_MAX: usize = 1 << 20;

/// Plain or encrypted.
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A connection, and what was read of it but not used.
pub(crate) struct Line {
    pub(crate) stream: Stream,
    unread: Vec<u8>,
}

/// What matters of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: bool,
    pub(crate) closes: bool,
    /// Body bytes that came.
    pub(crate) bytes: u64,
    /// Whether the body came to its end.
    pub(crate) whole: bool,
}

/// How the end of a body is known (RFC 9112 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length(u64),
    Chunked,
    ToTheEnd,
}

/// A bare TCP connection, from the `n`th of the order's sources.
pub(crate) async fn tcp(to: &To, n: usize) -> Result<TcpStream, Wrong> {
    if !to.address.ip().is_loopback() {
        return Err("only loopback is ever spoken to".into());
    }
    let socket = TcpSocket::new_v4()?;
    if to.sources > 0 {
        let last = 1 + u8::try_from(n % usize::from(to.sources))?;
        socket.bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 1, last)), 0))?;
    }
    let stream = socket.connect(to.address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The TLS client for an authority, made once.
pub(crate) fn connector(ca: &str, alpn: &[u8]) -> Result<TlsConnector, Wrong> {
    static ROOTS: OnceLock<Arc<rustls::RootCertStore>> = OnceLock::new();
    if ROOTS.get().is_none() {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
            roots.add(certificate?)?;
        }
        let _already = ROOTS.set(Arc::new(roots));
    }
    let roots = Arc::clone(ROOTS.get().ok_or("no roots")?);
    let mut config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

impl Line {
    /// Connects, with TLS where the order names an authority.
    pub(crate) async fn open(to: &To, n: usize, alpn: &[u8]) -> Result<Self, Wrong> {
        let stream = tcp(to, n).await?;
        let stream = match &to.ca {
            None => Stream::Plain(stream),
            Some(ca) => {
                let name = ServerName::try_from("localhost")?;
                Stream::Tls(Box::new(connector(ca, alpn)?.connect(name, stream).await?))
            }
        };
        Ok(Self { stream, unread: Vec::with_capacity(4096) })
    }

    /// Sends bytes as they are.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<(), Wrong> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await?;
        Ok(())
    }

    /// Sends a request and reads its answer, of the body at most `most` bytes.
    pub(crate) async fn call(&mut self, request: &[u8], most: u64) -> Result<Answer, Wrong> {
        self.send(request).await?;
        self.answer(most, None).await
    }

    /// Reads one answer; `keep` takes its body.
    pub(crate) async fn answer(
        &mut self,
        most: u64,
        mut keep: Option<&mut Vec<u8>>,
    ) -> Result<Answer, Wrong> {
        let end = loop {
            if let Some(at) = find(&self.unread, b"\r\n\r\n") {
                break at + 4;
            }
            if self.unread.len() > HEAD_BYTES_MAX {
                return Err("a head without an end".into());
            }
            self.read_more().await?;
        };
        let (mut answer, framing) = head(&self.unread[..end])?;
        self.unread.drain(..end);
        let counted = match framing {
            Framing::Length(length) => self.take(length, most, &mut keep).await?,
            Framing::Chunked => self.chunks(most, &mut keep).await?,
            Framing::ToTheEnd => self.rest(most, &mut keep).await?,
        };
        (answer.bytes, answer.whole) = counted;
        Ok(answer)
    }

    async fn read_more(&mut self) -> Result<(), Wrong> {
        if self.stream.read_buf(&mut self.unread).await? == 0 {
            return Err("the connection ended".into());
        }
        Ok(())
    }

    async fn take(
        &mut self,
        length: u64,
        most: u64,
        keep: &mut Option<&mut Vec<u8>>,
    ) -> Result<(u64, bool), Wrong> {
        let mut left = length;
        while left > 0 {
            if length - left >= most {
                return Ok((length - left, false));
            }
            if self.unread.is_empty() {
                self.read_more().await?;
            }
            let now = usize::try_from(left)?.min(self.unread.len());
            if let Some(keep) = keep {
                keep.extend_from_slice(&self.unread[..now]);
            }
            self.unread.drain(..now);
            left -= now as u64;
        }
        Ok((length, true))
    }

    async fn chunks(&mut self, most: u64, keep: &mut Option<&mut Vec<u8>>) -> Result<(u64, bool), Wrong> {
        let mut total = 0;
        loop {
            let end = loop {
                if let Some(at) = find(&self.unread, b"\r\n") {
                    break at;
                }
                self.read_more().await?;
            };
            let line = std::str::from_utf8(&self.unread[..end])?;
            let size = u64::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16)?;
            self.unread.drain(..end + 2);
            if size > 0 {
                let (came, whole) = self.take(size, most.saturating_sub(total), keep).await?;
                total += came;
                if !whole {
                    return Ok((total, false));
                }
                self.take(2, u64::MAX, &mut None).await?;
                continue;
            }
            // Trailers, to the empty line.
            loop {
                match find(&self.unread, b"\r\n") {
                    Some(0) => {
                        self.unread.drain(..2);
                        return Ok((total, true));
                    }
                    Some(end) => drop(self.unread.drain(..end + 2)),
                    None => self.read_more().await?,
                }
            }
        }
    }

    async fn rest(&mut self, most: u64, keep: &mut Option<&mut Vec<u8>>) -> Result<(u64, bool), Wrong> {
        let mut total = 0;
        loop {
            total += self.unread.len() as u64;
            if let Some(keep) = keep {
                keep.extend_from_slice(&self.unread);
            }
            self.unread.clear();
            if total >= most {
                return Ok((total, false));
            }
            if self.stream.read_buf(&mut self.unread).await? == 0 {
                return Ok((total, true));
            }
        }
    }
}

/// A request without a body.
pub(crate) fn get(to: &To, path: &str, n: usize) -> Vec<u8> {
    request(to, "GET", path, n, "")
}

/// The head of a request; `more` are whole lines.
pub(crate) fn request(to: &To, method: &str, path: &str, n: usize, more: &str) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n");
    if !to.tokens.is_empty() {
        text.push_str(&format!("authorization: Bearer {}\r\n", to.tokens[n % to.tokens.len()]));
    }
    text.push_str(more);
    text.push_str("\r\n");
    text.into_bytes()
}

fn head(bytes: &[u8]) -> Result<(Answer, Framing), Wrong> {
    let text = std::str::from_utf8(bytes)?;
    let mut lines = text.split("\r\n");
    let status: u16 = lines.next().and_then(|l| l.split(' ').nth(1)).ok_or("no status")?.parse()?;
    let mut answer = Answer { status, retry_after: false, closes: false, bytes: 0, whole: true };
    let bodiless = (100..200).contains(&status) || status == 204 || status == 304;
    let mut framing = if bodiless { Framing::Length(0) } else { Framing::ToTheEnd };
    for line in lines {
        let Some((name, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            framing = Framing::Length(value.parse()?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") && value.eq_ignore_ascii_case("chunked") {
            framing = Framing::Chunked;
        } else if name.eq_ignore_ascii_case("retry-after") {
            answer.retry_after = true;
        } else if name.eq_ignore_ascii_case("connection") && value.eq_ignore_ascii_case("close") {
            answer.closes = true;
        }
    }
    Ok((answer, framing))
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::{Answer, Line, Stream};

    /// What a load makes of a server's bytes, followed by the end of the connection.
    fn check(bytes: &[u8], most: u64, expect: Option<(u16, u64, bool)>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let stream = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (mut server, _) = listener.accept().await.unwrap();
            server.write_all(bytes).await.unwrap();
            drop(server);
            let mut line = Line { stream: Stream::Plain(stream), unread: Vec::new() };
            let answer = line.answer(most, None).await;
            let got = answer.ok().map(|Answer { status, bytes, whole, .. }| (status, bytes, whole));
            assert_eq!(got, expect, "{}", String::from_utf8_lossy(bytes));
        });
    }

    #[test]
    fn answers_are_read_to_their_end() {
        check(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc", 99, Some((200, 3, true)));
        check(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabcdef", 4, Some((200, 6, false)));
        check(
            b"HTTP/1.1 503 No\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
            99,
            Some((503, 2, true)),
        );
        check(b"HTTP/1.1 200 OK\r\n\r\nabc", 99, Some((200, 3, true)));
        check(b"HTTP/1.1 204 No Content\r\n\r\n", 99, Some((204, 0, true)));
        check(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nabc", 99, None);
        check(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", 99, None);
        check(b"HTTP/1.1 200", 99, None);
    }
}
