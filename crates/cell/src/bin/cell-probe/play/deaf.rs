//! Workers that do not hear, or do not answer. They tell no lie.

use std::time::Duration;

use cell::protocol::{ToNode, ToWorker};

use super::Stage;

/// Takes no byte from its socket again, once it has code.
pub(super) fn never_reads(stage: &mut Stage) {
    while !matches!(stage.next(), ToWorker::Start { .. }) {}
    stage.flush();
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// Runs well and answers no ping.
pub(super) fn deaf(stage: &mut Stage) {
    loop {
        match stage.hear() {
            ToWorker::Start { run, .. } => stage.answer(run, "hello"),
            ToWorker::Load { code, .. } => stage.say(&ToNode::Loaded { code }),
            _ => {}
        }
    }
}
