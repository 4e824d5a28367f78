//! A worker's birth: spawned, walled, ready, or refused. It never gives a run to one that is not ready.

use std::{
    os::{fd::OwnedFd, unix::net::UnixStream as StdStream},
    process::{Child, ChildStderr, Stdio},
    sync::Arc,
    time::Duration,
};

use bytes::BytesMut;
use tokio::{
    io::AsyncReadExt,
    net::{UnixStream, unix::pipe},
    sync::oneshot,
};

use super::{
    CellConfig, StartError,
    link::Link,
    spawn::{Held, Priority, Spawner},
};
use crate::protocol::{ToNode, VERSION};

/// How long a worker may take until it is ready, walls and engines included.
const BIRTH: Duration = Duration::from_secs(20);
/// What is read of a child's standard error, in bytes.
pub(crate) const WORDS_BYTES_MAX: u64 = 4 * 1024;

/// A worker that is ready.
pub(super) struct Born {
    pub(super) link: Arc<Link>,
    pub(super) child: Child,
    pub(super) stream: UnixStream,
    /// What was read beyond its first frame.
    pub(super) input: BytesMut,
}

/// Spawns a worker and waits until it is ready behind its walls.
pub(super) async fn bear(
    config: &CellConfig,
    spawner: &Spawner,
    priority: Priority,
) -> Result<Born, StartError> {
    let (ours, theirs) = StdStream::pair()?;
    ours.set_nonblocking(true)?;
    let input = Stdio::from(OwnedFd::from(theirs));
    let child = spawner.spawn(priority, &config.program, &config.worker_args, input, Stdio::null()).await?;
    let mut held = Held { child: Some(child), spawner };
    let words = held.child.as_mut().and_then(|child| child.stderr.take());
    let pid = held.child.as_ref().map_or(0, Child::id);
    let (failed, said) = oneshot::channel();
    tokio::spawn(listen(words, pid, failed));

    let mut stream = UnixStream::from_std(ours)?;
    let mut input = BytesMut::new();
    let first = tokio::time::timeout(BIRTH, first_frame(&mut stream, &mut input)).await;
    let (version, walls) = match first {
        Ok(Some(ToNode::Ready { version, walls })) => (version, walls),
        Ok(Some(_)) => return Err(StartError::NotReady("it spoke before it was ready".into())),
        Ok(None) => {
            let said = tokio::time::timeout(Duration::from_millis(500), said).await;
            let words = said.ok().and_then(Result::ok).filter(|words| !words.is_empty());
            return Err(StartError::NotReady(words.unwrap_or_else(|| "it ended without a word".into())));
        }
        Err(_) => return Err(StartError::NotReady(format!("it was not ready within {} s", BIRTH.as_secs()))),
    };
    if version != VERSION {
        return Err(StartError::Version { worker: version, node: VERSION });
    }
    let missing = walls.missing(config.required);
    if !missing.is_empty() {
        return Err(StartError::Walls(missing));
    }
    let Some(child) = held.child.take() else { return Err(StartError::NotReady("it is gone".into())) };
    Ok(Born { link: Arc::new(Link::new(pid, walls, config.runs_max())), child, stream, input })
}

/// The first frame, or nothing if the stream ends or makes no sense before.
async fn first_frame(stream: &mut UnixStream, input: &mut BytesMut) -> Option<ToNode> {
    loop {
        match ToNode::decode(input) {
            Ok(Some(frame)) => return Some(frame),
            Ok(None) => {}
            Err(_) => return None,
        }
        if stream.read_buf(input).await.ok()? == 0 {
            return None;
        }
    }
}

/// Reads what a worker writes to its standard error, up to a bound for its whole life: a panic's message, or
/// what an escaped guest would have the node log, which is why it is logged quoted.
async fn listen(pipe: Option<ChildStderr>, pid: u32, all: oneshot::Sender<String>) {
    let Some(mut reader) = pipe.and_then(|p| pipe::Receiver::from_owned_fd(p.into()).ok()) else { return };
    let mut words = Vec::new();
    let mut chunk = [0_u8; 512];
    while words.len() < WORDS_BYTES_MAX as usize
        && let Ok(length) = reader.read(&mut chunk).await
        && length > 0
    {
        let said = chunk.get(..length).unwrap_or_default();
        tracing::warn!(pid, said = ?String::from_utf8_lossy(said), "a worker wrote to its standard error");
        words.extend_from_slice(said);
    }
    let words = String::from_utf8_lossy(&words).trim().escape_debug().to_string();
    let _unheard = all.send(words);
}
