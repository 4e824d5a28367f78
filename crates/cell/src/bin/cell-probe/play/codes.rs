//! A worker that takes no code. It never answers a run.

use cell::protocol::{CodeId, ToNode, ToWorker};
use model::{Fault, Usage};

use super::Stage;

pub(super) fn refused(stage: &mut Stage) {
    let mut refused: Vec<CodeId> = Vec::new();
    loop {
        match stage.hear() {
            ToWorker::Ping { number } => stage.say(&ToNode::Pong { number }),
            ToWorker::Load { code, .. } => {
                refused.push(code);
                stage.say(&ToNode::LoadFailed { code, why: "of another engine".into() });
            }
            ToWorker::Start { run, code, .. } if refused.contains(&code) => {
                let fault = Some((Fault::WorkerDied, "its code is not loaded here".into()));
                stage.say(&ToNode::Done { run, usage: Usage::default(), fault });
            }
            _ => {}
        }
    }
}
