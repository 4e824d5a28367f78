//! The control API about the node's rules, as functions. It never prints.

use gateway::api;
use http::Method;

use super::Client;
use crate::exit::Failure;

impl Client {
    /// `GET /v1/node/rules`
    pub(crate) async fn rule_sets(&self) -> Result<api::RuleSetList, Failure> {
        self.get("/v1/node/rules").await
    }

    /// `POST /v1/node/rules`
    pub(crate) async fn add_rules(&self, files: &api::RuleFiles) -> Result<api::RuleSet, Failure> {
        self.send(Method::POST, "/v1/node/rules", files).await
    }

    /// `PUT /v1/node/rules/in-force`
    pub(crate) async fn use_rules(&self, set: &str) -> Result<api::RuleSet, Failure> {
        let wanted = api::UseRules { set: set.to_owned() };
        self.send(Method::PUT, "/v1/node/rules/in-force", &wanted).await
    }

    /// `POST /v1/node/rules/simulate`
    pub(crate) async fn simulate(&self, wanted: &api::Simulate) -> Result<api::Simulated, Failure> {
        self.send(Method::POST, "/v1/node/rules/simulate", wanted).await
    }
}
