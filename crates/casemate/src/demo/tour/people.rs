//! The rows about callers whom an issuer vouches for: one who is let in, and one who is not, with the explanation that
//! `casemate policy explain` gives. It never looks inside the node.

use std::process::Stdio;

use gateway::api::IdentityText;
use http::Method;
use model::RequestId;

use super::{Mark, PERMITTED, Tour};
use crate::{
    demo::issuer::{AUDIENCE, Issuer},
    exit::{Exit, Failure},
};

impl Tour<'_> {
    /// An access token of the tour's own issuer, whose keys the node discovers; then one whose holder a policy refuses.
    pub(super) async fn people(&mut self) -> Result<(), Failure> {
        let issuer = Issuer::start().await?;
        let text = format!(
            "[[issuers]]\nname = \"desk\"\nissuer = \"{}\"\naudiences = [\"{AUDIENCE}\"]\nalgorithms = [\"EdDSA\"]\n\
             kind = \"User\"\n[issuers.claims]\ngroups = \"groups\"\n",
            issuer.url
        );
        self.admin.set_identity(&IdentityText { text }).await?;
        let token = issuer.token("grace", &["buyers"]);
        let got = self.ask(Method::GET, "/orders", Some(&token)).await?;
        let recorded = self.recorded(got.request, PERMITTED).await?;
        let (row, number) = (self.show.rows.len(), self.next());
        let said = match got.status {
            200 => format!("200 in {:.1} ms", got.took.as_secs_f64() * 1000.0),
            status => status.to_string(),
        };
        self.row("call by OIDC, own issuer", "200", &said, got.status == 200, recorded);
        let note = format!(
            "row {number}: User::\"default/desk:grace\" of the group `buyers`, by a token of an issuer that this tour runs \
             at {}; the node discovered its keys there",
            issuer.url
        );
        self.show.notes.insert(row, note);

        let token = issuer.token("eve", &["buyers", "trainees"]);
        let got = self.ask(Method::GET, "/orders", Some(&token)).await?;
        let recorded = self.recorded(got.request, Mark { kind: "decision", code: "*" }).await?;
        let explained = match got.request {
            Some(request) => self.explain(request).await?,
            None => String::new(),
        };
        let (row, number) = (self.show.rows.len(), self.next());
        let as_told = got.status == 403 && explained.contains("no-trainees");
        let code = got.problem.as_ref().map_or("", |problem| problem.code.as_str());
        self.row(
            "the same, as a trainee",
            "403, explained",
            &format!("{} {code}", got.status),
            as_told,
            recorded,
        );
        let indented = explained.trim().replace('\n', "\n  ");
        self.show
            .notes
            .insert(row, format!("row {number}: `casemate policy explain` of it says:\n  {indented}"));
        Ok(())
    }

    /// What the command says of a request, as anyone would ask for it.
    async fn explain(&self, request: RequestId) -> Result<String, Failure> {
        let failed = |e: std::io::Error| Failure::new(Exit::Failed, format!("cannot explain a request: {e}"));
        let session = self.admin.session();
        let folder = tempfile::tempdir().map_err(failed)?;
        let ca = folder.path().join("ca.pem");
        std::fs::write(&ca, session.ca.as_deref().unwrap_or_default()).map_err(failed)?;
        let mut command = tokio::process::Command::new(std::env::current_exe().map_err(failed)?);
        command.args(["policy", "explain", &request.to_string(), "--node", &session.node, "--ca"]).arg(&ca);
        // It knows of no login but this one.
        command.env_clear().env("HOME", folder.path()).stdin(Stdio::null());
        command.env("CASEMATE_TOKEN", session.token.as_ref().map(|token| token.expose()).unwrap_or_default());
        let done = command.output().await.map_err(failed)?;
        Ok(String::from_utf8_lossy(if done.status.success() { &done.stdout } else { &done.stderr })
            .into_owned())
    }
}
