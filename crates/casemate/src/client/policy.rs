//! The control API about policies, as functions. It never prints.

use bytes::Bytes;
use gateway::api;
use http::Method;

use super::{Client, decode};
use crate::exit::Failure;

impl Client {
    /// `POST …/changes`
    pub(crate) async fn propose(&self, what: &api::Proposal) -> Result<api::Waiting, Failure> {
        self.send(Method::POST, &self.path("changes"), what).await
    }

    /// `GET …/changes`
    pub(crate) async fn changes(&self) -> Result<api::WaitingList, Failure> {
        self.get(&self.path("changes")).await
    }

    /// `GET …/changes/ID`
    pub(crate) async fn change(&self, id: &str) -> Result<api::Waiting, Failure> {
        self.get(&self.path(&format!("changes/{id}"))).await
    }

    /// `POST …/changes/ID/approve`
    pub(crate) async fn approve(&self, id: &str) -> Result<api::Waiting, Failure> {
        let path = self.path(&format!("changes/{id}/approve"));
        decode(self.exchange(Method::POST, &path, "", Bytes::new()).await?).await
    }

    /// `DELETE …/changes/ID`
    pub(crate) async fn reject(&self, id: &str) -> Result<(), Failure> {
        self.delete(&self.path(&format!("changes/{id}"))).await
    }

    /// `POST …/glass`
    pub(crate) async fn break_glass(&self, wanted: &api::BreakGlass) -> Result<api::Glass, Failure> {
        self.send(Method::POST, &self.path("glass"), wanted).await
    }

    /// `GET …/glass`
    pub(crate) async fn glass(&self) -> Result<api::GlassList, Failure> {
        self.get(&self.path("glass")).await
    }

    /// `DELETE …/glass/ID`
    pub(crate) async fn end_glass(&self, id: &str) -> Result<(), Failure> {
        self.delete(&self.path(&format!("glass/{id}"))).await
    }

    /// `GET …/explain`
    pub(crate) async fn explain(&self, request: model::RequestId) -> Result<api::ExplainedList, Failure> {
        self.get(&self.path(&format!("explain?request={request}"))).await
    }

    /// `GET …/who-can`
    pub(crate) async fn who_can(
        &self,
        action: policy::Action,
        function: Option<&model::FunctionName>,
    ) -> Result<api::ReachedList, Failure> {
        let of = function.map(|name| format!("&function={name}")).unwrap_or_default();
        self.get(&self.path(&format!("who-can?action={action}{of}"))).await
    }

    /// `GET …/what-can`
    pub(crate) async fn what_can(&self, principal: &str) -> Result<api::ReachedList, Failure> {
        self.get(&self.path(&format!("what-can?principal={principal}"))).await
    }
}
