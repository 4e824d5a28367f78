//! tour
use crate::{commands::Context, exit::Failure};
pub(crate) async fn demo(_c: &Context) -> Result<(), Failure> { Ok(()) }
