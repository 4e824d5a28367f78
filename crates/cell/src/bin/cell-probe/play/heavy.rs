//! A worker that calls a run heavy when it has ended. It answers every run before.

use cell::protocol::ToNode;

use super::Stage;

pub(super) fn after_end(stage: &mut Stage) {
    stage.on_start(|s, run| {
        s.answer(run, "hello");
        s.say(&ToNode::Heavy { run });
    });
}
