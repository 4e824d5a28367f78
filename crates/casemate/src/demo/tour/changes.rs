//! The rows about changes of policies: one that is proved to let nobody in, and one that is not, with the request that
//! shows it. It never looks inside the node.

use gateway::api::SetPolicy;
use serde_json::Value;

use super::{Mark, State, Tour};
use crate::exit::Failure;

/// What ada of the tour may read, from where.
fn policy(condition: &str) -> String {
    format!(
        "@id(\"ada-reads-logs\")\npermit (principal == User::\"default/ada\", action == Action::\"readLogs\", resource)\n\
         when {{ {condition} }};\n"
    )
}

const INSIDE: &str = "context.source.isInRange(ip(\"10.0.0.0/8\"))";
/// Other words for a part of it: no comparison of texts shows that.
const NARROWER: &str = "context.tls && context.source.isInRange(ip(\"10.1.0.0/16\"))";
const WIDER: &str = "context.source.isInRange(ip(\"10.1.0.0/16\")) || context.method == \"GET\"";

/// What came of a change.
enum Changed {
    Done,
    /// It lets somebody in, as the node says it.
    Shown(Failure),
    /// Nothing is known of it: no solver is here.
    Unproved(Failure),
}

impl Tour<'_> {
    /// Policies that ada's reading of logs is narrowed by, and then widened.
    pub(super) async fn changes(&mut self) -> Result<(), Failure> {
        let first = SetPolicy { text: policy(INSIDE), accept_widening: true };
        self.admin.set_policy(&first).await?;
        self.change("a policy in other words", NARROWER, "done, proved").await?;
        self.change("a policy that lets more in", WIDER, "stopped, shown").await
    }

    async fn change(&mut self, what: &str, condition: &str, expect: &str) -> Result<(), Failure> {
        let wanted = SetPolicy { text: policy(condition), accept_widening: false };
        let changed = match self.admin.set_policy(&wanted).await {
            Ok(_) => Changed::Done,
            Err(stopped) if stopped.code.as_deref() != Some("widens-access") => return Err(stopped),
            Err(stopped) if stopped.message.contains("cvc5") => Changed::Unproved(stopped),
            Err(stopped) => Changed::Shown(stopped),
        };
        let (row, number) = (self.show.rows.len(), self.next());
        let (said, failure, skipped) = match changed {
            Changed::Done => ("done, proved", None, false),
            Changed::Shown(failure) => ("stopped, shown", Some(failure), false),
            Changed::Unproved(failure) => ("stopped, unproved", Some(failure), true),
        };
        let request = failure.as_ref().and_then(|failure| failure.request_id.as_deref()?.parse().ok());
        let recorded = match &failure {
            Some(_) => self.recorded(request, Mark { kind: "policy", code: "widens-access" }).await?,
            None => self.replaced(&wanted.text).await?,
        };
        self.row(what, expect, said, said == expect, recorded);
        if skipped && let Some(row) = self.show.rows.get_mut(row) {
            // Without a solver it must stop, and did; what the row is about was not to be seen.
            row.state = State::Skipped;
        }
        let note = match failure {
            Some(failure) => format!("row {number}: the change was stopped: {}", failure.message),
            None => format!("row {number}: cvc5 proved that it lets nobody in who was refused before"),
        };
        self.show.notes.insert(row, note);
        Ok(())
    }

    /// What the record says of policies that took the place of others.
    async fn replaced(&self, text: &str) -> Result<Option<String>, Failure> {
        let digest = keyring::sha256(text.as_bytes()).to_string();
        let found = self.admin.records("limit=50").await?;
        let said =
            |event: &Value| Some(event.get("detail")?.as_str()?.contains(&digest)).filter(|said| *said);
        let event = found.records.iter().map(|record| &record.event).find(|event| said(event).is_some());
        Ok(event.and_then(|event| super::say(event, Mark { kind: "policy", code: "" })))
    }
}
