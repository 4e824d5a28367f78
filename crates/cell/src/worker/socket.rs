//! The one socket of a worker: frames' bytes in large batches, and the descriptors that come with them. It
//! never looks into a frame.

use std::{
    collections::VecDeque,
    io::{self, IoSliceMut},
    mem::MaybeUninit,
    os::fd::OwnedFd,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendFlags, recvmsg, send,
};
use tokio::io::{Interest, unix::AsyncFd};

/// Bytes read at once.
const READ_BYTES: usize = 128 << 10;
/// Descriptors taken at once; the node sends one with each `Load`.
const DESCRIPTORS: usize = 8;

pub(super) struct Socket {
    fd: AsyncFd<OwnedFd>,
    /// The same socket, watched for room, while it has none. Watched always, every write that the node reads
    /// would wake the worker for nothing.
    full: Option<AsyncFd<OwnedFd>>,
    scratch: Vec<u8>,
}

impl Socket {
    /// Wraps a connected stream socket, within a runtime. Whether it blocks does not matter: each call here
    /// says that it must not.
    pub(super) fn new(fd: OwnedFd) -> io::Result<Self> {
        Ok(Self { fd: watch(fd, Interest::READABLE)?, full: None, scratch: vec![0; READ_BYTES] })
    }

    /// Reads once. Ready with `false` at the end of the stream.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        input: &mut BytesMut,
        descriptors: &mut VecDeque<OwnedFd>,
    ) -> Poll<io::Result<bool>> {
        loop {
            let mut guard = ready!(self.fd.poll_read_ready(cx))?;
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut parts = [IoSliceMut::new(&mut self.scratch)];
            let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
            let got = match recvmsg(guard.get_inner(), &mut parts, &mut control, flags) {
                Ok(got) => got,
                Err(rustix::io::Errno::AGAIN) => {
                    guard.clear_ready();
                    continue;
                }
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Poll::Ready(Err(error.into())),
            };
            if got.flags.contains(ReturnFlags::CTRUNC) {
                return Poll::Ready(Err(io::Error::other("more descriptors at once than are taken")));
            }
            let mut with_descriptors = false;
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(received) = message {
                    with_descriptors = true;
                    descriptors.extend(received);
                }
            }
            // A short read took all there was, but where descriptors cut it short. What comes afterwards
            // makes the socket ready anew.
            if got.bytes < READ_BYTES && !with_descriptors {
                guard.clear_ready();
            }
            input.extend_from_slice(self.scratch.get(..got.bytes).unwrap_or_default());
            return Poll::Ready(Ok(got.bytes > 0));
        }
    }

    /// Writes as much of `out` as the socket takes. Ready when all is written.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, out: &mut BytesMut) -> Poll<io::Result<()>> {
        if let Some(full) = &self.full {
            ready!(full.poll_write_ready(cx))?.retain_ready();
        }
        while !out.is_empty() {
            match send(self.fd.get_ref(), out, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
                Ok(sent) => out.advance(sent),
                Err(rustix::io::Errno::AGAIN) => {
                    if self.full.is_none() {
                        let same = rustix::io::fcntl_dupfd_cloexec(self.fd.get_ref(), 3)?;
                        self.full = Some(watch(same, Interest::WRITABLE)?);
                    }
                    if let Some(full) = &self.full {
                        ready!(full.poll_write_ready(cx))?.clear_ready();
                    }
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
        self.full = None;
        Poll::Ready(Ok(()))
    }
}

#[expect(unsafe_code, reason = "the runtime has no safe way to watch a descriptor and read messages")]
fn watch(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the descriptor is owned by what watches it, and so stays open for as long as it is watched.
    Ok(unsafe { AsyncFd::register_with_interest(fd, interest)? })
}
