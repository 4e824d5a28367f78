//! The only wiring of rooms: keyring, store, cells, egress, platform, gateway, in this order.
use std::net::SocketAddr;
use std::path::Path;
use model::TenantId;
use crate::{config::Config, exit::{Exit, Failure}, session::Secret};

pub(crate) struct Node;
impl Node {
    pub(crate) async fn start(_c: &Config) -> Result<Self, Failure> { Err(Failure::new(Exit::NotStarted, "not wired")) }
    pub(crate) fn walls(&self) -> (Vec<&'static str>, Vec<&'static str>) { (vec![], vec![]) }
    pub(crate) fn functions(&self) -> SocketAddr { ([127,0,0,1],0).into() }
    pub(crate) fn control(&self) -> SocketAddr { ([127,0,0,1],0).into() }
    pub(crate) fn plain_http(&self) -> Option<SocketAddr> { None }
    pub(crate) fn ca(&self) -> &str { "" }
    pub(crate) fn ca_file(&self) -> &Path { Path::new("") }
    pub(crate) fn take_first_token(&mut self) -> Option<(TenantId, Secret)> { None }
    pub(crate) async fn stop(self) {}
}
