//! What a node's shield is asked. It never decides.

use bytes::Bytes;
use gateway::api;
use http::Method;
use model::FunctionName;

use super::{Client, decode};
use crate::exit::Failure;

impl Client {
    /// A path of a tenant's shield, or of the node's.
    fn shield_path(&self, of_node: bool, below: &str) -> String {
        if of_node { format!("/v1/node/shield{below}") } else { self.path(&format!("shield{below}")) }
    }

    /// `GET …/shield`
    pub(crate) async fn shield(&self, of_node: bool) -> Result<api::ShieldReport, Failure> {
        self.get(&self.shield_path(of_node, "")).await
    }

    /// `GET …/shield/why/ID`
    pub(crate) async fn shield_why(&self, of_node: bool, id: &str) -> Result<api::ShieldStory, Failure> {
        self.get(&self.shield_path(of_node, &format!("/why/{id}"))).await
    }

    /// `POST …/shield/actions`
    pub(crate) async fn shield_act(
        &self,
        of_node: bool,
        new: &api::NewShieldAction,
    ) -> Result<api::ShieldAction, Failure> {
        self.send(Method::POST, &self.shield_path(of_node, "/actions"), new).await
    }

    /// `DELETE …/shield/actions?which=WHICH`, or `?all=any`, `?all=automatic`.
    pub(crate) async fn shield_undo(
        &self,
        of_node: bool,
        query: &str,
    ) -> Result<api::UndoneActions, Failure> {
        let path = self.shield_path(of_node, &format!("/actions?{query}"));
        decode(self.exchange(Method::DELETE, &path, "", Bytes::new()).await?).await
    }

    /// `GET …/shield/profiles/NAME`
    pub(crate) async fn profile(&self, function: &FunctionName) -> Result<api::ShieldProfile, Failure> {
        self.get(&self.shield_path(false, &format!("/profiles/{function}"))).await
    }

    /// `POST …/shield/profiles/NAME/approve`
    pub(crate) async fn approve_profile(
        &self,
        function: &FunctionName,
    ) -> Result<api::ShieldProfile, Failure> {
        let path = self.shield_path(false, &format!("/profiles/{function}/approve"));
        decode(self.exchange(Method::POST, &path, "", Bytes::new()).await?).await
    }

    /// `DELETE …/shield/profiles/NAME`
    pub(crate) async fn reset_profile(&self, function: &FunctionName) -> Result<api::ShieldProfile, Failure> {
        let path = self.shield_path(false, &format!("/profiles/{function}"));
        decode(self.exchange(Method::DELETE, &path, "", Bytes::new()).await?).await
    }

    /// `GET …/shield/bait`
    pub(crate) async fn bait(&self) -> Result<api::BaitList, Failure> {
        self.get(&self.shield_path(false, "/bait")).await
    }

    /// `POST …/shield/bait`
    pub(crate) async fn lay_bait(&self, new: &api::NewBait) -> Result<api::Bait, Failure> {
        self.send(Method::POST, &self.shield_path(false, "/bait"), new).await
    }

    /// `DELETE …/shield/bait?which=WHICH`
    pub(crate) async fn take_bait(&self, which: &str) -> Result<(), Failure> {
        self.delete(&self.shield_path(false, &format!("/bait?which={which}"))).await
    }
}
