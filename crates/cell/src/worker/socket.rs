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
use tokio::io::unix::AsyncFd;

/// Bytes read at once.
const READ_BYTES: usize = 128 << 10;
/// Descriptors taken at once; the node sends one with each `Load`.
const DESCRIPTORS: usize = 8;

pub(super) struct Socket {
    fd: AsyncFd<OwnedFd>,
    scratch: Vec<u8>,
}

impl Socket {
    /// Wraps a connected stream socket, within a runtime. Whether it blocks does not matter: each call here
    /// says that it must not.
    #[expect(unsafe_code, reason = "the runtime has no safe way to watch a descriptor and read messages")]
    pub(super) fn new(fd: OwnedFd) -> io::Result<Self> {
        // SAFETY: the descriptor is owned by what watches it, and so stays open for as long as it is watched.
        let fd = unsafe { AsyncFd::register(fd)? };
        Ok(Self { fd, scratch: vec![0; READ_BYTES] })
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
    pub(super) fn poll_write(&self, cx: &mut Context<'_>, out: &mut BytesMut) -> Poll<io::Result<()>> {
        while !out.is_empty() {
            let mut guard = ready!(self.fd.poll_write_ready(cx))?;
            match send(guard.get_inner(), out, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
                Ok(sent) => out.advance(sent),
                Err(rustix::io::Errno::AGAIN) => guard.clear_ready(),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
        Poll::Ready(Ok(()))
    }
}
