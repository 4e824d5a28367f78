//! The threads that start child processes and take leave of them, one for each priority that a child is born
//! with. They never end before their children should: the kernel kills them with their thread.

use std::{
    io,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::slice;

/// How often a child that was killed is asked whether it is gone.
const REAP_EVERY: Duration = Duration::from_millis(10);

enum Request {
    Spawn(Box<Command>, oneshot::Sender<io::Result<Child>>),
    Reap(Child),
}

/// How much of the processor a child gets beside others. It inherits that of the thread that starts it, so
/// that there is no moment at which it has another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Priority {
    /// As the node itself, and let in at once when it wakes.
    Prompt,
    /// What the others leave it, and a tenth where they leave nothing.
    Behind,
}

impl Priority {
    /// Takes it on, for this thread and the children that it starts.
    fn take_on(self) {
        if self == Self::Prompt {
            return slice::answer_promptly();
        }
        slice::take_turns();
        // Everyone may step back.
        if let Err(error) = rustix::process::nice(slice::BEHIND) {
            tracing::warn!(%error, "heavy functions and compilations do not stand behind others");
        }
    }
}

/// A parent-death signal comes when the *thread* that spawned dies, so all spawning is done by threads that
/// live as long as this handle.
#[derive(Debug)]
pub(crate) struct Spawner {
    prompt: Mutex<mpsc::Sender<Request>>,
    behind: Mutex<mpsc::Sender<Request>>,
}

impl Spawner {
    pub(crate) fn start() -> io::Result<Self> {
        let serving = |name: &str, priority: Priority| {
            let (sender, requests) = mpsc::channel();
            let thread = std::thread::Builder::new().name(name.into());
            thread.spawn(move || serve(priority, &requests)).map(|_| Mutex::new(sender))
        };
        let prompt = serving("casemate-spawn", Priority::Prompt)?;
        Ok(Self { prompt, behind: serving("casemate-behind", Priority::Behind)? })
    }

    /// Starts `program` with an empty environment in `/`, with these as its first descriptors and a pipe as
    /// its standard error.
    pub(crate) async fn spawn(
        &self,
        priority: Priority,
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
        let thread = match priority {
            Priority::Prompt => &self.prompt,
            Priority::Behind => &self.behind,
        };
        thread.lock().send(Request::Spawn(Box::new(command), sender)).map_err(|_| gone())?;
        spawned.await.map_err(|_| gone())?
    }

    /// Kills `child` and waits for it in the background.
    pub(crate) fn end(&self, mut child: Child) {
        // It may have ended by itself.
        let _ended = child.kill();
        let _left = self.prompt.lock().send(Request::Reap(child));
    }
}

fn serve(priority: Priority, requests: &mpsc::Receiver<Request>) {
    priority.take_on();
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
