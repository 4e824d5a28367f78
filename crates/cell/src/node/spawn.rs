//! The one thread that starts child processes and takes leave of them. It never ends before its children
//! should: the kernel kills them with it.

use std::{
    io,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// How often a child that was killed is asked whether it is gone.
const REAP_EVERY: Duration = Duration::from_millis(10);

enum Request {
    Spawn(Box<Command>, oneshot::Sender<io::Result<Child>>),
    Reap(Child),
}

/// A parent-death signal comes when the *thread* that spawned dies, so all spawning is done by one thread
/// that lives as long as this handle.
#[derive(Debug)]
pub(crate) struct Spawner(Mutex<mpsc::Sender<Request>>);

impl Spawner {
    pub(crate) fn start() -> io::Result<Self> {
        let (sender, requests) = mpsc::channel();
        std::thread::Builder::new().name("casemate-spawn".into()).spawn(move || serve(&requests))?;
        Ok(Self(Mutex::new(sender)))
    }

    /// Starts `program` with an empty environment in `/`, with these as its first descriptors and a pipe as
    /// its standard error.
    pub(crate) async fn spawn(
        &self,
        program: &PathBuf,
        arguments: &[std::ffi::OsString],
        input: Stdio,
        output: Stdio,
    ) -> io::Result<Child> {
        let mut command = Command::new(program);
        command.args(arguments).env_clear().current_dir("/");
        command.stdin(input).stdout(output).stderr(Stdio::piped());
        let (sender, spawned) = oneshot::channel();
        let gone = || io::Error::other("the thread that spawns is gone");
        self.0.lock().send(Request::Spawn(Box::new(command), sender)).map_err(|_| gone())?;
        spawned.await.map_err(|_| gone())?
    }

    /// Kills `child` and waits for it in the background.
    pub(crate) fn end(&self, mut child: Child) {
        // It may have ended by itself.
        let _ended = child.kill();
        let _left = self.0.lock().send(Request::Reap(child));
    }
}

fn serve(requests: &mpsc::Receiver<Request>) {
    let mut dying: Vec<Child> = Vec::new();
    loop {
        let request = if dying.is_empty() {
            requests.recv().map_err(|_| mpsc::RecvTimeoutError::Disconnected)
        } else {
            requests.recv_timeout(REAP_EVERY)
        };
        match request {
            Ok(Request::Spawn(mut command, answer)) => {
                // Whoever asked may have gone: then nobody would ever end the child.
                if let Err(Ok(child)) = answer.send(command.spawn()) {
                    dying.push(killed(child));
                }
            }
            Ok(Request::Reap(child)) => dying.push(child),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
        }
        dying.retain_mut(|child| match child.try_wait() {
            Ok(None) => true,
            Ok(Some(status)) => {
                tracing::debug!(pid = child.id(), %status, "a child process is gone");
                false
            }
            Err(_) => false,
        });
    }
    // The last handle is gone: all children were told to end.
    for mut child in dying {
        let _gone = child.wait();
    }
}

fn killed(mut child: Child) -> Child {
    let _ended = child.kill();
    child
}

/// A child that is killed when this is dropped.
pub(crate) struct Held<'s> {
    pub(crate) child: Option<Child>,
    pub(crate) spawner: &'s Spawner,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Some(child) = self.child.take() {
            self.spawner.end(child);
        }
    }
}
